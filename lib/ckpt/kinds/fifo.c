// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * FIFOs: found again by name, or made again when that was removed, all ends being within the
 * processes.
 */
#include "../safe.h"
#include "../util.h"
#include "pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

static bool match(const struct kind_file *f)
{
	return S_ISFIFO(f->inode->mode) && f->file && f->path[0] == '/';
}

static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	int rc = by_name_check(d, f, err);

	return rc < 0 ? rc : pipe_ends_check(d, f, "FIFO", err);
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	int rc = by_name_save(d, f, o, err);

	return rc < 0 ? rc : pipe_ends_save(d, f, o, err);
}

/* Opening anything else could block, or do things. */
static int is_fifo(const char *path, struct ckpt_err **err)
{
	char safe[512];
	struct stat st;

	safe_text(safe, sizeof(safe), path);
	if (path[0] != '/')
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "a FIFO's path is not absolute");
	if (stat(path, &st) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_FILE_GONE, "the process needs %s", safe);
	if (!S_ISFIFO(st.st_mode))
		return ckpt_fail(err, ESTALE, CKPT_E_FILE_CHANGED, "%s is no FIFO any more", safe);
	return 0;
}

static int need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	int rc = path_get(o, &path, err);

	/* Every write changes its time, so that says nothing. */
	if (rc == 0 && nameless_is(o))
		rc = nameless_need(o, err);
	else if (rc == 0)
		rc = is_fifo(path, err);
	if (rc == 0 && !nameless_is(o))
		rc = path_need(o, true, err);
	return rc < 0 ? rc : pipe_ends_need(r, o, err);
}

/* Both ends, with which nothing that follows waits for the other one. */
static int open_both(const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	char safe[512];
	struct stat st;
	int bytes = 0, rc = path_get(o, &path, err);

	if (rc == 0)
		rc = is_fifo(path, err);
	if (rc < 0)
		return rc;
	safe_text(safe, sizeof(safe), path);
	*ret_fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (*ret_fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_FILE_GONE, "open %s", safe);
	if (fstat(*ret_fd, &st) < 0 || !S_ISFIFO(st.st_mode) ||
	    ioctl(*ret_fd, FIONREAD, &bytes) < 0)
		return ckpt_fail(err, ESTALE, CKPT_E_FILE_CHANGED, "%s is no FIFO any more", safe);
	if (bytes)
		return ckpt_fail(err, EBUSY, CKPT_E_FILE_CHANGED,
				 "%s is in use: it holds %d bytes of another process", safe, bytes);
	return 0;
}

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	_cleanup_close_ int both = -1;
	int rc = nameless_is(o) ? nameless_make_open(o, O_RDWR | O_NONBLOCK, &both, err)
				: open_both(o, &both, err);

	if (rc < 0)
		return rc;
	(void)ret_fd; /* is the row's place in r->fd, which pipe_ends_open() fills */
	rc = TAKE_FD(both);
	return pipe_ends_open(r, o, rc, rc, err);
}

static int same(const json_t *saved, const json_t *now, struct ckpt_err **err)
{
	static const char *const keys[] = { "pipe", "end", "size", "bytes" };
	int rc = nameless_same(saved, now, err);

	if (rc == 0 && !nameless_is(saved))
		rc = objects_same_member(saved, now, "path", err);
	for (size_t i = 0; rc == 0 && i < sizeof(keys) / sizeof(keys[0]); i++)
		rc = objects_same_member(saved, now, keys[i], err);
	return rc;
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	char path[300];

	snprintf(buf, len, "%sFIFO %s, which holds %u bytes", f->inode->unhashed ? "removed " : "",
		 safe_text(path, sizeof(path), f->path), f->file->pipe_bytes);
}

const struct ckpt_kind kind_fifo = {
	.name = "fifo",
	.placed = true,
	.match = match,
	.check = check,
	.save = save,
	.need = need,
	.open = open_it,
	.same = same,
	.describe = describe,
};
