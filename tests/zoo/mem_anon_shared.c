/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared anonymous memory: one object seen twice, split by protections, partly unmapped; /dev/zero
 * too. */
#include "zoo.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE  4096UL
#define PAGES 32UL

int main(void)
{
	static unsigned char want[PAGES * PAGE];
	unsigned char *a, *twin, *zero, *apart;
	int fd;

	zoo_start();
	a = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	zoo_need(a != MAP_FAILED);
	zoo_fill(a, 16 * PAGE, 1);
	/* The second half is never touched. mremap(2): an old size of 0 maps the same object again.
	 */
	twin = mremap(a, 0, PAGES * PAGE, MREMAP_MAYMOVE);
	zoo_need(twin != MAP_FAILED);
	a[20 * PAGE] = 20;
	zoo_need(twin[20 * PAGE] == 20);
	zoo_need(mprotect(a + 4 * PAGE, 2 * PAGE, PROT_READ) == 0);
	zoo_need(mprotect(a + 8 * PAGE, PAGE, PROT_NONE) == 0);
	zoo_need(munmap(a + 10 * PAGE, 2 * PAGE) == 0);

	/* Same size, same place in the file, but another object. */
	apart = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	zoo_need(apart != MAP_FAILED);
	zoo_fill(apart, PAGES * PAGE, 5);
	zoo_need(munmap(apart, 3 * PAGE) == 0); /* what is left does not begin at offset 0 */

	fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
	zoo_need(fd >= 0);
	zero = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	zoo_need(zero != MAP_FAILED && close(fd) == 0);
	zoo_fill(zero, PAGE, 6);
	zoo_ready();
	zoo_wait();

	zoo_check(zoo_filled(twin, 16 * PAGE, 1), "contents");
	zoo_check(zoo_filled(a, 4 * PAGE, 1), "contents of the first mapping");
	zoo_same(a[20 * PAGE], 20);
	zoo_same(a[21 * PAGE], 0);
	for (unsigned long i = 0; i < PAGES; i++) {
		if (i >= 4 && i < 12 && i != 6 && i != 7 && i != 9)
			continue;
		a[i * PAGE + 99] = (unsigned char)(i + 1);
		zoo_check(twin[i * PAGE + 99] == i + 1, "page %lu is not shared any more", i);
	}
	twin[4 * PAGE] = 44;
	zoo_same(a[4 * PAGE], 44);
	zoo_check(zoo_faults(a + 5 * PAGE, true), "the read-only piece can be written");
	zoo_check(zoo_faults(a + 8 * PAGE, false), "the hidden piece can be read");
	zoo_check(!zoo_mapped(a + 10 * PAGE) && !zoo_mapped(a + 11 * PAGE), "the hole is filled");
	zoo_need(mprotect(a + 8 * PAGE, PAGE, PROT_READ | PROT_WRITE) == 0);
	a[8 * PAGE] = 88;
	zoo_same(twin[8 * PAGE], 88);

	zoo_fill(want, sizeof(want), 5);
	zoo_check(!zoo_mapped(apart), "the unmapped head is back");
	zoo_check(!memcmp(apart + 3 * PAGE, want + 3 * PAGE, (PAGES - 3) * PAGE),
		  "the other object");
	zoo_check(zoo_filled(zero, PAGE, 6) && zero[PAGE] == 0, "/dev/zero shared");
	/* The object's own size still reaches back to what is unmapped here. */
	twin = mremap(apart + 3 * PAGE, 0, PAGE, MREMAP_MAYMOVE);
	zoo_check(twin != MAP_FAILED && !memcmp(twin, want + 3 * PAGE, PAGE), "mapped again");
	return zoo_end();
}
