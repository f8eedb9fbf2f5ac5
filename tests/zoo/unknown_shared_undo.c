/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="CLONE_SYSVSEM" */
/* Processes that share what is undone of System V semaphores when the last of them ends. */
#include "zoo.h"

#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	struct clone_args ca = { .flags = CLONE_SYSVSEM, .exit_signal = SIGCHLD };
	pid_t pid;

	zoo_start();
	pid = (pid_t)syscall(SYS_clone3, &ca, sizeof(ca));
	zoo_need(pid >= 0);
	if (pid == 0) {
		zoo_wait();
		zoo_leave();
	}
	zoo_ready();
	zoo_wait();
	zoo_join(pid);
	return zoo_end();
}
