/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="fd 40: .* peer is held by process [0-9]+ .unix_outside_pe." */
/* Refused: a connection whose other side belongs to a process that is no child. */
#include "zoo_unix.h"

#include <sys/wait.h>

int main(void)
{
	int sv[2];
	char c = 0;

	zoo_start();
	zoo_need(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
	if (fork() == 0) {
		if (fork() == 0) {
			alarm(60); /* nobody ends it if the test is broken off */
			close(sv[0]);
			zoo_wait();
			if (write(sv[1], "x", 1) != 1)
				_exit(1);
		}
		_exit(0);
	}
	zoo_need(wait(NULL) > 0 && close(sv[1]) == 0);
	zoo_need(dup2(sv[0], 40) == 40 && close(sv[0]) == 0);
	zoo_ready();
	zoo_wait();

	zoo_same(read(40, &c, 1), 1);
	zoo_same(c, 'x');
	return zoo_end();
}
