/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Constants of the checkpoint interface that programs may use without the rest of <libcr.h>. Names
 * and values are those of BLCR 0.8.
 */
#ifndef _BLCR_COMMON_H
#define _BLCR_COMMON_H 1

#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The signal by which a request reaches the threads of a program. The library takes it when it is
 * loaded: SIGRTMAX is one less from then on. One that does not come from a request is ignored.
 */
#define CR_SIGNUM 64

/* Versions of the two structures of arguments, for their initialisers. */
#define CR_CHECKPOINT_ARGS_VERSION 1
#define CR_RESTART_ARGS_VERSION	   1

/* Which processes a request is for; what its target names. */
typedef enum {
	CR_SCOPE_PROC = 0, /* one process */
	CR_SCOPE_PGRP = 1, /* a process group */
	CR_SCOPE_SESS = 2, /* a session */
	CR_SCOPE_TREE = 3  /* a process and its descendants */
} cr_scope_t;

/* cr_checkpoint_args_t.cr_flags */
#define CR_CHKPT_PROHIBIT_SELF 0x001 /* EDEADLK if the requester is a target itself */
#define CR_CHKPT_PTRACED_ALLOW 0x002 /* a target that is being traced: save it all the same, */
#define CR_CHKPT_PTRACED_SKIP  0x004 /* or leave it out; neither: the request fails */
#define CR_CHKPT_PTRACER_SKIP  0x008 /* a target that traces another process: leave it out */
#define CR_CHKPT_ASYNC_ERR     0x010 /* tell errors by cr_reap_checkpoint(), not at once */
#define CR_CHKPT_DUMP_EXEC     0x200 /* save contents of the executable, */
#define CR_CHKPT_DUMP_PRIVATE  0x400 /* of files that are mapped privately, */
#define CR_CHKPT_DUMP_SHARED   0x800 /* and of files that are mapped shared */
#define CR_CHKPT_DUMP_ALL      0xE00

/* cr_checkpoint_args_t.cr_fd: context files go to the requester's working directory. */
#define CR_DEST_CWD (-4096)

/* cr_restart_args_t.cr_flags */
#define CR_RSTRT_ASYNC_ERR    0x1 /* tell errors by cr_reap_restart(), not at once */
#define CR_RSTRT_RESTORE_PID  0x2 /* the pids and thread ids that were saved (default) */
#define CR_RSTRT_RESTORE_PGID 0x4 /* their process groups, instead of the caller's */
#define CR_RSTRT_RESTORE_SID  0x8 /* their sessions, instead of the caller's */

/* Paths to replace by others at a restart. */
#define CR_MAX_RSTRT_RELOC 16

struct cr_rstrt_relocate_pair {
	const char *oldpath; /* a saved path, or a directory above it */
	const char *newpath;
};

struct cr_rstrt_relocate {
	unsigned int count; /* of the pairs that follow, at most CR_MAX_RSTRT_RELOC */
	struct cr_rstrt_relocate_pair path[];
};

/* Bytes of a struct cr_rstrt_relocate with so many pairs. */
#define CR_RSTRT_RELOCATE_SIZE(count)                                                              \
	(sizeof(struct cr_rstrt_relocate) + (count) * sizeof(struct cr_rstrt_relocate_pair))

/*
 * Error codes, beside those of <errno.h>. They appear in errno, negated as results of
 * cr_checkpoint(), and their low 8 bits as exit codes of the tools. cr_strerror() knows them.
 */
enum {
	CR_MIN_ERRCODE = 2353,
	CR_ETEMPFAIL,  /* a callback refused for now; nothing was saved, everybody goes on */
	CR_EPERMFAIL,  /* a callback refused for good; all processes of the request are killed */
	CR_ENOSUPPORT, /* a target has no checkpoint library loaded */
	CR_EVERSION,   /* the library and the checkpointer speak different versions */
	CR_EOMITTED,   /* this process was left out, as a callback of its own asked for */
	CR_EBADARCH,   /* the context file is from another architecture */
	CR_EPTRACED,   /* a target is being traced */
	CR_EPTRACER,   /* a target is tracing another process */
	CR_ERSTRTABRT, /* the restart was aborted, and the restarted processes killed */
	CR_ERESTARTED, /* the handle was restored by a restart: its request lies in the past */
	CR_ENOTCB,     /* only allowed inside a callback */
	CR_ENOINIT,    /* this thread has not called cr_init() */
	CR_MAX_ERRCODE
};

#ifdef __cplusplus
}
#endif
#endif
