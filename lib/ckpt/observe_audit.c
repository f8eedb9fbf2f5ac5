// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The audit: is the ledger what the kernel has?
 *
 * A snapshot takes a while, in which things change, and calls that are under way have done their
 * work and not reported it yet. So, in one pass, what was reported on since the snapshot began is
 * moving and says nothing, and what differs all the same is only suspected: a thread may have been
 * taken off its CPU between the deed and the report. It is a difference when further passes, longer
 * and longer after, find the very same. A pass that finds nothing is the last.
 */
#include "observe_audit.h"
#include "look.h"
#include "observe.h"
#include "util.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long after the pass before each one is made. */
static const unsigned int rest_ms[] = { 0, 0, 2, 10, 50, 150, 300, 500 };

#define PASSES_MAX    (sizeof(rest_ms) / sizeof(rest_ms[0]))
#define PASSES_MOVING 4 /* for what moves in each of them */
#define PASSES_LEAST  7 /* before something that was found is a difference */

/* Rows that are kept of differences; all are counted. */
#define ROWS_MAX 1000
/* Records of different CPUs may be out of order by this much. */
#define DISORDER_NS 1000000ULL
/* How long a record may be under way into the ring before we go on without it. */
#define STUCK_NS 1000000000ULL

/* ---- differences ---- */

int observe_differences_add(struct observe_differences *d, pid_t pid, const char *what,
			    const char *ledger, const char *kernel, const char *because)
{
	d->total++;
	if (d->n >= ROWS_MAX)
		return 0;
	/* In powers of two, so that not every row is a call of realloc(3). */
	if ((d->n & (d->n - 1)) == 0) {
		size_t size = d->n ? d->n * 2 : 1;
		struct observe_difference *grown = reallocarray(d->row, size, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		d->row = grown;
	}
	struct observe_difference *r = &d->row[d->n];

	*r = (struct observe_difference){ .pid = pid,
					  .what = strdup(what),
					  .ledger = strdup(ledger),
					  .kernel = strdup(kernel),
					  .because = because };
	if (!r->what || !r->ledger || !r->kernel) {
		free(r->what);
		free(r->ledger);
		free(r->kernel);
		return -ENOMEM;
	}
	d->n++;
	return 0;
}

void observe_differences_done(struct observe_differences *d)
{
	for (size_t i = 0; i < d->n; i++) {
		free(d->row[i].what);
		free(d->row[i].ledger);
		free(d->row[i].kernel);
	}
	free(d->row);
	*d = (struct observe_differences){ 0 };
}

static bool has_row(const struct observe_differences *d, const struct observe_difference *r)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->row[i].pid == r->pid && !strcmp(d->row[i].what, r->what) &&
		    !strcmp(d->row[i].ledger, r->ledger) && !strcmp(d->row[i].kernel, r->kernel))
			return true;
	return false;
}

int audit_suspect(struct audit_pass *a, pid_t pid, bool moving, const char *what,
		  const char *ledger, const char *kernel)
{
	/* Where something moves we have to look again, for whatever it is. */
	if (pids_have(a->again, a->n_again, pid) ? 0 : pids_add(&a->again, &a->n_again, pid))
		return -ENOMEM;
	if (moving) {
		a->moving++;
		return 0;
	}
	return observe_differences_add(&a->found, pid, what, ledger, kernel, NULL);
}

/* ---- processes and threads ---- */

static int mend_task(struct audit_pass *a, const struct rec_task *rt)
{
	struct ledger *l = &a->o->ledger;
	const struct ledger_at at = { .pid = rt->tgid, .tid = rt->tid, .comm = rt->comm };
	const struct rec_process *rp = snapshot_process(a->s, rt->tgid);
	bool new_process = !ledger_process(l, rt->tgid);
	struct ledger_task *t;
	int rc = ledger_add_task(l, &at, rt->tgid, rt->tid, rt->ppid, rt->comm, &t);

	if (rc < 0)
		return rc;
	if (new_process) {
		const struct snap_path *exe = snapshot_path(a->s, rt->tgid, REC_PATH_EXE);

		t->process->known = true;
		t->process->exe = exe && exe->path[0] ? strdup(exe->path) : NULL;
	}
	if (rp)
		t->process->cgroup = rp->cgroup_id;
	if (rt->tid == rt->tgid)
		ledger_rename(l, rt->tid, rt->comm);
	return 0;
}

/* Threads that run and are not in the ledger. */
static int compare_present(struct audit_pass *a, pid_t pid)
{
	struct ledger *l = &a->o->ledger;
	size_t first, n;
	char what[64];
	int rc = 0;

	snapshot_tasks_of(a->s, pid, &first, &n);
	for (size_t i = first; rc == 0 && i < first + n; i++) {
		const struct rec_task *rt = a->s->tasks[i];

		if (task_is_exiting(rt))
			continue;
		a->ret->threads += a->first;
		if (ledger_task(l, rt->tid))
			continue;
		snprintf(what, sizeof(what), rt->tid == pid ? "process %d" : "thread %d", rt->tid);
		rc = audit_suspect(a, pid, false, what, "none", "it runs");
		if (rc == 0 && a->mend)
			rc = mend_task(a, rt);
	}
	return rc;
}

/* Threads in the ledger that have ended. */
static int compare_absent(struct audit_pass *a, struct ledger_process *p)
{
	struct ledger *l = &a->o->ledger;
	char what[64];
	int rc = 0;

	for (struct ledger_task *t = p->tasks, *next; rc == 0 && t; t = next) {
		const struct rec_task *rt = snapshot_task(a->s, t->tid);
		bool moving = t->touched_ns >= a->begin_ns;

		next = t->next;
		if (rt && !task_is_exiting(rt) && rt->tgid == p->pid)
			continue;
		snprintf(what, sizeof(what), t->tid == p->pid ? "process %d" : "thread %d", t->tid);
		rc = audit_suspect(a, p->pid, moving, what, "it runs", "none");
		if (rc == 0 && a->mend && !moving) {
			const struct ledger_at at = { .time_ns = a->begin_ns,
						      .pid = p->pid,
						      .tid = t->tid };

			rc = ledger_task_exit(l, &at);
		}
	}
	return rc;
}

/* ---- all of one process ---- */

static int end_process(struct audit_pass *a, struct ledger_process *p)
{
	const struct ledger_at at = { .time_ns = a->begin_ns, .pid = p->pid, .tid = p->pid };

	return ledger_process_exit(&a->o->ledger, &at, 0);
}

static int compare_process(struct audit_pass *a, pid_t pid)
{
	struct ledger *l = &a->o->ledger;
	struct ledger_process *p = ledger_process(l, pid);
	int rc;

	/* One that has just come into sight has nothing in the ledger yet. */
	if (p && p->appeared && !a->mend)
		return 0;
	rc = compare_present(a, pid);
	p = ledger_process(l, pid);
	if (rc < 0 || !p)
		return rc;
	a->ret->processes += a->first;
	rc = compare_absent(a, p);
	if (rc == 0 && a->mend && !p->tasks && p->touched_ns < a->begin_ns)
		return end_process(a, p);
	if (rc == 0)
		rc = audit_files(a, p);
	if (rc == 0 && observe_follows(a->o, TRACE_MAP))
		rc = audit_areas(a, p);
	if (rc == 0 && observe_follows(a->o, TRACE_TIMER_NEW))
		rc = audit_timers(a, p);
	return rc;
}

/* ---- passes ---- */

/* Take what was reported until then. */
static int drain(struct ckpt_observe *o, uint64_t until_ns, struct ckpt_err **err)
{
	uint64_t stuck_ns = 0;

	until_ns += DISORDER_NS;
	while (!o->stop) {
		int n = observe_take(o, 1024, until_ns, err);

		if (n < 0)
			return n;
		if ((n && o->last_ns > until_ns) || (!n && !tracing_ring_used(o->tracing)))
			break;
		if (n) {
			stuck_ns = 0;
			continue;
		}
		/* A record is being written, and those behind it wait for it. */
		uint64_t now = now_ns();

		if (!stuck_ns)
			stuck_ns = now;
		if (now - stuck_ns > STUCK_NS)
			break;
		poll(NULL, 0, 1);
	}
	observe_tell_lost(o, o->last_ns);
	return 0;
}

static int list_all(const struct ckpt_observe *o, pid_t **ret, size_t *ret_n)
{
	size_t n = 0;

	*ret = calloc(o->ledger.processes.n + 1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	for (const struct ledger_process *p = o->ledger.first; p; p = p->next)
		(*ret)[n++] = p->pid;
	*ret_n = n;
	return 0;
}

/* Where the rows of each table begin. */
static int index_files(struct audit_pass *a)
{
	for (size_t i = a->s->n_files; i-- > 0;) {
		const struct rec_file *f = a->s->files[i].rec;

		/* The first row remains; it is never NULL, and may be row 0. */
		if (idmap_put(&a->tables, f->files_id, &a->s->files[i]) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int compare_all(struct audit_pass *a)
{
	int rc = index_files(a);

	for (size_t i = 0; rc == 0 && i < a->n_pids; i++)
		rc = compare_process(a, a->pids[i]);
	return rc == 0 && observe_follows(a->o, TRACE_LOCK) ? audit_locks(a) : rc;
}

static void forget_touches(struct ckpt_observe *o)
{
	idmap_each(&o->ledger.mms, s) ledger_mm_forget_touches(s->value);
}

/* Locks that are given up, and whose rows were kept for us. */
static void forget_locks(struct ledger *l)
{
	bool again = true;

	while (again) {
		again = false;
		idmap_each(&l->locks, s)
		{
			struct ledger_lock *lock = s->value;

			if (lock->ranges.n)
				continue;
			ledger_lock_forget(l, lock);
			again = true; /* the map has changed */
			break;
		}
	}
}

/* Let those who have something to report do so, for a while. */
static int rest(struct ckpt_observe *o, unsigned int ms, struct ckpt_err **err)
{
	uint64_t end = now_ns() + ms * 1000000ULL;

	while (!o->stop && now_ns() < end) {
		int n = observe_take(o, 1024, 0, err);

		if (n < 0)
			return n;
		/* Whoever asks does not wait for the end of an audit. */
		ckpt_observe_serve(o);
		if (!n)
			poll(NULL, 0, 1);
	}
	return 0;
}

/* One pass: found, moving and again of `a` are its result. */
static int one_pass(struct audit_pass *a, struct ckpt_err **err)
{
	struct ckpt_observe *o = a->o;
	struct loader_why why = { 0 };
	bool silent = o->ledger.calls.silent;
	int rc;

	forget_touches(o);
	a->begin_ns = o->ledger.audit_ns = now_ns();
	a->number = ++o->passes;
	rc = snapshot_take(o->loader, a->pids, a->n_pids,
			   observe_follows(o, TRACE_MAP) ? SNAPSHOT_ALL
							 : SNAPSHOT_TASKS | SNAPSHOT_FILES,
			   &a->s, &why);
	if (rc < 0)
		return ckpt_fail_loader(err, rc, &why);
	rc = drain(o, now_ns(), err);
	if (rc == 0) {
		o->ledger.calls.silent = true; /* what is mended is no event */
		rc = compare_all(a) < 0 ? ckpt_fail_nomem(err) : 0;
		o->ledger.calls.silent = silent;
	}
	idmap_done(&a->tables);
	snapshot_free(a->s);
	a->s = NULL;
	return rc;
}

/* Those that the pass before has found, too. */
static size_t count_confirmed(const struct observe_differences *found,
			      const struct observe_differences *before)
{
	size_t n = 0;

	for (size_t i = 0; i < found->n; i++)
		n += has_row(before, &found->row[i]);
	return n;
}

static int keep_confirmed(struct observe_compared *ret, const struct observe_differences *found,
			  const struct observe_differences *before)
{
	for (size_t i = 0; i < found->n; i++) {
		const struct observe_difference *r = &found->row[i];

		if (!has_row(before, r))
			ret->moving++;
		else if (observe_differences_add(&ret->differences, r->pid, r->what, r->ledger,
						 r->kernel, NULL) < 0)
			return -ENOMEM;
	}
	ret->differences.total += found->total - found->n;
	return 0;
}

/* Passes until nothing new is found. The lists of `a` are the caller's. */
static int passes(struct audit_pass *a, struct observe_differences *before, struct ckpt_err **err)
{
	struct observe_compared *ret = a->ret;

	for (unsigned int i = 0;; i++) {
		int rc = rest(a->o, rest_ms[i], err);

		if (rc == 0)
			rc = one_pass(a, err);
		ret->passes++;
		a->first = false;
		if (rc < 0)
			return rc;
		bool settled = !a->found.n || (!a->mend && i + 1 >= PASSES_LEAST &&
					       count_confirmed(&a->found, before) == a->found.n);
		/* What never rests is not waited for. */
		bool done = settled && (!a->moving || i + 1 >= PASSES_MOVING);

		if (done || i + 1 == PASSES_MAX || a->o->stop) {
			ret->moving = a->moving;
			return keep_confirmed(ret, &a->found, before) < 0 ? ckpt_fail_nomem(err)
									  : 0;
		}
		observe_differences_done(before);
		*before = a->found;
		a->found = (struct observe_differences){ 0 };
		a->moving = 0;
		/* Only where it is needed. */
		free(a->pids);
		a->pids = TAKE_PTR(a->again);
		a->n_pids = a->n_again;
		a->n_again = 0;
	}
}

int observe_compare(struct ckpt_observe *o, const pid_t *pids, size_t n, bool mend,
		    struct observe_compared *ret, struct ckpt_err **err)
{
	struct audit_pass a = { .o = o, .mend = mend, .first = true, .ret = ret, .all = !n };
	struct observe_differences before = { 0 };
	int rc = 0;

	if (!n) {
		rc = list_all(o, &a.pids, &a.n_pids);
	} else {
		a.pids = malloc(n * sizeof(*pids));
		a.n_pids = n;
		if (a.pids)
			memcpy(a.pids, pids, n * sizeof(*pids));
		else
			rc = -ENOMEM;
	}
	if (rc < 0)
		return ckpt_fail_nomem(err);
	/* Nothing is left to look at, but what has happened wants to be told. */
	o->ledger.audit_ns = now_ns();
	rc = a.n_pids ? passes(&a, &before, err) : drain(o, now_ns(), err);
	o->ledger.audit_ns = 0;
	forget_touches(o);
	forget_locks(&o->ledger);
	observe_differences_done(&before);
	observe_differences_done(&a.found);
	free(a.pids);
	free(a.again);
	return rc;
}

/* ---- the event ---- */

static void add_number(struct ckpt_member *m, const char *name, uint64_t value)
{
	*m = (struct ckpt_member){ .name = name, .type = CKPT_VALUE_UINT, .u = value };
}

/* An object per row; malloc'd, one block. */
static struct ckpt_member *difference_members(const struct observe_differences *const *lists,
					      size_t n_lists, size_t *ret_n)
{
	size_t n = 0, at = 0;

	for (size_t i = 0; i < n_lists; i++)
		n += lists[i]->n;
	struct ckpt_member *m = calloc(n * 6 + 1, sizeof(*m)), *below = m ? m + n : NULL;

	for (size_t i = 0; m && i < n_lists; i++)
		for (size_t k = 0; k < lists[i]->n; k++, below += 5) {
			const struct observe_difference *r = &lists[i]->row[k];
			const struct ckpt_member row[5] = {
				{ .name = "pid", .type = CKPT_VALUE_INT, .i = r->pid },
				{ .name = "what", .type = CKPT_VALUE_TEXT, .text = r->what },
				{ .name = "ledger", .type = CKPT_VALUE_TEXT, .text = r->ledger },
				{ .name = "kernel", .type = CKPT_VALUE_TEXT, .text = r->kernel },
				{ .name = "because",
				  .type = CKPT_VALUE_TEXT,
				  .text = r->because ? r->because : "" },
			};

			memcpy(below, row, sizeof(row));
			m[at++] = (struct ckpt_member){ .type = CKPT_VALUE_OBJECT,
							.member = below,
							.n = r->because ? 5 : 4 };
		}
	*ret_n = at;
	return m;
}

static int tell_audit(struct ckpt_observe *o, const struct observe_compared *c, bool balanced,
		      uint64_t begin_ns)
{
	const struct ledger_at at = { .time_ns = now_ns() };
	const struct observe_differences *const lists[] = { &o->found, &c->differences };
	size_t n = 0, n_lost = 0;
	struct ckpt_member *rows = difference_members(lists, 2, &n);
	struct event *e = event_begin(o, "audit", &at);
	struct ckpt_member checked[6], lost[OBSERVE_CAUSES_MAX];

	add_number(&checked[0], "processes", c->processes);
	add_number(&checked[1], "threads", c->threads);
	add_number(&checked[2], "descriptors", c->descriptors);
	add_number(&checked[3], "areas", c->areas);
	add_number(&checked[4], "timers", c->timers);
	add_number(&checked[5], "locks", c->locks);
	for (size_t i = 0; i < o->n_told; i++)
		if (o->told[i].count > o->told[i].before)
			add_number(&lost[n_lost++], o->told[i].cause,
				   o->told[i].count - o->told[i].before);
	event_bool(e, "balanced", balanced);
	event_object(e, "checked", checked, 6);
	event_array(e, "differences", rows, n);
	event_uint(e, "n_differences", o->found.total + c->differences.total);
	event_uint(e, "moving", c->moving);
	event_object(e, "lost", lost, n_lost);
	event_uint(e, "events", o->n_events);
	event_uint(e, "duration_ns", at.time_ns - o->start_ns);
	event_uint(e, "audit_ns", at.time_ns - begin_ns);
	event_end(o, e);
	free(rows);
	return rows ? 0 : -ENOMEM;
}

int ckpt_observe_audit(struct ckpt_observe *o, ckpt_event_fn *fn, void *userdata,
		       bool *ret_balanced, struct ckpt_err **err)
{
	struct observe_compared c = { 0 };
	uint64_t begin = now_ns();
	int rc;

	o->fn = fn;
	o->userdata = userdata;
	o->stop = 0;
	rc = observe_greet(o);
	if (rc == 0)
		rc = observe_compare(o, NULL, 0, false, &c, err);
	bool lost = o->lost_since_audit;
	bool balanced = !c.differences.total && !o->found.total;

	if (rc == 0) {
		o->audited_ns = now_ns();
		o->audited_balanced = balanced;
	}
	for (size_t i = 0; lost && i < c.differences.n; i++)
		c.differences.row[i].because = "events were lost";
	if (rc == 0 && !o->stop && tell_audit(o, &c, balanced, begin) < 0)
		rc = ckpt_fail_nomem(err);
	/* It has been said: go on from what is true. What is lost from here on is the next one's.
	 */
	observe_differences_done(&o->found);
	o->lost_since_audit = false;
	if (rc == 0 && !o->stop && (c.differences.total || lost)) {
		struct observe_compared mended = { 0 };

		rc = observe_compare(o, NULL, 0, true, &mended, err);
		observe_differences_done(&mended.differences);
		/* What moved meanwhile could not be mended. */
		if (lost && mended.moving)
			o->lost_since_audit = true;
		o->resync = o->lost_since_audit;
	}
	observe_differences_done(&c.differences);
	o->fn = NULL;
	if (rc == 0 && ret_balanced)
		*ret_balanced = balanced;
	return rc < 0 ? rc : o->stop;
}
