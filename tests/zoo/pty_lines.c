/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: exclusive */
/*
 * Edited input of a pseudo-terminal: whole lines with every kind of end, quoted characters, a line
 * that is not finished and can still be edited; and the echo of all that.
 */
#include "pty.h"

#define CTRL_V "\026"
#define ECHO_OF_ALL                                                                                \
	"one\r\n"                                                                                  \
	"two;"                                                                                     \
	"eof"                                                                                      \
	"q^Cq^Jq^Vq\r\n"                                                                           \
	"half"

int main(void)
{
	int master, slave, other;

	zoo_start();
	master = pty_master();
	slave = pty_slave(master, O_RDWR);
	other = pty_slave(master, O_RDONLY | O_NONBLOCK);
	pty_set_cc(slave, VEOL, ';');
	pty_put(master, "one\n");
	pty_wait_bytes(slave, 4);
	pty_put(master, "two;");
	pty_wait_bytes(slave, 8);
	/* Such an end of a line stays one, though the character changes. */
	pty_set_cc(slave, VEOL, '!');
	pty_put(master, "eof\004");
	pty_put(master, "q" CTRL_V "\003q" CTRL_V "\nq" CTRL_V CTRL_V "q\n");
	pty_put(master, "half");
	pty_wait_bytes(slave, 4 + 4 + 3 + 8);
	zoo_ready();
	zoo_wait();

	pty_wait_bytes(slave, 19);
	pty_wait_bytes(master, (int)strlen(ECHO_OF_ALL) - (int)strlen("^C^J^V") + 6 + 2 * 3);
	pty_expect(other, "one\n");
	pty_expect(slave, "two;");
	pty_expect(slave, "eof");
	pty_expect(slave, "q\003q\nq\026q\n");
	zoo_check(read(other, (char[4]){ 0 }, 4) < 0 && errno == EAGAIN,
		  "an unfinished line can be read");
	pty_put(master, "\177\177LF!");
	pty_expect(slave, "haLF!");
	/* A whole line of nothing: end of file. */
	pty_put(master, "\004");
	pty_expect(slave, "");
	pty_put(master, "\025x\n");
	pty_expect(other, "x\n");
	return zoo_end();
}
