/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The head of a manifest: format, version, and the facts of the machine that a restore depends on.
 */
#ifndef CKPT_HOSTINFO_H
#define CKPT_HOSTINFO_H

#include "err.h"
#include <jansson.h>

int host_save(json_t *manifest, bool compressed, struct ckpt_err **err);
/* Can a process of that machine run on this one: same architecture, same vdso, all its xstate
 * features? */
int host_need(const json_t *manifest, struct ckpt_err **err);

#endif
