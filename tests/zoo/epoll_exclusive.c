/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * EPOLLEXCLUSIVE: of several instances that watch one file, some event wakes at least one, and none
 * can be modified. All entries keep their data, of every pattern of bits.
 */
#include "zoo.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { N = 8 };

int main(void)
{
	zoo_start();
	const uint32_t events = EPOLLIN | EPOLLEXCLUSIVE | EPOLLET;
	int ep[N], fd = eventfd(0, 0), woken = 0;
	struct epoll_event e;

	for (int i = 0; i < N; i++) {
		ep[i] = epoll_create1(0);
		e = (struct epoll_event){ .events = events, .data.u64 = ~0ULL << (8 * i) };
		zoo_need(ep[i] >= 0 && epoll_ctl(ep[i], EPOLL_CTL_ADD, fd, &e) == 0);
	}
	zoo_ready();
	zoo_wait();
	e = (struct epoll_event){ .events = EPOLLIN };
	for (int i = 0; i < N; i++) {
		zoo_same(epoll_ctl(ep[i], EPOLL_CTL_MOD, fd, &e), -1);
		zoo_same(errno, EINVAL);
	}
	zoo_same(eventfd_write(fd, 1), 0);
	for (int i = 0; i < N; i++)
		if (epoll_wait(ep[i], &e, 1, 0) == 1) {
			woken++;
			zoo_check(e.data.u64 == ~0ULL << (8 * i), "instance %d has data %#llx", i,
				  (unsigned long long)e.data.u64);
			zoo_same(e.events, EPOLLIN);
		}
	zoo_check(woken > 0, "nobody was woken");
	return zoo_end();
}
