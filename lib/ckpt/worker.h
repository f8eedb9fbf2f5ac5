/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The dump runs in a worker, a process of its own in a session of its own, and its caller only
 * relays progress and waits. So the caller's death, by whatever signal, finds someone who thaws the
 * target, puts its registers back and removes what was written.
 */
#ifndef CKPT_WORKER_H
#define CKPT_WORKER_H

#include "session.h"

struct worker {
	int sock; /* to the caller */
	bool cancelled;
};

/*
 * In the worker: has the caller died, or given up? Once true, always true. To be asked at every
 * stage, and last right before the image gets its name.
 */
bool worker_cancelled(struct worker *w);
/* In the worker: tell how far it is. Non-zero: give up. */
int worker_progress(struct worker *w, const char *stage, uint64_t done, uint64_t total);
/* In the worker: a path that the caller removes if the worker is killed ("": nothing any more). */
void worker_scratch(struct worker *w, const char *path);

typedef int worker_fn(struct worker *w, struct ckpt_session *s, const struct ckpt_dump_opts *opts,
		      struct ckpt_dump_result *ret, struct ckpt_err **err);

/* In the caller: run fn in a worker, relay its progress to the session's function, return what it
 * returns. */
int worker_run(worker_fn *fn, struct ckpt_session *s, const struct ckpt_dump_opts *opts,
	       struct ckpt_dump_result *ret, struct ckpt_err **err);

#endif
