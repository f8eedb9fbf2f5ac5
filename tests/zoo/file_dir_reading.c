/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A directory in the midst of being read: the rest comes, each name once. */
#include "zoo.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILES 500

/* getdents64(2) with a small buffer: readdir(3) would have read it all beforehand. */
static int read_names(int fd, char seen[FILES], int at_most)
{
	char buffer[200];
	long n;
	int names = 0;

	while (names < at_most && (n = syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0) {
		for (long at = 0; at < n;) {
			struct dirent64 *d = (struct dirent64 *)(buffer + at);
			int i = atoi(d->d_name + 1);

			if (d->d_name[0] == 'f') {
				zoo_check(i >= 0 && i < FILES && !seen[i], "%s comes twice",
					  d->d_name);
				seen[i] = 1;
				names++;
			}
			at += d->d_reclen;
		}
	}
	return names;
}

int main(void)
{
	static char seen[FILES];
	char name[40];
	int dir, names;
	off_t offset;

	zoo_start();
	zoo_need(mkdir("dir", 0700) == 0);
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "dir/f%d", i);
		zoo_need(mknod(name, S_IFREG | 0600, 0) == 0);
	}
	dir = open("dir", O_RDONLY | O_DIRECTORY);
	zoo_need(dir >= 0);
	names = read_names(dir, seen, FILES / 2);
	zoo_need(names >= FILES / 2 && names < FILES);
	offset = lseek(dir, 0, SEEK_CUR);
	zoo_ready();
	zoo_wait();

	zoo_same(lseek(dir, 0, SEEK_CUR), offset);
	names += read_names(dir, seen, FILES);
	zoo_same(names, FILES);
	zoo_check(openat(dir, "f7", O_RDONLY) >= 0, "a file in it");
	return zoo_end();
}
