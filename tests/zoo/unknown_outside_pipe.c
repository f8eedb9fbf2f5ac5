/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="fd 40" */
/* Not supported yet: a pipe whose other end belongs to another process. */
#include "zoo.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	zoo_start();
	int p[2], fd;

	/* The other end goes to a process that is no child: its parent ends at once. */
	zoo_need(pipe(p) == 0);
	if (fork() == 0) {
		if (fork() == 0) {
			alarm(60); /* nobody ends it if the test is broken off */
			zoo_wait();
			if (write(p[1], "x", 1) != 1)
				_exit(1);
		}
		_exit(0);
	}
	zoo_need(wait(NULL) > 0 && close(p[1]) == 0);
	fd = p[0];
	zoo_need(dup2(fd, 40) == 40 && close(fd) == 0);
	zoo_ready();
	zoo_wait();
	char c = 0;

	zoo_same(read(40, &c, 1), 1);
	zoo_same(c, 'x');
	return zoo_end();
}
