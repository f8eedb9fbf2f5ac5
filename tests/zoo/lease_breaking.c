/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Leases that are being broken: to none, to a read lease; no second signal; giving in ends it. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static volatile sig_atomic_t n_signals;

static void on_signal(int sig)
{
	(void)sig;
	n_signals++;
}

static int broken(const char *name, int flags, int type, int by)
{
	int fd = open(name, flags | O_CREAT, 0644);

	zoo_need(fd >= 0);
	if (fcntl(fd, F_SETLEASE, type) < 0)
		zoo_skip("no leases on this file system");
	zoo_need(open(name, by | O_NONBLOCK) < 0 && errno == EWOULDBLOCK);
	return fd;
}

int main(void)
{
	int rd, down, none;

	zoo_start();
	signal(SIGIO, on_signal);
	rd = broken("rd", O_RDONLY, F_RDLCK, O_WRONLY);
	down = broken("down", O_RDWR, F_WRLCK, O_RDONLY);
	none = broken("none", O_WRONLY, F_WRLCK, O_WRONLY);
	zoo_need(n_signals == 3);
	zoo_ready();
	zoo_wait();

	zoo_check(n_signals == 3, "%d signals more", (int)n_signals - 3);
	zoo_same(fcntl(rd, F_GETLEASE), F_UNLCK);
	zoo_same(fcntl(down, F_GETLEASE), F_RDLCK);
	zoo_same(fcntl(none, F_GETLEASE), F_UNLCK);
	/* Still there, and in the way, until the holder gives in. */
	zoo_check(open("rd", O_WRONLY | O_NONBLOCK) < 0 && errno == EWOULDBLOCK, "rd is free");
	zoo_same(fcntl(rd, F_SETLEASE, F_UNLCK), 0);
	zoo_check(open("rd", O_WRONLY | O_NONBLOCK) >= 0, "rd is not free");
	zoo_same(fcntl(down, F_SETLEASE, F_UNLCK), 0);
	zoo_check(open("down", O_RDONLY | O_NONBLOCK) >= 0, "down cannot be read");
	zoo_same(fcntl(none, F_SETLEASE, F_UNLCK), 0);
	zoo_check(open("none", O_WRONLY | O_NONBLOCK) >= 0, "none is not free");
	return zoo_end();
}
