// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Files and directories of a process in /proc: opened again when that process is there. They may be
 * of a process that has ended: a process of our own that ends takes its place. Of processes outside
 * of the dump only those of the first one, which is always there, can be found again; and those of
 * single threads not at all, as descriptors are in their places before threads are made.
 */
#include "../safe.h"
#include "../util.h"
#include "kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define PROC "/proc/"

/* A path of /proc, taken apart. */
struct parts {
	pid_t pid, tid;	  /* tid: 0 unless it is below task/ */
	const char *rest; /* after them, without a leading slash */
};

/* A number that is a whole component. */
static pid_t take_number(const char **at)
{
	char *end;
	long n = strtol(*at, &end, 10);

	if (**at < '1' || **at > '9' || (*end && *end != '/') || n > INT32_MAX)
		return 0;
	*at = *end ? end + 1 : end;
	return (pid_t)n;
}

static bool take_apart(const char *path, struct parts *p)
{
	const char *at = path + strlen(PROC);

	if (strncmp(path, PROC, strlen(PROC)))
		return false;
	*p = (struct parts){ .pid = take_number(&at) };
	if (!p->pid)
		return false;
	p->rest = at;
	if (!strncmp(at, "task/", 5)) {
		at += 5;
		p->tid = take_number(&at);
		if (p->tid)
			p->rest = at;
	}
	return true;
}

bool procpid_is(const struct rec_inode *ino, const char *path)
{
	struct parts p;

	return ino->sb_magic == MAGIC_PROC && take_apart(path, &p);
}

static bool match(const struct kind_file *f)
{
	return procpid_is(f->inode, f->path);
}

/* Does the path lead to it? The one of an ended process does not, or to another's. */
static bool is_dead(const struct kind_file *f)
{
	char link[KIND_LINK_LEN];
	struct stat a, b;

	if (f->inode->unhashed || lstat(f->path, &b) < 0)
		return true;
	/* Of an O_PATH description of a link, /proc leads to the link itself. */
	return stat(kind_link(f, link), &a) == 0 && (a.st_dev != b.st_dev || a.st_ino != b.st_ino);
}

static bool is_in_dump(const struct kind_dump *d, const struct parts *p)
{
	const struct rec_task *t = snapshot_task(d->snap, p->tid ? p->tid : p->pid);

	return t && t->tgid == p->pid;
}

static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	struct parts p;
	char who[128];

	if (f->path_cut || !take_apart(f->path, &p))
		return ckpt_fail(err, ENAMETOOLONG, CKPT_E_UNSUPPORTED,
				 "its path is too long to be known");
	if (p.pid == 1 || is_dead(f))
		return 0;
	if (is_in_dump(d, &p) && p.tid && p.tid != p.pid) {
		ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
			  "it tells of thread %d, and descriptors are restored before threads",
			  p.tid);
		ckpt_hint(err, "close it first");
		return -EOPNOTSUPP;
	}
	if (is_in_dump(d, &p))
		return 0;
	kind_process_words(p.pid, who, sizeof(who));
	ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
		  "it tells of %s, which does not belong to the checkpoint", who);
	ckpt_hint(err, "close it first");
	return -EOPNOTSUPP;
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	struct parts p;
	bool dead = is_dead(f);
	int rc = d->contents ? check(d, f, err) : 0;

	if (rc < 0)
		return rc;
	if (!take_apart(f->path, &p))
		return ckpt_fail(err, EIO, CKPT_E_CHANGING, "its path has changed");
	if (f->place)
		rc |= js_set_bool(o, "place", true);
	if (dead) {
		rc |= js_set_bool(o, "dead", true);
		rc |= js_set_bool(o, "thread", p.tid != 0);
	} else if (is_in_dump(d, &p)) {
		rc |= js_set_int(o, "pid", snapshot_task(d->snap, p.pid)->vtid);
		if (p.tid)
			rc |= js_set_int(o, "tid", snapshot_task(d->snap, p.tid)->vtid);
	} else {
		rc |= js_set_bool(o, "init", true);
		if (p.tid)
			rc |= js_set_int(o, "tid", p.tid);
	}
	rc |= js_set_bytes(o, "rest", p.rest);
	return rc ? ckpt_fail_nomem(err) : 0;
}

/* ---- restoring ---- */

static int read_row(const struct kind_restore *r, const json_t *o, struct parts *p, char **ret_rest,
		    struct ckpt_err **err)
{
	bool init = json_is_true(json_object_get(o, "init"));
	int32_t pid = 1, tid = 0;
	int rc = js_bytes(o, "rest", ret_rest, err);

	if (rc == 0 && !init && !json_is_true(json_object_get(o, "dead")))
		rc = js_i32(o, "pid", &pid, err);
	if (rc == 0 && json_object_get(o, "tid"))
		rc = js_i32(o, "tid", &tid, err);
	if (rc == 0 && (pid < 1 || tid < 0))
		rc = ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "%d is no pid", pid);
	if (rc < 0)
		return rc;
	*p = (struct parts){ .pid = pid, .tid = tid, .rest = *ret_rest };
	if (!r || init)
		return 0;
	p->pid = r->pid_now(r->userdata, pid);
	if (tid)
		p->tid = r->pid_now(r->userdata, tid);
	if (p->pid < 1 || p->tid < 0 || (tid && !p->tid))
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
				 "a file of /proc is of process %d, which is not in the image",
				 pid);
	return 0;
}

static int need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	_cleanup_free_ char *rest = NULL;
	struct parts p;

	(void)r;
	return read_row(NULL, o, &p, &rest, err);
}

static int open_parts(const struct parts *p, int flags, int *ret_fd, struct ckpt_err **err)
{
	/* What the kernel itself named has no links but in its last part. */
	int only = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	struct open_how how = { .flags = (uint64_t)(flags & O_PATH ? flags & only : flags),
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	_cleanup_close_ int dir = -1;
	char path[64];

	if (p->tid)
		snprintf(path, sizeof(path), PROC "%d/task/%d", p->pid, p->tid);
	else
		snprintf(path, sizeof(path), PROC "%d", p->pid);
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	*ret_fd = dir < 0 ? -1
			  : (int)syscall(SYS_openat2, dir, p->rest[0] ? p->rest : ".", &how,
					 sizeof(how));
	if (*ret_fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "open %s/%s", path, p->rest);
	return 0;
}

/*
 * What /proc says of a descriptor is there with it only, and the program's are not in their places
 * yet: any other stands in for it, until they are. Looked at again, the file tells of whatever has
 * the number then.
 */
static int hold_number(struct kind_restore *r, const json_t *o, const struct parts *p,
		       struct ckpt_err **err)
{
	const char *at = !strncmp(p->rest, "fd/", 3)	   ? p->rest + 3
			 : !strncmp(p->rest, "fdinfo/", 7) ? p->rest + 7
							   : "";
	char *end = NULL;
	unsigned long fd = strtoul(at, &end, 10);
	const struct kind_call hold = {
		.what = "hold the number of a descriptor",
		.nr = SYS_fcntl,
		.arg = { (uint64_t)r->fd_in_tasks, F_DUPFD_CLOEXEC, fd },
	};
	int32_t pid = 0;
	int rc;

	if (*at < '0' || *at > '9' || *end || fd > INT_MAX || json_object_get(o, "init"))
		return 0;
	rc = js_i32(o, "pid", &pid, err);
	return rc < 0 ? rc : r->call(r->userdata, pid, &hold, err);
}

/*
 * A process that waits for its end. It has all our descriptors, and does nothing with them. Who
 * goes to a directory of it must do so while it lives.
 */
static pid_t make_mortal(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* In a pid namespace of its own it has no parent that it could see. */
	while (pid == 0 && (getppid() == parent || getppid() == 0))
		pause();
	if (pid == 0)
		_exit(1);
	return pid;
}

void procpid_mortal_end(struct kind_restore *r)
{
	int status;

	if (r->mortal <= 0)
		return;
	kill(r->mortal, SIGKILL);
	while (waitpid(r->mortal, &status, 0) < 0 && errno == EINTR)
		;
	r->mortal = 0;
}

static int open_dead(struct kind_restore *r, struct parts *p, bool thread, int flags, int *ret_fd,
		     struct ckpt_err **err)
{
	if (!r->mortal)
		r->mortal = make_mortal();
	if (r->mortal < 0) {
		r->mortal = 0;
		return ckpt_fail_errno(err, errno, CKPT_E_LIMIT, "make a process that ends");
	}
	p->pid = r->mortal;
	p->tid = thread ? r->mortal : 0;
	return open_parts(p, flags, ret_fd, err);
}

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	bool dead = json_is_true(json_object_get(o, "dead"));
	_cleanup_free_ char *rest = NULL;
	struct parts p;
	int flags = 0, rc = kind_open_flags(o, &flags, err);

	if (rc == 0)
		rc = read_row(dead ? NULL : r, o, &p, &rest, err);
	if (rc < 0)
		return rc;
	if (json_is_true(json_object_get(o, "place")))
		flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
	if (dead)
		return open_dead(r, &p, json_is_true(json_object_get(o, "thread")), flags, ret_fd,
				 err);
	rc = hold_number(r, o, &p, err);
	return rc < 0 ? rc : open_parts(&p, flags, ret_fd, err);
}

/* All are where they belong: it may end. */
static int finish(struct kind_restore *r, const json_t *o, int fd, struct ckpt_err **err)
{
	(void)o;
	(void)fd;
	(void)err;
	procpid_mortal_end(r);
	return 0;
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	char path[300];

	snprintf(buf, len, "%s%s", safe_text(path, sizeof(path), f->path),
		 f->inode->unhashed ? ", of a process that ended" : "");
}

const struct ckpt_kind kind_procpid = {
	.name = "procpid",
	.has_pos = true,
	.needs_tasks = true,
	.match = match,
	.check = check,
	.save = save,
	.need = need,
	.open = open_it,
	.finish = finish,
	.describe = describe,
};
