// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Observing: which processes, taking the kernel's records in order, and what to do when some were
 * lost. See observe.h; the interface is in ebpf_ckpt.h.
 */
#include "observe.h"
#include "observe_stack.h"
#include "observe_targets.h"
#include "observe_view.h"
#include "pids.h"
#include "util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

/* Records taken by one call of ckpt_observe_next(). */
#define TAKE_MAX 4096
/* After losses a snapshot mends the ledger, but not more often than this. */
#define RESYNC_NS 1000000000ULL

/* The kernel's id of the root of the unified hierarchy, in which every process is, mounted or not
 * (the first one that kernfs gives out). */
#define CGROUP_ROOT_ID 1

#define TYPE(t) (1ULL << TRACE_##t)
#define TYPES_DESCRIPTORS                                                                          \
	(TYPE(FORK) | TYPE(EXEC) | TYPE(EXIT) | TYPE(RENAME) | TYPE(APPEARED) | TYPE(FD_NEW) |     \
	 TYPE(FD_CLOSE) | TYPE(FD_FLAGS) | TYPE(TABLE) | TYPE(UNSHARE))
#define TYPES_AREAS (TYPE(MAP) | TYPE(UNMAP) | TYPE(PROTECT) | TYPE(REMAP) | TYPE(BRK) | TYPE(AREA))

static observe_fn *const translators[TRACE_TYPE_NR] = {
	[TRACE_FORK] = observe_fork,
	[TRACE_EXEC] = observe_exec,
	[TRACE_EXIT] = observe_exit,
	[TRACE_RENAME] = observe_rename,
	[TRACE_APPEARED] = observe_appeared,
	[TRACE_FD_NEW] = observe_fd_new,
	[TRACE_FD_CLOSE] = observe_fd_close,
	[TRACE_FD_FLAGS] = observe_fd_flags,
	[TRACE_TABLE] = observe_inventory_files,
	[TRACE_UNSHARE] = observe_unshare,
	[TRACE_SOCK_STATE] = observe_sock_state,
	[TRACE_SOCK_CALL] = observe_sock_call,
	[TRACE_MAP] = observe_map,
	[TRACE_UNMAP] = observe_unmap,
	[TRACE_PROTECT] = observe_protect,
	[TRACE_REMAP] = observe_remap,
	[TRACE_BRK] = observe_brk,
	[TRACE_AREA] = observe_area,
	[TRACE_TIMER_NEW] = observe_timer_new,
	[TRACE_TIMER_SET] = observe_timer_set,
	[TRACE_TIMER_DELETE] = observe_timer_delete,
	[TRACE_LOCK] = observe_lock,
	[TRACE_NAMESPACE] = observe_namespace,
	[TRACE_SIGNAL_GENERATE] = observe_signal_generate,
	[TRACE_SIGNAL_DELIVER] = observe_signal_deliver,
	[TRACE_SIGNAL_TAKE] = observe_signal_take,
	[TRACE_STACK] = observe_stack,
};

struct ledger_at observe_at(struct ckpt_observe *o, const struct trace_head *h)
{
	return (struct ledger_at){ .time_ns = h->time_ns,
				   .pid = h->pid,
				   .tid = h->tid,
				   .comm = h->comm,
				   .stack = observe_stack_of(o, h) };
}

/* ---- losses ---- */

static uint64_t *told_count(struct ckpt_observe *o, const char *cause)
{
	for (size_t i = 0; i < o->n_told; i++)
		if (!strcmp(o->told[i].cause, cause))
			return &o->told[i].count;
	/* There are fewer causes; the last row takes what would not fit. */
	if (o->n_told == OBSERVE_CAUSES_MAX)
		return &o->told[OBSERVE_CAUSES_MAX - 1].count;
	o->told[o->n_told].cause = cause;
	o->told[o->n_told].count = o->told[o->n_told].before = 0;
	return &o->told[o->n_told++].count;
}

void observe_tell_lost(struct ckpt_observe *o, uint64_t time_ns)
{
	const struct ledger_at at = { .time_ns = time_ns };
	const struct tracing_lost *lost;
	size_t n = tracing_lost(o->tracing, &lost);

	for (size_t i = 0; i < n; i++) {
		uint64_t *told = told_count(o, lost[i].cause), more = lost[i].count - *told;

		if (lost[i].count <= *told)
			continue;
		*told = lost[i].count;
		if (!lost[i].whole) {
			o->lost += more;
			o->resync = o->lost_since_audit = true;
		}

		struct event *e = event_begin(o, "lost", &at);

		event_word(e, "cause", lost[i].cause);
		event_uint(e, "count", more);
		event_end(o, e);
	}
}

/* ---- taking records ---- */

static int translate(struct ckpt_observe *o, const struct tracing_event *ev)
{
	const struct ledger_at at = observe_at(o, ev->head);
	observe_fn *fn = ev->head->type < TRACE_TYPE_NR ? translators[ev->head->type] : NULL;

	/* Their number may have been told before we came to their place in the stream. */
	if (ev->lost_before) {
		observe_tell_lost(o, at.time_ns);
		o->resync = o->lost_since_audit = true;
	}
	if (!fn)
		return 0;
	o->now = ev;

	int rc = fn(o, &at, ev);

	o->now = NULL;
	return rc;
}

int observe_take(struct ckpt_observe *o, size_t max, uint64_t until_ns, struct ckpt_err **err)
{
	int n = 0;

	while ((size_t)n < max && !o->stop) {
		struct tracing_event ev;
		int rc = tracing_next(o->tracing, &ev);

		if (rc == 0)
			break;
		if (rc < 0)
			return ckpt_fail_errno(err, rc, CKPT_E_BPF, "read the events");
		n++;
		o->last_ns = ev.head->time_ns;
		rc = translate(o, &ev);
		if (rc == -ENOMEM)
			return ckpt_fail_nomem(err);
		if (rc < 0)
			return ckpt_fail_errno(err, rc, CKPT_E_BPF, "follow event %d",
					       ev.head->type);
		if (until_ns && o->last_ns > until_ns)
			break;
	}
	return n;
}

int observe_greet(struct ckpt_observe *o)
{
	const struct ledger_at at = { .time_ns = o->start_ns };
	const struct tracing_missing *missing;
	size_t n_missing = tracing_missing(o->tracing, &missing);
	struct event *e = event_begin(o, "start", &at);
	struct utsname u = { 0 };
	struct timespec wall;

	if (o->greeted)
		return 0;
	o->greeted = true;
	uname(&u);
	clock_gettime(CLOCK_REALTIME, &wall);
	event_word(e, "version", EBPF_CKPT_VERSION);
	event_text(e, "host", u.nodename);
	event_text(e, "kernel", u.release);
	event_uint(e, "wall_time_ns",
		   (uint64_t)wall.tv_sec * 1000000000ULL + (uint64_t)wall.tv_nsec -
			   (now_ns() - o->start_ns));
	event_uint(e, "mono_ns", o->start_ns);
	size_t n = o->n_targets < 16 ? o->n_targets : 16;
	struct ckpt_member *m = event_below(e, n);

	for (size_t i = 0; i < n; i++)
		m[i] = (struct ckpt_member){ .type = CKPT_VALUE_INT, .i = o->targets[i] };
	event_array(e, "targets", m, n);
	event_uint(e, "ring_bytes", tracing_ring_bytes(o->tracing));
	n = n_missing < 16 ? n_missing : 16;
	m = event_below(e, n);
	for (size_t i = 0; m && i < n; i++)
		m[i] = (struct ckpt_member){ .type = CKPT_VALUE_TEXT,
					     .text = missing[i].tracepoint };
	event_array(e, "missing", m, m ? n : 0);
	m = event_below(e, n);
	for (size_t i = 0; m && i < n; i++)
		m[i] = (struct ckpt_member){ .type = CKPT_VALUE_TEXT, .text = missing[i].what };
	event_array(e, "unseen", m, m ? n : 0);
	event_end(o, e);
	for (const struct ledger_process *p = o->ledger.first; p; p = p->next)
		observe_tell_process(o, &at, p);
	return o->stop;
}

/* Make the ledger right again, and keep what was wrong for the next audit. */
static int resync(struct ckpt_observe *o, struct ckpt_err **err)
{
	struct observe_compared c = { 0 }, mended = { 0 };
	uint64_t begin = now_ns();
	int rc;

	o->resync = false;
	/* What is wrong is found by looking twice; then it is mended. */
	rc = o->lost_since_audit ? observe_compare(o, NULL, 0, false, &c, err) : 0;
	if (rc == 0)
		rc = observe_compare(o, NULL, 0, true, &mended, err);
	observe_differences_done(&mended.differences);
	/* A snapshot of many processes takes a while: let us do other things, too. */
	o->resync_ns = now_ns();
	o->resync_cost_ns = o->resync_ns - begin;
	for (size_t i = 0; i < c.differences.n && o->lost_since_audit; i++) {
		const struct observe_difference *d = &c.differences.row[i];

		observe_differences_add(&o->found, d->pid, d->what, d->ledger, d->kernel,
					"events were lost");
	}
	if (o->lost_since_audit)
		o->found.total += c.differences.total - c.differences.n;
	observe_differences_done(&c.differences);
	const struct ledger_at at = { .time_ns = o->last_ns };

	for (struct ledger_process *p = o->ledger.first; p; p = p->next)
		if (p->appeared) {
			p->appeared = false;
			observe_tell_process(o, &at, p);
		}
	return rc;
}

static bool is_time_to_resync(const struct ckpt_observe *o)
{
	uint64_t rest = o->resync_cost_ns * 10 > RESYNC_NS ? o->resync_cost_ns * 10 : RESYNC_NS;

	return o->resync && (!o->resync_ns || now_ns() - o->resync_ns > rest);
}

int ckpt_observe_next(struct ckpt_observe *o, ckpt_event_fn *fn, void *userdata,
		      struct ckpt_err **err)
{
	int n, rc = 0;

	o->fn = fn;
	o->userdata = userdata;
	o->stop = 0;
	observe_greet(o);
	n = observe_take(o, TAKE_MAX, 0, err);
	if (n >= 0 && !o->stop && is_time_to_resync(o))
		rc = resync(o, err);
	o->fn = NULL;
	if (n < 0 || rc < 0)
		return n < 0 ? n : rc;
	return o->stop ? o->stop : n;
}

int ckpt_observe_fd(const struct ckpt_observe *o)
{
	return tracing_fd(o->tracing);
}

size_t ckpt_observe_living(const struct ckpt_observe *o)
{
	return o->ledger.processes.n;
}

/* ---- beginning and end ---- */

static int open_tracing(struct ckpt_observe *o, const struct ckpt_observe_opts *opts,
			struct ckpt_err **err)
{
	const struct tracing_options options = { .ring_bytes = opts->ring_bytes,
						 .types = o->types,
						 .stacks = opts->stacks,
						 .names = (const char *const *)&o->name,
						 .n_names = o->name != NULL,
						 .cgroups = &o->cgroup_id,
						 .n_cgroups = o->cgroup_id != 0 };
	struct loader_why why = { 0 };
	int rc = session_loader(o->session, &o->loader, err);

	if (rc < 0)
		return rc;
	rc = tracing_open(&options, &o->tracing, &why);
	if (rc < 0)
		return ckpt_fail_loader(err, rc, &why);
	/* What is told in part cannot be compared with what there is. */
	const struct tracing_missing *missing;
	size_t n = tracing_missing(o->tracing, &missing);

	for (size_t i = 0; i < n; i++)
		if (missing[i].types != ~0ULL)
			o->types &= ~missing[i].types;
	return 0;
}

/* The ledger begins with what a snapshot tells, tracing being on since before. */
static int fill(struct ckpt_observe *o, struct ckpt_err **err)
{
	struct observe_compared c = { 0 };
	pid_t *pids = NULL;
	size_t n = 0;
	int rc = observe_targets_add(o, &pids, &n, err);

	o->ledger.calls.silent = true;
	if (rc == 0 && n)
		rc = observe_compare(o, pids, n, true, &c, err);
	o->ledger.calls.silent = false;
	observe_differences_done(&c.differences);
	free(pids);
	for (struct ledger_process *p = o->ledger.first; p; p = p->next)
		p->appeared = false;
	/* What was lost until now is the snapshot's affair; unless it was lost behind that. */
	o->resync = o->lost_since_audit;
	o->lost_since_audit = false;
	o->lost = 0;
	for (size_t i = 0; i < o->n_told; i++)
		o->told[i].before = o->told[i].count;
	o->n_events = 0;
	o->start_ns = o->audit_ns = now_ns();
	return rc;
}

static int copy_options(struct ckpt_observe *o, const struct ckpt_observe_opts *opts,
			struct ckpt_err **err)
{
	o->name = opts->name ? strdup(opts->name) : NULL;
	o->all = opts->all;
	o->types = opts->descriptors_only ? TYPES_DESCRIPTORS : ~0ULL;
	/* Addresses in stacks are found in areas of code. */
	if (opts->stacks)
		o->types |= TYPES_AREAS;
	if (opts->all)
		o->cgroup_id = CGROUP_ROOT_ID;
	if (opts->stacks && !(o->stacks = observe_stacks_new()))
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < opts->n_pids; i++)
		if (pids_add(&o->targets, &o->n_targets, opts->pids[i]) < 0)
			return ckpt_fail_nomem(err);
	if (opts->name && !o->name)
		return ckpt_fail_nomem(err);
	return opts->cgroup && !opts->all ? observe_targets_cgroup(o, opts->cgroup, err) : 0;
}

int ckpt_observe_open(struct ckpt_session *s, const struct ckpt_observe_opts *opts,
		      struct ckpt_observe **ret, struct ckpt_err **err)
{
	struct ckpt_observe *o = calloc(1, sizeof(*o));
	int rc;

	if (!o)
		return ckpt_fail_nomem(err);
	o->session = s;
	ledger_init(&o->ledger);
	o->ledger.calls.made = observe_made;
	o->ledger.calls.closed = observe_closed;
	o->ledger.calls.userdata = o;
	rc = copy_options(o, opts, err);
	if (rc == 0)
		rc = open_tracing(o, opts, err);
	if (rc == 0)
		rc = fill(o, err);
	if (rc < 0) {
		ckpt_observe_close(o);
		return rc;
	}
	*ret = o;
	return 0;
}

void ckpt_observe_close(struct ckpt_observe *o)
{
	if (!o)
		return;
	observe_offer_free(o->offer);
	tracing_close(o->tracing);
	ledger_done(&o->ledger);
	observe_differences_done(&o->found);
	observe_view_free(o->view);
	observe_left_free(o->left);
	observe_stacks_free(o->stacks);
	free(o->inventory.entry);
	free(o->targets);
	free(o->cgroup);
	free(o->name);
	free(o);
}
