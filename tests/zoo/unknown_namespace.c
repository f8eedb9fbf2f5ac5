/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="namespace" */
/* Not supported yet: a namespace of its own. */
#include "zoo.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
	zoo_start();
	char name[20] = "";

	if (unshare(CLONE_NEWUTS) < 0)
		zoo_skip("unshare: %s", strerror(errno));
	zoo_need(sethostname("zoo", 3) == 0);
	zoo_ready();
	zoo_wait();
	zoo_need(gethostname(name, sizeof(name)) == 0);
	zoo_check(!strcmp(name, "zoo"), "host name %s", name);
	return zoo_end();
}
