/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="fd 40" */
/* Not supported yet: a signalfd. */
#include "zoo.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

int main(void)
{
	zoo_start();
	struct signalfd_siginfo info;
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	zoo_need(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	fd = signalfd(-1, &set, SFD_NONBLOCK);
	zoo_need(fd >= 0 && dup2(fd, 40) == 40 && close(fd) == 0);
	zoo_ready();
	zoo_wait();
	zoo_need(kill(getpid(), SIGUSR1) == 0);
	zoo_same(read(40, &info, sizeof(info)), sizeof(info));
	zoo_same(info.ssi_signo, SIGUSR1);
	return zoo_end();
}
