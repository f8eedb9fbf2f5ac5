// SPDX-License-Identifier: LGPL-2.1-or-later
/* Freezing a process. See freeze.h. */
#include "freeze.h"
#include "look.h"
#include "trace.h"
#include "util.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

/*
 * A pass lists the threads, seizes those that are new, and stops them. A thread not yet stopped may
 * make another meanwhile; each pass leaves fewer that can. A program that only makes threads is
 * caught after a handful of passes; the bound is there so that the pause is bounded whatever
 * happens.
 */
#define FREEZE_PASSES_MAX 200
/* A thread that is ending or in exec(2) may not be seized for a moment: EPERM, as without
 * privilege. */
#define REFUSED_PASSES_MAX 20

static bool is_frozen(const struct freeze *f, pid_t tid)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->thread[i].tid == tid)
			return true;
	return false;
}

static void forget(struct freeze *f, size_t i)
{
	f->thread[i] = f->thread[--f->n];
}

static int add(struct freeze *f, pid_t tid, struct ckpt_err **err)
{
	struct frozen *more = realloc(f->thread, (f->n + 1) * sizeof(*more));

	if (!more)
		return ckpt_fail_nomem(err);
	f->thread = more;
	f->thread[f->n++] = (struct frozen){ .tid = tid };
	return 0;
}

/* Seize and interrupt the threads of a snapshot that are not in `f` yet; their number, or an error.
 */
static int seize_new(struct freeze *f, const struct snapshot *s, int *refused,
		     struct ckpt_err **err)
{
	bool any_refused = false;
	int n_new = 0;
	/* Tids are unique within a pass: only those of earlier passes need to be looked up. */
	size_t known = f->n;

	for (size_t i = 0; i < s->n_tasks; i++) {
		const struct rec_task *t = s->tasks[i];
		struct freeze before = { .thread = f->thread, .n = known };
		int rc;

		if (task_is_exiting(t) || is_frozen(&before, t->tid))
			continue;
		rc = trace_seize(t->tid, PTRACE_O_TRACESYSGOOD);
		if (rc == -ESRCH)
			continue; /* ended meanwhile */
		if (rc == -EPERM && !t->tracer_tgid && *refused < REFUSED_PASSES_MAX) {
			any_refused = true;
			continue;
		}
		if (rc < 0)
			return ckpt_fail_errno(err, rc,
					       t->tracer_tgid ? CKPT_E_TRACED : CKPT_E_PRIVILEGE,
					       "seize thread %d", t->tid);
		rc = add(f, t->tid, err);
		if (rc < 0) {
			trace_interrupt(t->tid);
			return rc;
		}
		trace_interrupt(t->tid);
		n_new++;
	}
	*refused = any_refused ? *refused + 1 : 0;
	return n_new + any_refused; /* not the last pass */
}

static int wait_new(struct freeze *f, size_t first, struct ckpt_err **err)
{
	size_t i = first;

	while (i < f->n) {
		int rc = trace_wait_stop(f->thread[i].tid, TRACE_STOP_DEADLINE_MS,
					 &f->thread[i].group_stop);

		if (rc == -ESRCH) {
			forget(f, i); /* ended; the last one takes its place */
			continue;
		}
		if (rc == -ETIMEDOUT) {
			ckpt_fail(
				err, ETIMEDOUT, CKPT_E_CHANGING,
				"thread %d did not stop within %d s: it waits for a device or file server",
				f->thread[i].tid, TRACE_STOP_DEADLINE_MS / 1000);
			ckpt_hint(err, "try again when the disk or network file system answers");
			return -ETIMEDOUT;
		}
		if (rc < 0)
			return ckpt_fail_errno(err, rc, CKPT_E_SYS, "stop thread %d",
					       f->thread[i].tid);
		i++;
	}
	return 0;
}

static int freeze_pass(struct freeze *f, struct loader *l, int *refused, struct ckpt_err **err)
{
	struct loader_why why = { 0 };
	struct snapshot *s = NULL;
	size_t first = f->n;
	int n_new, rc = snapshot_take(l, &f->tgid, 1, SNAPSHOT_TASKS, &s, &why);

	if (rc < 0)
		return ckpt_fail_loader(err, rc, &why);
	n_new = seize_new(f, s, refused, err);
	snapshot_free(s);
	rc = wait_new(f, first, n_new < 0 ? NULL : err);
	return n_new < 0 ? n_new : rc < 0 ? rc : n_new;
}

int freeze_process(struct freeze *f, struct loader *l, pid_t tgid, struct ckpt_err **err)
{
	int refused = 0;

	*f = (struct freeze){ .tgid = tgid };
	for (int pass = 0; pass < FREEZE_PASSES_MAX; pass++) {
		int n_new = freeze_pass(f, l, &refused, err);

		if (n_new < 0) {
			freeze_thaw(f);
			return n_new;
		}
		if (n_new == 0 && f->n == 0)
			return ckpt_fail(err, ESRCH, CKPT_E_GONE, "process %d ended", tgid);
		if (n_new == 0)
			return 0;
	}
	freeze_thaw(f);
	return ckpt_fail(err, EAGAIN, CKPT_E_CHANGING,
			 "process %d makes threads faster than they can be stopped", tgid);
}

void freeze_thaw(struct freeze *f)
{
	for (size_t i = 0; i < f->n; i++)
		trace_resume(f->thread[i].tid, PTRACE_DETACH, 0);
	free(f->thread);
	f->thread = NULL;
	f->n = 0;
}

static void reap(pid_t tid)
{
	int status;

	while (trace_wait(tid, TRACE_STOP_DEADLINE_MS, &status) == 0 && WIFSTOPPED(status))
		trace_resume(tid, PTRACE_CONT, 0);
}

void freeze_kill(struct freeze *f)
{
	kill(f->tgid, SIGKILL);
	/* As their tracer we are told first; only then is the real parent, once all other threads
	 * are gone. */
	for (size_t i = 0; i < f->n; i++)
		if (f->thread[i].tid != f->tgid)
			reap(f->thread[i].tid);
	reap(f->tgid);
	free(f->thread);
	f->thread = NULL;
	f->n = 0;
}
