/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Children that have ended: what waitid(2) tells of them, in which way they ended, and as whom. */
#include "zoo.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

static const struct end {
	int status; /* of _exit(), or */
	int sig;
	uid_t uid;
} ends[] = {
	{ .status = 0 },    { .status = 1 },
	{ .status = 42 },   { .status = 128 },
	{ .status = 255 },  { .status = 7, .uid = NOBODY },
	{ .sig = SIGKILL }, { .sig = SIGSEGV },
	{ .sig = SIGTERM }, { .sig = SIGABRT },
	{ .sig = SIGHUP },  { .sig = SIGTRAP },
	{ .sig = SIGALRM }, { .sig = SIGPIPE, .uid = NOBODY },
	{ .sig = 34 },	    { .sig = 64 },
};

#define N (sizeof(ends) / sizeof(ends[0]))

/* In a pid namespace without a /proc of its own, nobody can look. */
static bool proc_is_ours;

/* The zombie's name, too: 3rd field of its status file. */
static void check_name(pid_t pid, size_t i)
{
	char path[64], want[16], *name;

	if (!proc_is_ours)
		return;
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	snprintf(want, sizeof(want), "ended-%zu", i);
	name = zoo_field(path, "Name");
	zoo_check(!strcmp(name, want), "zombie %zu is called %s", i, name);
	free(name);
}

static pid_t make(size_t i)
{
	const struct rlimit none = { 0, 0 };
	const struct end *e = &ends[i];
	char name[16];
	pid_t child = fork();

	zoo_need(child >= 0);
	if (child)
		return child;
	snprintf(name, sizeof(name), "ended-%zu", i);
	prctl(PR_SET_NAME, name);
	setrlimit(RLIMIT_CORE, &none);
	if (e->uid && setresuid(e->uid, e->uid, e->uid) < 0)
		_exit(99);
	if (e->sig)
		kill(getpid(), e->sig);
	_exit(e->status);
}

static void check(pid_t child, size_t i)
{
	const struct end *e = &ends[i];
	siginfo_t si = { 0 };

	check_name(child, i);
	/* Looking at it, without forgetting it, and then for good. */
	zoo_need(waitid(P_PID, (id_t)child, &si, WEXITED | WNOHANG | WNOWAIT) == 0);
	zoo_same(si.si_pid, child);
	si = (siginfo_t){ 0 };
	zoo_need(waitid(P_PID, (id_t)child, &si, WEXITED | WNOHANG) == 0);
	zoo_same(si.si_signo, SIGCHLD);
	zoo_same(si.si_code, e->sig ? CLD_KILLED : CLD_EXITED);
	zoo_same(si.si_status, e->sig ? e->sig : e->status);
	zoo_same(si.si_uid, e->uid);
	errno = 0;
	zoo_check(waitid(P_PID, (id_t)child, &si, WEXITED | WNOHANG) < 0 && errno == ECHILD,
		  "child %zu can be waited for twice", i);
}

int main(void)
{
	pid_t child[N];
	siginfo_t si;

	zoo_start();
	if (getuid() != 0)
		zoo_skip("needs root, to have children of others");
	for (size_t i = 0; i < N; i++)
		child[i] = make(i);
	for (size_t i = 0; i < N; i++)
		zoo_need(waitid(P_PID, (id_t)child[i], &si, WEXITED | WNOWAIT) == 0);
	zoo_ready();
	zoo_wait();
	proc_is_ours = zoo_number("/proc/self/status", "Pid") == getpid();
	for (size_t i = 0; i < N; i++)
		check(child[i], i);
	errno = 0;
	zoo_check(wait(NULL) < 0 && errno == ECHILD, "there are other children");
	return zoo_end();
}
