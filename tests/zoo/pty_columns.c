/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: exclusive */
/* The terminal knows in which column it is: tabs become blanks, and erasing one goes back over it.
 */
#include "pty.h"

int main(void)
{
	struct termios t;
	int master, slave;

	zoo_start();
	master = pty_master();
	slave = pty_slave(master, O_RDWR);
	zoo_need(tcgetattr(slave, &t) == 0);
	t.c_oflag |= XTABS;
	zoo_need(tcsetattr(slave, TCSANOW, &t) == 0);
	pty_put(slave, "prompt> ..");
	pty_put(master, "abc\t");
	pty_wait_bytes(master, 10 + 3 + 3);
	pty_expect(master, "prompt> ..abc   ");
	zoo_ready();
	zoo_wait();

	pty_put(slave, "a\tb");
	pty_expect(master, "a       b");
	zoo_need(tcflush(master, TCIFLUSH) == 0);
	/* The line began in column 10, and has three characters before the tab. */
	pty_put(master, "\177");
	pty_expect(master, "\b\b\b");
	pty_put(master, "d\n");
	pty_expect(slave, "abcd\n");
	return zoo_end();
}
