/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: exclusive */
/*
 * A master whose slave was never opened, one whose slave was closed, a slave whose master was
 * closed, and one that was hung up under a living master.
 */
#include "pty.h"

static int events(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };

	zoo_need(poll(&p, 1, 0) >= 0);
	return p.revents;
}

static void check_hung_up(const char *what, int fd)
{
	char c;

	zoo_check(read(fd, &c, 1) == 0, "%s: no end of file", what);
	zoo_check((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY ||
			  (write(fd, "x", 1) < 0 && errno == EIO),
		  "%s: it can be written to", what);
	zoo_check(events(fd) & POLLHUP, "%s: no POLLHUP", what);
	zoo_check(!isatty(fd) && errno == EIO, "%s: it is a terminal", what);
}

int main(void)
{
	int never, closed, orphan, orphan2, hung_master, hung, again_master, again_hung, again, fd;
	char got[100];

	zoo_start();
	never = pty_master();
	pty_put(never, "early\nbird");
	pty_wait_bytes(never, 11);
	closed = pty_master();
	fd = pty_slave(closed, O_RDWR);
	pty_put(fd, "last words\n");
	pty_put(closed, "unread\n");
	pty_wait_bytes(closed, 12 + 8);
	close(fd);
	fd = pty_master();
	orphan = pty_slave(fd, O_RDWR);
	orphan2 = pty_slave(fd, O_RDONLY | O_NONBLOCK);
	close(fd);
	hung_master = pty_master();
	hung = pty_slave(hung_master, O_RDWR);
	pty_put(hung, "x\n");
	pty_wait_bytes(hung_master, 3);
	zoo_need(ioctl(hung, TIOCVHANGUP) == 0);
	again_master = pty_master();
	again_hung = pty_slave(again_master, O_RDWR);
	zoo_need(ioctl(again_hung, TIOCVHANGUP) == 0);
	again = pty_slave(again_master, O_RDWR);
	pty_put(again_master, "on\n");
	pty_wait_bytes(again_master, 4);
	check_hung_up("set-up", hung);
	zoo_ready();
	zoo_wait();

	zoo_need(fcntl(never, F_SETFL, O_NONBLOCK) == 0);
	pty_expect(never, "early\r\nbird");
	zoo_check(read(never, got, 1) < 0 && errno == EAGAIN, "never opened: %s", strerror(errno));
	zoo_check(!(events(never) & POLLHUP), "never opened: POLLHUP");
	fd = pty_slave(never, O_RDWR);
	pty_expect(fd, "early\n");

	zoo_check(events(closed) & POLLHUP, "slave closed: no POLLHUP");
	pty_expect(closed, "last words\r\nunread\r\n");
	zoo_check(read(closed, got, 1) < 0 && errno == EIO, "slave closed: no EIO");
	fd = pty_slave(closed, O_RDWR);
	zoo_check(!(events(closed) & POLLHUP), "opened again: POLLHUP");
	pty_expect(fd, "unread\n");

	check_hung_up("orphan", orphan);
	check_hung_up("second orphan", orphan2);
	zoo_same(fcntl(orphan2, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY | O_NONBLOCK);

	check_hung_up("hung up", hung);
	pty_expect(hung_master, "x\r\n");
	zoo_need(fcntl(hung_master, F_SETFL, O_NONBLOCK) == 0);
	zoo_check(read(hung_master, got, 1) < 0 && errno == EAGAIN, "master of a hung up one: %s",
		  strerror(errno));
	fd = pty_slave(hung_master, O_RDWR);
	pty_put(fd, "new\n");
	pty_expect(hung_master, "new\r\n");

	check_hung_up("hung up, other one open", again_hung);
	pty_expect(again, "on\n");
	pty_expect(again_master, "on\r\n");
	return zoo_end();
}
