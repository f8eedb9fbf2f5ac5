/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Record locks of the process and of open descriptions: still held, and by whom. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void lock(int fd, int cmd, short type, off_t start, off_t len)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };

	zoo_need(fcntl(fd, cmd, &fl) == 0);
}

/* What stands in the way of a write lock on one byte, asked by another process: type and owner. */
static short conflict(const char *path, off_t at, pid_t *ret_pid)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1 };
	int p[2], fd;
	pid_t child;

	zoo_need(pipe2(p, O_CLOEXEC) == 0);
	child = fork();
	if (child == 0) {
		fd = open(path, O_RDWR);
		if (fd < 0 || fcntl(fd, F_GETLK, &fl) < 0 ||
		    write(p[1], &fl, sizeof(fl)) != sizeof(fl))
			_exit(1);
		_exit(0);
	}
	zoo_need(child > 0 && read(p[0], &fl, sizeof(fl)) == sizeof(fl));
	zoo_need(waitpid(child, NULL, 0) == child);
	close(p[0]);
	close(p[1]);
	*ret_pid = fl.l_pid;
	return fl.l_type;
}

int main(void)
{
	int fd, ofd;
	pid_t pid;

	zoo_start();
	fd = open("file", O_CREAT | O_RDWR, 0600);
	ofd = open("file", O_RDWR);
	zoo_need(fd >= 0 && ofd >= 0);
	lock(fd, F_SETLK, F_WRLCK, 10, 10);
	lock(fd, F_SETLK, F_RDLCK, 100, 50);
	lock(fd, F_SETLK, F_WRLCK, 1000, 0); /* to the end, wherever that will be */
	lock(fd, F_SETLK, F_UNLCK, 120, 5);
	lock(ofd, F_OFD_SETLK, F_WRLCK, 500, 1);
	zoo_ready();
	zoo_wait();

	zoo_same(conflict("file", 10, &pid), F_WRLCK);
	zoo_same(pid, getpid());
	zoo_same(conflict("file", 9, &pid), F_UNLCK);
	zoo_same(conflict("file", 20, &pid), F_UNLCK);
	zoo_same(conflict("file", 100, &pid), F_RDLCK);
	zoo_same(conflict("file", 122, &pid), F_UNLCK);
	zoo_same(conflict("file", 149, &pid), F_RDLCK);
	zoo_same(conflict("file", 1LL << 40, &pid), F_WRLCK);
	zoo_same(conflict("file", 500, &pid), F_WRLCK);
	zoo_same(pid, -1);
	/* They go as they should. */
	zoo_need(close(ofd) == 0);
	zoo_same(conflict("file", 500, &pid), F_UNLCK);
	zoo_same(conflict("file", 10, &pid),
		 F_UNLCK); /* fcntl(2): any close of the file drops them all */
	return zoo_end();
}
