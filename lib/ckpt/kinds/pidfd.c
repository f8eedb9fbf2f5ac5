// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pidfd_open(2): of a process, or thread, of the dump, or of one that has ended and was waited for.
 * Nothing is left of the latter but how it ended, and that all its pidfds are of the same one: a
 * process is made that ends in the same way, for all of them.
 */
#include "../util.h"
#include "kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>

/* linux/pidfd.h, newer than the headers of most systems: PIDFD_GET_INFO, Linux 6.13, and
 * PIDFD_INFO_EXIT, 6.15. */
struct pidfd_info {
	uint64_t mask;
	uint64_t cgroupid;
	uint32_t pid, tgid, ppid;
	uint32_t ids[8];
	int32_t exit_code;
};

_Static_assert(sizeof(struct pidfd_info) == 64, "as of 6.15");

#define GET_INFO     _IOWR(0xff, 11, struct pidfd_info)
#define INFO_EXIT    (1ULL << 3)
#define CORE_DUMPED  0x80	/* of an exit code */
#define OF_A_THREAD  O_EXCL	/* PIDFD_THREAD, in f_flags, too */
#define NOT_BLOCKING O_NONBLOCK /* PIDFD_NONBLOCK */
#define OPEN_FLAGS   (OF_A_THREAD | NOT_BLOCKING)

static bool match(const struct kind_file *f)
{
	return f->file && (kind_is_anon(f, "[pidfd]") || !strcmp(f->inode->fstype, "pidfs"));
}

static const struct rec_pidfd *detail(const struct kind_dump *d, const struct kind_file *f)
{
	return kind_detail(d, f, REC_PIDFD, sizeof(struct rec_pidfd));
}

/* Somebody may have attached names to it (pidfs, Linux 6.18), which nothing could put back. */
static int check_names(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	_cleanup_close_ int fd = -1;
	int rc = kind_get_fd(d, f, &fd, err);

	if (rc < 0 || flistxattr(fd, NULL, 0) <= 0)
		return rc;
	ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED, "the pidfd has extended attributes");
	ckpt_hint(err, "remove them first, or close the pidfd");
	return -EOPNOTSUPP;
}

static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	const struct rec_pidfd *p = detail(d, f);
	char who[128];

	if (!p)
		return kind_fail_detail("pidfd", err);
	if (p->dead || (p->pid && snapshot_task(d->snap, p->pid)))
		return check_names(d, f, err);
	kind_process_words(p->pid, who, sizeof(who));
	ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
		  "it refers to %s, which is not part of the checkpoint", who);
	ckpt_hint(err, "checkpoint both as one tree, or close the pidfd first");
	return -EOPNOTSUPP;
}

/* The first object that is of the same process: its number in the image. */
static uint32_t first_of(const struct kind_dump *d, const struct rec_pidfd *p)
{
	for (size_t i = 0; i < d->os->n; i++) {
		const struct object_row *row = &d->os->row[i];
		const struct rec_pidfd *other = match(&row->f) ? detail(d, &row->f) : NULL;

		if (other && other->pid_id == p->pid_id)
			return row->id;
	}
	return 0;
}

/* How it ended, where the kernel knows. */
static int save_end(const struct kind_dump *d, const struct kind_file *f, json_t *o,
		    struct ckpt_err **err)
{
	struct pidfd_info info = { .mask = INFO_EXIT };
	_cleanup_close_ int fd = -1;
	int rc = kind_get_fd(d, f, &fd, err);

	if (rc < 0)
		return rc;
	if (ioctl(fd, GET_INFO, &info) == 0 && info.mask & INFO_EXIT &&
	    js_set_int(o, "exit_code", info.exit_code & ~CORE_DUMPED))
		return ckpt_fail_nomem(err);
	return 0;
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	const struct rec_pidfd *p = detail(d, f);
	const struct rec_task *t;

	if (!p)
		return kind_fail_detail("pidfd", err);
	if (p->dead) {
		if (js_set_int(o, "dead", first_of(d, p)))
			return ckpt_fail_nomem(err);
		return save_end(d, f, o, err);
	}
	t = p->pid ? snapshot_task(d->snap, p->pid) : NULL;
	if (!t)
		return check(d, f, err);
	return js_set_int(o, "pid", t->vtid) ? ckpt_fail_nomem(err) : 0;
}

/* ---- restoring ---- */

/* The object that it is like, and how that process ended. */
static int dead_read(const struct kind_restore *r, const json_t *o, uint32_t *dead,
		     uint32_t *exit_code, struct ckpt_err **err)
{
	int rc = js_u32(o, "dead", dead, err);
	unsigned int sig;

	if (rc == 0 && json_object_get(o, "exit_code"))
		rc = js_u32(o, "exit_code", exit_code, err);
	if (rc < 0)
		return rc;
	sig = *exit_code & 0x7f;
	if (*dead < 1 || *dead > json_array_size(r->objects) || *exit_code > 0xffff || sig > 64 ||
	    sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU)
		return ckpt_fail(
			err, EINVAL, CKPT_E_IMAGE,
			"a pidfd is of a process like that of object %u, which ended by %#x", *dead,
			*exit_code);
	return 0;
}

static int need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	uint32_t dead = 0, exit_code = 0;
	int32_t pid = 0;

	if (json_object_get(o, "pid"))
		return js_i32(o, "pid", &pid, err);
	return dead_read(r, o, &dead, &exit_code, err);
}

static int open_flags(const json_t *o, unsigned int *ret, struct ckpt_err **err)
{
	int64_t flags = 0;
	int rc = js_i64(o, "flags", &flags, err);

	*ret = (unsigned int)flags & OPEN_FLAGS;
	return rc;
}

static int open_one(const json_t *o, pid_t pid, int *ret_fd, struct ckpt_err **err)
{
	unsigned int flags = 0;
	int rc = open_flags(o, &flags, err);

	if (rc < 0)
		return rc;
	*ret_fd = (int)syscall(SYS_pidfd_open, pid, flags);
	return *ret_fd < 0 ? ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "open a pidfd") : 0;
}

/* In the child: nothing here is inherited that could keep it from ending like this. */
static _Noreturn void end_like(uint32_t exit_code)
{
	const struct rlimit none = { 0 };
	int sig = (int)(exit_code & 0x7f);
	sigset_t set;

	setrlimit(RLIMIT_CORE, &none);
	if (sig) {
		sigemptyset(&set);
		sigaddset(&set, sig);
		signal(sig, SIG_DFL);
		sigprocmask(SIG_UNBLOCK, &set, NULL);
		kill(getpid(), sig);
	}
	_exit((int)(exit_code >> 8 & 0xff));
}

/* All pidfds of the process that the row was of; -1 are those that are not open yet. */
static int open_all(struct kind_restore *r, uint32_t dead, pid_t pid, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i + 1 < r->n_fd; i++) {
		const json_t *row = json_array_get(r->objects, i);
		const char *kind = "";
		uint32_t of = 0;

		if (js_str(row, "kind", &kind, NULL) == 0 && !strcmp(kind, "pidfd") &&
		    js_u32(row, "dead", &of, NULL) == 0 && of == dead && r->fd[i + 1] < 0)
			rc = open_one(row, pid, &r->fd[i + 1], err);
	}
	return rc;
}

/*
 * It waits at a pipe until its pidfds are there, since the kernel notes how a process ended only
 * for those that are open by then.
 */
static int open_dead(struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	uint32_t dead = 0, exit_code = 0;
	int gate[2], status, rc = dead_read(r, o, &dead, &exit_code, err);
	pid_t pid;
	char c;

	if (rc < 0)
		return rc;
	if (pipe2(gate, O_CLOEXEC) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "make a pipe");
	pid = fork();
	if (pid == 0) {
		close(gate[1]);
		while (read(gate[0], &c, 1) < 0 && errno == EINTR)
			;
		end_like(exit_code);
	}
	close(gate[0]);
	rc = pid < 0 ? ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "make a process that ends")
		     : open_all(r, dead, pid, err);
	close(gate[1]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return rc;
}

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	pid_t pid;
	int rc;

	/* That fills the row's place in r->fd. */
	if (!json_object_get(o, "pid"))
		return open_dead(r, o, err);
	rc = kind_row_pid(r, o, "a pidfd", &pid, err);
	return rc < 0 ? rc : open_one(o, pid, ret_fd, err);
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	snprintf(buf, len, "pidfd%s", f->inode->f_flags & OF_A_THREAD ? " of a thread" : "");
}

const struct ckpt_kind kind_pidfds = {
	.name = "pidfd",
	.needs_tasks = true,
	.match = match,
	.check = check,
	.save = save,
	.need = need,
	.open = open_it,
	.describe = describe,
};
