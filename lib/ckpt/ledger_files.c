// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The ledger's descriptor tables and open files.
 *
 * Reports are made when system calls end, so those of threads that share a table may be turned
 * around. In truth what is made and what is closed at one number alternate, so that
 *  - something new at a number that is taken means that someone's close is owed: it is told at
 *    once, and his report is swallowed when it comes;
 *  - a close of nothing means that its opener has yet to report: it is kept, and the two are told
 *    together then.
 */
#include "ledger.h"
#include "util.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* The kernel's largest descriptor is fs.nr_open, 2^30 at the most by default. */
#define FD_LIMIT (1 << 30)

struct ledger_table *ledger_table(const struct ledger *l, uint64_t files_id)
{
	return idmap_get(&l->tables, files_id);
}

const struct ledger_fd *ledger_fd_place(const struct ledger_table *t, int fd)
{
	const struct ledger_fds *piece =
		fd >= 0 && (size_t)fd < t->size ? t->piece[(size_t)fd / LEDGER_FDS] : NULL;

	return piece ? &piece->fd[(size_t)fd % LEDGER_FDS] : NULL;
}

const struct ledger_fd *ledger_fd(const struct ledger_table *t, int fd)
{
	const struct ledger_fd *e = ledger_fd_place(t, fd);

	return e && e->object ? e : NULL;
}

/* Of a number for which table_reserve() has made room. */
static struct ledger_fd *place(const struct ledger_table *t, int fd)
{
	return &t->piece[(size_t)fd / LEDGER_FDS]->fd[(size_t)fd % LEDGER_FDS];
}

struct ledger_object *ledger_object_of_sock(const struct ledger *l, uint64_t sock_id)
{
	return sock_id ? idmap_get(&l->socks, sock_id) : NULL;
}

static int table_reserve(struct ledger_table *t, int fd)
{
	if (fd < 0 || fd >= FD_LIMIT)
		return -EINVAL;
	size_t at = (size_t)fd / LEDGER_FDS, n = t->size / LEDGER_FDS, wanted = n ? n : 1;

	if (at >= n) {
		while (wanted <= at)
			wanted *= 2;
		struct ledger_fds **grown = reallocarray(t->piece, wanted, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		memset(grown + n, 0, (wanted - n) * sizeof(*grown));
		t->piece = grown;
		t->size = wanted * LEDGER_FDS;
	}
	if (!t->piece[at])
		t->piece[at] = calloc(1, sizeof(*t->piece[at]));
	return t->piece[at] ? 0 : -ENOMEM;
}

/* ---- objects ---- */

static void object_forget(struct ledger *l, struct ledger_object *o)
{
	if (idmap_get(&l->objects, o->file_id) == o)
		idmap_remove(&l->objects, o->file_id);
	if (o->sock_id && idmap_get(&l->socks, o->sock_id) == o)
		idmap_remove(&l->socks, o->sock_id);
}

static void object_unref(struct ledger *l, struct ledger_object *o)
{
	if (--o->refs)
		return;
	object_forget(l, o);
	free(o->name);
	free(o);
}

static int object_new(struct ledger *l, const struct ledger_file *f, struct ledger_object **ret)
{
	struct ledger_object *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	*o = (struct ledger_object){
		.file_id = f->file_id,
		.inode_id = f->inode_id,
		.sock_id = f->sock_id,
		.number = l->n_objects + 1,
		.kind = f->kind,
		.sock_state = f->sock_state,
		.name = strdup(f->name ? f->name : ""),
	};
	if (!o->name || (o->file_id && idmap_put(&l->objects, o->file_id, o) < 0)) {
		free(o->name);
		free(o);
		return -ENOMEM;
	}
	/* Without memory it is not found by its socket, no more. */
	if (o->sock_id)
		idmap_put(&l->socks, o->sock_id, o);
	l->n_objects++;
	*ret = o;
	return 0;
}

/* Of an object that was known by its identity alone it is told what it is. */
static int object_tell(struct ledger *l, struct ledger_object *o, const struct ledger_file *f,
		       struct ledger_object **ret)
{
	char *name = strdup(f->name ? f->name : "");

	if (!name)
		return -ENOMEM;
	free(o->name);
	o->name = name;
	o->inode_id = f->inode_id;
	o->sock_id = f->sock_id;
	o->sock_state = f->sock_state;
	/* Counted under the kind that it had: that count goes on, so that it balances. */
	o->told_kind = f->kind;
	if (o->sock_id)
		idmap_put(&l->socks, o->sock_id, o);
	*ret = o;
	return 0;
}

static bool is_same(const struct ledger_object *o, const struct ledger_file *f)
{
	return o->inode_id == f->inode_id && o->kind == f->kind &&
	       (!o->sock_id || !f->sock_id || o->sock_id == f->sock_id);
}

/*
 * The object of an open file. An address is used again for another file when the first is gone,
 * which the ledger may not know yet (its last descriptor was in another's hands).
 */
static int object_get(struct ledger *l, const struct ledger_file *f, struct ledger_object **ret)
{
	struct ledger_object *o = f->file_id ? idmap_get(&l->objects, f->file_id) : NULL;

	if (o && o->kind == LEDGER_UNKNOWN && !o->told_kind && f->kind != LEDGER_UNKNOWN)
		return object_tell(l, o, f, ret);
	if (o && (is_same(o, f) || f->kind == LEDGER_UNKNOWN)) {
		*ret = o;
		return 0;
	}
	if (o)
		object_forget(l, o);
	return object_new(l, f, ret);
}

/* ---- counts ---- */

static void count_in(struct ledger_table *t, const struct ledger_fd *e)
{
	t->n_open++;
	if (!t->owner)
		return;
	struct ledger_count *c = ledger_count(t->owner, e->object->kind);

	if (e->made_ns && !e->inherited)
		c->made++;
	else
		c->inherited++;
	c->open++;
	if (c->open > c->peak)
		c->peak = c->open;
}

static void count_out(struct ledger_table *t, const struct ledger_fd *e)
{
	t->n_open--;
	if (!t->owner)
		return;
	struct ledger_count *c = ledger_count(t->owner, e->object->kind);

	c->closed++;
	c->open -= c->open > 0;
}

/* ---- entries ---- */

static int clear(struct ledger *l, const struct ledger_at *at, struct ledger_table *t, int fd,
		 const char *by)
{
	struct ledger_fd *e = place(t, fd);
	const struct ledger_closed closed = {
		.at = at, .fd = fd, .was = e, .by = by, .last = e->object->refs == 1
	};
	int rc = 0;

	if (by && l->calls.closed && !l->calls.silent)
		rc = l->calls.closed(l->calls.userdata, &closed);
	count_out(t, e);
	object_unref(l, e->object);
	*e = (struct ledger_fd){ .touched_ns = at->time_ns, .n_owed = e->n_owed };
	return rc;
}

/* Put an object, whose reference is handed over, at a free number. */
static struct ledger_fd *fill(struct ledger_table *t, const struct ledger_at *at, int fd,
			      struct ledger_object *o, const char *by, bool cloexec)
{
	struct ledger_fd *e = place(t, fd);
	uint8_t n_owed = e->n_owed;

	*e = (struct ledger_fd){ .object = o,
				 .touched_ns = at->time_ns,
				 .made_ns = by ? at->time_ns : 0,
				 .stack = at->stack,
				 .by = by,
				 .maker_tid = at->tid,
				 .cloexec = cloexec,
				 .n_owed = n_owed };
	if (by && at->comm)
		strncpy(e->maker, at->comm, sizeof(e->maker) - 1);
	count_in(t, e);
	return e;
}

/* Has the close of this new entry been reported already? Then take that report out. */
static bool take_early(struct ledger_table *t, const struct ledger_at *at, int fd,
		       struct ledger_early *ret)
{
	for (size_t i = 0; i < t->n_early; i++) {
		struct ledger_early *e = &t->early[i];

		/* One that is older than the call that made the entry is of something else; and
		 * what a thread has closed it can only have made before. */
		if (e->fd != fd || e->time_ns < at->enter_ns || e->tid == at->tid)
			continue;
		*ret = *e;
		*e = t->early[--t->n_early];
		return true;
	}
	return false;
}

static int keep_early(struct ledger_table *t, const struct ledger_at *at, int fd)
{
	if (!t->early) {
		t->early = calloc(LEDGER_EARLY_MAX, sizeof(*t->early));
		if (!t->early)
			return -ENOMEM;
	}
	/* The oldest is the least likely to be asked for. */
	if (t->n_early == LEDGER_EARLY_MAX)
		memmove(t->early, t->early + 1, --t->n_early * sizeof(*t->early));
	struct ledger_early *e = &t->early[t->n_early++];

	*e = (struct ledger_early){
		.fd = fd, .time_ns = at->time_ns, .pid = at->pid, .tid = at->tid
	};
	if (at->comm)
		strncpy(e->comm, at->comm, sizeof(e->comm) - 1);
	return 0;
}

/* A snapshot was first: now it is known who made it, no more. */
static bool confirms(const struct ledger_fd *e, const struct ledger_file *f)
{
	return e->object && !e->by && !e->inherited && f->file_id &&
	       e->object->file_id == f->file_id;
}

int ledger_fd_new(struct ledger *l, const struct ledger_at *at, struct ledger_table *t, int fd,
		  const struct ledger_file *f, const char *by, bool cloexec, bool replaces)
{
	struct ledger_object *o;
	struct ledger_early early;
	int rc = table_reserve(t, fd), rc2 = 0;

	if (rc < 0)
		return rc == -EINVAL ? 0 : rc;
	if (!replaces && confirms(place(t, fd), f))
		clear(l, at, t, fd, NULL);
	rc = object_get(l, f, &o);
	if (rc < 0)
		return rc;
	o->refs++;
	if (place(t, fd)->object) {
		if (!replaces && place(t, fd)->n_owed < UINT8_MAX)
			place(t, fd)->n_owed++;
		rc = clear(l, at, t, fd, replaces ? by : "close");
	}
	struct ledger_fd *e = fill(t, at, fd, o, by, cloexec);
	const struct ledger_made made = { .at = at, .fd = fd, .now = e };

	e->replaced = replaces;
	if (l->calls.made && !l->calls.silent)
		rc2 = l->calls.made(l->calls.userdata, &made);
	rc = rc ? rc : rc2;
	if (!replaces && take_early(t, at, fd, &early)) {
		const struct ledger_at then = { .time_ns = at->time_ns,
						.pid = early.pid,
						.tid = early.tid,
						.comm = early.comm };

		rc2 = clear(l, &then, t, fd, "close");
		rc = rc ? rc : rc2;
	}
	return rc;
}

/* Is this what the number refers to since before the call that reports a close of it ended? */
static bool came_without_report(const struct ledger_fd *e)
{
	/* From a snapshot; or by dup2(2), which does not wait for anyone's close. */
	return !e->by || e->replaced;
}

int ledger_fd_close(struct ledger *l, const struct ledger_at *at, struct ledger_table *t, int fd,
		    uint64_t now_id, const char *by)
{
	int rc = table_reserve(t, fd);

	if (rc < 0)
		return rc == -EINVAL ? LEDGER_IGNORED : rc;
	struct ledger_fd *e = place(t, fd);

	e->touched_ns = at->time_ns;
	if (e->n_owed) {
		e->n_owed--;
		return LEDGER_IGNORED;
	}
	if (e->object && now_id && e->object->file_id == now_id && came_without_report(e))
		return LEDGER_IGNORED;
	if (e->object)
		return clear(l, at, t, fd, by);
	rc = keep_early(t, at, fd);
	return rc < 0 ? rc : LEDGER_IGNORED;
}

int ledger_fd_drop(struct ledger *l, const struct ledger_at *at, struct ledger_table *t, int fd,
		   const char *by)
{
	return ledger_fd(t, fd) ? clear(l, at, t, fd, by) : 0;
}

int ledger_fd_cloexec(struct ledger *l, const struct ledger_at *at, struct ledger_table *t, int fd,
		      bool cloexec)
{
	(void)l;
	if (!ledger_fd(t, fd))
		return LEDGER_IGNORED;
	place(t, fd)->cloexec = cloexec;
	place(t, fd)->touched_ns = at->time_ns;
	return 0;
}

int ledger_fd_range(struct ledger *l, const struct ledger_at *at, struct ledger_table *t,
		    unsigned int first, unsigned int last, bool cloexec)
{
	int rc = 0;

	for (size_t fd = first; rc == 0 && fd < t->size && fd <= last; fd++) {
		if (!ledger_fd(t, (int)fd))
			continue;
		struct ledger_fd *e = place(t, (int)fd);

		if (cloexec) {
			e->cloexec = true;
			e->touched_ns = at->time_ns;
		} else {
			rc = clear(l, at, t, (int)fd, "close_range");
		}
	}
	return rc;
}

size_t ledger_table_settle(struct ledger_table *t, uint64_t before_ns)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n_early; i++)
		if (t->early[i].time_ns < before_ns)
			t->early[i--] = t->early[--t->n_early];
	for (size_t fd = 0; fd < t->size; fd++) {
		struct ledger_fd *e;

		if (!t->piece[fd / LEDGER_FDS]) {
			fd += LEDGER_FDS - 1;
			continue;
		}
		e = place(t, (int)fd);
		if (e->n_owed && e->touched_ns < before_ns)
			e->n_owed = 0;
		n += e->n_owed != 0;
	}
	return n + t->n_early;
}

int ledger_fd_set(struct ledger *l, struct ledger_table *t, int fd, const struct ledger_file *f,
		  bool cloexec)
{
	const struct ledger_at at = { 0 };
	struct ledger_object *o;
	int rc = table_reserve(t, fd);

	if (rc < 0)
		return rc == -EINVAL ? 0 : rc;
	if (place(t, fd)->object)
		clear(l, &at, t, fd, NULL);
	place(t, fd)->n_owed = 0;
	for (size_t i = 0; i < t->n_early; i++)
		if (t->early[i].fd == fd)
			t->early[i--] = t->early[--t->n_early];
	if (!f)
		return 0;
	rc = object_get(l, f, &o);
	if (rc < 0)
		return rc;
	o->refs++;
	fill(t, &at, fd, o, NULL, cloexec);
	return 0;
}

/* ---- tables ---- */

static int table_new(struct ledger *l, uint64_t files_id, struct ledger_process *owner,
		     struct ledger_table **ret)
{
	struct ledger_table *t = calloc(1, sizeof(*t));

	if (!t || idmap_put(&l->tables, files_id, t) < 0) {
		free(t);
		return -ENOMEM;
	}
	t->files_id = files_id;
	t->owner = owner;
	*ret = t;
	return 0;
}

static int table_copy(const struct ledger_at *at, struct ledger_table *to,
		      const struct ledger_table *from)
{
	int rc = 0;

	for (size_t fd = 0; rc == 0 && fd < from->size; fd++) {
		const struct ledger_fd *e = ledger_fd(from, (int)fd);
		struct ledger_fd *copy;

		if (!e)
			continue;
		rc = table_reserve(to, (int)fd);
		if (rc < 0)
			break;
		copy = place(to, (int)fd);
		*copy = *e;
		copy->inherited = true;
		copy->n_owed = 0;
		copy->touched_ns = at->time_ns;
		e->object->refs++;
		count_in(to, copy);
	}
	/* Whoever is within a call on the original has done it before or after the copy was made:
	 * the reports do not tell. */
	to->unsure = from->n_users > 1;
	return rc;
}

int ledger_use_table(struct ledger *l, const struct ledger_at *at, struct ledger_task *t,
		     uint64_t files_id)
{
	struct ledger_table *old = t->table, *new = ledger_table(l, files_id);
	int rc = 0;

	if (old && old->files_id == files_id)
		return 0;
	if (!new) {
		rc = table_new(l, files_id, t->process, &new);
		if (rc < 0)
			return rc;
		if (old)
			rc = table_copy(at, new, old);
	}
	ledger_leave_table(l, at, t, NULL);
	t->table = new;
	new->n_users++;
	if (!new->owner)
		new->owner = t->process;
	return rc;
}

/* Its process goes on without this table, or ends: whose is it now? */
static void find_owner(struct ledger *l, struct ledger_table *table)
{
	table->owner = NULL;
	idmap_each(&l->tasks, s)
	{
		const struct ledger_task *t = s->value;

		if (t->table == table) {
			table->owner = t->process;
			break;
		}
	}
	for (size_t fd = 0; table->owner && fd < table->size; fd++) {
		const struct ledger_fd *e = ledger_fd(table, (int)fd);

		if (e) {
			struct ledger_count *c = ledger_count(table->owner, e->object->kind);

			c->inherited++;
			c->open++;
			if (c->open > c->peak)
				c->peak = c->open;
		}
	}
}

void ledger_leave_table(struct ledger *l, const struct ledger_at *at, struct ledger_task *t,
			const char *by)
{
	struct ledger_table *table = t->table;
	bool others = false;

	t->table = NULL;
	if (!table)
		return;
	if (--table->n_users) {
		for (const struct ledger_task *o = t->process->tasks; o; o = o->next)
			others = others || o->table == table;
		if (table->owner == t->process && !others)
			find_owner(l, table);
		return;
	}
	for (size_t fd = 0; fd < table->size; fd++)
		ledger_fd_drop(l, at, table, (int)fd, by);
	idmap_remove(&l->tables, table->files_id);
	for (size_t i = 0; i < table->size / LEDGER_FDS; i++)
		free(table->piece[i]);
	free(table->piece);
	free(table->early);
	free(table);
}
