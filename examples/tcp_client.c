// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A client of a network service that lives on: it lets go of its connection for a checkpoint, and
 * connects again afterwards, in the process that goes on as in one that was restarted.
 *
 * The service numbers its lines. The client begins by saying which one it wants next, so that
 * nothing is lost or comes twice, whenever the connection breaks.
 *
 *	tcp_client PORT COUNT	reads lines 0 to COUNT-1 from 127.0.0.1, prints their sum
 *
 * The callback runs in signal context, in the middle of the poll(2) that waits for the next bytes.
 * So it calls nothing but what signal-safety(7) lists: socket(2), connect(2), write(2), close(2)
 * are among them, printf(3) is not.
 *
 * Bytes are taken, and counted, in a critical section. Without it a checkpoint might come between
 * the two, and a byte of the old connection be taken for one of the new.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libcr.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct session {
	struct sockaddr_in address;
	int fd;		  /* the connection; the same number all the time */
	long next, count; /* the line that is wanted next, and how many in all */
	long sum;
	char line[64]; /* the beginning of that */
	size_t len;
};

/* "12\n", without the C library's help. */
static size_t format(char *buf, long value)
{
	char digits[24];
	size_t n = 0, len = 0;

	do
		digits[n++] = (char)('0' + value % 10);
	while (value /= 10);
	while (n)
		buf[len++] = digits[--n];
	buf[len++] = '\n';
	return len;
}

static int connect_session(struct session *s)
{
	char hello[32];
	size_t len = format(hello, s->next);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&s->address, sizeof(s->address)) < 0 ||
	    write(fd, hello, len) != (ssize_t)len) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	/* Under the old number, which the rest of the program knows. */
	if (s->fd >= 0 && fd != s->fd) {
		dup2(fd, s->fd);
		close(fd);
		fd = s->fd;
	}
	s->fd = fd;
	return 0;
}

static int on_checkpoint(void *arg)
{
	struct session *s = arg;
	int rc;

	close(s->fd);
	s->len = 0; /* what came of the line will be sent again */
	rc = cr_checkpoint(CR_CHECKPOINT_READY);
	/* What came of it makes no difference here: the connection is needed in any case. */
	(void)rc;
	return connect_session(s);
}

/* Take what has come. -1: the service is gone. */
static int take_bytes(struct session *s)
{
	ssize_t n = 1;
	char c;

	while (s->next < s->count && (n = recv(s->fd, &c, 1, MSG_DONTWAIT)) == 1) {
		if (c != '\n' && s->len + 1 < sizeof(s->line)) {
			s->line[s->len++] = c;
			continue;
		}
		s->line[s->len] = 0;
		s->sum += atol(s->line);
		s->len = 0;
		s->next++;
	}
	return n == 1 || (n < 0 && errno == EAGAIN) ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct session s = { .fd = -1 };
	cr_client_id_t id;

	if (argc != 3)
		return 2;
	s.address.sin_family = AF_INET;
	s.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s.address.sin_port = htons((unsigned short)atoi(argv[1]));
	s.count = atol(argv[2]);
	id = cr_init();
	if (id < 0 || connect_session(&s) < 0 ||
	    cr_register_callback(on_checkpoint, &s, CR_SIGNAL_CONTEXT) < 0) {
		perror("tcp_client");
		return 1;
	}
	while (s.next < s.count) {
		struct pollfd p = { .fd = s.fd, .events = POLLIN };
		int rc;

		if (poll(&p, 1, -1) < 0)
			continue; /* a checkpoint came */
		cr_enter_cs(id);
		rc = take_bytes(&s);
		cr_leave_cs(id);
		if (rc < 0)
			return 1;
	}
	printf("%ld\n", s.sum);
	return 0;
}
