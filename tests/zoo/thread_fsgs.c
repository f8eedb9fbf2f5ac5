/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Thread-local storage through fs, and a gs base of the program's own, per thread. */
#include "zoo.h"

#include <asm/prctl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREADS 8

static __thread uint64_t local = 77;
static uint64_t cell[THREADS][2];

static uint64_t gs_read8(void)
{
	uint64_t v;

	__asm__ volatile("movq %%gs:8, %0" : "=r"(v));
	return v;
}

static void *worker(void *arg)
{
	uint64_t i = (uint64_t)(uintptr_t)arg;
	unsigned long fs, gs, fs_now;

	local = i * 1000;
	cell[i][1] = i + 0xabcd000;
	zoo_need(syscall(SYS_arch_prctl, ARCH_SET_GS, cell[i]) == 0);
	zoo_need(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs) == 0);
	zoo_wait();
	zoo_check(local == i * 1000, "thread %d: thread-local variable", (int)i);
	zoo_check(gs_read8() == i + 0xabcd000, "thread %d: what gs points to", (int)i);
	zoo_need(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs_now) == 0);
	zoo_need(syscall(SYS_arch_prctl, ARCH_GET_GS, &gs) == 0);
	zoo_same(fs_now, fs);
	zoo_same(gs, (unsigned long)cell[i]);
	return NULL;
}

int main(void)
{
	pthread_t thread[THREADS];

	zoo_start();
	for (uintptr_t i = 1; i < THREADS; i++)
		zoo_need(pthread_create(&thread[i], NULL, worker, (void *)i) == 0);
	zoo_sleep_ms(20);
	zoo_ready();
	worker((void *)0);
	for (int i = 1; i < THREADS; i++)
		zoo_need(pthread_join(thread[i], NULL) == 0);
	return zoo_end();
}
