/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: hugepages=16 */
/* Memory files of huge pages: contents, a hole, seals, position, mapped with the descriptor closed;
 * shared huge pages that were opened as a file. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HUGE (2UL << 20)

static unsigned char *map(int fd, size_t len)
{
	unsigned char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	zoo_need(p != MAP_FAILED);
	return p;
}

static int open_map(const void *p, size_t len)
{
	char link[80];

	snprintf(link, sizeof(link), "/proc/self/map_files/%lx-%lx", (unsigned long)p,
		 (unsigned long)p + len);
	return open(link, O_RDWR);
}

int main(void)
{
	unsigned char *p, *q, *anon, *own, got[8];
	char link[64] = "";
	struct stat st;
	int fd, fd2, fd3;

	zoo_start();
	fd = memfd_create("big", MFD_HUGETLB | MFD_ALLOW_SEALING);
	if (fd < 0 && errno == EINVAL)
		zoo_skip("no huge pages");
	zoo_need(fd >= 0 && ftruncate(fd, 3 * HUGE) == 0 && fchmod(fd, 0600) == 0);
	p = map(fd, 3 * HUGE);
	zoo_fill(p, HUGE, 1); /* the second page is a hole */
	zoo_fill(p + 2 * HUGE, 5000, 2);
	zoo_need(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0 && lseek(fd, 4321, SEEK_SET) == 4321);
	fd2 = memfd_create("mapped only", MFD_HUGETLB);
	zoo_need(fd2 >= 0 && ftruncate(fd2, HUGE) == 0);
	q = map(fd2, HUGE);
	zoo_need(close(fd2) == 0);
	zoo_fill(q, HUGE, 3);
	/* A private map: the first page is its own by now, the third is the file's. */
	own = mmap(NULL, 3 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	zoo_need(own != MAP_FAILED);
	zoo_fill(own, 4096, 9);
	anon = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB,
		    -1, 0);
	zoo_need(anon != MAP_FAILED);
	zoo_fill(anon, HUGE, 4);
	fd3 = open_map(anon, HUGE);
	zoo_need(fd3 >= 0);
	zoo_ready();
	zoo_wait();

	zoo_need(fstat(fd, &st) == 0);
	zoo_same(st.st_size, 3 * HUGE);
	zoo_same(st.st_blksize, HUGE);
	zoo_same(st.st_mode & 07777, 0600);
	zoo_same(st.st_blocks, 2 * HUGE / 512);
	zoo_check(zoo_filled(p, HUGE, 1) && zoo_filled(p + 2 * HUGE, 5000, 2), "contents");
	zoo_same(lseek(fd, 0, SEEK_CUR), 4321);
	zoo_same(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	memset(got, 0, sizeof(got));
	zoo_same(pread(fd, got, 8, 2 * HUGE), 8);
	zoo_check(!memcmp(got, p + 2 * HUGE, 8), "read and map differ");
	zoo_check(ftruncate(fd, HUGE) < 0 && errno == EPERM, "not sealed");
	zoo_check(zoo_filled(q, HUGE, 3), "mapped only");
	zoo_check(zoo_filled(own, 4096, 9) && !memcmp(own + 4096, p + 4096, HUGE - 4096),
		  "a changed private page");
	p[2 * HUGE]++;
	zoo_same(own[2 * HUGE], p[2 * HUGE]);
	p[2 * HUGE]--;
	zoo_check(zoo_filled(anon, HUGE, 4), "anonymous");
	zoo_same(pread(fd3, got, 8, 0), 8);
	zoo_check(!memcmp(got, anon, 8), "the opened file is other memory");
	anon[1]++;
	zoo_same(pread(fd3, got, 8, 0), 8);
	zoo_same(got[1], anon[1]);
	anon[1]--;
	return zoo_end();
}
