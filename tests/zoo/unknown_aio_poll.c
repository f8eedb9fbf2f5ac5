/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="1 asynchronous requests of process \d+ are under way" */
#include "zoo.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	aio_context_t ctx = 0;
	struct io_event e = { 0 };
	struct iocb cb = { .aio_data = 77, .aio_lio_opcode = IOCB_CMD_POLL, .aio_buf = POLLIN };
	struct iocb *p = &cb;
	int ends[2];

	zoo_start();
	zoo_need(pipe(ends) == 0);
	cb.aio_fildes = (unsigned int)ends[0];
	if (syscall(SYS_io_setup, 4, &ctx) < 0 && errno == ENOSYS)
		zoo_skip("no asynchronous I/O");
	zoo_need(syscall(SYS_io_submit, ctx, 1, &p) == 1);
	zoo_ready();
	zoo_wait();
	zoo_need(write(ends[1], "x", 1) == 1);
	zoo_same(syscall(SYS_io_getevents, ctx, 1, 1, &e, NULL), 1);
	zoo_same(e.data, 77);
	zoo_same(e.res & POLLIN, POLLIN);
	return zoo_end();
}
