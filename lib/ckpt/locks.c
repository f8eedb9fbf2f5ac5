// SPDX-License-Identifier: LGPL-2.1-or-later
/* File locks of a process. See locks.h. */
#include "locks.h"
#include "image.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>

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

int locks_check(const struct snapshot *s, pid_t tgid, struct ckpt_err **err)
{
	size_t first, n;

	snapshot_locks_of(s, tgid, &first, &n);
	for (size_t i = first; i < first + n; i++) {
		const struct rec_lock *l = s->locks[i];

		if (l->lock_class == REC_LOCK_LEASE) {
			ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
				  "fd %d holds a lease, which cannot be taken again", l->fd);
			ckpt_hint(err, "let the program give it back (fcntl F_SETLEASE, F_UNLCK)");
			return -EOPNOTSUPP;
		}
		if (l->head.flags & REC_F_TRUNCATED)
			return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
					 "fd %d holds more locks than can be saved", l->fd);
	}
	return 0;
}

/* May this descriptor take the lock? POSIX and OFD ones need the access that they are about. */
static bool can_take(const struct snapshot *s, const struct rec_lock *l)
{
	uint32_t need = l->lock_type == F_WRLCK ? MODE_WRITE : MODE_READ;
	size_t first, n;

	if (l->lock_class == REC_LOCK_FLOCK)
		return true;
	snapshot_files_of(s, l->tgid, &first, &n);
	for (size_t i = first; i < first + n; i++)
		if (s->files[i].rec->fd == l->fd && s->files[i].rec->inode.file_id == l->file_id)
			return s->files[i].rec->inode.f_mode & need;
	return false;
}

/* Is it told of before, through a lower descriptor? */
static bool told(const struct snapshot *s, size_t first, size_t at)
{
	const struct rec_lock *l = s->locks[at];
	bool posix = l->lock_class == REC_LOCK_POSIX;

	for (size_t i = first; i < at; i++) {
		const struct rec_lock *k = s->locks[i];

		if (k->lock_class == l->lock_class && k->start == l->start && k->end == l->end &&
		    k->lock_type == l->lock_type &&
		    (posix ? k->inode_id == l->inode_id : k->file_id == l->file_id) &&
		    can_take(s, k))
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
	rc |= js_set_hex(o, "start", l->start);
	rc |= js_set_hex(o, "end", l->end);
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
		if (can_take(s, s->locks[i]) && !told(s, first, i) && append(rows, s->locks[i]))
			return ckpt_fail_nomem(err);
	*ret = TAKE_PTR(rows);
	return 0;
}
