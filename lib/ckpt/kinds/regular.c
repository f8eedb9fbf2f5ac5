// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Regular files: opened again by path, or by another name they have (othername.c). A file that was
 * unlinked while open has none: its contents are saved in the image, up to a limit, and it is made
 * again and unlinked again. Of several descriptions of one such inode the first object carries it,
 * the others name that object ("inode_of"). Of files with a name that are mapped the contents are
 * saved on demand (mapped.c).
 */
#include "../safe.h"
#include "../util.h"
#include "copy.h"
#include "kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define NSEC_PER_SEC 1000000000ULL
/* The bit that O_TMPFILE adds to O_DIRECTORY: a file made with it shows it for ever (F_GETFL). */
#define TMPFILE_BIT (O_TMPFILE & ~O_DIRECTORY)

/* File systems of the kernel's own, whose files have no place to come back to, or a life of their
 * own. */
static bool is_internal(const struct rec_inode *ino)
{
	static const char *const names[] = { "anon_inodefs", "mqueue",	"secretmem", "hugetlbfs",
					     "pidfs",	     "nsfs",	"aio",	     "dmabuf",
					     "tracefs",	     "debugfs", "securityfs" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(ino->fstype, names[i]))
			return true;
	return false;
}

/* Files that the kernel makes for itself on an internal tmpfs: "/memfd:name", "/SYSV00000000". */
static bool is_kernels_tmpfs(const struct kind_file *f)
{
	const char *name = f->inode->dname;

	if (!f->inode->unhashed || strcmp(f->inode->fstype, "tmpfs"))
		return false;
	return strncmp(f->path + 1, name, strlen(name)) == 0 &&
	       (!strncmp(name, "memfd:", 6) || !strncmp(name, "SYSV", 4) || strchr(name, '/') ||
		!strcmp(name, "drm mm object") || !strcmp(name, "i915"));
}

static bool match(const struct kind_file *f)
{
	return S_ISREG(f->inode->mode) && f->path[0] == '/' && !is_internal(f->inode) &&
	       !is_kernels_tmpfs(f);
}

/* ---- saving ---- */

/* What a copy of it takes: a sparse file takes less than its size. */
static uint64_t allocated(const struct stat *st)
{
	return (uint64_t)st->st_blocks * 512;
}

static int check_limit(const struct kind_dump *d, const struct stat *st, uint64_t bytes,
		       struct ckpt_err **err)
{
	/* Those that were asked for by name are no surprise. */
	if (bytes <= d->deleted_limit_bytes || mapped_wanted(d, st))
		return 0;
	ckpt_fail(err, EFBIG, CKPT_E_UNSUPPORTED,
		  "it was deleted, and its %" PRIu64 " bytes exceed the limit of %" PRIu64, bytes,
		  d->deleted_limit_bytes);
	ckpt_hint(err, "--deleted-limit=%" PRIu64 "M saves it with the image", (bytes >> 20) + 1);
	return -EFBIG;
}

/* Up to this size, or with few holes, a file is read through a map. */
#define MAPPED_BYTES (16U << 20)

/*
 * Opening it would be told to who watches it, the program itself perhaps, and break a lease. With a
 * description that can be read there is no need to; but of long holes only another, with a position
 * of its own, tells.
 */
static bool can_map(const struct kind_file *f)
{
	return f->file && f->inode->f_mode & FMODE_READ_BIT;
}

static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	struct stat st;
	enum path_state state = path_state(f, &st, &path);
	bool saved = state == PATH_UNLINKED || (state != PATH_MOVED_ON && mapped_wanted(d, &st));

	if (saved && f->file && f->file->has_locks & 4 && !can_map(f)) {
		ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
			  "%s, and to read it would break a lease on it",
			  state == PATH_UNLINKED ? "it was deleted" : "its contents are asked for");
		ckpt_hint(err, "let the program give the lease back (fcntl F_SETLEASE, F_UNLCK)");
		return -EOPNOTSUPP;
	}
	if (state == PATH_UNLINKED && !f->path_cut)
		return check_limit(d, &st, allocated(&st), err);
	if (state == PATH_OTHER_NAME && !f->path_cut)
		return othername_check(f, &st, err);
	return path_check_state(f, state, err);
}

static int save_contents(struct kind_dump *d, const struct kind_file *f, const struct stat *st,
			 const char *prefix, json_t *o, struct ckpt_err **err)
{
	_cleanup_close_ int from = -1;
	char link[KIND_LINK_LEN];

	if (can_map(f) && (f->inode->size <= MAPPED_BYTES || f->file->has_locks & 4 ||
			   allocated(st) > f->inode->size / 2)) {
		int rc = kind_get_fd(d, f, &from, err);

		return rc < 0 ? rc : kind_save_mapped(d, f, prefix, from, o, err);
	}
	/* A description of our own: the program's may not be readable, and its position is its own.
	 */
	from = open(kind_link(f, link), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (from < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "read the %s file", prefix);
	return kind_save_data(d, f, prefix, from, o, err);
}

static bool is_overlay(const struct kind_file *f)
{
	return !strcmp(f->inode->fstype, "overlay");
}

/*
 * The first object that is this file. Of a file mapped from an overlay the area knows the inode
 * below it only, unlike descriptors and executables; the numbers that stat(2) says are the same for
 * both.
 */
static uint32_t first_of(const struct kind_dump *d, const struct kind_file *f,
			 const struct stat *st)
{
	uint32_t first = objects_by_inode(d->os, f->inode->inode_id);
	char link[KIND_LINK_LEN];
	struct stat other;

	for (size_t i = 0; !f->file && i + 1 < first; i++) {
		const struct kind_file *g = &d->os->row[i].f;

		if (d->os->row[i].kind == &kind_regular && is_overlay(g) != is_overlay(f) &&
		    stat(kind_link(g, link), &other) == 0 && other.st_dev == st->st_dev &&
		    other.st_ino == st->st_ino)
			return d->os->row[i].id;
	}
	return first;
}

static int save_unlinked(struct kind_dump *d, const struct kind_file *f, const struct stat *st,
			 json_t *o, struct ckpt_err **err)
{
	uint32_t id = objects_id(d->os, f->inode->file_id);
	uint32_t first = first_of(d, f, st);
	int rc = js_set_bytes(o, "path", f->path);

	rc |= js_set_bool(o, "deleted", true);
	if (first != id)
		return rc || js_set_int(o, "inode_of", first) ? ckpt_fail_nomem(err) : 0;
	rc |= js_set_int(o, "mode", f->inode->mode & 07777);
	rc |= js_set_int(o, "uid", f->inode->uid);
	rc |= js_set_int(o, "gid", f->inode->gid);
	rc |= js_set_int(o, "size", (int64_t)f->inode->size);
	rc |= js_set_int(o, "mtime_ns", (int64_t)f->inode->mtime_ns);
	if (rc)
		return ckpt_fail_nomem(err);
	if (!d->w)
		return 0;
	d->deleted_bytes += allocated(st);
	rc = check_limit(d, st, d->deleted_bytes, err);
	return rc < 0 ? rc : save_contents(d, f, st, "deleted", o, err);
}

/* Somebody outside may have written meanwhile. */
static int check_unchanged(const struct kind_file *f, const struct stat *st, struct ckpt_err **err)
{
	char link[KIND_LINK_LEN];
	struct stat now;

	if (stat(kind_link(f, link), &now) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "look at the mapped file");
	if (now.st_size == st->st_size && now.st_mtim.tv_sec == st->st_mtim.tv_sec &&
	    now.st_mtim.tv_nsec == st->st_mtim.tv_nsec)
		return 0;
	ckpt_fail(err, EAGAIN, CKPT_E_CHANGING, "somebody writes to it while it is saved");
	ckpt_hint(err, "try again, or save its contents no longer (--save-mapped)");
	return -EAGAIN;
}

static int save_later(struct kind_dump *d, const struct kind_file *f, json_t *o,
		      struct ckpt_err **err)
{
	char link[KIND_LINK_LEN], name[40];
	int fd = open(kind_link(f, link), O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "read the mapped file");
	snprintf(name, sizeof(name), "mapped-%u", objects_id(d->os, f->inode->file_id));
	if (json_object_set_new(o, "data", json_string(name))) {
		close(fd);
		return ckpt_fail_nomem(err);
	}
	return kind_defer_file(d, name, fd, f->inode->size, err);
}

/* Also the contents of a file that has a name, if they are wanted. */
static int save_copy(struct kind_dump *d, const struct kind_file *f, const struct stat *st,
		     json_t *o, struct ckpt_err **err)
{
	struct kind_copied *c = mapped_wanted(d, st);
	int rc = c ? mapped_save_attributes(d, f, c, o, err) : 0;

	if (rc < 0 || !c || c->first != objects_id(d->os, f->inode->file_id))
		return rc;
	/* Libraries are large, and the program need not stand still for them. */
	if (!c->may_change && !f->file && d->n_deferred < KIND_DEFERRED_FILES)
		return save_later(d, f, o, err);
	rc = save_contents(d, f, st, "mapped", o, err);
	return rc < 0 ? rc : check_unchanged(f, st, err);
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	struct stat st;
	enum path_state state = path_state(f, &st, &path);
	int rc;

	if (state == PATH_MOVED_ON)
		return ckpt_fail(err, ESRCH, CKPT_E_GONE, "the process has closed it");
	if (state == PATH_UNLINKED)
		return save_unlinked(d, f, &st, o, err);
	/* In the final comparison a name may be gone, or another's: that is for same() to say. */
	if (state == PATH_OTHER_NAME)
		rc = othername_save(f, &st, o, err);
	else
		rc = d->contents ? path_check_state(f, state, err) : 0;
	if (rc == 0 && state != PATH_OTHER_NAME)
		rc = path_save_stat(f->inode, path ? path : f->path, &st, o, err);
	return rc == 0 && d->w ? save_copy(d, f, &st, o, err) : rc;
}

/* ---- restoring ---- */

/* What is needed to make an unlinked file again. */
struct unlinked {
	uint64_t size;
	int64_t mtime_ns;
	uint32_t mode, uid, gid;
};

static int unlinked_parse(const json_t *o, struct unlinked *u, struct ckpt_err **err)
{
	int rc = js_u64(o, "size", &u->size, err);

	if (rc == 0)
		rc = js_i64(o, "mtime_ns", &u->mtime_ns, err);
	if (rc == 0)
		rc = js_u32(o, "mode", &u->mode, err);
	if (rc == 0)
		rc = js_u32(o, "uid", &u->uid, err);
	if (rc == 0)
		rc = js_u32(o, "gid", &u->gid, err);
	if (rc == 0 && (u->mode > 07777 || u->size > INT64_MAX))
		rc = ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
			       "a deleted file's size or mode is not sound");
	return rc;
}

static bool is_unlinked(const json_t *o)
{
	return json_is_true(json_object_get(o, "deleted"));
}

static int need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	_cleanup_close_ int from = -1;
	_cleanup_free_ char *path = NULL;
	struct unlinked u;
	int rc;

	if (othername_is(o))
		return othername_need(r, o, err);
	if (!is_unlinked(o))
		return path_need(o, r->allow_changed, err);
	rc = path_get(o, &path, err);
	if (rc < 0 || json_object_get(o, "inode_of"))
		return rc;
	rc = unlinked_parse(o, &u, err);
	return rc < 0 ? rc : kind_open_data(r, o, u.size, &from, err);
}

/*
 * A file without a name in the directory of `path`, or the nearest one above it that is still
 * there and where files can be made; on another file system if need be. Written in place: path
 * becomes the directory's.
 */
static int make_nameless(char *path, int flags)
{
	static const char *const others[] = { "/var/tmp", "/tmp" };
	int fd = -1;

	flags = (flags & ~O_NOFOLLOW) | O_TMPFILE;
	do {
		char *slash = strrchr(path, '/');

		slash[slash == path] = 0;
		fd = open(path, flags, 0600);
	} while (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == EROFS) && path[1]);
	for (size_t i = 0; fd < 0 && errno == EROFS && i < sizeof(others) / sizeof(others[0]); i++)
		fd = open(others[i], flags, 0600);
	return fd;
}

/*
 * A new file, unlinked. If the old name is free the file gets it for a moment, so that /proc shows
 * it as it was. *ret_fd: with the program's flags. The descriptor returned is for filling it, and
 * must be closed: an executable cannot be run while somebody has it open for writing.
 */
static int make_unlinked(const char *path, int flags, int *ret_fd, struct ckpt_err **err)
{
	_cleanup_free_ char *dir = strdup(path);
	_cleanup_close_ int fd = -1, again = -1;
	char safe[300];
	int rc;

	if (!dir)
		return ckpt_fail_nomem(err);
	if (flags & TMPFILE_BIT) {
		*ret_fd = make_nameless(dir, flags & ~O_APPEND);
		if (*ret_fd >= 0)
			return kind_reopen(*ret_fd, O_WRONLY, "a deleted file", err);
	} else {
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		/* While it has the name: O_NOFOLLOW would forbid the way through /proc. */
		if (fd >= 0)
			again = open(path, flags);
		if (fd >= 0 && unlink(path) < 0)
			return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "remove %s",
					       safe_text(safe, sizeof(safe), path));
		if (fd < 0)
			fd = make_nameless(dir, O_RDWR | O_CLOEXEC);
	}
	if (fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "make the deleted file %s again",
				       safe_text(safe, sizeof(safe), path));
	rc = again >= 0 ? TAKE_FD(again) : kind_reopen(fd, flags, "a deleted file", err);
	if (rc < 0)
		return rc;
	*ret_fd = rc;
	return TAKE_FD(fd);
}

static int fill_unlinked(struct kind_restore *r, const json_t *o, const struct unlinked *u, int fd,
			 struct ckpt_err **err)
{
	const struct timespec times[2] = { { 0, UTIME_OMIT },
					   { u->mtime_ns / (int64_t)NSEC_PER_SEC,
					     u->mtime_ns % (int64_t)NSEC_PER_SEC } };
	_cleanup_close_ int from = -1;
	int rc = kind_open_data(r, o, u->size, &from, err);

	if (rc == 0)
		rc = copy_sparse(from, fd, u->size, err);
	if (rc < 0)
		return rc;
	/* The owner before the mode, as a change of it takes set-user-ID bits away. */
	if (fchown(fd, u->uid, u->gid) < 0 || fchmod(fd, u->mode) < 0 || futimens(fd, times) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE,
				       "give a deleted file its owner, mode and time");
	return 0;
}

/*
 * The description by which a file was made without a name, if another of its descriptions comes
 * first: only such a file can be given a name later (linkat(2)). 0: there is none.
 */
static size_t maker_of(const struct kind_restore *r, const json_t *o, int *ret_flags)
{
	json_int_t id = json_integer_value(json_object_get(o, "id"));
	int64_t flags = 0;

	for (size_t i = (size_t)id + 1; i < r->n_fd; i++) {
		const json_t *row = json_array_get(r->objects, i - 1);

		if (is_unlinked(row) && json_object_get(row, "inode_of") &&
		    json_integer_value(json_object_get(row, "inode_of")) == id && r->fd[i] < 0 &&
		    json_equal(json_object_get(row, "kind"), json_object_get(o, "kind")) &&
		    js_i64(row, "flags", &flags, NULL) == 0 && flags & TMPFILE_BIT &&
		    kind_open_flags(row, ret_flags, NULL) == 0)
			return i;
	}
	return 0;
}

static int open_unlinked(struct kind_restore *r, const json_t *o, const char *path, int flags,
			 int *ret_fd, struct ckpt_err **err)
{
	_cleanup_close_ int fill = -1, fd = -1;
	int maker_flags = 0, rc;
	struct unlinked u;
	size_t maker;

	if (json_object_get(o, "inode_of"))
		return kind_open_other(r, o, flags & ~TMPFILE_BIT, ret_fd, err);
	rc = unlinked_parse(o, &u, err);
	if (rc < 0)
		return rc;
	maker = flags & TMPFILE_BIT ? 0 : maker_of(r, o, &maker_flags);
	fill = make_unlinked(path, maker ? maker_flags | TMPFILE_BIT : flags, &fd, err);
	if (fill < 0)
		return fill;
	rc = fill_unlinked(r, o, &u, fill, err);
	if (rc == 0 && maker) {
		r->fd[maker] = TAKE_FD(fd);
		rc = kind_reopen(r->fd[maker], flags, "a file that has no name", err);
		*ret_fd = rc;
	} else if (rc == 0) {
		*ret_fd = TAKE_FD(fd);
	}
	return rc < 0 ? rc : 0;
}

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	char safe[300];
	int64_t saved = 0;
	int flags = 0, rc = kind_open_flags(o, &flags, err);

	if (rc == 0)
		rc = js_i64(o, "flags", &saved, err);
	if (rc == 0)
		rc = path_get(o, &path, err);
	if (rc < 0)
		return rc;
	if (is_unlinked(o))
		return open_unlinked(r, o, path, flags | ((int)saved & TMPFILE_BIT), ret_fd, err);
	if (othername_is(o))
		return othername_open(r, o, flags & ~O_DIRECTORY, ret_fd, err);
	*ret_fd = open(path, flags & ~O_DIRECTORY);
	if (*ret_fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_FILE_GONE, "open %s",
				       safe_text(safe, sizeof(safe), path));
	return 0;
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	const char *what = f->inode->unhashed ? "deleted file" : "regular file";
	char path[300];

	safe_text(path, sizeof(path), f->path);
	if (f->file)
		snprintf(buf, len, "%s %s, at %" PRIu64 " of %" PRIu64 " bytes", what, path,
			 (uint64_t)f->file->pos, (uint64_t)f->inode->size);
	else
		snprintf(buf, len, "%s %s, mapped", what, path);
}

/*
 * "data" names a file in the image. "info" is never compared: with --allow-changed it may differ.
 * The path of a deleted file is another when somebody has made a new file of its name.
 */
static int same(const json_t *saved, const json_t *now, struct ckpt_err **err)
{
	static const char *const named[] = { "path", "other_name", NULL };
	static const char *const unlinked[] = { "mode",	    "uid",	"gid", "size",
						"mtime_ns", "inode_of", NULL };
	const char *const *key = is_unlinked(saved) ? unlinked : named;

	if (othername_is(saved))
		return othername_same(saved, now, err);
	if (is_unlinked(saved) != is_unlinked(now))
		return ckpt_fail(err, EIO, CKPT_E_DIFFERENT, "it is deleted only before or after");
	for (; *key; key++) {
		int rc = objects_same_member(saved, now, *key, err);

		if (rc < 0)
			return rc;
	}
	return 0;
}

const struct ckpt_kind kind_regular = {
	.name = "regular",
	.placed = true,
	.has_pos = true,
	.match = match,
	.check = check,
	.save = save,
	.need = need,
	.open = open_it,
	.same = same,
	.describe = describe,
};
