/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The control block: where the library and the checkpointer meet. It lies in the writable data of
 * the library, or of a program that has the library linked in; the checkpointer reads and writes it
 * from outside. Both sides include this file and nothing else of each other's.
 *
 * How it is found: the library carries an ELF note (owner "libcr", type CR_NOTE_TYPE) in its
 * loaded part. Its contents is a struct cr_note, which has the distance to the block.
 *
 * A request, step by step:
 *
 *  1 ask      The checkpointer stops all threads by ptrace(2), so that nobody executes another
 *             program meanwhile, and no other checkpointer does the same. It fills in the request
 *             (dest and so on), opens `joined` for its id, writes `request` last, and sends
 *             CR_SIGNUM to each thread but the hidden one, and to those that are born later in the
 *             same way. A thread that blocks the signal gets it when it does not any more.
 *  2 join     A thread that gets the signal, and is in no critical section, adds itself to
 *             `joined` and `members`, and runs its callbacks up to their cr_checkpoint(). The first
 *             one wakes the hidden thread, whose callbacks come before all others.
 *  3 arrive   It counts itself in `arrived` and waits. When all threads have, the checkpointer
 *             freezes the process and saves it.
 *  4 decide   While all threads are frozen the checkpointer closes `joined`, writes `result` and
 *             `decided`, and raises `turn`: 0 in the process that goes on, > 0 in one that is
 *             restored, negative when nothing was saved. A wait that was interrupted by a freeze
 *             looks at `turn` again when it goes on.
 *  5 leave    The threads run the rest of their callbacks and their hooks, count themselves in
 *             `left`, and wait for each other. The last one cleans up: `request` becomes 0, and
 *             `done` the id.
 *
 * A checkpointer that dies in between leaves no one waiting: threads look once a second whether it
 * lives, and decide for themselves if not (-EIO).
 *
 * Members have fixed widths, so that nobody cares which compiler made which side. The block only
 * grows at its end; a change of meaning raises the version.
 */
#ifndef CR_CONTROL_H
#define CR_CONTROL_H

#include <stdint.h>

#define CR_NOTE_OWNER "libcr"
#define CR_NOTE_TYPE  1u

struct cr_note {
	uint32_t version; /* CR_CONTROL_VERSION */
	uint32_t pad;
	int64_t offset; /* from this member to the block */
};

#define CR_CONTROL_MAGIC   0x6b636f6c62726362ULL
#define CR_CONTROL_VERSION 1u
#define CR_CONTROL_PATH	   4096

/* Who it is; the first has precedence where several are loaded. */
enum cr_kind {
	CR_KIND_CR = 1,	 /* libcr: callbacks */
	CR_KIND_RUN = 2, /* libcr_run: can be saved, has no callbacks */
	CR_KIND_OMIT = 3 /* libcr_omit: is left out of every checkpoint */
};

/* The kernel's struct sigaction. */
struct cr_control_action {
	uint64_t handler, flags, restorer, mask;
};

enum cr_member_state {
	CR_MEMBER_JOINED = 1,
	CR_MEMBER_IN_CALLBACK = 2,
	CR_MEMBER_ARRIVED = 3,
	CR_MEMBER_LEFT = 4
};

/* A thread that takes part; lies in its thread-local data. */
struct cr_member {
	uint64_t next; /* address of another one, or 0 */
	int32_t tid;   /* as the process numbers it */
	uint32_t state;
	uint32_t callback; /* id of the one that runs, ~0: none */
	uint32_t pad;
};

/* `joined`: the request's id in the upper half. */
#define CR_JOINED_CLOSED 0x80000000ULL
#define CR_JOINED_COUNT	 0x7fffffffULL

struct cr_control {
	uint64_t magic;
	uint32_t version, size;
	uint32_t kind; /* enum cr_kind */
	int32_t signum;
	int32_t pid;			 /* whose state this is, as the process numbers itself */
	int32_t hidden_tid;		 /* the thread of thread-context callbacks, or 0 */
	struct cr_control_action action; /* the library's own of the signal */
	/*
	 * The program's own, if the checkpointer had to put the library's in its place for the
	 * time of a request; the last thread to leave puts it back.
	 */
	struct cr_control_action theirs;
	uint32_t theirs_valid;
	uint32_t pad0;

	/* The request; by the checkpointer. */
	uint32_t request;   /* its id; 0: none */
	int32_t for_pid;    /* whom it is for: a child by fork(2) is somebody else */
	int32_t engine_pid; /* of the checkpointer, as the process sees it; 0: it does not */
	int32_t requester, target;
	int32_t scope, signal;
	uint32_t pad1;

	/* Progress; by the library. */
	uint64_t joined;  /* id, CR_JOINED_CLOSED, count */
	uint64_t members; /* address of the first struct cr_member */
	uint32_t arrived, left;
	uint32_t inside;	 /* threads in critical sections */
	int32_t inside_tid;	 /* the last one that entered */
	uint32_t again;		 /* raised when threads that could not join may be asked again */
	uint32_t hidden_go;	 /* id for which the hidden thread shall run */
	uint32_t hidden_arrived; /* id for which it has arrived */
	uint32_t finishing;	 /* id that is being cleaned up */
	uint32_t done;		 /* id of the last request that is over */
	uint32_t turn;		 /* futex: raised with every change that somebody may wait for */

	/* A callback that asks for something else than to go on; the first one counts. */
	int32_t vote_tid;
	uint32_t vote_callback;
	uint32_t vote; /* argument of cr_checkpoint(); 0: none */
	/* A callback that failed when all was decided. */
	int32_t failed_tid;
	uint32_t failed_callback;
	uint32_t failed; /* id of the request */

	/* The decision; by the checkpointer, while the process is frozen. */
	uint32_t decided; /* id of the request */
	int32_t result;
	int32_t restarter; /* > 0: who asked for the restart */

	/* cr_forward_checkpoint(): asked by the library, answered by the checkpointer. */
	uint32_t forward; /* raised with each question, */
	int32_t forward_scope, forward_target;
	uint32_t forward_answered; /* and set to its number with the answer */
	int32_t forward_result;	   /* 0 or an errno */
	/*
	 * While this is the request's id, the last thread to leave waits before it cleans up: the
	 * checkpointer is about to send a signal, and nobody shall go on before.
	 */
	uint32_t held;
	uint32_t lives; /* raised with each restart */
	uint32_t pad2;

	char dest[CR_CONTROL_PATH]; /* of the context file; "": none */
	char src[CR_CONTROL_PATH];  /* where it was restarted from */
};

#endif
