/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See zoo.h. Nothing here keeps a descriptor open, so that a program holds what it made and no
 * more. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

const char *zoo_go;
static const char *zoo_log_path;
static atomic_int zoo_failures;

static void zoo_put(const char *line)
{
	int fd = zoo_log_path ? open(zoo_log_path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
	size_t len = strlen(line);

	/* After a change of root or of credentials, standard output is the way to the log. */
	if (write(fd >= 0 ? fd : STDOUT_FILENO, line, len) != (ssize_t)len)
		abort();
	if (fd >= 0)
		close(fd);
}

static void zoo_put_v(const char *prefix, const char *fmt, va_list ap)
{
	char text[2000], line[2100];

	vsnprintf(text, sizeof(text), fmt, ap);
	snprintf(line, sizeof(line), "%s%s\n", prefix, text);
	zoo_put(line);
}

void zoo_log(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	zoo_put_v("", fmt, ap);
	va_end(ap);
}

void zoo_fail(const char *file, int line, const char *fmt, ...)
{
	char prefix[200];
	va_list ap;

	snprintf(prefix, sizeof(prefix), "FAIL %s:%d: ", file, line);
	va_start(ap, fmt);
	if (atomic_fetch_add(&zoo_failures, 1) < 20)
		zoo_put_v(prefix, fmt, ap);
	va_end(ap);
}

_Noreturn void zoo_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	zoo_put_v("skip: ", fmt, ap);
	va_end(ap);
	_exit(77);
}

_Noreturn void zoo_die(const char *file, int line, const char *what)
{
	int err = errno;

	zoo_log("FAIL %s:%d: set-up: %s: %s", file, line, what, strerror(err));
	_exit(1);
}

void zoo_same_at(const char *file, int line, const char *what, long long got, long long want)
{
	if (got != want)
		zoo_fail(file, line, "%s is %lld (0x%llx), was %lld (0x%llx)", what, got,
			 (unsigned long long)got, want, (unsigned long long)want);
}

/*
 * With $ZOO_EXTRA, hold something that cannot be saved (a perf event that counts nothing), out of
 * the way of the descriptors that the program makes itself.
 */
#define ZOO_EXTRA_FD 199

static void zoo_hold_extra(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE,
					.size = sizeof(attr),
					.config = PERF_COUNT_SW_DUMMY,
					.disabled = 1 };
	int fd;

	/* It executed itself. */
	if (fcntl(ZOO_EXTRA_FD, F_GETFD) >= 0)
		return;
	fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
	zoo_need(fd >= 0 && dup2(fd, ZOO_EXTRA_FD) >= 0);
	close(fd);
}

void zoo_start(void)
{
	zoo_log_path = getenv("ZOO_LOG");
	zoo_go = getenv("ZOO_GO");
	if (!zoo_go) {
		fprintf(stderr, "ZOO_GO is not set: run me through tests/run_zoo\n");
		exit(2);
	}
	if (getenv("ZOO_EXTRA"))
		zoo_hold_extra();
}

void zoo_ready(void)
{
	zoo_put("ready\n");
}

bool zoo_gone(void)
{
	return syscall(SYS_faccessat, AT_FDCWD, zoo_go, F_OK) == 0;
}

void zoo_wait(void)
{
	while (!zoo_gone())
		zoo_sleep_ms(5);
}

/* $ZOO_GO holds the longest and the shortest time that the process can have been dead. */
static void zoo_dead_range(double *ret_most, double *ret_least)
{
	char text[64], *after;
	int fd = open(zoo_go, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

	zoo_need(len > 0);
	close(fd);
	text[len] = '\0';
	*ret_most = strtod(text, &after);
	*ret_least = strtod(after, NULL);
}

double zoo_dead(void)
{
	double most, least;

	zoo_dead_range(&most, &least);
	return most;
}

int zoo_end(void)
{
	int n = atomic_load(&zoo_failures);

	if (n)
		zoo_log("FAIL: %d checks", n);
	else
		zoo_put("ok\n");
	return n != 0;
}

/* ---- children ---- */

static int zoo_handshake = -1;

pid_t zoo_fork(void)
{
	int end[2];
	pid_t child;
	char c;

	zoo_need(pipe2(end, O_CLOEXEC) == 0);
	child = fork();
	zoo_need(child >= 0);
	if (child == 0) {
		close(end[0]);
		if (zoo_handshake >= 0)
			close(zoo_handshake);
		zoo_handshake = end[1];
		atomic_store(&zoo_failures, 0);
		return 0;
	}
	close(end[1]);
	while (read(end[0], &c, 1) < 0 && errno == EINTR)
		;
	close(end[0]);
	return child;
}

void zoo_here(void)
{
	close(zoo_handshake);
	zoo_handshake = -1;
}

_Noreturn void zoo_leave(void)
{
	_exit(atomic_load(&zoo_failures) != 0);
}

void zoo_join_at(const char *file, int line, pid_t child)
{
	int status = -1;
	pid_t got;

	do
		got = waitpid(child, &status, __WALL);
	while (got < 0 && errno == EINTR);
	if (got != child)
		zoo_fail(file, line, "waiting for process %d: %s", child, strerror(errno));
	else if (status)
		zoo_fail(file, line, "process %d ended with status %#x", child, (unsigned)status);
}

void *zoo_shared(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	zoo_need(p != MAP_FAILED);
	return p;
}

double zoo_now(clockid_t clock)
{
	struct timespec ts;

	zoo_need(clock_gettime(clock, &ts) == 0);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void zoo_sleep_ms(unsigned int ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	syscall(SYS_nanosleep, &ts, NULL);
}

void zoo_check_took(const char *what, double took, double want)
{
	double most, least;

	zoo_dead_range(&most, &least);
	/* Clocks that are told the time by others run a little faster or slower than they should.
	 */
	zoo_check(took >= want - 0.001, "%s ended after %.3f s instead of %.3f s", what, took,
		  want);
	zoo_check(took - least >= want - 0.45,
		  "%s ended after %.3f s (dead for %.3f at least), wanted %.3f s", what, took,
		  least, want);
	zoo_check(took - most <= want + 0.45,
		  "%s ended after %.3f s (dead for %.3f at most), wanted %.3f s", what, took, most,
		  want);
}

static uint64_t zoo_mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ULL;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

void zoo_fill(void *p, size_t len, uint64_t seed)
{
	unsigned char *b = p;

	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = zoo_mix(seed * 0x9e3779b97f4a7c15ULL + i + 1);

		memcpy(b + i, &v, len - i < 8 ? len - i : 8);
	}
}

bool zoo_filled(const void *p, size_t len, uint64_t seed)
{
	const unsigned char *b = p;

	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = zoo_mix(seed * 0x9e3779b97f4a7c15ULL + i + 1);

		if (memcmp(b + i, &v, len - i < 8 ? len - i : 8))
			return false;
	}
	return true;
}

char *zoo_slurp(const char *path, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0, room = 1 << 16;
	char *text = malloc(room);
	ssize_t n;

	if (fd < 0)
		zoo_die("zoo_slurp", 0, path);
	zoo_need(text);
	while ((n = read(fd, text + len, room - len - 1)) > 0) {
		len += (size_t)n;
		if (room - len < 4096) {
			room *= 2;
			text = realloc(text, room);
			zoo_need(text);
		}
	}
	zoo_need(n == 0);
	close(fd);
	text[len] = '\0';
	if (ret_len)
		*ret_len = len;
	return text;
}

/* The value of "KEY:" at the start of a line between text and end, malloc'd. */
static char *zoo_line(const char *text, const char *end, const char *key)
{
	size_t key_len = strlen(key);

	while (text < end) {
		const char *eol = memchr(text, '\n', (size_t)(end - text));

		if (!eol)
			eol = end;
		if ((size_t)(eol - text) > key_len && !strncmp(text, key, key_len) &&
		    text[key_len] == ':') {
			text += key_len + 1;
			while (text < eol && (*text == ' ' || *text == '\t'))
				text++;
			while (eol > text && eol[-1] == ' ')
				eol--;
			return strndup(text, (size_t)(eol - text));
		}
		text = eol + 1;
	}
	return strdup("");
}

char *zoo_field(const char *path, const char *key)
{
	size_t len;
	char *text = zoo_slurp(path, &len);
	char *value = zoo_line(text, text + len, key);

	free(text);
	return value;
}

long long zoo_number(const char *path, const char *key)
{
	char *value = zoo_field(path, key);
	long long n = *value ? strtoll(value, NULL, 10) : -1;

	free(value);
	return n;
}

/* Start and end of an area's paragraph in smaps: a head "START-END perms ..." and fields. */
static const char *zoo_smaps_area(const char *text, const void *addr, const char **ret_end)
{
	const char *found = NULL;

	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		char *after;
		unsigned long start;

		if (*line == '\n')
			line++;
		start = strtoul(line, &after, 16);
		if (after - line < 8 || *after != '-')
			continue;
		if (found) {
			*ret_end = line;
			return found;
		}
		if (start == (unsigned long)addr)
			found = line;
	}
	*ret_end = text + strlen(text);
	return found;
}

char *zoo_smaps(const void *addr, const char *key)
{
	char *text = zoo_slurp("/proc/self/smaps", NULL), *value;
	const char *end;
	const char *area = zoo_smaps_area(text, addr, &end);

	value = area ? zoo_line(area, end, key) : strdup("");
	free(text);
	return value;
}

bool zoo_mapped(const void *addr)
{
	unsigned char vec;

	/* mincore(2): ENOMEM for an address of no area. */
	return syscall(SYS_mincore, addr, 1, &vec) == 0;
}

static sigjmp_buf zoo_fault_jump;

static void zoo_on_fault(int sig)
{
	siglongjmp(zoo_fault_jump, sig);
}

bool zoo_faults(volatile void *addr, bool write)
{
	struct sigaction act = { .sa_handler = zoo_on_fault }, old_segv, old_bus;
	volatile unsigned char *p = addr;
	bool faults;

	zoo_need(sigaction(SIGSEGV, &act, &old_segv) == 0);
	zoo_need(sigaction(SIGBUS, &act, &old_bus) == 0);
	if (sigsetjmp(zoo_fault_jump, 1) == 0) {
		unsigned char c = *p;

		if (write)
			*p = c;
		faults = false;
	} else {
		faults = true;
	}
	zoo_need(sigaction(SIGSEGV, &old_segv, NULL) == 0);
	zoo_need(sigaction(SIGBUS, &old_bus, NULL) == 0);
	return faults;
}
