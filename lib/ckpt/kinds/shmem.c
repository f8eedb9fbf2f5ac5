// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Memory shared anonymously: mmap(MAP_SHARED | MAP_ANONYMOUS), or a shared map of /dev/zero. The
 * kernel makes a file of its own for it, which has no name and no descriptor, and whose pages a
 * fork does not copy: they are taken while the process stands still.
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

/* The whole of a process's address space: no area is larger. */
#define SHMEM_MAX_BYTES (1ULL << 47)

static bool match(const struct kind_file *f)
{
	return S_ISREG(f->inode->mode) && f->inode->unhashed &&
	       !strcmp(f->inode->fstype, "tmpfs") && !strcmp(f->path, "/dev/zero");
}

/* Opened through /proc it has a second description, which would come back as other memory. */
static bool is_open_otherwise(const struct kind_dump *d, const struct kind_file *f)
{
	const struct rec_inode *me = f->inode;

	for (size_t i = 0; i < d->snap->n_files; i++)
		if (d->snap->files[i].rec->inode.inode_id == me->inode_id)
			return true;
	for (size_t i = 0; i < d->snap->n_vmas; i++) {
		const struct rec_inode *ino = &d->snap->vmas[i].rec->inode;

		if (d->snap->vmas[i].rec->has_file && ino->inode_id == me->inode_id &&
		    ino->file_id != me->file_id)
			return true;
	}
	return false;
}

static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	char who[128];
	pid_t pid;

	if (f->fd >= 0 || is_open_otherwise(d, f))
		return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
				 "anonymous shared memory that was opened as a file");
	pid = kind_outside_holder(d, f, false);
	if (!pid)
		return 0;
	kind_process_words(pid, who, sizeof(who));
	ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED, "the memory is shared with %s", who);
	ckpt_hint(err, "end that process, or let it unmap the memory, before the checkpoint");
	return -EOPNOTSUPP;
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	_cleanup_close_ int from = -1;
	int rc;

	if (js_set_hex(o, "size", f->inode->size) || js_set_int(o, "mode", f->inode->mode))
		return ckpt_fail_nomem(err);
	if (!d->w)
		return 0;
	rc = kind_get_fd(d, f, &from, err);
	return rc < 0 ? rc : kind_save_data(d, f, "shmem", from, o, err);
}

/* ---- restoring ---- */

static int read_size(const json_t *o, uint64_t *ret, struct ckpt_err **err)
{
	int rc = js_u64(o, "size", ret, err);

	if (rc == 0 && (*ret == 0 || *ret % 4096 || *ret > SHMEM_MAX_BYTES))
		rc = ckpt_fail(err, EINVAL, CKPT_E_IMAGE,
			       "shared memory cannot have %" PRIu64 " bytes", *ret);
	return rc;
}

static int need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	_cleanup_close_ int from = -1;
	uint64_t size = 0;
	int rc = read_size(o, &size, err);

	return rc < 0 ? rc : kind_open_data(r, o, size, &from, err);
}

static int make(uint64_t size, int *ret_fd, struct ckpt_err **err)
{
	void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int rc;

	if (mem == MAP_FAILED)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE,
				       "make %" PRIu64 " bytes of shared memory", size);
	rc = kind_lend_map(mem, size, ret_fd, err);
	munmap(mem, size);
	return rc;
}

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	_cleanup_close_ int from = -1, to = -1;
	uint64_t size = 0;
	int rc = read_size(o, &size, err);

	if (rc == 0)
		rc = kind_open_data(r, o, size, &from, err);
	if (rc == 0)
		rc = make(size, &to, err);
	if (rc == 0)
		rc = copy_sparse(from, to, size, err);
	if (rc == 0)
		*ret_fd = TAKE_FD(to);
	return rc;
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	snprintf(buf, len, "anonymous shared memory, %" PRIu64 " bytes", (uint64_t)f->inode->size);
}

/* The kernel's own file has no O_LARGEFILE, one opened through /proc has. */
static const char *const volatile_members[] = { "data", "flags", NULL };

const struct ckpt_kind kind_shmem = {
	.name = "shmem",
	.match = match,
	.check = check,
	.save = save,
	.need = need,
	.open = open_it,
	.volatile_members = volatile_members,
	.describe = describe,
};
