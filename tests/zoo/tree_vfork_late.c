/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A child of vfork(2) that executes its program only while its parent is being frozen: that waits
 * until the parent can stop.
 */
#include "zoo.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What it does is done in the parent's memory, while that stands still. */
static bool is_traced(const char *status_path)
{
	char text[1024], *line;
	int fd = open(status_path, O_RDONLY | O_CLOEXEC);
	ssize_t len = read(fd, text, sizeof(text) - 1);

	close(fd);
	text[len > 0 ? len : 0] = 0;
	line = strstr(text, "TracerPid:\t");
	return !line || line[11] != '0';
}

int main(int argc, char **argv)
{
	char path[64];
	int status = 0;
	pid_t pid;

	zoo_start();
	if (argc > 1) {
		zoo_wait();
		return 31;
	}
	snprintf(path, sizeof(path), "/proc/%d/status", getpid());
	zoo_ready();
	pid = vfork();
	if (pid == 0) {
		while (!is_traced(path) && !zoo_gone()) {
			const struct timespec tick = { 0, 1000000 };

			syscall(SYS_nanosleep, &tick, NULL);
		}
		execl("/proc/self/exe", argv[0], "executed", NULL);
		_exit(99);
	}
	zoo_need(pid > 0);
	zoo_wait();
	zoo_same(waitpid(pid, &status, 0), pid);
	zoo_same(status, 31 << 8);
	return zoo_end();
}
