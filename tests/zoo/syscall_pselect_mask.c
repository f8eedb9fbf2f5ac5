/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: after=600 gap=700 */
/* pselect(2) with a mask of its own: a signal that only the call lets in ends it, and the old mask
 * is back. */
#include "zoo.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/select.h>

static volatile int hits;
static pthread_t main_thread;

static void on_signal(int sig)
{
	hits += sig == SIGUSR1;
}

static void *sender(void *arg)
{
	zoo_wait();
	zoo_need(pthread_kill(main_thread, SIGUSR1) == 0);
	return arg;
}

int main(void)
{
	struct timespec want = { .tv_sec = 2 };
	sigset_t own, during, now;
	pthread_t thread;
	double took;
	int rc;

	zoo_start();
	main_thread = pthread_self();
	signal(SIGUSR1, on_signal);
	sigemptyset(&own);
	sigaddset(&own, SIGUSR1);
	sigaddset(&own, SIGUSR2);
	zoo_need(pthread_sigmask(SIG_SETMASK, &own, NULL) == 0);
	sigemptyset(&during);
	zoo_need(pthread_create(&thread, NULL, sender, NULL) == 0);
	zoo_ready();
	/* First one that times out (nobody sends before that, unless the runner is in a hurry) ...
	 */
	took = zoo_now(CLOCK_MONOTONIC);
	rc = pselect(0, NULL, NULL, NULL, &want, &own);
	took = zoo_now(CLOCK_MONOTONIC) - took;
	zoo_check(rc == 0, "pselect gave %d: %s", rc, strerror(errno));
	/* ... then one that waits for good. */
	rc = pselect(0, NULL, NULL, NULL, NULL, &during);
	zoo_check(rc < 0 && errno == EINTR, "pselect gave %d: %s", rc, strerror(errno));
	zoo_same(hits, 1);
	zoo_need(pthread_sigmask(SIG_SETMASK, NULL, &now) == 0);
	zoo_check(sigismember(&now, SIGUSR1) && sigismember(&now, SIGUSR2) &&
			  !sigismember(&now, SIGINT),
		  "the mask afterwards");
	zoo_need(pthread_join(thread, NULL) == 0);
	zoo_check_took("pselect", took, 2);
	return zoo_end();
}
