/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="fd 40" */
/* Not supported yet: an inotify instance. */
#include "zoo.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

int main(void)
{
	zoo_start();
	char event[4096];
	int fd = inotify_init1(IN_NONBLOCK);

	zoo_need(fd >= 0 && dup2(fd, 40) == 40 && close(fd) == 0);
	zoo_need(inotify_add_watch(40, ".", IN_CREATE) >= 0);
	zoo_ready();
	zoo_wait();
	zoo_need(open("made", O_CREAT | O_WRONLY, 0600) >= 0);
	zoo_check(read(40, event, sizeof(event)) > 0, "no event");
	return zoo_end();
}
