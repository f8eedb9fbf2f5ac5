/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The order of births. Plans are carried out on a model of the kernel's processes, which has the
 * rules of fork(2), clone(2), setsid(2), setpgid(2), exit and subreapers, and the outcome is
 * compared with the tree that was asked for: trees made by hand, and thousands made by a random
 * life. Also what is no tree at all.
 */
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "image.h"
#include "inherit.h"
#include "plan.h"
#include "tasks.h"

#define RANDOM_TREES 4000
#define NOBODY	     (-1)
#define PROCS_MAX    30000
#define HELPER_PID   1000000

static uint64_t seed = 0x2545f4914f6cdd1dULL;

static uint32_t rnd(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 33) % n;
}

/* ---- a model of the kernel ---- */

struct proc {
	pid_t pid, sid, pgid;
	int parent; /* index; NOBODY: outside */
	bool there, zombie, subreaper, has_memory, leads;
	int exit_signal;
	uint32_t has[PLAN_SHARED_NR]; /* which memory, table, ... */
	int made_by;		      /* index */
};

struct model {
	struct proc *proc;
	size_t n;
	uint32_t next; /* number of a memory, table, ... */
	char why[200]; /* what the kernel would have refused */
};

static const unsigned long share_flag[PLAN_SHARED_NR] = {
	[PLAN_MM] = CLONE_VM,
	[PLAN_FILES] = CLONE_FILES,
	[PLAN_FS] = CLONE_FS,
	[PLAN_SIGHAND] = CLONE_SIGHAND,
};

static void model_init(struct model *m)
{
	*m = (struct model){ .proc = calloc(PROCS_MAX, sizeof(*m->proc)), .next = 1 };
	assert_non_null(m->proc);
}

static bool refuse(struct model *m, const char *what, pid_t pid, pid_t other)
{
	snprintf(m->why, sizeof(m->why), "%s: %d, %d", what, pid, other);
	return false;
}

/* Is the number in use, as that of a process, a session or a group? Of anyone but `but`. */
static bool number_used(const struct model *m, pid_t number)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->proc[i].there && (m->proc[i].pid == number || m->proc[i].sid == number ||
					 m->proc[i].pgid == number))
			return true;
	return false;
}

/* A new process in slot `at`. */
static bool model_clone(struct model *m, size_t at, int maker, pid_t pid, unsigned long flags)
{
	struct proc *p = &m->proc[at];

	if (pid && number_used(m, pid))
		return refuse(m, "the pid is in use", pid, 0);
	if (maker >= 0 && !m->proc[maker].there)
		return refuse(m, "the maker is not there", pid, m->proc[maker].pid);
	if (flags & CLONE_SIGHAND && !(flags & CLONE_VM))
		return refuse(m, "CLONE_SIGHAND without CLONE_VM", pid, 0);
	*p = (struct proc){ .pid = pid, .parent = NOBODY, .there = true, .made_by = maker };
	for (int i = 0; i < PLAN_SHARED_NR; i++)
		p->has[i] = maker >= 0 && flags & share_flag[i] ? m->proc[maker].has[i] : m->next++;
	if (maker >= 0) {
		p->sid = m->proc[maker].sid;
		p->pgid = m->proc[maker].pgid;
		p->parent = flags & CLONE_PARENT ? m->proc[maker].parent : maker;
		p->has_memory = flags & CLONE_VM && m->proc[maker].has_memory;
	}
	if (at >= m->n)
		m->n = at + 1;
	return true;
}

static bool model_setsid(struct model *m, int i)
{
	struct proc *p = &m->proc[i];

	for (size_t k = 0; k < m->n; k++)
		if (m->proc[k].there && m->proc[k].pgid == p->pid)
			return refuse(m, "setsid: there is a group of that number", p->pid, 0);
	p->sid = p->pgid = p->pid;
	p->leads = true;
	return true;
}

/* 0: the group in which all began. */
static bool model_setpgid(struct model *m, int i, pid_t pgid)
{
	struct proc *p = &m->proc[i];
	bool found = pgid == p->pid || (pgid == 0 && p->sid == 0);

	if (p->leads)
		return refuse(m, "setpgid: leads a session", p->pid, pgid);
	for (size_t k = 0; k < m->n && !found; k++)
		found = m->proc[k].there && m->proc[k].pgid == pgid && m->proc[k].sid == p->sid;
	if (!found)
		return refuse(m, "setpgid: no such group in the session", p->pid, pgid);
	p->pgid = pgid;
	return true;
}

/* Its children go to the next subreaper above. */
static void model_exit(struct model *m, int i)
{
	int reaper = m->proc[i].parent;

	while (reaper >= 0 && !m->proc[reaper].subreaper)
		reaper = m->proc[reaper].parent;
	for (size_t k = 0; k < m->n; k++)
		if (m->proc[k].there && m->proc[k].parent == i)
			m->proc[k].parent = reaper;
	m->proc[i].zombie = true;
}

static void model_reap(struct model *m, int i)
{
	m->proc[i].there = false;
}

/* ---- carrying out a plan ---- */

static bool step_make(struct model *m, const struct plan_step *s, const struct plan_task *tasks,
		      size_t n, const int *makers)
{
	bool helper = (size_t)s->task >= n;
	pid_t pid = helper && !s->pid ? HELPER_PID + s->task : s->pid;

	if (s->maker < 0 && (helper || tasks[s->task].ppid))
		return refuse(m, "made by the restorer", pid, 0);
	if (!helper && s->pid != tasks[s->task].pid)
		return refuse(m, "made with another pid", s->pid, tasks[s->task].pid);
	if (m->proc[s->task].there)
		return refuse(m, "made twice", pid, 0);
	if (helper && s->flags)
		return refuse(m, "a helper that shares", pid, 0);
	if (!helper && s->flags & CLONE_PARENT &&
	    m->proc[s->maker].exit_signal != tasks[s->task].exit_signal)
		return refuse(m, "an exit signal that is not its own", pid, 0);
	if (!model_clone(m, (size_t)s->task, s->maker, pid, s->flags))
		return false;
	m->proc[s->task].exit_signal = helper ? s->exit_signal : tasks[s->task].exit_signal;
	if (helper)
		return true;
	m->proc[s->task].subreaper = tasks[s->task].subreaper;
	if (!tasks[s->task].inherits)
		return true;
	/* Its pages must be there to be copied. */
	if (makers[s->task] < 0 || !m->proc[makers[s->task]].has_memory)
		return refuse(m, "born before its maker has memory", pid, 0);
	return true;
}

static bool step_memory(struct model *m, const struct plan_step *s)
{
	struct proc *p = &m->proc[s->task];

	if (p->has_memory)
		return refuse(m, "memory is built twice", p->pid, 0);
	for (size_t k = 0; k < m->n; k++)
		if (m->proc[k].there && m->proc[k].has[PLAN_MM] == p->has[PLAN_MM])
			m->proc[k].has_memory = true;
	return true;
}

static bool step_end(struct model *m, const struct plan_step *s, size_t n)
{
	struct proc *p = &m->proc[s->task];

	if ((size_t)s->task < n || !p->there)
		return refuse(m, "ends, and is no helper", p->pid, 0);
	if (p->parent != s->maker)
		return refuse(m, "a helper that its maker cannot wait for", p->pid, 0);
	model_exit(m, s->task);
	model_reap(m, s->task);
	return true;
}

static bool carry_out(struct model *m, const struct plan *p, const struct plan_task *tasks,
		      size_t n, const int *makers)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct plan_step *s = &p->step[i];
		bool ok = false;

		if ((size_t)s->task >= n + p->n_helpers)
			return refuse(m, "a number that is no task's", s->task, 0);
		if (s->what != PLAN_MAKE && !m->proc[s->task].there)
			return refuse(m, "a step of one who is not there", s->task, s->what);
		switch (s->what) {
		case PLAN_MAKE:
			ok = step_make(m, s, tasks, n, makers);
			break;
		case PLAN_SETSID:
			ok = model_setsid(m, s->task);
			break;
		case PLAN_MEMORY:
			ok = step_memory(m, s);
			break;
		case PLAN_SETPGID:
			ok = model_setpgid(m, s->task, s->pid);
			break;
		case PLAN_END:
			ok = step_end(m, s, n);
			break;
		case PLAN_REAP:
			ok = (size_t)s->task < n && m->proc[s->task].subreaper == !s->flags;
			m->proc[s->task].subreaper = s->flags;
			break;
		}
		if (!ok)
			return false;
	}
	return true;
}

static bool same_shares(struct model *m, const struct plan_task *tasks, size_t i, size_t j)
{
	for (int k = 0; k < PLAN_SHARED_NR; k++) {
		bool want = tasks[i].share[k] && tasks[i].share[k] == tasks[j].share[k];

		if ((m->proc[i].has[k] == m->proc[j].has[k]) != want)
			return refuse(m, "what two share", tasks[i].pid, tasks[j].pid);
	}
	return true;
}

/* Is it the tree that was asked for? */
static bool compare(struct model *m, const struct plan_task *tasks, size_t n, size_t n_helpers)
{
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		const struct proc *p = &m->proc[i];
		pid_t ppid = p->parent < 0 ? 0 : m->proc[p->parent].pid;

		if (!p->there)
			return refuse(m, "was not made", tasks[i].pid, 0);
		if (ppid != tasks[i].ppid)
			return refuse(m, "its parent", tasks[i].pid, ppid);
		if (p->sid != tasks[i].sid)
			return refuse(m, "its session", tasks[i].pid, p->sid);
		if (p->pgid != tasks[i].pgid)
			return refuse(m, "its group", tasks[i].pid, p->pgid);
		if (!tasks[i].zombie && !p->has_memory)
			return refuse(m, "has no memory", tasks[i].pid, 0);
		for (int k = 0; k < PLAN_SHARED_NR; k++)
			any |= tasks[i].share[k] != 0;
	}
	for (size_t i = n; i < n + n_helpers; i++)
		if (m->proc[i].there)
			return refuse(m, "a helper is left", m->proc[i].pid, 0);
	for (size_t i = 0; any && i < n; i++)
		for (size_t j = 0; j < i; j++)
			if (!same_shares(m, tasks, i, j))
				return false;
	return true;
}

/* NULL: the plan makes this tree. Else what is wrong with it. *ret_code: 0, or why there is none.
 */
static const char *try_plan(const struct plan_task *tasks, size_t n, int *ret_code)
{
	static char why[300];
	struct ckpt_err *err = NULL;
	struct plan p;
	struct model m;
	int *makers = calloc(n + 1, sizeof(*makers));
	bool ok;
	int rc = plan_make(&p, tasks, n, &err);

	*ret_code = 0;
	if (rc < 0) {
		assert_non_null(err);
		*ret_code = ckpt_err_code(err);
		snprintf(why, sizeof(why), "%s", ckpt_err_text(err));
		ckpt_err_free(err);
		assert_null(p.step);
		free(makers);
		return why;
	}
	assert_null(err);
	model_init(&m);
	plan_makers(&p, n, makers);
	ok = carry_out(&m, &p, tasks, n, makers) && compare(&m, tasks, n, p.n_helpers);
	snprintf(why, sizeof(why), "%s", m.why);
	free(m.proc);
	free(makers);
	plan_done(&p);
	return ok ? NULL : why;
}

static void must_plan(const struct plan_task *tasks, size_t n)
{
	int code;
	const char *why = try_plan(tasks, n, &code);

	if (why)
		fail_msg("%s", why);
}

static void must_refuse(const struct plan_task *tasks, size_t n, int code, const char *words)
{
	int got;
	const char *why = try_plan(tasks, n, &got);

	if (!why)
		fail_msg("it was planned: %s", words);
	assert_int_equal(got, code);
	if (!strstr(why, words))
		fail_msg("'%s' lacks '%s'", why, words);
}

#define N(tasks) (sizeof(tasks) / sizeof((tasks)[0]))

/* ---- trees made by hand ---- */

static void test_plan_make__one_process(void **state)
{
	const struct plan_task outside[] = { { .pid = 10 } };
	const struct plan_task leader[] = { { .pid = 10, .sid = 10, .pgid = 10 } };
	const struct plan_task group[] = { { .pid = 10, .pgid = 10 } };

	(void)state;
	must_plan(outside, 1);
	must_plan(leader, 1);
	must_plan(group, 1);
}

static void test_plan_make__sessions(void **state)
{
	const struct plan_task before_and_after[] = {
		{ .pid = 10, .sid = 10, .pgid = 10 },
		{ .pid = 11, .ppid = 10 }, /* born before its parent's setsid */
		{ .pid = 12, .ppid = 10, .sid = 10, .pgid = 10 },
		{ .pid = 13, .ppid = 10, .sid = 13, .pgid = 13 },
		{ .pid = 14, .ppid = 11, .sid = 14, .pgid = 14 },
		{ .pid = 15, .ppid = 11, .inherits = true },
	};
	const struct plan_task all_inherit[] = {
		{ .pid = 10, .sid = 10, .pgid = 10 },
		{ .pid = 11, .ppid = 10, .inherits = true },
		{ .pid = 12, .ppid = 10, .sid = 10, .pgid = 10, .inherits = true },
		{ .pid = 13, .ppid = 12, .sid = 13, .pgid = 13, .inherits = true },
		{ .pid = 14, .ppid = 12, .sid = 10, .pgid = 12 },
	};
	/* A leader beneath one who left the session after it: three sessions in a line. */
	const struct plan_task deep[] = {
		{ .pid = 10, .sid = 10, .pgid = 10 },
		{ .pid = 11, .ppid = 10, .sid = 11, .pgid = 11 },
		{ .pid = 12, .ppid = 11, .sid = 12, .pgid = 12 },
		{ .pid = 13, .ppid = 12, .sid = 10, .pgid = 10 },
		{ .pid = 14, .ppid = 12, .sid = 12, .pgid = 12 },
	};

	(void)state;
	must_plan(before_and_after, N(before_and_after));
	must_plan(deep, N(deep));
	{
		struct plan_task t[N(all_inherit)];

		memcpy(t, all_inherit, sizeof(t));
		t[4].pgid = 10;
		must_plan(t, N(t));
	}
}

static void test_plan_make__orphans(void **state)
{
	const struct plan_task of_root[] = {
		{ .pid = 10, .sid = 10, .pgid = 10, .subreaper = true },
		{ .pid = 12, .ppid = 10, .sid = 11, .pgid = 11 }, /* their leader is gone */
		{ .pid = 13, .ppid = 10, .sid = 11, .pgid = 13 },
		{ .pid = 14, .ppid = 12, .sid = 11, .pgid = 11, .inherits = true },
		{ .pid = 15, .ppid = 14, .sid = 15, .pgid = 15 },
	};
	/* Two reapers, one under the other; an orphan of each in the session of the first. */
	const struct plan_task nested[] = {
		{ .pid = 10, .subreaper = true },
		{ .pid = 11, .ppid = 10, .sid = 11, .pgid = 11, .subreaper = true },
		{ .pid = 13, .ppid = 11, .sid = 12, .pgid = 12, .inherits = true },
		{ .pid = 15, .ppid = 10, .sid = 14, .pgid = 14 },
		{ .pid = 16, .ppid = 11, .sid = 14, .pgid = 14 },
	};
	/* Its session's leader lives on, deeper in the tree, and is a zombie in the other case. */
	struct plan_task of_leader[] = {
		{ .pid = 10, .subreaper = true },
		{ .pid = 11, .ppid = 10, .sid = 11, .pgid = 11 },
		{ .pid = 13, .ppid = 10, .sid = 11, .pgid = 11 },
	};
	/* In the session of a sibling, by which it was made with CLONE_PARENT. */
	const struct plan_task of_sibling[] = {
		{ .pid = 10 },
		{ .pid = 11, .ppid = 10, .sid = 11, .pgid = 11 },
		{ .pid = 12, .ppid = 10, .sid = 11, .pgid = 11 },
		{ .pid = 13, .ppid = 12, .sid = 11, .pgid = 13 },
	};
	/* Made by a dead leader with CLONE_PARENT; or its parent was a subreaper for a while. */
	const struct plan_task strays[] = {
		{ .pid = 10 },
		{ .pid = 12, .ppid = 10, .sid = 11, .pgid = 11 },
		{ .pid = 13, .ppid = 12, .sid = 13, .pgid = 13 },
		{ .pid = 14, .ppid = 13, .sid = 11, .pgid = 11 }, /* before its parent left */
		{ .pid = 16, .ppid = 13, .sid = 15, .pgid = 15, .inherits = true },
		{ .pid = 17, .ppid = 10, .sid = 15, .pgid = 15, .inherits = true },
	};
	/* What can be told from its parent by its exit signal only. */
	const struct plan_task exit_signals[] = {
		{ .pid = 10 },
		{ .pid = 12, .ppid = 10, .sid = 11, .pgid = 11, .exit_signal = SIGCHLD },
		{ .pid = 13, .ppid = 10, .sid = 11, .pgid = 11, .exit_signal = SIGCHLD },
	};
	/* In two branches, neither of which can lead to the other. */
	const struct plan_task apart[] = {
		{ .pid = 10 },
		{ .pid = 11, .ppid = 10 },
		{ .pid = 12, .ppid = 10 },
		{ .pid = 14, .ppid = 11, .sid = 13, .pgid = 13 },
		{ .pid = 15, .ppid = 12, .sid = 13, .pgid = 13 },
	};

	(void)state;
	must_plan(of_root, N(of_root));
	must_refuse(nested, N(nested), CKPT_E_UNSUPPORTED, "cannot bring it");
	must_plan(nested, 4);
	must_plan(of_leader, N(of_leader));
	of_leader[1].zombie = true;
	must_plan(of_leader, N(of_leader));
	must_plan(of_sibling, N(of_sibling));
	must_plan(strays, N(strays));
	must_plan(exit_signals, N(exit_signals));
	must_refuse(apart, N(apart), CKPT_E_UNSUPPORTED, "process 15");
	must_plan(apart, 4);
}

static void test_plan_make__groups(void **state)
{
	const struct plan_task led[] = {
		{ .pid = 10, .sid = 10, .pgid = 10 },
		{ .pid = 11, .ppid = 10, .sid = 10, .pgid = 12 },
		{ .pid = 12, .ppid = 10, .sid = 10, .pgid = 12 },
		{ .pid = 13, .ppid = 11, .sid = 10, .pgid = 14 },
		{ .pid = 14, .ppid = 12, .sid = 10, .pgid = 14 },
	};
	const struct plan_task dead_leader[] = {
		{ .pid = 10, .sid = 10, .pgid = 10 },
		{ .pid = 12, .ppid = 10, .sid = 10, .pgid = 11 },
		{ .pid = 13, .ppid = 12, .sid = 10, .pgid = 11 },
		{ .pid = 14, .ppid = 12, .sid = 10, .pgid = 10 },
	};
	/* Their leaders have gone to each other's groups. */
	const struct plan_task crossed[] = {
		{ .pid = 10, .sid = 10, .pgid = 10 },
		{ .pid = 11, .ppid = 10, .sid = 10, .pgid = 12 },
		{ .pid = 12, .ppid = 10, .sid = 10, .pgid = 11 },
		{ .pid = 13, .ppid = 11, .sid = 10, .pgid = 13 },
	};
	/* The root leads a group, and some stayed behind in the one that it came from. */
	const struct plan_task outside[] = {
		{ .pid = 10, .pgid = 10 },
		{ .pid = 11, .ppid = 10 },
		{ .pid = 12, .ppid = 10, .pgid = 10 },
	};
	const struct plan_task zombie_leader[] = {
		{ .pid = 10, .sid = 10, .pgid = 10 },
		{ .pid = 11, .ppid = 10, .sid = 10, .pgid = 11, .zombie = true },
		{ .pid = 12, .ppid = 10, .sid = 10, .pgid = 11, .zombie = true },
		{ .pid = 13, .ppid = 10, .sid = 13, .pgid = 13, .zombie = true },
	};

	(void)state;
	must_plan(led, N(led));
	must_plan(dead_leader, N(dead_leader));
	must_plan(crossed, N(crossed));
	must_plan(outside, N(outside));
	must_plan(zombie_leader, N(zombie_leader));
}

static void test_plan_make__sharing(void **state)
{
	const struct plan_task siblings[] = {
		{ .pid = 10 },
		{ .pid = 11, .ppid = 10, .share = { 11, 11, 11, 11 } },
		{ .pid = 12, .ppid = 10, .share = { 11, 11, 11, 11 } },
		{ .pid = 13, .ppid = 10, .share = { 11, 0, 11, 0 } },
		{ .pid = 14, .ppid = 11, .share = { 0, 11, 0, 0 } },
	};
	const struct plan_task with_parent[] = {
		{ .pid = 10, .share = { 10, 0, 10, 0 } },
		{ .pid = 11, .ppid = 10, .share = { 10, 0, 0, 0 } },
		{ .pid = 12, .ppid = 10, .share = { 0, 0, 10, 0 }, .inherits = true },
		{ .pid = 13, .ppid = 11, .share = { 10, 0, 0, 0 } },
		{ .pid = 14, .ppid = 13, .share = { 0, 0, 0, 0 } },
	};
	const struct plan_task cousins[] = {
		{ .pid = 10 },
		{ .pid = 11, .ppid = 10 },
		{ .pid = 12, .ppid = 10 },
		{ .pid = 13, .ppid = 11, .share = { 0, 13, 0, 0 } },
		{ .pid = 14, .ppid = 12, .share = { 0, 13, 0, 0 } },
	};
	/* With one in this, with another in that. */
	const struct plan_task both[] = {
		{ .pid = 10, .share = { 0, 10, 0, 0 } },
		{ .pid = 11, .ppid = 10, .share = { 0, 0, 11, 0 } },
		{ .pid = 12, .ppid = 10, .share = { 0, 10, 11, 0 } },
	};

	/* CLONE_PARENT gives the exit signal of the maker. */
	struct plan_task signals[] = {
		{ .pid = 10 },
		{ .pid = 11, .ppid = 10, .exit_signal = SIGCHLD, .share = { 0, 11, 0, 0 } },
		{ .pid = 12, .ppid = 10, .exit_signal = SIGCHLD, .share = { 0, 11, 0, 0 } },
	};

	(void)state;
	must_plan(signals, N(signals));
	signals[2].exit_signal = SIGUSR1;
	must_refuse(signals, N(signals), CKPT_E_UNSUPPORTED, "neither its parent nor its sibling");
	must_plan(siblings, N(siblings));
	must_plan(with_parent, N(with_parent));
	must_refuse(cousins, N(cousins), CKPT_E_UNSUPPORTED, "neither its parent nor its sibling");
	must_refuse(both, N(both), CKPT_E_UNSUPPORTED, "neither its parent nor its sibling");
}

static void test_plan_make__forests(void **state)
{
	/* A pipeline, the members of which are no relations. */
	const struct plan_task pipeline[] = {
		{ .pid = 10, .pgid = 10 },
		{ .pid = 11, .pgid = 10 },
		{ .pid = 12, .pgid = 10 },
		{ .pid = 13, .ppid = 11, .pgid = 10, .inherits = true },
		{ .pid = 14, .ppid = 12, .sid = 14, .pgid = 14 },
	};
	const struct plan_task leader_is_gone[] = {
		{ .pid = 11, .pgid = 10 },
		{ .pid = 12, .pgid = 10 },
		{ .pid = 13, .sid = 13, .pgid = 13 },
		{ .pid = 14, .sid = 13, .pgid = 13 }, /* by the one before, as its sibling */
	};
	const struct plan_task share[] = {
		{ .pid = 10, .exit_signal = SIGCHLD, .share = { 0, 10, 0, 0 } },
		{ .pid = 11, .exit_signal = SIGCHLD, .share = { 0, 10, 0, 0 } },
		{ .pid = 12, .exit_signal = SIGCHLD, .share = { 0, 0, 0, 0 } },
	};
	const struct plan_task of_nobody[] = {
		{ .pid = 10 },
		{ .pid = 12, .sid = 11, .pgid = 11 },
	};

	(void)state;
	must_plan(pipeline, N(pipeline));
	must_plan(leader_is_gone, N(leader_is_gone));
	must_plan(share, N(share));
	must_refuse(of_nobody, N(of_nobody), CKPT_E_UNSUPPORTED, "process 12");
}

/* ---- no trees ---- */

static void test_plan_make__no_tree(void **state)
{
	const struct plan_task twice[] = { { .pid = 10 }, { .pid = 10, .ppid = 10 } };
	const struct plan_task itself[] = { { .pid = 10 }, { .pid = 11, .ppid = 11 } };
	const struct plan_task loop[] = { { .pid = 10 },
					  { .pid = 11, .ppid = 12 },
					  { .pid = 12, .ppid = 11 } };
	const struct plan_task stranger[] = { { .pid = 10 }, { .pid = 11, .ppid = 99 } };
	const struct plan_task nought[] = { { .pid = 0 } };
	const struct plan_task negative[] = { { .pid = 10 }, { .pid = -11, .ppid = 10 } };
	const struct plan_task foreign[] = { { .pid = 10, .sid = 9, .pgid = 9 } };
	/* Behind the child that it is the parent of. */
	const struct plan_task late_parent[] = { { .pid = 10 },
						 { .pid = 12, .ppid = 11 },
						 { .pid = 11, .ppid = 10 } };
	const struct plan_task root_has_parent[] = { { .pid = 10, .ppid = 11 },
						     { .pid = 11, .ppid = 10 } };
	int code;

	(void)state;
	must_refuse(twice, 0, CKPT_E_IMAGE, "no process");
	must_refuse(twice, N(twice), CKPT_E_IMAGE, "there twice");
	must_refuse(itself, N(itself), CKPT_E_IMAGE, "no parent");
	must_refuse(stranger, N(stranger), CKPT_E_IMAGE, "no parent");
	must_refuse(nought, N(nought), CKPT_E_IMAGE, "0");
	must_refuse(negative, N(negative), CKPT_E_IMAGE, "-11");
	must_refuse(foreign, N(foreign), CKPT_E_UNSUPPORTED, "not in the tree");
	must_refuse(root_has_parent, N(root_has_parent), CKPT_E_IMAGE, "");
	assert_non_null(try_plan(loop, N(loop), &code));
	try_plan(late_parent, N(late_parent), &code); /* either, without harm */
}

static struct plan_task *chain(size_t n)
{
	struct plan_task *t = calloc(n, sizeof(*t));

	assert_non_null(t);
	for (size_t i = 0; i < n; i++)
		t[i] = (struct plan_task){ .pid = 10 + (pid_t)i,
					   .ppid = i ? 9 + (pid_t)i : 0,
					   .sid = i % 100 == 50 ? 10 + (pid_t)i : 0 };
	for (size_t i = 1; i < n; i++)
		if (!t[i].sid)
			t[i].sid = t[i - 1].sid;
	for (size_t i = 0; i < n; i++)
		t[i].pgid = t[i].sid;
	return t;
}

static void test_plan_make__deep_and_wide(void **state)
{
	struct plan_task *t = chain(12000), *wide = calloc(9000, sizeof(*wide));
	struct ckpt_err *err = NULL;
	struct plan p;

	(void)state;
	must_refuse(t, 12000, CKPT_E_UNSUPPORTED, "processes deep");
	assert_int_equal(plan_make(&p, t, 9000, &err), 0);
	plan_done(&p);
	must_plan(t, 1500);
	/* Orphans of many dead sessions, and members of many dead groups. */
	assert_non_null(wide);
	wide[0] = (struct plan_task){ .pid = 10, .subreaper = true };
	for (int i = 1; i < 9000; i++)
		wide[i] = (struct plan_task){ .pid = 10000 + i, .ppid = 10 };
	for (int i = 1; i < 3000; i++)
		wide[i].sid = wide[i].pgid = 20000 + i / 3;
	for (int i = 3000; i < 6000; i++)
		wide[i].pgid = 30000 + i / 3;
	assert_int_equal(plan_make(&p, wide, 9000, &err), 0);
	plan_done(&p);
	free(t);
	free(wide);
}

/* Anything at all: it must end, and each plan that it makes must be one. */
static void test_plan_make__random_numbers(void **state)
{
	struct plan_task t[12];
	int code;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		size_t n = 1 + rnd(N(t));

		for (size_t i = 0; i < n; i++) {
			t[i] = (struct plan_task){
				.pid = rnd(8) ? 10 + (pid_t)i : 9 + (pid_t)rnd(14),
				.ppid = i ? 10 + (pid_t)rnd((uint32_t)i + 1) : 0,
				.sid = rnd(2) ? 10 + (pid_t)rnd(14) : 0,
				.pgid = rnd(2) ? 10 + (pid_t)rnd(14) : 0,
				.zombie = !rnd(6),
				.subreaper = !rnd(4),
				.inherits = !rnd(3),
			};
			for (int k = 0; k < PLAN_SHARED_NR; k++)
				t[i].share[k] = rnd(6) ? 0 : 10 + rnd(3);
		}
		try_plan(t, n, &code);
		assert_true(code == 0 || code == CKPT_E_IMAGE || code == CKPT_E_UNSUPPORTED);
	}
}

/* ---- trees made by a random life ---- */

static int random_living(const struct model *m)
{
	for (;;) {
		int i = (int)rnd((uint32_t)m->n);

		if (m->proc[i].there && !m->proc[i].zombie)
			return i;
	}
}

static bool in_tree(const struct model *m, int i)
{
	while (i > 0)
		i = m->proc[i].parent;
	return i == 0;
}

static void live_fork(struct model *m, int i)
{
	static const unsigned long some[] = { CLONE_VM, CLONE_VM | CLONE_SIGHAND, CLONE_FILES,
					      CLONE_FS };
	unsigned long flags = 0;

	for (int k = 0; k < 2; k++)
		flags |= rnd(8) ? 0 : some[rnd(4)];
	if (i && !rnd(12))
		flags |= CLONE_PARENT;
	if (m->n < 60)
		model_clone(m, m->n, i, 100 + (pid_t)m->n, flags);
}

static void live_unshare(struct model *m, int i)
{
	/* As exec(2) does, or unshare(2). */
	m->proc[i].has[PLAN_FILES] = m->next++;
	if (rnd(2))
		m->proc[i].has[PLAN_MM] = m->next++, m->proc[i].has[PLAN_SIGHAND] = m->next++;
	else
		m->proc[i].has[PLAN_FS] = m->next++;
}

static void live_exit(struct model *m, int i)
{
	if (i)
		model_exit(m, i);
}

static void live_reap(struct model *m)
{
	for (size_t k = 1; k < m->n; k++)
		if (m->proc[k].there && m->proc[k].zombie && (m->proc[k].parent < 0 || !rnd(3)))
			model_reap(m, (int)k);
}

static void live(struct model *m)
{
	int i = random_living(m);
	uint32_t what = rnd(20);

	if (what < 9)
		live_fork(m, i);
	else if (what < 11)
		model_setsid(m, i);
	else if (what < 13)
		model_setpgid(m, i, m->proc[i].pid);
	else if (what < 15)
		model_setpgid(m, i, m->proc[random_living(m)].pgid);
	else if (what < 16)
		m->proc[i].subreaper = true;
	else if (what < 17)
		live_unshare(m, i);
	else if (what < 19)
		live_exit(m, i);
	else
		live_reap(m);
}

static int by_depth_and_pid(const void *a, const void *b)
{
	const struct plan_task *x = a, *y = b;

	return x->pid - y->pid;
}

/* What is saved of it: parents before their children, siblings by pid. */
static size_t save(const struct model *m, struct plan_task *t)
{
	size_t n = 1;
	const struct proc *root = &m->proc[0];

	t[0] = (struct plan_task){ .pid = root->pid };
	for (size_t at = 0; at < n; at++) {
		size_t first = n;

		for (size_t i = 1; i < m->n; i++)
			if (m->proc[i].there && m->proc[i].parent >= 0 && in_tree(m, (int)i) &&
			    m->proc[m->proc[i].parent].pid == t[at].pid)
				t[n++] = (struct plan_task){ .pid = m->proc[i].pid,
							     .ppid = t[at].pid };
		qsort(t + first, n - first, sizeof(*t), by_depth_and_pid);
	}
	return n;
}

static const struct proc *by_pid(const struct model *m, pid_t pid)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->proc[i].pid == pid)
			return &m->proc[i];
	return NULL;
}

/* False: something of it is also outside, for which there is another check (look.c). */
static bool save_rest(const struct model *m, struct plan_task *t, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct proc *p = by_pid(m, t[i].pid);

		t[i].sid = p->sid;
		t[i].pgid = p->pgid;
		t[i].zombie = p->zombie;
		t[i].subreaper = !p->zombie && p->subreaper;
		t[i].inherits = !p->zombie && rnd(2);
		for (int k = 0; k < PLAN_SHARED_NR && !p->zombie; k++)
			for (size_t j = 0; j < n; j++) {
				const struct proc *q = by_pid(m, t[j].pid);

				if (j != i && !q->zombie && q->has[k] == p->has[k])
					t[i].share[k] = p->has[k];
			}
		/* A leader who lives outside of the tree. */
		for (size_t k = 0; k < m->n; k++)
			if (m->proc[k].there && !in_tree(m, (int)k) &&
			    (m->proc[k].pid == p->sid || m->proc[k].pid == p->pgid))
				return false;
	}
	return true;
}

/* What it has with nobody else that it must, to get pages by its birth, is for inherit.c. */
static void drop_impossible_inheritance(struct plan_task *t, size_t n)
{
	struct ckpt_err *err = NULL;
	struct plan p;
	int makers[64];

	if (plan_make(&p, t, n, &err) < 0) {
		ckpt_err_free(err);
		return;
	}
	plan_makers(&p, n, makers);
	for (size_t i = 0; i < n; i++)
		if (makers[i] < 0 || t[makers[i]].zombie || t[i].share[PLAN_MM] ||
		    t[makers[i]].share[PLAN_MM])
			t[i].inherits = false;
	plan_done(&p);
}

static void test_plan_make__random_lives(void **state)
{
	unsigned int planned = 0, refused = 0, sharing = 0;

	(void)state;
	for (int round = 0; round < RANDOM_TREES; round++) {
		struct plan_task t[64];
		uint64_t was = seed;
		struct model m;
		const char *why;
		size_t n;
		int code, steps = 10 + (int)rnd(150);

		model_init(&m);
		model_clone(&m, 0, -1, 100, 0);
		m.proc[0].subreaper = rnd(2) != 0;
		while (steps--)
			live(&m);
		n = save(&m, t);
		if (save_rest(&m, t, n)) {
			drop_impossible_inheritance(t, n);
			why = try_plan(t, n, &code);
			planned += !why;
			sharing += why && code == CKPT_E_UNSUPPORTED && strstr(why, "sibling");
			refused += why && code == CKPT_E_UNSUPPORTED;
			if (why && code != CKPT_E_UNSUPPORTED) {
				for (size_t i = 0; i < n; i++)
					print_message("%d: of %d, session %d, group %d%s%s%s\n",
						      t[i].pid, t[i].ppid, t[i].sid, t[i].pgid,
						      t[i].zombie ? ", zombie" : "",
						      t[i].subreaper ? ", subreaper" : "",
						      t[i].inherits ? ", inherits" : "");
				fail_msg("seed %#llx: %s", (unsigned long long)was, why);
			}
		}
		free(m.proc);
	}
	print_message("%u planned, %u refused (%u for what they share)\n", planned, refused,
		      sharing);
	assert_true(planned > 10 * refused);
}

/* ---- manifests that somebody tampered with ---- */

static json_t *process_row(int i)
{
	return json_pack("{s:i, s:i, s:i, s:i, s:i, s:b, s:{s:i}, s:{s:[s, s]}}", "pid", 10 + i,
			 "ppid", i ? 10 + (i - 1) / 2 : 0, "sid", 10, "pgid", i % 3 ? 10 : 10 + i,
			 "exit_signal", 17, "child_subreaper", i % 2, "shares", "files",
			 10 + (i - 1) / 2 * 2 + (i > 0), "mm", "inherited", "1000-2000",
			 "5000-8000");
}

/* Something that may stand anywhere. */
static json_t *anything(void)
{
	static const char *const texts[] = { "", "x", "1000-2000", "0x7fffffffffffffff", "-1" };
	static const json_int_t numbers[] = {
		0,	   1,	      2,	  10,	     11,	-1,	   65536,
		INT32_MAX, INT32_MIN, UINT32_MAX, INT64_MAX, INT64_MIN, 1LL << 32, (1LL << 32) + 10
	};

	switch (rnd(8)) {
	case 0:
		return json_null();
	case 1:
		return json_string(texts[rnd(N(texts))]);
	case 2:
		return json_array();
	case 3:
		return json_object();
	case 4:
		return json_boolean(rnd(2));
	case 5:
		return json_real(1.5);
	default:
		return json_integer(numbers[rnd(N(numbers))]);
	}
}

static void alter(json_t *tasks)
{
	static const char *const keys[] = { "pid",    "ppid",	     "sid",
					    "pgid",   "exit_signal", "child_subreaper",
					    "shares", "zombie",	     "mm" };
	json_t *row = json_array_get(tasks, rnd((uint32_t)json_array_size(tasks)));

	switch (rnd(6)) {
	case 0:
		json_object_del(row, keys[rnd(N(keys))]);
		break;
	case 1:
		json_object_set_new(json_object_get(row, "shares"), "files", anything());
		break;
	case 2:
		json_array_append_new(tasks, anything());
		break;
	default:
		json_object_set_new(row, keys[rnd(N(keys))], anything());
	}
}

static void test_tasks_plan_image__hostile(void **state)
{
	unsigned int planned = 0;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		json_t *tasks = json_array();
		struct ckpt_err *err = NULL;
		struct plan p;
		int n = 1 + (int)rnd(12), rc;

		for (int i = 0; i < n; i++)
			json_array_append_new(tasks, process_row(i));
		for (uint32_t k = round ? rnd(4) : 0; k; k--)
			alter(tasks);
		rc = tasks_plan_image(tasks, &p, &err);
		assert_true((rc < 0) == (err != NULL));
		if (rc == 0) {
			planned++;
			plan_done(&p);
		} else {
			assert_true(strlen(ckpt_err_text(err)) > 0);
		}
		ckpt_err_free(err);
		json_decref(tasks);
	}
	assert_in_range(planned, 1000, 19000);
}

static int parse_ranges(const char *json, struct inherited *h)
{
	json_t *mm = json_loads(json, 0, NULL);
	struct ckpt_err *err = NULL;
	int rc;

	assert_non_null(mm);
	rc = inherited_parse(h, mm, &err);
	assert_true((rc < 0) == (err != NULL));
	ckpt_err_free(err);
	json_decref(mm);
	return rc;
}

static void test_inherited_parse__hostile(void **state)
{
	static const char *const bad[] = {
		"[5]",
		"[null]",
		"[\"\"]",
		"[\"1000\"]",
		"[\"1000-\"]",
		"[\"2000-1000\"]",
		"[\"1000-1000\"]",
		"[\"1001-2000\"]",
		"[\"1000-2001\"]",
		"[\"5000-6000\", \"1000-2000\"]",
		"[\"1000-3000\", \"2000-4000\"]",
		"[\"1000-2000\", {}]",
		"[\"1000-2000\", \"1000-2000\"]",
		"[\"0-ffffffffffffffff\"]",
	};
	struct inherited h;
	char text[200];

	(void)state;
	for (size_t i = 0; i < N(bad); i++) {
		snprintf(text, sizeof(text), "{\"inherited\": %s}", bad[i]);
		if (parse_ranges(text, &h) == 0)
			fail_msg("it was taken: %s", bad[i]);
		inherited_done(&h);
	}
	assert_int_equal(parse_ranges("{}", &h), 0);
	assert_int_equal(h.pages.n, 0);
	/* Neighbours are one. */
	assert_int_equal(parse_ranges("{\"inherited\": [\"1000-2000\", \"2000-4000\", "
				      "\"7ffffffff000-800000000000\"]}",
				      &h),
			 0);
	assert_int_equal(h.pages.n, 2);
	assert_int_equal(h.pages.range[0].end, 0x4000);
	assert_int_equal(ranges_from(&h.pages, 0), 0);
	assert_int_equal(ranges_from(&h.pages, 0x3fff), 0);
	assert_int_equal(ranges_from(&h.pages, 0x4000), 1);
	assert_int_equal(ranges_from(&h.pages, 0x800000000000), 2);
	inherited_done(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plan_make__one_process),
		cmocka_unit_test(test_plan_make__sessions),
		cmocka_unit_test(test_plan_make__orphans),
		cmocka_unit_test(test_plan_make__groups),
		cmocka_unit_test(test_plan_make__sharing),
		cmocka_unit_test(test_plan_make__forests),
		cmocka_unit_test(test_plan_make__no_tree),
		cmocka_unit_test(test_plan_make__deep_and_wide),
		cmocka_unit_test(test_plan_make__random_numbers),
		cmocka_unit_test(test_plan_make__random_lives),
		cmocka_unit_test(test_tasks_plan_image__hostile),
		cmocka_unit_test(test_inherited_parse__hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
