// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The pages of small processes are written by a thread of the restorer, beside the births of other
 * processes: of those that have no children, which need the pages of their parents. See build.h.
 */
#include "build.h"
#include "util.h"

#include <pthread.h>
#include <stdlib.h>

struct build_filler {
	struct restore *r;
	pthread_t thread;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t changed;
	size_t n_queued, n_done;
	bool stop;

	struct fill_job {
		struct build *b;
		bool done;
		int rc;
		struct ckpt_err *err;
	} job[]; /* as many as processes; each once */
};

static void *fill_main(void *arg)
{
	struct build_filler *f = arg;

	build_unpin(&f->r->pin); /* beside the births, not in turn with them */
	pthread_mutex_lock(&f->lock);
	while (!f->stop) {
		struct fill_job *j = &f->job[f->n_done];

		if (f->n_done == f->n_queued) {
			pthread_cond_wait(&f->changed, &f->lock);
			continue;
		}
		pthread_mutex_unlock(&f->lock);
		j->rc = build_fill_small(j->b, &j->err);
		pthread_mutex_lock(&f->lock);
		j->done = true;
		f->n_done++;
		pthread_cond_broadcast(&f->changed);
	}
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

static struct build_filler *filler_start(struct restore *r)
{
	struct build_filler *f = calloc(1, sizeof(*f) + r->n_procs * sizeof(f->job[0]));

	if (!f)
		return NULL;
	f->r = r;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->changed, NULL);
	if (pthread_create(&f->thread, NULL, fill_main, f)) {
		free(f);
		return NULL;
	}
	return f;
}

bool build_fill_later(struct build *b)
{
	struct restore *r = b->r;
	struct build_filler *f = r->filler ?: (r->filler = filler_start(r));

	if (!f)
		return false;
	pthread_mutex_lock(&f->lock);
	f->job[f->n_queued] = (struct fill_job){ .b = b };
	b->fill_job = f->n_queued++;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
	return true;
}

int build_fill_wait(struct build *b, struct ckpt_err **err)
{
	struct build_filler *f = b->r->filler;
	struct fill_job *j = &f->job[b->fill_job];

	pthread_mutex_lock(&f->lock);
	while (!j->done)
		pthread_cond_wait(&f->changed, &f->lock);
	pthread_mutex_unlock(&f->lock);
	if (j->rc < 0 && err) {
		*err = j->err;
		j->err = NULL;
	}
	return j->rc;
}

void build_fill_stop(struct restore *r)
{
	struct build_filler *f = r->filler;

	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	f->stop = true;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
	pthread_join(f->thread, NULL);
	for (size_t i = 0; i < f->n_queued; i++)
		ckpt_err_free(f->job[i].err);
	pthread_mutex_destroy(&f->lock);
	pthread_cond_destroy(&f->changed);
	free(f);
	r->filler = NULL;
}
