// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Directories, at the place where they are being read. The position is a cookie of the file
 * system's, which it understands again as long as the directory is the same.
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
	(void)d;
	return path_check(f, err);
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	(void)d;
	return path_save(f->inode, f->path, o, err);
}

static int need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	return path_need(o, r->allow_changed, err);
}

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	char safe[300];
	int flags = 0, rc = kind_open_flags(o, &flags, err);

	(void)r;
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

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	char path[300];

	snprintf(buf, len, "directory %s", safe_text(path, sizeof(path), f->path));
}

const struct ckpt_kind kind_directory = {
	.name = "directory",
	.has_pos = true,
	.match = match,
	.check = check,
	.save = save,
	.need = need,
	.open = open_it,
	.describe = describe,
};
