// SPDX-License-Identifier: LGPL-2.1-or-later
/* The births of a tree under construction, as planned: see plan.h. */
#include "build.h"
#include "tasks.h"
#include "trace.h"
#include "util.h"

#include <errno.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define KERNEL_SIGSET 8
/* A helper may get a pid that the image needs: then another is made. */
#define HELPER_TRIES 64

/* ---- who ---- */

static bool is_helper(const struct restore *r, int task)
{
	return (size_t)task >= r->n_procs;
}

static struct build_helper *helper_of(const struct restore *r, int task)
{
	return &r->helper[(size_t)task - r->n_procs];
}

static pid_t pid_of(const struct restore *r, int task)
{
	return is_helper(r, task) ? helper_of(r, task)->pid : r->proc[task].pid;
}

/* With a copy of whose memory a child of it is born; NULL: of none but the arena. */
static struct build *copied_by(const struct restore *r, int maker)
{
	struct build *m;

	if (is_helper(r, maker))
		return helper_of(r, maker)->copy_of;
	m = r->proc[maker].zombie ? &r->proc[maker] : r->proc[maker].mm_owner;
	return m->has_memory ? m : m->copy_of;
}

/* The pid, as we see it, of the one that has this pid in the new namespace. */
static int outer_pid(struct restore *r, pid_t vpid, pid_t *ret, struct ckpt_err **err)
{
	struct loader_why why = { 0 };
	struct snapshot *s = NULL;
	int rc;

	*ret = vpid;
	if (!r->ns_init)
		return 0;
	rc = snapshot_take(r->loader, NULL, 0, SNAPSHOT_MEMBERS, &s, &why);
	if (rc < 0)
		return ckpt_fail_loader(err, rc, &why);
	*ret = 0;
	for (size_t i = 0; i < s->n_members; i++)
		if (s->members[i]->vtid == vpid && s->members[i]->pid_ns_inum == r->pid_ns_inum)
			*ret = s->members[i]->tid;
	snapshot_free(s);
	return *ret ? 0 : ckpt_fail(err, ESRCH, CKPT_E_DIED, "process %d died at its birth", vpid);
}

static int note_namespace(struct restore *r, struct ckpt_err **err)
{
	struct loader_why why = { 0 };
	struct snapshot *s = NULL;
	pid_t root = r->proc[0].pid;
	int rc;

	if (!r->ns_init)
		return 0;
	rc = snapshot_take(r->loader, &root, 1, SNAPSHOT_TASKS, &s, &why);
	if (rc < 0)
		return ckpt_fail_loader(err, rc, &why);
	if (snapshot_task(s, root))
		r->pid_ns_inum = snapshot_task(s, root)->pid_ns_inum;
	snapshot_free(s);
	return 0;
}

/* ---- births ---- */

/* One clone by `maker`; vpid 0: any. *ret_vpid: which it got. */
static int clone_by(struct restore *r, pid_t maker, pid_t vpid, unsigned long flags,
		    int exit_signal, pid_t *ret_vpid, pid_t *ret_pid, struct ckpt_err **err)
{
	struct arena *a = &r->arena;
	struct clone_args ca = {
		.flags = flags | CLONE_PTRACE,
		.exit_signal = flags & CLONE_PARENT ? 0 : (uint64_t)exit_signal,
		.set_tid_size = vpid ? 1 : 0,
	};
	struct remote_op *op;
	int rc, group_stop;

	if (vpid)
		ca.set_tid = arena_data(a, &vpid, sizeof(vpid));
	/* It begins traced and stopped, and never runs the rest of its maker's array. */
	op = arena_op(a, "make a process", SYS_clone3, arena_data(a, &ca, sizeof(ca)), sizeof(ca),
		      0, 0, 0, 0);
	op->flags = REMOTE_MAY_FAIL;
	rc = arena_run(a, maker, err);
	if (rc < 0)
		return rc;
	if (op->ret == -EEXIST)
		return ckpt_fail(
			err, EEXIST, CKPT_E_PID_TAKEN,
			"pid %d is in use, if only as the id of a session or process group", vpid);
	if (op->ret < 0)
		return ckpt_fail_errno(err, (int)op->ret, CKPT_E_RESTORE, "make process %d", vpid);
	*ret_vpid = (pid_t)op->ret;
	rc = outer_pid(r, *ret_vpid, ret_pid, err);
	if (rc == 0)
		rc = trace_wait_stop(*ret_pid, TRACE_STOP_DEADLINE_MS, &group_stop);
	if (rc < 0 && *ret_pid)
		return ckpt_fail_errno(err, rc, CKPT_E_DIED, "process %d died at its birth",
				       *ret_vpid);
	return rc;
}

static bool is_needed(const struct restore *r, pid_t vpid)
{
	for (size_t i = 0; i < r->n_procs; i++) {
		const struct build *b = &r->proc[i];

		for (size_t k = 0; k < b->n_threads; k++)
			if (b->thread[k].vtid == vpid)
				return true;
		if (b->vpid == vpid)
			return true;
	}
	for (size_t i = 0; i < r->plan.n; i++)
		if (is_helper(r, r->plan.step[i].task) && r->plan.step[i].pid == vpid)
			return true;
	return false;
}

/* Run one call alone in a process, and look at its result. */
static int call(struct restore *r, pid_t pid, const char *what, long nr, uint64_t a0, uint64_t a1,
		uint64_t a2, uint64_t a3, struct ckpt_err **err)
{
	arena_op(&r->arena, what, nr, a0, a1, a2, a3, 0, 0);
	return arena_run(&r->arena, pid, err);
}

/* Let a process exit, and its maker, the parent, forget it. */
static int end_helper(struct restore *r, pid_t pid, pid_t vpid, pid_t maker, struct ckpt_err **err)
{
	int status = 0, rc = arena_run_last(&r->arena, pid, SYS_exit_group, 0, 0, 0, &status, err);

	if (rc < 0)
		return rc;
	return call(r, maker, "forget a helper process", SYS_wait4, (uint64_t)vpid, 0, __WALL, 0,
		    err);
}

static int make_helper(struct restore *r, const struct plan_step *s, struct ckpt_err **err)
{
	struct build_helper *h = helper_of(r, s->task), unfit[HELPER_TRIES];
	pid_t maker = pid_of(r, s->maker);
	size_t n = 0;
	int rc;

	for (;;) {
		rc = clone_by(r, maker, s->pid, 0, s->exit_signal, &h->vpid, &h->pid, err);
		if (rc < 0 || s->pid || !is_needed(r, h->vpid))
			break;
		unfit[n++] = *h;
		h->pid = 0;
		if (n == HELPER_TRIES) {
			rc = ckpt_fail(err, EAGAIN, CKPT_E_RESTORE, "no pid is left for a helper");
			break;
		}
	}
	for (size_t i = 0; i < n; i++) {
		int rc2 = end_helper(r, unfit[i].pid, unfit[i].vpid, maker, rc < 0 ? NULL : err);

		rc = rc < 0 ? rc : rc2;
	}
	h->copy_of = copied_by(r, s->maker);
	return rc;
}

/* The first thing that a process does: be there for those who lose their parents. */
static int settle_in(struct build *b, struct ckpt_err **err)
{
	if (!json_is_true(json_object_get(b->task, "child_subreaper")))
		return 0;
	return call(b->r, b->pid, "become a child subreaper", SYS_prctl, PR_SET_CHILD_SUBREAPER, 1,
		    0, 0, err);
}

static int make_root(struct restore *r, struct build *b, struct ckpt_err **err)
{
	int rc = build_root(b, err);

	if (rc == 0 && b == r->proc)
		rc = note_namespace(r, err);
	if (rc == 0)
		rc = build_empty(b, err);
	if (rc == 0)
		rc = build_keep_in_tasks(b, b->pid, err);
	return rc < 0 ? rc : arena_run(&r->arena, b->pid, err);
}

static int make_process(struct restore *r, const struct plan_step *s, struct ckpt_err **err)
{
	struct build *b = &r->proc[s->task];
	int32_t exit_signal = 0;
	pid_t vpid = 0;
	int rc = 0;

	if (s->maker < 0) {
		rc = make_root(r, b, err);
	} else {
		if (b->parent)
			rc = js_i32(b->task, "exit_signal", &exit_signal, err);
		if (rc == 0 && (exit_signal < 0 || exit_signal > 64))
			rc = ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "process %d ends with signal %d",
				       b->vpid, exit_signal);
		if (rc == 0)
			rc = clone_by(r, pid_of(r, s->maker), b->vpid, s->flags, exit_signal, &vpid,
				      &b->pid, err);
		b->made = b->pid > 0;
		b->copy_of = copied_by(r, s->maker);
	}
	if (rc < 0)
		return rc;
	if (b->n_threads)
		b->thread[0].tid = b->pid;
	return settle_in(b, err);
}

static int make(struct restore *r, const struct plan_step *s, struct ckpt_err **err)
{
	if (is_helper(r, s->task))
		return make_helper(r, s, err);
	return make_process(r, s, err);
}

/* ---- steps ---- */

/* Everybody who started us is in this group. */
static pid_t outside_group(const struct restore *r)
{
	return r->ns_init ? 0 : getpgrp();
}

static int take_step(struct restore *r, const struct plan_step *s, struct ckpt_err **err)
{
	pid_t pid = pid_of(r, s->task);
	int rc;

	switch (s->what) {
	case PLAN_MAKE:
		return make(r, s, err);
	case PLAN_SETSID:
		rc = call(r, pid, "make a session", SYS_setsid, 0, 0, 0, 0, err);
		if (rc == 0 && !is_helper(r, s->task))
			rc = build_tty_take(&r->proc[s->task], err);
		return rc;
	case PLAN_SETPGID:
		return call(r, pid, "go to a process group", SYS_setpgid, 0,
			    (uint64_t)(s->pid ? s->pid : outside_group(r)), 0, 0, err);
	case PLAN_MEMORY:
		return build_memory(&r->proc[s->task], err);
	case PLAN_END:
		rc = end_helper(r, pid, helper_of(r, s->task)->vpid, pid_of(r, s->maker), err);
		helper_of(r, s->task)->pid = 0;
		if (s->exit_signal && !is_helper(r, s->maker))
			r->proc[s->maker].n_told++;
		return rc;
	case PLAN_REAP:
		return call(r, pid, "be a child subreaper for a while", SYS_prctl,
			    PR_SET_CHILD_SUBREAPER, s->flags, 0, 0, err);
	}
	return 0;
}

void build_pin(struct build_pin *p)
{
	int cpu = sched_getcpu();
	cpu_set_t one;

	CPU_ZERO(&one);
	if (cpu < 0 || cpu >= CPU_SETSIZE ||
	    sched_getaffinity(0, sizeof(p->before), &p->before) < 0)
		return; /* it is only faster */
	CPU_SET((size_t)cpu, &one);
	p->set = sched_setaffinity(0, sizeof(one), &one) == 0;
}

void build_unpin(const struct build_pin *p)
{
	if (p->set)
		sched_setaffinity(0, sizeof(p->before), &p->before);
}

static void find_leaves(struct restore *r)
{
	for (size_t i = 0; i < r->n_procs; i++)
		r->proc[i].is_leaf = true;
	for (size_t i = 0; i < r->plan.n; i++) {
		const struct plan_step *s = &r->plan.step[i];

		if (s->what == PLAN_MAKE && s->maker >= 0 && !is_helper(r, s->maker))
			r->proc[s->maker].is_leaf = false;
	}
}

int tree_build(struct restore *r, struct ckpt_err **err)
{
	int rc = 0;

	find_leaves(r);
	for (size_t i = 0; rc == 0 && i < r->plan.n; i++)
		rc = take_step(r, &r->plan.step[i], err);
	return rc;
}

/* ---- zombies ---- */

static int end_as_it_did(struct build *b, int status, struct ckpt_err **err)
{
	static const struct build_sigaction by_default;
	struct restore *r = b->r;
	struct arena *a = &r->arena;
	const struct rlimit no_core = { 0, 0 };
	uint64_t none = 0;
	int sig = status & 0x7f, got = 0, rc;

	if (!sig)
		return arena_run_last(a, b->pid, SYS_exit_group, (uint64_t)(status >> 8), 0, 0,
				      &got, err);
	arena_op(a, "dump no core", SYS_setrlimit, RLIMIT_CORE,
		 arena_data(a, &no_core, sizeof(no_core)), 0, 0, 0, 0);
	if (sig != SIGKILL && sig != SIGSTOP)
		arena_op(a, "set a signal's action", SYS_rt_sigaction, (uint64_t)sig,
			 arena_data(a, &by_default, sizeof(by_default)), 0, KERNEL_SIGSET, 0, 0);
	arena_op(a, "unblock signals", SYS_rt_sigprocmask, SIG_SETMASK,
		 arena_data(a, &none, sizeof(none)), 0, KERNEL_SIGSET, 0, 0);
	rc = arena_run(a, b->pid, err);
	if (rc < 0)
		return rc;
	return arena_run_last(a, b->pid, SYS_kill, (uint64_t)b->vpid, (uint64_t)sig, 0, &got, err);
}

static int build_zombie(struct build *b, struct ckpt_err **err)
{
	struct build_thread *t = &b->thread[0];
	_cleanup_free_ char *comm = NULL;
	int32_t status = 0;
	int rc = js_i32(json_object_get(b->task, "zombie"), "status", &status, err);

	if (rc == 0)
		rc = js_bytes(t->json, "comm", &comm, err);
	if (rc == 0 && (strlen(comm) > 15 || status < 0 || status > 0xffff ||
			(status & 0x7f) > 64 || (status & 0xff) == 0x7f))
		rc = ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "zombie %d is not sound", b->vpid);
	if (rc < 0)
		return rc;
	arena_op(&b->r->arena, "name a thread", SYS_prctl, PR_SET_NAME,
		 arena_data(&b->r->arena, comm, strlen(comm) + 1), 0, 0, 0, 0);
	rc = arena_run(&b->r->arena, b->pid, err);
	if (rc == 0 && !build_inherits(b, t, "cred"))
		rc = build_cred(b, t, err);
	if (rc == 0)
		rc = arena_run(&b->r->arena, b->pid, err);
	if (rc == 0)
		rc = end_as_it_did(b, status, err);
	if (rc == 0 && b->parent)
		b->parent->n_told++;
	return rc;
}

int build_zombies(struct restore *r, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = r->n_procs; rc == 0 && i-- > 0;)
		if (r->proc[i].zombie)
			rc = build_zombie(&r->proc[i], err);
	return rc;
}

/* ---- failure ---- */

static void kill_and_wait(pid_t pid)
{
	int status;

	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	while (waitpid(pid, &status, __WALL) > 0 && WIFSTOPPED(status))
		;
}

static void kill_process(struct build *b)
{
	int status;

	if (!b->made)
		return;
	kill(b->pid, SIGKILL);
	/* Threads are traced: each is waited for, the leader last. */
	for (size_t i = b->n_threads; i-- > 1;)
		if (b->thread[i].tid)
			while (waitpid(b->thread[i].tid, &status, __WALL) > 0 && WIFSTOPPED(status))
				;
	kill_and_wait(b->pid);
	b->made = false;
}

void tree_kill(struct restore *r)
{
	for (size_t i = 0; i < r->plan.n_helpers && r->helper; i++)
		kill_and_wait(r->helper[i].pid);
	for (size_t i = r->n_procs; i-- > 0;)
		kill_process(&r->proc[i]);
	if (r->ns_init)
		kill_and_wait(r->ns_init);
	r->ns_init = 0;
}
