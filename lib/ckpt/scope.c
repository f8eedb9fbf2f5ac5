// SPDX-License-Identifier: LGPL-2.1-or-later
/* Resolving the name of several processes. See scope.h. */
#include "scope.h"
#include "err.h"
#include "pids.h"
#include "session.h"

#include <errno.h>
#include <stdlib.h>

const struct rec_member *scope_leader(const struct snapshot *all, pid_t pid)
{
	size_t first, n;

	snapshot_members_of(all, pid, &first, &n);
	for (size_t i = first; i < first + n; i++)
		if (all->members[i]->tid == pid && !all->members[i]->exit_state)
			return all->members[i];
	return NULL;
}

bool scope_is_below(const struct snapshot *all, pid_t pid, pid_t above)
{
	const struct rec_member *m = scope_leader(all, pid);

	/* Parents change while they are listed: no more steps than there are threads. */
	for (size_t i = 0; m && i < all->n_members; i++, m = scope_leader(all, m->ppid))
		if (m->tgid == above)
			return true;
	return false;
}

static bool is_meant(enum ckpt_scope_kind kind, pid_t target, const struct rec_member *m)
{
	return (kind == CKPT_SCOPE_GROUP     ? m->pgid
		: kind == CKPT_SCOPE_SESSION ? m->sid
					     : m->tgid) == target;
}

/* The first root is the one whose number the scope has, if it lives. */
static void put_first(struct ckpt_scope *s, pid_t target)
{
	for (size_t i = 1; i < s->n_roots; i++)
		if (s->root[i] == target) {
			s->root[i] = s->root[0];
			s->root[0] = target;
		}
}

int scope_find(const struct snapshot *all, enum ckpt_scope_kind kind, pid_t target,
	       struct ckpt_scope *ret)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < all->n_members; i++) {
		const struct rec_member *m = all->members[i], *parent;
		bool meant, below;

		if (m->tid != m->tgid || m->exit_state)
			continue;
		parent = scope_leader(all, m->ppid);
		meant = is_meant(kind, target, m);
		below = parent && is_meant(kind, target, parent);
		if (meant && !below)
			rc = pids_add(&ret->root, &ret->n_roots, m->tgid);
		else if (!meant && below && kind != CKPT_SCOPE_TREE)
			rc = pids_add(&ret->omit, &ret->n_omit, m->tgid);
	}
	put_first(ret, target);
	return rc < 0 ? rc : ret->n_roots ? 0 : -ESRCH;
}

/* ---- those who trace, or are traced ---- */

static bool is_in_scope(const struct snapshot *all, enum ckpt_scope_kind kind, pid_t target,
			pid_t pid)
{
	const struct rec_member *m = scope_leader(all, pid);

	return kind == CKPT_SCOPE_TREE ? scope_is_below(all, pid, target)
				       : m && is_meant(kind, target, m);
}

/*
 * Who is traced is an error even if the one who traces it, whose child it mostly is, would be left
 * out with it.
 */
static int skip_traced(const struct snapshot *all, enum ckpt_scope_kind kind, pid_t target,
		       unsigned int skip, struct ckpt_scope *ret, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < all->n_members; i++) {
		const struct rec_member *m = all->members[i];

		if (!m->tracer_tgid)
			continue;
		if (skip & CKPT_SKIP_TRACED)
			rc = pids_add(&ret->omit, &ret->n_omit, m->tgid);
		else if (is_in_scope(all, kind, target, m->tgid))
			return ckpt_fail(err, EBUSY, CKPT_E_TRACED,
					 "thread %d is traced by process %d", m->tid,
					 m->tracer_tgid);
		if (rc == 0 && skip & CKPT_SKIP_TRACERS)
			rc = pids_add(&ret->omit, &ret->n_omit, m->tracer_tgid);
	}
	return rc < 0 ? ckpt_fail_nomem(err) : 0;
}

int ckpt_scope_find(struct ckpt_session *s, enum ckpt_scope_kind kind, pid_t target,
		    unsigned int skip, struct ckpt_scope *ret, struct ckpt_err **err)
{
	struct ckpt_scope found = { 0 };
	struct snapshot *all = NULL;
	struct loader_why why = { 0 };
	struct loader *l;
	int rc = session_loader(s, &l, err);

	if (rc < 0)
		return rc;
	rc = snapshot_take(l, NULL, 0, SNAPSHOT_MEMBERS, &all, &why);
	if (rc < 0)
		return ckpt_fail_loader(err, rc, &why);
	rc = scope_find(all, kind, target, &found);
	if (rc == -ESRCH)
		ckpt_fail(err, ESRCH, CKPT_E_NO_PROCESS, "there is no %s %d",
			  kind == CKPT_SCOPE_GROUP     ? "process group"
			  : kind == CKPT_SCOPE_SESSION ? "session"
						       : "process",
			  target);
	else if (rc < 0)
		ckpt_fail_nomem(err);
	if (rc == 0 && skip)
		rc = skip_traced(all, kind, target, skip, &found, err);
	snapshot_free(all);
	if (rc < 0)
		ckpt_scope_free(&found);
	else
		*ret = found;
	return rc;
}

void ckpt_scope_free(struct ckpt_scope *scope)
{
	free(scope->root);
	free(scope->omit);
	*scope = (struct ckpt_scope){ 0 };
}
