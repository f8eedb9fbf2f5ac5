/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Many levels of children, two at each: who is whose parent, and everybody's own memory. */
#include "zoo.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LEVELS 24
#define LEN    (3 * 4096)

static void check_self(pid_t self, pid_t parent, const void *own, unsigned int seed)
{
	zoo_same(getpid(), self);
	if (parent)
		zoo_same(getppid(), parent);
	zoo_check(zoo_filled(own, LEN, seed), "the memory of level %u differs", seed);
}

static void *own_memory(unsigned int seed)
{
	void *p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	zoo_need(p != MAP_FAILED);
	zoo_fill(p, LEN, seed);
	return p;
}

static void leaf(pid_t parent, unsigned int seed)
{
	pid_t self = getpid();
	void *own = own_memory(seed);

	zoo_here();
	zoo_wait();
	check_self(self, parent, own, seed);
	zoo_leave();
}

static void level(unsigned int n, pid_t parent)
{
	pid_t self = getpid(), below = 0, beside;
	void *own = own_memory(n);

	beside = zoo_fork();
	if (beside == 0)
		leaf(self, 100 + n);
	if (n < LEVELS) {
		below = zoo_fork();
		if (below == 0) {
			level(n + 1, self);
			zoo_leave();
		}
	}
	if (parent)
		zoo_here();
	else
		zoo_ready();
	zoo_wait();
	check_self(self, parent, own, n);
	zoo_join(beside);
	if (below)
		zoo_join(below);
}

int main(void)
{
	zoo_start();
	level(0, 0);
	return zoo_end();
}
