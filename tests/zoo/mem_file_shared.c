/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: norerun */
/* Shared maps of files: coherent with the file and with each other, read-only ones included. */
#include "zoo.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096UL

int main(void)
{
	static unsigned char text[8 * PAGE];
	unsigned char *a, *b, *ro, byte;
	int fd, fd_ro;

	zoo_start();
	zoo_fill(text, sizeof(text), 1);
	fd = open("file", O_CREAT | O_EXCL | O_RDWR, 0600);
	zoo_need(fd >= 0 && write(fd, text, sizeof(text)) == sizeof(text));
	fd_ro = open("file", O_RDONLY);
	a = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	b = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 4 * PAGE);
	ro = mmap(NULL, 8 * PAGE, PROT_READ, MAP_SHARED, fd_ro, 0);
	zoo_need(a != MAP_FAILED && b != MAP_FAILED && ro != MAP_FAILED);
	zoo_need(close(fd_ro) == 0);
	a[0] = 1;
	b[1] = 2;
	zoo_ready();
	zoo_wait();

	zoo_same(a[0], 1);
	zoo_same(a[4 * PAGE + 1], 2);
	zoo_check(!memcmp(a + 1, text + 1, 4 * PAGE), "contents");
	a[5 * PAGE] = 77;
	zoo_same(b[PAGE], 77);
	zoo_same(ro[5 * PAGE], 77);
	zoo_same(pread(fd, &byte, 1, 5 * PAGE), 1);
	zoo_same(byte, 77);
	byte = 78;
	zoo_same(pwrite(fd, &byte, 1, 5 * PAGE), 1);
	zoo_same(a[5 * PAGE], 78);
	zoo_check(mprotect(ro, PAGE, PROT_READ | PROT_WRITE) < 0,
		  "a map of a read-only descriptor can be made writable");
	zoo_check(mprotect(a, PAGE, PROT_READ) == 0 &&
			  mprotect(a, PAGE, PROT_READ | PROT_WRITE) == 0,
		  "a map of a writable descriptor cannot be made writable again");
	zoo_need(ftruncate(fd, 4 * PAGE) == 0);
	zoo_check(zoo_faults(b, false), "no SIGBUS after the file was cut");
	return zoo_end();
}
