/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which processes belong to a tree, as the kernel has it at this moment. */
#ifndef CKPT_TREE_H
#define CKPT_TREE_H

#include "err.h"
#include "loader.h"
#include "plan.h"
#include <stdbool.h>

/* A process of the tree: itself, or a zombie that its parent has not waited for. */
struct tree_process {
	pid_t tgid, ppid;
	pid_t vtgid; /* in its own pid namespace */
	bool zombie; /* no thread of it lives */
	uint64_t start_boottime_ns;
	/*
	 * By tree_find_shares(). The number of those processes of the tree that have something in
	 * common: the vtgid of the first of them; 0: it has it for itself.
	 */
	uint32_t share[PLAN_SHARED_NR];
	pid_t outside[PLAN_SHARED_NR]; /* a process that is not of the tree and has it, too; or 0 */
};

struct tree {
	/* Root first, parents before their children, siblings by vtgid: the same order at all
	 * times. */
	struct tree_process *proc;
	size_t n;
	uint32_t *by_tgid;	  /* owned: indices of proc, sorted */
	struct snapshot *members; /* owned: every thread of the machine */
	/* Processes that are left out, with their descendants; survives tree_find() and
	 * tree_done(). */
	const pid_t *omit; /* borrowed */
	size_t n_omit;
	/* Likewise, other roots beside the one that is asked for: none is below another. They come
	 * behind it. */
	const pid_t *more; /* borrowed */
	size_t n_more;
};

/*
 * Find the tree that `root` is the root of; with `only`, root alone. An ended root gives an empty
 * tree. *t is for tree_done(), on failure too.
 */
int tree_find(struct tree *t, struct loader *l, pid_t root, bool only, struct ckpt_err **err);
/* What its processes share, as the listing had it. 0 or -ENOMEM with err. */
int tree_find_shares(struct tree *t, struct ckpt_err **err);
void tree_done(struct tree *t);
/* NULL: not of the tree. */
const struct tree_process *tree_process(const struct tree *t, pid_t tgid);
/* The pids of all processes, or of those that live; malloc'd. */
pid_t *tree_pids(const struct tree *t, bool with_zombies, size_t *ret_n);

#endif
