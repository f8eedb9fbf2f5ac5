// SPDX-License-Identifier: LGPL-2.1-or-later
/* What libcr starts when a program asks for a checkpoint or a restart. See lib/cr/ask.h. */
#include "../lib/cr/ask.h"
#include "cli.h"
#include "cr_job.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* More seconds than this are no limit. */
#define TIMEOUT_MAX 4000000

struct caller {
	long handle, inode, pid;
};

/* The pipe is held by the caller alone, but for this moment. */
static void answer(const struct caller *c, const struct cr_answer *a, const char *text)
{
	char packet[sizeof(*a) + CR_ASK_TEXT], path[64];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/fd/%ld", c->pid, c->handle);
	fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return;
	memcpy(packet, a, sizeof(*a));
	memcpy(packet + sizeof(*a), text, a->len);
	if (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) && (long)st.st_ino == c->inode)
		(void)!write(fd, packet, sizeof(*a) + a->len);
	close(fd);
}

static void tell(const struct caller *c, enum cr_answer_type type, int error, pid_t pid)
{
	const struct cr_answer a = { CR_ASK_MAGIC, type, error, pid, 0 };

	answer(c, &a, "");
}

/* The chain of causes, one a line. */
static void tell_log(const struct caller *c, const struct ckpt_err *err)
{
	for (; err; err = ckpt_err_cause(err)) {
		struct cr_answer a = { .magic = CR_ASK_MAGIC, .type = CR_ANSWER_LOG };
		char text[CR_ASK_TEXT];

		snprintf(text, sizeof(text) - 1, "%s", ckpt_err_text(err));
		for (char *p = text; *p; p++)
			*p = *p == '\n' ? ' ' : *p;
		strcat(text, "\n");
		a.len = (uint32_t)strlen(text);
		answer(c, &a, text);
	}
}

static void started(void *userdata)
{
	tell(userdata, CR_ANSWER_STARTED, 0, 0);
}

/* Numbers from argv[first] on; false: there are too few, or others. */
static bool read_numbers(int argc, char **argv, int first, long *ret, int n)
{
	for (int i = 0; i < n; i++) {
		char *end;

		if (first + i >= argc)
			return false;
		errno = 0;
		ret[i] = strtol(argv[first + i], &end, 10);
		if (errno || *end || end == argv[first + i])
			return false;
	}
	return true;
}

static pid_t group_of(int scope, pid_t pid)
{
	return scope == CR_SCOPE_PGRP ? getpgid(pid) : scope == CR_SCOPE_SESS ? getsid(pid) : pid;
}

static int checkpoint(int argc, char **argv)
{
	enum { SCOPE, TARGET, SIGNAL, TIMEOUT, FLAGS, FD, N };
	struct caller caller;
	char dest[4096] = "", name[64];
	long v[N], who[3];
	struct cr_job job;
	_cleanup_err_ struct ckpt_err *err = NULL;
	const pid_t self = getpid();
	int rc = 0;

	if (!read_numbers(argc, argv, 2, who, 3) || !read_numbers(argc, argv, 5, v, N))
		return CLI_USAGE;
	caller = (struct caller){ who[0], who[1], who[2] };
	job = (struct cr_job){
		.scope = (int)v[SCOPE],
		.target = v[TARGET] ? (pid_t)v[TARGET] : group_of((int)v[SCOPE], (pid_t)caller.pid),
		.requester = (pid_t)caller.pid,
		.signal = (int)v[SIGNAL],
		.timeout_ms = v[TIMEOUT] > TIMEOUT_MAX ? 0 : (unsigned int)v[TIMEOUT] * 1000,
		.flags = (unsigned int)v[FLAGS],
		.fd = (int)v[FD],
		.dest = dest,
		.omit = &self,
		.n_omit = 1,
		.asked = started,
		.userdata = &caller,
	};
	/* Out of reach of what is sent to the caller's group, and no member of it. */
	setsid();
	if (v[FD] == CR_DEST_CWD) {
		snprintf(name, sizeof(name), "context.%d", job.target);
		job.fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0400);
		rc = job.fd < 0 ? errno : 0;
	}
	cr_path_of(job.fd, dest, sizeof(dest));
	if (rc == 0 && job.flags & CR_CHKPT_PROHIBIT_SELF &&
	    group_of(job.scope, (pid_t)caller.pid) == job.target)
		rc = EDEADLK;
	if (rc == 0)
		rc = cr_job_checkpoint(&job, &err);
	if (rc && v[FD] == CR_DEST_CWD && job.fd >= 0)
		unlink(name);
	tell_log(&caller, err);
	/* The second counts if the first has been told; both, if it has not. */
	if (rc)
		tell(&caller, CR_ANSWER_STARTED, rc, 0);
	tell(&caller, CR_ANSWER_RESULT, rc, 0);
	return rc ? CLI_FAILED : CLI_OK;
}

static int restart(int argc, char **argv)
{
	enum { SIGNAL, FLAGS, FD, N };
	_cleanup_err_ struct ckpt_err *err = NULL;
	struct caller caller;
	char src[4096] = "";
	long v[N], who[3];
	pid_t pid = 0;
	struct ckpt_relocation relocate[CR_MAX_RSTRT_RELOC];
	struct cr_restart_job job;
	int rc;

	if (!read_numbers(argc, argv, 2, who, 3) || !read_numbers(argc, argv, 5, v, N))
		return CLI_USAGE;
	caller = (struct caller){ who[0], who[1], who[2] };
	cr_path_of((int)v[FD], src, sizeof(src));
	job = (struct cr_restart_job){
		.fd = (int)v[FD],
		.src = src,
		.signal = (int)v[SIGNAL],
		.flags = (unsigned int)v[FLAGS],
		.requester = (pid_t)caller.pid,
		.sibling = true,
		.relocate = relocate,
	};
	for (int i = 8; i + 1 < argc && job.n_relocate < CR_MAX_RSTRT_RELOC; i += 2) {
		cli_trim_path(argv[i]);
		cli_trim_path(argv[i + 1]);
		relocate[job.n_relocate++] = (struct ckpt_relocation){ argv[i], argv[i + 1] };
	}
	tell(&caller, CR_ANSWER_STARTED, 0, 0);
	rc = cr_job_restart(&job, &pid, &err);
	tell_log(&caller, err);
	tell(&caller, CR_ANSWER_RESULT, rc, pid);
	return rc ? CLI_FAILED : CLI_OK;
}

int cr_helper(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[1], "checkpoint"))
		return checkpoint(argc, argv);
	if (argc > 2 && !strcmp(argv[1], "restart"))
		return restart(argc, argv);
	return CLI_USAGE;
}
