/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: norerun */
/*
 * Things whose names were removed while they were open: directories (also as working directory, one
 * below the other), devices, FIFOs with contents, symbolic links, sockets; several descriptions of
 * one; names that others took meanwhile.
 */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int fifo_rw, fifo_ro, dir_a, dir_b, dir_place, dev, dev_place, lnk, sock;

static void make_fifo(void)
{
	zoo_need(mkfifo("fifo", 0640) == 0 && chmod("fifo", 0640) == 0);
	fifo_rw = open("fifo", O_RDWR | O_NONBLOCK);
	fifo_ro = open("fifo", O_RDONLY | O_NONBLOCK);
	zoo_need(fifo_rw >= 0 && fifo_ro >= 0);
	zoo_need(write(fifo_rw, "in the pipe", 11) == 11 && unlink("fifo") == 0);
}

static void make_dirs(void)
{
	zoo_need(mkdir("up", 0755) == 0 && mkdir("up/down", 0700) == 0);
	zoo_need(chmod("up/down", 01751) == 0);
	dir_a = open("up/down", O_RDONLY | O_DIRECTORY);
	dir_b = open("up/down", O_RDONLY);
	dir_place = open("up", O_PATH);
	zoo_need(dir_a >= 0 && dir_b >= 0 && dir_place >= 0 && chdir("up/down") == 0);
	zoo_need(rmdir("../down") == 0 && unlinkat(dir_place, "../up", AT_REMOVEDIR) == 0);
}

static void make_others(void)
{
	zoo_need(mknod("null", S_IFCHR | 0600, makedev(1, 3)) == 0 && chmod("null", 0622) == 0);
	dev = open("null", O_RDWR);
	dev_place = open("null", O_PATH);
	zoo_need(dev >= 0 && dev_place >= 0 && unlink("null") == 0);
	/* A directory took the name. */
	zoo_need(mkdir("null", 0700) == 0);
	zoo_need(symlink("nowhere/at all", "link") == 0);
	lnk = open("link", O_PATH | O_NOFOLLOW);
	zoo_need(lnk >= 0 && unlink("link") == 0);
	zoo_need(mknod("socket", S_IFSOCK | 0611, 0) == 0);
	sock = open("socket", O_PATH);
	zoo_need(sock >= 0 && unlink("socket") == 0);
}

static void check_dirs(void)
{
	struct stat a, b, cwd, up;
	char text[100];

	zoo_need(fstat(dir_a, &a) == 0 && fstat(dir_b, &b) == 0 && stat(".", &cwd) == 0);
	zoo_check(a.st_ino == b.st_ino && a.st_ino == cwd.st_ino, "one directory is two");
	zoo_same(a.st_mode, S_IFDIR | 01751);
	zoo_same(a.st_nlink, 0);
	zoo_check(fcntl(dir_a, F_GETFL) & O_DIRECTORY, "O_DIRECTORY is lost");
	zoo_check(!(fcntl(dir_b, F_GETFL) & O_DIRECTORY), "O_DIRECTORY came from somewhere");
	zoo_check(openat(dir_a, "new", O_CREAT | O_WRONLY, 0600) < 0 && errno == ENOENT,
		  "a file can be made in a removed directory");
	zoo_check(!getcwd(text, sizeof(text)) && errno == ENOENT, "the working directory is there");
	zoo_need(fstat(dir_place, &up) == 0);
	zoo_same(up.st_nlink, 0);
	zoo_same(up.st_mode, S_IFDIR | 0755);
	zoo_check(fcntl(dir_place, F_GETFL) & O_PATH, "O_PATH is lost");
}

int main(void)
{
	char text[100];
	struct stat st, place;
	int work;

	zoo_start();
	work = open(".", O_RDONLY | O_DIRECTORY);
	make_fifo();
	make_others();
	make_dirs();
	zoo_ready();
	zoo_wait();

	check_dirs();
	zoo_same(read(fifo_ro, text, sizeof(text)), 11);
	zoo_check(!memcmp(text, "in the pipe", 11), "the FIFO's contents");
	zoo_check(read(fifo_ro, text, 1) < 0 && errno == EAGAIN, "the FIFO's other end is gone");
	zoo_need(fstat(fifo_rw, &st) == 0 && fstat(fifo_ro, &place) == 0);
	zoo_check(st.st_ino == place.st_ino, "one FIFO is two");
	zoo_same(st.st_mode, S_IFIFO | 0640);
	zoo_same(st.st_nlink, 0);

	zoo_need(fstat(dev, &st) == 0 && fstat(dev_place, &place) == 0);
	zoo_check(st.st_ino == place.st_ino, "one device is two");
	zoo_same(st.st_rdev, makedev(1, 3));
	zoo_same(st.st_mode, S_IFCHR | 0622);
	zoo_same(write(dev, "x", 1), 1);
	zoo_check(write(dev_place, "x", 1) < 0 && errno == EBADF, "the place can be written to");

	memset(text, 0, sizeof(text));
	zoo_same(readlinkat(lnk, "", text, sizeof(text)), 14);
	zoo_check(!strcmp(text, "nowhere/at all"), "the link leads to %s", text);
	zoo_need(fstat(sock, &st) == 0);
	zoo_same(st.st_mode, S_IFSOCK | 0611);

	/* Nothing is left of the names. */
	zoo_need(fchdir(work) == 0);
	zoo_check(access("up", F_OK) < 0 && access("fifo", F_OK) < 0 && access("link", F_OK) < 0 &&
			  access("socket", F_OK) < 0,
		  "a name is back");
	zoo_check(rmdir("null") == 0, "the directory that took a name was touched");
	return zoo_end();
}
