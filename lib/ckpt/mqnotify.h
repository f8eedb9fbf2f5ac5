/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who waits for a message in a POSIX queue without blocking (mq_notify(3)): a process, told by a
 * signal, or through a socket by which libc starts a thread. "mq_notify" of a process's row:
 *
 *   [ { "fd": 3, "how": "signal", "signal": 10, "value": "0x2a" },
 *     { "fd": 4, "how": "thread", "socket": 5, "cookie": "<64 hex digits>" }, { "fd": 6, "how":
 * "none" } ]
 */
#ifndef CKPT_MQNOTIFY_H
#define CKPT_MQNOTIFY_H

#include "err.h"
#include "loader.h"
#include <jansson.h>

int mqnotify_save(const struct snapshot *s, pid_t tgid, json_t *o, struct ckpt_err **err);

#endif
