/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a session owns, and the clock of its stages. */
#ifndef CKPT_SESSION_H
#define CKPT_SESSION_H

#include "err.h"
#include "loader.h"

struct ckpt_session {
	struct loader *loader; /* owned; opened at first use */
	ckpt_progress_fn *progress;
	void *progress_data; /* borrowed */
};

/* The session's loader, opened now if it is not open yet. */
int session_loader(struct ckpt_session *s, struct loader **ret, struct ckpt_err **err);

/* Timing of stages: each ends where the next begins. */
struct stage_clock {
	struct ckpt_stage *stages;
	size_t *n;
	uint64_t start_us, last_us;
};

void stage_clock_start(struct stage_clock *c, struct ckpt_stage *stages, size_t *n);
void stage_done(struct stage_clock *c, const char *name);

#endif
