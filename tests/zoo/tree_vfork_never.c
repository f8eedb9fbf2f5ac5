/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="vfork" status=1 */
/* A child of vfork(2) that neither executes a program nor ends: its parent cannot be frozen. */
#include "zoo.h"

#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	int status = 0;
	pid_t pid;

	zoo_start();
	zoo_ready();
	pid = vfork();
	if (pid == 0) {
		zoo_wait();
		_exit(17);
	}
	zoo_need(pid > 0);
	zoo_same(waitpid(pid, &status, 0), pid);
	zoo_same(status, 17 << 8);
	return zoo_end();
}
