/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whom the name of a process group, session, tree or process means, in a listing of all. */
#ifndef CKPT_SCOPE_H
#define CKPT_SCOPE_H

#include "ebpf_ckpt.h"
#include "loader.h"

/*
 * The trees that make up a scope, without what does not belong to it. all: a snapshot with
 * SNAPSHOT_MEMBERS. ret: for ckpt_scope_free(), on failure too. 0, -ESRCH (nobody is meant) or
 * -ENOMEM.
 */
int scope_find(const struct snapshot *all, enum ckpt_scope_kind kind, pid_t target,
	       struct ckpt_scope *ret);
/* The leader of a process that lives; NULL: there is none. */
const struct rec_member *scope_leader(const struct snapshot *all, pid_t pid);
/* Is a process `above`, or below it? */
bool scope_is_below(const struct snapshot *all, pid_t pid, pid_t above);

#endif
