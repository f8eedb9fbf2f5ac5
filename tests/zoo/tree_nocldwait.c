/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Parents whose children leave nothing behind (SIGCHLD ignored, SA_NOCLDWAIT), or who do not want
 * to hear of stops (SA_NOCLDSTOP); zombies from before they were so.
 */
#include "zoo.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum how { IGNORES, NOCLDWAIT, NOCLDSTOP, HOW_NR };

static volatile sig_atomic_t n_came;

static atomic_int *go, *looked;

static void on_child(int sig)
{
	(void)sig;
	n_came++;
}

static pid_t runner(void)
{
	pid_t pid = zoo_fork();

	if (pid == 0) {
		zoo_here();
		while (!atomic_load(go))
			zoo_sleep_ms(2);
		zoo_leave();
	}
	return pid;
}

static void wait_until_gone(pid_t pid)
{
	double end = zoo_now(CLOCK_MONOTONIC) + 10;

	while (kill(pid, 0) == 0 && zoo_now(CLOCK_MONOTONIC) < end)
		zoo_sleep_ms(1);
	zoo_check(kill(pid, 0) < 0 && errno == ESRCH, "process %d is still there", pid);
}

static void parent(enum how how)
{
	struct sigaction sa = { .sa_handler = how == IGNORES ? SIG_IGN : on_child,
				.sa_flags = how == NOCLDWAIT   ? SA_NOCLDWAIT
					    : how == NOCLDSTOP ? SA_NOCLDSTOP
							       : 0 };
	pid_t zombie = fork(), child;
	int status, before;
	siginfo_t si;

	if (zombie == 0)
		_exit(9);
	zoo_need(waitid(P_PID, (id_t)zombie, &si, WEXITED | WNOWAIT) == 0);
	zoo_need(sigaction(SIGCHLD, &sa, NULL) == 0);
	child = runner();
	zoo_need(kill(child, SIGSTOP) == 0 && waitid(P_PID, (id_t)child, &si, WSTOPPED) == 0);
	before = n_came;
	zoo_here();
	zoo_wait();
	zoo_same(n_came, before);
	/* It ended before: it is a zombie all the same. */
	zoo_same(waitpid(zombie, &status, 0), zombie);
	zoo_same(status, 9 << 8);
	kill(child, SIGCONT);
	zoo_need(waitid(P_PID, (id_t)child, &si, WCONTINUED) == 0);
	/* The child itself tells of that, when it runs again. */
	for (int i = 0; how == NOCLDWAIT && i < 5000 && n_came == before; i++)
		zoo_sleep_ms(1);
	zoo_same(n_came, before + (how == NOCLDWAIT));
	atomic_fetch_add(looked, 1);
	while (!atomic_load(go))
		zoo_sleep_ms(1);
	if (how == NOCLDSTOP) {
		zoo_join(child);
		zoo_same(n_came, before + 1);
	} else {
		wait_until_gone(child);
		zoo_check(waitpid(child, &status, 0) < 0 && errno == ECHILD, "it left a zombie");
		zoo_same(n_came, how == NOCLDWAIT ? before + 2 : 0);
	}
	zoo_leave();
}

int main(void)
{
	pid_t pid[HOW_NR];

	zoo_start();
	go = zoo_shared(2 * sizeof(*go));
	looked = go + 1;
	for (int i = 0; i < HOW_NR; i++) {
		pid[i] = zoo_fork();
		if (pid[i] == 0)
			parent((enum how)i);
	}
	zoo_ready();
	zoo_wait();
	while (atomic_load(looked) < HOW_NR)
		zoo_sleep_ms(1);
	atomic_store(go, 1);
	for (int i = 0; i < HOW_NR; i++)
		zoo_join(pid[i]);
	return zoo_end();
}
