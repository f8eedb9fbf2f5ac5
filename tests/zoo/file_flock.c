/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* flock(2), exclusive and shared: belongs to the description and outlives one of its descriptors.
 */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

static bool can_lock(const char *path, int op)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	bool can;

	zoo_need(fd >= 0);
	can = flock(fd, op | LOCK_NB) == 0;
	zoo_check(can || errno == EWOULDBLOCK, "flock");
	close(fd);
	return can;
}

int main(void)
{
	int exclusive, twin, shared, none;

	zoo_start();
	exclusive = open("exclusive", O_CREAT | O_RDWR, 0600);
	shared = open("shared", O_CREAT | O_RDWR, 0600);
	none = open("none", O_CREAT | O_RDWR, 0600);
	twin = dup(exclusive);
	zoo_need(exclusive >= 0 && shared >= 0 && none >= 0 && twin >= 0);
	zoo_need(flock(exclusive, LOCK_EX) == 0 && flock(shared, LOCK_SH) == 0);
	zoo_ready();
	zoo_wait();

	zoo_check(!can_lock("exclusive", LOCK_SH), "the exclusive lock is gone");
	zoo_check(!can_lock("shared", LOCK_EX), "the shared lock is gone");
	zoo_check(can_lock("shared", LOCK_SH), "the shared lock is exclusive");
	zoo_check(can_lock("none", LOCK_EX), "a lock from nowhere");
	zoo_need(close(exclusive) == 0);
	zoo_check(!can_lock("exclusive", LOCK_SH), "the lock went with one of two descriptors");
	zoo_need(flock(twin, LOCK_UN) == 0);
	zoo_check(can_lock("exclusive", LOCK_EX), "it cannot be given back");
	return zoo_end();
}
