// SPDX-License-Identifier: LGPL-2.1-or-later
/* Directories, at the place where they are being read. */
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
	struct stat st;

	(void)d;
	if (f->inode->unhashed || stat(f->path, &st) < 0)
		return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED, "the directory was removed");
	if (st.st_ino != f->inode->ino)
		return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
				 "its path now names another directory");
	return 0;
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
	int flags = 0, rc = kind_open_flags(o, &flags, err);

	(void)r;
	if (rc == 0)
		rc = js_bytes(o, "path", &path, err);
	if (rc < 0)
		return rc;
	*ret_fd = open(path, flags | O_DIRECTORY);
	if (*ret_fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_FILE_GONE, "open directory %s", path);
	return 0;
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	char path[300];

	snprintf(buf, len, "directory %s", safe_text(path, sizeof(path), f->path));
}

static const char *const volatile_members[] = { "info", NULL };

const struct ckpt_kind kind_directory = {
	.name = "directory",
	.match = match,
	.check = check,
	.save = save,
	.need = need,
	.open = open_it,
	.volatile_members = volatile_members,
	.describe = describe,
};
