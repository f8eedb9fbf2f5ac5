/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small things that every file of the engine wants: release on scope exit, whole writes, a clock.
 */
#ifndef CKPT_UTIL_H
#define CKPT_UTIL_H

#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/*
 * Release on scope exit. Descriptors start at -1, pointers at NULL. errno survives, so that a call
 * may fail with it after its resources went away.
 */
#define _cleanup_(fn) __attribute__((cleanup(fn)))

static inline void util_freep(void *p)
{
	int saved = errno;
	void *mem;

	memcpy(&mem, p, sizeof(mem));
	free(mem);
	errno = saved;
}

static inline void util_closep(const int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

static inline void util_json_decrefp(json_t **j)
{
	int saved = errno;

	json_decref(*j);
	errno = saved;
}

#define _cleanup_free_	_cleanup_(util_freep)
#define _cleanup_close_ _cleanup_(util_closep)
#define _cleanup_json_	_cleanup_(util_json_decrefp)

/* Hand over what a variable owns: the variable is empty afterwards. */
#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		__typeof__(p) *take_p_ = &(p);                                                     \
		__typeof__(p) take_v_ = *take_p_;                                                  \
		*take_p_ = NULL;                                                                   \
		take_v_;                                                                           \
	})

static inline int util_take_fd(int *fd)
{
	int v = *fd;

	*fd = -1;
	return v;
}

#define TAKE_FD(fd) util_take_fd(&(fd))

/* Close and mark as closed. */
static inline void close_reset(int *fd)
{
	util_closep(fd);
	*fd = -1;
}

/* Write all of it at the descriptor's position, whatever comes between. 0 or -errno. */
static inline int write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENOSPC;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Read exactly `len` bytes at `offset`. 0, -ENODATA when the file ends before, or -errno. */
static inline int pread_all(int fd, void *data, size_t len, uint64_t offset)
{
	char *p = data;

	while (len > 0) {
		ssize_t n = pread(fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENODATA;
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

/* Write all of it at `offset`. 0 or -errno. */
static inline int pwrite_all(int fd, const void *data, size_t len, uint64_t offset)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENOSPC;
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

/* Of the monotonic clock. */
static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static inline uint64_t now_us(void)
{
	return now_ns() / 1000;
}

/* An address, or another number that a call takes in the place of one. */
static inline void *as_ptr(uint64_t v)
{
	return (void *)(uintptr_t)v;
}

#endif
