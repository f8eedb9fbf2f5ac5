/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * No SIGCHLD that was not there before: handlers count them, in a parent that has running, stopped,
 * continued and ended children; a pending one stays, with whose it is; and later ones come.
 */
#include "zoo.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t n_came;

static atomic_int *turn, *looked;

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
		while (!atomic_load(turn))
			zoo_sleep_ms(2);
		zoo_leave();
	}
	return pid;
}

static pid_t ended(int status)
{
	siginfo_t si;
	pid_t pid = fork();

	zoo_need(pid >= 0);
	if (pid == 0)
		_exit(status);
	zoo_need(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT) == 0);
	return pid;
}

static void stop(pid_t pid, bool forget)
{
	siginfo_t si;

	zoo_need(kill(pid, SIGSTOP) == 0);
	zoo_need(waitid(P_PID, (id_t)pid, &si, WSTOPPED | (forget ? 0 : WNOWAIT)) == 0);
}

/* A parent that blocks the signal: exactly one is pending, of the first that ended. */
static void blocking_parent(bool pending)
{
	const struct timespec none = { 0, 0 };
	pid_t first = 0, second = 0, child = 0;
	sigset_t set;
	siginfo_t si;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGCHLD, on_child);
	child = runner();
	if (pending) {
		first = ended(11);
		second = ended(12);
	} else {
		second = ended(13);
		stop(child, true);
		while (sigtimedwait(&set, &si, &none) == SIGCHLD)
			;
	}
	zoo_here();
	zoo_wait();
	zoo_same(n_came, 0);
	if (pending) {
		zoo_same(sigtimedwait(&set, &si, &none), SIGCHLD);
		zoo_same(si.si_pid, first);
		zoo_same(si.si_status, 11);
		zoo_same(si.si_code, CLD_EXITED);
	}
	zoo_check(sigtimedwait(&set, &si, &none) < 0 && errno == EAGAIN,
		  "a SIGCHLD of process %d (code %d) is pending", si.si_pid, si.si_code);
	kill(child, SIGCONT);
	atomic_fetch_add(looked, 1);
	zoo_join(child);
	if (first)
		zoo_same(waitpid(first, NULL, 0), first);
	zoo_same(waitpid(second, NULL, 0), second);
	zoo_same(sigtimedwait(&set, &si, &none), SIGCHLD);
	zoo_leave();
}

int main(void)
{
	struct sigaction sa = { .sa_handler = on_child, .sa_flags = SA_RESTART };
	pid_t child[6], end[2];
	int before;

	zoo_start();
	turn = zoo_shared(2 * sizeof(*turn));
	looked = turn + 1;
	child[0] = zoo_fork();
	if (child[0] == 0)
		blocking_parent(true);
	child[1] = zoo_fork();
	if (child[1] == 0)
		blocking_parent(false);
	zoo_need(sigaction(SIGCHLD, &sa, NULL) == 0);
	for (int i = 2; i < 6; i++)
		child[i] = runner();
	end[0] = ended(1);
	end[1] = ended(2);
	stop(child[2], true);
	stop(child[3], false);
	stop(child[4], true);
	zoo_need(kill(child[4], SIGCONT) == 0);
	zoo_need(waitid(P_PID, (id_t)child[4], &(siginfo_t){ 0 }, WCONTINUED) == 0);
	/* Two ends, three stops, and the child that goes on tells of that when it runs again. */
	for (int i = 0; i < 5000 && n_came < 6; i++)
		zoo_sleep_ms(1);
	before = n_came;
	zoo_need(before == 6);
	zoo_ready();
	zoo_wait();
	zoo_same(n_came, before);
	kill(child[2], SIGCONT);
	kill(child[3], SIGCONT);
	while (atomic_load(looked) < 2)
		zoo_sleep_ms(1);
	/* Two that went on, and six that end: some may be one signal. */
	atomic_store(turn, 1);
	for (int i = 0; i < 6; i++)
		zoo_join(child[i]);
	zoo_check(n_came > before && n_came <= before + 8, "%d signals came, %d before", n_came,
		  before);
	zoo_same(waitpid(end[0], NULL, 0), end[0]);
	zoo_same(waitpid(end[1], NULL, 0), end[1]);
	return zoo_end();
}
