/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Open files that parent and children have in common: one offset and one set of flags for all, by
 * whichever number each has it; files that each opened for itself stay apart. Also descriptors that
 * only a child has left, and one that came through another child.
 */
#include "zoo.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static atomic_int *turn;
static int common, reader, apart, renumbered = 150, lost;

static void wait_turn(int n)
{
	while (atomic_load(turn) != n)
		zoo_sleep_ms(1);
}

static void read_two(int fd, char first)
{
	char two[3] = "";

	zoo_need(read(fd, two, 2) == 2);
	zoo_check(two[0] == first && two[1] == first + 1, "read %s, not %c%c", two, first,
		  first + 1);
}

/* Children read on where the one before left off; flags set by one are those of all. */
static void take_part(int n, int fd)
{
	zoo_wait();
	wait_turn(n);
	read_two(fd, (char)('c' + 2 * n));
	zoo_same(fcntl(fd, F_GETFL) & (O_NONBLOCK | O_APPEND), n % 2 ? O_NONBLOCK : 0);
	zoo_need(fcntl(fd, F_SETFL, n % 2 ? 0 : O_NONBLOCK) == 0);
	zoo_need(write(common, "x", 1) == 1);
	zoo_same(lseek(common, 0, SEEK_CUR), 11 + n);
	read_two(apart, (char)('a' + 2 * n));
	atomic_store(turn, n + 1);
}

static void child(int n)
{
	apart = open("letters", O_RDONLY);
	zoo_need(apart >= 0 && lseek(apart, 2 * n, SEEK_SET) == 2 * n);
	if (n == 1) { /* here it has another number, and is closed when it executes something */
		zoo_need(dup3(reader, renumbered, O_CLOEXEC) == renumbered);
		zoo_need(close(reader) == 0);
	}
	zoo_here();
	take_part(n, n == 1 ? renumbered : reader);
	if (n == 1)
		zoo_same(fcntl(renumbered, F_GETFD), FD_CLOEXEC);
	else
		zoo_same(fcntl(reader, F_GETFD), 0);
	if (n == 2) {
		char c;

		zoo_same(lseek(lost, 0, SEEK_CUR), 7);
		zoo_need(read(lost, &c, 1) == 1);
		zoo_same(c, 'h');
	}
	zoo_leave();
}

int main(void)
{
	pid_t pid[3] = { 0 };
	int fd;

	zoo_start();
	turn = zoo_shared(sizeof(*turn));
	fd = open("letters", O_CREAT | O_RDWR, 0600);
	zoo_need(fd >= 0 && write(fd, "abcdefghijklmnopqrstuvwxyz", 26) == 26 && close(fd) == 0);
	common = open("common", O_CREAT | O_RDWR, 0600);
	reader = open("letters", O_RDONLY);
	lost = open("letters", O_RDONLY);
	zoo_need(common >= 0 && reader >= 0 && lost >= 0);
	zoo_need(write(common, "0123456789", 10) == 10 && lseek(lost, 7, SEEK_SET) == 7);
	read_two(reader, 'a');
	for (int n = 1; n < 3; n++) {
		pid[n] = zoo_fork();
		if (pid[n] == 0)
			child(n);
	}
	zoo_need(close(lost) == 0);
	apart = open("letters", O_RDONLY);
	zoo_ready();
	take_part(0, reader);
	wait_turn(3);
	zoo_same(lseek(reader, 0, SEEK_CUR), 8);
	zoo_same(lseek(apart, 0, SEEK_CUR), 2);
	for (int n = 1; n < 3; n++)
		zoo_join(pid[n]);
	return zoo_end();
}
