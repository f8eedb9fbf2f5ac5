/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Starting the command. */
#ifndef CR_LAUNCH_H
#define CR_LAUNCH_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Start the command with these arguments (argv[0] is set here), with `fd`, unless it is negative,
 * as its descriptor CR_ASK_FD, and beside it only 0, 1 and 2. child: it is a child of the caller,
 * who has to wait for it; otherwise of init, so that nobody here is ever told of its end. Returns 0
 * and *ret_pid, or an errno.
 */
int cri_launch(const char *argv[], int fd, bool child, pid_t *ret_pid);

#endif
