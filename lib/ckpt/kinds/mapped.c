// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Mapped files that have a name, and whose contents are saved all the same (--save-mapped), so that
 * a restore does not need them to be there any more: executables and libraries that were upgraded.
 *
 * At the checkpoint every description of such a file, mapped or not, gets a member "copy": what it
 * takes to make it again as a deleted file ("mode", "uid", "gid", "size", "mtime_ns"); the first
 * one carries the contents ("data"), the others name it ("copy"."inode_of"). Besides, all is as if
 * there were no copy.
 *
 * At the restore, before anything is checked or made, it is seen whether the file is there with
 * these contents. If so, it is used, and the copy is forgotten. If not, all its rows become those
 * of a deleted file. So the rest of the engine does not know of copies.
 */
#include "../util.h"
#include "kinds.h"

#include <ebpf_ckpt.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NSEC_PER_SEC 1000000000LL
#define CHUNK	     (256U << 10)

/* ---- saving ---- */

static bool is_meant(const struct kind_dump *d, const struct kind_file *f)
{
	return (f->is_exe && d->save_mapped & CKPT_MAPPED_EXE) ||
	       (f->mapped_private && d->save_mapped & CKPT_MAPPED_PRIVATE) ||
	       (f->mapped_shared && d->save_mapped & CKPT_MAPPED_SHARED);
}

struct kind_copied *mapped_wanted(const struct kind_dump *d, const struct stat *st)
{
	for (size_t i = 0; i < d->n_copied; i++)
		if (d->copied[i].dev == st->st_dev && d->copied[i].ino == st->st_ino)
			return &d->copied[i];
	return NULL;
}

static void find_writers(struct kind_dump *d, const struct objects *os)
{
	char link[KIND_LINK_LEN];
	struct kind_copied *c;
	struct stat st;

	for (size_t i = 0; d->n_copied && i < os->n; i++) {
		const struct object_row *r = &os->row[i];

		if (r->kind == &kind_regular &&
		    (r->f.mapped_shared || (r->f.file && r->f.inode->f_mode & FMODE_WRITE_BIT)) &&
		    stat(kind_link(&r->f, link), &st) == 0) {
			c = mapped_wanted(d, &st);
			if (c)
				c->may_change = true;
		}
	}
}

/* By what stat(2) says: on an overlay the inodes of a file and of an area that maps it differ. */
int mapped_find(struct kind_dump *d, const struct objects *os, struct ckpt_err **err)
{
	char link[KIND_LINK_LEN];
	struct stat st;

	d->copied = NULL;
	d->n_copied = 0;
	if (!d->save_mapped)
		return 0;
	d->copied = calloc(os->n + 1, sizeof(*d->copied));
	if (!d->copied)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < os->n; i++) {
		const struct object_row *r = &os->row[i];

		/* One that cannot be looked at was closed: it is running, or save() says so. */
		if (r->kind == &kind_regular && is_meant(d, &r->f) &&
		    !path_is_virtual(r->f.inode->fstype) &&
		    stat(kind_link(&r->f, link), &st) == 0 && !mapped_wanted(d, &st))
			d->copied[d->n_copied++] =
				(struct kind_copied){ .dev = st.st_dev, .ino = st.st_ino };
	}
	find_writers(d, os);
	return 0;
}

void mapped_forget(struct kind_dump *d)
{
	free(d->copied);
	d->copied = NULL;
	d->n_copied = 0;
}

int mapped_save_attributes(const struct kind_dump *d, const struct kind_file *f,
			   struct kind_copied *c, json_t *o, struct ckpt_err **err)
{
	const uint32_t id = objects_id(d->os, f->inode->file_id);
	json_t *copy = json_object();
	int rc = json_object_set_new(o, "copy", copy);

	if (c->first) {
		rc |= js_set_int(copy, "inode_of", c->first);
	} else {
		c->first = id;
		rc |= js_set_int(copy, "mode", f->inode->mode & 07777);
		rc |= js_set_int(copy, "uid", f->inode->uid);
		rc |= js_set_int(copy, "gid", f->inode->gid);
		rc |= js_set_int(copy, "size", (int64_t)f->inode->size);
		rc |= js_set_int(copy, "mtime_ns", (int64_t)f->inode->mtime_ns);
	}
	return rc ? ckpt_fail_nomem(err) : 0;
}

/* ---- restoring ---- */

/* The descriptions of one file, under the number of the first. */
struct group {
	bool there, judged;
	struct stat st; /* of the file that is there */
};

/* From `at` on, the next place where either has something else than a hole. */
static uint64_t next_data(int a, int b, uint64_t at, uint64_t size)
{
	off_t x = lseek(a, (off_t)at, SEEK_DATA), y;

	/* A file system without holes; or a hole up to the end. */
	if (x < 0)
		x = errno == ENXIO ? (off_t)size : (off_t)at;
	y = lseek(b, (off_t)at, SEEK_DATA);
	if (y < 0)
		y = errno == ENXIO ? (off_t)size : (off_t)at;
	return (uint64_t)(x < y ? x : y);
}

/* Both have `size` bytes. A file that cannot be read is not the same. */
static bool same_contents(int a, int b, uint64_t size)
{
	_cleanup_free_ char *x = malloc(CHUNK), *y = malloc(CHUNK);
	uint64_t at = 0;

	while (x && y && (at = next_data(a, b, at, size)) < size) {
		size_t n = size - at < CHUNK ? size - at : CHUNK;

		if (pread_all(a, x, n, at) < 0 || pread_all(b, y, n, at) < 0 ||
		    memcmp(x, y, n) != 0)
			return false;
		at += n;
	}
	return x && y;
}

/* The regular file that the row names today, to be read; -1: there is none. */
static int open_today(const struct kind_restore *r, const json_t *o, struct stat *ret)
{
	const int flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
	_cleanup_close_ int fd = -1, found = -1;
	_cleanup_free_ char *path = NULL;

	if (othername_is(o)) {
		if (othername_find(r, o, &found, NULL) == 0)
			fd = kind_reopen(found, flags, "a file by another name", NULL);
	} else if (path_need(o, true, NULL) == 0 && path_get(o, &path, NULL) == 0) {
		fd = open(path, flags);
	}
	if (fd < 0 || fstat(fd, ret) < 0 || !S_ISREG(ret->st_mode))
		return -1;
	return TAKE_FD(fd);
}

/* Is the file there, with the contents and the mode that were saved? */
static int judge_first(const struct kind_restore *r, const json_t *o, struct group *g,
		       struct ckpt_err **err)
{
	const json_t *copy = json_object_get(o, "copy");
	_cleanup_close_ int saved = -1, today = open_today(r, o, &g->st);
	uint64_t size = 0;
	uint32_t mode = 0;
	int rc = js_u64(copy, "size", &size, err);

	if (rc == 0)
		rc = js_u32(copy, "mode", &mode, err);
	if (rc == 0 && size > INT64_MAX)
		rc = ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a mapped file's size is not sound");
	if (rc == 0)
		rc = kind_open_data(r, o, size, &saved, err);
	if (rc < 0)
		return rc;
	g->judged = true;
	g->there = today >= 0 && (uint64_t)g->st.st_size == size &&
		   (g->st.st_mode & 07777) == mode && same_contents(saved, today, size);
	return 0;
}

/* Another description of it leads there by a path of its own. */
static void judge_other(const struct kind_restore *r, const json_t *o, struct group *g)
{
	struct stat st;
	_cleanup_close_ int fd = open_today(r, o, &st);

	g->there &= fd >= 0 && st.st_dev == g->st.st_dev && st.st_ino == g->st.st_ino;
}

/* The group of row i; NULL: it has no copy, or *ret_rc says what is wrong. */
static struct group *group_of(const json_t *o, size_t i, struct group *g, int *ret_rc,
			      struct ckpt_err **err)
{
	const json_t *copy = json_object_get(o, "copy");
	const char *kind = json_string_value(json_object_get(o, "kind"));
	uint64_t first = i + 1;

	*ret_rc = 0;
	if (!copy || !kind || strcmp(kind, kind_regular.name) != 0)
		return NULL;
	*ret_rc = js_opt_u64(copy, "inode_of", &first, err);
	if (*ret_rc == 0 && (first < 1 || first > i + 1 || (first <= i && !g[first - 1].judged)))
		*ret_rc = ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
				    "object %zu refers to object %llu, which is not its file",
				    i + 1, (unsigned long long)first);
	return *ret_rc < 0 ? NULL : &g[first - 1];
}

/* The file is there: it need not have the number and time that it had. */
static int use_file(json_t *o, const struct group *g)
{
	json_t *info = json_object_get(o, "info");

	return js_set_int(info, "ino", (int64_t)g->st.st_ino) |
	       js_set_int(info, "mtime_ns",
			  g->st.st_mtim.tv_sec * NSEC_PER_SEC + g->st.st_mtim.tv_nsec);
}

/* It is not there, or another one is: it is made again, without a name. */
static int use_copy(json_t *o)
{
	static const char *const of_names[] = { "info", "other_name", "handle" };
	int rc = json_object_update(o, json_object_get(o, "copy"));

	for (size_t i = 0; i < sizeof(of_names) / sizeof(of_names[0]); i++)
		json_object_del(o, of_names[i]);
	return rc | js_set_bool(o, "deleted", true);
}

int mapped_settle(const struct image *im, json_t *manifest, struct ckpt_err **err)
{
	const struct kind_restore r = { .im = im };
	json_t *objects = NULL;
	int rc = js_arr(manifest, "objects", &objects, err);
	size_t n = json_array_size(objects);
	_cleanup_free_ struct group *g = calloc(n + 1, sizeof(*g));
	struct group *of;

	if (!g)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		const json_t *o = json_array_get(objects, i);

		of = group_of(o, i, g, &rc, err);
		if (of == &g[i])
			rc = judge_first(&r, o, of, err);
		else if (of)
			judge_other(&r, o, of);
	}
	for (size_t i = 0; rc == 0 && i < n; i++) {
		json_t *o = json_array_get(objects, i);

		of = group_of(o, i, g, &rc, err);
		if (of && (of->there ? use_file(o, of) : use_copy(o)))
			rc = ckpt_fail_nomem(err);
		if (of)
			json_object_del(o, "copy");
	}
	return rc;
}
