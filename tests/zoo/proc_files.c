/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: not=pidns */
/*
 * Files of /proc: of the process itself, of its leading thread, of a child, of a child that has
 * ended, of the first process, of a descriptor; a directory of descriptors that is being read; the
 * memory, to be written to. Not in a pid namespace of its own: /proc is of the one around it there.
 */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile long word = 1;
static pid_t tid;
static int pipe_fd[2];

static void *thread_main(void *arg)
{
	char c;

	tid = (pid_t)syscall(SYS_gettid);
	if (read(*(int *)arg, &c, 1) < 0)
		return NULL;
	return NULL;
}

static int open_of(pid_t pid, const char *rest, int flags)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, rest);
	fd = open(path, flags);
	zoo_need(fd >= 0);
	return fd;
}

/* The number in the line "KEY: value" of what is left of an open file. */
static long value(int fd, const char *key)
{
	static char text[8192];
	const char *line;
	ssize_t n = read(fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = 0;
	line = strstr(text, key);
	return line ? atol(line + strlen(key)) : -1;
}

int main(void)
{
	int self, of_thread, of_child, of_dead, of_init, of_fd, fds, mem, place;
	char text[64], c;
	struct stat a, b;
	pthread_t thread;
	pid_t child, dead;
	long wanted = 42;

	zoo_start();
	zoo_need(pipe(pipe_fd) == 0);
	child = fork();
	if (child == 0) {
		close(pipe_fd[1]);
		_exit(read(pipe_fd[0], &c, 1) == 1 ? 7 : 8);
	}
	dead = fork();
	if (dead == 0)
		for (;;)
			pause();
	zoo_need(child > 0 && dead > 0);
	of_dead = open_of(dead, "status", O_RDONLY);
	zoo_need(kill(dead, SIGKILL) == 0 && waitpid(dead, NULL, 0) == dead);
	zoo_need(pthread_create(&thread, NULL, thread_main, &pipe_fd[0]) == 0);
	while (!*(volatile pid_t *)&tid)
		zoo_sleep_ms(1);
	self = open_of(getpid(), "status", O_RDONLY);
	zoo_need(read(self, text, 6) == 6);
	/* That of the leader: those of other threads are refused. */
	snprintf(text, sizeof(text), "task/%d/status", getpid());
	of_thread = open_of(getpid(), text, O_RDONLY);
	of_child = open_of(child, "status", O_RDONLY);
	of_init = open_of(1, "status", O_RDONLY);
	fds = open_of(getpid(), "fd", O_RDONLY | O_DIRECTORY);
	mem = open_of(getpid(), "mem", O_RDWR);
	place = open_of(getpid(), "cwd", O_PATH | O_NOFOLLOW);
	snprintf(text, sizeof(text), "fdinfo/%d", pipe_fd[0]);
	of_fd = open_of(getpid(), text, O_RDONLY);
	zoo_ready();
	zoo_wait();

	zoo_same(lseek(self, 0, SEEK_CUR), 6);
	zoo_same(value(self, "\nPid:"), getpid());
	zoo_same(value(of_thread, "\nPid:"), getpid());
	zoo_same(value(of_child, "\nPid:"), child);
	zoo_same(value(of_init, "\nPid:"), 1);
	zoo_need(fstat(pipe_fd[0], &a) == 0);
	zoo_same(value(of_fd, "\nino:"), (long)a.st_ino);
	zoo_check(read(of_dead, &c, 1) < 0 && errno == ESRCH, "the ended child is alive");
	zoo_need(fstat(fds, &a) == 0);
	snprintf(text, sizeof(text), "/proc/%d/fd", getpid());
	zoo_check(stat(text, &b) == 0 && a.st_ino == b.st_ino, "descriptors of another process");
	snprintf(text, sizeof(text), "%d", fds);
	zoo_check(faccessat(fds, text, F_OK, 0) == 0, "the directory lacks itself");
	zoo_same(pwrite(mem, &wanted, sizeof(wanted), (off_t)(uintptr_t)&word), sizeof(wanted));
	zoo_same(word, 42);
	zoo_check(readlinkat(place, "", text, sizeof(text)) > 0 && text[0] == '/', "the link");
	zoo_need(write(pipe_fd[1], "xx", 2) == 2 && pthread_join(thread, NULL) == 0);
	zoo_need(waitpid(child, &self, 0) == child);
	zoo_same(WEXITSTATUS(self), 7);
	return zoo_end();
}
