/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls that a stop ends with EINTR. The kernel restarts most calls that a stop interrupted; a few
 * (semop(2), epoll_wait(2), sigwaitinfo(2), ...; see signal(7)) it ends, as if a handler had run.
 * Without a time-out they are simply made again, and the program does not notice. With one EINTR
 * stays: how much of the time had passed nobody knows.
 */
#ifndef CKPT_AGAIN_H
#define CKPT_AGAIN_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/user.h>

/*
 * If a stopped thread is at the end of such a call, and no signal is on its way that the call has to
 * end for, change *regs so that it makes the call again. Whether they were changed.
 */
bool again_change(pid_t tid, struct user_regs_struct *regs);
/* The same in the thread itself, which is about to go on. */
void again_set(pid_t tid);

#endif
