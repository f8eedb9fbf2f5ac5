/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One process that has libcr loaded, seen from outside: its control block is found, read and
 * written. lib/cr/control.h tells what goes on in it. Nothing that is read there is trusted: it is
 * the program's own memory.
 */
#ifndef CKPT_MEET_H
#define CKPT_MEET_H

#include "../cr/control.h"
#include "err.h"
#include "hold.h"
#include "loader.h"
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

/* The part of the block that is read each time: all but the paths. */
#define MEET_HEAD offsetof(struct cr_control, dest)

struct meeting {
	pid_t pid;
	uint64_t block;		      /* address */
	uint64_t vdso;		      /* address of the vdso's text, or 0 */
	uint32_t id;		      /* of our request; 0: not asked */
	bool gone;		      /* the process ended, or executes another program */
	bool stopped;		      /* it was, by a signal, and has been woken */
	const struct delivery *watch; /* borrowed; NULL: nobody watches its signals */
	uint32_t again;		      /* as in the block when the signal was last sent to all */
	pid_t *sent;		      /* owned: threads that the signal was sent to */
	size_t n_sent;
	uint64_t seen_us; /* when its threads were last listed */
	struct hold hold; /* of all its threads, for a moment at a time */
	pid_t blocks_tid; /* one that blocks the signal, and has not got it; or 0 */
	uint64_t blocks_since_us;

	union {
		struct cr_control now; /* as last read; no more than MEET_HEAD is there */
		uint8_t raw[MEET_HEAD];
	};
};

/* What a request says. */
struct meet_request {
	pid_t requester, target;
	int scope, signal;
	const char *dest; /* absolute path; "" */
	bool held;	  /* the last thread waits for meet_release() */
};

/* Is there a control block in what is mapped at `start` from the beginning of a file? Its address,
 * or 0. */
uint64_t meet_look_for(pid_t pid, uint64_t start, uint64_t end, enum cr_kind *ret_kind);

void meet_done(struct meeting *m);
/* Read the block. 0, -ESRCH (the process ended, or is another program now), or -errno. */
int meet_read(struct meeting *m);

/* After meet_read(): does it take part in a request of somebody who lives, and that has not been
 * decided while it was stopped? */
bool meet_is_busy(const struct meeting *m);

/*
 * Ask, with the process running, and send the signal to all threads. action: what the process has
 * for the signal, as the kernel says; NULL: not known. 0, or a negative errno with err: -EBUSY
 * (there is another request). m->id is 0 afterwards if not all of its threads could be stopped for
 * it yet: to be tried again.
 */
int meet_ask(struct meeting *m, const struct meet_request *q,
	     const struct cr_control_action *action, struct ckpt_err **err);
/* Send the signal to all threads that need it and have not got it, if there are any. 0 or -errno:
 * -ESRCH: it is another program now. */
int meet_send(struct meeting *m);
/* Again to those that are in a callback: it may be that they left it by longjmp(3). */
void meet_send_members(struct meeting *m);
/* After meet_read(): have all threads of the process, of which there are `n`, arrived? */
bool meet_all_arrived(const struct meeting *m, size_t n);
/* The same, of a process that runs. */
bool meet_all_arrived_running(const struct meeting *m);

/*
 * Tell the result, with all threads frozen, `tid` being one of them. result: of cr_checkpoint();
 * negative: nothing was saved. 0 or -errno.
 */
int meet_decide(struct meeting *m, int result, pid_t tid);
/* With all running: as above; they are held for it. */
int meet_decide_running(struct meeting *m, int result);
/* Answer cr_forward_checkpoint(), of which `forward` tells: 0 or an errno. It may be that this has
 * to be tried again: look at `forward_answered`. */
int meet_answer(struct meeting *m, int result);
/* After meet_read(): is our request over? */
bool meet_is_over(const struct meeting *m);
/* After meet_read(): have all left, so that it is over but for meet_release()? */
bool meet_all_left(const struct meeting *m);
int meet_release(struct meeting *m);

/* What is told to a restored process. */
struct meet_rebirth {
	pid_t pid;	  /* as it numbers itself, which may be another than before */
	pid_t hidden_tid; /* the same of the thread that `now` has in its place */
	pid_t restarter;
	pid_t engine;	 /* this process, as it sees it; 0: it does not */
	const char *src; /* path that it comes from */
	bool held;	 /* as in a request */
};

/* In a restored process, whose threads are all stopped: it is another life. After meet_read(). */
int meet_restored(struct meeting *m, const struct meet_rebirth *b);

/* The members of the request, at most `max`; how many. */
size_t meet_members(const struct meeting *m, struct cr_member *ret, size_t max);

#endif
