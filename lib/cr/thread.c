// SPDX-License-Identifier: LGPL-2.1-or-later
/* What belongs to a thread, its beginning and end; and the hidden thread. */
#include "private.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* Not allocated at first use, as that may be in a signal handler. */
static __thread struct cri_thread self __attribute__((tls_model("initial-exec")));

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int key_error;

struct cri_thread *cri_self(void)
{
	struct cri_thread *t = &self;

	if (t->generation == cri_generation)
		return t;
	/* A new thread, or the one that is left in a child by fork(2). */
	t->has_init = t->hidden = t->decided = false;
	t->next_id = 0;
	t->callbacks.n = 0;
	t->sections = t->persist = t->result = 0;
	t->taken = 0;
	t->frame = NULL;
	t->hold = CR_HOLD_DFLT;
	t->generation = cri_generation;
	return t;
}

struct cri_thread *cri_self_init(void)
{
	struct cri_thread *t = cri_self();

	if (t->has_init)
		return t;
	errno = CR_ENOINIT;
	return NULL;
}

/* A destructor of thread-specific data: the thread ends. */
static void thread_ends(void *data)
{
	struct cri_thread *t = data;
	struct cri_callback *row;

	if (t->generation != cri_generation)
		return;
	if (t->frame)
		cri_thread_left(t);
	if (t->persist > 0) {
		/* Other destructors still need it: come again after them. */
		pthread_setspecific(key, t);
		return;
	}
	cri_enter(t);
	row = t->callbacks.row;
	memset(&t->callbacks, 0, sizeof(t->callbacks));
	t->has_init = false;
	cri_leave_all(t);
	free(row);
}

static void make_key(void)
{
	key_error = pthread_key_create(&key, thread_ends);
}

cr_client_id_t cr_init(void)
{
	struct cri_thread *t;
	int rc;

	cri_check_process();
	t = cri_self();
	pthread_once(&once, make_key);
	rc = cri_broken || key_error ? ENOSYS : 0;
	if (rc == 0 && !t->has_init)
		rc = pthread_setspecific(key, t);
	if (rc) {
		errno = rc;
		return -1;
	}
	t->has_init = true;
	return t->next_id++;
}

int cr_inc_persist(void)
{
	struct cri_thread *t = cri_self_init();

	if (!t)
		return -1;
	if (t->persist == INT_MAX) {
		errno = ERANGE;
		return -1;
	}
	return t->persist++;
}

int cr_dec_persist(void)
{
	struct cri_thread *t = cri_self_init();

	if (!t)
		return -1;
	if (t->persist == 0) {
		errno = ERANGE;
		return -1;
	}
	return t->persist--;
}

/* ---- the hidden thread ---- */

/* It sleeps until a request has its first member, and never gets a signal. */
static void *hidden_main(void *arg)
{
	struct cri_thread *t = cri_self();

	(void)arg;
	cr_init();
	t->hidden = true;
	STORE(cri_block.hidden_tid, cri_gettid());
	cri_raise_turn();
	for (;;) {
		uint32_t seen = LOAD(cri_block.turn);

		if (LOAD(cri_block.hidden_go) == t->taken || cri_take_part(t) != CRI_TOOK_PART)
			cri_wait_turn(seen, CRI_FOR_EVER);
	}
	return NULL;
}

int cri_start_hidden(void)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t thread;
	int rc;

	if (LOAD(cri_block.hidden_tid))
		return 0;
	sigfillset(&all);
	rc = pthread_attr_init(&attr);
	if (rc)
		return rc;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&thread, &attr, hidden_main, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	/* Until it is known by its id: who asks would take it for one that blocks the signal. */
	while (!rc && !LOAD(cri_block.hidden_tid)) {
		uint32_t seen = LOAD(cri_block.turn);

		if (!LOAD(cri_block.hidden_tid))
			cri_wait_turn(seen, CRI_SECOND);
	}
	return rc;
}
