/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: after=600 gap=700 */
/* A sleep until a point in time ends at that point, or at once when it has passed, without EINTR.
 */
#include "zoo.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

static const clockid_t clock_of[] = { CLOCK_REALTIME, CLOCK_MONOTONIC };

static void *sleeper(void *arg)
{
	clockid_t clock = clock_of[(intptr_t)arg];
	double until = zoo_now(clock) + 2, now;
	struct timespec want = { .tv_sec = (time_t)until };
	int rc;

	want.tv_nsec = (long)((until - (double)want.tv_sec) * 1e9);
	rc = clock_nanosleep(clock, TIMER_ABSTIME, &want, NULL);
	now = zoo_now(clock);
	zoo_check(rc == 0, "clock %d: %s", clock, strerror(rc));
	zoo_check(now >= until - 1e-5, "clock %d: %.3f s early", clock, until - now);
	zoo_wait();
	/* The process may have been dead at that point. */
	zoo_check(now <= until + zoo_dead() + 0.45, "clock %d: %.3f s late", clock, now - until);
	return NULL;
}

int main(void)
{
	pthread_t thread[2];

	zoo_start();
	for (int i = 0; i < 2; i++)
		zoo_need(pthread_create(&thread[i], NULL, sleeper, (void *)(intptr_t)i) == 0);
	zoo_ready();
	for (int i = 0; i < 2; i++)
		zoo_need(pthread_join(thread[i], NULL) == 0);
	return zoo_end();
}
