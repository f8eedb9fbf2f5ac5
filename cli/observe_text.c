// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Events as lines for people:
 *
 *     0.001324    4711 python3          fd_new     5 regular /etc/passwd  by=openat object=12
 *
 * Time since the start, process (and thread), name, event; then what the event is mostly about,
 * without names, and all else with them.
 */
#include "observe.h"
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define LEAD_MAX 4

#define GREEN  "\033[32m"
#define RED    "\033[1;31m"
#define YELLOW "\033[33m"
#define BLUE   "\033[34m"
#define DIM    "\033[2m"
#define PLAIN  "\033[0m"

/* Members that are shown first, without their names; and the colour of the event. */
static const struct look {
	const char *event;
	const char *colour;
	const char *lead[LEAD_MAX];
} looks[] = {
	{ "process", BLUE, { "exe" } },
	{ "fork", BLUE, { "child" } },
	{ "thread", BLUE, { "child" } },
	{ "exec", BLUE, { "path" } },
	{ "rename", BLUE, { "to" } },
	{ "exit", BLUE, { "code", "signal" } },
	{ "thread_exit", BLUE, { NULL } },
	{ "fd_new", GREEN, { "fd", "kind", "path", "peer" } },
	{ "fd_close", DIM, { "fd", "kind", "path", "peer" } },
	{ "fd_flags", "", { "fd", "kind" } },
	{ "sock_state", "", { "from", "to" } },
	{ "bind", "", { "fd", "local" } },
	{ "listen", "", { "fd", "local" } },
	{ "connect", "", { "fd", "peer" } },
	{ "shutdown", "", { "fd", "how" } },
	{ "map", "", { "start", "end", "prot", "path" } },
	{ "unmap", DIM, { "start", "end" } },
	{ "protect", "", { "start", "end", "prot" } },
	{ "remap", "", { "start", "end" } },
	{ "brk", "", { "start", "end" } },
	{ "shmat", "", { "start", "end", "prot", "path" } },
	{ "shmdt", DIM, { "start", "end" } },
	{ "timer_new", "", { "id", "clock" } },
	{ "timer_set", "", { "id", "itimer", "fd" } },
	{ "timer_delete", DIM, { "id" } },
	{ "lock", "", { "path", "class", "type" } },
	{ "unlock", DIM, { "path", "class" } },
	{ "namespace", "", { "which" } },
	{ "signal_generate", YELLOW, { "signal" } },
	{ "signal_deliver", YELLOW, { "signal" } },
	{ "lost", RED, { "count", "cause" } },
};

struct text_output {
	struct observe_output output;
	struct observe_sink *sink; /* borrowed */
	bool colour, quiet;
	uint64_t start_ns;
};

static const struct look *look_of(const char *event)
{
	static const struct look other = { "", "", { NULL } };

	for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++)
		if (!strcmp(looks[i].event, event))
			return &looks[i];
	return &other;
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && !strcmp(text + n - m, end);
}

/* Text from outside; a line each where there are several (stacks). */
static void put_safe(struct observe_sink *s, const char *text)
{
	_cleanup_free_ char *safe = cli_escape(text, false);

	sink_text(s, safe);
}

static void put_stack(struct observe_sink *s, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n");
		_cleanup_free_ char *line = cli_format("%.*s", (int)n, text);

		sink_printf(s, "\n%*s", 44, "");
		put_safe(s, line);
		text += n + (text[n] == '\n');
	}
}

static void put_value(struct observe_sink *s, const struct ckpt_member *m)
{
	char number[CLI_NUMBER_MAX];

	switch (m->type) {
	case CKPT_VALUE_TEXT:
		put_safe(s, m->text);
		break;
	case CKPT_VALUE_INT:
		sink_printf(s, "%" PRId64, m->i);
		break;
	case CKPT_VALUE_UINT:
		if (m->name && ends_with(m->name, "_ns"))
			sink_text(s, cli_nanoseconds(m->u, number));
		else
			sink_printf(s, "%" PRIu64, m->u);
		break;
	case CKPT_VALUE_HEX:
		sink_printf(s, "0x%" PRIx64, m->u);
		break;
	case CKPT_VALUE_BOOL:
		sink_text(s, m->u ? "yes" : "no");
		break;
	case CKPT_VALUE_ARRAY:
	case CKPT_VALUE_OBJECT:
		for (size_t i = 0; i < m->n; i++) {
			if (i)
				sink_text(s, m->type == CKPT_VALUE_ARRAY ? " " : ", ");
			put_value(s, &m->member[i]);
			if (m->type == CKPT_VALUE_OBJECT)
				sink_printf(s, " %s", m->member[i].name);
		}
		break;
	}
}

static bool is_lead(const struct look *l, const char *name)
{
	for (size_t i = 0; i < LEAD_MAX && l->lead[i]; i++)
		if (!strcmp(l->lead[i], name))
			return true;
	return false;
}

/* name=value; of what is true or false, the name when it is true; of nothing, nothing. */
static void put_named(struct observe_sink *s, const struct ckpt_member *m)
{
	if (m->type == CKPT_VALUE_BOOL && !m->u)
		return;
	if ((m->type == CKPT_VALUE_ARRAY || m->type == CKPT_VALUE_OBJECT) && !m->n)
		return;
	if (!strcmp(m->name, "stack")) {
		put_stack(s, m->text);
		return;
	}
	sink_printf(s, "  %s", ends_with(m->name, "_ns") ? "" : m->name);
	if (m->type == CKPT_VALUE_BOOL)
		return;
	if (ends_with(m->name, "_ns"))
		sink_put(s, m->name, strlen(m->name) - 3);
	sink_text(s, "=");
	put_value(s, m);
}

static void put_details(struct observe_sink *s, const struct look *l, const struct ckpt_event *e)
{
	bool any = false;

	for (size_t i = 0; i < LEAD_MAX && l->lead[i]; i++) {
		const struct ckpt_member *m = ckpt_event_member(e, l->lead[i]);

		if (!m)
			continue;
		sink_text(s, any ? " " : "");
		put_value(s, m);
		any = true;
	}
	for (size_t i = 0; i < e->n; i++)
		if (!is_lead(l, e->member[i].name))
			put_named(s, &e->member[i]);
}

static void put_who(struct text_output *t, const struct ckpt_event *e)
{
	_cleanup_free_ char *comm = cli_escape(e->comm, false);
	char who[32];

	if (!e->pid)
		snprintf(who, sizeof(who), "-");
	else if (e->tid == e->pid)
		snprintf(who, sizeof(who), "%d", e->pid);
	else
		snprintf(who, sizeof(who), "%d/%d", e->pid, e->tid);
	sink_printf(t->sink, "%7s %-15s ", who, comm);
}

/* The audit, and the beginning, are sentences. */
static void put_start(struct text_output *t, const struct ckpt_event *e)
{
	const struct ckpt_member *missing = ckpt_event_member(e, "unseen");

	t->start_ns = e->time_ns;
	for (size_t i = 0; missing && i < missing->n && !t->quiet; i++) {
		_cleanup_free_ char *what = cli_escape(missing->member[i].text, false);

		sink_printf(t->sink, "note: this kernel does not tell of %s\n", what);
	}
}

static void put_difference(struct text_output *t, const struct ckpt_member *d)
{
	const char *text[4] = { "", "", "", "" };
	static const char *const names[] = { "what", "ledger", "kernel", "because" };
	int64_t pid = 0;

	for (size_t i = 0; i < d->n; i++) {
		for (size_t k = 0; k < 4; k++)
			if (!strcmp(d->member[i].name, names[k]))
				text[k] = d->member[i].text;
		if (!strcmp(d->member[i].name, "pid"))
			pid = d->member[i].i;
	}
	sink_printf(t->sink, "  %" PRId64 ", ", pid);
	put_safe(t->sink, text[0]);
	sink_text(t->sink, ": the ledger has ");
	put_safe(t->sink, text[1]);
	sink_text(t->sink, ", the kernel ");
	put_safe(t->sink, text[2]);
	if (text[3][0])
		sink_printf(t->sink, " (%s)", text[3]);
	sink_text(t->sink, "\n");
}

static uint64_t number_of(const struct ckpt_event *e, const char *name)
{
	const struct ckpt_member *m = ckpt_event_member(e, name);

	return m ? m->u : 0;
}

static void put_audit(struct text_output *t, const struct ckpt_event *e)
{
	const struct ckpt_member *checked = ckpt_event_member(e, "checked");
	const struct ckpt_member *rows = ckpt_event_member(e, "differences");
	const struct ckpt_member *lost = ckpt_event_member(e, "lost");
	uint64_t n = number_of(e, "n_differences"), moving = number_of(e, "moving");
	bool balanced = number_of(e, "balanced");
	struct observe_sink *s = t->sink;

	sink_printf(s, "%saudit: %s%s: ", t->colour ? balanced ? GREEN : RED : "",
		    balanced ? "the books balance" : "the books do not balance",
		    t->colour ? PLAIN : "");
	if (checked)
		put_value(s, checked);
	sink_printf(s, "; %" PRIu64 " events", number_of(e, "events"));
	if (moving)
		sink_printf(s, "; %" PRIu64 " moved too fast to be compared", moving);
	for (size_t i = 0; lost && i < lost->n; i++)
		sink_printf(s, "; lost: %" PRIu64 " (%s)", lost->member[i].u, lost->member[i].name);
	sink_text(s, lost && lost->n ? "\n" : "; none lost\n");
	for (size_t i = 0; rows && i < rows->n; i++)
		put_difference(t, &rows->member[i]);
	if (rows && n > rows->n)
		sink_printf(s, "  and %" PRIu64 " more differences\n", n - rows->n);
}

static int on_start(struct observe_output *self, const struct observe_about *about)
{
	struct text_output *t = (struct text_output *)self;

	t->quiet = about->quiet;
	return 0;
}

static int on_event(struct observe_output *self, const struct observe_line *line)
{
	struct text_output *t = (struct text_output *)self;
	const struct ckpt_event *e = line->event;
	const struct look *l = look_of(e->name);

	if (!strcmp(e->name, "start")) {
		put_start(t, e);
		return 0;
	}
	if (!strcmp(e->name, "audit")) {
		put_audit(t, e);
		return 0;
	}
	sink_printf(t->sink, "%12.6f ",
		    e->time_ns > t->start_ns ? (double)(e->time_ns - t->start_ns) / 1e9 : 0.0);
	put_who(t, e);
	sink_printf(t->sink, "%s%-15s%s ", t->colour ? l->colour : "", e->name,
		    t->colour ? PLAIN : "");
	put_details(t->sink, l, e);
	sink_text(t->sink, "\n");
	return 0;
}

static void on_free(struct observe_output *self)
{
	free(self);
}

struct observe_output *observe_text_new(struct observe_sink *sink, bool brief)
{
	struct text_output *t = cli_alloc(sizeof(*t));

	t->output = (struct observe_output){
		.brief = brief, .fd = -1, .start = on_start, .event = on_event, .free = on_free
	};
	t->sink = sink;
	t->colour = cli_colour(sink->fd);
	return &t->output;
}
