/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory files known by an O_PATH descriptor, alone or beside others with seals. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_link(int fd, int flags)
{
	char link[40];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return open(link, flags);
}

static void check_contents(int fd, uint64_t seed)
{
	unsigned char got[3000];

	zoo_same(pread(fd, got, sizeof(got), 0), (long long)sizeof(got));
	zoo_check(zoo_filled(got, sizeof(got), seed), "contents");
}

int main(void)
{
	unsigned char data[3000];
	struct stat st;
	int fd, path, other, reader;

	zoo_start();
	/* The O_PATH one has the lower number, and there is nothing else. */
	fd = memfd_create("alone", MFD_ALLOW_SEALING);
	zoo_need(fd >= 0);
	path = open_link(fd, O_PATH);
	zoo_need(path >= 0 && fchmod(fd, 0640) == 0);
	zoo_fill(data, sizeof(data), 1);
	zoo_need(write(fd, data, sizeof(data)) == sizeof(data));
	zoo_need(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0 && close(fd) == 0);
	/* Beside a description for writing and one for reading. */
	other = open_link(path, O_PATH | O_CLOEXEC);
	zoo_need(other >= 0);
	fd = memfd_create("beside", 0);
	zoo_need(fd >= 0 && dup2(open_link(fd, O_PATH), other) == other);
	reader = open_link(fd, O_RDONLY);
	zoo_fill(data, sizeof(data), 2);
	zoo_need(reader >= 0 && write(fd, data, sizeof(data)) == sizeof(data));
	zoo_ready();
	zoo_wait();

	zoo_same(fcntl(path, F_GETFL) & O_PATH, O_PATH);
	zoo_need(fstat(path, &st) == 0);
	zoo_same(st.st_mode & 07777, 0640);
	zoo_check(read(path, data, 1) < 0 && errno == EBADF, "an O_PATH descriptor can be read");
	int again = open_link(path, O_RDWR);
	zoo_need(again >= 0);
	check_contents(again, 1);
	zoo_same(fcntl(again, F_GET_SEALS), F_SEAL_WRITE);
	zoo_need(close(again) == 0);
	zoo_same(fcntl(other, F_GETFL) & O_PATH, O_PATH);
	check_contents(reader, 2);
	check_contents(fd, 2);
	zoo_same(lseek(fd, 0, SEEK_CUR), (long long)sizeof(data));
	zoo_same(lseek(reader, 0, SEEK_CUR), 0);
	zoo_check(write(reader, "x", 1) < 0, "a reader writes");
	zoo_same(pwrite(fd, "y", 1, 5), 1);
	zoo_same(pread(reader, data, 1, 5), 1);
	zoo_same(data[0], 'y');
	zoo_fill(data, sizeof(data), 2); /* for a second life */
	zoo_same(pwrite(fd, data, sizeof(data), 0), (long long)sizeof(data));
	return zoo_end();
}
