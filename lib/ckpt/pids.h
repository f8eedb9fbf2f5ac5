/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lists of pids, and what /proc says of one. */
#ifndef CKPT_PIDS_H
#define CKPT_PIDS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Append to a list, which is malloc'd and may be NULL. 0 or -ENOMEM, and nothing is changed. */
int pids_add(pid_t **list, size_t *n, pid_t pid);
bool pids_have(const pid_t *list, size_t n, pid_t pid);

/*
 * The state of a thread of a process as /proc/PID/stat has it: 'Z' one that has ended, be it a
 * leader before its process; 'T' stopped. 0: it is not there.
 */
char pids_state(pid_t pid, pid_t tid);
/* It is there, and has not ended. */
bool pids_lives(pid_t pid, pid_t tid);
/* Who traces a thread, or 0. */
pid_t pids_tracer(pid_t pid, pid_t tid);
/* Has a process a handler for a signal? */
bool pids_catches(pid_t pid, int sig);
bool pids_blocks(pid_t pid, pid_t tid, int sig);
/* Its threads, those too that have ended and wait for somebody. malloc'd. */
pid_t *pids_threads(pid_t pid, size_t *ret_n);
/* How many those are, for a tenth of the price; 0: it is not there. */
size_t pids_count(pid_t pid);

#endif
