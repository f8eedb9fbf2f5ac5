/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: norerun */
/* A file made without a name (O_TMPFILE), opened a second time by a lower descriptor, gets one. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
	char path[64], text[64] = "";
	struct stat a, b;
	int tmp, low;

	zoo_start();
	tmp = open(".", O_TMPFILE | O_RDWR, 0640);
	if (tmp < 0)
		zoo_skip("no O_TMPFILE here: %s", strerror(errno));
	zoo_need(dup2(tmp, 41) == 41 && close(tmp) == 0 && write(41, "contents", 8) == 8);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", 41);
	low = open(path, O_RDONLY);
	zoo_need(low >= 0 && low < 41 && lseek(low, 3, SEEK_SET) == 3);
	zoo_ready();
	zoo_wait();

	zoo_need(fstat(low, &a) == 0 && fstat(41, &b) == 0);
	zoo_check(a.st_ino == b.st_ino, "one file is two");
	zoo_same(read(low, text, sizeof(text)), 5);
	zoo_same(a.st_nlink, 0);
	zoo_same(write(41, " more", 5), 5);
	zoo_check(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW) == 0,
		  "it cannot get a name: %s", strerror(errno));
	zoo_check(stat("named", &b) == 0 && b.st_ino == a.st_ino && b.st_size == 13,
		  "the name is another file's");
	zoo_check((b.st_mode & 07777) == 0640, "mode %#o", b.st_mode);
	return zoo_end();
}
