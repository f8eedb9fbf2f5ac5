// SPDX-License-Identifier: LGPL-2.1-or-later
/* A buffer before a descriptor whose reader may be slow or gone. See observe.h. */
#include "observe.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SINK_BYTES (64 << 10)

void sink_init(struct observe_sink *s, int fd)
{
	*s = (struct observe_sink){ .fd = fd, .signal_fd = -1 };
}

static bool reserve(struct observe_sink *s, size_t len)
{
	size_t size = s->size ? s->size : SINK_BYTES;
	char *grown;

	if (s->n + len <= s->size)
		return true;
	while (size < s->n + len)
		size *= 2;
	grown = realloc(s->buf, size);
	if (!grown) {
		s->error = ENOMEM;
		return false;
	}
	s->buf = grown;
	s->size = size;
	return true;
}

void sink_put(struct observe_sink *s, const char *text, size_t len)
{
	if (s->error || !reserve(s, len))
		return;
	memcpy(s->buf + s->n, text, len);
	s->n += len;
}

void sink_text(struct observe_sink *s, const char *text)
{
	sink_put(s, text, strlen(text));
}

void sink_printf(struct observe_sink *s, const char *fmt, ...)
{
	char small[256];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n < sizeof(small)) {
		sink_put(s, small, (size_t)n);
		return;
	}
	if (s->error || !reserve(s, (size_t)n + 1))
		return;
	va_start(ap, fmt);
	vsnprintf(s->buf + s->n, (size_t)n + 1, fmt, ap);
	va_end(ap);
	s->n += (size_t)n;
}

/* Wait until something can be written. False: give up. */
static bool wait_for_room(struct observe_sink *s)
{
	for (;;) {
		struct pollfd p[2] = { { .fd = s->fd, .events = POLLOUT },
				       { .fd = s->signal_fd, .events = POLLIN } };

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return true; /* the write says what is wrong */
		if (p[0].revents)
			return true;
		if (p[1].revents && s->give_up && s->give_up(s->userdata))
			return false;
	}
}

/* As much as goes without waiting, when poll(2) has said that something does. */
static ssize_t write_some(struct observe_sink *s, const char *p, size_t len)
{
	struct stat st;
	ssize_t n;

	if (!fstat(s->fd, &st) && S_ISREG(st.st_mode))
		return write(s->fd, p, len);
	n = send(s->fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno == ENOTSOCK)
		/* A pipe with room takes as much at once (pipe(7)). */
		n = write(s->fd, p, len < PIPE_BUF ? len : PIPE_BUF);
	return n;
}

int sink_flush(struct observe_sink *s)
{
	size_t done = 0;

	while (!s->error && done < s->n) {
		if (!wait_for_room(s)) {
			s->error = ECANCELED;
			break;
		}
		ssize_t n = write_some(s, s->buf + done, s->n - done);

		if (n < 0 && errno != EINTR && errno != EAGAIN)
			s->error = errno;
		done += n > 0 ? (size_t)n : 0;
	}
	s->n = 0;
	return -s->error;
}

void sink_done(struct observe_sink *s)
{
	free(s->buf);
	if (s->owned && s->fd >= 0)
		close(s->fd);
	*s = (struct observe_sink){ .fd = -1, .signal_fd = -1 };
}
