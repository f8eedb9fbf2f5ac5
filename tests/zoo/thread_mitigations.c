/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Mitigations of speculation (PR_SET_SPECULATION_CTRL) and PR_SET_IO_FLUSHER of one thread, where
 * the machine lets them be set. */
#include "zoo.h"

#include <linux/prctl.h>
#include <pthread.h>
#include <sys/prctl.h>

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#define PR_GET_IO_FLUSHER 58
#endif

struct view {
	int bypass, branch, flusher;
};

static struct view look(void)
{
	return (struct view){
		.bypass = prctl(PR_GET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, 0, 0, 0),
		.branch = prctl(PR_GET_SPECULATION_CTRL, PR_SPEC_INDIRECT_BRANCH, 0, 0, 0),
		.flusher = prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0),
	};
}

static void compare(const char *who, struct view was)
{
	struct view now = look();

	zoo_check(now.bypass == was.bypass, "%s: store bypass %d, was %d", who, now.bypass,
		  was.bypass);
	zoo_check(now.branch == was.branch, "%s: indirect branches %d, were %d", who, now.branch,
		  was.branch);
	zoo_check(now.flusher == was.flusher, "%s: flusher %d, was %d", who, now.flusher,
		  was.flusher);
}

static volatile int set = -1;

static void *other(void *arg)
{
	int n = 0;
	struct view was;

	n += prctl(PR_SET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, PR_SPEC_DISABLE, 0, 0) == 0;
	n += prctl(PR_SET_SPECULATION_CTRL, PR_SPEC_INDIRECT_BRANCH, PR_SPEC_FORCE_DISABLE, 0, 0) ==
	     0;
	n += prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) == 0;
	was = look();
	set = n;
	zoo_wait();
	compare("the other thread", was);
	return arg;
}

int main(void)
{
	struct view was;
	pthread_t thread;

	zoo_start();
	zoo_need(pthread_create(&thread, NULL, other, NULL) == 0);
	while (set < 0)
		zoo_sleep_ms(2);
	if (set == 0)
		zoo_skip("nothing of it can be set here");
	was = look();
	zoo_ready();
	zoo_wait();
	compare("the main thread", was);
	zoo_need(pthread_join(thread, NULL) == 0);
	return zoo_end();
}
