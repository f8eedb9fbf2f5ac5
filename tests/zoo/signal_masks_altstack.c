/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Per thread: the signal mask and the alternate stack with its flags; and the stack works
 * afterwards. */
#include "zoo.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif

#define THREADS	   4
#define STACK_SIZE (64 << 10)

static __thread char *handler_stack;

static void on_signal(int sig)
{
	char here;

	(void)sig;
	handler_stack = (char *)__builtin_frame_address(0);
	zoo_need(&here != NULL);
}

static void *worker(void *arg)
{
	int i = (int)(intptr_t)arg;
	stack_t ss = { .ss_sp = malloc(STACK_SIZE),
		       .ss_size = (size_t)STACK_SIZE - (size_t)i * 16 },
		now;
	sigset_t mask, mask_now;

	if (i == 1)
		ss.ss_flags = (int)SS_AUTODISARM;
	sigemptyset(&mask);
	for (int sig = 1; sig <= 64; sig++)
		if (sig % THREADS == i && sig != SIGUSR2)
			sigaddset(&mask, sig);
	zoo_need(pthread_sigmask(SIG_SETMASK, &mask, NULL) == 0);
	zoo_need(pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0); /* as the kernel has it */
	if (i == 2)
		ss.ss_flags = SS_DISABLE;
	zoo_need(sigaltstack(&ss, NULL) == 0);
	zoo_wait();

	zoo_need(sigaltstack(NULL, &now) == 0);
	zoo_check(now.ss_flags == ss.ss_flags, "thread %d: stack flags %#x", i, now.ss_flags);
	if (i != 2)
		zoo_check(now.ss_sp == ss.ss_sp && now.ss_size == ss.ss_size, "thread %d: stack %p",
			  i, now.ss_sp);
	zoo_need(pthread_sigmask(SIG_SETMASK, NULL, &mask_now) == 0);
	for (int sig = 1; sig <= 64; sig++)
		zoo_check(sigismember(&mask, sig) == sigismember(&mask_now, sig),
			  "thread %d: signal %d", i, sig);
	zoo_need(pthread_kill(pthread_self(), SIGUSR2) == 0);
	if (i == 2)
		zoo_check(handler_stack < (char *)ss.ss_sp ||
				  handler_stack > (char *)ss.ss_sp + STACK_SIZE,
			  "thread 2: the disabled stack was used");
	else
		zoo_check(handler_stack > (char *)ss.ss_sp &&
				  handler_stack < (char *)ss.ss_sp + ss.ss_size,
			  "thread %d: the handler ran at %p", i, (void *)handler_stack);
	zoo_need(sigaltstack(NULL, &now) == 0);
	zoo_same(now.ss_flags, ss.ss_flags);
	return NULL;
}

int main(void)
{
	struct sigaction act = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK };
	pthread_t thread[THREADS];

	zoo_start();
	zoo_need(sigaction(SIGUSR2, &act, NULL) == 0);
	for (int i = 1; i < THREADS; i++)
		zoo_need(pthread_create(&thread[i], NULL, worker, (void *)(intptr_t)i) == 0);
	zoo_sleep_ms(20);
	zoo_ready();
	worker((void *)0);
	for (int i = 1; i < THREADS; i++)
		zoo_need(pthread_join(thread[i], NULL) == 0);
	return zoo_end();
}
