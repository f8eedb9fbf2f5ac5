/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signal sets of signalfds, pending signals read through them, and a reader that is blocked. */
#include "zoo.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

static int blocking;
static struct signalfd_siginfo first;

static void *reader(void *arg)
{
	zoo_same(read(blocking, &first, sizeof(first)), sizeof(first));
	return arg;
}

int main(void)
{
	zoo_start();
	struct signalfd_siginfo info;
	sigset_t usr1, rest;
	union sigval value = { .sival_int = 4711 };
	struct pollfd p;
	pthread_t thread;
	int nonblock;

	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigemptyset(&rest);
	sigaddset(&rest, SIGUSR2);
	sigaddset(&rest, SIGRTMIN + 3);
	sigaddset(&rest, SIGRTMAX);
	zoo_need(sigprocmask(SIG_BLOCK, &usr1, NULL) == 0);
	zoo_need(sigprocmask(SIG_BLOCK, &rest, NULL) == 0);
	blocking = signalfd(-1, &usr1, 0);
	nonblock = signalfd(-1, &rest, SFD_NONBLOCK | SFD_CLOEXEC);
	zoo_need(blocking >= 0 && nonblock >= 0);
	zoo_need(sigqueue(getpid(), SIGRTMAX, value) == 0);
	value.sival_int = 1;
	zoo_need(sigqueue(getpid(), SIGRTMIN + 3, value) == 0);
	zoo_need(pthread_create(&thread, NULL, reader, NULL) == 0);
	zoo_ready();
	zoo_wait();
	p = (struct pollfd){ .fd = nonblock, .events = POLLIN };
	zoo_same(poll(&p, 1, 0), 1);
	zoo_same(read(nonblock, &info, sizeof(info)), sizeof(info));
	zoo_same(info.ssi_signo, SIGRTMIN + 3);
	zoo_same(info.ssi_int, 1);
	zoo_same(read(nonblock, &info, sizeof(info)), sizeof(info));
	zoo_same(info.ssi_signo, SIGRTMAX);
	zoo_same(info.ssi_int, 4711);
	zoo_same(info.ssi_pid, getpid());
	zoo_same(read(nonblock, &info, sizeof(info)), -1);
	zoo_same(errno, EAGAIN);
	zoo_same(first.ssi_signo, 0);
	zoo_need(kill(getpid(), SIGUSR1) == 0);
	zoo_same(pthread_join(thread, NULL), 0);
	zoo_same(first.ssi_signo, SIGUSR1);
	zoo_need(kill(getpid(), SIGUSR2) == 0);
	zoo_same(read(nonblock, &info, sizeof(info)), sizeof(info));
	zoo_same(info.ssi_signo, SIGUSR2);
	return zoo_end();
}
