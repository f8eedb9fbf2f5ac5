// SPDX-License-Identifier: LGPL-2.1-or-later
/* Files that come back by their path. See kind.h and kinds.h. */
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
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define NSEC_PER_SEC	  1000000000ULL
#define PIDFD_THREAD_FLAG O_EXCL /* PIDFD_THREAD, Linux 6.9 */

/* ---- the program's open file ---- */

const char *kind_link(const struct kind_file *f, char buf[KIND_LINK_LEN])
{
	if (f->fd >= 0)
		snprintf(buf, KIND_LINK_LEN, "/proc/%d/fd/%d", f->tid, f->fd);
	else if (f->place)
		snprintf(buf, KIND_LINK_LEN, "/proc/%d/%s", f->tid, f->place);
	else
		snprintf(buf, KIND_LINK_LEN, "/proc/%d/map_files/%llx-%llx", f->tid,
			 (unsigned long long)f->map_start, (unsigned long long)f->map_end);
	return buf;
}

/* A process whose first thread has ended, and a thread with a table of its own, are asked by a
 * pidfd of the thread. */
static int get_fd(const struct kind_dump *d, const struct kind_file *f)
{
	int of_process = f->tid == f->tgid ? kind_pidfd(d, f->tgid) : -1;
	_cleanup_close_ int of_thread = -1;

	if (of_process >= 0)
		return (int)syscall(SYS_pidfd_getfd, of_process, f->fd, 0);
	of_thread = (int)syscall(SYS_pidfd_open, f->tid, PIDFD_THREAD_FLAG);
	return of_thread < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, of_thread, f->fd, 0);
}

int kind_get_fd(const struct kind_dump *d, const struct kind_file *f, int *ret_fd,
		struct ckpt_err **err)
{
	char link[KIND_LINK_LEN], safe[300];

	if (f->fd >= 0)
		*ret_fd = get_fd(d, f);
	else
		*ret_fd = open(kind_link(f, link), (f->place ? O_PATH : O_RDONLY) | O_CLOEXEC);
	if (*ret_fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "get the program's open file %s",
				       safe_text(safe, sizeof(safe), f->path));
	return 0;
}

int kind_reopen(int fd, int flags, const char *what, struct ckpt_err **err)
{
	char link[40];
	int again;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	/* The link itself is what these two would look at. */
	again = open(link, (flags & ~(O_NOFOLLOW | O_DIRECTORY)) | O_CLOEXEC | O_NOCTTY);
	if (again < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "open %s again", what);
	return again;
}

int kind_open_other(const struct kind_restore *r, const json_t *o, int flags, int *ret_fd,
		    struct ckpt_err **err)
{
	const json_t *other;
	uint32_t id = 0, first = 0;
	int rc = js_u32(o, "inode_of", &first, err);

	if (rc == 0)
		rc = js_u32(o, "id", &id, err);
	if (rc < 0)
		return rc;
	other = first ? json_array_get(r->objects, first - 1) : NULL;
	if (!other || first >= id || id >= r->n_fd || r->fd[first] < 0 ||
	    json_object_get(other, "inode_of") || !json_object_get(other, "data") ||
	    !json_equal(json_object_get(other, "kind"), json_object_get(o, "kind")))
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
				 "object %u refers to object %u, which is not its file", id, first);
	rc = kind_reopen(r->fd[first], flags, "a file that has no name", err);
	if (rc < 0)
		return rc;
	*ret_fd = rc;
	return 0;
}

int kind_open_flags(const json_t *o, int *ret_flags, struct ckpt_err **err)
{
	const int keep = O_ACCMODE | O_APPEND | O_NONBLOCK | O_DSYNC | O_SYNC | O_DIRECT |
			 O_NOATIME | O_PATH | O_DIRECTORY | O_NOFOLLOW;
	int64_t flags = 0;
	int rc = js_i64(o, "flags", &flags, err);

	*ret_flags = ((int)flags & keep) | O_CLOEXEC | O_NOCTTY;
	return rc;
}

static int save_data(struct kind_dump *d, const struct kind_file *f, const char *prefix, int from,
		     int (*copy)(int, int, uint64_t, struct ckpt_err **), json_t *o,
		     struct ckpt_err **err)
{
	_cleanup_close_ int to = -1;
	char name[40];
	int rc;

	snprintf(name, sizeof(name), "%s-%lld", prefix,
		 (long long)json_integer_value(json_object_get(o, "id")));
	if (json_object_set_new(o, "data", json_string(name)))
		return ckpt_fail_nomem(err);
	rc = image_data_open(d->w, name, &to, err);
	if (rc == 0)
		rc = copy(from, to, f->inode->size, err);
	return rc < 0 ? rc : image_data_done(d->w, name, to, err);
}

int kind_save_data(struct kind_dump *d, const struct kind_file *f, const char *prefix, int from,
		   json_t *o, struct ckpt_err **err)
{
	return save_data(d, f, prefix, from, copy_sparse, o, err);
}

int kind_save_mapped(struct kind_dump *d, const struct kind_file *f, const char *prefix, int from,
		     json_t *o, struct ckpt_err **err)
{
	return save_data(d, f, prefix, from, copy_mapped, o, err);
}

int kind_lend_map(const void *mem, uint64_t size, int *ret_fd, struct ckpt_err **err)
{
	char path[80];

	snprintf(path, sizeof(path), "/proc/self/map_files/%" PRIxPTR "-%" PRIxPTR, (uintptr_t)mem,
		 (uintptr_t)mem + size);
	*ret_fd = open(path, O_RDWR | O_CLOEXEC);
	if (*ret_fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "open shared memory");
	return 0;
}

int kind_open_data(const struct kind_restore *r, const json_t *o, uint64_t size, int *ret_fd,
		   struct ckpt_err **err)
{
	const char *name = "";
	struct stat st;
	int rc = js_str(o, "data", &name, err);

	if (rc == 0)
		rc = image_file_open(r->im, true, name, ret_fd, err);
	if (rc < 0)
		return rc;
	if (fstat(*ret_fd, &st) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "look at data/%s", name);
	if ((uint64_t)st.st_size != size)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
				 "data/%s has %" PRIu64 " bytes, not %" PRIu64, name,
				 (uint64_t)st.st_size, size);
	return 0;
}

/* ---- is the path still the file's? ---- */

int path_stat(const char *path, uint32_t mode, struct stat *ret)
{
	return fstatat(AT_FDCWD, path, ret, S_ISLNK(mode) ? AT_SYMLINK_NOFOLLOW : 0);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Is it on a file system whose stat(2) says the inode's own numbers? */
static bool says_own_numbers(const struct rec_inode *i)
{
	static const uint64_t magics[] = { 0xef53 /* ext4 */, 0x58465342 /* xfs */,
					   0x01021994 /* tmpfs */, 0xf2f52010 /* f2fs */ };
	bool found = false;

	for (size_t k = 0; k < sizeof(magics) / sizeof(magics[0]); k++)
		found |= i->sb_magic == magics[k];
	return found;
}

/* The one question that is enough for most files. */
static bool is_plainly_same(const struct kind_file *f, struct stat *ret)
{
	const struct rec_inode *i = f->inode;

	return says_own_numbers(i) && f->path[0] == '/' && path_stat(f->path, i->mode, ret) == 0 &&
	       ret->st_ino == i->ino && ret->st_dev == makedev(i->dev_major, i->dev_minor);
}

/*
 * The process's link leads to the file itself whatever became of its name, and says the numbers
 * that stat(2) says for the path, which on an overlay, and others, are not those of the inode.
 */
enum path_state path_state(const struct kind_file *f, struct stat *ret, char **ret_path)
{
	char link[KIND_LINK_LEN], text[PATH_MAX + 16];
	const char *path = f->path;
	struct stat st;
	ssize_t n;

	*ret_path = NULL;
	if (is_plainly_same(f, ret)) {
		*ret_path = strdup(path);
		return PATH_SAME;
	}
	if (stat(kind_link(f, link), ret) < 0)
		return PATH_MOVED_ON;
	if (path[0] != '/' || path_stat(path, ret->st_mode, &st) < 0 || !same_file(ret, &st)) {
		/* Of a file mapped from an overlay, the inode knows a path below it only. */
		n = readlink(link, text, sizeof(text) - 1);
		if (n < 0)
			return PATH_MOVED_ON;
		text[n] = 0;
		/* Not every file system counts the links of a directory. */
		if (ret->st_nlink == 0 || (S_ISDIR(ret->st_mode) && f->inode->unhashed))
			return PATH_UNLINKED;
		if (text[0] != '/' || path_stat(text, ret->st_mode, &st) < 0 ||
		    !same_file(ret, &st))
			return f->inode->unhashed ? PATH_OTHER_NAME : PATH_OTHER_FILE;
		path = text;
	}
	*ret_path = strdup(path);
	return PATH_SAME;
}

static int fail_state(enum path_state state, struct ckpt_err **err)
{
	switch (state) {
	case PATH_SAME:
	case PATH_MOVED_ON: /* it is running: judged again when it stands still */
		break;
	case PATH_UNLINKED:
		return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED, "it was deleted");
	case PATH_OTHER_NAME:
		ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
			  "its name was removed, but it has another one that is not known");
		ckpt_hint(err, "give it its old name again (ln)");
		return -EOPNOTSUPP;
	case PATH_OTHER_FILE:
		ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
			  "its path now names another file, or none that can be reached from here");
		ckpt_hint(err, "something was mounted over it, or the program has another root");
		return -EOPNOTSUPP;
	}
	return 0;
}

int path_check_state(const struct kind_file *f, enum path_state state, struct ckpt_err **err)
{
	if (f->path_cut)
		return ckpt_fail(err, ENAMETOOLONG, CKPT_E_UNSUPPORTED,
				 "its path is too long to be known");
	if (f->inode->sb_magic == MAGIC_PROC && strncmp(f->path, "/proc/", 6) &&
	    strcmp(f->path, "/proc"))
		return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
				 "it is of a procfs that is not mounted on /proc");
	return fail_state(state, err);
}

int path_check(const struct kind_file *f, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	struct stat st;

	return path_check_state(f, path_state(f, &st, &path), err);
}

/* ---- saving ---- */

int path_save_stat(const struct rec_inode *ino, const char *path, const struct stat *st, json_t *o,
		   struct ckpt_err **err)
{
	json_t *info = json_object_get(o, "info");
	char dev[32];
	int rc = js_set_bytes(o, "path", path);

	if (!info)
		rc |= json_object_set_new(o, "info", info = json_object());
	snprintf(dev, sizeof(dev), "%u:%u", major(st->st_dev), minor(st->st_dev));
	rc |= json_object_set_new(info, "dev", json_string(dev));
	rc |= js_set_int(info, "ino", (int64_t)st->st_ino);
	rc |= js_set_int(info, "size", st->st_size);
	rc |= js_set_int(info, "mtime_ns",
			 (int64_t)st->st_mtim.tv_sec * (int64_t)NSEC_PER_SEC + st->st_mtim.tv_nsec);
	rc |= js_set_int(info, "mode", st->st_mode);
	rc |= js_set_bytes(info, "fstype", ino->fstype);
	return rc ? ckpt_fail_nomem(err) : 0;
}

int path_save(const struct rec_inode *ino, const char *path, json_t *o, struct ckpt_err **err)
{
	struct stat st;

	if (path_stat(path, ino->mode, &st) < 0 || (st.st_mode ^ ino->mode) & S_IFMT)
		st = (struct stat){
			.st_dev = makedev(ino->dev_major, ino->dev_minor),
			.st_ino = ino->ino,
			.st_size = (off_t)ino->size,
			.st_mtim = { (time_t)(ino->mtime_ns / NSEC_PER_SEC),
				     (long)(ino->mtime_ns % NSEC_PER_SEC) },
			.st_mode = ino->mode,
		};
	return path_save_stat(ino, path, &st, o, err);
}

/* ---- restoring ---- */

int path_get(const json_t *o, char **ret, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	int rc = js_bytes(o, "path", &path, err);

	if (rc < 0)
		return rc;
	if (path[0] != '/' || strlen(path) >= PATH_MAX)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "the path of a file is not absolute");
	*ret = TAKE_PTR(path);
	return 0;
}

static const char *type_name(uint32_t mode)
{
	return S_ISREG(mode)	? "a regular file"
	       : S_ISDIR(mode)	? "a directory"
	       : S_ISCHR(mode)	? "a character device"
	       : S_ISBLK(mode)	? "a block device"
	       : S_ISFIFO(mode) ? "a FIFO"
	       : S_ISLNK(mode)	? "a symbolic link"
	       : S_ISSOCK(mode) ? "a socket"
				: "a file of its type";
}

/* File systems whose contents are made up at each reading: neither size nor time says anything. */
bool path_is_virtual(const char *fstype)
{
	static const char *const names[] = { "proc", "sysfs", "cgroup", "cgroup2" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(fstype, names[i]))
			return true;
	return false;
}

/* File systems that give a file another number when they are mounted again. */
static bool has_stable_inodes(const char *fstype)
{
	return strcmp(fstype, "overlay") && strncmp(fstype, "fuse", 4) && strcmp(fstype, "9p") &&
	       strcmp(fstype, "virtiofs");
}

static int fail_changed(const char *path, const char *what, struct ckpt_err **err)
{
	char safe[300];

	return ckpt_fail(err, ESTALE, CKPT_E_FILE_CHANGED, "%s changed since the checkpoint: %s",
			 safe_text(safe, sizeof(safe), path), what);
}

/* What a file was, from "info". */
struct was {
	uint64_t ino, size;
	int64_t mtime_ns;
	uint32_t mode;
	const char *fstype;
};

static int was_parse(const json_t *o, struct was *w, struct ckpt_err **err)
{
	json_t *info;
	int rc = js_obj(o, "info", &info, err);

	w->fstype = "";
	if (rc == 0)
		rc = js_u64(info, "ino", &w->ino, err);
	if (rc == 0)
		rc = js_u64(info, "size", &w->size, err);
	if (rc == 0)
		rc = js_i64(info, "mtime_ns", &w->mtime_ns, err);
	if (rc == 0)
		rc = js_u32(info, "mode", &w->mode, err);
	/* Only names that are plain text matter here. */
	if (rc == 0 && json_is_string(json_object_get(info, "fstype")))
		rc = js_str(info, "fstype", &w->fstype, err);
	return rc;
}

static int compare(const struct was *w, const struct stat *st, const char *path,
		   struct ckpt_err **err)
{
	uint64_t size = (uint64_t)st->st_size;
	char what[128];

	if (path_is_virtual(w->fstype))
		return 0;
	if (S_ISREG(w->mode) && size != w->size) {
		snprintf(what, sizeof(what), "it is %s, %" PRIu64 " bytes instead of %" PRIu64,
			 size < w->size ? "shorter" : "longer", size, w->size);
		return fail_changed(path, what, err);
	}
	if (S_ISREG(w->mode) &&
	    st->st_mtim.tv_sec * (int64_t)NSEC_PER_SEC + st->st_mtim.tv_nsec != w->mtime_ns)
		return fail_changed(path, "it was written to", err);
	if (st->st_ino != w->ino && has_stable_inodes(w->fstype))
		return fail_changed(path, "it was replaced by another of this name", err);
	return 0;
}

int path_need_stat(const json_t *o, const char *what, const struct stat *st, bool allow_changed,
		   struct ckpt_err **err)
{
	struct was w = { 0 };
	char safe[300];
	int rc = was_parse(o, &w, err);

	if (rc < 0)
		return rc;
	if ((st->st_mode ^ w.mode) & S_IFMT)
		return ckpt_fail(err, ESTALE, CKPT_E_FILE_GONE, "%s is no longer %s",
				 safe_text(safe, sizeof(safe), what), type_name(w.mode));
	return allow_changed ? 0 : compare(&w, st, what, err);
}

int path_need_inode(const json_t *o, const char *path, bool allow_changed, struct ckpt_err **err)
{
	struct was w = { 0 };
	char safe[300];
	struct stat st;
	int rc = was_parse(o, &w, err);

	if (rc < 0)
		return rc;
	if (path_stat(path, w.mode, &st) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_FILE_GONE, "look at %s",
				       safe_text(safe, sizeof(safe), path));
	rc = path_need_stat(o, path, &st, true, err);
	if (rc == 0 && !allow_changed && st.st_ino != w.ino && has_stable_inodes(w.fstype))
		rc = fail_changed(path, "it was replaced by another of this name", err);
	return rc;
}

int path_need(const json_t *o, bool allow_changed, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	char safe[300];
	struct was w = { 0 };
	struct stat st;
	int rc = path_get(o, &path, err);

	if (rc == 0)
		rc = was_parse(o, &w, err);
	if (rc < 0)
		return rc;
	if (path_stat(path, w.mode, &st) < 0) {
		safe_text(safe, sizeof(safe), path);
		if (errno == ENOENT || errno == ENOTDIR)
			return ckpt_fail(err, errno, CKPT_E_FILE_GONE, "%s is gone", safe);
		return ckpt_fail_errno(err, errno, CKPT_E_FILE_GONE, "look at %s", safe);
	}
	return path_need_stat(o, path, &st, allow_changed, err);
}
