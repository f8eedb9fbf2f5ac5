// SPDX-License-Identifier: LGPL-2.1-or-later
/* Finding the processes of a tree in one listing of the machine. See tree.h. */
#include "tree.h"
#include "util.h"

#include <stdlib.h>
#include <string.h>

#define EXIT_DEAD 16 /* task->exit_state: reaped at this moment */

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
		t->proc[t->n++] = all[low];
}

int tree_find(struct tree *t, struct loader *l, pid_t root, bool only, struct ckpt_err **err)
{
	_cleanup_free_ struct tree_process *all = NULL;
	struct loader_why why = { 0 };
	size_t n;
	int rc;

	*t = (struct tree){ 0 };
	rc = snapshot_take(l, NULL, 0, SNAPSHOT_MEMBERS, &t->members, &why);
	if (rc < 0)
		return ckpt_fail_loader(err, rc, &why);
	all = list_processes(t->members, &n);
	t->proc = calloc(n + 1, sizeof(*t->proc));
	if (!all || !t->proc)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < n && !t->n; i++)
		if (all[i].tgid == root)
			t->proc[t->n++] = all[i];
	/* t->n grows on the way: breadth first. */
	for (size_t i = 0; !only && i < t->n; i++)
		add_children(t, all, n, t->proc[i].tgid);
	return 0;
}

void tree_done(struct tree *t)
{
	free(t->proc);
	snapshot_free(t->members);
	*t = (struct tree){ 0 };
}

const struct tree_process *tree_process(const struct tree *t, pid_t tgid)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->proc[i].tgid == tgid)
			return &t->proc[i];
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
