// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Taking part in a request: join, arrive, leave. control.h tells the story. All of this may run in
 * a signal handler.
 */
#include "private.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#define HELD_MS 5

bool cri_pending(void)
{
	return LOAD(cri_block.request) != 0 && LOAD(cri_block.for_pid) == cri_block.pid;
}

static bool decided(uint32_t id)
{
	return LOAD(cri_block.decided) == id;
}

static bool engine_lives(void)
{
	int engine = LOAD(cri_block.engine_pid);

	return !engine || kill(engine, 0) == 0 || errno != ESRCH;
}

/* The checkpointer is gone: nothing was saved. */
static void decide_alone(uint32_t id)
{
	if (engine_lives() || decided(id))
		return;
	__atomic_or_fetch(&cri_block.joined, CR_JOINED_CLOSED, __ATOMIC_SEQ_CST);
	STORE(cri_block.result, -EIO);
	STORE(cri_block.decided, id);
	cri_raise_turn();
}

static bool is_over(uint32_t id)
{
	return (int32_t)(LOAD(cri_block.done) - id) >= 0;
}

/* ---- leave ---- */

static void clean_up(uint32_t id)
{
	struct cr_control *c = &cri_block;

	if (c->theirs_valid)
		cri_sigaction(&c->theirs, NULL);
	c->theirs_valid = 0;
	STORE(c->members, 0);
	STORE(c->arrived, 0);
	STORE(c->left, 0);
	STORE(c->vote, 0);
	STORE(c->vote_tid, 0);
	STORE(c->request, 0);
	STORE(c->done, id);
	cri_raise_turn();
}

/* Nobody wakes us: the signal may be for another thread, and the checkpointer must not stop us, or
 * it might learn of our end in the place of our parent. */
static void wait_while_held(uint32_t id)
{
	while (LOAD(cri_block.held) == id && engine_lives())
		cri_wait_turn(LOAD(cri_block.turn), HELD_MS);
}

/* The last one, of all that ever joined, cleans up. */
static void finish_if_last(uint32_t id)
{
	uint64_t joined = LOAD(cri_block.joined);
	uint32_t before = LOAD(cri_block.finishing);

	if (!(joined & CR_JOINED_CLOSED) || LOAD(cri_block.left) != (joined & CR_JOINED_COUNT))
		return;
	if (before == id || !SWAPPED(cri_block.finishing, &before, id))
		return;
	wait_while_held(id);
	clean_up(id);
}

static void leave(struct cri_thread *t, uint32_t id, int result)
{
	bool holds = cri_holds(t, result);

	if (result >= 0)
		cri_run_hook(t, result);
	t->member.state = CR_MEMBER_LEFT;
	ADD(cri_block.left, 1);
	finish_if_last(id);
	while (holds && !is_over(id)) {
		uint32_t seen = LOAD(cri_block.turn);

		if (!is_over(id))
			cri_wait_turn(seen, CRI_SECOND);
	}
}

/* ---- join ---- */

static void become_member(struct cri_thread *t)
{
	uint64_t first = LOAD(cri_block.members);

	t->member.tid = cri_gettid();
	t->member.state = CR_MEMBER_JOINED;
	t->member.callback = ~0u;
	do
		t->member.next = first;
	while (!SWAPPED(cri_block.members, &first, (uint64_t)(uintptr_t)&t->member));
}

static enum cri_part join(struct cri_thread *t, uint32_t id)
{
	uint64_t joined = LOAD(cri_block.joined);

	do {
		if (joined >> 32 != id || joined & CR_JOINED_CLOSED)
			return CRI_NOTHING;
	} while (!SWAPPED(cri_block.joined, &joined, joined + 1));
	/*
	 * Whoever enters a section counts first and looks at the request then. We do the reverse:
	 * at least one of both sees the other, and steps back.
	 */
	if (LOAD(cri_block.inside)) {
		ADD(cri_block.joined, (uint64_t)-1);
		finish_if_last(id);
		return CRI_DEFERRED;
	}
	t->taken = id;
	t->decided = false;
	become_member(t);
	if (LOAD(cri_block.hidden_go) != id) {
		STORE(cri_block.hidden_go, id);
		cri_raise_turn();
	}
	return CRI_TOOK_PART;
}

/* Thread-context callbacks come first. */
static void wait_for_hidden(const struct cri_thread *t)
{
	while (!t->hidden && LOAD(cri_block.hidden_tid) && !decided(t->taken) &&
	       LOAD(cri_block.hidden_arrived) != t->taken) {
		uint32_t seen = LOAD(cri_block.turn);

		if (decided(t->taken) || LOAD(cri_block.hidden_arrived) == t->taken)
			return;
		cri_wait_turn(seen, CRI_SECOND);
		decide_alone(t->taken);
	}
}

enum cri_part cri_take_part(struct cri_thread *t)
{
	uint32_t id = LOAD(cri_block.request);
	enum cri_part part;

	if (!id || !cri_pending() || t->taken == id || decided(id))
		return CRI_NOTHING;
	part = t->sections ? CRI_DEFERRED : join(t, id);
	if (part != CRI_TOOK_PART)
		return part;
	wait_for_hidden(t);
	leave(t, id, cri_run_callbacks(t));
	return CRI_TOOK_PART;
}

/*
 * Has a callback been left by longjmp(3)? Then its frame is not on the stack any more: where we are
 * is above it. Only when all was decided: until then it may be that the rest comes to
 * cr_checkpoint() all the same.
 */
static bool is_left_behind(const struct cri_thread *t)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);

	return t->frame && here > (uintptr_t)t->frame && decided(t->taken) && !is_over(t->taken);
}

static void give_up_callbacks(struct cri_thread *t)
{
	t->frame = NULL;
	t->result = LOAD(cri_block.result);
	leave(t, t->taken, t->result);
}

void cri_handler(int sig, siginfo_t *si, void *context)
{
	int saved = errno;

	(void)sig;
	(void)si;
	(void)context;
	/* One that nobody asked for, or that came too late, finds no request, and is ignored. */
	if (cri_is_process()) {
		struct cri_thread *t = cri_self();

		if (is_left_behind(t))
			give_up_callbacks(t);
		cri_take_part(t);
	}
	errno = saved;
}

/* ---- arrive ---- */

static int wait_for_decision(struct cri_thread *t)
{
	while (!decided(t->taken)) {
		uint32_t seen = LOAD(cri_block.turn);

		if (decided(t->taken))
			break;
		cri_wait_turn(seen, CRI_SECOND);
		decide_alone(t->taken);
	}
	t->result = LOAD(cri_block.result);
	if (t->result > 0)
		cri_reborn();
	t->decided = true;
	return t->result;
}

int cri_arrive(struct cri_thread *t)
{
	t->member.state = CR_MEMBER_ARRIVED;
	ADD(cri_block.arrived, 1);
	if (t->hidden) {
		STORE(cri_block.hidden_arrived, t->taken);
		cri_raise_turn();
	}
	return wait_for_decision(t);
}

int cri_refuse(struct cri_thread *t, int flags)
{
	int32_t nobody = 0;

	if (SWAPPED(cri_block.vote_tid, &nobody, cri_gettid())) {
		cri_block.vote_callback = t->member.callback;
		STORE(cri_block.vote, (uint32_t)flags);
	}
	return cri_arrive(t);
}
