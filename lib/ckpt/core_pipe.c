/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A short pipeline of big buffers: reading, transforming and writing of pages overlap, in a fixed
 * amount of memory however long the stream. It knows nothing of cores.
 */
#include "core_format.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "util.h"

#define PIPE_MAX_SLOTS	 8
#define PIPE_MAX_WORKERS 4
#define PIPE_HUGE	 (2U << 20)

struct pipe_slot {
	uint8_t *buf;
	size_t len;
	bool full;
};

struct pipe {
	const struct core_pipe_ops *ops;
	void *ctx;
	unsigned int n_workers, n_slots;
	size_t out_size;
	uint8_t *mem; /* all buffers, one mapping */
	size_t mem_size;
	uint8_t *in[PIPE_MAX_WORKERS];

	pthread_mutex_t fill_lock; /* held while a chunk is made, so that they keep their order */
	uint64_t next_seq;	   /* under fill_lock */

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t changed;
	struct pipe_slot slot[PIPE_MAX_SLOTS];
	uint64_t drained; /* chunks that drain() has had */
	uint64_t end;	  /* number of chunks, once known */
	bool stop;
	int rc;
	struct ckpt_err *err;
};

struct pipe_worker {
	struct pipe *p;
	unsigned int index;
	pthread_t thread;
};

/* The first failure is the one that is told; it stops all threads. */
static void pipe_fail(struct pipe *p, int rc, struct ckpt_err *err)
{
	pthread_mutex_lock(&p->lock);
	if (p->rc == 0) {
		p->rc = rc;
		p->err = TAKE_PTR(err);
	}
	p->stop = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	ckpt_err_free(err);
}

/* Wait until the slot of chunk `seq` is free; false: stop. */
static bool pipe_wait_free(struct pipe *p, uint64_t seq)
{
	bool go;

	pthread_mutex_lock(&p->lock);
	while (!p->stop && seq >= p->drained + p->n_slots)
		pthread_cond_wait(&p->changed, &p->lock);
	go = !p->stop;
	pthread_mutex_unlock(&p->lock);
	return go;
}

static void pipe_publish(struct pipe *p, uint64_t seq, size_t len)
{
	struct pipe_slot *s = &p->slot[seq % p->n_slots];

	pthread_mutex_lock(&p->lock);
	s->len = len;
	s->full = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

static void pipe_publish_end(struct pipe *p, uint64_t n)
{
	pthread_mutex_lock(&p->lock);
	if (n < p->end)
		p->end = n;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

/* One chunk: made, transformed, handed over. 1: goes on, 0: no more, or stop. */
static int pipe_step(struct pipe *p, unsigned int index, void *scratch)
{
	struct ckpt_err *err = NULL;
	bool go = true;
	uint8_t *out;
	uint64_t seq;
	size_t len = 0;
	int r;

	pthread_mutex_lock(&p->fill_lock);
	seq = p->next_seq;
	out = p->slot[seq % p->n_slots].buf;
	if (!p->ops->work) /* made right in its slot, which must be free then */
		go = pipe_wait_free(p, seq);
	r = go ? p->ops->fill(p->ctx, p->ops->work ? p->in[index] : out, CORE_CHUNK, &len, &err)
	       : 0;
	if (r >= 0 && go && len > 0)
		p->next_seq++;
	pthread_mutex_unlock(&p->fill_lock);
	if (r >= 0 && go && len > 0 && p->ops->work) {
		go = pipe_wait_free(p, seq);
		if (go)
			r = p->ops->work(p->ctx, scratch, p->in[index], len, out, p->out_size, &len,
					 &err);
	}
	if (r < 0) {
		pipe_fail(p, r, err);
		return 0;
	}
	if (!go)
		return 0;
	if (len == 0) {
		pipe_publish_end(p, seq);
		return 0;
	}
	pipe_publish(p, seq, len);
	return 1;
}

static void *pipe_new_scratch(struct pipe *p, bool *ok)
{
	void *scratch = p->ops->new_scratch ? p->ops->new_scratch(p->ctx) : NULL;

	*ok = scratch || !p->ops->new_scratch;
	return scratch;
}

static void pipe_free_scratch(struct pipe *p, void *scratch)
{
	if (p->ops->free_scratch && scratch)
		p->ops->free_scratch(scratch);
}

static void *pipe_worker_main(void *arg)
{
	struct pipe_worker *w = arg;
	struct pipe *p = w->p;
	void *scratch;
	bool ok;

	scratch = pipe_new_scratch(p, &ok);
	if (!ok) {
		struct ckpt_err *err = NULL;

		ckpt_fail_nomem(&err);
		pipe_fail(p, -ENOMEM, err);
		return NULL;
	}
	while (pipe_step(p, w->index, scratch) > 0)
		;
	pipe_free_scratch(p, scratch);
	return NULL;
}

/* The calling thread's part: take chunk after chunk, outside the lock. */
static void pipe_drain(struct pipe *p)
{
	for (uint64_t seq = 0;; seq++) {
		struct pipe_slot *s = &p->slot[seq % p->n_slots];
		struct ckpt_err *err = NULL;
		bool stop;
		int r;

		pthread_mutex_lock(&p->lock);
		while (!p->stop && !s->full && seq < p->end)
			pthread_cond_wait(&p->changed, &p->lock);
		stop = p->stop || !s->full;
		pthread_mutex_unlock(&p->lock);
		if (stop)
			return;
		r = p->ops->drain(p->ctx, s->buf, s->len, &err);
		if (r < 0) {
			pipe_fail(p, r, err);
			return;
		}
		pthread_mutex_lock(&p->lock);
		s->full = false;
		p->drained++;
		pthread_cond_broadcast(&p->changed);
		pthread_mutex_unlock(&p->lock);
	}
}

/* All in one thread: nothing overlaps, nothing needs to be started. */
static void pipe_inline(struct pipe *p)
{
	struct ckpt_err *err = NULL;
	void *scratch;
	bool ok;
	int r = 0;

	scratch = pipe_new_scratch(p, &ok);
	if (!ok)
		r = ckpt_fail_nomem(&err);
	while (r >= 0) {
		uint8_t *buf = p->ops->work ? p->in[0] : p->slot[0].buf;
		size_t len = 0;

		r = p->ops->fill(p->ctx, buf, CORE_CHUNK, &len, &err);
		if (r < 0 || len == 0)
			break;
		if (p->ops->work) {
			r = p->ops->work(p->ctx, scratch, buf, len, p->slot[0].buf, p->out_size,
					 &len, &err);
			buf = p->slot[0].buf;
		}
		if (r >= 0)
			r = p->ops->drain(p->ctx, buf, len, &err);
	}
	pipe_free_scratch(p, scratch);
	if (r < 0)
		pipe_fail(p, r, err);
}

static int pipe_map(struct pipe *p)
{
	unsigned int n_in = !p->ops->work ? 0 : p->n_workers ? p->n_workers : 1;
	size_t out = (p->out_size + CORE_PAGE - 1) & ~(size_t)(CORE_PAGE - 1);
	uintptr_t at;

	p->mem_size = n_in * (size_t)CORE_CHUNK + p->n_slots * out + PIPE_HUGE;
	p->mem = mmap(NULL, p->mem_size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p->mem == MAP_FAILED)
		return -ENOMEM;
	madvise(p->mem, p->mem_size,
		MADV_HUGEPAGE); /* fewer faults and TLB misses where it can be had */
	at = ((uintptr_t)p->mem + PIPE_HUGE - 1) & ~(uintptr_t)(PIPE_HUGE - 1);
	for (unsigned int i = 0; i < n_in; i++, at += CORE_CHUNK)
		p->in[i] = p->mem + (at - (uintptr_t)p->mem);
	for (unsigned int i = 0; i < p->n_slots; i++, at += out)
		p->slot[i].buf = p->mem + (at - (uintptr_t)p->mem);
	return 0;
}

/* Start the workers; they must not run the caller's signal handlers. */
static unsigned int pipe_start(struct pipe *p, struct pipe_worker *w)
{
	unsigned int n = 0;
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (n < p->n_workers) {
		w[n] = (struct pipe_worker){ .p = p, .index = n };
		if (pthread_create(&w[n].thread, NULL, pipe_worker_main, &w[n]) != 0)
			break;
		n++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return n;
}

int core_pipe_run(const struct core_pipe_ops *ops, void *ctx, unsigned int n_workers,
		  unsigned int n_slots, size_t out_size, struct ckpt_err **err)
{
	struct pipe_worker w[PIPE_MAX_WORKERS];
	struct pipe p = {
		.ops = ops,
		.ctx = ctx,
		.n_workers = n_workers < PIPE_MAX_WORKERS ? n_workers : PIPE_MAX_WORKERS,
		.n_slots = n_slots < PIPE_MAX_SLOTS ? n_slots : PIPE_MAX_SLOTS,
		.out_size = out_size,
		.end = UINT64_MAX,
	};
	unsigned int n = 0;

	if (p.n_workers == 0)
		p.n_slots = 1;
	if (pipe_map(&p) < 0)
		return ckpt_fail_nomem(err);
	pthread_mutex_init(&p.fill_lock, NULL);
	pthread_mutex_init(&p.lock, NULL);
	pthread_cond_init(&p.changed, NULL);
	if (p.n_workers > 0)
		n = pipe_start(&p, w);
	if (n > 0)
		pipe_drain(&p);
	else
		pipe_inline(&p); /* wanted, or no thread could be had */
	for (unsigned int i = 0; i < n; i++)
		pthread_join(w[i].thread, NULL);
	pthread_cond_destroy(&p.changed);
	pthread_mutex_destroy(&p.lock);
	pthread_mutex_destroy(&p.fill_lock);
	munmap(p.mem, p.mem_size);
	if (p.rc < 0) {
		if (err && !*err)
			*err = TAKE_PTR(p.err);
		ckpt_err_free(p.err);
	}
	return p.rc;
}
