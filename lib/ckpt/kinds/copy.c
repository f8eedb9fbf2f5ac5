// SPDX-License-Identifier: LGPL-2.1-or-later
/* Copying contents between files. See copy.h. */
#include "copy.h"
#include "../util.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COPY_CHUNK = 1 << 20 };

static int copy_range(int from, int to, char *buf, uint64_t at, uint64_t end)
{
	while (at < end) {
		size_t n = end - at < COPY_CHUNK ? end - at : COPY_CHUNK;
		int rc = pread_all(from, buf, n, at);

		if (rc == 0)
			rc = pwrite_all(to, buf, n, at);
		if (rc < 0)
			return rc;
		at += n;
	}
	return 0;
}

int copy_sparse(int from, int to, uint64_t size, struct ckpt_err **err)
{
	_cleanup_free_ char *buf = malloc(COPY_CHUNK);
	uint64_t at = 0;

	if (!buf)
		return ckpt_fail_nomem(err);
	if (ftruncate(to, (off_t)size) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_OUTPUT, "make a file of %llu bytes",
				       (unsigned long long)size);
	while (at < size) {
		off_t data = lseek(from, (off_t)at, SEEK_DATA), hole;
		int rc;

		if (data < 0 && errno == ENXIO)
			break; /* a hole up to the end */
		if (data < 0)
			data = (off_t)at; /* a file system without holes */
		hole = lseek(from, data, SEEK_HOLE);
		if (hole < 0 || (uint64_t)hole > size)
			hole = (off_t)size;
		rc = copy_range(from, to, buf, (uint64_t)data, (uint64_t)hole);
		if (rc < 0)
			return ckpt_fail_errno(err, rc, CKPT_E_OUTPUT, "copy a file's contents");
		at = (uint64_t)hole;
	}
	return 0;
}

/*
 * Read by a system call: should the file be cut meanwhile, by somebody outside, it fails, where a
 * load would raise a signal.
 */
static int read_map(const char *map, char *buf, uint64_t n)
{
	struct iovec to = { buf, n }, from = { (void *)(uintptr_t)map, n };
	ssize_t got = process_vm_readv(getpid(), &to, 1, &from, 1, 0);

	return got < 0 ? -errno : (uint64_t)got == n ? 0 : -EFAULT;
}

static int write_pages(const char *buf, int to, uint64_t n, uint64_t at)
{
	static const char zeros[4096];

	for (uint64_t i = 0; i < n; i += sizeof(zeros)) {
		uint64_t part = n - i < sizeof(zeros) ? n - i : sizeof(zeros);
		int rc = memcmp(buf + i, zeros, part) ? pwrite_all(to, buf + i, part, at + i) : 0;

		if (rc < 0)
			return rc;
	}
	return 0;
}

int copy_mapped(int from, int to, uint64_t size, struct ckpt_err **err)
{
	_cleanup_free_ char *buf = malloc(COPY_CHUNK);
	char *map;
	int rc = 0;

	if (!buf)
		return ckpt_fail_nomem(err);
	if (ftruncate(to, (off_t)size) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_OUTPUT, "make a file of %llu bytes",
				       (unsigned long long)size);
	if (!size)
		return 0;
	map = mmap(NULL, size, PROT_READ, MAP_SHARED, from, 0);
	if (map == MAP_FAILED)
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "map a file");
	for (uint64_t at = 0; rc == 0 && at < size; at += COPY_CHUNK) {
		uint64_t n = size - at < COPY_CHUNK ? size - at : COPY_CHUNK;

		rc = read_map(map + at, buf, n);
		if (rc == 0)
			rc = write_pages(buf, to, n, at);
	}
	munmap(map, size);
	return rc < 0 ? ckpt_fail_errno(err, rc, CKPT_E_OUTPUT, "copy a file's contents") : 0;
}
