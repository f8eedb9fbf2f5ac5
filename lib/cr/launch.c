// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Starting the command from within any program: quickly, whatever its size (as vfork(2) does),
 * without fork handlers, with its signals kept away.
 */
#include "launch.h"
#include "ask.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK 65536 /* of each of two */

struct launch {
	const char **argv;
	char **envp;
	const char *path;
	char *stack; /* of the second */
	int fd;
	sigset_t mask;
	volatile pid_t pid;
	volatile int error;
};

/* In a process that shares our memory, while we wait: system calls only. */
static int become_command(void *arg)
{
	struct launch *l = arg;

	if (l->fd >= 0 &&
	    (l->fd == CR_ASK_FD ? fcntl(l->fd, F_SETFD, 0) : dup2(l->fd, CR_ASK_FD)) < 0)
		l->error = errno;
	syscall(SYS_close_range, l->fd >= 0 ? CR_ASK_FD + 1 : CR_ASK_FD, ~0U, 0);
	sigprocmask(SIG_SETMASK, &l->mask, NULL);
	if (!l->error)
		execve(l->path, (char *const *)(uintptr_t)l->argv, l->envp);
	l->error = l->error ? l->error : errno;
	_exit(127);
}

/* The go-between, whose child becomes an orphan. */
static int make_command(void *arg)
{
	struct launch *l = arg;
	int pid = clone(become_command, l->stack, CLONE_VM | CLONE_VFORK | SIGCHLD, l);

	l->pid = pid;
	if (pid < 0)
		l->error = errno;
	_exit(0);
}

/* What was preloaded into the program is not meant for the command. malloc'd. */
static char **environment(void)
{
	size_t n = 0, k = 0;
	char **copy;

	while (environ && environ[n])
		n++;
	copy = calloc(n + 1, sizeof(*copy));
	for (size_t i = 0; copy && i < n; i++)
		if (strncmp(environ[i], "LD_PRELOAD=", 11) != 0)
			copy[k++] = environ[i];
	return copy;
}

static int start(struct launch *l, char *stacks, bool child)
{
	int flags = CLONE_VM | CLONE_VFORK, status, pid;

	l->stack = stacks + 2 * STACK;
	if (child) {
		pid = clone(become_command, stacks + STACK, flags | SIGCHLD, l);
		l->pid = pid;
	} else {
		pid = clone(make_command, stacks + STACK, flags, l);
	}
	if (pid < 0)
		return errno;
	/* One without an exit signal is nobody's business but ours; a failed one is, too. */
	if (!child || l->error)
		while (waitpid(pid, &status, __WALL) < 0 && errno == EINTR)
			;
	return l->error;
}

int cri_launch(const char *argv[], int fd, bool child, pid_t *ret_pid)
{
	struct launch l = { .argv = argv, .fd = fd };
	char *stacks = mmap(NULL, 2 * STACK, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	sigset_t all, old;
	int rc;

	if (stacks == MAP_FAILED)
		return ENOMEM;
	l.path = secure_getenv("EBPF_CKPT");
	l.path = l.path ? l.path : CR_PROGRAM;
	argv[0] = l.path;
	l.envp = environment();
	sigfillset(&all);
	sigemptyset(&l.mask);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = l.envp ? start(&l, stacks, child) : ENOMEM;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	free(l.envp);
	munmap(stacks, 2 * STACK);
	if (rc == 0)
		*ret_pid = l.pid;
	/* The command that does all the work is missing: no support on this system. */
	return rc == ENOENT || rc == EACCES ? ENOSYS : rc;
}
