/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stopped children, by each of the stopping signals, whose parent has asked for that or not;
 * children that were continued; a stopped child with children that run.
 */
#include "zoo.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const int by[] = { SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU };

#define N 4

struct board {
	atomic_int ticks[2 * N + 4], go;
};

static struct board *board;

/* In a group of its own, which is not orphaned: else only SIGSTOP would stop it. */
static void run(size_t i)
{
	zoo_need(setpgid(0, 0) == 0);
	zoo_here();
	while (!atomic_load(&board->go)) {
		atomic_fetch_add(&board->ticks[i], 1);
		zoo_sleep_ms(1);
	}
	zoo_leave();
}

static pid_t make(size_t i)
{
	pid_t pid = zoo_fork();

	if (pid == 0)
		run(i);
	return pid;
}

static siginfo_t ask(pid_t pid, int options)
{
	siginfo_t si = { 0 };

	zoo_need(waitid(P_PID, (id_t)pid, &si, options) == 0);
	return si;
}

/* Is there news of it? */
static void must_say(pid_t pid, int options, int code, int status)
{
	siginfo_t si = ask(pid, options | WNOHANG);

	zoo_same(si.si_pid, code ? pid : 0);
	zoo_same(si.si_code, code);
	if (code)
		zoo_same(si.si_status, status);
	/* Once only. */
	si = ask(pid, options | WNOHANG);
	zoo_same(si.si_pid, 0);
}

static int ticks(size_t i)
{
	return atomic_load(&board->ticks[i]);
}

/* That a process runs can be waited for. */
static void must_run(size_t i)
{
	int from = ticks(i);

	for (double end = zoo_now(CLOCK_MONOTONIC) + 10; ticks(i) < from + 3;) {
		zoo_sleep_ms(1);
		if (zoo_now(CLOCK_MONOTONIC) > end) {
			zoo_check(false, "process %zu does not run", i);
			return;
		}
	}
}

int main(void)
{
	pid_t told[N], untold[N], continued, forgotten, parent, forward;
	int at[2 * N];

	zoo_start();
	board = zoo_shared(sizeof(*board));
	for (size_t i = 0; i < N; i++) {
		told[i] = make(i);
		untold[i] = make(N + i);
		zoo_need(kill(told[i], by[i]) == 0 && kill(untold[i], by[i]) == 0);
		ask(told[i], WSTOPPED);
		ask(untold[i], WSTOPPED | WNOWAIT);
	}
	continued = make(2 * N);
	forgotten = make(2 * N + 1);
	for (int i = 0; i < 2; i++) {
		pid_t pid = i ? forgotten : continued;

		zoo_need(kill(pid, SIGSTOP) == 0);
		ask(pid, WSTOPPED);
		zoo_need(kill(pid, SIGCONT) == 0);
		ask(pid, WCONTINUED | (i ? 0 : WNOWAIT));
	}
	parent = zoo_fork();
	if (parent == 0) {
		forward = make(2 * N + 3);
		zoo_here();
		while (!atomic_load(&board->go))
			zoo_sleep_ms(1);
		zoo_join(forward);
		zoo_leave();
	}
	zoo_need(kill(parent, SIGSTOP) == 0);
	ask(parent, WSTOPPED);
	zoo_ready();
	zoo_wait();
	for (size_t i = 0; i < 2 * N; i++)
		at[i] = ticks(i);
	must_run(2 * N);
	must_run(2 * N + 1);
	must_run(2 * N + 3); /* its parent is stopped, it is not */
	for (size_t i = 0; i < N; i++) {
		must_say(told[i], WSTOPPED, 0, 0);
		must_say(untold[i], WSTOPPED, CLD_STOPPED, by[i]);
	}
	must_say(continued, WCONTINUED, CLD_CONTINUED, SIGCONT);
	must_say(forgotten, WCONTINUED, 0, 0);
	must_say(parent, WSTOPPED, 0, 0);
	for (size_t i = 0; i < 2 * N; i++)
		zoo_same(ticks(i), at[i]);
	for (size_t i = 0; i < N; i++)
		zoo_need(kill(told[i], SIGCONT) == 0 && kill(untold[i], SIGCONT) == 0);
	for (size_t i = 0; i < 2 * N; i++)
		must_run(i);
	atomic_store(&board->go, 1);
	zoo_need(kill(parent, SIGCONT) == 0);
	for (size_t i = 0; i < N; i++) {
		zoo_join(told[i]);
		zoo_join(untold[i]);
	}
	zoo_join(continued);
	zoo_join(forgotten);
	zoo_join(parent);
	return zoo_end();
}
