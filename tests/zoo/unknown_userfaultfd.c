/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="fd 40" */
/* Not supported yet: a userfaultfd. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	zoo_start();
	struct uffdio_api api = { .api = UFFD_API };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | 1);

	if (fd < 0)
		zoo_skip("userfaultfd: %s", strerror(errno));
	zoo_need(ioctl(fd, UFFDIO_API, &api) == 0);
	zoo_need(dup2(fd, 40) == 40 && close(fd) == 0);
	zoo_ready();
	zoo_wait();
	zoo_check(ioctl(40, UFFDIO_API, &api) < 0, "a second handshake");
	return zoo_end();
}
