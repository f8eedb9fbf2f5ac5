// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Making a file that has nothing to report have something, for the moment in which an entry of an
 * epoll instance is let fire. Afterwards it is as before. Nobody uses or watches it meanwhile.
 */
#include "../util.h"
#include "epoll.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* asm-generic/socket.h, Linux 5.14 */
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif
/* linux/timerfd.h */
#define TIMERFD_SET_TICKS _IOW('T', 0, uint64_t)

/* A pipe: a byte for the empty one's readers, a larger ring for the full one's writers. */
static int pipe_begin(struct poke *p)
{
	char link[40];

	if ((fcntl(p->fd, F_GETFL) & O_ACCMODE) != O_RDONLY) {
		p->was = fcntl(p->fd, F_GETPIPE_SZ);
		return fcntl(p->fd, F_SETPIPE_SZ, 2 * p->was) < 0 ? -errno : 0;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", p->fd);
	p->other = open(link, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	return p->other < 0 || write(p->other, "", 1) != 1 ? -errno : 0;
}

static int pipe_end(struct poke *p)
{
	char c;

	if (p->other < 0)
		return fcntl(p->fd, F_SETPIPE_SZ, p->was) < 0 ? -errno : 0;
	return read(p->other, &c, 1) != 1 ? -errno : 0;
}

/* A timerfd: an expiration to be read. */
static int timer_begin(struct poke *p)
{
	uint64_t one = 1;

	return ioctl(p->fd, TIMERFD_SET_TICKS, &one) < 0 ? -errno : 0;
}

static int timer_end(struct poke *p)
{
	uint64_t ticks;

	return read(p->fd, &ticks, sizeof(ticks)) < 0 ? -errno : 0;
}

/* An epoll instance: one thing more that it watches, and that is ready. */
static int epoll_begin(struct poke *p)
{
	struct epoll_event e = { .events = EPOLLIN };

	p->other = eventfd(1, EFD_CLOEXEC);
	if (p->other < 0 || epoll_ctl(p->fd, EPOLL_CTL_ADD, p->other, &e) < 0)
		return -errno;
	return 0;
}

static int epoll_end(struct poke *p)
{
	return epoll_ctl(p->fd, EPOLL_CTL_DEL, p->other, NULL) < 0 ? -errno : 0;
}

/* A socket: room to send. Its size tells twice what was asked for. */
static int socket_begin(struct poke *p)
{
	int huge = INT_MAX / 2;
	socklen_t len = sizeof(int);

	if (getsockopt(p->fd, SOL_SOCKET, SO_SNDBUF, &p->was, &len) < 0)
		return -errno;
	len = sizeof(int);
	p->locks = -1;
	getsockopt(p->fd, SOL_SOCKET, SO_BUF_LOCK, &p->locks, &len);
	return setsockopt(p->fd, SOL_SOCKET, SO_SNDBUFFORCE, &huge, sizeof(huge)) < 0 ? -errno : 0;
}

static int socket_end(struct poke *p)
{
	int half = p->was / 2;

	if (setsockopt(p->fd, SOL_SOCKET, SO_SNDBUFFORCE, &half, sizeof(half)) < 0)
		return -errno;
	/* Whether the kernel may change the size by itself. */
	if (p->locks >= 0)
		setsockopt(p->fd, SOL_SOCKET, SO_BUF_LOCK, &p->locks, sizeof(p->locks));
	return 0;
}

static const struct way {
	const char *kind; /* NULL: any socket that is not listening */
	int (*begin)(struct poke *p);
	int (*end)(struct poke *p);
} ways[] = {
	{ "pipe", pipe_begin, pipe_end },      { "fifo", pipe_begin, pipe_end },
	{ "timerfd", timer_begin, timer_end }, { "epoll", epoll_begin, epoll_end },
	{ NULL, socket_begin, socket_end },
};

static bool can_send(int fd)
{
	int listens = 0;
	socklen_t len = sizeof(listens);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && !listens;
}

static const struct way *way_of(const char *kind, int fd)
{
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (ways[i].kind ? !strcmp(ways[i].kind, kind) : can_send(fd))
			return &ways[i];
	return NULL;
}

bool epoll_can_poke(const char *kind, int fd)
{
	return way_of(kind, fd) != NULL;
}

int epoll_poke(struct poke *p, const char *kind, int fd, struct ckpt_err **err)
{
	const struct way *w = way_of(kind, fd);
	int rc;

	*p = (struct poke){ .fd = fd, .other = -1, .way = w };
	if (!w)
		return ckpt_fail(err, EOPNOTSUPP, CKPT_E_RESTORE,
				 "a %s that has nothing to report cannot be disabled by "
				 "EPOLLONESHOT",
				 kind);
	rc = w->begin(p);
	if (rc == 0)
		return 0;
	close_reset(&p->other);
	return ckpt_fail_errno(err, rc, CKPT_E_RESTORE,
			       "let a %s have something to report, for an entry with EPOLLONESHOT",
			       kind);
}

int epoll_unpoke(struct poke *p, struct ckpt_err **err)
{
	int rc = p->way->end(p);

	close_reset(&p->other);
	return rc == 0 ? 0
		       : ckpt_fail_errno(err, rc, CKPT_E_RESTORE,
					 "take back what an epoll instance was shown");
}
