/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of the namespaces that the process is in: each of its type, with its flags, shared by
 * dup(2) and sent in a message; good for setns(2). */
#include "zoo_unix.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define NS_GET_NSTYPE _IO(0xb7, 0x3)
#define PIDFD_GET_UTS _IO(0xff, 10) /* linux/pidfd.h, since Linux 6.11 */
#define NAMES	      8

static const struct {
	const char *name;
	int type;
} names[NAMES] = {
	{ "cgroup", CLONE_NEWCGROUP }, { "ipc", CLONE_NEWIPC }, { "mnt", CLONE_NEWNS },
	{ "net", CLONE_NEWNET },       { "pid", CLONE_NEWPID }, { "time", 0x80 },
	{ "user", CLONE_NEWUSER },     { "uts", CLONE_NEWUTS },
};

static int open_own(int i, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/ns/%s", names[i].name);
	return open(path, flags);
}

/* Does the descriptor stand for our own namespace of this type? */
static bool is_own(int i, int fd)
{
	int now = open_own(i, O_RDONLY);
	struct stat a, b;
	bool same = now >= 0 && fstat(now, &a) == 0 && fstat(fd, &b) == 0 && a.st_ino == b.st_ino &&
		    a.st_dev == b.st_dev;

	if (now >= 0)
		close(now);
	return same;
}

int main(void)
{
	int fd[NAMES], twin, path_only, by_pidfd, flags, sent, pair[2];
	struct unix_got got;
	char byte;

	zoo_start();
	for (int i = 0; i < NAMES; i++) {
		fd[i] = open_own(i, O_RDONLY | (i % 2 ? O_CLOEXEC : 0));
		zoo_need(fd[i] >= 0);
	}
	twin = dup(fd[3]);
	path_only = open_own(2, O_PATH);
	flags = fcntl(fd[0], F_GETFL);
	by_pidfd = ioctl((int)syscall(SYS_pidfd_open, getpid(), 0), PIDFD_GET_UTS, 0);
	zoo_need(twin >= 0 && path_only >= 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	sent = open_own(1, O_RDONLY);
	zoo_need(unix_send(pair[0], "x", 1, &sent, 1, NULL, NULL, 0) == 1);
	close(sent);
	zoo_ready();
	zoo_wait();
	for (int i = 0; i < NAMES; i++) {
		zoo_check(is_own(i, fd[i]), "%s is another one", names[i].name);
		zoo_same(ioctl(fd[i], NS_GET_NSTYPE), names[i].type);
		zoo_same(fcntl(fd[i], F_GETFD), i % 2 ? FD_CLOEXEC : 0);
		zoo_same(fcntl(fd[i], F_GETFL), flags);
	}
	zoo_check(is_own(3, twin), "the second descriptor");
	zoo_check(is_own(2, path_only), "the one that is only a place");
	zoo_same(fcntl(path_only, F_GETFL), O_PATH);
	zoo_check(by_pidfd < 0 || is_own(7, by_pidfd), "the one by a pidfd");
	got = unix_recv(pair[1], &byte, 1, 0);
	zoo_check(got.n_fds == 1 && is_own(1, got.fd[0]), "the one in the message");
	/* Back into where we are, as who has been elsewhere does. */
	if (geteuid() == 0)
		zoo_check(setns(fd[7], CLONE_NEWUTS) == 0, "setns: %s", strerror(errno));
	return zoo_end();
}
