// SPDX-License-Identifier: LGPL-2.1-or-later
/* The root of a tree under construction: a child of the restoring process. See build.h. */
#include "build.h"
#include "tasks.h"
#include "trace.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define USER_END 0x7ffffffff000ULL

/* ---- the arena's place ---- */

static bool overlaps(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	return a < d && c < b;
}

/* A place free in the saved memory and in ours, of which the child is a copy. */
/* The first area that a place for the arena would overlap; its end, or 0. */
static uint64_t in_the_way(const struct restore *r, const struct snapshot *s, uint64_t at)
{
	uint64_t end = at + ARENA_BYTES;

	for (size_t p = 0; p < r->n_procs; p++)
		for (size_t i = 0; i < r->proc[p].n_areas; i++)
			if (overlaps(at, end, r->proc[p].area[i].start, r->proc[p].area[i].end))
				return r->proc[p].area[i].end;
	for (size_t i = 0; i < s->n_vmas; i++)
		if (overlaps(at, end, s->vmas[i].rec->start, s->vmas[i].rec->end))
			return s->vmas[i].rec->end;
	return 0;
}

/* A place free in the saved memory of all, and in ours, of which the root is a copy. */
int build_choose_arena(struct restore *r, struct ckpt_err **err)
{
	struct snapshot *s = NULL;
	struct loader_why why = { 0 };
	pid_t me = getpid();
	uint64_t at = 1ULL << 24, end;
	int rc = snapshot_take(r->loader, &me, 1, SNAPSHOT_VMAS | SNAPSHOT_TASKS, &s, &why);

	if (rc < 0)
		return ckpt_fail_loader(err, rc, &why);
	rc = build_read_born(r, s, err);
	while ((end = in_the_way(r, s, at)) && at < USER_END - (1ULL << 32))
		at = end;
	snapshot_free(s);
	if (rc < 0)
		return rc;
	if (end)
		return ckpt_fail(err, ENOMEM, CKPT_E_RESTORE,
				 "there is no gap of 1 MiB in the saved address spaces");
	return arena_init(&r->arena, at, err);
}

/* ---- the root ---- */

struct child_args {
	int go_fd;	  /* end of file or a byte: go on only with a byte */
	int report_fd;	  /* errno of what failed, or 0 */
	int others_fd[2]; /* the other ends, which it must not hold open */
	int arena_fd;
	uint64_t arena;
};

/* In the child, a copy of the restoring process: nothing here may allocate or lock. */
static int child_prepare(const struct child_args *c)
{
	void *at = (void *)(uintptr_t)c->arena;
	uint8_t *rseq_area = (uint8_t *)__builtin_thread_pointer() + __rseq_offset;
	const struct build_sigaction by_default = { 0 };
	const uint64_t all = ~0ULL;

	/* Our SIGALRM is not blocked, and the C library never blocks two of its own: as pending
	 * signals or of timers, they would reach the stub. */
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof(all));
	close(c->others_fd[0]);
	close(c->others_fd[1]);
	/* For one, zombies of its children must wait for it, whoever started us ignoring SIGCHLD.
	 */
	for (long sig = 1; sig <= 64; sig++)
		syscall(SYS_rt_sigaction, sig, &by_default, NULL, sizeof(all));
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
static pid_t clone_with_pid(pid_t vpid, bool sibling, const struct child_args *c)
{
	pid_t set_tid = vpid;
	/* A sibling has our own exit signal, which is that of every program after exec(2). */
	struct clone_args ca = {
		.flags = sibling ? CLONE_PARENT : 0,
		.exit_signal = sibling ? 0 : SIGCHLD,
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
		pid_t pid = clone_with_pid(vpid, false, c);

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
	bool between = b->r->opts->detach && !b->r->ns_init;
	pid_t pid = between ? clone_detached(b->vpid, c)
			    : clone_with_pid(b->vpid, b->r->opts->sibling, c);

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

int build_root(struct build *b, struct ckpt_err **err)
{
	int go[2] = { -1, -1 }, report[2] = { -1, -1 }, rc;
	struct child_args c = { .arena_fd = b->r->arena.fd, .arena = b->r->arena.there };

	rc = 0;
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
