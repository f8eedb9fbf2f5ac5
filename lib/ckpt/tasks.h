/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tasks in the manifest: everything of a process but its memory's contents, its registers and the
 * objects behind its descriptors. One function writes it, from a snapshot of frozen tasks; it
 * serves the dump and, on the restored tasks, the final comparison.
 *
 * Members under "info" are for people and for decisions; they are not compared.
 */
#ifndef CKPT_TASKS_H
#define CKPT_TASKS_H

#include "err.h"
#include "kind.h"
#include "loader.h"
#include "plan.h"
#include "take.h"
#include "tree.h"
#include <jansson.h>

/*
 * Save one process of the tree; `taken` was taken from the same frozen state as the snapshot. What
 * processes share ("shares": mm, files, fs, sighand) stands in the row of the first of them, whose
 * pid is the sharers' number.
 */
int task_save(const struct snapshot *s, const struct tree *t, pid_t tgid, const struct objects *os,
	      const struct taken *taken, json_t **ret, struct ckpt_err **err);
/* Has it this from another process of the image, in whose row it stands? */
bool task_shares(const json_t *task, enum plan_shared what);

/* The plan of the tree's births, from a snapshot, and from the "tasks" of a manifest. */
int tasks_plan(const struct snapshot *s, const struct tree *t, struct plan *ret,
	       struct ckpt_err **err);
int tasks_plan_image(const json_t *tasks, struct plan *ret, struct ckpt_err **err);

/*
 * Compare what was saved with what is there now. Differences are named by their place
 * ("threads[2].comm"). All of the first few go into the error, CKPT_E_DIFFERENT.
 */
int tasks_same(const json_t *saved, const json_t *now, struct ckpt_err **err);

/* What a new task has from the one that makes it, as members "cred" and "sched" of an object; NULL:
 * out of memory. */
json_t *task_inherited(const struct snapshot *s, const struct rec_task *t);

/* si_code and the rest: a siginfo as hex, and back. */
int siginfo_parse(const json_t *v, siginfo_t *ret, struct ckpt_err **err);

#endif
