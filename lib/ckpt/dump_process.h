/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One process of a dump: what is taken of it within the pause, how its memory is held still after
 * it, and the writing of its core.
 */
#ifndef CKPT_DUMP_PROCESS_H
#define CKPT_DUMP_PROCESS_H

#include "areas.h"
#include "core.h"
#include "freeze.h"
#include "image.h"
#include "inherit.h"
#include "take.h"
#include "twin.h"

struct dump_process {
	pid_t tgid, ppid;
	bool zombie;
	pid_t tid;		       /* a frozen thread, through which all is done */
	struct dump_process *mm_owner; /* whose memory it uses; itself, mostly */
	struct dump_process *maker; /* whose pages it can be born with (plan_makers()), or NULL */
	struct taken taken;
	struct area_pages pages;
	struct inherited inherited; /* pages that its maker's core has */
	bool found; /* `pages` are all its pages, and set aside where they must be */
	bool aside; /* all of them are: it needs no twin */
	struct twin twin;
	uint64_t stash_at; /* where its part of the stash begins */
};

/* Memory set aside within the pause: what a fork would lose, and processes too small for a twin. */
struct stash {
	int fd; /* owned memfd, -1: nothing set aside yet */
	uint64_t bytes;
	void *buf; /* owned */
};

void dump_process_done(struct dump_process *p);
void stash_done(struct stash *st);

/* The task whose memory is read: the twin, or the frozen process. */
pid_t dump_process_mem(const struct dump_process *p);

/*
 * Within the pause: find out which pages are its maker's, and set the pages aside that cannot be
 * read later. A process of few other pages is copied whole (p->aside), and needs no twin; of others
 * what a fork would lose, unless they are read frozen (`twin` false).
 */
int dump_process_stash(struct dump_process *p, struct stash *st, const struct snapshot *s,
		       bool twin, struct ckpt_err **err);
/* Make its twin. -EAGAIN or -ENOMEM: it may not fork now. */
int dump_process_fork(struct dump_process *p, const struct snapshot *s, struct ckpt_err **err);
/* Forget what was set aside for a twin that could not be made. */
void dump_process_unfork(struct dump_process *p);
/* Find the pages of the twin, or of the process itself, that are to be written. */
int dump_process_find(struct dump_process *p, const struct snapshot *s, struct ckpt_err **err);
/* Write core.PID. */
int dump_process_write(struct dump_process *p, const struct stash *st, const struct snapshot *s,
		       struct image_writer *w, struct core_write_opts *opts, struct ckpt_err **err);

#endif
