// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Descriptors that only stand for a place (O_PATH) of what cannot be opened, or need not be, to be
 * held: symbolic links, sockets, FIFOs, devices of any kind. Regular files and directories, O_PATH
 * or not, are of kinds of their own.
 */
#include "../safe.h"
#include "../util.h"
#include "kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static bool match(const struct kind_file *f)
{
	uint32_t mode = f->inode->mode;

	if (!f->file || !(f->inode->f_flags & O_PATH) || f->path[0] != '/' ||
	    !strcmp(f->inode->fstype, "pipefs") || !strcmp(f->inode->fstype, "sockfs"))
		return false;
	/* The bytes in a FIFO that has no name are its open ends'. */
	if (S_ISFIFO(mode))
		return f->inode->nlink > 0;
	return S_ISLNK(mode) || S_ISSOCK(mode) || S_ISCHR(mode) || S_ISBLK(mode);
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

/* FIFOs and devices change their times by being used. */
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
	*ret_fd = open(path, flags | O_PATH | O_NOFOLLOW);
	if (*ret_fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_FILE_GONE, "open %s",
				       safe_text(safe, sizeof(safe), path));
	return 0;
}

static int same(const json_t *saved, const json_t *now, struct ckpt_err **err)
{
	int rc = nameless_same(saved, now, err);

	return rc < 0 || nameless_is(saved) ? rc : objects_same_member(saved, now, "path", err);
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	uint32_t mode = f->inode->mode;
	char path[300];

	snprintf(buf, len, "place (O_PATH) of %s%s %s",
		 f->inode->unhashed ? "the removed " : "the ",
		 S_ISLNK(mode)	  ? "symbolic link"
		 : S_ISSOCK(mode) ? "socket"
		 : S_ISFIFO(mode) ? "FIFO"
				  : "device",
		 safe_text(path, sizeof(path), f->path));
}

const struct ckpt_kind kind_opath = {
	.name = "opath",
	.match = match,
	.check = check,
	.save = save,
	.need = need,
	.open = open_it,
	.same = same,
	.describe = describe,
};
