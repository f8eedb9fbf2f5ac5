// SPDX-License-Identifier: LGPL-2.1-or-later
/* Threads of a process under construction, and their attributes. See build.h. */
#include "build.h"
#include "tasks.h"
#include "trace.h"
#include "util.h"

#include <errno.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

static int find_tids(struct build *b, struct ckpt_err **err)
{
	struct loader_why why = { 0 };
	struct snapshot *s = NULL;
	int rc;

	if (!b->r->ns_init) { /* one numbering */
		for (size_t i = 0; i < b->n_threads; i++)
			b->thread[i].tid = b->thread[i].vtid;
		return 0;
	}
	rc = snapshot_take(b->r->loader, &b->pid, 1, SNAPSHOT_TASKS, &s, &why);
	if (rc < 0)
		return ckpt_fail_loader(err, rc, &why);
	for (size_t i = 0; i < s->n_tasks; i++)
		for (size_t k = 0; k < b->n_threads; k++)
			if (b->thread[k].vtid == s->tasks[i]->vtid)
				b->thread[k].tid = s->tasks[i]->tid;
	snapshot_free(s);
	return 0;
}

static int queue_clone(struct build *b, pid_t maker, pid_t vtid, struct ckpt_err **err)
{
	struct clone_args ca = {
		.flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
			 CLONE_SYSVSEM | CLONE_PTRACE,
		.set_tid_size = 1,
	};
	int rc = build_room(b, maker, 1, sizeof(ca) + sizeof(vtid) + 32, err);

	if (rc < 0)
		return rc;
	ca.set_tid = arena_data(&b->r->arena, &vtid, sizeof(vtid));
	/* A new thread begins traced and stopped: it never runs the rest of its maker's array. */
	arena_op(&b->r->arena, "make a thread", SYS_clone3,
		 arena_data(&b->r->arena, &ca, sizeof(ca)), sizeof(ca), 0, 0, 0, 0);
	return 0;
}

int build_clone_threads(struct build *b, size_t maker, const size_t *which, size_t n,
			struct ckpt_err **err)
{
	pid_t tid = b->thread[maker].tid;
	int rc = 0, group_stop;

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = queue_clone(b, tid, b->thread[which[i]].vtid, err);
	if (rc == 0 && n)
		rc = arena_run(&b->r->arena, tid, err);
	if (rc == 0 && n)
		rc = find_tids(b, err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		const struct build_thread *t = &b->thread[which[i]];

		rc = trace_wait_stop(t->tid, TRACE_STOP_DEADLINE_MS, &group_stop);
		if (rc < 0)
			return ckpt_fail_errno(err, rc, CKPT_E_DIED, "thread %d did not start",
					       t->vtid);
	}
	return rc;
}

static int queue_pending(struct build *b, struct build_thread *t, const json_t *rows, bool shared,
			 struct ckpt_err **err)
{
	for (size_t i = 0; i < json_array_size(rows); i++) {
		siginfo_t si;
		uint64_t at;
		int rc = siginfo_parse(json_array_get(rows, i), &si, err);

		/* A SIGSTOP would act at once, a SIGTRAP end the stub's next array: see
		 * build_finish(). */
		if (rc == 0 && (si.si_signo == SIGSTOP || si.si_signo == SIGTRAP ||
				build_timer_queues(b, &si)))
			continue;
		if (rc == 0)
			rc = build_room(b, t->tid, 1, sizeof(si), err);
		if (rc < 0)
			return rc;
		at = arena_data(&b->r->arena, &si, sizeof(si));
		if (shared)
			arena_op(&b->r->arena, "queue a pending signal", SYS_rt_sigqueueinfo,
				 (uint64_t)b->vpid, (uint64_t)si.si_signo, at, 0, 0, 0);
		else
			arena_op(&b->r->arena, "queue a pending signal", SYS_rt_tgsigqueueinfo,
				 (uint64_t)b->vpid, (uint64_t)t->vtid, (uint64_t)si.si_signo, at, 0,
				 0);
	}
	return 0;
}

/*
 * While the tree was built, children ended and stopped: what the process was told of it is not its
 * own. It knew of a stop whose status it had asked for.
 */
static int forget_told(struct build *b, const struct build_thread *t, struct ckpt_err **err)
{
	struct arena *a = &b->r->arena;
	const struct timespec now = { 0, 0 };
	const uint64_t all = ~0ULL;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < b->r->n_procs; i++) {
		const struct build *c = &b->r->proc[i];
		const json_t *info;

		if (c->parent != b)
			continue;
		info = json_object_get(c->task, "info");
		if (!json_integer_value(json_object_get(info, "stopped")) ||
		    !json_is_true(json_object_get(info, "stop_told")))
			continue;
		rc = build_room(b, t->tid, 1, 0, err);
		if (rc == 0)
			arena_op(a, "ask for the status of a stopped child", SYS_wait4,
				 (uint64_t)c->vpid, 0, WUNTRACED | WNOHANG, 0, 0, 0);
	}
	/* One signal per child at the most, however it may be queued. */
	for (unsigned int i = 0; rc == 0 && i < b->n_told; i++) {
		rc = build_room(b, t->tid, 1, 64, err);
		if (rc == 0)
			arena_op(a, "take a signal of a child", SYS_rt_sigtimedwait,
				 arena_data(a, &all, sizeof(all)), 0,
				 arena_data(a, &now, sizeof(now)), 8, 0, 0)
				->flags = REMOTE_MAY_FAIL;
	}
	return rc;
}

static int set_sched(const struct build_thread *t, struct ckpt_err **err)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} sa = { .size = 48 };

	uint64_t mask[REC_CPUS_U64] = { 0 };
	json_t *sc, *aff = NULL;
	bool reset = false;
	uint32_t ioprio = 0;
	int rc = js_obj(t->json, "sched", &sc, err);

	if (rc == 0)
		rc = js_u32(sc, "policy", &sa.policy, err);
	if (rc == 0)
		rc = js_i32(sc, "nice", &sa.nice, err);
	if (rc == 0)
		rc = js_u32(sc, "rt_priority", &sa.priority, err);
	if (rc == 0)
		rc = js_bool(sc, "reset_on_fork", &reset, err);
	if (rc == 0)
		rc = js_u32(sc, "ioprio", &ioprio, err);
	if (rc == 0)
		rc = js_arr(sc, "affinity", &aff, err);
	if (rc == 0)
		rc = js_opt_u64(sc, "dl_runtime_ns", &sa.runtime, err);
	if (rc == 0)
		rc = js_opt_u64(sc, "dl_deadline_ns", &sa.deadline, err);
	if (rc == 0)
		rc = js_opt_u64(sc, "dl_period_ns", &sa.period, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < json_array_size(aff) && i < REC_CPUS_U64; i++)
		mask[i] = strtoull(json_string_value(json_array_get(aff, i)) ?: "0", NULL, 0);
	sa.flags = reset ? 1 : 0;
	if (syscall(SYS_sched_setaffinity, t->tid, sizeof(mask), mask) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_MACHINE,
				       "set the CPU affinity of thread %d", t->vtid);
	/* A real-time thread has a nice value, too, for later; sched_setattr(2) does not set it
	 * then. */
	if (setpriority(PRIO_PROCESS, (id_t)t->tid, sa.nice) < 0 ||
	    syscall(SYS_sched_setattr, t->tid, &sa, 0) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_PRIVILEGE,
				       "set scheduling policy %u of thread %d", sa.policy, t->vtid);
	if (ioprio && syscall(SYS_ioprio_set, 1 /* a thread */, t->tid, ioprio) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_PRIVILEGE,
				       "set the I/O priority of thread %d", t->vtid);
	return 0;
}

struct thread_in {
	char *comm; /* owned */
	uint64_t clear_child_tid, robust_list, sas_sp, sas_size, rseq, personality, slack;
	uint32_t sas_flags, rseq_len, rseq_sig, mce_kill;
	int32_t pdeath;
	bool nnp;
};

static int parse_thread(const json_t *o, struct thread_in *in, struct ckpt_err **err)
{
	json_t *sas = NULL, *rseq = NULL;
	int64_t slack = 0;
	int rc = js_bytes(o, "comm", &in->comm, err);

	if (rc == 0)
		rc = js_obj(o, "altstack", &sas, err);
	if (rc == 0)
		rc = js_u64(sas, "sp", &in->sas_sp, err);
	if (rc == 0)
		rc = js_u64(sas, "size", &in->sas_size, err);
	if (rc == 0)
		rc = js_u32(sas, "flags", &in->sas_flags, err);
	if (rc == 0)
		rc = js_obj(o, "rseq", &rseq, err);
	if (rc == 0)
		rc = js_u64(rseq, "addr", &in->rseq, err);
	if (rc == 0)
		rc = js_u32(rseq, "len", &in->rseq_len, err);
	if (rc == 0)
		rc = js_u32(rseq, "sig", &in->rseq_sig, err);
	if (rc == 0)
		rc = js_u64(o, "clear_child_tid", &in->clear_child_tid, err);
	if (rc == 0)
		rc = js_u64(o, "robust_list", &in->robust_list, err);
	if (rc == 0)
		rc = js_u64(o, "personality", &in->personality, err);
	if (rc == 0)
		rc = js_i64(o, "timer_slack_ns", &slack, err);
	if (rc == 0)
		rc = js_i32(o, "pdeath_signal", &in->pdeath, err);
	if (rc == 0)
		rc = js_u32(o, "mce_kill", &in->mce_kill, err);
	if (rc == 0)
		rc = js_bool(o, "no_new_privs", &in->nnp, err);
	in->slack = (uint64_t)slack;
	return rc;
}

static void queue_thread(struct build *b, const struct thread_in *in)
{
	struct arena *a = &b->r->arena;
	stack_t ss = { .ss_sp = (void *)(uintptr_t)in->sas_sp,
		       .ss_size = in->sas_size,
		       .ss_flags = in->sas_size ? (int)(in->sas_flags & 0x80000000u) : SS_DISABLE };

	arena_op(a, "name a thread", SYS_prctl, PR_SET_NAME,
		 arena_data(a, in->comm, strlen(in->comm) + 1), 0, 0, 0, 0);
	arena_op(a, "set clear_child_tid", SYS_set_tid_address, in->clear_child_tid, 0, 0, 0, 0, 0);
	arena_op(a, "set the robust list", SYS_set_robust_list, in->robust_list, 24, 0, 0, 0, 0);
	arena_op(a, "set the alternate signal stack", SYS_sigaltstack,
		 arena_data(a, &ss, sizeof(ss)), 0, 0, 0, 0, 0);
	/* 0 would mean the default: a slack of 0 is that of a real-time thread, which has none. */
	if (in->slack)
		arena_op(a, "set the timer slack", SYS_prctl, PR_SET_TIMERSLACK, in->slack, 0, 0, 0,
			 0);
	if (in->mce_kill != PR_MCE_KILL_DEFAULT)
		arena_op(a, "set the memory-failure policy", SYS_prctl, PR_MCE_KILL,
			 PR_MCE_KILL_SET, in->mce_kill, 0, 0, 0);
	arena_op(a, "set the personality", SYS_personality, in->personality, 0, 0, 0, 0, 0);
	if (in->rseq)
		arena_op(a, "register rseq", SYS_rseq, in->rseq, in->rseq_len, 0, in->rseq_sig, 0,
			 0);
}

/* A leader that has ended is still seen by its name, and by its user to those who send signals. */
static int ended_attributes(struct build *b, struct build_thread *t, struct ckpt_err **err)
{
	struct arena *a = &b->r->arena;
	_cleanup_free_ char *comm = NULL;
	int rc = js_bytes(t->json, "comm", &comm, err);

	if (rc == 0 && strlen(comm) > 15)
		rc = ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "the name of thread %d is too long",
			       t->vtid);
	if (rc == 0)
		rc = forget_told(b, t, err);
	if (rc == 0)
		rc = queue_pending(b, t, json_object_get(b->task, "pending"), true, err);
	if (rc == 0)
		rc = build_room(b, t->tid, 1, 64, err);
	if (rc < 0)
		return rc;
	arena_op(a, "name a thread", SYS_prctl, PR_SET_NAME, arena_data(a, comm, strlen(comm) + 1),
		 0, 0, 0, 0);
	if (!build_inherits(b, t, "cred"))
		rc = build_cred(b, t, err);
	return rc < 0 ? rc : arena_run(a, t->tid, err);
}

int build_dumpable(const struct build *b, uint32_t *ret, struct ckpt_err **err)
{
	*ret = 2;
	return b->mm_owner == b ? js_u32(json_object_get(b->task, "mm"), "dumpable", ret, err) : 0;
}

int build_thread_attributes(struct build *b, struct build_thread *t, struct ckpt_err **err)
{
	struct thread_in in = { 0 };
	uint32_t dumpable = 2; /* not its business, or by whom it was executed */
	struct arena *a = &b->r->arena;
	int rc;

	if (t->ended)
		return ended_attributes(b, t, err);
	rc = parse_thread(t->json, &in, err);
	if (rc == 0 && strlen(in.comm) > 15)
		rc = ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "the name of thread %d is too long",
			       t->vtid);
	if (rc == 0 && !build_inherits(b, t, "sched"))
		rc = set_sched(t, err);
	if (rc == 0 && t == b->thread)
		rc = forget_told(b, t, err);
	if (rc == 0)
		rc = build_room(b, t->tid, 16, 256, err);
	if (rc == 0) {
		queue_thread(b, &in);
		rc = queue_pending(b, t, json_object_get(t->json, "pending"), false, err);
	}
	if (rc == 0 && t == b->thread)
		rc = queue_pending(b, t, json_object_get(b->task, "pending"), true, err);
	if (rc == 0)
		rc = build_attrs(b, t, err);
	if (rc == 0 && !build_inherits(b, t, "cred"))
		rc = build_cred(b, t, err);
	if (rc == 0 && t == b->thread)
		rc = build_dumpable(b, &dumpable, err);
	if (rc == 0)
		rc = build_room(b, t->tid, 4, 0, err);
	if (rc == 0) {
		/* After the ids: changing them clears it. */
		arena_op(a, "set the parent-death signal", SYS_prctl, PR_SET_PDEATHSIG,
			 (uint64_t)in.pdeath, 0, 0, 0, 0);
		if (in.nnp)
			arena_op(a, "set no_new_privs", SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0,
				 0);
		/* Changing the ids clears this, too. */
		if (dumpable < 2)
			arena_op(a, "set whether it is dumpable", SYS_prctl, PR_SET_DUMPABLE,
				 dumpable, 0, 0, 0, 0);
		rc = arena_run(a, t->tid, err);
	}
	free(in.comm);
	return rc;
}
