// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Findings as a person wants to read them: those that say the same of several descriptors, areas,
 * threads or processes are one row. With --json they stay apart.
 */
#include "cli.h"
#include <string.h>

/* Of numbers and processes so many are named, then "...". */
#define NAMED_MAX 3
/* "memory 7f0000000000-7f0000000000" is longer, three descriptors are not. */
#define SUBJECT_MAX 24

struct place {
	const struct ckpt_finding *row;
	size_t at; /* in the order of the findings */
};

/* "fd 7": two letters; "memory 7f00-7f01": six; "eBPF iterators", as it is: all. */
static size_t class_len(const char *subject)
{
	const char *last = strrchr(subject, ' ');

	return last && last[1] >= '0' && last[1] <= '9' ? (size_t)(last - subject)
							: strlen(subject);
}

static int by_class(const char *a, const char *b)
{
	size_t n = class_len(a), m = class_len(b);
	int order = memcmp(a, b, n < m ? n : m);

	return order ? order : n < m ? -1 : n > m;
}

static int by_saying(const struct ckpt_finding *a, const struct ckpt_finding *b)
{
	int order = (int)a->verdict - (int)b->verdict;

	if (!order)
		order = by_class(a->subject, b->subject);
	if (!order)
		order = strcmp(a->what, b->what);
	if (!order)
		order = strcmp(a->why, b->why);
	return order ? order : strcmp(a->remedy, b->remedy);
}

static int by_saying_and_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	int order = by_saying(x->row, y->row);

	return order ? order : x->at < y->at ? -1 : 1;
}

static int by_place(const void *a, const void *b)
{
	const struct cli_fold *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

static bool seen_before(const struct place *p, size_t i, bool subject)
{
	for (size_t k = 0; k < i; k++)
		if (subject ? !strcmp(p[k].row->subject, p[i].row->subject)
			    : p[k].row->pid == p[i].row->pid)
			return true;
	return false;
}

/* "fd 0, 1, 2, ..."; areas of memory, whose names are long, as "memory". */
static char *subjects(const struct place *p, size_t n)
{
	char *text = cli_escape(p[0].row->subject, false);
	size_t named = 1, len = class_len(text);

	for (size_t i = 1; i < n && named <= NAMED_MAX; i++) {
		const char *subject = p[i].row->subject;
		char *before = text;

		if (seen_before(p, i, true))
			continue;
		named++;
		if (strlen(text + len) > sizeof(" 4194304") * (named - 1)) {
			text[len] = '\0';
			break;
		}
		if (named <= NAMED_MAX)
			text = cli_format("%s,%s", before, subject + class_len(subject));
		else
			text = cli_format("%s, ...", before);
		free(before);
	}
	return text;
}

/* "268173 (bash), 268177 (sleep)"; all of them of a refusal. */
static char *processes(const struct place *p, size_t n, size_t *ret_n)
{
	char *text = NULL;
	size_t named = 0;

	for (size_t i = 0; i < n; i++) {
		char *before = text;

		if (!p[i].row->pid || seen_before(p, i, false))
			continue;
		if (named++ >= 4 * NAMED_MAX)
			continue;
		_cleanup_free_ char *comm = cli_comm(p[i].row->pid);

		text = cli_format("%s%s%d (%s)", before ? before : "", before ? ", " : "",
				  p[i].row->pid, comm);
		free(before);
	}
	if (named > 4 * NAMED_MAX) {
		char *before = text;

		text = cli_format("%s, and %zu more", before, named - 4 * NAMED_MAX);
		free(before);
	}
	*ret_n = named;
	return text;
}

static void fold(struct cli_fold *out, const struct place *p, size_t n, bool several)
{
	size_t n_pids;
	_cleanup_free_ char *subject = subjects(p, n);
	char *who = processes(p, n, &n_pids);

	*out = (struct cli_fold){ .row = p[0].row, .at = p[0].at };
	/* An address is too long beside a process. */
	if (several && n_pids && strlen(subject) > SUBJECT_MAX)
		subject[class_len(subject)] = '\0';
	if (several && n_pids == 1 && strncmp(subject, "process ", 8) != 0)
		out->subject = cli_format("%s of %d", subject, p[0].row->pid);
	else if (several && n_pids > 1)
		out->subject = cli_format("%s of %zu processes", subject, n_pids);
	else
		out->subject = cli_format("%s", subject);
	if (several && n_pids)
		out->who = who;
	else
		free(who);
}

size_t cli_fold_findings(const struct ckpt_findings *f, struct cli_fold **ret)
{
	_cleanup_free_ struct place *p = calloc(f->n + 1, sizeof(*p));
	struct cli_fold *out = calloc(f->n + 1, sizeof(*out));
	bool several = false;
	pid_t first = 0;
	size_t n = 0;

	*ret = out;
	if (!p || !out)
		return 0;
	for (size_t i = 0; i < f->n; i++) {
		p[i] = (struct place){ &f->row[i], i };
		several |= first && f->row[i].pid && f->row[i].pid != first;
		first = first ? first : f->row[i].pid;
	}
	qsort(p, f->n, sizeof(*p), by_saying_and_place);
	for (size_t i = 0, end; i < f->n; i = end) {
		end = i + 1;
		while (end < f->n && !by_saying(p[i].row, p[end].row))
			end++;
		fold(&out[n++], &p[i], end - i, several);
	}
	qsort(out, n, sizeof(*out), by_place);
	return n;
}

void cli_fold_free(struct cli_fold *fold, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(fold[i].subject);
		free(fold[i].who);
	}
	free(fold);
}
