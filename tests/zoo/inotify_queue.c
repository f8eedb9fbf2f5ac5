/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: norerun */
/*
 * Events that wait to be read: of every kind, of several watches in turn, of watches that are gone.
 * A second instance with the same watches is read before, and tells what must come.
 */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOM 65536

static char expected[ROOM], got[ROOM];
static char long_name[256];

static void touch(const char *name)
{
	int fd = open(name, O_CREAT | O_RDWR, 0600);

	zoo_need(fd >= 0 && write(fd, "x", 1) == 1 && close(fd) == 0);
}

static void watch_all(int fd)
{
	static const char *const names[] = { "a", "b", "a/file", "c", "gone", "d", "a/ln" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		zoo_need(inotify_add_watch(fd, names[i],
					   IN_ALL_EVENTS | (i == 6 ? IN_DONT_FOLLOW : 0)) ==
			 (int)i + 1);
}

static void act(int one, int other)
{
	char c;
	int fd;

	touch("a/new");
	fd = open("a/file", O_RDONLY);
	zoo_need(fd >= 0 && read(fd, &c, 1) == 1 && close(fd) == 0);
	zoo_need(rename("a/new", "b/newer") == 0);
	zoo_need(rename("b/newer", "b/newest") == 0);
	zoo_need(chmod("b/newest", 0640) == 0 && chmod("a/file", 0640) == 0);
	zoo_need(mkdir("b/sub", 0700) == 0 && rename("b/sub", "out") == 0 && rmdir("out") == 0);
	fd = open("b", O_RDONLY | O_DIRECTORY);
	zoo_need(fd >= 0 && close(fd) == 0);
	zoo_need(unlink("b/newest") == 0);
	touch("outside");
	zoo_need(rename("outside", "a/inside") == 0);
	zoo_need(rename("c", "c2") == 0 && rename("c2", "c") == 0);
	zoo_need(truncate("a/file", 0) == 0);
	zoo_need(unlink("gone") == 0);
	touch(long_name);
	zoo_need(inotify_rm_watch(one, 6) == 0 && inotify_rm_watch(other, 6) == 0);
	zoo_need(chmod("a", 0711) == 0);
	zoo_need(fchmodat(AT_FDCWD, "a/file", 0600, 0) == 0);
}

/* The same, but for the numbers of renamings, which must be paired in the same way. */
static void compare(ssize_t n)
{
	uint32_t was = 0, is = 0;
	int i = 0;

	for (ssize_t at = 0; at < n; i++) {
		struct inotify_event *a = (void *)(expected + at), *b = (void *)(got + at);

		zoo_check(a->wd == b->wd && a->mask == b->mask && a->len == b->len &&
				  !memcmp(a->name, b->name, a->len),
			  "event %d: watch %d, mask %#x, %s; not %d, %#x, %s", i, b->wd, b->mask,
			  b->len ? b->name : "-", a->wd, a->mask, a->len ? a->name : "-");
		zoo_check(!a->cookie == !b->cookie && (a->cookie == was) == (b->cookie == is),
			  "event %d: renaming %u, not %u", i, b->cookie, a->cookie);
		was = a->cookie;
		is = b->cookie;
		at += (ssize_t)(sizeof(*a) + a->len);
	}
	zoo_check(i > 30, "only %d events", i);
}

int main(void)
{
	int fd, other;
	ssize_t want, n;

	zoo_start();
	zoo_need(mkdir("a", 0700) == 0 && mkdir("b", 0700) == 0 && mkdir("d", 0700) == 0);
	touch("a/file");
	touch("c");
	touch("gone");
	zoo_need(symlink("nowhere", "a/ln") == 0);
	snprintf(long_name, sizeof(long_name), "a/%0250d", 1);
	fd = inotify_init1(IN_NONBLOCK);
	other = inotify_init();
	watch_all(fd);
	watch_all(other);
	act(fd, other);
	want = read(fd, expected, ROOM);
	zoo_need(want > 0);
	/* From now on they differ: the one was read, and the other still is to be. */
	zoo_ready();
	zoo_wait();

	zoo_check(read(fd, got, ROOM) < 0 && errno == EAGAIN, "events from nowhere");
	n = read(other, got, ROOM);
	zoo_same(n, want);
	compare(want < n ? want : n);
	/* The watches are the files' still, by their numbers. */
	zoo_need(chmod("c", 0600) == 0);
	n = read(other, got, ROOM);
	zoo_check(n == 16 && ((struct inotify_event *)(void *)got)->wd == 4,
		  "watch of c: %zd bytes", n);
	zoo_same(inotify_add_watch(other, "d", IN_OPEN), 8);
	zoo_same(inotify_rm_watch(other, 1), 0);
	n = read(other, got, ROOM);
	zoo_check(n == 16 && ((struct inotify_event *)(void *)got)->mask == IN_IGNORED &&
			  ((struct inotify_event *)(void *)got)->wd == 1,
		  "a watch taken away: %zd bytes", n);
	return zoo_end();
}
