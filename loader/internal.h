/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the loader's own files share; nobody else includes this. */
#ifndef EBPF_CKPT_LOADER_INTERNAL_H
#define EBPF_CKPT_LOADER_INTERNAL_H

#include "loader.h"

#include <bpf/libbpf.h>

enum loader_prog {
	LOADER_PROG_TASK,
	LOADER_PROG_VMA,
	LOADER_PROG_FILE,
	LOADER_PROG_MORE,
	LOADER_PROG_HOLDER,
	LOADER_PROG_MEMBER,
	/* Of raw tracepoints; a pinned set has them attached. */
	LOADER_PROG_GENERATE,
	LOADER_PROG_DELIVER,
	LOADER_PROG_NR
};

struct loader {
	bool pinned;
	int prog_fd[LOADER_PROG_NR]; /* owned */
	/* For delivery.c, owned: map delivery_senders, and the rings. */
	int senders_fd;
	int ring_fd[REC_SENDERS];
};

/* Attach one that belongs to a tracepoint; a descriptor, owned by the caller, or a negative errno.
 */
int loader_attach(struct loader *l, enum loader_prog prog);

/* Fill `why` (may be NULL) and return `rc`, a negative errno. `remedy` may be NULL. */
int why_set(struct loader_why *why, int rc, const char *remedy, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* From now on keep what libbpf complains of first, for explain_load(); returns who was told before,
 * to be set again by libbpf_set_print(). */
libbpf_print_fn_t libbpf_listen(void);
/* Say why loading programs failed with `rc`. */
int explain_load(struct loader_why *why, int rc);

#endif
