/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One pass of the audit: what observe_audit.c and observe_compare.c share. */
#ifndef CKPT_OBSERVE_AUDIT_H
#define CKPT_OBSERVE_AUDIT_H

#include "observe.h"
#include "pids.h"

struct audit_pass {
	struct ckpt_observe *o;
	bool mend;  /* make the ledger as the kernel is */
	bool first; /* of the passes: count what is compared */
	bool all;   /* it began with all processes */
	struct observe_compared *ret;
	pid_t *pids; /* owned: these are looked at */
	size_t n_pids;
	struct snapshot *s;
	uint64_t begin_ns;   /* of the snapshot: what was reported since is moving */
	uint64_t number;     /* other than any pass before */
	struct idmap tables; /* files_id to its first row */
	/* Results. */
	struct observe_differences found;
	uint64_t moving;
	pid_t *again; /* owned: where something was found, or moves */
	size_t n_again;
};

int audit_suspect(struct audit_pass *a, pid_t pid, bool moving, const char *what,
		  const char *ledger, const char *kernel);

/* Each compares, and mends if that is asked for. 0 or -ENOMEM. */
int audit_files(struct audit_pass *a, struct ledger_process *p);
int audit_areas(struct audit_pass *a, struct ledger_process *p);
int audit_timers(struct audit_pass *a, struct ledger_process *p);
int audit_locks(struct audit_pass *a);

#endif
