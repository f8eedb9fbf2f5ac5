/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* POSIX message queues: messages with their priorities and order, empty and long ones, limits,
 * rights; several descriptions of one; one without a name; one that is full; one that is empty. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define N     9
#define BYTES 8192

/* In order of sending: priority and length. */
static const struct sent {
	unsigned int priority;
	size_t len;
} sent[N] = { { 5, 100 }, { 0, 0 },    { 32767, 4048 }, { 5, 4049 }, { 1, BYTES },
	      { 5, 1 },	  { 0, 8136 }, { 31, 8137 },	{ 1, 17 } };

static char name[64];

static const char *queue(const char *suffix)
{
	snprintf(name, sizeof(name), "/zoo-%d-%s", getpid(), suffix);
	return name;
}

static void send_all(mqd_t q)
{
	char buf[BYTES];

	for (int i = 0; i < N; i++) {
		zoo_fill(buf, sent[i].len, (uint64_t)i);
		zoo_need(mq_send(q, buf, sent[i].len, sent[i].priority) == 0);
	}
}

/* Highest priority first, of one the oldest. */
static int turn(int k)
{
	int place[N];

	for (int i = 0; i < N; i++)
		place[i] = i;
	for (int i = 0; i < N; i++)
		for (int j = N - 1; j > i; j--)
			if (sent[place[j]].priority > sent[place[j - 1]].priority) {
				int t = place[j];

				place[j] = place[j - 1];
				place[j - 1] = t;
			}
	return place[k];
}

static void receive_all(mqd_t q)
{
	char buf[BYTES];

	for (int k = 0; k < N; k++) {
		const struct sent *s = &sent[turn(k)];
		unsigned int priority = 0;

		zoo_same(mq_receive(q, buf, sizeof(buf), &priority), (long long)s->len);
		zoo_same(priority, s->priority);
		zoo_check(zoo_filled(buf, s->len, (uint64_t)turn(k)), "message %d", k);
	}
}

static struct mq_attr attr_of(mqd_t q)
{
	struct mq_attr a = { 0 };

	zoo_need(mq_getattr(q, &a) == 0);
	return a;
}

int main(void)
{
	struct mq_attr attr = { .mq_maxmsg = 10, .mq_msgsize = BYTES },
		       small = { 0, 2, 64, 0, { 0 } };
	mqd_t q, reader, writer, removed, full, empty;
	struct stat st;
	char buf[BYTES];

	zoo_start();
	q = mq_open(queue("a"), O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
	if (q < 0 && errno == ENOSYS)
		zoo_skip("no message queues");
	zoo_need(q >= 0);
	reader = mq_open(name, O_RDONLY | O_NONBLOCK);
	writer = mq_open(name, O_WRONLY);
	zoo_need(reader >= 0 && writer >= 0 && fchmod(q, 0642) == 0);
	removed = mq_open(queue("b"), O_RDWR | O_CREAT | O_EXCL, 0600, &small);
	zoo_need(removed >= 0 && mq_unlink(name) == 0);
	zoo_need(mq_send(removed, "nameless", 8, 3) == 0);
	full = mq_open(queue("c"), O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0600, &small);
	empty = mq_open(queue("d"), O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0600, &small);
	zoo_need(full >= 0 && empty >= 0);
	zoo_need(mq_send(full, "one", 3, 1) == 0 && mq_send(full, "two", 3, 1) == 0);
	send_all(q);
	zoo_ready();
	zoo_wait();

	zoo_same(attr_of(q).mq_curmsgs, N);
	zoo_same(attr_of(q).mq_maxmsg, 10);
	zoo_same(attr_of(q).mq_msgsize, BYTES);
	zoo_same(attr_of(q).mq_flags, 0);
	zoo_same(attr_of(reader).mq_flags, O_NONBLOCK);
	zoo_need(fstat(q, &st) == 0);
	zoo_same(st.st_mode & 07777, 0642);
	zoo_check(mq_send(reader, "x", 1, 0) < 0 && errno == EBADF, "a reader sends");
	zoo_check(mq_receive(writer, buf, sizeof(buf), NULL) < 0 && errno == EBADF,
		  "a writer receives");
	receive_all(reader);
	zoo_check(mq_receive(reader, buf, sizeof(buf), NULL) < 0 && errno == EAGAIN, "not empty");
	send_all(writer); /* for a second life, and to see that they belong together */
	zoo_same(attr_of(q).mq_curmsgs, N);

	zoo_check(mq_open(queue("b"), O_RDWR) < 0 && errno == ENOENT, "its name came back");
	zoo_same(mq_receive(removed, buf, sizeof(buf), NULL), 8);
	zoo_check(!memcmp(buf, "nameless", 8), "contents of one without a name");
	zoo_need(mq_send(removed, "nameless", 8, 3) == 0);

	zoo_check(mq_send(full, "x", 1, 0) < 0 && errno == EAGAIN, "not full");
	zoo_same(mq_receive(full, buf, sizeof(buf), NULL), 3);
	zoo_check(!memcmp(buf, "one", 3), "order");
	zoo_check(mq_receive(empty, buf, sizeof(buf), NULL) < 0 && errno == EAGAIN, "not empty");
	zoo_need(mq_unlink(queue("a")) == 0 && mq_unlink(queue("c")) == 0 &&
		 mq_unlink(queue("d")) == 0);
	return zoo_end();
}
