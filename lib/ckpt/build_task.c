// SPDX-License-Identifier: LGPL-2.1-or-later
/* The child, its threads and their attributes. See build.h. */
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
		arena_op(a, "put a descriptor in its place", SYS_dup3, (uint64_t)b->kr.fd[object],
			 fd, cloexec ? O_CLOEXEC : 0, 0, 0, 0);
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

/* ---- threads ---- */

static int find_tids(struct build *b, struct ckpt_err **err)
{
	struct loader_why why = { 0 };
	struct snapshot *s = NULL;
	int rc;

	if (!b->ns_init) { /* one numbering */
		for (size_t i = 0; i < b->n_threads; i++)
			b->thread[i].tid = b->thread[i].vtid;
		return 0;
	}
	rc = snapshot_take(b->loader, &b->pid, 1, SNAPSHOT_TASKS, &s, &why);
	if (rc < 0)
		return ckpt_fail_loader(err, rc, &why);
	for (size_t i = 0; i < s->n_tasks; i++)
		for (size_t k = 0; k < b->n_threads; k++)
			if (b->thread[k].vtid == s->tasks[i]->vtid)
				b->thread[k].tid = s->tasks[i]->tid;
	snapshot_free(s);
	return 0;
}

static int queue_clone(struct build *b, pid_t vtid, struct ckpt_err **err)
{
	struct clone_args ca = {
		.flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
			 CLONE_SYSVSEM | CLONE_PTRACE,
		.set_tid_size = 1,
	};
	int rc = build_room(b, b->pid, 1, sizeof(ca) + sizeof(vtid) + 32, err);

	if (rc < 0)
		return rc;
	ca.set_tid = arena_data(&b->arena, &vtid, sizeof(vtid));
	/* A new thread begins traced and stopped: it never runs the rest of the leader's array. */
	arena_op(&b->arena, "make a thread", SYS_clone3, arena_data(&b->arena, &ca, sizeof(ca)),
		 sizeof(ca), 0, 0, 0, 0);
	return 0;
}

int build_threads(struct build *b, struct ckpt_err **err)
{
	int rc = 0, group_stop;

	for (size_t i = 1; rc == 0 && i < b->n_threads; i++)
		rc = queue_clone(b, b->thread[i].vtid, err);
	if (rc == 0)
		rc = arena_run(&b->arena, b->pid, err);
	if (rc == 0)
		rc = find_tids(b, err);
	for (size_t i = 1; rc == 0 && i < b->n_threads; i++) {
		rc = trace_wait_stop(b->thread[i].tid, TRACE_STOP_DEADLINE_MS, &group_stop);
		if (rc < 0)
			return ckpt_fail_errno(err, rc, CKPT_E_DIED, "thread %d did not start",
					       b->thread[i].vtid);
	}
	return rc;
}

static int queue_pending(struct build *b, struct build_thread *t, const json_t *rows, bool shared,
			 struct ckpt_err **err)
{
	for (size_t i = 0; i < json_array_size(rows); i++) {
		siginfo_t si;
		uint64_t at;
		int rc = siginfo_parse(json_array_get(rows, i), &si, err);

		if (rc == 0 && build_timer_queues(b, &si))
			continue;
		if (rc == 0)
			rc = build_room(b, t->tid, 1, sizeof(si), err);
		if (rc < 0)
			return rc;
		at = arena_data(&b->arena, &si, sizeof(si));
		if (shared)
			arena_op(&b->arena, "queue a pending signal", SYS_rt_sigqueueinfo,
				 (uint64_t)b->vpid, (uint64_t)si.si_signo, at, 0, 0, 0);
		else
			arena_op(&b->arena, "queue a pending signal", SYS_rt_tgsigqueueinfo,
				 (uint64_t)b->vpid, (uint64_t)t->vtid, (uint64_t)si.si_signo, at, 0,
				 0);
	}
	return 0;
}

static int set_sched(const struct build_thread *t, struct ckpt_err **err)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} sa = { .size = 48 };

	uint64_t mask[REC_CPUS_U64] = { 0 };
	json_t *sc, *aff = NULL;
	bool reset = false;
	uint32_t ioprio = 0;
	int rc = js_obj(t->json, "sched", &sc, err);

	if (rc == 0)
		rc = js_u32(sc, "policy", &sa.policy, err);
	if (rc == 0)
		rc = js_i32(sc, "nice", &sa.nice, err);
	if (rc == 0)
		rc = js_u32(sc, "rt_priority", &sa.priority, err);
	if (rc == 0)
		rc = js_bool(sc, "reset_on_fork", &reset, err);
	if (rc == 0)
		rc = js_u32(sc, "ioprio", &ioprio, err);
	if (rc == 0)
		rc = js_arr(sc, "affinity", &aff, err);
	if (rc == 0)
		rc = js_opt_u64(sc, "dl_runtime_ns", &sa.runtime, err);
	if (rc == 0)
		rc = js_opt_u64(sc, "dl_deadline_ns", &sa.deadline, err);
	if (rc == 0)
		rc = js_opt_u64(sc, "dl_period_ns", &sa.period, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < json_array_size(aff) && i < REC_CPUS_U64; i++)
		mask[i] = strtoull(json_string_value(json_array_get(aff, i)) ?: "0", NULL, 0);
	sa.flags = reset ? 1 : 0;
	if (syscall(SYS_sched_setaffinity, t->tid, sizeof(mask), mask) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_MACHINE,
				       "set the CPU affinity of thread %d", t->vtid);
	/* A real-time thread has a nice value, too, for later; sched_setattr(2) does not set it
	 * then. */
	if (setpriority(PRIO_PROCESS, (id_t)t->tid, sa.nice) < 0 ||
	    syscall(SYS_sched_setattr, t->tid, &sa, 0) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_PRIVILEGE,
				       "set scheduling policy %u of thread %d", sa.policy, t->vtid);
	if (ioprio && syscall(SYS_ioprio_set, 1 /* a thread */, t->tid, ioprio) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_PRIVILEGE,
				       "set the I/O priority of thread %d", t->vtid);
	return 0;
}

struct thread_in {
	char *comm; /* owned */
	uint64_t clear_child_tid, robust_list, sas_sp, sas_size, rseq, personality, slack;
	uint32_t sas_flags, rseq_len, rseq_sig, mce_kill;
	int32_t pdeath;
	bool nnp;
};

static int parse_thread(const json_t *o, struct thread_in *in, struct ckpt_err **err)
{
	json_t *sas = NULL, *rseq = NULL;
	int64_t slack = 0;
	int rc = js_bytes(o, "comm", &in->comm, err);

	if (rc == 0)
		rc = js_obj(o, "altstack", &sas, err);
	if (rc == 0)
		rc = js_u64(sas, "sp", &in->sas_sp, err);
	if (rc == 0)
		rc = js_u64(sas, "size", &in->sas_size, err);
	if (rc == 0)
		rc = js_u32(sas, "flags", &in->sas_flags, err);
	if (rc == 0)
		rc = js_obj(o, "rseq", &rseq, err);
	if (rc == 0)
		rc = js_u64(rseq, "addr", &in->rseq, err);
	if (rc == 0)
		rc = js_u32(rseq, "len", &in->rseq_len, err);
	if (rc == 0)
		rc = js_u32(rseq, "sig", &in->rseq_sig, err);
	if (rc == 0)
		rc = js_u64(o, "clear_child_tid", &in->clear_child_tid, err);
	if (rc == 0)
		rc = js_u64(o, "robust_list", &in->robust_list, err);
	if (rc == 0)
		rc = js_u64(o, "personality", &in->personality, err);
	if (rc == 0)
		rc = js_i64(o, "timer_slack_ns", &slack, err);
	if (rc == 0)
		rc = js_i32(o, "pdeath_signal", &in->pdeath, err);
	if (rc == 0)
		rc = js_u32(o, "mce_kill", &in->mce_kill, err);
	if (rc == 0)
		rc = js_bool(o, "no_new_privs", &in->nnp, err);
	in->slack = (uint64_t)slack;
	return rc;
}

static void queue_thread(struct build *b, const struct thread_in *in)
{
	struct arena *a = &b->arena;
	stack_t ss = { .ss_sp = (void *)(uintptr_t)in->sas_sp,
		       .ss_size = in->sas_size,
		       .ss_flags = in->sas_size ? (int)(in->sas_flags & 0x80000000u) : SS_DISABLE };

	arena_op(a, "name a thread", SYS_prctl, PR_SET_NAME,
		 arena_data(a, in->comm, strlen(in->comm) + 1), 0, 0, 0, 0);
	arena_op(a, "set clear_child_tid", SYS_set_tid_address, in->clear_child_tid, 0, 0, 0, 0, 0);
	arena_op(a, "set the robust list", SYS_set_robust_list, in->robust_list, 24, 0, 0, 0, 0);
	arena_op(a, "set the alternate signal stack", SYS_sigaltstack,
		 arena_data(a, &ss, sizeof(ss)), 0, 0, 0, 0, 0);
	/* 0 would mean the default: a slack of 0 is that of a real-time thread, which has none. */
	if (in->slack)
		arena_op(a, "set the timer slack", SYS_prctl, PR_SET_TIMERSLACK, in->slack, 0, 0, 0,
			 0);
	if (in->mce_kill != PR_MCE_KILL_DEFAULT)
		arena_op(a, "set the memory-failure policy", SYS_prctl, PR_MCE_KILL,
			 PR_MCE_KILL_SET, in->mce_kill, 0, 0, 0);
	arena_op(a, "set the personality", SYS_personality, in->personality, 0, 0, 0, 0, 0);
	if (in->rseq)
		arena_op(a, "register rseq", SYS_rseq, in->rseq, in->rseq_len, 0, in->rseq_sig, 0,
			 0);
}

int build_thread_attributes(struct build *b, struct build_thread *t, struct ckpt_err **err)
{
	struct thread_in in = { 0 };
	struct arena *a = &b->arena;
	int rc = parse_thread(t->json, &in, err);

	if (rc == 0 && strlen(in.comm) > 15)
		rc = ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "the name of thread %d is too long",
			       t->vtid);
	if (rc == 0 && !build_inherits(b, t, "sched"))
		rc = set_sched(t, err);
	if (rc == 0)
		rc = build_room(b, t->tid, 16, 256, err);
	if (rc == 0) {
		queue_thread(b, &in);
		rc = queue_pending(b, t, json_object_get(t->json, "pending"), false, err);
	}
	if (rc == 0 && t == b->thread)
		rc = queue_pending(b, t, json_object_get(b->task, "pending"), true, err);
	if (rc == 0 && !build_inherits(b, t, "cred"))
		rc = build_cred(b, t, err);
	if (rc == 0)
		rc = build_room(b, t->tid, 3, 0, err);
	if (rc == 0) {
		/* After the ids: changing them clears it. */
		arena_op(a, "set the parent-death signal", SYS_prctl, PR_SET_PDEATHSIG,
			 (uint64_t)in.pdeath, 0, 0, 0, 0);
		if (in.nnp)
			arena_op(a, "set no_new_privs", SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0,
				 0);
		rc = arena_run(a, t->tid, err);
	}
	free(in.comm);
	return rc;
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
