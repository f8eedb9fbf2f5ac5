/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The dumpable flag (0), the personality, core dump filter and other settings by prctl(2). */
#include "zoo.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(void)
{
	int dumpable, thp, mce, tsc;
	char *filter;
	int fd;

	zoo_start();
	fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);
	zoo_need(fd >= 0 && write(fd, "0x7f\n", 5) == 5 && close(fd) == 0);
	filter = zoo_slurp("/proc/self/coredump_filter", NULL);
	zoo_need(personality(PER_LINUX | ADDR_NO_RANDOMIZE | STICKY_TIMEOUTS) != -1);
	zoo_need(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0);
	zoo_need(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0) == 0);
	zoo_need(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
	dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
	thp = prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0);
	mce = prctl(PR_MCE_KILL_GET, 0, 0, 0, 0);
	zoo_need(prctl(PR_GET_TSC, &tsc, 0, 0, 0) == 0 && tsc == PR_TSC_ENABLE);
	zoo_ready();
	zoo_wait();

	zoo_same(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), dumpable);
	zoo_same(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), thp);
	zoo_same(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), mce);
	zoo_same(personality(0xffffffff), PER_LINUX | ADDR_NO_RANDOMIZE | STICKY_TIMEOUTS);
	zoo_need(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
	char *now = zoo_slurp("/proc/self/coredump_filter", NULL);

	zoo_check(!strcmp(now, filter), "core dump filter %s, was %s", now, filter);
	return zoo_end();
}
