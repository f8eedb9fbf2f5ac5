// SPDX-License-Identifier: LGPL-2.1-or-later
/* Threads with descriptor tables and directories of their own. See tables.h; build_tables.c makes
 * them again. */
#include "tables.h"
#include "look.h"
#include "util.h"

/* A leader that has ended has given up its own: then there is nothing to compare with. */
static const struct rec_task *leader_of(const struct snapshot *s, const struct rec_task *t)
{
	const struct rec_task *leader = snapshot_task(s, t->tgid);

	return leader && leader != t && !task_is_exiting(leader) && !task_is_exiting(t) ? leader
											: NULL;
}

bool tables_own_files(const struct snapshot *s, const struct rec_task *t)
{
	const struct rec_task *leader = leader_of(s, t);

	return leader && leader->files_id != t->files_id;
}

bool tables_own_fs(const struct snapshot *s, const struct rec_task *t)
{
	const struct rec_task *leader = leader_of(s, t);

	return leader && leader->fs_id != t->fs_id;
}

const char *tables_refused(const struct snapshot *s, const struct rec_task *t)
{
	bool files = tables_own_files(s, t), fs = tables_own_fs(s, t);
	const struct rec_task *first = task_living_thread(s, t->tgid);

	if (first && task_is_exiting(snapshot_task(s, t->tgid)) &&
	    (first->files_id != t->files_id || first->fs_id != t->fs_id))
		return "its first thread has ended, and the others do not share all";

	for (size_t i = 0; i < s->n_tasks && (files || fs); i++) {
		const struct rec_task *other = s->tasks[i];

		if (other == t || task_is_exiting(other))
			continue;
		if (files && other->files_id == t->files_id)
			return "it shares its descriptor table with some, but not with its leader";
		if (fs && other->fs_id == t->fs_id)
			return "it shares its working directory with some, but not with its leader";
	}
	return NULL;
}

static int by_vtid(const void *a, const void *b)
{
	const struct rec_task *x = *(const struct rec_task *const *)a;
	const struct rec_task *y = *(const struct rec_task *const *)b;

	return (x->vtid > y->vtid) - (x->vtid < y->vtid);
}

const struct rec_task **tables_threads(const struct snapshot *s, pid_t tgid, size_t *ret_n)
{
	const struct rec_task **t;
	size_t first, n;

	*ret_n = 0;
	snapshot_tasks_of(s, tgid, &first, &n);
	t = calloc(n + 1, sizeof(*t));
	for (size_t i = first; t && i < first + n; i++)
		if (tables_own_files(s, s->tasks[i]))
			t[(*ret_n)++] = s->tasks[i];
	if (t)
		qsort(t, *ret_n, sizeof(*t), by_vtid);
	return t;
}

pid_t tables_tgid(const struct snapshot *s, pid_t tgid_or_tid)
{
	const struct rec_task *t = snapshot_task(s, tgid_or_tid);

	return t ? t->tgid : tgid_or_tid;
}

int tables_highest_fd(const json_t *task)
{
	const json_t *threads = json_object_get(task, "threads");
	int highest = -1;

	for (size_t i = 0; i < json_array_size(threads); i++) {
		const json_t *rows = json_object_get(json_array_get(threads, i), "files");
		size_t n = json_array_size(rows);
		int last = -1;

		/* In order; checked when they are put in place. */
		if (n)
			last = (int)json_integer_value(
				json_object_get(json_array_get(rows, n - 1), "fd"));
		highest = last > highest ? last : highest;
	}
	return highest;
}
