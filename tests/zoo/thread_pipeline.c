/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: busy timeout=60 */
/* 200 threads in a row, each with a queue guarded by a mutex and two condition variables; what
 * comes out at the end is known. With a number as argument: so many items, progress to standard
 * output, and no runner (tests/e2e/real_programs uses it so). */
#include "zoo.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define STAGES 200
#define ROOM   8

static struct stage {
	pthread_mutex_t lock;
	pthread_cond_t not_empty, not_full;
	uint64_t item[ROOM];
	unsigned int first, n;
} stage[STAGES + 1];

static unsigned long items = 4000;

static uint64_t change(uint64_t v, unsigned int by)
{
	v ^= v >> 31;
	v *= 0x9e3779b97f4a7c15ULL + 2 * by;
	return v ^ (v >> 29);
}

static void put(struct stage *s, uint64_t v)
{
	pthread_mutex_lock(&s->lock);
	while (s->n == ROOM)
		pthread_cond_wait(&s->not_full, &s->lock);
	s->item[(s->first + s->n++) % ROOM] = v;
	pthread_cond_signal(&s->not_empty);
	pthread_mutex_unlock(&s->lock);
}

static uint64_t get(struct stage *s)
{
	uint64_t v;

	pthread_mutex_lock(&s->lock);
	while (s->n == 0)
		pthread_cond_wait(&s->not_empty, &s->lock);
	v = s->item[s->first];
	s->first = (s->first + 1) % ROOM;
	s->n--;
	pthread_cond_signal(&s->not_full);
	pthread_mutex_unlock(&s->lock);
	return v;
}

static void *worker(void *arg)
{
	struct stage *me = arg;

	for (unsigned long i = 0; i < items; i++)
		put(me + 1, change(get(me), (unsigned int)(me - stage)));
	return NULL;
}

static void *feeder(void *arg)
{
	for (unsigned long i = 0; i < items; i++)
		put(&stage[0], i);
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t thread[STAGES], feeding;
	uint64_t sum = 0, want = 0;
	bool alone = argc > 1;

	if (alone)
		items = strtoul(argv[1], NULL, 10);
	else
		zoo_start();
	for (int i = 0; i <= STAGES; i++) {
		pthread_mutex_init(&stage[i].lock, NULL);
		pthread_cond_init(&stage[i].not_empty, NULL);
		pthread_cond_init(&stage[i].not_full, NULL);
	}
	for (int i = 0; i < STAGES; i++)
		zoo_need(pthread_create(&thread[i], NULL, worker, &stage[i]) == 0);
	zoo_need(pthread_create(&feeding, NULL, feeder, NULL) == 0);
	if (!alone)
		zoo_ready();
	for (unsigned long i = 0; i < items; i++) {
		sum = change(sum ^ get(&stage[STAGES]), 1);
		if (alone && i % 100 == 99)
			printf("%lu %016llx\n", i + 1, (unsigned long long)sum);
	}
	for (int i = 0; i < STAGES; i++)
		pthread_join(thread[i], NULL);
	pthread_join(feeding, NULL);
	for (unsigned long i = 0; i < items; i++) {
		uint64_t v = i;

		for (unsigned int s = 0; s < STAGES; s++)
			v = change(v, s);
		want = change(want ^ v, 1);
	}
	if (alone) {
		printf("%s\n", sum == want ? "right" : "wrong");
		return sum != want;
	}
	zoo_wait();
	zoo_check(sum == want, "what came out is wrong");
	return zoo_end();
}
