/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="fd 40" */
/* Not supported yet: a lease on a file. */
#include "zoo.h"

#include <fcntl.h>
#include <unistd.h>

int main(void)
{
	zoo_start();
	int fd = open("file", O_CREAT | O_RDONLY, 0600);

	zoo_need(fd >= 0 && dup2(fd, 40) == 40 && close(fd) == 0);
	if (fcntl(40, F_SETLEASE, F_RDLCK) < 0)
		zoo_skip("no leases on this file system");
	zoo_ready();
	zoo_wait();
	zoo_same(fcntl(40, F_GETLEASE), F_RDLCK);
	return zoo_end();
}
