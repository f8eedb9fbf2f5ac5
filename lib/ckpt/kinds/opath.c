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

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	return by_name_open(r, o, O_PATH | O_NOFOLLOW, ret_fd, err);
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
	.placed = true,
	.match = match,
	.check = by_name_check,
	.save = by_name_save,
	.need = by_name_need,
	.open = open_it,
	.same = by_name_same,
	.describe = describe,
};
