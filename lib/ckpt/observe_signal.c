// SPDX-License-Identifier: LGPL-2.1-or-later
/* Records of signals, for the ledger and as events. See observe.h. */
#include "observe.h"
#include "util.h"

#include <signal.h>

static const char *action_name(uint32_t action)
{
	static const char *const names[] = { [TRACE_ACTION_DEFAULT] = "default",
					     [TRACE_ACTION_IGNORE] = "ignored",
					     [TRACE_ACTION_HANDLER] = "handler" };

	return action < sizeof(names) / sizeof(names[0]) ? names[action] : "?";
}

static const struct {
	enum ledger_result result;
	const char *name;
} results[] = {
	[TRACE_RESULT_DELIVERED] = { LEDGER_QUEUED, "queued" },
	[TRACE_RESULT_IGNORED] = { LEDGER_DISCARDED, "ignored" },
	[TRACE_RESULT_ALREADY_PENDING] = { LEDGER_ALREADY_PENDING, "already_pending" },
	[TRACE_RESULT_OVERFLOW_FAIL] = { LEDGER_OVERFLOW, "overflow" },
	[TRACE_RESULT_LOSE_INFO] = { LEDGER_LOST_INFO, "lost_info" },
};

static void add_facts(struct event *e, const struct trace_signal *r)
{
	const char *code = name_of_code(r->signo, r->code);

	event_word(e, "signal", name_of_signal(r->signo));
	if (code)
		event_word(e, "code", code);
	else
		event_int(e, "code", r->code);
	if (r->value)
		event_int(e, "value", (int64_t)r->value);
	if (r->timer_id >= 0)
		event_int(e, "timer", r->timer_id);
	if (r->child_pid)
		event_int(e, "child", r->child_pid);
}

int observe_signal_generate(struct ckpt_observe *o, const struct ledger_at *at,
			    const struct tracing_event *ev)
{
	const struct trace_signal *r = (const void *)ev->head;
	size_t result = r->result < sizeof(results) / sizeof(results[0]) ? r->result : 0;
	pid_t target = r->group ? 0 : at->tid;
	struct event *e = event_begin(o, "signal_generate", at);

	add_facts(e, r);
	event_int(e, "sender_pid", r->sender_pid);
	if (r->sender_pid)
		event_uint(e, "sender_uid", r->sender_uid);
	event_int(e, "target_tid", target);
	event_word(e, "result", results[result].name);
	event_bool(e, "blocked", r->blocked);
	event_word(e, "handler", action_name(r->action));
	event_end(o, e);
	return ledger_signal_sent(&o->ledger, at->time_ns, at->pid, target, r->signo,
				  results[result].result, r->blocked);
}

static int taken(struct ckpt_observe *o, const struct ledger_at *at, const struct trace_signal *r,
		 const char *action)
{
	struct event *e = event_begin(o, "signal_deliver", at);
	uint64_t delay;

	ledger_signal_taken(&o->ledger, at->time_ns, at->pid, at->tid, r->signo, &delay);
	add_facts(e, r);
	event_word(e, "action", action);
	if (delay)
		event_uint(e, "delay_ns", delay);
	event_end(o, e);
	return 0;
}

int observe_signal_deliver(struct ckpt_observe *o, const struct ledger_at *at,
			   const struct tracing_event *ev)
{
	const struct trace_signal *r = (const void *)ev->head;

	return taken(o, at, r, action_name(r->action));
}

/* By sigwait(3) and its like. */
int observe_signal_take(struct ckpt_observe *o, const struct ledger_at *at,
			const struct tracing_event *ev)
{
	return taken(o, at, (const void *)ev->head, "wait");
}
