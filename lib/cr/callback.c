// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Callbacks: their tables, and the recursion in which they run.
 *
 * A table changes within a critical section only, so that none is running then: what runs in signal
 * context needs no lock.
 */
#include "private.h"

#include <linux/futex.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CONTEXTS (CR_SIGNAL_CONTEXT | CR_THREAD_CONTEXT)

struct cri_table cri_thread_callbacks;
static cr_spinlock_t table_lock; /* of cri_thread_callbacks, among threads in critical sections */

void cri_forget_callbacks(void)
{
	cri_thread_callbacks.n = 0;
	table_lock = CR_SPINLOCK_INITIALIZER;
}

static bool one_context(int flags)
{
	return flags == CR_SIGNAL_CONTEXT || flags == CR_THREAD_CONTEXT;
}

static struct cri_table *table_of(struct cri_thread *t, int context)
{
	return context == CR_THREAD_CONTEXT ? &cri_thread_callbacks : &t->callbacks;
}

static int append(struct cri_table *table, cr_callback_t func, void *arg)
{
	if (table->n == CR_MAX_CALLBACKS)
		return ENOSPC;
	if (table->n == table->room) {
		int room = table->room ? 2 * table->room : 4;
		struct cri_callback *more = realloc(table->row, (size_t)room * sizeof(*more));

		if (!more)
			return ENOMEM;
		table->row = more;
		table->room = room;
	}
	table->row[table->n++] = (struct cri_callback){ func, arg };
	return 0;
}

cr_callback_id_t cr_register_callback(cr_callback_t func, void *arg, int flags)
{
	struct cri_thread *t = cri_self_init();
	struct cri_table *table;
	int index = 0, rc = 0;

	if (!t)
		return -1;
	if (!one_context(flags) || t->frame) {
		errno = t->frame ? EBUSY : EINVAL;
		return -1;
	}
	table = table_of(t, flags);
	cri_enter(t);
	cr_spinlock_lock(&table_lock);
	if (flags == CR_THREAD_CONTEXT)
		rc = cri_start_hidden();
	if (rc == 0) {
		index = table->n;
		rc = append(table, func, arg);
	}
	cr_spinlock_unlock(&table_lock);
	cri_leave(t);
	if (rc == 0)
		return index | flags;
	errno = rc;
	return -1;
}

int cr_replace_callback(cr_callback_id_t id, cr_callback_t func, void *arg, int flags)
{
	struct cri_thread *t = cri_self_init();
	struct cri_table *table;
	int index = id & ~CONTEXTS, rc = EINVAL;

	if (!t)
		return -1;
	if (t->frame) {
		errno = EBUSY;
		return -1;
	}
	if (id >= 0 && one_context(flags) && (id & CONTEXTS) == flags) {
		table = table_of(t, flags);
		cri_enter(t);
		cr_spinlock_lock(&table_lock);
		if (index < table->n) {
			table->row[index] = (struct cri_callback){ func, arg };
			rc = 0;
		}
		cr_spinlock_unlock(&table_lock);
		cri_leave(t);
	}
	errno = rc ? rc : errno;
	return rc ? -1 : 0;
}

int cr_replace_self(cr_callback_t func, void *arg, int flags)
{
	struct cri_thread *t = cri_self();
	int context = t->hidden ? CR_THREAD_CONTEXT : CR_SIGNAL_CONTEXT;

	if (!t->frame || flags != context) {
		errno = t->frame ? EINVAL : CR_ENOTCB;
		return -1;
	}
	/* It has been called for this checkpoint. */
	table_of(t, context)->row[t->frame->index] = (struct cri_callback){ func, arg };
	return 0;
}

/* ---- running ---- */

uint32_t cri_callback_id(const struct cri_thread *t, int index)
{
	return (uint32_t)(index | (t->hidden ? CR_THREAD_CONTEXT : CR_SIGNAL_CONTEXT));
}

/* A callback failed when all was decided: wait for the end of the process. */
static void fail_late(struct cri_thread *t, int index)
{
	if (t->result < 0)
		return; /* nothing was saved, and all have been told */
	cri_block.failed_tid = cri_gettid();
	cri_block.failed_callback = cri_callback_id(t, index);
	STORE(cri_block.failed, t->taken);
	cri_raise_turn();
	/* The checkpointer kills all processes; if it is not there, at least this one. */
	for (;;) {
		int engine = LOAD(cri_block.engine_pid);
		uint32_t seen = LOAD(cri_block.turn);

		if (engine && kill(engine, 0) < 0 && errno == ESRCH)
			kill(getpid(), SIGKILL);
		cri_wait_turn(seen, CRI_SECOND);
	}
}

/* The end of a callback that does not return 0, whichever way it goes. */
static void fail(struct cri_thread *t, struct cri_frame *frame)
{
	if (frame->called) {
		fail_late(t, frame->index);
		return;
	}
	frame->called = true;
	cri_refuse(t, CR_CHECKPOINT_PERM_FAILURE);
}

void cri_thread_left(struct cri_thread *t)
{
	struct cri_frame frame = { .index = (int)(t->member.callback & CR_MAX_CALLBACKS),
				   .called = t->decided };

	t->frame = NULL;
	fail(t, &frame);
}

/*
 * What unwinds the stack is there in programs that throw exceptions, and not asked for in others:
 * these functions of the compiler are called in its course only.
 */
__asm__(".weak _Unwind_Resume\n"
	".weak __gcc_personality_v0\n");

/* A C++ exception, or the end of the thread, passes through. */
static void frame_left(struct cri_frame *frame)
{
	if (!frame->returned)
		fail(cri_self(), frame);
}

static int run_next(struct cri_thread *t, int index);

static int run_one(struct cri_thread *t, const struct cri_callback *c, int index)
{
	struct cri_frame frame
		__attribute__((cleanup(frame_left))) = { .outer = t->frame, .index = index };
	int rc;

	t->frame = &frame;
	t->member.state = CR_MEMBER_IN_CALLBACK;
	t->member.callback = cri_callback_id(t, index);
	rc = c->func(c->arg);
	frame.returned = true;
	t->frame = frame.outer;
	if (rc)
		fail(t, &frame);
	else if (!frame.called)
		run_next(t, index);
	t->member.callback = t->frame ? cri_callback_id(t, t->frame->index) : ~0u;
	return t->result;
}

/* Run what was registered before `index`, the last one first; arrive behind the first of all. */
static int run_next(struct cri_thread *t, int index)
{
	const struct cri_table *table =
		table_of(t, t->hidden ? CR_THREAD_CONTEXT : CR_SIGNAL_CONTEXT);

	/* Decided meanwhile: by another one's refusal, or because it took too long. */
	if (LOAD(cri_block.decided) == t->taken)
		return cri_arrive(t);
	while (--index >= 0)
		if (table->row[index].func)
			return run_one(t, &table->row[index], index);
	return cri_arrive(t);
}

int cri_run_callbacks(struct cri_thread *t)
{
	int n = t->hidden ? cri_thread_callbacks.n : t->callbacks.n;

	return run_next(t, n);
}

int cr_checkpoint(int flags)
{
	struct cri_thread *t = cri_self();
	struct cri_frame *frame = t->frame;

	if (!frame) {
		errno = CR_ENOTCB;
		return -CR_ENOTCB;
	}
	/* Once is enough: there is one result. */
	if (frame->called)
		return t->result;
	frame->called = true;
	if (flags & CR_CHECKPOINT_ABORT_MASK)
		cri_refuse(t, flags);
	else
		run_next(t, frame->index);
	t->frame = frame;
	return t->result;
}

/* ---- what a callback may ask ---- */

const struct cr_checkpoint_info *cr_get_checkpoint_info(void)
{
	struct cri_thread *t = cri_self();

	if (!t->frame || t->frame->called)
		return NULL;
	t->checkpoint_info = (struct cr_checkpoint_info){
		.signal = cri_block.signal,
		.dest = cri_block.dest,
		.requester = cri_block.requester,
		.target = cri_block.target,
		.scope = (cr_scope_t)cri_block.scope,
	};
	return &t->checkpoint_info;
}

const struct cr_restart_info *cr_get_restart_info(void)
{
	struct cri_thread *t = cri_self();

	if (!t->frame || !t->frame->called || !t->decided || t->result <= 0)
		return NULL;
	t->restart_info = (struct cr_restart_info){
		.requester = cri_block.restarter,
		.src = cri_block.src,
	};
	return &t->restart_info;
}

/* Who answers cannot wake us. */
static void wait_answer(uint32_t number)
{
	const struct timespec tick = { 0, 1000000 };

	syscall(SYS_futex, &cri_block.forward_answered, FUTEX_WAIT_PRIVATE, number - 1, &tick, NULL,
		0);
}

int cr_forward_checkpoint(cr_scope_t scope, pid_t target)
{
	struct cri_thread *t = cri_self();
	static cr_spinlock_t lock;
	uint32_t number;
	int rc;

	if (!t->frame || t->frame->called) {
		errno = CR_ENOTCB;
		return -1;
	}
	if ((unsigned int)scope > CR_SCOPE_TREE || target < 0) {
		errno = EINVAL;
		return -1;
	}
	cr_spinlock_lock(&lock);
	cri_block.forward_scope = scope;
	cri_block.forward_target = target;
	number = ADD(cri_block.forward, 1);
	while (LOAD(cri_block.forward_answered) != number && LOAD(cri_block.decided) != t->taken)
		wait_answer(number);
	rc = LOAD(cri_block.forward_answered) == number ? LOAD(cri_block.forward_result) : EIO;
	cr_spinlock_unlock(&lock);
	if (rc == 0)
		return 0;
	errno = rc;
	return -1;
}
