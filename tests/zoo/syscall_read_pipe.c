/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Blocked in read(2) and write(2) of pipes, served by another thread later: no byte lost or
 * doubled. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define BIG 300000

static int in[2], vec[2], out[2];
static unsigned char big[BIG];

static void *reader(void *arg)
{
	char text[16] = "";
	ssize_t n = read(in[0], text, sizeof(text));

	zoo_check(n == 5 && !strcmp(text, "hello"), "read gave %zd (%s): %s", n, text,
		  strerror(errno));
	return arg;
}

static void *vector_reader(void *arg)
{
	char a[3] = "", b[8] = "";
	struct iovec iov[] = { { a, 2 }, { b, 7 } };
	ssize_t n = readv(vec[0], iov, 2);

	zoo_check(n == 5 && !strcmp(a, "he") && !strcmp(b, "llo"), "readv gave %zd: %s", n,
		  strerror(errno));
	return arg;
}

/* More than fits: in the middle of its write when checkpointed. */
static void *writer(void *arg)
{
	size_t done = 0;

	while (done < BIG) {
		ssize_t n = write(out[1], big + done, BIG - done);

		/* pipe(7): a write larger than the pipe may end early when interrupted. */
		if (n <= 0) {
			zoo_check(false, "write gave %zd: %s", n, strerror(errno));
			break;
		}
		done += (size_t)n;
	}
	zoo_need(close(out[1]) == 0);
	return arg;
}

int main(void)
{
	static unsigned char got[BIG + 1];
	pthread_t thread[3];
	size_t done = 0;
	ssize_t n;

	zoo_start();
	zoo_fill(big, BIG, 1);
	zoo_need(pipe(in) == 0 && pipe(vec) == 0 && pipe(out) == 0);
	zoo_need(pthread_create(&thread[0], NULL, reader, NULL) == 0);
	zoo_need(pthread_create(&thread[1], NULL, vector_reader, NULL) == 0);
	zoo_need(pthread_create(&thread[2], NULL, writer, NULL) == 0);
	zoo_sleep_ms(20);
	zoo_ready();
	zoo_wait();
	zoo_same(write(in[1], "hello", 5), 5);
	zoo_same(write(vec[1], "hello", 5), 5);
	while (done < sizeof(got) && (n = read(out[0], got + done, sizeof(got) - done)) > 0)
		done += (size_t)n;
	for (int i = 0; i < 3; i++)
		zoo_need(pthread_join(thread[i], NULL) == 0);
	zoo_same(done, BIG);
	zoo_check(!memcmp(got, big, BIG), "what was written differs");
	return zoo_end();
}
