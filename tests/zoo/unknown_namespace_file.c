/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="a namespace that the process is not in" */
/* Not supported: a file of a namespace that nobody is in. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
	struct stat before, now;
	int mine, other;

	zoo_start();
	mine = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
	zoo_need(mine >= 0);
	if (unshare(CLONE_NEWUTS) < 0)
		zoo_skip("unshare: %s", strerror(errno));
	other = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
	zoo_need(other >= 0 && setns(mine, CLONE_NEWUTS) == 0);
	close(mine);
	zoo_need(fstat(other, &before) == 0);
	zoo_ready();
	zoo_wait();
	zoo_need(fstat(other, &now) == 0);
	zoo_check(before.st_ino == now.st_ino, "it is another one");
	return zoo_end();
}
