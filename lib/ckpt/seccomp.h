/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The filters of seccomp(2). They form trees: a thread has one filter, which was put on top of
 * another, and so on; threads made later, or synchronized, share them. Which filter is which is
 * known from the snapshot, what is in it from ptrace(2), which gives it to a privileged tracer that
 * is under no filter itself.
 *
 * In the manifest, each process has its filters in "seccomp", each after the one that it was put on
 * top of ("prev", counted from 1; 0: none), and a thread says which one it has. Processes do not
 * share filters: nothing but memory depends on that.
 */
#ifndef CKPT_SECCOMP_H
#define CKPT_SECCOMP_H

#include "err.h"
#include "loader.h"
#include <jansson.h>
#include <linux/filter.h>

/* SECCOMP_MODE_*, as rec_task has them. */
#define SECCOMP_NONE   0
#define SECCOMP_STRICT 1
#define SECCOMP_FILTER 2

struct seccomp_filter {
	uint64_t id;   /* of the snapshot */
	uint32_t prev; /* its place in the table, from 1 on; 0: none */
	uint32_t depth;
	bool log;
	struct sock_filter *code; /* owned */
	size_t n;
};

/* The filters of one process. */
struct seccomp_table {
	struct seccomp_filter *filter; /* owned */
	size_t n;
};

void seccomp_table_done(struct seccomp_table *t);

/* Why the thread's filters cannot be saved, and what to do about it, or NULL. `self` is the caller.
 */
const char *seccomp_refused(const struct snapshot *s, const struct rec_task *t,
			    const struct rec_task *self, const char **ret_remedy);

/* Take the filters of a frozen process, whose threads are `tids`, in any order. */
int seccomp_take(struct seccomp_table *t, const struct snapshot *s, const pid_t *tids, size_t n,
		 struct ckpt_err **err);

/* Write them to the process, and to a thread which it has. The setters' 0 or -ENOMEM. */
int seccomp_save(const struct seccomp_table *t, json_t *process);
int seccomp_save_thread(const struct seccomp_table *t, const struct snapshot *s,
			const struct rec_task *task, json_t *thread);

/* Read them back from an image. *ret_filter: place in the table, 0: none. */
int seccomp_parse(struct seccomp_table *t, const json_t *process, struct ckpt_err **err);
int seccomp_parse_thread(const struct seccomp_table *t, const json_t *thread, uint32_t *ret_filter,
			 bool *ret_strict, struct ckpt_err **err);

#endif
