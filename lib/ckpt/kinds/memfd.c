// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * memfd_create(2): a file in memory, of ordinary or of huge pages, with a name that is not in any
 * directory, and with seals.
 */
#include "../areas.h"
#include "../safe.h"
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

#define PREFIX "/memfd:"

static bool match(const struct kind_file *f)
{
	return S_ISREG(f->inode->mode) && f->inode->unhashed &&
	       (!strcmp(f->inode->fstype, "tmpfs") || memfile_is_huge(f)) &&
	       !strncmp(f->inode->dname, "memfd:", 6) && !strncmp(f->path, PREFIX, strlen(PREFIX));
}

static const char *name_of(const struct kind_file *f)
{
	return f->path + strlen(PREFIX);
}

/* ---- saving ---- */

/*
 * F_SEAL_FUTURE_WRITE lets those go on writing who mapped the file before, and forbids others for
 * ever to make their maps writable. How shared maps stand to it:
 */
struct maps {
	bool older;   /* may be written to */
	bool younger; /* may not, though their descriptor is open for writing */
};

static struct maps shared_maps(const struct kind_dump *d, uint64_t inode_id)
{
	struct maps m = { false, false };

	for (size_t i = 0; i < d->snap->n_vmas; i++) {
		const struct rec_vma *v = d->snap->vmas[i].rec;

		if (!v->has_file || v->inode.inode_id != inode_id ||
		    !(v->vm_flags & VMF_MAYSHARE) || !(v->inode.f_mode & FMODE_WRITE_BIT))
			continue;
		if (v->vm_flags & VMF_MAYWRITE)
			m.older = true;
		else
			m.younger = true;
	}
	return m;
}

static int get_seals(const struct kind_file *f, int *ret, struct ckpt_err **err)
{
	_cleanup_close_ int fd = -1;
	/* The program's own may be an O_PATH one, which cannot be asked. */
	int rc = memfile_open_own(f, &fd, err);

	if (rc < 0)
		return rc;
	*ret = fcntl(fd, F_GET_SEALS);
	return *ret < 0 ? ckpt_fail_errno(err, errno, CKPT_E_SYS, "get the seals of a memfd") : 0;
}

static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	struct maps m = shared_maps(d, f->inode->inode_id);
	int seals = 0;

	/* Running, it may have closed it by now. */
	if (!m.older || !m.younger || get_seals(f, &seals, NULL) < 0 ||
	    !(seals & F_SEAL_FUTURE_WRITE))
		return 0;
	return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
			 "it is mapped both from before and from after it was sealed against "
			 "future writing");
}

static int save_seals(struct kind_dump *d, const struct kind_file *f, json_t *o,
		      struct ckpt_err **err)
{
	int seals = 0, rc = get_seals(f, &seals, err);

	if (rc < 0)
		return rc;
	rc = js_set_int(o, "seals", seals);
	if (seals & F_SEAL_FUTURE_WRITE && shared_maps(d, f->inode->inode_id).older)
		rc |= js_set_bool(o, "mapped_before_seal", true);
	return rc ? ckpt_fail_nomem(err) : 0;
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	_cleanup_close_ int from = -1;
	int rc = memfile_open_own(f, &from, err);

	if (rc == 0 && js_set_bytes(o, "name", name_of(f)))
		rc = ckpt_fail_nomem(err);
	if (rc == 0)
		rc = memfile_save(d, f, "memfd", from, o, err);
	return rc < 0 || json_object_get(o, "inode_of") ? rc : save_seals(d, f, o, err);
}

/* ---- restoring ---- */

static int add_seals(int fd, uint32_t seals, struct ckpt_err **err)
{
	/* Each for ever, and F_SEAL_SEAL forbids further ones. */
	if (seals && fcntl(fd, F_ADD_SEALS, seals) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "seal a memfd");
	return 0;
}

/* All of them at once, unless one must wait until the memory is mapped. */
static int seal_early(const json_t *o, int fd, struct ckpt_err **err)
{
	uint32_t seals = 0;
	int rc = js_u32(o, "seals", &seals, err);

	if (rc < 0)
		return rc;
	if (json_is_true(json_object_get(o, "mapped_before_seal")))
		seals &= ~(uint32_t)(F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);
	return add_seals(fd, seals, err);
}

static int finish(struct kind_restore *r, const json_t *o, int fd, struct ckpt_err **err)
{
	_cleanup_close_ int writer = -1;
	uint32_t seals = 0;
	int rc;

	(void)r;
	if (!json_is_true(json_object_get(o, "mapped_before_seal")))
		return 0;
	rc = js_u32(o, "seals", &seals, err);
	if (rc < 0)
		return rc;
	/* The program's own description may be one for reading. */
	writer = kind_reopen(fd, O_RDWR, "a memfd", err);
	return writer < 0 ? writer : add_seals(writer, seals, err);
}

static int make(const json_t *o, const struct memfile *m, int *ret_fd, struct ckpt_err **err)
{
	_cleanup_free_ char *name = NULL;
	int rc = js_bytes(o, "name", &name, err);

	if (rc < 0)
		return rc;
	*ret_fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING |
					     memfile_huge_flags(m, MFD_HUGETLB));
	return *ret_fd < 0 ? memfile_no_pages(m, "a memfd", err) : 0;
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
		rc = make(o, &m, &fd, err);
	if (rc == 0)
		rc = memfile_fill(r, o, &m, fd, err);
	if (rc == 0)
		rc = seal_early(o, fd, err);
	return rc < 0 ? rc : memfile_describe(o, &fd, ret_fd, err);
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	char name[300];

	snprintf(buf, len, "memfd \"%s\"%s, %" PRIu64 " bytes",
		 safe_text(name, sizeof(name), name_of(f)),
		 memfile_is_huge(f) ? " of huge pages" : "", (uint64_t)f->inode->size);
}

/* A name of a file in the image. */
static const char *const volatile_members[] = { "data", NULL };

const struct ckpt_kind kind_memfd = {
	.name = "memfd",
	.has_pos = true,
	.match = match,
	.check = check,
	.save = save,
	.need = memfile_need,
	.open = open_it,
	.finish = finish,
	.volatile_members = volatile_members,
	.describe = describe,
};
