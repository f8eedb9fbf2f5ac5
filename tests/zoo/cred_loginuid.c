/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The user who logged in, as audit knows it. */
#include "zoo.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void set_loginuid(const char *uid)
{
	int fd = open("/proc/self/loginuid", O_WRONLY);

	if (fd < 0)
		zoo_skip("no audit in this kernel");
	if (write(fd, uid, strlen(uid)) < 0)
		zoo_skip("it may not be set here");
	close(fd);
}

int main(void)
{
	zoo_start();
	set_loginuid("18943");
	zoo_ready();
	zoo_wait();

	char *now = zoo_slurp("/proc/self/loginuid", NULL);

	zoo_check(!strcmp(now, "18943"), "the login user id is %s", now);
	free(now);
	return zoo_end();
}
