/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: exclusive */
/* As much as fits is queued both ways, of all bytes that there are, unedited. */
#include "pty.h"

static size_t fill(int fd, unsigned char *text, size_t len, int taken_by)
{
	size_t n = 0, last = 1;

	/* Until nothing more is taken after the line discipline had all the time it wanted. */
	while (n < len && last != n) {
		ssize_t done;

		last = n;
		while ((done = write(fd, text + n, len - n)) > 0)
			n += (size_t)done;
		zoo_need(errno == EAGAIN);
		pty_wait_bytes(taken_by, n < 4095 ? (int)n : 4095);
	}
	return n;
}

static void check_all(const char *what, int fd, const unsigned char *text, size_t n)
{
	static unsigned char got[65536];
	size_t at = 0;

	while (at < n) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t done = poll(&p, 1, 5000) == 1 ? read(fd, got + at, sizeof(got) - at) : -1;

		if (done <= 0)
			break;
		at += (size_t)done;
	}
	zoo_same(at, n);
	zoo_check(!memcmp(got, text, n), "%s", what);
	zoo_check(read(fd, got, 1) < 0 && errno == EAGAIN, "%s: there is more", what);
}

int main(void)
{
	static unsigned char in[65536], out[65536];
	size_t n_in, n_out;
	struct termios t;
	int master, slave;

	zoo_start();
	zoo_fill(in, sizeof(in), 1);
	zoo_fill(out, sizeof(out), 2);
	master = pty_master();
	slave = pty_slave(master, O_RDWR | O_NONBLOCK);
	zoo_need(fcntl(master, F_SETFL, O_NONBLOCK) == 0 && tcgetattr(slave, &t) == 0);
	cfmakeraw(&t);
	zoo_need(tcsetattr(slave, TCSANOW, &t) == 0);
	n_in = fill(master, in, sizeof(in), slave);
	n_out = fill(slave, out, sizeof(out), master);
	zoo_need(n_in > 4096 && n_out > 4096);
	zoo_ready();
	zoo_wait();

	check_all("input", slave, in, n_in);
	check_all("output", master, out, n_out);
	pty_put(master, "in");
	pty_expect(slave, "in");
	pty_put(slave, "out");
	pty_expect(master, "out");
	return zoo_end();
}
