// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Files whose name was removed while they were open, and which are more than their contents:
 * directories, devices, symbolic links, sockets, FIFOs. They get a name for a moment, are opened,
 * by all who have them open, and lose it again. Of several descriptions of one file the first
 * object carries it, the others name that object ("inode_of").
 */
#include "../safe.h"
#include "../util.h"
#include "kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* ---- a place for a name ---- */

/* Cut off the last component; of "/" nothing is cut. */
static void cut_last(char *path)
{
	char *slash = strrchr(path, '/');

	slash[slash == path] = 0;
}

/* Make the directories of `path` that are gone. Returns their number. */
static int make_dirs(char *path)
{
	int made = 0;

	for (char *end = path + 1; *end; end++) {
		size_t n = strcspn(end, "/");
		char was = end[n];
		bool done;

		end[n] = 0;
		done = mkdir(path, 0700) == 0;
		if (!done && errno != EEXIST)
			return made;
		made += done;
		end += n;
		*end = was;
		if (!was)
			break;
	}
	return made;
}

int name_place_find(struct name_place *p, const char *path, struct ckpt_err **err)
{
	const char *base = strrchr(path, '/') + 1;
	char safe[300];
	struct stat st;
	bool same_dir = true;

	p->path = strdup(path);
	if (!p->path)
		return ckpt_fail_nomem(err);
	cut_last(p->path);
	p->made_dirs = make_dirs(p->path);
	while ((p->dir_fd = open(p->path, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0 && p->path[1]) {
		cut_last(p->path);
		same_dir = false;
	}
	if (p->dir_fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_FILE_GONE, "open a directory for %s",
				       safe_text(safe, sizeof(safe), path));
	snprintf(p->name, sizeof(p->name), "%s", base);
	for (unsigned int i = 0;
	     !same_dir || fstatat(p->dir_fd, p->name, &st, AT_SYMLINK_NOFOLLOW) == 0; i++) {
		snprintf(p->name, sizeof(p->name), ".ebpf-ckpt-%d-%u", getpid(), i);
		same_dir = true;
	}
	return 0;
}

void name_place_done(struct name_place *p)
{
	if (p->made && unlinkat(p->dir_fd, p->name, 0) < 0)
		unlinkat(p->dir_fd, p->name, AT_REMOVEDIR);
	p->made = false;
	for (; p->path && p->made_dirs > 0; p->made_dirs--) {
		rmdir(p->path);
		cut_last(p->path);
	}
	close_reset(&p->dir_fd);
	free(p->path);
	p->path = NULL;
}

int name_place_own(const struct name_place *p, uint32_t uid, uint32_t gid, uint32_t mode,
		   struct ckpt_err **err)
{
	/* The owner before the mode, as a change of it takes set-user-ID bits away. */
	if (fchownat(p->dir_fd, p->name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    (!S_ISLNK(mode) && fchmodat(p->dir_fd, p->name, mode & 07777, 0) < 0))
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE,
				       "give a removed file its owner and mode");
	return 0;
}

/* ---- saving ---- */

bool nameless_is(const json_t *o)
{
	return json_is_true(json_object_get(o, "deleted"));
}

static int save_target(const struct kind_dump *d, const struct kind_file *f, json_t *o,
		       struct ckpt_err **err)
{
	_cleanup_close_ int fd = -1;
	char target[PATH_MAX + 1];
	int rc = kind_get_fd(d, f, &fd, err);
	ssize_t n;

	if (rc < 0)
		return rc;
	n = readlinkat(fd, "", target, sizeof(target) - 1);
	if (n < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "read a symbolic link");
	target[n] = 0;
	return js_set_bytes(o, "target", target) ? ckpt_fail_nomem(err) : 0;
}

int nameless_save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	uint32_t first = objects_by_inode(d->os, f->inode->inode_id);
	uint32_t mode = f->inode->mode;
	int rc = js_set_bytes(o, "path", f->path);

	rc |= js_set_bool(o, "deleted", true);
	if (f->place)
		rc |= js_set_bool(o, "place", true);
	rc |= js_set_int(o, "mode", mode);
	rc |= js_set_int(o, "uid", f->inode->uid);
	rc |= js_set_int(o, "gid", f->inode->gid);
	if (S_ISCHR(mode) || S_ISBLK(mode)) {
		rc |= js_set_int(o, "major", f->inode->rdev_major);
		rc |= js_set_int(o, "minor", f->inode->rdev_minor);
	}
	if (first && first != json_integer_value(json_object_get(o, "id")))
		rc |= js_set_int(o, "inode_of", first);
	if (rc)
		return ckpt_fail_nomem(err);
	return S_ISLNK(mode) ? save_target(d, f, o, err) : 0;
}

/* ---- restoring ---- */

/* What is needed to make it again. */
struct nameless {
	char *path, *target; /* owned */
	uint32_t mode, uid, gid, major, minor;
};

static void nameless_done(struct nameless *n)
{
	free(n->path);
	free(n->target);
}

static int parse(const json_t *o, struct nameless *n, struct ckpt_err **err)
{
	int rc = path_get(o, &n->path, err);

	if (rc == 0)
		rc = js_u32(o, "mode", &n->mode, err);
	if (rc == 0)
		rc = js_u32(o, "uid", &n->uid, err);
	if (rc == 0)
		rc = js_u32(o, "gid", &n->gid, err);
	if (rc == 0 && (S_ISCHR(n->mode) || S_ISBLK(n->mode)))
		rc = js_u32(o, "major", &n->major, err);
	if (rc == 0 && (S_ISCHR(n->mode) || S_ISBLK(n->mode)))
		rc = js_u32(o, "minor", &n->minor, err);
	if (rc == 0 && S_ISLNK(n->mode))
		rc = js_bytes(o, "target", &n->target, err);
	if (rc < 0)
		return rc;
	if (!S_ISDIR(n->mode) && !S_ISCHR(n->mode) && !S_ISBLK(n->mode) && !S_ISLNK(n->mode) &&
	    !S_ISSOCK(n->mode) && !S_ISFIFO(n->mode))
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a removed file is of type %#o",
				 n->mode & S_IFMT);
	return 0;
}

int nameless_need(const json_t *o, struct ckpt_err **err)
{
	struct nameless n = { 0 };
	int rc = parse(o, &n, err);

	nameless_done(&n);
	return rc;
}

/* Sets p->made. */
static int make(struct name_place *p, const struct nameless *n, struct ckpt_err **err)
{
	char safe[300];
	int rc;

	if (S_ISDIR(n->mode))
		rc = mkdirat(p->dir_fd, p->name, 0700);
	else if (S_ISLNK(n->mode))
		rc = symlinkat(n->target, p->dir_fd, p->name);
	else
		rc = mknodat(p->dir_fd, p->name, (n->mode & S_IFMT) | 0600,
			     makedev(n->major, n->minor));
	if (rc < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "make the removed file %s again",
				       safe_text(safe, sizeof(safe), n->path));
	p->made = true;
	return name_place_own(p, n->uid, n->gid, n->mode, err);
}

/* Opening a device may do things, but for those that hold no state. */
static int open_row(const struct name_place *p, const struct nameless *n, const json_t *o,
		    int *ret_fd, struct ckpt_err **err)
{
	int flags = 0, rc = kind_open_flags(o, &flags, err);

	if (rc < 0)
		return rc;
	if (json_is_true(json_object_get(o, "place")) || S_ISBLK(n->mode) || S_ISSOCK(n->mode) ||
	    S_ISLNK(n->mode) || (S_ISCHR(n->mode) && !device_stateless(n->major, n->minor)))
		flags |= O_PATH;
	*ret_fd = openat(p->dir_fd, p->name, S_ISLNK(n->mode) ? flags | O_NOFOLLOW : flags);
	if (*ret_fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "open a removed file");
	return 0;
}

static bool is_row_of(const json_t *o, json_int_t first)
{
	return nameless_is(o) && json_object_get(o, "mode") &&
	       json_integer_value(json_object_get(o, "inode_of")) == first;
}

int nameless_open(struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	struct name_place p = NAME_PLACE_INIT;
	struct nameless n = { 0 };
	uint32_t id = 0;
	int rc = js_u32(o, "id", &id, err);

	if (rc == 0 && json_object_get(o, "inode_of"))
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
				 "object %u refers to another, which is not its file", id);
	if (rc == 0)
		rc = parse(o, &n, err);
	if (rc == 0)
		rc = name_place_find(&p, n.path, err);
	if (rc == 0)
		rc = make(&p, &n, err);
	for (size_t i = id; rc == 0 && i < r->n_fd; i++) {
		const json_t *row = json_array_get(r->objects, i - 1);

		if ((i == id || is_row_of(row, id)) && r->fd[i] < 0)
			rc = open_row(&p, &n, row, &r->fd[i], err);
	}
	name_place_done(&p);
	nameless_done(&n);
	return rc;
}

int nameless_make_open(const json_t *o, int flags, int *ret_fd, struct ckpt_err **err)
{
	struct name_place p = NAME_PLACE_INIT;
	struct nameless n = { 0 };
	int rc = parse(o, &n, err);

	if (rc == 0)
		rc = name_place_find(&p, n.path, err);
	if (rc == 0)
		rc = make(&p, &n, err);
	if (rc == 0) {
		*ret_fd = openat(p.dir_fd, p.name, flags | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY);
		if (*ret_fd < 0)
			rc = ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "open a removed file");
	}
	name_place_done(&p);
	nameless_done(&n);
	return rc;
}

int nameless_same(const json_t *saved, const json_t *now, struct ckpt_err **err)
{
	static const char *const keys[] = { "deleted", "place", "mode",	  "uid",     "gid",
					    "major",   "minor", "target", "inode_of" };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof(keys) / sizeof(keys[0]); i++)
		rc = objects_same_member(saved, now, keys[i], err);
	return rc;
}

/* ---- by name, or without ---- */

int by_name_check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	struct stat st;
	enum path_state state = path_state(f, &st, &path);

	(void)d;
	if (state == PATH_UNLINKED && !f->path_cut)
		return 0;
	return path_check_state(f, state, err);
}

int by_name_save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	struct stat st;
	enum path_state state = path_state(f, &st, &path);
	int rc;

	if (state == PATH_UNLINKED)
		return nameless_save(d, f, o, err);
	rc = d->contents ? path_check_state(f, state, err) : 0;
	return rc < 0 ? rc : path_save_stat(f->inode, path ? path : f->path, &st, o, err);
}

int by_name_need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	return nameless_is(o) ? nameless_need(o, err) : path_need(o, r->allow_changed, err);
}

int by_name_open(struct kind_restore *r, const json_t *o, int more_flags, int *ret_fd,
		 struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	char safe[300];
	int flags = 0, rc = kind_open_flags(o, &flags, err);

	if (rc == 0 && nameless_is(o))
		return nameless_open(r, o, err);
	if (rc == 0)
		rc = path_get(o, &path, err);
	if (rc < 0)
		return rc;
	*ret_fd = open(path, flags | more_flags);
	if (*ret_fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_FILE_GONE, "open %s",
				       safe_text(safe, sizeof(safe), path));
	return 0;
}

int by_name_same(const json_t *saved, const json_t *now, struct ckpt_err **err)
{
	int rc = nameless_same(saved, now, err);

	return rc < 0 || nameless_is(saved) ? rc : objects_same_member(saved, now, "path", err);
}
