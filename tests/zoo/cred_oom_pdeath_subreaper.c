/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* oom_score_adj, child-subreaper flag, and the parent-death signal of each thread. */
#include "zoo.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void *other(void *arg)
{
	int sig = -1;

	zoo_need(prctl(PR_SET_PDEATHSIG, SIGURG, 0, 0, 0) == 0);
	zoo_wait();
	zoo_need(prctl(PR_GET_PDEATHSIG, &sig, 0, 0, 0) == 0);
	zoo_same(sig, SIGURG);
	return arg;
}

int main(void)
{
	pthread_t thread;
	int sig = -1, reaper = -1, fd, got;
	char *score, *now;
	pid_t child;

	zoo_start();
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	zoo_need(fd >= 0 && write(fd, "345\n", 4) == 4 && close(fd) == 0);
	score = zoo_slurp("/proc/self/oom_score_adj", NULL);
	zoo_need(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0);
	/* Blocked: it comes when the runner, or whoever is the parent, goes. */
	signal(SIGWINCH, SIG_IGN);
	zoo_need(prctl(PR_SET_PDEATHSIG, SIGWINCH, 0, 0, 0) == 0);
	zoo_need(pthread_create(&thread, NULL, other, NULL) == 0);
	zoo_sleep_ms(10);
	zoo_ready();
	zoo_wait();

	now = zoo_slurp("/proc/self/oom_score_adj", NULL);
	zoo_check(!strcmp(now, score), "oom_score_adj %s, was %s", now, score);
	zoo_need(prctl(PR_GET_PDEATHSIG, &sig, 0, 0, 0) == 0);
	zoo_same(sig, SIGWINCH);
	zoo_need(prctl(PR_GET_CHILD_SUBREAPER, &reaper, 0, 0, 0) == 0);
	zoo_same(reaper, 1);
	/* An orphaned grandchild comes to us. */
	child = fork();
	if (child == 0) {
		if (fork() == 0) {
			zoo_sleep_ms(20);
			_exit(43);
		}
		_exit(42);
	}
	zoo_need(child > 0);
	for (int want = 42; want <= 43; want++) {
		zoo_need(wait(&got) > 0);
		zoo_same(WEXITSTATUS(got), want);
	}
	zoo_need(pthread_join(thread, NULL) == 0);
	return zoo_end();
}
