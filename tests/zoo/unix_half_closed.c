/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Unix sockets shut down in one direction or both, and those whose other side is gone. */
#include "zoo_unix.h"

#include <poll.h>

static char buf[1000];

static void make(int type, int sv[2])
{
	zoo_need(socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, sv) == 0);
}

static void put(int fd, const char *text)
{
	zoo_need(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

static void reads(const char *what, int fd, const char *text)
{
	ssize_t n = read(fd, buf, sizeof(buf));

	zoo_check(n == (ssize_t)strlen(text) && !memcmp(buf, text, (size_t)n), "%s: %zd: %s", what,
		  n, n < 0 ? strerror(errno) : "");
}

static void refuses(const char *what, int fd, int error)
{
	zoo_check(send(fd, "x", 1, MSG_NOSIGNAL) < 0 && errno == error, "%s: sending: %s", what,
		  strerror(errno));
}

static int events(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP };

	zoo_need(poll(&p, 1, 0) >= 0);
	return p.revents;
}

struct set {
	int wr[2], rd[2], both[2], gone[2], reset[2], left[2], alone, dgram[2];
	int before, unaware; /* the two sides of a connection */
};

static void set_up(struct set *s, int type, int server)
{
	make(type, s->wr);
	put(s->wr[0], "before");
	zoo_need(shutdown(s->wr[0], SHUT_WR) == 0);
	make(type, s->rd);
	put(s->rd[1], "unread");
	zoo_need(shutdown(s->rd[0], SHUT_RD) == 0);
	make(type, s->both);
	put(s->both[0], "first");
	put(s->both[1], "second");
	zoo_need(shutdown(s->both[0], SHUT_RDWR) == 0);
	make(type, s->gone);
	close(s->gone[1]);
	/* The other side ended without having received everything. */
	make(type, s->reset);
	put(s->reset[0], "never read");
	close(s->reset[1]);
	make(type, s->left);
	put(s->left[1], "left behind");
	close(s->left[1]);
	s->alone = socket(AF_UNIX, type, 0);
	zoo_need(s->alone >= 0 && shutdown(s->alone, SHUT_RD) == 0);
	make(SOCK_DGRAM, s->dgram);
	put(s->dgram[1], "datagram");
	zoo_need(shutdown(s->dgram[0], SHUT_RD) == 0 && shutdown(s->dgram[1], SHUT_WR) == 0);
	/* Shut down before it was connected: the other side does not know. */
	s->before = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);
	zoo_need(shutdown(s->before, SHUT_WR) == 0);
	zoo_need(unix_try(s->before, type == SOCK_STREAM ? "stream" : "seqpacket") == 0);
	s->unaware = accept4(server, NULL, NULL, SOCK_NONBLOCK);
	zoo_need(s->unaware >= 0);
}

static void prove(struct set *s)
{
	refuses("wr", s->wr[0], EPIPE);
	reads("wr", s->wr[1], "before");
	zoo_same(read(s->wr[1], buf, 1), 0);
	put(s->wr[1], "answer");
	reads("wr, back", s->wr[0], "answer");

	refuses("rd", s->rd[1], EPIPE);
	reads("rd", s->rd[0], "unread");
	zoo_same(read(s->rd[0], buf, 1), 0);
	put(s->rd[0], "still");
	reads("rd, forth", s->rd[1], "still");

	reads("both", s->both[1], "first");
	reads("both, back", s->both[0], "second");
	zoo_same(read(s->both[0], buf, 1), 0);
	refuses("both", s->both[0], EPIPE);
	refuses("both, back", s->both[1], EPIPE);
	zoo_check(events(s->both[0]) & POLLHUP, "both: no hang-up");

	zoo_same(events(s->gone[0]) & (POLLIN | POLLHUP | POLLRDHUP | POLLERR),
		 POLLIN | POLLHUP | POLLRDHUP);
	zoo_same(read(s->gone[0], buf, 1), 0);
	refuses("gone", s->gone[0], EPIPE);

	zoo_check(events(s->reset[0]) & POLLERR, "reset: no error waits");
	zoo_check(read(s->reset[0], buf, 1) < 0 && errno == ECONNRESET, "reset: %s",
		  strerror(errno));
	zoo_same(read(s->reset[0], buf, 1), 0);

	reads("left", s->left[0], "left behind");
	zoo_same(read(s->left[0], buf, 1), 0);
	refuses("left", s->left[0], EPIPE);

	zoo_check(events(s->alone) & POLLRDHUP, "alone: not shut down");

	reads("datagram", s->dgram[0], "datagram");
	zoo_check(events(s->dgram[0]) & POLLRDHUP, "datagram: not shut down");
	refuses("datagram", s->dgram[1], EPIPE);
	refuses("before", s->before, EPIPE);
	zoo_check(read(s->unaware, buf, 1) < 0 && errno == EAGAIN,
		  "the other side of a socket that was shut down before it was connected knows");
	put(s->unaware, "so what");
	reads("before", s->before, "so what");
}

int main(void)
{
	struct set stream, packet;
	int stream_srv, packet_srv;

	zoo_start();
	stream_srv = unix_make(SOCK_STREAM, "stream");
	packet_srv = unix_make(SOCK_SEQPACKET, "seqpacket");
	zoo_need(listen(stream_srv, 5) == 0 && listen(packet_srv, 5) == 0);
	set_up(&stream, SOCK_STREAM, stream_srv);
	set_up(&packet, SOCK_SEQPACKET, packet_srv);
	zoo_ready();
	zoo_wait();

	zoo_log("stream");
	prove(&stream);
	zoo_log("seqpacket");
	prove(&packet);
	return zoo_end();
}
