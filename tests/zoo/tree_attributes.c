/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What each process of a tree has for itself: ids, limits, nice value, umask, directories, signal
 * mask and handlers, pending signals from each other, timers, name, out-of-memory score.
 */
#include "zoo.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N = 6 };

static void on_signal(int sig)
{
	(void)sig;
}

static void set_up(int i)
{
	struct rlimit lim = { 100 + (rlim_t)i, 200 + (rlim_t)i };
	struct itimerval it = { { 1000 + i, 0 }, { 5000 + i, 0 } };
	char name[16], dir[16];
	sigset_t set;

	snprintf(name, sizeof(name), "process-%d", i);
	snprintf(dir, sizeof(dir), "dir-%d", i);
	zoo_need(mkdir(dir, 0777) == 0 && chdir(dir) == 0);
	prctl(PR_SET_NAME, name);
	umask((mode_t)i);
	zoo_need(setrlimit(RLIMIT_CORE, &lim) == 0);
	zoo_need(setpriority(PRIO_PROCESS, 0, i) == 0);
	zoo_need(setitimer(ITIMER_REAL, &it, NULL) == 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN + i);
	sigprocmask(SIG_SETMASK, &set, NULL);
	signal(SIGRTMIN + i, on_signal);
	zoo_need(setresgid((gid_t)(3000 + i), (gid_t)(3100 + i), (gid_t)(3200 + i)) == 0);
	if (i % 2)
		zoo_need(setresuid((uid_t)(2000 + i), (uid_t)(2000 + i), 0) == 0);
}

static void check_ids(int i)
{
	uid_t u[3];
	gid_t g[3];

	zoo_need(getresuid(&u[0], &u[1], &u[2]) == 0 && getresgid(&g[0], &g[1], &g[2]) == 0);
	for (int k = 0; k < 3; k++) {
		zoo_same(g[k], 3000 + 100 * k + i);
		zoo_same(u[k], i % 2 && k < 2 ? 2000 + i : 0);
	}
}

static void check_signals(int i, pid_t parent)
{
	const struct timespec none = { 0, 0 };
	struct sigaction sa;
	sigset_t set, pending;
	siginfo_t si = { 0 };

	sigprocmask(SIG_BLOCK, NULL, &set);
	sigpending(&pending);
	for (int sig = SIGRTMIN; sig < SIGRTMIN + N; sig++) {
		zoo_same(sigismember(&set, sig), sig == SIGRTMIN + i);
		zoo_need(sigaction(sig, NULL, &sa) == 0);
		zoo_check((sa.sa_handler == on_signal) == (sig == SIGRTMIN + i), "handler of %d",
			  sig);
		zoo_same(sigismember(&pending, sig), sig == SIGRTMIN + i);
	}
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + i);
	zoo_same(sigtimedwait(&set, &si, &none), SIGRTMIN + i);
	zoo_same(si.si_pid, parent);
	zoo_same(si.si_value.sival_int, 7000 + i);
	zoo_same(sigismember(&pending, SIGUSR1), 0);
}

static void check(int i, pid_t parent)
{
	char name[16] = "", want[16], path[4096];
	struct rlimit lim;
	struct itimerval it;

	snprintf(want, sizeof(want), "process-%d", i);
	prctl(PR_GET_NAME, name);
	zoo_check(!strcmp(name, want), "it is called %s", name);
	snprintf(want, sizeof(want), "/dir-%d", i);
	zoo_check(getcwd(path, sizeof(path)) && strlen(path) > 6 &&
			  !strcmp(path + strlen(path) - strlen(want), want),
		  "it is in %s", path);
	zoo_same(umask(0), i);
	zoo_need(getrlimit(RLIMIT_CORE, &lim) == 0);
	zoo_same(lim.rlim_cur, 100 + i);
	zoo_same(lim.rlim_max, 200 + i);
	zoo_same(getpriority(PRIO_PROCESS, 0), i);
	zoo_need(getitimer(ITIMER_REAL, &it) == 0);
	zoo_same(it.it_interval.tv_sec, 1000 + i);
	zoo_check(it.it_value.tv_sec > 4000 + i && it.it_value.tv_sec <= 5000 + i, "timer: %ld s",
		  (long)it.it_value.tv_sec);
	check_ids(i);
	check_signals(i, parent);
}

int main(void)
{
	pid_t pid[N], self;

	zoo_start();
	if (getuid() != 0)
		zoo_skip("needs root, for processes of others");
	self = getpid();
	for (int i = 0; i < N; i++) {
		pid[i] = zoo_fork();
		if (pid[i])
			continue;
		set_up(i);
		zoo_here();
		zoo_wait();
		check(i, self);
		zoo_leave();
	}
	for (int i = 0; i < N; i++)
		zoo_need(sigqueue(pid[i], SIGRTMIN + i, (union sigval){ .sival_int = 7000 + i }) ==
			 0);
	zoo_ready();
	zoo_wait();
	for (int i = 0; i < N; i++)
		zoo_join(pid[i]);
	return zoo_end();
}
