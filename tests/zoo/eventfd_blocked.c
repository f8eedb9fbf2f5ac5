/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A thread blocked in read(2), another in write(2), of an eventfd. */
#include "zoo.h"

#include <pthread.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int to_read, to_write;
static uint64_t got;

static void *reader(void *arg)
{
	zoo_same(read(to_read, &got, 8), 8);
	return arg;
}

static void *writer(void *arg)
{
	uint64_t v = 10;

	zoo_same(write(to_write, &v, 8), 8);
	return arg;
}

int main(void)
{
	zoo_start();
	uint64_t v = UINT64_MAX - 5;
	pthread_t t[2];

	to_read = eventfd(0, 0);
	to_write = eventfd(0, 0);
	zoo_need(to_read >= 0 && to_write >= 0 && write(to_write, &v, 8) == 8);
	zoo_need(pthread_create(&t[0], NULL, reader, NULL) == 0);
	zoo_need(pthread_create(&t[1], NULL, writer, NULL) == 0);
	zoo_ready();
	zoo_wait();
	zoo_same(got, 0);
	v = 3;
	zoo_same(write(to_read, &v, 8), 8);
	zoo_same(pthread_join(t[0], NULL), 0);
	zoo_same(got, 3);
	zoo_same(read(to_write, &v, 8), 8);
	zoo_check(v == UINT64_MAX - 5, "the full one gave %#llx", (unsigned long long)v);
	zoo_same(pthread_join(t[1], NULL), 0);
	zoo_same(read(to_write, &v, 8), 8);
	zoo_same(v, 10);
	return zoo_end();
}
