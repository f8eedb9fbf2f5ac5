/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A parent and its child share one instance, under different numbers; what it watches is in the
 * child alone, or in both. The child's signals stay the child's.
 */
#include "zoo.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

static int ep;

static void add(int fd, uint64_t data)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = data };

	zoo_need(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
}

static uint64_t next(int timeout_ms)
{
	struct epoll_event e = { 0 };

	return epoll_wait(ep, &e, 1, timeout_ms) == 1 ? e.data.u64 : 0;
}

static int child(int to_parent, int from_parent)
{
	struct signalfd_siginfo info;
	int own = eventfd(0, EFD_CLOEXEC), sig, moved = dup2(ep, 200);
	sigset_t set;
	char c;

	close(ep);
	ep = moved;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sig = signalfd(-1, &set, 0);
	if (own < 0 || sig < 0 || ep < 0)
		return 1;
	add(own, 10);
	add(sig, 11);
	if (write(to_parent, "1", 1) != 1 || read(from_parent, &c, 1) != 1)
		return 2;
	if (eventfd_write(own, 1) < 0 || write(to_parent, "2", 1) != 1)
		return 3;
	/* Told to look for its signal. */
	if (read(from_parent, &c, 1) != 1 || read(sig, &info, sizeof(info)) != sizeof(info))
		return 4;
	return info.ssi_signo == SIGUSR1 ? 0 : 5;
}

int main(void)
{
	zoo_start();
	int down[2], up[2], both = eventfd(0, 0), status = -1;
	struct epoll_event got[4];
	sigset_t set;
	pid_t pid;
	char c;

	ep = epoll_create1(0);
	zoo_need(ep >= 0 && both >= 0 && pipe(down) == 0 && pipe(up) == 0);
	add(both, 1);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	zoo_need(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	pid = fork();
	if (pid == 0)
		_exit(child(up[1], down[0]));
	zoo_need(pid > 0 && read(up[0], &c, 1) == 1);
	zoo_ready();
	zoo_wait();
	zoo_same(next(0), 0);
	zoo_same(write(down[1], "x", 1), 1);
	zoo_same(read(up[0], &c, 1), 1);
	/* What only the child holds. */
	zoo_same(next(1000), 10);
	zoo_same(eventfd_write(both, 1), 0);
	zoo_same(epoll_wait(ep, got, 4, 0), 2);
	/* Our own signal is none of the child's: the entry is for those. */
	zoo_same(kill(getpid(), SIGUSR1), 0);
	zoo_same(epoll_wait(ep, got, 4, 0), 2);
	zoo_same(kill(pid, SIGUSR1), 0);
	zoo_same(write(down[1], "x", 1), 1);
	zoo_same(waitpid(pid, &status, 0), pid);
	zoo_same(status, 0);
	return zoo_end();
}
