// SPDX-License-Identifier: LGPL-2.1-or-later
/* Finding the processes of a tree in one listing of the machine. See tree.h. */
#include "tree.h"
#include "pids.h"
#include "util.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PF_EXITING_BIT 0x4 /* task->flags */
#define EXIT_DEAD      16  /* task->exit_state: reaped at this moment */

static int by_parent(const void *a, const void *b)
{
	const struct tree_process *x = a, *y = b;

	if (x->ppid != y->ppid)
		return x->ppid < y->ppid ? -1 : 1;
	return x->vtgid < y->vtgid ? -1 : x->vtgid > y->vtgid;
}

static bool any_lives(const struct snapshot *s, pid_t tgid)
{
	size_t first, n;

	snapshot_members_of(s, tgid, &first, &n);
	for (size_t i = first; i < first + n; i++)
		if (!s->members[i]->exit_state)
			return true;
	return false;
}

/* All processes of the machine, by parent; malloc'd. */
static struct tree_process *list_processes(const struct snapshot *s, size_t *ret_n)
{
	struct tree_process *all = calloc(s->n_members + 1, sizeof(*all));
	size_t n = 0;

	for (size_t i = 0; all && i < s->n_members; i++) {
		const struct rec_member *m = s->members[i];

		if (m->tid != m->tgid || m->tgid <= 0 || m->exit_state & EXIT_DEAD)
			continue;
		all[n++] = (struct tree_process){
			.tgid = m->tgid,
			.ppid = m->ppid,
			.vtgid = m->vtid,
			.zombie = m->exit_state && !any_lives(s, m->tgid),
			.start_boottime_ns = m->start_boottime_ns,
		};
	}
	if (all)
		qsort(all, n, sizeof(*all), by_parent);
	*ret_n = n;
	return all;
}

static void tree_clear(struct tree *t)
{
	*t = (struct tree){
		.omit = t->omit, .n_omit = t->n_omit, .more = t->more, .n_more = t->n_more
	};
}

/* Append the children of one process. */
static void add_children(struct tree *t, const struct tree_process *all, size_t n, pid_t ppid)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (all[middle].ppid < ppid)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < n && all[low].ppid == ppid; low++)
		if (!pids_have(t->omit, t->n_omit, all[low].tgid))
			t->proc[t->n++] = all[low];
}

/* Unless it has ended, or is there already. */
static void add_root(struct tree *t, const struct tree_process *all, size_t n, pid_t root)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->proc[i].tgid == root)
			return;
	for (size_t i = 0; i < n; i++)
		if (all[i].tgid == root && !(t->n && all[i].zombie)) {
			t->proc[t->n++] = all[i];
			return;
		}
}

static int by_pid(const void *a, const void *b, void *tree)
{
	const struct tree *t = tree;
	pid_t x = t->proc[*(const uint32_t *)a].tgid, y = t->proc[*(const uint32_t *)b].tgid;

	return x < y ? -1 : x > y;
}

static int sort_by_tgid(struct tree *t)
{
	t->by_tgid = calloc(t->n + 1, sizeof(*t->by_tgid));
	if (!t->by_tgid)
		return -ENOMEM;
	for (size_t i = 0; i < t->n; i++)
		t->by_tgid[i] = (uint32_t)i;
	qsort_r(t->by_tgid, t->n, sizeof(*t->by_tgid), by_pid, t);
	return 0;
}

int tree_find(struct tree *t, struct loader *l, pid_t root, bool only, struct ckpt_err **err)
{
	_cleanup_free_ struct tree_process *all = NULL;
	struct loader_why why = { 0 };
	size_t n;
	int rc;

	tree_clear(t);
	rc = snapshot_take(l, NULL, 0, SNAPSHOT_MEMBERS, &t->members, &why);
	if (rc < 0)
		return ckpt_fail_loader(err, rc, &why);
	all = list_processes(t->members, &n);
	t->proc = calloc(n + t->n_more + 1, sizeof(*t->proc));
	if (!all || !t->proc)
		return ckpt_fail_nomem(err);
	add_root(t, all, n, root);
	for (size_t i = 0; t->n && i < t->n_more; i++)
		if (!pids_have(t->omit, t->n_omit, t->more[i]))
			add_root(t, all, n, t->more[i]);
	/* t->n grows on the way: breadth first. */
	for (size_t i = 0; !only && i < t->n; i++)
		add_children(t, all, n, t->proc[i].tgid);
	return sort_by_tgid(t) < 0 ? ckpt_fail_nomem(err) : 0;
}

/* ---- what is shared ---- */

/* A thread that has something. */
struct holder {
	uint64_t id;
	size_t index; /* of its process in the tree, SIZE_MAX: outside */
	pid_t tgid;
};

static int by_id(const void *a, const void *b)
{
	const struct holder *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static uint64_t shared_id(const struct rec_member *m, enum plan_shared what)
{
	const uint64_t id[PLAN_SHARED_NR] = { [PLAN_MM] = m->mm_id,
					      [PLAN_FILES] = m->files_id,
					      [PLAN_FS] = m->fs_id,
					      [PLAN_SIGHAND] = m->sighand_id };

	return id[what];
}

/* All of one id; those outside come last. */
static void note_group(struct tree *t, enum plan_shared what, const struct holder *h, size_t n)
{
	pid_t outside = h[n - 1].index == SIZE_MAX ? h[n - 1].tgid : 0;
	bool several = false;

	for (size_t i = 1; i < n; i++)
		several |= h[i].index != SIZE_MAX && h[i].index != h[0].index;
	for (size_t i = 0; i < n && h[i].index != SIZE_MAX; i++) {
		struct tree_process *p = &t->proc[h[i].index];

		if (several)
			p->share[what] = (uint32_t)t->proc[h[0].index].vtgid;
		p->outside[what] = outside ? outside : p->outside[what];
	}
}

static size_t list_holders(const struct tree *t, enum plan_shared what, struct holder *h)
{
	const struct snapshot *s = t->members;
	pid_t last = 0;
	size_t n = 0;

	for (size_t i = 0; i < s->n_members; i++) {
		const struct rec_member *m = s->members[i];
		const struct tree_process *p = tree_process(t, m->tgid);
		uint64_t id = shared_id(m, what);

		if (!id || m->exit_state || m->pf_flags & PF_EXITING_BIT)
			continue;
		/* Of a process of the tree the first thread that lives: others may have something
		 * of their own. */
		if (!p || m->tgid != last)
			h[n++] = (struct holder){ id, p ? (size_t)(p - t->proc) : SIZE_MAX,
						  m->tgid };
		last = m->tgid;
	}
	return n;
}

int tree_find_shares(struct tree *t, struct ckpt_err **err)
{
	_cleanup_free_ struct holder *h = calloc(t->members->n_members + 1, sizeof(*h));

	if (!h)
		return ckpt_fail_nomem(err);
	for (int what = 0; what < PLAN_SHARED_NR; what++) {
		size_t n = list_holders(t, (enum plan_shared)what, h), first = 0;

		qsort(h, n, sizeof(*h), by_id);
		for (size_t i = 1; i <= n; i++) {
			if (i < n && h[i].id == h[first].id)
				continue;
			note_group(t, (enum plan_shared)what, h + first, i - first);
			first = i;
		}
	}
	return 0;
}

void tree_done(struct tree *t)
{
	free(t->proc);
	free(t->by_tgid);
	snapshot_free(t->members);
	tree_clear(t);
}

const struct tree_process *tree_process(const struct tree *t, pid_t tgid)
{
	size_t low = 0, high = t->by_tgid ? t->n : 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct tree_process *p = &t->proc[t->by_tgid[middle]];

		if (p->tgid == tgid)
			return p;
		if (p->tgid < tgid)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

pid_t *tree_pids(const struct tree *t, bool with_zombies, size_t *ret_n)
{
	pid_t *pids = calloc(t->n + 1, sizeof(*pids));
	size_t n = 0;

	for (size_t i = 0; pids && i < t->n; i++)
		if (with_zombies || !t->proc[i].zombie)
			pids[n++] = t->proc[i].tgid;
	*ret_n = n;
	return pids;
}
