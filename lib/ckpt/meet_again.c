// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Restored processes that have libcr loaded: their threads stand in cr_checkpoint(), and are told
 * that this is another life. The restore is complete when their callbacks have ended.
 */
#include "../cr/blcr_common.h"
#include "build.h"
#include "meet.h"
#include "util.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

#define LOOK_NS	   200000
#define LOOKS_TOLD 500 /* to the next word of progress */

static int read_row(const json_t *row, struct restore_met *met, const struct restore *r,
		    struct ckpt_err **err)
{
	int32_t pid = 0;
	int rc = js_i32(row, "pid", &pid, err);

	if (rc == 0)
		rc = js_u64(row, "block", &met->m.block, err);
	if (rc == 0)
		rc = js_u32(row, "request", &met->m.id, err);
	if (rc == 0)
		rc = js_bool(row, "stopped", &met->stop, err);
	for (size_t i = 0; rc == 0 && i < r->n_procs; i++)
		if (r->proc[i].vpid == pid && !r->proc[i].zombie)
			met->b = &r->proc[i];
	if (rc == 0 && met->b)
		met->m.pid = met->b->pid;
	else if (rc == 0)
		rc = ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "process %d, with libcr, is not there",
			       pid);
	return rc;
}

/* The thread that the library's own had become, or 0. */
static pid_t hidden_thread(const struct restore *r, const struct restore_met *met)
{
	const struct build *b = met->b;

	for (size_t i = 0; i < b->n_threads; i++)
		if (renumber_saved(&r->numbers, b->thread[i].vtid) == met->m.now.hidden_tid)
			return b->thread[i].vtid;
	return 0;
}

static int tell(const struct restore *r, struct restore_met *met, const char *source)
{
	struct meet_rebirth birth = {
		.pid = met->b->vpid,
		.restarter = r->opts->requester ? r->opts->requester : getpid(),
		.engine = r->ns_init ? 0 : getpid(),
		.src = source,
		.held = r->opts->signal > 0 || met->stop,
	};
	int rc = meet_read(&met->m);

	if (rc < 0)
		return rc;
	birth.hidden_tid = hidden_thread(r, met);
	return meet_restored(&met->m, &birth);
}

int meet_again_tell(struct restore *r, struct ckpt_err **err)
{
	const json_t *rows = json_object_get(r->im.manifest, "libcr");
	const char *given = r->opts->source ? r->opts->source : r->opts->image;
	_cleanup_free_ char *source = realpath(given, NULL);
	size_t n = json_array_size(rows);
	int rc = 0;

	if (n > r->n_procs)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "more libraries than processes");
	r->met = calloc(n + 1, sizeof(*r->met));
	if (!r->met)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct restore_met *met = &r->met[i];

		rc = read_row(json_array_get(rows, i), met, r, err);
		if (rc < 0)
			return rc;
		r->n_met++;
		rc = tell(r, met, source ? source : "");
		if (rc == -EPROTO)
			return ckpt_fail(err, CR_EVERSION, CKPT_E_IMAGE_VERSION,
					 "process %d has another version of libcr (%u, not %u)",
					 met->m.pid, met->m.now.version, CR_CONTROL_VERSION);
		if (rc < 0)
			return ckpt_fail(err, -rc, CKPT_E_IMAGE,
					 "process %d does not wait in libcr, as the image says",
					 met->m.pid);
		if (r->opts->signal < 0)
			kill(met->m.pid, -r->opts->signal);
	}
	return rc;
}

static void kill_all(const struct restore *r)
{
	for (size_t i = 0; i < r->n_procs; i++)
		if (!r->proc[i].zombie)
			kill(r->proc[i].pid, SIGKILL);
	if (!r->opts->detach)
		waitpid(r->proc[0].pid, NULL, __WALL);
}

/* One that ends on the way has had its life. */
static int wait_left(struct restore *r, struct meeting *m, uint64_t deadline_us,
		     struct ckpt_err **err)
{
	const struct timespec tick = { 0, LOOK_NS };
	unsigned int look = 0;

	while (meet_read(m) == 0 && !meet_all_left(m)) {
		if (m->now.failed == m->id)
			return ckpt_fail(err, CR_ERSTRTABRT, CKPT_E_CALLBACK,
					 "callback %#x of thread %d failed: all were killed",
					 m->now.failed_callback, m->now.failed_tid);
		if (deadline_us && now_us() > deadline_us)
			return ckpt_fail(err, ETIMEDOUT, CKPT_E_NO_ANSWER,
					 "process %d: its callbacks have not ended after %u ms",
					 m->pid, r->opts->timeout_ms);
		if (look++ % LOOKS_TOLD == 0 && r->session->progress &&
		    r->session->progress(r->session->progress_data, "callbacks", 0, 0))
			return ckpt_fail(err, EINTR, CKPT_E_INTERRUPTED,
					 "interrupted while callbacks ran; all were killed");
		nanosleep(&tick, NULL);
	}
	return 0;
}

int meet_again_wait(struct restore *r, struct ckpt_err **err)
{
	uint64_t limit_us = r->opts->timeout_ms * 1000ULL;
	uint64_t deadline_us = limit_us ? now_us() + limit_us : 0;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < r->n_met; i++)
		rc = wait_left(r, &r->met[i].m, deadline_us, err);
	if (rc < 0) {
		kill_all(r);
		return rc;
	}
	for (size_t i = 0; i < r->n_met; i++) {
		struct restore_met *met = &r->met[i];
		int sig = r->opts->signal > 0 ? r->opts->signal : 0;

		if (met->stop && sig != SIGCONT)
			sig = SIGSTOP;
		if (!sig && !met->stop)
			continue;
		if (sig)
			kill(met->m.pid, sig);
		meet_release(&met->m);
	}
	return 0;
}
