/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: exclusive */
/* All settings of a pair; and none of the signals that setting them raises. */
#include "pty.h"

#include <signal.h>
#include <sys/stat.h>

/* <asm/termbits.h> and <termios.h> cannot be had together. */
struct kernel_termios2 {
	tcflag_t iflag, oflag, cflag, lflag;
	cc_t line, cc[19];
	speed_t ispeed, ospeed;
};

struct kernel_termios {
	tcflag_t iflag, oflag, cflag, lflag;
	cc_t line, cc[19];
};

#define GET2	  _IOR('T', 0x2a, struct kernel_termios2)
#define SET2	  _IOW('T', 0x2b, struct kernel_termios2)
#define BY_NUMBER 0010000 /* BOTHER */

static volatile sig_atomic_t signals;

static void on_signal(int sig)
{
	(void)sig;
	signals++;
}

int main(void)
{
	struct winsize win = { 43, 132, 1056, 688 }, win2 = { 0 };
	struct kernel_termios2 t = { 0 }, t2 = { 0 };
	struct kernel_termios locked = { .iflag = BRKINT, .lflag = ICANON, .cc = { [VKILL] = 1 } },
			      locked2 = { 0 };
	int master, slave, on = 1, number, number2, v = 0;
	char name[64];
	struct stat st;

	zoo_start();
	signal(SIGWINCH, on_signal);
	signal(SIGHUP, on_signal);
	signal(SIGCONT, on_signal);
	master = pty_master();
	slave = pty_slave(master, O_RDWR);
	zoo_need(ioctl(slave, TIOCSCTTY, 0) == 0);
	zoo_need(ioctl(slave, GET2, &t) == 0);
	t.iflag |= IUTF8 | IXANY;
	t.oflag |= OLCUC;
	t.lflag &= ~(tcflag_t)(ECHO | ISIG);
	t.cflag = (t.cflag & ~(tcflag_t)0x100f1010f) | BY_NUMBER | CSTOPB;
	t.ospeed = 12345;
	t.ispeed = 12345;
	t.cc[VERASE] = 8;
	t.cc[VEOL2] = '|';
	t.cc[18] = 77;
	zoo_need(ioctl(slave, SET2, &t) == 0 && ioctl(slave, GET2, &t) == 0);
	zoo_need(t.ospeed == 12345);
	if (ioctl(slave, TIOCSLCKTRMIOS, &locked) < 0)
		locked = locked2; /* not allowed to everybody */
	zoo_need(ioctl(slave, TIOCSWINSZ, &win) == 0);
	zoo_need(fchmod(slave, 0622) == 0);
	zoo_need(ioctl(slave, TIOCEXCL) == 0);
	zoo_need(ioctl(master, TIOCGPTN, &number) == 0 && ioctl(master, TIOCSPTLCK, &on) == 0);
	zoo_need(ptsname_r(master, name, sizeof(name)) == 0);
	signals = 0;
	zoo_ready();
	zoo_wait();

	zoo_same(signals, 0);
	zoo_need(ioctl(master, TIOCGPTN, &number2) == 0);
	zoo_same(number2, number);
	zoo_need(ioctl(slave, GET2, &t2) == 0);
	zoo_check(!memcmp(&t, &t2, sizeof(t)), "settings");
	zoo_need(ioctl(slave, TIOCGLCKTRMIOS, &locked2) == 0);
	zoo_check(!memcmp(&locked, &locked2, sizeof(locked)), "locked settings");
	zoo_need(ioctl(master, TIOCGWINSZ, &win2) == 0);
	zoo_check(!memcmp(&win, &win2, sizeof(win)), "window size");
	zoo_need(fstat(slave, &st) == 0);
	zoo_same(st.st_mode & 07777, 0622);
	zoo_same(st.st_uid, geteuid());
	zoo_need(stat(name, &st) == 0);
	zoo_need(ioctl(slave, TIOCGEXCL, &v) == 0);
	zoo_same(v, 1);
	zoo_need(ioctl(master, TIOCGEXCL, &v) == 0);
	zoo_same(v, 0);
	zoo_need(ioctl(master, TIOCGPTLCK, &v) == 0);
	zoo_same(v, 1);
	zoo_check(open(name, O_RDWR | O_NOCTTY) < 0 && errno == (geteuid() ? EBUSY : EIO),
		  "a locked one can be opened");
	win.ws_row++;
	zoo_need(ioctl(master, TIOCSWINSZ, &win) == 0);
	zoo_same(signals, 1);
	return zoo_end();
}
