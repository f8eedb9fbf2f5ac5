/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* 4 TiB of reserved addresses cost nothing; data behind PROT_NONE is kept all the same. */
#include "zoo.h"

#include <sys/mman.h>

#define PAGE	 4096UL
#define TERABYTE (1UL << 40)
#define HIDDEN	 (64 * PAGE)

int main(void)
{
	unsigned char *big, *hidden;
	long long rss;

	zoo_start();
	big = mmap(NULL, 4 * TERABYTE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		   0);
	zoo_need(big != MAP_FAILED);
	/* A piece in the middle is in use, as garbage collectors do it. */
	zoo_need(mprotect(big + TERABYTE, HIDDEN, PROT_READ | PROT_WRITE) == 0);
	zoo_fill(big + TERABYTE, HIDDEN, 1);
	/* And one was in use, and is hidden now with its contents. */
	hidden = big + 2 * TERABYTE;
	zoo_need(mprotect(hidden, HIDDEN, PROT_READ | PROT_WRITE) == 0);
	zoo_fill(hidden, HIDDEN, 2);
	zoo_need(mprotect(hidden, HIDDEN, PROT_NONE) == 0);
	rss = zoo_number("/proc/self/status", "RssAnon");
	zoo_ready();
	zoo_wait();

	zoo_check(zoo_number("/proc/self/status", "RssAnon") <= rss + 1024,
		  "resident memory grew: %lld", zoo_number("/proc/self/status", "RssAnon"));
	zoo_check(zoo_filled(big + TERABYTE, HIDDEN, 1), "the piece in use");
	zoo_check(zoo_mapped(big) && zoo_mapped(big + 4 * TERABYTE - PAGE), "the reserve is gone");
	zoo_check(zoo_faults(hidden, false), "the hidden piece can be read");
	zoo_check(zoo_faults(big + TERABYTE - PAGE, false), "the reserve can be read");
	zoo_check(zoo_faults(big + TERABYTE + HIDDEN, false), "the reserve can be read");
	zoo_need(mprotect(hidden, HIDDEN, PROT_READ | PROT_WRITE) == 0);
	zoo_check(zoo_filled(hidden, HIDDEN, 2), "the hidden contents");
	zoo_need(mprotect(big, HIDDEN, PROT_READ | PROT_WRITE) == 0);
	zoo_same(*(long *)big, 0);
	return zoo_end();
}
