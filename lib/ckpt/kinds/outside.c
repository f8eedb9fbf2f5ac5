// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Who outside of a dump holds what the dump holds. The kernel counts the references to an open
 * file; only when there are more than the snapshot shows is it asked for the descriptors of all
 * processes, and /proc for those who map it.
 */
#include "../safe.h"
#include "../util.h"
#include "kinds.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* Descriptors, areas and messages of the dump that refer to it. */
static uint64_t references(const struct kind_dump *d, uint64_t file_id)
{
	const struct object_row *r = objects_row(d->os, objects_id(d->os, file_id));

	return r ? (uint64_t)r->n_refs + r->n_queued : 0;
}

static bool is_ours(const struct kind_dump *d, pid_t tgid)
{
	return snapshot_process(d->snap, tgid) || kind_pidfd(d, tgid) >= 0;
}

/* Does a process map this file? */
static bool maps_it(const char *pid, const struct rec_inode *ino)
{
	char path[NAME_MAX + 16];
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	bool found = false;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	maps = fopen(path, "re");
	while (maps && !found && getline(&line, &size, maps) > 0) {
		unsigned int dev[2];
		uint64_t n;

		found = sscanf(line, "%*s %*s %*s %x:%x %" SCNu64, &dev[0], &dev[1], &n) == 3 &&
			dev[0] == ino->dev_major && dev[1] == ino->dev_minor && n == ino->ino;
	}
	if (maps)
		fclose(maps);
	return found;
}

pid_t kind_outside_mapper(const struct kind_dump *d, const struct kind_file *f)
{
	DIR *proc = opendir("/proc");
	const struct dirent *e;
	pid_t found = 0;

	while (proc && !found && (e = readdir(proc))) {
		pid_t pid = isdigit((unsigned char)e->d_name[0]) ? atoi(e->d_name) : 0;

		if (pid > 0 && !is_ours(d, pid) && maps_it(e->d_name, f->inode))
			found = pid;
	}
	if (proc)
		closedir(proc);
	return found;
}

enum by { BY_FILE, BY_INODE, BY_SOCK };

static pid_t find_holder(const struct kind_dump *d, enum by by, uint64_t id)
{
	struct snapshot *s = NULL;
	pid_t found = 0;

	if (!d->loader || snapshot_take(d->loader, NULL, 0, SNAPSHOT_HOLDERS, &s, NULL) < 0)
		return 0;
	for (size_t i = 0; i < s->n_holders && !found; i++) {
		const struct rec_holder *h = s->holders[i];
		uint64_t has = by == BY_FILE	? h->file_id
			       : by == BY_INODE ? h->inode_id
						: h->sock_id;

		if (has == id && !is_ours(d, h->tgid))
			found = h->tgid;
	}
	snapshot_free(s);
	return found;
}

pid_t kind_outside_holder(const struct kind_dump *d, const struct kind_file *f, bool same_inode)
{
	pid_t pid;

	if (same_inode)
		return find_holder(d, BY_INODE, f->inode->inode_id);
	if (f->inode->f_count <= references(d, f->inode->file_id))
		return 0;
	/* Or it is in use at this moment, by a call of the program's own. */
	pid = find_holder(d, BY_FILE, f->inode->file_id);
	if (!pid && f->map_end)
		pid = kind_outside_mapper(d, f);
	return pid;
}

bool kind_may_be_under_way(const struct kind_dump *d)
{
	return !d->frozen && d->os->any_unknown;
}

pid_t kind_outside_sock(const struct kind_dump *d, uint64_t sock_id)
{
	return find_holder(d, BY_SOCK, sock_id);
}

static bool has_open(const char *pid, const struct stat *wanted)
{
	char path[NAME_MAX + 16];
	const struct dirent *e;
	bool found = false;
	struct stat st;
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	fds = opendir(path);
	while (fds && !found && (e = readdir(fds)))
		found = fstatat(dirfd(fds), e->d_name, &st, 0) == 0 &&
			st.st_dev == wanted->st_dev && st.st_ino == wanted->st_ino;
	if (fds)
		closedir(fds);
	return found;
}

pid_t kind_user_of(int fd)
{
	DIR *proc = opendir("/proc");
	struct rec_inode ino = { 0 };
	const struct dirent *e;
	struct stat st;
	pid_t found = 0;

	if (fstat(fd, &st) < 0)
		st.st_ino = 0;
	ino.ino = st.st_ino;
	ino.dev_major = major(st.st_dev);
	ino.dev_minor = minor(st.st_dev);
	while (proc && !found && (e = readdir(proc))) {
		pid_t pid = isdigit((unsigned char)e->d_name[0]) ? atoi(e->d_name) : 0;

		if (pid > 0 && pid != getpid() &&
		    (maps_it(e->d_name, &ino) || has_open(e->d_name, &st)))
			found = pid;
	}
	if (proc)
		closedir(proc);
	return found;
}

void kind_process_words(pid_t pid, char *buf, size_t len)
{
	char path[40], comm[32] = "", safe[64];
	_cleanup_close_ int fd = -1;
	ssize_t n;

	if (!pid) {
		snprintf(buf, len, "another process");
		return;
	}
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, comm, sizeof(comm) - 1) : 0;
	if (n > 0 && comm[n - 1] == '\n')
		comm[n - 1] = 0;
	snprintf(buf, len, "process %d (%s)", pid, safe_text(safe, sizeof(safe), comm));
}

int kind_check_unshared(const struct kind_dump *d, const struct kind_file *f, const char *noun,
			struct ckpt_err **err)
{
	pid_t pid = kind_outside_holder(d, f, false);
	char who[128];

	if (!pid)
		return 0;
	kind_process_words(pid, who, sizeof(who));
	ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED, "the %s is shared with %s", noun, who);
	ckpt_hint(err,
		  "checkpoint the processes that share it together, or close it in one of them");
	return -EOPNOTSUPP;
}
