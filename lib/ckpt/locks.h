/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a process holds of files through its descriptors, as rows of the manifest's "locks": file
 * locks, leases, and who tells it of a directory (dnotify).
 */
#ifndef CKPT_LOCKS_H
#define CKPT_LOCKS_H

#include "err.h"
#include "loader.h"
#include <jansson.h>

/* Refuse what cannot be taken again. CKPT_E_UNSUPPORTED. */
int locks_check(const struct snapshot *s, pid_t tgid, struct ckpt_err **err);
/*
 * The locks that the process owns through its descriptors, each once, by descriptor and start. fd:
 * the lowest that may take it; class: "posix" (the process's), "flock" or "ofd" (the
 * description's); type: "read", "write"; start, end: first and last byte, end being 2^63 - 1 where
 * a lock goes on for ever. What belongs to a description is told of the first process that has it.
 *
 * A lease ("lease") has a type, too, "signal_fd", the number that its signals tell of, and while it
 * is being broken "breaking": to "read" or to "none". What dnotify was told of a directory
 * ("dnotify") has a "mask".
 */
int locks_save(const struct snapshot *s, pid_t tgid, json_t **ret, struct ckpt_err **err);

#endif
