/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="fd 40" */
/* Not supported yet: an epoll instance. */
#include "zoo.h"

#include <sys/epoll.h>
#include <unistd.h>

int main(void)
{
	zoo_start();
	int fd = epoll_create1(0), p[2];
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = 7 }, got;

	zoo_need(fd >= 0 && dup2(fd, 40) == 40 && close(fd) == 0 && pipe(p) == 0);
	zoo_need(epoll_ctl(40, EPOLL_CTL_ADD, p[0], &event) == 0);
	zoo_ready();
	zoo_wait();
	zoo_same(write(p[1], "x", 1), 1);
	zoo_same(epoll_wait(40, &got, 1, 1000), 1);
	zoo_same(got.data.u64, 7);
	return zoo_end();
}
