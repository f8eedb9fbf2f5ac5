/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pidfds of the process itself and of one of its threads; of children that ended and were waited
 * for, two of one and one of each other: the two are of the same process afterwards, too.
 */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int open_pidfd(pid_t pid, unsigned int flags)
{
	return (int)syscall(SYS_pidfd_open, pid, flags);
}

static int send_to(int fd, int sig)
{
	return syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0) < 0 ? -errno : 0;
}

static bool ended(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* A child that has ended and been waited for, and two pidfds of it. */
static void make_dead(int fd[2], int status)
{
	pid_t pid = fork();

	zoo_need(pid >= 0);
	if (pid == 0) {
		if (status < 0)
			kill(getpid(), -status);
		_exit(status);
	}
	fd[0] = open_pidfd(pid, 0);
	fd[1] = open_pidfd(pid, O_NONBLOCK);
	zoo_need(fd[0] >= 0 && fd[1] >= 0 && waitpid(pid, NULL, 0) == pid);
}

/* As a wait status; -1 when the kernel does not tell. */
static int exit_code(int fd)
{
	uint32_t info[16] = { 1 << 3 }; /* PIDFD_INFO_EXIT */

	if (ioctl(fd, _IOC(_IOC_READ | _IOC_WRITE, 0xff, 11, 64), info) < 0 || !(info[0] & 1 << 3))
		return -1;
	return (int)info[15];
}

static bool same_process(int a, int b)
{
	struct stat sa, sb;

	zoo_need(fstat(a, &sa) == 0 && fstat(b, &sb) == 0);
	return sa.st_ino == sb.st_ino && sa.st_dev == sb.st_dev;
}

static pid_t thread_tid;
static int gate[2];

static void *thread(void *arg)
{
	char c;

	thread_tid = gettid();
	zoo_need(write(gate[1], "x", 1) == 1);
	while (!zoo_gone())
		zoo_sleep_ms(5);
	zoo_same(read(gate[0], &c, 1), 1);
	return arg;
}

int main(void)
{
	zoo_start();
	int self = open_pidfd(getpid(), 0), quiet = open_pidfd(getpid(), O_NONBLOCK);
	int one[2], two[2], of_thread, had_code;
	siginfo_t info;
	pthread_t t;
	char c;

	zoo_need(self >= 0 && quiet >= 0 && pipe(gate) == 0);
	zoo_need(pthread_create(&t, NULL, thread, NULL) == 0 && read(gate[0], &c, 1) == 1);
	of_thread = open_pidfd(thread_tid, O_EXCL);
	make_dead(one, 42);
	make_dead(two, -SIGTERM);
	had_code = exit_code(one[0]);
	zoo_ready();
	zoo_wait();
	zoo_check(!ended(self), "it has ended itself");
	zoo_same(send_to(self, 0), 0);
	zoo_check(same_process(self, quiet), "two pidfds of itself differ");
	zoo_same(fcntl(quiet, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	zoo_same(fcntl(self, F_GETFL) & O_NONBLOCK, 0);
	for (int i = 0; i < 2; i++) {
		zoo_check(ended(one[i]) && ended(two[i]), "a dead process lives");
		zoo_same(send_to(one[i], 0), -ESRCH);
		zoo_same(waitid(P_PIDFD, (id_t)one[i], &info, WEXITED), -1);
		zoo_same(errno, ECHILD);
	}
	zoo_check(same_process(one[0], one[1]) && same_process(two[0], two[1]),
		  "two pidfds of one dead process differ");
	zoo_check(!same_process(one[0], two[0]) && !same_process(one[0], self),
		  "pidfds of different processes are the same");
	if (had_code >= 0) {
		zoo_same(exit_code(one[1]), 42 << 8);
		zoo_same(exit_code(two[0]), SIGTERM);
	}
	if (of_thread >= 0) { /* Linux 6.9 */
		zoo_check(!ended(of_thread), "the thread has ended");
		zoo_same(send_to(of_thread, 0), 0);
		zoo_same(fcntl(of_thread, F_GETFL) & O_EXCL, O_EXCL);
	}
	zoo_same(write(gate[1], "x", 1), 1);
	zoo_same(pthread_join(t, NULL), 0);
	if (of_thread >= 0)
		zoo_check(ended(of_thread), "the thread has not ended");
	return zoo_end();
}
