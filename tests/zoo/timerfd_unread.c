/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: gap=400 */
/*
 * Expirations that nobody has read: of one-shot and periodic timers, relative and absolute, rested
 * and asked about before. Those of a relative timer do not count the time in which the process did
 * not exist, those of an absolute one do.
 */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define PERIOD 0.02

static int make(clockid_t clock, int flags, long first_ns, long every_ns)
{
	struct itimerspec its = { .it_interval = { every_ns / 1000000000, every_ns % 1000000000 },
				  .it_value = { 0, first_ns } };
	int fd = timerfd_create(clock, TFD_NONBLOCK);
	struct timespec now;

	if (flags & TFD_TIMER_ABSTIME) {
		clock_gettime(clock, &now);
		its.it_value = now;
	}
	zoo_need(fd >= 0 && timerfd_settime(fd, flags, &its, NULL) == 0);
	return fd;
}

static void wait_for(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	zoo_need(poll(&p, 1, 5000) == 1);
}

static long long ticks(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, 8) == 8 ? (long long)n : -errno;
}

/* The flags as /proc tells them: an absolute time is no relative one afterwards. */
static long long settime_flags(int fd)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	return zoo_number(path, "settime flags");
}

int main(void)
{
	zoo_start();
	const int cancel = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
	int once = make(CLOCK_MONOTONIC, 0, 1, 0), once_read = make(CLOCK_BOOTTIME, 0, 1, 0);
	int once_absolute = make(CLOCK_REALTIME, cancel, 0, 0);
	int fast = make(CLOCK_MONOTONIC, 0, 1, (long)(PERIOD * 1e9));
	int fast_absolute = make(CLOCK_REALTIME, TFD_TIMER_ABSTIME, 0, (long)(PERIOD * 1e9));
	int slow = make(CLOCK_MONOTONIC, 0, 1, 3600000000000), asked;
	double start = zoo_now(CLOCK_MONOTONIC), end;
	struct itimerspec its;
	long long n, all;

	wait_for(once);
	wait_for(once_read);
	zoo_need(ticks(once_read) == 1);
	wait_for(once_absolute);
	wait_for(fast);
	wait_for(fast_absolute);
	wait_for(slow);
	/* Asked, it is set going again, with what it has counted. */
	asked = make(CLOCK_MONOTONIC, 0, 1, 3600000000000);
	wait_for(asked);
	zoo_need(timerfd_gettime(asked, &its) == 0 && its.it_value.tv_sec > 3500);
	zoo_ready();
	zoo_wait();
	end = zoo_now(CLOCK_MONOTONIC);
	n = ticks(fast);
	all = (long long)((end - start) / PERIOD) + 1;
	zoo_check(n <= all - (long long)(zoo_dead() / PERIOD / 2) + 1,
		  "%lld of %lld expirations, dead %f s", n, all, zoo_dead());
	zoo_check(n >= all - (long long)(zoo_dead() / PERIOD) - 2,
		  "%lld of %lld expirations, dead %f s", n, all, zoo_dead());
	n = ticks(fast_absolute);
	all = (long long)((zoo_now(CLOCK_MONOTONIC) - start) / PERIOD) + 1;
	zoo_check(n >= all - 2 && n <= all + 1, "%lld of %lld expirations, by absolute time", n,
		  all);
	zoo_same(ticks(once), 1);
	zoo_same(ticks(once), -EAGAIN);
	zoo_same(ticks(once_read), -EAGAIN);
	zoo_same(ticks(once_absolute), 1);
	zoo_same(ticks(slow), 1);
	zoo_same(ticks(asked), 1);
	zoo_need(timerfd_gettime(slow, &its) == 0);
	zoo_check(its.it_value.tv_sec > 3500, "the next time is in %ld s",
		  (long)its.it_value.tv_sec);
	zoo_need(timerfd_gettime(once, &its) == 0);
	zoo_same(its.it_value.tv_sec + its.it_value.tv_nsec, 0);
	zoo_same(settime_flags(fast), 0);
	zoo_same(settime_flags(fast_absolute), 1);
	zoo_same(settime_flags(once_absolute), 3);
	return zoo_end();
}
