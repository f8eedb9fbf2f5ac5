/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside of observe: from the kernel's records to the ledger and to events. observe.c drives;
 * observe_task.c, _fd.c, _mem.c and _signal.c translate the records of their subject;
 * observe_audit.c compares the ledger with a snapshot; observe_view.c reads it out. The interface
 * is that of ebpf_ckpt.h.
 */
#ifndef CKPT_OBSERVE_H
#define CKPT_OBSERVE_H

#include "err.h"
#include "ledger.h"
#include "loader.h"
#include "session.h"
#include "tracing.h"

#include <string.h>

/* ---- observe_event.c: events as trees of values ---- */

#define EVENT_MEMBERS_MAX 64
#define EVENT_TEXT_MAX	  16384

struct event {
	struct ckpt_event e;
	struct ckpt_member
		member[EVENT_MEMBERS_MAX]; /* those of arrays stand behind the event's own */
	size_t n_members, n_below;
	char text[EVENT_TEXT_MAX];
	size_t n_text;
};

struct ckpt_observe;
struct observe_offer;

/* Begin an event; what is added is copied, names (and event_word()'s text) apart. */
struct event *event_begin(struct ckpt_observe *o, const char *name, const struct ledger_at *at);
void event_text(struct event *e, const char *name, const char *text);
void event_word(struct event *e, const char *name, const char *text); /* static text */
void event_int(struct event *e, const char *name, int64_t value);
void event_uint(struct event *e, const char *name, uint64_t value);
void event_hex(struct event *e, const char *name, uint64_t value);
void event_bool(struct event *e, const char *name, bool value);
/* An array of texts, built before: take its members from event_below(). */
struct ckpt_member *event_below(struct event *e, size_t n); /* NULL: there is no room */
const char *event_copy(struct event *e, const char *text, size_t len);
void event_array(struct event *e, const char *name, const struct ckpt_member *member, size_t n);
void event_object(struct event *e, const char *name, const struct ckpt_member *member, size_t n);
/* Hand it over. Not 0: the receiver wants no more; it is kept in o->stop, too. */
int event_end(struct ckpt_observe *o, struct event *e);

/* ---- observe_names.c: words for numbers ---- */

const char *name_of_call(uint32_t nr);	       /* "openat"; "?" */
const char *name_of_signal(int signo);	       /* "SIGTERM", "SIGRTMIN+1" */
const char *name_of_code(int signo, int code); /* "SI_USER"; NULL: no name */
const char *name_of_state(uint32_t state);     /* of a connection: "ESTABLISHED" */
const char *name_of_family(uint32_t family);
const char *name_of_clock(int clock);
/* "O_RDWR|O_NONBLOCK" */
const char *name_flags(char *buf, size_t size, uint32_t f_flags);
/* Names of the set bits, NULL-terminated by position; returns how many. */
size_t name_clone_flags(uint64_t flags, const char **ret, size_t max);
size_t name_namespaces(uint64_t flags, const char **ret, size_t max);
const char *name_prot(uint64_t vm_flags); /* "rw-" */
/* "10.0.0.1:80", "[::1]:80"; "" when the socket has none. `peer`: the other end's. */
const char *name_address(char *buf, size_t size, const struct trace_sock *s, bool peer);
const char *name_sockaddr(char *buf, size_t size, const void *addr, size_t len);

/* ---- observe_kind.c: of which kind is an open file? ---- */

/* As the engine's kinds, and for those that it cannot save: "tcp", "udp", "netlink", "io_uring".
 * Static. */
const char *observe_kind(const struct rec_inode *ino, const struct rec_file *file,
			 const char *path);
const char *observe_kind_traced(const struct trace_file *f, const struct trace_sock *s,
				const char *path);

/* ---- observe.c ---- */

#define OBSERVE_CAUSES_MAX 128

struct observe_difference {
	pid_t pid;
	char *what, *ledger, *kernel; /* owned */
	const char *because;	      /* static; NULL: nothing explains it */
};

struct observe_differences {
	struct observe_difference *row; /* owned */
	size_t n;
	uint64_t total; /* of those, too, that have no row */
};

/* An inventory that is being told in pieces. */
struct observe_inventory {
	uint64_t id;			 /* of the table or address space; 0: none is under way */
	struct trace_table_entry *entry; /* owned */
	size_t n, size;
};

/* A state of a socket that nobody observed is known to have, perhaps yet: the call that has made it
 * reports a moment later. */
struct observe_early {
	uint64_t sock_id, time_ns;
	uint32_t state;
};

#define OBSERVE_EARLY_MAX 64

struct ckpt_observe {
	struct ckpt_session *session; /* borrowed */
	struct loader *loader;	      /* the session's */
	struct tracing *tracing;      /* owned */
	struct ledger ledger;
	/* What was asked for. */
	char *name, *cgroup; /* owned */
	uint64_t cgroup_id;
	bool all;
	uint64_t types; /* mask of 1 << enum trace_type: what is followed */
	struct observe_early early[OBSERVE_EARLY_MAX]; /* the last ones, in turn */
	size_t n_early;
	pid_t *targets; /* owned */
	size_t n_targets;
	/* Where events go: of the call that is under way. */
	ckpt_event_fn *fn;
	void *userdata;
	int stop;
	struct event event;
	/* The record that is being translated, for what the ledger tells on the way. */
	const struct tracing_event *now;
	bool greeted;
	uint64_t start_ns;
	uint64_t n_events;
	struct observe_inventory inventory;
	/* Losses: as far as they have been told. */
	uint64_t lost;

	struct {
		const char *cause;
		uint64_t count, before; /* before: when it began */
	} told[OBSERVE_CAUSES_MAX];

	size_t n_told;
	bool resync;	    /* something was lost, or is not known: ask a snapshot */
	uint64_t resync_ns; /* when that was done last */
	uint64_t resync_cost_ns;
	uint64_t last_ns; /* time of the last record */
	uint64_t passes;  /* of audits, so far */
	bool lost_since_audit;
	struct observe_differences found; /* by that; for the next audit */
	uint64_t audit_ns;
	uint64_t audited_ns; /* when that was done last; 0: not yet */
	bool audited_balanced;
	struct observe_view *view;     /* owned */
	struct observe_offer *offer;   /* owned; NULL: to nobody */
	struct left_table *left;       /* owned: left to the ends of processes */
	struct observe_stacks *stacks; /* owned; NULL: they are not asked for */
};

/* Take records up to `max`, and not those that begin after until_ns (0: all that there are). Number
 * taken, or negative. */
int observe_take(struct ckpt_observe *o, size_t max, uint64_t until_ns, struct ckpt_err **err);
/* "start" and what is known then, if that has not been told yet. 0 or o->stop. */
int observe_greet(struct ckpt_observe *o);
void observe_tell_lost(struct ckpt_observe *o, uint64_t time_ns);
struct ledger_at observe_at(struct ckpt_observe *o, const struct trace_head *h);
/* The task of a record, which is made known when it is not. */
int observe_task(struct ckpt_observe *o, const struct ledger_at *at, struct ledger_task **ret);
/* Its descriptor table; the one that the record names. */
int observe_table(struct ckpt_observe *o, const struct ledger_at *at, uint64_t files_id,
		  struct ledger_table **ret);

/* Translators of one record each. 0 or a negative errno (o->stop is set apart). */
typedef int observe_fn(struct ckpt_observe *o, const struct ledger_at *at,
		       const struct tracing_event *ev);
observe_fn observe_fork, observe_exec, observe_exit, observe_rename, observe_appeared,
	observe_namespace;
observe_fn observe_fd_new, observe_fd_close, observe_fd_flags, observe_inventory_files,
	observe_unshare, observe_sock_state, observe_sock_call;
observe_fn observe_map, observe_unmap, observe_protect, observe_remap, observe_brk, observe_area;
observe_fn observe_timer_new, observe_timer_set, observe_timer_delete, observe_lock;
observe_fn observe_signal_generate, observe_signal_deliver, observe_signal_take;
observe_fn observe_stack;

uint32_t observe_range_flags(uint64_t vm_flags);

/* Callbacks of the ledger. */
int observe_made(void *userdata, const struct ledger_made *m);
int observe_closed(void *userdata, const struct ledger_closed *c);
/* The event "process". */
int observe_tell_process(struct ckpt_observe *o, const struct ledger_at *at,
			 const struct ledger_process *p);

void observe_offer_free(struct observe_offer *f); /* NULL is fine */

/* Are all records of this type asked for, and told? */
static inline bool observe_follows(const struct ckpt_observe *o, enum trace_type type)
{
	return o->types >> type & 1;
}

/* TCP_* of a socket of this kind, if it is followed; 0: it is not. */
static inline uint32_t observe_state(const struct ckpt_observe *o, const char *kind, uint32_t state)
{
	return observe_follows(o, TRACE_SOCK_STATE) && !strcmp(kind, "tcp") ? state : 0;
}

/* ---- observe_audit.c ---- */

/*
 * Compare with the kernel, in passes, until all that differs is known to rest. `mend`: make the
 * ledger as the kernel is. Events that come meanwhile are handled as ever. The caller frees *ret's
 * rows. pids: these processes alone; n 0: all.
 */
struct observe_compared {
	struct observe_differences differences;
	uint64_t descriptors, areas, threads, processes, timers, locks; /* compared */
	uint64_t moving;
	unsigned int passes;
};

int observe_compare(struct ckpt_observe *o, const pid_t *pids, size_t n, bool mend,
		    struct observe_compared *ret, struct ckpt_err **err);
void observe_differences_done(struct observe_differences *d);
int observe_differences_add(struct observe_differences *d, pid_t pid, const char *what,
			    const char *ledger, const char *kernel, const char *because);

#endif
