// SPDX-License-Identifier: LGPL-2.1-or-later
/* ptrace(2), wrapped: every call gives 0 or a negative errno. See trace.h. */
#include "trace.h"
#include "util.h"

#include <elf.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#define CLOCK_TICK_US 50000
#define SPIN_US	      200

static void clock_tick(int sig)
{
	(void)sig;
}

int trace_clock_start(struct trace_clock *c, struct ckpt_err **err)
{
	struct sigaction sa = { .sa_handler = clock_tick };

	if (sigaction(SIGALRM, &sa, &c->old) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "set the tracing clock");
	return 0;
}

/* Ticks come only while we wait: nothing else that we do is interrupted. */
static void clock_run(bool on)
{
	suseconds_t us = on ? CLOCK_TICK_US : 0;
	struct itimerval tick = { { 0, us }, { 0, us } };

	setitimer(ITIMER_REAL, &tick, NULL);
}

void trace_clock_stop(struct trace_clock *c)
{
	sigaction(SIGALRM, &c->old, NULL);
}

static int do_ptrace(int request, pid_t tid, void *addr, void *data)
{
	return ptrace((enum __ptrace_request)request, tid, addr, data) < 0 ? -errno : 0;
}

/* PTRACE_*_SYSCALL_USER_DISPATCH_CONFIG, Linux 6.4; PR_SYS_DISPATCH_INCLUSIVE_ON is newer still. */
#define SET_DISPATCH	   0x4210
#define GET_DISPATCH	   0x4211
#define DISPATCH_INCLUSIVE 2

int trace_seize(pid_t tid, unsigned long options)
{
	return do_ptrace(PTRACE_SEIZE, tid, NULL, as_ptr(options));
}

int trace_interrupt(pid_t tid)
{
	return do_ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
}

int trace_resume(pid_t tid, int request, int sig)
{
	return do_ptrace(request, tid, NULL, as_ptr((unsigned int)sig));
}

static uint64_t now_ms(void)
{
	return now_us() / 1000;
}

static int wait_ticking(pid_t tid, uint64_t end_ms, int *ret_status)
{
	for (;;) {
		int status;
		pid_t got = waitpid(tid, &status, __WALL);

		if (got == tid) {
			*ret_status = status;
			return 0;
		}
		if (errno != EINTR)
			return -errno;
		if (now_ms() >= end_ms)
			return -ETIMEDOUT;
	}
}

int trace_wait(pid_t tid, int deadline_ms, int *ret_status)
{
	uint64_t spin_until = now_us() + SPIN_US;
	int status, rc;

	/* Most stops are a few microseconds away: less than it takes to sleep and to be woken. */
	do {
		pid_t got = waitpid(tid, &status, __WALL | WNOHANG);

		if (got == tid) {
			*ret_status = status;
			return 0;
		}
		if (got < 0)
			return -errno;
		sched_yield();
	} while (now_us() < spin_until);
	clock_run(true);
	rc = wait_ticking(tid, now_ms() + (uint64_t)deadline_ms, ret_status);
	clock_run(false);
	return rc;
}

int trace_wait_stop(pid_t tid, int deadline_ms, int *ret_group_stop)
{
	for (;;) {
		int status, rc = trace_wait(tid, deadline_ms, &status);

		if (rc < 0)
			return rc == -ECHILD ? -ESRCH : rc;
		if (!WIFSTOPPED(status))
			return -ESRCH;
		if (status >> 16 == TRACE_EVENT_STOP) {
			*ret_group_stop = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
			return 0;
		}
		/* A signal was on its way first: let it be delivered, the stop follows at once.
		 * Any other event (a clone seen by its parent) is just passed. */
		int sig = status >> 16 ? 0 : WSTOPSIG(status) & 0x7f;

		if (WSTOPSIG(status) == (SIGTRAP | 0x80))
			sig = 0;
		rc = trace_resume(tid, PTRACE_CONT, sig);
		if (rc < 0)
			return rc;
	}
}

int trace_get_regs(pid_t tid, struct user_regs_struct *ret)
{
	struct iovec iov = { ret, sizeof(*ret) };

	return do_ptrace(PTRACE_GETREGSET, tid, as_ptr(NT_PRSTATUS), &iov);
}

int trace_set_regs(pid_t tid, const struct user_regs_struct *regs)
{
	struct user_regs_struct copy = *regs;
	struct iovec iov = { &copy, sizeof(copy) };

	return do_ptrace(PTRACE_SETREGSET, tid, as_ptr(NT_PRSTATUS), &iov);
}

int trace_get_xstate(pid_t tid, void **ret, size_t *ret_len)
{
	/* AMX's tiles make 11 KiB of it; the kernel cuts iov_len to what there is. */
	size_t size = 16384;
	_cleanup_free_ void *buf = malloc(size);
	struct iovec iov = { buf, size };
	int rc;

	if (!buf)
		return -ENOMEM;
	rc = do_ptrace(PTRACE_GETREGSET, tid, as_ptr(NT_X86_XSTATE), &iov);
	if (rc < 0)
		return rc;
	*ret_len = iov.iov_len;
	*ret = TAKE_PTR(buf);
	return 0;
}

int trace_set_xstate(pid_t tid, const void *xstate, size_t len)
{
	_cleanup_free_ void *copy = malloc(len ? len : 1);
	struct iovec iov = { copy, len };

	if (!copy)
		return -ENOMEM;
	memcpy(copy, xstate, len);
	return do_ptrace(PTRACE_SETREGSET, tid, as_ptr(NT_X86_XSTATE), &iov);
}

int trace_get_sigmask(pid_t tid, uint64_t *ret)
{
	return do_ptrace(PTRACE_GETSIGMASK, tid, as_ptr(sizeof(*ret)), ret);
}

int trace_set_sigmask(pid_t tid, uint64_t mask)
{
	return do_ptrace(PTRACE_SETSIGMASK, tid, as_ptr(sizeof(mask)), &mask);
}

int trace_get_dispatch(pid_t tid, struct trace_dispatch *ret)
{
	int rc = do_ptrace(GET_DISPATCH, tid, as_ptr(sizeof(*ret)), ret);

	if (rc == -EIO) /* no such request */
		*ret = (struct trace_dispatch){ 0 };
	return rc == -EIO ? 0 : rc;
}

int trace_set_dispatch(pid_t tid, const struct trace_dispatch *d)
{
	struct trace_dispatch copy = *d;

	/* Calls outside of the range are let pass, or those within it: the kernel keeps the latter
	 * as a range that wraps, and takes it only as it was first given. */
	if (d->offset && d->offset + d->len <= d->offset) {
		copy.mode = DISPATCH_INCLUSIVE;
		copy.offset = d->offset + d->len;
		copy.len = 0 - d->len;
	}
	return do_ptrace(SET_DISPATCH, tid, as_ptr(sizeof(copy)), &copy);
}

int trace_peek_signals(pid_t tid, bool shared, siginfo_t **ret, size_t *ret_n)
{
	enum { CHUNK = 256 };

	_cleanup_free_ siginfo_t *all = NULL;
	size_t n = 0;

	for (;;) {
		struct __ptrace_peeksiginfo_args args = {
			.off = n,
			.flags = shared ? PTRACE_PEEKSIGINFO_SHARED : 0,
			.nr = CHUNK,
		};
		siginfo_t *more = realloc(all, (n + CHUNK) * sizeof(*all));
		long got;

		if (!more)
			return -ENOMEM;
		all = more;
		got = ptrace(PTRACE_PEEKSIGINFO, tid, &args, all + n);
		if (got < 0)
			return -errno;
		/* Fewer than asked for does not mean the last: the kernel stops early when we have
		 * a signal. */
		if (got == 0)
			break;
		n += (size_t)got;
	}
	*ret = TAKE_PTR(all);
	*ret_n = n;
	return 0;
}
