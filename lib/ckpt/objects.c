// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The table of objects: open file descriptions found by identity, each with its kind. See kind.h. This file knows what all
 * kinds have in common (number, flags, position, owner); everything else is the kind's.
 */
#include "areas.h"
#include "kind.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct object_slot {
	uint64_t file_id;
	uint32_t id; /* 0: empty */
};

/* What F_SETFL can set; the rest is given at open. */
#define SETFL_FLAGS (O_APPEND | O_NONBLOCK | O_ASYNC | O_DIRECT | O_NOATIME)
/* Bits of f_flags that the kernel keeps for itself: FMODE_EXEC, FMODE_NONOTIFY. */
#define KERNEL_FLAGS 0x4000020u

/* ---- collecting ---- */

static struct object_slot *slot_of(const struct objects *os, uint64_t file_id)
{
	/* Addresses of slab objects differ in their middle bits. */
	size_t i = (file_id >> 6) * 0x9e3779b97f4a7c15ULL >> 20 & (os->hash_size - 1);

	while (os->hash[i].id && os->hash[i].file_id != file_id)
		i = (i + 1) & (os->hash_size - 1);
	return &os->hash[i];
}

static int reserve(struct objects *os, size_t n_max)
{
	os->hash_size = 64;
	while (os->hash_size < 2 * n_max)
		os->hash_size *= 2;
	os->hash = calloc(os->hash_size, sizeof(*os->hash));
	os->row = calloc(n_max ? n_max : 1, sizeof(*os->row));
	return os->hash && os->row ? 0 : -ENOMEM;
}

static struct object_row *row_for(struct objects *os, uint64_t file_id)
{
	struct object_slot *s = slot_of(os, file_id);

	if (!s->id) {
		s->file_id = file_id;
		s->id = (uint32_t)++os->n;
		os->row[s->id - 1] = (struct object_row){ .id = s->id, .file_id = file_id };
		os->row[s->id - 1].f.fd = -1;
	}
	return &os->row[s->id - 1];
}

static void collect_file(struct objects *os, const struct snap_file *sf)
{
	struct object_row *r = row_for(os, sf->rec->inode.file_id);

	if (r->f.file)
		return;
	r->f.tgid = sf->rec->tgid;
	r->f.fd = sf->rec->fd;
	r->f.inode = &sf->rec->inode;
	r->f.file = sf->rec;
	r->f.path = sf->path;
}

/* Private huge pages of a fixed size have a file of the kernel's own, which is no object of the program. */
static bool is_object(const struct rec_vma *v)
{
	return v->has_file && !area_is_special(v) &&
	       !(v->vm_flags & VMF_HUGETLB && !(v->vm_flags & VMF_SHARED));
}

static void collect_area(struct objects *os, const struct snap_vma *sv)
{
	struct object_row *r = row_for(os, sv->rec->inode.file_id);

	if (!r->f.inode) {
		r->f.tgid = sv->rec->tgid;
		r->f.inode = &sv->rec->inode;
		r->f.path = sv->path;
	}
	if (!r->f.map_end) {
		r->f.map_start = sv->rec->start;
		r->f.map_end = sv->rec->end;
	}
	if (sv->rec->vm_flags & VMF_SHARED)
		r->f.mapped_shared = true;
	else
		r->f.mapped_private = true;
}

int objects_collect(struct objects *os, const struct snapshot *s, struct ckpt_err **err)
{
	*os = (struct objects){ 0 };
	if (reserve(os, s->n_files + s->n_vmas) < 0)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < s->n_files; i++)
		collect_file(os, &s->files[i]);
	for (size_t i = 0; i < s->n_vmas; i++)
		if (is_object(s->vmas[i].rec))
			collect_area(os, &s->vmas[i]);
	for (size_t i = 0; i < os->n; i++)
		os->row[i].kind = kind_of(&os->row[i].f);
	return 0;
}

void objects_done(struct objects *os)
{
	free(os->row);
	free(os->hash);
	*os = (struct objects){ 0 };
}

uint32_t objects_id(const struct objects *os, uint64_t file_id)
{
	return os->hash_size ? slot_of(os, file_id)->id : 0;
}

const struct ckpt_kind *kind_of(const struct kind_file *f)
{
	size_t i = 0;

	while (!ckpt_kinds[i]->match(f))
		i++; /* the last one matches everything */
	return ckpt_kinds[i];
}

const struct ckpt_kind *kind_by_name(const char *name)
{
	for (size_t i = 0; ckpt_kinds[i]; i++)
		if (!strcmp(ckpt_kinds[i]->name, name))
			return ckpt_kinds[i];
	return NULL;
}

/* ---- checking and saving ---- */

static void subject_of(const struct kind_file *f, char *buf, size_t len)
{
	if (f->fd >= 0)
		snprintf(buf, len, "fd %d", f->fd);
	else
		snprintf(buf, len, "memory %#llx-%#llx", (unsigned long long)f->map_start,
			 (unsigned long long)f->map_end);
}

int objects_check(const struct objects *os, const struct kind_dump *d, struct ckpt_findings *f,
		  struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < os->n; i++) {
		const struct object_row *r = &os->row[i];
		struct ckpt_err *why = NULL;
		char subject[64], what[512];
		bool bad = r->kind->check(d, &r->f, &why) < 0;

		subject_of(&r->f, subject, sizeof(subject));
		r->kind->describe(&r->f, what, sizeof(what));
		rc = findings_add(f, bad ? CKPT_NO : CKPT_YES, subject, what,
				  bad ? ckpt_err_text(why) : "", bad ? ckpt_err_hint(why) : "", err);
		ckpt_err_free(why);
	}
	return rc;
}

static int save_owner(const struct rec_file *f, json_t *o)
{
	json_t *owner;
	int rc;

	if (!f->fown_pid && !f->fown_signum)
		return 0;
	owner = json_object();
	rc = json_object_set_new(o, "owner", owner);
	rc |= js_set_int(owner, "pid", f->fown_pid);
	rc |= js_set_int(owner, "type", f->fown_pid_type);
	rc |= js_set_int(owner, "signal", f->fown_signum);
	return rc;
}

static int save_common(const struct object_row *r, json_t *o)
{
	const struct kind_file *f = &r->f;
	int rc = js_set_int(o, "id", r->id);

	rc |= json_object_set_new(o, "kind", json_string(r->kind->name));
	rc |= js_set_int(o, "flags", f->inode->f_flags & ~KERNEL_FLAGS);
	if (f->file) {
		rc |= js_set_hex(o, "pos", f->file->pos);
		rc |= save_owner(f->file, o);
	}
	return rc;
}

int objects_save(const struct objects *os, struct kind_dump *d, bool contents, json_t **ret,
		 struct ckpt_err **err)
{
	_cleanup_json_ json_t *rows = json_array();
	struct image_writer *w = d->w;

	if (!contents)
		d->w = NULL;
	for (size_t i = 0; i < os->n; i++) {
		const struct object_row *r = &os->row[i];
		json_t *o = json_object();
		char subject[64];
		int rc;

		if (json_array_append_new(rows, o) || save_common(r, o))
			return ckpt_fail_nomem(err);
		rc = r->kind->save(d, &r->f, o, err);
		if (rc < 0) {
			subject_of(&r->f, subject, sizeof(subject));
			return ckpt_wrap(err, rc, "save %s (%s)", subject, r->kind->name);
		}
	}
	d->w = w;
	*ret = TAKE_PTR(rows);
	return 0;
}

/* ---- restoring ---- */

static int row_kind(const json_t *o, size_t i, const struct ckpt_kind **ret, struct ckpt_err **err)
{
	const char *name = "";
	uint32_t id = 0;
	int rc = js_str(o, "kind", &name, err);

	if (rc == 0)
		rc = js_u32(o, "id", &id, err);
	if (rc < 0)
		return rc;
	*ret = kind_by_name(name);
	if (!*ret || !(*ret)->open)
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE_VERSION,
				 "object %zu is of a kind that this version does not know: %.40s",
				 i + 1, name);
	if (id != i + 1)
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "object %zu has number %u", i + 1, id);
	return 0;
}

int objects_need(const struct kind_restore *r, struct ckpt_err **err)
{
	size_t n = json_array_size(r->objects);

	for (size_t i = 0; i < n; i++) {
		const json_t *o = json_array_get(r->objects, i);
		const struct ckpt_kind *k;
		int rc = row_kind(o, i, &k, err);

		if (rc == 0 && k->need)
			rc = k->need(r, o, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int set_owner(const json_t *o, int fd, struct ckpt_err **err)
{
	const json_t *owner = json_object_get(o, "owner");
	struct f_owner_ex ex;
	int32_t pid = 0, type = 0, sig = 0;
	int rc;

	if (!owner)
		return 0;
	rc = js_i32(owner, "pid", &pid, err);
	if (rc == 0)
		rc = js_i32(owner, "type", &type, err);
	if (rc == 0)
		rc = js_i32(owner, "signal", &sig, err);
	if (rc < 0)
		return rc;
	/* enum pid_type: thread, process, group; F_OWNER_TID, _PID, _PGRP are the same numbers. */
	ex.type = (enum __pid_type)type;
	ex.pid = pid;
	if (sig && fcntl(fd, F_SETSIG, sig) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "set the signal of a descriptor");
	/* The owner may be the process that is yet to be made: set in the second pass, by the task. */
	if (pid && fcntl(fd, F_SETOWN_EX, &ex) < 0 && errno != ESRCH)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "set the owner of a descriptor");
	return 0;
}

static int set_common(const json_t *o, int fd, struct ckpt_err **err)
{
	uint64_t pos = 0;
	int64_t flags = 0;
	int rc = js_i64(o, "flags", &flags, err);
	int now = fcntl(fd, F_GETFL);

	if (rc == 0)
		rc = js_opt_u64(o, "pos", &pos, err);
	if (rc < 0)
		return rc;
	if (flags & O_PATH)
		return 0;
	if ((now ^ (int)flags) & SETFL_FLAGS & ~O_ASYNC &&
	    fcntl(fd, F_SETFL, flags & SETFL_FLAGS & ~O_ASYNC) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "set the flags of a descriptor");
	if (pos && lseek(fd, (off_t)pos, SEEK_SET) < 0 && errno != ESPIPE)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "set a file position to %llu",
				       (unsigned long long)pos);
	rc = set_owner(o, fd, err);
	if (rc == 0 && flags & O_ASYNC && fcntl(fd, F_SETFL, flags & SETFL_FLAGS) < 0)
		rc = ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "set the flags of a descriptor");
	return rc;
}

int objects_open(struct kind_restore *r, struct ckpt_err **err)
{
	size_t n = json_array_size(r->objects);
	int rc = 0;

	r->fd = malloc((n + 1) * sizeof(*r->fd));
	if (!r->fd)
		return ckpt_fail_nomem(err);
	r->n_fd = n + 1;
	for (size_t i = 0; i <= n; i++)
		r->fd[i] = -1;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		const json_t *o = json_array_get(r->objects, i);
		const struct ckpt_kind *k;

		rc = row_kind(o, i, &k, err);
		if (rc == 0 && r->fd[i + 1] < 0)
			rc = k->open(r, o, &r->fd[i + 1], err);
	}
	for (size_t i = 0; rc == 0 && i < n; i++) {
		const json_t *o = json_array_get(r->objects, i);
		const struct ckpt_kind *k;

		rc = row_kind(o, i, &k, err);
		if (rc == 0 && k->connect)
			rc = k->connect(r, o, r->fd[i + 1], err);
		if (rc == 0 && r->fd[i + 1] < 0)
			rc = ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "object %zu has no other end", i + 1);
		if (rc == 0)
			rc = set_common(o, r->fd[i + 1], err);
	}
	return rc;
}

void objects_close(struct kind_restore *r)
{
	for (size_t i = 0; i < r->n_fd && r->fd; i++)
		close_reset(&r->fd[i]);
	free(r->fd);
	r->fd = NULL;
	r->n_fd = 0;
}

/* ---- comparing ---- */

static bool is_volatile(const struct ckpt_kind *k, const char *key)
{
	for (size_t i = 0; k->volatile_members && k->volatile_members[i]; i++)
		if (!strcmp(k->volatile_members[i], key))
			return true;
	return false;
}

static int row_same(const struct ckpt_kind *k, size_t i, const json_t *a, const json_t *b,
		    struct ckpt_err **err)
{
	const char *key;
	json_t *v;

	if (k->same)
		return k->same(a, b, err);
	json_object_foreach((json_t *)(uintptr_t)a, key, v)
	{
		if (is_volatile(k, key) || json_equal(v, json_object_get(b, key)))
			continue;
		_cleanup_free_ char *x = json_dumps(v, JSON_ENCODE_ANY);
		_cleanup_free_ char *y = json_dumps(json_object_get(b, key), JSON_ENCODE_ANY);

		return ckpt_fail(err, EIO, CKPT_E_DIFFERENT, "object %zu (%s): %s was %.80s, is %.80s",
				 i + 1, k->name, key, x ? x : "?", y ? y : "absent");
	}
	return 0;
}

int objects_same(const json_t *saved, const json_t *now, struct ckpt_err **err)
{
	size_t n = json_array_size(saved);
	int rc = 0;

	if (n != json_array_size(now))
		return ckpt_fail(err, EIO, CKPT_E_DIFFERENT, "there were %zu open files, now %zu", n,
				 json_array_size(now));
	for (size_t i = 0; rc == 0 && i < n; i++) {
		const json_t *a = json_array_get(saved, i), *b = json_array_get(now, i);
		const struct ckpt_kind *k;

		rc = row_kind(a, i, &k, err);
		if (rc == 0)
			rc = row_same(k, i, a, b, err);
	}
	return rc;
}
