/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Unix streams and seqpackets with data under way: contents, boundaries where the kernel keeps
 * them, credentials, out-of-band bytes and the places where they stood.
 */
#include "zoo_unix.h"

#include <poll.h>
#include <sys/ioctl.h>

#ifndef SIOCATMARK
#define SIOCATMARK 0x8905
#endif

static unsigned char text[1 << 20], got[1 << 20];

static void make(int type, int sv[2])
{
	zoo_need(socketpair(AF_UNIX, type, 0, sv) == 0);
}

static bool at_mark(int fd)
{
	int v = -1;

	zoo_need(ioctl(fd, SIOCATMARK, &v) == 0);
	return v == 1;
}

static void put(int fd, size_t from, size_t len)
{
	zoo_need(send(fd, text + from, len, MSG_NOSIGNAL) == (ssize_t)len);
}

/* Take exactly these bytes, and no more is there than `left`. */
static void take(const char *what, int fd, size_t from, size_t len, int left)
{
	int n = -1;

	for (size_t at = 0; at < len;) {
		ssize_t r = recv(fd, got + at, len - at, MSG_DONTWAIT);

		if (r <= 0) {
			zoo_check(false, "%s: %zu bytes instead of %zu (%s)", what, at, len,
				  strerror(errno));
			return;
		}
		at += (size_t)r;
	}
	zoo_check(!memcmp(got, text + from, len), "%s: other bytes", what);
	zoo_need(ioctl(fd, FIONREAD, &n) == 0);
	zoo_check(n == left, "%s: %d bytes left, not %d", what, n, left);
}

int main(void)
{
	int plain[2], half[2], full[2], creds[2], oob[2], oob_read[2], oob_head[2], oob_in[2],
		packets[2], peeked[2];
	struct ucred self, other;
	size_t full_bytes = 0;
	struct unix_got g;

	zoo_start();
	zoo_fill(text, sizeof(text), 7);
	self = (struct ucred){ getpid(), getuid(), getgid() };
	other = self;
	if (self.uid == 0)
		other = (struct ucred){ getpid(), 1234, 4321 };

	make(SOCK_STREAM, plain);
	put(plain[0], 0, 1);
	put(plain[0], 1, 5000);
	put(plain[0], 5001, 100000);
	put(plain[1], 200, 33); /* both ways */

	make(SOCK_STREAM, half); /* the first of two was received in part */
	put(half[0], 0, 60000);
	put(half[0], 60000, 10);
	zoo_need(recv(half[1], got, 40001, 0) == 40001);

	make(SOCK_STREAM | SOCK_NONBLOCK, full);
	while (full_bytes < sizeof(text)) {
		ssize_t n = send(full[0], text + full_bytes, 3333, MSG_NOSIGNAL);

		if (n < 0)
			break;
		full_bytes += (size_t)n;
	}
	zoo_need(errno == EAGAIN && full_bytes > 10000 && full_bytes < sizeof(text));

	/* A receiver of credentials gets what one sender sent in one piece. */
	make(SOCK_STREAM, creds);
	unix_set_int(creds[1], SO_PASSCRED, 1);
	put(creds[0], 0, 10);
	zoo_need(unix_send(creds[0], text + 10, 20, NULL, 0, &other, NULL, 0) == 20);
	put(creds[0], 30, 5);
	put(creds[0], 35, 5);

	make(SOCK_STREAM, oob);
	put(oob[0], 0, 100);
	zoo_need(send(oob[0], "!", 1, MSG_OOB) == 1);
	put(oob[0], 100, 50);

	make(SOCK_STREAM, oob_read);
	put(oob_read[0], 0, 100);
	zoo_need(send(oob_read[0], "!", 1, MSG_OOB) == 1);
	put(oob_read[0], 100, 50);
	zoo_need(recv(oob_read[1], got, 1, MSG_OOB) == 1);

	make(SOCK_STREAM, oob_head);
	zoo_need(send(oob_head[0], "?", 1, MSG_OOB) == 1);
	put(oob_head[0], 0, 70);

	make(SOCK_STREAM, oob_in);
	unix_set_int(oob_in[1], SO_OOBINLINE, 1);
	put(oob_in[0], 0, 30);
	zoo_need(send(oob_in[0], text + 30, 1, MSG_OOB) == 1);
	put(oob_in[0], 31, 30);

	make(SOCK_SEQPACKET, packets);
	put(packets[0], 0, 10);
	zoo_need(send(packets[0], "", 0, 0) == 0);
	put(packets[0], 10, 50000);
	put(packets[0], 50010, 1);

	make(SOCK_STREAM, peeked);
	unix_set_int(peeked[1], SO_PEEK_OFF, 0);
	put(peeked[0], 0, 100);
	zoo_need(recv(peeked[1], got, 30, MSG_PEEK) == 30);

	zoo_ready();
	zoo_wait();

	take("plain", plain[1], 0, 105001, 0);
	take("the other way", plain[0], 200, 33, 0);
	put(plain[1], 0, 5);
	take("afterwards", plain[0], 0, 5, 0);

	take("half", half[1], 40001, 60010 - 40001, 0);

	struct pollfd out = { .fd = full[0], .events = POLLOUT };

	zoo_same(poll(&out, 1, 0), 0);
	zoo_check(send(full[0], "x", 1, MSG_NOSIGNAL) < 0 && errno == EAGAIN,
		  "a full socket takes more");
	take("full", full[1], 0, full_bytes, 0);
	zoo_same(poll(&out, 1, 0), 1);

	g = unix_recv(creds[1], got, 1000, 0);
	zoo_same(g.len, 10);
	zoo_check(g.has_cred && g.cred.pid == self.pid && g.cred.uid == self.uid &&
			  g.cred.gid == self.gid,
		  "the sender is %d, %u, %u", g.cred.pid, g.cred.uid, g.cred.gid);
	g = unix_recv(creds[1], got, 1000, 0);
	zoo_same(g.len, other.uid == self.uid ? 30 : 20);
	zoo_check(g.has_cred && g.cred.pid == other.pid && g.cred.uid == other.uid &&
			  g.cred.gid == other.gid,
		  "the other sender is %d, %u, %u", g.cred.pid, g.cred.uid, g.cred.gid);
	if (other.uid != self.uid)
		zoo_same(unix_recv(creds[1], got, 1000, 0).len, 10);

	zoo_check(!at_mark(oob[1]), "the mark is at the beginning");
	zoo_same(recv(oob[1], got, 1000, MSG_DONTWAIT), 100);
	zoo_check(at_mark(oob[1]), "no mark after 100 bytes");
	zoo_same(recv(oob[1], got, 1, MSG_OOB), 1);
	zoo_same(got[0], '!');
	take("after the mark", oob[1], 100, 50, 0);

	zoo_check(recv(oob_read[1], got, 1, MSG_OOB) < 0, "the urgent byte is there again");
	zoo_same(recv(oob_read[1], got, 1000, MSG_DONTWAIT), 100);
	take("after the place of the mark", oob_read[1], 100, 50, 0);

	zoo_check(at_mark(oob_head[1]), "no mark at the head");
	zoo_same(recv(oob_head[1], got, 1, MSG_OOB), 1);
	zoo_same(got[0], '?');
	take("after the head", oob_head[1], 0, 70, 0);

	zoo_same(unix_int_option(oob_in[1], SO_OOBINLINE), 1);
	zoo_same(recv(oob_in[1], got, 1000, MSG_DONTWAIT), 30);
	zoo_check(at_mark(oob_in[1]), "no mark inline");
	take("inline", oob_in[1], 30, 31, 0);

	zoo_same(recv(packets[1], got, sizeof(got), MSG_DONTWAIT), 10);
	zoo_same(recv(packets[1], got, sizeof(got), MSG_DONTWAIT), 0);
	zoo_same(recv(packets[1], got, sizeof(got), MSG_DONTWAIT), 50000);
	zoo_check(!memcmp(got, text + 10, 50000), "the long packet");
	zoo_same(recv(packets[1], got, sizeof(got), MSG_DONTWAIT), 1);

	zoo_same(unix_int_option(peeked[1], SO_PEEK_OFF), 30);
	zoo_same(recv(peeked[1], got, 1000, MSG_PEEK | MSG_DONTWAIT), 70);
	zoo_check(!memcmp(got, text + 30, 70), "peeked on from another place");
	unix_set_int(peeked[1], SO_PEEK_OFF, -1);
	take("peeked", peeked[1], 0, 100, 0);
	return zoo_end();
}
