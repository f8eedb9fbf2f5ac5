// SPDX-License-Identifier: LGPL-2.1-or-later
/* The order of births in a tree. See plan.h. */
#include "plan.h"
#include "util.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define ANY	  ((pid_t)-1)
#define DEPTH_MAX 10000

struct node {
	const struct plan_task *t;
	int parent;	     /* index; -1: the root's */
	int maker;	     /* parent, or an older sibling with which it shares something */
	unsigned long flags; /* of its birth */
	pid_t need;	     /* session in which it must be born; ANY */
	pid_t sid, pgid;     /* as the plan has brought it to so far */
	bool made;
	int first_child, next; /* lists of those that it makes */
	bool orphan;	       /* must be made by a helper that ends */
};

struct planner {
	struct plan *p;
	const struct plan_task *tasks;
	size_t n;
	struct node *node; /* n */

	struct plan_helper {
		pid_t pid; /* of a dead leader, or 0 */
		int node;  /* whose session and group it has: of its maker, if it has none itself */
		pid_t sid, pgid;
		int exit_signal;
		int number;
		bool ended;
	} * helper;

	size_t n_helpers;
	int first_root; /* of those beside node[0] */
	int depth;
};

static int emit(struct planner *pl, struct plan_step step, struct ckpt_err **err)
{
	struct plan *p = pl->p;

	/* Grow by doubling: powers of two. */
	if ((p->n & (p->n - 1)) == 0) {
		struct plan_step *more = realloc(p->step, (p->n ? 2 * p->n : 1) * sizeof(*more));

		if (!more)
			return ckpt_fail_nomem(err);
		p->step = more;
	}
	p->step[p->n++] = step;
	return 0;
}

static int by_pid(const void *a, const void *b)
{
	const struct plan_task *const *x = a, *const *y = b;

	return (*x)->pid < (*y)->pid ? -1 : (*x)->pid > (*y)->pid;
}

/* Look-up of tasks by pid. */
struct index {
	const struct plan_task **sorted;
	size_t n;
};

static int find(const struct planner *pl, const struct index *ix, pid_t pid)
{
	struct plan_task key = { .pid = pid };
	const struct plan_task *k = &key, **found;

	found = pid > 0 ? bsearch(&k, ix->sorted, ix->n, sizeof(*ix->sorted), by_pid) : NULL;
	return found ? (int)(*found - pl->tasks) : -1;
}

/* ---- who makes whom ---- */

static const unsigned long clone_flag[PLAN_SHARED_NR] = {
	[PLAN_MM] = CLONE_VM,
	[PLAN_FILES] = CLONE_FILES,
	[PLAN_FS] = CLONE_FS,
	[PLAN_SIGHAND] = CLONE_SIGHAND,
};

static unsigned long shared_with(const struct plan_task *a, const struct plan_task *b)
{
	unsigned long flags = 0;

	for (int i = 0; i < PLAN_SHARED_NR; i++)
		if (a->share[i] && a->share[i] == b->share[i])
			flags |= clone_flag[i];
	return flags;
}

/* What it shares with anyone who stands before it. */
static unsigned long must_share(const struct planner *pl, size_t i)
{
	const struct plan_task *t = &pl->tasks[i];
	unsigned long flags = 0;
	bool any = false;

	for (int k = 0; k < PLAN_SHARED_NR; k++)
		any |= t->share[k] != 0;
	for (size_t j = 0; any && j < i; j++)
		flags |= shared_with(t, &pl->tasks[j]);
	return flags;
}

/* Can `j` make it with CLONE_PARENT? */
static bool is_twin_of(const struct planner *pl, size_t i, size_t j)
{
	return pl->node[j].parent == pl->node[i].parent &&
	       pl->tasks[j].exit_signal == pl->tasks[i].exit_signal;
}

static int choose_maker(struct planner *pl, size_t i, struct ckpt_err **err)
{
	struct node *c = &pl->node[i];
	unsigned long want = must_share(pl, i);

	/* Other roots are siblings of the first one. */
	c->maker = c->parent;
	c->flags = c->parent < 0 ? 0 : shared_with(c->t, &pl->tasks[c->parent]);
	for (size_t j = 0; c->flags != want && j < i; j++)
		if (is_twin_of(pl, i, j) && shared_with(c->t, &pl->tasks[j]) == want) {
			c->maker = (int)j;
			c->flags = want | CLONE_PARENT;
			return 0;
		}
	if (c->flags == want)
		return 0;
	return ckpt_fail(
		err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
		"process %d shares memory, descriptors, directories or signal handlers with a process that is neither its parent nor its sibling",
		c->t->pid);
}

static int link_nodes(struct planner *pl, const struct index *ix, struct ckpt_err **err)
{
	for (size_t i = 0; i < pl->n; i++)
		pl->node[i] = (struct node){
			.t = &pl->tasks[i], .parent = -1, .maker = -1, .first_child = -1, .next = -1
		};
	for (size_t i = 1; i < pl->n; i++) {
		struct node *c = &pl->node[i];
		int rc;

		c->parent = find(pl, ix, c->t->ppid);
		if ((c->parent < 0 && c->t->ppid) || c->parent == (int)i)
			return ckpt_fail(err, EINVAL, CKPT_E_IMAGE,
					 "process %d has no parent in the tree", c->t->pid);
		rc = choose_maker(pl, i, err);
		if (rc < 0)
			return rc;
	}
	/* From the last to the first, so that the lists are in order. */
	for (size_t i = pl->n - 1; i > 0; i--) {
		struct node *c = &pl->node[i];
		int *first = c->maker >= 0 ? &pl->node[c->maker].first_child : &pl->first_root;

		c->next = *first;
		*first = (int)i;
	}
	return 0;
}

static bool is_leader(const struct plan_task *t)
{
	return t->sid == t->pid;
}

/* Is this a session that one of its makers is in, or made? */
static bool from_above(const struct planner *pl, int i, pid_t sid)
{
	size_t steps = 0;

	if (sid == 0)
		return true;
	for (i = pl->node[i].maker; i >= 0 && steps++ < pl->n; i = pl->node[i].maker)
		if (pl->node[i].t->pid == sid || pl->node[i].t->sid == sid)
			return true;
	return false;
}

/*
 * The session in which each must be born: its own, unless it made one itself; then that of a child
 * which was born before it did. Parents may stand after their children: repeated until it settles.
 */
static void find_needs(struct planner *pl)
{
	bool changed = true;

	for (size_t i = 0; i < pl->n; i++)
		pl->node[i].need = is_leader(pl->node[i].t) ? ANY : pl->node[i].t->sid;
	/* Whoever starts it all is in the session that is called 0. */
	for (size_t i = 0; i < pl->n; i++)
		if (pl->node[i].maker < 0 && pl->node[i].need == ANY)
			pl->node[i].need = 0;
	while (changed) {
		changed = false;
		for (size_t i = pl->n - 1; i > 0; i--) {
			const struct node *c = &pl->node[i];
			struct node *m = c->maker >= 0 ? &pl->node[c->maker] : NULL;

			if (!m || c->need == ANY || c->need == m->t->pid || m->need != ANY ||
			    !from_above(pl, c->maker, c->need))
				continue;
			m->need = c->need;
			changed = true;
		}
	}
}

/* ---- births ---- */

static int make_node(struct planner *pl, int i, struct ckpt_err **err);

static int make_child(struct planner *pl, int maker, int i, struct ckpt_err **err)
{
	struct node *c = &pl->node[i];
	const struct node *m = &pl->node[maker];
	int rc = emit(pl,
		      (struct plan_step){ .what = PLAN_MAKE,
					  .task = i,
					  .maker = maker,
					  .pid = c->t->pid,
					  .flags = c->flags },
		      err);

	if (rc < 0)
		return rc;
	c->sid = m->sid;
	c->pgid = m->pgid;
	return make_node(pl, i, err);
}

enum when { BEFORE_SETSID, AFTER_SETSID };

/* Can it be born now, `when` telling whether the maker has made its session? */
static bool is_due(const struct planner *pl, int maker, int i, enum when when)
{
	const struct node *m = &pl->node[maker], *c = &pl->node[i];
	bool leads = is_leader(m->t);

	if (c->made || c->orphan)
		return false;
	if (when == BEFORE_SETSID)
		return leads && c->need != ANY && c->need != m->t->pid && c->need == m->sid;
	return c->need == ANY || c->need == m->sid;
}

static int make_due(struct planner *pl, int maker, enum when when, bool early_only,
		    struct ckpt_err **err)
{
	int rc = 0;

	for (int i = pl->node[maker].first_child; rc == 0 && i >= 0; i = pl->node[i].next)
		if (is_due(pl, maker, i, when) && !(early_only && pl->node[i].t->inherits))
			rc = make_child(pl, maker, i, err);
	return rc;
}

static bool has_late_before_setsid(const struct planner *pl, int maker)
{
	for (int i = pl->node[maker].first_child; i >= 0; i = pl->node[i].next)
		if (pl->node[i].t->inherits && is_due(pl, maker, i, BEFORE_SETSID))
			return true;
	return false;
}

static int make_session(struct planner *pl, int i, struct ckpt_err **err)
{
	struct node *nd = &pl->node[i];

	if (!is_leader(nd->t))
		return 0;
	nd->sid = nd->pgid = nd->t->pid;
	return emit(pl, (struct plan_step){ .what = PLAN_SETSID, .task = i }, err);
}

static int build_memory(struct planner *pl, int i, struct ckpt_err **err)
{
	const struct node *nd = &pl->node[i];

	if (nd->t->zombie || nd->flags & CLONE_VM)
		return 0;
	return emit(pl, (struct plan_step){ .what = PLAN_MEMORY, .task = i }, err);
}

/* Those that were not due: perhaps an orphan's helper can make them. */
static void note_orphans(struct planner *pl, int i)
{
	for (int c = pl->node[i].first_child; c >= 0; c = pl->node[c].next)
		pl->node[c].orphan |= !pl->node[c].made;
}

/*
 * The process exists; now its session, its memory and its children. Children that share no page
 * with it are made before its memory is built: so they are copies of next to nothing.
 */
static int make_node(struct planner *pl, int i, struct ckpt_err **err)
{
	bool late;
	int rc;

	if (++pl->depth > DEPTH_MAX)
		return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
				 "the tree is more than %d processes deep", DEPTH_MAX);
	pl->node[i].made = true;
	rc = make_due(pl, i, BEFORE_SETSID, true, err);
	late = has_late_before_setsid(pl, i);
	if (rc == 0 && !late)
		rc = make_session(pl, i, err);
	if (rc == 0 && !late)
		rc = make_due(pl, i, AFTER_SETSID, true, err);
	if (rc == 0)
		rc = build_memory(pl, i, err);
	if (rc == 0 && late)
		rc = make_due(pl, i, BEFORE_SETSID, false, err);
	if (rc == 0 && late)
		rc = make_session(pl, i, err);
	if (rc == 0)
		rc = make_due(pl, i, AFTER_SETSID, false, err);
	note_orphans(pl, i);
	pl->depth--;
	return rc;
}

/* ---- helpers ---- */

static int add_helper(struct planner *pl, int maker, pid_t pid, int exit_signal, int *ret,
		      struct ckpt_err **err)
{
	struct plan_helper *more = realloc(pl->helper, (pl->n_helpers + 1) * sizeof(*more));
	struct plan_helper *h;

	if (!more)
		return ckpt_fail_nomem(err);
	pl->helper = more;
	h = &more[pl->n_helpers];
	*h = (struct plan_helper){ .pid = pid,
				   .node = maker,
				   .sid = pl->node[maker].sid,
				   .pgid = pl->node[maker].pgid,
				   .exit_signal = exit_signal,
				   .number = (int)(pl->n + pl->n_helpers) };
	*ret = (int)pl->n_helpers++;
	return emit(pl,
		    (struct plan_step){ .what = PLAN_MAKE,
					.task = h->number,
					.maker = maker,
					.pid = pid,
					.exit_signal = exit_signal },
		    err);
}

static int end_helper(struct planner *pl, int h, struct ckpt_err **err)
{
	if (pl->helper[h].ended)
		return 0;
	pl->helper[h].ended = true;
	return emit(pl,
		    (struct plan_step){ .what = PLAN_END,
					.task = pl->helper[h].number,
					.maker = pl->helper[h].node,
					.exit_signal = pl->helper[h].exit_signal },
		    err);
}

/* Who gets the children of a helper made by `maker` when it ends; -1: someone outside. */
static int reaper_of(const struct planner *pl, int maker)
{
	for (int i = maker; i >= 0; i = pl->node[i].parent)
		if (pl->node[i].t->subreaper)
			return i;
	return -1;
}

/*
 * The helper that stands in for the dead leader of a session, made by `parent`. *ret -1: there is
 * one already, made by another. Of a parent that is a subreaper, the children of the helper come to
 * it when it ends; others get them as siblings of the helper, which has the exit signal that they
 * shall have.
 */
static int session_helper(struct planner *pl, int parent, pid_t sid, int exit_signal, int *ret,
			  struct ckpt_err **err)
{
	int rc;

	*ret = -1;
	for (size_t k = 0; k < pl->n_helpers; k++)
		if (pl->helper[k].pid == sid && !pl->helper[k].ended) {
			if (pl->helper[k].node == parent &&
			    pl->helper[k].exit_signal == exit_signal)
				*ret = (int)k;
			return 0;
		}
	rc = add_helper(pl, parent, sid, exit_signal, ret, err);
	if (rc < 0)
		return rc;
	pl->helper[*ret].sid = pl->helper[*ret].pgid = sid;
	return emit(pl, (struct plan_step){ .what = PLAN_SETSID, .task = pl->helper[*ret].number },
		    err);
}

/*
 * A process in the session that an orphan must be born in, from whose child it would come to its
 * parent: the leader, or any other member. -1: there is none.
 */
static int grandparent(const struct planner *pl, const struct index *ix, int i)
{
	const struct node *c = &pl->node[i];
	pid_t sid = c->need == ANY ? 0 : c->need;
	int leader = sid ? find(pl, ix, sid) : 0;

	if (leader >= 0 && pl->node[leader].made &&
	    (c->need == ANY || pl->node[leader].sid == sid) && reaper_of(pl, leader) == c->parent)
		return leader;
	for (size_t k = 0; k < pl->n; k++)
		if (pl->node[k].made && (c->need == ANY || pl->node[k].sid == sid) &&
		    reaper_of(pl, (int)k) == c->parent)
			return (int)k;
	return -1;
}

/* Made by a sibling in its session, as that one's sibling. */
static int make_by_sibling(struct planner *pl, int i, bool *ret_done, struct ckpt_err **err)
{
	struct node *c = &pl->node[i];

	for (size_t k = 0; k < pl->n; k++) {
		if (!pl->node[k].made || !is_twin_of(pl, (size_t)i, k) ||
		    (c->need != ANY && pl->node[k].sid != c->need))
			continue;
		c->maker = (int)k;
		c->flags = CLONE_PARENT;
		*ret_done = true;
		return make_child(pl, (int)k, i, err);
	}
	return 0;
}

static int make_by_helper(struct planner *pl, int i, int h, unsigned long flags,
			  struct ckpt_err **err)
{
	struct node *c = &pl->node[i];

	c->sid = pl->helper[h].sid;
	c->pgid = pl->helper[h].pgid;
	return emit(pl,
		    (struct plan_step){ .what = PLAN_MAKE,
					.task = i,
					.maker = pl->helper[h].number,
					.pid = c->t->pid,
					.flags = flags },
		    err);
}

static int make_reaped_orphan(struct planner *pl, const struct index *ix, int i, bool *ret_done,
			      struct ckpt_err **err)
{
	struct node *c = &pl->node[i];
	int from = grandparent(pl, ix, i), h = -1, rc = 0;

	if (from >= 0)
		rc = add_helper(pl, from, 0, 0, &h, err);
	else if (c->need > 0 && find(pl, ix, c->need) < 0)
		rc = session_helper(pl, c->parent, c->need, 0, &h, err);
	if (rc == 0 && h < 0)
		return make_by_sibling(pl, i, ret_done, err);
	if (rc == 0)
		rc = make_by_helper(pl, i, h, 0, err);
	/* It ends at once: so the orphan is its parent's before anyone asks. */
	if (rc == 0 && from >= 0)
		rc = end_helper(pl, h, err);
	*ret_done = true;
	return rc < 0 ? rc : make_node(pl, i, err);
}

/* Is it below `above`, with no subreaper in between? */
static bool comes_to(const struct planner *pl, int i, int above)
{
	for (i = pl->node[i].parent; i >= 0 && i != above; i = pl->node[i].parent)
		if (pl->node[i].t->subreaper)
			return false;
	return i == above;
}

/* A process in its session from whose child it would come to its parent, were that a subreaper. */
static int member_below(const struct planner *pl, int i)
{
	const struct node *c = &pl->node[i];

	for (size_t k = 0; k < pl->n; k++)
		if (pl->node[k].made && pl->node[k].sid == c->need && !pl->node[k].t->subreaper &&
		    comes_to(pl, (int)k, c->parent))
			return (int)k;
	return -1;
}

/* Is there another one of the same session yet to be made, further down? It can lead to this one.
 */
static bool has_deeper(const struct planner *pl, int i)
{
	for (size_t k = 1; k < pl->n; k++)
		if (!pl->node[k].made && pl->node[k].orphan && pl->node[k].parent >= 0 &&
		    pl->node[k].need == pl->node[i].need &&
		    pl->node[k].parent != pl->node[i].parent &&
		    comes_to(pl, pl->node[k].parent, pl->node[i].parent))
			return true;
	return false;
}

/* Its parent was a subreaper for a while only. */
static int reap_for_a_while(struct planner *pl, int i, int from, struct ckpt_err **err)
{
	struct plan_step step = { .what = PLAN_REAP, .task = pl->node[i].parent, .flags = 1 };
	int h, rc = emit(pl, step, err);

	if (rc == 0)
		rc = add_helper(pl, from, 0, 0, &h, err);
	if (rc == 0)
		rc = make_by_helper(pl, i, h, 0, err);
	if (rc == 0)
		rc = end_helper(pl, h, err);
	step.flags = 0;
	return rc < 0 ? rc : emit(pl, step, err);
}

/* Its parent is no subreaper. */
static int make_stray(struct planner *pl, const struct index *ix, int i, bool *ret_done,
		      struct ckpt_err **err)
{
	struct node *c = &pl->node[i];
	int rc = make_by_sibling(pl, i, ret_done, err), from, h = -1;

	if (rc < 0 || *ret_done || c->need <= 0)
		return rc;
	from = member_below(pl, i);
	if (from >= 0) {
		rc = reap_for_a_while(pl, i, from, err);
	} else {
		if (find(pl, ix, c->need) < 0 && !has_deeper(pl, i))
			rc = session_helper(pl, c->parent, c->need, c->t->exit_signal, &h, err);
		if (rc < 0 || h < 0)
			return rc;
		rc = make_by_helper(pl, i, h, CLONE_PARENT, err);
	}
	*ret_done = true;
	return rc < 0 ? rc : make_node(pl, i, err);
}

static int make_orphan(struct planner *pl, const struct index *ix, int i, bool *ret_done,
		       struct ckpt_err **err)
{
	const struct node *c = &pl->node[i];

	*ret_done = false;
	if (c->parent < 0)
		return make_by_sibling(pl, i, ret_done, err);
	if (!pl->node[c->parent].made || c->flags)
		return 0;
	return pl->node[c->parent].t->subreaper ? make_reaped_orphan(pl, ix, i, ret_done, err)
						: make_stray(pl, ix, i, ret_done, err);
}

static int make_orphans(struct planner *pl, const struct index *ix, struct ckpt_err **err)
{
	bool progress = true;

	while (progress) {
		progress = false;
		for (size_t i = 1; i < pl->n; i++) {
			bool done = false;
			int rc;

			if (pl->node[i].made)
				continue;
			rc = make_orphan(pl, ix, (int)i, &done, err);
			if (rc < 0)
				return rc;
			progress |= done;
		}
	}
	for (size_t i = 1; i < pl->n; i++)
		if (!pl->node[i].made)
			return ckpt_fail(
				err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
				"process %d belongs to session %d, into which its parent %d cannot bring it",
				pl->tasks[i].pid, pl->tasks[i].sid, pl->tasks[i].ppid);
	return 0;
}

/* ---- process groups ---- */

static int go_to_group(struct planner *pl, int i, struct ckpt_err **err)
{
	struct node *nd = &pl->node[i];

	nd->pgid = nd->t->pgid;
	return emit(pl, (struct plan_step){ .what = PLAN_SETPGID, .task = i, .pid = nd->t->pgid },
		    err);
}

/* A group whose leader ended: a helper leads it until all have joined. */
static int lead_group(struct planner *pl, int member, struct ckpt_err **err)
{
	pid_t pgid = pl->node[member].t->pgid;
	int h, rc;

	for (size_t k = 0; k < pl->n_helpers; k++)
		if (pl->helper[k].pid == pgid && !pl->helper[k].ended)
			return 0;
	rc = add_helper(pl, member, pgid, 0, &h, err);
	if (rc < 0)
		return rc;
	return emit(pl,
		    (struct plan_step){
			    .what = PLAN_SETPGID, .task = pl->helper[h].number, .pid = pgid },
		    err);
}

/*
 * A group whose leader lives, but has gone to another one: it makes its old group again, and a
 * helper holds that until all have joined.
 */
static int lead_left_group(struct planner *pl, const struct index *ix, int member,
			   struct ckpt_err **err)
{
	pid_t pgid = pl->node[member].t->pgid;
	int leader = find(pl, ix, pgid), h, rc;

	if (leader < 0 || pl->node[member].pgid == pgid || pl->node[leader].t->pgid == pgid ||
	    pl->node[leader].pgid == pgid)
		return 0;
	pl->node[leader].pgid = pgid;
	rc = emit(pl, (struct plan_step){ .what = PLAN_SETPGID, .task = leader, .pid = pgid }, err);
	return rc < 0 ? rc : add_helper(pl, leader, 0, 0, &h, err);
}

static int make_groups(struct planner *pl, const struct index *ix, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < pl->n; i++)
		rc = lead_left_group(pl, ix, (int)i, err);

	for (size_t i = 0; rc == 0 && i < pl->n; i++)
		if (pl->tasks[i].pgid == pl->tasks[i].pid && pl->node[i].pgid != pl->tasks[i].pid)
			rc = go_to_group(pl, (int)i, err);
	for (size_t i = 0; rc == 0 && i < pl->n; i++) {
		if (pl->node[i].pgid == pl->tasks[i].pgid)
			continue;
		if (pl->tasks[i].pgid && find(pl, ix, pl->tasks[i].pgid) < 0)
			rc = lead_group(pl, (int)i, err);
		if (rc == 0)
			rc = go_to_group(pl, (int)i, err);
	}
	for (size_t k = 0; rc == 0 && k < pl->n_helpers; k++)
		rc = end_helper(pl, (int)k, err);
	return rc;
}

/* ---- the whole ---- */

/* Of others, siblings may be able to make them. */
static int make_other_roots(struct planner *pl, struct ckpt_err **err)
{
	int rc = 0;

	for (int i = pl->first_root; rc == 0 && i >= 0; i = pl->node[i].next) {
		if (pl->node[i].need) {
			pl->node[i].orphan = true;
			continue;
		}
		rc = emit(pl,
			  (struct plan_step){ .what = PLAN_MAKE,
					      .task = i,
					      .maker = -1,
					      .pid = pl->tasks[i].pid },
			  err);
		if (rc == 0)
			rc = make_node(pl, i, err);
	}
	return rc;
}

static int check_unique(const struct index *ix, struct ckpt_err **err)
{
	for (size_t i = 0; i < ix->n; i++)
		if (ix->sorted[i]->pid <= 0 || (i && ix->sorted[i]->pid == ix->sorted[i - 1]->pid))
			return ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "process %d is there twice",
					 ix->sorted[i]->pid);
	return 0;
}

static int plan(struct planner *pl, const struct index *ix, struct ckpt_err **err)
{
	int rc = check_unique(ix, err);

	if (rc == 0 && pl->tasks[0].ppid)
		rc = ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "process %d, the root, has a parent",
			       pl->tasks[0].pid);
	if (rc == 0)
		rc = link_nodes(pl, ix, err);
	if (rc < 0)
		return rc;
	find_needs(pl);
	if (pl->node[0].need != 0)
		return ckpt_fail(
			err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
			"process %d belongs to session %d, whose leader is not in the tree",
			pl->tasks[0].pid, pl->node[0].need);
	rc = emit(pl,
		  (struct plan_step){
			  .what = PLAN_MAKE, .task = 0, .maker = -1, .pid = pl->tasks[0].pid },
		  err);
	if (rc == 0)
		rc = make_node(pl, 0, err);
	if (rc == 0)
		rc = make_other_roots(pl, err);
	if (rc == 0)
		rc = make_orphans(pl, ix, err);
	if (rc == 0)
		rc = make_groups(pl, ix, err);
	pl->p->n_helpers = pl->n_helpers;
	return rc;
}

int plan_make(struct plan *p, const struct plan_task *tasks, size_t n, struct ckpt_err **err)
{
	struct planner pl = { .p = p, .tasks = tasks, .n = n, .first_root = -1 };
	struct index ix = { .n = n };
	int rc;

	*p = (struct plan){ 0 };
	if (n == 0)
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "there is no process");
	pl.node = calloc(n, sizeof(*pl.node));
	ix.sorted = calloc(n, sizeof(*ix.sorted));
	if (pl.node && ix.sorted) {
		for (size_t i = 0; i < n; i++)
			ix.sorted[i] = &tasks[i];
		qsort(ix.sorted, n, sizeof(*ix.sorted), by_pid);
		rc = plan(&pl, &ix, err);
	} else {
		rc = ckpt_fail_nomem(err);
	}
	if (rc < 0)
		plan_done(p);
	free(pl.node);
	free(pl.helper);
	free(ix.sorted);
	return rc;
}

/* The process that made it, or that made the helper who did. */
static int maker_of(const struct plan *p, size_t n, const struct plan_step *s)
{
	if (s->maker < (int)n)
		return s->maker;
	for (const struct plan_step *h = p->step; h < s; h++)
		if (h->what == PLAN_MAKE && h->task == s->maker)
			return h->maker;
	return -1;
}

void plan_makers(const struct plan *p, size_t n, int *ret)
{
	for (size_t i = 0; i < n; i++)
		ret[i] = -1;
	for (size_t i = 0; i < p->n; i++)
		if (p->step[i].what == PLAN_MAKE && (size_t)p->step[i].task < n)
			ret[p->step[i].task] = maker_of(p, n, &p->step[i]);
}

void plan_done(struct plan *p)
{
	free(p->step);
	*p = (struct plan){ 0 };
}
