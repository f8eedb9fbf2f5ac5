// SPDX-License-Identifier: LGPL-2.1-or-later
/* Taking from a frozen process what ptrace alone tells. See take.h. */
#include "take.h"
#include "aio.h"
#include "trace.h"
#include "util.h"

#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

/* struct rseq_cs of <linux/rseq.h>; the area's pointer to it stands 8 bytes in. */
struct rseq_section {
	uint32_t version, flags;
	uint64_t start_ip, post_commit_offset, abort_ip;
};

#define RSEQ_CS_OFFSET 8

static int peek(pid_t pid, uint64_t addr, void *buf, size_t len)
{
	struct iovec local = { buf, len }, remote = { (void *)(uintptr_t)addr, len };

	return process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)len ? 0 : -1;
}

/*
 * A thread stopped within a restartable sequence has been preempted in it: rseq(2) promises that it
 * continues at the abort handler. The kernel does so on the way back to the program, unless the
 * instruction pointer has moved meanwhile, as it does in a remote call and in a restored thread: so
 * it is done here.
 */
static void abort_rseq(const struct rec_task *t, struct user_regs_struct *regs)
{
	struct rseq_section cs;
	uint64_t ptr = 0;

	if (!t || !t->rseq || peek(t->tid, t->rseq + RSEQ_CS_OFFSET, &ptr, sizeof(ptr)) || !ptr ||
	    peek(t->tid, ptr, &cs, sizeof(cs)))
		return;
	if (regs->rip - cs.start_ip < cs.post_commit_offset)
		regs->rip = cs.abort_ip;
}

static int by_tid(const void *a, const void *b)
{
	const struct taken_thread *x = a, *y = b;

	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

static int take_thread(struct taken_thread *t, const struct snapshot *s, bool registers)
{
	int rc = trace_get_sigmask(t->tid, &t->sigmask);

	if (rc == 0)
		rc = trace_peek_signals(t->tid, false, &t->pending, &t->n_pending);
	if (rc == 0)
		rc = trace_get_dispatch(t->tid, &t->dispatch);
	if (rc < 0 || !registers)
		return rc;
	rc = trace_get_regs(t->tid, &t->regs);
	if (rc == 0)
		rc = trace_get_xstate(t->tid, &t->xstate, &t->xstate_len);
	if (rc == 0)
		abort_rseq(snapshot_task(s, t->tid), &t->regs);
	return rc;
}

static int take_seccomp(struct taken *t, const struct snapshot *s, struct ckpt_err **err)
{
	_cleanup_free_ pid_t *tids = calloc(t->n ? t->n : 1, sizeof(*tids));

	if (!tids)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < t->n; i++)
		tids[i] = t->thread[i].tid;
	return seccomp_take(&t->seccomp, s, tids, t->n, err);
}

int take_frozen(struct taken *t, const struct frozen *frozen, size_t n, const struct snapshot *s,
		bool registers, struct ckpt_err **err)
{
	int rc = 0;

	*t = (struct taken){ .thread = calloc(n ? n : 1, sizeof(*t->thread)), .n = n };
	if (!t->thread) {
		t->n = 0;
		return ckpt_fail_nomem(err);
	}
	for (size_t i = 0; i < n; i++) {
		t->thread[i].tid = frozen[i].tid;
		t->thread[i].group_stop = frozen[i].group_stop;
	}
	qsort(t->thread, t->n, sizeof(*t->thread), by_tid);
	for (size_t i = 0; rc == 0 && i < t->n; i++) {
		rc = take_thread(&t->thread[i], s, registers);
		if (rc < 0)
			return ckpt_fail_errno(err, rc, CKPT_E_GONE, "read the state of thread %d",
					       t->thread[i].tid);
	}
	rc = trace_peek_signals(t->thread[0].tid, true, &t->shared, &t->n_shared);
	if (rc < 0)
		return ckpt_fail_errno(err, rc, CKPT_E_GONE,
				       "read the pending signals of process %d", frozen->tgid);
	rc = take_seccomp(t, s, err);
	return rc < 0 ? rc : aio_take(s, frozen->tgid, t->thread[0].tid, &t->aio, err);
}

const struct taken_thread *taken_thread(const struct taken *t, pid_t tid)
{
	struct taken_thread key = { .tid = tid };

	return bsearch(&key, t->thread, t->n, sizeof(key), by_tid);
}

void taken_done(struct taken *t)
{
	for (size_t i = 0; i < t->n; i++) {
		free(t->thread[i].xstate);
		free(t->thread[i].pending);
	}
	free(t->thread);
	free(t->shared);
	json_decref(t->aio);
	seccomp_table_done(&t->seccomp);
	*t = (struct taken){ 0 };
}
