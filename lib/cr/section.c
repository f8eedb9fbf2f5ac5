// SPDX-License-Identifier: LGPL-2.1-or-later
/* Critical sections: no callback starts while a thread is in one. Signal-safe. */
#include "private.h"

#include <stddef.h>

/* One less in there. If a request waits, it may be that others could not join because of us. */
static void step_out(void)
{
	if (ADD(cri_block.inside, (uint32_t)-1) == 0 && cri_pending()) {
		ADD(cri_block.again, 1);
		cri_raise_turn();
	}
}

/* From outside: step in, unless there is a request. */
static bool step_in(struct cri_thread *t)
{
	if (cri_pending())
		return false;
	ADD(cri_block.inside, 1);
	if (cri_pending()) {
		step_out();
		return false;
	}
	t->sections = 1;
	cri_block.inside_tid = cri_gettid();
	return true;
}

/* There is a request: take part in it, or wait until that is possible, or until it is over. */
static void help(struct cri_thread *t)
{
	uint32_t seen = LOAD(cri_block.turn);

	if (cri_take_part(t) != CRI_TOOK_PART && cri_pending())
		cri_wait_turn(seen, CRI_SECOND);
}

void cri_enter(struct cri_thread *t)
{
	if (t->sections) {
		t->sections++;
		return;
	}
	while (!step_in(t))
		help(t);
}

void cri_leave(struct cri_thread *t)
{
	if (t->sections > 1) {
		t->sections--;
		return;
	}
	t->sections = 0;
	step_out();
	if (cri_pending())
		cri_take_part(t);
}

void cri_leave_all(struct cri_thread *t)
{
	t->sections = 1;
	cri_leave(t);
}

/* 1: go on. Otherwise what to return. */
static int check(struct cri_thread **ret, cr_client_id_t id)
{
	struct cri_thread *t = cri_self_init();

	if (!t)
		return -1;
	*ret = t;
	if (t->frame)
		return 0; /* in a callback it is as if one were inside */
	if (id >= 0 && id < t->next_id)
		return 1;
	errno = EINVAL;
	return -1;
}

int cr_enter_cs(cr_client_id_t id)
{
	struct cri_thread *t;
	int rc = check(&t, id);

	if (rc <= 0)
		return rc;
	cri_enter(t);
	return 0;
}

int cr_tryenter_cs(cr_client_id_t id)
{
	struct cri_thread *t;
	int rc = check(&t, id);

	if (rc <= 0)
		return rc;
	if (!t->sections)
		return step_in(t) ? 0 : 1;
	t->sections++;
	return 0;
}

int cr_leave_cs(cr_client_id_t id)
{
	struct cri_thread *t;
	int saved = errno, rc = check(&t, id);

	if (rc <= 0)
		return rc;
	if (!t->sections) {
		errno = EINVAL;
		return -1;
	}
	cri_leave(t);
	errno = saved;
	return 0;
}

int cr_status(void)
{
	const struct cri_thread *t = cri_self_init();

	if (!t)
		return -1;
	if (t->frame)
		return CR_STATE_ACTIVE;
	return cri_pending() ? CR_STATE_PENDING : CR_STATE_IDLE;
}
