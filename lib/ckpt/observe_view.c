// SPDX-License-Identifier: LGPL-2.1-or-later
/* The ledger as ckpt_observe_view() shows it, and the stacks of what it shows. */
#include "observe_view.h"
#include "observe_stack.h"
#include "util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Groups of descriptors that were left to the end of their process. */
#define LEFT_MAX 1024

/* Of equal making. */
struct left {
	pid_t pid; /* of the process that lives; 0: of those that ended */
	char comm[LEDGER_COMM_LEN];
	const char *kind, *by; /* static */
	uint64_t stack;
	char *example; /* owned */
	uint64_t n, oldest_ns;
};

struct left_table {
	struct left *row; /* owned */
	size_t n, size;
	struct idmap index; /* hash to row + 1 */
};

struct observe_view {
	struct ckpt_observed v;
	struct ckpt_observed_process *process;
	struct ckpt_observed_kind *kind;
	struct ckpt_observed_signal *signal;
	struct ckpt_observed_leak *leak;
	struct left_table open; /* now */
};

static void left_done(struct left_table *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->row[i].example);
	free(t->row);
	idmap_done(&t->index);
	*t = (struct left_table){ 0 };
}

/* ---- what was left open ---- */

/* FNV-1a, over what makes a group. */
static uint64_t mix(uint64_t h, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3ULL;
	return h;
}

static uint64_t left_hash(pid_t pid, const char *comm, const struct ledger_fd *e)
{
	const char *kind = ledger_kind(e->object);
	uint64_t h = 0xcbf29ce484222325ULL;

	h = mix(h, &pid, sizeof(pid));
	h = mix(h, comm, strlen(comm));
	h = mix(h, kind, strlen(kind));
	h = mix(h, e->by, strlen(e->by));
	return mix(h, &e->stack, sizeof(e->stack));
}

static int left_add(struct left_table *t, pid_t pid, const char *comm, const struct ledger_fd *e,
		    size_t max)
{
	uint64_t h = left_hash(pid, comm, e);
	size_t at = (size_t)(uintptr_t)idmap_get(&t->index, h);

	if (!at) {
		if (t->n == max)
			return 0;
		if (t->n == t->size) {
			size_t size = t->size ? t->size * 2 : 16;
			struct left *grown = reallocarray(t->row, size, sizeof(*grown));

			if (!grown)
				return -ENOMEM;
			t->row = grown;
			t->size = size;
		}
		if (idmap_put(&t->index, h, (void *)(uintptr_t)(t->n + 1)) < 0)
			return -ENOMEM;
		struct left *l = &t->row[t->n++];

		*l = (struct left){ .pid = pid,
				    .kind = ledger_kind(e->object),
				    .by = e->by,
				    .stack = e->stack,
				    .example = strdup(e->object->name),
				    .oldest_ns = e->made_ns };
		strncpy(l->comm, comm, sizeof(l->comm) - 1);
		at = t->n;
	}
	struct left *l = &t->row[at - 1];

	l->n++;
	if (e->made_ns < l->oldest_ns)
		l->oldest_ns = e->made_ns;
	return 0;
}

static bool was_made(const struct ledger_fd *e)
{
	return e->object && e->made_ns && !e->inherited && e->by;
}

void observe_note_left(struct ckpt_observe *o, const struct ledger_closed *c)
{
	if (!was_made(c->was))
		return;
	if (!o->left)
		o->left = calloc(1, sizeof(*o->left));
	/* Without memory it is not shown, no more. */
	if (o->left)
		left_add(o->left, 0, c->at->comm ? c->at->comm : "", c->was, LEFT_MAX);
}

void observe_left_free(struct left_table *t)
{
	if (t)
		left_done(t);
	free(t);
}

/* ---- the view ---- */

void observe_view_free(struct observe_view *v)
{
	if (!v)
		return;
	free(v->process);
	free(v->kind);
	free(v->signal);
	free(v->leak);
	left_done(&v->open);
	free(v);
}

/*
 * Areas are split and merged, and all go when the program ends: what is there is counted when it is
 * asked for, and what is not there any more must have been closed.
 */
static void balance_areas(struct ckpt_observed_kind *k, const struct ledger_process *p)
{
	k->open = p->mm ? p->mm->areas.n : 0;
	if (k->open > k->inherited + k->made)
		k->inherited = k->open - k->made;
	k->closed = k->inherited + k->made - k->open;
	k->peak = k->peak > k->open ? k->peak : k->open;
}

static void show_kinds(struct observe_view *v, struct ckpt_observed_process *row,
		       const struct ledger_process *p, size_t *at)
{
	struct ckpt_observed_kind *first = &v->kind[*at];

	for (size_t i = 0; i < p->n_counts; i++) {
		const struct ledger_count *c = &p->count[i];
		struct ckpt_observed_kind k = { .name = c->kind,
						.inherited = c->inherited,
						.made = c->made,
						.closed = c->closed,
						.open = c->open,
						.peak = c->peak };

		if (!strcmp(c->kind, "area"))
			balance_areas(&k, p);
		v->kind[(*at)++] = k;
	}
	row->kind = first;
	row->n_kinds = p->n_counts;
}

static void show_process(struct observe_view *v, const struct ledger_process *p, size_t *at,
			 size_t *kinds_at)
{
	struct ckpt_observed_process *row = &v->process[(*at)++];

	*row = (struct ckpt_observed_process){ .pid = p->pid,
					       .ppid = p->ppid,
					       .comm = p->comm,
					       .known = p->known,
					       .ended = p->ended,
					       .start_ns = p->start_ns,
					       .end_ns = p->end_ns,
					       .exit_code = p->exit_code,
					       .exit_signal = p->exit_signal,
					       .threads = p->n_tasks,
					       .events = p->events,
					       .area_bytes = p->mm ? p->mm->areas.bytes : 0,
					       .signals = p->signals,
					       .n_folded = p->n_folded };
	show_kinds(v, row, p, kinds_at);
}

static int show_processes(struct observe_view *v, const struct ledger *l)
{
	size_t n = 0, n_kinds = 0, at = 0, kinds_at = 0;

	/* One that never mapped anything has areas, too. */
	for (struct ledger_process *p = l->first; p; p = p->next)
		if (p->mm && p->mm->areas.n)
			ledger_count(p, "area");
	for (const struct ledger_process *p = l->first; p; p = p->next)
		n++, n_kinds += p->n_counts;
	for (const struct ledger_process *p = l->ended_first; p; p = p->next)
		n++, n_kinds += p->n_counts;
	for (size_t i = 0; i < l->n_folded; i++)
		n++, n_kinds += l->folded[i]->n_counts;
	v->process = calloc(n + 1, sizeof(*v->process));
	v->kind = calloc(n_kinds + 1, sizeof(*v->kind));
	if (!v->process || !v->kind)
		return -ENOMEM;
	for (const struct ledger_process *p = l->first; p; p = p->next)
		show_process(v, p, &at, &kinds_at);
	for (const struct ledger_process *p = l->ended_first; p; p = p->next)
		show_process(v, p, &at, &kinds_at);
	for (size_t i = 0; i < l->n_folded; i++)
		show_process(v, l->folded[i], &at, &kinds_at);
	v->v.process = v->process;
	v->v.n_processes = n;
	return 0;
}

static int show_signals(struct observe_view *v, const struct ledger *l)
{
	size_t n = 0;

	v->signal = calloc(LEDGER_NSIG, sizeof(*v->signal));
	if (!v->signal)
		return -ENOMEM;
	for (int i = 1; i < LEDGER_NSIG; i++) {
		const struct ledger_signal *s = &l->signal[i];

		if (!s->generated && !s->delivered)
			continue;
		v->signal[n++] = (struct ckpt_observed_signal){
			.signo = i,
			.name = name_of_signal(i),
			.generated = s->generated,
			.delivered = s->delivered,
			.ignored = s->ignored,
			.pending = s->pending,
			.lost = s->lost,
			.blocked = s->blocked,
			.timed = s->timed,
			.median_ns = ledger_signal_quantile(s, 0.5),
			.p99_ns = ledger_signal_quantile(s, 0.99),
			.max_ns = s->max_ns,
		};
	}
	v->v.signal = v->signal;
	v->v.n_signals = n;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	const struct ckpt_observed_leak *x = a, *y = b;

	return x->n != y->n ? (x->n > y->n ? -1 : 1) : x->pid < y->pid ? -1 : x->pid > y->pid;
}

static void show_left(struct ckpt_observe *o, struct ckpt_observed_leak *leak,
		      const struct left_table *t, bool at_exit)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct left *l = &t->row[i];

		leak[i] = (struct ckpt_observed_leak){ .pid = l->pid,
						       .comm = l->comm,
						       .kind = l->kind,
						       .by = l->by,
						       .example = l->example ? l->example : "",
						       .stack = observe_stack_text(o, l->stack),
						       .n = l->n,
						       .at_exit = at_exit,
						       .oldest_ns = l->oldest_ns };
	}
}

static int show_leaks(struct observe_view *v, struct ckpt_observe *o)
{
	idmap_each(&o->ledger.tables, s)
	{
		const struct ledger_table *t = s->value;

		for (size_t fd = 0; t->owner && fd < t->size; fd++) {
			const struct ledger_fd *e = ledger_fd(t, (int)fd);

			if (e && was_made(e) &&
			    left_add(&v->open, t->owner->pid, t->owner->comm, e, SIZE_MAX) < 0)
				return -ENOMEM;
		}
	}
	size_t n_left = o->left ? o->left->n : 0;

	v->leak = calloc(v->open.n + n_left + 1, sizeof(*v->leak));
	if (!v->leak)
		return -ENOMEM;
	show_left(o, v->leak, &v->open, false);
	if (o->left)
		show_left(o, v->leak + v->open.n, o->left, true);
	qsort(v->leak, v->open.n + n_left, sizeof(*v->leak), by_number);
	v->v.leak = v->leak;
	v->v.n_leaks = v->open.n + n_left;
	return 0;
}

int ckpt_observe_view(struct ckpt_observe *o, const struct ckpt_observed **ret,
		      struct ckpt_err **err)
{
	struct observe_view *v = calloc(1, sizeof(*v));

	if (!v || show_processes(v, &o->ledger) < 0 || show_signals(v, &o->ledger) < 0 ||
	    show_leaks(v, o) < 0) {
		observe_view_free(v);
		return ckpt_fail_nomem(err);
	}
	v->v.events = o->n_events;
	v->v.lost = o->lost;
	v->v.start_ns = o->start_ns;
	v->v.now_ns = now_ns();
	observe_view_free(o->view);
	o->view = v;
	*ret = &v->v;
	return 0;
}
