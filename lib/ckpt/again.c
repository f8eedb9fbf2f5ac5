// SPDX-License-Identifier: LGPL-2.1-or-later
/* Calls that a stop ends with EINTR. See again.h. */
#include "again.h"
#include "trace.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>

#define SYSCALL_BYTES 2 /* of the instruction */

static bool waits_for_ever(const struct user_regs_struct *r)
{
	switch (r->orig_rax) {
	case SYS_semop:
		return true;
	case SYS_semtimedop:
	case SYS_epoll_pwait2:
		return r->r10 == 0;
	case SYS_io_getevents:
	case SYS_io_pgetevents:
		return r->r8 == 0;
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
		return (int32_t)r->r10 < 0;
	case SYS_rt_sigtimedwait:
		return r->rdx == 0;
	default:
		return false;
	}
}

/* Is a signal pending that is not blocked? What cannot be known counts as yes. */
static bool has_signal(pid_t tid)
{
	uint64_t mask = 0;

	if (trace_get_sigmask(tid, &mask) < 0)
		return true;
	for (int shared = 0; shared < 2; shared++) {
		siginfo_t *si = NULL;
		bool found = false;
		size_t n = 0;

		if (trace_peek_signals(tid, shared, &si, &n) < 0)
			return true;
		for (size_t i = 0; i < n; i++)
			found |= !(mask >> (si[i].si_signo - 1) & 1);
		free(si);
		if (found)
			return true;
	}
	return false;
}

bool again_change(pid_t tid, struct user_regs_struct *regs)
{
	/* After an interrupt orig_rax is negative: only within a call it is the call's. */
	if ((int64_t)regs->rax != -EINTR || (int64_t)regs->orig_rax < 0 || !waits_for_ever(regs) ||
	    has_signal(tid))
		return false;
	regs->rax = regs->orig_rax;
	regs->rip -= SYSCALL_BYTES;
	regs->orig_rax = (unsigned long)-1; /* nothing for the kernel to restart */
	return true;
}

void again_set(pid_t tid)
{
	struct user_regs_struct regs;

	if (trace_get_regs(tid, &regs) == 0 && again_change(tid, &regs))
		trace_set_regs(tid, &regs);
}
