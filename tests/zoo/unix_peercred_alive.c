/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A pair that was made by a process which lives on outside: its pid cannot be had again for the
 * pair, its user can.
 */
#include "zoo_unix.h"

#include <sys/wait.h>

/* Makes the pair, hands it over, and stays. */
static void make(int via)
{
	int sv[2];

	alarm(60);
	setsid();
	if ((geteuid() == 0 && (setresgid(2001, 2001, 2001) || setresuid(2000, 2000, 2000))) ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, sv) ||
	    unix_send(via, "p", 1, sv, 2, NULL, NULL, 0) != 1)
		_exit(1);
	close(sv[0]);
	close(sv[1]);
	/* By now the pair is the program's alone. */
	if (send(via, "c", 1, MSG_NOSIGNAL) != 1)
		_exit(1);
	close(via);
	while (!zoo_gone())
		zoo_sleep_ms(10);
	_exit(0);
}

int main(void)
{
	struct ucred before, after = { 0 };
	socklen_t len = sizeof(before);
	struct unix_got g;
	int way[2];
	char c;

	zoo_start();
	zoo_need(socketpair(AF_UNIX, SOCK_DGRAM, 0, way) == 0);
	if (fork() == 0) {
		close(way[1]);
		if (fork() == 0)
			make(way[0]);
		_exit(0);
	}
	zoo_need(wait(NULL) > 0 && close(way[0]) == 0);
	for (int i = 0; (g = unix_recv(way[1], &c, 1, 0)).len < 0 && i < 5000; i++)
		zoo_sleep_ms(1);
	zoo_need(g.n_fds == 2 && recv(way[1], &c, 1, 0) == 1 && close(way[1]) == 0);
	zoo_need(getsockopt(g.fd[0], SOL_SOCKET, SO_PEERCRED, &before, &len) == 0);
	zoo_ready();
	zoo_wait();

	len = sizeof(after);
	zoo_same(getsockopt(g.fd[0], SOL_SOCKET, SO_PEERCRED, &after, &len), 0);
	zoo_same(after.uid, before.uid);
	zoo_same(after.gid, before.gid);
	zoo_check(after.pid > 0, "no process at all");
	zoo_same(send(g.fd[0], "x", 1, 0), 1);
	zoo_same(recv(g.fd[1], &c, 1, MSG_DONTWAIT), 1);
	return zoo_end();
}
