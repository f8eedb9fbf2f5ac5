/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A private pid namespace for a restored process. */
#ifndef CKPT_PIDNS_H
#define CKPT_PIDNS_H

#include "err.h"
#include <sys/types.h>

/*
 * Make a pid namespace: from now on this thread's children are made in it, until pidns_leave(). Its
 * init reaps orphans, and ends when nobody else is left in the namespace, once *ret_hold_fd (the
 * caller's to close) is closed.
 */
int pidns_make(pid_t *ret_init, int *ret_hold_fd, struct ckpt_err **err);
/* Children are made in our own namespace again. Fine when pidns_make() was not called. */
void pidns_leave(void);

#endif
