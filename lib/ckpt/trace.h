/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ptrace(2) in the few forms that the engine uses: seize, stop, wait with a deadline, registers.
 * All threads are seized (never attached), so that a stop is a PTRACE_EVENT_STOP and disturbs
 * nothing.
 */
#ifndef CKPT_TRACE_H
#define CKPT_TRACE_H

#include "err.h"
#include <signal.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

/* The stop of a seized thread, in status >> 16 (PTRACE_EVENT_STOP; glibc and the kernel name it in
 * conflicting headers). */
#define TRACE_EVENT_STOP 128

/* How long a thread may take to reach a stop. A thread in an uninterruptible call takes longer. */
#define TRACE_STOP_DEADLINE_MS 5000

/*
 * Make waits end at their deadline: a SIGALRM that interrupts waitpid(2). To be called once by the
 * tracing process, and undone before it goes back to its caller.
 */
struct trace_clock {
	struct sigaction old;
};

int trace_clock_start(struct trace_clock *c, struct ckpt_err **err);
void trace_clock_stop(struct trace_clock *c);

int trace_seize(pid_t tid, unsigned long options); /* 0 or -errno */
int trace_interrupt(pid_t tid);
/* Resume: request is PTRACE_CONT, PTRACE_SYSCALL or PTRACE_DETACH. */
int trace_resume(pid_t tid, int request, int sig);

/*
 * Wait until a traced thread changes state. 0 and *ret_status, as from waitpid(2); -ETIMEDOUT,
 * -ECHILD (gone), or another negative errno.
 */
int trace_wait(pid_t tid, int deadline_ms, int *ret_status);
/*
 * Wait for the PTRACE_EVENT_STOP that trace_interrupt() asked for; a signal on its way is delivered
 * first. *ret_group_stop: the stopping signal if the thread is in a group stop, else 0. -ESRCH when
 * it died.
 */
int trace_wait_stop(pid_t tid, int deadline_ms, int *ret_group_stop);

int trace_get_regs(pid_t tid, struct user_regs_struct *ret);
int trace_set_regs(pid_t tid, const struct user_regs_struct *regs);
/* The XSAVE area; malloc'd, owned by the caller. */
int trace_get_xstate(pid_t tid, void **ret, size_t *ret_len);
int trace_set_xstate(pid_t tid, const void *xstate, size_t len);
int trace_get_sigmask(pid_t tid, uint64_t *ret);
int trace_set_sigmask(pid_t tid, uint64_t mask);

/* System calls that a thread catches itself (prctl(2), PR_SET_SYSCALL_USER_DISPATCH). Kernels
 * before 6.4 do not tell, which looks like none. */
struct trace_dispatch {
	uint64_t mode; /* 0: none */
	uint64_t selector, offset, len;
};

#define TRACE_DISPATCH_ON 1
int trace_get_dispatch(pid_t tid, struct trace_dispatch *ret);
int trace_set_dispatch(pid_t tid, const struct trace_dispatch *d);
/* The pending signals, in order; malloc'd. shared: those of the process instead of the thread's. */
int trace_peek_signals(pid_t tid, bool shared, siginfo_t **ret, size_t *ret_n);

#endif
