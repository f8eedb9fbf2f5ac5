// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The tracer that "load --trace" keeps running. Whoever listens at its socket is it: the kernel
 * vouches for its pid, and it is signalled by a descriptor that means this process and no other.
 */
#include "tracer.h"
#include "provenance.h"
#include "util.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* An audit is ended at its next pass; then it closes what it has. */
#define END_MS 10000

void tracer_age(uint64_t ns, char *buf, size_t size)
{
	uint64_t s = ns / 1000000000;

	if (s < 120)
		snprintf(buf, size, "%" PRIu64 " s", s);
	else if (s < 7200)
		snprintf(buf, size, "%" PRIu64 " min", s / 60);
	else if (s < 172800)
		snprintf(buf, size, "%" PRIu64 " h", s / 3600);
	else
		snprintf(buf, size, "%" PRIu64 " days", s / 86400);
}

void tracer_since(const struct ckpt_tracer *t, char *buf, size_t size)
{
	char age[40], when[40] = "?";
	struct tm tm;

	uint64_t now = now_ns();
	uint64_t ns = now > t->since_ns ? now - t->since_ns : 0;
	time_t wall = time(NULL) - (time_t)(ns / 1000000000);

	if (localtime_r(&wall, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	tracer_age(ns, age, sizeof(age));
	snprintf(buf, size, "since %s (%s)", when, age);
}

/* Its socket, and its pid. 1, 0: there is none, or a negative errno. */
static int reach(int *ret_fd, pid_t *ret_pid)
{
	_cleanup_close_ int dir = -1;
	struct ucred who;
	socklen_t len = sizeof(who);
	int rc = provenance_open_dir(false, &dir);

	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	_cleanup_close_ int fd = provenance_connect(dir, PROVENANCE_TRACER);

	if (fd < 0)
		return 0;
	/* Of the process that called listen(2). */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	*ret_pid = who.pid;
	return 1;
}

static int fail_reach(int rc, struct ckpt_err **err)
{
	ckpt_fail_errno(err, rc, rc == -EPERM || rc == -EACCES ? CKPT_E_PRIVILEGE : CKPT_E_SYS,
			"look for a tracer in " PROVENANCE_DIR);
	return rc;
}

int ckpt_tracer_find(struct ckpt_tracer *ret, struct ckpt_err **err)
{
	const struct provenance_request r = { .magic = PROVENANCE_STATE };
	struct provenance_state s = { 0 };
	_cleanup_close_ int fd = -1;
	pid_t pid = 0;
	int rc = reach(&fd, &pid);

	*ret = (struct ckpt_tracer){ .same = true };
	if (rc <= 0)
		return rc < 0 ? fail_reach(rc, err) : 0;
	ssize_t n = send(fd, &r, sizeof(r), MSG_NOSIGNAL) == (ssize_t)sizeof(r)
			    ? recv(fd, &s, sizeof(s), MSG_TRUNC)
			    : -1;

	if (n == (ssize_t)sizeof(s) && s.magic == PROVENANCE_STATE && s.size == sizeof(s) &&
	    !strncmp(s.version, EBPF_CKPT_VERSION, sizeof(s.version))) {
		*ret = s.tracer;
		ret->target[sizeof(ret->target) - 1] = '\0';
		ret->answers = ret->same = true;
	} else if (n >= 0) {
		/* It does, but not in our words. */
		ret->same = false;
	}
	ret->pid = pid;
	return 1;
}

/* A pidfd of the process that listens: 1 and *ret, 0: there is none any more, or a negative errno.
 */
static int identify(int *ret, pid_t *ret_pid)
{
	_cleanup_close_ int first = -1, second = -1, pidfd = -1;
	pid_t pid, again;
	int rc = reach(&first, &pid);

	if (rc <= 0)
		return rc;
	if (pid <= 0)
		return -ESRCH;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return -errno;
	/* It listened before and listens now: in between its pid was nobody else's. */
	rc = reach(&second, &again);
	if (rc <= 0)
		return rc;
	if (again != pid)
		return -EAGAIN;
	*ret = TAKE_FD(pidfd);
	*ret_pid = pid;
	return 1;
}

static int signal_it(int pidfd, int signo)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0) < 0 && errno != ESRCH
		       ? -errno
		       : 0;
}

static bool ends_within(int pidfd, int ms)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	uint64_t end = now_us() + (uint64_t)ms * 1000, now;

	while ((now = now_us()) < end)
		if (poll(&p, 1, (int)((end - now) / 1000) + 1) > 0)
			return true;
	return false;
}

int ckpt_tracer_stop(struct ckpt_err **err)
{
	_cleanup_close_ int pidfd = -1;
	pid_t pid = 0;
	int rc = -EAGAIN;

	for (int i = 0; i < 10 && rc == -EAGAIN; i++)
		rc = identify(&pidfd, &pid);
	if (rc == -ESRCH) {
		ckpt_fail(err, ESRCH, CKPT_E_NO_PROCESS,
			  "the tracer runs in a pid namespace that cannot be seen from here");
		ckpt_hint(err, "ebpf-ckpt unload there, or in the initial one");
		return -ESRCH;
	}
	if (rc <= 0)
		return rc < 0 ? fail_reach(rc, err) : 0;
	rc = signal_it(pidfd, SIGTERM);
	/* Somebody may have stopped it. */
	if (rc == 0)
		rc = signal_it(pidfd, SIGCONT);
	if (rc == 0 && !ends_within(pidfd, END_MS)) {
		/* It hangs. */
		rc = signal_it(pidfd, SIGKILL);
		if (rc == 0 && !ends_within(pidfd, END_MS))
			rc = -ETIMEDOUT;
	}
	return rc < 0 ? ckpt_fail_errno(err, rc, CKPT_E_SYS, "end the tracer, process %d", pid) : 1;
}
