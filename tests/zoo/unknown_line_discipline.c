/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="fd 40: .*its line discipline is" */
/* Not supported: a terminal whose line discipline is not the ordinary one. */
#include "pty.h"

#define N_NULL 27

int main(void)
{
	int master, slave, null = N_NULL, ordinary = 0;

	zoo_start();
	master = pty_move(pty_master(), 40);
	slave = pty_slave(master, O_RDWR);
	if (ioctl(slave, TIOCSETD, &null) < 0)
		zoo_skip("this kernel has no other line discipline");
	zoo_ready();
	zoo_wait();
	zoo_need(ioctl(slave, TIOCSETD, &ordinary) == 0);
	pty_put(slave, "x");
	pty_expect(master, "x");
	return zoo_end();
}
