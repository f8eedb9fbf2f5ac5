/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: swap */
/* Pages that are swapped out. */
#include "zoo.h"

#include <sys/mman.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

#define SIZE (16UL << 20)

int main(void)
{
	unsigned char *private, *shared;

	zoo_start();
	private = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	shared = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	zoo_need(private != MAP_FAILED && shared != MAP_FAILED);
	zoo_fill(private, SIZE, 1);
	zoo_fill(shared, SIZE, 2);
	for (int i = 0; i < 200 && zoo_number("/proc/self/status", "VmSwap") < 8 << 10; i++) {
		zoo_need(madvise(private, SIZE, MADV_PAGEOUT) == 0);
		zoo_need(madvise(shared, SIZE, MADV_PAGEOUT) == 0);
		zoo_sleep_ms(5);
	}
	if (zoo_number("/proc/self/status", "VmSwap") < 8 << 10)
		zoo_skip("nothing was swapped out: no swap space");
	zoo_ready();
	zoo_wait();
	zoo_check(zoo_filled(private, SIZE, 1), "private contents");
	zoo_check(zoo_filled(shared, SIZE, 2), "shared contents");
	return zoo_end();
}
