/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rarer attributes of a thread, which stand in its row of the manifest only if they are not as they
 * are from the start: NUMA policy ("mempolicy"), mitigations of speculation ("speculation"), system
 * calls caught by the program ("dispatch"), I/O without recursion ("io_flusher").
 * build_attrs.c sets them again.
 */
#ifndef CKPT_ATTRS_H
#define CKPT_ATTRS_H

#include "err.h"
#include "loader.h"
#include "take.h"
#include <jansson.h>

/* Why a thread with such attributes cannot be saved, and what to do about it, or NULL. */
const char *attrs_refused(const struct rec_task *t, const char **ret_remedy);

/* The setters' 0 or -ENOMEM. */
int attrs_save(const struct rec_task *t, const struct taken_thread *taken, json_t *thread);

#endif
