/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: exclusive */
/*
 * A terminal emulator (the program), a shell that leads the terminal's session, a job in the
 * foreground, one in the background, and a child of the shell from before it had the terminal.
 */
#include "pty.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static volatile sig_atomic_t interrupts, hang_ups;

static void on_signal(int sig)
{
	if (sig == SIGINT)
		interrupts++;
	else
		hang_ups++;
}

/* A process of its own group (or not), which tells at the end what it saw. */
static pid_t start(bool group, bool terminal)
{
	pid_t pid = fork();
	char c = 0;
	int fd;

	zoo_need(pid >= 0);
	if (pid > 0) {
		if (group)
			zoo_need(setpgid(pid, pid) == 0 || getpgid(pid) == pid);
		return pid;
	}
	if (group)
		setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	zoo_wait();
	fd = open("/dev/tty", O_RDWR);
	c |= (fd >= 0) != terminal ? 2 : 0;
	c |= fd < 0 && errno != ENXIO ? 4 : 0;
	while (!interrupts && terminal && group && fd >= 0 && tcgetpgrp(fd) == getpid())
		zoo_sleep_ms(1);
	c |= interrupts ? 1 : 0;
	_exit(c | (hang_ups ? 16 : 0));
}

static int status_of(pid_t pid)
{
	int status;

	zoo_need(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static _Noreturn void shell(const char *name)
{
	pid_t early, foreground, background;
	int fd, bad = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	signal(SIGTTOU, SIG_IGN);
	zoo_need(setsid() == getpid());
	early = start(false, false);
	fd = open(name, O_RDWR);
	zoo_need(fd >= 0);
	foreground = start(true, true);
	background = start(true, true);
	zoo_need(tcsetpgrp(fd, foreground) == 0);
	pty_put(fd, "$");
	zoo_wait();
	bad |= tcgetpgrp(fd) != foreground ? 1 : 0;
	bad |= tcgetsid(fd) != getpid() ? 2 : 0;
	bad |= status_of(foreground) != 1 ? 4 : 0;
	bad |= status_of(background) != 0 ? 8 : 0;
	bad |= status_of(early) != 0 ? 16 : 0;
	bad |= interrupts || hang_ups ? 32 : 0;
	_exit(bad);
}

int main(void)
{
	char name[64];
	int master;
	pid_t pid;

	zoo_start();
	signal(SIGINT, on_signal);
	signal(SIGHUP, on_signal);
	master = pty_master();
	zoo_need(ptsname_r(master, name, sizeof(name)) == 0);
	pid = fork();
	zoo_need(pid >= 0);
	if (pid == 0) {
		close(master);
		shell(name);
	}
	pty_expect(master, "$");
	zoo_ready();
	zoo_wait();

	zoo_same(tcgetsid(master), pid);
	pty_put(master, "\003");
	zoo_same(status_of(pid), 0);
	zoo_same(interrupts + hang_ups, 0);
	return zoo_end();
}
