/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: after=600 gap=700 */
/* Waits on futexes with a time-out: relative, absolute by two clocks, sem_timedwait,
 * pthread_cond_timedwait. */
#include "zoo.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int word = 5;

static struct timespec from_now(clockid_t clock, double seconds)
{
	double until = zoo_now(clock) + seconds;
	struct timespec ts = { .tv_sec = (time_t)until };

	ts.tv_nsec = (long)((until - (double)ts.tv_sec) * 1e9);
	return ts;
}

static void *relative(void *arg)
{
	struct timespec want = { .tv_sec = 2 };
	double took = zoo_now(CLOCK_MONOTONIC);
	long rc = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 5, &want, NULL, 0);

	took = zoo_now(CLOCK_MONOTONIC) - took;
	zoo_check(rc < 0 && errno == ETIMEDOUT, "FUTEX_WAIT: %s", strerror(errno));
	zoo_wait();
	zoo_check_took("FUTEX_WAIT", took, 2);
	return arg;
}

/* Absolute ones end at their point in time, or as soon as the process is back. */
static void check_until(const char *what, clockid_t clock, const struct timespec *until)
{
	double late = zoo_now(clock) - ((double)until->tv_sec + (double)until->tv_nsec / 1e9);

	zoo_check(late > -1e-5, "%s ended %.3f s early", what, -late);
	zoo_wait();
	zoo_check(late < zoo_dead() + 0.45, "%s ended %.3f s late", what, late);
}

static void *bitset_monotonic(void *arg)
{
	struct timespec until = from_now(CLOCK_MONOTONIC, 2);
	long rc = syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, 5, &until, NULL, 4);

	zoo_check(rc < 0 && errno == ETIMEDOUT, "FUTEX_WAIT_BITSET: %s", strerror(errno));
	check_until("FUTEX_WAIT_BITSET", CLOCK_MONOTONIC, &until);
	return arg;
}

static void *bitset_realtime(void *arg)
{
	struct timespec until = from_now(CLOCK_REALTIME, 2);
	long rc = syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 5,
			  &until, NULL, 4);

	zoo_check(rc < 0 && errno == ETIMEDOUT, "FUTEX_WAIT_BITSET: %s", strerror(errno));
	check_until("FUTEX_WAIT_BITSET by the time of day", CLOCK_REALTIME, &until);
	return arg;
}

static void *semaphore(void *arg)
{
	struct timespec until = from_now(CLOCK_REALTIME, 2);
	sem_t sem;
	int rc;

	zoo_need(sem_init(&sem, 0, 0) == 0);
	rc = sem_timedwait(&sem, &until);
	zoo_check(rc < 0 && errno == ETIMEDOUT, "sem_timedwait: %s", strerror(errno));
	check_until("sem_timedwait", CLOCK_REALTIME, &until);
	return arg;
}

static void *condition(void *arg)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_condattr_t attr;
	pthread_cond_t cond;
	struct timespec until;
	int rc;

	pthread_condattr_init(&attr);
	zoo_need(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
	zoo_need(pthread_cond_init(&cond, &attr) == 0);
	pthread_mutex_lock(&lock);
	until = from_now(CLOCK_MONOTONIC, 2);
	do
		rc = pthread_cond_timedwait(&cond, &lock, &until);
	while (rc == 0);
	zoo_check(rc == ETIMEDOUT, "pthread_cond_timedwait: %s", strerror(rc));
	pthread_mutex_unlock(&lock);
	check_until("pthread_cond_timedwait", CLOCK_MONOTONIC, &until);
	return arg;
}

int main(void)
{
	static void *(*const waiter[])(void *) = { relative, bitset_monotonic, bitset_realtime,
						   semaphore, condition };
	pthread_t thread[5];

	zoo_start();
	for (int i = 0; i < 5; i++)
		zoo_need(pthread_create(&thread[i], NULL, waiter[i], NULL) == 0);
	zoo_ready();
	for (int i = 0; i < 5; i++)
		zoo_need(pthread_join(thread[i], NULL) == 0);
	return zoo_end();
}
