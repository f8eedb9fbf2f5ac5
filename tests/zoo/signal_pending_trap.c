/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SIGTRAPs that are pending: of the process, of its first thread, and of another one. */
#include "zoo.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

static sigset_t trap;

static void handler(int sig)
{
	(void)sig;
}

/* Take the one that is pending; which of two comes first is the kernel's choice: the thread's. */
static void take(int code, int value)
{
	const struct timespec now = { 0, 0 };
	siginfo_t si = { 0 };

	zoo_same(sigtimedwait(&trap, &si, &now), SIGTRAP);
	zoo_same(si.si_code, code);
	if (code == SI_QUEUE)
		zoo_same(si.si_value.sival_int, value);
	zoo_same(si.si_pid, getpid());
}

static void none(void)
{
	const struct timespec now = { 0, 0 };

	zoo_same(sigtimedwait(&trap, NULL, &now), -1);
}

static void *other(void *arg)
{
	while (!zoo_gone())
		zoo_sleep_ms(5);
	take(SI_QUEUE, 4712);
	return arg;
}

int main(void)
{
	zoo_start();
	struct sigaction act = { .sa_handler = handler };
	union sigval value = { .sival_int = 4712 };
	pthread_t thread;

	zoo_need(sigaction(SIGTRAP, &act, NULL) == 0);
	sigemptyset(&trap);
	sigaddset(&trap, SIGTRAP);
	zoo_need(sigprocmask(SIG_BLOCK, &trap, NULL) == 0);
	zoo_need(pthread_create(&thread, NULL, other, NULL) == 0);
	zoo_need(pthread_sigqueue(thread, SIGTRAP, value) == 0);
	value.sival_int = 4711;
	zoo_need(pthread_sigqueue(pthread_self(), SIGTRAP, value) == 0);
	zoo_need(kill(getpid(), SIGTRAP) == 0);
	zoo_ready();
	zoo_wait();
	zoo_same(pthread_join(thread, NULL), 0);
	take(SI_QUEUE, 4711);
	take(SI_USER, 0);
	none();
	zoo_need(sigaction(SIGTRAP, NULL, &act) == 0);
	zoo_check(act.sa_handler == handler, "the handler is another");
	return zoo_end();
}
