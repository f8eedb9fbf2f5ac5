/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * In which order a tree of processes is made, and by whom. What a process has from its birth
 * (parent, session, process group, what it shares, pages that it never wrote to) can only be given
 * to it by the right maker at the right moment: a child that is in its parent's old session must
 * be born before the parent makes its new one, an orphan must be made by a helper that ends. The
 * plan is pure arithmetic: the dump makes it to know that the tree can be rebuilt, the restore
 * carries it out.
 */
#ifndef CKPT_PLAN_H
#define CKPT_PLAN_H

#include "err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What processes can share; in the order of plan_task.share. */
enum plan_shared { PLAN_MM, PLAN_FILES, PLAN_FS, PLAN_SIGHAND, PLAN_SHARED_NR };

struct plan_task {
	pid_t pid;
	pid_t ppid;	 /* 0: outside of the tree, for the root only */
	pid_t sid;	 /* 0: the session in which the root began */
	pid_t pgid;	 /* 0: the process group in which the root began */
	int exit_signal; /* CLONE_PARENT gives the maker's */
	bool zombie;
	bool subreaper;
	bool inherits; /* some of its pages are those of its maker */
	/* Equal numbers: shared; 0: with nobody. */
	uint32_t share[PLAN_SHARED_NR];
};

enum plan_what {
	PLAN_MAKE,    /* `maker` makes `task`, with clone flags `flags`; maker -1: the restorer */
	PLAN_SETSID,  /* `task` makes a session */
	PLAN_MEMORY,  /* the memory of `task` is built; children made later are copies of it */
	PLAN_SETPGID, /* `task` goes to the process group `pid`; 0: the one that the root began in
		       */
	PLAN_END,     /* the helper `task` ends, reaped by its maker */
	PLAN_REAP,    /* `task` becomes a subreaper for a while (`flags` 1), or is one no longer (0)
		       */
};

/*
 * Tasks are told by their index in the array; numbers from `n_tasks` on are helpers, which exist
 * only while the tree is made. A helper's pid is `pid`, 0: any that the image does not need.
 */
struct plan_step {
	enum plan_what what;
	int task, maker;
	pid_t pid;
	unsigned long flags; /* CLONE_VM, CLONE_FILES, CLONE_FS, CLONE_SIGHAND, CLONE_PARENT */
	int exit_signal;     /* of a helper */
};

struct plan {
	struct plan_step *step;
	size_t n;
	size_t n_helpers;
};

/*
 * Make the plan. tasks[0] is the root. Fails with CKPT_E_UNSUPPORTED where no order of births leads
 * to this tree, with CKPT_E_IMAGE when it is no tree at all.
 */
int plan_make(struct plan *p, const struct plan_task *tasks, size_t n, struct ckpt_err **err);
void plan_done(struct plan *p);
/*
 * With a copy of whose memory each of the n tasks can be born, by index: that of its maker, or of
 * the one that makes the helper who makes it; helpers are made when all memory is there. -1: the
 * root.
 */
void plan_makers(const struct plan *p, size_t n, int *ret);

#endif
