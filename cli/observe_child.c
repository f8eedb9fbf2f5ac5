// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The CMD of "observe -- CMD". It is made first, and waits before its first instruction until it is
 * observed: in a futex of a page that it shares with us, which leaves nothing behind when it
 * execs: no descriptor, no signal, no trace of a tracer.
 */
#include "observe.h"
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct observe_gate {
	_Atomic uint32_t open;
	_Atomic int exec_errno;
};

static void gate_wait(struct observe_gate *g)
{
	while (!g->open)
		syscall(SYS_futex, &g->open, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static _Noreturn void run_child(struct observe_gate *g, char **argv, pid_t parent,
				const sigset_t *mask)
{
	/* Whoever would open the gate may die. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	gate_wait(g);
	prctl(PR_SET_PDEATHSIG, 0);
	cli_dispositions_restore();
	sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(argv[0], argv);
	g->exec_errno = errno;
	_exit(errno == ENOENT ? 127 : 126); /* as a shell says it */
}

int child_start(struct observe_child *c, char **argv)
{
	struct observe_gate *g =
		mmap(NULL, sizeof(*g), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t parent = getpid();
	sigset_t all, mask;

	*c = (struct observe_child){ 0 };
	if (g == MAP_FAILED)
		return -errno;
	/* No signal may find it before it has its own mask again. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &mask);
	c->pid = fork();
	if (!c->pid)
		run_child(g, argv, parent, &mask);
	int rc = -errno;

	sigprocmask(SIG_SETMASK, &mask, NULL);
	if (c->pid < 0) {
		c->pid = 0;
		munmap(g, sizeof(*g));
		return rc;
	}
	c->gate = g;
	return 0;
}

void child_go(struct observe_child *c)
{
	if (!c->pid)
		return;
	c->gate->open = 1;
	syscall(SYS_futex, &c->gate->open, FUTEX_WAKE, 1, NULL, NULL, 0);
}

bool child_poll(struct observe_child *c)
{
	if (c->pid && !c->ended && waitpid(c->pid, &c->status, WNOHANG) == c->pid)
		c->ended = true;
	return c->ended;
}

void child_wait(struct observe_child *c)
{
	while (c->pid && !c->ended) {
		pid_t pid = waitpid(c->pid, &c->status, 0);

		if (pid < 0 && errno == EINTR)
			continue;
		if (pid < 0)
			c->status = W_EXITCODE(CLI_FAILED, 0); /* not our child: cannot happen */
		c->ended = true;
	}
}

void child_kill(struct observe_child *c)
{
	if (c->pid && !c->ended)
		kill(c->pid, SIGKILL);
	child_wait(c);
}

int child_exec_errno(const struct observe_child *c)
{
	return c->gate ? c->gate->exec_errno : 0;
}

void child_done(struct observe_child *c)
{
	if (c->gate)
		munmap(c->gate, sizeof(*c->gate));
	*c = (struct observe_child){ 0 };
}
