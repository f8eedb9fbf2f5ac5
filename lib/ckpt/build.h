/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A process under construction. The story of a restore:
 *
 * The restoring process opens every object (files, pipes, ...) itself, high up in its own
 * descriptor table. It then clones a child that has the saved pid, a copy of itself, seizes it, and
 * from there on drives it from outside: batches of system calls, run by a stub in a piece of shared
 * memory (the arena, remote.h). The child throws away the memory it was born with, maps the saved
 * areas at their places and reads its own pages from the image straight into them; it puts the
 * inherited descriptors where they belong and closes the rest; it makes its threads, each with the
 * saved tid, and each thread takes its own attributes. Timed waits are entered anew with the time
 * that was left and interrupted at once, so that the kernel holds the same restart block as before.
 * At the end the arena is unmapped, registers are set from outside, the result is compared with the
 * manifest, and all threads are let go.
 *
 * Until then, the death of the restoring process ends the child (PTRACE_O_EXITKILL).
 */
#ifndef CKPT_BUILD_H
#define CKPT_BUILD_H

#include "areas.h"
#include "core.h"
#include "image.h"
#include "kind.h"
#include "remote.h"
#include "session.h"
#include <signal.h>

/* An area to map, checked. */
struct build_area {
	uint64_t start, end;
	int prot;
	uint64_t flags;	 /* VMF_* */
	uint32_t object; /* 0: anonymous */
	uint64_t offset;
	char *name;	/* owned; NULL: none */
	bool special;	/* vdso, vvar */
	bool has_pages; /* some of its pages are in the core */
};

/* The kernel's struct sigaction. */
struct build_sigaction {
	uint64_t handler, flags, restorer, mask;
};

struct build_thread {
	json_t *json; /* borrowed from the manifest */
	pid_t vtid;   /* as saved */
	pid_t tid;    /* as this process sees it */
	const struct core_thread *core;
};

struct build {
	const struct ckpt_restore_opts *opts;
	struct loader *loader;
	struct image im;
	json_t *task; /* borrowed */
	struct kind_restore kr;
	struct core_file core;
	int pages_fd;
	uint64_t pages_offset;
	struct build_area *area;
	size_t n_areas;
	struct build_thread *thread; /* leader first */
	size_t n_threads;
	struct arena arena;
	int cwd_fd, root_fd, exe_fd; /* high descriptors, inherited by the child */
	int self_fd; /* the same: pidfd of this process, from whom the child gets late objects */
	pid_t vpid, pid;   /* saved, and as seen here */
	pid_t ns_init;	   /* --new-pidns: the init of the new namespace, else 0 */
	int ns_hold_fd;	   /* open: the namespace's init stays, even if it is empty */
	bool made;	   /* the child exists */
	json_t *inherited; /* owned: "cred" and "sched" of this process, which the child has anyway
			    */
	struct build_sigaction sigtrap; /* set last: the stub's trap needs the default */
	int64_t monotonic_ns, realtime_ns, boottime_ns; /* clocks when it was frozen */
};

/* build_task.c: the child and its attributes. */
int build_choose_arena(struct build *b, struct ckpt_err **err);
int build_clone(struct build *b, struct ckpt_err **err);
int build_files(struct build *b, struct ckpt_err **err);
int build_threads(struct build *b, struct ckpt_err **err);
int build_process(struct build *b, struct ckpt_err **err);
int build_thread_attributes(struct build *b, struct build_thread *t, struct ckpt_err **err);
void build_kill(struct build *b);

/* Has the thread this member ("cred", "sched") from the restoring process already? */
bool build_inherits(const struct build *b, const struct build_thread *t, const char *member);

/* build_cred.c */
int build_cred(struct build *b, struct build_thread *t, struct ckpt_err **err);

/* build_mem.c: areas and pages. */
int build_areas_parse(struct build *b, struct ckpt_err **err);
void build_areas_done(struct build *b);
int build_memory(struct build *b, struct ckpt_err **err);

/* build_time.c: timers, and waits under way. */
int build_timers(struct build *b, struct ckpt_err **err);
/* Is this pending signal one that a timer will queue itself, once build_timers() has armed it? */
bool build_timer_queues(const struct build *b, const siginfo_t *si);
int build_enter_wait(struct build *b, struct build_thread *t, struct ckpt_err **err);

/* Room in the arena, running what is queued when there is too little. */
int build_room(struct build *b, pid_t tid, size_t ops, size_t data, struct ckpt_err **err);

#endif
