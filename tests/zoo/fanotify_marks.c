/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: exclusive */
/*
 * fanotify groups: one that tells names and handles, of a directory, a file and a file system; one
 * that gives descriptors, with an ignored file and a mark that may be evicted.
 */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define EVICTABLE 0x200

static _Alignas(8) char buf[65536];

static void touch(const char *name)
{
	int fd = open(name, O_CREAT | O_RDWR, 0600);

	zoo_need(fd >= 0 && close(fd) == 0);
}

/* What this process did: the masks together, and of the first event the descriptor. */
static uint64_t masks(int fd, int *ret_fd)
{
	const struct fanotify_event_metadata *e = (const void *)buf;
	ssize_t n = read(fd, buf, sizeof(buf));
	uint64_t mask = 0;

	*ret_fd = -1;
	for (; n > 0 && FAN_EVENT_OK(e, n); e = FAN_EVENT_NEXT(e, n)) {
		bool mine = e->pid == getpid();

		mask |= mine ? e->mask : 0;
		if (mine && *ret_fd < 0)
			*ret_fd = e->fd;
		else if (e->fd >= 0)
			close(e->fd);
	}
	return mask;
}

int main(void)
{
	int names, given, fd;
	char shm[64], text[8] = "";

	zoo_start();
	zoo_need(mkdir("dir", 0700) == 0 || errno == EEXIST);
	touch("file");
	touch("ignored");
	touch("evictable");
	snprintf(shm, sizeof(shm), "/dev/shm/zoo-fanotify-%d", getpid());
	names = fanotify_init(FAN_CLASS_NOTIF | FAN_NONBLOCK | FAN_REPORT_DFID_NAME, O_RDONLY);
	if (names < 0)
		zoo_skip("no fanotify: %s", strerror(errno));
	zoo_need(fanotify_mark(names, FAN_MARK_ADD, FAN_CREATE | FAN_DELETE | FAN_ONDIR, AT_FDCWD,
			       "dir") == 0);
	zoo_need(fanotify_mark(names, FAN_MARK_ADD, FAN_ATTRIB, AT_FDCWD, "file") == 0);
	zoo_need(fanotify_mark(names, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_DELETE, AT_FDCWD,
			       "/dev/shm") == 0);
	given = fanotify_init(FAN_CLASS_CONTENT | FAN_NONBLOCK | FAN_UNLIMITED_MARKS,
			      O_RDWR | O_APPEND);
	zoo_need(given >= 0);
	zoo_need(fanotify_mark(given, FAN_MARK_ADD, FAN_OPEN | FAN_EVENT_ON_CHILD, AT_FDCWD, ".") ==
		 0);
	zoo_need(fanotify_mark(given,
			       FAN_MARK_ADD | FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY,
			       FAN_OPEN, AT_FDCWD, "ignored") == 0);
	zoo_need(fanotify_mark(given, FAN_MARK_ADD | EVICTABLE, FAN_CLOSE_NOWRITE, AT_FDCWD,
			       "evictable") == 0);
	zoo_ready();
	zoo_wait();

	zoo_same(masks(given, &fd), 0);
	zoo_same(masks(names, &fd), 0);
	zoo_need(mkdir("dir/sub", 0700) == 0 && rmdir("dir/sub") == 0);
	zoo_same(masks(names, &fd), FAN_CREATE | FAN_DELETE | FAN_ONDIR);
	zoo_check(memmem(buf, 200, "sub", 4) != NULL, "the name is not told");
	zoo_need(chmod("file", 0640) == 0 && chmod("ignored", 0640) == 0);
	zoo_same(masks(names, &fd), FAN_ATTRIB);
	touch(shm);
	zoo_same(masks(names, &fd), 0);
	zoo_need(unlink(shm) == 0);
	zoo_same(masks(names, &fd), FAN_DELETE);

	touch("ignored");
	zoo_same(masks(given, &fd), 0);
	touch("file");
	zoo_same(masks(given, &fd), FAN_OPEN);
	zoo_check(fd >= 0 && fcntl(fd, F_GETFL) & O_APPEND && write(fd, "x", 1) == 1,
		  "the descriptor given is not as it was asked for");
	close(fd);
	fd = open("file", O_RDONLY);
	zoo_check(read(fd, text, 1) == 1 && text[0] == 'x', "another file's descriptor");
	masks(given, &fd);
	close(fd);
	zoo_need(close(open("evictable", O_RDONLY)) == 0);
	zoo_same(masks(given, &fd), FAN_OPEN | FAN_CLOSE_NOWRITE);
	close(fd);
	zoo_same(truncate("file", 0), 0);
	return zoo_end();
}
