// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Standing in for a restored process: whoever started us (a shell, a batch system) sees and
 * controls that process through us. Signals that are sent to us go on to it, the terminal is given
 * to its group as a shell does, we stop when it stops, and we end as it ends.
 *
 * All signals are blocked and taken one by one with sigwaitinfo(), so that there is no handler and
 * no race between "is it still there?" and "wait".
 */
#include "cli.h"
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Not passed on: what nobody can block, what the processor raises about our own faults, and what
 * this program ignores (main.c).
 */
static const int kept[] = { SIGKILL, SIGSTOP, SIGSEGV, SIGBUS,	SIGFPE,
			    SIGILL,  SIGTRAP, SIGSYS,  SIGPIPE, SIGXFSZ };

struct foreground {
	pid_t child;
	bool tty;     /* stdin is our controlling terminal, and we began in its foreground */
	pid_t gave;   /* the group that we gave the terminal to, or 0 */
	sigset_t set; /* what we wait for */
};

static void signals_of(sigset_t *set)
{
	sigemptyset(set);
	for (int sig = 1; sig <= SIGRTMAX; sig++) {
		struct sigaction sa;
		bool keep = sigaction(sig, NULL, &sa) || sa.sa_handler == SIG_IGN;

		for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++)
			keep = keep || sig == kept[i];
		if (!keep)
			sigaddset(set, sig);
	}
	/* tcsetpgrp() from the background would stop us (credentials(7), tcsetpgrp(3)). */
	sigaddset(set, SIGTTOU);
}

void cli_foreground_hold(void)
{
	sigset_t set;

	signals_of(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

/* The child's process group, when it is another one than ours; else 0. */
static pid_t other_group(const struct foreground *f)
{
	pid_t group = getpgid(f->child);

	return group > 0 && group != getpgrp() ? group : 0;
}

/* Like a shell, when we have the terminal and the child is a job of its own in our session. */
static void give_terminal(struct foreground *f)
{
	pid_t group = other_group(f);

	if (!f->tty || !group || getsid(f->child) != getsid(0) || tcgetpgrp(0) != getpgrp())
		return;
	if (!tcsetpgrp(0, group))
		f->gave = group;
}

static void take_terminal(struct foreground *f)
{
	if (f->gave && tcgetpgrp(0) == f->gave)
		tcsetpgrp(0, getpgrp());
	f->gave = 0;
}

static void continue_child(const struct foreground *f)
{
	pid_t group = other_group(f);

	/* Its group stopped as a whole; unless the group is ours, or it merely lives in someone's.
	 */
	kill(group == f->child ? -group : f->child, SIGCONT);
}

/* Stop as the child did, until someone continues us. */
static void stop_too(int sig)
{
	const struct timespec now = { 0 };
	sigset_t one;

	if (sig == SIGSTOP) {
		raise(SIGSTOP);
	} else {
		sigemptyset(&one);
		sigaddset(&one, sig);
		signal(sig, SIG_DFL);
		raise(sig);
		sigprocmask(SIG_UNBLOCK, &one, NULL);
		sigprocmask(SIG_BLOCK, &one, NULL);
	}
	/* The SIGCONT that woke us has done its work. */
	sigemptyset(&one);
	sigaddset(&one, SIGCONT);
	while (sigtimedwait(&one, NULL, &now) > 0)
		;
}

static void on_stop(struct foreground *f, int sig)
{
	/* It touched the terminal just before it was given to it. */
	if ((sig == SIGTTIN || sig == SIGTTOU) && f->gave && tcgetpgrp(0) == f->gave) {
		continue_child(f);
		return;
	}
	/*
	 * Someone who controls jobs must be there to continue us. SIGSTOP is mostly sent by hand or
	 * by a script, to the process itself, and so will be SIGCONT: follow it for a shell with
	 * jobs only.
	 */
	if (!f->tty || (sig == SIGSTOP && getpgid(getppid()) == getpgrp()))
		return;
	take_terminal(f);
	stop_too(sig);
	/* Here too when the kernel would not stop us, because no shell is left (an orphaned group).
	 */
	give_terminal(f);
	continue_child(f);
}

static void pass_on(const struct foreground *f, const siginfo_t *info)
{
	pid_t group = other_group(f);
	int sig = info->si_signo;

	if (info->si_code == SI_QUEUE)
		sigqueue(f->child, sig, info->si_value);
	else if (info->si_code != SI_KERNEL)
		kill(f->child, sig);
	/* The terminal's signals go to whole groups. A child in ours has got its own. */
	else if (group)
		kill(group == f->child ? -group : f->child, sig);
}

/* Returns true when the child has ended, with its status. */
static bool ended(struct foreground *f, int *status)
{
	pid_t pid;

	while ((pid = waitpid(f->child, status, WNOHANG | WUNTRACED | __WALL)) == f->child) {
		if (!WIFSTOPPED(*status))
			return true;
		on_stop(f, WSTOPSIG(*status));
	}
	if (pid < 0 && errno != EINTR) {
		*status = W_EXITCODE(CLI_FAILED, 0); /* not our child: cannot happen */
		return true;
	}
	return false;
}

int cli_foreground(pid_t child)
{
	struct foreground f = { .child = child, .tty = tcgetpgrp(0) == getpgrp() };
	int status;

	signals_of(&f.set);
	give_terminal(&f);
	while (!ended(&f, &status)) {
		siginfo_t info;

		if (sigwaitinfo(&f.set, &info) > 0 && info.si_signo != SIGCHLD)
			pass_on(&f, &info);
	}
	take_terminal(&f);
	if (WIFSIGNALED(status))
		cli_die_by(WTERMSIG(status));
	return WEXITSTATUS(status);
}
