/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The commands of BLCR: cr_run, cr_checkpoint and cr_restart, which this program is by those names.
 */
#ifndef CLI_CR_TOOL_H
#define CLI_CR_TOOL_H

#include <stdbool.h>
#include <stdnoreturn.h>

#define CR_USAGE_STATUS 255

int cr_run_main(int argc, char **argv);
int cr_checkpoint_main(int argc, char **argv);
int cr_restart_main(int argc, char **argv);

/* "NAME version X" on stdout. Returns 0. */
int cr_version(const char *name);
/* A number of a signal, 1 to 64; false: it is none. */
bool cr_parse_signal(const char *text, int *ret);
/* What an errno says, with the codes of libcr. */
const char *cr_error_text(int code);
/* "NAME: ..." on stderr, and the status that a wrong command line has. */
int cr_usage(const char *name, const char *help, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
