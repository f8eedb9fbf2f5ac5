/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="fd (5|40)\b" */
/* Not supported yet: an established TCP connection. */
#include "zoo.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
	zoo_start();
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), one = socket(AF_INET, SOCK_STREAM, 0),
	    other;
	char c = 0;

	zoo_need(listener >= 0 && one >= 0);
	zoo_need(bind(listener, (struct sockaddr *)&address, len) == 0 && listen(listener, 1) == 0);
	zoo_need(getsockname(listener, (struct sockaddr *)&address, &len) == 0);
	zoo_need(connect(one, (struct sockaddr *)&address, len) == 0);
	other = accept(listener, NULL, NULL);
	zoo_need(other >= 0 && dup2(one, 40) == 40 && close(one) == 0 && close(listener) == 0);
	zoo_ready();
	zoo_wait();
	zoo_same(write(other, "x", 1), 1);
	zoo_same(read(40, &c, 1), 1);
	zoo_same(c, 'x');
	return zoo_end();
}
