// SPDX-License-Identifier: LGPL-2.1-or-later
/* COUNT threads, all but the first one asleep in futex(2). */
#include "target.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

static uint32_t word;
static atomic_long started;

static void *sleeper(void *arg)
{
	atomic_fetch_add(&started, 1);
	for (;;)
		syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	return arg;
}

int main(int argc, char **argv)
{
	long n = target_count(argc, argv);
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	for (long i = 1; i < n; i++) {
		pthread_t t;

		if (pthread_create(&t, &attr, sleeper, NULL))
			errx(1, "pthread_create");
	}
	while (atomic_load(&started) < n - 1)
		usleep(1000);
	usleep(20000); /* let the last one get from its counter to its futex */
	target_ready_and_sleep(argv);
}
