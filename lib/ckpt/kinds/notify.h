/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What inotify and fanotify have in common: finding again what they watch; and inotify's queue. */
#ifndef CKPT_NOTIFY_H
#define CKPT_NOTIFY_H

#include "kinds.h"

/*
 * What is mounted here, as /proc/self/mountinfo tells. Its text is kept, the rows point into it.
 */
struct mounts {
	char *text;

	struct mount_row {
		unsigned int id, major, minor;
		char *root, *point; /* within the file system; where it is seen */
	} * row;

	size_t n;
};

int mounts_read(struct mounts *m, struct ckpt_err **err);
void mounts_done(struct mounts *m);

/*
 * Where an inode is that a mark knows: "path" with "info", by which it is judged later, and
 * "handle" and "mount", which find it should it have moved; or "object", when it has no name but is
 * open. CKPT_E_UNSUPPORTED when there is no way to it.
 */
int notify_inode_save(const struct kind_dump *d, const struct mounts *mounts,
		      const struct rec_notify_mark *m, json_t *o, struct ckpt_err **err);
/* Is it there? Of an object that is not open yet nothing is asked. */
int notify_inode_need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err);
/* *ret_fd: O_PATH, owned. */
int notify_inode_open(const struct kind_restore *r, const json_t *o, int *ret_fd,
		      struct ckpt_err **err);

/* ---- inotify_queue.c ---- */

/* The rows of "events": {"wd", "mask", "name", "cookie"}. Refuses what cannot be made again. */
int inotify_events_save(const struct kind_dump *d, const struct kind_file *f, json_t **ret,
			struct ckpt_err **err);
/* Are the rows sound, and can they be made? */
int inotify_events_need(const json_t *events, struct ckpt_err **err);

/*
 * Put events into the queue of a new instance: begin, add the watches, end. next_free: a number
 * that no watch and no event has.
 */
struct inotify_queue;
int inotify_queue_begin(int fd, const json_t *events, int next_free, struct inotify_queue **ret,
			struct ckpt_err **err);
int inotify_queue_end(struct inotify_queue *q, struct ckpt_err **err);
void inotify_queue_free(struct inotify_queue *q);

/* The next watch gets this number (INOTIFY_IOC_SETNEXTWD). */
int inotify_next_wd(int fd, int wd, struct ckpt_err **err);
/* inotify_add_watch(2) of what a descriptor refers to, be it a symbolic link. The number or -errno.
 */
int inotify_watch_fd(int fd, int target, uint32_t mask);

#endif
