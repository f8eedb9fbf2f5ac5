// SPDX-License-Identifier: LGPL-2.1-or-later
/* Hooks, and whether threads wait for each other. */
#include "private.h"

#include <string.h>

static cr_hook_fn_t hooks[CR_NUM_HOOKS];
static int hold_init = CR_HOLD_BOTH, hold_uninit = CR_HOLD_BOTH;

void cri_forget_hooks(void)
{
	memset(hooks, 0, sizeof(hooks));
	hold_init = hold_uninit = CR_HOLD_BOTH;
}

cr_hook_fn_t cr_register_hook(cr_hook_event_t event, cr_hook_fn_t fn)
{
	if (!cri_self_init())
		return CR_HOOK_FN_ERROR;
	if ((unsigned int)event >= CR_NUM_HOOKS || fn == CR_HOOK_FN_ERROR) {
		errno = EINVAL;
		return CR_HOOK_FN_ERROR;
	}
	return __atomic_exchange_n(&hooks[event], fn, __ATOMIC_SEQ_CST);
}

void cri_run_hook(const struct cri_thread *t, int result)
{
	unsigned int event = t->hidden	   ? CR_HOOK_CONT_THREAD_CONTEXT
			     : t->has_init ? CR_HOOK_CONT_SIGNAL_CONTEXT
					   : CR_HOOK_CONT_NO_CALLBACKS;
	cr_hook_fn_t fn;

	if (result > 0)
		event += CR_HOOK_RSTRT_SIGNAL_CONTEXT;
	fn = LOAD(hooks[event]);
	if (fn)
		fn((cr_hook_event_t)event);
}

bool cri_holds(const struct cri_thread *t, int result)
{
	int hold = t->has_init ? t->hold : LOAD(hold_uninit);

	if (hold == CR_HOLD_DFLT)
		hold = LOAD(hold_init);
	return hold & (result > 0 ? CR_HOLD_RSTRT : CR_HOLD_CONT);
}

int cr_hold_ctrl(int scope, int flags)
{
	struct cri_thread *t = cri_self_init();
	int *which, old, highest;

	if (!t)
		return -1;
	which = scope == CR_HOLD_SCOPE_THREAD ? &t->hold
		: scope == CR_HOLD_SCOPE_INIT ? &hold_init
					      : &hold_uninit;
	highest = scope == CR_HOLD_SCOPE_THREAD ? CR_HOLD_DFLT : CR_HOLD_BOTH;
	if (scope < CR_HOLD_SCOPE_THREAD || scope > CR_HOLD_SCOPE_UNINIT || flags < CR_HOLD_READ ||
	    flags > highest) {
		errno = EINVAL;
		return -1;
	}
	old = LOAD(*which);
	if (flags != CR_HOLD_READ)
		STORE(*which, flags);
	return old;
}
