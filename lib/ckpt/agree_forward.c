// SPDX-License-Identifier: LGPL-2.1-or-later
/* cr_forward_checkpoint(): more processes, by the word of a callback. See agree.h. */
#include "../cr/blcr_common.h"
#include "agree.h"
#include "look.h"
#include "pids.h"
#include "scope.h"
#include "util.h"

#include <errno.h>
#include <stdlib.h>

static bool is_in(const struct agree *a, const struct snapshot *s, pid_t pid)
{
	bool found = scope_is_below(s, pid, a->root);

	for (size_t i = 0; i < a->n_more; i++)
		found |= scope_is_below(s, pid, a->more[i]);
	return found;
}

/* Whom a group, session or single process does not include. */
static int omit_all(struct agree *a, const struct snapshot *s, const struct ckpt_scope *scope)
{
	for (size_t i = 0; i < scope->n_omit; i++)
		if (!is_in(a, s, scope->omit[i]) &&
		    pids_add(&a->omit, &a->n_omit, scope->omit[i]) < 0)
			return ENOMEM;
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
	if (scope_is_below(s, a->root, pid))
		return EOPNOTSUPP;
	for (size_t i = 0; i < a->n_more; i++)
		if (scope_is_below(s, a->more[i], pid))
			return EOPNOTSUPP;
	rc = find_new(a, pid);
	return rc ? rc : pids_add(&a->more, &a->n_more, pid) < 0 ? ENOMEM : 0;
}

int agree_forward(struct agree *a, pid_t caller, int scope, pid_t target)
{
	enum ckpt_scope_kind kind = (enum ckpt_scope_kind)scope;
	const struct rec_member *self;
	struct ckpt_scope found = { 0 };
	struct snapshot *s = NULL;
	int rc;

	if (snapshot_take(a->loader, NULL, 0, SNAPSHOT_MEMBERS, &s, NULL) < 0)
		return EIO;
	self = scope_leader(s, caller);
	if (!target && self)
		target = kind == CKPT_SCOPE_GROUP     ? self->pgid
			 : kind == CKPT_SCOPE_SESSION ? self->sid
						      : caller;
	rc = -scope_find(s, kind, target, &found);
	if (rc == 0)
		rc = omit_all(a, s, &found);
	for (size_t i = 0; rc == 0 && i < found.n_roots; i++)
		rc = add_root(a, s, found.root[i]);
	ckpt_scope_free(&found);
	snapshot_free(s);
	return rc;
}
