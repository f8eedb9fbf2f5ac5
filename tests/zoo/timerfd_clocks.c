/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: gap=300 */
/*
 * Armed timers of all clocks: a relative time goes on with what was left, an absolute one is kept.
 * Timers that are not armed stay so, with their interval.
 */
#include "zoo.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define LEFT 1.5

static const struct {
	clockid_t clock, shown;
	const char *name;
} clocks[] = {
	{ CLOCK_REALTIME, CLOCK_REALTIME, "CLOCK_REALTIME" },
	{ CLOCK_MONOTONIC, CLOCK_MONOTONIC, "CLOCK_MONOTONIC" },
	{ CLOCK_BOOTTIME, CLOCK_BOOTTIME, "CLOCK_BOOTTIME" },
	{ CLOCK_REALTIME_ALARM, CLOCK_REALTIME, "CLOCK_REALTIME_ALARM" },
	{ CLOCK_BOOTTIME_ALARM, CLOCK_BOOTTIME, "CLOCK_BOOTTIME_ALARM" },
};

enum { N = sizeof(clocks) / sizeof(clocks[0]) };

static int relative[N], absolute[N], idle[N];
static double started, due[N];

static struct timespec seconds(double s)
{
	return (struct timespec){ (time_t)s, (long)((s - (double)(time_t)s) * 1e9) };
}

static double to_seconds(struct timespec t)
{
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void set_up(int i)
{
	struct itimerspec its = { .it_value = seconds(LEFT), .it_interval = { 30, 5 } };

	relative[i] = timerfd_create(clocks[i].clock, 0);
	absolute[i] = timerfd_create(clocks[i].clock, TFD_NONBLOCK);
	idle[i] = timerfd_create(clocks[i].clock, 0);
	if (relative[i] < 0 && errno == EPERM)
		zoo_skip("no right to wake the machine up");
	zoo_need(relative[i] >= 0 && absolute[i] >= 0 && idle[i] >= 0);
	zoo_need(timerfd_settime(relative[i], 0, &its, NULL) == 0);
	due[i] = zoo_now(clocks[i].shown) + 40;
	its.it_value = seconds(due[i]);
	zoo_need(timerfd_settime(absolute[i], TFD_TIMER_ABSTIME, &its, NULL) == 0);
	memset(&its.it_value, 0, sizeof(its.it_value));
	zoo_need(timerfd_settime(idle[i], 0, &its, NULL) == 0);
}

static void prove(int i)
{
	struct itimerspec now;
	double left;

	zoo_need(timerfd_gettime(absolute[i], &now) == 0);
	left = due[i] - zoo_now(clocks[i].shown);
	zoo_check(to_seconds(now.it_value) > left - 0.05 && to_seconds(now.it_value) < left + 0.05,
		  "%s: %f s until the absolute time, not %f", clocks[i].name,
		  to_seconds(now.it_value), left);
	zoo_same(now.it_interval.tv_sec, 30);
	zoo_same(now.it_interval.tv_nsec, 5);
	zoo_need(timerfd_gettime(idle[i], &now) == 0);
	zoo_same(now.it_value.tv_sec + now.it_value.tv_nsec, 0);
	zoo_same(now.it_interval.tv_sec, 30);
	zoo_same(now.it_interval.tv_nsec, 5);
}

/* They all expire LEFT after the start, the time that the process was dead not counted. */
static void wait_for(int i)
{
	struct itimerspec now;
	uint64_t ticks = 0;

	zoo_same(read(relative[i], &ticks, 8), 8);
	zoo_same(ticks, 1);
	zoo_check_took(clocks[i].name, zoo_now(CLOCK_MONOTONIC) - started, LEFT);
	zoo_need(timerfd_gettime(relative[i], &now) == 0);
	zoo_same(now.it_interval.tv_sec, 30);
	zoo_check(to_seconds(now.it_value) > 29.5, "%s: the next time is in %f s", clocks[i].name,
		  to_seconds(now.it_value));
}

int main(void)
{
	zoo_start();
	for (int i = 0; i < N; i++)
		set_up(i);
	started = zoo_now(CLOCK_MONOTONIC);
	zoo_ready();
	zoo_wait();
	for (int i = 0; i < N; i++)
		prove(i);
	for (int i = 0; i < N; i++)
		wait_for(i);
	return zoo_end();
}
