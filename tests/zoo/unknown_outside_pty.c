/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="fd 40: .*the pseudo-terminal is open in process [0-9]+ \(unknown_outside" */
/* Not supported: a pseudo-terminal whose slave another process has open. */
#include "pty.h"

#include <sys/wait.h>

int main(void)
{
	char name[64];
	int master;

	zoo_start();
	master = pty_move(pty_master(), 40);
	zoo_need(ptsname_r(master, name, sizeof(name)) == 0);
	/* It is no child: its parent ends at once. */
	if (fork() == 0) {
		int slave = pty_slave(master, O_RDWR);

		close(master);
		if (fork() == 0) {
			alarm(60); /* nobody ends it if the test is broken off */
			zoo_wait();
			pty_put(slave, "x");
		}
		_exit(0);
	}
	zoo_need(wait(NULL) > 0);
	zoo_ready();
	zoo_wait();
	pty_expect(master, "x");
	return zoo_end();
}
