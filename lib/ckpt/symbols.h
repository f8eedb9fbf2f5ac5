/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names of functions. A frame is told by the build id of its file and the place in it, which stay
 * true when the process has ended or the file was replaced: the file is found by its build id among
 * those that were seen mapped, and in /usr/lib/debug/.build-id.
 */
#ifndef CKPT_SYMBOLS_H
#define CKPT_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

#define SYMBOLS_BUILD_ID 20

struct symbols;

struct symbols *symbols_new(void); /* NULL: no memory */
void symbols_free(struct symbols *s);
/* A file that is mapped for execution; asked again for one that is known it does nothing. */
void symbols_add_file(struct symbols *s, const char *path);
/*
 * What a person calls the code at this place of the file: "pool_connect (worker)", or "0x1234
 * (worker)" when nobody knows. Without memory, "". Returns buf.
 */
const char *symbols_name(struct symbols *s, const uint8_t build_id[SYMBOLS_BUILD_ID],
			 uint64_t offset, char *buf, size_t size);

#endif
