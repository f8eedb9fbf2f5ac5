/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A session and group leader stays one; and its name, executable and start are its own. */
#include "zoo.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	pid_t pid = getpid();

	zoo_start();
	zoo_need(getsid(0) == pid && getpgrp() == pid);
	zoo_ready();
	zoo_wait();
	zoo_same(getpid(), pid);
	zoo_same(syscall(SYS_gettid), pid);
	zoo_same(getsid(0), pid);
	zoo_same(getpgrp(), pid);
	zoo_check(setsid() < 0 && errno == EPERM, "a leader can make a new session");
	zoo_check(!strcmp(program_invocation_short_name, "proc_session_leader"), "its name");
	return zoo_end();
}
