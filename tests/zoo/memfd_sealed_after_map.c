/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory files sealed against future writing, mapped for writing before that or not. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LEN 8192

static int make(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	zoo_need(fd >= 0 && ftruncate(fd, LEN) == 0);
	return fd;
}

static void check_sealed(int fd, int seals)
{
	zoo_same(fcntl(fd, F_GET_SEALS), seals);
	zoo_check(pwrite(fd, "x", 1, 0) < 0 && errno == EPERM, "written to");
	zoo_check(mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED,
		  "mapped for writing");
}

int main(void)
{
	const int seals = F_SEAL_FUTURE_WRITE | F_SEAL_GROW | F_SEAL_SEAL;
	unsigned char *before, *hidden, *after;
	int a, b, c;

	zoo_start();
	a = make("before");
	before = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, a, 0);
	zoo_need(before != MAP_FAILED && fcntl(a, F_ADD_SEALS, seals) == 0);
	zoo_fill(before, LEN, 1);
	b = make("hidden"); /* may be made writable, and is read-only now */
	hidden = mmap(NULL, LEN, PROT_READ, MAP_SHARED, b, 0);
	zoo_need(hidden != MAP_FAILED && fcntl(b, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0);
	c = make("after");
	zoo_need(fcntl(c, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0);
	after = mmap(NULL, LEN, PROT_READ, MAP_SHARED, c, 0);
	zoo_need(after != MAP_FAILED && mprotect(after, LEN, PROT_READ | PROT_WRITE) < 0);
	zoo_ready();
	zoo_wait();

	check_sealed(a, seals);
	check_sealed(b, F_SEAL_FUTURE_WRITE);
	check_sealed(c, F_SEAL_FUTURE_WRITE);
	zoo_check(fcntl(a, F_ADD_SEALS, F_SEAL_SHRINK) < 0, "a seal more than F_SEAL_SEAL allows");
	zoo_check(fcntl(b, F_ADD_SEALS, F_SEAL_SHRINK) == 0, "no further seal");
	zoo_check(zoo_filled(before, LEN, 1), "contents");
	zoo_fill(before, LEN, 2);
	zoo_check(zoo_filled(before, LEN, 2), "the old map is written to no more");
	zoo_fill(before, LEN, 1);
	zoo_check(mprotect(hidden, LEN, PROT_READ | PROT_WRITE) == 0,
		  "an older map stays read-only");
	hidden[0] = 7;
	zoo_check(mprotect(after, LEN, PROT_READ | PROT_WRITE) < 0,
		  "a younger map became writable");
	return zoo_end();
}
