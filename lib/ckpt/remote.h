/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Remote calls: system calls made in the context of a traced, stopped thread.
 *
 * Two ways. remote_call() borrows a `syscall` instruction that the target already has (its vdso)
 * and touches none of its memory: dump uses it for the few calls that make the twin. A struct arena
 * is a piece of memory shared with a task that restore is building: the stub of arch/ runs a whole
 * array of calls in one resume.
 */
#ifndef CKPT_REMOTE_H
#define CKPT_REMOTE_H

#include "err.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

/*
 * Make one system call in a stopped thread through the `syscall` instruction at `gadget`. Its
 * registers are clobbered: the caller has them saved, and puts them back with remote_settle(). The
 * thread was seized with PTRACE_O_TRACESYSGOOD. With PTRACE_O_TRACECLONE in force, a task that the
 * call makes is left seized and stopped, and *ret_child (may be NULL) is its tid. Returns 0 and
 * *ret = the call's return value (-errno on the call's own failure), or a negative errno when the
 * thread is gone or could not be driven.
 */
int remote_call(pid_t tid, uint64_t gadget, long nr, const uint64_t args[6], long *ret,
		pid_t *ret_child);

/*
 * Bring a thread used by remote_call() into a PTRACE_EVENT_STOP, the state in which the kernel
 * itself restarts an interrupted system call on resume, and put its registers back. 0 or -errno.
 */
int remote_settle(pid_t tid, const struct user_regs_struct *regs);

/*
 * Unmap a range that holds the `syscall` instruction at `gadget` itself. The thread ends in the
 * stop of the fault behind the call, from which the kernel restarts an interrupted call like from
 * that of remote_settle(); its registers are the caller's to set, its signals are blocked. SIGSEGV
 * may be neither ignored nor pending. 0 and *ret, the call's value, or -errno.
 */
int remote_unmap_self(pid_t tid, uint64_t gadget, uint64_t start, uint64_t bytes, long *ret);

/*
 * Offset of a `syscall` instruction within the running kernel's vdso, or 0: every process that maps
 * the vdso has it there.
 */
uint64_t remote_vdso_gadget(void);

/* ---- arenas --------------------------------------------------------------------------------- */

/* One call; `ret` is written by the stub. The layout is known to arch/stub.S. */
struct remote_op {
	uint32_t nr;
	uint32_t flags; /* REMOTE_MAY_FAIL */
	uint64_t args[6];
	int64_t ret;
};

#define REMOTE_MAY_FAIL 1u
_Static_assert(sizeof(struct remote_op) == 64, "known to arch/stub.S");

#define ARENA_BYTES    (1u << 20)
#define ARENA_STUB     4096u /* the first page: code */
#define ARENA_OPS      4096u /* operations per batch */
#define ARENA_OPS_AT   ARENA_STUB
#define ARENA_DATA_AT  (ARENA_OPS_AT + ARENA_OPS * 64u)
#define ARENA_DATA_LEN (ARENA_BYTES - ARENA_DATA_AT)

/* The memory shared with a task under construction. */
struct arena {
	int fd;		/* owned memfd */
	uint8_t *here;	/* owned: mapping in this process */
	uint64_t there; /* address in the task */
	size_t n_ops;	/* operations queued */
	size_t data_used;
	int64_t expect[ARENA_OPS]; /* what it must return, -1: anything */
	/* For messages: what each queued operation is for; static strings. */
	const char *what[ARENA_OPS];
};

int arena_init(struct arena *a, uint64_t there, struct ckpt_err **err);
void arena_done(struct arena *a);

/* Offset of the stub's own `syscall` instruction within an arena. */
uint64_t remote_stub_gadget(void);

/* Room left for operations and data; arena_run() first when there is too little. */
bool arena_has_room(const struct arena *a, size_t ops, size_t data_bytes);
/*
 * Queue a call. what: static string for messages. Returns the operation (its `ret` is good after
 * arena_run()). The caller has asked arena_has_room().
 */
struct remote_op *arena_op(struct arena *a, const char *what, long nr, uint64_t a0, uint64_t a1,
			   uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5);
/* The call just queued must return this very value. */
void arena_expect(struct arena *a, const struct remote_op *op, int64_t value);
/* Copy data into the arena; its address in the task. */
uint64_t arena_data(struct arena *a, const void *data, size_t len);
/* Space in the arena: *ret_here is where this process sees it. */
uint64_t arena_space(struct arena *a, size_t len, void **ret_here);
/*
 * Run the queued operations in `tid` (stopped), which ends stopped at the stub's trap. Operations
 * without REMOTE_MAY_FAIL that fail stop the batch: the error names `what`, the pid and the cause.
 * The queue is empty afterwards, but the operations' results stay readable until the next
 * arena_op().
 */
int arena_run(struct arena *a, pid_t tid, struct ckpt_err **err);
/*
 * Make one call that ends the process of `tid`, by itself or by the signal that it sends; nothing
 * is queued. The end is waited for: *ret_status, as from waitpid(2).
 */
int arena_run_last(struct arena *a, pid_t tid, long nr, uint64_t a0, uint64_t a1, uint64_t a2,
		   int *ret_status, struct ckpt_err **err);

#endif
