/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tracing: what happens to chosen processes and their descendants, as a stream of the records of
 * bpf/trace.h. The programs are loaded into this process and gone when it ends; nothing is pinned,
 * and there may be any number of observers on a machine.
 */
#ifndef EBPF_CKPT_TRACING_H
#define EBPF_CKPT_TRACING_H

#include "loader.h"

#include "../bpf/trace.h"

#define TRACING_RING_DEFAULT ((size_t)16 << 20)

struct tracing;

struct tracing_options {
	size_t ring_bytes; /* 0: TRACING_RING_DEFAULT; else rounded up to a power of two */
	uint64_t types;	   /* mask of 1 << enum trace_type: what is wanted; 0: all */
	bool stacks;	   /* user stacks of what makes a descriptor or timer */
	/*
	 * Processes which are to be told of by TRACE_APPEARED when they begin to match: by the name
	 * of a leader (as comm is cut), or by being in a cgroup (its id, descendants included).
	 * At most TRACE_NAMES_WANTED and TRACE_CGROUPS_MAX. They are observed from that record on.
	 */
	const char *const *names;
	size_t n_names;
	const uint64_t *cgroups;
	size_t n_cgroups;
	const char *without; /* this tracepoint is left alone, as if the kernel had none; or NULL */
};

/* A record as tracing_next() gives it. All is borrowed, and valid until the next call. */
struct tracing_event {
	const struct trace_head *head; /* the record; cast it by head->type */
	const struct trace_sock *sock; /* TRACE_FD_NEW of a socket; else NULL */
	/*
	 * FD_NEW, EXEC, MAP, AREA: the path, put together, without " (deleted)"; or the name of a
	 * file that has no place in the tree; or "". Of other records "". Not necessarily UTF-8.
	 */
	const char *path;
	const uint8_t *stack; /* STACK: its bytes */
	const char *argv;     /* EXEC: words, each with its NUL; else NULL */
	size_t argv_len;
	/* How many records were lost between the event before and this one. */
	uint64_t lost_before;
};

/*
 * Load and attach the programs. From the return on, nothing that happens to a process added is
 * missed. A program whose tracepoint this kernel does not have is left out, see tracing_missing().
 * @ret: owned by the caller, tracing_close(). Untouched on failure.
 * Returns 0 or a negative errno, for the same reasons as loader_open(); -EINVAL: a ring that is
 * too large, or too many names.
 */
int tracing_open(const struct tracing_options *options, struct tracing **ret,
		 struct loader_why *why);
void tracing_close(struct tracing *t); /* NULL is fine */

/*
 * Observe a thread group, by the pid of its leader in our pid namespace, with all the threads that
 * it has, and all that it and they will make. Its state before is a snapshot's affair: one that is
 * begun after the return has no gap to the events. The process of the caller is refused (-EINVAL).
 * Returns 0, or a negative errno: -ESRCH, there is none.
 */
int tracing_add_pid(struct tracing *t, pid_t tgid, struct loader_why *why);
/* The same by a pidfd, which cannot mean another process meanwhile. */
int tracing_add(struct tracing *t, int pidfd, struct loader_why *why);

/*
 * The next event in order: 1 and *ret, or 0 when there is none now, or a negative errno. The place
 * of the event before is given back to the ring.
 */
int tracing_next(struct tracing *t, struct tracing_event *ret);
/*
 * For poll(2): readable when the ring has filled some way. Wake-ups are saved, so a caller who
 * wants events in time calls tracing_next() every now and then without having been woken.
 * Borrowed.
 */
int tracing_fd(const struct tracing *t);
/* Bytes of the ring, and how many of them are filled now. */
size_t tracing_ring_bytes(const struct tracing *t);
size_t tracing_ring_used(const struct tracing *t);

/* Something that is not told: what, and how often (lost) or why (missing). */
struct tracing_lost {
	const char *cause; /* "ring full: fd_new", ... ; static */
	uint64_t count;
	bool whole; /* no record is lost, only something that it could have told */
};

/*
 * What was lost since tracing_open(), by cause; causes that did not occur are left out. The array
 * is the tracing's own, valid until the next call.
 */
size_t tracing_lost(struct tracing *t, const struct tracing_lost **ret);

struct tracing_missing {
	const char *tracepoint; /* which this kernel does not have; static */
	const char *what;	/* that is therefore not seen; static */
	uint64_t types;		/* mask of 1 << enum trace_type: not all of these are told */
};

size_t tracing_missing(const struct tracing *t, const struct tracing_missing **ret);

/*
 * Let the programs recognize a stack: those like it are not copied from now on, and their records
 * have known->id. 0 or a negative errno.
 */
int tracing_know_stack(struct tracing *t, const struct trace_stack_key *key,
		       const struct trace_stack_known *known);
/* No more; records with its id may be on their way. */
void tracing_forget_stack(struct tracing *t, const struct trace_stack_key *key);

#endif
