/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: timeout=60 */
/*
 * Hundreds of unix sockets of all kinds, connected with each other at random, named and not, with
 * messages of all sizes under way, which carry files and other sockets, with ends closed and shut,
 * some of it held by a child as well. What is in every queue is known, and looked for in the end.
 */
#include "zoo_unix.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#define SOCKETS	  400
#define STEPS	  6000
#define QUEUE	  64
#define LONGEST	  30000
#define MSG_FILES 4

struct message {
	size_t len;
	uint64_t seed;
	int from; /* index of the sender */
	size_t n_fds;
	int carried[MSG_FILES]; /* by index */
};

struct end {
	int fd; /* -1: closed */
	int type, peer;
	bool listens, shut_rd, shut_wr, unlinked;
	char name[24];
	struct message queue[QUEUE];
	size_t first, n;
	int pending[QUEUE]; /* clients of a listener, by index */
	size_t n_pending;
};

static struct end ends[SOCKETS];
static int n_ends;
static unsigned char data[LONGEST];
static uint64_t seeds = 1;
static size_t n_sent, n_files;

static unsigned int number(unsigned int below)
{
	static uint64_t state = 20240229;

	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned int)(state >> 33) % below;
}

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	/* Another one after a restore; only the two of them are compared. */
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0)
		return 0;
	return cookie;
}

static int add(int fd, int type, int peer)
{
	struct end *e = &ends[n_ends];

	zoo_need(fd >= 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	*e = (struct end){ .fd = fd, .type = type, .peer = peer };
	return n_ends++;
}

static int any_type(void)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };

	return types[number(3)];
}

/* Any end that is open; NULL if the dice say so. */
static struct end *any(void)
{
	struct end *e = n_ends ? &ends[number((unsigned int)n_ends)] : NULL;

	return e && e->fd >= 0 ? e : NULL;
}

static void make_pair(void)
{
	int sv[2], type = any_type(), a, b;

	if (n_ends + 2 > SOCKETS)
		return;
	zoo_need(socketpair(AF_UNIX, type, 0, sv) == 0);
	a = add(sv[0], type, n_ends + 1);
	b = add(sv[1], type, a);
	zoo_need(ends[a].peer == b);
}

static void make_named(void)
{
	int type = any_type(), i;
	struct end *e;

	if (n_ends + 1 > SOCKETS)
		return;
	i = add(socket(AF_UNIX, type, 0), type, -1);
	e = &ends[i];
	if (number(2))
		snprintf(e->name, sizeof(e->name), "@mesh-%d-%d", getpid(), i);
	else
		snprintf(e->name, sizeof(e->name), "mesh-%d", i);
	struct sockaddr_un a;
	socklen_t len = unix_addr(&a, e->name);

	zoo_need(bind(e->fd, (struct sockaddr *)&a, len) == 0);
	if (type != SOCK_DGRAM) {
		zoo_need(listen(e->fd, 10) == 0);
		e->listens = true;
	} else if (e->name[0] != '@' && number(3) == 0) {
		unlink(e->name);
		e->unlinked = true; /* it says who sent all the same */
	}
}

static void connect_one(void)
{
	struct end *to = any(), *e;
	int i;

	if (!to || !to->name[0] || to->unlinked || n_ends + 1 > SOCKETS)
		return;
	if (to->type == SOCK_DGRAM) {
		e = any();
		if (!e || e->type != SOCK_DGRAM || e->peer >= 0 || e == to)
			return;
		if (unix_try(e->fd, to->name) == 0)
			e->peer = (int)(to - ends);
		return;
	}
	if (to->n_pending > 5)
		return;
	i = add(socket(AF_UNIX, to->type, 0), to->type, -2);
	zoo_need(unix_try(ends[i].fd, to->name) == 0);
	to->pending[to->n_pending++] = i;
}

static void accept_one(struct end *l)
{
	int client, i;

	if (!l || !l->n_pending || n_ends + 1 > SOCKETS)
		return;
	client = l->pending[0];
	memmove(l->pending, l->pending + 1, --l->n_pending * sizeof(l->pending[0]));
	i = add(accept(l->fd, NULL, NULL), l->type, client);
	if (ends[client].fd >= 0)
		ends[client].peer = i;
}

/* Whose queue a message on this end goes to, -1: nobody's that is known. */
static int target(const struct end *e)
{
	return e->peer >= 0 && ends[e->peer].fd >= 0 ? e->peer : -1;
}

static void send_one(struct end *e)
{
	struct message m = { 0 };
	int fds[MSG_FILES], to;
	struct end *t;

	if (!e || e->listens || (to = target(e)) < 0)
		return;
	t = &ends[to];
	if (t->n == QUEUE || e->shut_wr || t->shut_rd)
		return;
	m.len = 1 + (number(4) ? number(300) : number(LONGEST - 1));
	m.seed = seeds++;
	m.from = (int)(e - ends);
	for (size_t i = 0; number(4) == 0 && i < 1 + number(MSG_FILES); i++) {
		struct end *carried = any();

		if (!carried)
			continue;
		m.carried[m.n_fds] = (int)(carried - ends);
		fds[m.n_fds++] = carried->fd;
	}
	zoo_fill(data, m.len, m.seed);
	if (unix_send(e->fd, data, m.len, fds, m.n_fds, NULL, NULL, MSG_DONTWAIT) != (ssize_t)m.len)
		return;
	t->queue[(t->first + t->n++) % QUEUE] = m;
	n_sent++;
	n_files += m.n_fds;
}

/* Take the next message of an end, which must be the one that is known. */
static void receive_one(struct end *e)
{
	const struct message *m;
	struct unix_got g;
	int i = e ? (int)(e - ends) : -1;

	if (!e || e->fd < 0 || !e->n)
		return;
	m = &e->queue[e->first];
	memset(data, 0, m->len);
	g = unix_recv(e->fd, data, e->type == SOCK_STREAM ? m->len : sizeof(data), 0);
	zoo_check(g.len == (ssize_t)m->len && zoo_filled(data, m->len, m->seed),
		  "end %d (type %d): %zd bytes instead of %zu", i, e->type, g.len, m->len);
	zoo_check(g.n_fds == m->n_fds, "end %d: %zu files instead of %zu", i, g.n_fds, m->n_fds);
	if (e->type == SOCK_DGRAM && ends[m->from].name[0])
		zoo_check(unix_is(&g.from, g.from_len, ends[m->from].name),
			  "end %d: another sender than %s", i, ends[m->from].name);
	for (size_t k = 0; k < g.n_fds; k++) {
		const struct end *carried = &ends[k < m->n_fds ? m->carried[k] : 0];

		zoo_check(carried->fd < 0 || cookie_of(carried->fd) == cookie_of(g.fd[k]),
			  "end %d: another socket than end %d came with a message", i,
			  (int)(carried - ends));
		close(g.fd[k]);
	}
	e->first = (e->first + 1) % QUEUE;
	e->n--;
}

/*
 * Its messages are received before: else an error would wait on the other side. It may live on in
 * messages; then its queue is not looked at any more.
 */
static void close_one(struct end *e)
{
	if (!e || e->listens || e->peer == -2 || number(3))
		return;
	while (e->n)
		receive_one(e);
	/* What is on its way to be closed would take new messages with it. */
	for (int i = 0; i < n_ends; i++)
		for (size_t k = 0; k < ends[i].n; k++) {
			const struct message *m = &ends[i].queue[(ends[i].first + k) % QUEUE];

			for (size_t f = 0; f < m->n_fds; f++)
				if (m->carried[f] == (int)(e - ends))
					return;
		}
	close(e->fd);
	e->fd = -1;
}

static void shut_one(struct end *e)
{
	if (!e || e->listens || e->type == SOCK_DGRAM || target(e) < 0 || number(5))
		return;
	if (shutdown(e->fd, SHUT_WR) == 0) {
		e->shut_wr = true;
		ends[e->peer].shut_rd = true;
	}
}

static void step(void)
{
	switch (number(16)) {
	case 0:
		make_pair();
		break;
	case 1:
		make_named();
		break;
	case 2:
	case 3:
		connect_one();
		break;
	case 4:
		accept_one(any());
		break;
	case 5:
		close_one(any());
		break;
	case 6:
		shut_one(any());
		break;
	case 7:
	case 8:
		receive_one(any());
		break;
	default:
		send_one(any());
	}
}

int main(void)
{
	size_t open = 0, waiting = 0;
	int status = -1, pipe_fd[2];
	pid_t pid;

	zoo_start();
	for (int i = 0; i < STEPS; i++)
		step();
	for (int i = 0; i < n_ends; i++) {
		open += ends[i].fd >= 0;
		waiting += ends[i].n;
	}
	zoo_need(open > 200 && waiting > 200 && n_files > 100);
	zoo_log("%zu sockets, %zu messages wait, %zu were sent with %zu files", open, waiting,
		n_sent, n_files);
	zoo_need(pipe(pipe_fd) == 0);
	/* The child holds all of it, too, and takes a share of it when it is told to. */
	pid = fork();
	if (pid == 0) {
		char c;

		close(pipe_fd[1]);
		if (read(pipe_fd[0], &c, 1) != 1)
			_exit(1);
		for (int i = 0; i < n_ends; i += 2)
			while (ends[i].fd >= 0 && ends[i].n)
				receive_one(&ends[i]);
		_exit(zoo_end());
	}
	zoo_need(pid > 0);
	zoo_ready();
	zoo_wait();

	zoo_need(write(pipe_fd[1], "x", 1) == 1);
	zoo_need(waitpid(pid, &status, 0) == pid);
	zoo_same(status, 0);
	for (int i = 1; i < n_ends; i += 2)
		while (ends[i].fd >= 0 && ends[i].n)
			receive_one(&ends[i]);
	/* And nothing more. */
	for (int i = 0; i < n_ends; i++) {
		if (ends[i].fd >= 0 && !ends[i].listens)
			zoo_check(recv(ends[i].fd, data, 1, MSG_DONTWAIT) <= 0,
				  "end %d has one more message", i);
		ends[i].n = 0;
		ends[i].first = 0;
	}
	/* All connections still work, and all that waits is accepted in order. */
	for (int i = 0; i < n_ends && n_ends < SOCKETS; i++)
		while (ends[i].listens && ends[i].n_pending && n_ends < SOCKETS)
			accept_one(&ends[i]);
	for (int i = 0; i < n_ends; i++)
		if (ends[i].fd >= 0)
			send_one(&ends[i]);
	for (int i = 0; i < n_ends; i++)
		while (ends[i].fd >= 0 && ends[i].n)
			receive_one(&ends[i]);
	return zoo_end();
}
