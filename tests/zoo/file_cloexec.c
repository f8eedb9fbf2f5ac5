/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Close-on-exec, per descriptor: some stay open over an exec and some do not. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST 20
#define COUNT 40

int main(int argc, char **argv)
{
	int base = open("/dev/null", O_RDWR | O_CLOEXEC);

	zoo_start();
	zoo_need(base >= 0);
	if (argc > 1) { /* after the exec */
		for (int fd = FIRST; fd < FIRST + COUNT; fd++) {
			bool open_now = fcntl(fd, F_GETFD) >= 0;

			zoo_check(open_now == (fd % 3 != 0), "descriptor %d is %s after exec", fd,
				  open_now ? "open" : "closed");
		}
		return zoo_end();
	}
	for (int fd = FIRST; fd < FIRST + COUNT; fd++)
		zoo_need(dup3(base, fd, fd % 3 ? 0 : O_CLOEXEC) == fd);
	zoo_ready();
	zoo_wait();
	for (int fd = FIRST; fd < FIRST + COUNT; fd++)
		zoo_same(fcntl(fd, F_GETFD), fd % 3 ? 0 : FD_CLOEXEC);
	zoo_same(fcntl(base, F_GETFD), FD_CLOEXEC);
	execl("/proc/self/exe", argv[0], "again", NULL);
	zoo_check(false, "exec: %s", strerror(errno));
	return zoo_end();
}
