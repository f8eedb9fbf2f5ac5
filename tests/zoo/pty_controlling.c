/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: exclusive */
/* The leader of a session, its controlling terminal and /dev/tty, in one process with the master.
 */
#include "pty.h"

#include <signal.h>

static volatile sig_atomic_t got[65];

static void on_signal(int sig)
{
	got[sig]++;
}

static void wait_signal(int sig)
{
	for (int i = 0; i < 2000 && !got[sig]; i++)
		zoo_sleep_ms(1);
	zoo_same(got[sig], 1);
}

int main(void)
{
	int master, slave, current;
	pid_t self = getpid();

	zoo_start();
	for (int sig = 1; sig < 32; sig++)
		if (sig != SIGKILL && sig != SIGSTOP && sig != SIGSEGV && sig != SIGALRM)
			signal(sig, on_signal);
	zoo_need(getsid(0) == self);
	master = pty_master();
	slave = pty_slave(master, O_RDWR);
	zoo_need(ioctl(slave, TIOCSCTTY, 0) == 0);
	current = open("/dev/tty", O_RDWR | O_CLOEXEC);
	zoo_need(current >= 0);
	pty_put(master, "hello\n");
	pty_wait_bytes(slave, 6);
	zoo_ready();
	zoo_wait();

	for (int sig = 1; sig < 32; sig++)
		zoo_check(!got[sig], "signal %d has come %d times", sig, got[sig]);
	zoo_same(tcgetpgrp(slave), self);
	zoo_same(tcgetsid(slave), self);
	zoo_same(tcgetsid(master), self);
	zoo_same(fcntl(current, F_GETFD), FD_CLOEXEC);
	pty_expect(current, "hello\n");
	close(slave);
	slave = open("/dev/tty", O_RDWR);
	zoo_check(slave >= 0, "/dev/tty: %s", strerror(errno));
	pty_put(master, "again\n");
	pty_expect(slave, "again\n");
	pty_put(master, "\003");
	wait_signal(SIGINT);
	close(master);
	zoo_same(got[SIGHUP], 1);
	zoo_same(got[SIGCONT], 1);
	zoo_check(open("/dev/tty", O_RDWR) < 0 && errno == ENXIO, "it still controls");
	return zoo_end();
}
