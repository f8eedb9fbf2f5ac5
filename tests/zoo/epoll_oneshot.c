/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Entries that EPOLLONESHOT has disabled report nothing, whatever happens to the file, until they
 * are enabled; one that has not fired yet does once. Of files of several kinds, that had something
 * to report when the checkpoint was made, and that had nothing.
 */
#include "zoo.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

static int ep;

static void ctl(int op, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event e = { .events = events | EPOLLONESHOT, .data.u64 = data };

	zoo_need(epoll_ctl(ep, op, fd, &e) == 0);
}

/* Let it fire, so that it is disabled. */
static void fire(int fd, uint32_t events, uint64_t data)
{
	struct epoll_event e;

	ctl(EPOLL_CTL_ADD, fd, events, data);
	zoo_need(epoll_wait(ep, &e, 1, 1000) == 1 && e.data.u64 == data);
}

static void none(void)
{
	struct epoll_event e = { 0 };

	zoo_check(epoll_wait(ep, &e, 1, 0) == 0, "entry %llu reports %#x",
		  (unsigned long long)e.data.u64, e.events);
}

/* Enabled again, it reports once. */
static void enable(int fd, uint32_t events, uint64_t data)
{
	struct epoll_event e = { 0 };

	ctl(EPOLL_CTL_MOD, fd, events, data);
	zoo_same(epoll_wait(ep, &e, 1, 1000), 1);
	zoo_same(e.data.u64, data);
	none();
}

static size_t fill(int fd)
{
	size_t n = 0;

	zoo_need(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	while (write(fd, "0123456789abcdef", 16) == 16)
		n += 16;
	return n;
}

int main(void)
{
	zoo_start();
	struct itimerspec soon = { .it_value.tv_nsec = 1 }, never = { .it_value.tv_sec = 3600 };
	int empty[2], filled[2], full[2], inner = epoll_create1(0), idle = timerfd_create(0, 0);
	int fresh[2], count = eventfd(0, 0), inner_count = eventfd(1, 0), other = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLIN | EPOLLET, .data.u64 = 77 };
	uint64_t v;
	char c;

	ep = epoll_create1(0);
	zoo_need(ep >= 0 && inner >= 0 && idle >= 0 && pipe(fresh) == 0 && pipe(empty) == 0);
	zoo_need(pipe(filled) == 0 && pipe(full) == 0);
	/* Another instance watches the same pipe, and has seen all that there was. */
	zoo_need(epoll_ctl(other, EPOLL_CTL_ADD, empty[0], &e) == 0);
	zoo_need(write(empty[1], "x", 1) == 1);
	fire(empty[0], EPOLLIN, 1);
	zoo_need(read(empty[0], &c, 1) == 1 && epoll_wait(other, &e, 1, 0) == 0);
	zoo_need(write(filled[1], "x", 1) == 1);
	fire(filled[0], EPOLLIN | EPOLLET, 2);
	fire(full[1], EPOLLOUT, 3);
	size_t in_full = fill(full[1]);
	int full_size = fcntl(full[1], F_GETPIPE_SZ);
	zoo_need(timerfd_settime(idle, 0, &soon, NULL) == 0);
	fire(idle, EPOLLIN, 4);
	zoo_need(read(idle, &v, 8) == 8 && timerfd_settime(idle, 0, &never, NULL) == 0);
	fire(count, EPOLLOUT, 5);
	e = (struct epoll_event){ .events = EPOLLIN };
	zoo_need(epoll_ctl(inner, EPOLL_CTL_ADD, inner_count, &e) == 0);
	fire(inner, EPOLLIN, 6);
	zoo_need(eventfd_read(inner_count, &v) == 0);
	ctl(EPOLL_CTL_ADD, fresh[0], EPOLLIN, 7);
	none();
	zoo_ready();
	zoo_wait();
	none();
	struct pollfd p = { .fd = empty[0], .events = POLLIN };
	zoo_same(poll(&p, 1, 0), 0);
	p.fd = idle;
	zoo_same(poll(&p, 1, 0), 0);
	zoo_same(fcntl(full[1], F_GETPIPE_SZ), full_size);
	zoo_same(epoll_wait(other, &e, 1, 0), 0);
	/* Now all of them have something to report, some even that the other end is closed. */
	zoo_same(write(empty[1], "y", 1), 1);
	zoo_same(epoll_wait(other, &e, 1, 0), 1);
	zoo_same(e.data.u64, 77);
	close(empty[1]);
	close(filled[1]);
	for (size_t i = 0; i < in_full; i++)
		zoo_same(read(full[0], &c, 1), 1);
	zoo_same(timerfd_settime(idle, 0, &soon, NULL), 0);
	zoo_same(eventfd_write(count, 1), 0);
	zoo_same(eventfd_write(inner_count, 1), 0);
	p.fd = idle;
	zoo_same(poll(&p, 1, 1000), 1);
	none();
	enable(empty[0], EPOLLIN, 11);
	enable(filled[0], EPOLLIN, 12);
	enable(full[1], EPOLLOUT, 13);
	enable(idle, EPOLLIN, 14);
	enable(count, EPOLLIN, 15);
	enable(inner, EPOLLIN, 16);
	zoo_same(write(fresh[1], "x", 1), 1);
	zoo_same(epoll_wait(ep, &e, 1, 1000), 1);
	zoo_same(e.data.u64, 7);
	none();
	return zoo_end();
}
