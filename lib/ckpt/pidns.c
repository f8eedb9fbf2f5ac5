// SPDX-License-Identifier: LGPL-2.1-or-later
/* A private pid namespace. See pidns.h. */
#include "pidns.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define POLL_NS 100000000

/*
 * The restored process is our child, not this one's: it sees its end by looking whether anyone is
 * left. It begins to look when the first one has come.
 */
static _Noreturn void ns_init(void)
{
	struct timespec tick = { 0, POLL_NS };
	bool seen = false;

	prctl(PR_SET_NAME, "ebpf-ckpt-init");
	setsid();
	syscall(SYS_close_range, 0, ~0U, 0);
	for (;;) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		/* Signals of ours to everyone in the namespace but us: none when it is empty. */
		if (kill(-1, 0) == 0)
			seen = true;
		else if (seen && errno == ESRCH)
			_exit(0);
		nanosleep(&tick, NULL);
	}
}

int pidns_make(pid_t *ret_init, struct ckpt_err **err)
{
	pid_t pid;

	if (unshare(CLONE_NEWPID) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_PRIVILEGE, "make a pid namespace");
	pid = fork();
	if (pid == 0)
		ns_init();
	if (pid < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "make the pid namespace's init");
	*ret_init = pid;
	return 0;
}

void pidns_leave(void)
{
	_cleanup_close_ int fd = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		setns(fd, CLONE_NEWPID);
}
