// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * maxrss FILE COMMAND...: run it, and write to FILE the largest resident set (KiB) of it and of
 * what it waited for. A process spawned by a large one (a shell, python) inherits that one's peak
 * across exec; this small one has none to give.
 */
#define _GNU_SOURCE
#include <err.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct rusage ru;
	int status;
	pid_t pid;
	FILE *f;

	if (argc < 3)
		errx(2, "usage: maxrss FILE COMMAND...");
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		execv(argv[2], argv + 2);
		err(127, "%s", argv[2]);
	}
	if (wait4(pid, &status, 0, &ru) < 0)
		err(1, "wait4");
	f = fopen(argv[1], "w");
	if (!f)
		err(1, "%s", argv[1]);
	fprintf(f, "%ld\n", ru.ru_maxrss);
	fclose(f);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
