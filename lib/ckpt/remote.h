/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Remote calls: system calls made in the context of a seized, stopped thread.
 *
 * Two ways. remote_call() borrows a `syscall` instruction that the target already has (its vdso,
 * else any executable area) and touches none of its memory: dump uses it, a few calls at a time.
 * A remote_arena is a piece of memory shared with a task that restore is building: the stub of
 * arch/ runs a whole array of calls in one resume.
 */
#ifndef CKPT_REMOTE_H
#define CKPT_REMOTE_H

#include "err.h"
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

struct remote_regs {
	struct user_regs_struct gpr;
};

/* Get and set the general registers of a stopped thread; 0 or -errno. */
int remote_get_regs(pid_t tid, struct remote_regs *ret);
int remote_set_regs(pid_t tid, const struct remote_regs *regs);

/*
 * Make one system call in a stopped thread through the `syscall` instruction at `gadget`.
 * The thread's registers are clobbered: the caller saves them before and puts them back after
 * remote_settle(). A new task made by the call (clone) is left seized and stopped when the tracer set
 * PTRACE_O_TRACECLONE and friends; *ret_child (may be NULL) is its tid, else 0.
 * Returns 0 and *ret = the call's return value (-errno on the call's own failure), or a negative errno
 * when the thread is gone or could not be driven.
 */
int remote_call(pid_t tid, uint64_t gadget, long nr, const uint64_t args[6], long *ret,
		pid_t *ret_child, struct ckpt_err **err);

/*
 * Bring a thread used by remote_call() into a group-stop-like PTRACE_EVENT_STOP, the state in which the
 * kernel itself restarts an interrupted system call, and put its registers back.
 */
int remote_settle(pid_t tid, const struct remote_regs *regs, struct ckpt_err **err);

/* Address of a `syscall` instruction in [start, end) of the process, or 0. mem_fd: /proc/PID/mem. */
uint64_t remote_find_gadget(int mem_fd, uint64_t start, uint64_t end);

#endif
