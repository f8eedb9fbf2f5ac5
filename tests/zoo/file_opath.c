/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Descriptors that only stand for a place: of a file, a directory, links, a socket, a FIFO, disks.
 */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

int main(void)
{
	static const char *const names[] = { "file", "dir",  "link",	 "socket",
					     "fifo", "disk", "/dev/ptmx" };

	enum { N = sizeof(names) / sizeof(names[0]) };
	struct stat before[N], st;
	char text[64] = "", c;
	int fd[N], real;

	zoo_start();
	real = open("file", O_CREAT | O_RDWR, 0600);
	zoo_need(real >= 0 && pwrite(real, "text", 4, 0) == 4 && close(real) == 0);
	mkdir("dir", 0700);
	zoo_need(symlink("file", "link") == 0 || errno == EEXIST);
	zoo_need(mknod("socket", S_IFSOCK | 0600, 0) == 0 || errno == EEXIST);
	zoo_need(mkfifo("fifo", 0600) == 0 || errno == EEXIST);
	/* Nobody has this device: to open it would fail. */
	zoo_need(mknod("disk", S_IFBLK | 0600, makedev(60, 1)) == 0 || errno == EEXIST);
	for (int i = 0; i < N; i++) {
		fd[i] = open(names[i], O_PATH | O_NOFOLLOW | (i == 1 ? O_DIRECTORY : 0));
		zoo_need(fd[i] >= 0 && fstat(fd[i], &before[i]) == 0);
	}
	zoo_ready();
	zoo_wait();

	for (int i = 0; i < N; i++) {
		zoo_need(fstat(fd[i], &st) == 0);
		zoo_check(st.st_ino == before[i].st_ino && st.st_mode == before[i].st_mode,
			  "%s is another", names[i]);
		zoo_check(fcntl(fd[i], F_GETFL) & O_PATH, "O_PATH of %s is lost", names[i]);
		zoo_check(read(fd[i], &c, 1) < 0 && errno == EBADF, "%s can be read", names[i]);
	}
	zoo_same(fcntl(fd[1], F_GETFL) & O_DIRECTORY, O_DIRECTORY);
	zoo_same(readlinkat(fd[2], "", text, sizeof(text)), 4);
	snprintf(text, sizeof(text), "/proc/self/fd/%d", fd[0]);
	real = open(text, O_RDONLY);
	zoo_check(real >= 0 && read(real, text, 4) == 4 && !memcmp(text, "text", 4),
		  "the file cannot be opened by its place");
	zoo_check(openat(fd[1], "new", O_CREAT | O_WRONLY, 0600) >= 0 &&
			  access("dir/new", F_OK) == 0,
		  "the directory is not a place");
	return zoo_end();
}
