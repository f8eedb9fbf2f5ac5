/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copying contents between files, holes staying holes. */
#ifndef CKPT_COPY_H
#define CKPT_COPY_H

#include "../err.h"
#include <stdint.h>

/* Copy the first `size` bytes; `to` gets that size. Positions are not used and not changed. */
int copy_sparse(int from, int to, uint64_t size, struct ckpt_err **err);

/*
 * The same through a map of `from`, which opens and reads nothing, so that nobody who watches the
 * file is told, and which does not touch its position. Pages of zeros are left out.
 */
int copy_mapped(int from, int to, uint64_t size, struct ckpt_err **err);

#endif
