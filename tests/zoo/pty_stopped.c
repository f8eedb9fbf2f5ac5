/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: exclusive */
/* Output stopped by Ctrl-S, by call, and of the master's; each goes on as it should. */
#include "pty.h"

struct pair {
	int master, slave;
};

static struct pair make(void)
{
	struct pair p = { .master = pty_master() };

	p.slave = pty_slave(p.master, O_RDWR | O_NONBLOCK);
	pty_change(p.slave, 0, 0, ECHO);
	pty_put(p.slave, "before\n");
	pty_wait_bytes(p.master, 8);
	return p;
}

static bool stopped(int fd)
{
	return write(fd, "x", 1) < 0 && errno == EAGAIN;
}

int main(void)
{
	struct pair by_char, by_call, master;

	zoo_start();
	by_char = make();
	by_call = make();
	master = make();
	pty_put(by_char.master, "in\n\023");
	for (int i = 0; i < 2000 && !stopped(by_char.slave); i++)
		zoo_sleep_ms(1);
	zoo_need(stopped(by_char.slave));
	pty_put(by_call.master, "in\n");
	zoo_need(tcflow(by_call.slave, TCOOFF) == 0 && stopped(by_call.slave));
	zoo_need(fcntl(master.master, F_SETFL, O_NONBLOCK) == 0);
	pty_put(master.master, "in\n");
	zoo_need(tcflow(master.master, TCOOFF) == 0 && stopped(master.master));
	/* What was written while it was found out that it had not stopped yet. */
	zoo_need(tcflush(by_char.master, TCIFLUSH) == 0);
	zoo_ready();
	zoo_wait();

	zoo_check(stopped(by_char.slave), "stopped by Ctrl-S");
	zoo_check(stopped(by_call.slave), "stopped by call");
	zoo_check(stopped(master.master), "the master's");
	pty_expect(by_char.slave, "in\n");
	pty_expect(by_call.slave, "in\n");
	pty_expect(master.slave, "in\n");
	/* Only a call can undo a call. */
	pty_put(by_call.master, "\021done\n");
	pty_expect(by_call.slave, "done\n");
	zoo_check(stopped(by_call.slave), "Ctrl-Q let go what a call had stopped");
	zoo_need(tcflow(by_call.slave, TCOON) == 0);
	pty_put(by_char.master, "\021done\n");
	pty_expect(by_char.slave, "done\n");
	zoo_need(tcflow(master.master, TCOON) == 0);
	pty_put(by_char.slave, "after\n");
	pty_put(by_call.slave, "after\n");
	pty_wait_bytes(by_char.master, 7);
	pty_wait_bytes(by_call.master, 8 + 7);
	pty_expect(by_char.master, "after\r\n");
	pty_expect(by_call.master, "before\r\nafter\r\n");
	pty_put(master.master, "after\n");
	pty_expect(master.slave, "after\n");
	pty_expect(master.master, "before\r\n");
	return zoo_end();
}
