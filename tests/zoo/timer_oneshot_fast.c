/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: busy */
/* An interval timer without interval, armed again each time: one signal for each arming. */
#include "zoo.h"

#include <signal.h>
#include <sys/time.h>
#include <time.h>

static void arm_and_take(const sigset_t *set, suseconds_t us)
{
	const struct itimerval it = { { 0, 0 }, { 0, us } };
	const struct timespec late = { 5, 0 }, now = { 0, 0 };
	struct itimerval left;

	zoo_need(setitimer(ITIMER_REAL, &it, NULL) == 0);
	zoo_same(sigtimedwait(set, NULL, &late), SIGALRM);
	/* It is at rest, and its signal comes once. */
	zoo_need(getitimer(ITIMER_REAL, &left) == 0);
	zoo_same(left.it_value.tv_sec + left.it_value.tv_usec, 0);
	zoo_same(sigtimedwait(set, NULL, &now), -1);
}

int main(void)
{
	sigset_t set;

	zoo_start();
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	zoo_need(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	zoo_ready();
	for (suseconds_t us = 1; !zoo_gone(); us = us * 3 % 12345 + 1)
		arm_and_take(&set, us);
	return zoo_end();
}
