/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory that processes share without a file: what one writes the others read, at whichever address
 * each has it, also when a part was unmapped, or only a grandchild still has it.
 */
#include "zoo.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, LEN = 64 * PAGE };

struct board {
	atomic_int turn;
	unsigned char pad[PAGE - sizeof(atomic_int)];
	unsigned char data[LEN];
};

static struct board *board;

static void wait_turn(int n)
{
	while (atomic_load(&board->turn) != n)
		zoo_sleep_ms(1);
}

/* Each in its turn finds what the one before wrote, and writes anew. */
static void take_part(int n, unsigned char *data)
{
	zoo_wait();
	wait_turn(n);
	zoo_check(zoo_filled(data, LEN, 10 + (uint64_t)n), "%d finds something else", n);
	zoo_fill(data, LEN, 11 + (uint64_t)n);
	atomic_store(&board->turn, n + 1);
}

/* It has it elsewhere, and its grandparent has forgotten this other piece. */
static void grandchild(unsigned char *only)
{
	unsigned char *moved =
		mremap(board->data, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED,
		       mmap(NULL, LEN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	zoo_need(moved != MAP_FAILED && moved != board->data);
	zoo_here();
	take_part(2, moved);
	zoo_check(zoo_filled(only, LEN, 77), "the piece that the others have forgotten");
	zoo_leave();
}

static void child(unsigned char *only)
{
	pid_t pid = zoo_fork();

	if (pid == 0)
		grandchild(only);
	zoo_need(munmap(only, LEN) == 0);
	zoo_here();
	take_part(1, board->data);
	zoo_join(pid);
	zoo_leave();
}

int main(void)
{
	unsigned char *only;
	pid_t pid;

	zoo_start();
	board = zoo_shared(sizeof(*board));
	only = zoo_shared(LEN);
	zoo_fill(only, LEN, 77);
	zoo_fill(board->data, LEN, 10);
	pid = zoo_fork();
	if (pid == 0)
		child(only);
	zoo_need(munmap(only, LEN) == 0);
	zoo_ready();
	take_part(0, board->data);
	wait_turn(3);
	zoo_check(zoo_filled(board->data, LEN, 13), "what the grandchild wrote last");
	zoo_join(pid);
	return zoo_end();
}
