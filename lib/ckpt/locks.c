// SPDX-License-Identifier: LGPL-2.1-or-later
/* File locks and leases of a process. See locks.h. */
#include "locks.h"
#include "image.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* struct file's f_mode */
#define MODE_READ  0x1u
#define MODE_WRITE 0x2u

static const char *class_name(const struct rec_lock *l)
{
	static const char *const names[] = { [REC_LOCK_FLOCK] = "flock",
					     [REC_LOCK_POSIX] = "posix",
					     [REC_LOCK_OFD] = "ofd",
					     [REC_LOCK_LEASE] = "lease" };

	return l->lock_class <= REC_LOCK_LEASE ? names[l->lock_class] : "unknown";
}

/* Does this process have a descriptor of this number, and of this file (0: of any)? */
static bool has_fd(const struct snapshot *s, pid_t tgid, uint64_t fd, uint64_t file_id)
{
	size_t first, n;

	snapshot_files_of(s, tgid, &first, &n);
	for (size_t i = first; i < first + n; i++)
		if ((uint64_t)s->files[i].rec->fd == fd)
			return !file_id || s->files[i].rec->inode.file_id == file_id;
	return false;
}

/* The lowest process that has the same descriptor table: of them one tells. */
static pid_t table_of(const struct snapshot *s, pid_t tgid)
{
	size_t first, n, at, m;

	snapshot_files_of(s, tgid, &first, &n);
	for (size_t i = 0; n && i < s->n_processes && s->processes[i]->tgid < tgid; i++) {
		snapshot_files_of(s, s->processes[i]->tgid, &at, &m);
		if (m && s->files[at].rec->files_id == s->files[first].rec->files_id)
			return s->processes[i]->tgid;
	}
	return tgid;
}

/*
 * Is a lease told by this descriptor? By the one that its signals name, if the file still has it,
 * else by the first.
 */
static bool tells_lease(const struct snapshot *s, const struct rec_lock *l)
{
	const struct rec_lock *teller = NULL;

	for (size_t i = 0; i < s->n_locks; i++) {
		const struct rec_lock *k = s->locks[i];

		if (k->lock_class != REC_LOCK_LEASE || k->file_id != l->file_id)
			continue;
		if (!teller || (uint64_t)k->fd == k->start)
			teller = k;
		if ((uint64_t)k->fd == k->start)
			break;
	}
	return teller && teller->fd == l->fd && table_of(s, teller->tgid) == table_of(s, l->tgid);
}

static int check_lease(const struct snapshot *s, const struct rec_lock *l, struct ckpt_err **err)
{
	if (!tells_lease(s, l) || (uint64_t)l->fd == l->start || !has_fd(s, l->tgid, l->start, 0))
		return 0;
	ckpt_fail(
		err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
		"fd %d holds a lease whose signals name descriptor %llu, which is another file by now",
		l->fd, (unsigned long long)l->start);
	ckpt_hint(err, "let the program take it again (fcntl F_SETLEASE)");
	return -EOPNOTSUPP;
}

int locks_check(const struct snapshot *s, pid_t tgid, struct ckpt_err **err)
{
	size_t first, n;
	int rc = 0;

	snapshot_locks_of(s, tgid, &first, &n);
	for (size_t i = first; rc == 0 && i < first + n; i++) {
		const struct rec_lock *l = s->locks[i];

		if (l->lock_class == REC_LOCK_LEASE)
			rc = check_lease(s, l, err);
		else if (l->head.flags & REC_F_TRUNCATED)
			rc = ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
				       "fd %d holds more locks than can be saved", l->fd);
	}
	return rc;
}

/* May this descriptor take the lock? POSIX and OFD ones need the access that they are about. */
static bool can_take(const struct snapshot *s, const struct rec_lock *l)
{
	uint32_t need = l->lock_type == F_WRLCK ? MODE_WRITE : MODE_READ;
	size_t first, n;

	if (l->lock_class == REC_LOCK_FLOCK || l->lock_class == REC_LOCK_LEASE)
		return true;
	snapshot_files_of(s, l->tgid, &first, &n);
	for (size_t i = first; i < first + n; i++)
		if (s->files[i].rec->fd == l->fd && s->files[i].rec->inode.file_id == l->file_id)
			return s->files[i].rec->inode.f_mode & need;
	return false;
}

/* Is it told of through a lower descriptor, or by another table that has the description? */
static bool told(const struct snapshot *s, size_t at)
{
	const struct rec_lock *l = s->locks[at];
	bool posix = l->lock_class == REC_LOCK_POSIX;

	if (l->lock_class == REC_LOCK_LEASE)
		return !tells_lease(s, l);
	for (size_t i = 0; i < s->n_locks; i++) {
		const struct rec_lock *k = s->locks[i];

		if (k->lock_class != l->lock_class || k->start != l->start || k->end != l->end ||
		    k->lock_type != l->lock_type || !can_take(s, k))
			continue;
		if (posix ? i < at && k->tgid == l->tgid && k->inode_id == l->inode_id
			  : k->file_id == l->file_id &&
				    (k->tgid == l->tgid
					     ? i < at
					     : table_of(s, k->tgid) < table_of(s, l->tgid)))
			return true;
	}
	return false;
}

static int append(json_t *rows, const struct rec_lock *l)
{
	json_t *o = json_object();
	int rc = json_array_append_new(rows, o);

	rc |= js_set_int(o, "fd", l->fd);
	rc |= json_object_set_new(o, "class", json_string(class_name(l)));
	rc |= json_object_set_new(o, "type",
				  json_string(l->lock_type == F_WRLCK ? "write" : "read"));
	if (l->lock_class != REC_LOCK_LEASE) {
		rc |= js_set_hex(o, "start", l->start);
		rc |= js_set_hex(o, "end", l->end);
		return rc;
	}
	rc |= js_set_int(o, "signal_fd", (int64_t)l->start);
	if (l->head.flags & (REC_F_UNLOCKING | REC_F_DOWNGRADING))
		rc |= json_object_set_new(
			o, "breaking",
			json_string(l->head.flags & REC_F_UNLOCKING ? "none" : "read"));
	return rc;
}

/* fs/notify/dnotify/dnotify.c, convert_arg(), the other way round. */
static uint32_t dnotify_mask(uint32_t mask)
{
	static const struct {
		uint32_t kernel, arg;
	} bits[] = {
		{ 0x1, DN_ACCESS },	   { 0x2, DN_MODIFY },
		{ 0x180, DN_CREATE },	   /* FS_CREATE, FS_MOVED_TO */
		{ 0x240, DN_DELETE },	   /* FS_DELETE, FS_MOVED_FROM */
		{ 0x10000000, DN_RENAME }, /* FS_RENAME */
		{ 0x4, DN_ATTRIB },	   { 0x20000000, DN_MULTISHOT }, /* FS_DN_MULTISHOT */
	};

	uint32_t arg = 0;

	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		if ((mask & bits[i].kernel) == bits[i].kernel)
			arg |= bits[i].arg;
	return arg;
}

static int append_dnotify(json_t *rows, const struct rec_notify_mark *m)
{
	json_t *o = json_object();
	int rc = json_array_append_new(rows, o);

	rc |= js_set_int(o, "fd", m->fd);
	rc |= json_object_set_new(o, "class", json_string("dnotify"));
	rc |= js_set_int(o, "mask", dnotify_mask(m->mask));
	return rc;
}

static int dnotify_save(const struct snapshot *s, pid_t tgid, json_t *rows)
{
	size_t first, n, n_marks;
	int rc = 0;

	snapshot_files_of(s, tgid, &first, &n);
	for (size_t i = first; i < first + n; i++) {
		const struct rec_file *f = s->files[i].rec;
		const void *const *m;

		if (!S_ISDIR(f->inode.mode))
			continue;
		m = snapshot_details(s, REC_NOTIFY_MARK, tgid, f->fd, &n_marks);
		/* Told through each descriptor of the description, of which one was used. */
		if (n_marks && ((const struct rec_notify_mark *)m[0])->wd == f->fd)
			rc |= append_dnotify(rows, m[0]);
	}
	return rc;
}

int locks_save(const struct snapshot *s, pid_t tgid, json_t **ret, struct ckpt_err **err)
{
	_cleanup_json_ json_t *rows = json_array();
	size_t first, n;

	if (!rows)
		return ckpt_fail_nomem(err);
	snapshot_locks_of(s, tgid, &first, &n);
	for (size_t i = first; i < first + n; i++)
		if (can_take(s, s->locks[i]) && !told(s, i) && append(rows, s->locks[i]))
			return ckpt_fail_nomem(err);
	if (dnotify_save(s, tgid, rows))
		return ckpt_fail_nomem(err);
	*ret = TAKE_PTR(rows);
	return 0;
}
