// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * POSIX shared memory (shm_open(3)) and semaphores (sem_open(3)): files in /dev/shm. They are
 * memory rather than files: they do not survive a reboot, and a program that maps them takes their
 * contents for its own. So those are saved, whatever their size, also of files with a name.
 *
 * A file that is there at restore is used when it is the same one (inode, time of the last
 * write(2)), and its contents are made those of the image, unless others use it and they differ.
 * One that is gone is made anew.
 */
#include "../safe.h"
#include "../util.h"
#include "kinds.h"
#include "memfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define PLACE "/dev/shm/"

static bool match(const struct kind_file *f)
{
	return S_ISREG(f->inode->mode) && !strcmp(f->inode->fstype, "tmpfs") &&
	       !strncmp(f->path, PLACE, strlen(PLACE));
}

/* ---- saving ---- */

/*
 * sem_open(3) makes a file of a random name, gives it its own name by link(2) and removes the
 * first: the kernel still knows it by that. It is looked for in the directory.
 */
static char *find_name(const struct stat *wanted)
{
	DIR *dir = opendir(PLACE);
	const struct dirent *e;
	char *found = NULL;
	struct stat st;

	while (dir && !found && (e = readdir(dir)))
		if (e->d_ino == wanted->st_ino &&
		    fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    st.st_dev == wanted->st_dev && asprintf(&found, PLACE "%s", e->d_name) < 0)
			found = NULL;
	if (dir)
		closedir(dir);
	return found;
}

/* path_state(), by any name. */
static enum path_state state_of(const struct kind_file *f, struct stat *st, char **ret_path)
{
	enum path_state state = path_state(f, st, ret_path);

	if (state != PATH_OTHER_NAME && state != PATH_OTHER_FILE)
		return state;
	*ret_path = find_name(st);
	return *ret_path ? PATH_SAME : state;
}

static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	struct stat st;
	enum path_state state = state_of(f, &st, &path);

	if (state == PATH_UNLINKED && !f->path_cut)
		return memfile_not_outside(d, f, err);
	return path_check_state(f, state, err);
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int from = -1;
	struct stat st;
	enum path_state state = state_of(f, &st, &path);
	int rc;

	if (state == PATH_MOVED_ON)
		return ckpt_fail(err, ESRCH, CKPT_E_GONE, "the process has closed it");
	if (state == PATH_UNLINKED)
		rc = js_set_bool(o, "deleted", true) || js_set_bytes(o, "path", f->path)
			     ? ckpt_fail_nomem(err)
			     : 0;
	else
		rc = path_save_stat(f->inode, path ? path : f->path, &st, o, err);
	if (rc == 0)
		rc = memfile_open_own(f, &from, err);
	return rc < 0 ? rc : memfile_save(d, f, "posixshm", from, o, err);
}

/* ---- restoring ---- */

struct shm {
	struct memfile m;
	char *path; /* owned */
	bool deleted;
};

static int parse(const json_t *o, struct shm *s, struct ckpt_err **err)
{
	int rc = memfile_parse(o, &s->m, err);

	if (rc == 0)
		rc = path_get(o, &s->path, err);
	s->deleted = json_is_true(json_object_get(o, "deleted"));
	if (rc == 0 && strncmp(s->path, PLACE, strlen(PLACE)))
		rc = ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "shared memory is not in " PLACE);
	return rc;
}

enum { CHUNK = 1 << 16 };

/* Has the file the contents of the image? */
static int same_contents(const struct kind_restore *r, const json_t *o, const struct shm *s, int fd,
			 bool *ret, struct ckpt_err **err)
{
	_cleanup_free_ char *a = malloc(CHUNK), *b = malloc(CHUNK);
	_cleanup_close_ int from = -1;
	struct stat st;
	int rc = a && b ? kind_open_data(r, o, s->m.size, &from, err) : ckpt_fail_nomem(err);

	if (rc < 0)
		return rc;
	*ret = fstat(fd, &st) == 0 && (uint64_t)st.st_size == s->m.size;
	for (uint64_t at = 0; *ret && at < s->m.size; at += CHUNK) {
		size_t n = s->m.size - at < CHUNK ? s->m.size - at : CHUNK;

		rc = pread_all(from, a, n, at);
		if (rc == 0)
			rc = pread_all(fd, b, n, at);
		if (rc < 0)
			return ckpt_fail_errno(err, rc, CKPT_E_IMAGE, "compare shared memory");
		*ret = memcmp(a, b, n) == 0;
	}
	return 0;
}

static int fail_in_use(const struct shm *s, pid_t pid, struct ckpt_err **err)
{
	char who[128], name[300];

	kind_process_words(pid, who, sizeof(who));
	ckpt_fail(err, EBUSY, CKPT_E_FILE_CHANGED, "%s has other contents now, and %s uses it",
		  safe_text(name, sizeof(name), s->path), who);
	ckpt_hint(err, "end that process, or --allow-changed to use the contents that it has");
	return -EBUSY;
}

/*
 * The file may have been written to since the checkpoint, by the program itself, which then ended:
 * its contents come from the image. Another file of that name is not touched.
 */
static int need_same_file(const json_t *o, const struct shm *s, int fd, bool allow_changed,
			  struct ckpt_err **err)
{
	json_t *info;
	const char *dev = "";
	char now[32], name[300];
	uint64_t ino = 0;
	struct stat st;
	int rc = js_obj(o, "info", &info, err);

	if (rc == 0)
		rc = js_u64(info, "ino", &ino, err);
	if (rc == 0)
		rc = js_str(info, "dev", &dev, err);
	if (rc < 0 || allow_changed)
		return rc;
	if (fstat(fd, &st) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "look at shared memory");
	snprintf(now, sizeof(now), "%u:%u", major(st.st_dev), minor(st.st_dev));
	if (st.st_ino == ino && !strcmp(now, dev))
		return 0;
	ckpt_fail(err, ESTALE, CKPT_E_FILE_CHANGED, "%s is another file now",
		  safe_text(name, sizeof(name), s->path));
	ckpt_hint(
		err,
		"if nothing needs it, remove it; or --allow-changed to give it the contents of the image");
	return -ESTALE;
}

/* Is there a file of this name? 1 and a descriptor: yes, and it may be used; 0: no. */
static int look(const struct kind_restore *r, const json_t *o, const struct shm *s, int *ret_fd,
		struct ckpt_err **err)
{
	_cleanup_close_ int fd = open(s->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	char name[300];
	bool same;
	pid_t pid;
	int rc;

	safe_text(name, sizeof(name), s->path);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_FILE_GONE, "open %s", name);
	rc = same_contents(r, o, s, fd, &same, err);
	if (rc < 0)
		return rc;
	if (!same) {
		rc = need_same_file(o, s, fd, r->allow_changed, err);
		pid = rc == 0 && !r->allow_changed ? kind_user_of(fd) : 0;
		if (pid)
			rc = fail_in_use(s, pid, err);
		if (rc < 0)
			return rc;
	}
	*ret_fd = TAKE_FD(fd);
	return 1;
}

static int need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	_cleanup_close_ int fd = -1;
	struct shm s = { 0 };
	int rc;

	if (json_object_get(o, "inode_of"))
		return 0;
	rc = memfile_need(r, o, err);
	if (rc == 0)
		rc = parse(o, &s, err);
	if (rc == 0 && !s.deleted)
		rc = look(r, o, &s, &fd, err);
	free(s.path);
	return rc < 0 ? rc : 0;
}

static int create(const struct shm *s, int *ret_fd, struct ckpt_err **err)
{
	const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	char other[64], name[300];
	const char *path = s->path;

	*ret_fd = open(path, flags, 0600);
	if (*ret_fd < 0 && s->deleted && errno != ENOSPC) {
		/* Its name is another file's by now; it would go away at once anyway. */
		snprintf(other, sizeof(other), PLACE "ebpf-ckpt-%d", getpid());
		path = other;
		*ret_fd = open(path, flags, 0600);
	}
	if (*ret_fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "make %s",
				       safe_text(name, sizeof(name), s->path));
	if (s->deleted)
		unlink(path);
	return 0;
}

/* Others who use a file with other contents were refused, or are to be left alone. */
static int refill(const struct kind_restore *r, const json_t *o, const struct shm *s, int fd,
		  struct ckpt_err **err)
{
	bool same = true;
	int rc = same_contents(r, o, s, fd, &same, err);

	if (rc < 0 || same || kind_user_of(fd))
		return rc;
	if (ftruncate(fd, 0) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "empty shared memory");
	return memfile_fill(r, o, &s->m, fd, err);
}

static int open_first(struct kind_restore *r, const json_t *o, const struct shm *s, int *ret_fd,
		      struct ckpt_err **err)
{
	uint32_t id = 0;
	int there = 0, rc = js_u32(o, "id", &id, err);

	if (rc == 0 && !s->deleted)
		there = rc = look(r, o, s, ret_fd, err);
	if (rc < 0)
		return rc;
	if (there)
		return refill(r, o, s, *ret_fd, err);
	rc = create(s, ret_fd, err);
	if (rc < 0)
		return rc;
	r->made[id] = true;
	return memfile_fill(r, o, &s->m, *ret_fd, err);
}

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	_cleanup_close_ int fd = -1;
	struct shm s = { 0 };
	int flags = 0, rc = kind_open_flags(o, &flags, err);

	if (rc < 0 || json_object_get(o, "inode_of"))
		return rc < 0 ? rc : kind_open_other(r, o, flags, ret_fd, err);
	rc = parse(o, &s, err);
	if (rc == 0)
		rc = open_first(r, o, &s, &fd, err);
	if (rc == 0)
		rc = memfile_describe(o, &fd, ret_fd, err);
	free(s.path);
	return rc;
}

static void undo(const struct kind_restore *r, const json_t *o)
{
	struct shm s = { 0 };

	(void)r;
	if (parse(o, &s, NULL) == 0 && !s.deleted)
		unlink(s.path);
	free(s.path);
}

/* Of one with a name that others use, only what belongs to the description is the program's. */
static int same(const json_t *saved, const json_t *now, struct ckpt_err **err)
{
	static const char *const all[] = { "deleted", "inode_of", "mode", "uid", "gid" };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof(all) / sizeof(all[0]); i++)
		rc = objects_same_member(saved, now, all[i], err);
	if (rc == 0)
		rc = objects_same_member(saved, now,
					 json_object_get(saved, "deleted") ? "size" : "path", err);
	return rc;
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	char path[300];

	snprintf(buf, len, "shared memory %s%s, %" PRIu64 " bytes",
		 safe_text(path, sizeof(path), f->path), f->inode->unhashed ? " (deleted)" : "",
		 (uint64_t)f->inode->size);
}

const struct ckpt_kind kind_posixshm = {
	.name = "posixshm",
	.has_pos = true,
	.match = match,
	.check = check,
	.save = save,
	.need = need,
	.open = open_it,
	.undo = undo,
	.same = same,
	.describe = describe,
};
