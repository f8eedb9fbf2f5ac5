/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processes that wait for each other in the kernel: wait4, waitid, a read of a pipe that another
 * writes, a write into a full one, flock, a futex, sigwaitinfo, a FIFO that nobody has opened yet.
 */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum who {
	IN_WAIT4,
	IN_WAITID,
	IN_WAIT_ANY,
	IN_READ,
	IN_WRITE,
	IN_FLOCK,
	IN_FUTEX,
	IN_SIGWAIT,
	IN_FIFO,
	WHO_NR
};

static atomic_int *done; /* by each: its call has returned */
static atomic_int *word;
static int in[2], out[2], locked;

static void on_signal(int sig)
{
	(void)sig;
}

static pid_t grandchild(int status)
{
	pid_t pid = fork();

	zoo_need(pid >= 0);
	if (pid == 0) {
		close(in[1]);
		zoo_wait();
		while (!atomic_load(&done[WHO_NR]))
			zoo_sleep_ms(1);
		_exit(status);
	}
	return pid;
}

static void in_wait4(void)
{
	int status;
	pid_t pid = grandchild(21);

	zoo_same(waitpid(pid, &status, 0), pid);
	zoo_same(status, 21 << 8);
}

static void in_waitid(void)
{
	siginfo_t si = { 0 };
	pid_t pid = grandchild(22);

	zoo_same(waitid(P_PGID, (id_t)getpgrp(), &si, WEXITED | WNOWAIT), 0);
	zoo_same(si.si_pid, pid);
	zoo_same(si.si_status, 22);
	zoo_same(waitpid(pid, NULL, 0), pid);
}

static void in_wait_any(void)
{
	pid_t a = grandchild(23), b = grandchild(24), got;
	int status, sum = 0;

	for (int i = 0; i < 2; i++) {
		got = wait(&status);
		zoo_check(got == a || got == b, "process %d ended", got);
		sum += WEXITSTATUS(status);
	}
	zoo_same(sum, 47);
	zoo_check(wait(NULL) < 0 && errno == ECHILD, "there is another child");
}

static void in_read(void)
{
	char text[8] = "";

	close(in[1]);
	zoo_same(read(in[0], text, sizeof(text)), 5);
	zoo_check(!memcmp(text, "hello", 5), "read %.8s", text);
}

static void in_write(void)
{
	char *big = calloc(1, 100000);

	close(out[0]);
	zoo_fill(big, 100000, 6);
	/* At a stop, as at a signal, it returns what is written so far. */
	for (ssize_t n = 0, put; n < 100000; n += put) {
		put = write(out[1], big + n, (size_t)(100000 - n));
		zoo_need(put > 0);
	}
	close(out[1]);
}

static void in_flock(void)
{
	int fd = open("locked", O_RDONLY);

	zoo_same(flock(fd, LOCK_SH), 0);
}

static void in_futex(void)
{
	zoo_same(syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL, NULL, 0), 0);
	zoo_same(atomic_load(word), 1);
}

static void in_sigwait(void)
{
	siginfo_t si = { 0 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	zoo_same(sigwaitinfo(&set, &si), SIGUSR2);
	zoo_same(si.si_pid, getppid());
}

static void in_fifo(void)
{
	int fd = open("fifo", O_RDONLY);
	char c = 0;

	zoo_check(fd >= 0, "the FIFO was not opened: %s", strerror(errno));
	zoo_same(read(fd, &c, 1), 1);
	zoo_same(c, 'f');
}

static void child(enum who who)
{
	static void (*const fn[])(void) = { in_wait4, in_waitid, in_wait_any, in_read, in_write,
					    in_flock, in_futex,	 in_sigwait,  in_fifo };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	zoo_need(setpgid(0, 0) == 0); /* for waitid of a group */
	zoo_here();
	if (who != IN_READ)
		close(in[1]);
	if (who != IN_WRITE)
		close(out[1]);
	fn[who]();
	atomic_store(&done[who], 1);
	zoo_leave();
}

static void let_go(const pid_t *pid)
{
	unsigned char *big = calloc(1, 100000);
	size_t n = 0;
	int fd;

	atomic_store(&done[WHO_NR], 1);
	zoo_need(write(in[1], "hello", 5) == 5);
	for (ssize_t got; n < 100000; n += (size_t)got) {
		got = read(out[0], big + n, 100000 - n);
		zoo_need(got > 0);
	}
	zoo_check(zoo_filled(big, 100000, 6), "what came through the full pipe");
	zoo_same(read(out[0], big, 1), 0);
	zoo_same(flock(locked, LOCK_UN), 0);
	atomic_store(word, 1);
	zoo_same(syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
	zoo_same(kill(pid[IN_SIGWAIT], SIGUSR2), 0);
	fd = open("fifo", O_WRONLY);
	zoo_same(write(fd, "f", 1), 1);
}

int main(void)
{
	pid_t pid[WHO_NR];

	zoo_start();
	signal(SIGUSR2, on_signal);
	done = zoo_shared(sizeof(*done) * (WHO_NR + 2));
	word = &done[WHO_NR + 1];
	zoo_need(pipe(in) == 0 && pipe(out) == 0 && mkfifo("fifo", 0600) == 0);
	locked = open("locked", O_CREAT | O_RDONLY, 0600);
	zoo_need(locked >= 0 && flock(locked, LOCK_EX) == 0);
	for (int i = 0; i < WHO_NR; i++) {
		pid[i] = zoo_fork();
		if (pid[i] == 0)
			child((enum who)i);
	}
	close(out[1]);
	zoo_ready();
	zoo_wait();
	for (int i = 0; i < WHO_NR; i++)
		zoo_check(!atomic_load(&done[i]), "%d did not wait", i);
	let_go(pid);
	for (int i = 0; i < WHO_NR; i++)
		zoo_join(pid[i]);
	return zoo_end();
}
