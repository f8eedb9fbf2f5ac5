/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * File locks of processes against each other: POSIX locks, whose holder the kernel names; flock(2)
 * and open-file-description locks, also through a description that parent and child have in common;
 * and children that wait for one.
 */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum who { POSIX, FLOCK, OFD, SHARED, WAIT_POSIX, WAIT_FLOCK, WAIT_OFD, WHO_NR };

static atomic_int *told; /* by each who waits: it has it now */
static int file, shared;

static int own_file(void)
{
	int fd = open("file", O_RDWR);

	zoo_need(fd >= 0);
	return fd;
}

static int set(int fd, int cmd, short type, off_t start, off_t len)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };

	return fcntl(fd, cmd, &fl);
}

/* Who has a write lock there; 0: nobody, -1: an open file description. */
static pid_t holder(int fd, int cmd, off_t start)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = 1 };

	zoo_need(fcntl(fd, cmd, &fl) == 0);
	return fl.l_type == F_UNLCK ? 0 : fl.l_pid;
}

static void child(enum who who)
{
	int fd = who == SHARED ? shared : own_file();

	switch (who) {
	case POSIX:
		zoo_need(set(fd, F_SETLK, F_WRLCK, 100, 10) == 0);
		zoo_need(set(fd, F_SETLK, F_RDLCK, 200, 10) == 0);
		break;
	case FLOCK:
		close(fd);
		fd = open("flocked", O_RDONLY);
		zoo_need(fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0);
		break;
	case OFD:
		zoo_need(set(fd, F_OFD_SETLK, F_WRLCK, 300, 10) == 0);
		break;
	default:
		break;
	}
	zoo_here();
	if (who == WAIT_POSIX)
		zoo_same(set(fd, F_SETLKW, F_WRLCK, 0, 10), 0);
	if (who == WAIT_FLOCK) {
		close(fd);
		fd = open("waited", O_RDONLY);
		zoo_same(flock(fd, LOCK_EX), 0);
	}
	if (who == WAIT_OFD)
		zoo_same(set(fd, F_OFD_SETLKW, F_WRLCK, 0, 10), 0);
	atomic_store(&told[who], 1);
	zoo_wait();
	if (who >= WAIT_POSIX)
		zoo_leave();
	while (!atomic_load(&told[WHO_NR]))
		zoo_sleep_ms(1);
	zoo_leave();
}

static void check_held(const pid_t *pid)
{
	/* Not closed again: that would give our own POSIX locks away. */
	int fd = own_file(), flocked = open("flocked", O_RDONLY);

	zoo_same(holder(fd, F_GETLK, 100), pid[POSIX]);
	zoo_same(holder(fd, F_GETLK, 109), pid[POSIX]);
	zoo_same(holder(fd, F_GETLK, 110), 0);
	zoo_same(holder(fd, F_GETLK, 200), pid[POSIX]);
	zoo_same(set(fd, F_SETLK, F_RDLCK, 200, 1), 0);
	zoo_same(holder(fd, F_GETLK, 300), -1);
	errno = 0;
	zoo_check(flock(flocked, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK, "flock is free");
	/* The description that a child has, too: its lock is ours. */
	zoo_same(flock(shared, LOCK_EX | LOCK_NB), 0);
	close(flocked);
	flocked = open("shared", O_RDONLY);
	errno = 0;
	zoo_check(flock(flocked, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK, "shared is free");
	close(flocked);
}

int main(void)
{
	pid_t pid[WHO_NR];
	int waited;

	zoo_start();
	told = zoo_shared(sizeof(*told) * (WHO_NR + 1));
	file = open("file", O_CREAT | O_RDWR, 0600);
	shared = open("shared", O_CREAT | O_RDONLY, 0600);
	waited = open("waited", O_CREAT | O_RDONLY, 0600);
	zoo_need(close(open("flocked", O_CREAT | O_RDONLY, 0600)) == 0);
	zoo_need(file >= 0 && shared >= 0 && waited >= 0);
	zoo_need(flock(shared, LOCK_EX) == 0 && flock(waited, LOCK_EX) == 0);
	zoo_need(set(file, F_SETLK, F_WRLCK, 0, 10) == 0);
	for (int i = 0; i < WHO_NR; i++) {
		pid[i] = zoo_fork();
		if (pid[i] == 0)
			child((enum who)i);
	}
	zoo_ready();
	zoo_wait();
	check_held(pid);
	for (int i = WAIT_POSIX; i < WHO_NR; i++)
		zoo_check(!atomic_load(&told[i]), "waiter %d did not wait", i);
	zoo_same(flock(waited, LOCK_UN), 0);
	zoo_same(set(file, F_SETLK, F_UNLCK, 0, 0), 0);
	for (int i = WAIT_POSIX; i < WHO_NR; i++)
		zoo_join(pid[i]);
	atomic_store(&told[WHO_NR], 1);
	for (int i = 0; i < WAIT_POSIX; i++)
		zoo_join(pid[i]);
	return zoo_end();
}
