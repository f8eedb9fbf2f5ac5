/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading the ledger out: processes, signals, what was left open. */
#ifndef CKPT_OBSERVE_VIEW_H
#define CKPT_OBSERVE_VIEW_H

#include "observe.h"

struct observe_view;
struct left_table;

void observe_view_free(struct observe_view *v); /* NULL is fine */
/* A descriptor that its process left to its end. */
void observe_note_left(struct ckpt_observe *o, const struct ledger_closed *c);
void observe_left_free(struct left_table *t); /* NULL is fine */

#endif
