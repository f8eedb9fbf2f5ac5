/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Unix datagrams: boundaries, senders' names, also of senders that are gone, credentials, who may
 * send to whom.
 */
#include "zoo_unix.h"

#include <stdio.h>
#include <sys/wait.h>

static char buf[100000];

static void got(const char *what, int fd, const char *text, const char *from)
{
	struct unix_got g = unix_recv(fd, buf, sizeof(buf), 0);

	zoo_check(g.len == (ssize_t)strlen(text) && !memcmp(buf, text, strlen(text)),
		  "%s: %.*s instead of %s", what, (int)(g.len > 0 ? g.len : 0), buf, text);
	zoo_check(g.len < 0 || unix_is(&g.from, g.from_len, from), "%s: %s from %.*s, not from %s",
		  what, text, (int)g.from_len - 2, g.from.sun_path, from ? from : "nobody");
}

static void say(int fd, const char *text, const char *to)
{
	zoo_need(unix_send(fd, text, strlen(text), NULL, 0, NULL, to, 0) == (ssize_t)strlen(text));
}

static void nothing(const char *what, int fd)
{
	zoo_check(recv(fd, buf, sizeof(buf), MSG_DONTWAIT) < 0 && errno == EAGAIN,
		  "%s: one more message", what);
}

static char abs_name[4][32];

/* Two programs of this kind may run at once. */
static const char *abstract(int i)
{
	snprintf(abs_name[i], sizeof(abs_name[i]), "@zoo-dgram-%d-%d", getpid(), i);
	return abs_name[i];
}

int main(void)
{
	int pair[2], lone[2], path, abs, client, nameless, gone, first, second, third, self, twice,
		crowd;
	struct ucred dead = { 0, 77, 88 };
	struct unix_got g;

	zoo_start();
	zoo_need(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
	say(pair[0], "one", NULL);
	zoo_need(send(pair[0], "", 0, 0) == 0);
	say(pair[0], "two", NULL);
	memset(buf, 'l', 70000);
	zoo_need(send(pair[1], buf, 70000, 0) == 70000);

	/* The other end is gone, what it sent is there. */
	zoo_need(socketpair(AF_UNIX, SOCK_DGRAM, 0, lone) == 0);
	say(lone[1], "last words", NULL);
	zoo_need(close(lone[1]) == 0);

	path = unix_make(SOCK_DGRAM, "dgram");
	abs = unix_make(SOCK_DGRAM, abstract(0));
	client = unix_make(SOCK_DGRAM, "client");
	nameless = unix_make(SOCK_DGRAM, NULL);
	say(client, "from a path", "dgram");
	say(nameless, "from nobody", "dgram");
	say(abs, "from an abstract name", "dgram");
	gone = unix_make(SOCK_DGRAM, "gone");
	say(gone, "from the dead", "dgram");
	zoo_need(close(gone) == 0 && unlink("gone") == 0);
	gone = unix_make(SOCK_DGRAM, abstract(1));
	say(gone, "from the abstract dead", abstract(0));
	zoo_need(close(gone) == 0);
	zoo_need(unix_try(client, abstract(0)) == 0);
	say(client, "over a connection", NULL);

	/* Connected to one that is gone; and to a third one. */
	twice = unix_make(SOCK_DGRAM, NULL);
	gone = unix_make(SOCK_DGRAM, "late");
	zoo_need(unix_try(twice, "late") == 0 && close(gone) == 0);
	first = unix_make(SOCK_DGRAM, "first");
	second = unix_make(SOCK_DGRAM, "second");
	third = unix_make(SOCK_DGRAM, "third");
	zoo_need(unix_try(first, "second") == 0);
	say(third, "before it was connected", "second");
	zoo_need(unix_try(second, "third") == 0);

	self = unix_make(SOCK_DGRAM, "self");
	zoo_need(unix_try(self, "self") == 0);
	say(self, "to myself", NULL);

	/* Credentials of a process that ended. */
	crowd = unix_make(SOCK_DGRAM, "crowd");
	unix_set_int(crowd, SO_PASSCRED, 1);
	say(nameless, "mine", "crowd");
	dead.pid = fork();
	if (dead.pid == 0) {
		say(client, "the child's", "crowd");
		_exit(0);
	}
	zoo_need(waitpid(dead.pid, NULL, 0) == dead.pid);
	zoo_ready();
	zoo_wait();

	got("pair", pair[1], "one", NULL);
	got("pair, empty", pair[1], "", NULL);
	got("pair", pair[1], "two", NULL);
	nothing("pair", pair[1]);
	zoo_same(recv(pair[0], buf, sizeof(buf), MSG_DONTWAIT), 70000);
	say(pair[1], "back", NULL);
	got("pair", pair[0], "back", NULL);

	got("lone", lone[0], "last words", NULL);
	zoo_check(send(lone[0], "x", 1, MSG_NOSIGNAL) < 0 && errno == ECONNREFUSED,
		  "the other end of a pair is not gone");

	got("path", path, "from a path", "client");
	got("path", path, "from nobody", NULL);
	got("path", path, "from an abstract name", abstract(0));
	got("path", path, "from the dead", "gone");
	nothing("path", path);
	got("abstract", abs, "from the abstract dead", abstract(1));
	got("abstract", abs, "over a connection", "client");
	nothing("abstract", abs);
	zoo_check(unix_name_is(client, true, abstract(0)), "a datagram socket lost its peer");
	say(client, "still connected", NULL);
	got("abstract", abs, "still connected", "client");
	say(nameless, "by name", "dgram");
	got("path", path, "by name", NULL);

	zoo_check(unix_name_is(twice, true, "late"), "the name of a peer that is gone");
	zoo_check(send(twice, "x", 1, MSG_NOSIGNAL) < 0 && errno == ECONNREFUSED,
		  "a peer that was gone is back");
	zoo_check(send(twice, "x", 1, MSG_NOSIGNAL) < 0 && errno == ENOTCONN,
		  "connected still to one that refused");

	got("second", second, "before it was connected", "third");
	zoo_check(unix_name_is(first, true, "second"), "the peer of the first");
	zoo_check(send(first, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPERM,
		  "a socket takes from who is connected to it, but not its peer");
	say(second, "further on", NULL);
	got("third", third, "further on", "second");
	zoo_check(unix_send(nameless, "x", 1, NULL, 0, NULL, "second", 0) < 0 && errno == EPERM,
		  "a connected socket takes from others");

	got("self", self, "to myself", "self");

	g = unix_recv(crowd, buf, sizeof(buf), 0);
	zoo_check(g.has_cred && g.cred.pid == getpid() && g.cred.uid == getuid(), "mine are %d, %u",
		  g.cred.pid, g.cred.uid);
	g = unix_recv(crowd, buf, sizeof(buf), 0);
	zoo_check(g.has_cred && g.cred.pid == dead.pid && g.cred.gid == getgid(),
		  "the dead child's are %d, %u", g.cred.pid, g.cred.gid);
	return zoo_end();
}
