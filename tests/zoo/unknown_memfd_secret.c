/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="fd 40" */
/* Not supported yet: secret memory, which nobody outside can read. */
#include "zoo.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	zoo_start();
	int fd = (int)syscall(447, 0);
	char *secret;

	if (fd < 0)
		zoo_skip("memfd_secret: %s", strerror(errno));
	zoo_need(dup2(fd, 40) == 40 && close(fd) == 0 && ftruncate(40, 4096) == 0);
	secret = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 40, 0);
	zoo_need(secret != MAP_FAILED);
	zoo_fill(secret, 4096, 1);
	zoo_ready();
	zoo_wait();
	zoo_check(zoo_filled(secret, 4096, 1), "contents");
	return zoo_end();
}
