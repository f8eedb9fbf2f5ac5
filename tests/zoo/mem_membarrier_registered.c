/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A registration with membarrier(2) lasts. */
#include "zoo.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

static long membarrier(int cmd)
{
	return syscall(SYS_membarrier, cmd, 0, 0);
}

int main(void)
{
	long before;

	zoo_start();
	if (membarrier(MEMBARRIER_CMD_QUERY) < 0)
		zoo_skip("no membarrier(2)");
	zoo_need(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0);
	zoo_need(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE) == 0);
	zoo_need(membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) == 0);
	before = membarrier(512); /* MEMBARRIER_CMD_GET_REGISTRATIONS, Linux 6.3 */
	zoo_ready();
	zoo_wait();
	zoo_same(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED), 0);
	zoo_same(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE), 0);
	if (before >= 0)
		zoo_same(membarrier(512), before);
	return zoo_end();
}
