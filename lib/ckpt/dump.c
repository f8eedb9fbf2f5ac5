// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A checkpoint, from the first look to the sealed image. Reads like the table of steps:
 *
 *   look    snapshot the running process, judge every resource, make the image's directory
 *   freeze  stop every thread                                            --- the pause begins
 *   take    snapshot again (this one is the truth), registers, queues, contents that live in the
 * kernel fork    a copy-on-write twin thaw    let the process go on --- the pause ends write   the
 * twin's pages, the manifest seal    checksums, fsync, rename
 *
 * When the process shall not go on (kill, stop) or must not fork, there is no twin: the frozen
 * process itself is read, and thaws last. Runs in a worker process (worker.h). On failure
 * everything is undone, the process runs on.
 */
#include "areas.h"
#include "core.h"
#include "freeze.h"
#include "hostinfo.h"
#include "image.h"
#include "kind.h"
#include "look.h"
#include "session.h"
#include "take.h"
#include "tasks.h"
#include "trace.h"
#include "twin.h"
#include "util.h"
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define DELETED_LIMIT_DEFAULT (64ULL << 20)

/* Everything of one dump; released by dump_done(). */
struct dump {
	struct worker *w;
	const struct ckpt_dump_opts *opts;
	struct loader *loader;
	pid_t pid;
	uint64_t start_boottime_ns;
	struct snapshot *snap;
	struct objects os;
	struct freeze freeze;
	struct taken taken;
	struct trace_clock clock;
	bool clock_runs;
	struct twin twin;
	struct kind_dump kd;
	struct image_writer image;
	json_t *objects;
	struct area_pages pages; /* stashed ones first, then all */
	int stash_fd;		 /* pages that a fork would lose, or -1 */
	struct stage_clock stages;
	uint64_t freeze_us;
	struct timespec clocks[3]; /* monotonic, real, boot time when it was frozen */
	struct ckpt_dump_result *ret;
};

static void drop_snapshot(struct dump *d)
{
	objects_done(&d->os);
	d->os = (struct objects){ 0 };
	snapshot_free(d->snap);
	d->snap = NULL;
}

static void dump_done(struct dump *d)
{
	freeze_thaw(&d->freeze);
	twin_end(&d->twin);
	if (d->clock_runs)
		trace_clock_stop(&d->clock);
	image_writer_done(&d->image);
	taken_done(&d->taken);
	area_pages_done(&d->pages);
	drop_snapshot(d);
	json_decref(d->objects);
	close_reset(&d->stash_fd);
	kind_pids_close(&d->kd);
}

static int still_wanted(struct dump *d, struct ckpt_err **err)
{
	if (!worker_cancelled(d->w))
		return 0;
	return ckpt_fail(err, EINTR, CKPT_E_INTERRUPTED, "interrupted; nothing was written");
}

/* Judge the snapshot in d->snap. */
static int judge(struct dump *d, struct ckpt_err **err)
{
	struct ckpt_findings *f = calloc(1, sizeof(*f));
	int rc = f ? objects_collect(&d->os, d->snap, err) : ckpt_fail_nomem(err);

	d->kd.snap = d->snap;
	if (rc == 0)
		rc = look_resources(d->loader, d->snap, d->pid, &d->kd, &d->os, f, err);
	if (rc == 0)
		rc = look_verdict(f, d->pid, err);
	ckpt_findings_free(f);
	return rc;
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
	const struct rec_task *t;
	int rc;

	rc = look_snapshot(d->loader, d->pid, &d->snap, err);
	if (rc == 0)
		rc = look_process(d->loader, d->snap, d->pid, err);
	if (rc < 0)
		return rc;
	t = snapshot_task(d->snap, d->pid);
	d->start_boottime_ns = t->start_boottime_ns;
	rc = kind_pids_open(&d->kd, &d->pid, 1, err);
	if (rc == 0)
		rc = judge(d, err);
	if (rc == 0)
		rc = image_create(&d->image, d->opts->output, err);
	if (rc == 0)
		tell_scratch(d);
	drop_snapshot(d);
	return rc;
}

/* ---- steps 3 and 4 ---- */

/* A pid is no identity: it must still be the process that was judged. */
static int same_process(struct dump *d, struct ckpt_err **err)
{
	const struct rec_task *t = snapshot_task(d->snap, d->pid);
	size_t first, n, alive = 0;

	if (!t || t->start_boottime_ns != d->start_boottime_ns)
		return ckpt_fail(err, ESRCH, CKPT_E_GONE, "process %d ended", d->pid);
	snapshot_tasks_of(d->snap, d->pid, &first, &n);
	for (size_t i = first; i < first + n; i++)
		alive += !task_is_exiting(d->snap->tasks[i]);
	if (alive != d->freeze.n)
		return ckpt_fail(err, EAGAIN, CKPT_E_CHANGING,
				 "%zu threads are frozen, but process %d has %zu", d->freeze.n,
				 d->pid, alive);
	return 0;
}

/* Copy pages of the frozen process into the stash. */
static int fill_stash(struct dump *d, const struct area_pages *p, struct ckpt_err **err)
{
	enum { CHUNK = 1 << 20 };

	_cleanup_free_ char *buf = malloc(CHUNK);
	_cleanup_close_ int mem = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", d->pid);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	d->stash_fd = memfd_create("ckpt-stash", MFD_CLOEXEC);
	if (!buf || mem < 0 || d->stash_fd < 0)
		return ckpt_fail_errno(err, buf ? errno : ENOMEM, CKPT_E_SYS,
				       "set memory aside that a fork does not copy");
	for (size_t i = 0; i < p->n_runs; i++) {
		uint64_t at = p->run[i].start, end = at + p->run[i].n_pages * CORE_PAGE;

		p->run[i].source = CORE_FROM_BUFFER;
		while (at < end) {
			size_t n = end - at < CHUNK ? end - at : CHUNK;
			int rc = pread_all(mem, buf, n, at);

			if (rc == 0)
				rc = write_all(d->stash_fd, buf, n);
			if (rc < 0)
				return ckpt_fail_errno(err, rc, CKPT_E_GONE,
						       "read memory at %#llx of process %d",
						       (unsigned long long)at, d->pid);
			at += n;
		}
	}
	return 0;
}

static int stash_unforked(struct dump *d, struct ckpt_err **err)
{
	bool any = false;
	size_t first, n;
	int rc;

	snapshot_vmas_of(d->snap, d->pid, &first, &n);
	for (size_t i = first; i < first + n; i++)
		any |= area_not_forked(d->snap->vmas[i].rec) &&
		       !area_is_special(d->snap->vmas[i].rec);
	if (!any)
		return 0;
	rc = area_pages_find(&d->pages, d->snap, d->pid, d->pid, AREA_UNFORKED, err);
	if (rc == 0 && d->pages.n_runs)
		rc = fill_stash(d, &d->pages, err);
	return rc;
}

static int take(struct dump *d, struct ckpt_err **err)
{
	int rc = look_snapshot(d->loader, d->pid, &d->snap, err);

	clock_gettime(CLOCK_MONOTONIC, &d->clocks[0]);
	clock_gettime(CLOCK_REALTIME, &d->clocks[1]);
	clock_gettime(CLOCK_BOOTTIME, &d->clocks[2]);
	if (rc == 0)
		rc = same_process(d, err);
	if (rc == 0)
		rc = judge(d, err); /* it may have opened something since */
	if (rc == 0)
		rc = take_frozen(&d->taken, &d->freeze, d->snap, true, err);
	if (rc == 0)
		rc = objects_save(&d->os, &d->kd, true, &d->objects, err);
	return rc;
}

/* ---- step 5 ---- */

static bool wants_twin(const struct dump *d)
{
	const struct rec_process *p = snapshot_process(d->snap, d->pid);

	if (d->opts->frozen || d->opts->after == CKPT_AFTER_KILL ||
	    d->opts->after == CKPT_AFTER_STOP)
		return false;
	/* An orphaned twin would become a child of such a process, which could wait for it. */
	return !p->is_child_subreaper && snapshot_task(d->snap, d->pid)->vtgid != 1;
}

static int fork_twin(struct dump *d, struct ckpt_err **err)
{
	const struct rec_mm *m = snapshot_mm(d->snap, d->pid);
	const struct taken_thread *t = taken_thread(&d->taken, d->pid);
	int rc;

	if (!wants_twin(d))
		return 0;
	rc = stash_unforked(d, err);
	if (rc < 0)
		return rc;
	rc = twin_make(&d->twin, d->pid, &t->regs, m->vdso, err);
	if (rc == -EAGAIN || rc == -ENOMEM) {
		/* It may not fork: read it frozen. What was stashed is found again there. */
		area_pages_done(&d->pages);
		close_reset(&d->stash_fd);
		return 0;
	}
	return rc;
}

static void pause_ends(struct dump *d)
{
	d->ret->pause_us = now_us() - d->freeze_us;
}

/* ---- step 7 ---- */

static int count_progress(void *userdata, uint64_t done, uint64_t total)
{
	return worker_progress(userdata, "write", done, total);
}

static int core_inputs(struct dump *d, struct core_thread **ret_threads,
		       struct core_area **ret_areas, size_t *ret_n_areas, struct ckpt_err **err)
{
	struct core_thread *ct = calloc(d->taken.n, sizeof(*ct));
	struct core_area *ca;
	size_t first, n;

	snapshot_vmas_of(d->snap, d->pid, &first, &n);
	ca = calloc(n ? n : 1, sizeof(*ca));
	*ret_threads = ct;
	*ret_areas = ca;
	*ret_n_areas = n;
	if (!ct || !ca)
		return ckpt_fail_nomem(err);
	for (size_t i = 0, k = 1; i < d->taken.n; i++) {
		const struct taken_thread *t = &d->taken.thread[i];
		const struct rec_task *r = snapshot_task(d->snap, t->tid);
		struct core_thread *c = t->tid == d->pid ? &ct[0] : &ct[k++];

		*c = (struct core_thread){ .tid = r->vtid,
					   .gpr = t->regs,
					   .xstate = t->xstate,
					   .xstate_len = t->xstate_len,
					   .blocked = t->sigmask,
					   .pending = r->pending };
	}
	for (size_t i = 0; i < n; i++) {
		const struct rec_vma *v = d->snap->vmas[first + i].rec;

		ca[i] = (struct core_area){
			.start = v->start,
			.end = v->end,
			.prot = (uint32_t)(v->vm_flags & 7),
			.pgoff_bytes = v->pgoff_bytes,
			.path = v->has_file && d->snap->vmas[first + i].path[0]
					? d->snap->vmas[first + i].path
					: NULL,
		};
	}
	return 0;
}

/* The command line, for debuggers: read from the process's memory, NULs become spaces. */
static void read_args(const struct dump *d, char args[80])
{
	const struct rec_mm *m = snapshot_mm(d->snap, d->pid);
	size_t len = m->arg_end > m->arg_start ? m->arg_end - m->arg_start : 0;
	pid_t pid = d->twin.pid ? d->twin.pid : d->pid;
	struct iovec local = { args, len < 79 ? len : 79 };
	struct iovec remote = { (void *)(uintptr_t)m->arg_start, local.iov_len };
	ssize_t n = process_vm_readv(pid, &local, 1, &remote, 1, 0);

	for (ssize_t i = 0; i + 1 < n; i++)
		if (!args[i])
			args[i] = ' ';
	args[n > 0 ? n : 0] = 0;
}

static int write_core(struct dump *d, struct ckpt_err **err)
{
	const struct rec_process *p = snapshot_process(d->snap, d->pid);
	const struct rec_task *t = snapshot_task(d->snap, d->pid);
	const struct rec_mm *m = snapshot_mm(d->snap, d->pid);
	struct core_write_opts opts = { .compress = d->opts->compress,
					.level = d->opts->compress_level,
					.direct = true,
					.progress = count_progress,
					.userdata = d->w };
	struct core_process core = { .pid = t->vtgid,
				     .ppid = p->ppid,
				     .pgid = p->pgid,
				     .sid = p->sid,
				     .uid = t->cred.uid,
				     .gid = t->cred.gid,
				     .state = 'R',
				     .nice = t->nice,
				     .auxv = (const uint64_t *)m->auxv,
				     .n_auxv = REC_AUXV_U64,
				     .n_threads = d->taken.n,
				     .runs = d->pages.run,
				     .n_runs = d->pages.n_runs };
	_cleanup_free_ struct core_thread *threads = NULL;
	_cleanup_free_ struct core_area *areas = NULL;
	uint64_t bytes = 0;
	char xxh3[33], name[32];
	int rc = core_inputs(d, &threads, &areas, &core.n_areas, err);

	if (rc < 0)
		return rc;
	core.threads = threads;
	core.areas = areas;
	memcpy(core.comm, t->comm, sizeof(core.comm));
	read_args(d, core.args);
	snprintf(name, sizeof(name), "core.%d", t->vtgid);
	rc = core_write(d->image.dir_fd, name, &core, d->twin.pid ? d->twin.pid : d->pid,
			d->stash_fd, &opts, &bytes, xxh3, err);
	if (rc == 0)
		rc = image_note_core(&d->image, name, bytes, xxh3, err);
	d->ret->memory_bytes = d->pages.n_pages * CORE_PAGE;
	return rc;
}

/*
 * process_vm_readv(2) pins pages, and for that the kernel gives the twin copies of its own of all
 * that it shares with the program (gup_must_unshare() in mm/gup.c): slow, and the memory twice.
 * /proc/PID/mem does not pin.
 */
static void read_without_pinning(struct area_pages *p)
{
	for (size_t i = 0; i < p->n_runs; i++)
		p->run[i].source = CORE_FROM_MEM;
}

static int find_pages(struct dump *d, struct ckpt_err **err)
{
	struct area_pages rest = { 0 };
	int rc;

	if (d->twin.pid)
		rc = area_pages_find(&rest, d->snap, d->pid, d->twin.pid, AREA_FORKED, err);
	else
		rc = area_pages_find(&rest, d->snap, d->pid, d->pid, AREA_ALL, err);
	if (d->twin.pid)
		read_without_pinning(&rest);
	if (rc == 0)
		rc = area_pages_join(&d->pages, &rest, err);
	area_pages_done(&rest);
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

static int make_manifest(struct dump *d, json_t **ret, struct ckpt_err **err)
{
	_cleanup_json_ json_t *m = json_object();
	json_t *task = NULL, *tasks = json_array();
	const struct taken_thread *leader = taken_thread(&d->taken, d->pid);
	int rc = host_save(m, d->opts->compress, err);

	if (rc < 0 || json_object_set_new(m, "tasks", tasks) ||
	    json_object_set(m, "objects", d->objects))
		return rc < 0 ? rc : ckpt_fail_nomem(err);
	rc = task_save(d->snap, d->pid, &d->os, &d->taken, &task, err);
	if (rc < 0)
		return rc;
	if (json_array_append_new(tasks, task))
		return ckpt_fail_nomem(err);
	rc = area_guards_save(&d->pages, json_object_get(task, "mm"), err);
	if (rc < 0)
		return rc;
	/* The stop signal of a stopped process; it is stopped again when restored. */
	if (js_set_int(json_object_get(task, "info"), "stopped", leader->group_stop) ||
	    clocks_save(d, m) || js_set_int(m, "root_pid", snapshot_task(d->snap, d->pid)->vtgid))
		return ckpt_fail_nomem(err);
	*ret = TAKE_PTR(m);
	return 0;
}

static int write_image(struct dump *d, json_t **manifest, struct ckpt_err **err)
{
	int rc = find_pages(d, err);

	if (rc == 0)
		rc = write_core(d, err);
	twin_end(&d->twin);
	if (rc == 0)
		rc = make_manifest(d, manifest, err);
	return rc;
}

/* ---- after ---- */

/* What becomes of the process; it is still frozen when it shall be killed or stopped. */
static void carry_on(struct dump *d)
{
	switch (d->opts->after) {
	case CKPT_AFTER_KILL:
		freeze_kill(&d->freeze);
		break;
	case CKPT_AFTER_STOP:
		kill(d->pid, SIGSTOP); /* acts before the first instruction after the thaw */
		break;
	case CKPT_AFTER_CONT:
		kill(d->pid, SIGCONT);
		break;
	case CKPT_AFTER_RUN:
		break;
	}
	freeze_thaw(&d->freeze);
}

static int freeze_and_fork(struct dump *d, struct ckpt_err **err)
{
	int rc;

	d->freeze_us = now_us();
	rc = freeze_process(&d->freeze, d->loader, d->pid, err);
	if (rc < 0)
		return rc;
	stage_done(&d->stages, "freeze");
	rc = take(d, err);
	if (rc < 0)
		return rc;
	d->ret->n_tasks = 1;
	d->ret->n_threads = (unsigned int)d->freeze.n;
	stage_done(&d->stages, "take");
	rc = fork_twin(d, err);
	if (rc < 0)
		return rc;
	stage_done(&d->stages, "fork");
	if (d->twin.pid) {
		freeze_thaw(&d->freeze);
		pause_ends(d);
		rc = twin_isolate(&d->twin, err);
		if (rc < 0)
			return rc;
		stage_done(&d->stages, "thaw");
	}
	return still_wanted(d, err);
}

static int run(struct dump *d, struct ckpt_err **err)
{
	_cleanup_json_ json_t *manifest = NULL;
	bool had_twin;
	int rc = look(d, err);

	if (rc == 0)
		rc = trace_clock_start(&d->clock, err);
	if (rc < 0)
		return rc;
	d->clock_runs = true;
	stage_done(&d->stages, "look");
	rc = freeze_and_fork(d, err);
	if (rc < 0)
		return rc;
	had_twin = d->twin.pid != 0;
	rc = write_image(d, &manifest, err);
	if (rc < 0)
		return rc;
	stage_done(&d->stages, "write");
	rc = still_wanted(d, err);
	if (rc == 0)
		rc = image_seal(&d->image, manifest, err);
	if (rc < 0)
		return rc;
	d->ret->image_bytes = d->image.bytes;
	stage_done(&d->stages, "seal");
	carry_on(d);
	if (!had_twin)
		pause_ends(d);
	return 0;
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
		.stash_fd = -1,
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
		.root = opts->pid,
	};
	ret->pid = opts->pid;
	stage_clock_start(&d.stages, ret->stages, &ret->n_stages);
	rc = run(&d, err);
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
