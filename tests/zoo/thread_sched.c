/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Per thread: scheduling class and priority, nice, affinity, timer slack, io priority. */
#include "zoo.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SCHED_RESET_ON_FORK
#define SCHED_RESET_ON_FORK 0x40000000
#endif

#define IOPRIO(class, level) ((class) << 13 | (level))

static const struct {
	const char *name;
	int policy, priority, nice, ioprio;
	unsigned long slack;
} row[] = {
	{ "plain", SCHED_OTHER, 0, 0, 0, 50000 },
	{ "nice", SCHED_OTHER, 0, 7, IOPRIO(2, 6), 12345 },
	{ "eager", SCHED_OTHER, 0, -5, IOPRIO(1, 3), 1 },
	{ "batch", SCHED_BATCH, 0, 3, IOPRIO(3, 0), 999999 },
	{ "idle", SCHED_IDLE, 0, 0, 0, 50000 },
	{ "fifo", SCHED_FIFO, 11, 0, 0, 50000 },
	{ "round-robin", SCHED_RR, 12, 2, 0, 50000 },
	{ "reset on fork", SCHED_BATCH | SCHED_RESET_ON_FORK, 0, 1, 0, 50000 },
};

#define ROWS (int)(sizeof(row) / sizeof(row[0]))

struct sched_view {
	int policy, priority, nice, ioprio, slack;
	cpu_set_t cpus;
};

static void look(struct sched_view *v)
{
	struct sched_param param;

	memset(v, 0, sizeof(*v));
	v->policy = sched_getscheduler(0);
	zoo_need(v->policy >= 0 && sched_getparam(0, &param) == 0);
	v->priority = param.sched_priority;
	v->nice = (int)syscall(SYS_getpriority, PRIO_PROCESS, 0);
	v->ioprio = (int)syscall(SYS_ioprio_get, 1, 0);
	v->slack = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
	zoo_need(sched_getaffinity(0, sizeof(v->cpus), &v->cpus) == 0);
}

static void *worker(void *arg)
{
	int i = (int)(intptr_t)arg, cpu = i % (int)sysconf(_SC_NPROCESSORS_ONLN);
	struct sched_param param = { .sched_priority = row[i].priority };
	struct sched_view before, now;
	cpu_set_t one;

	zoo_need(prctl(PR_SET_TIMERSLACK, row[i].slack, 0, 0, 0) == 0);
	zoo_need(setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), row[i].nice) == 0);
	if (sched_setscheduler(0, row[i].policy, &param) < 0)
		zoo_log("note: %s: %s", row[i].name, strerror(errno));
	if (row[i].ioprio)
		zoo_need(syscall(SYS_ioprio_set, 1, 0, row[i].ioprio) == 0);
	if (i % 2) {
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		zoo_need(sched_setaffinity(0, sizeof(one), &one) == 0);
	}
	look(&before);
	zoo_wait();
	look(&now);
	zoo_check(now.policy == before.policy, "%s: policy %d, was %d", row[i].name, now.policy,
		  before.policy);
	zoo_check(now.priority == before.priority, "%s: priority %d", row[i].name, now.priority);
	zoo_check(now.nice == before.nice, "%s: nice %d, was %d", row[i].name, 20 - now.nice,
		  20 - before.nice);
	zoo_check(now.ioprio == before.ioprio, "%s: io priority %#x, was %#x", row[i].name,
		  now.ioprio, before.ioprio);
	zoo_check(now.slack == before.slack, "%s: timer slack %d, was %d", row[i].name, now.slack,
		  before.slack);
	zoo_check(CPU_EQUAL(&now.cpus, &before.cpus), "%s: affinity", row[i].name);
	return NULL;
}

int main(void)
{
	pthread_t thread[ROWS];

	zoo_start();
	for (int i = 1; i < ROWS; i++)
		zoo_need(pthread_create(&thread[i], NULL, worker, (void *)(intptr_t)i) == 0);
	zoo_sleep_ms(30);
	zoo_ready();
	worker((void *)0);
	for (int i = 1; i < ROWS; i++)
		zoo_need(pthread_join(thread[i], NULL) == 0);
	return zoo_end();
}
