// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A restore, from the image to the running process. Reads like the table of steps:
 *
 *   open    seal, versions, needs of every object: before anything is made
 *   tasks   the tree of processes with their pids, their memory
 *   files   descriptors
 *   threads threads and everything's attributes
 *   prove   snapshot what was made, compare with the manifest
 *   go      all threads at once
 *
 * build.h tells how a process is built. On any failure all are killed, nothing is left.
 */
#include "build.h"
#include "hostinfo.h"
#include "pidns.h"
#include "pids.h"
#include "relocate.h"
#include "safe.h"
#include "sysvipc.h"
#include "tasks.h"
#include "trace.h"
#include "util.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

/* ---- open ---- */

static int read_clocks(struct restore *r, struct ckpt_err **err)
{
	const json_t *m = r->im.manifest;
	int rc = js_i64(m, "monotonic_ns", &r->monotonic_ns, err);

	if (rc == 0)
		rc = js_i64(m, "realtime_ns", &r->realtime_ns, err);
	if (rc == 0)
		rc = js_i64(m, "boottime_ns", &r->boottime_ns, err);
	return rc;
}

/*
 * A process that was just killed keeps its pid until its parent has asked for its status, which may
 * take init a moment: that is waited for.
 */
#define REAP_DEADLINE_US 5000000
#define REAP_POLL_NS	 2000000

static bool pid_taken(pid_t tid, bool *ret_zombie)
{
	*ret_zombie = false;
	if (kill(tid, 0) < 0 && errno == ESRCH)
		return false;
	*ret_zombie = pids_state(tid, tid) == 'Z';
	return true;
}

static bool pid_stays_taken(pid_t tid, uint64_t deadline_us)
{
	const struct timespec tick = { 0, REAP_POLL_NS };
	bool zombie;

	while (pid_taken(tid, &zombie)) {
		if (!zombie || now_us() > deadline_us)
			return true;
		nanosleep(&tick, NULL);
	}
	return false;
}

#define CLASHES_SHOWN 40
#define CHOICES	      5 /* of new pids */

struct taken_list {
	char text[CLASHES_SHOWN * 32];
	size_t n, len;
	uint64_t deadline_us;
};

static void look_at_pid(struct taken_list *l, pid_t pid)
{
	char path[64], comm[64] = "?", safe[64];
	FILE *f;

	if (!pid_stays_taken(pid, l->deadline_us))
		return;
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	f = fopen(path, "re");
	if (f) {
		if (fgets(comm, sizeof(comm), f))
			comm[strcspn(comm, "\n")] = 0;
		fclose(f);
	}
	/* Gone by now: where many were killed, init takes its time. */
	if (!f && kill(pid, 0) < 0 && errno == ESRCH)
		return;
	safe_text(safe, sizeof(safe), comm);
	if (l->n++ < CLASHES_SHOWN && l->len < sizeof(l->text))
		l->len += (size_t)snprintf(l->text + l->len, sizeof(l->text) - l->len, "%s%d (%s)",
					   l->n > 1 ? ", " : "", pid, safe);
}

/* All pids that are taken, by whom, at once. */
static int check_pids(const struct restore *r, struct ckpt_err **err)
{
	struct taken_list l = { .deadline_us = now_us() + REAP_DEADLINE_US };

	if (r->opts->new_pidns)
		return 0;
	for (size_t i = 0; i < r->n_procs; i++)
		for (size_t k = 0; k < r->proc[i].n_threads; k++)
			look_at_pid(&l, r->proc[i].thread[k].vtid);
	/* Leaders that ended: their numbers are needed for a moment. */
	for (size_t i = 0; i < r->plan.n; i++)
		if ((size_t)r->plan.step[i].task >= r->n_procs &&
		    r->plan.step[i].what == PLAN_MAKE && r->plan.step[i].pid)
			look_at_pid(&l, r->plan.step[i].pid);
	if (l.n == 0)
		return 0;
	return ckpt_fail(err, EEXIST, CKPT_E_PID_TAKEN, "%zu of the pids %s in use: %s%s", l.n,
			 l.n == 1 ? "is" : "are", l.text, l.n > CLASHES_SHOWN ? ", ..." : "");
}

static int need_paths(const json_t *o, struct ckpt_err **err)
{
	json_t *cwd, *root;
	int rc = js_obj(o, "cwd", &cwd, err);

	if (rc == 0)
		rc = js_obj(o, "root", &root, err);
	if (rc == 0)
		rc = place_need(cwd, err);
	if (rc == 0)
		rc = place_need(root, err);
	return rc;
}

/* Of threads that have their own. */
static int need_thread_paths(const struct build *b, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < b->n_threads; i++) {
		const json_t *fs = json_object_get(b->thread[i].json, "fs");

		if (fs)
			rc = need_paths(fs, err);
	}
	return rc;
}

static int need_directories(const struct build *b, struct ckpt_err **err)
{
	int rc = 0;

	if (!b->zombie && b->fs_owner == b)
		rc = need_paths(b->task, err);
	if (rc == 0)
		rc = need_thread_paths(b, err);
	return rc < 0 ? ckpt_wrap(err, rc, "process %d", b->vpid) : 0;
}

/*
 * A pid or tid of the image, as this process sees it; 0: our process group, in which the tree
 * began, negative.
 */
static pid_t pid_now(void *userdata, pid_t saved)
{
	const struct restore *r = userdata;

	if (saved == 0)
		return -getpgrp();
	for (size_t i = 0; i < r->n_procs; i++)
		for (size_t k = 0; k < r->proc[i].n_threads; k++)
			if (r->proc[i].thread[k].vtid == saved)
				return r->proc[i].thread[k].tid;
	/* A process group goes on without its leader. */
	for (size_t i = 0; !r->ns_init && i < r->n_procs; i++)
		if (json_integer_value(json_object_get(r->proc[i].task, "pgid")) == saved)
			return saved;
	return 0;
}

static int call(void *userdata, pid_t saved, const struct kind_call *c, struct ckpt_err **err)
{
	struct restore *r = userdata;
	uint64_t arg[6];
	struct build *b = NULL;
	int rc;

	for (size_t i = 0; i < r->n_procs; i++)
		if (r->proc[i].vpid == saved && !r->proc[i].zombie)
			b = &r->proc[i];
	if (!b || c->data_arg >= 6)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "process %d, to %s, is not there",
				 saved, c->what);
	rc = build_room(b, b->pid, 1, c->data_bytes + 16, err);
	if (rc < 0)
		return rc;
	memcpy(arg, c->arg, sizeof(arg));
	if (c->data)
		arg[c->data_arg] = arena_data(&r->arena, c->data, c->data_bytes);
	arena_op(&r->arena, c->what, c->nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
	rc = arena_run(&r->arena, b->pid, err);
	return rc < 0 ? ckpt_wrap(err, rc, "process %d", b->vpid) : 0;
}

static int step_open(struct restore *r, struct ckpt_err **err)
{
	int rc = image_open(&r->im, r->opts->image, err);

	if (rc == 0)
		rc = image_trusted(&r->im, r->opts->image, err);
	if (rc == 0)
		rc = host_need(r->im.manifest, err);
	if (rc == 0)
		rc = read_clocks(r, err);
	if (rc < 0)
		return rc;
	r->kr.im = &r->im;
	r->kr.loader = r->loader;
	r->kr.allow_changed = r->opts->allow_changed;
	r->kr.pid_now = pid_now;
	r->kr.call = call;
	r->kr.userdata = r;
	rc = renumber(&r->numbers, r->im.manifest, r->opts, err);
	if (rc == 0)
		rc = relocate(r->im.manifest, r->opts->relocate, r->opts->n_relocate, err);
	if (rc == 0)
		rc = mapped_settle(&r->im, r->im.manifest, err);
	if (rc == 0)
		rc = build_read(r, err);
	for (size_t i = 0; rc == 0 && i < r->n_procs; i++)
		rc = need_directories(&r->proc[i], err);
	if (rc == 0)
		rc = check_pids(r, err);
	if (rc == 0)
		rc = objects_need(&r->kr, err);
	if (rc == 0)
		rc = sysvipc_need(&r->im, json_object_get(r->im.manifest, "sysv"), true,
				  r->opts->allow_changed, err);
	return rc;
}

/* ---- what is left when all exist ---- */

/* Before what refers to one of them. */
static int step_clone_threads(struct restore *r, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < r->n_procs; i++) {
		if (r->proc[i].zombie)
			continue;
		rc = build_loginuid(&r->proc[i], err);
		if (rc == 0)
			rc = build_threads(&r->proc[i], err);
	}
	return rc;
}

/* While all have the descriptors that they were born with. */
static int step_terminals(struct restore *r, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < r->n_procs; i++)
		if (!r->proc[i].zombie)
			rc = build_tty_all_there(&r->proc[i], err);
	return rc;
}

static int files_now(struct build *b, struct ckpt_err **err)
{
	int rc = build_fs_files(b, err);

	if (rc == 0)
		rc = arena_run(&b->r->arena, b->pid, err);
	return rc < 0 ? ckpt_wrap(err, rc, "process %d", b->vpid) : 0;
}

/* Threads that have their own descriptors make them of those that all were born with. Tables that
 * processes share are made before any of these goes on; of the others, each makes its own then. */
static int step_files(struct restore *r, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < r->n_procs; i++)
		if (!r->proc[i].zombie)
			rc = build_tables(&r->proc[i], err);
	for (size_t i = 0; rc == 0 && i < r->n_procs; i++) {
		struct build *b = &r->proc[i], *o = b->files_owner, *f = b->fs_owner;

		if (b->zombie)
			continue;
		if (f != b && !f->has_files)
			rc = files_now(f, err);
		if (rc == 0 && o != b && !o->has_files)
			rc = files_now(o, err);
	}
	return rc;
}

static int finish_process(struct build *b, struct ckpt_err **err)
{
	int rc = build_memory_rest(b, err);

	if (rc == 0 && !b->has_files)
		rc = build_fs_files(b, err);
	if (rc == 0)
		rc = build_mq_notify(b, err);
	if (rc == 0)
		rc = build_process(b, err);
	if (rc == 0 && b->n_threads > 1)
		rc = arena_run(&b->r->arena, b->pid, err);
	if (rc == 0)
		rc = build_tables_locks(b, err);

	/* The leader last: it makes calls for the others to the end. */
	for (size_t i = b->n_threads; rc == 0 && i-- > 0;)
		rc = build_thread_attributes(b, &b->thread[i], err);
	if (rc == 0)
		rc = build_timers(b, err);
	for (size_t i = b->n_threads; rc == 0 && i-- > 0;)
		if (!b->thread[i].ended)
			rc = build_enter_wait(b, &b->thread[i], err);
	if (rc == 0)
		rc = build_finish(b, err);
	return rc < 0 ? ckpt_wrap(err, rc, "process %d", b->vpid) : 0;
}

/*
 * From the last to the first: a child before its parent, which is told of it while it is built, and
 * whoever has something from another before the one in whose row it stands.
 */
static int step_threads(struct restore *r, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = r->n_procs; rc == 0 && i-- > 0;)
		if (!r->proc[i].zombie)
			rc = finish_process(&r->proc[i], err);
	return rc;
}

/* ---- go ---- */

static void step_go(struct restore *r)
{
	objects_go(&r->kr);
	for (size_t p = r->n_procs; p-- > 0;) {
		struct build *b = &r->proc[p];

		for (size_t i = 0; !b->zombie && i < b->n_threads; i++)
			if (!b->thread[i].ended)
				trace_resume(b->thread[i].tid, PTRACE_DETACH, 0);
		b->made = false; /* it lives its own life */
	}
}

/* ---- the whole ---- */

static void sum_up(const struct restore *r, struct ckpt_restore_result *ret)
{
	ret->pid = r->proc[0].pid;
	ret->n_tasks = (unsigned int)r->n_procs;
	for (size_t i = 0; i < r->n_procs; i++) {
		ret->n_threads += r->proc[i].zombie ? 0 : (unsigned int)r->proc[i].n_threads;
		ret->memory_bytes += r->proc[i].core.n_pages * CORE_PAGE;
	}
}

static int restore(struct restore *r, struct ckpt_restore_result *ret, struct ckpt_err **err)
{
	struct stage_clock clock;
	int rc;

	stage_clock_start(&clock, ret->stages, &ret->n_stages);
	rc = step_open(r, err);
	/* Before the objects: some are made by children that have pids of the namespace. */
	if (rc == 0 && r->opts->new_pidns)
		rc = pidns_make(&r->ns_init, &r->ns_hold_fd, err);
	if (rc == 0)
		rc = build_objects(r, err);
	if (rc < 0)
		return rc;
	stage_done(&clock, "open");
	rc = build_choose_arena(r, err);
	build_pin(&r->pin);
	if (rc == 0)
		rc = tree_build(r, err);
	if (rc < 0)
		return rc;
	stage_done(&clock, "tasks");
	rc = step_terminals(r, err);
	if (rc == 0)
		rc = build_zombies(r, err);
	if (rc == 0)
		rc = step_clone_threads(r, err);
	if (rc == 0)
		rc = objects_connect(&r->kr, err);
	if (rc == 0)
		rc = build_sysv(r, err);
	if (rc == 0)
		rc = step_files(r, err);
	if (rc < 0)
		return rc;
	stage_done(&clock, "files");
	rc = step_threads(r, err);
	build_unpin(&r->pin);
	if (rc < 0)
		return rc;
	stage_done(&clock, "threads");
	rc = objects_finish(&r->kr, err);
	if (rc == 0)
		rc = prove(r, err);
	if (rc == 0)
		rc = meet_again_tell(r, err);
	if (rc < 0)
		return rc;
	stage_done(&clock, "prove");
	sum_up(r, ret);
	step_go(r);
	if (r->n_met)
		rc = meet_again_wait(r, err);
	if (rc < 0)
		return rc;
	stage_done(&clock, "go");
	return 0;
}

static void restore_done(struct restore *r, bool ok)
{
	build_fill_stop(r);
	if (!ok) {
		tree_kill(r);
		objects_undo(&r->kr);
		build_sysv_undo(r);
	}
	build_unpin(&r->pin);
	pidns_leave();
	arena_done(&r->arena);
	objects_close(&r->kr);
	build_objects_done(r);
	close_reset(&r->ns_hold_fd);
	build_read_done(r);
	renumber_done(&r->numbers);
	free(r->sysv_made);
	free(r->met);
	json_decref(r->born.rows);
	image_done(&r->im);
	free(r);
}

/* The child inherits our signal mask and dispositions until it gets its own: nothing may reach it
 * meanwhile. */
static int restore_signals_blocked(struct restore *r, struct ckpt_restore_result *ret,
				   struct ckpt_err **err)
{
	struct trace_clock clock;
	sigset_t all, alarm, old;
	int rc;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	rc = trace_clock_start(&clock, err);
	if (rc == 0) {
		sigemptyset(&alarm);
		sigaddset(&alarm, SIGALRM);
		sigprocmask(SIG_UNBLOCK, &alarm, NULL);
		rc = restore(r, ret, err);
		trace_clock_stop(&clock);
	}
	restore_done(r, rc == 0);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return rc;
}

static int try_restore(struct ckpt_session *s, const struct ckpt_restore_opts *opts,
		       struct ckpt_restore_result *ret, struct ckpt_err **err)
{
	struct restore *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return ckpt_fail_nomem(err);
	*r = (struct restore){ .opts = opts,
			       .session = s,
			       .im = IMAGE_INIT,
			       .self_fd = -1,
			       .ns_hold_fd = -1,
			       .arena.fd = -1 };
	rc = session_loader(s, &r->loader, err);
	if (rc < 0) {
		free(r);
		return rc;
	}
	return restore_signals_blocked(r, ret, err);
}

int ckpt_restore(struct ckpt_session *s, const struct ckpt_restore_opts *opts,
		 struct ckpt_restore_result *ret, struct ckpt_err **err)
{
	struct ckpt_restore_result result = { 0 };
	uint64_t start = now_us();
	int rc;

	if (opts->size != sizeof(*opts))
		return ckpt_fail(err, EINVAL, CKPT_E_USAGE,
				 "the program was built for another version of this library");
	/* Pids that were free when they were chosen may be taken since: then by others. */
	for (int i = 1;; i++) {
		struct ckpt_err *why = NULL;

		result = (struct ckpt_restore_result){ 0 };
		rc = try_restore(s, opts, &result, &why);
		if (rc < 0 && opts->new_pids && i < CHOICES && why &&
		    ckpt_err_code(why) == CKPT_E_PID_TAKEN) {
			ckpt_err_free(why);
			continue;
		}
		if (rc < 0 && err)
			*err = why;
		else
			ckpt_err_free(why);
		break;
	}
	if (rc < 0)
		return rc;
	result.total_us = now_us() - start;
	*ret = result;
	return 0;
}
