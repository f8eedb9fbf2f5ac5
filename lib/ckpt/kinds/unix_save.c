// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Unix sockets into the manifest. Messages are peeked with SO_PEEK_OFF, one by one, and the offset
 * is put back as it was; the snapshot tells beforehand how many there are, how long, by whom and
 * with which files. See unix.h.
 */
#include "../util.h"
#include "sockopt.h"
#include "unix.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define OPT_PASSRIGHTS 83
#define SCM_PIDFD_TYPE 4
#define FILES_MAX      253 /* SCM_MAX_FD of the kernel */

/* ---- peeking ---- */

/* A socket of the program, ready to be peeked. */
struct peek {
	const struct unix_look *look;
	int fd;	 /* owned */
	int off; /* as the program has it */
	int rights;
	bool failed;	      /* an error waits, which a peek would take away */
	uint64_t at;	      /* offset of the next message */
	bool begun;	      /* it is not the first one */
	unsigned int n_empty; /* empty datagrams before it that were passed over */
	char *buf;	      /* owned, for the longest message */
};

static int peek_begin(const struct kind_dump *d, const struct kind_file *f,
		      const struct unix_look *look, struct peek *p, struct ckpt_err **err)
{
	socklen_t len = sizeof(p->off);
	size_t longest = 1;
	int rc;

	*p = (struct peek){ .look = look, .fd = -1, .off = -1, .rights = 1 };
	p->failed = look->sk->error && look->sk->type != SOCK_STREAM;
	for (size_t i = 0; i < look->n_msgs; i++)
		if (look->msg[i]->len > longest)
			longest = look->msg[i]->len;
	p->buf = malloc(longest);
	if (!p->buf)
		return ckpt_fail_nomem(err);
	rc = kind_get_fd(d, f, &p->fd, err);
	if (rc < 0)
		return rc;
	if (getsockopt(p->fd, SOL_SOCKET, SO_PEEK_OFF, &p->off, &len) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "look at the options of a socket");
	len = sizeof(p->rights);
	/* Off, it would hide the files from us as from the program. Unknown to older kernels. */
	if (getsockopt(p->fd, SOL_SOCKET, OPT_PASSRIGHTS, &p->rights, &len) == 0 && !p->rights)
		setsockopt(p->fd, SOL_SOCKET, OPT_PASSRIGHTS, &(int){ 1 }, sizeof(int));
	return 0;
}

static void peek_end(struct peek *p)
{
	if (p->fd >= 0) {
		setsockopt(p->fd, SOL_SOCKET, SO_PEEK_OFF, &p->off, sizeof(p->off));
		if (!p->rights)
			setsockopt(p->fd, SOL_SOCKET, OPT_PASSRIGHTS, &(int){ 0 }, sizeof(int));
	}
	close_reset(&p->fd);
	free(p->buf);
	p->buf = NULL;
}

/* One call. The bytes, or -errno. */
static ssize_t peek_call(struct peek *p, struct msghdr *h, size_t want, bool urgent)
{
	struct iovec iov = { p->buf, want };
	int flags = MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC | (urgent ? MSG_OOB : 0);
	/* Of the first message no offset is needed. */
	int off = p->begun ? (int)p->at : -1;
	ssize_t n;

	h->msg_iov = &iov;
	h->msg_iovlen = 1;
	if (!urgent && setsockopt(p->fd, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off)) < 0)
		return -errno;
	n = recvmsg(p->fd, h, flags);
	return n < 0 ? -errno : n;
}

/*
 * An empty datagram stands at the same offset as the next one. The kernel gives it once, and marks
 * it as peeked then; which tells only on later peeks of the program's with an offset of its own. So
 * it is asked for only when it carries files, and passed over when the next one is wanted.
 */
static ssize_t peek_datagram(struct peek *p, const struct rec_unix_msg *m, struct msghdr *h)
{
	struct msghdr wanted = *h;
	ssize_t n;

	if (!m->len && !h->msg_control) {
		p->n_empty++;
		p->begun = true;
		return 0;
	}
	n = peek_call(p, h, m->len ? m->len : 1, false);
	while (n == 0 && m->len && p->n_empty) {
		p->n_empty--;
		*h = wanted;
		n = peek_call(p, h, m->len, false);
	}
	p->begun = true;
	return n;
}

/*
 * A byte sent with MSG_OOB that heads the queue is passed over by ordinary peeking, and has no
 * place in the offsets then.
 */
static ssize_t peek_stream(struct peek *p, const struct rec_unix_msg *m, struct msghdr *h)
{
	bool urgent = m->flags & REC_UNIX_MSG_OOB && m->len && !p->begun &&
		      !(p->look->sk->flags & REC_UNIX_OOB_INLINE);
	ssize_t n = m->len ? peek_call(p, h, m->len, urgent) : 0;

	p->begun |= m->len && !urgent;
	if (urgent)
		p->at -= m->len;
	return n;
}

/* The next message into p->buf, with its files when h has room for them. */
static int peek_next(struct peek *p, const struct rec_unix_msg *m, struct msghdr *h,
		     struct ckpt_err **err)
{
	bool stream = p->look->sk->type == SOCK_STREAM;
	ssize_t n = stream ? peek_stream(p, m, h) : peek_datagram(p, m, h);

	if (n == -EAGAIN && !m->len) {
		ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
			  "an empty message with a file waits behind others");
		ckpt_hint(err, "try again when the program has received it");
		return -EOPNOTSUPP;
	}
	if (n < 0)
		return ckpt_fail_errno(err, (int)n, CKPT_E_SYS, "look at a message of a socket");
	if ((size_t)n != m->len)
		return ckpt_fail(err, EIO, CKPT_E_CHANGING,
				 "a message has %zd bytes, not the %u seen before", n, m->len);
	p->at += m->len;
	return 0;
}

/* ---- files under way ---- */

/* Does a message carry files that no object is? */
static bool has_unknown(const struct kind_dump *d, const struct rec_unix_msg *m)
{
	const uint64_t *file = unix_msg_files(m);

	for (size_t i = 0; file && i < m->n_files; i++)
		if (!objects_id(d->os, file[i]) && !kind_flight_has(d, file[i]))
			return true;
	return false;
}

/* Take over the descriptors that came with a message: in the order of its files. */
static int take_files(struct kind_dump *d, const struct rec_unix_msg *m, const int *fd, size_t n,
		      struct ckpt_err **err)
{
	const uint64_t *file = unix_msg_files(m);
	int rc = 0;

	for (size_t i = 0; i < n; i++) {
		bool wanted = rc == 0 && file && n == m->n_files && !objects_id(d->os, file[i]) &&
			      !kind_flight_has(d, file[i]);

		if (wanted)
			rc = kind_flight_add(d, file[i], fd[i], err);
		else
			close(fd[i]);
	}
	if (rc == 0 && n != m->n_files)
		rc = ckpt_fail(err, EMFILE, CKPT_E_LIMIT,
			       "only %zu of the %u files of a message "
			       "could be had",
			       n, m->n_files);
	return rc;
}

static int take_control(struct kind_dump *d, const struct rec_unix_msg *m, struct msghdr *h,
			struct ckpt_err **err)
{
	int fd[FILES_MAX], rc = -ENOENT;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || n > FILES_MAX)
			continue;
		memcpy(fd, CMSG_DATA(c), n * sizeof(int));
		if (c->cmsg_type == SCM_RIGHTS)
			rc = take_files(d, m, fd, n, err);
		else if (c->cmsg_type == SCM_PIDFD_TYPE && fd[0] >= 0)
			close(fd[0]);
	}
	if (rc == -ENOENT)
		rc = ckpt_fail(err, EIO, CKPT_E_CHANGING, "the files of a message are not there");
	return rc;
}

int unix_in_flight(struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	char control[CMSG_SPACE(FILES_MAX * sizeof(int)) + 512];
	struct unix_look look;
	bool any = false;
	struct peek p;
	int rc = 0;

	unix_look(d, f, &look);
	/* What cannot be peeked is judged by check(). */
	for (size_t i = 0; look.sk && i < look.n_msgs; i++)
		any |= !look.msg[i]->index && has_unknown(d, look.msg[i]);
	if (!any || (look.sk->error && look.sk->type != SOCK_STREAM))
		return 0;
	rc = peek_begin(d, f, &look, &p, err);
	for (size_t i = 0; rc == 0 && i < look.n_msgs; i++) {
		const struct rec_unix_msg *m = look.msg[i];
		struct msghdr h = { 0 };

		if (m->index)
			continue;
		if (has_unknown(d, m)) {
			h.msg_control = control;
			h.msg_controllen = sizeof(control);
		}
		rc = peek_next(&p, m, &h, err);
		if (rc == 0 && h.msg_control)
			rc = take_control(d, m, &h, err);
	}
	peek_end(&p);
	return rc;
}

/* ---- names, credentials ---- */

static uint32_t home_ns(const struct kind_dump *d)
{
	const struct snapshot *s = d->snap;
	const struct rec_task *t = s->n_processes ? snapshot_task(s, s->processes[0]->tgid) : NULL;

	return t ? t->pid_ns_inum : 0;
}

/* The pid as the program sees it: in its own pid namespace, or from there in one within it. */
static int32_t program_pid(const struct kind_dump *d, const struct rec_unix_cred *c)
{
	return c->pid_ns_inum == home_ns(d) ? c->vpid : 0;
}

static int save_cred(const struct kind_dump *d, const struct rec_unix_cred *c, json_t *o,
		     const char *key, struct ckpt_err **err)
{
	json_t *cred;
	int rc;

	if (!c->has)
		return 0;
	rc = json_object_set_new(o, key, cred = json_object());
	rc |= js_set_int(cred, "pid", program_pid(d, c));
	rc |= js_set_int(cred, "uid", c->uid);
	rc |= js_set_int(cred, "gid", c->gid);
	return rc ? ckpt_fail_nomem(err) : 0;
}

static int save_peer_cred(const struct kind_dump *d, const struct rec_unix *sk, json_t *o,
			  struct ckpt_err **err)
{
	uint32_t n = sk->n_groups < REC_UNIX_GROUPS ? sk->n_groups : REC_UNIX_GROUPS;
	json_t *groups;
	int rc = save_cred(d, &sk->peer_cred, o, "peer_cred", err);

	if (rc < 0 || !sk->peer_cred.has || !n)
		return rc;
	rc = json_object_set_new(json_object_get(o, "peer_cred"), "groups", groups = json_array());
	for (uint32_t i = 0; i < n; i++)
		rc |= json_array_append_new(groups, json_integer(sk->group[i]));
	return rc ? ckpt_fail_nomem(err) : 0;
}

/* ---- messages ---- */

/* The contents of an object's messages: one file, written when the processes run again. */
struct contents {
	struct kind_dump *d;
	json_t *o;
	char *data; /* owned */
	size_t len, size;
};

static int contents_add(struct contents *c, const void *data, size_t len, struct ckpt_err **err)
{
	char *more;

	if (!c->d->contents || !len)
		return 0;
	if (c->len + len > c->size) {
		c->size = 2 * (c->len + len);
		more = realloc(c->data, c->size);
		if (!more)
			return ckpt_fail_nomem(err);
		c->data = more;
	}
	memcpy(c->data + c->len, data, len);
	c->len += len;
	return 0;
}

static int contents_done(struct contents *c, struct ckpt_err **err)
{
	char name[40];

	if (!c->len)
		return 0;
	snprintf(name, sizeof(name), "unix-%lld",
		 (long long)json_integer_value(json_object_get(c->o, "id")));
	if (json_object_set_new(c->o, "data", json_string(name)))
		return ckpt_fail_nomem(err);
	return kind_defer_data(c->d, name, TAKE_PTR(c->data), c->len, err);
}

static int save_files(const struct kind_dump *d, const struct rec_unix_msg *m, json_t *row,
		      struct ckpt_err **err)
{
	const uint64_t *file = unix_msg_files(m);
	json_t *ids;

	if (!file)
		return 0;
	if (json_object_set_new(row, "files", ids = json_array()))
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < m->n_files; i++) {
		uint32_t id = objects_id(d->os, file[i]);

		if (!id)
			return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
					 "a file in a message is not known");
		if (json_array_append_new(ids, json_integer(id)))
			return ckpt_fail_nomem(err);
	}
	return 0;
}

static int save_message(const struct kind_dump *d, const struct unix_look *look,
			const struct rec_unix_msg *m, json_t *queue, struct ckpt_err **err)
{
	json_t *row = json_object();
	const struct object_row *from;
	int rc = json_array_append_new(queue, row);

	rc |= js_set_int(row, "bytes", m->len);
	if (m->flags & REC_UNIX_MSG_OOB_READ)
		rc |= js_set_bool(row, "oob_read", true);
	else if (m->flags & REC_UNIX_MSG_OOB)
		rc |= js_set_bool(row, "oob", true);
	if (look->sk->type == SOCK_DGRAM) {
		from = m->flags & REC_UNIX_MSG_SENDER ? unix_row(d, m->sender_id) : NULL;
		rc |= unix_name_save(row, "name", unix_msg_from(m), m->from_len);
		if (from)
			rc |= js_set_int(row, "from", from->id);
	}
	if (rc)
		return ckpt_fail_nomem(err);
	rc = save_cred(d, &m->cred, row, "cred", err);
	return rc == 0 ? save_files(d, m, row, err) : rc;
}

/* Contents of a message: peeked, or from the snapshot where it cannot be. */
static int save_bytes(struct contents *c, struct peek *p, const struct rec_unix_msg *m,
		      struct ckpt_err **err)
{
	struct msghdr h = { 0 };
	int rc;

	if (!c->d->contents)
		return 0;
	if (m->index || p->failed)
		return m->data_len == m->len
			       ? contents_add(c, unix_msg_data(m), m->data_len, err)
			       : ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
					   "a message of %u bytes cannot be read", m->len);
	rc = peek_next(p, m, &h, err);
	return rc == 0 ? contents_add(c, p->buf, m->len, err) : rc;
}

/* The messages of one socket: of the descriptor's own, or of a connection not accepted yet. */
static int save_queue(struct contents *c, struct peek *p, uint32_t index, json_t *o,
		      struct ckpt_err **err)
{
	const struct unix_look *look = p->look;
	json_t *queue = NULL;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < look->n_msgs; i++) {
		const struct rec_unix_msg *m = look->msg[i];

		if (m->index != index)
			continue;
		if (!queue && json_object_set_new(o, "queue", queue = json_array()))
			return ckpt_fail_nomem(err);
		rc = save_message(c->d, look, m, queue, err);
		if (rc == 0)
			rc = save_bytes(c, p, m, err);
	}
	return rc;
}

static int save_pending(struct contents *c, struct peek *p, json_t *o, struct ckpt_err **err)
{
	const struct unix_look *look = p->look;
	json_t *rows;
	int rc = 0;

	if (look->n < 2)
		return 0;
	if (json_object_set_new(o, "pending", rows = json_array()))
		return ckpt_fail_nomem(err);
	for (size_t i = 1; rc == 0 && i < look->n; i++) {
		const struct rec_unix *sk = look->all[i];
		const struct object_row *client = unix_row(c->d, sk->peer_id);
		json_t *row = json_object();

		rc = json_array_append_new(rows, row);
		if (client)
			rc |= js_set_int(row, "client", client->id);
		else
			rc |= unix_name_save(row, "client_name", sk->peer_name, sk->peer_name_len);
		if (!client && sk->error)
			rc |= js_set_int(row, "error", sk->error);
		rc |= js_set_int(row, "shutdown", sk->shutdown);
		if (rc)
			return ckpt_fail_nomem(err);
		rc = save_peer_cred(c->d, sk, row, err);
		if (rc == 0)
			rc = save_queue(c, p, sk->index, row, err);
	}
	return rc;
}

static int save_all_messages(struct kind_dump *d, const struct kind_file *f,
			     const struct unix_look *look, json_t *o, struct ckpt_err **err)
{
	struct contents c = { .d = d, .o = o };
	struct peek p;
	int rc = peek_begin(d, f, look, &p, err);

	if (rc == 0)
		rc = save_queue(&c, &p, 0, o, err);
	if (rc == 0)
		rc = save_pending(&c, &p, o, err);
	peek_end(&p);
	if (rc == 0)
		rc = contents_done(&c, err);
	free(c.data);
	return rc;
}

/* ---- the socket itself ---- */

/* The owner of a name that accept(2) handed down. */
static const struct object_row *owner_of_name(const struct kind_dump *d, const struct rec_unix *sk)
{
	struct unix_look look;

	for (const struct object_row *row = unix_next_listening(d, NULL, &look); row;
	     row = unix_next_listening(d, row, &look))
		if (look.sk->addr_id == sk->addr_id)
			return row;
	return NULL;
}

/* Of a file that was bound, and is still found by its path. */
static int save_file(const struct unix_look *look, json_t *o, struct ckpt_err **err)
{
	const struct rec_unix *sk = look->sk;
	json_t *file, *info;
	struct stat st;
	int rc;

	if (!sk->file_inode_id || sk->flags & (REC_UNIX_UNLINKED | REC_UNIX_INHERITED))
		return 0;
	if (stat(look->path, &st) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_UNSUPPORTED,
				       "look at the file of a socket");
	rc = json_object_set_new(o, "file", file = json_object());
	rc |= js_set_bytes(file, "path", look->path);
	rc |= js_set_int(file, "mode", st.st_mode & 07777);
	rc |= js_set_int(file, "uid", st.st_uid);
	rc |= js_set_int(file, "gid", st.st_gid);
	rc |= json_object_set_new(o, "info", info = json_object());
	rc |= js_set_int(info, "dev", (int64_t)st.st_dev);
	rc |= js_set_int(info, "ino", (int64_t)st.st_ino);
	return rc ? ckpt_fail_nomem(err) : 0;
}

static int save_name(const struct kind_dump *d, const struct unix_look *look, json_t *o,
		     struct ckpt_err **err)
{
	const struct rec_unix *sk = look->sk;
	int rc = unix_name_save(o, "name", sk->name, sk->name_len);

	if (sk->flags & REC_UNIX_INHERITED) {
		const struct object_row *owner = owner_of_name(d, sk);

		rc |= js_set_bool(o, "inherited", true);
		if (owner)
			rc |= js_set_int(o, "listener", owner->id);
	}
	return rc ? ckpt_fail_nomem(err) : save_file(look, o, err);
}

static int save_peer(const struct kind_dump *d, const struct rec_unix *sk, json_t *o)
{
	const struct object_row *peer = unix_row(d, sk->peer_id);
	const char *how;
	int rc;

	if (!(sk->flags & REC_UNIX_PEER))
		return 0;
	if (peer && !(sk->flags & REC_UNIX_PEER_DEAD))
		return js_set_int(o, "peer", peer->id);
	if (sk->flags & REC_UNIX_PEER_EMBRYO) {
		peer = unix_listener_of(d, sk->peer_id);
		if (peer)
			return js_set_int(o, "pending_at", peer->id);
	}
	how = sk->flags & REC_UNIX_PEER_DEAD ? "peer_gone" : "peer_outside";
	rc = js_set_bool(o, how, true);
	return rc | unix_name_save(o, "peer_name", sk->peer_name, sk->peer_name_len);
}

static int save_socket(const struct kind_dump *d, const struct kind_file *f,
		       const struct rec_unix *sk, json_t *o, struct ckpt_err **err)
{
	int rc = json_object_set_new(o, "type", json_string(unix_type_name(sk->type)));

	if (sk->protocol)
		rc |= js_set_int(o, "protocol", sk->protocol);
	/* Of the inode that every socket has, for fchown(2), and who is told in sock_diag(7). */
	rc |= js_set_int(o, "uid", f->inode->uid);
	rc |= js_set_int(o, "gid", f->inode->gid);
	rc |= js_set_int(o, "mode", f->inode->mode & 07777);
	if (sk->state == TCP_LISTEN)
		rc |= js_set_int(o, "backlog", sk->backlog);
	rc |= js_set_int(o, "shutdown", sk->shutdown);
	if (sk->error)
		rc |= js_set_int(o, "error", sk->error);
	rc |= save_peer(d, sk, o);
	return rc ? ckpt_fail_nomem(err) : 0;
}

static int save_options(const struct kind_dump *d, const struct kind_file *f, json_t *o,
			struct ckpt_err **err)
{
	_cleanup_close_ int fd = -1;
	int rc = kind_get_fd(d, f, &fd, err);

	return rc < 0 ? rc : sockopts_save(fd, sockopts_common, o, "options", err);
}

static void append(char *buf, size_t size, const char *fmt, ...)
{
	size_t len = strlen(buf);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf + len, size - len, fmt, ap);
	va_end(ap);
}

/* For a person: "stream /run/x.sock, listening, 2 connections wait". */
static int save_words(const struct unix_look *look, json_t *o, struct ckpt_err **err)
{
	const struct rec_unix *sk = look->sk;
	json_t *info = json_object_get(o, "info");
	char text[600], name[300];
	struct unix_name n = { 0 };
	int rc = 0;

	snprintf(text, sizeof(text), "%s", unix_type_name(sk->type));
	if (unix_name_parse(o, "name", &n, NULL) == 0 && n.len)
		append(text, sizeof(text), " %s", unix_name_words(&n, name, sizeof(name)));
	if (sk->state == TCP_LISTEN)
		append(text, sizeof(text), ", listening");
	if (look->n > 1)
		append(text, sizeof(text), ", %zu not accepted yet", look->n - 1);
	if (sk->flags & REC_UNIX_PEER)
		append(text, sizeof(text), ", connected");
	if (unix_name_parse(o, "peer_name", &n, NULL) == 0 && n.len)
		append(text, sizeof(text), " to %s", unix_name_words(&n, name, sizeof(name)));
	if (sk->flags & REC_UNIX_PEER_DEAD)
		append(text, sizeof(text), ", which is gone");
	if (sk->n_messages)
		append(text, sizeof(text), ", %u message%s", sk->n_messages,
		       sk->n_messages == 1 ? "" : "s");
	if (!info)
		rc = json_object_set_new(o, "info", info = json_object());
	rc |= js_set_bytes(info, "what", text);
	return rc ? ckpt_fail_nomem(err) : 0;
}

int unix_save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	struct unix_look look;
	int rc;

	unix_look(d, f, &look);
	if (!look.sk)
		return ckpt_fail(err, EAGAIN, CKPT_E_CHANGING, "the socket is not there any more");
	rc = save_socket(d, f, look.sk, o, err);
	if (rc == 0)
		rc = save_name(d, &look, o, err);
	if (rc == 0)
		rc = save_peer_cred(d, look.sk, o, err);
	if (rc == 0)
		rc = save_options(d, f, o, err);
	if (rc == 0)
		rc = save_words(&look, o, err);
	if (rc == 0 && (look.n_msgs || look.n > 1))
		rc = save_all_messages(d, f, &look, o, err);
	return rc;
}
