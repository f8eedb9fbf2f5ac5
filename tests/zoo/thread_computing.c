/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: busy */
/* A thread that only computes, and makes hardly any system call. */
#include "zoo.h"

#include <pthread.h>

static volatile unsigned long work_a, work_b;

static void *worker(void *arg)
{
	while (!zoo_gone())
		for (int i = 0; i < 1000; i++) {
			work_a++;
			work_b++;
		}
	return arg;
}

int main(void)
{
	pthread_t thread;

	zoo_start();
	zoo_need(pthread_create(&thread, NULL, worker, NULL) == 0);
	zoo_ready();
	zoo_wait();
	zoo_need(pthread_join(thread, NULL) == 0);
	zoo_same(work_a, work_b);
	return zoo_end();
}
