/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Instances within instances, level- and edge-triggered, seen and not seen; polled and waited for.
 */
#include "zoo.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void add(int ep, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event e = { .events = events, .data.u64 = data };

	zoo_need(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
}

/* What the instance reports: its data, or 0. */
static uint64_t next(int ep)
{
	struct epoll_event e = { 0 };

	return epoll_wait(ep, &e, 1, 0) == 1 ? e.data.u64 : 0;
}

int main(void)
{
	zoo_start();
	/* The outermost first, so that it is the first object. */
	int top = epoll_create1(0), middle = epoll_create1(0), inner = epoll_create1(0);
	int edge = epoll_create1(0), quiet = eventfd(0, 0), busy = eventfd(1, 0),
	    e2 = eventfd(1, 0);
	int unseen = epoll_create1(0), e3 = eventfd(1, 0);
	struct pollfd p = { .fd = top, .events = POLLIN };
	struct epoll_event e = { .events = EPOLLIN };

	add(inner, quiet, EPOLLIN, 1);
	add(middle, inner, EPOLLIN, 2);
	add(top, middle, EPOLLIN | EPOLLET, 3);
	add(edge, busy, EPOLLIN, 4);
	add(top, edge, EPOLLIN | EPOLLET, 5);
	zoo_need(next(top) == 5 && next(top) == 0);
	add(unseen, e3, EPOLLIN | EPOLLET, 6);
	add(top, unseen, EPOLLIN | EPOLLET, 7);
	zoo_need(poll(&p, 1, 0) == 1);
	zoo_ready();
	zoo_wait();
	zoo_same(poll(&p, 1, 0), 1);
	zoo_same(next(top), 7);
	zoo_same(next(top), 0);
	zoo_same(poll(&p, 1, 0), 0);
	zoo_same(next(unseen), 6);
	zoo_same(next(unseen), 0);
	zoo_same(next(edge), 4);
	/* From the innermost to the outermost. */
	zoo_same(eventfd_write(quiet, 1), 0);
	zoo_same(next(top), 3);
	zoo_same(next(top), 0);
	zoo_same(next(middle), 2);
	zoo_same(next(inner), 1);
	add(edge, e2, EPOLLIN, 8);
	zoo_same(next(top), 5);
	/* The kernel knows of the nesting: no cycles. */
	zoo_same(epoll_ctl(inner, EPOLL_CTL_ADD, top, &e), -1);
	zoo_same(errno, ELOOP);
	return zoo_end();
}
