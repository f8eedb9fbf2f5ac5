// SPDX-License-Identifier: LGPL-2.1-or-later
/* Copying contents between files. See copy.h. */
#include "copy.h"
#include "../util.h"

#include <errno.h>
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
