// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What is in unix sockets: messages, sent again by the sockets that sent them, or by ones of their
 * name that are gone afterwards; then the ends that shall be gone are closed, datagram sockets
 * connected, directions shut, options set, and files put in their places. Done once for all sockets
 * when the tasks exist, whose pids messages may carry. See unix.h.
 */
#include "../util.h"
#include "sockopt.h"
#include "unix.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define FILES_MAX 253

/* ---- one message ---- */

/* Where a message goes, and by which socket. */
struct route {
	int from;		 /* the sending descriptor */
	int to;			 /* the receiving one, or -1 where nobody has it */
	struct sockaddr_un addr; /* datagrams by name */
	socklen_t addr_len;	 /* 0: the sender is connected */
};

struct fill {
	struct kind_restore *r;
	struct unix_net *net;
	int data; /* of the object whose messages are sent */
	char *buf;
	size_t size;
};

/*
 * The pid that a message shall carry, as this process sees it. One that is neither in the image nor
 * alive is that of a child which has ended already; a living stranger's is taken as it is. What is
 * 0 to the program is this process's own, which it cannot see either.
 */
static pid_t sender_pid(const struct fill *f, int32_t saved)
{
	pid_t pid = saved ? f->r->pid_now(f->r->userdata, saved) : 0;

	if (!pid && saved)
		pid = unix_actor_stand_in(f->net->actors, saved);
	if (!pid && saved && kill(saved, 0) == 0)
		pid = saved;
	return pid > 0 ? pid : getpid();
}

static int put_files(const struct fill *f, const struct unix_msg *m, struct cmsghdr *c,
		     struct ckpt_err **err)
{
	size_t n = json_array_size(m->files);
	int *fd = (int *)(void *)CMSG_DATA(c);

	for (size_t i = 0; i < n; i++) {
		uint64_t id = (uint64_t)json_integer_value(json_array_get(m->files, i));

		if (id < 1 || id >= f->r->n_fd || f->r->fd[id] < 0)
			return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
					 "a message carries object %llu, which is none",
					 (unsigned long long)id);
		fd[i] = f->r->fd[id];
	}
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	return 0;
}

static void put_cred(const struct fill *f, const struct unix_msg *m, struct cmsghdr *c)
{
	struct ucred cred = { sender_pid(f, m->cred.pid), m->cred.uid, m->cred.gid };

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_CREDENTIALS;
	c->cmsg_len = CMSG_LEN(sizeof(cred));
	memcpy(CMSG_DATA(c), &cred, sizeof(cred));
}

/* Files and credentials beside the message; control is large enough for the most of both. */
static int put_control(const struct fill *f, const struct unix_msg *m, struct msghdr *h,
		       char *control, struct ckpt_err **err)
{
	size_t n = json_array_size(m->files), len = 0;
	int rc = 0;

	if (m->cred.has) {
		put_cred(f, m, (struct cmsghdr *)(void *)control);
		len += CMSG_SPACE(sizeof(struct ucred));
	}
	if (n) {
		rc = put_files(f, m, (struct cmsghdr *)(void *)(control + len), err);
		len += CMSG_SPACE(n * sizeof(int));
	}
	h->msg_control = len ? control : NULL;
	h->msg_controllen = len;
	return rc;
}

#define CONTROL_MAX (CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(FILES_MAX * sizeof(int)))

static int send_message(struct fill *f, const struct route *route, const struct unix_msg *m,
			uint64_t at, struct ckpt_err **err)
{
	char control[CONTROL_MAX] __attribute__((aligned(8))) = { 0 }, urgent = 0;
	size_t len = m->oob_read ? 1 : m->bytes;
	struct iovec iov = { f->buf, len };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
	bool oob = m->oob || m->oob_read;
	ssize_t n;
	int rc = put_control(f, m, &h, control, err);

	if (rc == 0 && m->bytes) {
		rc = pread_all(f->data, f->buf, m->bytes, at);
		if (rc < 0)
			return ckpt_fail_errno(err, rc, CKPT_E_IMAGE, "read a message");
	}
	if (rc < 0)
		return rc;
	if (route->addr_len) {
		h.msg_name = (void *)(uintptr_t)&route->addr;
		h.msg_namelen = route->addr_len;
	}
	n = sendmsg(route->from, &h, MSG_DONTWAIT | MSG_NOSIGNAL | (oob ? MSG_OOB : 0));
	if (n != (ssize_t)len)
		return ckpt_fail_errno(err, n < 0 ? errno : EIO, CKPT_E_RESTORE,
				       "put a message of %zu bytes back into a socket", len);
	/* Its byte was received before, only where it stood is still known. */
	if (m->oob_read && recv(route->to, &urgent, 1, MSG_OOB | MSG_DONTWAIT) != 1)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "mark a place in a socket");
	return 0;
}

/* No message may fail for want of room; the saved size of the buffer is set afterwards. */
static void make_room(int fd)
{
	int most = 1 << 29;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &most, sizeof(most));
}

static int open_data(struct fill *f, const struct unix_sk *sk, struct ckpt_err **err)
{
	uint64_t bytes = sk->queue.bytes;
	size_t longest = 1;

	for (size_t i = 0; i < sk->n_pending; i++)
		bytes += sk->pending[i].queue.bytes;
	close_reset(&f->data);
	if (!bytes)
		return 0;
	for (size_t i = 0; i < sk->queue.n; i++)
		longest = sk->queue.msg[i].bytes > longest ? sk->queue.msg[i].bytes : longest;
	for (size_t i = 0; i < sk->n_pending; i++)
		for (size_t k = 0; k < sk->pending[i].queue.n; k++)
			if (sk->pending[i].queue.msg[k].bytes > longest)
				longest = sk->pending[i].queue.msg[k].bytes;
	if (longest > f->size) {
		free(f->buf);
		f->size = longest;
		f->buf = malloc(longest);
		if (!f->buf)
			return ckpt_fail_nomem(err);
	}
	return kind_open_data(f->r, sk->o, bytes, &f->data, err);
}

/* ---- queues ---- */

static int fill_queue(struct fill *f, const struct route *route, const struct unix_queue *q,
		      struct ckpt_err **err)
{
	uint64_t at = q->at;
	int rc = 0;

	if (q->n)
		make_room(route->from);
	for (size_t i = 0; rc == 0 && i < q->n; i++) {
		rc = send_message(f, route, &q->msg[i], at, err);
		at += q->msg[i].bytes;
	}
	return rc;
}

static int fill_stream(struct fill *f, struct unix_sk *sk, struct ckpt_err **err)
{
	struct unix_sk *peer =
		sk->peer_kind == UNIX_PEER_OBJECT ? unix_find(f->net, sk->peer) : NULL;
	struct route route = { .from = peer ? *peer->fd : sk->tmp, .to = *sk->fd };
	int rc = 0;

	if (sk->queue.n && route.from < 0)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
				 "socket %u holds messages, and nobody was connected", sk->id);
	rc = fill_queue(f, &route, &sk->queue, err);
	for (size_t i = 0; rc == 0 && i < sk->n_pending; i++) {
		struct unix_sk *client = unix_find(f->net, sk->pending[i].client);

		route = (struct route){ .from = client ? *client->fd : sk->pending[i].tmp,
					.to = -1 };
		rc = fill_queue(f, &route, &sk->pending[i].queue, err);
	}
	return rc;
}

/* ---- datagrams ---- */

/* A socket of that name which is here for the moment; one for each name. */
static int moment_socket(struct fill *f, const struct unix_name *name, struct unix_sender **ret,
			 struct ckpt_err **err)
{
	struct unix_net *net = f->net;
	struct unix_sender *more;

	for (size_t i = 0; i < net->n_senders; i++)
		if (unix_same_name(&net->sender[i].name, name)) {
			*ret = &net->sender[i];
			return 0;
		}
	more = realloc(net->sender, (net->n_senders + 1) * sizeof(*more));
	if (!more)
		return ckpt_fail_nomem(err);
	net->sender = more;
	*ret = &more[net->n_senders++];
	**ret = (struct unix_sender){ .name = *name };
	(*ret)->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if ((*ret)->fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "make a unix socket");
	return name->len ? unix_place_bind_tmp(&net->places, net->actors, name, (*ret)->fd,
					       &(*ret)->id, err)
			 : 0;
}

/* A socket that has the name of a sender: an object's, as an abstract name is there once only. */
static int sender_of_name(struct fill *f, const struct unix_name *name, int *ret,
			  struct ckpt_err **err)
{
	const struct unix_net *net = f->net;
	struct unix_sender *sender = NULL;
	int rc;

	for (size_t i = 0; unix_is_abstract(name) && i < net->n; i++)
		if (net->sk[i].type == SOCK_DGRAM && unix_same_name(&net->sk[i].name, name)) {
			*ret = *net->sk[i].fd;
			return 0;
		}
	rc = moment_socket(f, name, &sender, err);
	if (rc == 0)
		*ret = sender->fd;
	return rc;
}

/*
 * The end of a pair that will be gone gets the name of the peer that it stands for, or of the one
 * who sent what it will send.
 */
static int name_tmp(struct fill *f, struct unix_sk *sk, struct ckpt_err **err)
{
	const struct unix_name *name = &sk->peer_name;
	uint32_t id;

	if (sk->tmp < 0)
		return 0;
	if (!sk->keeps_pair && !sk->name.len && sk->queue.n)
		name = &sk->queue.msg[0].name;
	else if (!sk->keeps_pair)
		return 0;
	return name->len ? unix_place_bind_tmp(&f->net->places, f->net->actors, name, sk->tmp, &id,
					       err)
			 : 0;
}

static int route_datagram(struct fill *f, const struct unix_sk *sk, const struct unix_msg *m,
			  struct route *ret, struct ckpt_err **err)
{
	struct unix_sk *from = unix_find(f->net, m->from);
	int rc = 0;

	*ret = (struct route){ .from = -1, .to = *sk->fd };
	if (from && from->type != SOCK_DGRAM)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a datagram comes from socket %u",
				 from->id);
	if (!sk->name.len) {
		/* Reached by the other end of its pair alone, which is connected to it. */
		from = unix_find(f->net, sk->partner);
		ret->from = from ? *from->fd : sk->tmp;
		return 0;
	}
	if (from)
		ret->from = *from->fd;
	else
		rc = sender_of_name(f, &m->name, &ret->from, err);
	ret->addr_len = unix_place_addr(&f->net->places, sk->id, &sk->name, &ret->addr);
	return rc;
}

static int fill_datagrams(struct fill *f, struct unix_sk *sk, struct ckpt_err **err)
{
	uint64_t at = sk->queue.at;
	int rc = name_tmp(f, sk, err);

	for (size_t i = 0; rc == 0 && i < sk->queue.n; i++) {
		struct route route;

		rc = route_datagram(f, sk, &sk->queue.msg[i], &route, err);
		if (rc < 0)
			return rc;
		make_room(route.from);
		rc = send_message(f, &route, &sk->queue.msg[i], at, err);
		at += sk->queue.msg[i].bytes;
	}
	return rc;
}

/* ---- datagram sockets connected ---- */

static int connect_to(int fd, const struct sockaddr_un *addr, socklen_t len, struct ckpt_err **err)
{
	if (connect(fd, (const struct sockaddr *)addr, len) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "connect a datagram socket");
	return 0;
}

/* To one of its name that will be gone. */
static int connect_to_gone(struct fill *f, const struct unix_sk *sk, struct ckpt_err **err)
{
	struct unix_sender *gone = NULL;
	struct sockaddr_un addr;
	socklen_t len;
	int rc;

	if (!sk->peer_name.len)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
				 "socket %u was connected to one without a name", sk->id);
	rc = moment_socket(f, &sk->peer_name, &gone, err);
	if (rc < 0)
		return rc;
	len = unix_place_addr(&f->net->places, gone->id, &sk->peer_name, &addr);
	return connect_to(*sk->fd, &addr, len, err);
}

static int connect_to_outside(struct fill *f, const struct unix_sk *sk, struct ckpt_err **err)
{
	struct sockaddr_un addr;
	socklen_t len = unix_addr_of(&sk->peer_name, &addr);

	if (connect(*sk->fd, (const struct sockaddr *)&addr, len) == 0)
		return 0;
	/* As if the service had ended meanwhile: the next message will tell the program. */
	if (f->r->allow_changed)
		return connect_to_gone(f, sk, err);
	return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "connect a datagram socket anew");
}

/*
 * A socket that has a peer of its own can be connected to by that one alone: so all others that are
 * connected to it come first.
 */
static bool is_ready(const struct unix_net *net, const struct unix_sk *sk)
{
	for (size_t i = 0; i < net->n; i++) {
		const struct unix_sk *other = &net->sk[i];

		if (other->type == SOCK_DGRAM && other->peer_kind == UNIX_PEER_OBJECT &&
		    other->peer == sk->id && !other->peer_made && other->id != sk->peer &&
		    other != sk)
			return false;
	}
	return true;
}

static int connect_datagram(struct fill *f, struct unix_sk *sk, struct ckpt_err **err)
{
	struct unix_sk *peer = unix_find(f->net, sk->peer);
	struct sockaddr_un addr;
	socklen_t len;

	sk->peer_made = true;
	if (sk->peer_kind == UNIX_PEER_GONE)
		return connect_to_gone(f, sk, err);
	if (sk->peer_kind == UNIX_PEER_OUTSIDE)
		return connect_to_outside(f, sk, err);
	if (!peer->name.len)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "socket %u has no name to connect to",
				 peer->id);
	len = unix_place_addr(&f->net->places, peer->id, &peer->name, &addr);
	return connect_to(*sk->fd, &addr, len, err);
}

static int connect_datagrams(struct fill *f, struct ckpt_err **err)
{
	bool left = true, progress = true;
	int rc = 0;

	while (rc == 0 && left && progress) {
		left = progress = false;
		for (size_t i = 0; rc == 0 && i < f->net->n; i++) {
			struct unix_sk *sk = &f->net->sk[i];

			if (sk->type != SOCK_DGRAM || sk->peer_made ||
			    sk->peer_kind == UNIX_PEER_NONE)
				continue;
			if (is_ready(f->net, sk)) {
				rc = connect_datagram(f, sk, err);
				progress = true;
			} else {
				left = true;
			}
		}
	}
	if (rc == 0 && left)
		rc = ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
			       "datagram sockets are connected in a ring");
	return rc;
}

/* ---- ends that are gone ---- */

/* A stream that ended while its other side had not received everything was told so. */
static int close_tmp(int *tmp, int own, bool reset, struct ckpt_err **err)
{
	if (*tmp < 0)
		return 0;
	if (reset && send(own, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "reset a connection");
	close_reset(tmp);
	return 0;
}

static int close_all_tmp(struct unix_net *net, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < net->n; i++) {
		struct unix_sk *sk = &net->sk[i];

		rc = close_tmp(&sk->tmp, *sk->fd, sk->error == ECONNRESET, err);
		for (size_t k = 0; k < sk->n_pending; k++)
			close_reset(&sk->pending[k].tmp);
	}
	for (size_t i = 0; i < net->n_senders; i++)
		close_reset(&net->sender[i].fd);
	return rc;
}

/* ---- all ---- */

/* The end of the other side shuts a connection down in both directions by itself. */
static int shut_down(struct unix_sk *sk, struct ckpt_err **err)
{
	bool ended = sk->peer_kind == UNIX_PEER_GONE && sk->type != SOCK_DGRAM;
	uint32_t mask = ended ? 0 : sk->shutdown & ~sk->shut;

	if (mask && shutdown(*sk->fd, (int)mask - 1) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "shut a socket down");
	return 0;
}

static int fill_all(struct fill *f, struct ckpt_err **err)
{
	struct unix_net *net = f->net;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < net->n; i++) {
		struct unix_sk *sk = &net->sk[i];

		rc = open_data(f, sk, err);
		if (rc == 0)
			rc = sk->type == SOCK_DGRAM ? fill_datagrams(f, sk, err)
						    : fill_stream(f, sk, err);
		if (rc < 0)
			return ckpt_wrap(err, rc, "fill unix socket %u", sk->id);
	}
	rc = connect_datagrams(f, err);
	if (rc == 0)
		rc = close_all_tmp(net, err);
	for (size_t i = 0; rc == 0 && i < net->n; i++)
		rc = shut_down(&net->sk[i], err);
	for (size_t i = 0; rc == 0 && i < net->n; i++)
		rc = sockopts_restore(*net->sk[i].fd, sockopts_common, net->sk[i].o, "options",
				      err);
	return rc == 0 ? unix_places_move(&net->places, f->r, err) : rc;
}

int unix_connect(struct kind_restore *r, const json_t *o, int fd, struct ckpt_err **err)
{
	struct fill f = { .r = r, .net = r->unix_net, .data = -1 };
	int rc;

	(void)o;
	(void)fd;
	if (f.net->filled)
		return 0;
	f.net->filled = true;
	f.net->actors = unix_actors_new();
	if (!f.net->actors)
		return ckpt_fail_nomem(err);
	rc = fill_all(&f, err);
	free(f.buf);
	close_reset(&f.data);
	unix_actors_free(f.net->actors);
	f.net->actors = NULL;
	return rc;
}
