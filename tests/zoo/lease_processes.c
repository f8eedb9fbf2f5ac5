/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Locks and leases of several processes: one holds, others wait; a description that two share; a
 * lease whose taker has closed its descriptor; a removed directory in which two are.
 */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t n_io;
static int hold[2], tell[2];

static void on_io(int sig)
{
	(void)sig;
	n_io++;
}

static struct flock whole(short type)
{
	return (struct flock){ .l_type = type, .l_whence = SEEK_SET };
}

/* Waits for the lock, which the parent has, and says that it got it. */
static void waiter(int own, bool posix)
{
	struct flock fl = whole(F_WRLCK);
	int fd = open("locked", O_RDWR), rc;

	zoo_need(fd >= 0 && write(tell[1], "w", 1) == 1);
	do
		rc = posix ? fcntl(fd, F_SETLKW, &fl) : flock(fd, LOCK_EX);
	while (rc < 0 && errno == EINTR);
	_exit(rc == 0 && write(tell[1], posix ? "p" : "f", 1) == 1 ? own : 99);
}

/* Has the lease by a descriptor that it was born with; ends when told to. */
static void keeper(int lease, int shared)
{
	struct stat st;
	char c;

	zoo_need(write(tell[1], "k", 1) == 1);
	if (read(hold[0], &c, 1) != 1 || fcntl(lease, F_GETLEASE) != F_RDLCK)
		_exit(98);
	/* The description is the parent's, too: so is its lock. */
	if (flock(shared, LOCK_EX | LOCK_NB) < 0)
		_exit(97);
	if (stat(".", &st) < 0 || st.st_nlink != 0 ||
	    write(tell[1], &st.st_ino, sizeof(st.st_ino)) != sizeof(st.st_ino))
		_exit(96);
	_exit(3);
}

int main(void)
{
	struct flock fl = whole(F_WRLCK);
	int posix, lock, lease, shared, status, got = 0;
	struct stat mine;
	ino_t theirs = 0;
	pid_t pid[3];
	char c;

	zoo_start();
	signal(SIGIO, on_io);
	zoo_need(pipe(hold) == 0 && pipe(tell) == 0);
	posix = open("locked", O_CREAT | O_RDWR, 0600);
	lock = open("locked", O_RDWR);
	shared = open("shared", O_CREAT | O_RDWR, 0600);
	lease = open("leased", O_CREAT | O_RDONLY, 0600);
	zoo_need(posix >= 0 && lock >= 0 && shared >= 0 && lease >= 0);
	zoo_need(fcntl(posix, F_SETLK, &fl) == 0 && flock(lock, LOCK_EX) == 0);
	zoo_need(flock(shared, LOCK_EX) == 0);
	if (fcntl(lease, F_SETLEASE, F_RDLCK) < 0)
		zoo_skip("no leases on this file system");
	for (int i = 0; i < 2; i++) {
		pid[i] = fork();
		if (pid[i] == 0)
			waiter(i + 1, i == 0);
	}
	zoo_need(mkdir("gone", 0700) == 0 && chdir("gone") == 0);
	pid[2] = fork();
	if (pid[2] == 0)
		keeper(lease, shared);
	zoo_need(close(lease) == 0 && rmdir("../gone") == 0);
	for (int i = 0; i < 3; i++)
		zoo_need(pid[i] > 0 && read(tell[0], &c, 1) == 1);
	zoo_ready();
	zoo_wait();

	zoo_same(n_io, 0);
	zoo_need(fcntl(tell[0], F_SETFL, O_NONBLOCK) == 0);
	zoo_check(read(tell[0], &c, 1) < 0 && errno == EAGAIN, "a waiter has the lock");
	zoo_need(fcntl(tell[0], F_SETFL, 0) == 0);
	zoo_need(stat(".", &mine) == 0);
	zoo_same(mine.st_nlink, 0);
	fl = whole(F_UNLCK);
	zoo_need(fcntl(posix, F_SETLK, &fl) == 0 && flock(lock, LOCK_UN) == 0);
	for (int i = 0; i < 2; i++) {
		zoo_same(read(tell[0], &c, 1), 1);
		got |= c == 'p' ? 1 : c == 'f' ? 2 : 4;
	}
	zoo_same(got, 3);
	zoo_same(write(hold[1], "x", 1), 1);
	zoo_same(read(tell[0], &theirs, sizeof(theirs)), sizeof(theirs));
	zoo_check(theirs == mine.st_ino, "one directory is two");
	for (int i = 0; i < 3; i++) {
		zoo_need(waitpid(pid[i], &status, 0) == pid[i]);
		zoo_check(WIFEXITED(status) && WEXITSTATUS(status) == i + 1, "child %d: %#x", i,
			  status);
	}
	return zoo_end();
}
