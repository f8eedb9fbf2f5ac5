/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Options of unix sockets, and what they do: buffers, time-outs, signals, who is told of whom. */
#include "zoo_unix.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

static char buf[1000];
static volatile sig_atomic_t told;

static void on_signal(int sig)
{
	told = sig;
}

static void make(int type, int sv[2])
{
	zoo_need(socketpair(AF_UNIX, type, 0, sv) == 0);
}

int main(void)
{
	static const int flags[] = { SO_KEEPALIVE, SO_OOBINLINE, SO_REUSEADDR, SO_BROADCAST,
				     SO_DONTROUTE, SO_PASSCRED,	 SO_PASSSEC,   SO_TIMESTAMP };
	int all[2], none[2], small[2], timed[2], async[2], passed[2], later[2], sndbuf, rcvbuf,
		n = 0, filled = 0;
	struct linger linger = { 1, 77 }, linger_got = { 0 };
	struct timeval rcv = { 0, 300000 }, snd = { 5, 0 }, got = { 0 };
	bool root = geteuid() == 0, has_pidfd;
	struct unix_got g;
	struct stat st;
	socklen_t len;
	double start;

	zoo_start();
	make(SOCK_STREAM, all);
	make(SOCK_STREAM, none);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		unix_set_int(all[0], flags[i], 1);
	has_pidfd = setsockopt(all[0], SOL_SOCKET, SO_PASSPIDFD, &(int){ 1 }, sizeof(int)) == 0;
	unix_set_int(all[0], SO_RCVLOWAT, 123);
	unix_set_int(all[0], SO_PRIORITY, 5);
	if (root)
		unix_set_int(all[0], SO_MARK, 4711);
	zoo_need(setsockopt(all[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0);
	/* Of the inode that stands behind the descriptor. */
	zoo_need(fchmod(all[0], 0640) == 0 && (!root || fchown(all[0], 1234, 4321) == 0));

	make(SOCK_DGRAM | SOCK_NONBLOCK, small);
	unix_set_int(small[0], SO_SNDBUF, 8192);
	unix_set_int(small[1], SO_RCVBUF, 10000);
	sndbuf = unix_int_option(small[0], SO_SNDBUF);
	rcvbuf = unix_int_option(small[1], SO_RCVBUF);
	while (send(small[0], buf, 500, 0) == 500)
		filled++;
	zoo_need(filled > 2 && filled < 100);

	make(SOCK_STREAM, timed);
	zoo_need(setsockopt(timed[0], SOL_SOCKET, SO_RCVTIMEO, &rcv, sizeof(rcv)) == 0);
	zoo_need(setsockopt(timed[0], SOL_SOCKET, SO_SNDTIMEO, &snd, sizeof(snd)) == 0);

	make(SOCK_STREAM | SOCK_NONBLOCK, async);
	signal(SIGUSR1, on_signal);
	zoo_need(fcntl(async[0], F_SETOWN, getpid()) == 0 &&
		 fcntl(async[0], F_SETSIG, SIGUSR1) == 0 &&
		 fcntl(async[0], F_SETFL, O_ASYNC | O_NONBLOCK) == 0);

	/* Credentials come with messages sent from now on; those before have none. */
	make(SOCK_DGRAM, passed);
	zoo_need(send(passed[0], "before", 6, 0) == 6);
	unix_set_int(passed[1], SO_PASSCRED, 1);
	zoo_need(send(passed[0], "after", 5, 0) == 5);
	make(SOCK_DGRAM, later);
	told = 0;
	zoo_ready();
	zoo_wait();

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		zoo_check(unix_int_option(all[0], flags[i]) == 1, "option %d is off", flags[i]);
		zoo_check(unix_int_option(none[0], flags[i]) == 0, "option %d is on", flags[i]);
	}
	zoo_check(!has_pidfd || unix_int_option(all[0], SO_PASSPIDFD) == 1, "SO_PASSPIDFD is off");
	zoo_same(unix_int_option(all[0], SO_RCVLOWAT), 123);
	zoo_same(unix_int_option(all[0], SO_PRIORITY), 5);
	zoo_same(unix_int_option(all[0], SO_PEEK_OFF), -1);
	zoo_check(!root || unix_int_option(all[0], SO_MARK) == 4711, "the mark");
	len = sizeof(linger_got);
	zoo_need(getsockopt(all[0], SOL_SOCKET, SO_LINGER, &linger_got, &len) == 0);
	zoo_check(linger_got.l_onoff == 1 && linger_got.l_linger == 77, "SO_LINGER");
	zoo_check(fstat(all[0], &st) == 0 && (st.st_mode & 0777) == 0640, "its mode");
	zoo_check(!root || (st.st_uid == 1234 && st.st_gid == 4321), "its owner");

	zoo_same(unix_int_option(small[0], SO_SNDBUF), sndbuf);
	zoo_same(unix_int_option(small[1], SO_RCVBUF), rcvbuf);
	zoo_check(send(small[0], buf, 500, 0) < 0 && errno == EAGAIN, "more fits than before");
	while (recv(small[1], buf, sizeof(buf), 0) == 500)
		n++;
	zoo_same(n, filled);
	for (n = 0; send(small[0], buf, 500, 0) == 500;)
		n++;
	zoo_same(n, filled);

	len = sizeof(got);
	zoo_need(getsockopt(timed[0], SOL_SOCKET, SO_SNDTIMEO, &got, &len) == 0);
	zoo_same(got.tv_sec, 5);
	start = zoo_now(CLOCK_MONOTONIC);
	zoo_check(read(timed[0], buf, 1) < 0 && errno == EAGAIN, "SO_RCVTIMEO");
	zoo_check(zoo_now(CLOCK_MONOTONIC) - start > 0.29, "it timed out early");

	zoo_same(told, 0);
	zoo_same(write(async[1], "x", 1), 1);
	for (int i = 0; !told && i < 1000; i++)
		zoo_sleep_ms(1);
	zoo_same(told, SIGUSR1);
	zoo_check(fcntl(async[0], F_GETFL) & O_ASYNC, "O_ASYNC is off");

	g = unix_recv(passed[1], buf, sizeof(buf), 0);
	zoo_same(g.len, 6);
	zoo_check(!g.has_cred || g.cred.pid != getpid(), "credentials that were never sent");
	g = unix_recv(passed[1], buf, sizeof(buf), 0);
	zoo_check(g.len == 5 && g.has_cred && g.cred.pid == getpid(), "credentials");
	zoo_same(send(later[0], "later", 5, 0), 5);
	g = unix_recv(later[1], buf, sizeof(buf), 0);
	zoo_check(!g.has_cred, "credentials unasked for");
	return zoo_end();
}
