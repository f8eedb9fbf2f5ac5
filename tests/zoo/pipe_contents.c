/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pipes within the process: bytes in them, sizes, flags, packets, and ends that are closed. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static unsigned char text[1 << 20], got[1 << 20];

static void pipe_make(int p[2], int flags, size_t bytes)
{
	zoo_need(pipe2(p, flags) == 0);
	if (bytes)
		zoo_need(write(p[1], text, bytes) == (ssize_t)bytes);
}

static int pipe_bytes(int fd)
{
	int n = -1;

	zoo_need(ioctl(fd, FIONREAD, &n) == 0);
	return n;
}

int main(void)
{
	int empty[2], some[2], full[2], big[2], packet[2], no_writer[2], no_reader[2], shared[2],
		wr2;
	int odd[2];

	zoo_start();
	zoo_fill(text, sizeof(text), 3);
	signal(SIGPIPE, SIG_IGN);
	pipe_make(empty, 0, 0);
	pipe_make(some, O_CLOEXEC, 12345);
	pipe_make(full, O_NONBLOCK, 65536);
	zoo_need(write(full[1], text, 1) < 0 && errno == EAGAIN);
	pipe_make(big, 0, 0);
	zoo_need(fcntl(big[1], F_SETPIPE_SZ, 1 << 20) == 1 << 20);
	zoo_need(write(big[1], text, 700000) == 700000);
	pipe_make(packet, O_DIRECT, 0);
	zoo_need(write(packet[1], text, 10) == 10 && write(packet[1], text + 10, 4000) == 4000 &&
		 write(packet[1], text + 4010, 1) == 1);
	pipe_make(no_writer, 0, 777);
	close(no_writer[1]);
	pipe_make(no_reader, 0, 0);
	close(no_reader[0]);
	/* Half read already: the contents do not begin at a page's start. */
	pipe_make(odd, 0, 5000);
	zoo_need(read(odd[0], got, 1111) == 1111);
	/* One end through two descriptors. */
	pipe_make(shared, 0, 3);
	wr2 = dup(shared[1]);
	zoo_need(wr2 >= 0);
	zoo_ready();
	zoo_wait();

	zoo_same(pipe_bytes(empty[0]), 0);
	zoo_same(write(empty[1], "ping", 4), 4);
	zoo_same(read(empty[0], got, 100), 4);
	zoo_check(!memcmp(got, "ping", 4), "the empty pipe's ends do not belong together");

	zoo_same(pipe_bytes(some[0]), 12345);
	zoo_same(fcntl(some[0], F_GETFD), FD_CLOEXEC);
	zoo_same(read(some[0], got, sizeof(got)), 12345);
	zoo_check(!memcmp(got, text, 12345), "contents");

	zoo_check(write(full[1], text, 1) < 0 && errno == EAGAIN, "the full pipe takes more");
	zoo_same(fcntl(full[0], F_GETFL), O_RDONLY | O_NONBLOCK);
	zoo_same(read(full[0], got, sizeof(got)), 65536);
	zoo_check(!memcmp(got, text, 65536), "contents of the full pipe");

	zoo_same(fcntl(big[0], F_GETPIPE_SZ), 1 << 20);
	zoo_same(read(big[0], got, sizeof(got)), 700000);
	zoo_check(!memcmp(got, text, 700000), "contents of the big pipe");

	zoo_same(fcntl(packet[1], F_GETFL), O_WRONLY | O_DIRECT);
	zoo_same(read(packet[0], got, 4096), 10);
	zoo_same(read(packet[0], got, 4096), 4000);
	zoo_check(!memcmp(got, text + 10, 4000), "second packet");
	zoo_same(read(packet[0], got, 4096), 1);
	zoo_same(write(packet[1], text, 5), 5);
	zoo_same(write(packet[1], text, 6), 6);
	zoo_same(read(packet[0], got, 4096), 5);

	zoo_same(read(no_writer[0], got, 4096), 777);
	zoo_same(read(no_writer[0], got, 4096), 0);
	zoo_check(write(no_reader[1], "x", 1) < 0 && errno == EPIPE, "a reader from nowhere");

	zoo_same(read(odd[0], got, 8000), 5000 - 1111);
	zoo_check(!memcmp(got, text + 1111, 5000 - 1111), "contents of a half-read pipe");

	zoo_same(write(wr2, "!", 1), 1);
	zoo_same(read(shared[0], got, 100), 4);
	zoo_need(close(shared[1]) == 0);
	struct pollfd ready = { .fd = shared[0], .events = POLLIN };

	zoo_check(poll(&ready, 1, 0) == 0, "end of file although one writer is left");
	zoo_need(close(wr2) == 0);
	zoo_check(poll(&ready, 1, 0) == 1 && ready.revents & POLLHUP, "no end of file");
	return zoo_end();
}
