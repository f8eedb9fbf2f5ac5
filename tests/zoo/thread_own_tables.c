/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads with descriptors (the same numbers, other files, locks), working directory, root and
 * umask of their own, beside one that shares all with the main thread. */
#include "zoo.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { AT = 20, ONLY_MAIN = 21, ONLY_THREAD = 22, PIPE_R = 23, PIPE_W = 24, N = 3 };

static volatile int up;
static char base[128];

static void file_at(int fd, const char *name, off_t pos, int cloexec)
{
	int got = open(name, O_RDWR | O_CREAT, 0600);

	zoo_need(got >= 0 && lseek(got, pos, SEEK_SET) == pos);
	zoo_need(dup3(got, fd, cloexec) == fd && close(got) == 0);
}

static struct flock lock_of(short type, off_t start)
{
	return (struct flock){
		.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = 10
	};
}

static bool locked_by_other(int fd, off_t start)
{
	struct flock l = lock_of(F_WRLCK, start);

	zoo_need(fcntl(fd, F_GETLK, &l) == 0);
	return l.l_type != F_UNLCK;
}

static void take_lock(int fd, off_t start)
{
	struct flock l = lock_of(F_WRLCK, start);

	zoo_need(fcntl(fd, F_SETLK, &l) == 0);
}

static void check_dir(const char *who, const char *want)
{
	char now[256] = "";

	zoo_check(getcwd(now, sizeof(now)) && !strcmp(now, want), "%s: in %s, was in %s", who, now,
		  want);
}

/* Descriptors and directory. */
static void *all_own(void *arg)
{
	char c = 0;

	zoo_need(unshare(CLONE_FILES | CLONE_FS) == 0);
	zoo_need(close(ONLY_MAIN) == 0);
	file_at(AT, "thread-file", 7, O_CLOEXEC);
	file_at(ONLY_THREAD, "common", 0, 0);
	take_lock(ONLY_THREAD, 100);
	zoo_need(chdir("/proc") == 0);
	umask(0111);
	up++;
	zoo_wait();
	zoo_check(lseek(AT, 0, SEEK_CUR) == 7, "the thread's file is at another place");
	zoo_same(fcntl(AT, F_GETFD), FD_CLOEXEC);
	zoo_check(read(AT, &c, 1) == 1 && c == 'T', "the thread's file reads '%c'", c);
	zoo_check(fcntl(ONLY_MAIN, F_GETFD) < 0, "the thread has a descriptor of the main thread");
	zoo_check(locked_by_other(ONLY_THREAD, 0), "the main thread's lock is gone");
	zoo_check(!locked_by_other(ONLY_THREAD, 100), "the thread's lock is another's");
	check_dir("the thread", "/proc");
	zoo_same(umask(0), 0111);
	/* A pipe between the two tables. */
	zoo_check(read(PIPE_R, &c, 1) == 1 && c == 'p', "the pipe gives '%c'", c);
	return arg;
}

/* Root and directory only. */
static void *fs_own(void *arg)
{
	char want[160];
	char *now = NULL;

	zoo_need(unshare(CLONE_FS) == 0);
	zoo_need(chroot(base) == 0 && chdir("/sub") == 0);
	up++;
	while (fcntl(ONLY_MAIN + 100, F_GETFD) < 0)
		zoo_sleep_ms(5); /* the main thread tells when */
	now = getcwd(want, sizeof(want));
	zoo_check(now && !strcmp(now, "/sub"), "the thread with another root is in %s", now);
	zoo_check(access("/common", F_OK) == 0 && access("/proc", F_OK) < 0,
		  "the thread has another root");
	return arg;
}

static void *shares(void *arg)
{
	up++;
	zoo_wait();
	zoo_check(lseek(AT, 0, SEEK_CUR) == 3, "a thread that shares has another file");
	return arg;
}

int main(void)
{
	void *(*const body[N])(void *) = { all_own, fs_own, shares };
	pthread_t thread[N];
	int p[2];

	zoo_start();
	if (geteuid() != 0)
		zoo_skip("not root");
	zoo_need(getcwd(base, sizeof(base)) && mkdir("sub", 0700) == 0);
	file_at(AT, "common", 3, 0);
	zoo_need(ftruncate(AT, 200) == 0);
	file_at(ONLY_THREAD, "thread-file", 0, 0);
	zoo_need(write(ONLY_THREAD, "0123456T", 8) == 8 && close(ONLY_THREAD) == 0);
	file_at(ONLY_MAIN, "common", 0, 0);
	zoo_need(pipe(p) == 0 && dup2(p[0], PIPE_R) == PIPE_R && dup2(p[1], PIPE_W) == PIPE_W);
	zoo_need(close(p[0]) == 0 && close(p[1]) == 0);
	take_lock(AT, 0);
	for (int i = 0; i < N; i++) {
		zoo_need(pthread_create(&thread[i], NULL, body[i], NULL) == 0);
		while (up != i + 1)
			zoo_sleep_ms(2);
	}
	/* The thread still holds its end. */
	zoo_need(close(PIPE_R) == 0);
	zoo_ready();
	zoo_wait();

	zoo_check(lseek(AT, 0, SEEK_CUR) == 3, "the main thread's file is at another place");
	zoo_same(fcntl(AT, F_GETFD), 0);
	zoo_check(fcntl(ONLY_THREAD, F_GETFD) < 0, "the main thread has a descriptor of the other");
	zoo_check(fcntl(PIPE_R, F_GETFD) < 0, "the main thread has the pipe's other end");
	zoo_check(locked_by_other(AT, 100), "the thread's lock is gone");
	zoo_check(!locked_by_other(AT, 0), "the main thread's lock is another's");
	check_dir("the main thread", base);
	zoo_need(write(PIPE_W, "p", 1) == 1);
	zoo_need(dup2(AT, ONLY_MAIN + 100) == ONLY_MAIN + 100);
	for (int i = 0; i < N; i++)
		zoo_need(pthread_join(thread[i], NULL) == 0);
	return zoo_end();
}
