/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: norerun */
/* Files and directories renamed while open, mapped or worked in. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
	struct stat before, now, by_name;
	unsigned char *map;
	char cwd[4096], cwd_now[4096];
	int fd;

	zoo_start();
	zoo_need(mkdir("dir", 0700) == 0 && chdir("dir") == 0);
	fd = open("old", O_CREAT | O_EXCL | O_RDWR, 0600);
	zoo_need(fd >= 0 && write(fd, "0123456789", 10) == 10);
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	zoo_need(map != MAP_FAILED);
	/* A name that begs to be mistaken for an unlinked file's, and one with a newline. */
	zoo_need(rename("old", "new (deleted)") == 0);
	zoo_need(rename("../dir", "../dir\nrenamed") == 0);
	zoo_need(fstat(fd, &before) == 0 && getcwd(cwd, sizeof(cwd)));
	zoo_ready();
	zoo_wait();

	zoo_need(fstat(fd, &now) == 0);
	zoo_check(now.st_ino == before.st_ino && now.st_dev == before.st_dev && now.st_nlink == 1,
		  "another file");
	zoo_check(stat("new (deleted)", &by_name) == 0 && by_name.st_ino == before.st_ino,
		  "by name");
	zoo_check(getcwd(cwd_now, sizeof(cwd_now)) && !strcmp(cwd, cwd_now), "working directory");
	zoo_same(lseek(fd, 0, SEEK_CUR), 10);
	map[0] = 'x';
	char c = 0;

	zoo_same(pread(fd, &c, 1, 0), 1);
	zoo_same(c, 'x');
	return zoo_end();
}
