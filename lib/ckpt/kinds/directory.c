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

/* Without O_DIRECTORY, unless the program said so: it may look at its flags. */
static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	return by_name_open(r, o, 0, ret_fd, err);
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
	.placed = true,
	.has_pos = true,
	.match = match,
	.check = by_name_check,
	.save = by_name_save,
	.need = by_name_need,
	.open = open_it,
	.same = by_name_same,
	.describe = describe,
};
