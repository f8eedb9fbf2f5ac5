// SPDX-License-Identifier: LGPL-2.1-or-later
/* The ledger's processes and threads: how they come, change and end. See ledger.h. */
#include "ledger.h"
#include "util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char LEDGER_UNKNOWN[] = "unknown";

void ledger_init(struct ledger *l)
{
	*l = (struct ledger){ 0 };
}

static void set_comm(char *to, const char *comm)
{
	snprintf(to, LEDGER_COMM_LEN, "%s", comm ? comm : "");
}

struct ledger_task *ledger_task(const struct ledger *l, pid_t tid)
{
	return idmap_get(&l->tasks, (uint64_t)tid);
}

struct ledger_process *ledger_process(const struct ledger *l, pid_t pid)
{
	return idmap_get(&l->processes, (uint64_t)pid);
}

static void list_append(struct ledger_process **first, struct ledger_process **last,
			struct ledger_process *p)
{
	p->prev = *last;
	p->next = NULL;
	if (*last)
		(*last)->next = p;
	else
		*first = p;
	*last = p;
}

static void list_remove(struct ledger_process **first, struct ledger_process **last,
			struct ledger_process *p)
{
	if (p->prev)
		p->prev->next = p->next;
	else
		*first = p->next;
	if (p->next)
		p->next->prev = p->prev;
	else
		*last = p->prev;
}

static void process_free(struct ledger_process *p)
{
	free(p->count);
	free(p->exe);
	free(p->timer);
	ledger_signals_drop(p);
	free(p);
}

static int add_process(struct ledger *l, pid_t pid, pid_t ppid, const char *comm,
		       struct ledger_process **ret)
{
	struct ledger_process *p = calloc(1, sizeof(*p));

	if (!p || idmap_put(&l->processes, (uint64_t)pid, p) < 0) {
		free(p);
		return -ENOMEM;
	}
	p->pid = pid;
	p->ppid = ppid;
	set_comm(p->comm, comm);
	list_append(&l->first, &l->last, p);
	*ret = p;
	return 0;
}

struct ledger_count *ledger_count(struct ledger_process *p, const char *kind)
{
	static struct ledger_count nowhere; /* without memory, nothing is counted */

	for (size_t i = 0; i < p->n_counts; i++)
		if (!strcmp(p->count[i].kind, kind))
			return &p->count[i];
	struct ledger_count *grown = reallocarray(p->count, p->n_counts + 1, sizeof(*grown));

	if (!grown)
		return &nowhere;
	p->count = grown;
	grown[p->n_counts] = (struct ledger_count){ .kind = kind };
	return &grown[p->n_counts++];
}

/* All but the first are counted. */
static void count_thread(struct ledger_process *p, bool comes)
{
	struct ledger_count *c = ledger_count(p, "thread");

	if (!comes) {
		c->closed++;
		c->open -= c->open > 0;
	} else if (++c->open > c->peak) {
		c->peak = c->open;
	}
}

int ledger_add_task(struct ledger *l, const struct ledger_at *at, pid_t pid, pid_t tid, pid_t ppid,
		    const char *comm, struct ledger_task **ret)
{
	struct ledger_task *t = ledger_task(l, tid);
	struct ledger_process *p = ledger_process(l, pid);
	bool new_process = !p;

	if (t) {
		*ret = t;
		return 0;
	}
	if (!p && add_process(l, pid, ppid, comm, &p) < 0)
		return -ENOMEM;
	t = calloc(1, sizeof(*t));
	if (!t || idmap_put(&l->tasks, (uint64_t)tid, t) < 0) {
		free(t);
		if (new_process) {
			idmap_remove(&l->processes, (uint64_t)pid);
			list_remove(&l->first, &l->last, p);
			process_free(p);
		}
		return -ENOMEM;
	}
	t->tid = tid;
	t->process = p;
	set_comm(t->comm, comm);
	t->touched_ns = at->time_ns;
	t->next = p->tasks;
	p->tasks = t;
	p->n_tasks++;
	p->touched_ns = at->time_ns;
	if (tid != pid) {
		count_thread(p, true);
		/* A snapshot has no thread that makes it. */
		if (at->tid == tid)
			ledger_count(p, "thread")->inherited++;
		else
			ledger_count(p, "thread")->made++;
	}
	*ret = t;
	return 0;
}

void ledger_rename(struct ledger *l, pid_t tid, const char *comm)
{
	struct ledger_task *t = ledger_task(l, tid);

	if (!t)
		return;
	set_comm(t->comm, comm);
	if (tid == t->process->pid)
		set_comm(t->process->comm, comm);
}

static int clone_mm(struct ledger *l, struct ledger_process *parent, struct ledger_process *p,
		    uint64_t mm_id)
{
	const struct ledger_mm *like = parent ? parent->mm : NULL;

	return mm_id ? ledger_use_mm(l, p, mm_id, like) : 0;
}

int ledger_clone(struct ledger *l, const struct ledger_at *at, const struct ledger_clone *c)
{
	struct ledger_task *parent = ledger_task(l, at->tid), *t;
	struct ledger_process *from = parent ? parent->process : ledger_process(l, at->pid);
	bool thread = c->pid == at->pid && c->tid != c->pid;
	const char *comm = parent ? parent->comm : at->comm;
	int rc = ledger_add_task(l, at, c->pid, c->tid, c->ppid ? c->ppid : at->pid, comm, &t);

	if (rc < 0)
		return rc;
	if (!thread) {
		t->process->start_ns = at->time_ns;
		t->process->cgroup = from ? from->cgroup : 0;
		if (from && from->exe && !t->process->exe)
			t->process->exe = strdup(from->exe);
		rc = clone_mm(l, from, t->process, c->mm_id);
	}
	if (rc == 0 && c->files_id) {
		/* A copy is one of the parent's table. */
		t->table = parent ? parent->table : NULL;
		if (t->table)
			t->table->n_users++;
		rc = ledger_use_table(l, at, t, c->files_id);
	}
	return rc;
}

static void remove_task(struct ledger *l, struct ledger_task *t)
{
	struct ledger_task **link = &t->process->tasks;

	while (*link != t)
		link = &(*link)->next;
	*link = t->next;
	t->process->n_tasks--;
	if (t->tid != t->process->pid)
		count_thread(t->process, false);
	idmap_remove(&l->tasks, (uint64_t)t->tid);
	free(t);
}

int ledger_exec(struct ledger *l, const struct ledger_at *at, pid_t old_tid, uint64_t files_id,
		uint64_t mm_id)
{
	struct ledger_task *t = ledger_task(l, old_tid);
	struct ledger_process *p = ledger_process(l, at->pid);
	int rc = 0;

	if (!p || !t || t->process != p)
		return 0;
	/* All other threads have ended by now; a report of that may have been lost. */
	for (struct ledger_task *other = p->tasks, *next; other; other = next) {
		next = other->next;
		if (other == t)
			continue;
		ledger_leave_table(l, at, other, "exit");
		remove_task(l, other);
	}
	if (old_tid != p->pid) {
		count_thread(p, false);
		idmap_remove(&l->tasks, (uint64_t)old_tid);
		t->tid = p->pid;
		rc = idmap_put(&l->tasks, (uint64_t)t->tid, t);
	}
	t->touched_ns = p->touched_ns = at->time_ns;
	if (rc == 0 && files_id)
		rc = ledger_use_table(l, at, t, files_id);
	for (size_t fd = 0; rc == 0 && t->table && fd < t->table->size; fd++) {
		const struct ledger_fd *e = ledger_fd(t->table, (int)fd);

		if (e && e->cloexec)
			rc = ledger_fd_drop(l, at, t->table, (int)fd, "exec");
	}
	/* POSIX timers do not survive (execve(2)). */
	ledger_timers_drop(p, at->time_ns);
	ledger_leave_mm(l, p);
	if (rc == 0 && mm_id)
		rc = ledger_use_mm(l, p, mm_id, NULL);
	return rc;
}

int ledger_task_exit(struct ledger *l, const struct ledger_at *at)
{
	struct ledger_task *t = ledger_task(l, at->tid);

	if (!t)
		return 0;
	t->process->touched_ns = at->time_ns;
	ledger_leave_table(l, at, t, "exit");
	remove_task(l, t);
	return 0;
}

/* Add the counts of a process that ended to those of all of its name. */
static void fold_into(struct ledger_process *to, const struct ledger_process *p)
{
	for (size_t i = 0; i < p->n_counts; i++) {
		const struct ledger_count *from = &p->count[i];
		struct ledger_count *c = ledger_count(to, from->kind);

		c->inherited += from->inherited;
		c->made += from->made;
		c->closed += from->closed;
		c->open += from->open;
		if (from->peak > c->peak)
			c->peak = from->peak;
	}
	to->events += p->events;
	to->signals += p->signals;
	to->n_folded += p->n_folded ? p->n_folded : 1;
	if (p->end_ns > to->end_ns)
		to->end_ns = p->end_ns;
}

/* The row for processes of this name; the last one takes all names that come late. */
static struct ledger_process *folded_row(struct ledger *l, const char *comm)
{
	for (size_t i = 0; i < l->n_folded; i++)
		if (!strcmp(l->folded[i]->comm, comm) || i == LEDGER_FOLDED_MAX - 1)
			return l->folded[i];
	struct ledger_process *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	set_comm(p->comm, l->n_folded == LEDGER_FOLDED_MAX - 1 ? "" : comm);
	p->ended = true;
	l->folded[l->n_folded++] = p;
	return p;
}

int ledger_process_exit(struct ledger *l, const struct ledger_at *at, int status)
{
	struct ledger_process *p = ledger_process(l, at->pid);

	if (!p)
		return 0;
	/* Threads whose ends were lost. */
	while (p->tasks) {
		ledger_leave_table(l, at, p->tasks, "exit");
		remove_task(l, p->tasks);
	}
	ledger_leave_mm(l, p);
	ledger_timers_drop(p, at->time_ns);
	ledger_signals_drop(p);
	p->ended = true;
	p->end_ns = at->time_ns;
	p->exit_code = status >> 8 & 0xff;
	p->exit_signal = status & 0x7f;
	idmap_remove(&l->processes, (uint64_t)p->pid);
	list_remove(&l->first, &l->last, p);
	list_append(&l->ended_first, &l->ended_last, p);
	if (++l->n_ended <= LEDGER_ENDED_MAX)
		return 0;
	struct ledger_process *oldest = l->ended_first, *row = folded_row(l, oldest->comm);

	if (row)
		fold_into(row, oldest);
	list_remove(&l->ended_first, &l->ended_last, oldest);
	l->n_ended--;
	process_free(oldest);
	return row ? 0 : -ENOMEM;
}

void ledger_done(struct ledger *l)
{
	l->calls = (struct ledger_calls){ .silent = true };
	while (l->first) {
		const struct ledger_at end = { .pid = l->first->pid };

		ledger_process_exit(l, &end, 0);
	}
	while (l->ended_first) {
		struct ledger_process *p = l->ended_first;

		list_remove(&l->ended_first, &l->ended_last, p);
		process_free(p);
	}
	for (size_t i = 0; i < l->n_folded; i++)
		process_free(l->folded[i]);
	idmap_each(&l->locks, s)
	{
		struct ledger_lock *lock = s->value;

		ranges_done(&lock->ranges);
		free(lock->name);
		free(lock);
	}
	for (int i = 0; i < LEDGER_NSIG; i++)
		free(l->signal[i].histogram);
	idmap_done(&l->tasks);
	idmap_done(&l->processes);
	idmap_done(&l->tables);
	idmap_done(&l->objects);
	idmap_done(&l->socks);
	idmap_done(&l->mms);
	idmap_done(&l->locks);
}
