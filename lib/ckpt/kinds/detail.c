// SPDX-License-Identifier: LGPL-2.1-or-later
/* What eBPF tells of a descriptor beyond the common; what rows tell of processes. */
#include "kinds.h"

#include <errno.h>
#include <string.h>

bool kind_is_anon(const struct kind_file *f, const char *name)
{
	return !strcmp(f->inode->fstype, "anon_inodefs") && !strcmp(f->inode->dname, name);
}

const void *kind_detail(const struct kind_dump *d, const struct kind_file *f, enum rec_type type,
			size_t size)
{
	const void *const *rows;
	size_t n = 0;

	if (f->fd < 0)
		return NULL;
	rows = snapshot_details(d->snap, type, f->tgid, f->fd, &n);
	return n == 1 && ((const struct rec_detail *)rows[0])->head.len >= size ? rows[0] : NULL;
}

int kind_fail_detail(const char *noun, struct ckpt_err **err)
{
	return ckpt_fail(err, ESTALE, CKPT_E_CHANGING, "the %s changed while it was looked at",
			 noun);
}

int kind_row_pid(const struct kind_restore *r, const json_t *o, const char *what, pid_t *ret,
		 struct ckpt_err **err)
{
	int32_t saved = 0;
	int rc = js_i32(o, "pid", &saved, err);

	if (rc < 0)
		return rc;
	*ret = saved > 0 ? r->pid_now(r->userdata, saved) : 0;
	return *ret > 0 ? 0
			: ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "%s is of %d, which has no task",
				    what, saved);
}
