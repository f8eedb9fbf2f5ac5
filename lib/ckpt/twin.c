// SPDX-License-Identifier: LGPL-2.1-or-later
/* Making the copy-on-write twin. See twin.h. */
#include "twin.h"
#include "remote.h"
#include "trace.h"
#include "util.h"

#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1U << 1)
#endif

#define TWIN_OPTIONS (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE)

static int set_options(const struct twin *t, pid_t tid, unsigned long options)
{
	if (t->filtered)
		options |= PTRACE_O_SUSPEND_SECCOMP;
	return ptrace(PTRACE_SETOPTIONS, tid, NULL, options) < 0 ? -errno : 0;
}

static void kill_and_reap(pid_t pid)
{
	int status;

	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	while (trace_wait(pid, TRACE_STOP_DEADLINE_MS, &status) == 0 && !WIFEXITED(status) &&
	       !WIFSIGNALED(status))
		;
}

/* One clone without exit signal: whoever made it is told nothing of its end. */
static int clone_task(pid_t tid, uint64_t gadget, unsigned long flags, pid_t *ret_child)
{
	const uint64_t args[6] = { flags };
	long ret = 0;
	int rc = remote_call(tid, gadget, SYS_clone, args, &ret, ret_child);

	return rc < 0 ? rc : ret < 0 ? (int)ret : 0;
}

/* Take the twin out of everything that it shares with the program. */
static int isolate(const struct twin *t)
{
	/* The new table is made empty, not copied and then emptied: nothing is flushed or released.
	 */
	const uint64_t close_all[6] = { 0, ~0U, CLOSE_RANGE_UNSHARE };
	/* A session of its own: out of reach of the group's signals, and once it has ended and
	 * waits to be reaped, no user of the program's pid as a session's or group's id. */
	const uint64_t no_args[6] = { 0 };
	long ret = 0;
	int rc = set_options(t, t->pid, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);

	if (rc == 0)
		rc = remote_call(t->pid, t->gadget, SYS_close_range, close_all, &ret, NULL);
	if (rc == 0 && ret < 0)
		rc = (int)ret;
	if (rc == 0)
		rc = remote_call(t->pid, t->gadget, SYS_setsid, no_args, &ret, NULL);
	return rc < 0 ? rc : ret < 0 ? (int)ret : 0;
}

/* Let the go-between exit, and let its parent, the program, reap it before it can notice. */
static int dismiss(pid_t tid, pid_t between, uint64_t gadget)
{
	struct user_regs_struct regs;
	const uint64_t wait_args[6] = { (uint64_t)between, 0, __WALL };
	long ret = 0;
	int status, rc = trace_get_regs(between, &regs);

	if (rc < 0)
		return rc;
	regs.rip = gadget;
	regs.rax = SYS_exit;
	regs.rdi = 0;
	regs.orig_rax = (unsigned long)-1;
	rc = trace_set_regs(between, &regs);
	if (rc == 0)
		rc = trace_resume(between, PTRACE_CONT, 0);
	if (rc == 0)
		rc = trace_wait(between, TRACE_STOP_DEADLINE_MS, &status);
	if (rc == 0)
		rc = remote_call(tid, gadget, SYS_wait4, wait_args, &ret, NULL);
	return rc < 0 ? rc : ret < 0 ? (int)ret : 0;
}

static int make(struct twin *t, pid_t tid, uint64_t gadget)
{
	pid_t between = 0;
	int rc = set_options(t, tid, TWIN_OPTIONS);

	/* The go-between shares everything with the program: it costs no page table. */
	if (rc == 0)
		rc = clone_task(tid, gadget, CLONE_VM | CLONE_FILES | CLONE_FS, &between);
	if (rc == 0)
		rc = set_options(t, between, TWIN_OPTIONS | PTRACE_O_EXITKILL);
	if (rc == 0)
		rc = clone_task(between, gadget, CLONE_FILES, &t->pid);
	if (rc < 0) {
		kill_and_reap(t->pid);
		t->pid = 0;
	}
	if (between) {
		int rc2 = dismiss(tid, between, gadget);

		if (rc == 0)
			rc = rc2;
	}
	return rc;
}

int twin_make(struct twin *t, pid_t tid, const struct user_regs_struct *regs, uint64_t vdso,
	      struct ckpt_err **err)
{
	uint64_t offset = remote_vdso_gadget();
	int rc, rc2;

	*t = (struct twin){ .gadget = vdso + offset, .filtered = t->filtered };
	if (!offset || !vdso)
		return -EAGAIN;
	rc = make(t, tid, vdso + offset);
	rc2 = remote_settle(tid, regs);
	if (rc2 == 0)
		rc2 = set_options(t, tid, PTRACE_O_TRACESYSGOOD);
	if (rc2 < 0) {
		twin_end(t);
		return ckpt_fail_errno(err, rc2, CKPT_E_REMOTE,
				       "put back the registers of thread %d", tid);
	}
	if (rc == -EAGAIN || rc == -ENOMEM)
		return rc;
	if (rc < 0) {
		twin_end(t);
		return ckpt_fail_errno(err, rc, CKPT_E_REMOTE,
				       "make a copy-on-write twin through thread %d", tid);
	}
	return 0;
}

int twin_isolate(struct twin *t, struct ckpt_err **err)
{
	int rc = isolate(t);

	if (rc < 0)
		return ckpt_fail_errno(err, rc, CKPT_E_REMOTE, "isolate the copy-on-write twin");
	return 0;
}

void twin_end(struct twin *t)
{
	kill_and_reap(t->pid);
	t->pid = 0;
}
