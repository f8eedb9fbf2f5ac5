/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: exclusive */
/* Ctrl-V was typed, and the character that it quotes comes after the restore. */
#include "pty.h"

int main(void)
{
	int master, slave;

	zoo_start();
	master = pty_master();
	slave = pty_slave(master, O_RDWR);
	pty_put(master, "a\026");
	/* The echo of Ctrl-V, a caret and a backspace, is there when it was taken. */
	pty_wait_bytes(master, 3);
	zoo_ready();
	zoo_wait();

	pty_expect(master, "a^\b");
	pty_put(master, "\177b\n");
	pty_expect(slave, "a\177b\n");
	pty_put(master, "a\177b\n");
	pty_expect(slave, "b\n");
	return zoo_end();
}
