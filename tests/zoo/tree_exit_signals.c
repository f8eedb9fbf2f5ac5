/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Children that tell of their end by another signal than SIGCHLD, or by none: which signal comes,
 * how often, and that only __WCLONE and __WALL find them. Some have ended already.
 */
#include "zoo.h"

#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const int by[] = { 0, SIGCHLD, SIGUSR1, SIGURG, SIGIO, 40, 64 };

#define N (sizeof(by) / sizeof(by[0]))

static volatile sig_atomic_t came[65], from[65];

static void on_signal(int sig, siginfo_t *si, void *context)
{
	(void)context;
	came[sig]++;
	from[sig] = si->si_pid;
}

static pid_t make(int exit_signal, bool ends)
{
	struct clone_args ca = { .exit_signal = (__u64)exit_signal };
	pid_t pid = (pid_t)syscall(SYS_clone3, &ca, sizeof(ca));

	zoo_need(pid >= 0);
	if (pid)
		return pid;
	if (!ends)
		zoo_wait();
	_exit(exit_signal);
}

static void end_one(size_t i, pid_t pid, int n_before)
{
	int status = 0, plain = by[i] == SIGCHLD;

	/* Without the flag, only children of SIGCHLD are seen. */
	errno = 0;
	if (!plain)
		zoo_check(waitpid(pid, &status, 0) < 0 && errno == ECHILD,
			  "a child of signal %d is found without __WCLONE", by[i]);
	zoo_same(waitpid(pid, &status, plain ? 0 : __WCLONE), pid);
	zoo_same(status, by[i] << 8);
	if (by[i])
		zoo_same(came[by[i]], n_before + 1);
	if (by[i])
		zoo_same(from[by[i]], pid);
}

int main(void)
{
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART };
	pid_t pid[N], ended[N];
	sigset_t all;

	zoo_start();
	sigfillset(&sa.sa_mask);
	for (size_t i = 0; i < N; i++)
		zoo_need(!by[i] || sigaction(by[i], &sa, NULL) == 0);
	for (size_t i = 0; i < N; i++)
		ended[i] = make(by[i], true);
	for (size_t i = 0; i < N; i++) {
		siginfo_t si;

		zoo_need(waitid(P_PID, (id_t)ended[i], &si, WEXITED | WNOWAIT | __WALL) == 0);
	}
	for (size_t i = 0; i < N; i++)
		pid[i] = make(by[i], false);
	for (size_t i = 0; i < N; i++)
		zoo_need(came[by[i]] == (by[i] ? 1 : 0));
	zoo_ready();
	zoo_wait();
	/* Of those that ended long ago nobody speaks any more. */
	for (size_t i = 0; i < N; i++)
		zoo_check(from[by[i]] == (by[i] ? ended[i] : 0) || from[by[i]] == pid[i],
			  "signal %d came from %d", by[i], from[by[i]]);
	for (size_t i = 0; i < N; i++)
		end_one(i, pid[i], by[i] ? 1 : 0);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	for (size_t i = 0; i < N; i++)
		zoo_same(waitpid(ended[i], NULL, by[i] == SIGCHLD ? 0 : __WCLONE), ended[i]);
	for (size_t i = 0; i < N; i++)
		zoo_same(came[by[i]], by[i] ? 2 : 0);
	return zoo_end();
}
