/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Freezing: every thread of a process seized and stopped, until a pass finds no new one. */
#ifndef CKPT_FREEZE_H
#define CKPT_FREEZE_H

#include "err.h"
#include "loader.h"
#include <stdbool.h>
#include <sys/types.h>

struct freeze {
	pid_t tgid;

	struct frozen {
		pid_t tid;
		int group_stop; /* stopping signal of a thread that was stopped already, else 0 */
	} * thread;

	size_t n;
};

/*
 * Freeze. The caller runs trace_clock. On failure everything seized so far is let go.
 * CKPT_E_GONE when the process ended, CKPT_E_CHANGING when threads come faster than they can be
 * stopped or one does not stop (uninterruptible), CKPT_E_TRACED, CKPT_E_PRIVILEGE.
 */
int freeze_process(struct freeze *f, struct loader *l, pid_t tgid, struct ckpt_err **err);
/* Let every thread go on (a stopped process stays stopped). Safe to call twice, and on a zeroed
 * struct. */
void freeze_thaw(struct freeze *f);
/* End the process by SIGKILL, and wait until it is gone. */
void freeze_kill(struct freeze *f);

#endif
