/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: exclusive timeout=60 */
/* 256 MiB: random pages, zero pages and never-touched ones; the process does not get bigger. */
#include "zoo.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE  4096UL
#define PAGES (256UL << 20 >> 12)

/* Which page holds what, in runs of uneven length. */
static int page_kind(unsigned long i)
{
	return (int)((i / 7 + i / 61) % 4);
}

int main(void)
{
	unsigned char *p;
	long long rss, now;
	char *thp;

	zoo_start();
	p = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	zoo_need(p != MAP_FAILED);
	for (unsigned long i = 0; i < PAGES; i++) {
		if (page_kind(i) < 2)
			zoo_fill(p + i * PAGE, PAGE, i);
		else if (page_kind(i) == 2)
			p[i * PAGE] = 0; /* touched, but zero */
	}
	rss = zoo_number("/proc/self/status", "RssAnon");
	thp = zoo_smaps(p, "AnonHugePages");
	zoo_need(rss > 0);
	zoo_ready();
	zoo_wait();

	now = zoo_number("/proc/self/status", "RssAnon");
	zoo_check(now <= rss + rss / 10,
		  "resident memory grew from %lld to %lld KiB (huge pages %s)", rss, now, thp);
	for (unsigned long i = 0; i < PAGES; i++) {
		if (page_kind(i) < 2)
			zoo_check(zoo_filled(p + i * PAGE, PAGE, i), "page %lu", i);
		else
			zoo_check(p[i * PAGE] == 0 &&
					  !memcmp(p + i * PAGE, p + i * PAGE + 1, PAGE - 1),
				  "page %lu not zero", i);
	}
	return zoo_end();
}
