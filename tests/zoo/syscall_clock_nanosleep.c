/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: after=600 gap=700 */
/* Sleeps by clock_nanosleep: relative ones by several clocks, each with the time that was left. */
#include "zoo.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

static const clockid_t clock_of[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI };
static const char *const name[] = { "CLOCK_REALTIME", "CLOCK_MONOTONIC", "CLOCK_BOOTTIME",
				    "CLOCK_TAI" };
static double took[4];

static void *sleeper(void *arg)
{
	int i = (int)(intptr_t)arg, rc;
	struct timespec want = { .tv_sec = 2 }, left = { .tv_sec = 77 };
	double start = zoo_now(CLOCK_MONOTONIC);

	rc = clock_nanosleep(clock_of[i], 0, &want, &left);
	took[i] = zoo_now(CLOCK_MONOTONIC) - start;
	zoo_check(rc == 0, "clock %d: %s", clock_of[i], strerror(rc));
	return NULL;
}

int main(void)
{
	pthread_t thread[4];

	zoo_start();
	for (int i = 0; i < 4; i++)
		zoo_need(pthread_create(&thread[i], NULL, sleeper, (void *)(intptr_t)i) == 0);
	zoo_ready();
	for (int i = 0; i < 4; i++)
		zoo_need(pthread_join(thread[i], NULL) == 0);
	zoo_wait();
	for (int i = 0; i < 4; i++)
		zoo_check_took(name[i], took[i], 2);
	return zoo_end();
}
