/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: timeout=60 */
/* 10,000 areas that cannot be merged. */
#include "zoo.h"

#include <sys/mman.h>

#define PAGE  4096UL
#define AREAS 10000UL

int main(void)
{
	unsigned char *p;

	zoo_start();
	p = mmap(NULL, AREAS * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	zoo_need(p != MAP_FAILED);
	for (unsigned long i = 0; i < AREAS; i++) {
		if (i % 3)
			*(unsigned long *)(p + i * PAGE) = i;
		zoo_need(mprotect(p + i * PAGE, PAGE, i % 2 ? PROT_READ : PROT_READ | PROT_WRITE) ==
			 0);
	}
	zoo_ready();
	zoo_wait();

	for (unsigned long i = 0; i < AREAS; i++)
		zoo_check(*(unsigned long *)(p + i * PAGE) == (i % 3 ? i : 0), "area %lu", i);
	for (unsigned long i = 0; i < AREAS; i += 97)
		zoo_check(zoo_faults(p + i * PAGE, true) == (i % 2), "area %lu: protection", i);
	return zoo_end();
}
