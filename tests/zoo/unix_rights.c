/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files under way in messages (SCM_RIGHTS): open elsewhere as well or nowhere else, of many kinds,
 * sockets with messages that carry files themselves, and with themselves.
 */
#include "zoo_unix.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

static char buf[4096];

static void post(int fd, const char *text, const int *fds, size_t n)
{
	zoo_need(unix_send(fd, text, strlen(text), fds, n, NULL, NULL, 0) == (ssize_t)strlen(text));
}

static void post_and_close(int fd, const char *text, const int *fds, size_t n)
{
	post(fd, text, fds, n);
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

/* One message with that many files. */
static struct unix_got fetch(int fd, const char *text, size_t n)
{
	struct unix_got g = unix_recv(fd, buf, sizeof(buf), 0);

	zoo_check(g.len == (ssize_t)strlen(text) && !memcmp(buf, text, strlen(text)),
		  "%.*s instead of %s", (int)(g.len > 0 ? g.len : 0), buf, text);
	zoo_check(g.n_fds == n, "%s: %zu files instead of %zu", text, g.n_fds, n);
	zoo_check(!(g.flags & MSG_CTRUNC), "%s: cut", text);
	for (size_t i = g.n_fds; i < n; i++)
		g.fd[i] = -1;
	return g;
}

static int make_file(const char *name, const char *text)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);

	zoo_need(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	return fd;
}

static void make_pair(int type, int sv[2])
{
	zoo_need(socketpair(AF_UNIX, type, 0, sv) == 0);
}

static bool reads(int fd, const char *text)
{
	ssize_t n = read(fd, buf, sizeof(buf));

	return n == (ssize_t)strlen(text) && !memcmp(buf, text, (size_t)n);
}

static size_t open_descriptors(void)
{
	size_t n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

int main(void)
{
	int stream[2], dgram[2], packet[2], outer[2], middle[2], inner[2], self[2], many[2], p[2];
	int shared, kept, mem, fds[MESSAGE_FDS];
	size_t open_before;
	struct unix_got g, h;
	struct stat st;
	char c = 0;

	zoo_start();
	make_pair(SOCK_STREAM, stream);
	make_pair(SOCK_DGRAM, dgram);
	make_pair(SOCK_SEQPACKET, packet);

	/* Open here as well: one position for both. */
	shared = make_file("shared", "0123456789");
	zoo_need(lseek(shared, 3, SEEK_SET) == 3);
	post(stream[0], "before", NULL, 0);
	post(stream[0], "shared", &shared, 1);
	post(stream[0], "after", NULL, 0);

	/* Open nowhere else, with its position; one that is unlinked, too. */
	fds[0] = make_file("plain", "abcdefgh");
	zoo_need(lseek(fds[0], 2, SEEK_SET) == 2);
	fds[1] = make_file("unlinked", "gone but here");
	zoo_need(unlink("unlinked") == 0 && lseek(fds[1], 0, SEEK_SET) == 0);
	post_and_close(dgram[0], "two files", fds, 2);
	/* The same one in two messages and two sockets. */
	fds[0] = make_file("double", "xyz");
	zoo_need(lseek(fds[0], 0, SEEK_SET) == 0);
	post(dgram[0], "once", fds, 1);
	post_and_close(packet[0], "twice", fds, 1);

	/* A pipe, both ends under way, with data; another with one end here. */
	zoo_need(pipe(p) == 0 && write(p[1], "in the pipe", 11) == 11);
	post_and_close(packet[0], "read end", &p[0], 1);
	post_and_close(dgram[0], "write end", &p[1], 1);
	zoo_need(pipe(p) == 0);
	kept = p[1];
	post_and_close(packet[0], "half a pipe", &p[0], 1);

	mem = memfd_create("under way", 0);
	zoo_need(mem >= 0 && ftruncate(mem, 8192) == 0 && pwrite(mem, "mem", 3, 5000) == 3);
	post_and_close(stream[0], "memory", &mem, 1);

	/* Sockets within sockets: the innermost carries a file, and all are under way. */
	make_pair(SOCK_STREAM, outer);
	make_pair(SOCK_STREAM, middle);
	make_pair(SOCK_DGRAM, inner);
	fds[0] = make_file("deep", "deep down");
	zoo_need(lseek(fds[0], 5, SEEK_SET) == 5);
	post_and_close(inner[0], "file", fds, 1);
	post(middle[0], "text", NULL, 0);
	post_and_close(middle[0], "both ends", inner, 2);
	post_and_close(outer[0], "socket", &middle[1], 1);
	/* A socket under way to itself. */
	make_pair(SOCK_STREAM, self);
	post(self[0], "self", &self[1], 1);

	make_pair(SOCK_SEQPACKET, many);
	for (size_t i = 0; i < MESSAGE_FDS; i++) {
		char name[32];

		snprintf(name, sizeof(name), "many%zu", i);
		fds[i] = i % 3 ? make_file(name, name) : shared;
	}
	post(many[0], "many", fds, MESSAGE_FDS);
	for (size_t i = 0; i < MESSAGE_FDS; i++)
		if (i % 3)
			close(fds[i]);
	/* An empty datagram may carry files as well. */
	make_pair(SOCK_DGRAM, p);
	fds[0] = make_file("with nothing", "!");
	post(p[0], "", fds, 1);
	close(fds[0]);
	open_before = open_descriptors();
	zoo_ready();
	zoo_wait();

	zoo_same(open_descriptors(), open_before);
	/* Files end what one receive gives; what was sent before comes with them. */
	g = fetch(stream[1], "beforeshared", 1);
	zoo_same(read(g.fd[0], &c, 1), 1);
	zoo_same(c, '3');
	zoo_same(lseek(shared, 0, SEEK_CUR), 4);

	g = fetch(dgram[1], "two files", 2);
	zoo_check(reads(g.fd[0], "cdefgh"), "the plain file");
	zoo_check(reads(g.fd[1], "gone but here"), "the unlinked file");
	zoo_check(fstat(g.fd[1], &st) == 0 && st.st_nlink == 0, "the unlinked file has a name");
	g = fetch(dgram[1], "once", 1);
	h = fetch(packet[1], "twice", 1);
	zoo_same(read(g.fd[0], &c, 1), 1);
	zoo_same(lseek(h.fd[0], 0, SEEK_CUR), 1);

	g = fetch(packet[1], "read end", 1);
	h = fetch(dgram[1], "write end", 1);
	zoo_check(reads(g.fd[0], "in the pipe"), "what was in the pipe");
	zoo_same(write(h.fd[0], "more", 4), 4);
	zoo_check(reads(g.fd[0], "more"), "the ends of a pipe do not belong together");
	close(h.fd[0]);
	zoo_same(read(g.fd[0], buf, 1), 0);
	g = fetch(packet[1], "half a pipe", 1);
	zoo_same(write(kept, "half", 4), 4);
	zoo_check(reads(g.fd[0], "half"), "the other half");

	g = fetch(stream[1], "aftermemory", 1);
	zoo_check(pread(g.fd[0], buf, 3, 5000) == 3 && !memcmp(buf, "mem", 3), "the memory");
	zoo_check(fstat(g.fd[0], &st) == 0 && st.st_size == 8192, "its size");

	g = fetch(outer[1], "socket", 1);
	h = fetch(g.fd[0], "textboth ends", 2);
	zoo_same(send(middle[0], "alive", 5, MSG_NOSIGNAL), 5);
	fetch(g.fd[0], "alive", 0);
	g = fetch(h.fd[1], "file", 1);
	zoo_check(reads(g.fd[0], "down"), "the file deep down");
	zoo_same(send(h.fd[0], "end", 3, MSG_NOSIGNAL), 3);
	fetch(h.fd[1], "end", 0);
	g = fetch(self[1], "self", 1);
	zoo_same(send(self[0], "again", 5, 0), 5);
	fetch(g.fd[0], "again", 0);

	g = fetch(many[1], "many", MESSAGE_FDS);
	zoo_same(lseek(g.fd[0], 0, SEEK_CUR), 4);
	zoo_same(lseek(g.fd[100], 0, SEEK_CUR), 7);
	zoo_check(fstat(g.fd[251], &st) == 0 && st.st_size == 7, "the last one");
	for (size_t i = 0; i < g.n_fds; i++)
		close(g.fd[i]);

	g = unix_recv(p[1], buf, sizeof(buf), 0);
	zoo_same(g.len, 0);
	zoo_same(g.n_fds, 1);
	return zoo_end();
}
