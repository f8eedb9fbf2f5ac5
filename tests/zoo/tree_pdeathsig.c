/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PR_SET_PDEATHSIG: the signal comes when the parent ends, not before, and to those who asked. */
#include "zoo.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t came[65];

static atomic_int *told; /* by the grandchildren: signals that came before, and after */

static void on_signal(int sig)
{
	came[sig]++;
}

static void grandchild(int sig, int at)
{
	pid_t parent = getppid();
	int set = 0;

	for (int i = 1; i < 65; i++)
		signal(i, on_signal);
	if (sig)
		zoo_need(prctl(PR_SET_PDEATHSIG, sig) == 0);
	zoo_here();
	zoo_wait();
	zoo_same(prctl(PR_GET_PDEATHSIG, &set), 0);
	zoo_same(set, sig);
	for (int i = 1; i < 65; i++)
		zoo_same(came[i], 0);
	atomic_store(&told[at], 1);
	while (getppid() == parent)
		zoo_sleep_ms(1);
	for (int i = 1; i < 65; i++)
		zoo_same(came[i], i == sig);
	zoo_leave();
}

static void child(void)
{
	static const int sigs[] = { SIGUSR1, SIGTERM, 50, 0 };

	for (int i = 0; i < 4; i++)
		if (zoo_fork() == 0)
			grandchild(sigs[i], i);
	zoo_here();
	/* Ends only when all have looked. */
	for (int i = 0; i < 4; i++)
		while (!atomic_load(&told[i]))
			zoo_sleep_ms(1);
	_exit(3);
}

int main(void)
{
	int status;
	pid_t pid;

	zoo_start();
	told = zoo_shared(sizeof(*told) * 4);
	zoo_need(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	pid = zoo_fork();
	if (pid == 0)
		child();
	zoo_ready();
	zoo_wait();
	zoo_same(waitpid(pid, &status, 0), pid);
	zoo_same(status, 3 << 8);
	for (int i = 0; i < 4; i++) {
		pid = wait(&status);
		zoo_check(pid > 0 && status == 0, "process %d ended with status %#x", pid,
			  (unsigned)status);
	}
	return zoo_end();
}
