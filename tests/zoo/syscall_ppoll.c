/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: after=600 gap=700 */
/* ppoll(2) with a time-out and a mask: time left, and the thread's own mask afterwards. */
#include "zoo.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static volatile int hits;

static void on_signal(int sig)
{
	hits += sig == SIGUSR1;
}

int main(void)
{
	struct timespec want = { .tv_sec = 2 };
	sigset_t own, during, now;
	int p[2], rc;
	double took;

	zoo_start();
	zoo_need(pipe(p) == 0);
	struct pollfd fd = { .fd = p[0], .events = POLLIN };

	signal(SIGUSR1, on_signal);
	sigemptyset(&own);
	sigaddset(&own, SIGUSR1);
	sigaddset(&own, SIGHUP);
	sigfillset(&during);
	zoo_need(sigprocmask(SIG_SETMASK, &own, NULL) == 0);
	/* Pending, and blocked during the call too: it must not come in early. */
	zoo_need(raise(SIGUSR1) == 0);
	zoo_ready();
	took = zoo_now(CLOCK_MONOTONIC);
	rc = ppoll(&fd, 1, &want, &during);
	took = zoo_now(CLOCK_MONOTONIC) - took;
	zoo_check(rc == 0, "ppoll gave %d: %s", rc, strerror(errno));
	zoo_same(hits, 0);
	zoo_need(sigprocmask(SIG_SETMASK, NULL, &now) == 0);
	zoo_check(sigismember(&now, SIGUSR1) && sigismember(&now, SIGHUP) &&
			  !sigismember(&now, SIGINT),
		  "the mask afterwards");
	sigemptyset(&own);
	zoo_need(sigprocmask(SIG_SETMASK, &own, NULL) == 0);
	zoo_same(hits, 1);
	zoo_wait();
	zoo_check_took("ppoll", took, 2);
	return zoo_end();
}
