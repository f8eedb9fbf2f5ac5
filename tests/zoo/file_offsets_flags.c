/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: norerun */
/* Regular files: offset, access mode and status flags of each, and that the flags do what they say.
 */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
	const char *name;
	int flags;
	off_t offset;
} row[] = {
	{ "rdonly", O_RDONLY, 100 },
	{ "wronly", O_WRONLY, 200 },
	{ "rdwr", O_RDWR, 300 },
	{ "append", O_WRONLY | O_APPEND, 17 },
	{ "nonblock", O_RDWR | O_NONBLOCK, 5000000000 },
	{ "sync", O_WRONLY | O_SYNC, 4096 },
	{ "dsync", O_WRONLY | O_DSYNC, 4097 },
	{ "noatime", O_RDONLY | O_NOATIME, 1 },
	{ "direct", O_RDWR | O_DIRECT, 4096 },
	{ "nofollow", O_RDWR | O_NOFOLLOW, 0 },
	{ "opath", O_PATH, 0 },
	{ "at-end", O_RDWR, 8192 },
};

#define ROWS (int)(sizeof(row) / sizeof(row[0]))

int main(void)
{
	static unsigned char text[8192], got[8192];
	int fd[ROWS], flags[ROWS], fd_flags[ROWS];
	struct stat st[ROWS], now;
	unsigned char *block;

	zoo_start();
	zoo_fill(text, sizeof(text), 1);
	for (int i = 0; i < ROWS; i++) {
		int make = open(row[i].name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0640);

		zoo_need(make >= 0 && write(make, text, sizeof(text)) == sizeof(text));
		zoo_need(close(make) == 0);
		fd[i] = open(row[i].name, row[i].flags);
		if (fd[i] < 0 && (row[i].flags & O_DIRECT) && errno == EINVAL) {
			zoo_log("note: no O_DIRECT on this file system");
			fd[i] = open(row[i].name, row[i].flags & ~O_DIRECT);
		}
		zoo_need(fd[i] >= 0);
		if (!(row[i].flags & O_PATH))
			zoo_need(lseek(fd[i], row[i].offset, SEEK_SET) == row[i].offset);
		flags[i] = fcntl(fd[i], F_GETFL);
		fd_flags[i] = fcntl(fd[i], F_GETFD);
		zoo_need(flags[i] >= 0 && fstat(fd[i], &st[i]) == 0);
	}
	zoo_ready();
	zoo_wait();

	for (int i = 0; i < ROWS; i++) {
		zoo_check(fcntl(fd[i], F_GETFL) == flags[i], "%s: flags %#o, were %#o", row[i].name,
			  fcntl(fd[i], F_GETFL), flags[i]);
		zoo_check(fcntl(fd[i], F_GETFD) == fd_flags[i], "%s: close-on-exec", row[i].name);
		zoo_check(fstat(fd[i], &now) == 0 && now.st_ino == st[i].st_ino &&
				  now.st_dev == st[i].st_dev && now.st_size == st[i].st_size,
			  "%s: another file", row[i].name);
		if (!(row[i].flags & O_PATH))
			zoo_check(lseek(fd[i], 0, SEEK_CUR) == row[i].offset, "%s: offset %lld",
				  row[i].name, (long long)lseek(fd[i], 0, SEEK_CUR));
	}
	/* And they do what they say. */
	zoo_same(read(fd[0], got, 50), 50);
	zoo_check(!memcmp(got, text + 100, 50), "read at the offset");
	zoo_check(write(fd[0], "x", 1) < 0 && errno == EBADF, "a read-only file can be written");
	zoo_check(read(fd[1], got, 1) < 0 && errno == EBADF, "a write-only file can be read");
	zoo_same(write(fd[1], "hello", 5), 5);
	zoo_same(pread(fd[2], got, 5, 200), 5);
	zoo_same(write(fd[3], "end", 3), 3);
	zoo_same(lseek(fd[3], 0, SEEK_CUR), 8195);
	zoo_check(read(fd[10], got, 1) < 0 && errno == EBADF, "an O_PATH descriptor can be read");
	zoo_same(read(fd[11], got, 10), 0);
	block = aligned_alloc(4096, 4096);
	zoo_need(block);
	zoo_same(read(fd[8], block, 4096), 4096);
	zoo_check(!memcmp(block, text + 4096, 4096), "direct read");
	return zoo_end();
}
