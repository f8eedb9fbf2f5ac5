/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processes with threads that have children: made by a thread other than the leader, by one that
 * ended since; children with threads themselves; each thread waits for its own child.
 */
#include "zoo.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N = 4 };

static atomic_int *alive; /* threads of the children that go on */
static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
static pid_t child[N];

static void *work(void *arg)
{
	pid_t tid = gettid();

	atomic_fetch_add(alive, 1);
	zoo_wait();
	zoo_same(gettid(), tid);
	zoo_same(getppid(), (pid_t)(intptr_t)arg);
	return NULL;
}

static void with_threads(int n)
{
	pthread_t t[N];
	pid_t parent = getppid();

	for (int i = 0; i < n; i++)
		zoo_need(pthread_create(&t[i], NULL, work, (void *)(intptr_t)parent) == 0);
	zoo_here();
	for (int i = 0; i < n; i++)
		zoo_need(pthread_join(t[i], NULL) == 0);
	zoo_leave();
}

static void make_child(int i)
{
	/* One at a time: what they have in common is for one. */
	pthread_mutex_lock(&one);
	child[i] = zoo_fork();
	if (child[i] == 0)
		with_threads(i);
	pthread_mutex_unlock(&one);
}

static void *makes_and_waits(void *arg)
{
	int i = (int)(intptr_t)arg;

	make_child(i);
	zoo_join(child[i]); /* it stands in wait4(2) */
	return NULL;
}

static void *makes(void *arg)
{
	make_child((int)(intptr_t)arg);
	return NULL;
}

int main(void)
{
	pthread_t t[N];

	zoo_start();
	alive = zoo_shared(sizeof(*alive));
	for (intptr_t i = 0; i < N; i++)
		zoo_need(pthread_create(&t[i], NULL, i % 2 ? makes_and_waits : makes, (void *)i) ==
			 0);
	for (int i = 0; i < N; i += 2)
		zoo_need(pthread_join(t[i], NULL) == 0);
	while (atomic_load(alive) < 0 + 1 + 2 + 3)
		zoo_sleep_ms(1);
	zoo_ready();
	zoo_wait();
	for (int i = 0; i < N; i += 2)
		zoo_join(child[i]);
	for (int i = 1; i < N; i += 2)
		zoo_need(pthread_join(t[i], NULL) == 0);
	return zoo_end();
}
