/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which processes are observed from the start. */
#ifndef CKPT_OBSERVE_TARGETS_H
#define CKPT_OBSERVE_TARGETS_H

#include "observe.h"

/* A directory of the cgroup file system: o->cgroup and o->cgroup_id. */
int observe_targets_cgroup(struct ckpt_observe *o, const char *path, struct ckpt_err **err);
/* Have all that is asked for observed, with descendants. *ret: malloc'd list of them. */
int observe_targets_add(struct ckpt_observe *o, pid_t **ret, size_t *ret_n, struct ckpt_err **err);

#endif
