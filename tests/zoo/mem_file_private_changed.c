/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A private map of a file with some pages changed: those are kept, the others are still the file's.
 */
#include "zoo.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE  4096UL
#define PAGES 16UL

int main(void)
{
	static unsigned char text[PAGES * PAGE];
	unsigned char *whole, *tail;
	int fd;

	zoo_start();
	zoo_fill(text, sizeof(text), 1);
	fd = open("file", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	zoo_need(fd >= 0 && write(fd, text, sizeof(text) - 1000) == sizeof(text) - 1000);
	whole = mmap(NULL, (PAGES + 2) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	zoo_need(whole != MAP_FAILED);
	tail = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE, fd, 6 * PAGE);
	zoo_need(tail != MAP_FAILED);
	zoo_need(close(fd) == 0);
	for (unsigned long i = 0; i < PAGES; i += 4)
		zoo_fill(whole + i * PAGE, PAGE, 100 + i);
	/* Changed, then made read-only. */
	zoo_need(mprotect(whole + 4 * PAGE, PAGE, PROT_READ) == 0);
	/* Written with what the file holds: still a copy, which a later change of the file must not
	 * reach. */
	*(volatile unsigned char *)(whole + 5 * PAGE) = text[5 * PAGE];
	/* Behind the end of the file, in its last page. */
	whole[PAGES * PAGE - 1] = 9;
	tail[PAGE] = 1;
	zoo_ready();
	zoo_wait();

	for (unsigned long i = 0; i < PAGES; i++) {
		unsigned char *p = whole + i * PAGE;

		if (i % 4 == 0)
			zoo_check(zoo_filled(p, PAGE, 100 + i), "changed page %lu", i);
		else
			zoo_check(!memcmp(p, text + i * PAGE, i == PAGES - 1 ? PAGE - 1000 : PAGE),
				  "page %lu", i);
	}
	zoo_same(whole[PAGES * PAGE - 1], 9);
	zoo_same(whole[PAGES * PAGE - 2], 0);
	zoo_check(zoo_faults(whole + PAGES * PAGE, false), "no SIGBUS behind the file's end");
	zoo_check(zoo_faults(whole + 4 * PAGE, true), "the read-only page can be written");
	zoo_check(!memcmp(tail, text + 6 * PAGE, PAGE) && tail[PAGE] == 1, "the second map");
	zoo_check(!memcmp(tail + PAGE + 1, text + 7 * PAGE + 1, 3 * PAGE - 1), "the second map");
	/* Dropping a changed page brings the file's contents back. */
	zoo_need(madvise(whole + 8 * PAGE, PAGE, MADV_DONTNEED) == 0);
	zoo_check(!memcmp(whole + 8 * PAGE, text + 8 * PAGE, PAGE), "a dropped page");
	/* Nothing went into the file, and what goes into it now is seen through clean pages only.
	 */
	fd = open("file", O_RDWR | O_CLOEXEC);
	zoo_need(fd >= 0);
	unsigned char now[PAGE];

	zoo_same(pread(fd, now, PAGE, 0), PAGE);
	zoo_check(!memcmp(now, text, PAGE), "the file itself changed");
	now[0] = (unsigned char)~text[5 * PAGE];
	zoo_same(pwrite(fd, now, 1, 5 * PAGE), 1);
	zoo_same(whole[5 * PAGE], text[5 * PAGE]);
	now[0] = (unsigned char)~text[9 * PAGE];
	zoo_same(pwrite(fd, now, 1, 9 * PAGE), 1);
	zoo_same(whole[9 * PAGE], now[0]);
	/* Put it back, for a second life. */
	zoo_same(pwrite(fd, text + 5 * PAGE, 1, 5 * PAGE), 1);
	zoo_same(pwrite(fd, text + 9 * PAGE, 1, 9 * PAGE), 1);
	return zoo_end();
}
