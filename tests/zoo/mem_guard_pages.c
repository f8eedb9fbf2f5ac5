/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Guard pages of PROT_NONE around data, a thread's stack guard, and MADV_GUARD_INSTALL where there
 * is such. */
#include "zoo.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE  103
#endif

#define PAGE  4096UL
#define CELLS 32

static void *sleeper(void *arg)
{
	zoo_wait();
	return arg;
}

int main(void)
{
	unsigned char *cell[CELLS], *guarded;
	pthread_attr_t attr;
	pthread_t thread;
	size_t stack_size;
	void *stack;
	bool have_guard;

	zoo_start();
	for (int i = 0; i < CELLS; i++) {
		cell[i] = mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		zoo_need(cell[i] != MAP_FAILED);
		zoo_need(mprotect(cell[i] + PAGE, PAGE, PROT_READ | PROT_WRITE) == 0);
		zoo_fill(cell[i] + PAGE, PAGE, (uint64_t)i);
	}
	guarded = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	zoo_need(guarded != MAP_FAILED);
	zoo_fill(guarded, 8 * PAGE, 99);
	have_guard = madvise(guarded + 3 * PAGE, PAGE, MADV_GUARD_INSTALL) == 0;
	if (!have_guard)
		zoo_log("note: no MADV_GUARD_INSTALL on this kernel");
	zoo_need(pthread_create(&thread, NULL, sleeper, NULL) == 0);
	zoo_need(pthread_getattr_np(thread, &attr) == 0);
	zoo_need(pthread_attr_getstack(&attr, &stack, &stack_size) == 0);
	zoo_ready();
	zoo_wait();

	zoo_need(pthread_join(thread, NULL) == 0);
	for (int i = 0; i < CELLS; i++) {
		zoo_check(zoo_filled(cell[i] + PAGE, PAGE, (uint64_t)i), "cell %d", i);
		zoo_check(zoo_faults(cell[i] + PAGE - 1, false), "no guard before cell %d", i);
		zoo_check(zoo_faults(cell[i] + 2 * PAGE, false), "no guard behind cell %d", i);
	}
	if (have_guard) {
		zoo_check(zoo_faults(guarded + 3 * PAGE, false), "the lightweight guard is gone");
		zoo_check(!zoo_faults(guarded + 2 * PAGE, true), "the page before it");
		zoo_check(!zoo_faults(guarded + 4 * PAGE, true), "the page behind it");
		zoo_check(zoo_filled(guarded, 3 * PAGE, 99), "the contents before it");
		zoo_need(madvise(guarded + 3 * PAGE, PAGE, MADV_GUARD_REMOVE) == 0);
		zoo_same(*(long *)(guarded + 3 * PAGE), 0);
	}
	/* glibc's guard lies at the low end of the mapping, below what it calls the stack. */
	zoo_check(!zoo_mapped((char *)stack - PAGE) || zoo_faults((char *)stack - PAGE, false),
		  "the thread's stack has no guard");
	return zoo_end();
}
