// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Names of unix sockets. bind(2) makes a file where the name says, which must not be there yet, and
 * what getsockname(2) tells later is the name as it was given. So sockets are bound by a process
 * with another root directory, in which every name is free: of those whose file is gone in a file
 * system of our own, which nobody else sees; of the others in a new directory beside the place
 * where the file shall lie in the end. There it is moved to when all is done, in exchange for what
 * the dead process left, and back if the restore fails after all. See unix.h.
 */
#include "../safe.h"
#include "../util.h"
#include "unix.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define TAKEN_DEADLINE_US 2000000
#define TAKEN_POLL_NS	  2000000

#define RENAME_NOREPLACE_FLAG 1
#define RENAME_EXCHANGE_FLAG  2

socklen_t unix_addr_of(const struct unix_name *name, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(ret->sun_path, name->bytes, name->len);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + name->len);
}

void unix_places_init(struct unix_places *p)
{
	*p = (struct unix_places){ .fs_fd = -1, .root_fd = -1 };
}

static int add_place(struct unix_places *p, uint32_t id, struct unix_place **ret,
		     struct ckpt_err **err)
{
	struct unix_place *more = realloc(p->place, (p->n + 1) * sizeof(*more));

	if (!more)
		return ckpt_fail_nomem(err);
	p->place = more;
	*ret = &more[p->n++];
	**ret = (struct unix_place){ .id = id, .parent_fd = -1, .dir_fd = -1 };
	snprintf((*ret)->name, sizeof((*ret)->name), "s%u", id);
	return 0;
}

/* ---- where they lie meanwhile ---- */

/* A file system in memory that is mounted nowhere: it goes with the last socket bound in it. */
static int make_fs(struct unix_places *p, struct ckpt_err **err)
{
	_cleanup_close_ int fs = -1;

	if (p->fs_fd >= 0)
		return 0;
	fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
	if (fs >= 0 && syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		p->fs_fd = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
	if (p->fs_fd >= 0 && mkdirat(p->fs_fd, "r", 0700) == 0)
		p->root_fd = openat(p->fs_fd, "r", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->root_fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_PRIVILEGE,
				       "make a file system for the names of sockets");
	return 0;
}

/* A new directory beside the final place. */
static int make_dir(struct unix_place *place, const char *path, struct ckpt_err **err)
{
	_cleanup_free_ char *parent = strdup(path);
	char safe[300];
	char *slash = parent ? strrchr(parent, '/') : NULL;

	if (!slash)
		return ckpt_fail_nomem(err);
	place->base = strdup(slash + 1);
	slash[slash == parent] = 0;
	if (!place->base)
		return ckpt_fail_nomem(err);
	place->parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; place->parent_fd >= 0 && i < 100; i++) {
		snprintf(place->dir, sizeof(place->dir), ".ebpf-ckpt-%d-%u-%d", getpid(), place->id,
			 i);
		if (mkdirat(place->parent_fd, place->dir, 0700) == 0) {
			place->dir_fd = openat(place->parent_fd, place->dir,
					       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			break;
		}
		if (errno != EEXIST)
			break;
	}
	if (place->dir_fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "make a directory beside %s",
				       safe_text(safe, sizeof(safe), path));
	return 0;
}

static int fail_bind(const struct unix_name *name, int rc, struct ckpt_err **err)
{
	char words[300];

	return ckpt_fail_errno(err, rc, CKPT_E_RESTORE, "give a socket its name %s",
			       unix_name_words(name, words, sizeof(words)));
}

static int bind_abstract(const struct unix_name *name, int fd, struct ckpt_err **err)
{
	struct sockaddr_un addr;
	socklen_t len = unix_addr_of(name, &addr);

	return bind(fd, (const struct sockaddr *)&addr, len) < 0 ? fail_bind(name, -errno, err) : 0;
}

/* Its file has, or shall have, no name. */
static int bind_unlinked(struct unix_places *p, struct unix_actors *a, const struct unix_name *name,
			 uint32_t id, int fd, struct ckpt_err **err)
{
	struct unix_place *place = NULL;
	int rc = make_fs(p, err);

	if (rc == 0)
		rc = add_place(p, id, &place, err);
	if (rc < 0)
		return rc;
	place->dir_fd = p->fs_fd;
	rc = unix_bind_within(a, fd, name, p->root_fd, p->fs_fd, place->name);
	return rc < 0 ? fail_bind(name, rc, err) : 0;
}

static int bind_file(struct unix_places *p, struct unix_actors *a, const struct unix_sk *sk, int fd,
		     struct ckpt_err **err)
{
	_cleanup_close_ int root = -1;
	struct unix_place *place = NULL;
	int rc = add_place(p, sk->id, &place, err);

	if (rc == 0)
		rc = make_dir(place, sk->path, err);
	if (rc < 0)
		return rc;
	if (mkdirat(place->dir_fd, "r", 0700) == 0)
		root = openat(place->dir_fd, "r", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return fail_bind(&sk->name, -errno, err);
	rc = unix_bind_within(a, fd, &sk->name, root, place->dir_fd, place->name);
	unlinkat(place->dir_fd, "r", AT_REMOVEDIR);
	if (rc < 0)
		return fail_bind(&sk->name, rc, err);
	if (fchownat(place->dir_fd, place->name, sk->file_uid, sk->file_gid, AT_SYMLINK_NOFOLLOW) <
		    0 ||
	    fchmodat(place->dir_fd, place->name, sk->file_mode & 07777, 0) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE,
				       "give the file of a socket its owner and mode");
	return 0;
}

int unix_place_bind(struct unix_places *p, struct unix_actors *a, const struct unix_sk *sk, int fd,
		    struct ckpt_err **err)
{
	if (unix_is_abstract(&sk->name))
		return bind_abstract(&sk->name, fd, err);
	if (!sk->path)
		return bind_unlinked(p, a, &sk->name, sk->id, fd, err);
	return bind_file(p, a, sk, fd, err);
}

int unix_place_bind_tmp(struct unix_places *p, struct unix_actors *a, const struct unix_name *name,
			int fd, uint32_t *ret_id, struct ckpt_err **err)
{
	*ret_id = UINT32_MAX - p->n_tmp++;
	if (unix_is_abstract(name))
		return bind_abstract(name, fd, err);
	return bind_unlinked(p, a, name, *ret_id, fd, err);
}

socklen_t unix_place_addr(const struct unix_places *p, uint32_t id, const struct unix_name *name,
			  struct sockaddr_un *ret)
{
	if (unix_is_abstract(name))
		return unix_addr_of(name, ret);
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	for (size_t i = 0; i < p->n; i++)
		if (p->place[i].id == id)
			snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s",
				 p->place[i].dir_fd, p->place[i].name);
	return sizeof(*ret);
}

/* ---- the final places ---- */

/*
 * Does a socket of a living process lie there? Connecting a datagram socket asks the kernel for
 * the one that is bound to the file, and disturbs nobody.
 */
static bool is_bound(const char *path, const struct unix_name *unused)
{
	_cleanup_close_ int dir = -1, fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	(void)unused;
	dir = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d", dir);
	return dir >= 0 && fd >= 0 &&
	       (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0 ||
		errno != ECONNREFUSED);
}

bool unix_stays_taken(bool (*is_taken)(const char *path, const struct unix_name *name),
		      const char *path, const struct unix_name *name)
{
	const struct timespec tick = { 0, TAKEN_POLL_NS };
	uint64_t deadline = now_us() + TAKEN_DEADLINE_US;

	while (is_taken(path, name)) {
		if (now_us() > deadline)
			return true;
		nanosleep(&tick, NULL);
	}
	return false;
}

int unix_path_free(const struct unix_sk *sk, bool allow_changed, struct ckpt_err **err)
{
	char safe[300];
	struct stat st;

	safe_text(safe, sizeof(safe), sk->path);
	if (lstat(sk->path, &st) < 0) {
		_cleanup_free_ char *parent = strdup(sk->path);
		char *slash = parent ? strrchr(parent, '/') : NULL;

		if (slash)
			slash[slash == parent] = 0;
		if (errno == ENOENT && parent && access(parent, F_OK) == 0)
			return 0;
		return ckpt_fail_errno(err, errno, CKPT_E_FILE_GONE,
				       "the directory of the socket %s", safe);
	}
	if (!S_ISSOCK(st.st_mode)) {
		ckpt_fail(err, EEXIST, CKPT_E_FILE_CHANGED, "%s is not a socket any more", safe);
		ckpt_hint(err, "remove that file first");
		return -EEXIST;
	}
	if (unix_stays_taken(is_bound, sk->path, NULL)) {
		ckpt_fail(err, EADDRINUSE, CKPT_E_FILE_CHANGED,
			  "%s is in use: another process has a socket there", safe);
		ckpt_hint(err, "end that process first");
		return -EADDRINUSE;
	}
	if (allow_changed ||
	    ((uint64_t)st.st_dev == sk->was_dev && (uint64_t)st.st_ino == sk->was_ino))
		return 0;
	ckpt_fail(err, EEXIST, CKPT_E_FILE_CHANGED,
		  "%s was replaced by another socket, which nobody uses", safe);
	ckpt_hint(err, "remove it first, or use --allow-changed");
	return -EEXIST;
}

static int swap_names(const struct unix_place *p, unsigned int how)
{
	return syscall(SYS_renameat2, p->dir_fd, p->name, p->parent_fd, p->base, how) < 0 ? -errno
											  : 0;
}

/* The file that was there must be the one that was judged. */
static int check_swapped(const struct unix_place *p, const struct unix_sk *sk, bool allow_changed,
			 struct ckpt_err **err)
{
	struct stat st;

	if (fstatat(p->dir_fd, p->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(st.st_mode) &&
	    (allow_changed ||
	     ((uint64_t)st.st_dev == sk->was_dev && (uint64_t)st.st_ino == sk->was_ino)))
		return 0;
	return ckpt_fail(err, EEXIST, CKPT_E_FILE_CHANGED,
			 "the file of a socket was replaced by another at this moment");
}

static int move_place(struct unix_place *p, const struct unix_sk *sk, bool allow_changed,
		      struct ckpt_err **err)
{
	char safe[300];
	int rc = unix_path_free(sk, allow_changed, err);

	if (rc < 0)
		return rc;
	rc = swap_names(p, RENAME_NOREPLACE_FLAG);
	if (rc == -EEXIST) {
		rc = swap_names(p, RENAME_EXCHANGE_FLAG);
		p->swapped = rc == 0;
	}
	if (rc < 0)
		return ckpt_fail_errno(err, rc, CKPT_E_RESTORE, "put a socket at %s",
				       safe_text(safe, sizeof(safe), sk->path));
	p->moved = true;
	return p->swapped ? check_swapped(p, sk, allow_changed, err) : 0;
}

int unix_places_move(struct unix_places *p, const struct kind_restore *r, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < p->n; i++) {
		struct unix_place *place = &p->place[i];

		if (place->parent_fd < 0)
			unlinkat(place->dir_fd, place->name, 0);
		else
			rc = move_place(place, unix_find(r->unix_net, place->id), r->allow_changed,
					err);
	}
	return rc;
}

static void place_done(struct unix_place *p, bool keep)
{
	if (p->parent_fd < 0)
		return;
	if (p->moved && !keep) {
		if (p->swapped)
			swap_names(p, RENAME_EXCHANGE_FLAG);
		else
			unlinkat(p->parent_fd, p->base, 0);
	}
	unlinkat(p->dir_fd, p->name, 0);
	unlinkat(p->dir_fd, "r", AT_REMOVEDIR);
	if (p->dir[0])
		unlinkat(p->parent_fd, p->dir, AT_REMOVEDIR);
	close_reset(&p->dir_fd);
	close_reset(&p->parent_fd);
}

void unix_places_keep(struct unix_places *p)
{
	p->keep = true;
}

void unix_places_done(struct unix_places *p)
{
	for (size_t i = p->n; i-- > 0;) {
		place_done(&p->place[i], p->keep);
		free(p->place[i].base);
	}
	free(p->place);
	close_reset(&p->root_fd);
	close_reset(&p->fs_fd);
	unix_places_init(p);
}
