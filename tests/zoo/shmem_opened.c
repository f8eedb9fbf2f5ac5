/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Anonymous shared memory that was opened as a file through /proc: resized, with a position, mapped
 * again at another offset, privately too, and with the first map gone. */
#include "zoo.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096UL

static unsigned char *anon(size_t len)
{
	unsigned char *p =
		mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	zoo_need(p != MAP_FAILED);
	return p;
}

static int open_map(const void *p, size_t len, int flags)
{
	char link[80];
	int fd;

	snprintf(link, sizeof(link), "/proc/self/map_files/%lx-%lx", (unsigned long)p,
		 (unsigned long)p + len);
	fd = open(link, flags);
	zoo_need(fd >= 0);
	return fd;
}

int main(void)
{
	unsigned char *first, *shifted, *private, *gone, got[8];
	int fd, reader, odd, empty;
	struct stat st;

	zoo_start();
	first = anon(5 * PAGE);
	zoo_fill(first, 5 * PAGE, 1);
	fd = open_map(first, 5 * PAGE, O_RDWR | O_APPEND);
	reader = open_map(first, 5 * PAGE, O_RDONLY | O_NONBLOCK);
	zoo_need(lseek(reader, 99, SEEK_SET) == 99 && fchmod(fd, 0751) == 0);
	shifted = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 2 * PAGE);
	private = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, PAGE);
	zoo_need(shifted != MAP_FAILED && private != MAP_FAILED);
	zoo_fill(private, 100, 2); /* its first page is its own now */
	gone = anon(2 * PAGE);
	odd = open_map(gone, 2 * PAGE, O_RDWR);
	zoo_need(munmap(gone, 2 * PAGE) == 0 && ftruncate(odd, 0) == 0 &&
		 write(odd, "hello", 5) == 5);
	gone = anon(PAGE);
	empty = open_map(gone, PAGE, O_RDWR);
	zoo_need(munmap(gone, PAGE) == 0 && ftruncate(empty, 0) == 0);
	zoo_ready();
	zoo_wait();

	zoo_check(zoo_filled(first, 5 * PAGE, 1), "contents");
	zoo_same(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND), O_RDWR | O_APPEND);
	zoo_same(fcntl(reader, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY | O_NONBLOCK);
	zoo_same(lseek(reader, 0, SEEK_CUR), 99);
	zoo_need(fstat(reader, &st) == 0);
	zoo_same(st.st_mode & 07777, 0751);
	zoo_check(zoo_filled(private, 100, 2), "private contents");
	for (int i = 0; i < 3; i++) {
		unsigned char was = first[2 * PAGE];

		first[2 * PAGE]++;
		zoo_same(shifted[0], (unsigned char)(was + 1));
		zoo_same(private[PAGE], (unsigned char)(was + 1));
		zoo_same(pread(reader, got, 1, 2 * PAGE), 1);
		zoo_same(got[0], (unsigned char)(was + 1));
		first[2 * PAGE] = was;
	}
	zoo_same(lseek(odd, 0, SEEK_CUR), 5);
	zoo_same(lseek(odd, 0, SEEK_END), 5);
	zoo_same(lseek(empty, 0, SEEK_END), 0);
	zoo_same(pread(odd, got, 8, 0), 5);
	zoo_check(got[0] == 'h' && got[4] == 'o', "contents of what has no map");
	return zoo_end();
}
