// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A checkpoint, from the first look to the sealed image. Reads like the table of steps:
 *
 *   look    snapshot the running tree, judge every resource, make the image's directory
 *   agree   callbacks of programs with libcr run up to their cr_checkpoint()
 *   freeze  stop every thread of every process                           --- the pause begins
 *           snapshot again (this one is the truth), judge again
 *   take    registers, queues, contents that live in the kernel
 *   fork    a copy-on-write twin of each process, or a copy of its pages when they are few
 *   thaw    let the tree go on                                           --- the pause ends
 *   write   the pages of the twins, the manifest
 *   seal    checksums, fsync, rename
 *
 * When the tree shall not go on (kill, stop) or must not fork, there are no twins: the frozen
 * processes themselves are read, and thaw last. Runs in a worker process (worker.h). On failure
 * everything is undone, the tree runs on.
 */
#include "agree.h"
#include "aio.h"
#include "dump_process.h"
#include "freeze.h"
#include "hostinfo.h"
#include "image.h"
#include "kind.h"
#include "look.h"
#include "pids.h"
#include "provenance.h"
#include "session.h"
#include "sysvipc.h"
#include "tasks.h"
#include "trace.h"
#include "util.h"
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Often enough for those who want to give up. */
#define TELL_AGAIN_US	      100000
#define DELETED_LIMIT_DEFAULT (64ULL << 20)
/* Between tries a program runs for twice as long as before: a quarter of a second in all. */
#define FREEZE_TRIES 8
/* After fewer, the same refusal as before may be of the same moment: the program may not have run.
 */
#define FREEZE_TRIES_FEW 5
#define FREEZE_AGAIN_NS	 1000000L

/* Each takes a millisecond or so. */

/* Everything of one dump; released by dump_done(). */
struct dump {
	struct worker *w;
	const struct ckpt_dump_opts *opts;
	struct loader *loader;
	pid_t pid; /* of the root */
	uint64_t start_boottime_ns;
	struct snapshot *snap;
	struct objects os;
	struct plan plan; /* of the births of what is in `snap` */
	struct agree agree;
	struct freeze freeze;
	struct tree tree; /* as it was frozen; outlives the thaw */
	struct trace_clock clock;
	bool clock_runs;
	struct kind_dump kd;
	struct image_writer image;
	json_t *objects;
	json_t *sysv;		   /* of sysvipc.h; NULL: none */
	struct dump_process *proc; /* of the frozen tree: root first, parents before children */
	size_t n_procs;
	struct stash stash;
	bool has_twins;
	uint64_t pages_done, pages_total; /* bytes, for the progress */
	struct stage_clock stages;
	struct ckpt_findings *refused; /* why the frozen tree could not be taken, the last time */
	uint64_t told_us;	       /* when the caller was last told of progress */
	uint64_t freeze_us, paused_us; /* since when it is frozen; how long it was before */
	struct timespec clocks[3];     /* monotonic, real, boot time when it was frozen */
	struct ckpt_dump_result *ret;
};

static void drop_snapshot(struct dump *d)
{
	objects_done(&d->os);
	d->os = (struct objects){ 0 };
	snapshot_free(d->snap);
	d->snap = NULL;
}

/* The tree goes on, and what was found of it while it stood still is forgotten. */
static void let_go(struct dump *d)
{
	freeze_thaw(&d->freeze);
	for (size_t i = 0; i < d->n_procs; i++)
		dump_process_done(&d->proc[i]);
	free(d->proc);
	d->proc = NULL;
	d->n_procs = 0;
	plan_done(&d->plan);
	drop_snapshot(d);
	tree_done(&d->tree);
	objects_drop_in_flight(&d->kd);
	kind_pids_close(&d->kd);
}

static void dump_done(struct dump *d)
{
	let_go(d);
	if (d->clock_runs)
		trace_clock_stop(&d->clock);
	image_writer_done(&d->image);
	stash_done(&d->stash);
	agree_done(&d->agree);
	ckpt_findings_free(d->refused);
	json_decref(d->objects);
	json_decref(d->sysv);
}

static int still_wanted(struct dump *d, struct ckpt_err **err)
{
	if (!worker_cancelled(d->w))
		return 0;
	return ckpt_fail(err, EINTR, CKPT_E_INTERRUPTED, "interrupted; nothing was written");
}

/* ---- step 1 ---- */

/* The half-made image, should this process be killed. */
static void tell_scratch(struct dump *d)
{
	char link[64], path[PATH_MAX], full[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", d->image.parent_fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return;
	path[n] = 0;
	if (snprintf(full, sizeof(full), "%s/%s", path, d->image.tmp_name) < (int)sizeof(full))
		worker_scratch(d->w, full);
}

static int look(struct dump *d, struct ckpt_err **err)
{
	struct look k = { 0 };
	size_t n;
	int rc = look_running(&k, d->loader, d->pid, d->opts->only, &d->kd, err);

	if (rc == 0)
		d->start_boottime_ns = snapshot_task(k.snap, d->pid)->start_boottime_ns;
	if (rc == 0)
		rc = agree_find(&d->agree, k.snap, &k.tree, &n, err);
	/* What is never the same twice is judged when it stands still; and what a callback lets go
	 * of, after that. */
	if (rc == 0 && k.settled && !agree_wanted(&d->agree)) {
		provenance_note(k.f);
		rc = look_verdict(k.f, d->pid, err);
	}
	if (rc == 0)
		rc = image_create(&d->image, d->opts->output, err);
	if (rc == 0)
		tell_scratch(d);
	look_done(&k);
	return rc;
}

/* ---- step 2 ---- */

/* The caller asks whether to go on when it is told of progress. */
static bool is_cancelled(void *userdata)
{
	struct dump *d = userdata;
	uint64_t now = now_us();

	if (now - d->told_us < TELL_AGAIN_US)
		return worker_cancelled(d->w);
	d->told_us = now;
	return worker_progress(d->w, "callbacks", 0, 0) != 0;
}

/* By when it started, it is known again. */
static int note_start(struct dump *d, struct ckpt_err **err)
{
	struct loader_why why = { 0 };
	struct snapshot *s = NULL;
	int rc = snapshot_take(d->loader, &d->pid, 1, SNAPSHOT_TASKS, &s, &why);

	if (rc < 0)
		return ckpt_fail_loader(err, rc, &why);
	if (snapshot_task(s, d->pid))
		d->start_boottime_ns = snapshot_task(s, d->pid)->start_boottime_ns;
	snapshot_free(s);
	return 0;
}

/* The first process is left out itself: its children are roots, if it has any, or other ones. */
static int change_root(struct dump *d, struct ckpt_err **err)
{
	struct tree t = { .omit = d->agree.omit, .n_omit = d->agree.n_omit };
	struct agree *a = &d->agree;
	pid_t root = 0;
	int rc = tree_find(&t, d->loader, d->pid, false, err);

	for (size_t i = 1; rc == 0 && i < t.n; i++)
		if (t.proc[i].ppid == d->pid && !t.proc[i].zombie &&
		    pids_add(&a->more, &a->n_more, t.proc[i].tgid) < 0)
			rc = ckpt_fail_nomem(err);
	tree_done(&t);
	for (size_t i = 0; !root && i < a->n_more; i++)
		if (!pids_have(a->omit, a->n_omit, a->more[i]))
			root = a->more[i];
	if (rc == 0 && !root)
		rc = ckpt_fail(err, ESRCH, CKPT_E_GONE,
			       "process %d left itself out, and nothing else is to be saved",
			       d->pid);
	if (rc < 0)
		return rc;
	d->pid = d->kd.root = a->root = root;
	return note_start(d, err);
}

/* Wait for all callbacks; who is in the way of others is asked again before each freeze. */
static int agree(struct dump *d, struct ckpt_err **err)
{
	int rc = agree_ask(&d->agree, is_cancelled, d, err);

	if (rc == 0 && pids_have(d->agree.omit, d->agree.n_omit, d->pid))
		rc = change_root(d, err);
	return rc;
}

/* ---- steps 3 and 4 ---- */

/* Judge the frozen tree, of which d->snap is the snapshot. */
static int judge(struct dump *d, struct ckpt_findings *f, struct ckpt_err **err)
{
	_cleanup_free_ pid_t *pids = NULL;
	size_t n = 0;
	int rc = objects_collect(&d->os, d->snap, &d->tree, err);

	d->kd.snap = d->snap;
	d->kd.frozen = true;
	pids = tree_pids(&d->tree, false, &n);
	if (rc == 0)
		rc = pids ? kind_pids_open(&d->kd, pids, n, err) : ckpt_fail_nomem(err);
	if (rc == 0)
		rc = objects_collect_in_flight(&d->os, &d->kd, d->snap, err);
	if (rc == 0)
		rc = look_resources(d->loader, &d->tree, &d->kd, &d->os, f, err);
	if (rc == 0)
		rc = look_births(d->snap, &d->tree, &d->plan, f, err);
	return rc;
}

/*
 * 1: it is refused for a reason that the look at the running tree did not find, nor the last try:
 * perhaps for a moment only.
 */
static int judge_frozen(struct dump *d, int i, struct ckpt_err **err)
{
	struct ckpt_findings *f = calloc(1, sizeof(*f));
	bool again, last_try = i == FREEZE_TRIES;
	int rc = f ? look_tracers(&d->tree, err) : ckpt_fail_nomem(err);

	if (rc == 0)
		rc = judge(d, f, err);
	if (rc == 0 && f->n_no) {
		again = !last_try &&
			!(i >= FREEZE_TRIES_FEW && d->refused && look_keep_repeated(f, d->refused));
		rc = again ? 1 : look_verdict(f, d->pid, err);
	}
	ckpt_findings_free(d->refused);
	d->refused = f;
	return rc;
}

static int list_processes(struct dump *d, struct ckpt_err **err)
{
	const struct tree *t = &d->tree;

	d->proc = calloc(t->n, sizeof(*d->proc));
	if (!d->proc)
		return ckpt_fail_nomem(err);
	d->n_procs = t->n;
	for (size_t i = 0; i < t->n; i++) {
		struct dump_process *p = &d->proc[i];
		const struct frozen *frozen;
		size_t n;

		p->tgid = t->proc[i].tgid;
		p->ppid = t->proc[i].ppid;
		p->zombie = t->proc[i].zombie;
		frozen = freeze_threads(&d->freeze, p->tgid, &n);
		p->tid = n ? frozen[0].tid : 0;
		if (!n && !p->zombie)
			return ckpt_fail(err, EAGAIN, CKPT_E_CHANGING,
					 "process %d ended while it was frozen", p->tgid);
		/* The first of those that share a memory comes before the others. */
		if (!p->zombie)
			p->mm_owner = p;
		for (size_t k = 0; t->proc[i].share[PLAN_MM] && k < i; k++)
			if ((uint32_t)t->proc[k].vtgid == t->proc[i].share[PLAN_MM])
				p->mm_owner = &d->proc[k];
	}
	return 0;
}

/* A pid is no identity: it must still be the processes and threads that were frozen. */
static int same_processes(struct dump *d, struct ckpt_err **err)
{
	const struct rec_task *root = snapshot_task(d->snap, d->pid);

	if (!root || root->start_boottime_ns != d->start_boottime_ns)
		return ckpt_fail(err, ESRCH, CKPT_E_GONE, "process %d ended", d->pid);
	for (size_t i = 0; i < d->n_procs; i++) {
		struct dump_process *p = &d->proc[i];
		size_t first, n, alive = 0, frozen;

		freeze_threads(&d->freeze, p->tgid, &frozen);
		snapshot_tasks_of(d->snap, p->tgid, &first, &n);
		for (size_t k = first; k < first + n; k++)
			alive += !task_is_exiting(d->snap->tasks[k]);
		if (alive != frozen)
			return ckpt_fail(err, EAGAIN, CKPT_E_CHANGING,
					 "%zu threads are frozen, but process %d has %zu", frozen,
					 p->tgid, alive);
	}
	return 0;
}

/* Who will have the memory that each is born with a copy of. */
static int find_makers(struct dump *d, struct ckpt_err **err)
{
	_cleanup_free_ int *maker = calloc(d->n_procs, sizeof(*maker));

	if (!maker)
		return ckpt_fail_nomem(err);
	plan_makers(&d->plan, d->n_procs, maker);
	for (size_t i = 0; i < d->n_procs; i++)
		d->proc[i].maker = maker[i] >= 0 ? &d->proc[maker[i]] : NULL;
	return 0;
}

static int take_processes(struct dump *d, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < d->n_procs; i++) {
		size_t n;
		const struct frozen *frozen = freeze_threads(&d->freeze, d->proc[i].tgid, &n);

		if (n)
			rc = take_frozen(&d->proc[i].taken, frozen, n, d->snap, true, err);
		d->ret->n_threads += (unsigned int)n;
	}
	d->ret->n_tasks = (unsigned int)d->n_procs;
	return rc;
}

/* One try: freeze all, and look at what stands still. 1: try again. */
static int freeze_once(struct dump *d, int i, struct ckpt_err **err)
{
	_cleanup_free_ pid_t *pids = NULL;
	struct loader_why why = { 0 };
	size_t n;
	int rc;

	d->freeze_us = now_us();
	d->tree.omit = d->agree.omit;
	d->tree.n_omit = d->agree.n_omit;
	d->tree.more = d->agree.more;
	d->tree.n_more = d->agree.n_more;
	rc = freeze_tree(&d->freeze, d->loader, d->pid, d->opts->only, &d->tree, err);
	if (rc < 0)
		return rc;
	pids = tree_pids(&d->tree, true, &n);
	if (!pids)
		return ckpt_fail_nomem(err);
	rc = snapshot_take(d->loader, pids, n, SNAPSHOT_ALL, &d->snap, &why);
	if (rc < 0)
		return ckpt_fail_loader(err, rc, &why);
	rc = aio_wait(d->loader, pids, n, &d->snap, err);
	if (rc < 0)
		return rc;
	clock_gettime(CLOCK_MONOTONIC, &d->clocks[0]);
	clock_gettime(CLOCK_REALTIME, &d->clocks[1]);
	clock_gettime(CLOCK_BOOTTIME, &d->clocks[2]);
	rc = tree_find_shares(&d->tree, err);
	if (rc == 0)
		rc = list_processes(d, err);
	if (rc == 0)
		rc = same_processes(d, err);
	if (rc < 0)
		return rc;
	if (agree_wanted(&d->agree)) {
		rc = agree_frozen(&d->agree, &d->freeze, d->snap, &d->tree, i >= FREEZE_TRIES, err);
		if (rc > 0 && i >= FREEZE_TRIES)
			rc = ckpt_fail(err, EAGAIN, CKPT_E_CHANGING,
				       "threads or processes begin faster than they can be asked");
		if (rc)
			return rc;
	}
	return judge_frozen(d, i, err);
}

/*
 * What a program holds for a moment only (top(1) opens files of strangers in /proc) is in the way
 * when it is frozen just then: it goes on for a little while, and is frozen again.
 */
static int freeze_and_look(struct dump *d, struct ckpt_err **err)
{
	for (int i = 1;; i++) {
		const struct timespec while_it_runs = { 0, FREEZE_AGAIN_NS << i };
		int rc = freeze_once(d, i, err);

		if (rc <= 0)
			return rc;
		let_go(d);
		d->paused_us += now_us() - d->freeze_us;
		rc = still_wanted(d, err);
		if (rc == 0 && agree_wanted(&d->agree))
			rc = agree(d, err);
		if (rc < 0)
			return rc;
		nanosleep(&while_it_runs, NULL);
	}
}

static int take(struct dump *d, struct ckpt_err **err)
{
	int rc = find_makers(d, err);

	if (rc == 0)
		rc = take_processes(d, err);
	if (rc == 0)
		rc = objects_save(&d->os, &d->kd, true, &d->objects, err);
	if (rc == 0)
		rc = sysvipc_save(d->snap, &d->image, &d->sysv, err);
	objects_drop_in_flight(&d->kd);
	return rc;
}

/* ---- step 5 ---- */

/*
 * An orphaned twin would become a child of a subreaper of the tree, which could wait for it; the
 * init of a pid namespace is one without being asked.
 */
static bool wants_twins(const struct dump *d)
{
	if (d->opts->frozen || d->opts->after == CKPT_AFTER_KILL ||
	    d->opts->after == CKPT_AFTER_STOP)
		return false;
	for (size_t i = 0; i < d->snap->n_processes; i++) {
		const struct rec_process *p = d->snap->processes[i];

		if (p->is_child_subreaper || snapshot_task(d->snap, p->tgid)->vtgid == 1)
			return false;
	}
	/* It would catch our calls, too. */
	for (size_t i = 0; i < d->n_procs; i++)
		if (!d->proc[i].zombie &&
		    taken_thread(&d->proc[i].taken, d->proc[i].tid)->dispatch.mode)
			return false;
	return true;
}

static int fork_twins(struct dump *d, struct ckpt_err **err)
{
	bool twins = wants_twins(d);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < d->n_procs; i++)
		if (d->proc[i].mm_owner == &d->proc[i])
			rc = dump_process_stash(&d->proc[i], &d->stash, d->snap, twins, err);
	for (size_t i = 0; rc == 0 && twins && i < d->n_procs; i++)
		if (d->proc[i].mm_owner == &d->proc[i] && !d->proc[i].aside)
			rc = dump_process_fork(&d->proc[i], d->snap, err);
	d->has_twins = twins;
	if (rc != -EAGAIN && rc != -ENOMEM)
		return rc;
	/* One may not fork: all are read frozen. What was set aside for twins is found again. */
	for (size_t i = 0; i < d->n_procs; i++)
		dump_process_unfork(&d->proc[i]);
	d->has_twins = false;
	return 0;
}

static void pause_ends(struct dump *d)
{
	d->ret->pause_us = d->paused_us + now_us() - d->freeze_us;
}

/* ---- step 7 ---- */

static int count_progress(void *userdata, uint64_t done, uint64_t total)
{
	struct dump *d = userdata;

	(void)total;
	return worker_progress(d->w, "write", d->pages_done + done, d->pages_total);
}

static int find_pages(struct dump *d, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < d->n_procs; i++) {
		rc = dump_process_find(&d->proc[i], d->snap, err);
		d->pages_total += d->proc[i].pages.n_pages * CORE_PAGE;
	}
	d->ret->memory_bytes = d->pages_total;
	return rc;
}

static int write_cores(struct dump *d, struct ckpt_err **err)
{
	struct core_write_opts opts = { .compress = d->opts->compress,
					.level = d->opts->compress_level,
					.direct = true,
					.progress = count_progress,
					.userdata = d };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < d->n_procs; i++) {
		rc = dump_process_write(&d->proc[i], &d->stash, d->snap, &d->image, &opts, err);
		d->pages_done += d->proc[i].pages.n_pages * CORE_PAGE;
	}
	return rc;
}

static int clocks_save(const struct dump *d, json_t *m)
{
	static const char *const names[] = { "monotonic_ns", "realtime_ns", "boottime_ns" };
	int rc = 0;

	for (size_t i = 0; i < 3; i++)
		rc |= js_set_int(m, names[i],
				 d->clocks[i].tv_sec * 1000000000LL + d->clocks[i].tv_nsec);
	return rc;
}

static int save_process(struct dump *d, struct dump_process *p, json_t *tasks,
			struct ckpt_err **err)
{
	json_t *task = NULL, *mm;
	int rc = task_save(d->snap, &d->tree, p->tgid, &d->os, &p->taken, &task, err);

	if (rc < 0)
		return rc;
	if (json_array_append_new(tasks, task))
		return ckpt_fail_nomem(err);
	mm = json_object_get(task, "mm");
	if (p->mm_owner != p)
		return 0;
	rc = area_guards_save(&p->pages, mm, err);
	return rc < 0 ? rc : inherited_save(&p->inherited, mm, err);
}

static int make_manifest(struct dump *d, json_t **ret, struct ckpt_err **err)
{
	_cleanup_json_ json_t *m = json_object();
	json_t *tasks = json_array();
	int rc = host_save(m, d->opts->compress, err);

	if (rc < 0 || json_object_set_new(m, "tasks", tasks) ||
	    json_object_set(m, "objects", d->objects) ||
	    (d->sysv && json_object_set(m, "sysv", d->sysv)))
		return rc < 0 ? rc : ckpt_fail_nomem(err);
	for (size_t i = 0; rc == 0 && i < d->n_procs; i++)
		rc = save_process(d, &d->proc[i], tasks, err);
	if (rc < 0)
		return rc;
	if (agree_wanted(&d->agree) && json_object_set_new(m, "libcr", agree_save(&d->agree)))
		return ckpt_fail_nomem(err);
	if (clocks_save(d, m) || js_set_int(m, "root_pid", snapshot_task(d->snap, d->pid)->vtgid))
		return ckpt_fail_nomem(err);
	*ret = TAKE_PTR(m);
	return 0;
}

static int write_image(struct dump *d, json_t **manifest, struct ckpt_err **err)
{
	int rc = find_pages(d, err);

	if (rc == 0)
		rc = objects_write_deferred(&d->kd, err);
	if (rc == 0)
		rc = write_cores(d, err);
	for (size_t i = 0; i < d->n_procs; i++)
		twin_end(&d->proc[i].twin);
	if (rc == 0)
		rc = make_manifest(d, manifest, err);
	return rc;
}

/* ---- after ---- */

/* But those with callbacks, which get it when these have ended. */
static void signal_all(struct dump *d, int sig)
{
	for (size_t i = 0; i < d->n_procs; i++)
		if (!d->proc[i].zombie && !agree_has(&d->agree, d->proc[i].tgid))
			kill(d->proc[i].tgid, sig);
}

/* What becomes of the tree; it is still frozen when it shall be killed or stopped. */
static void carry_on(struct dump *d)
{
	switch (d->opts->after) {
	case CKPT_AFTER_KILL:
		freeze_kill(&d->freeze);
		break;
	case CKPT_AFTER_STOP:
		signal_all(d, SIGSTOP); /* acts before the first instruction after the thaw */
		break;
	case CKPT_AFTER_CONT:
		signal_all(d, SIGCONT);
		break;
	case CKPT_AFTER_RUN:
		break;
	}
	freeze_thaw(&d->freeze);
}

static int isolate_twins(struct dump *d, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < d->n_procs; i++)
		if (d->proc[i].twin.pid)
			rc = twin_isolate(&d->proc[i].twin, err);
	return rc;
}

static int freeze_and_fork(struct dump *d, struct ckpt_err **err)
{
	int rc = freeze_and_look(d, err);

	if (rc < 0)
		return rc;
	stage_done(&d->stages, "freeze");
	rc = take(d, err);
	if (rc < 0)
		return rc;
	stage_done(&d->stages, "take");
	rc = fork_twins(d, err);
	if (rc < 0)
		return rc;
	stage_done(&d->stages, "fork");
	if (d->has_twins) {
		rc = agree_decide_frozen(&d->agree, &d->freeze, 0, err);
		if (rc < 0)
			return rc;
		freeze_thaw(&d->freeze);
		pause_ends(d);
		agree_unwatch(&d->agree);
		rc = isolate_twins(d, err);
		if (rc < 0)
			return rc;
		stage_done(&d->stages, "thaw");
	}
	return still_wanted(d, err);
}

static int run(struct dump *d, struct ckpt_err **err)
{
	_cleanup_json_ json_t *manifest = NULL;
	int rc = look(d, err);

	if (rc == 0)
		rc = trace_clock_start(&d->clock, err);
	if (rc < 0)
		return rc;
	d->clock_runs = true;
	if (agree_wanted(&d->agree))
		agree_watch(&d->agree);
	stage_done(&d->stages, "look");
	if (agree_wanted(&d->agree)) {
		rc = agree(d, err);
		if (rc < 0)
			return rc;
		stage_done(&d->stages, "agree");
	}
	rc = freeze_and_fork(d, err);
	if (rc < 0)
		return rc;
	rc = write_image(d, &manifest, err);
	if (rc < 0)
		return rc;
	stage_done(&d->stages, "write");
	rc = still_wanted(d, err);
	/* One that fails now may undo the checkpoint. */
	if (rc == 0 && d->has_twins && agree_wanted(&d->agree))
		rc = agree_wait_left(&d->agree, is_cancelled, d, err);
	if (rc == 0)
		rc = image_seal(&d->image, manifest, err);
	if (rc < 0)
		return rc;
	d->ret->image_bytes = d->image.bytes;
	stage_done(&d->stages, "seal");
	if (d->opts->callbacks.sealed)
		rc = d->opts->callbacks.sealed(d->opts->callbacks.userdata, err);
	return rc;
}

/* What went wrong is told to the callbacks; or that all went well, if they have not been told. */
static int settle(struct dump *d, int rc, struct ckpt_err **err)
{
	if (rc < 0) {
		freeze_thaw(&d->freeze);
		agree_cancel(&d->agree, rc);
		return rc;
	}
	if (!d->has_twins && d->opts->after != CKPT_AFTER_KILL)
		rc = agree_decide_frozen(&d->agree, &d->freeze, 0, err);
	carry_on(d);
	if (!d->has_twins)
		pause_ends(d);
	if (d->opts->after == CKPT_AFTER_KILL || !agree_wanted(&d->agree))
		return rc;
	if (rc == 0 && !d->has_twins)
		rc = agree_wait_left(&d->agree, is_cancelled, d, err);
	agree_finish(&d->agree);
	stage_done(&d->stages, "go");
	return rc;
}

static int dump_in_worker(struct worker *w, struct ckpt_session *s,
			  const struct ckpt_dump_opts *opts, struct ckpt_dump_result *ret,
			  struct ckpt_err **err)
{
	struct dump d = {
		.w = w,
		.opts = opts,
		.loader = s->loader,
		.pid = opts->pid,
		.stash = { .fd = -1 },
		.image = IMAGE_WRITER_INIT,
		.ret = ret,
	};
	uint64_t start = now_us();
	int rc;

	d.kd = (struct kind_dump){
		.loader = s->loader,
		.w = &d.image,
		.deleted_limit_bytes = opts->deleted_limit_bytes ? opts->deleted_limit_bytes
								 : DELETED_LIMIT_DEFAULT,
		.save_mapped = opts->save_mapped,
		.root = opts->pid,
		.ext_unix = opts->ext_unix,
	};
	d.agree = (struct agree){ .opts = opts->callbacks, .loader = s->loader };
	snprintf(d.agree.dest, sizeof(d.agree.dest), "%s",
		 opts->callbacks.dest ? opts->callbacks.dest : "");
	if (!d.agree.opts.signal)
		d.agree.opts.signal = opts->after == CKPT_AFTER_STOP   ? SIGSTOP
				      : opts->after == CKPT_AFTER_CONT ? SIGCONT
								       : 0;
	ret->pid = opts->pid;
	stage_clock_start(&d.stages, ret->stages, &ret->n_stages);
	rc = agree_begin(&d.agree, opts, err);
	if (rc < 0)
		return rc;
	d.kd.omit = opts->omit;
	d.kd.n_omit = opts->n_omit;
	d.kd.more = opts->more;
	d.kd.n_more = opts->n_more;
	rc = settle(&d, run(&d, err), err);
	dump_done(&d);
	ret->total_us = now_us() - start;
	return rc;
}

int ckpt_dump(struct ckpt_session *s, const struct ckpt_dump_opts *opts,
	      struct ckpt_dump_result *ret, struct ckpt_err **err)
{
	struct ckpt_dump_result result = { 0 };
	struct loader *l;
	uint64_t start = now_us();
	int rc;

	if (opts->size != sizeof(*opts))
		return ckpt_fail(err, EINVAL, CKPT_E_USAGE,
				 "the program was built for another version of this library");
	if (kill(opts->pid, 0) < 0 && errno == ESRCH)
		return ckpt_fail(err, ESRCH, CKPT_E_NO_PROCESS, "there is no process %d",
				 opts->pid);
	if (opts->pid == getpid())
		return ckpt_fail(err, EINVAL, CKPT_E_SELF, "%d is this program itself", opts->pid);
	rc = session_loader(s, &l, err);
	if (rc == 0)
		rc = worker_run(dump_in_worker, s, opts, &result, err);
	if (rc < 0)
		return rc;
	result.total_us = now_us() - start;
	*ret = result;
	return 0;
}
