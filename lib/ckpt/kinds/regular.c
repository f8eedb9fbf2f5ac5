// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Regular files: opened again by path. A file that was unlinked while open has no path: its contents are saved in the image,
 * up to a limit, and it is made again and unlinked again.
 */
#include "../safe.h"
#include "../util.h"
#include "copy.h"
#include "kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* Files whose contents the kernel makes up at each reading: size and time say nothing. */
static bool is_virtual(const struct rec_inode *ino)
{
	static const uint64_t magics[] = { MAGIC_PROC, MAGIC_SYSFS, MAGIC_DEBUGFS,
					   MAGIC_TRACEFS, MAGIC_CGROUP, MAGIC_CGROUP2 };

	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++)
		if (ino->sb_magic == magics[i])
			return true;
	return false;
}

static bool match(const struct kind_file *f)
{
	const char *fs = f->inode->fstype;

	/* Kernel-internal file systems have no place for a file to come back to. */
	return S_ISREG(f->inode->mode) && f->path[0] == '/' && strcmp(fs, "mqueue") &&
	       strcmp(fs, "secretmem") && strcmp(fs, "hugetlbfs") && strcmp(fs, "pidfs") &&
	       strncmp(f->inode->dname, "memfd:", 6) && strncmp(f->inode->dname, "SYSV", 4) &&
	       strncmp(f->path, "/[", 2);
}

static int check_unlinked(const struct kind_dump *d, const struct kind_file *f,
			  struct ckpt_err **err)
{
	if (f->inode->nlink > 0)
		return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
				 "its name was removed, but it has another name that is not known");
	if (f->inode->size <= d->deleted_limit_bytes)
		return 0;
	ckpt_fail(err, EFBIG, CKPT_E_UNSUPPORTED,
		  "it was deleted, and its %" PRIu64 " bytes exceed the limit of %" PRIu64,
		  (uint64_t)f->inode->size, d->deleted_limit_bytes);
	ckpt_hint(err, "--deleted-limit=%" PRIu64 "M saves it with the image",
		  (uint64_t)(f->inode->size >> 20) + 1);
	return -EFBIG;
}

static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	struct stat st;

	if (f->inode->unhashed)
		return check_unlinked(d, f, err);
	if (stat(f->path, &st) < 0)
		return ckpt_fail_errno(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
				       "its path cannot be reached from here");
	/* An overlay shows other numbers for the same file. */
	if (st.st_ino != f->inode->ino && strcmp(f->inode->fstype, "overlay"))
		return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
				 "its path now names another file");
	return 0;
}

/* Another description of the same unlinked inode comes before this one: the contents are its. */
static int inode_of(const struct kind_dump *d, const struct kind_file *f)
{
	for (size_t i = 0; i < d->snap->n_files; i++)
		if (d->snap->files[i].rec->inode.inode_id == f->inode->inode_id)
			return d->snap->files[i].rec->fd;
	return -1;
}

static int save_contents(struct kind_dump *d, const struct kind_file *f, json_t *o,
			 struct ckpt_err **err)
{
	_cleanup_close_ int from = -1, to = -1;
	char name[40];
	int rc = kind_get_fd(d->root_pidfd, f, &from, err);

	if (rc < 0)
		return rc;
	/* O_WRONLY or O_PATH descriptors cannot be read: a descriptor of our own can. */
	snprintf(name, sizeof(name), "/proc/self/fd/%d", from);
	int readable = open(name, O_RDONLY | O_CLOEXEC);

	if (readable < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "read the deleted file");
	close(from);
	from = readable;
	d->deleted_bytes += f->inode->size;
	if (d->deleted_bytes > d->deleted_limit_bytes)
		return ckpt_fail(err, EFBIG, CKPT_E_UNSUPPORTED,
				 "deleted files hold more than the limit of %" PRIu64 " bytes",
				 d->deleted_limit_bytes);
	snprintf(name, sizeof(name), "deleted-%lld",
		 (long long)json_integer_value(json_object_get(o, "id")));
	rc = image_data_open(d->w, name, &to, err);
	if (rc == 0)
		rc = copy_sparse(from, to, f->inode->size, err);
	if (rc == 0)
		rc = image_data_done(d->w, name, to, err);
	if (rc == 0 && json_object_set_new(o, "data", json_string(name)))
		rc = ckpt_fail_nomem(err);
	return rc;
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	int first, rc = path_save(f->inode, f->path, o, err);

	if (rc < 0)
		return rc;
	if (is_virtual(f->inode) && js_set_bool(o, "virtual", true))
		return ckpt_fail_nomem(err);
	if (!f->inode->unhashed)
		return 0;
	first = inode_of(d, f);
	rc = js_set_bool(o, "deleted", true);
	rc |= js_set_int(o, "uid", f->inode->uid);
	rc |= js_set_int(o, "gid", f->inode->gid);
	rc |= js_set_int(o, "first_fd", first); /* which description has the contents */
	if (rc)
		return ckpt_fail_nomem(err);
	if (!d->w || (first >= 0 && first != f->fd))
		return 0;
	return save_contents(d, f, o, err);
}

static int need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	if (json_is_true(json_object_get(o, "deleted")))
		return 0;
	return path_need(o, r->allow_changed || json_is_true(json_object_get(o, "virtual")), err);
}

/* ---- opening ---- */

/*
 * A file without a name, at the place where it had one. If the name is free the file gets it for a moment, so that
 * /proc shows the same "(deleted)" name.
 */
static int make_unlinked(const char *path, mode_t mode, struct ckpt_err **err)
{
	_cleanup_free_ char *dir = strdup(path);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (!dir)
		return ckpt_fail_nomem(err);
	if (fd >= 0) {
		unlink(path);
	} else {
		*strrchr(dir, '/') = 0;
		fd = open(dir[0] ? dir : "/", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	}
	if (fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "make the deleted file %s again",
				       path);
	(void)!fchmod(fd, mode & 07777);
	return fd;
}

static int fill_unlinked(struct kind_restore *r, const json_t *o, int fd, struct ckpt_err **err)
{
	const json_t *info = json_object_get(o, "info");
	_cleanup_close_ int from = -1;
	const char *name = "";
	uint64_t size = 0, mtime = 0;
	uint32_t uid = 0, gid = 0;
	int rc = js_str(o, "data", &name, err);

	if (rc == 0)
		rc = js_u64(info, "size", &size, err);
	if (rc == 0)
		rc = js_u64(info, "mtime_ns", &mtime, err);
	if (rc == 0)
		rc = js_u32(o, "uid", &uid, err);
	if (rc == 0)
		rc = js_u32(o, "gid", &gid, err);
	if (rc == 0)
		rc = image_file_open(r->im, true, name, &from, err);
	if (rc == 0)
		rc = copy_sparse(from, fd, size, err);
	if (rc < 0)
		return rc;
	struct timespec times[2] = { { 0, UTIME_OMIT },
				     { (time_t)(mtime / 1000000000u),
				       (long)(mtime % 1000000000u) } };

	if (fchown(fd, uid, gid) < 0 || futimens(fd, times) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE,
				       "give a deleted file its owner and time");
	return 0;
}

/* The object that has the contents of this one's inode. */
static int first_object(const struct kind_restore *r, const json_t *o, size_t *ret,
			struct ckpt_err **err)
{
	int32_t want = 0, has = 0;
	int rc = js_i32(o, "first_fd", &want, err);

	for (size_t i = 0; rc == 0 && i < json_array_size(r->objects); i++) {
		const json_t *p = json_array_get(r->objects, i);

		if (p == o)
			break;
		if (want >= 0 && json_object_get(p, "first_fd") &&
		    js_i32(p, "first_fd", &has, NULL) == 0 && has == want &&
		    json_object_get(p, "data")) {
			*ret = i + 1;
			return 1;
		}
	}
	return rc;
}

static int reopen(int fd, int flags, struct ckpt_err **err)
{
	char link[40];
	int again;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	again = open(link, flags & ~(O_NOFOLLOW | O_DIRECTORY));
	return again < 0 ? ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "open a deleted file again") :
			   again;
}

static int open_deleted(struct kind_restore *r, const json_t *o, const char *path, int flags,
			int *ret_fd, struct ckpt_err **err)
{
	_cleanup_close_ int fd = -1;
	uint32_t mode = 0;
	size_t first = 0;
	int rc = js_u32(o, "mode", &mode, err);

	if (rc == 0)
		rc = first_object(r, o, &first, err);
	if (rc < 0)
		return rc;
	if (rc == 1) {
		rc = reopen(r->fd[first], flags, err);
	} else {
		fd = make_unlinked(path, (mode_t)mode, err);
		if (fd < 0)
			return fd;
		rc = fill_unlinked(r, o, fd, err);
		if (rc == 0)
			rc = reopen(fd, flags, err);
	}
	if (rc < 0)
		return rc;
	*ret_fd = rc;
	return 0;
}

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	char safe[512];
	int flags = 0, rc = kind_open_flags(o, &flags, err);

	if (rc == 0)
		rc = js_bytes(o, "path", &path, err);
	if (rc == 0 && path[0] != '/')
		rc = ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "a file's path is not absolute");
	if (rc < 0)
		return rc;
	if (json_is_true(json_object_get(o, "deleted")))
		return open_deleted(r, o, path, flags, ret_fd, err);
	*ret_fd = open(path, flags);
	if (*ret_fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_FILE_GONE, "open %s",
				       safe_text(safe, sizeof(safe), path));
	return 0;
}

/*
 * "data" and "info" (inode number, size, time) differ by nature. A deleted file may have another path: when
 * someone made a new file of its old name.
 */
static int same(const json_t *saved, const json_t *now, struct ckpt_err **err)
{
	bool deleted = json_is_true(json_object_get(saved, "deleted"));
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)saved, key, v)
	{
		if (!strcmp(key, "info") || !strcmp(key, "data") ||
		    (deleted && !strcmp(key, "path")) || json_equal(v, json_object_get(now, key)))
			continue;
		_cleanup_free_ char *x = json_dumps(v, JSON_ENCODE_ANY);
		_cleanup_free_ char *y = json_dumps(json_object_get(now, key), JSON_ENCODE_ANY);

		return ckpt_fail(err, EIO, CKPT_E_DIFFERENT, "regular file: %s was %.80s, is %.80s",
				 key, x ? x : "?", y ? y : "absent");
	}
	return 0;
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	char path[300];

	safe_text(path, sizeof(path), f->path);
	if (f->file)
		snprintf(buf, len, "%s %s, at %" PRIu64 " of %" PRIu64 " bytes",
			 f->inode->unhashed ? "deleted file" : "regular file", path,
			 (uint64_t)f->file->pos, (uint64_t)f->inode->size);
	else
		snprintf(buf, len, "%s %s, mapped", f->inode->unhashed ? "deleted file" : "file",
			 path);
}

const struct ckpt_kind kind_regular = {
	.name = "regular",
	.match = match,
	.check = check,
	.save = save,
	.need = need,
	.open = open_it,
	.same = same,
	.describe = describe,
};
