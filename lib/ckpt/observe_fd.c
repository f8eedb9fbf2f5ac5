// SPDX-License-Identifier: LGPL-2.1-or-later
/* Records of descriptors and sockets, for the ledger and as events. See observe.h. */
#include "observe.h"
#include "observe_stack.h"
#include "observe_view.h"
#include "util.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define NAME_MAX_BYTES (TRACE_NAMES_MAX + 16)

int observe_table(struct ckpt_observe *o, const struct ledger_at *at, uint64_t files_id,
		  struct ledger_table **ret)
{
	struct ledger_task *t;
	int rc = observe_task(o, at, &t);

	if (rc == 0 && files_id && (!t->table || t->table->files_id != files_id)) {
		/* It has changed its table without our knowing. */
		o->resync = true;
		rc = ledger_use_table(&o->ledger, at, t, files_id);
	}
	*ret = rc == 0 ? t->table : NULL;
	return rc;
}

/* ---- what is said of a descriptor ---- */

static bool is_socket_kind(const struct ledger_object *obj)
{
	return obj->sock_id != 0;
}

static void add_name(struct event *e, const struct ledger_object *obj)
{
	if (obj->name[0])
		event_text(e, is_socket_kind(obj) ? (obj->listens ? "local" : "peer") : "path",
			   obj->name);
}

static void add_new_facts(struct event *e, const struct tracing_event *ev,
			  const struct trace_fd_new *r)
{
	char flags[160];

	if (r->file.file_id)
		event_text(e, "flags", name_flags(flags, sizeof(flags), r->file.f_flags));
	event_bool(e, "cloexec", r->cloexec);
	if (r->from >= 0)
		event_int(e, "from", r->from);
	if (r->pair >= 0)
		event_int(e, "pair", r->pair);
	if (r->of)
		event_int(e, "of", r->of);
	if (ev->head->flags & TRACE_F_URING)
		event_bool(e, "io_uring", true);
}

int observe_made(void *userdata, const struct ledger_made *m)
{
	struct ckpt_observe *o = userdata;
	struct ledger_object *obj = m->now->object;

	obj->last_fd = m->fd;
	/* From the audit's mending there is no record to tell more. */
	if (!o->now || o->now->head->type != TRACE_FD_NEW)
		return 0;
	struct event *e = event_begin(o, "fd_new", m->at);

	e->e.kind = ledger_kind(obj);
	event_int(e, "fd", m->fd);
	event_word(e, "kind", ledger_kind(obj));
	add_name(e, obj);
	event_word(e, "by", m->now->by);
	event_uint(e, "object", obj->number);
	add_new_facts(e, o->now, (const void *)o->now->head);
	event_stack(o, e, m->now->stack);
	event_end(o, e);
	return 0;
}

int observe_closed(void *userdata, const struct ledger_closed *c)
{
	struct ckpt_observe *o = userdata;
	const struct ledger_object *obj = c->was->object;
	struct event *e;

	/* The ledger's own word for it, which is always this one. */
	if (!strcmp(c->by, "exit"))
		observe_note_left(o, c);
	e = event_begin(o, "fd_close", c->at);

	e->e.kind = ledger_kind(obj);
	event_int(e, "fd", c->fd);
	event_word(e, "kind", ledger_kind(obj));
	add_name(e, obj);
	event_uint(e, "object", obj->number);
	event_word(e, "by", c->by);
	event_bool(e, "last", c->last);
	if (c->was->made_ns && c->at->time_ns >= c->was->made_ns)
		event_uint(e, "age_ns", c->at->time_ns - c->was->made_ns);
	if (o->now && o->now->head->type == TRACE_FD_CLOSE) {
		const struct trace_fd_close *r = (const void *)o->now->head;

		if (r->ret)
			event_int(e, "ret", r->ret);
	}
	event_end(o, e);
	return 0;
}

/* ---- records ---- */

/* What a person calls it: a path, or the other end. */
static const char *traced_name(char *buf, size_t size, const struct tracing_event *ev)
{
	if (!ev->sock)
		return ev->path;
	name_address(buf, size, ev->sock, true);
	return buf;
}

/* It was read after the time of the record; and another CPU may have been quicker to tell. */
static uint32_t latest_state(const struct ckpt_observe *o, const struct trace_fd_new *r,
			     const struct trace_sock *sock)
{
	uint32_t state = sock->state;
	size_t n = o->n_early < OBSERVE_EARLY_MAX ? o->n_early : OBSERVE_EARLY_MAX;

	for (size_t i = o->n_early - n; i < o->n_early; i++) {
		const struct observe_early *e = &o->early[i % OBSERVE_EARLY_MAX];

		if (e->sock_id == sock->sock_id && e->time_ns >= r->head.time_ns)
			state = e->state;
	}
	return state;
}

int observe_fd_new(struct ckpt_observe *o, const struct ledger_at *at,
		   const struct tracing_event *ev)
{
	const struct trace_fd_new *r = (const void *)ev->head;
	bool replaces = r->nr == SYS_dup2 || r->nr == SYS_dup3;
	char name[128];
	struct ledger_file f = {
		.file_id = r->file.file_id,
		.inode_id = r->file.inode_id,
		.sock_id = r->file.sock_id,
		.kind = observe_kind_traced(&r->file, ev->sock, ev->path),
		.name = traced_name(name, sizeof(name), ev),
	};
	struct ledger_at since = *at;
	struct ledger_table *t;
	int rc = observe_table(o, at, r->files_id, &t);

	if (rc < 0 || !t)
		return rc;
	since.enter_ns = r->since_ns;
	if (ev->sock)
		f.sock_state = observe_state(o, f.kind, latest_state(o, r, ev->sock));
	return ledger_fd_new(&o->ledger, &since, t, r->fd, &f, name_of_call(r->nr), r->cloexec,
			     replaces);
}

int observe_fd_close(struct ckpt_observe *o, const struct ledger_at *at,
		     const struct tracing_event *ev)
{
	const struct trace_fd_close *r = (const void *)ev->head;
	struct ledger_at since = *at;
	struct ledger_table *t;
	int rc = observe_table(o, at, r->files_id, &t);

	if (rc < 0 || !t)
		return rc;
	since.enter_ns = r->since_ns;
	if (r->nr == SYS_close_range)
		return ledger_fd_range(&o->ledger, &since, t, r->first, r->last, false);
	rc = ledger_fd_close(&o->ledger, &since, t, (int)r->first, r->now_id, name_of_call(r->nr));
	return rc == LEDGER_IGNORED ? 0 : rc;
}

int observe_fd_flags(struct ckpt_observe *o, const struct ledger_at *at,
		     const struct tracing_event *ev)
{
	const struct trace_fd_flags *r = (const void *)ev->head;
	struct ledger_table *t;
	int rc = observe_table(o, at, r->files_id, &t);

	for (size_t fd = r->first; rc == 0 && t && fd < t->size && fd <= r->last; fd++) {
		const struct ledger_fd *f = ledger_fd(t, (int)fd);

		if (!f || f->cloexec == !!r->cloexec)
			continue;
		ledger_fd_cloexec(&o->ledger, at, t, (int)fd, r->cloexec);

		struct event *e = event_begin(o, "fd_flags", at);

		e->e.kind = ledger_kind(f->object);
		event_int(e, "fd", (int)fd);
		event_word(e, "kind", ledger_kind(f->object));
		event_uint(e, "object", f->object->number);
		event_word(e, "by", name_of_call(r->nr));
		event_bool(e, "cloexec", r->cloexec);
		event_end(o, e);
	}
	return rc;
}

/* The table is made as the inventory has it. */
static int apply_inventory(struct ckpt_observe *o, const struct ledger_at *at,
			   struct ledger_table *t)
{
	const struct observe_inventory *inv = &o->inventory;
	size_t i = 0;
	int rc = 0;

	(void)at;
	for (size_t fd = 0; rc == 0 && (fd < t->size || i < inv->n); fd++) {
		const struct ledger_fd *f = ledger_fd(t, (int)fd);

		if (i == inv->n || (size_t)inv->entry[i].fd != fd) {
			if (f)
				rc = ledger_fd_set(&o->ledger, t, (int)fd, NULL, false);
			continue;
		}
		const struct trace_table_entry *e = &inv->entry[i++];
		const struct ledger_object *obj = idmap_get(&o->ledger.objects, e->file_id);

		if (f && f->object->file_id == e->file_id) {
			ledger_fd_cloexec(&o->ledger, at, t, (int)fd, e->cloexec);
			continue;
		}
		/* Who opened it has not said so yet, or it is of a file that is known elsewhere. */
		const struct ledger_file file = { .file_id = e->file_id,
						  .inode_id = obj ? obj->inode_id : 0,
						  .sock_id = obj ? obj->sock_id : 0,
						  .kind = obj ? ledger_kind(obj) : LEDGER_UNKNOWN,
						  .name = obj ? obj->name : "" };

		rc = ledger_fd_set(&o->ledger, t, (int)fd, &file, e->cloexec);
	}
	t->unsure = false;
	return rc;
}

int observe_inventory_files(struct ckpt_observe *o, const struct ledger_at *at,
			    const struct tracing_event *ev)
{
	const struct trace_table *r = (const void *)ev->head;
	struct observe_inventory *inv = &o->inventory;
	struct ledger_table *t = ledger_table(&o->ledger, r->files_id);

	if (inv->id != r->files_id) {
		inv->id = r->files_id;
		inv->n = 0;
	}
	if (inv->n + r->n > inv->size) {
		size_t size = (inv->n + r->n) * 2;
		struct trace_table_entry *grown = reallocarray(inv->entry, size, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		inv->entry = grown;
		inv->size = size;
	}
	memcpy(inv->entry + inv->n, r->entry, r->n * sizeof(*r->entry));
	inv->n += r->n;
	if (!(ev->head->flags & TRACE_F_LAST))
		return 0;
	int rc = t ? apply_inventory(o, at, t) : 0;

	if (ev->head->flags & TRACE_F_CUT)
		o->resync = true;
	inv->id = 0;
	return rc;
}

int observe_unshare(struct ckpt_observe *o, const struct ledger_at *at,
		    const struct tracing_event *ev)
{
	const struct trace_unshare *r = (const void *)ev->head;
	struct ledger_task *t;
	int rc = observe_task(o, at, &t);

	if (rc < 0)
		return rc;
	rc = ledger_use_table(&o->ledger, at, t, r->files_id);

	struct event *e = event_begin(o, "namespace", at);
	struct ckpt_member *m = event_below(e, 1);

	if (m)
		*m = (struct ckpt_member){ .type = CKPT_VALUE_TEXT, .text = "files" };
	event_word(e, "by", name_of_call(r->nr));
	event_array(e, "which", m, m ? 1 : 0);
	event_end(o, e);
	if (ev->head->flags & TRACE_F_INVENTORY)
		o->inventory.id = r->files_id, o->inventory.n = 0;
	return rc;
}

/* ---- sockets ---- */

static void add_addresses(struct event *e, const struct trace_sock *s)
{
	char text[128];

	if (*name_address(text, sizeof(text), s, false))
		event_text(e, "local", text);
	if (*name_address(text, sizeof(text), s, true))
		event_text(e, "peer", text);
}

/* Keep what a person calls it by. */
static void rename_object(struct ledger_object *obj, const char *name, bool listens)
{
	char *copy = *name ? strdup(name) : NULL;

	if (!copy)
		return;
	free(obj->name);
	obj->name = copy;
	obj->listens = listens;
}

int observe_sock_state(struct ckpt_observe *o, const struct ledger_at *at,
		       const struct tracing_event *ev)
{
	const struct trace_sock_state *r = (const void *)ev->head;
	struct ledger_object *obj = ledger_object_of_sock(&o->ledger, r->sock.sock_id);
	struct event *e = event_begin(o, "sock_state", at);
	char peer[128];

	e->e.kind = obj ? ledger_kind(obj) : NULL;
	if (obj) {
		event_uint(e, "object", obj->number);
		event_int(e, "fd", obj->last_fd);
		event_word(e, "kind", ledger_kind(obj));
	}
	event_word(e, "family", name_of_family(r->sock.family));
	event_word(e, "from", name_of_state(r->from));
	event_word(e, "to", name_of_state(r->to));
	add_addresses(e, &r->sock);
	if (r->sent_bytes || r->received_bytes) {
		event_uint(e, "sent_bytes", r->sent_bytes);
		event_uint(e, "received_bytes", r->received_bytes);
	}
	event_end(o, e);
	if (obj) {
		obj->sock_state = observe_state(o, ledger_kind(obj), r->to);
		obj->state_ns = at->time_ns;
		rename_object(obj, name_address(peer, sizeof(peer), &r->sock, true), false);
	} else {
		o->early[o->n_early++ % OBSERVE_EARLY_MAX] = (struct observe_early){
			.sock_id = r->sock.sock_id, .time_ns = at->time_ns, .state = r->to
		};
	}
	return 0;
}

int observe_sock_call(struct ckpt_observe *o, const struct ledger_at *at,
		      const struct tracing_event *ev)
{
	const struct trace_sock_call *r = (const void *)ev->head;
	struct ledger_object *obj = ledger_object_of_sock(&o->ledger, r->sock.sock_id);
	struct event *e = event_begin(o, name_of_call(r->nr), at);
	char text[128], local[128];
	size_t len = r->addr_len < TRACE_ADDR_MAX ? r->addr_len : TRACE_ADDR_MAX;
	bool listens = r->nr == SYS_bind || r->nr == SYS_listen;

	e->e.kind = obj ? ledger_kind(obj) : NULL;
	name_sockaddr(text, sizeof(text), r->addr, len);
	name_address(local, sizeof(local), &r->sock, false);
	event_int(e, "fd", r->fd);
	if (obj) {
		event_word(e, "kind", ledger_kind(obj));
		event_uint(e, "object", obj->number);
	}
	event_word(e, "family", name_of_family(r->sock.family));
	/* The port that the kernel has chosen rather than the 0 that was asked for. */
	if (listens && (*local || *text))
		event_text(e, "local", *local ? local : text);
	else if (*text)
		event_text(e, "peer", text);
	if (r->nr == SYS_listen)
		event_uint(e, "backlog", r->arg);
	if (r->nr == SYS_shutdown)
		event_word(e, "how",
			   r->arg == SHUT_RD   ? "read"
			   : r->arg == SHUT_WR ? "write"
					       : "both");
	event_int(e, "ret", r->ret);
	event_end(o, e);
	if (obj && r->nr != SYS_shutdown)
		rename_object(obj, listens && *local ? local : text, listens);
	return 0;
}
