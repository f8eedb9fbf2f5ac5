// SPDX-License-Identifier: LGPL-2.1-or-later
/* See cr_job.h. */
#include "cr_job.h"
#include "cli.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A target that has just been started gets this long to load its library. */
#define SECOND_TRY_NS 500000000L
#define PLACE_TRIES   16

int cr_errno(int rc, const struct ckpt_err *err)
{
	static const struct {
		enum ckpt_code code;
		int number;
	} known[] = {
		{ CKPT_E_NO_PROCESS, ESRCH },	{ CKPT_E_ZOMBIE, ESRCH },
		{ CKPT_E_GONE, ESRCH },		{ CKPT_E_TRACED, CR_EPTRACED },
		{ CKPT_E_TRACER, CR_EPTRACER }, { CKPT_E_NO_LIBRARY, CR_ENOSUPPORT },
		{ CKPT_E_PRIVILEGE, EPERM },	{ CKPT_E_PID_TAKEN, EBUSY },
		{ CKPT_E_FILE_GONE, ENOENT },	{ CKPT_E_BUSY, EBUSY },
	};

	if (!err)
		return rc < 0 ? -rc : rc;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (ckpt_err_code(err) == known[i].code)
			return known[i].number;
	return ckpt_err_errno(err) ? ckpt_err_errno(err) : EIO;
}

void cr_path_of(int fd, char *buf, size_t len)
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, buf, len - 1);
	buf[n > 0 && buf[0] == '/' ? n : 0] = 0;
}

/* ---- who is meant ---- */

static bool is_omitted(const struct cr_job *j, pid_t pid)
{
	for (size_t i = 0; i < j->n_omit; i++)
		if (j->omit[i] == pid)
			return true;
	return false;
}

/* The job's own omissions come to those of the scope. */
static int add_omitted(const struct cr_job *j, struct ckpt_scope *scope)
{
	pid_t *more = realloc(scope->omit, (scope->n_omit + j->n_omit + 1) * sizeof(*more));
	size_t n = 0;

	if (!more)
		return -ENOMEM;
	scope->omit = more;
	for (size_t i = 0; i < j->n_omit; i++)
		scope->omit[scope->n_omit++] = j->omit[i];
	for (size_t i = 0; i < scope->n_roots; i++)
		if (!is_omitted(j, scope->root[i]))
			scope->root[n++] = scope->root[i];
	scope->n_roots = n;
	return n ? 0 : -ESRCH;
}

static int resolve(const struct cr_job *j, struct ckpt_session *s, struct ckpt_dump_opts *o,
		   struct ckpt_scope *scope, struct ckpt_err **err)
{
	unsigned int skip = (j->flags & CR_CHKPT_PTRACED_SKIP ? CKPT_SKIP_TRACED : 0) |
			    (j->flags & CR_CHKPT_PTRACER_SKIP ? CKPT_SKIP_TRACERS : 0);
	int rc;

	o->pid = j->target;
	o->only = j->scope == CR_SCOPE_PROC;
	o->omit = j->omit;
	o->n_omit = j->n_omit;
	if ((j->scope == CR_SCOPE_PROC || j->scope == CR_SCOPE_TREE) && !skip)
		return 0;
	rc = ckpt_scope_find(s, (enum ckpt_scope_kind)j->scope, j->target, skip, scope, err);
	if (rc == 0)
		rc = add_omitted(j, scope);
	if (rc < 0)
		return rc;
	o->omit = scope->omit;
	o->n_omit = scope->n_omit;
	o->pid = scope->root[0];
	o->more = scope->root + 1;
	o->n_more = scope->n_roots - 1;
	return 0;
}

/* ---- a place for the image ---- */

#define PLACE_PREFIX ".ebpf-ckpt-"

/* A directory of our own, locked as long as we, or a worker of ours, live. */
struct place {
	char path[PATH_MAX - 16];
	int lock; /* owned */
};

/* Files, and one level of directories within one. */
static void remove_place(int at, const char *path, int depth)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	while (d && (e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (unlinkat(fd, e->d_name, 0) < 0 && depth > 0)
			remove_place(fd, e->d_name, depth - 1);
	}
	if (d)
		closedir(d);
	unlinkat(at, path, AT_REMOVEDIR);
}

/* What one left behind that was killed: ours, and locked by nobody. */
static void remove_left_behind(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0)
		remove_place(at, name, 2);
	close(fd);
}

static void sweep(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (!strncmp(e->d_name, PLACE_PREFIX, strlen(PLACE_PREFIX)))
			remove_left_behind(dirfd(d), e->d_name);
	if (d)
		closedir(d);
}

/* Somebody who sweeps may have been in between: the name must still be that of what is locked. */
static bool lock_place(struct place *p)
{
	struct stat locked, named;

	p->lock = open(p->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (p->lock < 0)
		return false;
	if (flock(p->lock, LOCK_SH) == 0 && fstat(p->lock, &locked) == 0 &&
	    lstat(p->path, &named) == 0 && named.st_ino == locked.st_ino)
		return true;
	close(p->lock);
	return false;
}

static int make_place(const char *dir, struct place *p)
{
	const char *tmp = getenv("TMPDIR");

	dir = dir ? dir : tmp && *tmp ? tmp : "/var/tmp";
	sweep(dir);
	for (int i = 0; i < PLACE_TRIES; i++) {
		snprintf(p->path, sizeof(p->path), "%s/" PLACE_PREFIX "XXXXXX", dir);
		if (!mkdtemp(p->path))
			return errno;
		if (lock_place(p))
			return 0;
	}
	return EBUSY;
}

static void leave_place(struct place *p)
{
	remove_place(AT_FDCWD, p->path, 2);
	close(p->lock);
}

/* ---- checkpoint ---- */

struct checkpoint {
	const struct cr_job *job;
	char image[PATH_MAX];
};

static void asked(void *userdata)
{
	const struct checkpoint *c = userdata;

	if (c->job->asked)
		c->job->asked(c->job->userdata);
}

static int sealed(void *userdata, struct ckpt_err **err)
{
	const struct checkpoint *c = userdata;

	return ckpt_pack(c->image, c->job->fd, err);
}

static unsigned int mapped_of(unsigned int flags)
{
	return (flags & CR_CHKPT_DUMP_EXEC ? CKPT_MAPPED_EXE : 0U) |
	       (flags & CR_CHKPT_DUMP_PRIVATE ? CKPT_MAPPED_PRIVATE : 0U) |
	       (flags & CR_CHKPT_DUMP_SHARED ? CKPT_MAPPED_SHARED : 0U);
}

static int dump(struct checkpoint *c, struct ckpt_err **err)
{
	const struct cr_job *j = c->job;
	_cleanup_session_ struct ckpt_session *s = NULL;
	struct ckpt_dump_result result;
	struct cli_progress progress;
	struct ckpt_scope scope = { 0 };
	struct ckpt_dump_opts o = {
		.size = sizeof(o),
		.output = c->image,
		.save_mapped = mapped_of(j->flags),
		.callbacks = {
			.requester = j->requester,
			.target = j->target,
			.scope = j->scope,
			.signal = j->signal,
			.timeout_ms = j->timeout_ms,
			.dest = j->dest,
			.required = !j->no_library,
			.not_requester = j->flags & CR_CHKPT_PROHIBIT_SELF,
			.asked = asked,
			.sealed = sealed,
			.userdata = c,
		},
	};
	int rc = ckpt_session_new(&s, err);

	cli_progress_init(&progress, true);
	if (rc == 0)
		rc = resolve(j, s, &o, &scope, err);
	if (rc == 0) {
		ckpt_session_set_progress(s, cli_progress, &progress);
		rc = ckpt_dump(s, &o, &result, err);
	}
	ckpt_scope_free(&scope);
	return rc;
}

int cr_job_checkpoint(const struct cr_job *job, struct ckpt_err **err)
{
	struct checkpoint c = { .job = job };
	struct place place;
	int rc;

	/* From here on there is something to be undone by those who give up. */
	cli_signals_hold();
	rc = make_place(job->dir, &place);
	if (rc)
		return rc;
	snprintf(c.image, sizeof(c.image), "%s/image", place.path);
	rc = dump(&c, err);
	if (rc < 0 && *err && ckpt_err_code(*err) == CKPT_E_NO_LIBRARY) {
		nanosleep(&(struct timespec){ 0, SECOND_TRY_NS }, NULL);
		ckpt_err_free(*err);
		*err = NULL;
		rc = dump(&c, err);
	}
	leave_place(&place);
	return rc < 0 ? cr_errno(rc, *err) : 0;
}

/* ---- restart ---- */

static int restore(const struct cr_restart_job *j, const char *image, pid_t *ret_pid,
		   struct ckpt_err **err)
{
	_cleanup_session_ struct ckpt_session *s = NULL;
	struct ckpt_restore_result result;
	struct ckpt_restore_opts o = {
		.size = sizeof(o),
		.image = image,
		.allow_changed = true,
		.new_pids = !(j->flags & CR_RSTRT_RESTORE_PID),
		.own_group = !(j->flags & CR_RSTRT_RESTORE_PGID),
		.own_session = !(j->flags & CR_RSTRT_RESTORE_SID),
		.old_groups =
			!(j->flags & CR_RSTRT_RESTORE_PID) && j->flags & CR_RSTRT_RESTORE_PGID,
		.relocate = j->relocate,
		.n_relocate = j->n_relocate,
		.sibling = j->sibling,
		.requester = j->requester,
		.signal = j->signal,
		.source = j->src,
	};
	struct cli_progress progress;
	int rc = ckpt_session_new(&s, err);

	cli_progress_init(&progress, true);
	if (rc == 0)
		ckpt_session_set_progress(s, cli_progress, &progress);
	if (rc == 0)
		rc = ckpt_restore(s, &o, &result, err);
	if (rc == 0)
		*ret_pid = result.pid;
	return rc;
}

int cr_job_restart(const struct cr_restart_job *job, pid_t *ret_pid, struct ckpt_err **err)
{
	struct place place;
	char image[PATH_MAX];
	int rc;

	cli_signals_hold();
	rc = make_place(job->dir, &place);
	if (rc)
		return rc;
	snprintf(image, sizeof(image), "%s/image", place.path);
	rc = ckpt_unpack(job->fd, image, err);
	if (rc == 0)
		rc = restore(job, image, ret_pid, err);
	leave_place(&place);
	return rc < 0 ? cr_errno(rc, *err) : 0;
}
