/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: exclusive */
/* A virtual console that controls nobody is opened again by its name. */
#include "pty.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

int main(void)
{
	int fd = open("/dev/tty40", O_RDWR | O_NOCTTY | O_NONBLOCK);
	struct termios t, t2;
	struct stat st;
	pid_t sid;

	zoo_start();
	if (fd < 0 || tcgetattr(fd, &t) < 0)
		zoo_skip("/dev/tty40: %s", strerror(errno));
	if (ioctl(fd, TIOCGSID, &sid) == 0)
		zoo_skip("/dev/tty40 is somebody's");
	t.c_lflag &= ~(tcflag_t)ECHO;
	t.c_cc[VERASE] = 8;
	zoo_need(tcsetattr(fd, TCSANOW, &t) == 0);
	zoo_ready();
	zoo_wait();

	zoo_need(fstat(fd, &st) == 0);
	zoo_check(st.st_rdev == makedev(4, 40), "it is device %u:%u", major(st.st_rdev),
		  minor(st.st_rdev));
	zoo_same(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDWR | O_NONBLOCK);
	zoo_need(tcgetattr(fd, &t2) == 0);
	zoo_same(t2.c_lflag, t.c_lflag);
	zoo_same(t2.c_cc[VERASE], 8);
	zoo_same(write(fd, "x", 1), 1);
	return zoo_end();
}
