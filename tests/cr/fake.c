// SPDX-License-Identifier: LGPL-2.1-or-later
/* See fake.h. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake.h"

#include "trace.h"
#include "util.h"

struct shared *shared;

static void tick(void)
{
	const struct timespec t = { 0, 50000 };

	nanosleep(&t, NULL);
}

void say(const char *word)
{
	int len = (int)strlen(word), at = atomic_fetch_add(&shared->log_len, len + 1);

	if (at + len + 1 >= (int)sizeof(shared->log))
		return;
	memcpy(shared->log + at, word, (size_t)len);
	shared->log[at + len] = ' ';
}

void wait_go(int n)
{
	while (atomic_load(&shared->go) < n)
		tick();
}

static void prepare(void)
{
	if (!shared) {
		int fd = memfd_create("shared", 0);

		assert_true(fd >= 0 && ftruncate(fd, sizeof(*shared)) == 0);
		shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		assert_true(shared != MAP_FAILED && dup2(fd, 100) == 100);
		close(fd);
	}
	memset(shared, 0, sizeof(*shared));
}

void target_start(struct target *t, void (*run)(void))
{
	prepare();
	*t = (struct target){ .pid = fork() };
	assert_true(t->pid >= 0);
	if (t->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run();
		_exit(0);
	}
}

void target_exec(struct target *t, const char *const argv[], const char *preload)
{
	int closed_by_exec[2];
	char c;

	prepare();
	assert_int_equal(pipe2(closed_by_exec, O_CLOEXEC), 0);
	*t = (struct target){ .pid = fork() };
	assert_true(t->pid >= 0);
	if (t->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (preload)
			setenv("LD_PRELOAD", preload, 1);
		execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(closed_by_exec[1]);
	assert_int_equal(read(closed_by_exec[0], &c, 1), 0);
	close(closed_by_exec[0]);
}

void target_ready(int n)
{
	uint64_t until = now_us() + 20000000;

	while (atomic_load(&shared->ready) < n && now_us() < until)
		tick();
	assert_true(atomic_load(&shared->ready) >= n);
}

void target_go(void)
{
	atomic_fetch_add(&shared->go, 1);
}

int target_end(struct target *t)
{
	int status = 0;

	assert_int_equal(waitpid(t->pid, &status, 0), t->pid);
	meet_done(&t->m);
	assert_int_equal(atomic_load(&shared->failed), 0);
	return status;
}

enum cr_kind target_find(struct target *t)
{
	enum cr_kind kind, best = 0;
	char path[64], line[4096];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", t->pid);
	f = fopen(path, "re");
	assert_non_null(f);
	meet_done(&t->m);
	t->m.pid = t->pid;
	while (fgets(line, sizeof(line), f)) {
		unsigned long long start, end, offset, block;
		char prot[8];
		int inode;

		if (sscanf(line, "%llx-%llx %7s %llx %*s %d", &start, &end, prot, &offset,
			   &inode) != 5)
			continue;
		if (strstr(line, "[vdso]"))
			t->m.vdso = start;
		if (offset || !inode || prot[0] != 'r')
			continue;
		block = meet_look_for(t->pid, start, end, &kind);
		if (block && (!best || kind < best)) {
			best = kind;
			t->m.block = block;
		}
	}
	fclose(f);
	return best;
}

/* What the process does upon the signal is for a kernel's eye only: a fake asks the process. */
static void action_now(struct target *t, struct cr_control_action *ret)
{
	*ret = t->m.now.action;
	if (atomic_load(&shared->n[15]))
		ret->handler = 1; /* the target says: it is another one */
}

int target_ask(struct target *t)
{
	const struct meet_request q = {
		.requester = 7, .target = 8, .scope = 3, .signal = 9, .dest = "/x/y"
	};
	struct cr_control_action action;

	if (!t->m.block)
		assert_true(target_find(t) != 0);
	t->m.n_sent = 0;
	assert_int_equal(meet_read(&t->m), 0);
	action_now(t, &action);
	return meet_ask(&t->m, &q, &action, NULL);
}

int target_arrive(struct target *t, int timeout_ms)
{
	uint64_t until = now_us() + (uint64_t)timeout_ms * 1000;

	do {
		int rc = meet_read(&t->m);

		if (rc == 0)
			rc = meet_send(&t->m);
		if (rc < 0)
			return rc;
		if (t->m.now.vote)
			return 2;
		if (meet_all_arrived_running(&t->m))
			return 1;
		tick();
	} while (now_us() < until);
	return 0;
}

int target_decide(struct target *t, int result)
{
	return meet_decide_running(&t->m, result);
}

int target_over(struct target *t, int timeout_ms)
{
	uint64_t until = now_us() + (uint64_t)timeout_ms * 1000;

	do {
		int rc = meet_read(&t->m);

		if (rc < 0)
			return rc;
		if (t->m.now.failed == t->m.id)
			return 2;
		if (meet_is_over(&t->m))
			return 1;
		tick();
	} while (now_us() < until);
	return 0;
}

void target_checkpoint(struct target *t, int result)
{
	assert_int_equal(target_ask(t), 0);
	assert_int_equal(target_arrive(t, 20000), 1);
	assert_int_equal(target_decide(t, result), 0);
	assert_int_equal(target_over(t, 20000), 1);
}

/* For a test that cmocka's header is not for: ask, and see what a callback says. */
int meet_one(pid_t pid, int *ret_vote);

int meet_one(pid_t pid, int *ret_vote)
{
	struct target t = { .pid = pid };
	struct trace_clock clock;
	int rc;

	prepare();
	rc = trace_clock_start(&clock, NULL);
	if (rc == 0)
		rc = target_ask(&t);
	if (rc == 0)
		rc = target_arrive(&t, 20000) == 2 ? 0 : -1;
	*ret_vote = (int)t.m.now.vote;
	trace_clock_stop(&clock);
	meet_done(&t.m);
	return rc;
}
