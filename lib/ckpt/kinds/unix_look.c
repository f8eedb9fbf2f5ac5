// SPDX-License-Identifier: LGPL-2.1-or-later
/* Unix sockets in a snapshot: finding each other, and what cannot be saved. See unix.h. */
#include "../safe.h"
#include "../util.h"
#include "unix.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

#define PADDED(n) (((n) + 7) & ~(size_t)7)

void unix_look(const struct kind_dump *d, const struct kind_file *f, struct unix_look *ret)
{
	*ret = (struct unix_look){ .path = "" };
	ret->all = (const struct rec_unix *const *)snapshot_details(d->snap, REC_UNIX, f->tgid,
								    f->fd, &ret->n);
	ret->msg = (const struct rec_unix_msg *const *)snapshot_details(
		d->snap, REC_UNIX_MSG, f->tgid, f->fd, &ret->n_msgs);
	/* The descriptor may have been closed, and opened again, while the process runs. */
	if (!ret->n || ret->all[0]->index || ret->all[0]->sock_id != f->file->sock_id)
		return;
	ret->sk = ret->all[0];
	if (ret->sk->path_len && sizeof(*ret->sk) + ret->sk->path_len < ret->sk->head.len)
		ret->path = (const char *)(ret->sk + 1);
}

/* Where a part of the tail begins, or NULL when it does not lie in the record. */
static const void *tail(const struct rec_unix_msg *m, size_t before, size_t bytes)
{
	if (!bytes || sizeof(*m) + before + bytes > m->head.len)
		return NULL;
	return (const char *)(m + 1) + before;
}

const uint64_t *unix_msg_files(const struct rec_unix_msg *m)
{
	return tail(m, 0, m->n_files * sizeof(uint64_t));
}

const char *unix_msg_from(const struct rec_unix_msg *m)
{
	return tail(m, m->n_files * sizeof(uint64_t), m->from_len);
}

const char *unix_msg_data(const struct rec_unix_msg *m)
{
	return tail(m, m->n_files * sizeof(uint64_t) + PADDED(m->from_len), m->data_len);
}

bool unix_match(const struct kind_file *f)
{
	return f->file && f->file->sock_id && f->file->sk_family == AF_UNIX;
}

void unix_queued(const struct snapshot *s, const struct kind_file *f,
		 void (*fn)(void *userdata, uint64_t file_id), void *userdata)
{
	struct kind_dump d = { .snap = s };
	struct unix_look look;

	unix_look(&d, f, &look);
	for (size_t i = 0; look.sk && i < look.n_msgs; i++) {
		const uint64_t *file = unix_msg_files(look.msg[i]);

		for (size_t k = 0; file && k < look.msg[i]->n_files; k++)
			fn(userdata, file[k]);
	}
}

const struct object_row *unix_row(const struct kind_dump *d, uint64_t sock_id)
{
	const struct object_row *row = objects_row(d->os, objects_by_sock(d->os, sock_id));

	return row && unix_match(&row->f) ? row : NULL;
}

const struct object_row *unix_next_listening(const struct kind_dump *d,
					     const struct object_row *after, struct unix_look *ret)
{
	uint32_t id = after ? after->next_listening : d->os->first_listening;
	const struct object_row *row;

	for (; (row = objects_row(d->os, id)); id = row->next_listening) {
		if (!unix_match(&row->f))
			continue;
		unix_look(d, &row->f, ret);
		if (ret->sk)
			return row;
	}
	return NULL;
}

const struct object_row *unix_listener_of(const struct kind_dump *d, uint64_t embryo_id)
{
	struct unix_look look;

	for (const struct object_row *row = unix_next_listening(d, NULL, &look); row;
	     row = unix_next_listening(d, row, &look))
		for (size_t k = 1; k < look.n; k++)
			if (look.all[k]->sock_id == embryo_id)
				return row;
	return NULL;
}

/* ---- checking ---- */

/* Can connect(2) find a name again, wherever it is called? */
static bool can_be_called(const char *name, size_t len)
{
	return len && (!name[0] || name[0] == '/');
}

/*
 * A datagram socket that is connected to a service, as /dev/log is, holds nothing but the address.
 * A connection, or a datagram socket that is connected back, is more: the other side will see that
 * it ends, and another one begin; so that is asked for. What was received on it cannot be put back,
 * as it takes the other side to send.
 */
bool unix_may_reconnect(const struct kind_dump *d, const struct rec_unix *sk)
{
	if (!(sk->flags & REC_UNIX_PEER) || sk->flags & REC_UNIX_PEER_DEAD ||
	    !can_be_called(sk->peer_name, sk->peer_name_len))
		return false;
	if (sk->type == SOCK_DGRAM)
		return sk->peer_peer_id != sk->sock_id || d->ext_unix;
	return d->ext_unix && !(sk->flags & (REC_UNIX_INHERITED | REC_UNIX_PEER_EMBRYO)) &&
	       !sk->n_messages;
}

static int fail_outside(const struct kind_dump *d, const struct rec_unix *sk, struct ckpt_err **err)
{
	bool pending = sk->flags & REC_UNIX_PEER_EMBRYO;
	pid_t pid = kind_outside_sock(d, pending ? sk->peer_listener_id : sk->peer_id);
	bool client = sk->type != SOCK_DGRAM && !(sk->flags & REC_UNIX_INHERITED) &&
		      can_be_called(sk->peer_name, sk->peer_name_len);
	char who[128];

	if (!pid && kind_may_be_under_way(d))
		return 0;
	kind_process_words(pid, who, sizeof(who));
	ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
		  pending ? "it waits to be accepted by %s, which is not checkpointed with it"
			  : "its peer is held by %s, which is not checkpointed with it",
		  who);
	if (client && !d->ext_unix)
		ckpt_hint(err, "--ext-unix lets the restore connect to the same name anew");
	else if (client && sk->n_messages)
		ckpt_hint(err, "it holds data that was not received yet: try again");
	else
		ckpt_hint(err, "checkpoint both together, or close it first");
	return -EOPNOTSUPP;
}

/* Every socket that is connected to this one is the dump's, or gone, or can be done without. */
static int check_peer(const struct kind_dump *d, const struct rec_unix *sk, struct ckpt_err **err)
{
	if (!(sk->flags & REC_UNIX_PEER) || sk->flags & REC_UNIX_PEER_DEAD ||
	    unix_row(d, sk->peer_id))
		return 0;
	if (sk->flags & REC_UNIX_PEER_EMBRYO && unix_listener_of(d, sk->peer_id))
		return 0;
	return unix_may_reconnect(d, sk) ? 0 : fail_outside(d, sk, err);
}

static int check_pending(const struct kind_dump *d, const struct rec_unix *embryo,
			 struct ckpt_err **err)
{
	char who[128];
	pid_t pid;

	if (!(embryo->flags & REC_UNIX_PEER) || embryo->flags & REC_UNIX_PEER_DEAD ||
	    unix_row(d, embryo->peer_id))
		return 0;
	pid = kind_outside_sock(d, embryo->peer_id);
	if (!pid && kind_may_be_under_way(d))
		return 0;
	kind_process_words(pid, who, sizeof(who));
	ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
		  "%s, which is not checkpointed with it, has a connection that was not accepted "
		  "yet",
		  who);
	ckpt_hint(err, "try again when the program has accepted it");
	return -EOPNOTSUPP;
}

/* Contents that nobody can peek are read by eBPF, as far as they lie in one piece. */
static int check_unpeekable(const struct kind_dump *d, const struct rec_unix_msg *m,
			    const char *where, struct ckpt_err **err)
{
	const uint64_t *file = unix_msg_files(m);

	if (m->data_len != m->len) {
		ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED, "%s, a message of %u bytes waits",
			  where, m->len);
		ckpt_hint(err, "try again when the program has received it");
		return -EOPNOTSUPP;
	}
	for (size_t i = 0; d->frozen && file && i < m->n_files; i++) {
		if (objects_id(d->os, file[i]))
			continue;
		ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
			  "%s, a message waits with a file that is open nowhere else", where);
		ckpt_hint(err, "try again when the program has received it");
		return -EOPNOTSUPP;
	}
	return 0;
}

static int check_messages(const struct kind_dump *d, const struct unix_look *look,
			  struct ckpt_err **err)
{
	bool failed = look->sk->error && look->sk->type != SOCK_STREAM;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < look->n_msgs; i++) {
		const struct rec_unix_msg *m = look->msg[i];

		if (m->index)
			rc = check_unpeekable(d, m, "on a connection not accepted yet", err);
		else if (failed)
			rc = check_unpeekable(d, m, "behind an error that was not told yet", err);
	}
	return rc;
}

/* Is the path of its file still the file's, as seen from here? */
static int check_file(const struct unix_look *look, const struct kind_file *f,
		      struct ckpt_err **err)
{
	const struct rec_unix *sk = look->sk;
	struct stat st;

	(void)f;
	if (!sk->file_inode_id || sk->flags & (REC_UNIX_UNLINKED | REC_UNIX_INHERITED))
		return 0;
	if (!look->path[0] || sk->head.flags & REC_F_TRUNCATED)
		return ckpt_fail(err, ENAMETOOLONG, CKPT_E_UNSUPPORTED,
				 "the path of its file is too long to be known");
	/* An overlay shows other numbers for the same file. */
	if (stat(look->path, &st) == 0 && S_ISSOCK(st.st_mode))
		return 0;
	ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
		  "the path of its file now names another file, or none that can be reached from "
		  "here");
	ckpt_hint(err, "something was mounted over it, or the program has another root");
	return -EOPNOTSUPP;
}

static int check_state(const struct rec_unix *sk, struct ckpt_err **err)
{
	bool reset =
		sk->error == ECONNRESET && sk->type != SOCK_DGRAM && sk->flags & REC_UNIX_PEER_DEAD;

	if (sk->flags & REC_UNIX_FILTER) {
		ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED, "a BPF filter is attached to it");
		ckpt_hint(err, "detach it first (SO_DETACH_FILTER)");
		return -EOPNOTSUPP;
	}
	if (sk->error && !reset) {
		ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
			  "an error that was not told yet waits on it: %s", strerror(sk->error));
		ckpt_hint(err, "try again when the program has used it");
		return -EOPNOTSUPP;
	}
	if (sk->type != SOCK_STREAM && sk->type != SOCK_DGRAM && sk->type != SOCK_SEQPACKET)
		return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED, "it is of type %u",
				 (unsigned int)sk->type);
	return 0;
}

static int check_shared(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	pid_t pid = kind_outside_holder(d, f, false);
	char who[128];

	if (!pid)
		return 0;
	kind_process_words(pid, who, sizeof(who));
	ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
		  "it is shared with %s, which is not checkpointed with it", who);
	ckpt_hint(err, "checkpoint both together, or close it in one of them");
	return -EOPNOTSUPP;
}

int unix_check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	struct unix_look look;
	int rc;

	unix_look(d, f, &look);
	if (!look.sk)
		return 0; /* it runs, and has closed it: judged again when it stands still */
	rc = check_shared(d, f, err);
	if (rc == 0)
		rc = check_state(look.sk, err);
	if (rc == 0)
		rc = check_file(&look, f, err);
	if (rc == 0)
		rc = check_peer(d, look.sk, err);
	for (size_t i = 1; rc == 0 && i < look.n; i++)
		rc = check_pending(d, look.all[i], err);
	return rc == 0 ? check_messages(d, &look, err) : rc;
}

const char *unix_type_name(int type)
{
	return type == SOCK_STREAM ? "stream" : type == SOCK_DGRAM ? "datagram" : "seqpacket";
}

void unix_describe(const struct kind_file *f, char *buf, size_t len)
{
	static const char *const states[] = {
		[TCP_ESTABLISHED] = ", connected",
		[TCP_LISTEN] = ", listening",
	};

	const char *state = f->file->sk_state < sizeof(states) / sizeof(states[0])
				    ? states[f->file->sk_state]
				    : NULL;

	snprintf(buf, len, "unix %s socket%s", unix_type_name(f->file->sk_type),
		 state ? state : "");
}

const struct ckpt_kind kind_unix = {
	.name = "unix",
	.match = unix_match,
	.check = unix_check,
	.save = unix_save,
	.queued = unix_queued,
	.in_flight = unix_in_flight,
	.need = unix_need,
	.open = unix_make,
	.connect = unix_connect,
	.go = unix_go,
	.same = unix_same,
	.describe = unix_describe,
};
