/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ledger of observe: what observed processes have, kept from what is reported of them. It knows
 * nothing of the kernel's records (observe_*.c translate them), and prints nothing.
 *
 * Reports of one descriptor table may come in another order than things happened, since each is
 * made when its system call ends: thread A's close(5) has freed the number, B's open() has got it
 * and says so first. The ledger sorts that out; see ledger_fd_new() and ledger_fd_close().
 *
 * Identities (*_id) are addresses of kernel objects, good for comparing as long as the object
 * lives; they never leave the engine.
 *
 * Functions that return int: 0 or -ENOMEM. After that the ledger is short of something, and still
 * consistent.
 */
#ifndef CKPT_LEDGER_H
#define CKPT_LEDGER_H

#include "idmap.h"
#include "ranges.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LEDGER_COMM_LEN 16
#define LEDGER_NSIG	65

/* Who reports, and when. */
struct ledger_at {
	uint64_t time_ns;  /* of the report */
	uint64_t enter_ns; /* its system call began after that; 0: not known */
	pid_t pid, tid;
	const char *comm;
	uint64_t stack; /* of the call, for the maker of resources; 0: not known */
};

/* Made, closed, open: of one kind, in one process. */
struct ledger_count {
	const char *kind; /* static */
	/* open = inherited + made - closed; inherited: got by fork, or there before us */
	uint64_t inherited, made, closed, open, peak;
};

/* The kind of an object of which nothing but its identity is known: this very pointer. */
extern const char LEDGER_UNKNOWN[];

/* An open file. */
struct ledger_object {
	uint64_t file_id, inode_id, sock_id;
	uint64_t number;       /* what it is called in the output; from 1 */
	const char *kind;      /* static */
	const char *told_kind; /* static: what became known of one of LEDGER_UNKNOWN; else NULL */
	char *name;	       /* owned: path, or what a person would call it; "" */
	int last_fd;	       /* under which it was seen last; for the output */
	bool listens;	       /* name is its own address, else that of its peer (sockets) */
	uint32_t sock_state;   /* TCP_*; 0: not followed */
	uint64_t state_ns;     /* when that was reported last; 0: never */
	unsigned int refs;     /* descriptors in the ledger */
};

static inline const char *ledger_kind(const struct ledger_object *o)
{
	return o->told_kind ? o->told_kind : o->kind;
}

/* A descriptor, or a free number. */
struct ledger_fd {
	struct ledger_object *object; /* NULL: free */
	uint64_t touched_ns;	      /* when a report last said something of this number */
	uint64_t made_ns;	      /* 0: it was there before us */
	uint64_t stack;
	const char *by; /* static: the call that made it */
	pid_t maker_tid;
	char maker[LEDGER_COMM_LEN];
	bool cloexec;
	bool inherited; /* by fork */
	bool replaced;	/* by dup2 and its like */
	uint8_t n_owed; /* closes that happened and are to be reported yet */
};

/* A close that was reported before what it closed. */
struct ledger_early {
	int fd;
	uint64_t time_ns;
	pid_t pid, tid;
	char comm[LEDGER_COMM_LEN];
};

#define LEDGER_EARLY_MAX 64

#define LEDGER_FDS 64

struct ledger_fds {
	struct ledger_fd fd[LEDGER_FDS];
};

/* A descriptor table. */
struct ledger_table {
	uint64_t files_id;
	unsigned int n_users;	      /* tasks */
	struct ledger_process *owner; /* whose counts it goes to: a process that uses it */
	/* Owned: by number, in pieces that are made when they are needed (one may be NULL), since a
	 * program may use a large number alone. */
	struct ledger_fds **piece;
	size_t size; /* numbers below this may be in use */
	size_t n_open;
	struct ledger_early *early; /* owned */
	size_t n_early;
	uint64_t pass; /* of an audit that has seen it */
	bool unsure;   /* copied while others were changing the original: a snapshot is to tell */
};

/* An address space. */
struct ledger_mm {
	uint64_t mm_id;
	unsigned int n_users; /* processes */
	uint64_t brk;
	struct ranges areas;
	uint64_t code; /* another one whenever code that was mapped may be so no more */
	bool known;    /* a snapshot, or a parent, has told what it began with */
	bool fresh;    /* made by exec, its inventory being told */
	uint64_t touched_ns;
	/* Of what has been reported since an audit's pass began. */
	struct ranges touched;
	bool touch_all;
	uint64_t pass; /* of an audit that has seen it */
};

#define LEDGER_TOUCHES_MAX 65536

struct ledger_timer {
	int id;
	int clock, signo;
	uint64_t interval_ns;
	uint64_t made_ns;
};

struct ledger_task {
	pid_t tid;
	struct ledger_process *process;
	struct ledger_table *table; /* NULL: it has given its own up, or it is not known */
	char comm[LEDGER_COMM_LEN];
	uint64_t touched_ns;
	struct ledger_task *next; /* of the process */
};

struct ledger_process {
	pid_t pid, ppid;
	char comm[LEDGER_COMM_LEN];
	uint64_t cgroup;
	char *exe;     /* owned; NULL: not known */
	bool known;    /* it was there before us */
	bool appeared; /* and is observed since a moment ago: a snapshot is to tell of it */
	bool ended;
	int exit_code, exit_signal;
	uint64_t start_ns, end_ns;
	uint64_t touched_ns;
	struct ledger_task *tasks; /* owned */
	unsigned int n_tasks;
	struct ledger_mm *mm;	    /* NULL: not known */
	struct ledger_count *count; /* owned */
	size_t n_counts;
	struct ledger_timer *timer; /* owned: sorted by id */
	size_t n_timers, timers_size;
	uint64_t timers_touched_ns;
	uint64_t events, signals;
	struct waits *waits; /* owned: signals under way, see ledger_signal.c */
	uint64_t n_folded;
	struct ledger_process *prev, *next; /* all in order of appearance; of the ended, too */
};

/* Locks of one owner on one inode. */
struct ledger_lock {
	uint64_t inode_id, owner_id;
	uint32_t lock_class;  /* enum rec_lock_class */
	struct ranges ranges; /* RANGE_WRITE: a write lock */
	char *name;	      /* owned: path of the file */
	pid_t pid;
	uint64_t touched_ns;
};

struct ledger_signal {
	uint64_t generated, delivered, ignored, pending, lost, blocked;
	uint64_t timed, max_ns;
	uint32_t *histogram; /* owned; of delays, see ledger_signal.c */
};

/* A descriptor goes away. */
struct ledger_closed {
	const struct ledger_at *at;
	int fd;
	const struct ledger_fd *was;
	const char *by; /* static: "close", "close_range", "dup2", "exec", "exit" */
	bool last;	/* of the object, as far as is known */
};

/* A descriptor is there. `flags` and such are the caller's business. */
struct ledger_made {
	const struct ledger_at *at;
	int fd;
	const struct ledger_fd *now;
};

/* Told before what else the report brings about. Not 0: the reporting function returns it, its work
 * being done. */
struct ledger_calls {
	int (*made)(void *userdata, const struct ledger_made *m);
	int (*closed)(void *userdata, const struct ledger_closed *c);
	void *userdata;
	bool silent; /* do not call */
};

#define LEDGER_ENDED_MAX  256 /* ended processes that keep a row of their own */
#define LEDGER_FOLDED_MAX 64  /* rows of those that do not, by name */

struct ledger {
	struct idmap tasks, processes, tables, objects, socks, mms, locks;
	struct ledger_process *first, *last;		 /* that live */
	struct ledger_process *ended_first, *ended_last; /* in order of their ends */
	size_t n_ended;
	struct ledger_process *folded[LEDGER_FOLDED_MAX];
	size_t n_folded;
	uint64_t n_objects;
	uint64_t n_events, n_codes;
	struct ledger_signal signal[LEDGER_NSIG];
	struct ledger_calls calls;
	/* When the pass of an audit began that is under way; 0: there is none. */
	uint64_t audit_ns;
};

void ledger_init(struct ledger *l);
void ledger_done(struct ledger *l);

/* ---- ledger.c: processes and threads ---- */

struct ledger_task *ledger_task(const struct ledger *l, pid_t tid);	  /* NULL: unknown */
struct ledger_process *ledger_process(const struct ledger *l, pid_t pid); /* NULL: unknown */
/* Make known what is there. Finding it known already is fine. */
int ledger_add_task(struct ledger *l, const struct ledger_at *at, pid_t pid, pid_t tid, pid_t ppid,
		    const char *comm, struct ledger_task **ret);
void ledger_rename(struct ledger *l, pid_t tid, const char *comm);

/* What a new task shares, or has got a copy of. */
struct ledger_clone {
	pid_t pid, tid;	   /* of the new one */
	pid_t ppid;	   /* 0: at->pid */
	uint64_t files_id; /* 0: none */
	uint64_t mm_id;
};

/* `at` is the parent. */
int ledger_clone(struct ledger *l, const struct ledger_at *at, const struct ledger_clone *c);
/*
 * The process of at->pid has a new image: one thread, whose number is the process's from now on
 * (old_tid before), close-on-exec descriptors gone, an address space of its own.
 */
int ledger_exec(struct ledger *l, const struct ledger_at *at, pid_t old_tid, uint64_t files_id,
		uint64_t mm_id);
/* A thread ended. */
int ledger_task_exit(struct ledger *l, const struct ledger_at *at);
/* ... and the process with it; ledger_task_exit() came first. status: as wait(2) gives it. */
int ledger_process_exit(struct ledger *l, const struct ledger_at *at, int status);

struct ledger_count *ledger_count(struct ledger_process *p, const char *kind);

/* ---- ledger_files.c ---- */

/* What is told of an open file. */
struct ledger_file {
	uint64_t file_id, inode_id, sock_id;
	const char *kind, *name;
	uint32_t sock_state; /* of an object that is new */
};

struct ledger_table *ledger_table(const struct ledger *l, uint64_t files_id);
/*
 * Let the task use this table from now on: one that is there, or a copy of the one that it has
 * (unshare(2)), or, as nothing is known of it, an empty one.
 */
int ledger_use_table(struct ledger *l, const struct ledger_at *at, struct ledger_task *t,
		     uint64_t files_id);
void ledger_leave_table(struct ledger *l, const struct ledger_at *at, struct ledger_task *t,
			const char *by);

#define LEDGER_IGNORED 1
/*
 * A number was given out. `by` is static. An entry that is in the way was closed by someone whose
 * report is to come, unless `replaces`: then it is closed by this very call (dup2).
 */
int ledger_fd_new(struct ledger *l, const struct ledger_at *at, struct ledger_table *t, int fd,
		  const struct ledger_file *f, const char *by, bool cloexec, bool replaces);
/*
 * A number was freed. now_id: to what it refers when that is reported; 0: it is free, or that is
 * not known. LEDGER_IGNORED: there is nothing to tell, an earlier report has told it or a later one
 * will.
 */
int ledger_fd_close(struct ledger *l, const struct ledger_at *at, struct ledger_table *t, int fd,
		    uint64_t now_id, const char *by);
/* Whatever is there goes. */
int ledger_fd_drop(struct ledger *l, const struct ledger_at *at, struct ledger_table *t, int fd,
		   const char *by);
int ledger_fd_cloexec(struct ledger *l, const struct ledger_at *at, struct ledger_table *t, int fd,
		      bool cloexec);
/* close_range(2): all of [first, last]; or give them the close-on-exec flag. */
int ledger_fd_range(struct ledger *l, const struct ledger_at *at, struct ledger_table *t,
		    unsigned int first, unsigned int last, bool cloexec);
const struct ledger_fd *ledger_fd(const struct ledger_table *t, int fd); /* NULL: free */
/* Also of a free number; NULL: nothing has ever been reported of it. */
const struct ledger_fd *ledger_fd_place(const struct ledger_table *t, int fd);
struct ledger_object *ledger_object_of_sock(const struct ledger *l, uint64_t sock_id);
/*
 * Where reports were lost, what is owed or came early may wait for one of them for ever, and be
 * taken for that of another entry: forget what is older. Returns how much of it remains.
 */
size_t ledger_table_settle(struct ledger_table *t, uint64_t before_ns);
/* Without a report: what a snapshot has told. f NULL: nothing is there. */
int ledger_fd_set(struct ledger *l, struct ledger_table *t, int fd, const struct ledger_file *f,
		  bool cloexec);

/* ---- ledger_mem.c ---- */

struct ledger_mm *ledger_mm(const struct ledger *l, uint64_t mm_id);
/* Let the process use this address space; a copy of `like`, if it is new and that is not NULL. */
int ledger_use_mm(struct ledger *l, struct ledger_process *p, uint64_t mm_id,
		  const struct ledger_mm *like);
void ledger_leave_mm(struct ledger *l, struct ledger_process *p);
/* Something is reported of a span, and not done yet. */
void ledger_mm_touch(struct ledger *l, struct ledger_mm *mm, uint64_t time_ns, uint64_t start,
		     uint64_t end);
/* A span is about to change, without a report. */
void ledger_mm_code(struct ledger *l, struct ledger_mm *mm, uint64_t start, uint64_t end);
/* The pass is over, or begins. */
void ledger_mm_forget_touches(struct ledger_mm *mm);

/* ---- ledger_misc.c: timers and locks ---- */

int ledger_timer_set(struct ledger_process *p, uint64_t time_ns, const struct ledger_timer *t);
struct ledger_timer *ledger_timer(const struct ledger_process *p, int id);
void ledger_timer_delete(struct ledger_process *p, uint64_t time_ns, int id);
void ledger_timers_drop(struct ledger_process *p, uint64_t time_ns);

/*
 * A lock is set (or changed), or given up. [start, end] with both ends. *ret_bytes: 0 when giving
 * up changed nothing. Of `key` what is before `ranges` tells which, and `name` (borrowed).
 */
int ledger_lock(struct ledger *l, const struct ledger_at *at, const struct ledger_lock *key,
		uint64_t start, uint64_t end, bool write);
int ledger_unlock(struct ledger *l, const struct ledger_at *at, const struct ledger_lock *key,
		  uint64_t start, uint64_t end, uint64_t *ret_bytes);
struct ledger_lock *ledger_lock_of(const struct ledger *l, const struct ledger_lock *key);
void ledger_lock_forget(struct ledger *l, struct ledger_lock *lock);

/* ---- ledger_signal.c ---- */

enum ledger_result {
	LEDGER_QUEUED,
	LEDGER_DISCARDED, /* ignored by its receiver */
	LEDGER_ALREADY_PENDING,
	LEDGER_OVERFLOW,  /* lost: the queue was full */
	LEDGER_LOST_INFO, /* arrived without its details */
};

/* target_tid 0: for any thread of the process. */
int ledger_signal_sent(struct ledger *l, uint64_t time_ns, pid_t pid, pid_t target_tid, int signo,
		       enum ledger_result result, bool blocked);
/* *ret_delay_ns: since it was sent; 0: not known when that was. */
void ledger_signal_taken(struct ledger *l, uint64_t time_ns, pid_t pid, pid_t tid, int signo,
			 uint64_t *ret_delay_ns);
/* The delay that this part (0 to 1) of those that were timed did not exceed. */
uint64_t ledger_signal_quantile(const struct ledger_signal *s, double part);
void ledger_signals_drop(struct ledger_process *p);

#endif
