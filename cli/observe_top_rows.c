// SPDX-License-Identifier: LGPL-2.1-or-later
/* Rows and columns of observe --top: what the ledger tells, and how it is ordered and written. */
#include "observe_top.h"
#include <inttypes.h>
#include <string.h>

#define N_FIRST	    8 /* columns that come before any kind */
#define KINDS_FIRST 4 /* kinds that come before the other columns */

static const struct {
	enum column column;
	const char *title;
	int width;
	char key; /* that sorts by it */
} fixed[] = {
	/* In the order of their importance: where there is no room, the last are missing. */
	{ COL_PID, "PID", 8, 'p' },
	{ COL_NAME, "NAME", NAME_MIN, 'n' },
	{ COL_FDS, "FDS", 6, 'f' },
	{ COL_MADE, "MADE/s", 8, 'm' },
	{ COL_CLOSED, "CLOSED/s", 9, 'c' },
	{ COL_THREADS, "THR", 5, 't' },
	{ COL_SIGNALS, "SIG/s", 7, 's' },
	{ COL_AREAS, "AREAS", 6, 'a' },
	/* The most frequent kinds of descriptors come before these. */
	{ COL_TIMERS, "TMR", 5, 'i' },
	{ COL_LOCKS, "LCK", 5, 'l' },
	{ COL_BYTES, "MAPPED", 10, 'b' },
};

#define N_FIXED (sizeof(fixed) / sizeof(fixed[0]))

static void *grown(void *old, size_t n, size_t size)
{
	void *p = reallocarray(old, n ? n : 1, size);

	if (!p)
		top_no_memory();
	return p;
}

/* ---- samples ----------------------------------------------------------------------------------
 */

static int compare_before(const void *a, const void *b)
{
	const struct before *x = a, *y = b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static struct before *find_before(const struct top *t, const struct ckpt_observed_process *p)
{
	struct before key = { .pid = p->pid };
	struct before *b =
		t->n_before ? bsearch(&key, t->before, t->n_before, sizeof(key), compare_before)
			    : NULL;

	return b && b->start_ns == p->start_ns ? b : NULL;
}

/* The column of a kind of descriptor; new ones are added while there is room. */
static int kind_column(struct top *t, const char *name)
{
	for (size_t i = 0; i < t->n_kinds; i++)
		if (!strcmp(t->kind[i], name))
			return (int)i;
	if (t->n_kinds == KINDS_MAX)
		return -1;
	t->kind[t->n_kinds] = cli_format("%s", name);
	return (int)t->n_kinds++;
}

static void take_kind(struct top *t, struct row *r, const struct ckpt_observed_kind *k)
{
	if (!strcmp(k->name, "thread"))
		return;
	if (!strcmp(k->name, "area")) {
		r->areas = k->open;
	} else if (!strcmp(k->name, "timer")) {
		r->timers = k->open;
	} else if (!strcmp(k->name, "lock")) {
		r->locks = k->open;
	} else {
		int n = kind_column(t, k->name);

		r->fds += k->open;
		if (n >= 0) {
			r->kind[n] = k->open;
			t->total[n] += k->open;
		}
	}
}

static double per_second(uint64_t now, uint64_t before, double seconds)
{
	return seconds > 0 && now > before ? (double)(now - before) / seconds : 0;
}

static void take_row(struct top *t, struct row *r, struct before *now,
		     const struct ckpt_observed_process *p, double seconds)
{
	const struct before *b = find_before(t, p);
	/* What it made before it was first seen here is of no second that we know. */
	bool fresh = !b && !p->start_ns;

	*r = (struct row){ .p = p };
	*now = (struct before){ .pid = p->pid, .start_ns = p->start_ns, .signals = p->signals };
	for (size_t i = 0; i < p->n_kinds; i++) {
		now->made += p->kind[i].made;
		now->closed += p->kind[i].closed;
		take_kind(t, r, &p->kind[i]);
	}
	if (fresh)
		return;
	now->made_rate = per_second(now->made, b ? b->made : 0, seconds);
	now->closed_rate = per_second(now->closed, b ? b->closed : 0, seconds);
	now->signal_rate = per_second(now->signals, b ? b->signals : 0, seconds);
}

/* The rows of the ledger. A key is answered at once: rates are those of the last sample then. */
void top_take_rows(struct top *t, const struct ckpt_observed *v, struct before *now, double seconds)
{
	t->row = grown(t->row, v->n_processes, sizeof(*t->row));
	t->n_rows = v->n_processes;
	t->n_ended = t->n_living = 0;
	memset(t->total, 0, sizeof(t->total));
	for (size_t i = 0; i < v->n_processes; i++) {
		const struct ckpt_observed_process *p = &v->process[i];
		struct before unused, *b = now ? &now[i] : &unused;

		take_row(t, &t->row[i], b, p, seconds);
		t->n_ended += p->n_folded ? p->n_folded : p->ended;
		t->n_living += !p->ended && !p->n_folded;
		if (!now && !(b = find_before(t, p)))
			continue;
		t->row[i].made = b->made_rate;
		t->row[i].closed = b->closed_rate;
		t->row[i].signals = b->signal_rate;
	}
}

void top_sample(struct top *t, const struct ckpt_observed *v, double seconds)
{
	struct before *now = grown(NULL, v->n_processes, sizeof(*now));

	top_take_rows(t, v, now, seconds);
	qsort(now, v->n_processes, sizeof(*now), compare_before);
	free(t->before);
	t->before = now;
	t->n_before = v->n_processes;
	t->event_rate = per_second(v->events, t->events, seconds);
	t->events = v->events;
}

/* ---- order and filter -------------------------------------------------------------------------
 */

static uint64_t row_number(const struct row *r, int column)
{
	switch (column) {
	case COL_PID:
		return (uint64_t)r->p->pid;
	case COL_THREADS:
		return r->p->threads;
	case COL_FDS:
		return r->fds;
	case COL_MADE:
		return (uint64_t)(r->made * 10);
	case COL_CLOSED:
		return (uint64_t)(r->closed * 10);
	case COL_SIGNALS:
		return (uint64_t)(r->signals * 10);
	case COL_AREAS:
		return r->areas;
	case COL_BYTES:
		return r->p->area_bytes;
	case COL_TIMERS:
		return r->timers;
	case COL_LOCKS:
		return r->locks;
	default:
		return column >= COL_KIND ? r->kind[column - COL_KIND] : 0;
	}
}

/* Most first; names and pids in their order. The living come before those that have ended. */
static int compare_rows(const void *a, const void *b, void *userdata)
{
	const struct row *x = a, *y = b;
	const struct top *t = userdata;
	int order;

	if (x->p->ended != y->p->ended)
		return x->p->ended ? 1 : -1;
	uint64_t i = row_number(x, t->sort), j = row_number(y, t->sort);

	if (t->sort == COL_NAME)
		order = strcmp(x->p->comm, y->p->comm);
	else
		order = i == j ? 0 : (i < j) == (t->sort != COL_PID) ? 1 : -1;
	if (!order)
		order = x->p->pid < y->p->pid ? -1 : x->p->pid > y->p->pid;
	return t->reverse ? -order : order;
}

bool top_passes(const struct top *t, const struct row *r)
{
	char pid[16];

	if (!*t->filter)
		return true;
	snprintf(pid, sizeof(pid), "%d", r->p->pid);
	return strcasestr(r->p->comm, t->filter) || !strcmp(pid, t->filter);
}

void top_sort_rows(struct top *t)
{
	qsort_r(t->row, t->n_rows, sizeof(*t->row), compare_rows, t);
}

/* ---- columns ----------------------------------------------------------------------------------
 */

const char *top_column_title(const struct top *t, int column)
{
	if (column >= COL_KIND)
		return t->kind[column - COL_KIND];
	for (size_t i = 0; i < N_FIXED; i++)
		if ((int)fixed[i].column == column)
			return fixed[i].title;
	return "";
}

int top_column_width(const struct top *t, int column)
{
	if (column == COL_NAME)
		return t->name_width;
	for (size_t i = 0; i < N_FIXED; i++)
		if ((int)fixed[i].column == column)
			return fixed[i].width;
	int len = (int)strlen(t->kind[column - COL_KIND]);

	return len < 5 ? 6 : len > 11 ? 12 : len + 1;
}

static int compare_columns(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* The most frequent first. */
static int compare_kinds(const void *a, const void *b, void *userdata)
{
	const struct top *t = userdata;
	uint64_t x = t->total[*(const int *)a], y = t->total[*(const int *)b];

	return x < y ? 1 : x > y ? -1 : *(const int *)a - *(const int *)b;
}

/* As many columns as there is room for. */
void top_choose_columns(struct top *t)
{
	int room = t->columns, all[COLUMNS_MAX], kind[KINDS_MAX];
	size_t n = 0;

	t->name_width = NAME_MIN;
	for (size_t i = 0; i < t->n_kinds; i++)
		kind[i] = (int)i;
	qsort_r(kind, t->n_kinds, sizeof(kind[0]), compare_kinds, t);
	for (size_t i = 0; i < N_FIRST; i++)
		all[n++] = fixed[i].column;
	for (size_t i = 0; i < t->n_kinds && i < KINDS_FIRST; i++)
		all[n++] = COL_KIND + kind[i];
	for (size_t i = N_FIRST; i < N_FIXED; i++)
		all[n++] = fixed[i].column;
	for (size_t i = KINDS_FIRST; i < t->n_kinds; i++)
		all[n++] = COL_KIND + kind[i];
	t->n_columns = 0;
	for (size_t i = 0; i < n; i++) {
		int width = top_column_width(t, all[i]);

		if (width > room)
			break;
		room -= width;
		t->column[t->n_columns++] = all[i];
	}
	/* The name takes what is left over, within reason. */
	t->name_width += room > 24 ? 24 : room;
	qsort(t->column, t->n_columns, sizeof(t->column[0]), compare_columns);
}

/* A number in so many digits; of a larger one the thousands: what is cut off would be another. */
static void format_count(char *buf, size_t size, double v, int digits)
{
	static const char units[] = " kMGTPE";
	int unit = 0;

	snprintf(buf, size, "%.0f", v);
	while ((int)strlen(buf) > digits && unit < 6) {
		v /= 1000;
		unit++;
		snprintf(buf, size, "%.0f%c", v, units[unit]);
	}
}

void top_format_cell(char *buf, size_t size, const struct row *r, int column, int digits)
{
	static const char units[] = " KMGTPE";
	uint64_t n = row_number(r, column);
	double v = (double)n;
	int unit = 0;

	switch (column) {
	case COL_PID:
		snprintf(buf, size, r->p->n_folded ? "-" : "%d", r->p->pid);
		return;
	case COL_MADE:
	case COL_CLOSED:
	case COL_SIGNALS:
		if (n >= 1000)
			format_count(buf, size, v / 10, digits);
		else
			snprintf(buf, size, n ? "%.1f" : ".", v / 10);
		return;
	case COL_BYTES:
		for (; v >= 1023.95 && unit < 6; unit++)
			v /= 1024;
		snprintf(buf, size, unit ? "%.1f%c" : "%.0f%c", v, units[unit]);
		return;
	default:
		if (n)
			format_count(buf, size, v, digits);
		else
			snprintf(buf, size, ".");
	}
}

int top_column_of_key(int key)
{
	for (size_t i = 0; i < N_FIXED; i++)
		if (fixed[i].key == key)
			return fixed[i].column;
	return -1;
}
