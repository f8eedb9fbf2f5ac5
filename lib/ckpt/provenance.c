// SPDX-License-Identifier: LGPL-2.1-or-later
/* Asking observers where descriptors come from. See provenance.h. */
#include "provenance.h"
#include "kind.h"
#include "util.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

/* An observer answers between two looks at its events. */
#define WAIT_US 500000
/* Each of more observers than this is not asked. */
#define OBSERVERS_MAX 8

int provenance_open_dir(bool make, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (make && mkdir(PROVENANCE_DIR, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(PROVENANCE_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid() || st.st_mode & 077)
		return -EPERM;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

bool provenance_is_trusted(int fd)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) && who.uid == geteuid();
}

int provenance_connect(int dir, const char *name)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	const struct timeval wait = { .tv_usec = WAIT_US };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	/* Through the directory that was looked at, not by a path that may lead elsewhere by now.
	 */
	if (fd < 0 || (size_t)snprintf(un.sun_path, sizeof(un.sun_path), "/proc/self/fd/%d/%s", dir,
				       name) >= sizeof(un.sun_path))
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (connect(fd, (const struct sockaddr *)&un, sizeof(un)) < 0 || !provenance_is_trusted(fd))
		return -1;
	return TAKE_FD(fd);
}

struct observers {
	int fd[OBSERVERS_MAX];
	size_t n;
};

static void find_observers(struct observers *o)
{
	int dir = -1;

	o->n = 0;
	if (provenance_open_dir(false, &dir) < 0)
		return;
	/* It stands first, lest it be one too many. */
	int tracer = provenance_connect(dir, PROVENANCE_TRACER);

	if (tracer >= 0)
		o->fd[o->n++] = tracer;

	DIR *d = fdopendir(dir);

	for (struct dirent *e; d && o->n < OBSERVERS_MAX && (e = readdir(d));) {
		int fd = -1;

		if (!strncmp(e->d_name, PROVENANCE_PREFIX, strlen(PROVENANCE_PREFIX)))
			fd = provenance_connect(dir, e->d_name);
		if (fd >= 0)
			o->fd[o->n++] = fd;
	}
	if (d)
		closedir(d);
	else
		close(dir);
}

static bool ask(const struct observers *o, pid_t pid, int fd, char *buf, size_t len)
{
	const struct provenance_request r = { PROVENANCE_MAGIC, pid, fd };

	for (size_t i = 0; i < o->n; i++) {
		ssize_t n = send(o->fd[i], &r, sizeof(r), MSG_NOSIGNAL);

		if (n == (ssize_t)sizeof(r))
			n = recv(o->fd[i], buf, len - 1, 0);
		if (n <= 0)
			continue;
		buf[n] = '\0';
		if (*buf)
			return true;
	}
	return false;
}

static void note(const struct observers *o, struct ckpt_finding *row)
{
	char text[PROVENANCE_TEXT_MAX], *more;
	int fd, end = 0;

	if (row->verdict != CKPT_NO || !row->pid ||
	    sscanf(row->subject, "fd %d%n", &fd, &end) != 1 || row->subject[end] ||
	    !ask(o, row->pid, fd, text, sizeof(text)))
		return;
	/* Without memory the row says what it said. */
	if (asprintf(&more, "%s, %s", row->what, text) >= 0) {
		free(row->what);
		row->what = more;
	}
}

void provenance_note(struct ckpt_findings *f)
{
	struct observers o;

	if (!f->n_no)
		return;
	find_observers(&o);
	for (size_t i = 0; o.n && i < f->n; i++)
		note(&o, &f->row[i]);
	for (size_t i = 0; i < o.n; i++)
		close(o.fd[i]);
}
