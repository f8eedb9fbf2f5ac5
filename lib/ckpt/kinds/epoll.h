/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What saving (epoll.c) and restoring (epoll_restore.c) epoll instances share. */
#ifndef CKPT_KINDS_EPOLL_H
#define CKPT_KINDS_EPOLL_H

#include "kinds.h"

#include <linux/ioctl.h>
#include <sys/epoll.h>

/* The kernel's EP_PRIVATE_BITS: all that is left of the events of a disabled entry. */
#define EPOLL_PRIVATE_EVENTS                                                                       \
	((uint32_t)EPOLLWAKEUP | (uint32_t)EPOLLONESHOT | (uint32_t)EPOLLET |                      \
	 (uint32_t)EPOLLEXCLUSIVE)
/* What files can have to report. Those numbers are poll(2)'s, too. */
#define EPOLL_ALL_EVENTS                                                                           \
	(EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDNORM | EPOLLRDBAND | EPOLLWRNORM | EPOLLWRBAND |   \
	 EPOLLMSG | EPOLLRDHUP | EPOLLERR | EPOLLHUP)

/* struct epoll_params of linux/eventpoll.h, newer than the headers of most systems. */
struct epoll_busy_poll {
	uint32_t usecs;
	uint16_t budget;
	uint8_t prefer;
	uint8_t pad;
};

#define EPOLL_SET_BUSY_POLL _IOW(0x8a, 0x01, struct epoll_busy_poll)
#define EPOLL_GET_BUSY_POLL _IOR(0x8a, 0x02, struct epoll_busy_poll)

/* Has it been disabled by EPOLLONESHOT? */
bool epoll_is_disabled(uint32_t events);

/* ---- epoll_poke.c ---- */

/* A file that has been made to have something to report. */
struct poke {
	int fd;	   /* borrowed */
	int other; /* owned, or -1: what it takes */
	int was, locks;
	const struct way *way;
};

#define POKE_NONE                                                                                  \
	{                                                                                          \
		.fd = -1, .other = -1                                                              \
	}

/* Is there a way to? `kind`: the name of the object's kind. */
bool epoll_can_poke(const char *kind, int fd);
int epoll_poke(struct poke *p, const char *kind, int fd, struct ckpt_err **err);
int epoll_unpoke(struct poke *p, struct ckpt_err **err);

/* ---- epoll_restore.c ---- */

int epoll_need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err);
int epoll_connect(struct kind_restore *r, const json_t *o, int fd, struct ckpt_err **err);

#endif
