/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A child that its parent waits for, in the end with its exit status. */
#include "zoo.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	zoo_start();
	pid_t self = getpid(), child = fork();
	int status;

	zoo_need(child >= 0);
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		zoo_wait();
		_exit(getppid() == self ? 42 : 43);
	}
	zoo_ready();
	zoo_wait();
	zoo_need(waitpid(child, &status, 0) == child);
	zoo_check(WIFEXITED(status) && WEXITSTATUS(status) == 42, "status %#x", status);
	return zoo_end();
}
