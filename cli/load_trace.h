/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What "load --trace" was asked for. */
#ifndef CLI_LOAD_TRACE_H
#define CLI_LOAD_TRACE_H

#include "cli.h"

struct load_trace {
	pid_t *pids; /* with n_pids, name and cgroup all 0: every process */
	size_t n_pids;
	const char *name, *cgroup;
	bool stacks;
};

/*
 * Start the tracer, unless there is one. Returns the exit status: of the tracer, too, which returns
 * from here when it ends. loaded: the programs were not before.
 */
int load_trace(const struct load_trace *t, const struct cli_common *c, bool loaded);

#endif
