// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Huge pages of a fixed size, shared anonymously: mmap(MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB).
 * Like shmem.c, but in hugetlbfs, whose files can be read but not written: contents go in through a
 * map.
 */
#include "../util.h"
#include "kinds.h"
#include "memfile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static bool match(const struct kind_file *f)
{
	return S_ISREG(f->inode->mode) && memfile_is_huge(f) &&
	       !strcmp(f->inode->dname, "anon_hugepage");
}

static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	return memfile_not_outside(d, f, err);
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	_cleanup_close_ int from = -1;
	int rc = memfile_open_own(f, &from, err);

	return rc < 0 ? rc : memfile_save(d, f, "hugeshm", from, o, err);
}

/* Reserved at once, as the map of the program had been. */
static int make(const struct memfile *m, int *ret_fd, struct ckpt_err **err)
{
	uint64_t bytes = m->size ? m->size : m->page_bytes;
	int flags = MAP_SHARED | MAP_ANONYMOUS | (int)memfile_huge_flags(m, MAP_HUGETLB);
	void *mem;
	int rc;

	mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (mem == MAP_FAILED)
		return memfile_no_pages(m, "shared huge pages", err);
	rc = kind_lend_map(mem, bytes, ret_fd, err);
	munmap(mem, bytes);
	return rc;
}

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	_cleanup_close_ int fd = -1;
	struct memfile m;
	int flags = 0, rc = kind_open_flags(o, &flags, err);

	if (rc < 0 || json_object_get(o, "inode_of"))
		return rc < 0 ? rc : kind_open_other(r, o, flags, ret_fd, err);
	rc = memfile_parse(o, &m, err);
	if (rc == 0 && !m.page_bytes)
		rc = ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "huge pages without a size");
	if (rc == 0)
		rc = make(&m, &fd, err);
	if (rc == 0)
		rc = memfile_fill(r, o, &m, fd, err);
	return rc < 0 ? rc : memfile_describe(o, &fd, ret_fd, err);
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	snprintf(buf, len, "shared huge pages, %" PRIu64 " bytes", (uint64_t)f->inode->size);
}

static const char *const volatile_members[] = { "data", NULL };

const struct ckpt_kind kind_hugeshm = {
	.name = "hugeshm",
	.has_pos = true,
	.match = match,
	.check = check,
	.save = save,
	.need = memfile_need,
	.open = open_it,
	.volatile_members = volatile_members,
	.describe = describe,
};
