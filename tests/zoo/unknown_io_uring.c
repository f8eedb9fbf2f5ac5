/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="io_uring" */
/* Not supported yet: an io_uring. */
#include "zoo.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	zoo_start();
	struct io_uring_params params = { 0 };
	int fd = (int)syscall(SYS_io_uring_setup, 8, &params);

	if (fd < 0)
		zoo_skip("io_uring_setup: %s", strerror(errno));
	zoo_need(dup2(fd, 40) == 40 && close(fd) == 0);
	zoo_ready();
	zoo_wait();
	zoo_same(syscall(SYS_io_uring_enter, 40, 0, 0, 0, NULL, 0), 0);
	return zoo_end();
}
