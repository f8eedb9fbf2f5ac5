// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Memory shared anonymously: mmap(MAP_SHARED | MAP_ANONYMOUS), or a shared map of /dev/zero. The
 * kernel makes a file of its own for it, which has no name and no descriptor, unless it is opened
 * through /proc, and whose pages a fork does not copy: they are taken while the process stands
 * still.
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

/* The whole of a process's address space: no area is larger. */
#define SHMEM_MAX_BYTES (1ULL << 47)
#define PAGE_BYTES	4096ULL

static bool match(const struct kind_file *f)
{
	return S_ISREG(f->inode->mode) && f->inode->unhashed &&
	       !strcmp(f->inode->fstype, "tmpfs") && !strcmp(f->path, "/dev/zero");
}

static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	return memfile_not_outside(d, f, err);
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	_cleanup_close_ int from = -1;
	int rc = memfile_open_own(f, &from, err);

	return rc < 0 ? rc : memfile_save(d, f, "shmem", from, o, err);
}

/* ---- restoring ---- */

/* Only a map makes it; of no size it cannot be, but can become. */
static int make(uint64_t size, int *ret_fd, struct ckpt_err **err)
{
	uint64_t bytes = size ? (size + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1) : PAGE_BYTES;
	void *mem;
	int rc;

	if (size > SHMEM_MAX_BYTES)
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE,
				 "shared memory cannot have %" PRIu64 " bytes", size);
	mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE,
		   -1, 0);
	if (mem == MAP_FAILED)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE,
				       "make %" PRIu64 " bytes of shared memory", size);
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
	if (rc == 0)
		rc = make(m.size, &fd, err);
	if (rc == 0)
		rc = memfile_fill(r, o, &m, fd, err);
	return rc < 0 ? rc : memfile_describe(o, &fd, ret_fd, err);
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	snprintf(buf, len, "anonymous shared memory, %" PRIu64 " bytes", (uint64_t)f->inode->size);
}

static const char *const volatile_members[] = { "data", NULL };

const struct ckpt_kind kind_shmem = {
	.name = "shmem",
	.has_pos = true,
	.match = match,
	.check = check,
	.save = save,
	.need = memfile_need,
	.open = open_it,
	.volatile_members = volatile_members,
	.describe = describe,
};
