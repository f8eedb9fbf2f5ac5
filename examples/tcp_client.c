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
 * The callback runs in signal context, in the middle of the read(2) that waits for the next line.
 * So it calls nothing but what signal-safety(7) lists: socket(2), connect(2), write(2), close(2)
 * are among them, printf(3) is not.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libcr.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct session {
	struct sockaddr_in address;
	int fd;		     /* the connection; the same number all the time */
	volatile int broken; /* what has been read of a line is void: it will be sent again */
	volatile long next;  /* the line that is wanted next */
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
	/* Under the old number, which the interrupted read(2) goes on with. */
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
	int fd = s->fd, rc;

	close(fd);
	s->broken = 1;
	/* What we say here about the result may not be printf(); and there is nothing to say: the
	 * connection is made again whatever came of the checkpoint. */
	rc = cr_checkpoint(CR_CHECKPOINT_READY);
	(void)rc;
	return connect_session(s);
}

int main(int argc, char **argv)
{
	struct session s = { .fd = -1 };
	long count, sum = 0;
	char line[64];
	size_t len = 0;

	if (argc != 3)
		return 2;
	s.address.sin_family = AF_INET;
	s.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s.address.sin_port = htons((unsigned short)atoi(argv[1]));
	count = atol(argv[2]);
	if (cr_init() < 0 || cr_register_callback(on_checkpoint, &s, CR_SIGNAL_CONTEXT) < 0 ||
	    connect_session(&s) < 0) {
		perror("tcp_client");
		return 1;
	}
	while (s.next < count) {
		ssize_t n = read(s.fd, line + len, 1);

		if (s.broken) {
			s.broken = 0;
			/* The byte, if there is one, is the first of the new connection. */
			if (n == 1)
				line[0] = line[len];
			len = 0;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n != 1)
			return 1;
		if (line[len] != '\n' && len + 1 < sizeof(line)) {
			len++;
			continue;
		}
		line[len] = 0;
		len = 0;
		sum += atol(line);
		s.next++;
	}
	printf("%ld\n", sum);
	return 0;
}
