/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="fd 40.*\n?.*refers to process \d+ \(.*\), which is not part of the checkpoint" */
/* A pidfd of a process that is not checkpointed with it: of its parent. */
#include "zoo.h"

#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	zoo_start();
	int fd = (int)syscall(SYS_pidfd_open, getppid(), 0);

	zoo_need(fd >= 0 && dup2(fd, 40) == 40 && close(fd) == 0);
	zoo_ready();
	zoo_wait();
	zoo_same(syscall(SYS_pidfd_send_signal, 40, 0, NULL, 0), 0);
	return zoo_end();
}
