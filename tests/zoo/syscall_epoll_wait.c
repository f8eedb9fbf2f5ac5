/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads that wait for events and for signals: calls that the kernel does not restart by itself.
 * They see nothing of a checkpoint, while a signal of the program's own still interrupts them, and
 * the mask that epoll_pwait(2) waits with is gone afterwards.
 */
#include "zoo.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int ep, handled;
static pthread_barrier_t ready;

static void handler(int sig)
{
	(void)sig;
	handled++;
}

static void *wait_event(void *arg)
{
	struct epoll_event e = { 0 };

	pthread_barrier_wait(&ready);
	zoo_same(epoll_wait(ep, &e, 1, -1), 1);
	zoo_same(e.data.u64, 7);
	return arg;
}

static void *wait_event_timed(void *arg)
{
	struct epoll_event e;

	pthread_barrier_wait(&ready);
	zoo_same(epoll_wait(*(int *)arg, &e, 1, 600), 0);
	return arg;
}

static void *wait_signal(void *arg)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_barrier_wait(&ready);
	zoo_same(sigtimedwait(&set, NULL, NULL), SIGUSR1);
	return arg;
}

/* SIGUSR2 is let in only for the wait. */
static void *wait_interrupted(void *arg)
{
	struct epoll_event e;
	sigset_t set, now;

	sigfillset(&set);
	sigdelset(&set, SIGUSR2);
	pthread_barrier_wait(&ready);
	zoo_same(epoll_pwait(*(int *)arg, &e, 1, -1, &set), -1);
	zoo_same(errno, EINTR);
	zoo_same(handled, 1);
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	zoo_check(sigismember(&now, SIGUSR2) && !sigismember(&now, SIGWINCH),
		  "the mask is another");
	return arg;
}

int main(void)
{
	zoo_start();
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = 7 };
	struct sigaction act = { .sa_handler = handler };
	int fd = eventfd(0, 0), idle = epoll_create1(0);
	pthread_t t[4];
	sigset_t set;

	ep = epoll_create1(0);
	zoo_need(ep >= 0 && fd >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	zoo_need(sigprocmask(SIG_BLOCK, &set, NULL) == 0 && sigaction(SIGUSR2, &act, NULL) == 0);
	zoo_need(pthread_barrier_init(&ready, NULL, 5) == 0);
	zoo_need(pthread_create(&t[0], NULL, wait_event, NULL) == 0);
	zoo_need(pthread_create(&t[1], NULL, wait_event_timed, &idle) == 0);
	zoo_need(pthread_create(&t[2], NULL, wait_signal, NULL) == 0);
	zoo_need(pthread_create(&t[3], NULL, wait_interrupted, &idle) == 0);
	pthread_barrier_wait(&ready);
	zoo_ready();
	zoo_wait();
	zoo_same(handled, 0);
	zoo_same(pthread_kill(t[3], SIGUSR2), 0);
	zoo_same(pthread_join(t[3], NULL), 0);
	zoo_same(eventfd_write(fd, 1), 0);
	zoo_same(pthread_join(t[0], NULL), 0);
	zoo_same(pthread_kill(t[2], SIGUSR1), 0);
	zoo_same(pthread_join(t[2], NULL), 0);
	zoo_same(pthread_join(t[1], NULL), 0);
	return zoo_end();
}
