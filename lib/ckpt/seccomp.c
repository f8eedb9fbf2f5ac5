// SPDX-License-Identifier: LGPL-2.1-or-later
/* Saving the filters of seccomp(2), and reading them from an image. See seccomp.h; build_seccomp.c
 * puts them in force again. */
#include "seccomp.h"
#include "image.h"
#include "util.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/ptrace.h>

/* The kernel allows 32768 instructions on the way from one filter to the first, each filter
 * counting four more. */
#define PATH_MAX_INSNS 32768
#define FILTERS_MAX    8192
#define INSN_HEX       16 /* digits */

void seccomp_table_done(struct seccomp_table *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->filter[i].code);
	free(t->filter);
	*t = (struct seccomp_table){ 0 };
}

/* The filters of a thread, the newest first. */
static const struct rec_seccomp *const *filters_of(const struct snapshot *s,
						   const struct rec_task *t, size_t *ret_n)
{
	return (const struct rec_seccomp *const *)snapshot_details(s, REC_SECCOMP, t->tgid, t->tid,
								   ret_n);
}

const char *seccomp_refused(const struct snapshot *s, const struct rec_task *t,
			    const struct rec_task *self, const char **ret_remedy)
{
	const struct rec_seccomp *const *row;
	size_t n;

	*ret_remedy = "";
	if (t->seccomp_mode == SECCOMP_NONE)
		return NULL;
	if (self->seccomp_mode != SECCOMP_NONE) {
		*ret_remedy = "run ebpf-ckpt outside of the container or sandbox";
		return "this program is under seccomp itself, and may not look at other's filters";
	}
	row = filters_of(s, t, &n);
	for (size_t i = 0; i < n; i++) {
		if (row[i]->flags & REC_SECCOMP_LISTENER)
			return "a supervisor answers its system calls (SECCOMP_RET_USER_NOTIF)";
		if (row[i]->head.flags & REC_F_TRUNCATED)
			return "it is under more filters than can be saved";
	}
	return NULL;
}

/* ---- taking ---- */

static uint32_t find(const struct seccomp_table *t, uint64_t id)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->filter[i].id == id)
			return (uint32_t)i + 1;
	return 0;
}

static struct seccomp_filter *add(struct seccomp_table *t)
{
	struct seccomp_filter *more = realloc(t->filter, (t->n + 1) * sizeof(*more));

	if (!more)
		return NULL;
	t->filter = more;
	more[t->n] = (struct seccomp_filter){ 0 };
	return &more[t->n++];
}

/* Filter number `at` of a stopped thread, the first one being 0. */
static int read_filter(pid_t tid, size_t at, struct seccomp_filter *f)
{
	struct __ptrace_seccomp_metadata meta = { .filter_off = at };
	long n = ptrace(PTRACE_SECCOMP_GET_FILTER, tid, at, NULL);

	if (n < 0)
		return -errno;
	f->n = (size_t)n;
	f->code = calloc(f->n, sizeof(*f->code));
	if (!f->code)
		return -ENOMEM;
	if (ptrace(PTRACE_SECCOMP_GET_FILTER, tid, at, f->code) != n)
		return -errno;
	if (ptrace(PTRACE_SECCOMP_GET_METADATA, tid, sizeof(meta), &meta) < 0)
		return -errno;
	f->log = meta.flags & SECCOMP_FILTER_FLAG_LOG;
	return 0;
}

static int take_thread(struct seccomp_table *t, const struct snapshot *s,
		       const struct rec_task *task, struct ckpt_err **err)
{
	size_t n;
	const struct rec_seccomp *const *row = filters_of(s, task, &n);
	uint32_t prev = 0;

	for (size_t at = 0; at < n; at++) {
		uint64_t id = row[n - 1 - at]->filter_id;
		uint32_t known = find(t, id);
		struct seccomp_filter *f;
		int rc;

		if (!known) {
			f = add(t);
			if (!f)
				return ckpt_fail_nomem(err);
			f->id = id;
			f->prev = prev;
			rc = read_filter(task->tid, at, f);
			if (rc < 0) {
				ckpt_fail_errno(err, rc, CKPT_E_PRIVILEGE,
						"read seccomp filter %zu of thread %d", at + 1,
						task->tid);
				ckpt_hint(err, "run as root, outside of any sandbox");
				return rc;
			}
			known = (uint32_t)t->n;
		}
		prev = known;
	}
	return 0;
}

static int by_vtid(const void *a, const void *b)
{
	const struct rec_task *x = *(const struct rec_task *const *)a;
	const struct rec_task *y = *(const struct rec_task *const *)b;

	return (x->vtid > y->vtid) - (x->vtid < y->vtid);
}

int seccomp_take(struct seccomp_table *t, const struct snapshot *s, const pid_t *tids, size_t n,
		 struct ckpt_err **err)
{
	_cleanup_free_ const struct rec_task **task = calloc(n ? n : 1, sizeof(*task));
	size_t n_tasks = 0;
	int rc = 0;

	*t = (struct seccomp_table){ 0 };
	if (!task)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < n; i++) {
		task[n_tasks] = snapshot_task(s, tids[i]);
		n_tasks += task[n_tasks] != NULL;
	}
	/* The table's order must not depend on the numbers that they have for us, which differ
	 * after a restore into a pid namespace. */
	qsort(task, n_tasks, sizeof(*task), by_vtid);
	for (size_t i = 0; rc == 0 && i < n_tasks; i++)
		rc = take_thread(t, s, task[i], err);
	return rc;
}

/* ---- writing ---- */

static json_t *code_json(const struct seccomp_filter *f)
{
	_cleanup_free_ char *text = malloc(f->n * INSN_HEX + 1);

	if (!text)
		return NULL;
	text[0] = 0;
	for (size_t i = 0; i < f->n; i++)
		snprintf(text + i * INSN_HEX, INSN_HEX + 1, "%04x%02x%02x%08x", f->code[i].code,
			 f->code[i].jt, f->code[i].jf, f->code[i].k);
	return json_string(text);
}

int seccomp_save(const struct seccomp_table *t, json_t *process)
{
	json_t *rows;
	int rc;

	if (t->n == 0)
		return 0;
	rows = json_array();
	rc = json_object_set_new(process, "seccomp", rows);
	for (size_t i = 0; i < t->n; i++) {
		json_t *row = json_object();

		rc |= json_array_append_new(rows, row);
		rc |= js_set_int(row, "prev", t->filter[i].prev);
		if (t->filter[i].log)
			rc |= js_set_bool(row, "log", true);
		rc |= json_object_set_new(row, "code", code_json(&t->filter[i]));
	}
	return rc;
}

int seccomp_save_thread(const struct seccomp_table *t, const struct snapshot *s,
			const struct rec_task *task, json_t *thread)
{
	const struct rec_seccomp *const *row;
	json_t *o;
	size_t n;
	int rc;

	if (task->seccomp_mode == SECCOMP_NONE)
		return 0;
	o = json_object();
	rc = json_object_set_new(thread, "seccomp", o);
	rc |= js_set_bool(o, "strict", task->seccomp_mode == SECCOMP_STRICT);
	row = filters_of(s, task, &n);
	if (n)
		rc |= js_set_int(o, "filter", find(t, row[0]->filter_id));
	return rc;
}

/* ---- reading ---- */

static int hex_field(const char *s, size_t digits, uint32_t *ret)
{
	*ret = 0;
	for (size_t i = 0; i < digits; i++) {
		char c = s[i];

		if (c >= '0' && c <= '9')
			*ret = *ret << 4 | (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			*ret = *ret << 4 | (uint32_t)(c - 'a' + 10);
		else
			return -EINVAL;
	}
	return 0;
}

static int parse_code(const char *text, struct seccomp_filter *f)
{
	size_t len = strlen(text);

	if (len == 0 || len % INSN_HEX || len / INSN_HEX > BPF_MAXINSNS)
		return -EINVAL;
	f->n = len / INSN_HEX;
	f->code = calloc(f->n, sizeof(*f->code));
	if (!f->code)
		return -ENOMEM;
	for (size_t i = 0; i < f->n; i++) {
		const char *p = text + i * INSN_HEX;
		uint32_t code, jt, jf, k;

		if (hex_field(p, 4, &code) || hex_field(p + 4, 2, &jt) ||
		    hex_field(p + 6, 2, &jf) || hex_field(p + 8, 8, &k))
			return -EINVAL;
		f->code[i] = (struct sock_filter){ (__u16)code, (__u8)jt, (__u8)jf, k };
	}
	return 0;
}

static int parse_filter(struct seccomp_table *t, const json_t *row, struct ckpt_err **err)
{
	size_t i = t->n;
	struct seccomp_filter *f = add(t);
	const char *code = "";
	int rc;

	if (!f)
		return ckpt_fail_nomem(err);
	rc = js_u32(row, "prev", &f->prev, err);
	if (rc == 0)
		rc = js_str(row, "code", &code, err);
	if (rc == 0 && json_object_get(row, "log"))
		rc = js_bool(row, "log", &f->log, err);
	if (rc < 0)
		return rc;
	if (f->prev > i)
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "it is put on top of a later one, %u",
				 f->prev);
	rc = parse_code(code, f);
	if (rc < 0)
		return ckpt_fail_errno(err, rc, CKPT_E_IMAGE, "its code is not a program");
	f->depth = 1 + (f->prev ? t->filter[f->prev - 1].depth : 0);
	return 0;
}

int seccomp_parse(struct seccomp_table *t, const json_t *process, struct ckpt_err **err)
{
	json_t *rows;
	int rc = 0;

	*t = (struct seccomp_table){ 0 };
	if (!json_object_get(process, "seccomp"))
		return 0;
	rc = js_arr(process, "seccomp", &rows, err);
	if (rc == 0 && json_array_size(rows) > FILTERS_MAX)
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "too many seccomp filters");
	for (size_t i = 0; rc == 0 && i < json_array_size(rows); i++) {
		rc = parse_filter(t, json_array_get(rows, i), err);
		if (rc == 0 && t->filter[i].depth * 5 > PATH_MAX_INSNS)
			rc = ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "too many before it");
		if (rc < 0)
			rc = ckpt_wrap(err, rc, "seccomp filter %zu", i + 1);
	}
	return rc;
}

int seccomp_parse_thread(const struct seccomp_table *t, const json_t *thread, uint32_t *ret_filter,
			 bool *ret_strict, struct ckpt_err **err)
{
	uint64_t filter = 0;
	json_t *o;
	int rc;

	*ret_filter = 0;
	*ret_strict = false;
	if (!json_object_get(thread, "seccomp"))
		return 0;
	rc = js_obj(thread, "seccomp", &o, err);
	if (rc == 0)
		rc = js_bool(o, "strict", ret_strict, err);
	if (rc == 0)
		rc = js_opt_u64(o, "filter", &filter, err);
	if (rc < 0)
		return rc;
	if (filter > t->n || (*ret_strict ? filter != 0 : filter == 0))
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE,
				 "a thread is under seccomp filter %llu, of %zu",
				 (unsigned long long)filter, t->n);
	*ret_filter = (uint32_t)filter;
	return 0;
}
