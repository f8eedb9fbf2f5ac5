// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Making the threads, and putting the filters of seccomp(2) in force again.
 *
 * Which threads share a filter decides what SECCOMP_FILTER_FLAG_TSYNC does later, and a filter is
 * shared by being inherited. So the threads are made in an order that follows the tree of filters:
 * the leader puts filter after filter in force, and before each of them it makes those threads
 * which do not have that one. Of the threads with another filter next, it makes the first, which
 * goes on in the same way and makes the others.
 *
 * From the first filter on, all are built with seccomp suspended by their tracer, until they are
 * let go.
 */
#include "build.h"
#include "seccomp.h"
#include "util.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

/* What is planned of a thread. */
struct growing {
	uint32_t filter; /* that it will have */
	uint32_t now;	 /* that it has now */
	size_t maker;	 /* the thread that will make it */
	bool made, strict;
};

struct growth {
	struct build *b;
	struct seccomp_table filters;
	struct growing *thread; /* owned; as b->thread */
	size_t *order;		/* owned: threads made, in that order */
	size_t n_order;
	size_t *first; /* owned: by filter, the thread that puts it in force, or 0 */
	size_t *batch; /* owned */
	bool any;
};

static void growth_done(struct growth *p)
{
	seccomp_table_done(&p->filters);
	free(p->thread);
	free(p->order);
	free(p->first);
	free(p->batch);
}

static int growth_parse(struct growth *p, struct build *b, struct ckpt_err **err)
{
	int rc = seccomp_parse(&p->filters, b->task, err);

	p->b = b;
	p->thread = calloc(b->n_threads, sizeof(*p->thread));
	p->order = calloc(b->n_threads, sizeof(*p->order));
	p->batch = calloc(b->n_threads, sizeof(*p->batch));
	p->first = calloc(p->filters.n + 1, sizeof(*p->first));
	if (rc == 0 && (!p->thread || !p->order || !p->first || !p->batch))
		return ckpt_fail_nomem(err);
	for (size_t i = 0; rc == 0 && i < b->n_threads; i++) {
		struct growing *t = &p->thread[i];

		rc = seccomp_parse_thread(&p->filters, b->thread[i].json, &t->filter, &t->strict,
					  err);
		p->any |= t->filter || t->strict;
	}
	if (rc == 0) {
		p->thread[0].made = true;
		p->order[p->n_order++] = 0;
	}
	return rc;
}

static int suspend(const struct build *b, struct ckpt_err **err)
{
	if (ptrace(PTRACE_SETOPTIONS, b->pid, NULL, TRACE_BUILD | PTRACE_O_SUSPEND_SECCOMP) == 0)
		return 0;
	ckpt_fail_errno(err, errno, CKPT_E_PRIVILEGE, "suspend seccomp in process %d", b->vpid);
	ckpt_hint(err, "run as root, outside of any sandbox");
	return -EPERM;
}

/* The next filter on the way from `now` to `filter`; 0: it is there. */
static uint32_t next_filter(const struct growth *p, uint32_t filter, uint32_t now)
{
	while (filter != now && p->filters.filter[filter - 1].prev != now)
		filter = p->filters.filter[filter - 1].prev;
	return filter == now ? 0 : filter;
}

/* The thread makes all that will not have its own next filter, or the first of a kind of them. */
static int make_others(struct growth *p, size_t maker, uint32_t next, struct ckpt_err **err)
{
	uint32_t now = p->thread[maker].now;
	size_t n = 0;

	for (size_t i = 0; i < p->b->n_threads; i++) {
		struct growing *t = &p->thread[i];
		uint32_t its;

		if (t->made || t->maker != maker)
			continue;
		its = next_filter(p, t->filter, now);
		if (its && its == next)
			continue;
		if (its && p->first[its]) {
			t->maker = p->first[its];
			continue;
		}
		p->first[its] = its ? i : 0;
		t->made = true;
		t->now = now;
		p->order[p->n_order++] = i;
		p->batch[n++] = i;
	}
	return build_clone_threads(p->b, maker, p->batch, n, err);
}

static int put_in_force(struct growth *p, size_t thread, uint32_t filter, struct ckpt_err **err)
{
	const struct seccomp_filter *f = &p->filters.filter[filter - 1];
	struct arena *a = &p->b->r->arena;
	pid_t tid = p->b->thread[thread].tid;
	struct sock_fprog program = { .len = (unsigned short)f->n };
	size_t bytes = f->n * sizeof(*f->code);
	/* Mitigations of speculation are set on their own, to what they were. */
	uint64_t flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW | (f->log ? SECCOMP_FILTER_FLAG_LOG : 0);
	int rc = build_room(p->b, tid, 1, bytes + sizeof(program) + 32, err);

	if (rc < 0)
		return rc;
	program.filter = (void *)(uintptr_t)arena_data(a, f->code, bytes);
	arena_op(a, "put a seccomp filter in force", SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags,
		 arena_data(a, &program, sizeof(program)), 0, 0, 0);
	p->thread[thread].now = filter;
	return arena_run(a, tid, err);
}

static int grow(struct growth *p, size_t thread, struct ckpt_err **err)
{
	for (;;) {
		uint32_t next = next_filter(p, p->thread[thread].filter, p->thread[thread].now);
		int rc = make_others(p, thread, next, err);

		if (rc == 0 && next)
			rc = put_in_force(p, thread, next, err);
		if (rc < 0 || !next)
			return rc;
	}
}

static int make_strict(const struct growth *p, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < p->b->n_threads; i++) {
		if (!p->thread[i].strict)
			continue;
		arena_op(&p->b->r->arena, "enter the strict mode of seccomp", SYS_prctl,
			 PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0, 0);
		rc = arena_run(&p->b->r->arena, p->b->thread[i].tid, err);
	}
	return rc;
}

int build_threads(struct build *b, struct ckpt_err **err)
{
	struct growth p = { .b = b };
	int rc = growth_parse(&p, b, err);

	if (rc == 0 && p.any)
		rc = suspend(b, err);
	/* Grows while it is walked. */
	for (size_t i = 0; rc == 0 && i < p.n_order; i++)
		rc = grow(&p, p.order[i], err);
	if (rc == 0)
		rc = make_strict(&p, err);
	growth_done(&p);
	return rc;
}
