/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signals of directories (F_NOTIFY): once and for ever, each of what it was asked for. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile sig_atomic_t n_signals, last_fd;

static void on_signal(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	n_signals++;
	last_fd = info->si_fd;
}

static int watched(const char *name, unsigned int what)
{
	int fd;

	zoo_need(mkdir(name, 0700) == 0 || errno == EEXIST);
	fd = open(name, O_RDONLY);
	zoo_need(fd >= 0 && fcntl(fd, F_SETSIG, SIGRTMIN + 4) == 0);
	if (fcntl(fd, F_NOTIFY, what) < 0)
		zoo_skip("no F_NOTIFY: %s", strerror(errno));
	return fd;
}

static void expect(int n, int fd, const char *what)
{
	zoo_check(n_signals == n && (!n || last_fd == fd), "%s: %d signals, of fd %d; not %d of %d",
		  what, (int)n_signals, (int)last_fd, n, fd);
}

int main(void)
{
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
	int once, ever;

	zoo_start();
	zoo_need(sigaction(SIGRTMIN + 4, &sa, NULL) == 0);
	once = watched("once", DN_CREATE);
	ever = watched("ever", DN_RENAME | DN_ATTRIB | DN_MULTISHOT);
	zoo_ready();
	zoo_wait();

	expect(0, 0, "nothing done");
	unlink("once/a");
	expect(0, 0, "nothing deleted");
	zoo_need(close(open("once/a", O_CREAT | O_WRONLY, 0600)) == 0);
	expect(1, once, "made");
	zoo_need(close(open("once/b", O_CREAT | O_WRONLY, 0600)) == 0);
	expect(1, once, "made again");
	zoo_need(close(open("ever/a", O_CREAT | O_WRONLY, 0600)) == 0);
	expect(1, once, "made where that is not asked for");
	zoo_need(chmod("ever/a", 0640) == 0);
	expect(2, ever, "mode changed");
	zoo_need(rename("ever/a", "ever/b") == 0);
	expect(3, ever, "renamed");
	zoo_need(unlink("ever/b") == 0);
	expect(3, ever, "deleted");
	unlink("once/a");
	unlink("once/b");
	return zoo_end();
}
