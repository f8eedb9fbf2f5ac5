/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names of unix sockets: files with owner and mode, bound by a relative path from elsewhere,
 * renamed, unlinked, replaced by something else; abstract names, also with odd bytes, and automatic
 * ones.
 */
#include "zoo_unix.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static char c;

static bool talks(int from, int to)
{
	return send(from, "x", 1, MSG_NOSIGNAL) == 1 && recv(to, &c, 1, MSG_DONTWAIT) == 1;
}

/* Can it be reached by this path? */
static bool answers(const char *path, int listener)
{
	int fd = unix_make(SOCK_STREAM, NULL), got;
	bool ok = unix_try(fd, path) == 0;

	got = ok ? accept(listener, NULL, NULL) : -1;
	ok = got >= 0 && talks(fd, got) && unix_name_is(fd, true, path);
	close(got);
	close(fd);
	return ok;
}

static int listening(const char *name)
{
	int fd = unix_make(SOCK_STREAM | SOCK_NONBLOCK, name);

	zoo_need(listen(fd, 5) == 0);
	return fd;
}

static size_t entries(const char *dir)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	zoo_need(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

int main(void)
{
	int plain, absolute, relative, up, moved, unlinked, fifo, replaced, newer, nowhere,
		autobound, odd, dgram, client, got, name, taken;
	char path[200], odd_name[] = { 0, 'o', 0, 'd', '\n', (char)0xff, 0, 0, 0, 0, 0, 0, 0, 0 };
	struct sockaddr_un a, automatic;
	socklen_t len, automatic_len;
	uid_t uid = getuid() ? getuid() : 1234;
	gid_t gid = getuid() ? getgid() : 4321;
	struct stat st;
	size_t n;

	zoo_start();
	plain = listening("plain");
	zoo_need(chmod("plain", 0604) == 0 && chown("plain", uid, gid) == 0);
	/* An absolute one may be too long here; this one is always short enough. */
	snprintf(path, sizeof(path), "/tmp/zoo-unix-%d", getpid());
	absolute = listening(path);

	zoo_need(mkdir("dir", 0755) == 0 && mkdir("dir/sub", 0755) == 0 && chdir("dir/sub") == 0);
	relative = listening("relative");
	up = listening("../.././dir//up");
	zoo_need(chdir("../..") == 0);

	moved = listening("to be moved");
	zoo_need(rename("to be moved", "dir/moved") == 0);
	unlinked = unix_make(SOCK_DGRAM, "unlinked");
	client = unix_make(SOCK_DGRAM, NULL);
	zoo_need(unix_try(client, "unlinked") == 0 && unlink("unlinked") == 0);
	fifo = listening("fifo");
	zoo_need(unlink("fifo") == 0 && mkfifo("fifo", 0600) == 0);
	replaced = listening("replaced");
	zoo_need(unlink("replaced") == 0);
	newer = listening("replaced");
	zoo_need(mkdir("gone", 0700) == 0);
	nowhere = listening("gone/nowhere");
	zoo_need(unlink("gone/nowhere") == 0 && rmdir("gone") == 0);

	autobound = unix_make(SOCK_DGRAM, NULL);
	automatic = (struct sockaddr_un){ .sun_family = AF_UNIX };
	zoo_need(bind(autobound, (struct sockaddr *)&automatic, sizeof(sa_family_t)) == 0);
	automatic_len = sizeof(automatic);
	zoo_need(getsockname(autobound, (struct sockaddr *)&automatic, &automatic_len) == 0);
	odd = unix_make(SOCK_DGRAM, NULL);
	memcpy(odd_name + 6, &(pid_t){ getpid() }, sizeof(pid_t));
	a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(a.sun_path, odd_name, sizeof(odd_name));
	zoo_need(bind(odd, (struct sockaddr *)&a, sizeof(sa_family_t) + sizeof(odd_name)) == 0);
	/* A name of the greatest length: no NUL fits behind it. */
	dgram = unix_make(SOCK_DGRAM, NULL);
	a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memset(a.sun_path, 'n', sizeof(a.sun_path));
	zoo_need(bind(dgram, (struct sockaddr *)&a, sizeof(a)) == 0);

	n = entries(".");
	zoo_ready();
	zoo_wait();

	zoo_same(entries("."), n);
	zoo_same(entries("dir/sub"), 3);
	zoo_check(unix_name_is(plain, false, "plain"), "its name");
	zoo_check(answers("plain", plain), "it cannot be reached");
	zoo_check(stat("plain", &st) == 0 && S_ISSOCK(st.st_mode), "it has no file");
	zoo_same(st.st_mode & 07777, 0604);
	zoo_same(st.st_uid, uid);
	zoo_same(st.st_gid, gid);
	zoo_same(st.st_nlink, 1);
	zoo_check(unix_name_is(absolute, false, path) && answers(path, absolute), "absolute");
	zoo_check(unix_name_is(relative, false, "relative"), "relative to elsewhere");
	zoo_check(unix_name_is(up, false, "../.././dir//up"), "up and down");
	zoo_need(chdir("dir/sub") == 0);
	zoo_check(answers("relative", relative), "it cannot be reached from where it was bound");
	zoo_check(answers("../.././dir//up", up), "up and down cannot be reached");
	zoo_need(chdir("../..") == 0);

	zoo_check(unix_name_is(moved, false, "to be moved"), "the name of one that was moved");
	name = unix_make(SOCK_STREAM, NULL);
	zoo_check(unix_try(name, "to be moved") < 0 && errno == ENOENT, "there it was");
	zoo_check(unix_try(name, "dir/moved") == 0, "there it is now");
	got = accept(moved, NULL, NULL);
	zoo_check(got >= 0 && unix_name_is(name, true, "to be moved"), "moved");

	zoo_check(unix_name_is(unlinked, false, "unlinked") &&
			  unix_name_is(client, true, "unlinked") && talks(client, unlinked),
		  "unlinked");
	zoo_check(access("unlinked", F_OK) < 0, "an unlinked one is back");
	zoo_check(unix_name_is(fifo, false, "fifo") && stat("fifo", &st) == 0 &&
			  S_ISFIFO(st.st_mode),
		  "a FIFO in its place");
	zoo_check(unix_name_is(replaced, false, "replaced") && answers("replaced", newer),
		  "the newer one of its name");
	zoo_check(accept(replaced, NULL, NULL) < 0 && errno == EAGAIN, "the older one listens on");
	zoo_check(unix_name_is(nowhere, false, "gone/nowhere") && access("gone", F_OK) < 0,
		  "a directory that was removed");

	len = sizeof(a);
	zoo_need(getsockname(autobound, (struct sockaddr *)&a, &len) == 0);
	zoo_check(len == automatic_len && !memcmp(&a, &automatic, len), "an automatic name");
	zoo_check(sendto(client, "x", 1, 0, (struct sockaddr *)&automatic, automatic_len) == 1 &&
			  recv(autobound, &c, 1, MSG_DONTWAIT) == 1,
		  "it cannot be reached by its automatic name");
	len = sizeof(a);
	zoo_need(getsockname(odd, (struct sockaddr *)&a, &len) == 0);
	zoo_same(len, sizeof(sa_family_t) + sizeof(odd_name));
	zoo_check(!memcmp(a.sun_path, odd_name, sizeof(odd_name)), "an odd name");
	taken = socket(AF_UNIX, SOCK_DGRAM, 0);
	zoo_check(bind(taken, (struct sockaddr *)&a, len) < 0 && errno == EADDRINUSE,
		  "its abstract name is free");
	zoo_check(sendto(client, "x", 1, 0, (struct sockaddr *)&a, len) == 1, "the odd name");
	char longest[200] = "";

	len = sizeof(longest);
	zoo_need(getsockname(dgram, (struct sockaddr *)longest, &len) == 0);
	zoo_same(len, sizeof(a) + 1);
	zoo_same(unlink(path), 0);
	return zoo_end();
}
