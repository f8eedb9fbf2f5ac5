// SPDX-License-Identifier: LGPL-2.1-or-later
/* Files named by path: saving what they were, and judging whether they still are. */
#include "../safe.h"
#include "../util.h"
#include "kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

int path_save(const struct rec_inode *ino, const char *path, json_t *o, struct ckpt_err **err)
{
	int rc = js_set_bytes(o, "path", path);
	json_t *info = json_object_get(o, "info");

	if (!info)
		rc |= json_object_set_new(o, "info", info = json_object());
	rc |= js_set_int(o, "mode", ino->mode);
	/* These change under a running program, and on another machine. */
	rc |= js_set_hex(info, "ino", ino->ino);
	rc |= js_set_hex(info, "size", ino->size);
	rc |= js_set_hex(info, "mtime_ns", ino->mtime_ns);
	return rc ? ckpt_fail_nomem(err) : 0;
}

int path_need(const json_t *o, bool allow_changed, struct ckpt_err **err)
{
	const json_t *info = json_object_get(o, "info");
	_cleanup_free_ char *path = NULL;
	char safe[512];
	uint64_t size = 0, mtime = 0, now;
	uint32_t mode = 0;
	struct stat st;
	int rc = js_bytes(o, "path", &path, err);

	if (rc == 0)
		rc = js_u32(o, "mode", &mode, err);
	if (rc == 0)
		rc = js_u64(info, "size", &size, err);
	if (rc == 0)
		rc = js_u64(info, "mtime_ns", &mtime, err);
	if (rc < 0)
		return rc;
	safe_text(safe, sizeof(safe), path);
	if (path[0] != '/' || stat(path, &st) < 0)
		return ckpt_fail_errno(err, errno ? errno : ENOENT, CKPT_E_FILE_GONE,
				       "the process needs %s", safe);
	if ((st.st_mode ^ mode) & S_IFMT)
		return ckpt_fail(err, ESTALE, CKPT_E_FILE_CHANGED,
				 "%s is a file of another type than it was", safe);
	if (allow_changed || S_ISDIR(mode))
		return 0;
	now = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
	if ((uint64_t)st.st_size != size)
		return ckpt_fail(err, ESTALE, CKPT_E_FILE_CHANGED,
				 "%s changed since the checkpoint: it had %" PRIu64
				 " bytes, now %" PRIu64,
				 safe, size, (uint64_t)st.st_size);
	if (now != mtime)
		return ckpt_fail(err, ESTALE, CKPT_E_FILE_CHANGED,
				 "%s changed since the checkpoint: it was written to", safe);
	return 0;
}

int kind_get_fd(int pidfd, const struct kind_file *f, int *ret_fd, struct ckpt_err **err)
{
	char path[96];

	if (f->fd >= 0) {
		*ret_fd = (int)syscall(SYS_pidfd_getfd, pidfd, f->fd, 0);
	} else {
		snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", f->tgid,
			 (unsigned long long)f->map_start, (unsigned long long)f->map_end);
		*ret_fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (*ret_fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "get the program's open file %s",
				       f->path);
	return 0;
}

int kind_open_flags(const json_t *o, int *ret_flags, struct ckpt_err **err)
{
	const int keep = O_ACCMODE | O_APPEND | O_NONBLOCK | O_DSYNC | O_SYNC | O_DIRECT |
			 O_NOATIME | O_PATH | O_DIRECTORY | O_NOFOLLOW | O_LARGEFILE;
	int64_t flags = 0;
	int rc = js_i64(o, "flags", &flags, err);

	*ret_flags = ((int)flags & keep) | O_CLOEXEC | O_NOCTTY;
	return rc;
}
