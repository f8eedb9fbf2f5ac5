/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: exclusive */
/* Packet mode: on, with status that was told, and with each kind that was not told yet. */
#include "pty.h"

struct pair {
	int master, slave;
};

static struct pair make(void)
{
	struct pair p = { .master = pty_master() };
	int on = 1;

	p.slave = pty_slave(p.master, O_RDWR);
	pty_change(p.slave, 0, 0, ECHO);
	zoo_need(ioctl(p.master, TIOCPKT, &on) == 0);
	return p;
}

/* Status comes alone and first. */
static void expect_status(const char *what, int fd, unsigned int want)
{
	unsigned char got[64] = { 0xee };
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLPRI };

	if (want == TIOCPKT_DATA) {
		zoo_check(poll(&p, 1, 0) == 0, "%s: there is something to tell", what);
		return;
	}
	zoo_check(poll(&p, 1, 0) == 1 && p.revents & POLLPRI, "%s: nothing to tell", what);
	zoo_same(read(fd, got, sizeof(got)), 1);
	zoo_check(got[0] == want, "%s: status %#x, not %#x", what, got[0], want);
}

int main(void)
{
	struct pair quiet, stopped, started, stop_told, flow_off, flow_on, flushed, written,
		external;
	struct termios t;
	int on = 0;

	zoo_start();
	quiet = make();
	pty_put(quiet.slave, "out");
	pty_put(quiet.master, "in\n");
	stopped = make();
	zoo_need(tcflow(stopped.slave, TCOOFF) == 0);
	started = make();
	zoo_need(tcflow(started.slave, TCOOFF) == 0 && tcflow(started.slave, TCOON) == 0);
	stop_told = make();
	zoo_need(tcflow(stop_told.slave, TCOOFF) == 0);
	expect_status("set-up", stop_told.master, TIOCPKT_STOP);
	flow_off = make();
	pty_put(flow_off.master, "in\n");
	pty_change(flow_off.slave, IXON, 0, 0);
	flow_on = make();
	pty_change(flow_on.slave, IXON, 0, 0);
	zoo_need(tcgetattr(flow_on.slave, &t) == 0);
	t.c_iflag |= IXON;
	zoo_need(tcsetattr(flow_on.slave, TCSANOW, &t) == 0);
	flushed = make();
	zoo_need(tcflush(flushed.slave, TCIFLUSH) == 0);
	written = make();
	pty_put(written.slave, "out");
	external = make();
	zoo_need(tcgetattr(external.slave, &t) == 0);
	t.c_lflag |= EXTPROC;
	zoo_need(tcsetattr(external.slave, TCSANOW, &t) == 0);
	pty_put(external.master, "raw");
	pty_wait_bytes(external.slave, 3);
	pty_wait_bytes(quiet.slave, 3);
	zoo_need(tcflush(written.slave, TCOFLUSH) == 0);
	zoo_ready();
	zoo_wait();

	zoo_need(ioctl(quiet.master, TIOCGPKT, &on) == 0);
	zoo_same(on, 1);
	pty_expect(quiet.master, "\0out");
	pty_expect(quiet.slave, "in\n");
	expect_status("quiet", quiet.master, TIOCPKT_DATA);
	expect_status("stopped", stopped.master, TIOCPKT_STOP);
	expect_status("started", started.master, TIOCPKT_START);
	expect_status("stopped and told", stop_told.master, TIOCPKT_DATA);
	zoo_need(tcflow(stop_told.slave, TCOON) == 0);
	expect_status("started again", stop_told.master, TIOCPKT_START);
	expect_status("no flow control", flow_off.master, TIOCPKT_NOSTOP);
	expect_status("no flow control, twice", flow_off.master, TIOCPKT_DATA);
	pty_expect(flow_off.slave, "in\n");
	expect_status("flow control", flow_on.master, TIOCPKT_DOSTOP);
	expect_status("input flushed", flushed.master, TIOCPKT_FLUSHREAD);
	expect_status("output flushed", written.master, TIOCPKT_FLUSHWRITE);
	expect_status("settings changed", external.master, TIOCPKT_IOCTL);
	pty_expect(external.slave, "raw");
	return zoo_end();
}
