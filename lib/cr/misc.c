// SPDX-License-Identifier: LGPL-2.1-or-later
/* Busy locks, error texts, and the symbol for linkers. */
#include "private.h"

#include <sched.h>
#include <string.h>

int cr_link_me;

void cr_spinlock_init(cr_spinlock_t *lock)
{
	STORE(*lock, CR_SPINLOCK_INITIALIZER);
}

int cr_spinlock_trylock(cr_spinlock_t *lock)
{
	return !__atomic_test_and_set(lock, __ATOMIC_ACQUIRE);
}

void cr_spinlock_lock(cr_spinlock_t *lock)
{
	for (int tries = 1; !cr_spinlock_trylock(lock); tries++)
		if (tries % 64 == 0)
			sched_yield(); /* its holder may need this processor */
}

void cr_spinlock_unlock(cr_spinlock_t *lock)
{
	__atomic_clear(lock, __ATOMIC_RELEASE);
}

static const char *const texts[] = {
	[CR_ETEMPFAIL - CR_MIN_ERRCODE] = "a callback refused the checkpoint for now",
	[CR_EPERMFAIL - CR_MIN_ERRCODE] = "a callback failed for good",
	[CR_ENOSUPPORT - CR_MIN_ERRCODE] = "no checkpoint library is loaded",
	[CR_EVERSION - CR_MIN_ERRCODE] = "the library and the checkpointer do not fit together",
	[CR_EOMITTED - CR_MIN_ERRCODE] = "left out of the checkpoint at its own request",
	[CR_EBADARCH - CR_MIN_ERRCODE] = "the context file is from another architecture",
	[CR_EPTRACED - CR_MIN_ERRCODE] = "a process is being traced",
	[CR_EPTRACER - CR_MIN_ERRCODE] = "a process is tracing another one",
	[CR_ERSTRTABRT - CR_MIN_ERRCODE] = "the restart was aborted",
	[CR_ERESTARTED - CR_MIN_ERRCODE] = "restarted from the checkpoint that was asked for",
	[CR_ENOTCB - CR_MIN_ERRCODE] = "only allowed in a callback",
	[CR_ENOINIT - CR_MIN_ERRCODE] = "this thread has not called cr_init()",
};

const char *cr_strerror(int errnum)
{
	if (errnum > CR_MIN_ERRCODE && errnum < CR_MAX_ERRCODE)
		return texts[errnum - CR_MIN_ERRCODE];
	return strerror(errnum);
}
