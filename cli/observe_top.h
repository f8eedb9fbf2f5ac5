/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The live table of observe: observe_top_rows.c has its rows and columns, observe_top.c paints it.
 */
#ifndef CLI_OBSERVE_TOP_H
#define CLI_OBSERVE_TOP_H

#include "observe.h"

#define KINDS_MAX   24
#define COLUMNS_MAX (KINDS_MAX + 12)
#define FILTER_MAX  64
#define NAME_MIN    8

/* What a row had at the last sample: for what it makes in a second. */
struct before {
	pid_t pid;
	uint64_t start_ns, made, closed, signals;
	double made_rate, closed_rate, signal_rate;
};

struct row {
	const struct ckpt_observed_process *p; /* borrowed, good for one view */
	uint64_t fds, kind[KINDS_MAX], areas, timers, locks;
	double made, closed, signals; /* in a second */
};

/* Columns that are always the same; those of kinds follow from COL_KIND on. */
enum column {
	COL_PID,
	COL_NAME,
	COL_THREADS,
	COL_FDS,
	COL_MADE,
	COL_CLOSED,
	COL_SIGNALS,
	COL_AREAS,
	COL_BYTES,
	COL_TIMERS,
	COL_LOCKS,
	COL_KIND,
};

struct top {
	struct observe_output out; /* first: the vtable's self */
	char *title;		   /* owned */
	struct screen *screen;	   /* of ncurses */
	struct before *before;	   /* owned; sorted by pid */
	size_t n_before;
	struct row *row; /* owned; those of the last sample */
	size_t n_rows, n_living, n_ended;
	char *kind[KINDS_MAX];	   /* owned: names of the columns of kinds */
	uint64_t total[KINDS_MAX]; /* open, of each kind */
	size_t n_kinds;
	int column[COLUMNS_MAX]; /* that are shown; COL_KIND + n: of kind n */
	size_t n_columns;
	int sort, name_width;
	bool reverse, filtering, help, paused, colour;
	char filter[FILTER_MAX];
	size_t scroll;
	uint64_t sampled_us, events;
	double event_rate;
	int audit; /* -1: there was none yet; 0: differs; 1: balanced */
	uint64_t audit_us;
	int lines, columns; /* of the terminal, when last looked at */
};

/* Read the ledger, `seconds` after it was read last; 0: for the first time. */
void top_sample(struct top *t, const struct ckpt_observed *v, double seconds);
/*
 * The rows of the ledger. A key is answered at once (now: NULL): rates are those of the last sample
 * then.
 */
void top_take_rows(struct top *t, const struct ckpt_observed *v, struct before *now,
		   double seconds);
void top_sort_rows(struct top *t);
bool top_passes(const struct top *t, const struct row *r); /* the filter */
/* As many columns as there is room for. */
void top_choose_columns(struct top *t);
const char *top_column_title(const struct top *t, int column);
int top_column_width(const struct top *t, int column);
/* The column that a key sorts by, or -1. */
int top_column_of_key(int key);
void top_format_cell(char *buf, size_t size, const struct row *r, int column, int digits);
/* Ends the program, with the terminal as it was. */
_Noreturn void top_no_memory(void);

#endif
