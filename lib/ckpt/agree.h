/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Step 2 of a checkpoint, between looking and freezing: the callbacks of those processes that have
 * libcr loaded run up to cr_checkpoint(), and stand there while their process is saved. Afterwards
 * they are told what came of it. What one process says is in meet.h; here is the tree.
 */
#ifndef CKPT_AGREE_H
#define CKPT_AGREE_H

#include "freeze.h"
#include "meet.h"
#include "tree.h"
#include <jansson.h>
#include <limits.h>

struct agree_process {
	struct meeting m;
	enum cr_kind kind;
	bool omitted; /* it asked to be left out, or is of the kind that always is */
	bool decided; /* it has been told */
	struct cr_control_action action; /* as the kernel had it */
};

/* What became of the signal to one thread; of several, the last one counts. */
struct agree_news {
	pid_t tid;
	uint16_t what; /* enum rec_delivery_what */
	uint64_t time_us;
};

struct agree {
	struct ckpt_callbacks opts;
	struct loader *loader;
	struct agree_process *proc; /* owned */
	size_t n;
	pid_t *omit; /* owned: of those that are left out; for tree.omit */
	size_t n_omit;
	pid_t root;
	pid_t *more; /* owned: other roots; for tree.more */
	size_t n_more;
	char dest[PATH_MAX];
	uint64_t deadline_us; /* 0: none */
	bool asked;
	struct delivery *watch;	 /* owned; NULL when that cannot be had */
	struct agree_news *news; /* owned */
	size_t n_news;
	size_t on_way; /* signals that have not been delivered yet */
};

/* May the wait be given up? */
typedef bool agree_cancelled_fn(void *userdata);

/*
 * Which processes of a tree have the library, beside those that are known already. *ret_new: how
 * many were found. With opts.required, one that has none is an error.
 */
int agree_find(struct agree *a, const struct snapshot *s, const struct tree *t, size_t *ret_new,
	       struct ckpt_err **err);
/* Left out, and other roots, from the beginning. */
int agree_begin(struct agree *a, const struct ckpt_dump_opts *opts, struct ckpt_err **err);
/*
 * agree_forward.c: a callback of `caller` wants more processes to be saved. 0, and they are among
 * those that are asked next; or an errno for the callback.
 */
int agree_forward(struct agree *a, pid_t caller, int scope, pid_t target);
/* Be ready to see what becomes of the signals; agree_ask() does it, if it has not been done. */
void agree_watch(struct agree *a);
/* All have arrived, and no more will be asked: few can watch signals at a time. */
void agree_unwatch(struct agree *a);
void agree_done(struct agree *a);
/* What it has, for a person. Static. */
const char *agree_kind_words(const struct agree_process *p);

/* Whether anybody is to be asked, or left out. */
static inline bool agree_has(const struct agree *a, pid_t pid)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->proc[i].m.pid == pid)
			return true;
	return false;
}

static inline bool agree_wanted(const struct agree *a)
{
	return a->n > 0;
}

/*
 * Ask all that have not been, and wait until all have arrived. On failure nobody has been told
 * yet: agree_cancel().
 */
int agree_ask(struct agree *a, agree_cancelled_fn *cancelled, void *userdata,
	      struct ckpt_err **err);

/*
 * With the tree frozen: 0: everybody stands where it should; 1: there are threads or processes that
 * have to be asked first (let go, and agree_ask() again; not at the last try); or a negative errno.
 */
int agree_frozen(struct agree *a, const struct freeze *f, const struct snapshot *s,
		 const struct tree *t, bool last_try, struct ckpt_err **err);

/* Tell all that are frozen. A signal that is to come early is sent now. */
int agree_decide_frozen(struct agree *a, const struct freeze *f, int result, struct ckpt_err **err);
/* Tell those that have not been told, while they run: nothing was saved. */
void agree_cancel(struct agree *a, int result);
/* Kill all: a callback said so. */
void agree_kill(const struct agree *a);
/* Tell those that were left out, and wait until all callbacks have ended. */
int agree_wait_left(struct agree *a, agree_cancelled_fn *cancelled, void *userdata,
		    struct ckpt_err **err);
/* Then send signals, and let all go on. */
void agree_finish(struct agree *a);

/* For the manifest; NULL without memory. */
json_t *agree_save(const struct agree *a);

#endif
