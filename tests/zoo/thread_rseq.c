/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Restartable sequences stay registered, in every thread, at the same place and with the same
 * signature. */
#include "zoo.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct rseq *my_rseq(void)
{
	return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

static void *worker(void *arg)
{
	struct rseq *me = my_rseq();
	int moved = 0;

	zoo_wait();
	zoo_check((int32_t)me->cpu_id >= 0, "cpu_id %d: not registered", (int32_t)me->cpu_id);
	/* Registered already, with the same arguments: EBUSY; with others: EINVAL or EPERM. */
	zoo_check(syscall(SYS_rseq, me, 32, 0, RSEQ_SIG) < 0 && errno == EBUSY,
		  "a second registration: errno %d", errno);
	zoo_check(syscall(SYS_rseq, me, 32, 0, RSEQ_SIG + 1) < 0 && errno == EPERM,
		  "another signature: errno %d", errno);
	/* The kernel keeps it up to date. */
	for (int cpu = 0; cpu < 64; cpu++) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		if (sched_setaffinity(0, sizeof(set), &set) < 0)
			continue;
		zoo_same(me->cpu_id, cpu);
		zoo_same(sched_getcpu(), cpu);
		moved++;
	}
	zoo_check(moved > 0, "no cpu");
	return arg;
}

int main(void)
{
	pthread_t thread[4];

	zoo_start();
	if (__rseq_size == 0)
		zoo_skip("glibc did not register rseq");
	for (int i = 0; i < 4; i++)
		zoo_need(pthread_create(&thread[i], NULL, worker, NULL) == 0);
	zoo_sleep_ms(10);
	zoo_ready();
	worker(NULL);
	for (int i = 0; i < 4; i++)
		zoo_need(pthread_join(thread[i], NULL) == 0);
	return zoo_end();
}
