/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: norerun timeout=60 */
/* A queue that ran over: what came before, the overflow, what came after half of it was read. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define BYTES 32 /* of an event with a name of one letter */

/* Two names in turn: equal events in a row are one. */
static void act(int n)
{
	static int turn;

	for (int i = 0; i < n; i++)
		zoo_need(chmod(turn++ % 2 ? "dir/b" : "dir/a", 0600) == 0);
}

static int limit(void)
{
	char *text = zoo_slurp("/proc/sys/fs/inotify/max_queued_events", NULL);
	int n = atoi(text);

	free(text);
	return n;
}

int main(void)
{
	char buf[BYTES];
	struct inotify_event *e = (void *)buf;
	int fd, wd, max = limit(), n = 0, at = -1;

	zoo_start();
	if (max > 100000)
		zoo_skip("queues of %d events are too long to be filled", max);
	zoo_need(mkdir("dir", 0700) == 0);
	zoo_need(close(open("dir/a", O_CREAT | O_WRONLY, 0600)) == 0);
	zoo_need(close(open("dir/b", O_CREAT | O_WRONLY, 0600)) == 0);
	fd = inotify_init1(IN_NONBLOCK);
	wd = inotify_add_watch(fd, "dir", IN_ATTRIB);
	zoo_need(wd == 1);
	act(max + 5);
	for (int i = 0; i < max - 100; i++)
		zoo_need(read(fd, buf, BYTES) == BYTES);
	act(50);
	zoo_ready();
	zoo_wait();

	for (; read(fd, buf, BYTES) > 0; n++) {
		if (e->mask == IN_Q_OVERFLOW) {
			zoo_check(at < 0 && e->wd == -1, "a second overflow");
			at = n;
		} else {
			zoo_check(e->wd == wd && e->mask == IN_ATTRIB && e->len == 16 &&
					  (!strcmp(e->name, "a") || !strcmp(e->name, "b")),
				  "event %d: watch %d, %#x", n, e->wd, e->mask);
		}
	}
	zoo_same(n, 151);
	zoo_same(at, 100);
	act(1);
	zoo_same(read(fd, buf, BYTES), BYTES);
	zoo_check(e->mask == IN_ATTRIB && e->wd == wd, "watch %d, event %#x", e->wd, e->mask);
	return zoo_end();
}
