/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A ring of processes, each with a pipe to the next, with bytes in every one of them; each holds
 * only its own two ends, so that the end of one is an end of file for the next.
 */
#include "zoo.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N = 12, HELD = 3000 };

static int end[N][2];

/* What `from` had written before, and a word that goes round. */
static void fill(unsigned char *p, int from)
{
	zoo_fill(p, HELD, (uint64_t)from + 1);
}

static void read_all(int fd, unsigned char *p, size_t len)
{
	for (size_t n = 0; n < len;) {
		ssize_t got = read(fd, p + n, len - n);

		zoo_need(got > 0);
		n += (size_t)got;
	}
}

static void member(int i)
{
	int before = (i + N - 1) % N;
	unsigned char *held = malloc(HELD), c;

	zoo_need(held != NULL);
	for (int k = 0; k < N; k++) {
		if (k != before)
			close(end[k][0]);
		if (k != i)
			close(end[k][1]);
	}
	fill(held, i);
	zoo_need(write(end[i][1], held, HELD) == HELD);
	if (i == 0)
		zoo_ready();
	else
		zoo_here();
	zoo_wait();
	memset(held, 0, HELD);
	read_all(end[before][0], held, HELD);
	zoo_check(zoo_filled(held, HELD, (uint64_t)before + 1), "%d got something else", i);
	/* A byte goes round, and each adds one. */
	if (i == 0) {
		c = 1;
		zoo_need(write(end[i][1], &c, 1) == 1);
		read_all(end[before][0], &c, 1);
		zoo_same(c, N);
		close(end[i][1]);
	} else {
		read_all(end[before][0], &c, 1);
		c++;
		zoo_need(write(end[i][1], &c, 1) == 1);
		/* The end of the one before us. */
		zoo_same(read(end[before][0], &c, 1), 0);
		close(end[i][1]);
	}
	if (i == 0)
		zoo_same(read(end[before][0], &c, 1), 0);
}

int main(void)
{
	pid_t pid[N];

	zoo_start();
	for (int i = 0; i < N; i++)
		zoo_need(pipe(end[i]) == 0);
	for (int i = 1; i < N; i++) {
		pid[i] = zoo_fork();
		if (pid[i] == 0) {
			member(i);
			zoo_leave();
		}
	}
	member(0);
	for (int i = 1; i < N; i++)
		zoo_join(pid[i]);
	return zoo_end();
}
