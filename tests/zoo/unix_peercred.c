/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SO_PEERCRED: of processes that have ended, of users that they are no more, of who listened and
 * who connected; supplementary groups (SO_PEERGROUPS).
 */
#include "zoo_unix.h"

#include <grp.h>
#include <stdlib.h>
#include <sys/wait.h>

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

static struct ucred cred_of(int fd)
{
	struct ucred c = { -1, (uid_t)-2, (gid_t)-2 };
	socklen_t len = sizeof(c);

	zoo_need(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &len) == 0);
	return c;
}

static void check(const char *what, int fd, struct ucred want)
{
	struct ucred got = cred_of(fd);

	zoo_check(got.pid == want.pid && got.uid == want.uid && got.gid == want.gid,
		  "%s: %d, %u, %u instead of %d, %u, %u", what, got.pid, got.uid, got.gid, want.pid,
		  want.uid, want.gid);
}

/* Let a child of that user do something with this program's descriptors; its pid. */
static pid_t child(bool root, uid_t uid, void (*fn)(int), int fd)
{
	pid_t pid = fork();
	gid_t groups[3] = { 11, 22, 33 };
	int status = -1;

	if (pid == 0) {
		if (root && (setgroups(3, groups) || setresgid(uid + 1, uid + 1, uid + 1) ||
			     setresuid(uid, uid, uid)))
			_exit(1);
		fn(fd);
		_exit(0);
	}
	zoo_need(waitpid(pid, &status, 0) == pid && status == 0);
	return pid;
}

static void send_pair(int via)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv) ||
	    unix_send(via, "p", 1, sv, 2, NULL, NULL, 0) < 0)
		_exit(1);
}

static void send_dgram_pair(int via)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, sv) ||
	    unix_send(via, "p", 1, sv, 2, NULL, NULL, 0) < 0)
		_exit(1);
}

static void do_listen(int fd)
{
	if (listen(fd, 5))
		_exit(1);
}

static void do_connect(int fd)
{
	if (unix_try(fd, "listener"))
		_exit(1);
}

static void receive_pair(int fd, int sv[2])
{
	char c;
	struct unix_got g = unix_recv(fd, &c, 1, 0);

	zoo_need(g.n_fds == 2);
	sv[0] = g.fd[0];
	sv[1] = g.fd[1];
}

int main(void)
{
	int way[2], pair[2], dgram[2], own[2], listener, client, early, accepted, pending, half[2];
	struct ucred self = { getpid(), geteuid(), getegid() }, made, dmade, listened, connected,
		     waiting;
	bool root = geteuid() == 0;
	gid_t groups[64];
	socklen_t len;

	zoo_start();
	zoo_need(socketpair(AF_UNIX, SOCK_DGRAM, 0, way) == 0);
	zoo_need(socketpair(AF_UNIX, SOCK_STREAM, 0, own) == 0);
	made = dmade = listened = connected = waiting = self;
	made.pid = child(root, 2000, send_pair, way[0]);
	receive_pair(way[1], pair);
	dmade.pid = child(root, 2100, send_dgram_pair, way[0]);
	receive_pair(way[1], dgram);
	/* One whose other end is closed. */
	child(root, 2000, send_pair, way[0]);
	receive_pair(way[1], half);
	close(half[1]);

	/* Connected while one listened, and while another one did. */
	listener = unix_make(SOCK_STREAM | SOCK_NONBLOCK, "listener");
	zoo_need(!root || !chown("listener", 2300, 2301));
	zoo_need(listen(listener, 5) == 0);
	early = unix_make(SOCK_STREAM, NULL);
	zoo_need(unix_try(early, "listener") == 0 && accept(listener, NULL, NULL) >= 0);
	listened.pid = child(root, 2200, do_listen, listener);
	client = unix_make(SOCK_STREAM, NULL);
	connected.pid = child(root, 2300, do_connect, client);
	accepted = accept(listener, NULL, NULL);
	zoo_need(accepted >= 0);
	pending = unix_make(SOCK_STREAM, NULL);
	waiting.pid = child(root, 2300, do_connect, pending);
	if (root) {
		made.uid = 2000, made.gid = 2001;
		dmade.uid = 2100, dmade.gid = 2101;
		listened.uid = 2200, listened.gid = 2201;
		connected.uid = waiting.uid = 2300;
		connected.gid = waiting.gid = 2301;
	}
	zoo_need(cred_of(pair[0]).pid == made.pid && cred_of(pair[0]).uid == made.uid);
	zoo_need(cred_of(client).pid == listened.pid && cred_of(early).pid == self.pid);
	zoo_ready();
	zoo_wait();

	check("own", own[0], self);
	check("made by a child", pair[0], made);
	check("made by a child", pair[1], made);
	check("datagram", dgram[0], dmade);
	check("datagram", dgram[1], dmade);
	check("early client", early, self);
	check("listener itself", listener, listened);
	check("client", client, listened);
	check("accepted", accepted, connected);
	check("not accepted yet", pending, listened);
	accepted = accept(listener, NULL, NULL);
	check("accepted now", accepted, waiting);
	zoo_same(cred_of(half[0]).uid, root ? 2000 : self.uid);
	if (root) {
		len = sizeof(groups);
		zoo_same(getsockopt(pair[0], SOL_SOCKET, SO_PEERGROUPS, groups, &len), 0);
		zoo_same(len, 3 * sizeof(gid_t));
		zoo_check(groups[0] == 11 && groups[1] == 22 && groups[2] == 33, "groups");
		len = sizeof(groups);
		zoo_same(getsockopt(accepted, SOL_SOCKET, SO_PEERGROUPS, groups, &len), 0);
		zoo_same(len, 3 * sizeof(gid_t));
	}
	zoo_same(send(client, "x", 1, 0), 1);
	zoo_same(send(pair[0], "x", 1, 0), 1);
	zoo_same(send(dgram[0], "x", 1, 0), 1);
	return zoo_end();
}
