/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libebpf-ckpt: checkpoint a running Linux process to a directory (an image), and restore it.
 *
 * Conventions of every call:
 *  - int-returning calls give 0 (or a count) on success and a negative errno on failure;
 *  - the last argument `struct ckpt_err **err` may be NULL; it is untouched on success and set on
 *    failure to a chain of causes that the caller releases with ckpt_err_free();
 *  - results go to `ret` arguments, untouched on failure;
 *  - nothing is printed, nothing exits; all descriptors are close-on-exec;
 *  - a `struct ckpt_session` belongs to one thread at a time; any number of sessions may exist.
 */
#ifndef EBPF_CKPT_H
#define EBPF_CKPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The library is built with everything hidden but what is declared here. */
#pragma GCC visibility push(default)

#define EBPF_CKPT_VERSION "0.1.0"

/* ---- errors ---------------------------------------------------------------------------------- */

/*
 * Stable codes of failures: X(code, exit status of the command, default sentence, default hint).
 * Exit status 1: failed; 2: wrong usage; 3: this process cannot be checkpointed.
 */
#define CKPT_CODES(X)                                                                              \
	X(CKPT_E_OK, 0, "no error", "")                                                            \
	X(CKPT_E_SYS, 1, "a system call failed", "")                                               \
	X(CKPT_E_NOMEM, 1, "out of memory", "free some memory and try again")                      \
	X(CKPT_E_USAGE, 2, "wrong usage", "see ebpf-ckpt help")                                    \
	X(CKPT_E_NO_PROCESS, 1, "no such process", "")                                             \
	X(CKPT_E_PRIVILEGE, 1, "not enough privilege", "run as root")                              \
	X(CKPT_E_KERNEL, 1, "this kernel lacks something needed", "see ebpf-ckpt check")           \
	X(CKPT_E_BPF, 1, "the eBPF programs cannot be used", "see ebpf-ckpt check")                \
	X(CKPT_E_SELF, 3, "a process cannot checkpoint itself or its caller", "")                  \
	X(CKPT_E_KTHREAD, 3, "kernel threads cannot be checkpointed", "")                          \
	X(CKPT_E_ZOMBIE, 3, "the process has ended already", "")                                   \
	X(CKPT_E_TRACED, 3, "another program traces the process", "detach that program first")     \
	X(CKPT_E_TRACER, 3, "the process traces another one", "let it detach first")               \
	X(CKPT_E_COMPAT32, 3, "32-bit processes cannot be checkpointed", "")                       \
	X(CKPT_E_UNSUPPORTED, 3, "the process holds a resource that cannot be checkpointed", "")   \
	X(CKPT_E_CALLBACK, 1, "a callback of the program refused", "")                             \
	X(CKPT_E_NO_ANSWER, 1, "the program did not answer in time", "")                           \
	X(CKPT_E_BUSY, 1, "another checkpoint is under way", "try again when it is done")          \
	X(CKPT_E_NO_LIBRARY, 3, "the program has no checkpoint library loaded",                    \
	  "ebpf-ckpt attach needs none")                                                           \
	X(CKPT_E_CHANGING, 1, "the process changed faster than it could be frozen", "try again")   \
	X(CKPT_E_GONE, 1, "the process ended during the checkpoint", "")                           \
	X(CKPT_E_REMOTE, 1, "a system call made in the process failed", "")                        \
	X(CKPT_E_OUTPUT, 1, "the image cannot be written", "")                                     \
	X(CKPT_E_EXISTS, 1, "the image exists already", "choose another directory")                \
	X(CKPT_E_INTERRUPTED, 1, "interrupted", "")                                                \
	X(CKPT_E_IMAGE, 1, "the image is damaged or not an image", "")                             \
	X(CKPT_E_IMAGE_VERSION, 1, "the image needs something this version does not know", "")     \
	X(CKPT_E_PID_TAKEN, 1, "the pid is in use", "end that process, or use --new-pidns")        \
	X(CKPT_E_FILE_GONE, 1, "a file that the process needs is gone", "put the file back")       \
	X(CKPT_E_FILE_CHANGED, 1, "a file changed since the checkpoint",                           \
	  "put the old file back, or use --allow-changed")                                         \
	X(CKPT_E_MACHINE, 1, "this machine lacks something that the process needs", "")            \
	X(CKPT_E_LIMIT, 1, "a limit is in the way", "")                                            \
	X(CKPT_E_RESTORE, 1, "the process could not be rebuilt", "")                               \
	X(CKPT_E_DIFFERENT, 1, "the restored process differs from the image",                      \
	  "please report this")                                                                    \
	X(CKPT_E_DIED, 1, "the restored process died before it could go on", "")

enum ckpt_code {

#define CKPT_CODE_ENUM(code, status, sentence, hint) code,
	CKPT_CODES(CKPT_CODE_ENUM)
#undef CKPT_CODE_ENUM
		CKPT_E_NR
};

struct ckpt_err;

/* The outermost link's sentence; never NULL. */
const char *ckpt_err_text(const struct ckpt_err *e);
/* What to do about it, from the innermost link that knows; "" when nobody knows. */
const char *ckpt_err_hint(const struct ckpt_err *e);
/* The next inner cause, or NULL. Borrowed. */
const struct ckpt_err *ckpt_err_cause(const struct ckpt_err *e);
/* The innermost link's code, its name ("CKPT_E_PID_TAKEN"), and errno (positive). */
enum ckpt_code ckpt_err_code(const struct ckpt_err *e);
const char *ckpt_code_name(enum ckpt_code code);
const char *ckpt_code_sentence(enum ckpt_code code);
const char *ckpt_code_hint(enum ckpt_code code);
int ckpt_code_exit_status(enum ckpt_code code);
int ckpt_err_errno(const struct ckpt_err *e);
/* The exit status a command should end with: 1, 2 or 3. */
int ckpt_err_exit_status(const struct ckpt_err *e);
void ckpt_err_free(struct ckpt_err *e); /* NULL is fine */

/* ---- session --------------------------------------------------------------------------------- */

struct ckpt_session;

/*
 * How far a long step is. Called from the thread that made the call, a few times a second.
 * Return non-zero to give up: the call undoes everything and fails with CKPT_E_INTERRUPTED.
 */
typedef int ckpt_progress_fn(void *userdata, const char *stage, uint64_t done_bytes,
			     uint64_t total_bytes);

int ckpt_session_new(struct ckpt_session **ret, struct ckpt_err **err);
void ckpt_session_free(struct ckpt_session *s); /* NULL is fine */
void ckpt_session_set_progress(struct ckpt_session *s, ckpt_progress_fn *fn, void *userdata);

/* One timed stage of a dump or a restore. */
struct ckpt_stage {
	const char
		*name; /* static: "look", "freeze", "take", "fork", "thaw", "write", "seal", ... */
	uint64_t us;
};

#define CKPT_STAGES_MAX 16

/* ---- checkpoint ------------------------------------------------------------------------------ */

/* What becomes of the process once its image is sealed (CKPT_AFTER_*). */
enum ckpt_after {
	CKPT_AFTER_RUN = 0, /* goes on (a stopped one stays stopped) */
	CKPT_AFTER_STOP,    /* left stopped, as by SIGSTOP */
	CKPT_AFTER_KILL,    /* ended by SIGKILL, only after the image is durable */
	CKPT_AFTER_CONT,    /* goes on, and SIGCONT if it was stopped */
};

/*
 * What the callbacks of programs that have libcr loaded are told, and how they are waited for.
 * Others are saved without being asked.
 */
struct ckpt_callbacks {
	pid_t requester, target; /* requester 0: the caller */
	int scope;		 /* cr_scope_t of <libcr.h> */
	int signal;		 /* sent to all when their callbacks have ended; 0: none */
	const char *dest;	 /* what they are told about where it goes; NULL: nothing */
	unsigned int timeout_ms; /* until all of them have come to cr_checkpoint(); 0: no limit */
	bool required;		 /* fail where a process has no library (CKPT_E_NO_LIBRARY) */
	bool none;		 /* ask nobody */
	bool not_requester;	 /* the requester is not to be saved by the word of a callback */
	/* Called once, when all have been asked, in the process that does the work; or NULL. */
	void (*asked)(void *userdata);
	/* Called there when the image is sealed, before signals are sent. 0, or a negative errno:
	 * they are not. May be NULL. */
	int (*sealed)(void *userdata, struct ckpt_err **err);
	void *userdata;
};

/* Mapped files whose contents are saved with the image; a bit set. */
enum ckpt_mapped {
	CKPT_MAPPED_EXE = 1,	 /* the executables of the processes */
	CKPT_MAPPED_PRIVATE = 2, /* what is mapped privately: libraries, and executables again */
	CKPT_MAPPED_SHARED = 4,	 /* what is mapped shared */
	CKPT_MAPPED_ALL = 7,
};

struct ckpt_dump_opts {
	size_t size;	    /* sizeof(struct ckpt_dump_opts) */
	pid_t pid;	    /* thread group leader, caller's pid namespace */
	const char *output; /* directory to make; must not exist, or be empty */
	enum ckpt_after after;
	bool only;   /* this process alone, not the tree of its children */
	bool frozen; /* write while frozen, without a copy-on-write twin */
	bool compress;
	int compress_level;	      /* zstd level, 0: default (1) */
	uint64_t deleted_limit_bytes; /* contents of unlinked files saved up to this; 0: 64 MiB */
	/* CKPT_MAPPED_*: with these files, a restore needs no longer that they are what they were
	 */
	unsigned int save_mapped;
	bool ext_unix; /* connections of unix sockets to outside are made anew at the restore */
	struct ckpt_callbacks callbacks;
	/* Processes that are left out, with their descendants; one of them may be the caller, whose
	 * ancestors can be checkpointed then. */
	const pid_t *omit;
	size_t n_omit;
	/* Further processes that go into the same image, with their children unless `only`: for
	 * instance those of a pipeline. None is a descendant of another, or of `pid`. */
	const pid_t *more;
	size_t n_more;
};

struct ckpt_dump_result {
	pid_t pid;
	unsigned int n_tasks, n_threads;
	uint64_t image_bytes;  /* on disk */
	uint64_t memory_bytes; /* pages saved */
	uint64_t pause_us, total_us;
	size_t n_stages;
	struct ckpt_stage stages[CKPT_STAGES_MAX];
};

/*
 * Checkpoint a process and its children, and theirs. The image exists whole and durable when this
 * returns 0, and not at all otherwise. On failure they run on untouched, whatever `after` says.
 */
/* What the name of several processes may be. The numbers are those of cr_scope_t of <libcr.h>. */
enum ckpt_scope_kind {
	CKPT_SCOPE_PROCESS = 0,
	CKPT_SCOPE_GROUP = 1, /* process group */
	CKPT_SCOPE_SESSION = 2,
	CKPT_SCOPE_TREE = 3, /* a process and its descendants */
};

#define CKPT_SKIP_TRACED  0x1 /* leave out who is being traced */
#define CKPT_SKIP_TRACERS 0x2 /* leave out who traces others */

/*
 * Processes for struct ckpt_dump_opts: root[0] is `pid`, the others are `more`. With
 * CKPT_SCOPE_PROCESS, `only` is to be set, too. Owned by the caller, ckpt_scope_free().
 */
struct ckpt_scope {
	pid_t *root;
	size_t n_roots;
	pid_t *omit;
	size_t n_omit;
};

/*
 * Find the processes of a scope as the kernel has them now, zombies apart: the trees of its members
 * that do not descend from other members, without what does not belong to it.
 * skip: mask of CKPT_SKIP_*. With one of them, somebody who is traced, or traces, and is not to be
 * left out, is an error at once.
 * Returns 0, or a negative errno: -ESRCH (CKPT_E_NO_PROCESS), -EBUSY (CKPT_E_TRACED).
 */
int ckpt_scope_find(struct ckpt_session *s, enum ckpt_scope_kind kind, pid_t target,
		    unsigned int skip, struct ckpt_scope *ret, struct ckpt_err **err);
void ckpt_scope_free(struct ckpt_scope *scope);

int ckpt_dump(struct ckpt_session *s, const struct ckpt_dump_opts *opts,
	      struct ckpt_dump_result *ret, struct ckpt_err **err);

/* ---- restore --------------------------------------------------------------------------------- */

/* Paths equal to `from`, or below it, are restored as of `to`. Both absolute, no slash at the end.
 */
struct ckpt_relocation {
	const char *from, *to;
};

struct ckpt_restore_opts {
	size_t size; /* sizeof(struct ckpt_restore_opts) */
	const char *image;
	bool detach; /* the restored process becomes a child of init (or of the next subreaper) */
	bool new_pidns; /* in a pid namespace of its own */
	/*
	 * Any pids and tids that are free, instead of the saved ones. Programs that keep such
	 * numbers in their memory keep the old ones there; the C library does, for
	 * pthread_kill(3) and for mutexes that know their owner.
	 */
	bool new_pids;
	bool own_session; /* all in the caller's session, none in one of its own */
	bool own_group;	  /* all in the caller's process group, or that of their session's leader */
	bool old_groups;  /* process groups keep their numbers, whatever pids are */
	bool allow_changed; /* files may differ from what they were */
	/* Of files, directories, executables: the first that fits is applied. */
	const struct ckpt_relocation *relocate;
	size_t n_relocate;
	/* For the callbacks of programs that have libcr loaded. */
	bool sibling;	    /* the first becomes a child of the caller's parent (CLONE_PARENT) */
	pid_t requester;    /* 0: the caller */
	int signal;	    /* sent to all when their callbacks have ended; negative: before */
	const char *source; /* where it was restarted from; NULL: the image */
	unsigned int timeout_ms; /* until all of them have ended; 0: no limit */
};

struct ckpt_restore_result {
	pid_t pid; /* of the root task in the caller's pid namespace; its child unless detach */
	unsigned int n_tasks, n_threads;
	uint64_t memory_bytes;
	uint64_t total_us;
	size_t n_stages;
	struct ckpt_stage stages[CKPT_STAGES_MAX];
};

/*
 * Restore the process of an image. On success it runs (or is stopped, if it was). On failure
 * nothing is left of it. Without `detach` the caller is its parent and must wait for it.
 */
int ckpt_restore(struct ckpt_session *s, const struct ckpt_restore_opts *opts,
		 struct ckpt_restore_result *ret, struct ckpt_err **err);

/* ---- questions ------------------------------------------------------------------------------- */

enum ckpt_verdict { CKPT_YES, CKPT_NO, CKPT_NOTE };

/* One row of a check. All strings are owned by the findings. */
struct ckpt_finding {
	enum ckpt_verdict verdict;
	pid_t pid;     /* of the process that has it; 0: the machine, or the tree as a whole */
	char *subject; /* "fd 7", "memory 7f00...-7f01...", "thread 412", "eBPF iterators" */
	char *what;    /* what it is, for a person: "pipe, 4096 bytes in it" */
	char *why;     /* reason of a no, or a note; "" otherwise */
	char *remedy;  /* "" when there is none */
};

struct ckpt_findings {
	struct ckpt_finding *row;
	size_t n;
	size_t n_no;
};

/* Can this machine checkpoint and restore? Never fails for a missing feature: that is a row. */
int ckpt_check_machine(struct ckpt_session *s, struct ckpt_findings **ret, struct ckpt_err **err);
/* Can this process be checkpointed, with its children unless `only`: one row per resource. */
int ckpt_check_process(struct ckpt_session *s, pid_t pid, bool only, struct ckpt_findings **ret,
		       struct ckpt_err **err);
void ckpt_findings_free(struct ckpt_findings *f); /* NULL is fine */

/* Is the image whole: seal, checksums of every file and every page run, sane manifest. */
int ckpt_verify(struct ckpt_session *s, const char *image, struct ckpt_err **err);
/* A person's view of the image, written to `out`; json: the manifest, pretty-printed. */
int ckpt_show(struct ckpt_session *s, const char *image, bool json, FILE *out,
	      struct ckpt_err **err);
/* A plain (uncompressed) ELF core file of one process of the image, written to descriptor `out_fd`.
 */
int ckpt_show_core(struct ckpt_session *s, const char *image, pid_t pid, int out_fd,
		   struct ckpt_err **err);

/*
 * The files of an image as one stream, a tar archive, to a descriptor; and back, to a directory
 * that is made, or empty.
 */
int ckpt_pack(const char *image, int out_fd, struct ckpt_err **err);
int ckpt_unpack(int in_fd, const char *image, struct ckpt_err **err);

/* ---- observe --------------------------------------------------------------------------------- */

/*
 * What happens to processes and their resources, event by event, and a ledger of what there is. See
 * ebpf-ckpt-observe(5) for the events and their members.
 */
struct ckpt_observe;

/* What an event tells: a tree of named values. Nothing of it outlives the call that it is given to.
 */
enum ckpt_value_type {
	CKPT_VALUE_TEXT,   /* bytes as the kernel has them: any but NUL */
	CKPT_VALUE_INT,	   /* i */
	CKPT_VALUE_UINT,   /* u */
	CKPT_VALUE_HEX,	   /* u, an address; in JSON a string: "0x7f0000000000" */
	CKPT_VALUE_BOOL,   /* u */
	CKPT_VALUE_ARRAY,  /* member[n], without names */
	CKPT_VALUE_OBJECT, /* member[n] */
};

struct ckpt_member {
	const char *name; /* static */
	enum ckpt_value_type type;

	union {
		const char *text;
		int64_t i;
		uint64_t u;
		const struct ckpt_member *member;
	};

	size_t n; /* of arrays and objects */
};

struct ckpt_event {
	const char *name; /* static: "fd_new", "exit", ... */
	uint64_t time_ns; /* CLOCK_MONOTONIC */
	pid_t pid, tid;	  /* 0: of no process ("start", "lost", "audit") */
	const char *comm; /* of the thread; "" where there is none */
	const char *kind; /* of the descriptor that it is about; NULL: it is about none */
	uint64_t cgroup;  /* id of the process's cgroup; 0: not known */
	const struct ckpt_member *member; /* all others, in their order */
	size_t n;
};

/* NULL: it has none of this name. */
const struct ckpt_member *ckpt_event_member(const struct ckpt_event *e, const char *name);

/* Not 0: stop here; ckpt_observe_next() returns it. */
typedef int ckpt_event_fn(void *userdata, const struct ckpt_event *e);

struct ckpt_observe_opts {
	size_t size;	   /* sizeof(struct ckpt_observe_opts) */
	const pid_t *pids; /* these, with the children that they have and will have */
	size_t n_pids;
	const char *name; /* and every process of this name, now or later; may be NULL */
	const char
		*cgroup; /* and those of this cgroup and below: a directory in cgroupfs; or NULL */
	bool stacks;	 /* which calls in the program made what it has */
	uint64_t ring_bytes; /* between kernel and us; 0: 16 MiB */
	bool all;	     /* every process of the machine but this one */
	/* Only lives of tasks and descriptors: no signals, timers, locks, connections, and, without
	 * stacks, no memory areas. It costs what is observed less. */
	bool descriptors_only;
};

/*
 * Begin. What happens from the return of this call on is told, and what there was at that moment is
 * in the ledger. *ret is for ckpt_observe_close().
 */
int ckpt_observe_open(struct ckpt_session *s, const struct ckpt_observe_opts *opts,
		      struct ckpt_observe **ret, struct ckpt_err **err);
/* Becomes readable when there is something for ckpt_observe_next(). */
int ckpt_observe_fd(const struct ckpt_observe *o);
/*
 * Hand over what has happened, up to a limit that keeps the caller answering; never waits. Returns
 * the number of records that were taken, 0: there are none now; or what `fn` returned, if that is
 * not 0; a negative errno with err set: it cannot go on.
 */
int ckpt_observe_next(struct ckpt_observe *o, ckpt_event_fn *fn, void *userdata,
		      struct ckpt_err **err);
/* Processes that are observed and live. */
size_t ckpt_observe_living(const struct ckpt_observe *o);
/*
 * Compare the ledger with the kernel: hands over what has happened until then, and the event
 * "audit" at last. *ret_balanced may be NULL.
 */
int ckpt_observe_audit(struct ckpt_observe *o, ckpt_event_fn *fn, void *userdata,
		       bool *ret_balanced, struct ckpt_err **err);
void ckpt_observe_close(struct ckpt_observe *o); /* NULL is fine */

/*
 * Offer what is known of descriptors to ckpt_check_process() and ckpt_dump() of the same user, who
 * add to their refusals where a descriptor comes from. Returns a descriptor, borrowed, that becomes
 * readable when somebody asks: ckpt_observe_serve() then. A negative errno: it cannot be done.
 */
int ckpt_observe_offer(struct ckpt_observe *o, struct ckpt_err **err);
void ckpt_observe_serve(struct ckpt_observe *o); /* never waits */
/*
 * The same, as the one tracer of the machine that "ebpf-ckpt load --trace" keeps running; target:
 * what it traces, in words. CKPT_E_BUSY: there is one.
 */
int ckpt_observe_keep(struct ckpt_observe *o, const char *target, struct ckpt_err **err);

/* What the tracer of the machine says of itself. */
struct ckpt_tracer {
	pid_t pid;    /* 0: it is not in our pid namespace */
	bool answers; /* it did in time; all that follows is 0 otherwise */
	bool same;    /* it is of this version */
	char target[1024];
	uint64_t since_ns; /* CLOCK_MONOTONIC */
	uint64_t processes, events, lost;
	uint64_t audit_ns; /* when it compared its ledger with the kernel last; 0: not yet */
	bool balanced;	   /* and that it balanced then */
};

/* 1 and *ret; 0: there is none (or none that we may ask); or a negative errno. */
int ckpt_tracer_find(struct ckpt_tracer *ret, struct ckpt_err **err);
/* End it, and wait until it has ended. 1: done; 0: there was none; or a negative errno. */
int ckpt_tracer_stop(struct ckpt_err **err);

/* The ledger, read between calls of ckpt_observe_next(). All borrowed, good until the next one. */

struct ckpt_observed_kind {
	const char *name; /* "regular", "tcp", ...; "area", "timer", "lock", "thread" */
	/* open = inherited + made - closed; inherited: there before us, or got by fork */
	uint64_t inherited, made, closed, open, peak;
};

struct ckpt_observed_process {
	pid_t pid, ppid;
	const char *comm;
	bool known;		    /* it was there before us */
	bool ended;		    /* those are kept a while, then folded into one without a pid */
	uint64_t start_ns, end_ns;  /* CLOCK_MONOTONIC; start 0: before us */
	int exit_code, exit_signal; /* when ended */
	unsigned int threads;
	uint64_t events;
	uint64_t area_bytes;
	uint64_t signals;  /* delivered to it */
	uint64_t n_folded; /* ended processes that this row stands for; 0: it is one */
	const struct ckpt_observed_kind *kind; /* those of which there ever was one */
	size_t n_kinds;
};

/* Of one signal, over all processes. Times from when it was sent to when a thread took it. */
struct ckpt_observed_signal {
	int signo;
	const char *name;
	uint64_t generated, delivered, ignored, pending, lost, blocked;
	uint64_t timed;			    /* of those delivered */
	uint64_t median_ns, p99_ns, max_ns; /* all 0: none was timed */
};

/* Descriptors that were made while we looked and are open still, by where they were made. */
struct ckpt_observed_leak {
	pid_t pid;
	const char *comm, *kind, *by; /* by: the system call that made them */
	const char *example;	      /* path of one of them */
	const char *stack;     /* functions, innermost first, a line each; "" when not known */
	bool at_exit;	       /* open when its process ended; pid is 0 then */
	uint64_t n, oldest_ns; /* how many; when the oldest was made */
};

struct ckpt_observed {
	const struct ckpt_observed_process *process;
	size_t n_processes;
	const struct ckpt_observed_signal *signal;
	size_t n_signals;
	const struct ckpt_observed_leak *leak; /* most first */
	size_t n_leaks;
	uint64_t events, lost, start_ns, now_ns;
};

int ckpt_observe_view(struct ckpt_observe *o, const struct ckpt_observed **ret,
		      struct ckpt_err **err);

/* Pin the eBPF programs in bpffs, so that the next use starts in a millisecond; remove them.
 * ret_changed may be NULL: whether anything changed. */
int ckpt_load(bool *ret_changed, struct ckpt_err **err);
int ckpt_unload(bool *ret_changed, struct ckpt_err **err);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif
#endif
