// SPDX-License-Identifier: LGPL-2.1-or-later
/* Freezing a tree of processes. See freeze.h. */
#include "freeze.h"
#include "trace.h"
#include "util.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

/*
 * A pass lists the threads of the tree, seizes those that are new, and stops them. A thread not yet
 * stopped may make another, or a process, meanwhile; each pass leaves fewer that can. A program
 * that only forks is caught after a handful of passes; the bound is there so that the pause is
 * bounded whatever happens.
 */
#define FREEZE_PASSES_MAX 200
/* A thread that is ending or in exec(2) may not be seized for a moment: EPERM, as without
 * privilege. */
#define REFUSED_PASSES_MAX 20

static int by_tid(const void *a, const void *b)
{
	const struct frozen *x = a, *y = b;

	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

static int by_process(const void *a, const void *b)
{
	const struct frozen *x = a, *y = b;

	if (x->tgid != y->tgid)
		return x->tgid < y->tgid ? -1 : 1;
	return by_tid(a, b);
}

/* Among the first `known` threads, which are sorted by tid. */
static bool is_frozen(const struct freeze *f, size_t known, pid_t tid)
{
	struct frozen key = { .tid = tid };

	return known && bsearch(&key, f->thread, known, sizeof(key), by_tid);
}

static void forget(struct freeze *f, size_t i)
{
	f->thread[i] = f->thread[--f->n];
}

static int add(struct freeze *f, const struct rec_member *m, struct ckpt_err **err)
{
	/* Grow by doubling: powers of two. */
	if ((f->n & (f->n - 1)) == 0) {
		struct frozen *more = realloc(f->thread, (f->n ? 2 * f->n : 1) * sizeof(*more));

		if (!more)
			return ckpt_fail_nomem(err);
		f->thread = more;
	}
	f->thread[f->n++] = (struct frozen){ .tid = m->tid, .tgid = m->tgid };
	return 0;
}

/* What a pass met. */
struct pass {
	size_t known;	 /* threads frozen by earlier passes */
	size_t n_new;	 /* seized now */
	size_t n_busy;	 /* that could not be seized yet, and will be looked for again */
	int refusals;	 /* passes in a row that met EPERM */
	size_t n_ending; /* processes that have no thread any more, and are no zombies yet */
	pid_t in_vfork;	 /* a process that runs in its parent's memory, or 0 */
};

static bool member_is_exiting(const struct rec_member *m)
{
	return m->pf_flags & 0x4 /* PF_EXITING */ || m->exit_state;
}

static int seize_one(struct freeze *f, const struct rec_member *m, struct pass *p,
		     struct ckpt_err **err)
{
	int rc = trace_seize(m->tid, PTRACE_O_TRACESYSGOOD);

	if (rc == -ESRCH)
		return 0; /* ended meanwhile */
	if (rc == -EPERM && !m->tracer_tgid && p->refusals < REFUSED_PASSES_MAX) {
		p->n_busy++;
		return 0;
	}
	if (rc < 0)
		return ckpt_fail_errno(err, rc, m->tracer_tgid ? CKPT_E_TRACED : CKPT_E_PRIVILEGE,
				       "seize thread %d", m->tid);
	rc = add(f, m, err);
	trace_interrupt(m->tid);
	if (rc == 0)
		p->n_new++;
	return rc;
}

/*
 * Seize and interrupt the threads of the tree that are not in `f` yet. A process made by vfork(2)
 * is let run until it has a memory of its own: its parent cannot stop before.
 */
static int seize_new(struct freeze *f, const struct tree *t, struct pass *p, struct ckpt_err **err)
{
	const struct snapshot *s = t->members;

	p->in_vfork = 0;
	for (size_t i = 0; i < t->n; i++) {
		bool lives = false;
		size_t first, n;

		snapshot_members_of(s, t->proc[i].tgid, &first, &n);
		for (size_t k = first; k < first + n; k++) {
			const struct rec_member *m = s->members[k];
			int rc;

			if (member_is_exiting(m))
				continue;
			lives = true;
			if (is_frozen(f, p->known, m->tid))
				continue;
			if (m->in_vfork && i > 0) {
				p->in_vfork = m->tgid;
				continue;
			}
			rc = seize_one(f, m, p, err);
			if (rc < 0)
				return rc;
		}
		/* On its way out: it will be a zombie, or gone. */
		p->n_ending += !lives && !t->proc[i].zombie;
	}
	p->refusals = p->n_busy ? p->refusals + 1 : 0;
	return 0;
}

static int fail_does_not_stop(const struct frozen *t, pid_t in_vfork, struct ckpt_err **err)
{
	if (in_vfork) {
		ckpt_fail(
			err, ETIMEDOUT, CKPT_E_CHANGING,
			"thread %d of process %d waits in vfork(2) for process %d, which uses its memory and has not executed a program within %d s",
			t->tid, t->tgid, in_vfork, TRACE_STOP_DEADLINE_MS / 1000);
		ckpt_hint(err, "try again when process %d has executed its program", in_vfork);
		return -ETIMEDOUT;
	}
	ckpt_fail(err, ETIMEDOUT, CKPT_E_CHANGING,
		  "thread %d did not stop within %d s: it waits for a device or file server",
		  t->tid, TRACE_STOP_DEADLINE_MS / 1000);
	ckpt_hint(err, "try again when the disk or network file system answers");
	return -ETIMEDOUT;
}

/*
 * Calls that end with EINTR when a stop interrupts them, though no signal has come (signal(7)), and
 * that have done nothing then. Sockets: with a time-out of SO_RCVTIMEO or SO_SNDTIMEO.
 */
static const unsigned short ended_by_stop[] = {
	SYS_epoll_wait, SYS_epoll_pwait,  SYS_epoll_pwait2,  SYS_rt_sigtimedwait, SYS_semop,
	SYS_semtimedop, SYS_io_getevents, SYS_io_pgetevents, SYS_io_uring_enter,  SYS_read,
	SYS_readv,	SYS_recvfrom,	  SYS_recvmsg,	     SYS_recvmmsg,	  SYS_write,
	SYS_writev,	SYS_sendto,	  SYS_sendmsg,	     SYS_sendmmsg,	  SYS_accept,
	SYS_accept4,	SYS_connect,
};

/* The kernel's own: restarted, unless a handler runs first; then EINTR. */
#define ERESTARTNOHAND 514

/*
 * Let such a call go on as if nothing had been, here and where it is restored. A relative time-out
 * begins anew. Not in a stopped process: there it was the stop signal that ended the call.
 */
static int let_go_on(const struct frozen *t)
{
	struct user_regs_struct regs;
	int rc = t->group_stop ? 0 : trace_get_regs(t->tid, &regs);

	if (rc < 0 || t->group_stop || (long)regs.rax != -EINTR)
		return rc;
	for (size_t i = 0; i < sizeof(ended_by_stop) / sizeof(ended_by_stop[0]); i++) {
		if (regs.orig_rax != ended_by_stop[i])
			continue;
		regs.rax = (unsigned long)-ERESTARTNOHAND;
		return trace_set_regs(t->tid, &regs);
	}
	return 0;
}

static int wait_new(struct freeze *f, const struct pass *p, struct ckpt_err **err)
{
	size_t i = p->known;

	while (i < f->n) {
		int rc = trace_wait_stop(f->thread[i].tid, TRACE_STOP_DEADLINE_MS,
					 &f->thread[i].group_stop);

		if (rc == 0)
			rc = let_go_on(&f->thread[i]);
		if (rc == -ESRCH) {
			forget(f, i); /* ended; the last one takes its place */
			continue;
		}
		if (rc == -ETIMEDOUT)
			return fail_does_not_stop(&f->thread[i], p->in_vfork, err);
		if (rc < 0)
			return ckpt_fail_errno(err, rc, CKPT_E_SYS, "stop thread %d",
					       f->thread[i].tid);
		i++;
	}
	return 0;
}

static int freeze_pass(struct freeze *f, struct loader *l, pid_t root, bool only, struct tree *t,
		       struct pass *p, struct ckpt_err **err)
{
	int rc, rc2;

	p->known = f->n;
	p->n_new = p->n_busy = p->n_ending = 0;
	tree_done(t);
	rc = tree_find(t, l, root, only, err);
	if (rc < 0)
		return rc;
	rc = seize_new(f, t, p, err);
	rc2 = wait_new(f, p, rc < 0 ? NULL : err);
	if (f->n)
		qsort(f->thread, f->n, sizeof(*f->thread), by_tid);
	return rc < 0 ? rc : rc2;
}

/* A process whose parent ended on the way belongs to init now, or to another tree. */
static void let_go_of_others(struct freeze *f, const struct tree *t)
{
	for (size_t i = 0; i < f->n;) {
		if (tree_process(t, f->thread[i].tgid)) {
			i++;
			continue;
		}
		trace_resume(f->thread[i].tid, PTRACE_DETACH, 0);
		forget(f, i);
	}
}

int freeze_tree(struct freeze *f, struct loader *l, pid_t root, bool only, struct tree *t,
		struct ckpt_err **err)
{
	struct pass p = { 0 };

	*f = (struct freeze){ 0 };
	for (int pass = 0; pass < FREEZE_PASSES_MAX; pass++) {
		int rc = freeze_pass(f, l, root, only, t, &p, err);

		if (rc == 0 && f->n == 0 && !p.n_busy && !p.in_vfork)
			rc = ckpt_fail(err, ESRCH, CKPT_E_GONE, "process %d ended", root);
		if (rc < 0) {
			freeze_thaw(f);
			return rc;
		}
		if (!p.n_new && !p.n_busy && !p.n_ending && !p.in_vfork) {
			let_go_of_others(f, t);
			qsort(f->thread, f->n, sizeof(*f->thread), by_process);
			return 0;
		}
		sched_yield();
	}
	freeze_thaw(f);
	return ckpt_fail(
		err, EAGAIN, CKPT_E_CHANGING,
		"the tree of process %d makes threads or processes faster than they can be stopped",
		root);
}

const struct frozen *freeze_threads(const struct freeze *f, pid_t tgid, size_t *ret_n)
{
	size_t low = 0, high = f->n, n = 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (f->thread[middle].tgid < tgid)
			low = middle + 1;
		else
			high = middle;
	}
	while (low + n < f->n && f->thread[low + n].tgid == tgid)
		n++;
	*ret_n = n;
	return f->thread + low;
}

static void release(struct freeze *f)
{
	free(f->thread);
	f->thread = NULL;
	f->n = 0;
}

void freeze_thaw(struct freeze *f)
{
	for (size_t i = 0; i < f->n; i++)
		trace_resume(f->thread[i].tid, PTRACE_DETACH, 0);
	release(f);
}

static void reap(pid_t tid)
{
	int status;

	while (trace_wait(tid, TRACE_STOP_DEADLINE_MS, &status) == 0 && WIFSTOPPED(status))
		trace_resume(tid, PTRACE_CONT, 0);
}

void freeze_kill(struct freeze *f)
{
	/* None must see another's end and act upon it: all are frozen until they are dead. */
	for (size_t i = 0; i < f->n; i++)
		if (i == 0 || f->thread[i].tgid != f->thread[i - 1].tgid)
			kill(f->thread[i].tgid, SIGKILL);
	/* As their tracer we are told first; only then is the real parent, once all other threads
	 * are gone. */
	for (size_t i = 0; i < f->n; i++)
		if (f->thread[i].tid != f->thread[i].tgid)
			reap(f->thread[i].tid);
	for (size_t i = 0; i < f->n; i++)
		if (f->thread[i].tid == f->thread[i].tgid)
			reap(f->thread[i].tid);
	release(f);
}
