// SPDX-License-Identifier: LGPL-2.1-or-later
/* Locks, leases and dnotify, which a task takes by its own descriptors. See build.h and locks.h. */
#include "build.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>

static void queue_lock(struct build *b, uint32_t fd, const char *class, bool write_lock,
		       uint64_t start, uint64_t end)
{
	struct flock fl = {
		.l_whence = SEEK_SET,
		.l_type = write_lock ? F_WRLCK : F_RDLCK,
		.l_start = (off_t)start,
		.l_len = end >= INT64_MAX ? 0 : (off_t)(end - start + 1),
	};

	if (!strcmp(class, "flock"))
		arena_op(&b->r->arena, "take a file lock (flock)", SYS_flock, fd,
			 (write_lock ? LOCK_EX : LOCK_SH) | LOCK_NB, 0, 0, 0, 0);
	else
		arena_op(&b->r->arena, "take a file lock (fcntl)", SYS_fcntl, fd,
			 !strcmp(class, "ofd") ? F_OFD_SETLK : F_SETLK,
			 arena_data(&b->r->arena, &fl, sizeof(fl)), 0, 0, 0);
}

static bool has_fd(const json_t *owner, uint32_t fd)
{
	const json_t *rows = json_object_get(owner, "files");

	for (size_t i = 0; i < json_array_size(rows); i++)
		if (json_integer_value(json_object_get(json_array_get(rows, i), "fd")) == fd)
			return true;
	return false;
}

/*
 * The descriptor by which a lease is taken is what its signals will name, even if it is closed
 * later. Taking one makes the task the description's owner: that is for objects_set_owners() to
 * say, and nobody may get a signal before.
 */
static void queue_lease(struct build *b, const json_t *owner, uint32_t fd, uint32_t signal_fd,
			bool write_lock)
{
	bool lent = signal_fd != fd && !has_fd(owner, signal_fd);
	uint32_t by = lent ? signal_fd : fd;

	if (lent)
		arena_op(&b->r->arena, "lend a descriptor to a lease", SYS_dup3, fd, by, 0, 0, 0,
			 0);
	arena_op(&b->r->arena, "take a lease", SYS_fcntl, by, F_SETLEASE,
		 write_lock ? F_WRLCK : F_RDLCK, 0, 0, 0);
	arena_op(&b->r->arena, "leave a lease without owner", SYS_fcntl, by, F_SETOWN, 0, 0, 0, 0);
	if (lent)
		arena_op(&b->r->arena, "close a descriptor", SYS_close, by, 0, 0, 0, 0, 0);
}

static int queue_dnotify(struct build *b, const json_t *row, uint32_t fd, struct ckpt_err **err)
{
	uint32_t mask = 0;
	int rc = js_u32(row, "mask", &mask, err);

	if (rc < 0)
		return rc;
	arena_op(&b->r->arena, "be told of a directory (F_NOTIFY)", SYS_fcntl, fd, F_NOTIFY, mask,
		 0, 0, 0);
	arena_op(&b->r->arena, "leave F_NOTIFY without owner", SYS_fcntl, fd, F_SETOWN, 0, 0, 0, 0);
	return 0;
}

static int queue_lock_row(struct build *b, pid_t tid, const json_t *owner, const json_t *row,
			  struct ckpt_err **err)
{
	const char *class = "", *type = "";
	uint64_t start = 0, end = 0;
	uint32_t fd = 0, signal_fd;
	int rc = js_u32(row, "fd", &fd, err);

	if (rc == 0)
		rc = js_str(row, "class", &class, err);
	if (rc == 0)
		rc = build_room(b, tid, 4, sizeof(struct flock) + 16, err);
	if (rc == 0 && !strcmp(class, "dnotify"))
		return queue_dnotify(b, row, fd, err);
	if (rc == 0)
		rc = js_str(row, "type", &type, err);
	if (rc < 0)
		return rc;
	signal_fd = fd;
	if (!strcmp(class, "lease")) {
		rc = js_u32(row, "signal_fd", &signal_fd, err);
		if (rc == 0)
			queue_lease(b, owner, fd, signal_fd, !strcmp(type, "write"));
		return rc;
	}
	rc = js_u64(row, "start", &start, err);
	if (rc == 0)
		rc = js_u64(row, "end", &end, err);
	if (rc == 0)
		queue_lock(b, fd, class, !strcmp(type, "write"), start, end);
	return rc;
}

int build_queue_locks(struct build *b, pid_t tid, const json_t *owner, struct ckpt_err **err)
{
	const json_t *rows = json_object_get(owner, "locks");
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < json_array_size(rows); i++)
		rc = queue_lock_row(b, tid, owner, json_array_get(rows, i), err);
	return rc;
}

bool build_has_locks(const json_t *owner)
{
	return json_array_size(json_object_get(owner, "locks")) > 0;
}

/* The restorer's descriptor for one of the task's. */
static int restorers_fd(const struct build *b, const json_t *owner, uint32_t fd)
{
	const json_t *rows = json_object_get(owner, "files");

	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		uint64_t id = 0;

		if (json_integer_value(json_object_get(row, "fd")) == fd &&
		    js_opt_u64(row, "object", &id, NULL) == 0 && id < b->r->kr.n_fd)
			return b->r->kr.fd[id];
	}
	return -1;
}

/*
 * Leases that were being broken: an open that does not wait breaks them again. Whoever wanted the
 * file gets the system's full time again (/proc/sys/fs/lease-break-time).
 */
int build_break_leases(const struct build *b, const json_t *owner, struct ckpt_err **err)
{
	const json_t *rows = json_object_get(owner, "locks");
	char link[40];

	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		const char *breaking = NULL;
		uint32_t fd = 0;
		int got, rc = js_u32(row, "fd", &fd, err);

		if (rc == 0)
			rc = js_opt_str(row, "breaking", &breaking, err);
		if (rc < 0)
			return rc;
		if (!breaking)
			continue;
		snprintf(link, sizeof(link), "/proc/self/fd/%d", restorers_fd(b, owner, fd));
		got = open(link, O_NONBLOCK | O_CLOEXEC |
					 (!strcmp(breaking, "read") ? O_RDONLY : O_WRONLY));
		if (got < 0 && errno == EWOULDBLOCK)
			continue;
		rc = ckpt_fail_errno(err, got < 0 ? errno : EIO, CKPT_E_RESTORE,
				     "break the lease of descriptor %u again", fd);
		if (got >= 0)
			close(got);
		return rc;
	}
	return 0;
}
