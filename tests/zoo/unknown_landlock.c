/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="Landlock" */
/* Not supported: a process restricted by Landlock, which a restored one would not be. */
#include "zoo.h"

#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	struct landlock_ruleset_attr attr = { .handled_access_fs = LANDLOCK_ACCESS_FS_MAKE_BLOCK };
	long fd;

	zoo_start();
	fd = syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (fd < 0)
		zoo_skip("no Landlock in this kernel");
	zoo_need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	zoo_need(syscall(SYS_landlock_restrict_self, (int)fd, 0) == 0);
	zoo_need(close((int)fd) == 0);
	zoo_ready();
	zoo_wait();
	return zoo_end();
}
