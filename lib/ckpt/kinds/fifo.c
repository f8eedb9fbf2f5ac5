// SPDX-License-Identifier: LGPL-2.1-or-later
/* FIFOs: found again by name, all ends being within the process. */
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
	struct stat st;

	if (f->inode->unhashed) {
		ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED, "the FIFO was removed");
		ckpt_hint(err, "close it before the checkpoint");
		return -EOPNOTSUPP;
	}
	if (stat(f->path, &st) < 0)
		return ckpt_fail_errno(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
				       "its path cannot be reached from here");
	/* An overlay shows other numbers for the same file. */
	if (!S_ISFIFO(st.st_mode) ||
	    (st.st_ino != f->inode->ino && strcmp(f->inode->fstype, "overlay")))
		return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
				 "its path now names another file");
	return pipe_ends_check(d, f, "FIFO", err);
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	int rc = path_save(f->inode, f->path, o, err);

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
	int rc = js_bytes(o, "path", &path, err);

	/* Every write changes its time, so that says nothing. */
	if (rc == 0)
		rc = is_fifo(path, err);
	if (rc == 0)
		rc = path_need(o, true, err);
	return rc < 0 ? rc : pipe_ends_need(r, o, err);
}

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int both = -1;
	char safe[512];
	struct stat st;
	int bytes = 0, rc = js_bytes(o, "path", &path, err);

	if (rc == 0)
		rc = is_fifo(path, err);
	if (rc < 0)
		return rc;
	safe_text(safe, sizeof(safe), path);
	/* With both ends open, nothing that follows waits for the other one. */
	both = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (both < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_FILE_GONE, "open %s", safe);
	if (fstat(both, &st) < 0 || !S_ISFIFO(st.st_mode) || ioctl(both, FIONREAD, &bytes) < 0)
		return ckpt_fail(err, ESTALE, CKPT_E_FILE_CHANGED, "%s is no FIFO any more", safe);
	if (bytes)
		return ckpt_fail(err, EBUSY, CKPT_E_FILE_CHANGED,
				 "%s is in use: it holds %d bytes of another process", safe, bytes);
	(void)ret_fd; /* is the row's place in r->fd, which pipe_ends_open() fills */
	rc = TAKE_FD(both);
	return pipe_ends_open(r, o, rc, rc, err);
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	char path[300];

	snprintf(buf, len, "FIFO %s, which holds %u bytes", safe_text(path, sizeof(path), f->path),
		 f->file->pipe_bytes);
}

const struct ckpt_kind kind_fifo = {
	.name = "fifo",
	.match = match,
	.check = check,
	.save = save,
	.need = need,
	.open = open_it,
	.volatile_members = pipe_volatile_members,
	.describe = describe,
};
