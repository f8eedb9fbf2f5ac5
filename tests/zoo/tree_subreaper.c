/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Orphans: adopted by a subreaper of the tree, out of sessions whose leader lives, is a zombie, or
 * is gone; groups of orphans; orphans with children; adopted by a subreaper that is not the root.
 */
#include "zoo.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX = 32, LEN = 4 * 4096 };

struct seen {
	pid_t pid, ppid, sid, pgid;
};

static struct seen *seen;
static unsigned char *memory; /* each has its own contents there */

static void note(size_t i)
{
	seen[i] = (struct seen){ getpid(), getppid(), getsid(0), getpgrp() };
}

static void check(size_t i)
{
	zoo_same(getpid(), seen[i].pid);
	if (i) /* the root's is whoever restored it */
		zoo_same(getppid(), seen[i].ppid);
	zoo_same(getsid(0), seen[i].sid);
	zoo_same(getpgrp(), seen[i].pgid);
	zoo_check(zoo_filled(memory, LEN, 0), "the memory from the ancestor differs in %zu", i);
	zoo_check(zoo_filled(memory + LEN, LEN, i), "the own memory differs in %zu", i);
}

/* The life of an orphan, once its parent has ended. */
static void stay(size_t i, pid_t parent)
{
	zoo_fill(memory + LEN, LEN, i);
	while (getppid() == parent)
		zoo_sleep_ms(1);
	note(i);
	zoo_wait();
	check(i);
	zoo_leave();
}

/* A child of a process that is about to end. */
static void orphan(size_t i)
{
	pid_t parent = getpid(), child = fork();

	zoo_need(child >= 0);
	if (child == 0)
		stay(i, parent);
}

static void in_own_group(size_t i)
{
	pid_t parent = getpid(), child = fork();

	zoo_need(child >= 0);
	if (child == 0) {
		zoo_need(setpgid(0, 0) == 0);
		stay(i, parent);
	}
}

/* An orphan that has a child itself, which made a session. */
static void with_child(size_t i)
{
	pid_t parent = getpid(), self = fork(), child;

	zoo_need(self >= 0);
	if (self)
		return;
	child = fork();
	zoo_need(child >= 0);
	if (child == 0) {
		zoo_need(setsid() == getpid());
		zoo_fill(memory + LEN, LEN, i + 1);
		note(i + 1);
		zoo_wait();
		check(i + 1);
		zoo_leave();
	}
	zoo_fill(memory + LEN, LEN, i);
	while (getppid() == parent)
		zoo_sleep_ms(1);
	note(i);
	zoo_wait();
	check(i);
	zoo_join(child);
	zoo_leave();
}

static void end_of(pid_t child, bool forget)
{
	siginfo_t si;

	zoo_need(child > 0);
	zoo_need(waitid(P_PID, (id_t)child, &si, WEXITED | (forget ? 0 : WNOWAIT)) == 0);
}

/* Orphans 1 to 9, all of the caller. */
static void make_orphans(size_t base)
{
	pid_t child = fork();

	/* in the caller's session */
	if (child == 0) {
		orphan(base + 1);
		in_own_group(base + 2);
		_exit(0);
	}
	end_of(child, true);
	/* in the session of one who is gone */
	child = fork();
	if (child == 0) {
		zoo_need(setsid() == getpid());
		orphan(base + 3);
		orphan(base + 4);
		in_own_group(base + 5);
		with_child(base + 6); /* and 7 */
		_exit(0);
	}
	end_of(child, true);
	/* in that of a zombie */
	child = fork();
	if (child == 0) {
		zoo_need(setsid() == getpid());
		orphan(base + 8);
		in_own_group(base + 9);
		_exit(0);
	}
	end_of(child, false);
}

static void wait_until_noted(size_t from, size_t to)
{
	for (size_t i = from; i <= to; i++)
		while (!((volatile struct seen *)seen)[i].pgid)
			zoo_sleep_ms(1);
}

/* All children end well, whoever bore them. */
static void join_all(size_t n)
{
	int status;
	pid_t pid;

	for (; n; n--) {
		pid = wait(&status);
		zoo_check(pid > 0 && status == 0, "process %d ended with status %#x", pid,
			  (unsigned)status);
	}
	errno = 0;
	zoo_check(wait(NULL) < 0 && errno == ECHILD, "there are other children");
}

/* Beneath the root, in a session of its own, a second reaper. */
static void second(void)
{
	zoo_here();
	zoo_need(setsid() == getpid());
	zoo_need(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	make_orphans(10);
	wait_until_noted(11, 19);
	note(10);
	zoo_fill(memory + LEN, LEN, 10);
	zoo_wait();
	check(10);
	join_all(9); /* 8 orphans, and the zombie */
	zoo_leave();
}

int main(void)
{
	pid_t child;

	zoo_start();
	seen = zoo_shared(MAX * sizeof(*seen));
	memory = mmap(NULL, 2 * LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	zoo_need(memory != MAP_FAILED);
	zoo_fill(memory, LEN, 0);
	zoo_need(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	child = zoo_fork();
	if (child == 0)
		second();
	make_orphans(0);
	wait_until_noted(1, 19);
	note(0);
	zoo_fill(memory + LEN, LEN, 0);
	zoo_ready();
	zoo_wait();
	check(0);
	join_all(10);
	return zoo_end();
}
