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
#include <unistd.h>

#define POLL_NS 100000000

/*
 * The restored process is our child, not this one's: it sees its end by looking whether anyone is
 * left. It begins to look when the restorer has let go of the pipe.
 */
static _Noreturn void ns_init(int hold_fd)
{
	struct timespec tick = { 0, POLL_NS };
	char c;

	prctl(PR_SET_NAME, "ebpf-ckpt-init");
	setsid();
	dup2(hold_fd, 0);
	syscall(SYS_close_range, 1, ~0U, 0);
	while (read(0, &c, 1) < 0 && errno == EINTR)
		;
	/* No signal, to everyone in the namespace but this one: nobody is there when it is empty.
	 */
	while (kill(-1, 0) == 0 || errno != ESRCH) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		nanosleep(&tick, NULL);
	}
	_exit(0);
}

int pidns_make(pid_t *ret_init, int *ret_hold_fd, struct ckpt_err **err)
{
	int hold[2];
	pid_t pid;

	if (unshare(CLONE_NEWPID) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_PRIVILEGE, "make a pid namespace");
	if (pipe2(hold, O_CLOEXEC) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "make a pipe");
	pid = fork();
	if (pid == 0)
		ns_init(hold[0]);
	close(hold[0]);
	if (pid < 0) {
		int rc = ckpt_fail_errno(err, errno, CKPT_E_SYS, "make the pid namespace's init");

		close(hold[1]);
		return rc;
	}
	*ret_init = pid;
	*ret_hold_fd = hold[1];
	return 0;
}

void pidns_leave(void)
{
	_cleanup_close_ int fd = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		setns(fd, CLONE_NEWPID);
}
