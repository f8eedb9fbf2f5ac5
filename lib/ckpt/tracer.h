/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tracer that "load --trace" keeps running, from outside: finding it, ending it. */
#ifndef CKPT_TRACER_H
#define CKPT_TRACER_H

#include "err.h"

/* "since 2026-01-02 14:05:06 (3 h)" */
void tracer_since(const struct ckpt_tracer *t, char *buf, size_t size);
/* "5 s", "3 min", "4 h", "2 days" */
void tracer_age(uint64_t ns, char *buf, size_t size);

#endif
