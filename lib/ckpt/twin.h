/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The twin: a copy-on-write copy of a frozen process, made by a few remote calls. It runs nothing,
 * holds no descriptor, is in a session of its own and is nobody's child that the program could wait
 * for; its memory is read from outside while the program runs on.
 */
#ifndef CKPT_TWIN_H
#define CKPT_TWIN_H

#include "err.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

struct twin {
	pid_t pid;	 /* 0: none */
	uint64_t gadget; /* address of a syscall instruction in it */
	bool filtered;	 /* set by the caller: the thread is under seccomp, which is suspended for
			  * the calls */
};

/*
 * Make the twin of the process of `tid`, a frozen thread whose general registers are `regs`; it is
 * left as it was found. vdso: address of the process's vdso. -EAGAIN or -ENOMEM (err untouched):
 * the process may not fork now; the caller reads the frozen process itself. Other failures set err.
 */
int twin_make(struct twin *t, pid_t tid, const struct user_regs_struct *regs, uint64_t vdso,
	      struct ckpt_err **err);
/*
 * Take the twin out of all that it shares with the program: to be called at once when the program
 * runs again. Until then it shares the descriptor table itself, so that what the program closes is
 * closed.
 */
int twin_isolate(struct twin *t, struct ckpt_err **err);
/* End it. Safe on a zeroed struct. */
void twin_end(struct twin *t);

#endif
