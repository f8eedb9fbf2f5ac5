// SPDX-License-Identifier: LGPL-2.1-or-later
/* Finding again what inotify and fanotify watch. See notify.h. */
#include "notify.h"
#include "../safe.h"
#include "../util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* ---- mounts ---- */

/* Octal escapes, in place: "\040" is a blank. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
		    s[3] >= '0' && s[3] <= '7') {
			*to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + s[3] - '0');
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = 0;
}

/* "36 35 98:0 /mnt1 /mnt2 rw,noatime ..." */
static bool parse_mount(char *line, struct mount_row *row)
{
	int at = 0;
	char *end;

	if (sscanf(line, "%u %*u %u:%u %n", &row->id, &row->major, &row->minor, &at) != 3 || !at)
		return false;
	row->root = line + at;
	end = strchr(row->root, ' ');
	if (!end)
		return false;
	*end = 0;
	row->point = end + 1;
	end = strchr(row->point, ' ');
	if (!end)
		return false;
	*end = 0;
	unescape(row->root);
	unescape(row->point);
	return true;
}

int mounts_read(struct mounts *m, struct ckpt_err **err)
{
	_cleanup_close_ int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	size_t size = 1 << 16, len = 0;
	ssize_t n = 0;

	*m = (struct mounts){ .text = malloc(size) };
	while (m->text && fd >= 0 && (n = read(fd, m->text + len, size - len - 1)) > 0) {
		len += (size_t)n;
		if (size - len > 1)
			continue;
		char *more = realloc(m->text, size *= 2);

		if (!more)
			return ckpt_fail_nomem(err);
		m->text = more;
	}
	if (!m->text)
		return ckpt_fail_nomem(err);
	if (fd < 0 || n < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "read /proc/self/mountinfo");
	m->text[len] = 0;
	size = 0;
	for (const char *c = m->text; *c; c++)
		size += *c == '\n';
	m->row = calloc(size + 1, sizeof(*m->row));
	if (!m->row)
		return ckpt_fail_nomem(err);
	for (char *save = NULL, *line = strtok_r(m->text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		m->n += parse_mount(line, &m->row[m->n]);
	return 0;
}

void mounts_done(struct mounts *m)
{
	free(m->text);
	free(m->row);
	*m = (struct mounts){ 0 };
}

/* ---- from names to a path ---- */

/* The path within its file system; "" for none: too long. */
static void inner_path(const struct rec_notify_mark *m, char path[PATH_MAX])
{
	const char *names = (const char *)(m + 1), *end = names + m->names_len;
	size_t at = PATH_MAX - 1;

	/* They come from the last one upwards. */
	path[at] = 0;
	for (; names < end; names += strnlen(names, (size_t)(end - names)) + 1) {
		size_t n = strnlen(names, (size_t)(end - names));

		if (n + 1 > at) {
			path[0] = 0;
			return;
		}
		at -= n + 1;
		path[at] = '/';
		memcpy(path + at + 1, names, n);
	}
	if (!path[at])
		path[--at] = '/';
	memmove(path, path + at, PATH_MAX - at);
}

static bool is_mount_of(const struct mount_row *row, const struct rec_notify_mark *m)
{
	return row->major == m->dev_major && row->minor == m->dev_minor;
}

/* The same file? Overlays and their like have other numbers than their inodes. */
static bool is_it(const struct rec_notify_mark *m, const struct stat *st)
{
	bool stable = strcmp(m->fstype, "overlay") && strncmp(m->fstype, "fuse", 4);

	return !((st->st_mode ^ m->mode) & S_IFMT) && (!stable || st->st_ino == m->ino);
}

/* A path by which it can be seen from here; 0, or -ENOENT. */
static int find_path(const struct mounts *mounts, const struct rec_notify_mark *m,
		     char path[PATH_MAX], struct stat *st)
{
	char inner[PATH_MAX];

	if (!m->rooted || m->unhashed || m->head.flags & REC_F_TRUNCATED)
		return -ENOENT;
	inner_path(m, inner);
	for (size_t i = 0; inner[0] && i < mounts->n; i++) {
		const struct mount_row *row = &mounts->row[i];
		size_t n = row->root[1] ? strlen(row->root) : 0;
		const char *rest = inner + n;
		int len;

		if (!is_mount_of(row, m) || strncmp(inner, row->root, n) || (*rest && *rest != '/'))
			continue;
		rest = strcmp(rest, "/") ? rest : "";
		len = snprintf(path, PATH_MAX, "%s%s", row->point[1] || !*rest ? row->point : "",
			       rest);
		if (len < PATH_MAX && path_stat(path, m->mode, st) == 0 && is_it(m, st))
			return 0;
	}
	return -ENOENT;
}

/* ---- saving ---- */

/* The handle that /proc shows for a watch whose inode is not in any directory that is known. */
static void handle_of_fdinfo(const struct rec_notify_mark *m, char *buf, size_t len)
{
	_cleanup_free_ char *line = NULL;
	unsigned int type, dev;
	unsigned long ino;
	size_t size = 0;
	char path[64];
	int at;
	FILE *f;

	buf[0] = 0;
	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", m->tgid, m->fd);
	f = fopen(path, "re");
	while (f && !buf[0] && getline(&line, &size, f) > 0) {
		const char *it = strstr(line, " ino:"), *handle = strstr(line, " fhandle-type:");

		at = 0;
		/* The kernel's own form of a device number: 12 bits of major, 20 of minor. */
		if (!it || !handle || sscanf(it, " ino:%lx sdev:%x", &ino, &dev) != 2 ||
		    ino != m->ino || dev != (m->dev_major << 20 | m->dev_minor) ||
		    sscanf(handle, " fhandle-type:%x f_handle:%n", &type, &at) != 1 || !at)
			continue;
		snprintf(buf, len, "%d:%s", (int)type, handle + at);
		buf[strcspn(buf, "\n ")] = 0;
	}
	if (f)
		fclose(f);
}

/* A directory where the file system is mounted. */
static const char *mount_point(const struct mounts *mounts, const struct rec_notify_mark *m)
{
	struct stat st;

	for (size_t i = 0; i < mounts->n; i++)
		if (is_mount_of(&mounts->row[i], m) && stat(mounts->row[i].point, &st) == 0 &&
		    S_ISDIR(st.st_mode))
			return mounts->row[i].point;
	return NULL;
}

static int fail_unknown(const struct rec_notify_mark *m, struct ckpt_err **err)
{
	char names[300];

	safe_text(names, sizeof(names), m->names_len ? (const char *)(m + 1) : "");
	ckpt_fail(
		err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
		m->nlink
			? "it watches inode %llu of a file system of type %s (%s), which cannot be "
			  "found from here"
			: "it watches inode %llu of a file system of type %s (%s), which was deleted "
			  "and which the program does not have open",
		(unsigned long long)m->ino, m->fstype, names);
	ckpt_hint(err, "let the program remove the watch");
	return -EOPNOTSUPP;
}

int notify_inode_save(const struct kind_dump *d, const struct mounts *mounts,
		      const struct rec_notify_mark *m, json_t *o, struct ckpt_err **err)
{
	uint32_t id = objects_by_inode(d->os, m->inode_id);
	struct rec_inode ino = { .mode = m->mode };
	const char *point = mount_point(mounts, m);
	char path[PATH_MAX], handle[HANDLE_TEXT];
	struct stat st;
	int rc = 0;

	if (!m->nlink || (m->unhashed && S_ISDIR(m->mode))) {
		if (!id)
			return fail_unknown(m, err);
		return js_set_int(o, "object", id) ? ckpt_fail_nomem(err) : 0;
	}
	memcpy(ino.fstype, m->fstype, sizeof(ino.fstype));
	if (find_path(mounts, m, path, &st) == 0) {
		handle_of(path, S_ISLNK(m->mode) ? 0 : AT_SYMLINK_FOLLOW, handle, sizeof(handle));
		rc = path_save_stat(&ino, path, &st, o, err);
	} else {
		handle_of_fdinfo(m, handle, sizeof(handle));
		if (!handle[0] || !point)
			return fail_unknown(m, err);
	}
	if (rc == 0 && handle[0] && point &&
	    (json_object_set_new(o, "handle", json_string(handle)) ||
	     js_set_bytes(o, "mount", point)))
		rc = ckpt_fail_nomem(err);
	return rc;
}

/* ---- restoring ---- */

static int open_handle(const json_t *o)
{
	_cleanup_close_ int mount = -1;
	_cleanup_free_ char *point = NULL;
	const char *text = NULL;

	if (!json_object_get(o, "mount") || js_bytes(o, "mount", &point, NULL) < 0 ||
	    js_opt_str(o, "handle", &text, NULL) < 0 || !text)
		return -1;
	mount = open(point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return mount < 0 ? -1 : handle_open(mount, text, O_PATH | O_CLOEXEC);
}

int notify_inode_open(const struct kind_restore *r, const json_t *o, int *ret_fd,
		      struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	struct ckpt_err *why = NULL;
	uint64_t id = 0;
	int fd = -1, rc = js_opt_u64(o, "object", &id, err);

	if (rc < 0)
		return rc;
	if (id) {
		if (id >= r->n_fd || r->fd[id] < 0)
			return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
					 "a watched file is object %llu, which is not there",
					 (unsigned long long)id);
		*ret_fd = fcntl(r->fd[id], F_DUPFD_CLOEXEC, 0);
		return *ret_fd < 0 ? ckpt_fail_errno(err, errno, CKPT_E_LIMIT, "open a file") : 0;
	}
	if (json_object_get(o, "path")) {
		rc = path_get(o, &path, err);
		if (rc < 0)
			return rc;
		rc = path_need_inode(o, path, r->allow_changed, &why);
		fd = rc == 0 ? open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC) : -1;
	}
	/* It may have moved since. */
	if (fd < 0)
		fd = open_handle(o);
	if (fd < 0 && why && err && !*err) {
		*err = TAKE_PTR(why);
		return ckpt_wrap(err, rc, "find a file that is watched");
	}
	ckpt_err_free(why);
	if (fd < 0)
		return ckpt_fail(err, ENOENT, CKPT_E_FILE_GONE,
				 "a file that is watched is gone%s%s", path ? ": " : "",
				 path ? path : "");
	*ret_fd = fd;
	return 0;
}

int notify_inode_need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	_cleanup_close_ int fd = -1;

	/* Those are opened later. */
	return json_object_get(o, "object") ? 0 : notify_inode_open(r, o, &fd, err);
}
