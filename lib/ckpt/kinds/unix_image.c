// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Unix sockets out of the manifest, which nobody vouches for: every number is checked, and what one
 * socket says of another is checked against what that one says (unix_make.c). See unix.h.
 */
#include "../safe.h"
#include "../util.h"
#include "unix.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The longest that one message can be: twice what SO_SNDBUFFORCE can allow is beyond it. */
#define MESSAGE_MAX (1U << 30)
#define FILES_MAX   253

/* ---- names ---- */

static bool is_plain(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)bytes[i] <= ' ' || (unsigned char)bytes[i] > '~')
			return false;
	return len > 0;
}

/* Paths as text, abstract names as text when they are, else as hex digits. */
int unix_name_save(json_t *o, const char *key, const char *bytes, size_t len)
{
	char text[2 * REC_UNIX_NAME + 2];
	json_t *name;
	int rc;

	if (!len || len > REC_UNIX_NAME)
		return 0;
	rc = json_object_set_new(o, key, name = json_object());
	if (bytes[0]) {
		snprintf(text, sizeof(text), "%.*s", (int)len, bytes);
		return rc | js_set_bytes(name, "path", text);
	}
	if (is_plain(bytes + 1, len - 1)) {
		snprintf(text, sizeof(text), "%.*s", (int)len - 1, bytes + 1);
		return rc | js_set_bytes(name, "abstract", text);
	}
	text[0] = 0;
	for (size_t i = 1; i < len; i++)
		snprintf(text + 2 * (i - 1), 3, "%02x", (unsigned char)bytes[i]);
	return rc | js_set_bytes(name, "abstract_hex", text);
}

static int name_from_hex(const char *hex, struct unix_name *ret)
{
	size_t n = strlen(hex);

	if (n % 2 || n / 2 + 1 > sizeof(ret->bytes) || strspn(hex, "0123456789abcdef") != n)
		return -EBADMSG;
	ret->bytes[0] = 0;
	for (size_t i = 0; i < n / 2; i++) {
		char digits[3] = { hex[2 * i], hex[2 * i + 1], 0 };

		ret->bytes[i + 1] = (char)strtoul(digits, NULL, 16);
	}
	ret->len = (uint8_t)(n / 2 + 1);
	return 0;
}

static int name_from_text(const json_t *o, const char *key, size_t skip, struct unix_name *ret,
			  struct ckpt_err **err)
{
	_cleanup_free_ char *text = NULL;
	size_t n;
	int rc = js_bytes(o, key, &text, err);

	if (rc < 0)
		return rc;
	n = strlen(text);
	if (!n || skip + n > sizeof(ret->bytes))
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a socket's name of %zu bytes", n);
	ret->bytes[0] = 0;
	memcpy(ret->bytes + skip, text, n);
	ret->len = (uint8_t)(skip + n);
	return 0;
}

int unix_name_parse(const json_t *o, const char *key, struct unix_name *ret, struct ckpt_err **err)
{
	const char *hex = "";
	json_t *name;
	int rc;

	*ret = (struct unix_name){ 0 };
	if (!json_object_get(o, key))
		return 0;
	rc = js_obj(o, key, &name, err);
	if (rc < 0)
		return rc;
	if (json_object_get(name, "path"))
		return name_from_text(name, "path", 0, ret, err);
	if (json_object_get(name, "abstract"))
		return name_from_text(name, "abstract", 1, ret, err);
	rc = js_str(name, "abstract_hex", &hex, err);
	if (rc == 0 && name_from_hex(hex, ret) < 0)
		rc = ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a socket's name is not in hex digits");
	return rc;
}

const char *unix_name_words(const struct unix_name *n, char *buf, size_t len)
{
	char text[sizeof(n->bytes) + 1] = { 0 };

	memcpy(text, n->bytes, n->len);
	for (size_t i = 0; i < n->len; i++)
		if (!text[i])
			text[i] = '@';
	return safe_text(buf, len, n->len ? text : "(no name)");
}

/* ---- messages ---- */

static int parse_cred(const json_t *o, const char *key, struct unix_ident *ret,
		      struct ckpt_err **err)
{
	const json_t *groups;
	json_t *cred;
	int rc;

	*ret = (struct unix_ident){ 0 };
	if (!json_object_get(o, key))
		return 0;
	rc = js_obj(o, key, &cred, err);
	if (rc == 0)
		rc = js_i32(cred, "pid", &ret->pid, err);
	if (rc == 0)
		rc = js_u32(cred, "uid", &ret->uid, err);
	if (rc == 0)
		rc = js_u32(cred, "gid", &ret->gid, err);
	if (rc < 0)
		return rc;
	groups = json_object_get(cred, "groups");
	ret->n_groups = (uint32_t)json_array_size(groups);
	if (ret->pid < 0 || ret->n_groups > REC_UNIX_GROUPS)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a socket's %s cannot be", key);
	for (uint32_t i = 0; i < ret->n_groups; i++)
		ret->group[i] = (uint32_t)json_integer_value(json_array_get(groups, i));
	ret->has = true;
	return 0;
}

static int parse_files(const json_t *row, struct unix_msg *m, struct ckpt_err **err)
{
	json_t *files;
	int rc;

	if (!json_object_get(row, "files"))
		return 0;
	rc = js_arr(row, "files", &files, err);
	if (rc < 0)
		return rc;
	if (json_array_size(files) < 1 || json_array_size(files) > FILES_MAX)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a message carries %zu files",
				 json_array_size(files));
	m->files = files;
	return 0;
}

static int parse_message(const json_t *row, int type, struct unix_msg *m, struct ckpt_err **err)
{
	uint64_t from = 0;
	int rc = js_u32(row, "bytes", &m->bytes, err);

	if (rc == 0)
		rc = js_opt_u64(row, "from", &from, err);
	if (rc == 0)
		rc = unix_name_parse(row, "name", &m->name, err);
	if (rc == 0)
		rc = parse_cred(row, "cred", &m->cred, err);
	if (rc == 0)
		rc = parse_files(row, m, err);
	if (rc < 0)
		return rc;
	m->oob = json_is_true(json_object_get(row, "oob"));
	m->oob_read = json_is_true(json_object_get(row, "oob_read"));
	m->from = from > UINT32_MAX ? UINT32_MAX : (uint32_t)from;
	if (m->bytes > MESSAGE_MAX || (m->oob && (m->bytes != 1 || type != SOCK_STREAM)) ||
	    (m->oob_read && (m->bytes || type != SOCK_STREAM)) ||
	    (type == SOCK_STREAM && !m->bytes && !m->oob_read))
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a message of %u bytes in a %s socket",
				 m->bytes, unix_type_name(type));
	return 0;
}

static int parse_queue(const json_t *o, int type, struct unix_queue *q, uint64_t *at,
		       struct ckpt_err **err)
{
	json_t *rows;
	int rc = 0;

	if (!json_object_get(o, "queue"))
		return 0;
	rc = js_arr(o, "queue", &rows, err);
	if (rc < 0)
		return rc;
	q->n = json_array_size(rows);
	q->at = *at;
	q->msg = calloc(q->n ? q->n : 1, sizeof(*q->msg));
	if (!q->msg)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; rc == 0 && i < q->n; i++) {
		rc = parse_message(json_array_get(rows, i), type, &q->msg[i], err);
		q->bytes += q->msg[i].bytes;
	}
	*at += q->bytes;
	return rc;
}

static int parse_pending(const json_t *row, int type, struct unix_pending *p, uint64_t *at,
			 struct ckpt_err **err)
{
	uint64_t client = 0, error = 0;
	int rc = js_opt_u64(row, "client", &client, err);

	p->tmp = -1;
	if (rc == 0)
		rc = unix_name_parse(row, "client_name", &p->name, err);
	if (rc == 0)
		rc = js_opt_u64(row, "error", &error, err);
	if (rc == 0)
		rc = js_u32(row, "shutdown", &p->shutdown, err);
	if (rc == 0)
		rc = parse_cred(row, "peer_cred", &p->cred, err);
	if (rc == 0)
		rc = parse_queue(row, type, &p->queue, at, err);
	if (rc < 0)
		return rc;
	p->client = client > UINT32_MAX ? UINT32_MAX : (uint32_t)client;
	p->error = error > UINT32_MAX ? UINT32_MAX : (uint32_t)error;
	if (p->error && (p->client || p->error != ECONNRESET))
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "error %u waits on a connection",
				 p->error);
	return 0;
}

static int parse_all_messages(json_t *o, struct unix_sk *sk, struct ckpt_err **err)
{
	uint64_t at = 0;
	json_t *rows;
	int rc = parse_queue(o, sk->type, &sk->queue, &at, err);

	if (rc < 0 || !json_object_get(o, "pending"))
		return rc;
	rc = js_arr(o, "pending", &rows, err);
	if (rc < 0)
		return rc;
	sk->pending = calloc(json_array_size(rows) + 1, sizeof(*sk->pending));
	if (!sk->pending)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; rc == 0 && i < json_array_size(rows); i++) {
		sk->n_pending++;
		rc = parse_pending(json_array_get(rows, i), sk->type, &sk->pending[i], &at, err);
	}
	if (rc == 0 && sk->n_pending && !sk->listening)
		rc = ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
			       "connections wait on a socket that does not listen");
	return rc;
}

/* ---- the socket ---- */

static int parse_type(const json_t *o, int *ret, struct ckpt_err **err)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };
	const char *name = "";
	int rc = js_str(o, "type", &name, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcmp(name, unix_type_name(types[i]))) {
			*ret = types[i];
			return 0;
		}
	return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a unix socket of type %.20s", name);
}

static int parse_peer(const json_t *o, struct unix_sk *sk, struct ckpt_err **err)
{
	int rc = unix_name_parse(o, "peer_name", &sk->peer_name, err);

	if (rc < 0)
		return rc;
	if (json_is_true(json_object_get(o, "peer_gone"))) {
		sk->peer_kind = UNIX_PEER_GONE;
	} else if (json_is_true(json_object_get(o, "peer_outside"))) {
		sk->peer_kind = UNIX_PEER_OUTSIDE;
		/* A relative path means nothing where the restore runs. */
		if (!sk->peer_name.len ||
		    (!unix_is_abstract(&sk->peer_name) && sk->peer_name.bytes[0] != '/'))
			rc = ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
				       "a peer outside has no name to connect to");
	} else if (json_object_get(o, "peer")) {
		sk->peer_kind = UNIX_PEER_OBJECT;
		rc = js_u32(o, "peer", &sk->peer, err);
	} else if (json_object_get(o, "pending_at")) {
		sk->peer_kind = UNIX_PEER_PENDING;
		rc = js_u32(o, "pending_at", &sk->peer, err);
	}
	return rc;
}

static int parse_file(const json_t *o, struct unix_sk *sk, struct ckpt_err **err)
{
	json_t *file, *info = NULL;
	int rc;

	if (!json_object_get(o, "file"))
		return 0;
	rc = js_obj(o, "file", &file, err);
	if (rc == 0)
		rc = path_get(file, &sk->path, err);
	if (rc == 0)
		rc = js_u32(file, "mode", &sk->file_mode, err);
	if (rc == 0)
		rc = js_u32(file, "uid", &sk->file_uid, err);
	if (rc == 0)
		rc = js_u32(file, "gid", &sk->file_gid, err);
	if (rc == 0)
		rc = js_obj(o, "info", &info, err);
	if (rc == 0)
		rc = js_u64(info, "dev", &sk->was_dev, err);
	if (rc == 0)
		rc = js_u64(info, "ino", &sk->was_ino, err);
	if (rc == 0 && (!sk->name.len || unix_is_abstract(&sk->name) || sk->inherited ||
			sk->path[strlen(sk->path) - 1] == '/'))
		rc = ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
			       "a socket has a file, but is not bound to one");
	return rc;
}

static int parse_socket(json_t *o, struct unix_sk *sk, struct ckpt_err **err)
{
	uint64_t listener = 0, protocol = 0, error = 0;
	int rc = js_u32(o, "id", &sk->id, err);

	if (rc == 0)
		rc = parse_type(o, &sk->type, err);
	if (rc == 0)
		rc = js_opt_u64(o, "protocol", &protocol, err);
	if (rc == 0)
		rc = js_u32(o, "uid", &sk->uid, err);
	if (rc == 0)
		rc = js_u32(o, "gid", &sk->gid, err);
	if (rc == 0)
		rc = js_u32(o, "mode", &sk->mode, err);
	if (rc == 0)
		rc = js_u32(o, "shutdown", &sk->shutdown, err);
	if (rc == 0)
		rc = js_opt_u64(o, "error", &error, err);
	if (rc == 0)
		rc = js_opt_u64(o, "listener", &listener, err);
	if (rc == 0)
		rc = unix_name_parse(o, "name", &sk->name, err);
	sk->listening = json_object_get(o, "backlog") != NULL;
	if (rc == 0 && sk->listening)
		rc = js_u32(o, "backlog", &sk->backlog, err);
	if (rc < 0)
		return rc;
	sk->protocol = protocol ? AF_UNIX : 0;
	sk->inherited = json_is_true(json_object_get(o, "inherited"));
	sk->listener = listener > UINT32_MAX ? UINT32_MAX : (uint32_t)listener;
	sk->error = (uint32_t)error;
	if ((sk->listening || sk->inherited) && (sk->type == SOCK_DGRAM || !sk->name.len))
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
				 "a socket without a name cannot listen");
	if (sk->shutdown > 3)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a socket is shut down in way %u",
				 sk->shutdown);
	return 0;
}

int unix_parse(json_t *o, struct unix_sk *sk, struct ckpt_err **err)
{
	int rc;

	*sk = (struct unix_sk){ .o = o, .tmp = -1 };
	rc = parse_socket(o, sk, err);
	if (rc == 0)
		rc = parse_peer(o, sk, err);
	if (rc == 0)
		rc = parse_file(o, sk, err);
	if (rc == 0)
		rc = parse_cred(o, "peer_cred", &sk->cred, err);
	if (rc == 0)
		rc = parse_all_messages(o, sk, err);
	if (rc == 0 && sk->error && (sk->peer_kind != UNIX_PEER_GONE || sk->error != ECONNRESET))
		rc = ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "error %u waits on a socket", sk->error);
	return rc;
}

void unix_sk_done(struct unix_sk *sk)
{
	for (size_t i = 0; i < sk->n_pending; i++) {
		close_reset(&sk->pending[i].tmp);
		free(sk->pending[i].queue.msg);
	}
	free(sk->pending);
	free(sk->queue.msg);
	free(sk->path);
	close_reset(&sk->tmp);
	*sk = (struct unix_sk){ .tmp = -1 };
}

/* ---- is it possible here ---- */

/* Of the contents of its messages, as many bytes as the messages have. */
static int need_data(const struct kind_restore *r, const struct unix_sk *sk, struct ckpt_err **err)
{
	_cleanup_close_ int fd = -1;
	uint64_t bytes = sk->queue.bytes;

	for (size_t i = 0; i < sk->n_pending; i++)
		bytes += sk->pending[i].queue.bytes;
	return bytes ? kind_open_data(r, sk->o, bytes, &fd, err) : 0;
}

static bool is_abstract_taken(const char *unused, const struct unix_name *name)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un addr;
	socklen_t len = unix_addr_of(name, &addr);

	(void)unused;
	return fd >= 0 && bind(fd, (const struct sockaddr *)&addr, len) < 0 && errno == EADDRINUSE;
}

/* An abstract name belongs to one socket of a network namespace. */
static int need_abstract(const struct unix_sk *sk, struct ckpt_err **err)
{
	char name[300];

	if (!unix_stays_taken(is_abstract_taken, NULL, &sk->name))
		return 0;
	ckpt_fail(err, EADDRINUSE, CKPT_E_FILE_CHANGED,
		  "another program has a socket of the name %s",
		  unix_name_words(&sk->name, name, sizeof(name)));
	ckpt_hint(err, "end that program first");
	return -EADDRINUSE;
}

static int need_outside(const struct kind_restore *r, const struct unix_sk *sk,
			struct ckpt_err **err)
{
	_cleanup_close_ int fd = socket(AF_UNIX, sk->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_un addr;
	socklen_t len = unix_addr_of(&sk->peer_name, &addr);
	char name[300];

	if (fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "make a socket");
	/* A datagram's receiver does not notice; a connection is tried when it is made. */
	if (sk->type != SOCK_DGRAM || connect(fd, (const struct sockaddr *)&addr, len) == 0 ||
	    r->allow_changed)
		return 0;
	ckpt_fail_errno(err, errno, CKPT_E_FILE_GONE,
			"it was connected to %s, which does not answer",
			unix_name_words(&sk->peer_name, name, sizeof(name)));
	ckpt_hint(err, "start that service; with --allow-changed it comes back with its peer gone");
	return -ECONNREFUSED;
}

static int need_queue_length(const struct unix_sk *sk, struct ckpt_err **err)
{
	FILE *f;
	size_t max = SIZE_MAX;

	if (sk->type != SOCK_DGRAM || sk->queue.n < 2)
		return 0;
	f = fopen("/proc/sys/net/unix/max_dgram_qlen", "re");
	if (f) {
		if (fscanf(f, "%zu", &max) != 1)
			max = SIZE_MAX;
		fclose(f);
	}
	/* The kernel takes one more; and any number from a socket that is connected both ways. */
	if (sk->queue.n <= max + 1 || sk->peer_kind != UNIX_PEER_NONE || !sk->name.len)
		return 0;
	ckpt_fail(err, ENOBUFS, CKPT_E_LIMIT, "%zu datagrams wait in a socket, %zu may",
		  sk->queue.n, max);
	ckpt_hint(err, "raise net.unix.max_dgram_qlen (sysctl)");
	return -ENOBUFS;
}

int unix_need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	struct unix_sk sk;
	int rc = unix_parse((json_t *)(uintptr_t)o, &sk, err);

	if (rc == 0)
		rc = need_data(r, &sk, err);
	if (rc == 0 && unix_is_abstract(&sk.name) && !sk.inherited)
		rc = need_abstract(&sk, err);
	if (rc == 0 && sk.path)
		rc = unix_path_free(&sk, r->allow_changed, err);
	if (rc == 0 && sk.peer_kind == UNIX_PEER_OUTSIDE)
		rc = need_outside(r, &sk, err);
	if (rc == 0)
		rc = need_queue_length(&sk, err);
	unix_sk_done(&sk);
	return rc;
}

/* ---- is it the same ---- */

int unix_note_lost_pid(struct unix_sk *sk, struct ckpt_err **err)
{
	json_t *info = json_object_get(sk->o, "info");
	int rc = 0;

	if (!info)
		rc = json_object_set_new(sk->o, "info", info = json_object());
	rc |= js_set_bool(info, "lost_pid", true);
	return rc ? ckpt_fail_nomem(err) : 0;
}

static void forget_pid(json_t *o, const char *key)
{
	json_object_del(json_object_get(o, key), "pid");
}

/* Take out of a row what does not come back, or tells nothing that the program could see. */
static void normalize(json_t *o, bool lost_pid, bool outside)
{
	static const char *const apart[] = { "info", "flags", "foreign_owner", "owner",
					     "data", "id",    "kind",	       "pos" };
	json_t *row;
	size_t i;

	for (i = 0; i < sizeof(apart) / sizeof(apart[0]); i++)
		json_object_del(o, apart[i]);
	if (lost_pid)
		forget_pid(o, "peer_cred");
	if (outside) /* a new server answers; or none does, where that was allowed */
		for (const char *const *k = (const char *const[]){ "peer_cred", "peer_outside",
								   "peer_gone", NULL };
		     *k; k++)
			json_object_del(o, *k);
	json_array_foreach(json_object_get(o, "queue"), i, row) {
		json_object_del(row, "from");
		if (lost_pid)
			forget_pid(row, "cred");
	}
	json_array_foreach(json_object_get(o, "pending"), i, row) {
		json_t *msg;
		size_t k;

		if (!lost_pid)
			continue;
		forget_pid(row, "peer_cred");
		json_array_foreach(json_object_get(row, "queue"), k, msg)
			forget_pid(msg, "cred");
	}
}

int unix_same(const json_t *saved, const json_t *now, struct ckpt_err **err)
{
	_cleanup_json_ json_t *a = json_deep_copy(saved), *b = json_deep_copy(now);
	bool lost = json_is_true(json_object_get(json_object_get(saved, "info"), "lost_pid"));
	bool outside = json_is_true(json_object_get(saved, "peer_outside"));
	const char *key;
	json_t *v;
	int rc = 0;

	if (!a || !b)
		return ckpt_fail_nomem(err);
	normalize(a, lost, outside);
	normalize(b, lost, outside);
	json_object_foreach(a, key, v) {
		if (rc == 0)
			rc = objects_same_member(a, b, key, err);
	}
	json_object_foreach(b, key, v) {
		if (rc == 0)
			rc = objects_same_member(a, b, key, err);
	}
	(void)v;
	return rc;
}
