/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* More entries than one pass of the snapshot holds, every third ready, in an order of their own. */
#include "zoo.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

/* 101 and THIRDS have no common factor. */
enum { FILES = 700, TWICE = 600, THIRDS = (FILES + 2) / 3 };

static int ep, fd[FILES], again[TWICE];
static unsigned char seen[FILES + TWICE];

static void add(int number, int index)
{
	struct epoll_event e = { .events = EPOLLIN | (index % 2 ? EPOLLET : 0),
				 .data.u64 = 0x100000000ULL * (unsigned int)index + 7 };

	zoo_need(epoll_ctl(ep, EPOLL_CTL_ADD, number, &e) == 0);
}

static void collect(void)
{
	struct epoll_event e[64];
	int n;

	for (int left = 0; left < FILES + TWICE && (n = epoll_wait(ep, e, 64, 0)) > 0; left += n)
		for (int i = 0; i < n; i++) {
			unsigned int index = (unsigned int)(e[i].data.u64 >> 32);

			zoo_check((e[i].data.u64 & 0xffffffff) == 7 && index < FILES + TWICE,
				  "there is an entry %#llx", (unsigned long long)e[i].data.u64);
			seen[index % (FILES + TWICE)] = 1;
		}
}

int main(void)
{
	zoo_start();
	struct rlimit lim;

	zoo_need(getrlimit(RLIMIT_NOFILE, &lim) == 0);
	lim.rlim_cur = lim.rlim_max;
	zoo_need(setrlimit(RLIMIT_NOFILE, &lim) == 0);
	if (lim.rlim_cur < 4 * (FILES + TWICE))
		zoo_skip("so many descriptors are not allowed");
	ep = epoll_create1(0);
	for (int i = 0; i < FILES; i++) {
		fd[i] = eventfd(0, EFD_NONBLOCK);
		zoo_need(fd[i] >= 0);
		add(fd[i], i);
	}
	for (int i = 0; i < TWICE; i++) {
		again[i] = dup(fd[i]);
		zoo_need(again[i] >= 0);
		add(again[i], FILES + i);
	}
	for (int i = 0; i < THIRDS; i++)
		zoo_need(eventfd_write(fd[i * 101 % THIRDS * 3], 1) == 0);
	zoo_ready();
	zoo_wait();
	collect();
	for (int i = 0; i < FILES + TWICE; i++) {
		int of = i < FILES ? i : i - FILES;
		eventfd_t v;

		zoo_check(seen[i] == (of % 3 == 0), "entry %d %s", i,
			  seen[i] ? "reports" : "does not report");
		if (i < FILES && of % 3 == 0)
			zoo_same(eventfd_read(fd[of], &v), 0);
		seen[i] = 0;
	}
	for (int i = 0; i < FILES; i++)
		zoo_same(eventfd_write(fd[i], 1), 0);
	collect();
	for (int i = 0; i < FILES + TWICE; i++)
		zoo_check(seen[i], "entry %d does not report", i);
	return zoo_end();
}
