/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Children of a process that is no subreaper, in sessions that are not its own and whose leaders
 * are gone: made by a child that led the session, with CLONE_PARENT; or adopted while the process
 * was a subreaper. It knows each of them, and no signal of anyone else.
 */
#include "zoo.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STRAYS = 3 };

struct seen {
	pid_t pid, ppid, sid, pgid;
};

static struct seen *seen;
static atomic_int *may_end;
static volatile sig_atomic_t told;

static void on_child(int sig)
{
	(void)sig;
	told++;
}

static pid_t raw_clone(unsigned long flags)
{
	return (pid_t)syscall(SYS_clone, flags, 0, 0, 0, 0);
}

static void live(size_t i, pid_t parent)
{
	while (getppid() != parent)
		zoo_sleep_ms(1);
	seen[i] = (struct seen){ getpid(), getppid(), getsid(0), getpgrp() };
	zoo_wait();
	while (!atomic_load(may_end))
		zoo_sleep_ms(1);
	zoo_same(getpid(), seen[i].pid);
	zoo_same(getppid(), seen[i].ppid);
	zoo_same(getsid(0), seen[i].sid);
	zoo_same(getpgrp(), seen[i].pgid);
	zoo_leave();
}

/* By one who leads a session and ends. */
static void make_strays(void)
{
	pid_t parent = getpid(), leader = fork(), between;

	zoo_need(leader >= 0);
	if (leader == 0) {
		zoo_need(setsid() == getpid());
		if (raw_clone(CLONE_PARENT | SIGCHLD) == 0)
			live(0, parent);
		if (raw_clone(CLONE_PARENT | SIGCHLD) == 0) {
			zoo_need(setpgid(0, 0) == 0);
			live(1, parent);
		}
		_exit(0);
	}
	zoo_need(waitpid(leader, NULL, 0) == leader);
	zoo_need(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	between = fork();
	if (between == 0) {
		zoo_need(setsid() == getpid());
		if (fork() == 0)
			live(2, parent);
		_exit(0);
	}
	zoo_need(waitpid(between, NULL, 0) == between);
	zoo_need(prctl(PR_SET_CHILD_SUBREAPER, 0) == 0);
	for (size_t i = 0; i < STRAYS; i++)
		while (!((volatile struct seen *)seen)[i].pgid)
			zoo_sleep_ms(1);
}

int main(void)
{
	struct sigaction sa = { .sa_handler = on_child };
	sigset_t child, pending;
	int reaps = 1;

	zoo_start();
	seen = zoo_shared(STRAYS * sizeof(*seen));
	may_end = zoo_shared(sizeof(*may_end));
	make_strays();
	sigaction(SIGCHLD, &sa, NULL);
	zoo_ready();
	zoo_wait();

	zoo_check(told == 0, "it was told of children that live");
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	atomic_store(may_end, 1);
	zoo_need(prctl(PR_GET_CHILD_SUBREAPER, &reaps) == 0);
	zoo_same(reaps, 0);
	for (size_t i = 0; i < STRAYS; i++) {
		zoo_same(getsid(seen[i].pid), seen[i].sid);
		zoo_join(seen[i].pid);
	}
	zoo_check(waitpid(-1, NULL, 0) < 0 && errno == ECHILD, "there is another child");
	sigpending(&pending);
	zoo_check(sigismember(&pending, SIGCHLD) == 1, "it was not told of its children");
	return zoo_end();
}
