// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A restore, from the image to the running process. Reads like the table of steps:
 *
 *   open    seal, versions, needs of every object: before anything is made
 *   tasks   the child with its pid
 *   fill    memory, descriptors
 *   threads threads and everything's attributes
 *   prove   snapshot what was made, compare with the manifest
 *   go      all threads at once
 *
 * build.h tells how a process is built. On any failure the child is killed, nothing is left.
 */
#include "build.h"
#include "hostinfo.h"
#include "look.h"
#include "pidns.h"
#include "safe.h"
#include "take.h"
#include "tasks.h"
#include "trace.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* ---- open ---- */

static int check_identity(struct build *b, struct ckpt_err **err)
{
	json_t *tasks;
	int32_t pid = 0;
	int rc = js_arr(b->im.manifest, "tasks", &tasks, err);

	if (rc < 0)
		return rc;
	if (json_array_size(tasks) != 1)
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE_VERSION,
				 "the image holds %zu processes; this version restores one",
				 json_array_size(tasks));
	b->task = json_array_get(tasks, 0);
	rc = js_i32(b->task, "pid", &pid, err);
	if (rc == 0)
		rc = js_i64(b->im.manifest, "monotonic_ns", &b->monotonic_ns, err);
	if (rc == 0)
		rc = js_i64(b->im.manifest, "realtime_ns", &b->realtime_ns, err);
	if (rc == 0)
		rc = js_i64(b->im.manifest, "boottime_ns", &b->boottime_ns, err);
	if (rc == 0 && pid <= 1)
		rc = ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "pid %d cannot be restored", pid);
	b->vpid = pid;
	return rc;
}

static int core_by_tid(const void *a, const void *b)
{
	const struct core_thread *x = a, *y = b;

	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

static int vtid_order(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return x < y ? -1 : x > y;
}

static int check_tids_differ(const struct build *b, struct ckpt_err **err)
{
	_cleanup_free_ pid_t *v = calloc(b->n_threads, sizeof(*v));

	if (!v)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < b->n_threads; i++)
		v[i] = b->thread[i].vtid;
	qsort(v, b->n_threads, sizeof(*v), vtid_order);
	for (size_t i = 1; i < b->n_threads; i++)
		if (v[i] == v[i - 1] || v[i] <= 1)
			return ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "there are two threads %d",
					 v[i]);
	return 0;
}

static int parse_threads(struct build *b, struct ckpt_err **err)
{
	json_t *rows;
	int rc = js_arr(b->task, "threads", &rows, err);

	if (rc < 0)
		return rc;
	b->n_threads = json_array_size(rows);
	b->thread = calloc(b->n_threads ? b->n_threads : 1, sizeof(*b->thread));
	if (!b->thread)
		return ckpt_fail_nomem(err);
	/* Its order does not matter to the core file. */
	qsort(b->core.threads, b->core.n_threads, sizeof(*b->core.threads), core_by_tid);
	for (size_t i = 0; i < b->n_threads; i++) {
		struct build_thread *t = &b->thread[i];
		struct core_thread key = { 0 };

		t->json = json_array_get(rows, i);
		rc = js_i32(t->json, "tid", &t->vtid, err);
		if (rc < 0)
			return rc;
		key.tid = t->vtid;
		t->core =
			bsearch(&key, b->core.threads, b->core.n_threads, sizeof(key), core_by_tid);
		if (!t->core)
			return ckpt_fail(err, EINVAL, CKPT_E_IMAGE,
					 "thread %d has no registers in the core file", t->vtid);
	}
	if (b->n_threads == 0 || b->thread[0].vtid != b->vpid)
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "the first thread is not the leader");
	return check_tids_differ(b, err);
}

/*
 * A process that was just killed keeps its pid until its parent has asked for its status, which may
 * take init a moment: that is waited for.
 */
#define REAP_DEADLINE_US 5000000
#define REAP_POLL_NS	 2000000

static bool pid_taken(pid_t tid, bool *ret_zombie)
{
	char path[64], line[512];
	const char *p = NULL;
	FILE *f;

	*ret_zombie = false;
	if (kill(tid, 0) < 0 && errno == ESRCH)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	f = fopen(path, "re");
	if (f) {
		if (fgets(line, sizeof(line), f))
			p = strrchr(line, ')');
		*ret_zombie = p && p[1] == ' ' && p[2] == 'Z';
		fclose(f);
	}
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

/* All pids that are taken, by whom, at once. */
static int check_pids(const struct build *b, struct ckpt_err **err)
{
	char list[256] = "";
	size_t n = 0, len = 0;
	uint64_t deadline = now_us() + REAP_DEADLINE_US;

	if (b->opts->new_pidns)
		return 0;
	for (size_t i = 0; i < b->n_threads; i++) {
		pid_t tid = b->thread[i].vtid;
		char path[64], comm[64] = "?", safe[64];
		FILE *f;

		if (!pid_stays_taken(tid, deadline))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/comm", tid);
		f = fopen(path, "re");
		if (f) {
			if (fgets(comm, sizeof(comm), f))
				comm[strcspn(comm, "\n")] = 0;
			fclose(f);
		}
		safe_text(safe, sizeof(safe), comm);
		if (n++ < 5 && len < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%d (%s)",
						n > 1 ? ", " : "", tid, safe);
	}
	if (n == 0)
		return 0;
	return ckpt_fail(err, EEXIST, CKPT_E_PID_TAKEN, "%zu of the pids %s in use: %s%s", n,
			 n == 1 ? "is" : "are", list, n > 5 ? ", ..." : "");
}

static int open_core(struct build *b, struct ckpt_err **err)
{
	char name[32];
	int fd = -1, rc;

	snprintf(name, sizeof(name), "core.%d", b->vpid);
	rc = image_file_open(&b->im, false, name, &fd, err);
	return rc < 0 ? rc : core_open(&b->core, fd, err);
}

static int need_paths(const struct build *b, struct ckpt_err **err)
{
	json_t *cwd, *root;
	int rc = js_obj(b->task, "cwd", &cwd, err);

	if (rc == 0)
		rc = js_obj(b->task, "root", &root, err);
	/* Directories change all the time: they must be there, no more. */
	if (rc == 0)
		rc = path_need(cwd, true, err);
	if (rc == 0)
		rc = path_need(root, true, err);
	return rc;
}

/* A pid or tid of the image, as this process sees it; 0: the restored process's group, negative. */
static pid_t pid_now(void *userdata, pid_t saved)
{
	const struct build *b = userdata;

	if (saved == 0)
		return -getpgid(b->pid);
	for (size_t i = 0; i < b->n_threads; i++)
		if (b->thread[i].vtid == saved)
			return b->thread[i].tid;
	return 0;
}

static int step_open(struct build *b, struct ckpt_err **err)
{
	int rc = image_open(&b->im, b->opts->image, err);

	if (rc == 0)
		rc = image_trusted(&b->im, b->opts->image, err);
	if (rc == 0)
		rc = host_need(b->im.manifest, err);
	if (rc == 0)
		rc = check_identity(b, err);
	if (rc == 0)
		rc = js_arr(b->im.manifest, "objects", &b->kr.objects, err);
	if (rc < 0)
		return rc;
	b->kr.im = &b->im;
	b->kr.allow_changed = b->opts->allow_changed;
	b->kr.pid_now = pid_now;
	b->kr.userdata = b;
	rc = open_core(b, err);
	if (rc == 0)
		rc = parse_threads(b, err);
	if (rc == 0)
		rc = check_pids(b, err);
	if (rc == 0)
		rc = need_paths(b, err);
	if (rc == 0)
		rc = objects_need(&b->kr, err);
	return rc;
}

/* ---- objects ---- */

/* Above every descriptor that the program has, so that putting one in place never hits another. */
static int move_up(int *fd, int base, struct ckpt_err **err)
{
	int up = fcntl(*fd, F_DUPFD_CLOEXEC, base);

	if (up < 0) {
		ckpt_fail_errno(err, errno, CKPT_E_LIMIT, "have a descriptor above %d", base);
		ckpt_hint(err, "raise the limit of open files (ulimit -n)");
		return -errno;
	}
	close(*fd);
	*fd = up;
	return 0;
}

static int open_dir(const json_t *o, int *ret, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	int rc = js_bytes(o, "path", &path, err);

	if (rc < 0)
		return rc;
	*ret = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*ret < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_FILE_GONE, "open directory %s", path);
	return 0;
}

static int open_places(struct build *b, struct ckpt_err **err)
{
	json_t *root = json_object_get(b->task, "root"), *exe;
	_cleanup_free_ char *root_path = NULL;
	uint64_t object = 0;
	int rc = open_dir(json_object_get(b->task, "cwd"), &b->cwd_fd, err);

	if (rc == 0)
		rc = js_bytes(root, "path", &root_path, err);
	if (rc == 0 && strcmp(root_path, "/"))
		rc = open_dir(root, &b->root_fd, err);
	if (rc == 0)
		rc = js_obj(json_object_get(b->task, "mm"), "exe", &exe, err);
	if (rc == 0)
		rc = js_opt_u64(exe, "object", &object, err);
	if (rc < 0)
		return rc;
	if (object && object < b->kr.n_fd) {
		b->exe_fd = fcntl(b->kr.fd[object], F_DUPFD_CLOEXEC, 0);
	} else {
		_cleanup_free_ char *path = NULL;

		rc = js_bytes(exe, "path", &path, err);
		if (rc < 0)
			return rc;
		b->exe_fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (b->exe_fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_FILE_GONE, "open the executable");
	return 0;
}

static int highest_fd(const struct build *b)
{
	const json_t *rows = json_object_get(b->task, "files");
	size_t n = json_array_size(rows);

	/* In order; checked when they are put in place. */
	return n ? (int)json_integer_value(json_object_get(json_array_get(rows, n - 1), "fd")) : -1;
}

static int step_objects(struct build *b, struct ckpt_err **err)
{
	struct rlimit lim;
	int base, rc;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
	rc = objects_open(&b->kr, err);
	if (rc == 0)
		rc = build_areas_parse(b, err);
	if (rc == 0)
		rc = open_places(b, err);
	if (rc == 0)
		rc = core_pages_fd(&b->core, b->core.compressed, &b->pages_fd, &b->pages_offset,
				   err);
	base = highest_fd(b) + 1;
	for (size_t i = 0; rc == 0 && i < b->kr.n_fd; i++)
		if (b->kr.fd[i] >= 0)
			rc = move_up(&b->kr.fd[i], base, err);
	if (rc == 0)
		rc = move_up(&b->cwd_fd, base, err);
	if (rc == 0 && b->root_fd >= 0)
		rc = move_up(&b->root_fd, base, err);
	if (rc == 0)
		rc = move_up(&b->exe_fd, base, err);
	if (rc == 0)
		rc = move_up(&b->pages_fd, base, err);
	b->self_fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (rc == 0)
		rc = move_up(&b->self_fd, base, err);
	return rc;
}

/* ---- finish ---- */

/* SIGTRAP's action, the arena, and the stop from which the kernel restarts an interrupted call. */
static int finish_leader(struct build *b, struct ckpt_err **err)
{
	struct build_thread *t = &b->thread[0];
	uint64_t gadget = b->arena.there + remote_stub_gadget();
	uint64_t sa = arena_data(&b->arena, &b->sigtrap, sizeof(b->sigtrap));
	const uint64_t action[6] = { SIGTRAP, sa, 0, 8 };
	const uint64_t unmap[6] = { b->arena.there, ARENA_BYTES };
	uint32_t dumpable = 0;
	long ret = 0;
	int rc = js_u32(json_object_get(b->task, "mm"), "dumpable", &dumpable, err);
	const uint64_t dump[6] = { 4 /* PR_SET_DUMPABLE */, dumpable & 1 };

	if (rc < 0)
		return rc;
	rc = remote_call(t->tid, gadget, SYS_rt_sigaction, action, &ret, NULL);
	if (rc == 0 && ret == 0 && dumpable < 2)
		rc = remote_call(t->tid, gadget, SYS_prctl, dump, &ret, NULL);
	if (rc == 0 && ret == 0)
		rc = remote_call(t->tid, gadget, SYS_munmap, unmap, &ret, NULL);
	if (rc == 0)
		rc = (int)ret;
	if (rc == 0)
		rc = remote_settle(t->tid, &t->core->gpr);
	if (rc < 0)
		return ckpt_fail_errno(err, rc, CKPT_E_DIED, "finish process %d", b->vpid);
	return 0;
}

static int set_final_state(const struct build_thread *t, struct ckpt_err **err)
{
	uint64_t mask = 0;
	int rc = js_u64(t->json, "sigmask", &mask, err);

	if (rc < 0)
		return rc;
	rc = trace_set_xstate(t->tid, t->core->xstate, t->core->xstate_len);
	if (rc == 0)
		rc = trace_set_regs(t->tid, &t->core->gpr);
	if (rc == 0)
		rc = trace_set_sigmask(t->tid, mask);
	if (rc < 0)
		return ckpt_fail_errno(err, rc, CKPT_E_RESTORE, "set the registers of thread %d",
				       t->vtid);
	return 0;
}

static int step_threads(struct build *b, struct ckpt_err **err)
{
	int rc = build_process(b, err);

	/* The leader last: it makes calls for the others to the end. */
	for (size_t i = b->n_threads; rc == 0 && i-- > 0;)
		rc = build_thread_attributes(b, &b->thread[i], err);
	if (rc == 0)
		rc = build_timers(b, err);
	for (size_t i = b->n_threads; rc == 0 && i-- > 0;)
		rc = build_enter_wait(b, &b->thread[i], err);
	if (rc == 0)
		rc = finish_leader(b, err);
	for (size_t i = 0; rc == 0 && i < b->n_threads; i++)
		rc = set_final_state(&b->thread[i], err);
	return rc;
}

/* ---- prove ---- */

static int compare_now(struct build *b, struct snapshot *s, const struct freeze *f,
		       struct ckpt_err **err)
{
	struct kind_dump kd = { .loader = b->loader, .snap = s, .root = b->pid };
	_cleanup_json_ json_t *objects = NULL, *task = NULL;
	struct objects os = { 0 };
	struct area_pages pages = { 0 };
	struct taken taken = { 0 };
	int rc = kind_pids_open(&kd, &b->pid, 1, err);

	if (rc == 0)
		rc = objects_collect(&os, s, err);
	if (rc == 0)
		rc = take_frozen(&taken, f, s, false, err);
	if (rc == 0)
		rc = task_save(s, b->pid, &os, &taken, &task, err);
	if (rc == 0)
		rc = area_pages_find(&pages, s, b->pid, b->pid, AREA_ALL, err);
	if (rc == 0)
		rc = area_guards_save(&pages, json_object_get(task, "mm"), err);
	if (rc == 0)
		rc = objects_save(&os, &kd, false, &objects, err);
	if (rc == 0)
		rc = objects_same(b->kr.objects, objects, err);
	if (rc == 0)
		rc = tasks_same(b->task, task, err);
	area_pages_done(&pages);
	taken_done(&taken);
	objects_done(&os);
	kind_pids_close(&kd);
	return rc;
}

static int step_prove(struct build *b, struct ckpt_err **err)
{
	struct freeze f = { .tgid = b->pid, .n = b->n_threads };
	struct snapshot *s = NULL;
	int rc = look_snapshot(b->loader, b->pid, &s, err);

	f.thread = calloc(f.n, sizeof(*f.thread));
	if (!f.thread && rc == 0)
		rc = ckpt_fail_nomem(err);
	for (size_t i = 0; rc == 0 && i < f.n; i++)
		f.thread[i].tid = b->thread[i].tid;
	if (rc == 0)
		rc = compare_now(b, s, &f, err);
	snapshot_free(s);
	free(f.thread);
	return rc;
}

static void step_go(struct build *b)
{
	json_int_t stopped =
		json_integer_value(json_object_get(json_object_get(b->task, "info"), "stopped"));

	objects_go(&b->kr);
	if (stopped)
		kill(b->pid, SIGSTOP);
	for (size_t i = 0; i < b->n_threads; i++)
		trace_resume(b->thread[i].tid, PTRACE_DETACH, 0);
	b->made = false; /* it lives its own life */
}

/* ---- checksums ---- */

/*
 * The pages' checksums are verified by a thread of ours while the child reads the same pages into
 * place: what the one has brought from the disk the other finds in the page cache. Nothing of the
 * program runs before both are done.
 */
struct verifier {
	pthread_t thread;
	bool runs;
	struct core_file *core;
	int rc;
	struct ckpt_err *err;
};

static void *verify_main(void *arg)
{
	struct verifier *v = arg;

	v->rc = core_verify(v->core, &v->err);
	return NULL;
}

/* A compressed core was verified when it was unpacked. */
static void verify_start(struct verifier *v, struct core_file *core)
{
	*v = (struct verifier){ .core = core };
	if (core->compressed)
		return;
	v->runs = pthread_create(&v->thread, NULL, verify_main, v) == 0;
	if (!v->runs)
		verify_main(v);
}

static int verify_end(struct verifier *v, int rc, struct ckpt_err **err)
{
	if (v->runs)
		pthread_join(v->thread, NULL);
	v->runs = false;
	if (rc == 0 && v->rc < 0 && err) {
		*err = v->err;
		return v->rc;
	}
	ckpt_err_free(v->err);
	return rc < 0 ? rc : v->rc;
}

/* ---- the whole ---- */

static int build(struct build *b, struct ckpt_restore_result *ret, struct ckpt_err **err)
{
	struct stage_clock clock;
	struct verifier verifier;
	int rc;

	stage_clock_start(&clock, ret->stages, &ret->n_stages);
	rc = step_open(b, err);
	if (rc == 0)
		rc = step_objects(b, err);
	if (rc < 0)
		return rc;
	stage_done(&clock, "open");
	rc = build_choose_arena(b, err);
	if (rc == 0 && b->opts->new_pidns)
		rc = pidns_make(&b->ns_init, &b->ns_hold_fd, err);
	if (rc == 0)
		rc = build_clone(b, err);
	if (rc == 0)
		rc = objects_connect(&b->kr, err);
	if (rc < 0)
		return rc;
	stage_done(&clock, "tasks");
	verify_start(&verifier, &b->core);
	rc = build_memory(b, err);
	if (rc == 0)
		rc = build_files(b, err);
	rc = verify_end(&verifier, rc, err);
	if (rc < 0)
		return rc;
	stage_done(&clock, "fill");
	rc = build_threads(b, err);
	if (rc == 0)
		rc = step_threads(b, err);
	if (rc < 0)
		return rc;
	stage_done(&clock, "threads");
	rc = objects_set_owners(&b->kr, err);
	if (rc == 0)
		rc = step_prove(b, err);
	if (rc < 0)
		return rc;
	stage_done(&clock, "prove");
	ret->pid = b->pid;
	ret->n_tasks = 1;
	ret->n_threads = (unsigned int)b->n_threads;
	ret->memory_bytes = b->core.n_pages * CORE_PAGE;
	step_go(b);
	stage_done(&clock, "go");
	return 0;
}

static void build_done(struct build *b, bool ok)
{
	if (!ok)
		build_kill(b);
	pidns_leave();
	arena_done(&b->arena);
	objects_close(&b->kr);
	close_reset(&b->cwd_fd);
	close_reset(&b->root_fd);
	close_reset(&b->exe_fd);
	close_reset(&b->pages_fd);
	close_reset(&b->self_fd);
	close_reset(&b->ns_hold_fd);
	build_areas_done(b);
	json_decref(b->inherited);
	free(b->thread);
	core_done(&b->core);
	image_done(&b->im);
	free(b);
}

/* The child inherits our signal mask and dispositions until it gets its own: nothing may reach it
 * meanwhile. */
static int restore_signals_blocked(struct build *b, struct ckpt_restore_result *ret,
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
		rc = build(b, ret, err);
		trace_clock_stop(&clock);
	}
	build_done(b, rc == 0);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return rc;
}

int ckpt_restore(struct ckpt_session *s, const struct ckpt_restore_opts *opts,
		 struct ckpt_restore_result *ret, struct ckpt_err **err)
{
	struct ckpt_restore_result result = { 0 };
	uint64_t start = now_us();
	struct build *b;
	int rc;

	if (opts->size != sizeof(*opts))
		return ckpt_fail(err, EINVAL, CKPT_E_USAGE,
				 "the program was built for another version of this library");
	b = calloc(1, sizeof(*b));
	if (!b)
		return ckpt_fail_nomem(err);
	*b = (struct build){ .opts = opts,
			     .im = IMAGE_INIT,
			     .core.fd = -1,
			     .pages_fd = -1,
			     .self_fd = -1,
			     .cwd_fd = -1,
			     .root_fd = -1,
			     .exe_fd = -1,
			     .ns_hold_fd = -1,
			     .arena.fd = -1 };
	rc = session_loader(s, &b->loader, err);
	if (rc < 0) {
		free(b);
		return rc;
	}
	rc = restore_signals_blocked(b, &result, err);
	if (rc < 0)
		return rc;
	result.total_us = now_us() - start;
	*ret = result;
	return 0;
}
