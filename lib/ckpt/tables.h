/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads that have a descriptor table, or a working directory, root and umask, of their own
 * (unshare(2) with CLONE_FILES or CLONE_FS, called in a thread). The snapshot tells of them under
 * the thread's id instead of the process's: snapshot_files_of(), snapshot_locks_of(),
 * snapshot_details() and snapshot_path() with a tid give what that thread alone has.
 *
 * They stand in the thread's row of the manifest, as the process's stand in the process's:
 * "files", "locks", and "fs" with "umask", "cwd" and "root".
 */
#ifndef CKPT_TABLES_H
#define CKPT_TABLES_H

#include "err.h"
#include "kind.h"
#include "loader.h"
#include <jansson.h>

/* Has the thread something that its living leader does not share? */
bool tables_own_files(const struct snapshot *s, const struct rec_task *t);
bool tables_own_fs(const struct snapshot *s, const struct rec_task *t);

/* Why such a thread cannot be saved, or NULL. */
const char *tables_refused(const struct snapshot *s, const struct rec_task *t);

/* The threads of a process with a descriptor table of their own, by vtid; malloc'd, NULL: out of
 * memory. */
const struct rec_task **tables_threads(const struct snapshot *s, pid_t tgid, size_t *ret_n);

/* The process that a descriptor belongs to, whose record may carry a thread's id. */
pid_t tables_tgid(const struct snapshot *s, pid_t tgid_or_tid);

/* Restore: the highest descriptor in the rows of a process's threads, -1: none. */
int tables_highest_fd(const json_t *task);

#endif
