/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Step 1 of a checkpoint: look at the running tree and judge whether it can be saved. */
#ifndef CKPT_LOOK_H
#define CKPT_LOOK_H

#include "kind.h"
#include "plan.h"
#include "session.h"
#include "tree.h"

/*
 * Is `root` a process that may be checkpointed at all, and are those of its tree: there, not a
 * kernel thread, not a zombie, not traced, not the caller or one of its ancestors, ...? Judged from
 * a snapshot of them.
 */
int look_tree(struct loader *l, const struct snapshot *s, const struct tree *t, pid_t root,
	      struct ckpt_err **err);

/* Does one of the tree trace anybody? -EBUSY with CKPT_E_TRACER; needs tree_find() only. */
int look_tracers(const struct tree *t, struct ckpt_err **err);

/* One finding per task attribute, memory area and open file. */
int look_resources(struct loader *l, const struct tree *t, const struct kind_dump *d,
		   const struct objects *os, struct ckpt_findings *f, struct ckpt_err **err);

/* Can the births of the tree be repeated, by this plan? If not, a finding, and *ret is empty. */
int look_births(const struct snapshot *s, const struct tree *t, struct plan *ret,
		struct ckpt_findings *f, struct ckpt_err **err);

/* The first "no" of the findings as an error (and how many more there are), or 0. */
int look_verdict(const struct ckpt_findings *f, pid_t pid, struct ckpt_err **err);

/*
 * What is refused twice is refused: keep of the refusals in `f` those that an earlier look said,
 * too. False, and nothing is done: there is none.
 */
bool look_keep_repeated(struct ckpt_findings *f, const struct ckpt_findings *before);

/* Is the thread on its way out? It has given up its descriptors, and will run no more of the
 * program. */
bool task_is_exiting(const struct rec_task *t);
bool task_is_kthread(const struct rec_task *t);
/* A thread that still has what its process has; NULL: a zombie. */
const struct rec_task *task_living_thread(const struct snapshot *s, pid_t tgid);

/*
 * Find the tree of `pid`, which may be gone or never have been, or with `only` that process alone,
 * and take its snapshot. *t has been set to 0, but for `omit`; it is for tree_done(), on failure
 * too.
 */
int look_snapshot(struct loader *l, pid_t pid, bool only, struct tree *t, struct snapshot **ret,
		  struct ckpt_err **err);

/* What a look at a running tree shows. */
struct look {
	struct tree tree;
	struct snapshot *snap;	 /* owned */
	struct ckpt_findings *f; /* owned */
	bool settled;		 /* it does not matter that the tree changed meanwhile */
};

/*
 * Look at the running tree of `pid`, at it alone with `only`: everything that look_tree(),
 * look_resources() and look_births() say. A tree changes while one looks: a pipe's other end is
 * held by a child born a moment ago, a process ends. So a refusal must be seen twice to count; when
 * it is another one each time, and often, `settled` is false. *k is for look_done(), on failure
 * too.
 */
int look_running(struct look *k, struct loader *l, pid_t pid, bool only,
		 const struct kind_dump *like, struct ckpt_err **err);
void look_done(struct look *k);

#endif
