/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* File locks of a process, as rows of the manifest's "locks": {fd, class, type, start, end}. */
#ifndef CKPT_LOCKS_H
#define CKPT_LOCKS_H

#include "err.h"
#include "loader.h"
#include <jansson.h>

/* The locks that the process owns through its descriptors; POSIX locks once for each range of a file. */
int locks_save(const struct snapshot *s, pid_t tgid, json_t **ret, struct ckpt_err **err);

#endif
