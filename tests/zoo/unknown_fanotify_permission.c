/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="fd 40.*decides" */
/* Not supported: a fanotify group that grants access to files. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/fanotify.h>
#include <unistd.h>

int main(void)
{
	int fd;

	zoo_start();
	zoo_need(close(open("file", O_CREAT | O_WRONLY, 0600)) == 0);
	fd = fanotify_init(FAN_CLASS_CONTENT, O_RDONLY);
	if (fd < 0)
		zoo_skip("no fanotify: %s", strerror(errno));
	zoo_need(dup2(fd, 40) == 40 && close(fd) == 0);
	if (fanotify_mark(40, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, "file") < 0)
		zoo_skip("no permission events: %s", strerror(errno));
	zoo_ready();
	zoo_wait();
	zoo_same(fanotify_mark(40, FAN_MARK_REMOVE, FAN_OPEN_PERM, AT_FDCWD, "file"), 0);
	return zoo_end();
}
