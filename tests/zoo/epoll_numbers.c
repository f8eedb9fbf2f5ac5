/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Entries are known by file and number: one whose number is closed or has another file now, the
 * same file under several numbers, several files under the same number.
 */
#include "zoo.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int ep;

static int ctl(int op, int fd, uint64_t data)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = data };

	return epoll_ctl(ep, op, fd, &e) < 0 ? -errno : 0;
}

/* A bit per entry that reports, by its data. */
static unsigned int reported(void)
{
	struct epoll_event e[32];
	int n = epoll_wait(ep, e, 32, 0);
	unsigned int bits = 0;

	for (int i = 0; i < n; i++) {
		zoo_check(!(bits & 1u << e[i].data.u64), "entry %d twice", (int)e[i].data.u64);
		bits |= 1u << e[i].data.u64;
	}
	return bits;
}

int main(void)
{
	zoo_start();
	int a = eventfd(0, 0), b = eventfd(0, 0), a2, a_last;
	eventfd_t v;

	ep = epoll_create1(0);
	zoo_need(ep >= 0 && a >= 0 && b >= 0);
	zoo_need((a2 = dup2(a, 900)) == 900 && ctl(EPOLL_CTL_ADD, a, 1) == 0);
	zoo_need(ctl(EPOLL_CTL_ADD, a2, 2) == 0);
	/* 50 was a, then b, and is closed now; 3 is what standard files of the restorer are. */
	zoo_need(dup2(a, 50) == 50 && ctl(EPOLL_CTL_ADD, 50, 3) == 0);
	zoo_need(dup2(b, 50) == 50 && ctl(EPOLL_CTL_ADD, 50, 4) == 0 && close(50) == 0);
	zoo_need(dup2(a, 800) == 800 && ctl(EPOLL_CTL_ADD, 800, 5) == 0 && dup2(b, 800) == 800);
	zoo_need((a_last = dup2(a, 60)) == 60 && close(a) == 0 && close(a2) == 0 &&
		 dup2(b, a) == a);
	/* The instance's own number, while it was elsewhere. */
	int elsewhere = dup(ep), own = ep;
	zoo_need(dup2(b, own) == own);
	ep = elsewhere;
	zoo_need(ctl(EPOLL_CTL_ADD, own, 6) == 0 && dup2(ep, own) == own && close(ep) == 0);
	ep = own;
	zoo_ready();
	zoo_wait();
	zoo_same(reported(), 0);
	zoo_same(eventfd_write(a_last, 1), 0);
	zoo_same(reported(), 1u << 1 | 1u << 2 | 1u << 3 | 1u << 5);
	zoo_same(eventfd_read(a_last, &v), 0);
	zoo_same(eventfd_write(b, 1), 0);
	zoo_same(reported(), 1u << 4 | 1u << 6);
	/* Each is found again under its number and file only. */
	zoo_same(ctl(EPOLL_CTL_DEL, a, 0), -ENOENT);
	zoo_same(ctl(EPOLL_CTL_DEL, 800, 0), -ENOENT);
	zoo_same(ctl(EPOLL_CTL_DEL, 60, 0), -ENOENT);
	zoo_same(dup2(b, 50), 50);
	zoo_same(ctl(EPOLL_CTL_DEL, 50, 0), 0);
	zoo_same(dup2(a_last, 50), 50);
	zoo_same(ctl(EPOLL_CTL_DEL, 50, 0), 0);
	zoo_same(ctl(EPOLL_CTL_DEL, 50, 0), -ENOENT);
	for (int n = 800; n <= 900; n += 100) {
		zoo_same(dup2(a_last, n), n);
		zoo_same(ctl(EPOLL_CTL_DEL, n, 0), 0);
	}
	zoo_same(dup2(a_last, a), a);
	zoo_same(ctl(EPOLL_CTL_DEL, a, 0), 0);
	zoo_same(reported(), 1u << 6);
	/* With the file goes its entry. */
	zoo_same(close(b), 0);
	zoo_same(reported(), 0);
	return zoo_end();
}
