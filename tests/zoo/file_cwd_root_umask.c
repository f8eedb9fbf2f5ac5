/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Working directory, umask, and a changed root. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool same_dir(const char *path, const struct stat *want)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_ino == want->st_ino && st.st_dev == want->st_dev;
}

int main(void)
{
	char up[PATH_MAX], cwd[PATH_MAX], *name;
	struct stat root, here, st;
	int fd;

	zoo_start();
	/* The root becomes the directory of $ZOO_GO, which holds the log and the working directory.
	 */
	snprintf(up, sizeof(up), "%s", zoo_go);
	name = strrchr(up, '/');
	zoo_need(name);
	*name = '\0';
	zoo_need(mkdir("below", 0755) == 0 && chdir("below") == 0);
	umask(0137);
	if (chroot(up) < 0)
		zoo_skip("chroot: %s", strerror(errno));
	*name = '/';
	zoo_go = name;
	zoo_need(stat("/", &root) == 0 && stat(".", &here) == 0);
	zoo_need(getcwd(cwd, sizeof(cwd)) && cwd[0] == '/');
	zoo_ready();
	zoo_wait();

	char now[PATH_MAX] = "";

	zoo_check(same_dir("/", &root), "another root");
	zoo_check(same_dir("/..", &root), "a way out of the root");
	zoo_check(same_dir(".", &here), "another working directory");
	zoo_check(getcwd(now, sizeof(now)) && !strcmp(now, cwd), "working directory %s, was %s",
		  now, cwd);
	zoo_check(access("/proc/self", F_OK) < 0, "the old root can be seen");
	fd = open("made", O_CREAT | O_EXCL | O_WRONLY, 0777);
	zoo_check(fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & 0777) == 0640,
		  "mode %o of a new file", st.st_mode & 0777);
	zoo_check(unlink("made") == 0, "unlink");
	zoo_same(umask(0), 0137);
	return zoo_end();
}
