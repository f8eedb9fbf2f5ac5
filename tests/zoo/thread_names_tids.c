/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each thread keeps its tid, name, clear_child_tid and robust list; and both are acted on when it
 * ends. */
#include "zoo.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREADS 5

static struct {
	pid_t tid;
	int *tid_address;
	void *robust;
} thread_info[THREADS];

static pthread_mutex_t robust;
static volatile bool owner_has_it;

static void ask(int i, pid_t *tid, int **address, void **head, char name[16])
{
	size_t len;

	(void)i;
	*tid = (pid_t)syscall(SYS_gettid);
	zoo_need(prctl(PR_GET_TID_ADDRESS, address, 0, 0, 0) == 0);
	zoo_need(syscall(SYS_get_robust_list, 0, head, &len) == 0 && len == 24);
	zoo_need(prctl(PR_GET_NAME, name, 0, 0, 0) == 0);
}

static void *worker(void *arg)
{
	int i = (int)(intptr_t)arg, *address;
	char want[16] = "", name[16];
	void *head;
	pid_t tid;

	want[0] = (char)('A' + i);
	strcpy(want + 1, i % 2 ? " (odd) \n\xff" : "");
	zoo_need(prctl(PR_SET_NAME, want, 0, 0, 0) == 0);
	ask(i, &thread_info[i].tid, &thread_info[i].tid_address, &thread_info[i].robust, name);
	if (i == 1) {
		zoo_need(pthread_mutex_lock(&robust) == 0);
		owner_has_it = true;
	}
	zoo_wait();
	ask(i, &tid, &address, &head, name);
	zoo_same(tid, thread_info[i].tid);
	zoo_check(address == thread_info[i].tid_address, "thread %d: tid address %p", i,
		  (void *)address);
	zoo_check(head == thread_info[i].robust, "thread %d: robust list %p", i, head);
	zoo_check(!strcmp(name, want), "thread %d: name '%s'", i, name);
	return NULL; /* thread 1 dies as the owner of a robust mutex */
}

static bool thread_exists(int i)
{
	return syscall(SYS_tgkill, getpid(), thread_info[i].tid, 0) == 0 || errno != ESRCH;
}

int main(void)
{
	pthread_mutexattr_t attr;
	pthread_t thread[THREADS];
	int rc;

	zoo_start();
	pthread_mutexattr_init(&attr);
	zoo_need(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) == 0);
	zoo_need(pthread_mutex_init(&robust, &attr) == 0);
	for (int i = 1; i < THREADS; i++)
		zoo_need(pthread_create(&thread[i], NULL, worker, (void *)(intptr_t)i) == 0);
	while (!owner_has_it)
		zoo_sleep_ms(1);
	zoo_sleep_ms(10);
	zoo_ready();
	worker((void *)0);
	zoo_same(thread_info[0].tid, getpid());
	/* pthread_join waits for clear_child_tid. */
	for (int i = 1; i < THREADS; i++)
		zoo_need(pthread_join(thread[i], NULL) == 0);
	rc = pthread_mutex_lock(&robust);
	zoo_check(rc == EOWNERDEAD, "robust mutex of a dead owner: %s", strerror(rc));
	/* Joined, it may still be on its way out. */
	for (int i = 1; i < THREADS; i++) {
		for (int ms = 0; ms < 5000 && thread_exists(i); ms++)
			zoo_sleep_ms(1);
		zoo_check(!thread_exists(i), "thread %d still exists", i);
	}
	return zoo_end();
}
