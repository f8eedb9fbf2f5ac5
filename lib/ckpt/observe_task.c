// SPDX-License-Identifier: LGPL-2.1-or-later
/* Records of tasks, for the ledger and as events. See observe.h. */
#include "observe.h"
#include "util.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

int observe_task(struct ckpt_observe *o, const struct ledger_at *at, struct ledger_task **ret)
{
	*ret = ledger_task(&o->ledger, at->tid);
	if (*ret)
		return 0;
	/* Its beginning was lost: what it has must be asked for. */
	o->resync = true;
	return ledger_add_task(&o->ledger, at, at->pid, at->tid, 0, at->comm, ret);
}

static void add_words(struct event *e, const char *name, const char *const *words, size_t n)
{
	struct ckpt_member *m = event_below(e, n);

	for (size_t i = 0; m && i < n; i++)
		m[i] = (struct ckpt_member){ .type = CKPT_VALUE_TEXT, .text = words[i] };
	event_array(e, name, m, m ? n : 0);
}

int observe_tell_process(struct ckpt_observe *o, const struct ledger_at *at,
			 const struct ledger_process *p)
{
	const struct ledger_at whose = {
		.time_ns = at->time_ns, .pid = p->pid, .tid = p->pid, .comm = p->comm
	};
	struct event *e = event_begin(o, "process", &whose);

	event_int(e, "ppid", p->ppid);
	if (p->exe)
		event_text(e, "exe", p->exe);
	event_bool(e, "known", p->known);
	return event_end(o, e);
}

/* The namespaces that a new process got by clone(2). */
static int tell_namespaces(struct ckpt_observe *o, const struct ledger_at *at, const char *by,
			   uint64_t flags)
{
	const char *which[8];
	size_t n = name_namespaces(flags, which, 8);

	if (!n)
		return 0;
	struct event *e = event_begin(o, "namespace", at);

	event_word(e, "by", by);
	add_words(e, "which", which, n);
	return event_end(o, e);
}

static int tell_fork(struct ckpt_observe *o, const struct ledger_at *at, const struct trace_fork *r,
		     bool thread)
{
	const char *flags[32];
	struct event *e = event_begin(o, thread ? "thread" : "fork", at);

	event_int(e, "child", r->child_tid);
	add_words(e, "flags", flags, name_clone_flags(r->clone_flags, flags, 32));
	if (!thread && r->real_parent != at->pid)
		event_int(e, "ppid", r->real_parent);
	if (r->worker)
		event_bool(e, "worker", true);
	return event_end(o, e);
}

int observe_fork(struct ckpt_observe *o, const struct ledger_at *at, const struct tracing_event *ev)
{
	const struct trace_fork *r = (const void *)ev->head;
	bool thread = r->child_pid != r->child_tid;
	const struct ledger_clone c = { .pid = r->child_pid,
					.tid = r->child_tid,
					.ppid = thread ? 0 : r->real_parent,
					.files_id = r->files_id,
					.mm_id = r->mm_id };
	struct ledger_task *parent;
	int rc = observe_task(o, at, &parent);

	if (rc == 0 && parent->table && r->parent_files_id)
		rc = ledger_use_table(&o->ledger, at, parent, r->parent_files_id);
	if (rc == 0)
		rc = ledger_clone(&o->ledger, at, &c);
	if (rc < 0)
		return rc;
	struct ledger_process *p = ledger_process(&o->ledger, r->child_pid);

	tell_fork(o, at, r, thread);
	if (!thread && p) {
		observe_tell_process(o, at, p);
		const struct ledger_at child = {
			.time_ns = at->time_ns, .pid = p->pid, .tid = p->pid, .comm = p->comm
		};

		tell_namespaces(o, &child, "clone", r->clone_flags);
	}
	/* What of others' calls under way the copy has, they tell: see observe_inventory_files().
	 */
	if (ev->head->flags & TRACE_F_INVENTORY)
		o->inventory.id = r->files_id, o->inventory.n = 0;
	if (ev->head->flags & TRACE_F_AREAS && p && p->mm)
		ranges_done(&p->mm->areas);
	return 0;
}

static int tell_exec(struct ckpt_observe *o, const struct ledger_at *at,
		     const struct tracing_event *ev, const struct trace_exec *r)
{
	struct event *e = event_begin(o, "exec", at);
	size_t n = 0, i = 0;

	event_text(e, "path", ev->path);
	for (size_t k = 0; k < ev->argv_len; k++)
		n += !ev->argv[k];
	/* A last word that was cut has no NUL. */
	n += ev->argv_len && ev->argv[ev->argv_len - 1];
	n = n < 32 ? n : 32;

	struct ckpt_member *m = event_below(e, n);

	for (size_t at_byte = 0; m && i < n; i++) {
		size_t len = strnlen(ev->argv + at_byte, ev->argv_len - at_byte);

		m[i] = (struct ckpt_member){ .type = CKPT_VALUE_TEXT,
					     .text = event_copy(e, ev->argv + at_byte, len) };
		at_byte += len + 1;
	}
	event_array(e, "argv", m, i);
	if (ev->head->flags & TRACE_F_CUT)
		event_bool(e, "cut", true);
	if (r->secure)
		event_bool(e, "secure", true);
	if (r->old_tid != at->tid)
		event_int(e, "old_tid", r->old_tid);
	return event_end(o, e);
}

int observe_exec(struct ckpt_observe *o, const struct ledger_at *at, const struct tracing_event *ev)
{
	const struct trace_exec *r = (const void *)ev->head;
	struct ledger_task *t;
	const struct ledger_at old = {
		.time_ns = at->time_ns, .pid = at->pid, .tid = r->old_tid, .comm = at->comm
	};
	int rc = observe_task(o, &old, &t);

	if (rc < 0)
		return rc;
	ledger_rename(&o->ledger, r->old_tid, at->comm);
	tell_exec(o, at, ev, r);
	rc = ledger_exec(&o->ledger, at, r->old_tid, r->files_id, r->mm_id);

	struct ledger_process *p = ledger_process(&o->ledger, at->pid);

	if (!p)
		return rc;
	memcpy(p->comm, at->comm, strnlen(at->comm, LEDGER_COMM_LEN - 1) + 1);
	free(p->exe);
	p->exe = strdup(ev->path);
	if (p->mm) {
		p->mm->brk = r->brk;
		p->mm->fresh = true;
		/* Without an inventory nobody tells what the new image looks like. */
		if (!(ev->head->flags & TRACE_F_AREAS))
			o->resync = true;
	}
	return rc;
}

int observe_exit(struct ckpt_observe *o, const struct ledger_at *at, const struct tracing_event *ev)
{
	const struct trace_exit *r = (const void *)ev->head;
	int rc = ledger_task_exit(&o->ledger, at);

	if (!r->group_dead) {
		struct event *e = event_begin(o, "thread_exit", at);

		event_end(o, e);
		return rc;
	}
	struct ledger_process *p = ledger_process(&o->ledger, at->pid);
	int status = r->group_code, signo = status & 0x7f;
	struct event *e = event_begin(o, "exit", at);

	if (signo)
		event_word(e, "signal", name_of_signal(signo));
	else
		event_int(e, "code", status >> 8 & 0xff);
	if (r->core)
		event_bool(e, "core", true);
	if (p && p->start_ns)
		event_uint(e, "age_ns", at->time_ns - p->start_ns);
	event_end(o, e);

	int rc2 = ledger_process_exit(&o->ledger, at, status);

	return rc ? rc : rc2;
}

int observe_rename(struct ckpt_observe *o, const struct ledger_at *at,
		   const struct tracing_event *ev)
{
	const struct trace_rename *r = (const void *)ev->head;
	char to[TRACE_COMM_LEN + 1] = "";

	memcpy(to, r->to, TRACE_COMM_LEN);
	ledger_rename(&o->ledger, at->tid, to);

	struct event *e = event_begin(o, "rename", at);

	event_text(e, "to", to);
	event_end(o, e);
	return 0;
}

/* One that is observed from now on, of which a snapshot is to tell what it has; or in another
 * cgroup. */
int observe_appeared(struct ckpt_observe *o, const struct ledger_at *at,
		     const struct tracing_event *ev)
{
	const struct trace_appeared *r = (const void *)ev->head;
	bool there = ledger_process(&o->ledger, at->pid) != NULL;
	struct ledger_task *t;
	int rc;

	rc = ledger_add_task(&o->ledger, at, at->pid, at->tid, 0, at->comm, &t);
	if (rc < 0)
		return rc;
	t->process->cgroup = r->cgroup_id;
	if (there)
		return 0;
	t->process->known = true;
	t->process->appeared = true;
	o->resync = true;
	return 0;
}

int observe_namespace(struct ckpt_observe *o, const struct ledger_at *at,
		      const struct tracing_event *ev)
{
	const struct trace_namespace *r = (const void *)ev->head;
	const char *which[8];
	struct event *e = event_begin(o, "namespace", at);

	event_word(e, "by", name_of_call(r->nr));
	add_words(e, "which", which, name_namespaces(r->flags, which, 8));
	event_end(o, e);
	return 0;
}
