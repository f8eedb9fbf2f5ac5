/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory files: contents, size, seals, mapped and with the descriptor closed. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
	unsigned char *map, *closed, got[16];
	char link[64] = "";
	struct stat st;
	int fd, sealed, fd2;

	zoo_start();
	fd = memfd_create("zoo memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	zoo_need(fd >= 0 && dup3(fd, 40, O_CLOEXEC) == 40 && close(fd) == 0);
	fd = 40;
	zoo_need(ftruncate(fd, 40000) == 0);
	map = mmap(NULL, 40960, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	zoo_need(map != MAP_FAILED);
	zoo_fill(map, 40000, 1);
	zoo_need(lseek(fd, 777, SEEK_SET) == 777);
	sealed = memfd_create("sealed", MFD_ALLOW_SEALING);
	zoo_need(sealed >= 0 && write(sealed, "fixed", 5) == 5);
	zoo_need(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) == 0);
	fd2 = memfd_create("mapped only", MFD_CLOEXEC);
	zoo_need(fd2 >= 0 && ftruncate(fd2, 8192) == 0);
	closed = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd2, 0);
	zoo_need(closed != MAP_FAILED && close(fd2) == 0);
	zoo_fill(closed, 8192, 2);
	zoo_ready();
	zoo_wait();

	zoo_need(fstat(fd, &st) == 0);
	zoo_same(st.st_size, 40000);
	zoo_check(zoo_filled(map, 40000, 1), "contents");
	zoo_same(lseek(fd, 0, SEEK_CUR), 777);
	zoo_same(fcntl(fd, F_GETFD), FD_CLOEXEC);
	zoo_same(fcntl(fd, F_GET_SEALS), 0);
	zoo_need(readlink("/proc/self/fd/40", link, sizeof(link) - 1) > 0);
	zoo_check(!strcmp(link, "/memfd:zoo memory (deleted)"), "its name is %s", link);
	zoo_same(pwrite(fd, "x", 1, 5), 1);
	zoo_same(map[5], 'x');
	map[5] = 0;
	zoo_fill(map, 40000, 1); /* for a second life */
	zoo_same(fcntl(sealed, F_GET_SEALS), F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
	zoo_same(pread(sealed, got, 16, 0), 5);
	zoo_check(!memcmp(got, "fixed", 5) && pwrite(sealed, "x", 1, 0) < 0 && errno == EPERM,
		  "sealed");
	zoo_check(zoo_filled(closed, 8192, 2), "mapped only");
	return zoo_end();
}
