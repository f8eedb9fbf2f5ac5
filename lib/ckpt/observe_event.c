// SPDX-License-Identifier: LGPL-2.1-or-later
/* Building events: one buffer for all, since each is gone when the next one begins. */
#include "observe.h"
#include "util.h"

#include <string.h>

struct event *event_begin(struct ckpt_observe *o, const char *name, const struct ledger_at *at)
{
	struct event *e = &o->event;
	const struct ledger_process *p = at->pid ? ledger_process(&o->ledger, at->pid) : NULL;

	e->n_members = e->n_below = e->n_text = 0;
	e->e = (struct ckpt_event){ .name = name,
				    .time_ns = at->time_ns,
				    .pid = at->pid,
				    .tid = at->tid,
				    .comm = at->comm ? at->comm : "",
				    .cgroup = p ? p->cgroup : 0,
				    .member = e->member };
	return e;
}

static struct ckpt_member *add(struct event *e, const char *name, enum ckpt_value_type type)
{
	static struct ckpt_member nowhere; /* an event has fewer members than there is room for */

	if (e->n_members + e->n_below >= EVENT_MEMBERS_MAX)
		return &nowhere;
	struct ckpt_member *m = &e->member[e->n_members++];

	*m = (struct ckpt_member){ .name = name, .type = type };
	return m;
}

const char *event_copy(struct event *e, const char *text, size_t len)
{
	size_t room = EVENT_TEXT_MAX - e->n_text;
	char *to = e->text + e->n_text;

	if (room == 0)
		return "";
	if (len >= room)
		len = room - 1;
	memcpy(to, text, len);
	to[len] = '\0';
	e->n_text += len + 1;
	return to;
}

void event_text(struct event *e, const char *name, const char *text)
{
	add(e, name, CKPT_VALUE_TEXT)->text = event_copy(e, text, strlen(text));
}

void event_word(struct event *e, const char *name, const char *text)
{
	add(e, name, CKPT_VALUE_TEXT)->text = text;
}

void event_int(struct event *e, const char *name, int64_t value)
{
	add(e, name, CKPT_VALUE_INT)->i = value;
}

void event_uint(struct event *e, const char *name, uint64_t value)
{
	add(e, name, CKPT_VALUE_UINT)->u = value;
}

void event_hex(struct event *e, const char *name, uint64_t value)
{
	add(e, name, CKPT_VALUE_HEX)->u = value;
}

void event_bool(struct event *e, const char *name, bool value)
{
	add(e, name, CKPT_VALUE_BOOL)->u = value;
}

struct ckpt_member *event_below(struct event *e, size_t n)
{
	if (e->n_members + e->n_below + n > EVENT_MEMBERS_MAX)
		return NULL;
	e->n_below += n;

	struct ckpt_member *m = &e->member[EVENT_MEMBERS_MAX - e->n_below];

	memset(m, 0, n * sizeof(*m));
	return m;
}

void event_array(struct event *e, const char *name, const struct ckpt_member *member, size_t n)
{
	struct ckpt_member *m = add(e, name, CKPT_VALUE_ARRAY);

	m->member = member;
	m->n = n;
}

void event_object(struct event *e, const char *name, const struct ckpt_member *member, size_t n)
{
	struct ckpt_member *m = add(e, name, CKPT_VALUE_OBJECT);

	m->member = member;
	m->n = n;
}

int event_end(struct ckpt_observe *o, struct event *e)
{
	const struct ledger_process *p = e->e.pid ? ledger_process(&o->ledger, e->e.pid) : NULL;

	o->n_events++;
	if (p)
		((struct ledger_process *)(uintptr_t)p)->events++;
	e->e.n = e->n_members;
	if (o->fn && !o->stop)
		o->stop = o->fn(o->userdata, &e->e);
	return o->stop;
}

const struct ckpt_member *ckpt_event_member(const struct ckpt_event *e, const char *name)
{
	for (size_t i = 0; i < e->n; i++)
		if (!strcmp(e->member[i].name, name))
			return &e->member[i];
	return NULL;
}
