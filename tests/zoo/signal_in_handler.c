/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checkpointed inside nested handlers, on alternate stacks, one of them disarmed while in use. */
#include "zoo.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define STACK_SIZE (64 << 10)

static volatile int depth;
static __thread double number;
static __thread char *stack;

static void inside(int sig, siginfo_t *info, void *context)
{
	stack_t ss;
	sigset_t mask;

	(void)context;
	depth++;
	zoo_need(info->si_signo == sig);
	if (sig == SIGUSR1)
		zoo_need(raise(SIGUSR2) == 0); /* one deeper */
	else
		zoo_wait();
	depth--;
	number *= 2; /* uses the vector registers, which are to come back with sigreturn */
	zoo_need(sigaltstack(NULL, &ss) == 0);
	zoo_check(ss.ss_flags == SS_ONSTACK, "stack flags in the handler: %#x", ss.ss_flags);
	zoo_check(ss.ss_sp == stack, "stack in the handler: %p", ss.ss_sp);
	zoo_need(pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0);
	zoo_check(sigismember(&mask, sig) == 1 && sigismember(&mask, SIGHUP) == 1,
		  "mask in the handler");
}

static void disarmed(int sig, siginfo_t *info, void *context)
{
	stack_t ss;

	(void)sig;
	(void)info;
	(void)context;
	zoo_need(sigaltstack(NULL, &ss) == 0 && ss.ss_flags == SS_DISABLE);
	zoo_wait();
	zoo_need(sigaltstack(NULL, &ss) == 0);
	zoo_same(ss.ss_flags, SS_DISABLE);
}

static void check_outside(int flags)
{
	stack_t ss;
	sigset_t mask;

	zoo_need(sigaltstack(NULL, &ss) == 0);
	zoo_same(ss.ss_flags, flags);
	zoo_check(ss.ss_sp == stack && ss.ss_size == STACK_SIZE, "stack outside: %p", ss.ss_sp);
	zoo_need(pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0);
	zoo_check(!sigismember(&mask, SIGUSR1) && !sigismember(&mask, SIGHUP), "mask outside");
}

static void *disarming_thread(void *arg)
{
	stack_t ss = { .ss_sp = malloc(STACK_SIZE),
		       .ss_size = STACK_SIZE,
		       .ss_flags = (int)(1U << 31) };

	stack = ss.ss_sp;
	zoo_need(sigaltstack(&ss, NULL) == 0);
	zoo_need(pthread_kill(pthread_self(), SIGTERM) == 0);
	check_outside((int)(1U << 31));
	return arg;
}

int main(void)
{
	struct sigaction act = { .sa_sigaction = inside, .sa_flags = SA_ONSTACK | SA_SIGINFO };
	stack_t ss = { .ss_sp = malloc(STACK_SIZE), .ss_size = STACK_SIZE };
	volatile double before = 1.25;
	pthread_t thread;

	zoo_start();
	sigaddset(&act.sa_mask, SIGHUP);
	zoo_need(sigaction(SIGUSR1, &act, NULL) == 0 && sigaction(SIGUSR2, &act, NULL) == 0);
	act.sa_sigaction = disarmed;
	zoo_need(sigaction(SIGTERM, &act, NULL) == 0);
	stack = ss.ss_sp;
	number = 3;
	zoo_need(sigaltstack(&ss, NULL) == 0);
	zoo_need(pthread_create(&thread, NULL, disarming_thread, NULL) == 0);
	zoo_sleep_ms(10);
	zoo_ready();
	zoo_need(raise(SIGUSR1) == 0);

	zoo_same(depth, 0);
	zoo_check(before * number == 15, "numbers");
	check_outside(0);
	zoo_need(pthread_join(thread, NULL) == 0);
	return zoo_end();
}
