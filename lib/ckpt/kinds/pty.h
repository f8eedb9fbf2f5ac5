/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pseudo-terminals: what the snapshot tells of a pair (pty.c), and making one again (pty_open.c).
 *
 * A pair is two terminals, linked. Each direction's queue belongs to the end that reads it.
 * Settings are the slave's, whichever end is asked to change them; the master's are fixed.
 */
#ifndef CKPT_PTY_H
#define CKPT_PTY_H

#include "kinds.h"

#define MAJOR_PTS_FIRST 136
#define MAJOR_PTS_LAST	143

/* rec_tty.is_pty */
enum { TTY_NO_PTY = 0, TTY_MASTER = 1, TTY_SLAVE = 2 };

/* Both ends, as told through the master's descriptor. All borrowed from the snapshot. */
struct pty_view {
	const struct snapshot *snap;
	const struct rec_tty *master, *slave;
	const void *const *part;
	size_t n_parts;
};

bool pty_view(const struct snapshot *s, pid_t tgid, int fd, struct pty_view *ret);

/* The terminal that a descriptor refers to; NULL: none (O_PATH). */
const struct rec_tty *tty_of(const struct snapshot *s, pid_t tgid, int fd);

/* The descriptor of the snapshot that is the master of this slave; NULL: not in it. */
const struct rec_file *pty_master_of(const struct snapshot *s, const struct rec_tty *slave);

/* What an end has to read, in order: bytes that the line discipline has taken, then those it has
 * not. */
struct tty_queue {
	uint8_t *bytes; /* owned */
	size_t n_taken, n;
	uint8_t line_ends[REC_TTY_RING / 8]; /* of the ring, by place */
};

/* CKPT_E_UNSUPPORTED when the snapshot holds a part of it only. */
int pty_queue(const struct pty_view *v, bool slave, struct tty_queue *ret, struct ckpt_err **err);
void pty_queue_done(struct tty_queue *q);

/*
 * Make a pair and all the open files of it that the image has, into r->fd. `o` is any of its rows:
 * of kind "ptmx" or, where the master was closed, a slave's with the member "pair".
 */
int pty_open_pair(struct kind_restore *r, const json_t *o, struct ckpt_err **err);
/* The row whose number the slave's row `o` has as "pair", checked. */
int pty_row_of(const struct kind_restore *r, const json_t *o, const json_t **ret,
	       struct ckpt_err **err);
int pty_need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err);

#endif
