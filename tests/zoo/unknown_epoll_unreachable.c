/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="descriptor 40, but no descriptor .* it any more; it is held by process" */
/* An instance that watches a file which only a process outside of the checkpoint still holds. */
#include "zoo.h"

#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

/* A process that is nobody's child here, and ends with this one. */
static void hold_outside(int fd, int until)
{
	pid_t pid = fork();

	zoo_need(pid >= 0);
	if (pid > 0)
		return;
	if (setsid() < 0 || fork() != 0)
		_exit(0);
	for (int i = 0; i < 64; i++)
		if (i != fd && i != until)
			close(i);
	char c;
	_exit(read(until, &c, 1) != 0);
}

int main(void)
{
	zoo_start();
	int ep = epoll_create1(0), p[2], end[2];
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = 7 }, got;

	zoo_need(ep >= 0 && pipe(p) == 0 && pipe(end) == 0 && dup2(p[0], 40) == 40);
	zoo_need(close(p[0]) == 0 && epoll_ctl(ep, EPOLL_CTL_ADD, 40, &event) == 0);
	hold_outside(40, end[0]);
	zoo_need(wait(NULL) > 0);
	zoo_need(close(end[0]) == 0 && close(40) == 0);
	zoo_ready();
	zoo_wait();
	zoo_same(write(p[1], "x", 1), 1);
	zoo_same(epoll_wait(ep, &got, 1, 1000), 1);
	zoo_same(got.data.u64, 7);
	return zoo_end();
}
