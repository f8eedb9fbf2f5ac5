// SPDX-License-Identifier: LGPL-2.1-or-later
/* What belongs to a process as a whole. See build.h; threads are built by build_thread.c. */
#include "build.h"
#include "safe.h"
#include "tasks.h"
#include "trace.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define KERNEL_SIGSET 8

int build_room(struct build *b, pid_t tid, size_t ops, size_t data, struct ckpt_err **err)
{
	if (arena_has_room(&b->r->arena, ops, data))
		return 0;
	if (ops > ARENA_OPS || data + 16 > ARENA_DATA_LEN)
		return ckpt_fail(err, E2BIG, CKPT_E_IMAGE, "a row of the manifest is too long");
	return arena_run(&b->r->arena, tid, err);
}

bool build_inherits(const struct build *b, const struct build_thread *t, const char *member)
{
	const json_t *ours = json_object_get(b->r->born.rows, member);

	return ours && json_equal(ours, json_object_get(t->json, member));
}

/* ---- working and root directory ---- */

/*
 * Go to a working or root directory. Paths are as we see them; the process has our root directory
 * until it changes it here. One without a name is an object.
 */
static int queue_place(struct build *b, pid_t tid, const char *what, const json_t *o,
		       struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	struct arena *a = &b->r->arena;
	int fd = -1, rc;

	if (json_object_get(o, "object")) {
		rc = place_object(&b->r->kr, o, &fd, err);
		if (rc == 0)
			rc = build_take_fd(b, tid, fd, &fd, err);
		if (rc < 0)
			return rc;
		arena_op(a, what, SYS_fchdir, (uint64_t)fd, 0, 0, 0, 0, 0);
		arena_op(a, "close a descriptor", SYS_close, (uint64_t)fd, 0, 0, 0, 0, 0);
		return 0;
	}
	rc = js_bytes(o, "path", &path, err);
	if (rc == 0)
		rc = build_room(b, tid, 4, strlen(path) + 16, err);
	if (rc == 0)
		arena_op(a, what, SYS_chdir, arena_data(a, path, strlen(path) + 1), 0, 0, 0, 0, 0);
	return rc;
}

/* Is it the root directory that the process has anyway? */
static bool is_our_root(const json_t *root)
{
	_cleanup_free_ char *path = NULL;

	return !json_object_get(root, "object") && js_bytes(root, "path", &path, NULL) == 0 &&
	       !strcmp(path, "/");
}

/* Where it is in the world of files. Before its descriptors: one is needed for a moment. */
int build_fs(struct build *b, pid_t tid, const json_t *o, struct ckpt_err **err)
{
	const json_t *root = json_object_get(o, "root");
	struct arena *a = &b->r->arena;
	const struct remote_op *op;
	uint32_t umask_bits = 0;
	uint64_t fd;
	int rc = js_u32(o, "umask", &umask_bits, err);

	if (rc == 0)
		rc = queue_place(b, tid, "go to the working directory", json_object_get(o, "cwd"),
				 err);
	if (rc == 0)
		rc = build_room(b, tid, 2, 16, err);
	if (rc < 0)
		return rc;
	arena_op(a, "set the umask", SYS_umask, umask_bits, 0, 0, 0, 0, 0);
	if (is_our_root(root))
		return 0;
	op = arena_op(a, "open the working directory", SYS_open, arena_data(a, ".", 2),
		      O_PATH | O_DIRECTORY | O_CLOEXEC, 0, 0, 0, 0);
	rc = arena_run(a, tid, err);
	fd = (uint64_t)op->ret;
	if (rc == 0)
		rc = queue_place(b, tid, "go to the root directory", root, err);
	if (rc == 0)
		rc = build_room(b, tid, 3, 16, err);
	if (rc < 0)
		return rc;
	arena_op(a, "change the root directory", SYS_chroot, arena_data(a, ".", 2), 0, 0, 0, 0, 0);
	arena_op(a, "go to the working directory", SYS_fchdir, fd, 0, 0, 0, 0, 0);
	arena_op(a, "close a descriptor", SYS_close, fd, 0, 0, 0, 0, 0);
	return arena_run(a, tid, err);
}

int build_fs_files(struct build *b, struct ckpt_err **err)
{
	int rc = b->fs_owner == b ? build_fs(b, b->pid, b->task, err) : 0;

	if (rc == 0 && b->files_owner == b)
		rc = build_files(b, b->pid, b->task, err);
	b->has_files = true;
	return rc;
}

/* ---- what all are born with ---- */

static int read_number(const char *path, int base, int64_t *ret, struct ckpt_err **err)
{
	char text[32] = "";
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "read %s", path);
	*ret = strtoll(text, NULL, base);
	return 0;
}

int build_read_born(struct restore *r, const struct snapshot *s, struct ckpt_err **err)
{
	struct build_born *born = &r->born;
	int64_t adj = 0, filter = 0, loginuid = BUILD_NO_LOGINUID;
	const struct rec_task *me = snapshot_task(s, getpid());
	int rc = read_number("/proc/self/oom_score_adj", 10, &adj, err);

	if (rc == 0)
		rc = read_number("/proc/self/coredump_filter", 16, &filter, err);
	if (rc < 0)
		return rc;
	read_number("/proc/self/loginuid", 10, &loginuid, NULL); /* not in every kernel */
	born->oom_score_adj = (int32_t)adj;
	born->coredump_filter = (uint32_t)filter;
	born->loginuid = (uint32_t)loginuid;
	if (me)
		born->rows = task_inherited(s, me);
	return 0;
}

/* ---- the process as a whole ---- */

/* What it is born with: see child_prepare() in build_root.c. */
static const struct build_sigaction by_default;

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
		if (sig != SIGKILL && sig != SIGSTOP && sig != SIGTRAP &&
		    memcmp(&sa[sig], &by_default, sizeof(sa[sig])) != 0)
			arena_op(&b->r->arena, "set a signal's action", SYS_rt_sigaction, sig,
				 arena_data(&b->r->arena, &sa[sig], sizeof(sa[sig])), 0,
				 KERNEL_SIGSET, 0, 0);
	b->sigtrap = sa[SIGTRAP];
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
		/* What is queued is done under our limits. */
		rc = arena_run(&b->r->arena, b->pid, err);
		if (rc < 0)
			return rc;
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
	struct arena *a = &b->r->arena;
	json_t *mm = json_object_get(b->task, "mm");
	bool thp = false, merge = false, lock = false, onfault = false;
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
	return 0;
}

/* Before the threads take their attributes (which may cost them the right to do any of this). */
int build_process(struct build *b, struct ckpt_err **err)
{
	int32_t adj = 0;
	uint32_t filter = 0;
	bool mm = b->mm_owner == b;
	int rc = js_i32(b->task, "oom_score_adj", &adj, err);

	if (rc == 0 && mm)
		rc = js_u32(json_object_get(b->task, "mm"), "coredump_filter", &filter, err);
	if (rc == 0)
		rc = set_limits(b, err);
	if (rc == 0 && adj != b->r->born.oom_score_adj)
		rc = write_proc(b, "oom_score_adj", "%d", adj, err);
	if (rc == 0 && mm && filter != b->r->born.coredump_filter)
		rc = write_proc(b, "coredump_filter", "%#x", (int)filter, err);
	if (rc == 0 && b->sighand_owner == b)
		rc = queue_sigactions(b, err);
	if (rc == 0 && b->files_owner == b)
		rc = build_queue_locks(b, b->pid, b->task, err);
	if (rc == 0 && mm)
		rc = queue_mm_modes(b, err);
	if (rc == 0 && mm)
		rc = build_seal_memory(b, err);
	if (rc < 0 || b->files_owner != b || !build_has_locks(b->task))
		return rc;
	rc = arena_run(&b->r->arena, b->pid, err);
	return rc < 0 ? rc : build_break_leases(b, b->task, err);
}

/* ---- the end ---- */

/*
 * A pending SIGTRAP, of a thread or of the process, put back when the stub traps no more. `settle`:
 * to leave the thread in a stop from which the kernel restarts an interrupted call.
 */
static int queue_trap(struct build *b, const struct build_thread *t, const json_t *rows,
		      bool shared, bool settle, struct ckpt_err **err)
{
	struct arena *a = &b->r->arena;
	uint64_t gadget = a->there + remote_stub_gadget(), at;
	siginfo_t si;
	long ret = 0;
	int rc = 0;

	/* There is one at the most: standard signals do not queue. */
	for (size_t i = 0; i < json_array_size(rows); i++) {
		if (siginfo_parse(json_array_get(rows, i), &si, NULL) < 0 || si.si_signo != SIGTRAP)
			continue;
		at = arena_data(a, &si, sizeof(si));
		const uint64_t process[6] = { (uint64_t)b->vpid, SIGTRAP, at };
		const uint64_t thread[6] = { (uint64_t)b->vpid, (uint64_t)t->vtid, SIGTRAP, at };

		rc = remote_call(t->tid, gadget,
				 shared ? SYS_rt_sigqueueinfo : SYS_rt_tgsigqueueinfo,
				 shared ? process : thread, &ret, NULL);
		if (rc == 0)
			rc = (int)ret;
		if (rc == 0 && settle)
			rc = remote_settle(t->tid, &t->core->gpr);
		a->data_used = 0;
		break;
	}
	return rc < 0 ? ckpt_fail_errno(err, rc, CKPT_E_RESTORE,
					"queue a pending SIGTRAP of thread %d", t->vtid)
		      : 0;
}

/* Of the leader last: last_calls() settles that. */
static int queue_traps(struct build *b, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = b->n_threads; rc == 0 && i-- > 0;)
		rc = queue_trap(b, &b->thread[i], json_object_get(b->thread[i].json, "pending"),
				false, i > 0, err);
	return rc < 0 ? rc
		      : queue_trap(b, &b->thread[0], json_object_get(b->task, "pending"), true,
				   false, err);
}

/* The first thread that goes on: the leader, unless it has ended. */
static size_t first_of(const struct build *b)
{
	return b->thread[0].ended ? 1 : 0;
}

/* SIGTRAP's action, which the stub's trap needed as it was born. */
static int set_sigtrap(struct build *b, pid_t tid, bool *ret_called, long *ret)
{
	struct arena *a = &b->r->arena;
	const uint64_t args[6] = { SIGTRAP, arena_data(a, &b->sigtrap, sizeof(b->sigtrap)), 0,
				   KERNEL_SIGSET };

	a->data_used = 0;
	if (b->sighand_owner != b || !memcmp(&b->sigtrap, &by_default, sizeof(b->sigtrap)))
		return 0;
	*ret_called = true;
	return remote_call(tid, a->there + remote_stub_gadget(), SYS_rt_sigaction, args, ret, NULL);
}

/* May a SIGSEGV end the last call of this thread? */
static bool can_fault(const struct build *b, const struct build_thread *t)
{
	return !build_ignores(b, SIGSEGV) && !build_is_pending(b->task, SIGSEGV) &&
	       !build_is_pending(t->json, SIGSEGV);
}

static int unmap_arena(struct build *b, const struct build_thread *t, bool *ret_called, long *ret)
{
	const struct arena *a = &b->r->arena;
	uint64_t gadget = a->there + remote_stub_gadget();
	const uint64_t args[6] = { a->there, ARENA_BYTES };

	if (can_fault(b, t)) {
		*ret_called = false;
		return remote_unmap_self(t->tid, gadget, a->there, ARENA_BYTES, ret);
	}
	*ret_called = true;
	return remote_call(t->tid, gadget, SYS_munmap, args, ret, NULL);
}

/* It ends with its registers, in a stop from which the kernel restarts an interrupted call. */
static int last_calls(struct build *b, struct ckpt_err **err)
{
	const struct build_thread *t = &b->thread[first_of(b)];
	bool called = build_is_pending(b->task, SIGTRAP) || build_is_pending(t->json, SIGTRAP);
	long ret = 0;
	int rc = set_sigtrap(b, t->tid, &called, &ret);

	if (rc == 0 && ret == 0 && b->mm_owner == b)
		rc = unmap_arena(b, t, &called, &ret);
	if (rc == 0)
		rc = (int)ret;
	if (rc == 0)
		rc = called ? remote_settle(t->tid, &t->core->gpr)
			    : trace_set_regs(t->tid, &t->core->gpr);
	if (rc < 0)
		return ckpt_fail_errno(err, rc, CKPT_E_DIED, "finish process %d", b->vpid);
	return 0;
}

/*
 * Let a stop signal other than SIGSTOP reach one thread. What it then does depends on its action,
 * and on who is left of its session: the interrupt comes right behind it.
 */
static int deliver_stop(const struct build *b, int sig)
{
	pid_t tid = b->thread[first_of(b)].tid;
	int status, rc = trace_set_sigmask(tid, ~(1ULL << (sig - 1)));

	if (rc == 0)
		rc = kill(b->pid, sig) < 0 ? -errno : 0;
	if (rc == 0)
		rc = trace_resume(tid, PTRACE_CONT, 0);
	if (rc == 0)
		rc = trace_wait(tid, TRACE_STOP_DEADLINE_MS, &status);
	if (rc == 0 && (!WIFSTOPPED(status) || WSTOPSIG(status) != sig || status >> 16))
		rc = -EIO;
	if (rc == 0)
		rc = trace_interrupt(tid);
	if (rc == 0)
		rc = trace_resume(tid, PTRACE_CONT, sig);
	return rc;
}

/*
 * A stopped process is stopped again, as a whole, before its parent is finished: so that what the
 * parent is told of it is gone when the parent's own signals are put in place. Nothing else may be
 * delivered on the way.
 */
static int stop_by(struct build *b, int sig, int *ret_stopped_by)
{
	size_t first = first_of(b);
	int rc = 0;

	for (size_t i = first; rc == 0 && i < b->n_threads; i++)
		rc = trace_set_sigmask(b->thread[i].tid, ~0ULL);
	if (rc == 0 && sig == SIGSTOP)
		rc = kill(b->pid, SIGSTOP) < 0 ? -errno
					       : trace_resume(b->thread[first].tid, PTRACE_CONT, 0);
	else if (rc == 0)
		rc = deliver_stop(b, sig);
	if (rc == 0)
		rc = trace_wait_stop(b->thread[first].tid, TRACE_STOP_DEADLINE_MS, ret_stopped_by);
	if (rc < 0 || !*ret_stopped_by)
		return rc;
	for (size_t i = first + 1; rc == 0 && i < b->n_threads; i++)
		rc = trace_resume(b->thread[i].tid, PTRACE_CONT, 0);
	for (size_t i = first + 1; rc == 0 && i < b->n_threads; i++)
		rc = trace_wait_stop(b->thread[i].tid, TRACE_STOP_DEADLINE_MS, ret_stopped_by);
	return rc;
}

static int stop_again(struct build *b, int sig, struct ckpt_err **err)
{
	int stopped_by = 0, rc;

	if (sig < 1 || sig > 64)
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "process %d was stopped by signal %d",
				 b->vpid, sig);
	/* Which signal it was is seen by whoever waits for it. */
	rc = stop_by(b, build_is_pending(b->task, sig) ? SIGSTOP : sig, &stopped_by);
	if (rc == 0 && !stopped_by)
		rc = stop_by(b, SIGSTOP, &stopped_by);
	if (rc == 0 && !stopped_by)
		rc = -EIO;
	if (rc < 0)
		return ckpt_fail_errno(err, rc, CKPT_E_DIED, "stop process %d again", b->vpid);
	if (b->parent)
		b->parent->n_told++;
	return 0;
}

/*
 * Stopped and continued: the parent can ask for that with WCONTINUED as long as it has not done so,
 * and the process is not stopped again. The thread passes its stops up to the delivery of the
 * SIGCONT, by which time the parent was told, and is interrupted there.
 */
static int stop_and_continue(struct build *b)
{
	pid_t tid = b->thread[first_of(b)].tid;
	int stopped_by = 0, status = 0, rc = stop_by(b, SIGSTOP, &stopped_by);

	if (rc == 0)
		rc = trace_set_sigmask(tid, ~(1ULL << (SIGCONT - 1)));
	if (rc == 0)
		rc = kill(b->pid, SIGCONT) < 0 ? -errno : 0;
	do {
		if (rc == 0)
			rc = trace_resume(tid, PTRACE_CONT, 0);
		if (rc == 0)
			rc = trace_wait(tid, TRACE_STOP_DEADLINE_MS, &status);
	} while (rc == 0 && WIFSTOPPED(status) && status >> 16 == TRACE_EVENT_STOP);
	if (rc == 0 && (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGCONT))
		rc = -EIO;
	if (rc == 0)
		rc = trace_interrupt(tid);
	if (rc == 0)
		rc = trace_resume(tid, PTRACE_CONT, 0);
	return rc < 0 ? rc : trace_wait_stop(tid, TRACE_STOP_DEADLINE_MS, &stopped_by);
}

static int continue_again(struct build *b, struct ckpt_err **err)
{
	int rc;

	if (!json_is_true(json_object_get(b->task, "continued")))
		return 0;
	rc = stop_and_continue(b);
	if (rc < 0)
		return ckpt_fail_errno(err, rc, CKPT_E_DIED, "continue process %d again", b->vpid);
	if (b->parent)
		b->parent->n_told++;
	return 0;
}

/* It acts when we let go: in a stopped process, after the next SIGCONT that does not remove it. */
static int send_pending_stops(const struct build *b, struct ckpt_err **err)
{
	int rc = build_is_pending(b->task, SIGSTOP) ? kill(b->pid, SIGSTOP) : 0;

	for (size_t i = 0; rc == 0 && i < b->n_threads; i++)
		if (build_is_pending(b->thread[i].json, SIGSTOP))
			rc = (int)syscall(SYS_tgkill, b->pid, b->thread[i].tid, SIGSTOP);
	return rc < 0 ? ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "send SIGSTOP to process %d",
					b->vpid)
		      : 0;
}

static int set_final_state(const struct build *b, const struct build_thread *t,
			   struct ckpt_err **err)
{
	const struct build_pin *pin = &b->r->pin;
	uint64_t mask = 0;
	int rc = js_u64(t->json, "sigmask", &mask, err);

	if (rc < 0)
		return rc;
	rc = trace_set_xstate(t->tid, t->core->xstate, t->core->xstate_len);
	if (rc == 0)
		rc = trace_set_regs(t->tid, &t->core->gpr);
	/* It has ours but for the one CPU on which the tree is built. */
	if (rc == 0 && pin->set && build_inherits(b, t, "sched") &&
	    sched_setaffinity(t->tid, sizeof(pin->before), &pin->before) < 0)
		rc = -errno;
	if (rc == 0)
		rc = trace_set_sigmask(t->tid, mask);
	if (rc < 0)
		return ckpt_fail_errno(err, rc, CKPT_E_RESTORE, "set the registers of thread %d",
				       t->vtid);
	return build_dispatch(t, err);
}

int build_finish(struct build *b, struct ckpt_err **err)
{
	const json_t *info = json_object_get(b->task, "info");
	int stopped = (int)json_integer_value(json_object_get(info, "stopped"));
	int rc = queue_traps(b, err);

	if (rc == 0 && b->thread[0].ended)
		rc = build_end_leader(b, err);
	if (rc == 0)
		rc = last_calls(b, err);
	if (rc == 0 && stopped)
		rc = stop_again(b, stopped, err);
	else if (rc == 0)
		rc = continue_again(b, err);
	for (size_t i = first_of(b); rc == 0 && i < b->n_threads; i++)
		rc = set_final_state(b, &b->thread[i], err);
	return rc < 0 ? rc : send_pending_stops(b, err);
}
