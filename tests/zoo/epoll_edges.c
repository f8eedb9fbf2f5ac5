/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What has been reported edge-triggered is not reported again, what has not yet been is; what is
 * level-triggered is reported as long as it holds; in the order in which it became ready.
 */
#include "zoo.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int ep;

static void add(int fd, uint32_t events, uint64_t data)
{
	struct epoll_event e = { .events = events, .data.u64 = data };

	zoo_need(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
}

/* The next event must be this; 0: there must be none. Gives its events. */
static uint32_t next(uint64_t data)
{
	struct epoll_event e = { 0 };
	int n = epoll_wait(ep, &e, 1, 0);

	zoo_same(n, data != 0);
	if (n == 1)
		zoo_same(e.data.u64, data);
	return e.events;
}

static void take_all(void)
{
	struct epoll_event e[16];

	while (epoll_wait(ep, e, 16, 0) > 0)
		;
}

int main(void)
{
	zoo_start();
	const uint64_t big = 0xfedcba9876543210;
	int seen[2], both[2], unseen[2], level[2], gone[2], count;
	char c;

	ep = epoll_create1(EPOLL_CLOEXEC);
	zoo_need(ep >= 0 && pipe(seen) == 0 && pipe(both) == 0 && pipe(unseen) == 0);
	zoo_need(pipe(level) == 0 && pipe(gone) == 0);
	count = eventfd(3, 0);
	add(seen[0], EPOLLIN | EPOLLET, 1);
	add(both[0], EPOLLIN | EPOLLET, 2);
	add(seen[1], EPOLLOUT | EPOLLET, 3);
	add(count, EPOLLIN | EPOLLOUT | EPOLLET, 4);
	add(unseen[0], EPOLLIN | EPOLLET | EPOLLRDHUP, big);
	add(gone[0], EPOLLIN | EPOLLET, 6);
	zoo_need(write(seen[1], "x", 1) == 1 && write(both[1], "x", 1) == 1);
	take_all();
	/* Ready from here on, in this order: what is gone again, unseen, level. */
	zoo_need(write(gone[1], "x", 1) == 1 && read(gone[0], &c, 1) == 1);
	zoo_need(write(unseen[1], "x", 1) == 1 && write(level[1], "x", 1) == 1);
	add(level[0], EPOLLIN, 5);
	zoo_ready();
	zoo_wait();
	zoo_same(next(big), EPOLLIN);
	for (int i = 0; i < 3; i++)
		zoo_same(next(5), EPOLLIN);
	zoo_same(read(level[0], &c, 1), 1);
	next(0);
	/* Each still tells of what is new. */
	zoo_same(write(both[1], "y", 1), 1);
	zoo_same(next(2), EPOLLIN);
	next(0);
	zoo_same(write(gone[1], "y", 1), 1);
	zoo_same(next(6), EPOLLIN);
	eventfd_write(count, 1);
	zoo_same(next(4), EPOLLIN | EPOLLOUT);
	close(seen[1]);
	zoo_same(next(1), EPOLLIN | EPOLLHUP);
	next(0);
	return zoo_end();
}
