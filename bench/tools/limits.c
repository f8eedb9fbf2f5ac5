// SPDX-License-Identifier: LGPL-2.1-or-later
/* limits FILE MIB: what memory and disk can do: prints us of a copy in memory, and of an O_DIRECT
 * write with fdatasync. */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define CHUNK (4UL << 20)

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static uint64_t *area(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		err(1, "mmap");
	madvise(p, bytes, MADV_HUGEPAGE);
	memset(p, 1, bytes);
	return p;
}

int main(int argc, char **argv)
{
	size_t bytes = argc == 3 ? strtoul(argv[2], NULL, 10) << 20 : 0;
	uint64_t *from, *to, x = 88172645463325252ULL;
	double t0, t1, t2;
	int fd;

	if (!bytes)
		errx(2, "usage: limits FILE MIB");
	from = area(bytes);
	to = area(bytes);
	for (size_t i = 0; i < bytes / sizeof(x); i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		from[i] = x;
	}
	fd = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_DIRECT | O_CLOEXEC, 0600);
	if (fd < 0)
		err(1, "%s", argv[1]);
	t0 = now_us();
	memcpy(to, from, bytes);
	t1 = now_us();
	for (size_t at = 0; at < bytes; at += CHUNK) {
		if (pwrite(fd, (char *)from + at, CHUNK, (off_t)at) != (ssize_t)CHUNK)
			err(1, "write");
	}
	if (fdatasync(fd) < 0)
		err(1, "fdatasync");
	t2 = now_us();
	unlink(argv[1]);
	printf("%.0f %.0f\n", t1 - t0, t2 - t1);
	return to[bytes / 16] == 0;
}
