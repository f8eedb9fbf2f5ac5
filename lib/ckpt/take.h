/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What only ptrace tells of a frozen process: registers, signal masks, queues of pending signals.
 */
#ifndef CKPT_TAKE_H
#define CKPT_TAKE_H

#include "err.h"
#include "freeze.h"
#include "seccomp.h"
#include "trace.h"
#include <jansson.h>
#include <signal.h>
#include <stdint.h>
#include <sys/user.h>

struct taken {
	struct taken_thread {
		pid_t tid;
		struct user_regs_struct regs; /* as the program will see them: an interrupted
					       * restartable sequence stands at its abort handler */
		void *xstate;
		size_t xstate_len;
		uint64_t sigmask;
		siginfo_t *pending;
		size_t n_pending;
		int group_stop;
		struct trace_dispatch dispatch;
	} * thread; /* sorted by tid */

	size_t n;
	siginfo_t *shared; /* pending for the process */
	size_t n_shared;
	json_t *aio; /* of aio.h; NULL: none */
	struct seccomp_table seccomp;
};

/* Take everything of one process; with `registers` false only masks and queues. `frozen`: its `n`
 * threads, at least one, stopped by the caller. */
int take_frozen(struct taken *t, const struct frozen *frozen, size_t n, const struct snapshot *s,
		bool registers, struct ckpt_err **err);
const struct taken_thread *taken_thread(const struct taken *t, pid_t tid);
void taken_done(struct taken *t);

#endif
