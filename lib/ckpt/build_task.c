// SPDX-License-Identifier: LGPL-2.1-or-later
/* The child, and what belongs to the process as a whole. See build.h; threads are built by
 * build_thread.c. */
#include "build.h"
#include "safe.h"
#include "tasks.h"
#include "trace.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define KERNEL_SIGSET 8
#define USER_END      0x7ffffffff000ULL
#define TRACE_BUILD   (PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)

int build_room(struct build *b, pid_t tid, size_t ops, size_t data, struct ckpt_err **err)
{
	if (arena_has_room(&b->arena, ops, data))
		return 0;
	if (ops > ARENA_OPS || data + 16 > ARENA_DATA_LEN)
		return ckpt_fail(err, E2BIG, CKPT_E_IMAGE, "a row of the manifest is too long");
	return arena_run(&b->arena, tid, err);
}

/* ---- the arena's place ---- */

static bool overlaps(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	return a < d && c < b;
}

/* A place free in the saved memory and in ours, of which the child is a copy. */
int build_choose_arena(struct build *b, struct ckpt_err **err)
{
	struct snapshot *s = NULL;
	struct loader_why why = { 0 };
	pid_t me = getpid();
	uint64_t at = 1ULL << 24;
	bool again = true;
	int rc = snapshot_take(b->loader, &me, 1, SNAPSHOT_VMAS | SNAPSHOT_TASKS, &s, &why);

	if (rc < 0)
		return ckpt_fail_loader(err, rc, &why);
	if (snapshot_task(s, me))
		b->inherited = task_inherited(s, snapshot_task(s, me));
	while (again && at < USER_END - (1ULL << 32)) {
		uint64_t end = at + ARENA_BYTES;

		again = false;
		for (size_t i = 0; i < b->n_areas; i++)
			if (overlaps(at, end, b->area[i].start, b->area[i].end)) {
				at = b->area[i].end;
				end = at + ARENA_BYTES;
				again = true;
			}
		for (size_t i = 0; i < s->n_vmas; i++)
			if (overlaps(at, end, s->vmas[i].rec->start, s->vmas[i].rec->end)) {
				at = s->vmas[i].rec->end;
				end = at + ARENA_BYTES;
				again = true;
			}
	}
	snapshot_free(s);
	if (again)
		return ckpt_fail(err, ENOMEM, CKPT_E_RESTORE,
				 "there is no gap of 1 MiB in the saved address space");
	return arena_init(&b->arena, at, err);
}

bool build_inherits(const struct build *b, const struct build_thread *t, const char *member)
{
	const json_t *ours = json_object_get(b->inherited, member);

	return ours && json_equal(ours, json_object_get(t->json, member));
}

/* ---- the child ---- */

struct child_args {
	int go_fd;	  /* end of file or a byte: go on only with a byte */
	int report_fd;	  /* errno of what failed, or 0 */
	int others_fd[2]; /* the other ends, which it must not hold open */
	int arena_fd;
	uint64_t arena;
	bool session_leader, group_leader;
};

/* In the child, a copy of the restoring process: nothing here may allocate or lock. */
static int child_prepare(const struct child_args *c)
{
	void *at = (void *)(uintptr_t)c->arena;
	uint8_t *rseq_area = (uint8_t *)__builtin_thread_pointer() + __rseq_offset;

	close(c->others_fd[0]);
	close(c->others_fd[1]);
	if (c->session_leader && setsid() < 0)
		return errno;
	if (!c->session_leader && c->group_leader && setpgid(0, 0) < 0)
		return errno;
	/* The memory that these refer to goes away. */
	syscall(SYS_rseq, rseq_area, 32, 1 /* RSEQ_FLAG_UNREGISTER */, RSEQ_SIG);
	syscall(SYS_set_robust_list, NULL, sizeof(struct { void *a, *b, *c; }));
	if (mmap(at, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE,
		 c->arena_fd, 0) == MAP_FAILED)
		return errno;
	return mprotect(at, ARENA_STUB, PROT_READ | PROT_EXEC) < 0 ? errno : 0;
}

static _Noreturn void child_main(const struct child_args *c)
{
	struct {
		int error;
		pid_t pid;
	} word = { .error = child_prepare(c), .pid = getpid() };

	char go;

	if (write(c->report_fd, &word, sizeof(word)) != sizeof(word) || word.error ||
	    read(c->go_fd, &go, 1) != 1)
		_exit(1);
	/* Seized by now. An empty array: the stub traps at once. */
	__asm__ volatile("xorl %%r14d, %%r14d\n\t"
			 "xorl %%r15d, %%r15d\n\t"
			 "jmp *%0"
			 :
			 : "r"(c->arena)
			 : "r14", "r15", "memory");
	__builtin_unreachable();
}

/* clone3(2) with the saved pid. In the child it does not return. */
static pid_t clone_with_pid(pid_t vpid, const struct child_args *c)
{
	pid_t set_tid = vpid;
	struct clone_args ca = {
		.exit_signal = SIGCHLD,
		.set_tid = (uintptr_t)&set_tid,
		.set_tid_size = 1,
	};
	long pid = syscall(SYS_clone3, &ca, sizeof(ca));

	if (pid == 0)
		child_main(c);
	return pid < 0 ? -errno : (pid_t)pid;
}

/*
 * Detached: a go-between makes the child and ends, so that init, or the next subreaper, becomes its
 * parent.
 */
static int clone_detached(pid_t vpid, const struct child_args *c)
{
	int status;
	pid_t between = fork();

	if (between < 0)
		return -errno;
	if (between == 0) {
		pid_t pid = clone_with_pid(vpid, c);

		_exit(pid < 0 ? -pid : 0);
	}
	while (waitpid(between, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

static int pid_error(const struct build *b, int rc, struct ckpt_err **err)
{
	if (rc == -EEXIST)
		return ckpt_fail(
			err, EEXIST, CKPT_E_PID_TAKEN,
			"pid %d is in use, if only as the id of a session or process group",
			b->vpid);
	if (rc == -EPERM) {
		ckpt_fail(err, EPERM, CKPT_E_PRIVILEGE, "choose the pid of a new process");
		ckpt_hint(err, "run as root, or with CAP_CHECKPOINT_RESTORE");
		return -EPERM;
	}
	return ckpt_fail_errno(err, rc, CKPT_E_RESTORE, "make process %d", b->vpid);
}

static int make_child(struct build *b, const struct child_args *c, int report[2],
		      struct ckpt_err **err)
{
	/* In a namespace of its own the child cannot say which pid it has here: it stays our child
	 * until we end. */
	bool between = b->opts->detach && !b->ns_init;
	pid_t pid = between ? clone_detached(b->vpid, c) : clone_with_pid(b->vpid, c);

	struct {
		int error;
		pid_t pid;
	} word = { EIO, 0 };

	ssize_t n;

	if (pid < 0)
		return pid_error(b, pid, err);
	close_reset(&report[1]); /* so that the child's end is the end of the file */
	do
		n = read(report[0], &word, sizeof(word));
	while (n < 0 && errno == EINTR);
	if (n != sizeof(word))
		return ckpt_fail(err, EIO, CKPT_E_DIED, "process %d died at its birth", b->vpid);
	b->pid = pid ? pid : word.pid;
	b->thread[0].tid = b->pid;
	b->made = true;
	if (word.error)
		return ckpt_fail_errno(err, word.error, CKPT_E_RESTORE, "prepare process %d",
				       b->vpid);
	return 0;
}

static int seize_child(struct build *b, int go_fd, struct ckpt_err **err)
{
	int status, rc = trace_seize(b->pid, TRACE_BUILD);

	if (rc < 0)
		return ckpt_fail_errno(err, rc, CKPT_E_PRIVILEGE, "seize process %d", b->vpid);
	if (write(go_fd, "g", 1) != 1)
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "start process %d", b->vpid);
	rc = trace_wait(b->pid, TRACE_STOP_DEADLINE_MS, &status);
	if (rc < 0 || !WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
		return ckpt_fail(err, EIO, CKPT_E_DIED, "process %d did not reach the stub",
				 b->vpid);
	return 0;
}

int build_clone(struct build *b, struct ckpt_err **err)
{
	int go[2] = { -1, -1 }, report[2] = { -1, -1 }, rc;
	struct child_args c = { .arena_fd = b->arena.fd, .arena = b->arena.there };

	rc = js_bool(b->task, "session_leader", &c.session_leader, err);
	if (rc == 0)
		rc = js_bool(b->task, "group_leader", &c.group_leader, err);
	if (rc < 0)
		return rc;
	if (pipe2(go, O_CLOEXEC) < 0 || pipe2(report, O_CLOEXEC) < 0)
		rc = ckpt_fail_errno(err, errno, CKPT_E_SYS, "make a pipe");
	c.go_fd = go[0];
	c.report_fd = report[1];
	c.others_fd[0] = go[1];
	c.others_fd[1] = report[0];
	if (rc == 0)
		rc = make_child(b, &c, report, err);
	if (rc == 0)
		rc = seize_child(b, go[1], err);
	for (int i = 0; i < 2; i++) {
		close_reset(&go[i]);
		close_reset(&report[i]);
	}
	return rc;
}

void build_kill(struct build *b)
{
	int status;

	if (b->made) {
		kill(b->pid, SIGKILL);
		/* Threads are traced: each is waited for, the leader last. */
		for (size_t i = b->n_threads; i-- > 1;)
			if (b->thread[i].tid)
				while (waitpid(b->thread[i].tid, &status, __WALL) > 0 &&
				       WIFSTOPPED(status))
					;
		while (waitpid(b->pid, &status, __WALL) > 0 && WIFSTOPPED(status))
			;
		b->made = false;
	}
	if (b->ns_init) {
		kill(b->ns_init, SIGKILL);
		while (waitpid(b->ns_init, &status, 0) < 0 && errno == EINTR)
			;
		b->ns_init = 0;
	}
}

/* ---- descriptors, working directory ---- */

/* Close every descriptor that is not the program's: the gaps between those that are. */
static int close_others(struct build *b, const json_t *rows, struct ckpt_err **err)
{
	uint32_t next = 0;

	for (size_t i = 0; i < json_array_size(rows); i++) {
		uint32_t fd;
		int rc = js_u32(json_array_get(rows, i), "fd", &fd, err);

		if (rc == 0)
			rc = build_room(b, b->pid, 2, 0, err);
		if (rc < 0)
			return rc;
		if (fd > next)
			arena_op(&b->arena, "close the restorer's descriptors", SYS_close_range,
				 next, fd - 1, 0, 0, 0, 0);
		next = fd + 1;
	}
	arena_op(&b->arena, "close the restorer's descriptors", SYS_close_range, next, ~0U, 0, 0, 0,
		 0);
	return 0;
}

/* An object that was opened after the child was made: the child takes it from our table. */
static int place_late(struct build *b, int ours, uint32_t fd, bool cloexec, struct ckpt_err **err)
{
	struct arena *a = &b->arena;
	const struct remote_op *op;
	int rc = arena_run(a, b->pid, err);
	uint64_t got;

	if (rc < 0)
		return rc;
	op = arena_op(a, "take a descriptor from the restorer", SYS_pidfd_getfd,
		      (uint64_t)b->self_fd, (uint64_t)ours, 0, 0, 0, 0);
	rc = arena_run(a, b->pid, err);
	got = (uint64_t)op->ret;
	if (rc < 0)
		return rc;
	if (got == fd) { /* close-on-exec now */
		arena_op(a, "keep a descriptor across exec(2)", SYS_fcntl, fd, F_SETFD,
			 cloexec ? FD_CLOEXEC : 0, 0, 0, 0);
		return 0;
	}
	arena_op(a, "put a descriptor in its place", SYS_dup3, got, fd, cloexec ? O_CLOEXEC : 0, 0,
		 0, 0);
	arena_op(a, "close a descriptor", SYS_close, got, 0, 0, 0, 0, 0);
	return 0;
}

int build_files(struct build *b, struct ckpt_err **err)
{
	struct arena *a = &b->arena;
	uint32_t umask_bits = 0;
	int64_t last = -1;
	json_t *rows;
	int rc = js_arr(b->task, "files", &rows, err);

	if (rc == 0)
		rc = js_u32(b->task, "umask", &umask_bits, err);
	for (size_t i = 0; rc == 0 && i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		bool cloexec = json_is_true(json_object_get(row, "cloexec"));
		uint32_t fd = 0, object = 0;

		rc = js_u32(row, "fd", &fd, err);
		if (rc == 0)
			rc = js_u32(row, "object", &object, err);
		if (rc == 0 && ((int64_t)fd <= last || object >= b->kr.n_fd || !object))
			rc = ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "descriptor %u is out of order",
				       fd);
		if (rc == 0)
			rc = build_room(b, b->pid, 1, 0, err);
		if (rc < 0)
			return rc;
		last = fd;
		if (objects_is_late(&b->kr, object))
			rc = place_late(b, b->kr.fd[object], fd, cloexec, err);
		else
			arena_op(a, "put a descriptor in its place", SYS_dup3,
				 (uint64_t)b->kr.fd[object], fd, cloexec ? O_CLOEXEC : 0, 0, 0, 0);
	}
	if (rc == 0)
		rc = build_room(b, b->pid, 5, 16, err);
	if (rc < 0)
		return rc;
	if (b->root_fd >= 0) {
		arena_op(a, "go to the root directory", SYS_fchdir, (uint64_t)b->root_fd, 0, 0, 0,
			 0, 0);
		arena_op(a, "change the root directory", SYS_chroot, arena_data(a, ".", 2), 0, 0, 0,
			 0, 0);
	}
	arena_op(a, "go to the working directory", SYS_fchdir, (uint64_t)b->cwd_fd, 0, 0, 0, 0, 0);
	arena_op(a, "set the umask", SYS_umask, umask_bits, 0, 0, 0, 0, 0);
	rc = close_others(b, rows, err);
	return rc < 0 ? rc : arena_run(a, b->pid, err);
}

/* ---- the process as a whole ---- */

static int queue_sigactions(struct build *b, struct ckpt_err **err)
{
	struct build_sigaction sa[65] = { { 0 } };
	json_t *rows;
	int rc = js_arr(b->task, "sigactions", &rows, err);

	for (size_t i = 0; rc == 0 && i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		uint32_t sig = 0;

		rc = js_u32(row, "sig", &sig, err);
		if (rc == 0 && (sig < 1 || sig > 64))
			rc = ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "signal %u does not exist", sig);
		if (rc == 0)
			rc = js_u64(row, "handler", &sa[sig].handler, err);
		if (rc == 0)
			rc = js_u64(row, "flags", &sa[sig].flags, err);
		if (rc == 0)
			rc = js_u64(row, "restorer", &sa[sig].restorer, err);
		if (rc == 0)
			rc = js_u64(row, "mask", &sa[sig].mask, err);
	}
	if (rc == 0)
		rc = build_room(b, b->pid, 64, sizeof(sa) + 16, err);
	if (rc < 0)
		return rc;
	for (uint64_t sig = 1; sig <= 64; sig++)
		/* SIGTRAP is ours until the stub has trapped for the last time (build_finish). */
		if (sig != SIGKILL && sig != SIGSTOP && sig != SIGTRAP)
			arena_op(&b->arena, "set a signal's action", SYS_rt_sigaction, sig,
				 arena_data(&b->arena, &sa[sig], sizeof(sa[sig])), 0, KERNEL_SIGSET,
				 0, 0);
	b->sigtrap = sa[SIGTRAP];
	return 0;
}

static int queue_locks(struct build *b, struct ckpt_err **err)
{
	const json_t *rows = json_object_get(b->task, "locks");

	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		const char *class = "", *type = "";
		uint64_t start = 0, end = 0;
		uint32_t fd = 0;
		struct flock fl = { .l_whence = SEEK_SET };
		int rc = js_u32(row, "fd", &fd, err);

		if (rc == 0)
			rc = js_str(row, "class", &class, err);
		if (rc == 0)
			rc = js_str(row, "type", &type, err);
		if (rc == 0)
			rc = js_u64(row, "start", &start, err);
		if (rc == 0)
			rc = js_u64(row, "end", &end, err);
		if (rc == 0)
			rc = build_room(b, b->pid, 1, sizeof(fl) + 16, err);
		if (rc < 0)
			return rc;
		bool write_lock = !strcmp(type, "write");

		fl.l_type = write_lock ? F_WRLCK : F_RDLCK;
		fl.l_start = (off_t)start;
		fl.l_len = end >= INT64_MAX ? 0 : (off_t)(end - start + 1);
		if (!strcmp(class, "flock"))
			arena_op(&b->arena, "take a file lock (flock)", SYS_flock, fd,
				 (write_lock ? LOCK_EX : LOCK_SH) | LOCK_NB, 0, 0, 0, 0);
		else
			arena_op(&b->arena, "take a file lock (fcntl)", SYS_fcntl, fd,
				 !strcmp(class, "ofd") ? F_OFD_SETLK : F_SETLK,
				 arena_data(&b->arena, &fl, sizeof(fl)), 0, 0, 0);
	}
	return 0;
}

static int write_proc(const struct build *b, const char *name, const char *format, int value,
		      struct ckpt_err **err)
{
	char path[64], text[32];
	_cleanup_close_ int fd = -1;

	snprintf(path, sizeof(path), "/proc/%d/%s", b->pid, name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	snprintf(text, sizeof(text), format, value);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_PRIVILEGE, "set %s of process %d to %d",
				       name, b->vpid, value);
	return 0;
}

static int set_limits(struct build *b, struct ckpt_err **err)
{
	json_t *rows;
	int rc = js_arr(b->task, "rlimits", &rows, err);

	for (int i = 0; rc == 0 && i < REC_NLIMITS; i++) {
		const json_t *row = json_array_get(rows, (size_t)i);
		struct rlimit now, lim = {
			strtoull(json_string_value(json_array_get(row, 0)) ?: "0", NULL, 0),
			strtoull(json_string_value(json_array_get(row, 1)) ?: "0", NULL, 0),
		};

		if (json_array_size(row) != 2)
			return ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "limit %d is not a pair", i);
		if (prlimit(b->pid, (enum __rlimit_resource)i, NULL, &now) == 0 &&
		    now.rlim_cur == lim.rlim_cur && now.rlim_max == lim.rlim_max)
			continue;
		if (prlimit(b->pid, (enum __rlimit_resource)i, &lim, NULL) < 0) {
			rc = ckpt_fail_errno(err, errno, CKPT_E_LIMIT,
					     "set resource limit %d of process %d", i, b->vpid);
			ckpt_hint(
				err,
				"raise this shell's hard limit (ulimit -H), or add CAP_SYS_RESOURCE");
		}
	}
	return rc;
}

static int queue_mm_modes(struct build *b, struct ckpt_err **err)
{
	static const struct {
		uint32_t state;
		uint64_t cmd;
	} barriers[] = {
		{ 1u << 1, 1u << 4 }, /* PRIVATE_EXPEDITED */
		{ 1u << 3, 1u << 2 }, /* GLOBAL_EXPEDITED */
		{ 1u << 5, 1u << 6 }, /* PRIVATE_EXPEDITED_SYNC_CORE */
		{ 1u << 7, 1u << 8 }, /* PRIVATE_EXPEDITED_RSEQ */
	};
	struct arena *a = &b->arena;
	json_t *mm = json_object_get(b->task, "mm");
	bool thp = false, merge = false, lock = false, onfault = false, reaper = false;
	uint32_t state = 0, mdwe = 0;
	int rc = js_bool(mm, "thp_disable", &thp, err);

	if (rc == 0)
		rc = js_bool(mm, "merge_any", &merge, err);
	if (rc == 0)
		rc = js_bool(mm, "lock_future", &lock, err);
	if (rc == 0)
		rc = js_bool(mm, "lock_future_onfault", &onfault, err);
	if (rc == 0)
		rc = js_u32(mm, "membarrier", &state, err);
	if (rc == 0)
		rc = js_u32(mm, "mdwe", &mdwe, err);
	if (rc == 0)
		rc = js_bool(b->task, "child_subreaper", &reaper, err);
	if (rc == 0)
		rc = build_room(b, b->pid, 16, 0, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < sizeof(barriers) / sizeof(barriers[0]); i++)
		if (state & barriers[i].state)
			arena_op(a, "register for membarrier", SYS_membarrier, barriers[i].cmd, 0,
				 0, 0, 0, 0);
	if (thp)
		arena_op(a, "disable transparent huge pages", SYS_prctl, PR_SET_THP_DISABLE, 1, 0,
			 0, 0, 0);
	if (merge)
		arena_op(a, "let all memory be merged", SYS_prctl, 67, 1, 0, 0, 0, 0);
	if (mdwe & 1)
		arena_op(a, "deny writable executable memory", SYS_prctl, 65, mdwe, 0, 0, 0, 0);
	if (lock)
		arena_op(a, "lock future memory", SYS_mlockall,
			 MCL_FUTURE | (onfault ? MCL_ONFAULT : 0), 0, 0, 0, 0, 0);
	if (reaper)
		arena_op(a, "become a child subreaper", SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0,
			 0, 0);
	return 0;
}

/* Before the threads take their attributes (which may cost them the right to do any of this). */
int build_process(struct build *b, struct ckpt_err **err)
{
	int32_t adj = 0;
	uint32_t filter = 0;
	int rc = js_i32(b->task, "oom_score_adj", &adj, err);

	if (rc == 0)
		rc = js_u32(json_object_get(b->task, "mm"), "coredump_filter", &filter, err);
	if (rc == 0)
		rc = set_limits(b, err);
	if (rc == 0)
		rc = write_proc(b, "oom_score_adj", "%d", adj, err);
	if (rc == 0)
		rc = write_proc(b, "coredump_filter", "%#x", (int)filter, err);
	if (rc == 0)
		rc = queue_sigactions(b, err);
	if (rc == 0)
		rc = queue_locks(b, err);
	if (rc == 0)
		rc = queue_mm_modes(b, err);
	return rc < 0 ? rc : arena_run(&b->arena, b->pid, err);
}
