// SPDX-License-Identifier: LGPL-2.1-or-later
/* What is said at the end: per process and kind, signals, and what was left open. */
#include "observe.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Rows of a table for people; JSON has all of them. */
#define ROWS_SHOWN 40
/* With more, those that ended are told together, by name. */
#define PROCESSES_SINGLE 8
#define LEFT_SHOWN	 20

/* ---- for people ---- */

static void put_name(struct observe_sink *s, const char *text, int width)
{
	_cleanup_free_ char *safe = cli_escape(text, false);

	sink_printf(s, "%-*s", width, safe);
}

/* Processes as one row: those that ended and have the same name, when there are many. */
struct row {
	const struct ckpt_observed_process *first;
	uint64_t n, events;
	struct ckpt_observed_kind *kind; /* owned */
	size_t n_kinds;
};

static void add_kinds(struct row *row, const struct ckpt_observed_process *p)
{
	for (size_t i = 0; i < p->n_kinds; i++) {
		const struct ckpt_observed_kind *from = &p->kind[i];
		size_t k = 0;

		while (k < row->n_kinds && strcmp(row->kind[k].name, from->name) != 0)
			k++;
		if (k == row->n_kinds) {
			row->kind = cli_realloc(row->kind, (k + 1) * sizeof(*row->kind));
			row->kind[row->n_kinds++] =
				(struct ckpt_observed_kind){ .name = from->name };
		}
		struct ckpt_observed_kind *to = &row->kind[k];

		to->inherited += from->inherited;
		to->made += from->made;
		to->closed += from->closed;
		to->open += from->open;
		if (from->peak > to->peak)
			to->peak = from->peak;
	}
}

static size_t make_rows(const struct ckpt_observed *v, struct row *row)
{
	bool fold = v->n_processes > PROCESSES_SINGLE;
	size_t n = 0;

	for (size_t i = 0; i < v->n_processes; i++) {
		const struct ckpt_observed_process *p = &v->process[i];
		size_t k = fold && p->ended ? 0 : n;

		while (k < n && !(row[k].first->ended && !strcmp(row[k].first->comm, p->comm)))
			k++;
		if (k == n)
			row[n++] = (struct row){ .first = p };
		row[k].n += p->n_folded ? p->n_folded : 1;
		row[k].events += p->events;
		add_kinds(&row[k], p);
	}
	return n;
}

static void put_row_head(struct observe_sink *s, const struct row *row)
{
	const struct ckpt_observed_process *p = row->first;
	char number[CLI_NUMBER_MAX];
	_cleanup_free_ char *comm = cli_escape(p->comm, false);

	if (row->n > 1 || p->n_folded)
		sink_printf(s, "%s: %" PRIu64 " that ended", *comm ? comm : "others", row->n);
	else
		sink_printf(s, "%d %s", p->pid, comm);
	if (p->ended && row->n == 1 && p->exit_signal)
		sink_printf(s, ", killed by signal %d", p->exit_signal);
	else if (p->ended && row->n == 1)
		sink_printf(s, ", exit status %d", p->exit_code);
	if (p->start_ns && p->end_ns && row->n == 1)
		sink_printf(s, " after %s", cli_nanoseconds(p->end_ns - p->start_ns, number));
	sink_printf(s, ", %" PRIu64 " events\n", row->events);
}

static void put_row(struct observe_sink *s, const struct row *row)
{
	put_row_head(s, row);
	if (row->n_kinds)
		sink_printf(s, "  %-12s %9s %9s %9s %9s %9s\n", "kind", "at first", "made",
			    "closed", "open", "most");
	for (size_t k = 0; k < row->n_kinds; k++) {
		const struct ckpt_observed_kind *c = &row->kind[k];

		sink_printf(s,
			    "  %-12s %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64
			    "\n",
			    c->name, c->inherited, c->made, c->closed, c->open, c->peak);
	}
}

static void put_processes(struct observe_sink *s, const struct ckpt_observed *v)
{
	_cleanup_free_ struct row *row = cli_alloc((v->n_processes + 1) * sizeof(*row));
	size_t n = make_rows(v, row);

	for (size_t i = 0; i < n; i++) {
		if (i < ROWS_SHOWN)
			put_row(s, &row[i]);
		free(row[i].kind);
	}
	if (n > ROWS_SHOWN)
		sink_printf(s, "and %zu more\n", n - ROWS_SHOWN);
}

static void put_signals(struct observe_sink *s, const struct ckpt_observed *v)
{
	char median[CLI_NUMBER_MAX], p99[CLI_NUMBER_MAX], max[CLI_NUMBER_MAX];

	if (!v->n_signals)
		return;
	sink_printf(s, "\n%-12s %8s %9s %8s %8s %8s %8s %10s %10s %10s\n", "signal", "sent",
		    "delivered", "ignored", "merged", "lost", "blocked", "median", "99 %", "most");
	for (size_t i = 0; i < v->n_signals; i++) {
		const struct ckpt_observed_signal *g = &v->signal[i];
		bool timed = g->timed;

		sink_printf(s,
			    "%-12s %8" PRIu64 " %9" PRIu64 " %8" PRIu64 " %8" PRIu64 " %8" PRIu64
			    " %8" PRIu64 " %10s %10s %10s\n",
			    g->name, g->generated, g->delivered, g->ignored, g->pending, g->lost,
			    g->blocked, timed ? cli_nanoseconds(g->median_ns, median) : "-",
			    timed ? cli_nanoseconds(g->p99_ns, p99) : "-",
			    timed ? cli_nanoseconds(g->max_ns, max) : "-");
	}
}

static void put_stack(struct observe_sink *s, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n");
		_cleanup_free_ char *line = cli_format("%.*s", (int)n, text);

		sink_text(s, "           ");
		put_name(s, line, 0);
		sink_text(s, "\n");
		text += n + (text[n] == '\n');
	}
}

static void put_left(struct observe_sink *s, const struct ckpt_observed *v, bool at_exit)
{
	char age[CLI_NUMBER_MAX];
	size_t shown = 0, n = 0;

	for (size_t i = 0; i < v->n_leaks; i++)
		n += v->leak[i].at_exit == at_exit;
	if (n)
		sink_printf(s, "\n%s\n",
			    at_exit ? "made meanwhile, and open when its process ended:"
				    : "made meanwhile, and open still:");
	for (size_t i = 0; i < v->n_leaks && shown < LEFT_SHOWN; i++) {
		const struct ckpt_observed_leak *l = &v->leak[i];

		if (l->at_exit != at_exit)
			continue;
		shown++;
		sink_printf(s, "%8" PRIu64 "  %s by %s in ", l->n, l->kind, l->by);
		put_name(s, l->comm, 0);
		if (l->pid)
			sink_printf(s, " (%d)", l->pid);
		if (!at_exit && v->now_ns > l->oldest_ns)
			sink_printf(s, ", the oldest %s ago",
				    cli_nanoseconds(v->now_ns - l->oldest_ns, age));
		if (*l->example) {
			sink_text(s, l->n > 1 ? ", such as " : ", ");
			put_name(s, l->example, 0);
		}
		sink_text(s, "\n");
		put_stack(s, l->stack);
	}
	if (n > shown)
		sink_printf(s, "%8s  and from %zu more places\n", "", n - shown);
}

static void put_text(struct observe_sink *s, const struct ckpt_observed *v)
{
	sink_text(s, "\n");
	put_processes(s, v);
	put_signals(s, v);
	put_left(s, v, false);
	put_left(s, v, true);
}

/* ---- for programs ---- */

static void json_text(struct observe_sink *s, const char *name, const char *text)
{
	sink_printf(s, "\"%s\": ", name);
	observe_json_string(s, text);
}

static void json_kinds(struct observe_sink *s, const struct ckpt_observed_process *p)
{
	sink_text(s, ", \"kinds\": {");
	for (size_t k = 0; k < p->n_kinds; k++) {
		const struct ckpt_observed_kind *c = &p->kind[k];

		sink_printf(
			s,
			"%s\"%s\": {\"inherited\": %" PRIu64 ", \"made\": %" PRIu64
			", \"closed\": %" PRIu64 ", \"open\": %" PRIu64 ", \"peak\": %" PRIu64 "}",
			k ? ", " : "", c->name, c->inherited, c->made, c->closed, c->open, c->peak);
	}
	sink_text(s, "}");
}

static void json_processes(struct observe_sink *s, const struct ckpt_observed *v)
{
	sink_text(s, ", \"processes\": [");
	for (size_t i = 0; i < v->n_processes; i++) {
		const struct ckpt_observed_process *p = &v->process[i];

		sink_printf(s, "%s{\"pid\": %d, ", i ? ", " : "", p->pid);
		json_text(s, "comm", p->comm);
		sink_printf(s, ", \"ended\": %s", p->ended ? "true" : "false");
		if (p->n_folded)
			sink_printf(s, ", \"folded\": %" PRIu64, p->n_folded);
		else if (p->ended)
			sink_printf(s, ", \"%s\": %d", p->exit_signal ? "signal" : "code",
				    p->exit_signal ? p->exit_signal : p->exit_code);
		sink_printf(s,
			    ", \"threads\": %u, \"events\": %" PRIu64 ", \"area_bytes\": %" PRIu64
			    ", \"signals\": %" PRIu64,
			    p->threads, p->events, p->area_bytes, p->signals);
		json_kinds(s, p);
		sink_text(s, "}");
	}
	sink_text(s, "]");
}

static void json_signals(struct observe_sink *s, const struct ckpt_observed *v)
{
	sink_text(s, ", \"signals\": [");
	for (size_t i = 0; i < v->n_signals; i++) {
		const struct ckpt_observed_signal *g = &v->signal[i];

		sink_printf(
			s,
			"%s{\"signal\": \"%s\", \"generated\": %" PRIu64 ", \"delivered\": %" PRIu64
			", \"ignored\": %" PRIu64 ", \"already_pending\": %" PRIu64
			", \"lost\": %" PRIu64 ", \"blocked\": %" PRIu64 ", \"timed\": %" PRIu64
			", \"median_ns\": %" PRIu64 ", \"p99_ns\": %" PRIu64
			", \"max_ns\": %" PRIu64 "}",
			i ? ", " : "", g->name, g->generated, g->delivered, g->ignored, g->pending,
			g->lost, g->blocked, g->timed, g->median_ns, g->p99_ns, g->max_ns);
	}
	sink_text(s, "]");
}

static void json_left(struct observe_sink *s, const struct ckpt_observed *v)
{
	sink_text(s, ", \"left_open\": [");
	for (size_t i = 0; i < v->n_leaks; i++) {
		const struct ckpt_observed_leak *l = &v->leak[i];

		sink_printf(s, "%s{\"pid\": %d, ", i ? ", " : "", l->pid);
		json_text(s, "comm", l->comm);
		sink_printf(s,
			    ", \"kind\": \"%s\", \"by\": \"%s\", \"at_exit\": %s, \"n\": %" PRIu64
			    ", \"oldest_ns\": %" PRIu64 ", ",
			    l->kind, l->by, l->at_exit ? "true" : "false", l->n, l->oldest_ns);
		json_text(s, "example", l->example);
		sink_text(s, ", ");
		json_text(s, "stack", l->stack);
		sink_text(s, "}");
	}
	sink_text(s, "]");
}

static void put_json(struct observe_sink *s, const struct ckpt_observed *v)
{
	sink_printf(s,
		    "{\"time_ns\": %" PRIu64 ", \"event\": \"summary\", \"pid\": 0, \"tid\": 0, "
		    "\"comm\": \"\", \"events\": %" PRIu64 ", \"lost\": %" PRIu64
		    ", \"duration_ns\": %" PRIu64,
		    v->now_ns, v->events, v->lost, v->now_ns - v->start_ns);
	json_processes(s, v);
	json_signals(s, v);
	json_left(s, v);
	sink_text(s, "}\n");
}

int observe_summary_put(struct observe_sink *s, struct ckpt_observe *o, bool json)
{
	_cleanup_err_ struct ckpt_err *err = NULL;
	const struct ckpt_observed *v;
	int rc = ckpt_observe_view(o, &v, &err);

	if (rc < 0) {
		cli_fail(NULL, "cannot sum up what was observed", rc, err);
		return rc;
	}
	if (json)
		put_json(s, v);
	else
		put_text(s, v);
	return 0;
}
