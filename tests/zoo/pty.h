/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pseudo-terminals for the programs of the zoo. */
#ifndef ZOO_PTY_H
#define ZOO_PTY_H

#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define PTY_NUMBERS 160

/*
 * A master, unlocked. While the program does not exist, others take the lowest free numbers: so
 * this one has a high one, which none of them gets. Two such programs could still meet: they run
 * alone.
 */
static inline int pty_master(void)
{
	int held[PTY_NUMBERS + 64], n = 0, want = 24 + getpid() % 16 * 10, fd, number;

	for (;;) {
		fd = open("/dev/ptmx", O_RDWR | O_NOCTTY);
		zoo_need(fd >= 0 && ioctl(fd, TIOCGPTN, &number) == 0 && unlockpt(fd) == 0);
		if (number >= want || n == PTY_NUMBERS + 64)
			break;
		held[n++] = fd;
	}
	while (n > 0)
		close(held[--n]);
	return fd;
}

static inline int pty_slave(int master, int flags)
{
	char name[64];
	int fd;

	zoo_need(ptsname_r(master, name, sizeof(name)) == 0);
	fd = open(name, flags | O_NOCTTY);
	zoo_need(fd >= 0);
	return fd;
}

/* Away to a number that nothing else is opened at, as the program does not close it. */
static inline int pty_move(int fd, int to)
{
	zoo_need(dup2(fd, to) == to && close(fd) == 0);
	return to;
}

static inline void pty_put(int fd, const char *text)
{
	zoo_need(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

/* Wait until so many bytes can be read, which the kernel brings there at its leisure. */
static inline void pty_wait_bytes(int fd, int want)
{
	int n = 0;

	for (int i = 0; i < 2000 && n < want; i++) {
		zoo_need(ioctl(fd, FIONREAD, &n) == 0);
		if (n < want)
			zoo_sleep_ms(1);
	}
	zoo_same(n, want);
}

/* The next read must give exactly this. */
#define pty_expect(fd, text) pty_expect_at(__LINE__, fd, text, sizeof(text) - 1)

static inline void pty_expect_at(int line, int fd, const char *want, size_t len)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int there = 0, status = 0;
	char got[8192];
	ssize_t n;

	/* All of it: it may come in pieces. Packet mode puts a byte before it. */
	if (ioctl(fd, TIOCGPKT, &status) < 0)
		status = 0;
	for (int i = 0; i < 2000 && there + status < (int)len; i++) {
		zoo_need(ioctl(fd, FIONREAD, &there) == 0);
		if (there + status < (int)len)
			zoo_sleep_ms(1);
	}
	if (poll(&p, 1, 5000) != 1) {
		zoo_fail("pty.h", line, "nothing to read");
		return;
	}
	n = read(fd, got, sizeof(got));
	if (n != (ssize_t)len || memcmp(got, want, len) != 0)
		zoo_fail("pty.h", line, "read gave %zd bytes '%.*s', not %zu '%s'", n,
			 n > 0 ? (int)n : 0, got, len, want);
}

static inline void pty_change(int fd, tcflag_t i_off, tcflag_t o_off, tcflag_t l_off)
{
	struct termios t;

	zoo_need(tcgetattr(fd, &t) == 0);
	t.c_iflag &= ~i_off;
	t.c_oflag &= ~o_off;
	t.c_lflag &= ~l_off;
	zoo_need(tcsetattr(fd, TCSANOW, &t) == 0);
}

static inline void pty_set_cc(int fd, int which, cc_t c)
{
	struct termios t;

	zoo_need(tcgetattr(fd, &t) == 0);
	t.c_cc[which] = c;
	zoo_need(tcsetattr(fd, TCSANOW, &t) == 0);
}

#endif
