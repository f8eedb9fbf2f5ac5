/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stacks of observed processes, see observe_stack.c. Where they were not asked for, nothing
 * happens. */
#ifndef CKPT_OBSERVE_STACK_H
#define CKPT_OBSERVE_STACK_H

#include "observe.h"

struct observe_stacks *observe_stacks_new(void); /* NULL: no memory */
void observe_stacks_free(struct observe_stacks *s);
/* A range that is mapped now, in case it is code. */
void observe_code(struct ckpt_observe *o, const struct range *r, const char *path, pid_t pid);
/* The number of the record's stack; 0: not known. Stacks of the same functions have the same. */
uint64_t observe_stack_of(struct ckpt_observe *o, const struct trace_head *h);
/* Functions of a stack, innermost first, a line each; "" when not known. Borrowed, for good. */
const char *observe_stack_text(const struct ckpt_observe *o, uint64_t stack);
/* Add it to an event, if there is something to tell. */
void event_stack(struct ckpt_observe *o, struct event *e, uint64_t stack);

#endif
