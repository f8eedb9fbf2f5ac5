/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: busy */
/* Direct reads are always under way: none is lost, none is told of twice, each brings its data. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define N     16
#define BLOCK 65536UL

int main(void)
{
	unsigned long submitted = 0, taken = 0, last[N] = { 0 };
	aio_context_t ctx = 0;
	char path[] = "/var/tmp/zoo-aio-XXXXXX";
	unsigned char *buf, *all;
	int fd, plain;

	zoo_start();
	buf = mmap(NULL, N * BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	all = malloc(N * BLOCK);
	plain = mkstemp(path);
	zoo_need(buf != MAP_FAILED && all && plain >= 0);
	for (unsigned long i = 0; i < N; i++)
		zoo_fill(all + i * BLOCK, BLOCK, i);
	zoo_need(write(plain, all, N * BLOCK) == N * BLOCK && fsync(plain) == 0);
	fd = open(path, O_RDONLY | O_DIRECT);
	if (fd < 0)
		zoo_skip("no direct I/O in /var/tmp");
	zoo_need(unlink(path) == 0 && close(plain) == 0 && syscall(SYS_io_setup, N, &ctx) == 0);
	zoo_ready();
	do {
		for (unsigned long i = 0; i < N; i++) {
			struct iocb cb = { .aio_data = ++last[i] << 8 | i,
					   .aio_lio_opcode = IOCB_CMD_PREAD,
					   .aio_fildes = (unsigned int)fd,
					   .aio_buf = (unsigned long)(buf + i * BLOCK),
					   .aio_nbytes = BLOCK,
					   .aio_offset = (long)(i * BLOCK) };
			struct iocb *p = &cb;

			memset(buf + i * BLOCK, 0, BLOCK);
			zoo_need(syscall(SYS_io_submit, ctx, 1, &p) == 1);
			submitted++;
		}
		for (int k = 0; k < N;) {
			struct io_event e[N];
			int n = (int)syscall(SYS_io_getevents, ctx, 1, N, e, NULL);

			if (n < 0 && errno == EINTR)
				continue;
			zoo_need(n > 0);
			for (int j = 0; j < n; j++) {
				unsigned long i = e[j].data & 0xff;

				zoo_same(e[j].data >> 8, last[i]);
				zoo_same(e[j].res, BLOCK);
				zoo_check(zoo_filled(buf + i * BLOCK, BLOCK, i), "data of %lu", i);
			}
			k += n;
			taken += (unsigned long)n;
		}
	} while (!zoo_gone());
	zoo_same(taken, submitted);
	return zoo_end();
}
