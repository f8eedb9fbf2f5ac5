// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Giving threads under construction the descriptors and directories that they alone have. All
 * processes still have the tables that they were born with, in which the restorer's descriptors are
 * open: a thread takes a copy, puts its own in place and closes all others, as the process will do.
 */
#include "build.h"
#include "util.h"

#include <sched.h>
#include <sys/syscall.h>

static int build_table(struct build *b, const struct build_thread *t, struct ckpt_err **err)
{
	const json_t *fs = json_object_get(t->json, "fs");
	bool files = json_object_get(t->json, "files") != NULL;
	int rc;

	if (!fs && !files)
		return 0;
	arena_op(&b->r->arena, "share no longer with its process", SYS_unshare,
		 (fs ? CLONE_FS : 0UL) | (files ? CLONE_FILES : 0UL), 0, 0, 0, 0, 0);
	rc = arena_run(&b->r->arena, t->tid, err);
	if (rc == 0 && fs)
		rc = build_fs(b, t->tid, fs, err);
	if (rc == 0)
		rc = arena_run(&b->r->arena, t->tid, err);
	if (rc == 0 && files)
		rc = build_files(b, t->tid, t->json, err);
	if (rc == 0)
		rc = arena_run(&b->r->arena, t->tid, err);
	return rc < 0 ? ckpt_wrap(err, rc, "thread %d", t->vtid) : 0;
}

int build_tables(struct build *b, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 1; rc == 0 && i < b->n_threads; i++)
		rc = build_table(b, &b->thread[i], err);
	return rc;
}

int build_tables_locks(struct build *b, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 1; rc == 0 && i < b->n_threads; i++) {
		const struct build_thread *t = &b->thread[i];

		if (!json_object_get(t->json, "files"))
			continue;
		rc = build_queue_locks(b, t->tid, t->json, err);
		if (rc == 0)
			rc = arena_run(&b->r->arena, t->tid, err);
		if (rc == 0)
			rc = build_break_leases(b, t->json, err);
	}
	return rc;
}
