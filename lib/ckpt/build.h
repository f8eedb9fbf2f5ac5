/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processes under construction. The story of a restore:
 *
 * The restoring process opens every object (files, pipes, ...) itself, high up in its own
 * descriptor table. It then clones a child that has the pid of the tree's root, a copy of itself,
 * seizes it, and from there on drives it from outside: batches of system calls, run by a stub in a
 * piece of shared memory (the arena, remote.h). The root makes its children by such calls, and they
 * theirs, in the order of the plan (plan.h); all of them have the arena at the same place, and one
 * is driven after the other. A process throws away the memory it was born with, but for pages that
 * it has from its parent, maps the saved areas at their places and reads its own pages from the
 * image straight into them. When the whole tree stands, each puts the inherited descriptors where
 * they belong and closes the rest; it makes its threads, each with the saved tid, and each thread
 * takes its own attributes. Timed waits are entered anew with the time that was left and
 * interrupted at once, so that the kernel holds the same restart block as before. At the end the
 * arena is unmapped, registers are set from outside, the result is compared with the manifest, and
 * all threads are let go.
 *
 * Until then, the death of the restoring process ends all of them (PTRACE_O_EXITKILL).
 */
#ifndef CKPT_BUILD_H
#define CKPT_BUILD_H

#include "areas.h"
#include "core.h"
#include "image.h"
#include "inherit.h"
#include "kind.h"
#include "meet.h"
#include "plan.h"
#include "remote.h"
#include "renumber.h"
#include "session.h"
#include <sched.h>
#include <signal.h>

/* An area to map, checked. */
struct build_area {
	uint64_t start, end;
	int prot;
	uint64_t flags;	 /* VMF_* */
	uint32_t object; /* 0: anonymous */
	uint64_t offset;
	char *name; /* owned; NULL: none */
	struct rec_mempolicy mempolicy;
	bool has_mempolicy;
	bool bound;	/* born with the NUMA policy of the parent's area */
	bool special;	/* vdso, vvar, or a ring: */
	bool aio;	/* of io_setup(2) */
	bool attached;	/* a part of a System V segment, in place by now */
	bool has_pages; /* some of its pages are in the core */
	bool kept;	/* the whole is there from birth, as a copy of the parent's */
};

/* The kernel's struct sigaction. */
struct build_sigaction {
	uint64_t handler, flags, restorer, mask;
};

/* How the tasks under construction are traced. */
#define TRACE_BUILD (PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)

struct build_thread {
	json_t *json; /* borrowed from the manifest */
	pid_t vtid;   /* as saved */
	pid_t tid;    /* as this process sees it */
	const struct core_thread *core;
	bool ended; /* the leader of a process that goes on without it */
};

struct restore;

/* One process. */
struct build {
	struct restore *r; /* borrowed */
	json_t *task;	   /* borrowed from the manifest */
	bool zombie;
	struct build *parent; /* NULL: the root's */
	struct build *maker; /* whose pages it can be born with (plan_makers()); NULL: the root's */
	/* In whose row it stands, who sets it up for all: itself unless it is shared. */
	struct build *mm_owner, *files_owner, *fs_owner, *sighand_owner;
	struct core_file core; /* its descriptor is open only while pages are read */
	int pages_fd;	       /* in the process's table */
	uint64_t pages_offset;
	struct build_area *area;
	size_t n_areas;
	struct inherited inherited;
	struct build_thread *thread; /* leader first */
	size_t n_threads;
	pid_t vpid, pid;       /* saved, and as seen here */
	bool made;	       /* it exists */
	bool has_memory;       /* and is complete in memory: children are copies of that */
	struct build *copy_of; /* with whose memory it was born, NULL: with none but the arena */
	unsigned int n_told;   /* children of which it was told while it was built */
	struct build_sigaction sigtrap; /* set last: the stub's trap needs the default */
	bool has_files;			/* its table is as it shall be */
	bool is_leaf;			/* it makes no process */
	bool filled_later;
	size_t fill_job;
};

/* What the root is born with from the restoring process, and all others from it. */
#define BUILD_NO_LOGINUID UINT32_MAX

struct build_born {
	json_t *rows; /* owned: "cred" and "sched" */
	int32_t oom_score_adj;
	uint32_t coredump_filter, loginuid;
};

/*
 * While the tree is built, one process runs at a time, this one or one of the tree: on one CPU, the
 * next is woken there at once, while another would have to be called out of its idle state.
 */
struct build_pin {
	bool set;
	cpu_set_t before;
};

void build_pin(struct build_pin *p);
/* Undo it; of a thread of this process other than the one that was pinned, too. */
void build_unpin(const struct build_pin *p);

/* The whole. */
struct restore {
	const struct ckpt_restore_opts *opts;
	const struct ckpt_session *session; /* borrowed: for its progress */
	struct loader *loader;
	struct image im;
	struct renumber numbers;
	struct kind_restore kr;
	struct arena arena;
	struct plan plan;
	struct build *proc; /* in the order of the manifest: root first */
	size_t n_procs;

	struct build_helper {
		pid_t pid;  /* as seen here, 0: not there (any more) */
		pid_t vpid; /* as the tree sees it */
		struct build *copy_of;
	} * helper;

	struct restore_met {
		struct meeting m;
		struct build *b;
		bool stop; /* it was stopped when it was asked */
	} * met;	   /* owned: processes with libcr */

	size_t n_met;
	int self_fd;	  /* pidfd of this process, in all tasks: they take objects through it */
	int *in_tasks_fd; /* owned: sorted, the descriptors that all tasks are born with */
	size_t n_in_tasks, n_moved_up; /* of them, not only reserved */
	pid_t ns_init;		       /* --new-pidns: the init of the new namespace, else 0 */
	uint32_t pid_ns_inum;	       /* of that namespace */
	int numa;		       /* NUMA policies are in use: 1 yes, -1 no, 0 not known yet */
	int ns_hold_fd;		       /* open: the namespace's init stays, even if it is empty */
	struct build_born born;
	struct build_pin pin;
	struct build_filler *filler; /* owned; NULL: nothing was left to it yet */

	struct sysv_made {
		bool queue; /* or a semaphore set */
		int32_t id;
	} * sysv_made; /* owned */

	size_t n_sysv_made;
	int64_t monotonic_ns, realtime_ns, boottime_ns; /* clocks when it was frozen */
};

/*
 * build_read.c: the processes of r->im, with their threads, areas, tables of pages, and whose pages
 * they have; what they say of each other fits. build_read_done() on failure, too.
 */
int build_read(struct restore *r, struct ckpt_err **err);
/* The core file of a process, by the name that the image has for it. */
int build_open_core(const struct build *b, int *ret_fd, struct ckpt_err **err);
void build_read_done(struct restore *r);

/* build_tree.c: births, zombies, helpers. */
int tree_build(struct restore *r, struct ckpt_err **err);
void tree_kill(struct restore *r);
/* End a process under construction as it ended: it will be a zombie. */
int build_zombies(struct restore *r, struct ckpt_err **err);

/* build_root.c: the root, a child of this process. */
int build_choose_arena(struct restore *r, struct ckpt_err **err);
int build_root(struct build *b, struct ckpt_err **err);

/* build_task.c, build_thread.c: what is left when all processes exist. */
/* By a thread, as an object of the manifest says: its process's row, or what the thread alone has.
 */
int build_fs(struct build *b, pid_t tid, const json_t *o, struct ckpt_err **err);
/* Both of a process, where they are in its row; queued, unless another shares them. */
int build_fs_files(struct build *b, struct ckpt_err **err);

/* build_files.c: all objects opened; and in tasks, what they are born with, and what they have. */
int build_objects(struct restore *r, struct ckpt_err **err);
void build_objects_done(struct restore *r);
/* Queue to close all but what is to be in tasks. */
int build_keep_in_tasks(struct build *b, pid_t tid, struct ckpt_err **err);
/* Queue what makes the table. */
int build_files(struct build *b, pid_t tid, const json_t *o, struct ckpt_err **err);
/* Take a descriptor of this process's table into the task's; *ret: its number there. */
int build_take_fd(struct build *b, pid_t tid, int ours, int *ret, struct ckpt_err **err);

/* build_leader.c: let a leader end that had ended; another thread makes the last calls. */
int build_end_leader(struct build *b, struct ckpt_err **err);

/* build_tables.c: what threads alone have, and later the locks in their tables. */
int build_tables(struct build *b, struct ckpt_err **err);
int build_tables_locks(struct build *b, struct ckpt_err **err);

/* Learn what the root will be born with. */
int build_read_born(struct restore *r, const struct snapshot *s, struct ckpt_err **err);

/*
 * What is left of a process that has its descriptors, but for its threads. The last of it is queued
 * for the leader only: what the leader does next goes with it.
 */
int build_process(struct build *b, struct ckpt_err **err);
/* Queue what takes the locks and leases of the process; then, once that ran, break again the leases
 * that were being broken. */
int build_queue_locks(struct build *b, pid_t tid, const json_t *owner, struct ckpt_err **err);
int build_break_leases(const struct build *b, const json_t *owner, struct ckpt_err **err);
bool build_has_locks(const json_t *owner);
/* *ret: 0 or 1, what PR_SET_DUMPABLE is to be told; 2: nothing. */
int build_dumpable(const struct build *b, uint32_t *ret, struct ckpt_err **err);
int build_thread_attributes(struct build *b, struct build_thread *t, struct ckpt_err **err);
/* The last calls of a process, the stop of a stopped one, and the registers of all its threads. */
int build_finish(struct build *b, struct ckpt_err **err);

/* Has the thread this member ("cred", "sched") from the restoring process already? */
bool build_inherits(const struct build *b, const struct build_thread *t, const char *member);

/* Let the thread b->thread[maker] make others, b->thread[which[]], and wait for them. */
int build_clone_threads(struct build *b, size_t maker, const size_t *which, size_t n,
			struct ckpt_err **err);

/* build_seccomp.c: all threads, with their filters. */
int build_threads(struct build *b, struct ckpt_err **err);

/* build_attrs.c: rarer attributes; NUMA policies before there is memory, the login id before the
 * root directory is another. */
int build_numa(struct build *b, struct ckpt_err **err);
int build_area_numa(struct build *b, const struct build_area *area, struct ckpt_err **err);
int build_loginuid(struct build *b, struct ckpt_err **err);
int build_attrs(struct build *b, const struct build_thread *t, struct ckpt_err **err);
/* The last that is done to a thread: its system calls are caught from then on. */
int build_dispatch(const struct build_thread *t, struct ckpt_err **err);

/* build_cred.c */
int build_cred(struct build *b, struct build_thread *t, struct ckpt_err **err);

/*
 * build_tty.c: controlling terminals. A session's leader takes it as soon as it has made the
 * session: its children have it from their birth, and cannot get it otherwise.
 */
int build_tty_take(struct build *b, struct ckpt_err **err);
/* When all processes and groups exist: the foreground; and away with it where one gave it up. */
int build_tty_all_there(struct build *b, struct ckpt_err **err);

/* build_mem.c: areas and pages. */
int build_areas_parse(struct build *b, struct ckpt_err **err);
/* Once the areas of all are known. */
int build_check_inherited(struct build *b, struct ckpt_err **err);
void build_areas_done(struct build *b);
/* Away with the memory that the root was born with. */
int build_empty(struct build *b, struct ckpt_err **err);
int build_memory(struct build *b, struct ckpt_err **err);
/* What build_memory() left for later, if anything: the last of it is queued for the leader. */
int build_memory_rest(struct build *b, struct ckpt_err **err);
int build_fill_small(struct build *b, struct ckpt_err **err);

/* build_fill.c: the pages of a small process, by another thread. False: they cannot be left to it.
 */
bool build_fill_later(struct build *b);
int build_fill_wait(struct build *b, struct ckpt_err **err);
void build_fill_stop(struct restore *r);

/* What would be in the way of children that are born as copies: seals. */
int build_seal_memory(struct build *b, struct ckpt_err **err);

/* build_ipc.c */
/* Attach the segments of shmat(2), before anything else is mapped. */
int build_attach_segments(struct build *b, struct ckpt_err **err);

/* Who waits by mq_notify(3), once descriptors are in place. */
int build_mq_notify(struct build *b, struct ckpt_err **err);

/* build_sysv.c: System V semaphores and message queues, and who has to do with them. */
int build_sysv(struct restore *r, struct ckpt_err **err);
/* The restore failed: away with those that were made. */
void build_sysv_undo(struct restore *r);

/* build_aio.c */
/* Contexts of io_setup(2), when all other memory is mapped. */
int build_aio(struct build *b, struct ckpt_err **err);

/* build_time.c: timers, and waits under way. */
int build_timers(struct build *b, struct ckpt_err **err);
/* Is this pending signal one that a timer will queue itself, once build_timers() has armed it? */
bool build_timer_queues(const struct build *b, const siginfo_t *si);
/* Does this row, the process's or a thread's, have such a signal pending? */
bool build_is_pending(const json_t *o, int signo);
/* Will the process, once it has its actions, ignore this signal? */
bool build_ignores(const struct build *b, int signo);
int build_enter_wait(struct build *b, struct build_thread *t, struct ckpt_err **err);

/* prove.c: is what was built what the image says? */
int prove(struct restore *r, struct ckpt_err **err);

/* meet_again.c: callbacks of programs with libcr. Before all go on; and when they do. On failure of
 * the second all have been killed. */
int meet_again_tell(struct restore *r, struct ckpt_err **err);
int meet_again_wait(struct restore *r, struct ckpt_err **err);

/* Room in the arena, running what is queued when there is too little. */
int build_room(struct build *b, pid_t tid, size_t ops, size_t data, struct ckpt_err **err);

#endif
