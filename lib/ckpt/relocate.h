/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Restoring with other paths than those of the image: open and mapped files, FIFOs, directories,
 * working and root directories, executables.
 */
#ifndef CKPT_RELOCATE_H
#define CKPT_RELOCATE_H

#include "ebpf_ckpt.h"
#include <jansson.h>
#include <stddef.h>

/* Change the paths in a manifest. To each, the first pair that fits is applied, once. */
int relocate(json_t *manifest, const struct ckpt_relocation *r, size_t n, struct ckpt_err **err);

#endif
