// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Descriptors of processes under construction. See build.h.
 *
 * The restoring process opens every object. A task takes those that it has from there
 * (pidfd_getfd(2)), by a pidfd that it was born with. What it needs before, to map memory or to
 * take a terminal, it is born with, too: such objects are "in tasks", high up in all tables, so
 * that putting a descriptor in its place never hits one. All else the root closes at its birth.
 */
#include "build.h"
#include "tables.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* ---- which are in tasks ---- */

static void want_object(struct kind_restore *kr, const json_t *o)
{
	json_int_t id = json_integer_value(json_object_get(o, "object"));

	if (id > 0 && (uint64_t)id < kr->n_fd)
		kr->in_tasks[id] = true;
}

static int mark_in_tasks(struct restore *r, struct ckpt_err **err)
{
	struct kind_restore *kr = &r->kr;
	int rc = objects_number(kr, err);

	if (rc < 0)
		return rc;
	for (size_t p = 0; p < r->n_procs; p++) {
		const struct build *b = &r->proc[p];

		for (size_t i = 0; i < b->n_areas; i++)
			kr->in_tasks[b->area[i].object] = true; /* checked when it was read */
		want_object(kr, json_object_get(json_object_get(b->task, "mm"), "exe"));
		want_object(kr, json_object_get(b->task, "terminal"));
	}
	for (uint32_t id = 1; id < kr->n_fd; id++)
		kr->in_tasks[id] |= objects_called_upon(kr, id);
	return 0;
}

/* ---- opening them ---- */

/*
 * Numbers for what will be in tasks, right above the descriptors that these have, while they are
 * free: the tables of the tasks stay small.
 */
static int reserve(struct restore *r, int base, struct ckpt_err **err)
{
	int any = (int)syscall(SYS_pidfd_open, getpid(), 0);
	size_t n = 1;

	for (size_t id = 1; id < r->kr.n_fd; id++)
		n += r->kr.in_tasks[id];
	r->in_tasks_fd = calloc(n, sizeof(*r->in_tasks_fd));
	if (!r->in_tasks_fd)
		return ckpt_fail_nomem(err);
	r->self_fd = any;
	while (r->n_in_tasks < n) {
		int fd = fcntl(any, F_DUPFD_CLOEXEC, base);

		if (fd < 0) {
			ckpt_fail_errno(err, errno, CKPT_E_LIMIT, "have a descriptor above %d",
					base);
			ckpt_hint(err, "raise the limit of open files (ulimit -n)");
			return -errno;
		}
		r->in_tasks_fd[r->n_in_tasks++] = fd;
	}
	/* The first is for this one itself. */
	r->self_fd = r->kr.fd_in_tasks = r->in_tasks_fd[0];
	r->n_moved_up = 1;
	close(any);
	return 0;
}

static int highest_fd(const struct restore *r)
{
	int highest = -1;

	for (size_t p = 0; p < r->n_procs; p++) {
		const json_t *rows = json_object_get(r->proc[p].task, "files");
		size_t n = json_array_size(rows);
		int last = tables_highest_fd(r->proc[p].task);

		highest = last > highest ? last : highest;
		if (!n)
			continue;
		/* In order; checked when they are put in place. */
		last = (int)json_integer_value(json_object_get(json_array_get(rows, n - 1), "fd"));
		highest = last > highest ? last : highest;
	}
	return highest;
}

static void give_back(struct restore *r)
{
	while (r->n_in_tasks > r->n_moved_up)
		close(r->in_tasks_fd[--r->n_in_tasks]);
}

static int move_up(struct restore *r, struct ckpt_err **err)
{
	for (size_t id = 1; id < r->kr.n_fd; id++) {
		int *fd = &r->kr.fd[id];

		r->kr.in_tasks[id] &= *fd >= 0; /* not those that are opened later */
		if (!r->kr.in_tasks[id])
			continue;
		if (dup3(*fd, r->in_tasks_fd[r->n_moved_up], O_CLOEXEC) < 0)
			return ckpt_fail_errno(err, errno, CKPT_E_SYS, "move a descriptor up");
		close(*fd);
		*fd = r->in_tasks_fd[r->n_moved_up++];
	}
	give_back(r);
	return 0;
}

int build_objects(struct restore *r, struct ckpt_err **err)
{
	struct rlimit lim;
	int rc;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
	rc = mark_in_tasks(r, err);
	if (rc == 0)
		rc = reserve(r, highest_fd(r) + 1, err);
	if (rc == 0)
		rc = objects_open(&r->kr, err);
	return rc < 0 ? rc : move_up(r, err);
}

void build_objects_done(struct restore *r)
{
	give_back(r);
	close_reset(&r->self_fd);
	free(r->in_tasks_fd);
}

/* ---- in a task ---- */

static int close_range_of(struct build *b, pid_t tid, uint32_t first, uint32_t last,
			  struct ckpt_err **err)
{
	int rc = build_room(b, tid, 1, 0, err);

	if (rc == 0)
		arena_op(&b->r->arena, "close the restorer's descriptors", SYS_close_range, first,
			 last, 0, 0, 0, 0);
	return rc;
}

/* Of descriptors that are kept, in order, this is the next one: the gap before it is closed. */
static int close_gap(struct build *b, pid_t tid, uint32_t *next, uint32_t fd, struct ckpt_err **err)
{
	int rc = fd > *next ? close_range_of(b, tid, *next, fd - 1, err) : 0;

	*next = fd + 1;
	return rc;
}

int build_keep_in_tasks(struct build *b, pid_t tid, struct ckpt_err **err)
{
	uint32_t next = 0;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < b->r->n_in_tasks; i++)
		rc = close_gap(b, tid, &next, (uint32_t)b->r->in_tasks_fd[i], err);
	return rc < 0 ? rc : close_range_of(b, tid, next, ~0U, err);
}

/* Close every descriptor that is not the program's: the gaps between those that are. */
static int close_others(struct build *b, pid_t tid, const json_t *rows, struct ckpt_err **err)
{
	uint32_t next = 0;

	for (size_t i = 0; i < json_array_size(rows); i++) {
		uint32_t fd;
		int rc = js_u32(json_array_get(rows, i), "fd", &fd, err);

		if (rc == 0)
			rc = close_gap(b, tid, &next, fd, err);
		if (rc < 0)
			return rc;
	}
	return close_range_of(b, tid, next, ~0U, err);
}

static struct remote_op *queue_take(struct build *b, int ours)
{
	return arena_op(&b->r->arena, "take a descriptor from the restorer", SYS_pidfd_getfd,
			(uint64_t)b->r->self_fd, (uint64_t)ours, 0, 0, 0, 0);
}

int build_take_fd(struct build *b, pid_t tid, int ours, int *ret, struct ckpt_err **err)
{
	struct arena *a = &b->r->arena;
	const struct remote_op *op;
	int rc = arena_run(a, tid, err);

	if (rc < 0)
		return rc;
	op = queue_take(b, ours);
	rc = arena_run(a, tid, err);
	*ret = (int)op->ret;
	return rc;
}

/* *free: the lowest number that is; taken is where the kernel puts it. */
static void place_taken(struct build *b, int ours, uint32_t fd, bool cloexec, uint32_t *free)
{
	struct arena *a = &b->r->arena;

	arena_expect(a, queue_take(b, ours), *free);
	if (fd == *free) {
		++*free;
		if (!cloexec)
			arena_op(a, "keep a descriptor across exec(2)", SYS_fcntl, fd, F_SETFD, 0,
				 0, 0, 0);
		return;
	}
	arena_op(a, "put a descriptor in its place", SYS_dup3, *free, fd, cloexec ? O_CLOEXEC : 0,
		 0, 0, 0);
	arena_op(a, "close a descriptor", SYS_close, *free, 0, 0, 0, 0, 0);
}

static int place(struct build *b, const json_t *row, int64_t *last, uint32_t *free,
		 struct ckpt_err **err)
{
	bool cloexec = json_is_true(json_object_get(row, "cloexec"));
	struct kind_restore *kr = &b->r->kr;
	uint32_t fd = 0, object = 0;
	int rc = js_u32(row, "fd", &fd, err);

	if (rc == 0)
		rc = js_u32(row, "object", &object, err);
	if (rc == 0 && ((int64_t)fd <= *last || object >= kr->n_fd || !object))
		rc = ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "descriptor %u is out of order", fd);
	if (rc < 0)
		return rc;
	*last = fd;
	if (!kr->in_tasks[object]) {
		place_taken(b, kr->fd[object], fd, cloexec, free);
		return 0;
	}
	*free += fd == *free;
	arena_op(&b->r->arena, "put a descriptor in its place", SYS_dup3, (uint64_t)kr->fd[object],
		 fd, cloexec ? O_CLOEXEC : 0, 0, 0, 0);
	return 0;
}

int build_files(struct build *b, pid_t tid, const json_t *o, struct ckpt_err **err)
{
	int64_t last = -1;
	uint32_t free = 0;
	json_t *rows;
	int rc = js_arr(o, "files", &rows, err);

	/* Something may be there, for kinds that call upon tasks. */
	if (rc == 0)
		rc = build_keep_in_tasks(b, tid, err);
	for (size_t i = 0; rc == 0 && i < json_array_size(rows); i++) {
		rc = build_room(b, tid, 3, 0, err);
		if (rc == 0)
			rc = place(b, json_array_get(rows, i), &last, &free, err);
	}
	return rc < 0 ? rc : close_others(b, tid, rows, err);
}
