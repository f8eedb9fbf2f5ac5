// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A process whose first thread has ended while others go on. The thread's number stays the
 * process's, so it must have been there: it makes the other threads and all calls for the process,
 * and ends before the last of them.
 */
#include "build.h"
#include "pids.h"
#include "trace.h"
#include "util.h"

#include <errno.h>
#include <linux/prctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#define END_DEADLINE_US 5000000
#define END_POLL_NS	50000

/*
 * It is let go before: as long as others live, its tracer would not be told of its end, and stay
 * its tracer.
 */
static int let_it_exit(const struct build *b, int status)
{
	const struct timespec tick = { 0, END_POLL_NS };
	pid_t tid = b->thread[0].tid;
	struct user_regs_struct regs;
	uint64_t deadline;
	int rc = trace_get_regs(tid, &regs);

	if (rc < 0)
		return rc;
	regs.rip = b->r->arena.there + remote_stub_gadget();
	regs.rax = SYS_exit;
	regs.orig_rax = (unsigned long)-1;
	regs.rdi = (unsigned long)(status >> 8);
	rc = trace_set_regs(tid, &regs);
	if (rc == 0)
		rc = trace_set_sigmask(tid, ~0ULL);
	if (rc == 0)
		rc = trace_resume(tid, PTRACE_DETACH, 0);
	deadline = now_us() + END_DEADLINE_US;
	while (rc == 0 && pids_state(tid, tid) != 'Z') {
		if (now_us() > deadline)
			return -ETIMEDOUT;
		nanosleep(&tick, NULL);
	}
	return rc;
}

int build_end_leader(struct build *b, struct ckpt_err **err)
{
	json_t *ended;
	uint32_t dumpable;
	int32_t status = 0;
	int rc = js_obj(b->thread[0].json, "ended", &ended, err);

	if (rc == 0)
		rc = js_i32(ended, "status", &status, err);
	if (rc == 0 && (status < 0 || status > 0xffff || (status & 0xff)))
		rc = ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "its first thread ended with %#x",
			       status);
	if (rc < 0)
		return rc;
	rc = let_it_exit(b, status);
	if (rc < 0)
		return ckpt_fail_errno(err, rc, CKPT_E_DIED, "end thread %d", b->vpid);
	/* For the leader, who would have done it last. */
	rc = build_dumpable(b, &dumpable, err);
	if (rc == 0 && dumpable < 2)
		arena_op(&b->r->arena, "set whether it is dumpable", SYS_prctl, PR_SET_DUMPABLE,
			 dumpable, 0, 0, 0, 0);
	return rc < 0 ? rc : arena_run(&b->r->arena, b->thread[1].tid, err);
}
