/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A timer that expires every 50 us: read all the time by one thread, left alone by another. */
#include "zoo.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/timerfd.h>
#include <unistd.h>

static int fd;
static volatile bool stop;
static long long all;

static void *reader(void *arg)
{
	while (!stop) {
		uint64_t n = 0;

		zoo_same(read(fd, &n, 8), 8);
		zoo_check(n > 0, "nothing was read");
		all += (long long)n;
	}
	return arg;
}

int main(void)
{
	zoo_start();
	struct itimerspec its = { { 0, 50000 }, { 0, 50000 } };
	uint64_t n = 0;
	pthread_t thread;
	int other;
	double start;

	fd = timerfd_create(CLOCK_MONOTONIC, 0);
	other = timerfd_create(CLOCK_MONOTONIC, 0);
	zoo_need(fd >= 0 && other >= 0);
	start = zoo_now(CLOCK_MONOTONIC);
	zoo_need(timerfd_settime(fd, 0, &its, NULL) == 0);
	zoo_need(timerfd_settime(other, 0, &its, NULL) == 0);
	zoo_need(pthread_create(&thread, NULL, reader, NULL) == 0);
	zoo_ready();
	zoo_wait();
	stop = true;
	zoo_same(pthread_join(thread, NULL), 0);
	zoo_same(read(other, &n, 8), 8);
	double lived = zoo_now(CLOCK_MONOTONIC) - start;
	double least = (lived - zoo_dead()) / 50e-6 - 100, most = lived / 50e-6 + 1;

	zoo_check((double)n >= least && (double)n <= most, "%llu expirations, not %f to %f",
		  (unsigned long long)n, least, most);
	zoo_check((double)all >= least && (double)all <= most, "%lld expirations, not %f to %f",
		  all, least, most);
	return zoo_end();
}
