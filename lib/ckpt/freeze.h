/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Freezing: every thread of every process of a tree seized and stopped, until a pass finds no new
 * one. */
#ifndef CKPT_FREEZE_H
#define CKPT_FREEZE_H

#include "err.h"
#include "loader.h"
#include "tree.h"
#include <stdbool.h>
#include <sys/types.h>

struct freeze {
	struct frozen {
		pid_t tid, tgid;
		int group_stop; /* stopping signal of a thread that was stopped already, else 0 */
	} * thread;		/* by tgid, then tid */

	size_t n;
};

/*
 * Freeze the tree of `root`; with `only`, root alone. *t are the processes, as the last pass found
 * them, for tree_done(), on failure too. The caller runs trace_clock. On failure
 * everything seized so far is let go. CKPT_E_GONE when the root ended, CKPT_E_CHANGING when threads
 * or processes come faster than they can be stopped or one does not stop (uninterruptible, or in
 * vfork(2)), CKPT_E_TRACED, CKPT_E_PRIVILEGE.
 */
int freeze_tree(struct freeze *f, struct loader *l, pid_t root, bool only, struct tree *t,
		struct ckpt_err **err);
/* The frozen threads of a process. */
const struct frozen *freeze_threads(const struct freeze *f, pid_t tgid, size_t *ret_n);
/* Let every thread go on (a stopped process stays stopped). Safe to call twice, and on a zeroed
 * struct. */
void freeze_thaw(struct freeze *f);
/* End all processes by SIGKILL, and wait until they are gone. */
void freeze_kill(struct freeze *f);

#endif
