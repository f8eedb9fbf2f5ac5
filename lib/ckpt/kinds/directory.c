// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Directories, at the place where they are being read. The position is a cookie of the file
 * system's, which it understands again as long as the directory is the same. A directory that was
 * removed is empty, and made again; so is a removed working directory, which is an object, too.
 */
#include "../safe.h"
#include "../util.h"
#include "kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

static bool match(const struct kind_file *f)
{
	return S_ISDIR(f->inode->mode);
}

static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	struct stat st;
	enum path_state state = path_state(f, &st, &path);

	(void)d;
	if (state == PATH_UNLINKED && !f->path_cut)
		return 0;
	return path_check_state(f, state, err);
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	struct stat st;
	enum path_state state = path_state(f, &st, &path);
	int rc;

	if (state == PATH_UNLINKED)
		return nameless_save(d, f, o, err);
	rc = d->contents ? path_check_state(f, state, err) : 0;
	return rc < 0 ? rc : path_save_stat(f->inode, path ? path : f->path, &st, o, err);
}

static int need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	return nameless_is(o) ? nameless_need(o, err) : path_need(o, r->allow_changed, err);
}

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	char safe[300];
	int flags = 0, rc = kind_open_flags(o, &flags, err);

	if (rc == 0 && nameless_is(o))
		return nameless_open(r, o, err);
	if (rc == 0)
		rc = path_get(o, &path, err);
	if (rc < 0)
		return rc;
	/* Not O_DIRECTORY for all: the program may look at its flags. */
	*ret_fd = open(path, flags);
	if (*ret_fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_FILE_GONE, "open directory %s",
				       safe_text(safe, sizeof(safe), path));
	return 0;
}

static int same(const json_t *saved, const json_t *now, struct ckpt_err **err)
{
	int rc = nameless_same(saved, now, err);

	return rc < 0 || nameless_is(saved) ? rc : objects_same_member(saved, now, "path", err);
}

/* ---- where a process is ---- */

int place_save(const struct objects *os, const struct snap_path *p, json_t *row,
	       struct ckpt_err **err)
{
	uint32_t id = objects_id(os, p->rec->inode.inode_id);

	if (id)
		return js_set_int(row, "object", id) ? ckpt_fail_nomem(err) : 0;
	return path_save(&p->rec->inode, p->path, row, err);
}

int place_need(const json_t *row, struct ckpt_err **err)
{
	/* Directories change all the time: they must be there, no more. */
	return json_object_get(row, "object") ? 0 : path_need(row, true, err);
}

int place_object(const struct kind_restore *r, const json_t *row, int *ret_fd,
		 struct ckpt_err **err)
{
	uint64_t id = 0;
	int rc = js_opt_u64(row, "object", &id, err);

	if (rc == 0 && (!id || id >= r->n_fd || r->fd[id] < 0))
		rc = ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
			       "a working directory is object %llu, which is not there",
			       (unsigned long long)id);
	if (rc == 0)
		*ret_fd = r->fd[id];
	return rc;
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	char path[300];

	snprintf(buf, len, "%sdirectory %s", f->inode->unhashed ? "removed " : "",
		 safe_text(path, sizeof(path), f->path));
}

const struct ckpt_kind kind_directory = {
	.name = "directory",
	.has_pos = true,
	.match = match,
	.check = check,
	.save = save,
	.need = need,
	.open = open_it,
	.same = same,
	.describe = describe,
};
