/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Leases: of both types, with the default and a chosen signal, with and without owner, and taken by
 * a descriptor that is closed. Nobody is told of anything until somebody opens the files; then the
 * signals name the right descriptors.
 */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static volatile sig_atomic_t n_io, n_rt, last_fd;

static void on_signal(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (sig == SIGIO)
		n_io++;
	else
		n_rt++;
	last_fd = info->si_fd;
}

static int leased(const char *name, int flags, int type)
{
	int fd = open(name, flags | O_CREAT, 0644);

	zoo_need(fd >= 0);
	if (fcntl(fd, F_SETLEASE, type) < 0)
		zoo_skip("no leases on this file system");
	return fd;
}

static void break_it(const char *name, int flags)
{
	int fd = open(name, flags | O_NONBLOCK);

	zoo_check(fd < 0 && errno == EWOULDBLOCK, "%s can be opened", name);
}

int main(void)
{
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
	int rd, wr, quiet, gone;

	zoo_start();
	zoo_need(sigaction(SIGIO, &sa, NULL) == 0 && sigaction(SIGRTMIN + 3, &sa, NULL) == 0);
	rd = leased("rd", O_RDONLY, F_RDLCK);
	zoo_need(fcntl(rd, F_SETSIG, SIGRTMIN + 3) == 0);
	wr = leased("wr", O_RDWR, F_WRLCK);
	zoo_need(fcntl(wr, F_SETSIG, SIGIO) == 0);
	quiet = leased("quiet", O_RDONLY, F_RDLCK);
	zoo_need(fcntl(quiet, F_SETOWN, 0) == 0);
	gone = leased("gone", O_RDONLY, F_RDLCK);
	zoo_need(fcntl(gone, F_SETSIG, SIGRTMIN + 3) == 0);
	zoo_need(dup2(gone, 70) == 70 && close(gone) == 0);
	zoo_ready();
	zoo_wait();

	zoo_check(n_io == 0 && n_rt == 0, "%d + %d signals from nowhere", (int)n_io, (int)n_rt);
	zoo_same(fcntl(rd, F_GETLEASE), F_RDLCK);
	zoo_same(fcntl(wr, F_GETLEASE), F_WRLCK);
	zoo_same(fcntl(quiet, F_GETLEASE), F_RDLCK);
	zoo_same(fcntl(70, F_GETLEASE), F_RDLCK);
	break_it("rd", O_WRONLY);
	zoo_check(n_rt == 1 && last_fd == rd, "%d signals, of fd %d", (int)n_rt, (int)last_fd);
	zoo_same(fcntl(rd, F_GETLEASE), F_UNLCK);
	break_it("wr", O_RDONLY);
	zoo_check(n_io == 1 && last_fd == wr, "%d signals, of fd %d", (int)n_io, (int)last_fd);
	zoo_same(fcntl(wr, F_GETLEASE), F_RDLCK);
	break_it("quiet", O_WRONLY);
	zoo_check(n_io == 1 && n_rt == 1, "the lease without owner gave a signal");
	break_it("gone", O_WRONLY);
	zoo_check(n_rt == 2 && last_fd == gone, "%d signals, of fd %d", (int)n_rt, (int)last_fd);
	return zoo_end();
}
