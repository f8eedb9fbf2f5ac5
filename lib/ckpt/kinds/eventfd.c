// SPDX-License-Identifier: LGPL-2.1-or-later
/* eventfd(2): a 64-bit count, which reading takes whole or, in semaphore mode, one by one. */
#include "../util.h"
#include "kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/aio_abi.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

/* The most that write(2) can make of it. The kernel itself counts one further: an overflow, which
 * poll(2) shows as POLLERR. */
#define COUNT_MAX (UINT64_MAX - 1)

static bool match(const struct kind_file *f)
{
	return f->file && kind_is_anon(f, "[eventfd]");
}

static const struct rec_eventfd *detail(const struct kind_dump *d, const struct kind_file *f)
{
	return kind_detail(d, f, REC_EVENTFD, sizeof(struct rec_eventfd));
}

/* Does the dump have something that can count an eventfd up by itself: AIO contexts, io_uring? */
static bool has_notifier(const struct kind_dump *d)
{
	for (size_t i = 0; i < d->snap->n_mms; i++)
		if (d->snap->mms[i]->ioctx_table)
			return true;
	for (size_t i = 0; i < d->snap->n_files; i++)
		if (!strcmp(d->snap->files[i].rec->inode.dname, "[io_uring]"))
			return true;
	return false;
}

static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	const struct rec_eventfd *e = detail(d, f);

	if (!e)
		return kind_fail_detail("eventfd", err);
	if (e->users > 1 && !has_notifier(d)) {
		ckpt_fail(
			err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
			"something in the kernel, outside of the checkpoint, signals the eventfd");
		ckpt_hint(err, "end what it was registered with (a control group's notification, a "
			       "virtual machine), or close it first");
		return -EOPNOTSUPP;
	}
	return kind_check_unshared(d, f, "eventfd", err);
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	const struct rec_eventfd *e = detail(d, f);

	if (!e)
		return kind_fail_detail("eventfd", err);
	if (js_set_hex(o, "count", e->count) ||
	    js_set_bool(o, "semaphore", e->flags & EFD_SEMAPHORE))
		return ckpt_fail_nomem(err);
	return 0;
}

/*
 * Let the kernel count it up by one, as it does when a request of asynchronous I/O is done: that
 * may exceed what a write may.
 */
static int count_up(int fd)
{
	_cleanup_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct io_event done;
	char buf[1];
	struct iocb cb = {
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_fildes = (uint32_t)null,
		.aio_buf = (uintptr_t)buf,
		.aio_nbytes = sizeof(buf),
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)fd,
	}, *cbs[] = { &cb };
	aio_context_t ctx = 0;
	int rc = 0;

	if (null < 0 || syscall(SYS_io_setup, 1, &ctx) < 0)
		return -errno;
	if (syscall(SYS_io_submit, ctx, 1, cbs) != 1 ||
	    syscall(SYS_io_getevents, ctx, 1, 1, &done, NULL) != 1)
		rc = errno ? -errno : -EIO;
	syscall(SYS_io_destroy, ctx);
	return rc;
}

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	_cleanup_close_ int fd = -1;
	uint64_t count = 0, written;
	bool semaphore = false;
	int rc = js_u64(o, "count", &count, err);

	(void)r;
	if (rc == 0)
		rc = js_bool(o, "semaphore", &semaphore, err);
	if (rc < 0)
		return rc;
	/* The initial value is a 32-bit one. */
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | (semaphore ? EFD_SEMAPHORE : 0));
	if (fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "make an eventfd");
	written = count > COUNT_MAX ? COUNT_MAX : count;
	if (written && write(fd, &written, sizeof(written)) < 0)
		rc = -errno;
	if (rc == 0 && count > COUNT_MAX)
		rc = count_up(fd);
	if (rc < 0)
		return ckpt_fail_errno(err, rc, CKPT_E_RESTORE, "set an eventfd to %" PRIu64,
				       count);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	(void)f;
	snprintf(buf, len, "eventfd");
}

const struct ckpt_kind kind_eventfd = {
	.name = "eventfd",
	.match = match,
	.check = check,
	.save = save,
	.open = open_it,
	.describe = describe,
};
