// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Files of /proc/PID/ns: a namespace that the process itself is in, as it keeps one to come back by
 * setns(2), or to compare. Its processes being restored into the namespaces of whoever restores
 * them (or into a pid namespace of their own), so is what stands for them. Another namespace would
 * have to be made, with all that is in it.
 */
#include "../util.h"
#include "kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

/* Of f_flags, what open(2) takes; F_SETFL sets the others. */
#define OPEN_FLAGS (O_ACCMODE | O_PATH | O_NOATIME | O_SYNC | KERNEL_O_LARGEFILE)

static const struct namespace
{
	const char *name;  /* below /proc/PID/ns */
	size_t inum;	   /* of struct rec_task */
	unsigned int call; /* of a pidfd: linux/pidfd.h, PIDFD_GET_*_NAMESPACE */
}

namespaces[] = {
	{ "cgroup", offsetof(struct rec_task, cgroup_ns_inum), _IO(0xff, 1) },
	{ "ipc", offsetof(struct rec_task, ipc_ns_inum), _IO(0xff, 2) },
	{ "mnt", offsetof(struct rec_task, mnt_ns_inum), _IO(0xff, 3) },
	{ "net", offsetof(struct rec_task, net_ns_inum), _IO(0xff, 4) },
	{ "pid", offsetof(struct rec_task, pid_ns_inum), _IO(0xff, 5) },
	{ "time", offsetof(struct rec_task, time_ns_inum), _IO(0xff, 7) },
	{ "user", offsetof(struct rec_task, cred.user_ns_inum), _IO(0xff, 9) },
	{ "uts", offsetof(struct rec_task, uts_ns_inum), _IO(0xff, 10) },
};

#define N_NAMESPACES (sizeof(namespaces) / sizeof(namespaces[0]))

static bool match(const struct kind_file *f)
{
	return f->file && !strcmp(f->inode->fstype, "nsfs");
}

/* Which one of the task's own it is, and whose; NULL: none. */
static const struct namespace *own(const struct kind_dump *d, const struct kind_file *f,
				   const struct rec_task **ret_task)
{
	const struct rec_task *t = snapshot_task(d->snap, f->tgid);

	/* One that is under way in a message is in nobody's table; all have the same namespaces. */
	if (!t)
		t = snapshot_task(d->snap, d->root);
	for (size_t i = 0; t && i < N_NAMESPACES; i++) {
		uint32_t inum;

		memcpy(&inum, (const char *)t + namespaces[i].inum, sizeof(inum));
		if (inum && inum == f->inode->ino) {
			*ret_task = t;
			return &namespaces[i];
		}
	}
	return NULL;
}

static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	const struct rec_task *t;

	if (own(d, f, &t))
		return 0;
	ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
		  "it stands for a namespace that the process is not in");
	ckpt_hint(err, "close it first");
	return -EOPNOTSUPP;
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	const struct rec_task *t;
	const struct namespace *ns = own(d, f, &t);

	if (!ns)
		return check(d, f, err);
	if (json_object_set_new(o, "namespace", json_string(ns->name)) ||
	    js_set_int(o, "pid", t->vtid))
		return ckpt_fail_nomem(err);
	return 0;
}

/* ---- restoring ---- */

static int read_row(const json_t *o, const struct namespace **ret, unsigned int *ret_flags,
		    struct ckpt_err **err)
{
	const char *name = "";
	int64_t flags = 0;
	int rc = js_str(o, "namespace", &name, err);

	if (rc == 0)
		rc = js_i64(o, "flags", &flags, err);
	if (rc < 0)
		return rc;
	*ret_flags = (unsigned int)flags & OPEN_FLAGS;
	for (size_t i = 0; i < N_NAMESPACES; i++) {
		*ret = &namespaces[i];
		if (!strcmp(name, namespaces[i].name))
			return 0;
	}
	return ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "a namespace is of no known type");
}

static int need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	const struct namespace *ns;
	unsigned int flags;

	(void)r;
	return read_row(o, &ns, &flags, err);
}

/* One that was got by a pidfd has not the flag that all open(2) set. */
static int open_by_pidfd(pid_t pid, const struct namespace *ns)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	return pidfd < 0 ? -1 : ioctl(pidfd, ns->call, 0);
}

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	const struct namespace *ns;
	unsigned int flags;
	char path[64];
	pid_t pid;
	int rc = read_row(o, &ns, &flags, err);

	if (rc == 0)
		rc = kind_row_pid(r, o, "a namespace", &pid, err);
	if (rc < 0)
		return rc;
	snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, ns->name);
	if (flags & (KERNEL_O_LARGEFILE | O_PATH))
		*ret_fd = open(path, (int)flags | O_CLOEXEC);
	else
		*ret_fd = open_by_pidfd(pid, ns);
	return *ret_fd < 0 ? ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "open %s", path) : 0;
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	snprintf(buf, len, "namespace [%llu]", (unsigned long long)f->inode->ino);
}

const struct ckpt_kind kind_namespace = {
	.name = "namespace",
	.needs_tasks = true,
	.match = match,
	.check = check,
	.save = save,
	.need = need,
	.open = open_it,
	.describe = describe,
};
