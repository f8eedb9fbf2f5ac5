/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: busy */
/* 200 threads that pass tokens around a ring by mutexes and condition variables, all the time. */
#include "zoo.h"

#include <pthread.h>
#include <stdatomic.h>

#define THREADS 200
#define TOKENS	20

static struct cell {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int tokens;
	uint64_t sum; /* of all that passed here */
	bool closing;
} cell[THREADS];

static atomic_bool stop;
static atomic_ullong passes;

static void *pass_on(void *arg)
{
	struct cell *me = arg, *next = &cell[(me - cell + 1) % THREADS];

	for (;;) {
		pthread_mutex_lock(&me->lock);
		while (!me->tokens && !me->closing)
			pthread_cond_wait(&me->changed, &me->lock);
		if (atomic_load(&stop)) {
			pthread_mutex_unlock(&me->lock);
			return NULL;
		}
		me->tokens--;
		me->sum++;
		pthread_mutex_unlock(&me->lock);

		pthread_mutex_lock(&next->lock);
		next->tokens++;
		pthread_cond_signal(&next->changed);
		pthread_mutex_unlock(&next->lock);
		atomic_fetch_add(&passes, 1);
	}
}

int main(void)
{
	pthread_t thread[THREADS];
	unsigned long long sum = 0, before;
	int tokens = 0;

	zoo_start();
	for (int i = 0; i < THREADS; i++) {
		pthread_mutex_init(&cell[i].lock, NULL);
		pthread_cond_init(&cell[i].changed, NULL);
		cell[i].tokens = i % (THREADS / TOKENS) == 0;
	}
	for (int i = 0; i < THREADS; i++)
		zoo_need(pthread_create(&thread[i], NULL, pass_on, &cell[i]) == 0);
	while (atomic_load(&passes) < 1000)
		zoo_sleep_ms(1);
	zoo_ready();
	zoo_wait();

	zoo_same(zoo_number("/proc/self/status", "Threads"), THREADS + 1);
	before = atomic_load(&passes);
	for (int i = 0; i < 5000 && atomic_load(&passes) < before + 10000; i++)
		zoo_sleep_ms(1);
	zoo_check(atomic_load(&passes) >= before + 10000, "only %llu passes since",
		  atomic_load(&passes) - before);
	atomic_store(&stop, true);
	for (int i = 0; i < THREADS; i++) {
		pthread_mutex_lock(&cell[i].lock);
		cell[i].closing = true;
		pthread_cond_broadcast(&cell[i].changed);
		pthread_mutex_unlock(&cell[i].lock);
	}
	for (int i = 0; i < THREADS; i++) {
		zoo_need(pthread_join(thread[i], NULL) == 0);
		tokens += cell[i].tokens;
		sum += cell[i].sum;
	}
	zoo_same(tokens, TOKENS);
	zoo_same(sum, atomic_load(&passes));
	return zoo_end();
}
