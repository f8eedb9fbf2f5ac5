// SPDX-License-Identifier: LGPL-2.1-or-later
/* System calls made in the context of a stopped thread. See remote.h. */
#include "remote.h"
#include "trace.h"
#include "util.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern const uint8_t ckpt_stub_start[], ckpt_stub_end[];

#define SYSCALL_STOP (SIGTRAP | 0x80)
#define VDSO_BYTES   4096 /* searched; the vdso is larger, the first page has code enough */

uint64_t remote_vdso_gadget(void)
{
	const uint8_t *vdso = (const uint8_t *)(uintptr_t)getauxval(AT_SYSINFO_EHDR);

	/* 0f 05 in the headers or inside another instruction would do as well: only these two bytes
	 * are executed. */
	for (size_t i = 64; vdso && i + 1 < VDSO_BYTES; i++)
		if (vdso[i] == 0x0f && vdso[i + 1] == 0x05)
			return i;
	return 0;
}

uint64_t remote_stub_gadget(void)
{
	for (const uint8_t *p = ckpt_stub_start; p + 1 < ckpt_stub_end; p++)
		if (p[0] == 0x0f && p[1] == 0x05)
			return (uint64_t)(p - ckpt_stub_start);
	return 0;
}

/* Resume until the thread is at a system call's entry or exit. Events of its clone are noted. */
static int to_syscall_stop(pid_t tid, pid_t *child)
{
	int sig = 0;

	for (;;) {
		unsigned long msg = 0;
		int status, rc = trace_resume(tid, PTRACE_SYSCALL, sig);

		if (rc < 0)
			return rc;
		rc = trace_wait(tid, TRACE_STOP_DEADLINE_MS, &status);
		if (rc < 0)
			return rc;
		if (!WIFSTOPPED(status))
			return -ESRCH;
		if (WSTOPSIG(status) == SYSCALL_STOP)
			return 0;
		/* This one cannot be blocked: handed on, it takes effect when we let go. */
		sig = status >> 16 == 0 && WSTOPSIG(status) == SIGSTOP ? SIGSTOP : 0;
		if (sig)
			continue;
		switch (status >> 16) {
		case PTRACE_EVENT_CLONE:
		case PTRACE_EVENT_FORK:
		case PTRACE_EVENT_VFORK:
			if (ptrace(PTRACE_GETEVENTMSG, tid, NULL, &msg) < 0)
				return -errno;
			*child = (pid_t)msg;
			break;
		case TRACE_EVENT_STOP:
			break; /* a group stop begins or ends: it takes effect when we let go */
		default:
			/* A fault or a signal: the caller has all signals blocked, so this is the
			 * end of the thread's usefulness. */
			return -EFAULT;
		}
	}
}

/* Signals must not be delivered between the stops: they wait, blocked, for remote_settle(). */
static int call_with_mask(pid_t tid, pid_t *child, long *ret)
{
	struct user_regs_struct regs;
	int rc = to_syscall_stop(tid, child);

	if (rc == 0)
		rc = to_syscall_stop(tid, child);
	if (rc == 0)
		rc = trace_get_regs(tid, &regs);
	if (rc == 0)
		*ret = (long)regs.rax;
	return rc;
}

int remote_call(pid_t tid, uint64_t gadget, long nr, const uint64_t args[6], long *ret,
		pid_t *ret_child)
{
	struct user_regs_struct regs;
	uint64_t mask = 0;
	pid_t child = 0;
	int rc, rc2, group_stop;

	rc = trace_get_regs(tid, &regs);
	if (rc < 0)
		return rc;
	regs.rip = gadget;
	regs.rax = (unsigned long)nr;
	regs.orig_rax = (unsigned long)-1;
	regs.rdi = args[0];
	regs.rsi = args[1];
	regs.rdx = args[2];
	regs.r10 = args[3];
	regs.r8 = args[4];
	regs.r9 = args[5];
	regs.eflags &= ~0x100UL; /* single-stepping by someone before us */
	rc = trace_set_regs(tid, &regs);
	if (rc == 0)
		rc = trace_get_sigmask(tid, &mask);
	if (rc == 0)
		rc = trace_set_sigmask(tid, ~0ULL);
	if (rc < 0)
		return rc;
	rc = call_with_mask(tid, &child, ret);
	if (rc == 0 && child)
		rc = trace_wait_stop(child, TRACE_STOP_DEADLINE_MS, &group_stop);
	rc2 = trace_set_sigmask(tid, mask);
	if (child && rc == 0)
		rc = trace_set_sigmask(child, ~0ULL);
	if (ret_child)
		*ret_child = child;
	return rc < 0 ? rc : rc2;
}

int remote_settle(pid_t tid, const struct user_regs_struct *regs)
{
	int group_stop, rc = trace_interrupt(tid);

	if (rc == 0)
		rc = trace_resume(tid, PTRACE_CONT, 0);
	if (rc == 0)
		rc = trace_wait_stop(tid, TRACE_STOP_DEADLINE_MS, &group_stop);
	if (rc == 0)
		rc = trace_set_regs(tid, regs);
	return rc;
}

int remote_unmap_self(pid_t tid, uint64_t gadget, uint64_t start, uint64_t bytes, long *ret)
{
	struct user_regs_struct regs;
	int status = 0, rc = trace_get_regs(tid, &regs);

	regs.rip = gadget;
	regs.rax = SYS_munmap;
	regs.orig_rax = (unsigned long)-1;
	regs.rdi = start;
	regs.rsi = bytes;
	regs.eflags &= ~0x100UL;
	if (rc == 0)
		rc = trace_set_regs(tid, &regs);
	if (rc == 0)
		rc = trace_set_sigmask(tid, ~(1ULL << (SIGSEGV - 1)));
	if (rc == 0)
		rc = trace_resume(tid, PTRACE_CONT, 0);
	if (rc == 0)
		rc = trace_wait(tid, TRACE_STOP_DEADLINE_MS, &status);
	if (rc == 0 && (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGSEGV || status >> 16))
		rc = -EFAULT;
	if (rc == 0)
		rc = trace_set_sigmask(tid, ~0ULL);
	if (rc == 0)
		rc = trace_get_regs(tid, &regs);
	*ret = (long)regs.rax;
	return rc;
}

/* ---- arenas ---- */

int arena_init(struct arena *a, uint64_t there, struct ckpt_err **err)
{
	size_t stub_len = (size_t)(ckpt_stub_end - ckpt_stub_start);

	*a = (struct arena){ .fd = -1, .there = there };
	a->fd = memfd_create("ckpt-arena", MFD_CLOEXEC);
	if (a->fd < 0 || ftruncate(a->fd, ARENA_BYTES) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "make the arena for remote calls");
	a->here = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, a->fd, 0);
	if (a->here == MAP_FAILED) {
		a->here = NULL;
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "map the arena for remote calls");
	}
	memcpy(a->here, ckpt_stub_start, stub_len);
	return 0;
}

void arena_done(struct arena *a)
{
	if (a->here)
		munmap(a->here, ARENA_BYTES);
	close_reset(&a->fd);
	a->here = NULL;
}

bool arena_has_room(const struct arena *a, size_t ops, size_t data_bytes)
{
	return a->n_ops + ops <= ARENA_OPS && a->data_used + data_bytes + 16 <= ARENA_DATA_LEN;
}

struct remote_op *arena_op(struct arena *a, const char *what, long nr, uint64_t a0, uint64_t a1,
			   uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
	struct remote_op *op = (struct remote_op *)(void *)(a->here + ARENA_OPS_AT) + a->n_ops;

	*op = (struct remote_op){
		.nr = (uint32_t)nr,
		.args = { a0, a1, a2, a3, a4, a5 },
	};
	a->expect[a->n_ops] = -1;
	a->what[a->n_ops++] = what;
	return op;
}

void arena_expect(struct arena *a, const struct remote_op *op, int64_t value)
{
	a->expect[op - (const struct remote_op *)(const void *)(a->here + ARENA_OPS_AT)] = value;
}

uint64_t arena_space(struct arena *a, size_t len, void **ret_here)
{
	size_t at = (a->data_used + 15) & ~(size_t)15;

	*ret_here = a->here + ARENA_DATA_AT + at;
	a->data_used = at + len;
	return a->there + ARENA_DATA_AT + at;
}

uint64_t arena_data(struct arena *a, const void *data, size_t len)
{
	void *here;
	uint64_t there = arena_space(a, len, &here);

	memcpy(here, data, len);
	return there;
}

/* Why the batch did not end as it should. */
static int batch_error(const struct arena *a, pid_t tid, int status, struct ckpt_err **err)
{
	struct user_regs_struct regs;

	if (!WIFSTOPPED(status))
		return ckpt_fail(err, ESRCH, CKPT_E_DIED, "thread %d was killed while it was built",
				 tid);
	if (trace_get_regs(tid, &regs) < 0)
		return ckpt_fail(err, ESRCH, CKPT_E_DIED, "thread %d is gone", tid);
	uint64_t base = a->there + ARENA_OPS_AT;
	size_t i = regs.r15 >= base ? (regs.r15 - base) / sizeof(struct remote_op) : 0;

	return ckpt_fail(err, EFAULT, CKPT_E_RESTORE, "thread %d stopped with signal %d at: %s",
			 tid, WSTOPSIG(status), i < a->n_ops ? a->what[i] : "end");
}

static int run_to_trap(struct arena *a, pid_t tid, struct ckpt_err **err)
{
	struct user_regs_struct regs;
	int status, rc = trace_get_regs(tid, &regs);

	if (rc < 0)
		return ckpt_fail_errno(err, rc, CKPT_E_DIED, "thread %d", tid);
	regs.rip = a->there;
	regs.r15 = a->there + ARENA_OPS_AT;
	regs.r14 = regs.r15 + a->n_ops * sizeof(struct remote_op);
	regs.orig_rax = (unsigned long)-1; /* nothing to restart */
	rc = trace_set_regs(tid, &regs);
	if (rc == 0)
		rc = trace_resume(tid, PTRACE_CONT, 0);
	do {
		if (rc == 0)
			/* Reading a large memory takes its time; the thread's death ends the wait.
			 */
			rc = trace_wait(tid, 24 * 3600 * 1000, &status);
		if (rc < 0)
			return ckpt_fail_errno(err, rc, CKPT_E_DIED, "thread %d", tid);
		if (WIFSTOPPED(status) && status >> 16 == TRACE_EVENT_STOP)
			rc = trace_resume(tid, PTRACE_CONT, 0);
		else
			break;
	} while (rc == 0);
	if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP || status >> 16)
		return batch_error(a, tid, status, err);
	return 0;
}

int arena_run(struct arena *a, pid_t tid, struct ckpt_err **err)
{
	const struct remote_op *op =
		(const struct remote_op *)(const void *)(a->here + ARENA_OPS_AT);
	size_t n = a->n_ops;
	int rc;

	if (n == 0)
		return 0;
	rc = run_to_trap(a, tid, err);
	a->n_ops = 0;
	a->data_used = 0;
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++) {
		if ((uint64_t)op[i].ret < (uint64_t)-4095 && a->expect[i] >= 0 &&
		    op[i].ret != a->expect[i])
			return ckpt_fail(err, EIO, CKPT_E_RESTORE,
					 "thread %d: %s gave %lld, not %lld", tid, a->what[i],
					 (long long)op[i].ret, (long long)a->expect[i]);
		if ((uint64_t)op[i].ret < (uint64_t)-4095 || op[i].flags & REMOTE_MAY_FAIL)
			continue;
		rc = (int)op[i].ret;
		return ckpt_fail_errno(err, rc, CKPT_E_RESTORE, "thread %d: %s (%#llx, %#llx)", tid,
				       a->what[i], (unsigned long long)op[i].args[0],
				       (unsigned long long)op[i].args[1]);
	}
	return 0;
}

int arena_run_last(struct arena *a, pid_t tid, long nr, uint64_t a0, uint64_t a1, uint64_t a2,
		   int *ret_status, struct ckpt_err **err)
{
	enum { STOPS_MAX = 16 };

	struct user_regs_struct regs;
	int rc = trace_get_regs(tid, &regs), sig = 0;

	regs.rip = a->there + remote_stub_gadget();
	regs.rax = (unsigned long)nr;
	regs.orig_rax = (unsigned long)-1;
	regs.rdi = a0;
	regs.rsi = a1;
	regs.rdx = a2;
	regs.r15 = a->there + ARENA_OPS_AT;
	if (rc == 0)
		rc = trace_set_regs(tid, &regs);
	for (int i = 0; rc == 0 && i < STOPS_MAX; i++) {
		rc = trace_resume(tid, PTRACE_CONT, sig);
		if (rc == 0)
			rc = trace_wait(tid, TRACE_STOP_DEADLINE_MS, ret_status);
		if (rc == 0 && !WIFSTOPPED(*ret_status))
			return 0;
		/* The signal on its way; or the stub goes on where it should not. */
		sig = rc == 0 && *ret_status >> 16 == 0 ? WSTOPSIG(*ret_status) : 0;
	}
	return ckpt_fail_errno(err, rc < 0 ? rc : EIO, CKPT_E_DIED, "end process %d", tid);
}
