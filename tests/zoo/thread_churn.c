/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: busy */
/* Threads begin and end as fast as they can, from four threads at once. */
#include "zoo.h"

#include <pthread.h>
#include <stdatomic.h>

static atomic_ulong begun, ended;

static void *brief(void *arg)
{
	atomic_fetch_add(&ended, 1);
	return arg;
}

static void *maker(void *arg)
{
	pthread_t thread[4];

	while (!zoo_gone()) {
		for (int i = 0; i < 4; i++) {
			zoo_need(pthread_create(&thread[i], NULL, brief, NULL) == 0);
			atomic_fetch_add(&begun, 1);
		}
		for (int i = 0; i < 4; i++)
			zoo_need(pthread_join(thread[i], NULL) == 0);
	}
	return arg;
}

int main(void)
{
	pthread_t thread[3];

	zoo_start();
	for (int i = 0; i < 3; i++)
		zoo_need(pthread_create(&thread[i], NULL, maker, NULL) == 0);
	zoo_ready();
	maker(NULL);
	for (int i = 0; i < 3; i++)
		zoo_need(pthread_join(thread[i], NULL) == 0);
	zoo_same(begun, ended);
	return zoo_end();
}
