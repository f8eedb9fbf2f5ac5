/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Areas that can be written but not read, or executed only, by their protection. */
#include "zoo.h"

#include <string.h>
#include <sys/mman.h>

#define PAGE 4096UL

int main(void)
{
	unsigned char *wo, *xo, *shared;
	char *flags;

	zoo_start();
	wo = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	xo = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	shared = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	zoo_need(wo != MAP_FAILED && xo != MAP_FAILED && shared != MAP_FAILED);
	zoo_fill(wo, 5 * PAGE, 1);
	zoo_fill(shared, PAGE, 2);
	memcpy(xo, "\xb8\x2b\x00\x00\x00\xc3", 6); /* mov $43, %eax; ret */
	zoo_need(mprotect(wo, 8 * PAGE, PROT_WRITE) == 0);
	zoo_need(mprotect(shared, 2 * PAGE, PROT_WRITE) == 0);
	zoo_need(mprotect(xo, PAGE, PROT_EXEC) == 0);
	zoo_ready();
	zoo_wait();

	flags = zoo_smaps(wo, "VmFlags");
	zoo_check(!strncmp(flags, "wr ", 3), "write-only: flags %s", flags);
	flags = zoo_smaps(shared, "VmFlags");
	zoo_check(!strncmp(flags, "wr sh", 5), "write-only, shared: flags %s", flags);
	flags = zoo_smaps(xo, "VmFlags");
	zoo_check(!strncmp(flags, "ex ", 3), "execute-only: flags %s", flags);
	zoo_same(((int (*)(void))(uintptr_t)xo)(), 43);
	wo[6 * PAGE] = 6;
	zoo_need(mprotect(wo, 8 * PAGE, PROT_READ) == 0);
	zoo_check(zoo_filled(wo, 5 * PAGE, 1) && wo[6 * PAGE] == 6, "write-only contents");
	zoo_need(mprotect(shared, 2 * PAGE, PROT_READ) == 0);
	zoo_check(zoo_filled(shared, PAGE, 2) && shared[PAGE] == 0, "write-only shared contents");
	return zoo_end();
}
