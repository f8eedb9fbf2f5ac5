// SPDX-License-Identifier: LGPL-2.1-or-later
/* Files in memory without a name. See memfile.h. */
#include "memfile.h"
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

/* The whole of a process's address space. */
#define SIZE_MAX_BYTES	(1ULL << 47)
#define HUGE_SHIFT_FLAG 26 /* MAP_HUGE_SHIFT and MFD_HUGE_SHIFT */
#define FILL_CHUNK	(1UL << 16)

int memfile_open_own(const struct kind_file *f, int *ret_fd, struct ckpt_err **err)
{
	char link[KIND_LINK_LEN];

	*ret_fd = open(kind_link(f, link), O_RDONLY | O_CLOEXEC);
	if (*ret_fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "open a file in memory");
	return 0;
}

bool memfile_is_huge(const struct kind_file *f)
{
	return !strcmp(f->inode->fstype, "hugetlbfs");
}

/* ---- saving ---- */

static int save_members(const struct kind_file *f, int from, json_t *o, struct ckpt_err **err)
{
	struct stat st;

	if (memfile_is_huge(f)) {
		if (fstat(from, &st) < 0)
			return ckpt_fail_errno(err, errno, CKPT_E_SYS, "look at huge pages");
		if (js_set_int(o, "page_bytes", st.st_blksize))
			return ckpt_fail_nomem(err);
	}
	if (js_set_int(o, "size", (int64_t)f->inode->size) ||
	    js_set_int(o, "mode", f->inode->mode & 07777) || js_set_int(o, "uid", f->inode->uid) ||
	    js_set_int(o, "gid", f->inode->gid))
		return ckpt_fail_nomem(err);
	return 0;
}

int memfile_save(struct kind_dump *d, const struct kind_file *f, const char *prefix, int from,
		 json_t *o, struct ckpt_err **err)
{
	uint32_t id = objects_id(d->os, f->inode->file_id);
	uint32_t first = objects_by_inode(d->os, f->inode->inode_id);
	int rc;

	if (first != id)
		return js_set_int(o, "inode_of", first) ? ckpt_fail_nomem(err) : 0;
	rc = save_members(f, from, o, err);
	if (rc == 0 && d->w)
		rc = kind_save_data(d, f, prefix, from, o, err);
	return rc;
}

int memfile_not_outside(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	char who[128];
	pid_t pid = kind_outside_holder(d, f, false);

	/* With a descriptor, it can have been opened by others through /proc. */
	if (!pid && f->fd >= 0)
		pid = kind_outside_holder(d, f, true);
	if (!pid)
		return 0;
	kind_process_words(pid, who, sizeof(who));
	ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED, "the memory is shared with %s", who);
	ckpt_hint(err, "end that process, or let it unmap the memory, before the checkpoint");
	return -EOPNOTSUPP;
}

/* ---- restoring ---- */

/* A size of pages that mmap(2) can be asked for. */
static bool is_page_size(uint64_t bytes)
{
	return bytes >= 65536 && bytes <= 1ULL << 40 && (bytes & (bytes - 1)) == 0;
}

int memfile_parse(const json_t *o, struct memfile *m, struct ckpt_err **err)
{
	int rc;

	m->page_bytes = 0;
	rc = js_u64(o, "size", &m->size, err);
	if (rc == 0)
		rc = js_u32(o, "mode", &m->mode, err);
	if (rc == 0)
		rc = js_u32(o, "uid", &m->uid, err);
	if (rc == 0)
		rc = js_u32(o, "gid", &m->gid, err);
	if (rc == 0)
		rc = js_opt_u64(o, "page_bytes", &m->page_bytes, err);
	if (rc < 0)
		return rc;
	if (m->mode > 07777 || m->size > INT64_MAX)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
				 "size or mode of a file in memory is not sound");
	if (m->page_bytes &&
	    (!is_page_size(m->page_bytes) || m->size % m->page_bytes || m->size > SIZE_MAX_BYTES))
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "huge pages of an impossible size");
	return 0;
}

int memfile_need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	_cleanup_close_ int from = -1;
	struct memfile m;
	int rc;

	if (json_object_get(o, "inode_of"))
		return 0;
	rc = memfile_parse(o, &m, err);
	return rc < 0 ? rc : kind_open_data(r, o, m.size, &from, err);
}

unsigned int memfile_huge_flags(const struct memfile *m, unsigned int huge_flag)
{
	if (!m->page_bytes)
		return 0;
	return huge_flag | (unsigned int)__builtin_ctzll(m->page_bytes) << HUGE_SHIFT_FLAG;
}

int memfile_no_pages(const struct memfile *m, const char *what, struct ckpt_err **err)
{
	int rc = ckpt_fail_errno(err, errno, m->page_bytes ? CKPT_E_MACHINE : CKPT_E_RESTORE,
				 "make %" PRIu64 " bytes of %s", m->size, what);

	if (m->page_bytes)
		ckpt_hint(err, "raise /proc/sys/vm/nr_hugepages");
	return rc;
}

static bool is_zero(const char *p, size_t len)
{
	return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

int memfile_fill_map(int from, void *mem, uint64_t size, struct ckpt_err **err)
{
	_cleanup_free_ char *buf = malloc(FILL_CHUNK);

	if (!buf)
		return ckpt_fail_nomem(err);
	for (uint64_t at = 0; at < size; at += FILL_CHUNK) {
		size_t n = size - at < FILL_CHUNK ? size - at : FILL_CHUNK;
		int rc = pread_all(from, buf, n, at);

		if (rc < 0)
			return ckpt_fail_errno(err, rc, CKPT_E_IMAGE, "read contents of memory");
		if (!is_zero(buf, n))
			memcpy((char *)mem + at, buf, n);
	}
	return 0;
}

static int fill_huge(int from, int fd, const struct memfile *m, struct ckpt_err **err)
{
	void *mem;
	int rc;

	if (ftruncate(fd, (off_t)m->size) < 0)
		return memfile_no_pages(m, "huge pages", err);
	if (m->size == 0)
		return 0;
	mem = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		return memfile_no_pages(m, "huge pages", err);
	rc = memfile_fill_map(from, mem, m->size, err);
	munmap(mem, m->size);
	return rc;
}

int memfile_fill(const struct kind_restore *r, const json_t *o, const struct memfile *m, int fd,
		 struct ckpt_err **err)
{
	_cleanup_close_ int from = -1;
	int rc = kind_open_data(r, o, m->size, &from, err);

	if (rc == 0)
		rc = m->page_bytes ? fill_huge(from, fd, m, err)
				   : copy_sparse(from, fd, m->size, err);
	if (rc < 0)
		return rc;
	if (fchown(fd, m->uid, m->gid) < 0 || fchmod(fd, m->mode) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE,
				       "give a file in memory its owner");
	return 0;
}

int memfile_describe(const json_t *o, int *fd, int *ret_fd, struct ckpt_err **err)
{
	int flags = 0, rc = kind_open_flags(o, &flags, err);

	if (rc < 0)
		return rc;
	if ((flags & (O_ACCMODE | O_PATH)) == O_RDWR) {
		*ret_fd = TAKE_FD(*fd);
		return 0;
	}
	rc = kind_reopen(*fd, flags, "a file in memory", err);
	if (rc < 0)
		return rc;
	*ret_fd = rc;
	return 0;
}
