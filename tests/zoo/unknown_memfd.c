/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="memfd" */
/* A memory file: not supported yet. */
#include "zoo.h"

#include <sys/mman.h>
#include <unistd.h>

int main(void)
{
	int fd;

	zoo_start();
	fd = memfd_create("zoo", MFD_CLOEXEC);
	zoo_need(fd >= 0 && write(fd, "x", 1) == 1);
	zoo_ready();
	zoo_wait();
	zoo_same(lseek(fd, 0, SEEK_CUR), 1);
	return zoo_end();
}
