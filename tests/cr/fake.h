/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A checkpointer that saves nothing: it meets the library of another process as the engine does, by
 * the engine's own code, and tells it the result that a test wants. A target is a child by fork(2)
 * that runs a function of the test; what it has to say goes to memory that both share.
 */
#ifndef TESTS_CR_FAKE_H
#define TESTS_CR_FAKE_H

#include "meet.h"
#include <pthread.h>
#include <stdatomic.h>

/* Shared with the target. */
struct shared {
	char log[4096]; /* words, separated by blanks */
	atomic_int log_len;
	atomic_int ready; /* raised by target_ready() */
	atomic_int go;	  /* raised by target_go() */
	atomic_int n[16]; /* for whatever a test counts */
	atomic_llong last_ns;
	atomic_int failed; /* line of the first check of the target that failed */
};

extern struct shared *shared;

/* ---- for targets ---- */

/* Add a word to the log. */
void say(const char *word);
/* One that is the argument of a callback. */
#define WORD(text) ((void *)(uintptr_t)(text))
/* Wait until the test has called target_go() n times. */
void wait_go(int n);

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		int check_zero_ = 0;                                                               \
		if (!(cond))                                                                       \
			atomic_compare_exchange_strong(&shared->failed, &check_zero_, __LINE__);   \
	} while (0)

/* A call that fails with this errno. */
#define CHECK_FAILS(call, code)                                                                    \
	do {                                                                                       \
		errno = 0;                                                                         \
		CHECK((call) == -1 && errno == (code));                                            \
	} while (0)

/* ---- for tests ---- */

struct target {
	pid_t pid;
	struct meeting m;
};

void target_start(struct target *t, void (*run)(void));
/* The same for a program: argv, and what to put into LD_PRELOAD or NULL. */
void target_exec(struct target *t, const char *const argv[], const char *preload);
void target_ready(int n); /* wait until `ready` is n */
void target_go(void);
/* Wait for its end; the status of waitpid(2). Also releases *t. */
int target_end(struct target *t);

/* Find the block anew. 0: there is none. */
enum cr_kind target_find(struct target *t);
/* Write a request, or -errno. */
int target_ask(struct target *t);
/* Until all have arrived: 1; a callback refused: 2; the time is over: 0; it died: -ESRCH. */
int target_arrive(struct target *t, int timeout_ms);
int target_decide(struct target *t, int result);
/* Until the request is over: 1; a callback failed: 2. */
int target_over(struct target *t, int timeout_ms);
/* All of that, which must succeed. */
void target_checkpoint(struct target *t, int result);

#endif
