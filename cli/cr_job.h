/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checkpoints and restarts as libcr and the cr_ commands want them: of processes named by a scope,
 * to and from one file, with errors as an errno or a code of <blcr_common.h>.
 */
#ifndef CLI_CR_JOB_H
#define CLI_CR_JOB_H

#include <blcr_common.h>
#include <ebpf_ckpt.h>

/* Values of struct rec_... are none of this program's business: what BLCR's callers know. */
struct cr_job {
	int scope; /* cr_scope_t */
	pid_t target, requester;
	int signal;
	unsigned int timeout_ms, flags;
	int fd;		   /* of the context file */
	const char *dest;  /* its path, for callbacks; "" */
	const char *dir;   /* where there is room for the image on the way; NULL: a default */
	const pid_t *omit; /* never saved */
	size_t n_omit;
	bool no_library; /* a process without a library is no error */
	void (*asked)(void *userdata);
	void *userdata;
};

/* 0, or an errno with *err. */
int cr_job_checkpoint(const struct cr_job *job, struct ckpt_err **err);

struct cr_restart_job {
	int fd;
	const char *dir; /* as above */
	const char *src; /* path of the context file, for callbacks */
	int signal;
	unsigned int flags;
	pid_t requester;
	bool sibling;
	const struct ckpt_relocation *relocate;
	size_t n_relocate;
};

/* 0 and *ret_pid, or an errno with *err. */
int cr_job_restart(const struct cr_restart_job *job, pid_t *ret_pid, struct ckpt_err **err);

/* What libcr's users know it by. */
int cr_errno(int rc, const struct ckpt_err *err);
/* Absolute path of an open file, or "". */
void cr_path_of(int fd, char *buf, size_t len);

/* The part of the command that libcr starts; see lib/cr/ask.h. */
int cr_helper(int argc, char **argv);

#endif
