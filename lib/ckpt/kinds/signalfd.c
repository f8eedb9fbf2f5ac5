// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * signalfd(2): a set of signals. What is read from it are the reader's own pending signals, which
 * belong to the process.
 */
#include "../util.h"
#include "kinds.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>

static bool match(const struct kind_file *f)
{
	return f->file && kind_is_anon(f, "[signalfd]");
}

static const struct rec_signalfd *detail(const struct kind_dump *d, const struct kind_file *f)
{
	return kind_detail(d, f, REC_SIGNALFD, sizeof(struct rec_signalfd));
}

/* It may well be shared with a parent outside: nothing but the set of signals is. */
static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	return detail(d, f) ? 0 : kind_fail_detail("signalfd", err);
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	const struct rec_signalfd *s = detail(d, f);

	if (!s)
		return kind_fail_detail("signalfd", err);
	return js_set_hex(o, "signals", s->mask) ? ckpt_fail_nomem(err) : 0;
}

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	uint64_t mask = 0;
	int fd, rc = js_u64(o, "signals", &mask, err);

	(void)r;
	if (rc < 0)
		return rc;
	/* Not the C library's, whose sets are of another size. */
	fd = (int)syscall(SYS_signalfd4, -1, &mask, sizeof(mask), SFD_CLOEXEC);
	if (fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "make a signalfd");
	*ret_fd = fd;
	return 0;
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	(void)f;
	snprintf(buf, len, "signalfd");
}

const struct ckpt_kind kind_signalfd = {
	.name = "signalfd",
	.called_upon = true,
	.match = match,
	.check = check,
	.save = save,
	.open = open_it,
	.describe = describe,
};
