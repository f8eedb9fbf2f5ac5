// SPDX-License-Identifier: LGPL-2.1-or-later
/* Timers, and waits with a time-out that were under way. See build.h. */
#include "build.h"
#include "tasks.h"
#include "trace.h"
#include "util.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/prctl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#define NS_PER_S 1000000000LL
/* prctl(PR_TIMER_CREATE_RESTORE_IDS), Linux 6.15: timer_create(2) takes the id that it is given. */
#define TIMER_RESTORE_IDS 77

static struct timespec to_timespec(int64_t ns)
{
	return (struct timespec){ ns / NS_PER_S, ns % NS_PER_S };
}

/* ---- timers ---- */

static int queue_itimer(struct build *b, const char *name, int which, struct ckpt_err **err)
{
	json_t *o = json_object_get(b->task, name);
	struct itimerval it = { 0 };
	uint64_t value = 0, interval = 0;
	int rc;

	if (!o)
		return 0;
	rc = js_u64(o, "interval_ns", &interval, err);
	if (rc == 0)
		rc = js_u64(json_object_get(o, "info"), "value_ns", &value, err);
	if (rc == 0)
		rc = build_room(b, b->pid, 1, sizeof(it), err);
	if (rc < 0)
		return rc;
	it.it_interval.tv_sec = (time_t)(interval / NS_PER_S);
	it.it_interval.tv_usec = (suseconds_t)(interval % NS_PER_S / 1000);
	it.it_value.tv_sec = (time_t)(value / NS_PER_S);
	it.it_value.tv_usec = (suseconds_t)(value % NS_PER_S / 1000);
	/* 0 would disarm it. One that rests, its signal being pending, expires at once. */
	if (!it.it_value.tv_sec && !it.it_value.tv_usec)
		it.it_value.tv_usec = 1;
	arena_op(&b->r->arena, "set an interval timer", SYS_setitimer, (uint64_t)which,
		 arena_data(&b->r->arena, &it, sizeof(it)), 0, 0, 0, 0);
	return 0;
}

struct timer_in {
	int32_t id, clock, notify, signo, notify_tid, overrun_last;
	uint64_t sigval, interval, value, late;
	bool armed, queued;
};

static int parse_timer(const json_t *o, struct timer_in *t, struct ckpt_err **err)
{
	const json_t *info = json_object_get(o, "info");
	int rc = js_i32(o, "id", &t->id, err);

	if (rc == 0)
		rc = js_i32(o, "clock", &t->clock, err);
	if (rc == 0)
		rc = js_i32(o, "notify", &t->notify, err);
	if (rc == 0)
		rc = js_i32(o, "signo", &t->signo, err);
	if (rc == 0)
		rc = js_i32(o, "notify_tid", &t->notify_tid, err);
	if (rc == 0)
		rc = js_u64(o, "sigval", &t->sigval, err);
	if (rc == 0)
		rc = js_u64(o, "interval_ns", &t->interval, err);
	if (rc == 0)
		rc = js_u64(info, "value_ns", &t->value, err);
	if (rc == 0)
		rc = js_bool(info, "armed", &t->armed, err);
	if (rc == 0)
		rc = js_bool(info, "queued", &t->queued, err);
	if (rc == 0)
		rc = js_u64(info, "late_ns", &t->late, err);
	if (rc == 0)
		rc = js_i32(info, "overrun_last", &t->overrun_last, err);
	return rc;
}

static int64_t clock_ns(int clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

bool build_is_pending(const json_t *o, int signo)
{
	const json_t *rows = json_object_get(o, "pending");
	siginfo_t si;

	for (size_t i = 0; i < json_array_size(rows); i++)
		if (siginfo_parse(json_array_get(rows, i), &si, NULL) == 0 && si.si_signo == signo)
			return true;
	return false;
}

bool build_ignores(const struct build *b, int signo)
{
	static const int by_default[] = { SIGCHLD, SIGCONT, SIGURG, SIGWINCH };
	const json_t *rows = json_object_get(b->sighand_owner->task, "sigactions"), *row;
	bool ignored = false;
	size_t i;

	for (i = 0; i < sizeof(by_default) / sizeof(by_default[0]); i++)
		ignored |= by_default[i] == signo;
	json_array_foreach(rows, i, row) {
		uint64_t handler = 0;

		if (json_integer_value(json_object_get(row, "sig")) == signo &&
		    js_opt_u64(row, "handler", &handler, NULL) == 0 && handler)
			ignored = handler == 1; /* SIG_IGN */
	}
	return ignored;
}

/* The thread that takes the timer's signal. */
static const struct build_thread *taker_of(const struct build *b, const struct timer_in *t)
{
	for (size_t i = 0; t->notify & SIGEV_THREAD_ID && i < b->n_threads; i++)
		if (b->thread[i].vtid == t->notify_tid)
			return &b->thread[i];
	return &b->thread[0];
}

/*
 * timer_getoverrun(2) tells how often the timer had expired again when its signal was last taken.
 * The kernel counts that itself, when the signal is taken: so the timer is armed to have begun so
 * many intervals ago, and its signal taken, after which it goes on as it should. Where something is
 * in the way, the count begins at 0.
 */
static bool can_repeat_overrun(const struct build *b, const struct timer_in *t, int64_t *ret_first)
{
	const struct build_thread *taker = taker_of(b, t);
	uint64_t intervals = (uint64_t)t->overrun_last + 1, past;

	if (t->overrun_last <= 0 || !t->armed || t->queued || !t->interval || t->clock < 0 ||
	    (t->notify & ~SIGEV_THREAD_ID) != SIGEV_SIGNAL || t->signo < 1 || t->signo > 64 ||
	    build_is_pending(b->task, t->signo) || build_is_pending(taker->json, t->signo) ||
	    taker->ended || build_ignores(b, t->signo))
		return false;
	if (__builtin_mul_overflow(intervals, t->interval, &past) || past > INT64_MAX)
		return false;
	*ret_first = clock_ns(t->clock) + (int64_t)t->value - (int64_t)past;
	return *ret_first > 0;
}

static int repeat_overrun(struct build *b, const struct timer_in *t, int64_t first,
			  struct ckpt_err **err)
{
	struct arena *a = &b->r->arena;
	const struct itimerspec its = { .it_interval = to_timespec((int64_t)t->interval),
					.it_value = to_timespec(first) };
	const struct timespec soon = { 1, 0 };
	const uint64_t set = 1ULL << (t->signo - 1);
	int rc;

	arena_op(a, "arm a POSIX timer", SYS_timer_settime, (uint64_t)t->id, TIMER_ABSTIME,
		 arena_data(a, &its, sizeof(its)), 0, 0, 0);
	rc = arena_run(a, b->pid, err);
	if (rc < 0)
		return rc;
	arena_op(a, "take the signal of a timer", SYS_rt_sigtimedwait,
		 arena_data(a, &set, sizeof(set)), 0, arena_data(a, &soon, sizeof(soon)),
		 sizeof(set), 0, 0);
	return arena_run(a, taker_of(b, t)->tid, err);
}

static void queue_timer(struct build *b, const struct timer_in *t)
{
	struct sigevent ev = { .sigev_notify = t->notify, .sigev_signo = t->signo };
	struct itimerspec its = { .it_interval = to_timespec((int64_t)t->interval),
				  .it_value = to_timespec((int64_t)t->value) };
	uint64_t ev_at, id_at, its_at, flags = 0;

	memcpy(&ev.sigev_value, &t->sigval, sizeof(t->sigval));
	if (t->notify & SIGEV_THREAD_ID)
		memcpy(&ev._sigev_un, &t->notify_tid, sizeof(t->notify_tid));
	ev_at = arena_data(&b->r->arena, &ev, sizeof(ev));
	id_at = arena_data(&b->r->arena, &t->id, sizeof(t->id));
	arena_op(&b->r->arena, "make a POSIX timer", SYS_timer_create, (uint64_t)(int64_t)t->clock,
		 ev_at, id_at, 0, 0, 0);
	if (t->queued) {
		/* Its signal is pending. It expires again, as long ago as it did: the kernel queues
		 * the signal itself, and counts the overruns on when that is delivered. */
		its.it_value = to_timespec(clock_ns(t->clock) - (int64_t)t->late);
		flags = TIMER_ABSTIME;
	}
	its_at = arena_data(&b->r->arena, &its, sizeof(its));
	if (t->armed)
		arena_op(&b->r->arena, "arm a POSIX timer", SYS_timer_settime, (uint64_t)t->id,
			 flags, its_at, 0, 0, 0);
}

static int queue_posix_timers(struct build *b, struct ckpt_err **err)
{
	json_t *rows;
	int rc = js_arr(b->task, "timers", &rows, err);

	if (rc < 0 || json_array_size(rows) == 0)
		return rc;
	arena_op(&b->r->arena, "let timers have their old ids (PR_TIMER_CREATE_RESTORE_IDS)",
		 SYS_prctl, TIMER_RESTORE_IDS, 1, 0, 0, 0, 0);
	for (size_t i = 0; rc == 0 && i < json_array_size(rows); i++) {
		struct timer_in t = { 0 };
		int64_t first = 0;

		rc = parse_timer(json_array_get(rows, i), &t, err);
		if (rc == 0)
			rc = build_room(b, b->pid, 4, 512, err);
		if (rc == 0)
			queue_timer(b, &t);
		if (rc == 0 && can_repeat_overrun(b, &t, &first))
			rc = repeat_overrun(b, &t, first, err);
	}
	if (rc == 0)
		rc = build_room(b, b->pid, 1, 0, err);
	if (rc == 0)
		arena_op(&b->r->arena, "let timers have new ids again", SYS_prctl,
			 TIMER_RESTORE_IDS, 0, 0, 0, 0, 0);
	return rc;
}

bool build_timer_queues(const struct build *b, const siginfo_t *si)
{
	const json_t *rows = json_object_get(b->task, "timers");

	for (size_t i = 0; si->si_code == SI_TIMER && i < json_array_size(rows); i++) {
		struct timer_in t = { 0 };

		if (parse_timer(json_array_get(rows, i), &t, NULL) == 0 && t.id == si->si_timerid &&
		    t.signo == si->si_signo && t.queued)
			return true;
	}
	return false;
}

int build_timers(struct build *b, struct ckpt_err **err)
{
	int rc = queue_posix_timers(b, err);

	if (rc == 0)
		rc = queue_itimer(b, "itimer_real", ITIMER_REAL, err);
	if (rc == 0)
		rc = queue_itimer(b, "itimer_virtual", ITIMER_VIRTUAL, err);
	if (rc == 0)
		rc = queue_itimer(b, "itimer_prof", ITIMER_PROF, err);
	return rc < 0 ? rc : arena_run(&b->r->arena, b->pid, err);
}

/* ---- waits ---- */

struct wait_in {
	uint32_t kind;
	int32_t clock;
	uint64_t expires, rmtp, uaddr;
	uint32_t val, bitset, flags;
};

static int parse_wait(const struct build_thread *t, struct wait_in *w, struct ckpt_err **err)
{
	const json_t *info = json_object_get(t->json, "info");
	int rc = js_u32(info, "restart_kind", &w->kind, err);

	if (rc < 0 || w->kind == REC_RESTART_NONE)
		return rc;
	rc = js_i32(info, "restart_clock", &w->clock, err);
	if (rc == 0)
		rc = js_u64(info, "restart_expires_ns", &w->expires, err);
	if (rc == 0)
		rc = js_u64(info, "restart_rmtp", &w->rmtp, err);
	if (rc == 0)
		rc = js_u64(info, "restart_uaddr", &w->uaddr, err);
	if (rc == 0)
		rc = js_u32(info, "restart_val", &w->val, err);
	if (rc == 0)
		rc = js_u32(info, "restart_bitset", &w->bitset, err);
	if (rc == 0)
		rc = js_u32(info, "restart_flags", &w->flags, err);
	return rc;
}

/* What was left of a wait when the process was frozen. */
static int64_t time_left(const struct build *b, const struct wait_in *w)
{
	int64_t then = b->r->monotonic_ns, left;
	struct timespec tai, real;

	if (w->clock == CLOCK_REALTIME)
		then = b->r->realtime_ns;
	if (w->clock == CLOCK_BOOTTIME)
		then = b->r->boottime_ns;
	if (w->clock == CLOCK_TAI) {
		/* Whole seconds ahead of real time; they change every few years. */
		clock_gettime(CLOCK_TAI, &tai);
		clock_gettime(CLOCK_REALTIME, &real);
		left = (tai.tv_sec - real.tv_sec) * NS_PER_S + tai.tv_nsec - real.tv_nsec;
		then = b->r->realtime_ns + (left + NS_PER_S / 2) / NS_PER_S * NS_PER_S;
	}
	left = (int64_t)w->expires - then;

	return left > 0 ? left : 1;
}

/* The registers that make the thread enter its wait again. False: this kind of wait cannot be. */
static bool wait_call(struct build *b, const struct build_thread *t, const struct wait_in *w,
		      struct user_regs_struct *r)
{
	int64_t left = time_left(b, w);
	struct timespec ts = to_timespec(left), now;
	unsigned long op = t->core->gpr.rsi;

	switch (w->kind) {
	case REC_RESTART_NANOSLEEP:
		r->rax = SYS_clock_nanosleep;
		r->rdi = (uint64_t)(int64_t)w->clock;
		r->rsi = 0;
		r->rdx = arena_data(&b->r->arena, &ts, sizeof(ts));
		r->r10 = w->rmtp;
		return true;
	case REC_RESTART_POLL:
		r->rax = SYS_poll;
		r->rdi = w->uaddr;
		r->rsi = w->val;
		left = (left + 999999) / 1000000;
		r->rdx = !w->flags ? (uint64_t)-1 : left > INT_MAX ? INT_MAX : (uint64_t)left;
		return true;
	case REC_RESTART_FUTEX:
		/* A relative time-out goes on with what was left; an absolute one is what it is. */
		if ((op & FUTEX_CMD_MASK) == FUTEX_WAIT) {
			clock_gettime(CLOCK_MONOTONIC, &now);
			ts = to_timespec(now.tv_sec * NS_PER_S + now.tv_nsec + left);
		} else {
			ts = to_timespec((int64_t)w->expires);
		}
		r->rax = SYS_futex;
		r->rdi = w->uaddr;
		r->rsi = FUTEX_WAIT_BITSET | (op & (FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME));
		r->rdx = w->val;
		r->r10 = w->expires ? arena_data(&b->r->arena, &ts, sizeof(ts)) : 0;
		r->r8 = 0;
		r->r9 = w->bitset;
		return true;
	default:
		return false;
	}
}

/*
 * Let the thread really enter the call, and interrupt it: the kernel builds the restart block
 * itself. The interrupt is pending before the call begins, so that it ends as soon as the wait
 * would begin.
 */
static int enter_and_interrupt(pid_t tid, const struct user_regs_struct *r,
			       struct user_regs_struct *after)
{
	int status, group_stop, rc = trace_set_regs(tid, r);

	if (rc == 0)
		rc = trace_resume(tid, PTRACE_SYSCALL, 0);
	if (rc == 0)
		rc = trace_wait(tid, TRACE_STOP_DEADLINE_MS, &status);
	if (rc == 0 && !WIFSTOPPED(status))
		rc = -ESRCH;
	if (rc == 0)
		rc = trace_interrupt(tid);
	if (rc == 0)
		rc = trace_resume(tid, PTRACE_CONT, 0);
	if (rc == 0)
		rc = trace_wait_stop(tid, TRACE_STOP_DEADLINE_MS, &group_stop);
	return rc < 0 ? rc : trace_get_regs(tid, after);
}

int build_enter_wait(struct build *b, struct build_thread *t, struct ckpt_err **err)
{
	struct user_regs_struct regs, after;
	struct wait_in w = { 0 };
	uint64_t gadget = b->r->arena.there + remote_stub_gadget();
	int rc;

	if ((int64_t)t->core->gpr.rax != -516 /* ERESTART_RESTARTBLOCK */)
		return 0;
	rc = parse_wait(t, &w, err);
	if (rc < 0)
		return rc;
	rc = trace_get_regs(t->tid, &regs);
	if (rc < 0)
		return ckpt_fail_errno(err, rc, CKPT_E_DIED, "thread %d", t->vtid);
	regs.rip = gadget;
	regs.orig_rax = (unsigned long)-1;
	if (!wait_call(b, t, &w, &regs))
		return 0;
	rc = enter_and_interrupt(t->tid, &regs, &after);
	if (rc < 0)
		return ckpt_fail_errno(err, rc, CKPT_E_DIED, "let thread %d enter its wait again",
				       t->vtid);
	/* The wait may be over at once (the futex's value has changed): then that is its result. */
	if ((int64_t)after.rax != -516) {
		struct core_thread *c = (struct core_thread *)(uintptr_t)t->core;

		c->gpr.rax = after.rax;
		c->gpr.orig_rax = (unsigned long)-1;
	}
	return 0;
}
