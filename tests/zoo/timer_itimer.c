/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Interval timers: real, virtual and profiling, with what is left and their interval; and they
 * fire. */
#include "zoo.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

static volatile int hits[65];

static void on_signal(int sig)
{
	hits[sig]++;
}

static double seconds(const struct timeval *tv)
{
	return (double)tv->tv_sec + (double)tv->tv_usec / 1e6;
}

int main(void)
{
	static const int which[] = { ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF };
	static const struct itimerval set[] = {
		{ .it_value = { 1000, 0 }, .it_interval = { 0, 250000 } },
		{ .it_value = { 500, 1 }, .it_interval = { 7, 3 } },
		{ .it_value = { 0, 700000 }, .it_interval = { 0, 0 } },
	};
	struct itimerval now, soon = { .it_value = { 0, 20000 } };
	double start, lived;

	zoo_start();
	signal(SIGALRM, on_signal);
	signal(SIGVTALRM, on_signal);
	signal(SIGPROF, on_signal);
	for (int i = 0; i < 3; i++)
		zoo_need(setitimer(which[i], &set[i], NULL) == 0);
	start = zoo_now(CLOCK_MONOTONIC);
	zoo_ready();
	zoo_wait();

	lived = zoo_now(CLOCK_MONOTONIC) - start - zoo_dead();
	for (int i = 0; i < 3; i++) {
		double left;

		zoo_need(getitimer(which[i], &now) == 0);
		left = seconds(&now.it_value);
		/* Interval timers of CPU time are rounded to a tick. */
		zoo_check(now.it_interval.tv_sec == set[i].it_interval.tv_sec &&
				  labs(now.it_interval.tv_usec - set[i].it_interval.tv_usec) < 4000,
			  "timer %d: interval %.6f", i, seconds(&now.it_interval));
		if (i == 0)
			zoo_check(left < 1000 - lived + 0.45 && left > 1000 - lived - 0.45,
				  "real: %.3f s left after %.3f s", left, lived);
		if (i == 1)
			zoo_check(left > 495 && left <= 500.1, "virtual: %.3f s left", left);
		if (i == 2)
			zoo_check(left > 0.1 && left <= 0.72, "profiling: %.3f s left", left);
	}
	/* The profiling timer fires once this has used enough CPU time, and then not again. */
	start = zoo_now(CLOCK_PROCESS_CPUTIME_ID);
	while (!hits[SIGPROF] && zoo_now(CLOCK_PROCESS_CPUTIME_ID) < start + 3)
		continue;
	zoo_same(hits[SIGPROF], 1);
	zoo_check(zoo_now(CLOCK_PROCESS_CPUTIME_ID) - start < 1, "the profiling timer fired late");
	zoo_need(getitimer(ITIMER_PROF, &now) == 0);
	zoo_same(now.it_value.tv_usec, 0);
	zoo_same(hits[SIGALRM], 0);
	zoo_need(setitimer(ITIMER_REAL, &soon, NULL) == 0);
	while (!hits[SIGALRM])
		zoo_sleep_ms(5);
	return zoo_end();
}
