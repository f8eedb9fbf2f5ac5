/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the programs with unix sockets share: addresses, and messages with what comes beside them.
 */
#ifndef ZOO_UNIX_H
#define ZOO_UNIX_H

#include "zoo.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MESSAGE_FDS 253

/* A leading '@' stands for the NUL of an abstract name. */
static inline socklen_t unix_addr(struct sockaddr_un *a, const char *name)
{
	size_t len = strlen(name);

	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	zoo_need(len < sizeof(a->sun_path));
	memcpy(a->sun_path, name, len);
	if (name[0] == '@')
		a->sun_path[0] = 0;
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

static inline int unix_make(int type, const char *bound)
{
	struct sockaddr_un a;
	int fd = socket(AF_UNIX, type, 0);

	zoo_need(fd >= 0);
	if (bound) {
		socklen_t len = unix_addr(&a, bound);

		zoo_need(bind(fd, (const struct sockaddr *)&a, len) == 0);
	}
	return fd;
}

static inline int unix_try(int fd, const char *name)
{
	struct sockaddr_un a;
	socklen_t len = unix_addr(&a, name);

	return connect(fd, (const struct sockaddr *)&a, len);
}

/* Is an address the one that `name` stands for? NULL: none. */
static inline bool unix_is(const struct sockaddr_un *a, socklen_t len, const char *name)
{
	size_t got = len > 2 ? len - offsetof(struct sockaddr_un, sun_path) : 0;

	if (!name || !*name)
		return got == 0;
	if (name[0] == '@')
		return got == strlen(name) && !a->sun_path[0] &&
		       !memcmp(a->sun_path + 1, name + 1, got - 1);
	return got == strlen(name) + 1 && !memcmp(a->sun_path, name, got);
}

static inline bool unix_name_is(int fd, bool peer, const char *name)
{
	struct sockaddr_un a;
	socklen_t len = sizeof(a);
	int rc = peer ? getpeername(fd, (struct sockaddr *)&a, &len)
		      : getsockname(fd, (struct sockaddr *)&a, &len);

	return rc == 0 && unix_is(&a, len, name);
}

/* One message with files and credentials; either may be none. The result of sendmsg(2). */
static inline ssize_t unix_send(int fd, const void *data, size_t len, const int *fds, size_t n_fds,
				const struct ucred *cred, const char *to, int flags)
{
	char control[CMSG_SPACE(sizeof(int) * MESSAGE_FDS) + CMSG_SPACE(sizeof(*cred))] = { 0 };
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control };
	struct cmsghdr *c = (struct cmsghdr *)(void *)control;
	struct sockaddr_un a;

	if (n_fds) {
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
		h.msg_controllen += CMSG_SPACE(sizeof(int) * n_fds);
		c = (struct cmsghdr *)(void *)(control + h.msg_controllen);
	}
	if (cred) {
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_CREDENTIALS;
		c->cmsg_len = CMSG_LEN(sizeof(*cred));
		memcpy(CMSG_DATA(c), cred, sizeof(*cred));
		h.msg_controllen += CMSG_SPACE(sizeof(*cred));
	}
	if (to) {
		h.msg_namelen = unix_addr(&a, to);
		h.msg_name = &a;
	}
	return sendmsg(fd, &h, flags | MSG_NOSIGNAL);
}

struct unix_got {
	ssize_t len;
	struct sockaddr_un from;
	socklen_t from_len;
	bool has_cred;
	struct ucred cred;
	int fd[MESSAGE_FDS];
	size_t n_fds;
	int flags;
};

static inline struct unix_got unix_recv(int fd, void *data, size_t len, int flags)
{
	char control[CMSG_SPACE(sizeof(int) * MESSAGE_FDS) + CMSG_SPACE(sizeof(struct ucred))];
	struct unix_got got = { 0 };
	struct iovec iov = { data, len };
	struct msghdr h = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control),
			    .msg_name = &got.from,
			    .msg_namelen = sizeof(got.from) };

	got.len = recvmsg(fd, &h, flags | MSG_DONTWAIT);
	if (got.len < 0)
		return got;
	got.from_len = h.msg_namelen;
	got.flags = h.msg_flags;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS) {
			got.has_cred = true;
			memcpy(&got.cred, CMSG_DATA(c), sizeof(got.cred));
		} else if (c->cmsg_type == SCM_RIGHTS) {
			got.n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			memcpy(got.fd, CMSG_DATA(c), got.n_fds * sizeof(int));
		}
	}
	return got;
}

static inline int unix_int_option(int fd, int option)
{
	int v = -12345;
	socklen_t len = sizeof(v);

	return getsockopt(fd, SOL_SOCKET, option, &v, &len) == 0 ? v : -12345;
}

static inline void unix_set_int(int fd, int option, int v)
{
	zoo_need(setsockopt(fd, SOL_SOCKET, option, &v, sizeof(v)) == 0);
}

#endif
