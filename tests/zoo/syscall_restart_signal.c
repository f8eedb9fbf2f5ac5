/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A handler that runs after the checkpoint interrupts a call as its SA_RESTART says, not as the
 * checkpoint did. */
#include "zoo.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static int quiet[2], restarted[2];
static volatile int hits;

static void on_signal(int sig)
{
	hits += sig > 0;
}

static void *plain_reader(void *arg)
{
	char c;
	ssize_t n = read(quiet[0], &c, 1);

	zoo_check(n < 0 && errno == EINTR, "without SA_RESTART: %zd %s", n, strerror(errno));
	return arg;
}

static void *restarting_reader(void *arg)
{
	char c = 0;
	ssize_t n = read(restarted[0], &c, 1);

	zoo_check(n == 1 && c == 'r', "with SA_RESTART: %zd %s", n, strerror(errno));
	return arg;
}

static void *sleeper(void *arg)
{
	struct timespec want = { .tv_sec = 1000 }, left = { 0, 0 };
	int rc = nanosleep(&want, &left);

	zoo_check(rc < 0 && errno == EINTR, "nanosleep: %d %s", rc, strerror(errno));
	zoo_check(left.tv_sec >= 900 && left.tv_sec < 1000, "%lld s left", (long long)left.tv_sec);
	return arg;
}

int main(void)
{
	struct sigaction act = { .sa_handler = on_signal };
	pthread_t thread[3];

	zoo_start();
	zoo_need(sigaction(SIGUSR1, &act, NULL) == 0);
	act.sa_flags = SA_RESTART;
	zoo_need(sigaction(SIGUSR2, &act, NULL) == 0);
	zoo_need(pipe(quiet) == 0 && pipe(restarted) == 0);
	zoo_need(pthread_create(&thread[0], NULL, plain_reader, NULL) == 0);
	zoo_need(pthread_create(&thread[1], NULL, restarting_reader, NULL) == 0);
	zoo_need(pthread_create(&thread[2], NULL, sleeper, NULL) == 0);
	zoo_sleep_ms(50);
	zoo_ready();
	zoo_wait();
	zoo_need(pthread_kill(thread[0], SIGUSR1) == 0);
	zoo_need(pthread_kill(thread[1], SIGUSR2) == 0);
	zoo_need(pthread_kill(thread[2], SIGUSR2) == 0);
	zoo_need(pthread_join(thread[0], NULL) == 0 && pthread_join(thread[2], NULL) == 0);
	zoo_need(write(restarted[1], "r", 1) == 1);
	zoo_need(pthread_join(thread[1], NULL) == 0);
	zoo_same(hits, 3);
	return zoo_end();
}
