// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A regular file whose name was removed, but which has another, unknown one: its contents must stay
 * shared with that name. Nothing is added to the file system at the checkpoint: the image holds the
 * kernel's own handle of the file (name_to_handle_at(2)), which finds it for as long as it lives,
 * and another name of it when there is one in the same directory. The restore gives it its old name
 * for a moment, opens it by that and removes it again.
 */
#include "../safe.h"
#include "../util.h"
#include "kinds.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* How many names of a directory are looked at. */
#define NAMES_MAX 20000

/* struct file_handle with room: MAX_HANDLE_SZ bytes. */
struct handle {
	uint32_t n;
	int32_t type;
	uint8_t byte[MAX_HANDLE_SZ];
};

/* ---- handles ---- */

void handle_of(const char *path, int flags, char *buf, size_t len)
{
	struct handle h = { .n = MAX_HANDLE_SZ };
	int mount_id, n;

	buf[0] = 0;
	if (name_to_handle_at(AT_FDCWD, path, (struct file_handle *)(void *)&h, &mount_id, flags) <
	    0)
		return;
	n = snprintf(buf, len, "%d:", h.type);
	for (unsigned int i = 0; i < h.n && (size_t)n + 3 <= len; i++)
		n += snprintf(buf + n, len - (size_t)n, "%02x", h.byte[i]);
}

int handle_open(int mount_fd, const char *text, int flags)
{
	struct handle h = { 0 };
	unsigned int byte;
	char *end;

	h.type = (int32_t)strtol(text, &end, 10);
	if (end == text || *end != ':')
		return -EBADMSG;
	for (end++; *end; end += 2) {
		if (h.n == MAX_HANDLE_SZ || !isxdigit((unsigned char)end[0]) ||
		    !isxdigit((unsigned char)end[1]) || sscanf(end, "%2x", &byte) != 1)
			return -EBADMSG;
		h.byte[h.n++] = (uint8_t)byte;
	}
	mount_fd = open_by_handle_at(mount_fd, (struct file_handle *)(void *)&h, flags);
	return mount_fd < 0 ? -errno : mount_fd;
}

/* ---- saving ---- */

/* Another name in the directory where it was; malloc'd, NULL when there is none. */
static char *find_name(const char *path, const struct stat *st)
{
	_cleanup_free_ char *dir = strdup(path);
	char *slash = dir ? strrchr(dir, '/') : NULL, *found = NULL;
	const struct dirent *e;
	struct stat other;
	DIR *d;

	if (!slash)
		return NULL;
	slash[slash == dir] = 0;
	d = opendir(dir);
	for (int i = 0; d && !found && i < NAMES_MAX && (e = readdir(d)); i++)
		if (e->d_ino == st->st_ino &&
		    fstatat(dirfd(d), e->d_name, &other, AT_SYMLINK_NOFOLLOW) == 0 &&
		    other.st_dev == st->st_dev && other.st_ino == st->st_ino &&
		    asprintf(&found, "%s/%s", dir[1] ? dir : "", e->d_name) < 0)
			found = NULL;
	if (d)
		closedir(d);
	return found;
}

int othername_check(const struct kind_file *f, const struct stat *st, struct ckpt_err **err)
{
	_cleanup_free_ char *name = NULL;
	char link[KIND_LINK_LEN], handle[HANDLE_TEXT];

	handle_of(kind_link(f, link), AT_SYMLINK_FOLLOW, handle, sizeof(handle));
	name = handle[0] ? NULL : find_name(f->path, st);
	return handle[0] || name ? 0 : path_check_state(f, PATH_OTHER_NAME, err);
}

int othername_save(const struct kind_file *f, const struct stat *st, json_t *o,
		   struct ckpt_err **err)
{
	_cleanup_free_ char *name = find_name(f->path, st);
	char link[KIND_LINK_LEN], handle[HANDLE_TEXT];
	int rc = path_save_stat(f->inode, f->path, st, o, err);

	if (rc < 0)
		return rc;
	handle_of(kind_link(f, link), AT_SYMLINK_FOLLOW, handle, sizeof(handle));
	rc = js_set_bool(o, "other_name", true);
	if (handle[0])
		rc |= json_object_set_new(o, "handle", json_string(handle));
	if (name)
		rc |= js_set_bytes(json_object_get(o, "info"), "other_path", name);
	return rc ? ckpt_fail_nomem(err) : 0;
}

bool othername_is(const json_t *o)
{
	return json_is_true(json_object_get(o, "other_name"));
}

/* ---- restoring ---- */

/* A descriptor of the nearest directory of `path` that is there: its mount is what is wanted. */
static int open_above(const char *path)
{
	_cleanup_free_ char *dir = strdup(path);
	int fd = -1;

	while (dir && fd < 0 && dir[1]) {
		char *slash = strrchr(dir, '/');

		slash[slash == dir] = 0;
		fd = open(dir, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
	}
	return fd;
}

static int open_handle(const json_t *o, const char *path)
{
	_cleanup_close_ int mount = -1;
	const char *text = NULL;

	if (js_opt_str(o, "handle", &text, NULL) < 0 || !text)
		return -1;
	mount = open_above(path);
	return mount < 0 ? -1 : handle_open(mount, text, O_PATH | O_CLOEXEC);
}

/* The file itself, O_PATH, whichever way it is found; judged against "info". */
static int find_file(const struct kind_restore *r, const json_t *o, const char *path, int *ret_fd,
		     struct ckpt_err **err)
{
	const json_t *info = json_object_get(o, "info");
	_cleanup_free_ char *other = NULL;
	_cleanup_close_ int fd = open_handle(o, path);
	char safe[300];
	struct stat st;
	int rc;

	if (fd < 0 && json_object_get(info, "other_path") &&
	    js_bytes(info, "other_path", &other, NULL) == 0)
		fd = open(other, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	safe_text(safe, sizeof(safe), path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return ckpt_fail(err, ENOENT, CKPT_E_FILE_GONE,
				 "the file that was %s cannot be found by any other name", safe);
	rc = path_need_stat(o, path, &st, r->allow_changed, err);
	if (rc == 0 && !S_ISREG(st.st_mode))
		rc = ckpt_fail(err, ESTALE, CKPT_E_FILE_GONE, "%s is no longer a regular file",
			       safe);
	if (rc == 0)
		*ret_fd = TAKE_FD(fd);
	return rc;
}

int othername_find(const struct kind_restore *r, const json_t *o, int *ret_fd,
		   struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	int rc = path_get(o, &path, err);

	return rc < 0 ? rc : find_file(r, o, path, ret_fd, err);
}

int othername_need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	_cleanup_close_ int fd = -1;

	return othername_find(r, o, &fd, err);
}

int othername_open(const struct kind_restore *r, const json_t *o, int flags, int *ret_fd,
		   struct ckpt_err **err)
{
	struct name_place p = NAME_PLACE_INIT;
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int fd = -1;
	char link[40];
	int rc = path_get(o, &path, err);

	if (rc == 0)
		rc = find_file(r, o, path, &fd, err);
	if (rc == 0)
		rc = name_place_find(&p, path, err);
	if (rc == 0) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		p.made = linkat(AT_FDCWD, link, p.dir_fd, p.name, AT_SYMLINK_FOLLOW) == 0;
		/* Where no name can be added it is opened as it is, and only /proc tells. */
		rc = p.made ? openat(p.dir_fd, p.name, flags) : -1;
		if (rc < 0)
			rc = kind_reopen(fd, flags, "a file by another name", err);
	}
	name_place_done(&p);
	if (rc < 0)
		return rc;
	*ret_fd = rc;
	return 0;
}

/* The old name may be another's by now: it is the file that counts. */
int othername_same(const json_t *saved, const json_t *now, struct ckpt_err **err)
{
	int rc = objects_same_member(saved, now, "other_name", err);

	if (rc == 0)
		rc = objects_same_member(saved, now, "handle", err);
	if (rc == 0)
		rc = objects_same_member(json_object_get(saved, "info"),
					 json_object_get(now, "info"), "ino", err);
	return rc;
}
