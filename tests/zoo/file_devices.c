/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices without a state: null, zero, full, random, urandom; with their flags. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
	static const char *const path[] = { "/dev/null", "/dev/zero", "/dev/full", "/dev/urandom",
					    "/dev/random" };
	struct stat before[5], now;
	char buffer[64], other[64];
	int fd[5];

	zoo_start();
	for (int i = 0; i < 5; i++) {
		fd[i] = open(path[i], O_RDWR | O_NONBLOCK | (i % 2 ? O_CLOEXEC : 0));
		zoo_need(fd[i] >= 0 && fstat(fd[i], &before[i]) == 0);
	}
	zoo_ready();
	zoo_wait();
	for (int i = 0; i < 5; i++) {
		zoo_check(fstat(fd[i], &now) == 0 && S_ISCHR(now.st_mode) &&
				  now.st_rdev == before[i].st_rdev &&
				  now.st_ino == before[i].st_ino,
			  "%s: another device", path[i]);
		zoo_check((fcntl(fd[i], F_GETFL) & (O_ACCMODE | O_NONBLOCK)) ==
				  (O_RDWR | O_NONBLOCK),
			  "%s: flags %#x", path[i], fcntl(fd[i], F_GETFL));
		zoo_same(fcntl(fd[i], F_GETFD), i % 2 ? FD_CLOEXEC : 0);
	}
	zoo_same(read(fd[0], buffer, 64), 0);
	memset(buffer, 1, 64);
	zoo_same(read(fd[1], buffer, 64), 64);
	zoo_check(!buffer[0] && !memcmp(buffer, buffer + 1, 63), "/dev/zero");
	zoo_check(write(fd[2], "x", 1) < 0 && errno == ENOSPC, "/dev/full");
	zoo_same(read(fd[3], buffer, 64), 64);
	zoo_same(read(fd[4], other, 64), 64);
	zoo_check(memcmp(buffer, other, 64), "random numbers repeat");
	return zoo_end();
}
