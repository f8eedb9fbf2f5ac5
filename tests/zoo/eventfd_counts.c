/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Counts of every size, semaphore mode, blocking or not, two descriptors of one. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int make(uint64_t count, int flags)
{
	int fd = eventfd(0, flags);

	zoo_need(fd >= 0 && (!count || write(fd, &count, 8) == 8));
	return fd;
}

static void complete_io(int fd)
{
	struct iocb cb = { .aio_lio_opcode = IOCB_CMD_PREAD,
			   .aio_fildes = (uint32_t)open("/dev/null", O_RDONLY),
			   .aio_flags = IOCB_FLAG_RESFD,
			   .aio_resfd = (uint32_t)fd },
		    *cbs[] = { &cb };
	struct io_event done;
	aio_context_t ctx = 0;

	zoo_need(syscall(SYS_io_setup, 1, &ctx) == 0);
	zoo_need(syscall(SYS_io_submit, ctx, 1, cbs) == 1);
	zoo_need(syscall(SYS_io_getevents, ctx, 1, 1, &done, NULL) == 1);
	zoo_need(syscall(SYS_io_destroy, ctx) == 0 && close((int)cb.aio_fildes) == 0);
}

/*
 * The kernel itself may count further than a write: completions of asynchronous I/O do. In a child,
 * as the context would leave its trace in this process.
 */
static void overflow(int fd)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		complete_io(fd);
		_exit(0);
	}
	zoo_need(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
}

static void check_reads(int fd, uint64_t want)
{
	uint64_t v = 0;

	zoo_same(read(fd, &v, 8), 8);
	zoo_check(v == want, "read %#llx, not %#llx", (unsigned long long)v,
		  (unsigned long long)want);
}

int main(void)
{
	zoo_start();
	int empty = make(0, EFD_NONBLOCK), small = make(7, 0), large = make(1ULL << 40 | 5, 0);
	int full = make(UINT64_MAX - 1, EFD_NONBLOCK), over = make(UINT64_MAX - 1, EFD_NONBLOCK);
	int semaphore = make((3ULL << 32) + 1, EFD_SEMAPHORE | EFD_NONBLOCK);
	int twin = dup(semaphore);
	struct pollfd p = { .fd = over, .events = POLLIN | POLLOUT };
	uint64_t v = 1;

	overflow(over);
	zoo_need(poll(&p, 1, 0) == 1 && p.revents == (POLLIN | POLLERR));
	zoo_ready();
	zoo_wait();
	zoo_check(read(empty, &v, 8) < 0 && errno == EAGAIN, "the empty one gave %llu",
		  (unsigned long long)v);
	check_reads(small, 7);
	check_reads(large, 1ULL << 40 | 5);
	v = 1;
	zoo_check(write(full, &v, 8) < 0 && errno == EAGAIN, "the full one took more");
	check_reads(full, UINT64_MAX - 1);
	p.revents = 0;
	zoo_same(poll(&p, 1, 0), 1);
	zoo_same(p.revents, POLLIN | POLLERR);
	check_reads(over, UINT64_MAX);
	check_reads(semaphore, 1);
	check_reads(twin, 1);
	zoo_same(fcntl(small, F_GETFL) & O_NONBLOCK, 0);
	zoo_same(fcntl(twin, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	/* Still (3 << 32) - 1 in it: so much less than full fits in. */
	v = UINT64_MAX - 1 - (3ULL << 32) + 1;
	zoo_same(write(semaphore, &v, 8), 8);
	v = 1;
	zoo_check(write(semaphore, &v, 8) < 0 && errno == EAGAIN, "the semaphore took more");
	return zoo_end();
}
