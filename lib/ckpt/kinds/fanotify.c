// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * fanotify groups with their marks on files, mounts and file systems. Events that wait to be read
 * name the process that acted, and so cannot be made again: they are lost, as is all that happens
 * until the restore. A group that grants or refuses access cannot stand still without the whole
 * machine standing still, and is refused.
 */
#include "../util.h"
#include "notify.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef FAN_MARK_EVICTABLE
#define FAN_MARK_EVICTABLE 0x200
#endif
#ifndef FAN_MARK_IGNORE
#define FAN_MARK_IGNORE 0x400
#endif
/* The kernel's own flag: who made the group lacked CAP_SYS_ADMIN. */
#define GROUP_UNPRIVILEGED 0x80000000u
#define GROUP_KNOWN	   0x7fffu
/* Open, access, execute, access to contents that are to be fetched first. */
#define PERMISSION 0x170000u
/* FSNOTIFY_MARK_FLAG_*, include/linux/fsnotify_backend.h, since 5.19. */
#define MARK_SURVIVES	  0x100u
#define MARK_EVICTABLE	  0x200u
#define MARK_IGNORE_FLAGS 0x400u

static const char *const types[] = {
	[REC_NOTIFY_INODE] = "inode", [REC_NOTIFY_MOUNT] = "mount", [REC_NOTIFY_SB] = "filesystem"
};
static const unsigned int type_flags[] = { FAN_MARK_INODE, FAN_MARK_MOUNT, FAN_MARK_FILESYSTEM };

enum { TYPES = sizeof(types) / sizeof(types[0]) };

static bool match(const struct kind_file *f)
{
	return f->file && !strcmp(f->inode->fstype, "anon_inodefs") &&
	       !strcmp(f->inode->dname, "[fanotify]");
}

static const struct rec_notify_group *group_of(const struct kind_dump *d, const struct kind_file *f)
{
	size_t n;
	const void *const *g = snapshot_details(d->snap, REC_FANOTIFY, f->tgid, f->fd, &n);

	return n ? g[0] : NULL;
}

/* ---- saving ---- */

/* Where the mount, or any one of the file system, is seen. */
static int save_mount(const struct mounts *mounts, const struct rec_notify_mark *m, json_t *o,
		      struct ckpt_err **err)
{
	struct rec_inode ino = { .mode = S_IFDIR };
	struct stat st;

	memcpy(ino.fstype, m->fstype, sizeof(ino.fstype));
	for (size_t i = 0; i < mounts->n; i++) {
		const struct mount_row *row = &mounts->row[i];
		bool it = m->object == REC_NOTIFY_MOUNT
				  ? row->id == m->mnt_id
				  : row->major == m->dev_major && row->minor == m->dev_minor;

		if (it && stat(row->point, &st) == 0)
			return path_save_stat(&ino, row->point, &st, o, err);
	}
	return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
			 "it watches a %s of type %s that is not mounted here",
			 m->object == REC_NOTIFY_MOUNT ? "mount" : "file system", m->fstype);
}

static int save_mark(const struct kind_dump *d, const struct mounts *mounts,
		     const struct rec_notify_mark *m, json_t *rows, struct ckpt_err **err)
{
	json_t *o = json_object();
	int rc = json_array_append_new(rows, o);

	if (m->object >= TYPES) {
		ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
			  "it watches something else than files, mounts and file systems");
		return -EOPNOTSUPP;
	}
	rc |= json_object_set_new(o, "type", json_string(types[m->object]));
	rc |= js_set_int(o, "mask", m->mask);
	rc |= js_set_int(o, "ignored", m->ignored);
	rc |= js_set_bool(o, "survives", m->flags & MARK_SURVIVES);
	rc |= js_set_bool(o, "evictable", m->flags & MARK_EVICTABLE);
	rc |= js_set_bool(o, "ignore_flags", m->flags & MARK_IGNORE_FLAGS);
	if (rc)
		return ckpt_fail_nomem(err);
	return m->object == REC_NOTIFY_INODE ? notify_inode_save(d, mounts, m, o, err)
					     : save_mount(mounts, m, o, err);
}

/* The oldest first, as they are added again; the kernel has the youngest first. */
static int save_marks(const struct kind_dump *d, const struct kind_file *f, json_t **ret,
		      struct ckpt_err **err)
{
	_cleanup_json_ json_t *rows = json_array();
	struct mounts mounts;
	size_t n = 0;
	const void *const *marks = snapshot_details(d->snap, REC_NOTIFY_MARK, f->tgid, f->fd, &n);
	int rc = mounts_read(&mounts, err);

	while (rc == 0 && n-- > 0)
		rc = save_mark(d, &mounts, marks[n], rows, err);
	mounts_done(&mounts);
	if (rc == 0)
		*ret = TAKE_PTR(rows);
	return rc;
}

static int check_group(const struct rec_notify_group *g, struct ckpt_err **err)
{
	if (!g)
		return ckpt_fail(err, EIO, CKPT_E_CHANGING, "the kernel tells nothing of it");
	if (g->flags & ~(GROUP_KNOWN | GROUP_UNPRIVILEGED))
		return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
				 "it has flags that are not known (%#x)", g->flags);
	if (!g->asked)
		return 0;
	ckpt_fail(err, EBUSY, CKPT_E_UNSUPPORTED, "a process waits for its permission");
	ckpt_hint(err, "try again when the program has answered");
	return -EBUSY;
}

/* Whoever touches a marked file waits for the program: this one, too, while that is frozen. */
static int check_marks(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	size_t n = 0;
	const void *const *marks = snapshot_details(d->snap, REC_NOTIFY_MARK, f->tgid, f->fd, &n);

	for (size_t i = 0; i < n; i++) {
		if (!(((const struct rec_notify_mark *)marks[i])->mask & PERMISSION))
			continue;
		ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
			  "it decides about the access to files, and without it the processes that "
			  "want access stand still, this one among them");
		ckpt_hint(err, "let the program remove the marks (FAN_MARK_FLUSH) first");
		return -EOPNOTSUPP;
	}
	return 0;
}

static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	_cleanup_json_ json_t *marks = NULL;
	int rc = check_group(group_of(d, f), err);

	if (rc == 0)
		rc = check_marks(d, f, err);
	return rc < 0 ? rc : save_marks(d, f, &marks, err);
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	const struct rec_notify_group *g = group_of(d, f);
	json_t *marks = NULL, *info = json_object();
	int rc = json_object_set_new(o, "info", info) ? ckpt_fail_nomem(err) : check_group(g, err);

	if (rc == 0)
		rc = check_marks(d, f, err);
	if (rc < 0)
		return rc;
	if (js_set_int(info, "lost_events", g->n_queued) ||
	    js_set_int(o, "group_flags", g->flags) || js_set_int(o, "event_flags", g->event_flags))
		return ckpt_fail_nomem(err);
	rc = save_marks(d, f, &marks, err);
	if (rc == 0 && json_object_set_new(o, "marks", marks))
		rc = ckpt_fail_nomem(err);
	return rc;
}

/* ---- restoring ---- */

struct mark {
	unsigned int type;
	uint32_t mask, ignored;
	bool survives, evictable, ignore_flags;
};

static int parse_mark(const json_t *row, struct mark *m, struct ckpt_err **err)
{
	const char *type = "";
	int rc = js_str(row, "type", &type, err);

	for (m->type = 0; m->type < TYPES && strcmp(types[m->type], type);)
		m->type++;
	if (rc == 0)
		rc = js_u32(row, "mask", &m->mask, err);
	if (rc == 0)
		rc = js_u32(row, "ignored", &m->ignored, err);
	if (rc == 0)
		rc = js_bool(row, "survives", &m->survives, err);
	if (rc == 0)
		rc = js_bool(row, "evictable", &m->evictable, err);
	if (rc == 0)
		rc = js_bool(row, "ignore_flags", &m->ignore_flags, err);
	if (rc == 0 && (m->type == TYPES || m->mask & PERMISSION))
		rc = ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a mark of fanotify is not sound");
	return rc;
}

static int need_mount(const struct kind_restore *r, const json_t *row, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	int rc = path_get(row, &path, err);

	return rc < 0 ? rc : path_need_inode(row, path, r->allow_changed, err);
}

static int need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	uint32_t flags = 0;
	struct mark m = { 0 };
	json_t *marks;
	int rc = js_arr(o, "marks", &marks, err);

	if (rc == 0)
		rc = js_u32(o, "group_flags", &flags, err);
	if (rc == 0)
		rc = js_u32(o, "event_flags", &flags, err);
	for (size_t i = 0; rc == 0 && i < json_array_size(marks); i++) {
		const json_t *row = json_array_get(marks, i);

		rc = parse_mark(row, &m, err);
		if (rc == 0)
			rc = m.type == REC_NOTIFY_INODE ? notify_inode_need(r, row, err)
							: need_mount(r, row, err);
	}
	return rc;
}

/* CAP_SYS_ADMIN aside, or back. */
static int set_admin(bool on)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	if (on)
		data[0].effective |= 1u << CAP_SYS_ADMIN;
	else
		data[0].effective &= ~(1u << CAP_SYS_ADMIN);
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	uint32_t flags = 0, event_flags = 0;
	bool aside = false;
	int rc = js_u32(o, "group_flags", &flags, err);

	(void)r;
	if (rc == 0)
		rc = js_u32(o, "event_flags", &event_flags, err);
	if (rc < 0)
		return rc;
	/* The kernel tells such a group less, of other users. */
	if (flags & GROUP_UNPRIVILEGED)
		aside = set_admin(false) == 0;
	*ret_fd = fanotify_init(flags & GROUP_KNOWN, event_flags);
	rc = *ret_fd < 0 ? -errno : 0;
	if (aside)
		set_admin(true);
	if (rc < 0) {
		ckpt_fail_errno(err, rc, CKPT_E_RESTORE, "make a fanotify group");
		if (rc == -EMFILE)
			ckpt_hint(err, "raise /proc/sys/fs/fanotify/max_user_groups");
	}
	return rc;
}

static int add(int fd, unsigned int flags, uint32_t mask, int target, struct ckpt_err **err)
{
	char link[40];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", target);
	if (!mask || fanotify_mark(fd, FAN_MARK_ADD | flags, mask, AT_FDCWD, link) == 0)
		return 0;
	return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "mark a file again (fanotify)");
}

static int open_target(const struct kind_restore *r, const json_t *row, const struct mark *m,
		       int *ret_fd, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	struct statx sx;
	int rc;

	if (m->type == REC_NOTIFY_INODE)
		return notify_inode_open(r, row, ret_fd, err);
	rc = path_get(row, &path, err);
	if (rc < 0)
		return rc;
	*ret_fd = open(path, O_PATH | O_CLOEXEC);
	if (*ret_fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_FILE_GONE, "find mount point %s", path);
	if (statx(*ret_fd, "", AT_EMPTY_PATH, 0, &sx) < 0 ||
	    !(sx.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return ckpt_fail(err, ENOENT, CKPT_E_FILE_GONE, "nothing is mounted on %s any more",
				 path);
	return 0;
}

static int add_mark(const struct kind_restore *r, const json_t *row, int fd, struct ckpt_err **err)
{
	_cleanup_close_ int target = -1;
	struct mark m = { 0 };
	unsigned int flags;
	int rc = parse_mark(row, &m, err);

	if (rc == 0)
		rc = open_target(r, row, &m, &target, err);
	if (rc < 0)
		return rc;
	flags = type_flags[m.type] | (m.evictable ? FAN_MARK_EVICTABLE : 0);
	rc = add(fd, flags, m.mask, target, err);
	flags |= (m.ignore_flags ? FAN_MARK_IGNORE : FAN_MARK_IGNORED_MASK) |
		 (m.survives ? FAN_MARK_IGNORED_SURV_MODIFY : 0);
	return rc < 0 ? rc : add(fd, flags, m.ignored, target, err);
}

static int connect_it(struct kind_restore *r, const json_t *o, int fd, struct ckpt_err **err)
{
	json_t *marks;
	int rc = js_arr(o, "marks", &marks, err);

	for (size_t i = 0; rc == 0 && i < json_array_size(marks); i++)
		rc = add_mark(r, json_array_get(marks, i), fd, err);
	return rc;
}

/* With an event come descriptors, for us. */
static void close_event(const struct fanotify_event_metadata *e)
{
	const char *at = (const char *)e + e->metadata_len, *end = (const char *)e + e->event_len;

	if (e->fd >= 0)
		close(e->fd);
	while (end - at >= (ptrdiff_t)sizeof(struct fanotify_event_info_header)) {
		struct fanotify_event_info_header head;
		int32_t pidfd;

		memcpy(&head, at, sizeof(head));
		if (head.len < sizeof(head) || head.len > end - at)
			return;
		if (head.info_type == 4 /* FAN_EVENT_INFO_TYPE_PIDFD */ && head.len >= 8) {
			memcpy(&pidfd, at + sizeof(head), sizeof(pidfd));
			if (pidfd >= 0)
				close(pidfd);
		}
		at += head.len;
	}
}

/* What waits now is of our own doing, or happened before the program is there. */
static void go(struct kind_restore *r, const json_t *o, int fd)
{
	_Alignas(struct fanotify_event_metadata) char buf[8192];
	int bytes = 0;

	(void)r;
	(void)o;
	for (int i = 0; i < 100000 && ioctl(fd, FIONREAD, &bytes) == 0 && bytes > 0; i++) {
		struct fanotify_event_metadata *e = (void *)buf;
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n <= 0)
			return;
		for (; FAN_EVENT_OK(e, n); e = FAN_EVENT_NEXT(e, n))
			close_event(e);
	}
}

static int same(const json_t *saved, const json_t *now, struct ckpt_err **err)
{
	static const char *const keys[] = { "type",	 "mask",	 "ignored", "survives",
					    "evictable", "ignore_flags", "object" };
	const json_t *a = json_object_get(saved, "marks"), *b = json_object_get(now, "marks");
	int rc = objects_same_member(saved, now, "group_flags", err);

	if (rc == 0)
		rc = objects_same_member(saved, now, "event_flags", err);
	if (rc == 0 && json_array_size(a) != json_array_size(b))
		rc = ckpt_fail(err, EIO, CKPT_E_DIFFERENT, "there were %zu marks, now %zu",
			       json_array_size(a), json_array_size(b));
	for (size_t i = 0; rc == 0 && i < json_array_size(a); i++)
		for (size_t k = 0; rc == 0 && k < sizeof(keys) / sizeof(keys[0]); k++)
			rc = objects_same_member(json_array_get(a, i), json_array_get(b, i),
						 keys[k], err);
	return rc;
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	(void)f;
	snprintf(buf, len, "fanotify group");
}

const struct ckpt_kind kind_fanotify = {
	.name = "fanotify",
	.connects_last = true,
	.match = match,
	.check = check,
	.save = save,
	.need = need,
	.open = open_it,
	.connect = connect_it,
	.go = go,
	.same = same,
	.describe = describe,
};
