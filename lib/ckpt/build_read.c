// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The processes of an image, read and checked by themselves: nothing of this machine is asked. So
 * restore, verify and show have the same idea of what an image says.
 */
#include "build.h"
#include "tasks.h"
#include "util.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct build *process_of(struct restore *r, int64_t vpid)
{
	for (size_t i = 0; i < r->n_procs; i++)
		if (r->proc[i].vpid == vpid)
			return &r->proc[i];
	return NULL;
}

/* In whose row something stands that the process has. */
static struct build *owner_of(struct build *b, enum plan_shared what, const char *name)
{
	const json_t *number = json_object_get(json_object_get(b->task, "shares"), name);

	return task_shares(b->task, what) ? process_of(b->r, json_integer_value(number)) : b;
}

static int find_relations(struct build *b, struct ckpt_err **err)
{
	b->parent = process_of(b->r, json_integer_value(json_object_get(b->task, "ppid")));
	b->mm_owner = owner_of(b, PLAN_MM, "mm");
	b->files_owner = owner_of(b, PLAN_FILES, "files");
	b->fs_owner = owner_of(b, PLAN_FS, "fs");
	b->sighand_owner = owner_of(b, PLAN_SIGHAND, "sighand");
	if (!b->mm_owner || !b->files_owner || !b->fs_owner || !b->sighand_owner ||
	    b->mm_owner->zombie || b->files_owner->zombie || b->fs_owner->zombie ||
	    b->sighand_owner->zombie)
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE,
				 "process %d shares something with a process that is not there",
				 b->vpid);
	return 0;
}

static int find_makers(struct restore *r, struct ckpt_err **err)
{
	_cleanup_free_ int *maker = calloc(r->n_procs, sizeof(*maker));

	if (!maker)
		return ckpt_fail_nomem(err);
	plan_makers(&r->plan, r->n_procs, maker);
	for (size_t i = 0; i < r->n_procs; i++)
		r->proc[i].maker = maker[i] >= 0 ? &r->proc[maker[i]] : NULL;
	return 0;
}

/* The processes of the image, and the order in which they will be made. */
static int read_tree(struct restore *r, struct ckpt_err **err)
{
	json_t *tasks;
	int rc = js_arr(r->im.manifest, "tasks", &tasks, err);

	if (rc == 0)
		rc = tasks_plan_image(tasks, &r->plan, err);
	if (rc < 0)
		return rc;
	r->n_procs = json_array_size(tasks);
	r->proc = calloc(r->n_procs, sizeof(*r->proc));
	r->helper = calloc(r->plan.n_helpers + 1, sizeof(*r->helper));
	if (!r->proc || !r->helper)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < r->n_procs; i++) {
		struct build *b = &r->proc[i];

		b->r = r;
		b->core.fd = -1;
		b->pages_fd = -1;
		b->task = json_array_get(tasks, i);
		/* The plan has looked at them. */
		b->vpid = (pid_t)json_integer_value(json_object_get(b->task, "pid"));
		b->zombie = json_object_get(b->task, "zombie") != NULL;
	}
	for (size_t i = 0; rc == 0 && i < r->n_procs; i++)
		if (!r->proc[i].zombie)
			rc = find_relations(&r->proc[i], err);
		else
			r->proc[i].parent = process_of(
				r, json_integer_value(json_object_get(r->proc[i].task, "ppid")));
	if (rc == 0 && r->proc[0].zombie)
		rc = ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "the root is a zombie");
	return rc < 0 ? rc : find_makers(r, err);
}

static int core_by_tid(const void *a, const void *b)
{
	const struct core_thread *x = a, *y = b;

	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

static int vtid_order(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return x < y ? -1 : x > y;
}

/* Over all processes. */
static int check_tids_differ(const struct restore *r, struct ckpt_err **err)
{
	_cleanup_free_ pid_t *v = NULL;
	size_t n = 0;

	for (size_t i = 0; i < r->n_procs; i++)
		n += r->proc[i].n_threads;
	v = calloc(n, sizeof(*v));
	if (!v)
		return ckpt_fail_nomem(err);
	n = 0;
	for (size_t i = 0; i < r->n_procs; i++)
		for (size_t k = 0; k < r->proc[i].n_threads; k++)
			v[n++] = r->proc[i].thread[k].vtid;
	qsort(v, n, sizeof(*v), vtid_order);
	for (size_t i = 0; i < n; i++)
		if (v[i] <= 1 || (i && v[i] == v[i - 1]))
			return ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "there are two threads %d",
					 v[i]);
	return 0;
}

static int parse_threads(struct build *b, struct ckpt_err **err)
{
	json_t *rows;
	int rc = js_arr(b->task, "threads", &rows, err);

	if (rc < 0)
		return rc;
	b->n_threads = json_array_size(rows);
	b->thread = calloc(b->n_threads ? b->n_threads : 1, sizeof(*b->thread));
	if (!b->thread)
		return ckpt_fail_nomem(err);
	/* Its order does not matter to the core file. */
	qsort(b->core.threads, b->core.n_threads, sizeof(*b->core.threads), core_by_tid);
	for (size_t i = 0; i < b->n_threads; i++) {
		struct build_thread *t = &b->thread[i];
		struct core_thread key = { 0 };

		t->json = json_array_get(rows, i);
		rc = js_i32(t->json, "tid", &t->vtid, err);
		if (rc < 0)
			return rc;
		t->ended = i == 0 && json_object_get(t->json, "ended");
		if (b->zombie || t->ended)
			continue;
		key.tid = renumber_saved(&b->r->numbers, t->vtid);
		t->core =
			bsearch(&key, b->core.threads, b->core.n_threads, sizeof(key), core_by_tid);
		if (!t->core)
			return ckpt_fail(err, EINVAL, CKPT_E_IMAGE,
					 "thread %d has no registers in the core file", t->vtid);
	}
	if (b->n_threads == 0 || b->thread[0].vtid != b->vpid ||
	    (b->thread[0].ended && b->n_threads == 1))
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "the first thread is not the leader");
	return 0;
}

int build_open_core(const struct build *b, int *ret_fd, struct ckpt_err **err)
{
	char name[32];

	snprintf(name, sizeof(name), "core.%d", renumber_saved(&b->r->numbers, b->vpid));
	return image_file_open(&b->r->im, false, name, ret_fd, err);
}

/* Threads, registers and the table of pages. The file is opened again when pages are read. */
static int read_core(struct build *b, struct ckpt_err **err)
{
	int fd = -1, rc;

	if (b->zombie)
		return parse_threads(b, err);
	rc = build_open_core(b, &fd, err);
	if (rc == 0)
		rc = core_open(&b->core, fd, err);
	if (rc == 0)
		rc = parse_threads(b, err);
	close_reset(&b->core.fd);
	if (rc == 0 && b->mm_owner != b && b->core.n_runs)
		rc = ckpt_fail(err, EINVAL, CKPT_E_IMAGE,
			       "process %d has pages, and the memory of process %d", b->vpid,
			       b->mm_owner->vpid);
	return rc;
}

static int read_process(struct build *b, struct ckpt_err **err)
{
	int rc = read_core(b, err);

	if (rc == 0 && b->mm_owner == b)
		rc = build_areas_parse(b, err);
	if (rc == 0 && b->mm_owner == b)
		rc = inherited_parse(&b->inherited, json_object_get(b->task, "mm"), err);
	return rc < 0 ? ckpt_wrap(err, rc, "process %d", b->vpid) : 0;
}

int build_read(struct restore *r, struct ckpt_err **err)
{
	int rc = js_arr(r->im.manifest, "objects", &r->kr.objects, err);

	if (rc < 0)
		return rc;
	/* So that areas can be checked against it before anything is opened. */
	r->kr.n_fd = json_array_size(r->kr.objects) + 1;
	rc = read_tree(r, err);
	for (size_t i = 0; rc == 0 && i < r->n_procs; i++)
		rc = read_process(&r->proc[i], err);
	for (size_t i = 0; rc == 0 && i < r->n_procs; i++)
		rc = build_check_inherited(&r->proc[i], err);
	return rc < 0 ? rc : check_tids_differ(r, err);
}

void build_read_done(struct restore *r)
{
	for (size_t i = 0; i < r->n_procs && r->proc; i++) {
		build_areas_done(&r->proc[i]);
		inherited_done(&r->proc[i].inherited);
		free(r->proc[i].thread);
		core_done(&r->proc[i].core);
	}
	free(r->proc);
	free(r->helper);
	plan_done(&r->plan);
}
