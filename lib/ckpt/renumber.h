/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Restoring under other numbers than those of the image: pids that are free now, the session and
 * process group of whoever restores. All numbers in the manifest that name a process, thread, group
 * or session of the tree are exchanged before anything else is read from it; what programs keep of
 * such numbers in their memory is theirs, and stays.
 */
#ifndef CKPT_RENUMBER_H
#define CKPT_RENUMBER_H

#include "ebpf_ckpt.h"
#include <jansson.h>
#include <stddef.h>

struct renumber_pair {
	pid_t old, now;
};

struct renumber {
	struct renumber_pair *by_old, *by_now; /* owned, sorted */
	size_t n;			       /* 0: all are what they were */
};

/* As the options say. *n is for renumber_done(), on failure too. */
int renumber(struct renumber *n, json_t *manifest, const struct ckpt_restore_opts *opts,
	     struct ckpt_err **err);
void renumber_done(struct renumber *n);

/*
 * A tree that keeps a group which no process of it leads any more looks like one that began there,
 * in which such a group is called 0: so it is expected to look.
 */
int renumber_expect(json_t *manifest, const struct ckpt_restore_opts *opts, struct ckpt_err **err);

/* What the image calls the process or thread that is `now`. */
pid_t renumber_saved(const struct renumber *n, pid_t now);

#endif
