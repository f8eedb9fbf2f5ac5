/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Listening unix sockets: connections not accepted yet, in order, with data and files on them, from
 * clients that are gone; the length of the queue; accepted ones, whose listener may be gone.
 */
#include "zoo_unix.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>

static char buf[10000];
static char abs_name[3][40];

static const char *abstract(int i)
{
	snprintf(abs_name[i], sizeof(abs_name[i]), "@zoo-listen-%d-%d", getpid(), i);
	return abs_name[i];
}

static int listening(int type, const char *name, int backlog)
{
	int fd = unix_make(type | SOCK_NONBLOCK, name);

	zoo_need(listen(fd, backlog) == 0);
	return fd;
}

static int client_of(int type, const char *name, const char *own)
{
	int fd = unix_make(type | SOCK_NONBLOCK, own);

	zoo_need(unix_try(fd, name) == 0);
	return fd;
}

static int accepted(const char *what, int listener, const char *from)
{
	struct sockaddr_un a;
	socklen_t len = sizeof(a);
	int fd = accept4(listener, (struct sockaddr *)&a, &len, SOCK_NONBLOCK);

	zoo_check(fd >= 0, "%s: %s", what, strerror(errno));
	zoo_check(fd < 0 || unix_is(&a, len, from), "%s: not from %s", what,
		  from ? from : "nobody");
	return fd;
}

static void reads(const char *what, int fd, const char *text)
{
	ssize_t n = read(fd, buf, sizeof(buf));

	zoo_check(n == (ssize_t)strlen(text) && !memcmp(buf, text, (size_t)n), "%s: %zd bytes",
		  what, n);
}

int main(void)
{
	int l, seq, abs, c1, c2, c3, c4, full, f[8], n_full = 0, fd, file, a_srv, a_cli, o_srv,
						     o_cli, orphan_cli, p_srv, p_cli;
	struct unix_got g;
	struct ucred cred;
	socklen_t len;
	char big[3000];

	zoo_start();
	zoo_fill(big, sizeof(big), 5);
	l = listening(SOCK_STREAM, "l", 20);
	a_cli = client_of(SOCK_STREAM, "l", NULL);
	a_srv = accepted("setting up", l, NULL);
	c1 = client_of(SOCK_STREAM, "l", NULL);
	zoo_need(write(c1, "hello", 5) == 5);
	c2 = client_of(SOCK_STREAM, "l", "named");
	c3 = client_of(SOCK_STREAM, "l", abstract(0));
	zoo_need(write(c3, "and gone", 8) == 8 && close(c3) == 0);
	c3 = client_of(SOCK_STREAM, "l", NULL);
	zoo_need(close(c3) == 0);
	/* A file that is open here as well; shut down in one direction. */
	c4 = client_of(SOCK_STREAM, "l", NULL);
	file = open("file", O_RDWR | O_CREAT, 0600);
	zoo_need(file >= 0 && write(file, "12345", 5) == 5);
	zoo_need(unix_send(c4, big, sizeof(big), &file, 1, NULL, NULL, 0) == sizeof(big));
	zoo_need(write(c4, "more", 4) == 4 && shutdown(c4, SHUT_WR) == 0);

	seq = listening(SOCK_SEQPACKET, "seq", 5);
	fd = client_of(SOCK_SEQPACKET, "seq", NULL);
	zoo_need(write(fd, "one", 3) == 3 && write(fd, "two", 3) == 3);

	/* Full: the next one has to wait. */
	full = listening(SOCK_STREAM, "full", 2);
	for (n_full = 0; n_full < 8; n_full++) {
		f[n_full] = unix_make(SOCK_STREAM | SOCK_NONBLOCK, NULL);
		if (unix_try(f[n_full], "full") < 0)
			break;
	}
	zoo_need(n_full > 0 && n_full < 8 && errno == EAGAIN);

	/* An abstract listener that is gone, and another one of its name. */
	abs = listening(SOCK_STREAM, abstract(1), 5);
	o_cli = client_of(SOCK_STREAM, abstract(1), NULL);
	o_srv = accepted("setting up", abs, NULL);
	close(abs);
	abs = listening(SOCK_STREAM, abstract(1), 5);
	/* A listener with a file, which is gone, as is the client. */
	fd = listening(SOCK_STREAM, "orphan", 5);
	orphan_cli = client_of(SOCK_STREAM, "orphan", "late client");
	p_srv = accepted("setting up", fd, "late client");
	zoo_need(write(orphan_cli, "orphaned", 8) == 8 && close(orphan_cli) == 0);
	p_cli = client_of(SOCK_STREAM, "orphan", NULL);
	orphan_cli = accepted("setting up", fd, NULL);
	close(fd);
	unlink("orphan");

	zoo_ready();
	zoo_wait();

	zoo_same(write(a_cli, "a", 1), 1);
	reads("accepted before", a_srv, "a");
	zoo_check(unix_name_is(a_srv, false, "l") && unix_name_is(a_cli, true, "l"),
		  "the name of what was accepted");
	zoo_check(unix_name_is(c1, true, "l"), "the name of what was not accepted yet");

	fd = accepted("first", l, NULL);
	reads("first", fd, "hello");
	len = sizeof(cred);
	zoo_check(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 &&
			  cred.pid == getpid() && cred.uid == getuid() && cred.gid == getgid(),
		  "the first one's credentials: %d", cred.pid);
	zoo_same(write(fd, "hi", 2), 2);
	reads("first, back", c1, "hi");
	fd = accepted("second", l, "named");
	zoo_same(write(c2, "late", 4), 4);
	reads("second", fd, "late");
	fd = accepted("third", l, abstract(0));
	reads("third", fd, "and gone");
	zoo_same(read(fd, buf, 1), 0);
	zoo_check(send(fd, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE, "the third is not gone");
	fd = accepted("fourth", l, NULL);
	zoo_same(read(fd, buf, 1), 0);
	fd = accepted("fifth", l, NULL);
	g = unix_recv(fd, buf, sizeof(buf), 0);
	zoo_check(g.len == sizeof(big) && !memcmp(buf, big, sizeof(big)), "a long message: %zd",
		  g.len);
	zoo_same(g.n_fds, 1);
	zoo_same(lseek(g.fd[0], 0, SEEK_SET), 0);
	zoo_same(lseek(file, 0, SEEK_CUR), 0);
	reads("fifth", fd, "more");
	zoo_same(read(fd, buf, 1), 0);
	zoo_same(write(fd, "half", 4), 4);
	reads("fifth, back", c4, "half");
	zoo_check(accept(l, NULL, NULL) < 0 && errno == EAGAIN, "one more connection");

	fd = accepted("seqpacket", seq, NULL);
	reads("seqpacket", fd, "one");
	reads("seqpacket", fd, "two");

	zoo_check(unix_try(f[n_full], "full") < 0 && errno == EAGAIN,
		  "more connections than before fit");
	fd = accepted("full", full, NULL);
	zoo_same(unix_try(f[n_full], "full"), 0);
	for (int i = 1; i <= n_full; i++)
		accepted("full", full, NULL);

	zoo_same(write(o_cli, "o", 1), 1);
	reads("the old listener's", o_srv, "o");
	zoo_check(unix_name_is(o_srv, false, abstract(1)) && unix_name_is(o_cli, true, abstract(1)),
		  "the name of a listener that is gone");
	fd = client_of(SOCK_STREAM, abstract(1), NULL);
	accepted("the new listener", abs, NULL);
	reads("orphan", p_srv, "orphaned");
	zoo_check(unix_name_is(p_srv, true, "late client") && unix_name_is(p_srv, false, "orphan"),
		  "names of an orphan");
	zoo_same(write(p_cli, "p", 1), 1);
	reads("another orphan", orphan_cli, "p");
	return zoo_end();
}
