/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Contexts of io_setup(2): events not yet taken, a ring that went round, several rings with a hole
 * between their numbers, a large one; each goes on taking requests. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct ring {
	unsigned int id, nr, head, tail;
};

static int file;
static char buf[4096];

static aio_context_t setup(unsigned int n)
{
	aio_context_t ctx = 0;

	if (syscall(SYS_io_setup, n, &ctx) < 0 && errno == ENOSYS)
		zoo_skip("no asynchronous I/O");
	zoo_need(ctx);
	return ctx;
}

/* n requests that complete at once; the k-th carries base + k and reads k + 1 bytes. */
static void submit(aio_context_t ctx, int n, unsigned long base)
{
	for (int k = 0; k < n; k++) {
		struct iocb cb = { .aio_data = base + (unsigned long)k,
				   .aio_lio_opcode = IOCB_CMD_PREAD,
				   .aio_fildes = (unsigned int)file,
				   .aio_buf = (unsigned long)buf,
				   .aio_nbytes = (unsigned long)k % 100 + 1 };
		struct iocb *p = &cb;

		zoo_need(syscall(SYS_io_submit, ctx, 1, &p) == 1);
	}
}

static int take(aio_context_t ctx, int min, int max, struct io_event *e)
{
	struct timespec none = { 0, 0 };

	return (int)syscall(SYS_io_getevents, ctx, min, max, e, &none);
}

static void drain(aio_context_t ctx, int n, unsigned long base)
{
	for (int k = 0; k < n; k++) {
		struct io_event e = { 0 };

		zoo_same(take(ctx, 1, 1, &e), 1);
		zoo_same(e.data, base + (unsigned long)k);
		zoo_same(e.res, k % 100 + 1);
	}
}

static void nothing_left(aio_context_t ctx)
{
	struct io_event e;

	zoo_same(take(ctx, 0, 1, &e), 0);
}

int main(void)
{
	aio_context_t fresh, some, round, hole, large;
	struct ring before, *r;
	char path[] = "/tmp/zoo-aio-XXXXXX";
	int nr;

	zoo_start();
	file = mkstemp(path);
	zoo_need(file >= 0 && unlink(path) == 0 && write(file, buf, sizeof(buf)) == sizeof(buf));
	fresh = setup(1);
	some = setup(10);
	hole = setup(5);
	round = setup(64);
	large = setup(3000);
	zoo_need(syscall(SYS_io_destroy, hole) == 0);
	submit(some, 7, 100);
	drain(some, 3, 100); /* four are left */
	r = (struct ring *)round;
	nr = (int)r->nr;
	for (int i = 0; i < 3 * nr - 5; i += 5) {
		submit(round, 5, 0);
		drain(round, 5, 0);
	}
	submit(round, 60, 1000); /* over the end of the ring or near it */
	while (r->tail > 20) {
		drain(round, 60, 1000);
		submit(round, 7, 0);
		drain(round, 7, 0);
		submit(round, 60, 1000);
	}
	zoo_need(r->head > r->tail);
	before = *r;
	submit(large, 2500, 5000);
	zoo_ready();
	zoo_wait();

	zoo_same(r->nr, before.nr);
	zoo_same(r->head, before.head);
	zoo_same(r->tail, before.tail);
	drain(round, 60, 1000);
	nothing_left(round);
	for (int k = 0; k < 4; k++) {
		struct io_event e = { 0 };

		zoo_same(take(some, 1, 1, &e), 1);
		zoo_same(e.data, 103 + k);
		zoo_same(e.res, 4 + k);
	}
	nothing_left(some);
	nothing_left(fresh);
	drain(large, 2500, 5000);
	/* Places come back: many times what fits at once. */
	for (int i = 0; i < 40; i++) {
		submit(fresh, 50, 1);
		drain(fresh, 50, 1);
		submit(round, 60, 7);
		drain(round, 60, 7);
	}
	zoo_need(syscall(SYS_io_destroy, some) == 0 && syscall(SYS_io_destroy, round) == 0);
	zoo_check(syscall(SYS_io_destroy, hole) < 0, "a context came back");
	return zoo_end();
}
