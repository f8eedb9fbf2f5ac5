/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: after=600 gap=700 */
/* An alarm under way: it ends a pause after the time that was left. */
#include "zoo.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

static volatile int hits;

static void on_signal(int sig)
{
	hits += sig;
}

int main(void)
{
	double took;

	zoo_start();
	signal(SIGALRM, on_signal);
	alarm(2);
	took = zoo_now(CLOCK_MONOTONIC);
	zoo_ready();
	zoo_check(pause() == -1 && errno == EINTR, "pause");
	took = zoo_now(CLOCK_MONOTONIC) - took + 0.02; /* it was set a little earlier */
	zoo_same(hits, SIGALRM);
	zoo_wait();
	zoo_check_took("alarm", took, 2);
	return zoo_end();
}
