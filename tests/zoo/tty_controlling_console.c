/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: exclusive */
/* A virtual console that the leader of a session has as its controlling terminal. */
#include "pty.h"

#include <signal.h>

static volatile sig_atomic_t hang_ups;

static void on_hang_up(int sig)
{
	(void)sig;
	hang_ups++;
}

int main(void)
{
	int fd = open("/dev/tty41", O_RDWR | O_NOCTTY), current;
	pid_t sid;

	zoo_start();
	signal(SIGHUP, on_hang_up);
	if (fd < 0)
		zoo_skip("/dev/tty41: %s", strerror(errno));
	if (ioctl(fd, TIOCSCTTY, 0) < 0)
		zoo_skip("/dev/tty41 is somebody's");
	zoo_ready();
	zoo_wait();

	zoo_same(hang_ups, 0);
	zoo_same(ioctl(fd, TIOCGSID, &sid), 0);
	zoo_same(sid, getpid());
	zoo_same(tcgetpgrp(fd), getpgrp());
	current = open("/dev/tty", O_RDWR);
	zoo_check(current >= 0, "/dev/tty: %s", strerror(errno));
	zoo_check(isatty(fd) && isatty(current), "it is hung up");
	return zoo_end();
}
