/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Timers that expire every millisecond, whose signals are blocked: each keeps one pending. */
#include "zoo.h"

#include <signal.h>
#include <sys/time.h>
#include <time.h>

int main(void)
{
	zoo_start();
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1 };
	struct itimerspec its = { { 0, 1000000 }, { 0, 1000000 } };
	struct itimerval it = { { 0, 1000 }, { 0, 1000 } };
	const struct timespec soon = { 2, 0 };
	timer_t timer;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	sigaddset(&set, SIGALRM);
	zoo_need(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	zoo_need(timer_create(CLOCK_MONOTONIC, &ev, &timer) == 0);
	zoo_need(timer_settime(timer, 0, &its, NULL) == 0 &&
		 setitimer(ITIMER_REAL, &it, NULL) == 0);
	zoo_ready();
	while (!zoo_gone()) {
		siginfo_t si;
		int sig = sigtimedwait(&set, &si, &soon);

		zoo_check(sig == SIGALRM || (sig == SIGRTMIN + 1 && si.si_code == SI_TIMER),
			  "signal %d", sig);
	}
	sigdelset(&set, SIGALRM);
	zoo_same(sigtimedwait(&set, NULL, &soon), SIGRTMIN + 1);
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	zoo_same(sigtimedwait(&set, NULL, &soon), SIGALRM);
	return zoo_end();
}
