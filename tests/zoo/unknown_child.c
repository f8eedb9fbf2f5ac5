/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="child" */
/* Not supported yet: a process with a child. */
#include "zoo.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	zoo_start();
	int status;
	pid_t child = fork();

	zoo_need(child >= 0);
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		zoo_wait();
		_exit(42);
	}
	zoo_ready();
	zoo_wait();
	zoo_need(waitpid(child, &status, 0) == child);
	zoo_check(WIFEXITED(status) && WEXITSTATUS(status) == 42, "status %#x", status);
	return zoo_end();
}
