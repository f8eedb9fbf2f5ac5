/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: norerun */
/* Files unlinked while open: contents, holes, one inode seen by two opens and a map, O_TMPFILE. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE (1 << 20)

int main(void)
{
	static unsigned char text[SIZE], got[SIZE];
	struct stat st, other;
	unsigned char *shared, *private;
	int rw, ro, sparse, tmp, mapped;

	zoo_start();
	zoo_fill(text, SIZE, 1);
	rw = open("gone", O_CREAT | O_EXCL | O_RDWR | O_APPEND, 0640);
	zoo_need(rw >= 0 && write(rw, text, SIZE) == SIZE);
	ro = open("gone", O_RDONLY | O_NOFOLLOW | O_NOATIME);
	zoo_need(ro >= 0 && lseek(ro, 4321, SEEK_SET) == 4321);
	zoo_need(unlink("gone") == 0);
	/* Another file took its name. */
	zoo_need(mknod("gone", S_IFREG | 0600, 0) == 0);

	sparse = open("sparse", O_CREAT | O_EXCL | O_RDWR, 0600);
	zoo_need(sparse >= 0 && pwrite(sparse, "end", 3, 60000000) == 3 && unlink("sparse") == 0);

	mapped = open("mapped", O_CREAT | O_EXCL | O_RDWR, 0600);
	zoo_need(mapped >= 0 && write(mapped, text, 65536) == 65536);
	shared = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, mapped, 0);
	private = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE, mapped, 0);
	zoo_need(shared != MAP_FAILED && private != MAP_FAILED);
	shared[1] = 11;
	private[4096] = 12;
	zoo_need(close(mapped) == 0 && unlink("mapped") == 0);

	tmp = open(".", O_TMPFILE | O_RDWR, 0600);
	if (tmp < 0)
		zoo_log("note: no O_TMPFILE here: %s", strerror(errno));
	else
		zoo_need(write(tmp, "temporary", 9) == 9);
	zoo_ready();
	zoo_wait();

	zoo_need(fstat(rw, &st) == 0 && fstat(ro, &other) == 0);
	zoo_same(st.st_size, SIZE);
	zoo_same(st.st_nlink, 0);
	zoo_same(st.st_mode, S_IFREG | 0640);
	zoo_check(st.st_ino == other.st_ino && st.st_dev == other.st_dev, "two files of one");
	zoo_check(fcntl(rw, F_GETFL) & O_APPEND, "O_APPEND is lost");
	zoo_check(fcntl(ro, F_GETFL) & O_NOATIME, "flags %#o", fcntl(ro, F_GETFL));
	zoo_same(lseek(rw, 0, SEEK_CUR), SIZE);
	zoo_same(lseek(ro, 0, SEEK_CUR), 4321);
	zoo_same(pread(ro, got, SIZE, 0), SIZE);
	zoo_check(!memcmp(got, text, SIZE), "contents");
	zoo_same(write(rw, "more", 4), 4);
	zoo_same(pread(ro, got, 100, SIZE), 4);
	zoo_check(write(ro, "x", 1) < 0 && errno == EBADF, "the read-only one can be written");
	zoo_check(stat("gone", &other) == 0 && other.st_size == 0 && other.st_ino != st.st_ino,
		  "the file that took the name was touched");

	zoo_need(fstat(sparse, &st) == 0);
	zoo_same(st.st_size, 60000003);
	zoo_check(st.st_blocks < 1000, "the holes are filled: %lld blocks",
		  (long long)st.st_blocks);
	zoo_same(pread(sparse, got, 10, 60000000), 3);
	zoo_check(!memcmp(got, "end", 3), "end of the sparse file");
	zoo_same(pread(sparse, got, 1, 25000000), 1);
	zoo_same(got[0], 0);

	zoo_check(shared[1] == 11 && private[4096] == 12, "changed in the maps");
	zoo_check(!memcmp(shared + 2, text + 2, 65534), "the shared map");
	shared[8192] = 33;
	zoo_same(private[8192], 33);
	if (tmp >= 0) {
		zoo_same(pread(tmp, got, 100, 0), 9);
		zoo_check(!memcmp(got, "temporary", 9), "the temporary file");
		zoo_need(fstat(tmp, &st) == 0);
		zoo_same(st.st_nlink, 0);
	}
	zoo_check(access("sparse", F_OK) < 0 && access("mapped", F_OK) < 0, "a name is back");
	return zoo_end();
}
