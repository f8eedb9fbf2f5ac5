/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every program of the zoo uses. A program sets up one kind of resource, says that it is
 *ready, waits (or works), and then proves that nothing changed, whatever was done to it in between:
 *
 *	zoo_start();
 *	...set up, zoo_need() what must work for the test to mean anything...
 *	zoo_ready();
 *	zoo_wait();
 *	...zoo_check() every property...
 *	return zoo_end();
 *
 * The runner (tests/run_zoo) talks to it through two files: $ZOO_LOG, which gets "ready", failures
 *and the verdict as its last line, and $ZOO_GO, which appears when it is time to prove, and tells
 *for how long the process was dead. Line 2 of a program may tell the runner more: see
 *tests/run_zoo.
 */
#ifndef ZOO_H
#define ZOO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* Path of the file whose existence means "prove it"; a program that changes its root may set it. */
extern const char *zoo_go;

void zoo_start(void);
/* To the log: "ready". */
void zoo_ready(void);
bool zoo_gone(void); /* has $ZOO_GO appeared */
/* Poll for $ZOO_GO every 5 ms, by plain nanosleep(2). */
void zoo_wait(void);
/* For how long the process did not exist at most, in seconds; known after $ZOO_GO. */
double zoo_dead(void);
/* Write the verdict; the program's exit status. */
int zoo_end(void);

void zoo_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void zoo_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The machine lacks something: ends the program. */
_Noreturn void zoo_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void zoo_die(const char *file, int line, const char *what);

/* Record a failure unless `cond`. */
#define zoo_check(cond, ...) ((cond) ? (void)0 : zoo_fail(__FILE_NAME__, __LINE__, __VA_ARGS__))
/* Two integers must be equal. */
#define zoo_same(got, want)                                                                        \
	zoo_same_at(__FILE_NAME__, __LINE__, #got, (long long)(got), (long long)(want))
/* Ends the program unless `cond`: the set-up did not work, and errno says why. */
#define zoo_need(cond) ((cond) ? (void)0 : zoo_die(__FILE_NAME__, __LINE__, #cond))

#ifndef __FILE_NAME__
#define __FILE_NAME__ __FILE__
#endif

void zoo_same_at(const char *file, int line, const char *what, long long got, long long want);

/* fork(2); returns in the parent when the child has called zoo_here(), or has ended. */
pid_t zoo_fork(void);
void zoo_here(void);
/* End of a child. Its failures are its parent's, who calls zoo_join(). */
_Noreturn void zoo_leave(void);
#define zoo_join(child) zoo_join_at(__FILE_NAME__, __LINE__, child)
void zoo_join_at(const char *file, int line, pid_t child);
/* Zeroed memory that children will share. */
void *zoo_shared(size_t len);

double zoo_now(clockid_t clock); /* seconds */
void zoo_sleep_ms(unsigned int ms);
/* A call that takes `want` seconds by its own clock ended `took` after its start: not early, not
 * late, the time that the process did not exist left out of the account. */
void zoo_check_took(const char *what, double took, double want);

/* Fill with, and compare with, a pattern that differs at every 8 bytes and for every seed. */
void zoo_fill(void *p, size_t len, uint64_t seed);
bool zoo_filled(const void *p, size_t len, uint64_t seed);

/* A whole file of /proc, malloc'd and NUL-terminated; *ret_len may be NULL. Ends the program on
 * failure. */
char *zoo_slurp(const char *path, size_t *ret_len);
/* The line "KEY: value" of a /proc file without its key, malloc'd; "" when there is none. */
char *zoo_field(const char *path, const char *key);
/* The number in such a line, or -1. */
long long zoo_number(const char *path, const char *key);
/* A field of /proc/self/smaps for the area that starts at `addr`, malloc'd; "" when there is none.
 */
char *zoo_smaps(const void *addr, const char *key);
/* Does a page-aligned address belong to an area at all? Without touching it. */
bool zoo_mapped(const void *addr);
/* Does touching this address raise a SIGSEGV? Not for use in threads. */
bool zoo_faults(volatile void *addr, bool write);

#endif
