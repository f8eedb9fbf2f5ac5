/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files opened by a name that was removed, while they have another: in the same directory, in
 * another, and where a new file took the old name. What is written goes on to be seen there.
 */
#include "zoo.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int make(const char *name, const char *other, int flags)
{
	int fd = open(name, flags | O_CREAT, 0644);

	zoo_need(fd >= 0 && link(name, other) == 0 && unlink(name) == 0);
	zoo_need(write(fd, "before ", 7) == 7);
	return fd;
}

static void check(int fd, const char *other, const char *name)
{
	char text[100] = "", link[64], shown[300] = "";
	struct stat a, b;

	zoo_need(fstat(fd, &a) == 0 && stat(other, &b) == 0);
	zoo_check(a.st_ino == b.st_ino && a.st_dev == b.st_dev, "%s is another file", other);
	zoo_same(a.st_nlink, 1);
	zoo_same(lseek(fd, 0, SEEK_CUR), 7);
	zoo_same(write(fd, "after", 5), 5);
	fd = open(other, O_RDONLY);
	zoo_same(read(fd, text, sizeof(text)), 12);
	zoo_check(!strcmp(text, "before after"), "%s holds %s", other, text);
	zoo_need(ftruncate(open(other, O_WRONLY), 7) == 0);
	close(fd);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", 40);
	zoo_need(readlink(link, shown, sizeof(shown) - 1) > 0);
	zoo_check(strstr(shown, "/far (deleted)") != NULL, "/proc shows %s", shown);
	(void)name;
}

int main(void)
{
	int near, far, taken, names = 0;
	struct stat st;
	DIR *d;

	zoo_start();
	mkdir("dir", 0700);
	mkdir("dir/sub", 0700);
	near = make("near", "near.link", O_RDWR);
	far = make("far", "dir/sub/far.link", O_WRONLY);
	taken = make("taken", "dir/taken.link", O_RDWR | O_APPEND);
	zoo_need(dup2(far, 40) == 40 && close(far) == 0);
	zoo_need(mknod("taken", S_IFREG | 0600, 0) == 0);
	zoo_ready();
	zoo_wait();

	check(near, "near.link", "near");
	check(40, "dir/sub/far.link", "far");
	check(taken, "dir/taken.link", "taken");
	zoo_check(stat("taken", &st) == 0 && st.st_size == 0,
		  "the file that took a name was touched");
	d = opendir(".");
	while (d && readdir(d))
		names++;
	closedir(d);
	/* ".", "..", dir, near.link, taken; and what the runner has here. */
	zoo_check(access("near", F_OK) < 0 && access("far", F_OK) < 0, "a name is back");
	zoo_check(names >= 5, "the directory is empty");
	return zoo_end();
}
