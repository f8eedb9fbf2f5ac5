/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two processes that share everything with each other, but no longer with the parent that made
 * them: it has executed a program since.
 */
#include "zoo.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK 65536
#define ALL   (CLONE_VM | CLONE_FILES | CLONE_FS | CLONE_SIGHAND)

static atomic_int turn;

static void wait_for(int n)
{
	const struct timespec tick = { 0, 1000000 };

	while (atomic_load(&turn) != n)
		syscall(SYS_nanosleep, &tick, NULL);
}

static void on_signal(int sig)
{
	(void)sig;
}

/* Sets up what the other shall see. */
static int first(void *arg)
{
	int fd;

	(void)arg;
	zoo_wait();
	fd = open("/dev/null", O_RDONLY);
	if (fd < 0 || dup2(fd, 88) < 0 || chdir("/proc") < 0)
		return 1;
	umask(0135);
	signal(SIGUSR1, on_signal);
	atomic_store(&turn, 1);
	wait_for(2);
	return fcntl(88, F_GETFD) < 0 ? 0 : 2;
}

static int second(void *arg)
{
	char path[64] = "";
	struct sigaction sa;

	(void)arg;
	wait_for(1);
	if (syscall(SYS_getcwd, path, sizeof(path)) < 0 || strcmp(path, "/proc") != 0)
		return 3;
	if (umask(0) != 0135)
		return 4;
	if (sigaction(SIGUSR1, NULL, &sa) < 0 || sa.sa_handler != on_signal)
		return 5;
	if (close(88) < 0)
		return 6;
	atomic_store(&turn, 2);
	return 0;
}

static pid_t make(int (*fn)(void *))
{
	char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	zoo_need(stack != MAP_FAILED);
	pid = clone(fn, stack + STACK, ALL | SIGCHLD, NULL);
	zoo_need(pid > 0);
	return pid;
}

/* The directory is shared on: exec(2) does not part that. */
static int after_exec(const char *a, const char *b)
{
	const pid_t child[2] = { atoi(a), atoi(b) };
	char path[64] = "";
	int status;

	zoo_ready();
	zoo_wait();
	for (int i = 0; i < 2; i++) {
		zoo_same(waitpid(child[i], &status, 0), child[i]);
		zoo_same(status, 0);
	}
	zoo_check(getcwd(path, sizeof(path)) && !strcmp(path, "/proc"), "it is in %s", path);
	zoo_same(fcntl(88, F_GETFD), -1);
	return zoo_end();
}

int main(int argc, char **argv)
{
	char a[16], b[16];

	zoo_start();
	if (argc == 3)
		return after_exec(argv[1], argv[2]);
	snprintf(a, sizeof(a), "%d", make(first));
	snprintf(b, sizeof(b), "%d", make(second));
	execl("/proc/self/exe", argv[0], a, b, NULL);
	zoo_need(!"executed itself");
	return 1;
}
