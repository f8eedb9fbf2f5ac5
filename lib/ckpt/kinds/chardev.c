// SPDX-License-Identifier: LGPL-2.1-or-later
/* Character devices that hold no state of the program: opened again by path. */
#include "../safe.h"
#include "../util.h"
#include "kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* Documentation/admin-guide/devices.txt: major 1. */
static const struct {
	unsigned int major, minor;
	const char *name;
} stateless[] = {
	{ 1, 3, "null" },   { 1, 5, "zero" },	 { 1, 7, "full" },
	{ 1, 8, "random" }, { 1, 9, "urandom" },
};

const char *device_stateless(unsigned int major, unsigned int minor)
{
	for (size_t i = 0; i < sizeof(stateless) / sizeof(stateless[0]); i++)
		if (stateless[i].major == major && stateless[i].minor == minor)
			return stateless[i].name;
	return NULL;
}

static const char *name_of(const struct rec_inode *ino)
{
	return device_stateless(ino->rdev_major, ino->rdev_minor);
}

static bool match(const struct kind_file *f)
{
	return S_ISCHR(f->inode->mode) && name_of(f->inode);
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	struct stat st;

	if (path_state(f, &st, &path) == PATH_UNLINKED)
		return nameless_save(d, f, o, err);
	if (js_set_bytes(o, "path", path ? path : f->path) ||
	    js_set_int(o, "major", f->inode->rdev_major) ||
	    js_set_int(o, "minor", f->inode->rdev_minor))
		return ckpt_fail_nomem(err);
	return 0;
}

/* Opening another device may do things: so it must be one of ours, and the one that it was. */
static int is_device(const json_t *o, const char *path, struct ckpt_err **err)
{
	struct rec_inode ino = { 0 };
	struct stat st;
	char safe[300];
	int rc = js_u32(o, "major", &ino.rdev_major, err);

	if (rc == 0)
		rc = js_u32(o, "minor", &ino.rdev_minor, err);
	if (rc < 0)
		return rc;
	safe_text(safe, sizeof(safe), path);
	if (!name_of(&ino))
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
				 "%s is device %u:%u, which is not supported", safe, ino.rdev_major,
				 ino.rdev_minor);
	if (stat(path, &st) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_FILE_GONE, "look at device %s", safe);
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(ino.rdev_major, ino.rdev_minor))
		return ckpt_fail(err, ESTALE, CKPT_E_FILE_GONE, "%s is no longer device %u:%u (%s)",
				 safe, ino.rdev_major, ino.rdev_minor, name_of(&ino));
	return 0;
}

static int need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	int rc;

	(void)r;
	if (nameless_is(o))
		return nameless_need(o, err);
	rc = path_get(o, &path, err);
	return rc < 0 ? rc : is_device(o, path, err);
}

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	return by_name_open(r, o, 0, ret_fd, err);
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	char path[200];

	snprintf(buf, len, "%sdevice %s (%s)", f->inode->unhashed ? "removed " : "",
		 safe_text(path, sizeof(path), f->path), name_of(f->inode));
}

const struct ckpt_kind kind_chardev = {
	.name = "chardev",
	.match = match,
	.check = by_name_check,
	.save = save,
	.need = need,
	.open = open_it,
	.same = by_name_same,
	.describe = describe,
};
