/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copying contents between files, holes staying holes. */
#ifndef CKPT_COPY_H
#define CKPT_COPY_H

#include "../err.h"
#include <stdint.h>

/* Copy the first `size` bytes; `to` gets that size. Positions are not used and not changed. */
int copy_sparse(int from, int to, uint64_t size, struct ckpt_err **err);

#endif
