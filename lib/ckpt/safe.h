/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text from outside (names, paths) made safe for a terminal. */
#ifndef CKPT_SAFE_H
#define CKPT_SAFE_H

#include <stddef.h>

/*
 * Copy `text` into buf (size bytes, always terminated), control characters and invalid UTF-8
 * written as \xHH; cut with "..." when it is too long. Returns buf.
 */
const char *safe_text(char *buf, size_t size, const char *text);

#endif
