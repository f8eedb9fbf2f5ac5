/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sessions and process groups in every constellation that a parent's children can be in: made
 * before and after the parent's setsid(2), groups of their own, of siblings, of cousins, of leaders
 * that have ended and been forgotten; children that made sessions, and their children.
 */
#include "zoo.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX = 32 };

/* What each process found when it was set up. */
struct seen {
	pid_t pid, ppid, sid, pgid;
};

static struct seen *seen;
static pid_t child[MAX];
static size_t n_children;

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
}

/* A child; in it, true. */
static bool make(void)
{
	pid_t pid = zoo_fork();

	if (pid == 0) {
		n_children = 0;
		return true;
	}
	zoo_need(n_children < MAX);
	child[n_children++] = pid;
	return false;
}

/* The rest of a child's life. */
static void stay(size_t i)
{
	note(i);
	zoo_here();
	zoo_wait();
	check(i);
	for (size_t k = 0; k < n_children; k++)
		zoo_join(child[k]);
	zoo_leave();
}

/* Joins a group whose leader then ends and is forgotten. */
static void join_dead_leader(size_t i)
{
	pid_t leader = zoo_fork();

	if (leader == 0) {
		zoo_need(setpgid(0, 0) == 0);
		zoo_here();
		for (;;)
			pause();
	}
	if (make()) {
		zoo_need(setpgid(0, leader) == 0);
		stay(i);
	}
	if (make()) {
		zoo_need(setpgid(0, leader) == 0);
		stay(i + 1);
	}
	zoo_need(kill(leader, SIGKILL) == 0 && waitpid(leader, NULL, 0) == leader);
}

/* Has children before and after it makes a session; each has a child again. */
static void changing_parent(size_t i)
{
	if (make()) {
		if (make())
			stay(i + 2);
		stay(i + 1);
	}
	if (make()) {
		zoo_need(setpgid(0, 0) == 0);
		stay(i + 3);
	}
	zoo_need(setsid() == getpid());
	if (make()) {
		if (make()) {
			zoo_need(setsid() == getpid());
			stay(i + 5);
		}
		stay(i + 4);
	}
	if (make()) {
		zoo_need(setpgid(0, 0) == 0);
		if (make()) /* in its parent's group, and its parent goes back */
			stay(i + 7);
		zoo_need(setpgid(0, getppid()) == 0);
		stay(i + 6);
	}
	stay(i);
}

int main(void)
{
	zoo_start();
	seen = zoo_shared(MAX * sizeof(*seen));
	if (make()) /* in our group */
		stay(1);
	if (make()) { /* leads a group */
		zoo_need(setpgid(0, 0) == 0);
		stay(2);
	}
	if (make()) { /* in the group of its elder sibling */
		zoo_need(setpgid(0, seen[2].pid) == 0);
		if (make()) { /* and its child leads one */
			zoo_need(setpgid(0, 0) == 0);
			stay(4);
		}
		stay(3);
	}
	if (make()) { /* in that of its niece */
		zoo_need(setpgid(0, seen[4].pid) == 0);
		stay(5);
	}
	join_dead_leader(6);
	if (make())
		changing_parent(8);
	note(0);
	zoo_ready();
	zoo_wait();
	check(0);
	for (size_t k = 0; k < n_children; k++)
		zoo_join(child[k]);
	return zoo_end();
}
