/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What pipes and FIFOs have in common: a ring of buffers, descriptions that are ends of it, and
 * peers. The descriptions of one ring are tied together by the member "pipe", the number of the
 * first object among them.
 */
#ifndef CKPT_PIPE_H
#define CKPT_PIPE_H

#include "kinds.h"

/* Refuse when another process holds an end, or shares a description. `noun`: "pipe", "FIFO". */
int pipe_ends_check(const struct kind_dump *d, const struct kind_file *f, const char *noun,
		    struct ckpt_err **err);
/* Members "pipe", "end", "size", "bytes", and of the first description the contents: "data",
 * "packets". */
int pipe_ends_save(struct kind_dump *d, const struct kind_file *f, json_t *o,
		   struct ckpt_err **err);
/* Are the members sound, and the contents there? */
int pipe_ends_need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err);
/*
 * Fill an empty ring and open all its descriptions into r->fd. rd, wr: one read and one write end,
 * not blocking; both the same descriptor, open for both, for a FIFO. Taken over: given to a
 * description of the same kind or closed.
 */
int pipe_ends_open(struct kind_restore *r, const json_t *o, int rd, int wr, struct ckpt_err **err);

extern const char *const pipe_volatile_members[];

#endif
