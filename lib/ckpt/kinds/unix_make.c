// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * All unix sockets of an image, made at once when the first of them is opened: for what one is
 * depends on others. In this order:
 *
 *   made       by socket(2), or as pairs by socketpair(2) in the name of who made them
 *   accepted   those whose listener is gone: by a listener of its name that is here for a moment
 *   bound      see unix_name.c
 *   listening  in the name of who called listen(2) when its clients connected
 *   connected  and accepted, or not accepted, in order
 *
 * Datagram sockets are connected by unix_fill.c, once their messages are in place: a connected one
 * takes messages from its peer alone. See unix.h.
 */
#include "../util.h"
#include "unix.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* So many connections fit while they are made; the saved length is set in the end. */
#define BACKLOG_MAX 4096

/* ---- the table ---- */

struct unix_sk *unix_find(const struct unix_net *net, uint32_t id)
{
	size_t low = 0, high = net->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (net->sk[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < net->n && net->sk[low].id == id ? &net->sk[low] : NULL;
}

static void net_free(struct unix_net *net)
{
	if (!net)
		return;
	for (size_t i = 0; i < net->n_senders; i++)
		close_reset(&net->sender[i].fd);
	free(net->sender);
	unix_places_done(&net->places);
	for (size_t i = 0; i < net->n; i++)
		unix_sk_done(&net->sk[i]);
	free(net->sk);
	unix_actors_free(net->actors);
	free(net);
}

static int fail_refers(const struct unix_sk *sk, uint32_t id, struct ckpt_err **err)
{
	return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
			 "socket %u refers to object %u, which does not fit to it", sk->id, id);
}

static bool is_pending_at(const struct unix_sk *listener, uint32_t client)
{
	for (size_t i = 0; i < listener->n_pending; i++)
		if (listener->pending[i].client == client)
			return true;
	return false;
}

/* Do two sides say the same of each other? */
static int check_peer(const struct unix_net *net, const struct unix_sk *sk, struct ckpt_err **err)
{
	const struct unix_sk *peer = unix_find(net, sk->peer);

	if (sk->peer_kind == UNIX_PEER_PENDING &&
	    (!peer || !peer->listening || sk->inherited || !is_pending_at(peer, sk->id)))
		return fail_refers(sk, sk->peer, err);
	if (sk->peer_kind != UNIX_PEER_OBJECT)
		return 0;
	if (!peer || peer->type != sk->type)
		return fail_refers(sk, sk->peer, err);
	if (sk->type != SOCK_DGRAM &&
	    (peer->peer_kind != UNIX_PEER_OBJECT || peer->peer != sk->id || peer == sk ||
	     (sk->inherited && peer->inherited)))
		return fail_refers(sk, sk->peer, err);
	return 0;
}

static int check_pending(const struct unix_net *net, const struct unix_sk *sk,
			 struct ckpt_err **err)
{
	for (size_t i = 0; i < sk->n_pending; i++) {
		const struct unix_sk *client = unix_find(net, sk->pending[i].client);

		if (sk->pending[i].client &&
		    (!client || client->type != sk->type ||
		     client->peer_kind != UNIX_PEER_PENDING || client->peer != sk->id))
			return fail_refers(sk, sk->pending[i].client, err);
		for (size_t k = 0; client && k < i; k++)
			if (sk->pending[k].client == client->id)
				return fail_refers(sk, client->id, err);
	}
	return 0;
}

static int check_socket(const struct unix_net *net, const struct unix_sk *sk, struct ckpt_err **err)
{
	const struct unix_sk *listener = unix_find(net, sk->listener);
	int rc = check_peer(net, sk, err);

	if (rc == 0)
		rc = check_pending(net, sk, err);
	if (rc == 0 && sk->inherited && sk->listener &&
	    (!listener || !listener->listening || listener->type != sk->type ||
	     !unix_same_name(&listener->name, &sk->name)))
		rc = fail_refers(sk, sk->listener, err);
	if (rc == 0 && sk->inherited && sk->peer_kind != UNIX_PEER_OBJECT &&
	    sk->peer_kind != UNIX_PEER_GONE)
		rc = fail_refers(sk, sk->peer, err);
	return rc;
}

static bool is_unix(const json_t *o)
{
	const char *kind = json_string_value(json_object_get(o, "kind"));

	return kind && !strcmp(kind, "unix");
}

static int parse_all(struct kind_restore *r, struct unix_net *net, struct ckpt_err **err)
{
	int rc = 0;

	net->sk = calloc(r->n_fd, sizeof(*net->sk));
	if (!net->sk)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; rc == 0 && i + 1 < r->n_fd; i++) {
		json_t *o = json_array_get(r->objects, i);
		struct unix_sk *sk = &net->sk[net->n];

		if (!is_unix(o))
			continue;
		net->n++;
		rc = unix_parse(o, sk, err);
		if (rc == 0 && sk->id != i + 1)
			rc = fail_refers(sk, (uint32_t)i + 1, err);
		sk->fd = &r->fd[i + 1];
	}
	for (size_t i = 0; rc == 0 && i < net->n; i++)
		rc = check_socket(net, &net->sk[i], err);
	return rc;
}

/* ---- made ---- */

static int fail_make(int rc, struct ckpt_err **err)
{
	return ckpt_fail_errno(err, rc, CKPT_E_RESTORE, "make a unix socket");
}

static int make_one(const struct unix_sk *sk, int *ret_fd, struct ckpt_err **err)
{
	/* Nothing here may wait; the saved flags are set in the end. */
	*ret_fd = socket(AF_UNIX, sk->type | SOCK_CLOEXEC | SOCK_NONBLOCK, sk->protocol);
	return *ret_fd < 0 ? fail_make(-errno, err) : 0;
}

/* The other end, too, where it is in the image. */
static int note_lost_pair(struct unix_net *net, struct unix_sk *sk, struct ckpt_err **err)
{
	struct unix_sk *other = unix_find(net, sk->type == SOCK_DGRAM ? sk->partner : sk->peer);
	int rc = unix_note_lost_pid(sk, err);

	return rc == 0 && other ? unix_note_lost_pid(other, err) : rc;
}

/* Both ends are seen as made by the same process. */
static int make_pair(struct unix_net *net, struct unix_sk *sk, const struct unix_ident *cred,
		     int *a, int *b, struct ckpt_err **err)
{
	int fd[2], rc;
	bool lost = false;

	rc = unix_as_pair(net->actors, cred, sk->type, sk->protocol, fd, &lost);
	if (rc < 0)
		return fail_make(rc, err);
	*a = fd[0];
	*b = fd[1];
	return lost ? note_lost_pair(net, sk, err) : 0;
}

static bool same_cred(const struct unix_ident *a, const struct unix_ident *b)
{
	return a->has && b->has && a->pid == b->pid && a->uid == b->uid && a->gid == b->gid;
}

/* The other end of a pair, for a datagram socket; 0: none that is in the image. */
static void pair_up(struct unix_sk *a, struct unix_sk *b)
{
	if (!b || a == b || a->partner || b->partner || b->type != SOCK_DGRAM)
		return;
	a->partner = b->id;
	b->partner = a->id;
}

/*
 * A datagram socket without a name can be reached by the other end of its pair only. Of those that
 * have names, the ones that are connected to each other may be a pair as well.
 */
static void find_pairs(struct unix_net *net)
{
	for (size_t i = 0; i < net->n; i++) {
		struct unix_sk *sk = &net->sk[i], *peer = unix_find(net, sk->peer);

		if (sk->type == SOCK_DGRAM && sk->peer_kind == UNIX_PEER_OBJECT && peer &&
		    !peer->name.len)
			pair_up(sk, peer);
	}
	for (size_t i = 0; i < net->n; i++) {
		struct unix_sk *sk = &net->sk[i], *from;

		for (size_t k = 0; !sk->name.len && k < sk->queue.n; k++) {
			from = unix_find(net, sk->queue.msg[k].from);
			if (sk->type == SOCK_DGRAM && from)
				pair_up(sk, from);
		}
	}
	for (size_t i = 0; i < net->n; i++) {
		struct unix_sk *sk = &net->sk[i], *peer = unix_find(net, sk->peer);

		if (sk->type == SOCK_DGRAM && sk->peer_kind == UNIX_PEER_OBJECT && peer &&
		    peer->peer_kind == UNIX_PEER_OBJECT && peer->peer == sk->id &&
		    same_cred(&sk->cred, &peer->cred))
			pair_up(sk, peer);
	}
}

/* Is there a message that the other end of the pair did not send, or may not have? */
static bool has_foreign_messages(const struct unix_sk *sk)
{
	for (size_t i = 0; i < sk->queue.n; i++)
		if (sk->name.len && (!sk->partner || sk->queue.msg[i].from != sk->partner))
			return true;
	return false;
}

static int disconnect(int fd, struct ckpt_err **err)
{
	struct sockaddr_un none = { .sun_family = AF_UNSPEC };

	if (connect(fd, (const struct sockaddr *)&none, sizeof(none)) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "disconnect a socket");
	return 0;
}

/* A pair stays connected where it was, unless that would keep messages of others out. */
static int keep_pair(struct unix_sk *sk, bool was_connected, struct ckpt_err **err)
{
	sk->keeps_pair = was_connected && !has_foreign_messages(sk);
	sk->peer_made = sk->keeps_pair;
	return sk->keeps_pair ? 0 : disconnect(*sk->fd, err);
}

static int make_datagram(struct unix_net *net, struct unix_sk *sk, struct ckpt_err **err)
{
	struct unix_sk *other = unix_find(net, sk->partner);
	bool needs_other = sk->cred.has || (!sk->name.len && sk->queue.n) ||
			   (sk->peer_kind == UNIX_PEER_GONE && !sk->peer_name.len);
	int rc;

	if (*sk->fd >= 0)
		return 0;
	if (other)
		rc = make_pair(net, sk, sk->cred.has ? &sk->cred : &other->cred, sk->fd, other->fd,
			       err);
	else if (needs_other)
		rc = make_pair(net, sk, &sk->cred, sk->fd, &sk->tmp, err);
	else
		return make_one(sk, sk->fd, err);
	if (rc == 0)
		rc = keep_pair(sk,
			       other ? sk->peer_kind == UNIX_PEER_OBJECT && sk->peer == other->id
				     : sk->peer_kind == UNIX_PEER_GONE,
			       err);
	if (rc == 0 && other)
		rc = keep_pair(other, other->peer_kind == UNIX_PEER_OBJECT && other->peer == sk->id,
			       err);
	return rc;
}

/* The two ends of a connection that nobody accepted are a pair; all others begin as one socket. */
static int make_stream(struct unix_net *net, struct unix_sk *sk, struct ckpt_err **err)
{
	struct unix_sk *peer = unix_find(net, sk->peer);

	if (*sk->fd >= 0 || sk->inherited)
		return 0; /* comes from accept(2) */
	if (sk->peer_kind == UNIX_PEER_GONE)
		return make_pair(net, sk, &sk->cred, sk->fd, &sk->tmp, err);
	if (sk->peer_kind == UNIX_PEER_OBJECT && !peer->inherited)
		return make_pair(net, sk, &sk->cred, sk->fd, peer->fd, err);
	return make_one(sk, sk->fd, err);
}

static int make_all(struct unix_net *net, struct ckpt_err **err)
{
	int rc = 0;

	find_pairs(net);
	for (size_t i = 0; rc == 0 && i < net->n; i++) {
		struct unix_sk *sk = &net->sk[i];

		rc = sk->type == SOCK_DGRAM ? make_datagram(net, sk, err)
					    : make_stream(net, sk, err);
	}
	for (size_t i = 0; rc == 0 && i < net->n; i++)
		for (size_t k = 0; rc == 0 && k < net->sk[i].n_pending; k++)
			if (!net->sk[i].pending[k].client)
				rc = make_one(&net->sk[i], &net->sk[i].pending[k].tmp, err);
	return rc;
}

/* ---- bound ---- */

/* Ends that will be closed have names, too: the other end tells them (getpeername(2)). */
static int bind_tmp(struct unix_net *net, const struct unix_name *name, int fd,
		    struct ckpt_err **err)
{
	uint32_t id;

	if (fd < 0 || !name->len)
		return 0;
	return unix_place_bind_tmp(&net->places, net->actors, name, fd, &id, err);
}

static int bind_all_tmp(struct unix_net *net, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < net->n; i++) {
		struct unix_sk *sk = &net->sk[i];

		if (sk->type != SOCK_DGRAM && !sk->inherited && sk->tmp >= 0)
			rc = bind_tmp(net, &sk->peer_name, sk->tmp, err);
		for (size_t k = 0; rc == 0 && k < sk->n_pending; k++)
			rc = bind_tmp(net, &sk->pending[k].name, sk->pending[k].tmp, err);
	}
	return rc;
}

static int bind_all(struct unix_net *net, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < net->n; i++) {
		struct unix_sk *sk = &net->sk[i];

		if (sk->name.len && !sk->inherited)
			rc = unix_place_bind(&net->places, net->actors, sk, *sk->fd, err);
	}
	return rc;
}

/* ---- connected ---- */

/*
 * Shut down before it was connected, which its peer was not told: what is not mirrored there must
 * be so beforehand now, too.
 */
static int shut_beforehand(struct unix_sk *client, uint32_t peers, struct ckpt_err **err)
{
	uint32_t mirrored = (peers & 1) << 1 | (peers & 2) >> 1;

	if (!client)
		return 0;
	client->shut = client->shutdown & ~mirrored;
	if (client->shut && shutdown(*client->fd, (int)client->shut - 1) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "shut a socket down");
	return 0;
}

struct connecting {
	struct unix_sk *listener; /* or NULL: at `fd`, `id`, which is here for a moment */
	int fd;
	uint32_t id;
	const struct unix_name *name;
	struct unix_ident at_listen; /* who is seen by the client */
};

static int listen_as(struct unix_net *net, const struct connecting *c, const struct unix_ident *who,
		     int backlog, struct unix_sk *note, struct ckpt_err **err)
{
	bool lost = false;
	int rc = unix_as_listen(net->actors, who, c->fd, backlog, &lost);

	if (rc < 0)
		return ckpt_fail_errno(err, rc, CKPT_E_RESTORE, "let a socket listen");
	return lost && note ? unix_note_lost_pid(note, err) : 0;
}

static int connect_as(struct unix_net *net, const struct connecting *c,
		      const struct unix_ident *who, int client, struct unix_sk *note,
		      struct ckpt_err **err)
{
	struct sockaddr_un addr;
	socklen_t len = unix_place_addr(&net->places, c->id, c->name, &addr);
	bool lost = false;
	int rc = unix_as_connect(net->actors, who, client, &addr, len, &lost);

	if (rc < 0)
		return ckpt_fail_errno(err, rc, CKPT_E_RESTORE, "connect to a socket of our own");
	return lost ? unix_note_lost_pid(note, err) : 0;
}

/*
 * A socket that accept(2) gave. Its client is in the image, or gone: then it is made for the
 * moment, and sk->tmp.
 */
static int accept_one(struct unix_net *net, struct connecting *c, struct unix_sk *sk,
		      struct ckpt_err **err)
{
	struct unix_sk *client = unix_find(net, sk->peer);
	int fd, rc = 0;

	if (sk->peer_kind != UNIX_PEER_OBJECT) {
		client = NULL;
		rc = make_one(sk, &sk->tmp, err);
		if (rc == 0)
			rc = bind_tmp(net, &sk->peer_name, sk->tmp, err);
	}
	fd = client ? *client->fd : sk->tmp;
	if (rc == 0)
		rc = shut_beforehand(client, sk->shutdown, err);
	if (rc == 0)
		rc = listen_as(net, c, client ? &client->cred : &c->at_listen, BACKLOG_MAX, client,
			       err);
	if (rc == 0)
		rc = connect_as(net, c, &sk->cred, fd, sk, err);
	if (rc < 0)
		return rc;
	*sk->fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC);
	return *sk->fd < 0 ? ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "accept a connection") : 0;
}

/* From a listener that is gone: one of its name is here as long as it takes. */
static int accept_by_tmp(struct unix_net *net, struct unix_sk *sk, struct ckpt_err **err)
{
	_cleanup_close_ int fd = -1;
	struct connecting c = { .name = &sk->name, .at_listen = sk->cred };
	int rc = make_one(sk, &fd, err);

	c.fd = fd;
	if (rc == 0)
		rc = unix_place_bind_tmp(&net->places, net->actors, &sk->name, fd, &c.id, err);
	return rc == 0 ? accept_one(net, &c, sk, err) : rc;
}

static int accept_orphans(struct unix_net *net, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < net->n; i++)
		if (net->sk[i].inherited && !net->sk[i].listener)
			rc = accept_by_tmp(net, &net->sk[i], err);
	return rc;
}

static int connect_pending(struct unix_net *net, struct connecting *c, struct unix_pending *p,
			   struct ckpt_err **err)
{
	struct unix_sk *client = unix_find(net, p->client);
	int fd = client ? *client->fd : p->tmp;
	int rc = shut_beforehand(client, p->shutdown, err);

	if (rc == 0)
		rc = listen_as(net, c, client ? &client->cred : &c->at_listen, BACKLOG_MAX, client,
			       err);
	return rc == 0 ? connect_as(net, c, &p->cred, fd, c->listener, err) : rc;
}

static int serve_listener(struct unix_net *net, struct unix_sk *sk, struct ckpt_err **err)
{
	struct connecting c = { .listener = sk,
				.fd = *sk->fd,
				.id = sk->id,
				.name = &sk->name,
				.at_listen = sk->cred };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < net->n; i++)
		if (net->sk[i].inherited && net->sk[i].listener == sk->id)
			rc = accept_one(net, &c, &net->sk[i], err);
	for (size_t i = 0; rc == 0 && i < sk->n_pending; i++)
		rc = connect_pending(net, &c, &sk->pending[i], err);
	if (rc == 0)
		rc = listen_as(net, &c, &sk->cred, (int)sk->backlog, sk, err);
	return rc;
}

static int connect_outside(struct unix_sk *sk, struct ckpt_err **err)
{
	struct sockaddr_un addr;
	socklen_t len = unix_addr_of(&sk->peer_name, &addr);
	char name[300];

	if (connect(*sk->fd, (const struct sockaddr *)&addr, len) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "connect to %s anew",
				       unix_name_words(&sk->peer_name, name, sizeof(name)));
	return 0;
}

static int connect_all(struct unix_net *net, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < net->n; i++) {
		struct unix_sk *sk = &net->sk[i];

		if (sk->listening)
			rc = serve_listener(net, sk, err);
		else if (sk->type != SOCK_DGRAM && sk->peer_kind == UNIX_PEER_OUTSIDE)
			rc = connect_outside(sk, err);
	}
	return rc;
}

/* ---- all ---- */

/* Of the inode that every socket has. */
static int set_owner(const struct unix_sk *sk, struct ckpt_err **err)
{
	if (fchown(*sk->fd, sk->uid, sk->gid) < 0 || fchmod(*sk->fd, sk->mode & 07777) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "give a socket its owner");
	return 0;
}

static int make_net(struct kind_restore *r, struct unix_net *net, struct ckpt_err **err)
{
	int rc = parse_all(r, net, err);

	if (rc == 0)
		rc = make_all(net, err);
	if (rc == 0)
		rc = accept_orphans(net, err);
	if (rc == 0)
		rc = bind_all_tmp(net, err);
	if (rc == 0)
		rc = bind_all(net, err);
	if (rc == 0)
		rc = connect_all(net, err);
	for (size_t i = 0; rc == 0 && i < net->n; i++)
		rc = set_owner(&net->sk[i], err);
	/* Their pids are those of tasks that are made now. */
	unix_actors_free(net->actors);
	net->actors = NULL;
	return rc;
}

int unix_make(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	struct unix_net *net = calloc(1, sizeof(*net));

	(void)o;
	(void)ret_fd; /* is the row's place in r->fd, which is filled together with all others */
	if (!net)
		return ckpt_fail_nomem(err);
	r->unix_net = net;
	r->unix_net_free = net_free;
	unix_places_init(&net->places);
	net->actors = unix_actors_new();
	return net->actors ? make_net(r, net, err) : ckpt_fail_nomem(err);
}

void unix_go(struct kind_restore *r, const json_t *o, int fd)
{
	(void)o;
	(void)fd;
	if (r->unix_net)
		unix_places_keep(&r->unix_net->places);
}
