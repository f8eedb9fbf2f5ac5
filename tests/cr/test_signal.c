// SPDX-License-Identifier: LGPL-2.1-or-later
/* How a request reaches a program, whatever that does with its signals, forks, and threads. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake.h"
#include "libcr.h"
#include "trace.h"

#define BUILD EBPF_CKPT_BUILD

static int counts(void *arg)
{
	(void)arg;
	atomic_fetch_add(&shared->n[0], 1);
	if (cr_checkpoint(CR_CHECKPOINT_READY) < 0)
		atomic_fetch_add(&shared->n[1], 1);
	atomic_fetch_add(&shared->n[2], 1);
	return 0;
}

static void stay(int go)
{
	atomic_fetch_add(&shared->ready, 1);
	wait_go(go);
}

static void with_callback(void)
{
	cr_init();
	cr_register_callback(counts, NULL, CR_SIGNAL_CONTEXT);
	stay(1);
}

static void callbacks_were(int before, int failed, int after)
{
	assert_int_equal(atomic_load(&shared->n[0]), before);
	assert_int_equal(atomic_load(&shared->n[1]), failed);
	assert_int_equal(atomic_load(&shared->n[2]), after);
}

/* ---- finding ---- */

static void test_is_found(void **state)
{
	struct target t;

	(void)state;
	target_start(&t, with_callback);
	target_ready(1);
	assert_int_equal(target_find(&t), CR_KIND_CR);
	assert_int_equal(meet_read(&t.m), 0);
	assert_int_equal(t.m.now.pid, t.pid);
	target_go();
	target_end(&t);
	assert_int_equal(meet_read(&t.m), -ESRCH);
}

/* ---- strays ---- */

static void test_stray_signals_are_ignored(void **state)
{
	struct target t;

	(void)state;
	target_start(&t, with_callback);
	target_ready(1);
	for (int i = 0; i < 10; i++)
		kill(t.pid, CR_SIGNUM);
	target_checkpoint(&t, 0);
	for (int i = 0; i < 10; i++)
		kill(t.pid, CR_SIGNUM);
	target_go();
	assert_int_equal(target_end(&t), 0);
	callbacks_were(1, 0, 1);
}

/* ---- what it interrupts ---- */

static int spoils_errno(void *arg)
{
	cr_checkpoint(CR_CHECKPOINT_READY);
	errno = 99;
	return counts(arg);
}

static void interrupted(void)
{
	const struct timespec minute = { 60, 0 };

	cr_init();
	cr_register_callback(spoils_errno, NULL, CR_SIGNAL_CONTEXT);
	atomic_fetch_add(&shared->ready, 1);
	CHECK(pause() == -1 && errno == EINTR);
	atomic_fetch_add(&shared->ready, 1);
	CHECK(nanosleep(&minute, NULL) == -1 && errno == EINTR);
	errno = 17;
	atomic_fetch_add(&shared->ready, 1);
	while (!atomic_load(&shared->go))
		;
	CHECK(errno == 17);
}

static void test_interrupts_like_a_handler(void **state)
{
	struct target t;

	(void)state;
	target_start(&t, interrupted);
	for (int i = 1; i <= 3; i++) {
		target_ready(i);
		nanosleep(&(struct timespec){ 0, 20000000 }, NULL);
		target_checkpoint(&t, 0);
	}
	target_go();
	assert_int_equal(target_end(&t), 0);
}

/* ---- dispositions ---- */

static void own_handler(int sig)
{
	(void)sig;
	atomic_fetch_add(&shared->n[5], 1);
}

static void overwrites(void (*handler)(int))
{
	struct sigaction now;

	cr_init();
	cr_register_callback(counts, NULL, CR_SIGNAL_CONTEXT);
	signal(CR_SIGNUM, handler);
	atomic_store(&shared->n[15], 1); /* for target_ask() */
	stay(1);
	sigaction(CR_SIGNUM, NULL, &now);
	CHECK(now.sa_handler == handler);
	if (handler == own_handler) {
		raise(CR_SIGNUM);
		CHECK(atomic_load(&shared->n[5]) == 1);
	}
}

static void ignores(void)
{
	overwrites(SIG_IGN);
}

static void by_default(void)
{
	overwrites(SIG_DFL);
}

static void has_its_own(void)
{
	overwrites(own_handler);
}

static void test_overwritten_disposition(void **state)
{
	static void (*const run[])(void) = { ignores, by_default, has_its_own };

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct target t;

		target_start(&t, run[i]);
		target_ready(1);
		target_checkpoint(&t, 0);
		target_checkpoint(&t, 1);
		/* One that is withdrawn puts it back, too. */
		assert_int_equal(target_ask(&t), 0);
		assert_int_equal(target_arrive(&t, 20000), 1);
		assert_int_equal(target_decide(&t, -ETIMEDOUT), 0);
		target_go();
		assert_int_equal(target_end(&t), 0);
		callbacks_were(3, 1, 3);
	}
}

/* ---- blocked ---- */

static void blocks(void)
{
	sigset_t set;

	cr_init();
	cr_register_callback(counts, NULL, CR_SIGNAL_CONTEXT);
	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	stay(1);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	stay(2);
}

static void test_blocked(void **state)
{
	struct target t;

	(void)state;
	target_start(&t, blocks);
	target_ready(1);
	assert_int_equal(target_ask(&t), 0);
	assert_int_equal(target_arrive(&t, 30), 0);
	target_go();
	assert_int_equal(target_arrive(&t, 20000), 1);
	assert_int_equal(target_decide(&t, 0), 0);
	assert_int_equal(target_over(&t, 20000), 1);
	callbacks_were(1, 0, 1);
	target_go();
	assert_int_equal(target_end(&t), 0);
}

static void test_withdrawn_while_blocked(void **state)
{
	struct target t;

	(void)state;
	target_start(&t, blocks);
	target_ready(1);
	assert_int_equal(target_ask(&t), 0);
	assert_int_equal(target_arrive(&t, 30), 0);
	assert_int_equal(target_decide(&t, -ETIMEDOUT), 0);
	assert_int_equal(target_over(&t, 20000), 1);
	/* The signal comes, and finds nothing to do. */
	target_go();
	target_ready(2);
	callbacks_were(0, 0, 0);
	target_checkpoint(&t, 0);
	callbacks_were(1, 0, 1);
	target_go();
	assert_int_equal(target_end(&t), 0);
}

/* ---- cancelled on the way ---- */

static int waits(void *arg)
{
	atomic_fetch_add(&shared->n[3], 1);
	wait_go(1);
	return counts(arg);
}

static void slowly(void)
{
	cr_init();
	cr_register_callback(counts, NULL, CR_SIGNAL_CONTEXT);
	cr_register_callback(waits, NULL, CR_THREAD_CONTEXT);
	stay(2);
}

static void test_cancelled_while_callbacks_run(void **state)
{
	struct target t;

	(void)state;
	target_start(&t, slowly);
	target_ready(1);
	assert_int_equal(target_ask(&t), 0);
	assert_int_equal(target_arrive(&t, 30), 0);
	assert_int_equal(target_decide(&t, -ETIMEDOUT), 0);
	assert_int_equal(target_over(&t, 50), 0);
	/* There is no room for another one before the callback has ended. */
	assert_int_equal(meet_ask(&t.m, &(struct meet_request){ .dest = "" }, NULL, NULL), -EBUSY);
	target_go();
	assert_int_equal(target_over(&t, 20000), 1);
	callbacks_were(1, 1, 1); /* the one in signal context was spared */
	target_checkpoint(&t, 0);
	callbacks_were(3, 1, 3);
	target_go();
	assert_int_equal(target_end(&t), 0);
}

static void test_two_requests(void **state)
{
	struct target t;

	(void)state;
	target_start(&t, slowly);
	target_ready(1);
	assert_int_equal(target_ask(&t), 0);
	assert_int_equal(meet_ask(&t.m, &(struct meet_request){ .dest = "" }, NULL, NULL), -EBUSY);
	target_go();
	assert_int_equal(target_arrive(&t, 20000), 1);
	assert_int_equal(meet_ask(&t.m, &(struct meet_request){ .dest = "" }, NULL, NULL), -EBUSY);
	assert_int_equal(target_decide(&t, 0), 0);
	assert_int_equal(target_over(&t, 20000), 1);
	target_go();
	assert_int_equal(target_end(&t), 0);
}

static void test_dead_checkpointer(void **state)
{
	struct target t;
	pid_t asker;

	(void)state;
	target_start(&t, with_callback);
	target_ready(1);
	assert_int_not_equal(target_find(&t), 0);
	/* Another process asks, waits until all have arrived, and dies. */
	asker = fork();
	if (asker == 0)
		_exit(target_ask(&t) == 0 && target_arrive(&t, 20000) == 1 ? 0 : 1);
	{
		int status;

		assert_int_equal(waitpid(asker, &status, 0), asker);
		assert_int_equal(status, 0);
	}
	t.m.id = 1;
	assert_int_equal(target_over(&t, 20000), 1);
	callbacks_were(1, 1, 1);
	target_checkpoint(&t, 0);
	callbacks_were(2, 1, 2);
	target_go();
	assert_int_equal(target_end(&t), 0);
}

/* ---- forks ---- */

static void forks(void)
{
	pid_t pid;
	int status;

	cr_init();
	cr_register_callback(counts, NULL, CR_SIGNAL_CONTEXT);
	cr_register_callback(counts, NULL, CR_THREAD_CONTEXT);
	pid = fork();
	if (pid == 0) {
		CHECK_FAILS(cr_status(), CR_ENOINIT);
		atomic_store(&shared->n[9], getpid());
		stay(1);
		CHECK(cr_init() == 0);
		CHECK(cr_register_callback(counts, NULL, CR_SIGNAL_CONTEXT) == 0x2000000);
		stay(2);
		_exit(3);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 3);
}

static void test_fork(void **state)
{
	struct target t, child = { .pid = 0 };

	(void)state;
	target_start(&t, forks);
	target_ready(1);
	child.pid = atomic_load(&shared->n[9]);
	/* It has no callbacks, and can be checkpointed; and so can its parent. */
	target_checkpoint(&child, 0);
	callbacks_were(0, 0, 0);
	target_checkpoint(&t, 0);
	callbacks_were(2, 0, 2);
	target_go();
	target_ready(2);
	target_checkpoint(&child, 0);
	callbacks_were(3, 0, 3);
	target_go();
	assert_int_equal(target_end(&t), 0);
	meet_done(&child.m);
}

/* By a call of which the library is not told. */
static void clones(void)
{
	pid_t pid;
	int status;

	cr_init();
	cr_register_callback(counts, NULL, CR_SIGNAL_CONTEXT);
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0);
	if (pid == 0) {
		atomic_store(&shared->n[9], (int)syscall(SYS_getpid));
		stay(1);
		_exit(3);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 3);
}

static void test_clone(void **state)
{
	struct target t, child = { .pid = 0 };

	(void)state;
	target_start(&t, clones);
	target_ready(1);
	child.pid = atomic_load(&shared->n[9]);
	target_checkpoint(&child, 0);
	callbacks_were(0, 0, 0);
	target_checkpoint(&t, 0);
	callbacks_were(1, 0, 1);
	target_go();
	assert_int_equal(target_end(&t), 0);
	meet_done(&child.m);
}

static int in_vfork(void *arg)
{
	(void)arg;
	raise(CR_SIGNUM); /* a handler that takes itself for the parent's would harm it */
	_exit(0);
}

static void vforks(void)
{
	static char stack[65536];

	cr_init();
	cr_register_callback(counts, NULL, CR_SIGNAL_CONTEXT);
	for (int i = 0; i < 10; i++) {
		int status, pid = clone(in_vfork, stack + sizeof(stack),
					CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);

		CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
	}
	CHECK(cr_status() == CR_STATE_IDLE);
	CHECK(cr_init() == 1);
	stay(1);
}

static void test_vfork(void **state)
{
	struct target t;

	(void)state;
	target_start(&t, vforks);
	target_ready(1);
	target_checkpoint(&t, 0);
	callbacks_were(1, 0, 1);
	target_go();
	assert_int_equal(target_end(&t), 0);
}

static int runs_another(void *arg)
{
	(void)arg;
	CHECK(system("true") == 0);
	return counts(NULL);
}

static void with_system(void)
{
	cr_init();
	cr_register_callback(runs_another, NULL, CR_THREAD_CONTEXT);
	cr_register_callback(runs_another, NULL, CR_SIGNAL_CONTEXT);
	stay(1);
}

static void test_system_in_callbacks(void **state)
{
	struct target t;

	(void)state;
	target_start(&t, with_system);
	target_ready(1);
	target_checkpoint(&t, 0);
	callbacks_were(2, 0, 2);
	target_go();
	assert_int_equal(target_end(&t), 0);
}

static void executes(void)
{
	cr_init();
	cr_register_callback(counts, NULL, CR_SIGNAL_CONTEXT);
	stay(1);
	execl("/bin/sleep", "sleep", "0.1", NULL);
}

static void test_exec(void **state)
{
	struct target t;
	int rc;

	(void)state;
	target_start(&t, executes);
	target_ready(1);
	target_checkpoint(&t, 0);
	target_go();
	do
		rc = meet_read(&t.m);
	while (rc == 0);
	assert_int_equal(rc, -ESRCH);
	assert_true(t.m.gone);
	assert_int_equal(target_end(&t), 0);
}

/* ---- preloaded ---- */

static const char *const sleeper[] = { "/bin/sleep", "2", NULL };

static void wait_until_loaded(struct target *t, enum cr_kind kind)
{
	for (int i = 0; i < 2000 && target_find(t) != kind; i++)
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	assert_int_equal(target_find(t), kind);
	/* The constructor has run when the process knows its pid. */
	while (meet_read(&t->m) == 0 && t->m.now.pid != t->pid)
		;
}

static void test_cr_run(void **state)
{
	struct target t;
	int status;

	(void)state;
	target_exec(&t, sleeper, BUILD "/lib/libcr_run.so.0");
	wait_until_loaded(&t, CR_KIND_RUN);
	for (int i = 0; i < 10; i++)
		target_checkpoint(&t, i % 2);
	status = target_end(&t);
	/* sleep(1) goes on after EINTR, by itself. */
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_cr_omit(void **state)
{
	struct target t;

	(void)state;
	target_exec(&t, sleeper, BUILD "/lib/libcr_omit.so.0");
	wait_until_loaded(&t, CR_KIND_OMIT);
	kill(t.pid, CR_SIGNUM);
	assert_int_equal(target_end(&t), 0);
}

/* It has registered all that it registers. */
static void wait_until_ready(const struct target *t)
{
	char path[64], name[32] = "";
	time_t end = time(NULL) + 20;

	snprintf(path, sizeof(path), "/proc/%d/comm", t->pid);
	while (strcmp(name, "crowd-ready\n") != 0) {
		FILE *f = fopen(path, "re");

		assert_non_null(f);
		assert_true(time(NULL) < end);
		if (!fgets(name, sizeof(name), f))
			name[0] = 0;
		fclose(f);
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	}
}

static const char *const both[] = { BUILD "/cr/crowd", "4", NULL };

static void precedence(const char *preload)
{
	struct target t;
	int status;

	target_exec(&t, both, preload);
	wait_until_loaded(&t, CR_KIND_CR);
	wait_until_ready(&t);
	target_checkpoint(&t, 0);
	kill(t.pid, SIGTERM);
	status = target_end(&t);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_precedence(void **state)
{
	(void)state;
	precedence(BUILD "/lib/libcr_run.so.0");
	precedence(BUILD "/lib/libcr_omit.so.0");
	precedence(BUILD "/lib/libcr_run.so.0:" BUILD "/lib/libcr.so.0");
	precedence(BUILD "/lib/libcr.so.0:" BUILD "/lib/libcr_run.so.0");
}

static const char *const with_static_library[] = { BUILD "/cr/crowd-static", "4", NULL };
static const char *const as_library[] = { BUILD "/cr/dlopened", BUILD "/lib/libcr.so.0", NULL };

static void test_linked_statically(void **state)
{
	struct target t;
	int status;

	(void)state;
	target_exec(&t, with_static_library, NULL);
	wait_until_loaded(&t, CR_KIND_CR);
	wait_until_ready(&t);
	target_checkpoint(&t, 0);
	kill(t.pid, SIGTERM);
	status = target_end(&t);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Opened, used, closed, while signals are under way, and opened again. */
static void test_dlopen(void **state)
{
	struct target t;
	int status;

	(void)state;
	target_exec(&t, as_library, NULL);
	wait_until_loaded(&t, CR_KIND_CR);
	for (int i = 0; i < 20; i++)
		target_checkpoint(&t, 0);
	kill(t.pid, SIGTERM);
	status = target_end(&t);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_is_found),
		cmocka_unit_test(test_stray_signals_are_ignored),
		cmocka_unit_test(test_interrupts_like_a_handler),
		cmocka_unit_test(test_overwritten_disposition),
		cmocka_unit_test(test_blocked),
		cmocka_unit_test(test_withdrawn_while_blocked),
		cmocka_unit_test(test_cancelled_while_callbacks_run),
		cmocka_unit_test(test_two_requests),
		cmocka_unit_test(test_dead_checkpointer),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_clone),
		cmocka_unit_test(test_vfork),
		cmocka_unit_test(test_system_in_callbacks),
		cmocka_unit_test(test_exec),
		cmocka_unit_test(test_cr_run),
		cmocka_unit_test(test_cr_omit),
		cmocka_unit_test(test_precedence),
		cmocka_unit_test(test_linked_statically),
		cmocka_unit_test(test_dlopen),
	};

	struct trace_clock clock;

	if (trace_clock_start(&clock, NULL) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
