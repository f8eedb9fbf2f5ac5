/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="fd (4|40)\b" */
/* Not supported yet: a pair of unix sockets. */
#include "zoo.h"

#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
	zoo_start();
	char c = 0;
	int pair[2];

	zoo_need(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	zoo_need(dup2(pair[0], 40) == 40 && close(pair[0]) == 0 && write(pair[1], "x", 1) == 1);
	zoo_ready();
	zoo_wait();
	zoo_same(read(40, &c, 1), 1);
	zoo_same(c, 'x');
	return zoo_end();
}
