/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private anonymous memory: written, zeroed, never touched, dropped again, and cut into pieces. */
#include "zoo.h"

#include <string.h>
#include <sys/mman.h>

#define PAGE  4096UL
#define PAGES 256UL

int main(void)
{
	unsigned char *a, *b;

	zoo_start();
	a = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	zoo_need(a != MAP_FAILED);
	for (unsigned long i = 0; i < PAGES; i++) {
		if (i % 4 == 0)
			zoo_fill(a + i * PAGE, PAGE, i);
		if (i % 4 == 1)
			memset(a + i * PAGE, 0, PAGE);
		if (i % 4 == 2) {
			memset(a + i * PAGE, 7, PAGE);
			zoo_need(madvise(a + i * PAGE, PAGE, MADV_DONTNEED) == 0);
		}
	}
	/* One non-zero byte, the last of its page. */
	a[4 * PAGE - 1] = 1;

	b = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
		 -1, 0);
	zoo_need(b != MAP_FAILED);
	zoo_fill(b, 16 * PAGE, 1000);
	zoo_need(munmap(b + 3 * PAGE, PAGE) == 0);
	zoo_need(mprotect(b + 8 * PAGE, 2 * PAGE, PROT_READ) == 0);
	memcpy(b, "\xb8\x2a\x00\x00\x00\xc3", 6); /* mov $42, %eax; ret */
	zoo_ready();
	zoo_wait();

	for (unsigned long i = 0; i < PAGES; i++) {
		unsigned char *p = a + i * PAGE;

		if (i % 4 == 0)
			zoo_check(zoo_filled(p, PAGE, i), "page %lu", i);
		else if (i == 3)
			zoo_check(p[PAGE - 1] == 1 && p[0] == 0 && !memcmp(p, p + 1, PAGE - 2),
				  "page 3");
		else
			zoo_check(p[0] == 0 && !memcmp(p, p + 1, PAGE - 1), "page %lu not zero", i);
	}
	/* What is dropped now must come back as zeros. */
	zoo_need(madvise(a, PAGE, MADV_DONTNEED) == 0);
	zoo_check(a[0] == 0 && !memcmp(a, a + 1, PAGE - 1), "a dropped page has contents");

	zoo_same(((int (*)(void))(uintptr_t)b)(), 42);
	zoo_check(!memcmp(b, "\xb8\x2a\x00\x00\x00\xc3", 6), "code");
	zoo_check(!zoo_mapped(b + 3 * PAGE), "the hole is filled");
	zoo_check(zoo_mapped(b + 2 * PAGE) && zoo_mapped(b + 4 * PAGE), "its edges are gone");
	zoo_check(!zoo_faults(b + 9 * PAGE, false), "read of the read-only piece");
	zoo_check(zoo_faults(b + 9 * PAGE, true), "the read-only piece can be written");
	zoo_check(!zoo_faults(b + 10 * PAGE, true), "the piece behind cannot be written");
	for (int i = 1; i < 16; i++) {
		unsigned char want[16 * PAGE];

		zoo_fill(want, sizeof(want), 1000);
		if (i != 3)
			zoo_check(!memcmp(b + (unsigned long)i * PAGE,
					  want + (unsigned long)i * PAGE, PAGE),
				  "piece page %d", i);
	}
	return zoo_end();
}
