/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libcr: let a program take part in its own checkpoints. Link with -lcr.
 *
 * A checkpoint saves a running program to a file, from which it can be restarted later. Most of a
 * program comes back by itself. What cannot (a connection, a device, a licence) is let go of before
 * and taken up again after, by a callback:
 *
 *	#include <libcr.h>
 *
 *	static int my_callback(void *arg)
 *	{
 *		int rc;
 *
 *		disconnect();                  // before: let go of what cannot be saved
 *		rc = cr_checkpoint(CR_CHECKPOINT_READY);
 *		if (rc > 0)
 *			reconnect();           // a new life, made from the file
 *		else if (rc == 0)
 *			reconnect();           // the same process goes on
 *		else
 *			reconnect();           // nothing was saved: -rc tells why
 *		return 0;
 *	}
 *
 *	int main(void)
 *	{
 *		cr_init();
 *		cr_register_callback(my_callback, NULL, CR_THREAD_CONTEXT);
 *		...
 *	}
 *
 * One call of cr_checkpoint(), two lives after it, as with fork(): local variables live on in both.
 * libcr(7) tells the whole story; each function has a page of its own.
 *
 * Context. A CR_THREAD_CONTEXT callback runs in a thread of the library's own and may call anything
 * that a thread may, but it must not wait for what another thread holds when it was interrupted. A
 * CR_SIGNAL_CONTEXT callback runs in the thread that registered it, wherever that was interrupted:
 * only what signal-safety(7) lists is safe in it. All thread-context callbacks have come to
 * cr_checkpoint() before the first signal-context one starts.
 *
 * Functions that fail return -1 and set errno, unless said otherwise. Those marked [init] need a
 * cr_init() in the same thread (in thread-context callbacks it is done) and fail with CR_ENOINIT
 * else; those marked [signal-safe] may be called in signal handlers.
 */
#ifndef _CRLIB_H
#define _CRLIB_H 1

#include <blcr_common.h>
#include <errno.h>
#include <features.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The library is built with everything hidden but what is declared here. */
#pragma GCC visibility push(default)

/* The release of BLCR whose interface this is. LIBCR_MAJOR is the number in the soname. */
#define CR_RELEASE_MAJOR   0
#define CR_RELEASE_MINOR   8
#define CR_RELEASE_PATCH   6
#define CR_RELEASE_VERSION "0.8.6"
#define LIBCR_MAJOR	   0
#define LIBCR_MINOR	   5
#define LIBCR_PATCH	   6
#define LIBCR_VERSION	   "0.5.6"
#define CR_MODULE_MAJOR	   0
#define CR_MODULE_MINOR	   10
#define CR_MODULE_PATCH	   6
#define CR_MODULE_VERSION  "0.10.6"

typedef int cr_version_t;
typedef int cr_client_id_t;
typedef int cr_callback_id_t;
typedef int (*cr_callback_t)(void *arg);
typedef unsigned int cr_spinlock_t;
typedef long cr_bool_t;
typedef unsigned long cr_checkpoint_handle_t;
typedef unsigned long cr_restart_handle_t;

/* ---- threads and callbacks --------------------------------------------------------------------
 */

/*
 * To be called in each thread that uses this library. Returns 0, 1, 2, ...: a client id, new at
 * each call of the thread. Negative: ENOSYS (no support on this system), CR_EVERSION.
 */
cr_client_id_t cr_init(void);

/* Where a callback runs; part of its id. */
#define CR_THREAD_CONTEXT 0x4000000
#define CR_SIGNAL_CONTEXT 0x2000000
/* In each context. */
#define CR_MAX_CALLBACKS 0x1FFFFFF

/*
 * Register a function to run at each checkpoint; last registered, first run. flags: exactly one of
 * CR_THREAD_CONTEXT (for the whole process) and CR_SIGNAL_CONTEXT (for this thread, gone when it
 * ends). The callback calls cr_checkpoint() once and returns 0; when it returns without having
 * called it, that is done for it. Anything but 0 kills the processes of the request. Returns the
 * id, to be used with cr_replace_callback(). EINVAL (flags), EBUSY (inside a callback), ENOSPC,
 * ENOMEM. [init]
 */
cr_callback_id_t cr_register_callback(cr_callback_t func, void *arg, int flags);
/*
 * Put another function in the place of a callback, from the next checkpoint on; NULL: none. flags:
 * the context that it has. Returns 0. EINVAL (no such id, another context), EBUSY (inside a
 * callback). [init]
 */
int cr_replace_callback(cr_callback_id_t id, cr_callback_t func, void *arg, int flags);
/* The same for the callback that is running, before or after cr_checkpoint(). CR_ENOTCB outside. */
int cr_replace_self(cr_callback_t func, void *arg, int flags);

/* Arguments of cr_checkpoint(). */
enum {
	CR_CHECKPOINT_READY = 0,	/* go on and save */
	CR_CHECKPOINT_TEMP_FAILURE = 1, /* not now: cancel for everybody, who all go on */
	CR_CHECKPOINT_PERM_FAILURE = 2, /* never: cancel, and kill every process of the request */
	CR_CHECKPOINT_OMIT = 4		/* save the others without this process */
};

#define CR_CHECKPOINT_ABORT_MASK 7
/* A failure with an error code of one's own, 1 to 65535, which the requester is told. */
#define CR_CHECKPOINT_TEMP_FAILURE_CODE(v) (CR_CHECKPOINT_TEMP_FAILURE | ((v) << 16))
#define CR_CHECKPOINT_PERM_FAILURE_CODE(v) (CR_CHECKPOINT_PERM_FAILURE | ((v) << 16))

/*
 * For callbacks: let the remaining callbacks run, and be saved. Returns 0 in the process that goes
 * on, > 0 in one that was restarted from the file, and < 0 if nothing was saved: minus an error
 * code (-CR_EOMITTED, -CR_ETEMPFAIL, the code of a failure, ...). All callbacks of a process see
 * the same. Outside of a callback: -CR_ENOTCB, also in errno.
 */
int cr_checkpoint(int flags);

/* What is known of the request. For callbacks, before cr_checkpoint(); NULL otherwise. */
struct cr_checkpoint_info {
	int signal;	  /* as asked for */
	const char *dest; /* absolute path of the context file; "": it has none */
	pid_t requester;  /* who asked */
	pid_t target;	  /* as asked for */
	cr_scope_t scope;
};

const struct cr_checkpoint_info *cr_get_checkpoint_info(void);

/* For callbacks, after cr_checkpoint() returned > 0; NULL otherwise. */
struct cr_restart_info {
	pid_t requester;
	const char *src; /* absolute path of the context file */
};

const struct cr_restart_info *cr_get_restart_info(void);

/*
 * For callbacks, before cr_checkpoint(): add more processes to the request, as if it had named
 * them, too. target 0: the caller's own. Returns 0. CR_ENOTCB, EINVAL, ESRCH, EPERM, EBUSY,
 * CR_ENOSUPPORT, CR_EPTRACED, CR_EPTRACER, EDEADLK.
 */
int cr_forward_checkpoint(cr_scope_t scope, pid_t target);

/* ---- critical sections ------------------------------------------------------------------------
 */

/* The id to pass inside callbacks, where sections do nothing. */
#define CR_ID_CALLBACK ((cr_client_id_t)-1)

/*
 * While any thread of the process is in a critical section, no callback starts: a request waits.
 * Sections nest. To enter, from outside, while one waits or runs, takes part in it first. The last
 * to leave while a request waits runs its part of it before the call returns. Return 0; tryenter
 * > 0: it would have waited. [init] [signal-safe]
 */
int cr_enter_cs(cr_client_id_t id);
int cr_tryenter_cs(cr_client_id_t id);
int cr_leave_cs(cr_client_id_t id);

/* Results of cr_status(). */
#define CR_STATE_IDLE	 0
#define CR_STATE_PENDING 1 /* a request waits or runs in this process */
#define CR_STATE_ACTIVE	 2 /* this thread is in a callback */

int cr_status(void); /* [init] */

/* ---- hooks, and who waits for whom ------------------------------------------------------------
 */

typedef enum {
	CR_HOOK_CONT_SIGNAL_CONTEXT = 0,  /* the process goes on: threads that called cr_init(), */
	CR_HOOK_CONT_THREAD_CONTEXT = 1,  /* the library's own thread, */
	CR_HOOK_CONT_NO_CALLBACKS = 2,	  /* and all others */
	CR_HOOK_RSTRT_SIGNAL_CONTEXT = 3, /* it was restarted: the same */
	CR_HOOK_RSTRT_THREAD_CONTEXT = 4,
	CR_HOOK_RSTRT_NO_CALLBACKS = 5,
	CR_NUM_HOOKS = 6
} cr_hook_event_t;

typedef void (*cr_hook_fn_t)(cr_hook_event_t event);
#define CR_HOOK_FN_ERROR ((cr_hook_fn_t)~0UL)

/*
 * A function to run once in every thread concerned, after its last callback and before the threads
 * go on. NULL: none. Returns the one before. CR_HOOK_FN_ERROR: EINVAL. [init]
 */
cr_hook_fn_t cr_register_hook(cr_hook_event_t event, cr_hook_fn_t fn);

/* Flags of cr_hold_ctrl(): when to wait. */
#define CR_HOLD_READ  (-1) /* change nothing */
#define CR_HOLD_NONE  0
#define CR_HOLD_CONT  1
#define CR_HOLD_RSTRT 2
#define CR_HOLD_BOTH  3
#define CR_HOLD_DFLT  4 /* for CR_HOLD_SCOPE_THREAD: as CR_HOLD_SCOPE_INIT says */
/* Scopes. */
#define CR_HOLD_SCOPE_THREAD 0 /* this thread */
#define CR_HOLD_SCOPE_INIT   1 /* threads that called cr_init() */
#define CR_HOLD_SCOPE_UNINIT 2 /* threads that did not */

/*
 * Whether threads wait, after the callbacks, until those of all others have ended, too. They do
 * unless told otherwise. Returns the old value. EINVAL. [init]
 */
int cr_hold_ctrl(int scope, int flags);

/*
 * Keep what the library has of this thread while destructors of thread-specific data run, until as
 * many calls of dec as of inc. Return the count before. ERANGE. [init]
 */
int cr_inc_persist(void);
int cr_dec_persist(void);

/* ---- small things -----------------------------------------------------------------------------
 */

/* Busy locks. trylock: non-zero: got it. [signal-safe] */
#define CR_SPINLOCK_INITIALIZER 0U
void cr_spinlock_init(cr_spinlock_t *lock);
void cr_spinlock_lock(cr_spinlock_t *lock);
int cr_spinlock_trylock(cr_spinlock_t *lock);
void cr_spinlock_unlock(cr_spinlock_t *lock);

/* strerror(3) that knows the codes of this library, too. */
const char *cr_strerror(int errnum);

/* ---- asking for a checkpoint ------------------------------------------------------------------
 */

typedef struct cr_checkpoint_args {
	cr_version_t cr_version; /* by the initialiser */
	cr_scope_t cr_scope;
	pid_t cr_target;	 /* 0: the caller's own process, group or session */
	int cr_fd;		 /* where to write: a file, pipe or socket; or CR_DEST_CWD */
	int cr_signal;		 /* sent to all when they have been saved; 0: none */
	unsigned int cr_timeout; /* seconds until the request fails; 0: never */
	unsigned int cr_flags;	 /* CR_CHKPT_* */
} cr_checkpoint_args_t;

int cri_init_checkpoint_args_t(cr_version_t version, cr_checkpoint_args_t *args);
/* Scope -1 (to be set), target 0, fd -1 (to be set), no signal, no time limit, no flags. */
#define cr_initialize_checkpoint_args_t(args)                                                      \
	cri_init_checkpoint_args_t(CR_CHECKPOINT_ARGS_VERSION, (args))

/*
 * Ask for a checkpoint. Returns 0 once it is under way; *handle is then for poll, or wait and reap.
 * cr_fd may be closed at once. EINVAL, EBADF, ESRCH, EPERM, EBUSY, EDEADLK, CR_ENOSUPPORT,
 * CR_EPTRACED, CR_EPTRACER.
 */
int cr_request_checkpoint(cr_checkpoint_args_t *args, cr_checkpoint_handle_t *handle);
/* Wait for its end. timeout NULL: for ever; what is left of it is written back. > 0: done, 0: not
 * yet. EINTR, EINVAL, EBADF. */
int cr_wait_checkpoint(cr_checkpoint_handle_t *handle, struct timeval *timeout);
/* Its result; the handle is gone then. EAGAIN: not finished. CR_ERESTARTED: this is the restarted
 * life of a process that asked for its own checkpoint. */
int cr_reap_checkpoint(cr_checkpoint_handle_t *handle);
/* Copy at most len bytes of its messages, one a line. Returns how long they are with the final NUL,
 * 0: none. len 0 and msg NULL: just that. */
int cr_log_checkpoint(cr_checkpoint_handle_t *handle, unsigned int len, char *msg);

/* Results of poll: which step failed. */
#define CR_POLL_CHKPT_ERR_PRE  (-1)
#define CR_POLL_CHKPT_ERR_POST (-2)
#define CR_POLL_CHKPT_ERR_LOG  (-3)

/*
 * Wait, then reap. 1: done, 0: not yet, CR_POLL_CHKPT_ERR_PRE: waiting failed,
 * CR_POLL_CHKPT_ERR_POST: the checkpoint failed (errno tells; or CR_ERESTARTED).
 * cr_poll_checkpoint_msg() also gives its messages, malloc'd, if there are any.
 */
int cr_poll_checkpoint(cr_checkpoint_handle_t *handle, struct timeval *timeout);
int cr_poll_checkpoint_msg(cr_checkpoint_handle_t *handle, struct timeval *timeout, char **msg_p);

/*
 * Of old: a checkpoint of this process alone, to context.PID in the working directory, to a file,
 * to a descriptor. Nothing tells whether it succeeded: use cr_request_checkpoint().
 */
void cr_request(void);
void cr_request_file(const char *filename);
void cr_request_fd(int fd);

/* ---- asking for a restart ---------------------------------------------------------------------
 */

typedef struct cr_restart_args {
	cr_version_t cr_version; /* by the initialiser */
	int cr_fd;		 /* the context file */
	int cr_signal;		 /* sent to all after their callbacks; negative: before */
	unsigned int cr_flags;	 /* CR_RSTRT_* */
	struct cr_rstrt_relocate *cr_relocate;
} cr_restart_args_t;

int cri_init_restart_args_t(cr_version_t version, cr_restart_args_t *args);
/* fd -1 (to be set), no signal, CR_RSTRT_RESTORE_PID, no relocations. */
#define cr_initialize_restart_args_t(args) cri_init_restart_args_t(CR_RESTART_ARGS_VERSION, (args))

#define CR_POLL_RSTRT_ERR_PRE  (-1)
#define CR_POLL_RSTRT_ERR_POST (-2)
#define CR_POLL_RSTRT_ERR_LOG  (-3)

/*
 * The same for restarts. cr_reap_restart() returns the pid of the first restarted process, a child
 * of the caller.
 */
int cr_request_restart(cr_restart_args_t *args, cr_restart_handle_t *handle);
int cr_wait_restart(cr_restart_handle_t *handle, struct timeval *timeout);
int cr_reap_restart(cr_restart_handle_t *handle);
int cr_log_restart(cr_restart_handle_t *handle, unsigned int len, char *msg);
int cr_poll_restart(cr_restart_handle_t *handle, struct timeval *timeout);
int cr_poll_restart_msg(cr_restart_handle_t *handle, struct timeval *timeout, char **msg_p);

/* ---- for linkers ------------------------------------------------------------------------------
 */

/* `cc -u cr_link_me -lcr` links the library into a program that calls nothing of it. */
extern int cr_link_me;

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif
#endif
