/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stop all threads of a process for some microseconds, so that none of them can execute another
 * program meanwhile: what is done to it then is done to the program that was looked at.
 */
#ifndef CKPT_HOLD_H
#define CKPT_HOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct hold {
	pid_t *tid; /* owned: those that are stopped */
	size_t n;
	bool stopped; /* the process was stopped by a signal already */
	/* Owned: asked to stop, but they wait in the kernel where nothing interrupts them. They are
	 * let go as soon as they have come out: hold_settle(). */
	pid_t *late;
	size_t n_late;
	uint64_t not_before_us; /* no other attempt before: the program shall come to something */
};

/*
 * 0: all are stopped. -ETIMEDOUT: not all; -EAGAIN: the same, tried too recently to try again;
 * -EBUSY: another program traces one; -ESRCH: none is there. hold_let_go() in any case.
 */
int hold_all(struct hold *h, pid_t pid);
void hold_let_go(struct hold *h);
/* To be called now and then while there are late ones. */
void hold_settle(struct hold *h);
void hold_done(struct hold *h);

#endif
