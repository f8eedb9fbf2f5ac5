/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: busy forks */
/*
 * Two parents that make children as fast as they can, which make grandchildren, and some of them
 * execute a program: none is lost, none ends otherwise than it should.
 */
#include "zoo.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_int *made;

static void make_one(int n)
{
	int status = -1;
	pid_t pid = fork();

	zoo_check(pid >= 0, "fork");
	if (pid == 0) {
		pid_t below = n % 3 ? 0 : fork();

		if (below == 0 && n % 3 == 0)
			_exit(n % 100);
		if (n % 5 == 0)
			execl("/proc/self/exe", "tree_forks", "42", NULL);
		if (below && (waitpid(below, &status, 0) != below || status != n % 100 << 8))
			_exit(101);
		_exit(n % 5 ? n % 100 : 102);
	}
	zoo_same(waitpid(pid, &status, 0), pid);
	zoo_same(status, (n % 5 ? n % 100 : 42) << 8);
	atomic_fetch_add(made, 1);
}

static void make_many(void)
{
	for (int n = 0; !zoo_gone(); n++)
		make_one(n);
	/* And some more. */
	for (int n = 0; n < 20; n++)
		make_one(n);
}

int main(int argc, char **argv)
{
	pid_t pid;

	if (argc > 1)
		return atoi(argv[1]);
	zoo_start();
	made = zoo_shared(sizeof(*made));
	pid = zoo_fork();
	if (pid == 0) {
		zoo_here();
		make_many();
		zoo_leave();
	}
	while (atomic_load(made) < 10)
		make_one(atomic_load(made));
	zoo_ready();
	make_many();
	zoo_join(pid);
	return zoo_end();
}
