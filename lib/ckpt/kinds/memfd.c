// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * memfd_create(2): a file in memory, with a name that is not in any directory. Contents are saved
 * in the image; of several descriptions of one memfd the first object carries it, the others name
 * that object ("inode_of").
 */
#include "../areas.h"
#include "../safe.h"
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

#define PREFIX "/memfd:"

static bool match(const struct kind_file *f)
{
	return S_ISREG(f->inode->mode) && f->inode->unhashed &&
	       !strcmp(f->inode->fstype, "tmpfs") && !strncmp(f->inode->dname, "memfd:", 6) &&
	       !strncmp(f->path, PREFIX, strlen(PREFIX));
}

static const char *name_of(const struct kind_file *f)
{
	return f->path + strlen(PREFIX);
}

/* ---- saving ---- */

static int get_seals(const struct kind_dump *d, const struct kind_file *f, int *ret,
		     struct ckpt_err **err)
{
	_cleanup_close_ int fd = -1;
	int rc = kind_get_fd(d, f, &fd, err);

	if (rc < 0)
		return rc;
	*ret = fcntl(fd, F_GET_SEALS);
	if (*ret < 0 && f->inode->f_flags & O_PATH)
		*ret = 0;
	return *ret < 0 ? ckpt_fail_errno(err, errno, CKPT_E_SYS, "get the seals of a memfd") : 0;
}

static bool is_mapped_for_writing(const struct kind_dump *d, uint64_t inode_id)
{
	for (size_t i = 0; i < d->snap->n_vmas; i++) {
		const struct rec_vma *v = d->snap->vmas[i].rec;

		if (v->has_file && v->inode.inode_id == inode_id &&
		    (v->vm_flags & (VMF_SHARED | VMF_WRITE)) == (VMF_SHARED | VMF_WRITE))
			return true;
	}
	return false;
}

static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	int seals = 0;

	if (f->inode->f_flags & O_PATH)
		return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
				 "a memfd opened with O_PATH is not supported");
	/* Running, it may have closed it by now. */
	if (!f->mapped_shared || get_seals(d, f, &seals, NULL) < 0)
		return 0;
	/* Such a map must be older than the seal, but is made after the file is complete. */
	if (seals & F_SEAL_FUTURE_WRITE && is_mapped_for_writing(d, f->inode->inode_id))
		return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
				 "it was sealed against writing after it was mapped for writing");
	return 0;
}

static int save_contents(struct kind_dump *d, const struct kind_file *f, json_t *o,
			 struct ckpt_err **err)
{
	_cleanup_close_ int from = -1;
	char link[KIND_LINK_LEN];

	/* A description of our own: holes are looked for by moving its position. */
	from = open(kind_link(f, link), O_RDONLY | O_CLOEXEC);
	if (from < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "read a memfd");
	return kind_save_data(d, f, "memfd", from, o, err);
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	uint32_t id = objects_id(d->os, f->inode->file_id);
	uint32_t first = objects_by_inode(d->os, f->inode->inode_id);
	int seals = 0, rc = js_set_bytes(o, "name", name_of(f));

	if (first != id)
		return rc || js_set_int(o, "inode_of", first) ? ckpt_fail_nomem(err) : 0;
	if (rc)
		return ckpt_fail_nomem(err);
	rc = get_seals(d, f, &seals, err);
	if (rc < 0)
		return rc;
	if (js_set_int(o, "seals", seals) || js_set_int(o, "size", (int64_t)f->inode->size) ||
	    js_set_int(o, "mode", f->inode->mode & 07777) || js_set_int(o, "uid", f->inode->uid) ||
	    js_set_int(o, "gid", f->inode->gid))
		return ckpt_fail_nomem(err);
	return d->w ? save_contents(d, f, o, err) : 0;
}

/* ---- restoring ---- */

struct memfd {
	uint64_t size;
	uint32_t seals, mode, uid, gid;
};

static int parse(const json_t *o, struct memfd *m, struct ckpt_err **err)
{
	int rc = js_u64(o, "size", &m->size, err);

	if (rc == 0)
		rc = js_u32(o, "seals", &m->seals, err);
	if (rc == 0)
		rc = js_u32(o, "mode", &m->mode, err);
	if (rc == 0)
		rc = js_u32(o, "uid", &m->uid, err);
	if (rc == 0)
		rc = js_u32(o, "gid", &m->gid, err);
	if (rc == 0 && (m->mode > 07777 || m->size > INT64_MAX))
		rc = ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a memfd's size or mode is not sound");
	return rc;
}

static int need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	_cleanup_close_ int from = -1;
	struct memfd m;
	int rc;

	if (json_object_get(o, "inode_of"))
		return 0;
	rc = parse(o, &m, err);
	return rc < 0 ? rc : kind_open_data(r, o, m.size, &from, err);
}

static int fill(struct kind_restore *r, const json_t *o, int fd, struct ckpt_err **err)
{
	_cleanup_close_ int from = -1;
	struct memfd m;
	int rc = parse(o, &m, err);

	if (rc == 0)
		rc = kind_open_data(r, o, m.size, &from, err);
	if (rc == 0)
		rc = copy_sparse(from, fd, m.size, err);
	if (rc < 0)
		return rc;
	if (fchown(fd, m.uid, m.gid) < 0 || fchmod(fd, m.mode) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "give a memfd its owner");
	/* Last, as they are for ever. */
	if (m.seals && fcntl(fd, F_ADD_SEALS, m.seals) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "seal a memfd");
	return 0;
}

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	_cleanup_free_ char *name = NULL;
	_cleanup_close_ int fd = -1;
	int flags = 0, rc = kind_open_flags(o, &flags, err);

	if (rc < 0 || json_object_get(o, "inode_of"))
		return rc < 0 ? rc : kind_open_other(r, o, flags, ret_fd, err);
	rc = js_bytes(o, "name", &name, err);
	if (rc < 0)
		return rc;
	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "make a memfd");
	rc = fill(r, o, fd, err);
	if (rc < 0)
		return rc;
	if ((flags & O_ACCMODE) != O_RDWR) {
		rc = kind_reopen(fd, flags, "a memfd", err);
		if (rc < 0)
			return rc;
		*ret_fd = rc;
		return 0;
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	char name[300];

	snprintf(buf, len, "memfd \"%s\", %" PRIu64 " bytes",
		 safe_text(name, sizeof(name), name_of(f)), (uint64_t)f->inode->size);
}

/* A name of a file in the image. */
static const char *const volatile_members[] = { "data", NULL };

const struct ckpt_kind kind_memfd = {
	.name = "memfd",
	.has_pos = true,
	.match = match,
	.check = check,
	.save = save,
	.need = need,
	.open = open_it,
	.volatile_members = volatile_members,
	.describe = describe,
};
