/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: norerun exclusive */
/*
 * What is watched: directories of several file systems, files with two names, symbolic links,
 * FIFOs, things renamed since, deleted files and directories that are open still; once and with
 * masks; by the numbers they had, with gaps. What a restore does itself must not be told.
 */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

static int fd, cwd;

/* The next event that is not the working directory's, which tells of all that is done here. */
static struct inotify_event *next_event(void)
{
	static char buf[65536];
	static ssize_t len, at;
	struct inotify_event *e;

	for (;;) {
		if (at == len) {
			at = 0;
			len = read(fd, buf, sizeof(buf));
		}
		if (len <= 0) {
			len = 0;
			return NULL;
		}
		e = (void *)(buf + at);
		at += (ssize_t)(sizeof(*e) + e->len);
		if (e->wd != cwd)
			return e;
	}
}

static void expect(int wd, uint32_t mask, const char *name)
{
	struct inotify_event *e = next_event();

	if (!e)
		zoo_check(false, "watch %d: no event %#x of %s", wd, mask, name);
	else
		zoo_check(e->wd == wd && e->mask == mask && !strcmp(e->len ? e->name : "", name),
			  "watch %d, event %#x of %s; not %d, %#x of %s", e->wd, e->mask,
			  e->len ? e->name : "-", wd, mask, name);
}

static void nothing(const char *after)
{
	struct inotify_event *e;

	while ((e = next_event()))
		zoo_check(false, "after %s: watch %d, event %#x of %s", after, e->wd, e->mask,
			  e->len ? e->name : "-");
}

static void touch(const char *name)
{
	int f = open(name, O_CREAT | O_RDWR, 0600);

	zoo_need(f >= 0 && close(f) == 0);
}

int main(void)
{
	int shm, exe, dir, two, symbolic, fifo, once, excl, moved, open_file, open_dir, f_cwd, f, d;
	char shm_name[64], c;

	zoo_start();
	fd = inotify_init1(IN_NONBLOCK);
	zoo_need(fd >= 0 && mkdir("dir", 0700) == 0 && mkdir("excl", 0700) == 0);
	touch("dir/one");
	zoo_need(link("dir/one", "two") == 0 && symlink("dir", "link") == 0 &&
		 mkfifo("fifo", 0600) == 0);
	touch("once");
	touch("before");
	touch("deleted");
	zoo_need(truncate("deleted", 5000) == 0);
	mkdir("gone", 0700);
	snprintf(shm_name, sizeof(shm_name), "/dev/shm/zoo-inotify-%d", getpid());
	/* All that a restore would open or look into. */
	exe = inotify_add_watch(fd, "/proc/self/exe", IN_ALL_EVENTS);
	cwd = inotify_add_watch(fd, ".", IN_ALL_EVENTS);
	dir = inotify_add_watch(fd, "dir", IN_CREATE | IN_DELETE);
	zoo_need(inotify_rm_watch(fd, inotify_add_watch(fd, "once", IN_OPEN)) == 0);
	zoo_need(inotify_rm_watch(fd, inotify_add_watch(fd, "once", IN_OPEN)) == 0);
	two = inotify_add_watch(fd, "two", IN_ATTRIB);
	symbolic = inotify_add_watch(fd, "link", IN_MOVE_SELF | IN_DONT_FOLLOW);
	fifo = inotify_add_watch(fd, "fifo", IN_OPEN);
	once = inotify_add_watch(fd, "once", IN_OPEN | IN_ONESHOT);
	excl = inotify_add_watch(fd, "excl", IN_MODIFY | IN_EXCL_UNLINK);
	moved = inotify_add_watch(fd, "before", IN_OPEN);
	shm = inotify_add_watch(fd, "/dev/shm", IN_CREATE);
	zoo_need(rename("before", "after") == 0);
	f = open("deleted", O_RDWR);
	open_file = inotify_add_watch(fd, "deleted", IN_MODIFY | IN_DELETE_SELF);
	d = open("gone", O_RDONLY);
	open_dir = inotify_add_watch(fd, "gone", IN_ATTRIB);
	zoo_need(unlink("deleted") == 0 && rmdir("gone") == 0);
	while (next_event())
		;
	f_cwd = cwd;
	cwd = -2; /* now its events count, too */
	zoo_ready();
	zoo_wait();

	nothing("a restore");
	cwd = f_cwd;
	zoo_need(chmod("dir/one", 0640) == 0);
	expect(two, IN_ATTRIB, "");
	touch("dir/new");
	expect(dir, IN_CREATE, "new");
	zoo_need(unlink("dir/new") == 0);
	expect(dir, IN_DELETE, "new");
	touch("dir/one");
	nothing("an opening that is not asked for");
	touch(shm_name);
	expect(shm, IN_CREATE, strrchr(shm_name, '/') + 1);
	unlink(shm_name);
	zoo_need(write(f, "x", 1) == 1);
	expect(open_file, IN_MODIFY, "");
	zoo_need(fchmod(d, 0711) == 0);
	expect(open_dir, IN_ATTRIB | IN_ISDIR, "");

	/* The working directory tells of all that is in it. */
	f_cwd = cwd;
	cwd = -2;
	nothing("acts elsewhere");
	touch("here");
	expect(f_cwd, IN_CREATE, "here");
	expect(f_cwd, IN_OPEN, "here");
	expect(f_cwd, IN_CLOSE_WRITE, "here");
	cwd = f_cwd;
	zoo_need(rename("link", "link2") == 0);
	expect(symbolic, IN_MOVE_SELF, "");
	zoo_need(close(open("fifo", O_RDONLY | O_NONBLOCK)) == 0);
	expect(fifo, IN_OPEN, "");
	touch("after");
	expect(moved, IN_OPEN, "");
	touch("before");
	nothing("another file took the old name");
	zoo_need(close(open("once", O_RDONLY)) == 0);
	expect(once, IN_OPEN, "");
	expect(once, IN_IGNORED, "");
	zoo_need(close(open("once", O_RDONLY)) == 0);
	nothing("the second time of once");
	touch("excl/x");
	{
		int x = open("excl/x", O_WRONLY);

		zoo_need(write(x, "y", 1) == 1);
		expect(excl, IN_MODIFY, "x");
		zoo_need(unlink("excl/x") == 0 && write(x, "y", 1) == 1);
		nothing("a write to an unlinked file");
	}
	zoo_need(close(f) == 0);
	expect(open_file, IN_DELETE_SELF, "");
	expect(open_file, IN_IGNORED, "");
	f = open("/proc/self/exe", O_RDONLY);
	zoo_need(read(f, &c, 1) == 1);
	expect(exe, IN_OPEN, "");
	zoo_same(inotify_add_watch(fd, "dir/one", IN_OPEN), two);
	zoo_same(inotify_add_watch(fd, "before", IN_OPEN), open_dir + 1);
	return zoo_end();
}
