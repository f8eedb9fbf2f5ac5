/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* File locks of a process, as rows of the manifest's "locks": {fd, class, type, start, end}. */
#ifndef CKPT_LOCKS_H
#define CKPT_LOCKS_H

#include "err.h"
#include "loader.h"
#include <jansson.h>

/* Refuse what cannot be taken again: leases, and more locks than the snapshot tells.
 * CKPT_E_UNSUPPORTED. */
int locks_check(const struct snapshot *s, pid_t tgid, struct ckpt_err **err);
/*
 * The locks that the process owns through its descriptors, each once, by descriptor and start. fd:
 * the lowest that may take it; class: "posix" (the process's), "flock" or "ofd" (the
 * description's), "lease"; type: "read", "write"; start, end: first and last byte, end being 2^63 -
 * 1 where a lock goes on for ever.
 */
int locks_save(const struct snapshot *s, pid_t tgid, json_t **ret, struct ckpt_err **err);

#endif
