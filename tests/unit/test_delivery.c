// SPDX-License-Identifier: LGPL-2.1-or-later
/* Watching the delivery of signals to threads of children that take, block or ignore them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "with_loader.h"

#define SECOND 1000000000LL

struct told {
	struct rec_delivery row[16];
	size_t n;
};

static void note(void *userdata, const struct rec_delivery *what)
{
	struct told *t = userdata;

	if (t->n < 16)
		t->row[t->n++] = *what;
}

static void nothing(int sig)
{
	(void)sig;
}

enum does { TAKES, BLOCKS, IGNORES };

/* A child that says when it is ready, and waits. */
static pid_t start(enum does does)
{
	int ready[2];
	sigset_t set;
	pid_t pid;
	char byte;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sigemptyset(&set);
		sigaddset(&set, SIGRTMAX);
		if (does == BLOCKS)
			sigprocmask(SIG_BLOCK, &set, NULL);
		signal(SIGRTMAX, does == IGNORES ? SIG_IGN : nothing);
		if (write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void stop(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void send_value(pid_t pid, uint64_t value)
{
	siginfo_t si = { .si_signo = SIGRTMAX, .si_code = SI_QUEUE };

	memcpy(&si.si_value, &value, sizeof(value));
	assert_int_equal(syscall(SYS_rt_tgsigqueueinfo, pid, pid, SIGRTMAX, &si), 0);
}

static struct delivery *open_delivery(void)
{
	struct loader_why why = { 0 };
	struct delivery *d = NULL;

	if (delivery_open(loader, &d, &why) < 0)
		fail_msg("%s", why.what);
	return d;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static void check_row(const struct told *t, size_t i, pid_t tid, uint16_t what, bool blocked,
		      uint64_t since)
{
	assert_true(t->n > i);
	assert_int_equal(t->row[i].tid, tid);
	assert_int_equal(t->row[i].what, what);
	assert_int_equal(t->row[i].blocked, blocked);
	assert_true(t->row[i].time_ns >= since && t->row[i].time_ns <= now_ns());
}

static void test_delivery__taken(void **state)
{
	struct delivery *d = open_delivery();
	pid_t pid = start(TAKES);
	uint64_t since = now_ns();
	struct told t = { 0 };

	(void)state;
	send_value(pid, delivery_value(d, pid));
	while (t.n < 2 && now_ns() < since + 20 * SECOND)
		delivery_wait(d, SECOND, note, &t);
	check_row(&t, 0, pid, REC_QUEUED, false, since);
	check_row(&t, 1, pid, REC_DELIVERED, false, t.row[0].time_ns);
	assert_int_equal(t.n, 2);
	stop(pid);
	delivery_close(d);
}

static void test_delivery__blocked_and_ignored(void **state)
{
	struct delivery *d = open_delivery();
	pid_t blocks = start(BLOCKS), ignores = start(IGNORES);
	uint64_t since = now_ns();
	struct told t = { 0 };

	(void)state;
	send_value(blocks, delivery_value(d, blocks));
	send_value(ignores, delivery_value(d, ignores));
	/* What is sent is there at once. */
	delivery_wait(d, 0, note, &t);
	check_row(&t, 0, blocks, REC_QUEUED, true, since);
	check_row(&t, 1, ignores, REC_IGNORED, false, since);
	assert_int_equal(t.n, 2);
	stop(blocks);
	stop(ignores);
	delivery_close(d);
}

static void test_delivery__of_strangers_is_not_told(void **state)
{
	struct delivery *d = open_delivery();
	pid_t pid = start(BLOCKS);
	struct told t = { 0 };

	(void)state;
	send_value(pid, delivery_value(d, pid) ^ 1ULL << 32);
	send_value(pid, delivery_value(d, pid) ^ 1ULL << 56);
	send_value(pid, 0);
	assert_int_equal(kill(pid, SIGRTMAX), 0);
	delivery_wait(d, 0, note, &t);
	assert_int_equal(t.n, 0);
	stop(pid);
	delivery_close(d);
}

static void test_delivery_open__rings_of_the_dead_are_taken_over(void **state)
{
	struct delivery *d[REC_SENDERS + 1] = { NULL };
	size_t n = 0;
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0) {
		while (n <= REC_SENDERS && delivery_open(loader, &d[n], NULL) == 0)
			n++;
		_exit((int)n);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	/* All that others leave, and no more. */
	assert_in_range(WEXITSTATUS(status), 1, REC_SENDERS);
	while (n <= REC_SENDERS && delivery_open(loader, &d[n], NULL) == 0)
		n++;
	assert_int_equal(n, WEXITSTATUS(status));
	assert_int_equal(delivery_open(loader, &d[n], NULL), -EBUSY);
	while (n)
		delivery_close(d[--n]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_delivery__taken),
		cmocka_unit_test(test_delivery__blocked_and_ignored),
		cmocka_unit_test(test_delivery__of_strangers_is_not_told),
		cmocka_unit_test(test_delivery_open__rings_of_the_dead_are_taken_over),
	};

	if (geteuid() != 0) {
		puts("skipped: needs root");
		return 77;
	}
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
