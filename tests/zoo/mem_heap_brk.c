/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The heap: what is in it, and that brk goes on from where it ended, up and down. */
#include "zoo.h"

#include <malloc.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BLOCKS	   500
#define BLOCK_SIZE 3001

int main(void)
{
	static unsigned char *block[BLOCKS];
	unsigned long end, more;

	zoo_start();
	zoo_need(mallopt(M_MMAP_MAX, 0));
	for (int i = 0; i < BLOCKS; i++) {
		block[i] = malloc(BLOCK_SIZE);
		zoo_need(block[i]);
		zoo_fill(block[i], BLOCK_SIZE, (uint64_t)i);
	}
	for (int i = 0; i < BLOCKS; i += 3) {
		free(block[i]);
		block[i] = NULL;
	}
	end = (unsigned long)syscall(SYS_brk, 0);
	zoo_ready();
	zoo_wait();

	zoo_same(syscall(SYS_brk, 0), end);
	for (int i = 0; i < BLOCKS; i++)
		zoo_check(!block[i] || zoo_filled(block[i], BLOCK_SIZE, (uint64_t)i), "block %d",
			  i);
	/* The allocator's own lists must still hold together. */
	for (int i = 0; i < BLOCKS; i += 3) {
		block[i] = malloc(BLOCK_SIZE);
		zoo_check(block[i], "malloc %d", i);
		zoo_fill(block[i], BLOCK_SIZE, (uint64_t)i);
	}
	end = (unsigned long)syscall(SYS_brk, 0);
	more = (unsigned long)syscall(SYS_brk, end + (16UL << 20));
	zoo_same(more, end + (16UL << 20));
	for (unsigned long a = end; a < more; a += 4096)
		zoo_check(*(long *)a == 0, "new heap page not zero");
	zoo_same(syscall(SYS_brk, end), end);
	zoo_check(!zoo_mapped((void *)(end + (8UL << 20))), "the heap did not shrink");
	for (int i = 0; i < BLOCKS; i++) {
		zoo_check(zoo_filled(block[i], BLOCK_SIZE, (uint64_t)i), "block %d at the end", i);
		free(block[i]);
	}
	return zoo_end();
}
