// SPDX-License-Identifier: LGPL-2.1-or-later
/* The process in which a dump runs. See worker.h. */
#include "worker.h"
#include "util.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ERROR_MAX 65536 /* bytes of an error's JSON */

enum message { MSG_PROGRESS_IS, MSG_SCRATCH_IS, MSG_RESULT_IS, MSG_ERROR_IS };

/* A fork shares the addresses of static strings: stage names travel as pointers. */
struct packet {
	enum message type;
	int rc;
	const char *stage;
	uint64_t done, total;
	struct ckpt_dump_result result;
	size_t len; /* of the text that follows */
};

static int send_packet(int sock, const struct packet *p, const char *text)
{
	struct iovec iov[2] = { { (void *)(uintptr_t)p, sizeof(*p) },
				{ (void *)(uintptr_t)text, p->len } };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n;

	do
		n = sendmsg(sock, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

bool worker_cancelled(struct worker *w)
{
	char c;
	ssize_t n = w->cancelled ? 0 : recv(w->sock, &c, 1, MSG_DONTWAIT);

	/* A byte: given up. End of file: the caller is dead. */
	if (n >= 0)
		w->cancelled = true;
	return w->cancelled;
}

int worker_progress(struct worker *w, const char *stage, uint64_t done, uint64_t total)
{
	struct packet p = { .type = MSG_PROGRESS_IS, .stage = stage, .done = done, .total = total };

	send_packet(w->sock, &p, "");
	return worker_cancelled(w);
}

void worker_scratch(struct worker *w, const char *path)
{
	struct packet p = { .type = MSG_SCRATCH_IS, .len = strlen(path) };

	send_packet(w->sock, &p, path);
}

/* The kernel, short of memory, should rather end anyone else. Needs a right that we may lack: no
 * matter. */
static void shun_oom_killer(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		(void)!write(fd, "-1000", 5);
		close(fd);
	}
}

/* The worker must survive what ends its caller, and must not be stopped by the target's terminal.
 */
static void settle_in(void)
{
	const int ignored[] = { SIGPIPE, SIGXFSZ, SIGHUP, SIGINT, SIGTERM, SIGQUIT };
	sigset_t none;

	setsid();
	shun_oom_killer();
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_NAME, "ebpf-ckpt-dump");
}

static void worker_main(int sock, worker_fn *fn, struct ckpt_session *s,
			const struct ckpt_dump_opts *opts)
{
	struct worker w = { .sock = sock };
	struct packet p = { .type = MSG_RESULT_IS };
	struct ckpt_err *e = NULL;
	char *text = NULL;

	settle_in();
	p.rc = fn(&w, s, opts, &p.result, &e);
	if (p.rc < 0) {
		p.type = MSG_ERROR_IS;
		text = ckpt_err_to_json(e);
		p.len = text ? strnlen(text, ERROR_MAX) : 0;
	}
	send_packet(sock, &p, text ? text : "");
	_exit(p.rc < 0);
}

/* Remove a half-made image after the worker was killed: plain files, and one level of directories.
 */
static void remove_scratch(int at, const char *path, int depth)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct dirent *e;
	DIR *d;

	if (fd < 0)
		return;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return;
	}
	while ((e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (unlinkat(fd, e->d_name, 0) < 0 && depth > 0)
			remove_scratch(fd, e->d_name, depth - 1);
	}
	closedir(d);
	unlinkat(at, path, AT_REMOVEDIR);
}

static int relay(int sock, struct ckpt_session *s, struct ckpt_dump_result *ret,
		 struct ckpt_err **err)
{
	_cleanup_free_ char *text = malloc(ERROR_MAX + 1);
	char scratch[PATH_MAX] = "";
	bool told = false;

	if (!text)
		return ckpt_fail_nomem(err);
	for (;;) {
		struct packet p;
		struct iovec iov[2] = { { &p, sizeof(p) }, { text, ERROR_MAX } };
		struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };
		ssize_t n = recvmsg(sock, &m, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < (ssize_t)sizeof(p)) {
			if (scratch[0])
				remove_scratch(AT_FDCWD, scratch, 1);
			return ckpt_fail(err, EPIPE, CKPT_E_SYS,
					 "the process that wrote the image was killed");
		}
		text[n - (ssize_t)sizeof(p)] = 0;
		switch (p.type) {
		case MSG_PROGRESS_IS:
			if (!told && s->progress &&
			    s->progress(s->progress_data, p.stage, p.done, p.total)) {
				told = true;
				send(sock, "c", 1, MSG_NOSIGNAL);
			}
			break;
		case MSG_SCRATCH_IS:
			strncpy(scratch, text, sizeof(scratch) - 1);
			break;
		case MSG_RESULT_IS:
			*ret = p.result;
			return 0;
		case MSG_ERROR_IS:
			if (err && !*err)
				*err = ckpt_err_from_json(text);
			return p.rc;
		}
	}
}

int worker_run(worker_fn *fn, struct ckpt_session *s, const struct ckpt_dump_opts *opts,
	       struct ckpt_dump_result *ret, struct ckpt_err **err)
{
	int sock[2], status, rc;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "make a socket for the worker");
	pid = fork();
	if (pid == 0) {
		close(sock[0]);
		worker_main(sock[1], fn, s, opts);
	}
	close(sock[1]);
	if (pid < 0) {
		rc = ckpt_fail_errno(err, errno, CKPT_E_SYS, "start the worker");
		close(sock[0]);
		return rc;
	}
	rc = relay(sock[0], s, ret, err);
	close(sock[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return rc;
}
