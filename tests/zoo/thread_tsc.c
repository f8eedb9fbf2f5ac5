/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* RDTSC faults in one thread (PR_SET_TSC), and not in the others. */
#include "zoo.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <x86intrin.h>

static _Thread_local sigjmp_buf back;
static volatile bool set;

static void on_segv(int sig)
{
	(void)sig;
	siglongjmp(back, 1);
}

static bool faults(void)
{
	if (sigsetjmp(back, 1))
		return true;
	(void)__rdtsc();
	return false;
}

static void *without(void *arg)
{
	int now = 0;

	zoo_need(prctl(PR_SET_TSC, PR_TSC_SIGSEGV) == 0);
	set = true;
	/* No clocks here: the vdso's need the instruction. */
	while (!zoo_gone())
		zoo_sleep_ms(5);
	zoo_check(faults(), "RDTSC works in the thread that may not use it");
	zoo_need(prctl(PR_GET_TSC, &now) == 0);
	zoo_same(now, PR_TSC_SIGSEGV);
	return arg;
}

int main(void)
{
	struct sigaction sa = { .sa_handler = on_segv };
	pthread_t thread;

	zoo_start();
	zoo_need(sigaction(SIGSEGV, &sa, NULL) == 0);
	zoo_need(pthread_create(&thread, NULL, without, NULL) == 0);
	while (!set)
		zoo_sleep_ms(2);
	zoo_ready();
	zoo_wait();
	zoo_check(!faults(), "RDTSC faults in the main thread");
	zoo_need(pthread_join(thread, NULL) == 0);
	return zoo_end();
}
