// SPDX-License-Identifier: LGPL-2.1-or-later
/* cr_forward_checkpoint(): more processes, by the word of a callback. See agree.h. */
#include "../cr/blcr_common.h"
#include "agree.h"
#include "look.h"
#include "pids.h"
#include "util.h"

#include <errno.h>
#include <stdlib.h>

/* The first thread of a process that lives, in a listing of all. */
static const struct rec_member *leader_of(const struct snapshot *s, pid_t pid)
{
	for (size_t i = 0; i < s->n_members; i++)
		if (s->members[i]->tid == pid && s->members[i]->tgid == pid &&
		    !s->members[i]->exit_state)
			return s->members[i];
	return NULL;
}

struct wanted {
	const struct snapshot *s;
	int scope;
	pid_t target;
};

static bool is_wanted(const struct wanted *w, const struct rec_member *m)
{
	if (m->tid != m->tgid || m->exit_state)
		return false;
	return (w->scope == CR_SCOPE_PGRP   ? m->pgid
		: w->scope == CR_SCOPE_SESS ? m->sid
					    : m->tgid) == w->target;
}

static bool is_below(const struct snapshot *s, pid_t pid, pid_t above)
{
	const struct rec_member *m = leader_of(s, pid);

	for (size_t i = 0; m && i < s->n_members; i++, m = leader_of(s, m->ppid))
		if (m->tgid == above)
			return true;
	return false;
}

static bool is_in(const struct agree *a, const struct snapshot *s, pid_t pid)
{
	bool found = is_below(s, pid, a->root);

	for (size_t i = 0; i < a->n_more; i++)
		found |= is_below(s, pid, a->more[i]);
	return found;
}

/* Whom a group, session or single process does not include. */
static int omit_below(struct agree *a, const struct wanted *w)
{
	for (size_t i = 0; w->scope != CR_SCOPE_TREE && i < w->s->n_members; i++) {
		const struct rec_member *m = w->s->members[i];
		const struct rec_member *parent = leader_of(w->s, m->ppid);

		if (m->tid == m->tgid && parent && is_wanted(w, parent) && !is_wanted(w, m) &&
		    !is_in(a, w->s, m->tgid) && pids_add(&a->omit, &a->n_omit, m->tgid) < 0)
			return ENOMEM;
	}
	return 0;
}

/* Its libraries; without one it is not added. */
static int find_new(struct agree *a, pid_t root)
{
	struct tree t = { .omit = a->omit, .n_omit = a->n_omit };
	struct ckpt_err *why = NULL;
	struct snapshot *s = NULL;
	size_t n;
	int rc = look_snapshot(a->loader, root, false, &t, &s, &why);

	if (rc == 0)
		rc = agree_find(a, s, &t, &n, &why);
	ckpt_err_free(why);
	snapshot_free(s);
	tree_done(&t);
	return rc < 0 ? -rc : 0;
}

static int add_root(struct agree *a, const struct snapshot *s, pid_t pid)
{
	int rc;

	if (is_in(a, s, pid))
		return 0;
	if (a->opts.not_requester && pid == a->opts.requester)
		return EDEADLK;
	/* What is below it would be there twice. */
	if (is_below(s, a->root, pid))
		return EOPNOTSUPP;
	for (size_t i = 0; i < a->n_more; i++)
		if (is_below(s, a->more[i], pid))
			return EOPNOTSUPP;
	rc = find_new(a, pid);
	return rc ? rc : pids_add(&a->more, &a->n_more, pid) < 0 ? ENOMEM : 0;
}

int agree_forward(struct agree *a, pid_t caller, int scope, pid_t target)
{
	struct wanted w = { .scope = scope, .target = target };
	const struct rec_member *self;
	struct snapshot *s = NULL;
	bool found = false;
	int rc = 0;

	if (snapshot_take(a->loader, NULL, 0, SNAPSHOT_MEMBERS, &s, NULL) < 0)
		return EIO;
	w.s = s;
	self = leader_of(s, caller);
	if (!target && self)
		w.target = scope == CR_SCOPE_PGRP   ? self->pgid
			   : scope == CR_SCOPE_SESS ? self->sid
						    : caller;
	for (size_t i = 0; i < s->n_members; i++)
		found |= is_wanted(&w, s->members[i]);
	rc = found ? omit_below(a, &w) : ESRCH;
	for (size_t i = 0; rc == 0 && i < s->n_members; i++) {
		const struct rec_member *m = s->members[i], *parent = leader_of(s, m->ppid);

		if (is_wanted(&w, m) && !(parent && is_wanted(&w, parent)))
			rc = add_root(a, s, m->tgid);
	}
	snapshot_free(s);
	return rc;
}
