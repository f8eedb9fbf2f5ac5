/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Many watches, and many events: more than the kernel tells at once. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRS   700
#define EVENTS 2000

int main(void)
{
	static char buf[1 << 20];
	char name[128];
	int fd, n = 0;
	ssize_t len;

	zoo_start();
	fd = inotify_init1(IN_NONBLOCK);
	for (int i = 0; i < DIRS; i++) {
		snprintf(name, sizeof(name), "directory-with-a-long-name-number-%060d", i);
		zoo_need(mkdir(name, 0700) == 0 || errno == EEXIST);
		if (inotify_add_watch(fd, name, IN_CREATE | IN_ATTRIB) != i + 1)
			zoo_skip("%d watches are too many here", i);
	}
	for (int i = 0; i < EVENTS; i++) {
		snprintf(name, sizeof(name), "directory-with-a-long-name-number-%060d", i % DIRS);
		zoo_need(chmod(name, 0700) == 0);
	}
	zoo_ready();
	zoo_wait();

	len = read(fd, buf, sizeof(buf));
	for (ssize_t at = 0; at < len; n++) {
		struct inotify_event *e = (void *)(buf + at);

		zoo_check(e->wd == n % DIRS + 1 && e->mask == (IN_ATTRIB | IN_ISDIR) && !e->len,
			  "event %d: watch %d, %#x", n, e->wd, e->mask);
		at += (ssize_t)(sizeof(*e) + e->len);
	}
	zoo_same(n, EVENTS);
	for (int i = 0; i < DIRS; i++) {
		struct inotify_event *e = (void *)buf;

		snprintf(name, sizeof(name), "directory-with-a-long-name-number-%060d/x", i);
		zoo_need(close(open(name, O_CREAT | O_WRONLY, 0600)) == 0);
		len = read(fd, buf, sizeof(buf));
		zoo_check(len == 32 && e->wd == i + 1 && e->mask == IN_CREATE,
			  "directory %d: %zd bytes", i, len);
		unlink(name);
	}
	return zoo_end();
}
