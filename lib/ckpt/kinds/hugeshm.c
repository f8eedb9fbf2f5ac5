// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Huge pages of a fixed size, shared anonymously: mmap(MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB).
 * Like shmem.c, but in hugetlbfs, whose files can be read but not written: contents go in through a
 * map.
 */
#include "../util.h"
#include "copy.h"
#include "kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static bool match(const struct kind_file *f)
{
	return f->fd < 0 && S_ISREG(f->inode->mode) && !strcmp(f->inode->fstype, "hugetlbfs") &&
	       !strcmp(f->inode->dname, "anon_hugepage");
}

static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	(void)d;
	(void)f;
	(void)err;
	return 0;
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	_cleanup_close_ int from = -1;
	struct stat st;
	int rc = kind_get_fd(d, f, &from, err);

	if (rc < 0)
		return rc;
	if (fstat(from, &st) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "look at shared huge pages");
	if (js_set_hex(o, "size", f->inode->size) || js_set_int(o, "page_bytes", st.st_blksize))
		return ckpt_fail_nomem(err);
	return d->w ? kind_save_data(d, f, "hugeshm", from, o, err) : 0;
}

/* log2 of the page size, for mmap's flags; 0 when it is none. */
static int page_shift(uint64_t bytes)
{
	return bytes >= 65536 && (bytes & (bytes - 1)) == 0 ? __builtin_ctzll(bytes) : 0;
}

/* Read the contents into the map. Pages of zeros are left unmade. */
static int fill(int from, char *mem, uint64_t size, uint64_t page, struct ckpt_err **err)
{
	for (uint64_t at = 0; at < size; at += page) {
		off_t data = lseek(from, (off_t)at, SEEK_DATA);
		int rc;

		if (data < 0 && errno == ENXIO)
			break;
		if (data >= 0 && (uint64_t)data >= at + page)
			continue;
		rc = pread_all(from, mem + at, page, at);
		if (rc < 0)
			return ckpt_fail_errno(err, rc, CKPT_E_IMAGE,
					       "read the contents of shared huge pages");
	}
	return 0;
}

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	_cleanup_close_ int from = -1;
	uint64_t size = 0, page = 0;
	char *mem;
	int rc = js_u64(o, "size", &size, err);

	if (rc == 0)
		rc = js_u64(o, "page_bytes", &page, err);
	if (rc == 0 && (!page_shift(page) || size == 0 || size % page || size > 1ULL << 46))
		rc = ckpt_fail(err, EINVAL, CKPT_E_IMAGE,
			       "shared huge pages of an impossible size");
	if (rc == 0)
		rc = kind_open_data(r, o, size, &from, err);
	if (rc < 0)
		return rc;
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB | page_shift(page) << 26, -1, 0);
	if (mem == MAP_FAILED) {
		rc = ckpt_fail_errno(err, errno, CKPT_E_MACHINE,
				     "make %" PRIu64 " bytes of shared huge pages", size);
		ckpt_hint(err, "raise /proc/sys/vm/nr_hugepages");
		return rc;
	}
	rc = fill(from, mem, size, page, err);
	if (rc == 0)
		rc = kind_lend_map(mem, size, ret_fd, err);
	munmap(mem, size);
	return rc;
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	snprintf(buf, len, "shared huge pages, %" PRIu64 " bytes", (uint64_t)f->inode->size);
}

static const char *const volatile_members[] = { "data", "flags", NULL };

const struct ckpt_kind kind_hugeshm = {
	.name = "hugeshm",
	.match = match,
	.check = check,
	.save = save,
	.open = open_it,
	.volatile_members = volatile_members,
	.describe = describe,
};
