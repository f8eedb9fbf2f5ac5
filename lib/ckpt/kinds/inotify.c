// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * inotify instances: their watches, each with its number, and the events that wait to be read
 * (inotify_queue.c). A watch is found again by the path of its inode, by the inode's handle should
 * it have moved, or as a file without name that the program has open.
 */
#include "../util.h"
#include "notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>

#define IN_WATCHED (IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONESHOT)
/* FSNOTIFY_MARK_FLAG_*, include/linux/fsnotify_backend.h; before 5.19 they were in the mask. */
#define MARK_EXCL_UNLINK 0x10u
#define MARK_IN_ONESHOT	 0x20u

static bool match(const struct kind_file *f)
{
	return f->file && !strcmp(f->inode->fstype, "anon_inodefs") &&
	       !strcmp(f->inode->dname, "inotify");
}

static uint32_t user_mask(const struct rec_notify_mark *m)
{
	return (m->mask & IN_WATCHED) | (m->flags & MARK_EXCL_UNLINK ? IN_EXCL_UNLINK : 0) |
	       (m->flags & MARK_IN_ONESHOT ? IN_ONESHOT : 0);
}

static int by_wd(const void *a, const void *b)
{
	const struct rec_notify_mark *const *x = a, *const *y = b;

	return ((*x)->wd > (*y)->wd) - ((*x)->wd < (*y)->wd);
}

static int save_watch(const struct kind_dump *d, const struct mounts *mounts,
		      const struct rec_notify_mark *m, json_t *rows, struct ckpt_err **err)
{
	json_t *o = json_object();
	int rc = json_array_append_new(rows, o);

	rc |= js_set_int(o, "wd", m->wd);
	rc |= js_set_int(o, "mask", user_mask(m));
	if (rc)
		return ckpt_fail_nomem(err);
	rc = notify_inode_save(d, mounts, m, o, err);
	return rc < 0 ? ckpt_wrap(err, rc, "watch %d", m->wd) : 0;
}

/* By number: the kernel has the youngest first. */
static int save_watches(const struct kind_dump *d, const struct kind_file *f, json_t **ret,
			struct ckpt_err **err)
{
	_cleanup_json_ json_t *rows = json_array();
	_cleanup_free_ const void **sorted = NULL;
	struct mounts mounts;
	size_t n = 0;
	const void *const *marks = snapshot_details(d->snap, REC_NOTIFY_MARK, f->tgid, f->fd, &n);
	int rc = mounts_read(&mounts, err);

	sorted = calloc(n + 1, sizeof(*sorted));
	if (rc == 0 && (!rows || !sorted))
		rc = ckpt_fail_nomem(err);
	if (rc == 0 && n) {
		memcpy(sorted, marks, n * sizeof(*sorted));
		qsort(sorted, n, sizeof(*sorted), by_wd);
	}
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = save_watch(d, &mounts, sorted[i], rows, err);
	mounts_done(&mounts);
	if (rc == 0)
		*ret = TAKE_PTR(rows);
	return rc;
}

static const struct rec_notify_group *group_of(const struct kind_dump *d, const struct kind_file *f)
{
	size_t n;
	const void *const *g = snapshot_details(d->snap, REC_INOTIFY, f->tgid, f->fd, &n);

	return n ? g[0] : NULL;
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	const struct rec_notify_group *g = group_of(d, f);
	json_t *watches = NULL, *events = NULL, *info = json_object();
	int rc;

	if (json_object_set_new(o, "info", info))
		return ckpt_fail_nomem(err);
	if (!g)
		return ckpt_fail(err, EIO, CKPT_E_CHANGING, "the kernel tells nothing of it");
	if (js_set_int(o, "next_wd", g->next_wd) || js_set_int(info, "max_events", g->max_events))
		return ckpt_fail_nomem(err);
	rc = save_watches(d, f, &watches, err);
	if (rc == 0 && json_object_set_new(o, "watches", watches))
		rc = ckpt_fail_nomem(err);
	if (rc == 0)
		rc = inotify_events_save(d, f, &events, err);
	if (rc == 0 && json_object_set_new(o, "events", events))
		rc = ckpt_fail_nomem(err);
	return rc;
}

static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	_cleanup_json_ json_t *watches = NULL, *events = NULL;
	int rc = save_watches(d, f, &watches, err);

	if (rc == 0)
		rc = inotify_events_save(d, f, &events, err);
	return rc == 0 ? inotify_events_need(events, err) : rc;
}

/* ---- restoring ---- */

static int parse_watch(const json_t *row, int32_t *wd, uint32_t *mask, struct ckpt_err **err)
{
	int rc = js_i32(row, "wd", wd, err);

	if (rc == 0)
		rc = js_u32(row, "mask", mask, err);
	if (rc == 0 && (*wd < 1 || *mask & ~(uint32_t)IN_WATCHED || !(*mask & IN_ALL_EVENTS)))
		rc = ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "watch %d is not sound", *wd);
	return rc;
}

static int need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	json_t *watches, *events;
	uint32_t next = 0, mask;
	int32_t wd;
	int rc = js_arr(o, "watches", &watches, err);

	if (rc == 0)
		rc = js_arr(o, "events", &events, err);
	if (rc == 0)
		rc = js_u32(o, "next_wd", &next, err);
	for (size_t i = 0; rc == 0 && i < json_array_size(watches); i++) {
		const json_t *row = json_array_get(watches, i);

		rc = parse_watch(row, &wd, &mask, err);
		if (rc == 0)
			rc = notify_inode_need(r, row, err);
	}
	return rc < 0 ? rc : inotify_events_need(events, err);
}

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	int flags = 0, rc = kind_open_flags(o, &flags, err);

	(void)r;
	if (rc < 0)
		return rc;
	*ret_fd = inotify_init1(IN_CLOEXEC | (flags & O_NONBLOCK ? IN_NONBLOCK : 0));
	if (*ret_fd < 0) {
		rc = ckpt_fail_errno(err, errno, CKPT_E_LIMIT, "make an inotify instance");
		ckpt_hint(err, "raise /proc/sys/fs/inotify/max_user_instances");
	}
	return rc;
}

static int add_watch(const struct kind_restore *r, const json_t *row, int fd, struct ckpt_err **err)
{
	_cleanup_close_ int target = -1;
	uint32_t mask = 0;
	int32_t wd = 0;
	int got, rc = parse_watch(row, &wd, &mask, err);

	if (rc == 0)
		rc = notify_inode_open(r, row, &target, err);
	if (rc == 0)
		rc = inotify_next_wd(fd, wd, err);
	if (rc < 0)
		return rc;
	got = inotify_watch_fd(fd, target, mask);
	if (got < 0) {
		ckpt_fail_errno(err, got, CKPT_E_RESTORE, "watch a file again");
		if (got == -ENOSPC)
			ckpt_hint(err, "raise /proc/sys/fs/inotify/max_user_watches");
		return got;
	}
	if (got != wd)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
				 "watch %d came back as %d: one file is watched twice", wd, got);
	return 0;
}

static int highest_wd(const json_t *rows, int highest)
{
	for (size_t i = 0; i < json_array_size(rows); i++) {
		int32_t wd = 0;

		if (js_i32(json_array_get(rows, i), "wd", &wd, NULL) == 0 && wd > highest)
			highest = wd;
	}
	return highest;
}

static int connect_it(struct kind_restore *r, const json_t *o, int fd, struct ckpt_err **err)
{
	struct inotify_queue *q = NULL;
	json_t *watches, *events;
	uint32_t next = 0;
	int rc = js_arr(o, "watches", &watches, err);

	if (rc == 0)
		rc = js_arr(o, "events", &events, err);
	if (rc == 0)
		rc = js_u32(o, "next_wd", &next, err);
	if (rc == 0)
		rc = inotify_queue_begin(fd, events, highest_wd(events, highest_wd(watches, 0)), &q,
					 err);
	for (size_t i = 0; rc == 0 && i < json_array_size(watches); i++)
		rc = add_watch(r, json_array_get(watches, i), fd, err);
	if (rc == 0 && next)
		rc = inotify_next_wd(fd, (int)next, err);
	if (rc == 0)
		rc = inotify_queue_end(q, err);
	inotify_queue_free(q);
	return rc;
}

/* Events that came since from outside follow those that were saved. */
static int events_same(const json_t *saved, const json_t *now, struct ckpt_err **err)
{
	size_t n = json_array_size(saved);

	if (json_array_size(now) < n)
		return ckpt_fail(err, EIO, CKPT_E_DIFFERENT, "%zu events waited, now %zu", n,
				 json_array_size(now));
	for (size_t i = 0; i < n; i++)
		if (!json_equal(json_array_get(saved, i), json_array_get(now, i)))
			return ckpt_fail(err, EIO, CKPT_E_DIFFERENT, "event %zu is another", i + 1);
	return 0;
}

/* A watch may be found by another path than before. */
static int watches_same(const json_t *saved, const json_t *now, struct ckpt_err **err)
{
	static const char *const keys[] = { "wd", "mask", "object" };
	int rc = 0;

	if (json_array_size(saved) != json_array_size(now))
		return ckpt_fail(err, EIO, CKPT_E_DIFFERENT, "there were %zu watches, now %zu",
				 json_array_size(saved), json_array_size(now));
	for (size_t i = 0; rc == 0 && i < json_array_size(saved); i++)
		for (size_t k = 0; rc == 0 && k < sizeof(keys) / sizeof(keys[0]); k++)
			rc = objects_same_member(json_array_get(saved, i), json_array_get(now, i),
						 keys[k], err);
	return rc;
}

static int same(const json_t *saved, const json_t *now, struct ckpt_err **err)
{
	int rc = objects_same_member(saved, now, "next_wd", err);

	if (rc == 0)
		rc = watches_same(json_object_get(saved, "watches"),
				  json_object_get(now, "watches"), err);
	return rc < 0 ? rc
		      : events_same(json_object_get(saved, "events"),
				    json_object_get(now, "events"), err);
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	(void)f;
	snprintf(buf, len, "inotify instance");
}

const struct ckpt_kind kind_inotify = {
	.name = "inotify",
	.connects_last = true,
	.match = match,
	.check = check,
	.save = save,
	.need = need,
	.open = open_it,
	.connect = connect_it,
	.same = same,
	.describe = describe,
};
