// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * epoll_create(2): a set of watched files. An entry is known by an open file and the number that
 * its descriptor had when it was added, whatever has become of that number since. Here is what is
 * saved; how entries are made again, epoll_restore.c tells.
 */
#include "epoll.h"
#include "../safe.h"
#include "../util.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

static bool match(const struct kind_file *f)
{
	return f->file && kind_is_anon(f, "[eventpoll]");
}

/* ---- what the snapshot tells ---- */

/* The records of a descriptor: the order of what is ready, then the entries. */
struct entries {
	const struct rec_epoll *const *order;
	size_t n_order;
	const struct rec_epoll **entry; /* owned; sorted by number, then object */
	uint32_t *object;		/* owned; of each */
	size_t n;
};

static void entries_done(struct entries *e)
{
	free(e->entry);
	free(e->object);
}

struct sort_row {
	const struct rec_epoll *entry;
	uint32_t object;
};

static int by_number(const void *pa, const void *pb)
{
	const struct sort_row *a = pa, *b = pb;

	if (a->entry->number != b->entry->number)
		return a->entry->number < b->entry->number ? -1 : 1;
	return (a->object > b->object) - (a->object < b->object);
}

static int entries_sort(const struct kind_dump *d, const struct rec_epoll *const *rows, size_t n,
			struct entries *e, struct ckpt_err **err)
{
	struct sort_row *row = calloc(n ? n : 1, sizeof(*row));

	e->entry = calloc(n ? n : 1, sizeof(*e->entry));
	e->object = calloc(n ? n : 1, sizeof(*e->object));
	if (!row || !e->entry || !e->object) {
		free(row);
		return ckpt_fail_nomem(err);
	}
	for (size_t i = 0; i < n; i++)
		row[i] = (struct sort_row){ rows[i], objects_id(d->os, rows[i]->file_id) };
	qsort(row, n, sizeof(*row), by_number);
	for (size_t i = 0; i < n; i++) {
		e->entry[i] = row[i].entry;
		e->object[i] = row[i].object;
	}
	e->n = n;
	free(row);
	return 0;
}

static int entries_get(const struct kind_dump *d, const struct kind_file *f, struct entries *e,
		       struct ckpt_err **err)
{
	size_t n = 0, n_order = 0;
	const struct rec_epoll *const *rows =
		(const void *)snapshot_details(d->snap, REC_EPOLL, f->tgid, f->fd, &n);

	*e = (struct entries){ 0 };
	for (size_t i = 0; i < n; i++)
		if (rows[i]->head.head.flags & REC_F_TRUNCATED)
			return ckpt_fail(err, ESTALE, CKPT_E_CHANGING,
					 "what the epoll instance watches could not be read");
	while (n_order < n && rows[n_order]->flags & REC_EPOLL_ORDER)
		n_order++;
	e->order = rows;
	e->n_order = n_order;
	return entries_sort(d, rows + n_order, n - n_order, e, err);
}

/* ---- checking ---- */

/* The file is not among those of the dump. */
static int fail_unreachable(const struct kind_dump *d, const struct rec_epoll *e,
			    struct ckpt_err **err)
{
	/* More references than can be: so that its holder is looked for. */
	const struct rec_inode inode = { .file_id = e->file_id, .f_count = UINT64_MAX };
	const struct kind_file f = { .fd = -1, .inode = &inode };
	pid_t pid = kind_outside_holder(d, &f, false);
	char who[128], name[REC_EPOLL_NAME_LEN * 4 + 1], cut[REC_EPOLL_NAME_LEN + 1] = "";

	memcpy(cut, e->name, REC_EPOLL_NAME_LEN);
	safe_text(name, sizeof(name), cut);
	kind_process_words(pid, who, sizeof(who));
	ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
		  "it watches an open file (%s) that was added as descriptor %d, but no descriptor "
		  "of the checkpoint refers to it any more%s%s",
		  name[0] ? name : "without name", e->number, pid ? "; it is held by " : "",
		  pid ? who : "");
	ckpt_hint(err, "remove it from the epoll instance before closing it (EPOLL_CTL_DEL)");
	return -EOPNOTSUPP;
}

bool epoll_is_disabled(uint32_t events)
{
	return events & EPOLLONESHOT && !(events & ~EPOLL_PRIVATE_EVENTS);
}

/*
 * An entry that one-shot mode has disabled can only be made by letting it fire once more. Is there
 * something to report of this file, or a way to make it so?
 */
static int check_disabled(const struct kind_dump *d, const struct rec_epoll *e, uint32_t object,
			  struct ckpt_err **err)
{
	const struct object_row *row = &d->os->row[object - 1];
	struct pollfd p = { .fd = -1, .events = (short)EPOLL_ALL_EVENTS };
	_cleanup_close_ int fd = -1;
	char what[200];
	int rc = kind_get_fd(d, &row->f, &fd, err);

	if (rc < 0)
		return rc;
	p.fd = fd;
	/* The signals that a poll(2) here would tell of are our own. */
	if ((strcmp(row->kind->name, "signalfd") && poll(&p, 1, 0) > 0) ||
	    epoll_can_poke(row->kind->name, fd))
		return 0;
	row->kind->describe(&row->f, what, sizeof(what));
	ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
		  "its entry of descriptor %d (%s) is disabled by EPOLLONESHOT, which cannot be "
		  "restored while there is nothing to report of it",
		  e->number, what);
	ckpt_hint(err, "checkpoint when the entry is enabled again (EPOLL_CTL_MOD)");
	return -EOPNOTSUPP;
}

/*
 * A signalfd tells whoever waits for it of the signals of the process that waits; an epoll instance
 * of those of the process that made the entry. NULL: that is none of the dump, or has ended.
 */
static const struct rec_task *signals_of(const struct kind_dump *d, const struct rec_epoll *e)
{
	for (size_t i = 0; i < d->snap->n_tasks; i++)
		if (d->snap->tasks[i]->sighand_id == e->sighand_id &&
		    !d->snap->tasks[i]->exit_state)
			return d->snap->tasks[i];
	return NULL;
}

static int check_signals(const struct kind_dump *d, const struct rec_epoll *e,
			 struct ckpt_err **err)
{
	if (signals_of(d, e))
		return 0;
	ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
		  "its entry of descriptor %d (a signalfd) is for the signals of another process, "
		  "which made it and does not run in the checkpoint",
		  e->number);
	ckpt_hint(err, "checkpoint that process, too, or remove the entry (EPOLL_CTL_DEL)");
	return -EOPNOTSUPP;
}

static int check_entry(const struct kind_dump *d, const struct rec_epoll *e, uint32_t object,
		       struct ckpt_err **err)
{
	int rc = 0;

	if (!object)
		return fail_unreachable(d, e, err);
	if (e->sighand_id)
		rc = check_signals(d, e, err);
	return rc == 0 && epoll_is_disabled(e->events) ? check_disabled(d, e, object, err) : rc;
}

static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	struct entries e;
	int rc = entries_get(d, f, &e, err);

	for (size_t i = 0; rc == 0 && i < e.n; i++)
		rc = check_entry(d, e.entry[i], e.object[i], err);
	entries_done(&e);
	return rc < 0 ? rc : kind_check_unshared(d, f, "epoll instance", err);
}

/* ---- saving ---- */

static int save_entry(const struct kind_dump *d, const struct rec_epoll *e, uint32_t object,
		      json_t *rows)
{
	const struct rec_task *t = e->sighand_id ? signals_of(d, e) : NULL;
	json_t *o = json_object();
	int rc = json_array_append_new(rows, o);

	rc |= js_set_int(o, "fd", e->number);
	rc |= js_set_int(o, "object", object);
	rc |= js_set_hex(o, "events", e->events);
	rc |= js_set_hex(o, "data", e->data);
	if (t)
		rc |= js_set_int(o, "signals_of", t->vtgid);
	return rc;
}

static size_t index_of(const struct entries *e, const struct rec_epoll *wanted)
{
	size_t low = 0, high = e->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (e->entry[middle]->number < wanted->number)
			low = middle + 1;
		else
			high = middle;
	}
	while (low < e->n && e->entry[low]->number == wanted->number &&
	       e->entry[low]->file_id != wanted->file_id)
		low++;
	return low;
}

/* Indices of the entries that are on the ready list, in its order as far as that is known. */
static int save_ready(const struct entries *e, json_t *ready)
{
	_cleanup_free_ bool *told = calloc(e->n ? e->n : 1, sizeof(*told));
	int rc = told ? 0 : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < e->n_order; i++) {
		size_t at = index_of(e, e->order[i]);

		if (at < e->n && !told[at]) {
			told[at] = true;
			rc = json_array_append_new(ready, json_integer((json_int_t)at));
		}
	}
	for (size_t i = 0; rc == 0 && i < e->n; i++)
		if (e->entry[i]->flags & REC_EPOLL_READY && !told[i])
			rc = json_array_append_new(ready, json_integer((json_int_t)i));
	return rc;
}

/* Busy polling of network devices (EPIOCSPARAMS, Linux 6.9), where it was asked for. */
static int save_params(const struct kind_dump *d, const struct kind_file *f, json_t *o,
		       struct ckpt_err **err)
{
	struct epoll_busy_poll p = { 0 };
	_cleanup_close_ int fd = -1;
	json_t *params;
	int rc = kind_get_fd(d, f, &fd, err);

	if (rc < 0)
		return rc;
	if (ioctl(fd, EPOLL_GET_BUSY_POLL, &p) < 0 || (!p.usecs && !p.budget && !p.prefer))
		return 0;
	params = json_object();
	rc = json_object_set_new(o, "busy_poll", params);
	rc |= js_set_int(params, "usecs", p.usecs);
	rc |= js_set_int(params, "budget", p.budget);
	rc |= js_set_int(params, "prefer", p.prefer);
	return rc ? ckpt_fail_nomem(err) : 0;
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	json_t *rows = json_array(), *ready = json_array();
	struct entries e = { 0 };
	int rc = json_object_set_new(o, "entries", rows);

	rc |= json_object_set_new(o, "ready", ready);
	rc = rc ? ckpt_fail_nomem(err) : entries_get(d, f, &e, err);
	for (size_t i = 0; rc == 0 && i < e.n; i++) {
		/* Since it was checked, the program has run on. */
		rc = d->contents ? check_entry(d, e.entry[i], e.object[i], err) : 0;
		if (rc == 0 && save_entry(d, e.entry[i], e.object[i], rows))
			rc = ckpt_fail_nomem(err);
	}
	if (rc == 0 && save_ready(&e, ready))
		rc = ckpt_fail_nomem(err);
	entries_done(&e);
	return rc < 0 ? rc : save_params(d, f, o, err);
}

/* ---- restoring: the instance itself ---- */

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	const json_t *params = json_object_get(o, "busy_poll");
	struct epoll_busy_poll p = { 0 };
	_cleanup_close_ int fd = epoll_create1(EPOLL_CLOEXEC);
	uint32_t budget = 0, prefer = 0;
	int rc = 0;

	(void)r;
	if (fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "make an epoll instance");
	if (params) {
		rc = js_u32(params, "usecs", &p.usecs, err);
		if (rc == 0)
			rc = js_u32(params, "budget", &budget, err);
		if (rc == 0)
			rc = js_u32(params, "prefer", &prefer, err);
		p.budget = (uint16_t)budget;
		p.prefer = prefer != 0;
		if (rc == 0 && ioctl(fd, EPOLL_SET_BUSY_POLL, &p) < 0)
			rc = ckpt_fail_errno(err, errno, CKPT_E_RESTORE,
					     "let an epoll instance poll devices");
	}
	if (rc == 0)
		*ret_fd = TAKE_FD(fd);
	return rc;
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	(void)f;
	snprintf(buf, len, "epoll instance");
}

/* What is ready changes by itself: of timers, and of signals. */
static const char *const volatile_members[] = { "ready", NULL };

const struct ckpt_kind kind_epoll = {
	.name = "epoll",
	.connects_last = true,
	.called_upon = true,
	.match = match,
	.check = check,
	.save = save,
	.need = epoll_need,
	.open = open_it,
	.connect = epoll_connect,
	.volatile_members = volatile_members,
	.describe = describe,
};
