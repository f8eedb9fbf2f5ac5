/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads that wait for signals: pause, sigsuspend, sigwaitinfo, sigtimedwait; each goes on
 * waiting. */
#include "zoo.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static atomic_int done;
static __thread int hits;

static void on_signal(int sig)
{
	hits += sig;
}

static void *in_pause(void *arg)
{
	int rc = pause();

	zoo_check(rc == -1 && errno == EINTR && hits == SIGUSR1, "pause: %d %s, signal %d", rc,
		  strerror(errno), hits);
	atomic_fetch_add(&done, 1);
	return arg;
}

static void *in_sigsuspend(void *arg)
{
	sigset_t own, during, now;
	int rc;

	sigemptyset(&own);
	sigaddset(&own, SIGUSR1);
	sigaddset(&own, SIGWINCH);
	zoo_need(pthread_sigmask(SIG_SETMASK, &own, NULL) == 0);
	sigemptyset(&during);
	sigaddset(&during, SIGHUP);
	rc = sigsuspend(&during);
	zoo_check(rc == -1 && errno == EINTR && hits == SIGUSR1, "sigsuspend: %d %s, signal %d", rc,
		  strerror(errno), hits);
	zoo_need(pthread_sigmask(SIG_SETMASK, NULL, &now) == 0);
	zoo_check(sigismember(&now, SIGUSR1) && sigismember(&now, SIGWINCH) &&
			  !sigismember(&now, SIGHUP),
		  "the mask after sigsuspend");
	atomic_fetch_add(&done, 1);
	return arg;
}

static void wait_info(bool timed)
{
	struct timespec hour = { .tv_sec = 3600 };
	sigset_t set, now;
	siginfo_t info;
	int rc;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	zoo_need(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
	/* signal(7): a stop by a tracer gives EINTR here even without any checkpoint. */
	do
		rc = timed ? sigtimedwait(&set, &info, &hour) : sigwaitinfo(&set, &info);
	while (rc < 0 && errno == EINTR);
	zoo_check(rc == SIGUSR1 && info.si_pid == getpid(), "signal wait: %d %s", rc,
		  strerror(errno));
	zoo_same(hits, 0);
	zoo_need(pthread_sigmask(SIG_SETMASK, NULL, &now) == 0);
	zoo_check(sigismember(&now, SIGUSR1), "the mask after a signal wait");
	atomic_fetch_add(&done, 1);
}

static void *in_sigwaitinfo(void *arg)
{
	wait_info(false);
	return arg;
}

static void *in_sigtimedwait(void *arg)
{
	wait_info(true);
	return arg;
}

int main(void)
{
	static void *(*const waiter[])(void *) = { in_pause, in_sigsuspend, in_sigwaitinfo,
						   in_sigtimedwait };
	pthread_t thread[4];

	zoo_start();
	signal(SIGUSR1, on_signal);
	for (int i = 0; i < 4; i++)
		zoo_need(pthread_create(&thread[i], NULL, waiter[i], NULL) == 0);
	zoo_sleep_ms(50);
	zoo_ready();
	zoo_wait();
	zoo_sleep_ms(20);
	zoo_same(atomic_load(&done), 0);
	for (int i = 0; i < 4; i++) {
		zoo_need(pthread_kill(thread[i], SIGUSR1) == 0);
		zoo_need(pthread_join(thread[i], NULL) == 0);
	}
	zoo_same(atomic_load(&done), 4);
	return zoo_end();
}
