/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Step 1 of a checkpoint: look at the running process and judge whether it can be saved. */
#ifndef CKPT_LOOK_H
#define CKPT_LOOK_H

#include "kind.h"
#include "session.h"

/*
 * Is `pid` a process that may be checkpointed at all: there, not a kernel thread, not a zombie, not
 * traced, not the caller or one of its ancestors, ...? Judged from a snapshot of it.
 */
int look_process(struct loader *l, const struct snapshot *s, pid_t pid, struct ckpt_err **err);

/* One finding per task attribute, memory area and open file. */
int look_resources(struct loader *l, const struct snapshot *s, pid_t pid, const struct kind_dump *d,
		   const struct objects *os, struct ckpt_findings *f, struct ckpt_err **err);

/* The first "no" of the findings as an error (and how many more there are), or 0. */
int look_verdict(const struct ckpt_findings *f, pid_t pid, struct ckpt_err **err);

/* Is the thread on its way out? It has given up its descriptors, and will run no more of the
 * program. */
bool task_is_exiting(const struct rec_task *t);

/* Take the snapshot of a process that may be gone, or never have been. */
int look_snapshot(struct loader *l, pid_t pid, struct snapshot **ret, struct ckpt_err **err);

#endif
