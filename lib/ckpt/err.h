/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making error chains; reading them is public, in ebpf_ckpt.h. */
#ifndef CKPT_ERR_H
#define CKPT_ERR_H

#include "ebpf_ckpt.h"
#include "loader.h"

/*
 * Set *err (when err is not NULL and *err is NULL) to a new link. `rc` is an errno, of either sign.
 * Returns -|rc|, so that `return ckpt_fail(err, errno, CKPT_E_SYS, "open %s", path);` works.
 */
int ckpt_fail(struct ckpt_err **err, int rc, enum ckpt_code code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* The same, with strerror(rc) appended to the sentence: "open /x: No such file or directory". */
int ckpt_fail_errno(struct ckpt_err **err, int rc, enum ckpt_code code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Replace the hint of the outermost link. */
void ckpt_hint(struct ckpt_err **err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Put a sentence of context around *err, whose cause it becomes. Returns rc as it is. */
int ckpt_wrap(struct ckpt_err **err, int rc, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* A failure of the loader. Returns -|rc|. */
int ckpt_fail_loader(struct ckpt_err **err, int rc, const struct loader_why *why);
int ckpt_fail_nomem(struct ckpt_err **err);

/* Carry an error across a process boundary: one line of JSON (malloc'd), and back. */
char *ckpt_err_to_json(const struct ckpt_err *e);
struct ckpt_err *ckpt_err_from_json(const char *text);

#endif
