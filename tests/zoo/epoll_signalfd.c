/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An instance that watches a signalfd: signals that were pending, and that come later. */
#include "zoo.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

static int watch(int ep, int signo, uint32_t events, uint64_t data)
{
	struct epoll_event e = { .events = events, .data.u64 = data };
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, signo);
	zoo_need(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	fd = signalfd(-1, &set, SFD_NONBLOCK);
	zoo_need(fd >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
	return fd;
}

static uint64_t next(int ep)
{
	struct epoll_event e = { 0 };

	return epoll_wait(ep, &e, 1, 0) == 1 ? e.data.u64 : 0;
}

static void take(int fd, int signo)
{
	struct signalfd_siginfo info = { 0 };

	zoo_same(read(fd, &info, sizeof(info)), sizeof(info));
	zoo_same(info.ssi_signo, signo);
}

int main(void)
{
	zoo_start();
	int ep = epoll_create1(0), other = epoll_create1(0);
	int usr1 = watch(ep, SIGUSR1, EPOLLIN, 1), usr2 = watch(ep, SIGUSR2, EPOLLIN, 2);
	int winch = watch(other, SIGWINCH, EPOLLIN | EPOLLET, 3);

	zoo_need(kill(getpid(), SIGUSR2) == 0 && kill(getpid(), SIGWINCH) == 0);
	zoo_ready();
	zoo_wait();
	zoo_same(next(other), 3);
	zoo_same(next(other), 0);
	zoo_same(next(ep), 2);
	zoo_same(next(ep), 2);
	take(usr2, SIGUSR2);
	zoo_same(next(ep), 0);
	zoo_same(kill(getpid(), SIGUSR1), 0);
	zoo_same(next(ep), 1);
	take(usr1, SIGUSR1);
	take(winch, SIGWINCH);
	zoo_same(kill(getpid(), SIGWINCH), 0);
	zoo_same(next(other), 3);
	return zoo_end();
}
