// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The last step of a restore before the tree goes on: it is looked at by the same iterators as when
 * it was checkpointed, and must be what the manifest says. See build.h.
 */
#include "build.h"
#include "look.h"
#include "sysvipc.h"
#include "take.h"
#include "tasks.h"
#include "util.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum { COMPARERS_MAX = 4, COMPARE_ALONE = 16 };

/* The tree as it is now. */
struct proof {
	struct snapshot *snap;
	struct tree tree;
	struct objects os;
	struct taken *taken; /* of each process */
};

/* The threads of a process, as if they had been frozen. */
static int take_built(const struct build *b, const struct snapshot *s, struct taken *taken,
		      struct ckpt_err **err)
{
	_cleanup_free_ struct frozen *frozen = calloc(b->n_threads, sizeof(*frozen));
	size_t n = 0;

	if (!frozen)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < b->n_threads; i++)
		if (!b->thread[i].ended)
			frozen[n++] = (struct frozen){ .tid = b->thread[i].tid, .tgid = b->pid };
	return take_frozen(taken, frozen, n, s, false, err);
}

static int compare_process(const struct build *b, const struct proof *p, const struct taken *taken,
			   struct ckpt_err **err)
{
	_cleanup_json_ json_t *task = NULL;
	struct area_pages pages = { 0 };
	int rc = task_save(p->snap, &p->tree, b->pid, &p->os, taken, &task, err);

	if (rc == 0 && b->mm_owner == b && !b->zombie) {
		rc = area_pages_find(&pages, p->snap, b->pid, b->thread[b->thread[0].ended].tid,
				     AREA_ALL, err);
		if (rc == 0)
			rc = area_guards_save(&pages, json_object_get(task, "mm"), err);
		if (rc == 0)
			rc = inherited_save(&b->inherited, json_object_get(task, "mm"), err);
	}
	if (rc == 0)
		rc = tasks_same(b->task, task, err);
	area_pages_done(&pages);
	return rc < 0 ? ckpt_wrap(err, rc, "process %d", b->vpid) : 0;
}

/* Every n-th process, up to the first that differs. */
struct comparer {
	pthread_t thread;
	bool runs;
	const struct restore *r;
	const struct proof *p;
	size_t first, step, at; /* at: where it ended */
	int rc;
	struct ckpt_err *err;
};

static void *compare_some(void *arg)
{
	struct comparer *c = arg;

	for (c->at = c->first; c->rc == 0 && c->at < c->r->n_procs; c->at += c->step)
		c->rc = compare_process(&c->r->proc[c->at], c->p, &c->p->taken[c->at], &c->err);
	return NULL;
}

/* Of many processes on several CPUs. The first difference, in the order of the tree, is told. */
static int compare_processes(const struct restore *r, const struct proof *p, struct ckpt_err **err)
{
	struct comparer c[COMPARERS_MAX] = { 0 };
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t n = cpus > COMPARERS_MAX ? COMPARERS_MAX : cpus > 1 ? (size_t)cpus : 1, found = 0;
	int rc;

	if (r->n_procs < COMPARE_ALONE)
		n = 1;
	for (size_t i = n; i-- > 0;) {
		c[i] = (struct comparer){ .r = r, .p = p, .first = i, .step = n };
		c[i].runs = i && pthread_create(&c[i].thread, NULL, compare_some, &c[i]) == 0;
		if (!c[i].runs)
			compare_some(&c[i]);
	}
	for (size_t i = 0; i < n; i++) {
		if (c[i].runs)
			pthread_join(c[i].thread, NULL);
		if (c[i].rc < 0 && (c[found].rc == 0 || c[i].at < c[found].at))
			found = i;
	}
	rc = c[found].rc;
	for (size_t i = 0; i < n; i++)
		if (i != found || !err)
			ckpt_err_free(c[i].err);
	if (rc < 0 && err)
		*err = c[found].err;
	return rc;
}

/* The objects of what was built, in `os`, and they must be those of the image. */
static int compare_objects(struct restore *r, struct snapshot *s, const struct tree *t,
			   struct objects *os, struct ckpt_err **err)
{
	struct kind_dump kd = { .loader = r->loader, .snap = s, .root = r->proc[0].pid };
	_cleanup_json_ json_t *objects = NULL;
	_cleanup_free_ pid_t *pids = NULL;
	size_t n;
	int rc;

	pids = tree_pids(t, false, &n);
	rc = pids ? kind_pids_open(&kd, pids, n, err) : ckpt_fail_nomem(err);
	if (rc == 0)
		rc = objects_collect(os, s, t, err);
	if (rc == 0)
		rc = objects_collect_in_flight(os, &kd, s, err);
	if (rc == 0)
		rc = objects_save(os, &kd, false, &objects, err);
	if (rc == 0)
		rc = objects_same(r->kr.objects, objects, err);
	kind_pids_close(&kd);
	return rc;
}

/* The tree must be the one of the image, in the same order. */
static int compare_tree(const struct restore *r, const struct tree *t, struct ckpt_err **err)
{
	if (t->n != r->n_procs)
		return ckpt_fail(err, EIO, CKPT_E_DIFFERENT, "there were %zu processes, now %zu",
				 r->n_procs, t->n);
	for (size_t i = 0; i < t->n; i++)
		if (t->proc[i].tgid != r->proc[i].pid)
			return ckpt_fail(err, EIO, CKPT_E_DIFFERENT,
					 "process %d is not where it was in the tree",
					 r->proc[i].vpid);
	return 0;
}

static int compare_sysv(const struct restore *r, const struct snapshot *s, struct ckpt_err **err)
{
	const json_t *saved = json_object_get(r->im.manifest, "sysv");
	_cleanup_json_ json_t *now = NULL;
	int rc = saved ? sysvipc_save(s, NULL, &now, err) : 0;

	return rc == 0 && saved ? sysvipc_same(saved, now, err) : rc;
}

/* What only the tracing thread can learn. */
static int take_all(const struct restore *r, struct proof *p, struct ckpt_err **err)
{
	int rc = 0;

	p->taken = calloc(r->n_procs, sizeof(*p->taken));
	if (!p->taken)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; rc == 0 && i < r->n_procs; i++)
		if (!r->proc[i].zombie)
			rc = take_built(&r->proc[i], p->snap, &p->taken[i], err);
	return rc;
}

static int other_roots(const struct restore *r, pid_t **ret, size_t *ret_n, struct ckpt_err **err)
{
	*ret = calloc(r->n_procs, sizeof(**ret));
	if (!*ret)
		return ckpt_fail_nomem(err);
	for (size_t i = 1; i < r->n_procs; i++)
		if (!r->proc[i].parent)
			(*ret)[(*ret_n)++] = r->proc[i].pid;
	return 0;
}

int prove(struct restore *r, struct ckpt_err **err)
{
	_cleanup_free_ pid_t *more = NULL;
	struct proof p = { 0 };
	int rc = renumber_expect(r->im.manifest, r->opts, err);

	if (rc == 0)
		rc = other_roots(r, &more, &p.tree.n_more, err);
	p.tree.more = more;
	if (rc == 0)
		rc = look_snapshot(r->loader, r->proc[0].pid, false, &p.tree, &p.snap, err);
	if (rc == 0)
		rc = compare_tree(r, &p.tree, err);
	if (rc == 0)
		rc = compare_objects(r, p.snap, &p.tree, &p.os, err);
	if (rc == 0)
		rc = take_all(r, &p, err);
	if (rc == 0)
		rc = compare_processes(r, &p, err);
	if (rc == 0)
		rc = compare_sysv(r, p.snap, err);
	for (size_t i = 0; p.taken && i < r->n_procs; i++)
		taken_done(&p.taken[i]);
	free(p.taken);
	objects_done(&p.os);
	snapshot_free(p.snap);
	tree_done(&p.tree);
	return rc;
}
