// SPDX-License-Identifier: LGPL-2.1-or-later
/* Stopping a process for a moment. See hold.h. */
#include "hold.h"
#include "pids.h"
#include "trace.h"
#include "util.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* One that does not stop within this time may not do so for minutes. */
#define DEADLINE_MS 50
#define REST_US	    200000
/* A thread that is ending, or in exec(2), cannot be traced for a moment. */
#define REFUSED_TRIES 20
#define REFUSED_NS    200000

static void forget(pid_t *list, size_t *n, size_t i)
{
	list[i] = list[--*n];
}

/* 0: it was asked to stop; 1: it is ending, or the like. */
static int ask_to_stop(struct hold *h, pid_t pid, pid_t tid)
{
	int rc = trace_seize(tid, PTRACE_O_TRACESYSGOOD);
	pid_t tracer;

	if (rc == -ESRCH)
		return 0;
	if (rc == -EPERM) {
		if (!pids_lives(pid, tid))
			return 0;
		tracer = pids_tracer(pid, tid);
		/* In exec(2) a thread takes the number of the first one: it is ours already. */
		if (tracer && tracer != gettid())
			return -EBUSY;
		if (!tracer)
			return 1;
	} else if (rc < 0) {
		return rc;
	}
	if (pids_add(&h->late, &h->n_late, tid) < 0) {
		/* It is let go when we end, at the latest. */
		trace_interrupt(tid);
		return -ENOMEM;
	}
	return trace_interrupt(tid);
}

/* *ret_new: how many there are that were not known; those that cannot be traced yet count, too. */
static int ask_all(struct hold *h, pid_t pid, size_t *ret_new)
{
	size_t n;
	_cleanup_free_ pid_t *tid = pids_threads(pid, &n);
	int rc = 0;

	*ret_new = 0;
	for (size_t i = 0; rc >= 0 && i < n; i++) {
		size_t late = h->n_late;

		if (pids_have(h->tid, h->n, tid[i]) || pids_have(h->late, h->n_late, tid[i]))
			continue;
		rc = ask_to_stop(h, pid, tid[i]);
		*ret_new += rc == 1 || h->n_late > late;
	}
	return rc < 0 ? rc : 0;
}

static int wait_for_all(struct hold *h)
{
	uint64_t end = now_us() + DEADLINE_MS * 1000;

	for (size_t i = 0; i < h->n_late;) {
		uint64_t now = now_us();
		int stop, left = now < end ? (int)((end - now) / 1000) : 0;
		pid_t tid = h->late[i];
		int rc = trace_wait_stop(tid, left, &stop);

		if (rc == -ETIMEDOUT) {
			i++;
			continue;
		}
		forget(h->late, &h->n_late, i);
		h->stopped |= rc == 0 && stop;
		if (rc == 0 && pids_add(&h->tid, &h->n, tid) < 0) {
			trace_resume(tid, PTRACE_DETACH, 0);
			return -ENOMEM;
		}
	}
	return h->n_late ? -ETIMEDOUT : 0;
}

int hold_all(struct hold *h, pid_t pid)
{
	const struct timespec rest = { 0, REFUSED_NS };
	size_t n_new = 1;
	int rc = 0;

	hold_settle(h);
	h->stopped = false;
	if (now_us() < h->not_before_us)
		return -EAGAIN;
	/* Again: exec(2) forgets that one was asked. */
	for (size_t i = 0; i < h->n_late; i++)
		trace_interrupt(h->late[i]);
	/* Until those that stand still are as many as there are, or a listing shows none that is
	 * new. */
	for (int i = 0; rc == 0 && n_new && !(h->n && h->n == pids_count(pid)); i++) {
		size_t late = h->n_late;

		rc = ask_all(h, pid, &n_new);
		if (rc == 0 && n_new && h->n_late == late) {
			if (i >= REFUSED_TRIES)
				rc = -ETIMEDOUT;
			nanosleep(&rest, NULL);
		}
		if (rc == 0)
			rc = wait_for_all(h);
	}
	if (rc == -ETIMEDOUT)
		h->not_before_us = now_us() + REST_US;
	return rc == 0 && !h->n ? -ESRCH : rc;
}

void hold_let_go(struct hold *h)
{
	for (size_t i = 0; i < h->n; i++)
		trace_resume(h->tid[i], PTRACE_DETACH, 0);
	h->n = 0;
	hold_settle(h);
}

void hold_settle(struct hold *h)
{
	for (size_t i = 0; i < h->n_late;) {
		int status;
		pid_t got = waitpid(h->late[i], &status, __WALL | WNOHANG);

		if (got == 0) {
			i++;
			continue;
		}
		/* Whatever it is that it stopped for: a signal must not get lost. */
		if (got > 0 && WIFSTOPPED(status))
			trace_resume(h->late[i], PTRACE_DETACH,
				     status >> 16 || WSTOPSIG(status) & 0x80 ? 0
									     : WSTOPSIG(status));
		forget(h->late, &h->n_late, i);
	}
}

void hold_done(struct hold *h)
{
	hold_let_go(h);
	free(h->tid);
	free(h->late);
	*h = (struct hold){ 0 };
}
