// SPDX-License-Identifier: LGPL-2.1-or-later
/* Other pids than those of the image. See renumber.h. */
#include "renumber.h"
#include "image.h"
#include "util.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIDS_AHEAD 1000
#define FIRST_PID  300 /* where the kernel begins again, RESERVED_PIDS of kernel/pid.c */

static int by_old(const void *a, const void *b)
{
	const struct renumber_pair *x = a, *y = b;

	return x->old < y->old ? -1 : x->old > y->old;
}

static int by_now(const void *a, const void *b)
{
	const struct renumber_pair *x = a, *y = b;

	return x->now < y->now ? -1 : x->now > y->now;
}

static bool is_old(const struct renumber *n, pid_t pid)
{
	const struct renumber_pair key = { .old = pid };

	return bsearch(&key, n->by_old, n->n, sizeof(key), by_old);
}

static pid_t now_of(const struct renumber *n, pid_t old)
{
	const struct renumber_pair key = { .old = old };
	const struct renumber_pair *found =
		n->n ? bsearch(&key, n->by_old, n->n, sizeof(key), by_old) : NULL;

	return found ? found->now : old;
}

pid_t renumber_saved(const struct renumber *n, pid_t now)
{
	const struct renumber_pair key = { .now = now };
	const struct renumber_pair *found =
		n->n ? bsearch(&key, n->by_now, n->n, sizeof(key), by_now) : NULL;

	return found ? found->old : now;
}

void renumber_done(struct renumber *n)
{
	free(n->by_old);
	free(n->by_now);
	*n = (struct renumber){ 0 };
}

/* ---- numbers that are free ---- */

static long read_long(const char *path, long otherwise)
{
	long value = otherwise;
	FILE *f = fopen(path, "re");

	if (f) {
		if (fscanf(f, "%ld", &value) != 1)
			value = otherwise;
		fclose(f);
	}
	return value;
}

/* Nor a process group. That it is no session either shows at the birth at the latest. */
static bool is_free(pid_t pid)
{
	return kill(pid, 0) < 0 && errno == ESRCH && kill(-pid, 0) < 0 && errno == ESRCH;
}

/* Some way behind those that the kernel gives away next, to whoever makes processes meanwhile. */
static int choose(struct renumber *n, struct ckpt_err **err)
{
	long last = read_long("/proc/sys/kernel/ns_last_pid", FIRST_PID);
	long max = read_long("/proc/sys/kernel/pid_max", 32768), tried = 0;
	pid_t pid = (pid_t)(last + PIDS_AHEAD < max ? last + PIDS_AHEAD : FIRST_PID);

	for (size_t i = 0; i < n->n; i++) {
		do {
			/* They stay in their order, by which siblings are sorted. */
			if (++pid >= max) {
				pid = FIRST_PID;
				i = 0;
			}
			if (++tried > 2 * max)
				return ckpt_fail(err, EAGAIN, CKPT_E_PID_TAKEN,
						 "there are no %zu pids that are free", n->n);
			/* Groups may keep their old numbers. */
		} while (!is_free(pid) || is_old(n, pid));
		n->by_old[i].now = pid;
	}
	memcpy(n->by_now, n->by_old, n->n * sizeof(*n->by_now));
	qsort(n->by_now, n->n, sizeof(*n->by_now), by_now);
	return 0;
}

static int list_threads(struct renumber *n, const json_t *tasks, struct ckpt_err **err)
{
	size_t total = 0;
	const json_t *task, *thread;
	size_t i, k;

	json_array_foreach(tasks, i, task)
		total += json_array_size(json_object_get(task, "threads"));
	n->by_old = calloc(total + 1, sizeof(*n->by_old));
	n->by_now = calloc(total + 1, sizeof(*n->by_now));
	if (!n->by_old || !n->by_now)
		return ckpt_fail_nomem(err);
	json_array_foreach(tasks, i, task)
		json_array_foreach(json_object_get(task, "threads"), k, thread) {
			json_int_t tid = json_integer_value(json_object_get(thread, "tid"));

			if (tid <= 0 || tid > INT32_MAX)
				return ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "%lld is no tid",
						 (long long)tid);
			n->by_old[n->n++].old = (pid_t)tid;
		}
	qsort(n->by_old, n->n, sizeof(*n->by_old), by_old);
	for (size_t j = 1; j < n->n; j++)
		if (n->by_old[j].old == n->by_old[j - 1].old)
			return ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "there are two threads %d",
					 n->by_old[j].old);
	return 0;
}

/* ---- exchanging them ---- */

enum what { TASK, GROUP, SESSION };

/* Members of that name are such a number wherever they stand, but for what is for people only. */
static const struct {
	const char *name;
	enum what what;
} members[] = {
	{ "pid", TASK },	{ "tid", TASK },	 { "ppid", TASK },
	{ "notify_tid", TASK }, { "signals_of", TASK },	 { "root_pid", TASK },
	{ "pgid", GROUP },	{ "foreground", GROUP }, { "sid", SESSION },
};

struct exchange {
	const struct renumber *n;
	const struct ckpt_restore_opts *opts;
};

/* `o` is where the number stands. */
static pid_t exchanged(const struct exchange *x, enum what what, const json_t *o, pid_t old)
{
	json_int_t sid = json_integer_value(json_object_get(o, "sid"));
	pid_t now = now_of(x->n, old);

	if (what == SESSION && x->opts->own_session)
		return 0;
	/* The group of a session's leader has its number; which may have been exchanged before. */
	if (what == GROUP && x->opts->old_groups &&
	    (x->opts->own_session || !sid || (sid != now && sid != old)))
		return old;
	return now;
}

static int exchange(const struct exchange *x, json_t *o);

static int exchange_numbers(const struct exchange *x, json_t *numbers)
{
	int rc = 0;
	json_t *v;
	size_t i;

	json_array_foreach(numbers, i, v)
		if (json_is_integer(v))
			rc |= json_integer_set(v, now_of(x->n, (pid_t)json_integer_value(v)));
	return rc;
}

/* Whose row it stands in. */
static int exchange_shares(const struct exchange *x, json_t *shares)
{
	const char *key;
	json_t *v;
	int rc = 0;

	json_object_foreach(shares, key, v)
		if (json_is_integer(v))
			rc |= json_integer_set(v, now_of(x->n, (pid_t)json_integer_value(v)));
	return rc;
}

static int exchange_member(const struct exchange *x, const json_t *o, const char *key, json_t *v)
{
	const char *type = json_string_value(json_object_get(o, "type"));

	for (size_t i = 0; json_is_integer(v) && i < sizeof(members) / sizeof(members[0]); i++) {
		enum what what = members[i].what;

		if (strcmp(key, members[i].name) != 0)
			continue;
		/* Who gets SIGIO may be a group. */
		if (what == TASK && type && !strcmp(type, "group"))
			what = GROUP;
		return json_integer_set(v, exchanged(x, what, o, (pid_t)json_integer_value(v)));
	}
	if (!strcmp(key, "info") || !strcmp(key, "foreign_owner"))
		return 0;
	if (!strcmp(key, "pids") && json_is_array(v))
		return exchange_numbers(x, v);
	if (!strcmp(key, "shares") && json_is_object(v))
		return exchange_shares(x, v);
	return exchange(x, v);
}

static int exchange(const struct exchange *x, json_t *o)
{
	const char *key;
	json_t *v;
	size_t i;
	int rc = 0;

	if (json_is_object(o))
		json_object_foreach(o, key, v)
			rc |= exchange_member(x, o, key, v);
	else if (json_is_array(o))
		json_array_foreach(o, i, v)
			rc |= exchange(x, v);
	return rc;
}

/* Those in a session of their own cannot be in a group of another one. */
static int join_group(json_t *tasks)
{
	json_t *task;
	size_t i;
	int rc = 0;

	json_array_foreach(tasks, i, task) {
		json_int_t sid = json_integer_value(json_object_get(task, "sid"));

		rc |= js_set_int(task, "pgid", sid);
	}
	return rc;
}

/* Terminals are those of sessions. */
static void join_session(json_t *tasks)
{
	json_t *task;
	size_t i;

	json_array_foreach(tasks, i, task)
		json_object_del(task, "terminal");
}

int renumber(struct renumber *n, json_t *manifest, const struct ckpt_restore_opts *opts,
	     struct ckpt_err **err)
{
	json_t *tasks;
	struct exchange x = { n, opts };
	int rc = js_arr(manifest, "tasks", &tasks, err);

	if (rc < 0 || !(opts->new_pids || opts->own_group || opts->own_session))
		return rc;
	if (opts->new_pids && opts->new_pidns)
		return ckpt_fail(err, EINVAL, CKPT_E_USAGE,
				 "in a pid namespace of their own all pids are free");
	if (opts->new_pids) {
		rc = list_threads(n, tasks, err);
		if (rc == 0)
			rc = choose(n, err);
		if (rc < 0)
			return rc;
	}
	rc = exchange(&x, manifest);
	if (opts->own_session)
		join_session(tasks);
	if (opts->own_group)
		rc |= join_group(tasks);
	return rc ? ckpt_fail_nomem(err) : 0;
}

int renumber_expect(json_t *manifest, const struct ckpt_restore_opts *opts, struct ckpt_err **err)
{
	json_t *tasks = json_object_get(manifest, "tasks"), *task;
	json_int_t group = json_integer_value(json_object_get(json_array_get(tasks, 0), "pgid"));
	size_t i;
	int rc = 0;

	if (!opts->old_groups)
		return 0;
	json_array_foreach(tasks, i, task)
		if (json_integer_value(json_object_get(task, "pid")) == group)
			return 0;
	json_array_foreach(tasks, i, task)
		if (json_integer_value(json_object_get(task, "pgid")) == group)
			rc |= js_set_int(task, "pgid", 0);
	return rc ? ckpt_fail_nomem(err) : 0;
}
