/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A deep stack, one that can still grow afterwards, and a MAP_GROWSDOWN area that can too. */
#include "zoo.h"

#include <sys/mman.h>
#include <unistd.h>

#define GROW_PAGES 64
#define PAGE	   4096

/* Each frame holds a pattern and checks it on the way back. */
static __attribute__((noinline)) int deep(int depth, int bottom, void (*at_bottom)(void))
{
	volatile unsigned char frame[1000];
	int n;

	zoo_fill((void *)(uintptr_t)frame, sizeof(frame), (uint64_t)depth);
	if (depth == bottom) {
		at_bottom();
		n = 0;
	} else {
		n = deep(depth + 1, bottom, at_bottom);
	}
	zoo_check(zoo_filled((void *)(uintptr_t)frame, sizeof(frame), (uint64_t)depth), "frame %d",
		  depth);
	return n + 1;
}

static void nothing(void)
{
}

static void wait_here(void)
{
	zoo_ready();
	zoo_wait();
	/* 2 MiB deeper than ever before. */
	zoo_same(deep(4001, 6000, nothing), 2000);
}

int main(void)
{
	unsigned char *room, *grow;

	zoo_start();
	/* A hole of 16 MiB with a growing area of two pages near its end. */
	room = mmap(NULL, 16 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	zoo_need(room != MAP_FAILED && munmap(room, 16 << 20) == 0);
	grow = mmap(room + (14 << 20), 2 * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
	zoo_need(grow != MAP_FAILED);
	zoo_fill(grow, 2 * PAGE, 1);
	grow[-PAGE] = 1; /* it has grown before */

	zoo_same(deep(1, 4000, wait_here), 4000);
	zoo_check(zoo_filled(grow, 2 * PAGE, 1), "the growing area");
	zoo_same(grow[-PAGE], 1);
	for (int i = 2; i < GROW_PAGES; i++)
		grow[-(long)i * PAGE] = (unsigned char)i;
	for (int i = 2; i < GROW_PAGES; i++)
		zoo_same(grow[-(long)i * PAGE], i);
	return zoo_end();
}
