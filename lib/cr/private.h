/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the library share. Names that begin with cri_ are not exported, but for the two
 * initialisers of libcr.h.
 *
 * What runs in signal context (meet.c, section.c, the running of callbacks) takes no lock,
 * allocates nothing and calls nothing but system calls: only atomic words and futexes.
 */
#ifndef CR_PRIVATE_H
#define CR_PRIVATE_H

#include "control.h"
#include "libcr.h"
#include <signal.h>
#include <stdbool.h>

/* ---- control.c --------------------------------------------------------------------------------
 */

extern struct cr_control cri_block;
/* Of this process: a child by fork(2) has another one, and nothing of its parent's is in force. */
extern unsigned int cri_generation;
extern int cri_broken; /* errno, if the signal could not be taken */

#define LOAD(x)	    __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define STORE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_SEQ_CST)
#define ADD(x, v)   __atomic_add_fetch(&(x), (v), __ATOMIC_SEQ_CST)
#define SWAPPED(x, o, n)                                                                           \
	__atomic_compare_exchange_n(&(x), (o), (n), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)

/* Wait until the word `turn` is another than `seen`, or a signal came, or the time has passed. */
#define CRI_FOR_EVER (-1)
#define CRI_SECOND   1000
void cri_wait_turn(uint32_t seen, int ms);
void cri_raise_turn(void);
int cri_gettid(void);
/* Signal dispositions as the kernel has them. */
int cri_sigaction(const struct cr_control_action *act, struct cr_control_action *old);
/* In a handler: is this the process that the block is of? Not so in a child by vfork(2). */
bool cri_is_process(void);
/* In another life, by a restart, the process may have another pid. */
void cri_reborn(void);
/* To be called where a child by fork(2) may begin. */
void cri_check_process(void);

/* ---- thread.c ---------------------------------------------------------------------------------
 */

struct cri_callback {
	cr_callback_t func; /* NULL: replaced by nothing */
	void *arg;
};

struct cri_table {
	struct cri_callback *row; /* owned; in the order of registration */
	int n, room;
};

/* A callback that runs. */
struct cri_frame {
	struct cri_frame *outer;
	int index;
	bool called;   /* cr_checkpoint() has been */
	bool returned; /* and not by way of an exception */
};

/* Of each thread. */
struct cri_thread {
	unsigned int generation;
	bool has_init;
	bool hidden; /* it is the library's own thread */
	cr_client_id_t next_id;
	struct cri_table callbacks; /* in signal context */
	int sections;		    /* nested critical sections */
	uint32_t taken;		    /* id of the last request that it took part in */
	int result;		    /* of that */
	bool decided;
	struct cri_frame *frame; /* the innermost callback that runs, or NULL */
	int hold;		 /* of cr_hold_ctrl() */
	int persist;
	struct cr_member member;
	struct cr_checkpoint_info checkpoint_info;
	struct cr_restart_info restart_info;
};

/* The calling thread's. */
struct cri_thread *cri_self(void);
/* The same if it has called cr_init(), else NULL with errno CR_ENOINIT. */
struct cri_thread *cri_self_init(void);
/* Start the hidden thread, unless it runs. 0 or an errno. */
int cri_start_hidden(void);

/* ---- callback.c -------------------------------------------------------------------------------
 */

extern struct cri_table cri_thread_callbacks; /* of the hidden thread */
void cri_forget_callbacks(void);	      /* in a child by fork(2) */
/* Run this thread's callbacks, and in the innermost cri_arrive(). The result for all. */
int cri_run_callbacks(struct cri_thread *t);
/* The thread ends in the middle of a callback. */
void cri_thread_left(struct cri_thread *t);
uint32_t cri_callback_id(const struct cri_thread *t, int index);

/* ---- request.c --------------------------------------------------------------------------------
 */

void cri_forget_requests(void);

/* ---- meet.c -----------------------------------------------------------------------------------
 */

enum cri_part {
	CRI_NOTHING, /* there is no request, or this thread has taken part in it */
	CRI_TOOK_PART,
	CRI_DEFERRED, /* a critical section is in the way */
};

void cri_handler(int sig, siginfo_t *si, void *context);
/* Is there a request that is not over? */
bool cri_pending(void);
enum cri_part cri_take_part(struct cri_thread *t);
/* Wait, as one of all threads, for the decision. */
int cri_arrive(struct cri_thread *t);
/* The same, having said that it shall not be done, by the argument of cr_checkpoint(). */
int cri_refuse(struct cri_thread *t, int flags);

/* ---- section.c, hook.c ------------------------------------------------------------------------
 */

/* A critical section for the library's own use. */
void cri_enter(struct cri_thread *t);
void cri_leave(struct cri_thread *t);
/* The thread ends. */
void cri_leave_all(struct cri_thread *t);
void cri_run_hook(const struct cri_thread *t, int result);
bool cri_holds(const struct cri_thread *t, int result);
void cri_forget_hooks(void);

#endif
