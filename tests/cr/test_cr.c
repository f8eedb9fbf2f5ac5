// SPDX-License-Identifier: LGPL-2.1-or-later
/* What a program sees of libcr: callbacks, sections, hooks, and the rest of the interface. */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake.h"
#include "libcr.h"
#include "trace.h"

#define FAILS(call, code)                                                                          \
	do {                                                                                       \
		errno = 0;                                                                         \
		assert_int_equal((call), -1);                                                      \
		assert_int_equal(errno, (code));                                                   \
	} while (0)

static void log_is(const char *expected)
{
	assert_string_equal(shared->log, expected);
}

/* Be there, until the test says go, having been interrupted by as many requests as there were. */
static void stay(int go)
{
	atomic_fetch_add(&shared->ready, 1);
	wait_go(go);
}

/* A callback that tells its name before, and what it got after. */
static int speaks(void *arg)
{
	const char *name = arg;
	char word[32];
	int rc;

	say(name);
	rc = cr_checkpoint(CR_CHECKPOINT_READY);
	snprintf(word, sizeof(word), "%s:%d", name, rc);
	say(word);
	return 0;
}

/* ---- without a request ---- */

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

static void test_before_init(void **state)
{
	(void)state;
	FAILS(cr_register_callback(nothing, NULL, CR_SIGNAL_CONTEXT), CR_ENOINIT);
	FAILS(cr_register_callback(nothing, NULL, 0), CR_ENOINIT);
	FAILS(cr_replace_callback(CR_SIGNAL_CONTEXT, nothing, NULL, CR_SIGNAL_CONTEXT), CR_ENOINIT);
	FAILS(cr_enter_cs(0), CR_ENOINIT);
	FAILS(cr_tryenter_cs(0), CR_ENOINIT);
	FAILS(cr_leave_cs(0), CR_ENOINIT);
	FAILS(cr_status(), CR_ENOINIT);
	FAILS(cr_hold_ctrl(CR_HOLD_SCOPE_THREAD, CR_HOLD_READ), CR_ENOINIT);
	FAILS(cr_inc_persist(), CR_ENOINIT);
	FAILS(cr_dec_persist(), CR_ENOINIT);
	errno = 0;
	assert_true(cr_register_hook(CR_HOOK_CONT_NO_CALLBACKS, NULL) == CR_HOOK_FN_ERROR);
	assert_int_equal(errno, CR_ENOINIT);
	FAILS(cr_replace_self(nothing, NULL, CR_SIGNAL_CONTEXT), CR_ENOTCB);
	FAILS(cr_forward_checkpoint(CR_SCOPE_PROC, 0), CR_ENOTCB);
	errno = 0;
	assert_int_equal(cr_checkpoint(CR_CHECKPOINT_READY), -CR_ENOTCB);
	assert_int_equal(errno, CR_ENOTCB);
	assert_null(cr_get_checkpoint_info());
	assert_null(cr_get_restart_info());
}

static void *first_id(void *arg)
{
	*(int *)arg = cr_init();
	return NULL;
}

static void test_init(void **state)
{
	pthread_t thread;
	int id = -1;

	(void)state;
	assert_int_equal(cr_init(), 0);
	assert_int_equal(cr_init(), 1);
	assert_int_equal(cr_init(), 2);
	pthread_create(&thread, NULL, first_id, &id);
	pthread_join(thread, NULL);
	assert_int_equal(id, 0);
	assert_int_equal(SIGRTMAX, CR_SIGNUM - 1);
	assert_int_equal(cr_status(), CR_STATE_IDLE);
}

static void ids(void)
{
	cr_init();
	CHECK_FAILS(cr_register_callback(nothing, NULL, 0), EINVAL);
	CHECK_FAILS(cr_register_callback(nothing, NULL, CR_SIGNAL_CONTEXT | CR_THREAD_CONTEXT),
		    EINVAL);
	CHECK_FAILS(cr_register_callback(nothing, NULL, CR_SIGNAL_CONTEXT | 1), EINVAL);
	CHECK(cr_register_callback(nothing, NULL, CR_SIGNAL_CONTEXT) == 0x2000000);
	CHECK(cr_register_callback(nothing, NULL, CR_SIGNAL_CONTEXT) == 0x2000001);
	CHECK(cr_register_callback(nothing, NULL, CR_THREAD_CONTEXT) == 0x4000000);
	for (int i = 1; i < 100; i++)
		CHECK(cr_register_callback(nothing, NULL, CR_THREAD_CONTEXT) == (0x4000000 | i));
	CHECK_FAILS(cr_replace_callback(-1, nothing, NULL, CR_SIGNAL_CONTEXT), EINVAL);
	CHECK_FAILS(cr_replace_callback(0x2000002, nothing, NULL, CR_SIGNAL_CONTEXT), EINVAL);
	CHECK_FAILS(cr_replace_callback(0x2000001, nothing, NULL, CR_THREAD_CONTEXT), EINVAL);
	CHECK_FAILS(cr_replace_callback(0x2000001, nothing, NULL, 0), EINVAL);
	CHECK(cr_replace_callback(0x2000001, nothing, NULL, CR_SIGNAL_CONTEXT) == 0);
	CHECK(cr_replace_callback(0x4000063, NULL, NULL, CR_THREAD_CONTEXT) == 0);
}

static void test_ids(void **state)
{
	struct target t;

	(void)state;
	target_start(&t, ids);
	assert_int_equal(target_end(&t), 0);
}

static void test_small_things(void **state)
{
	cr_spinlock_t lock = 5;

	(void)state;
	cr_spinlock_init(&lock);
	assert_int_equal(lock, CR_SPINLOCK_INITIALIZER);
	assert_true(cr_spinlock_trylock(&lock));
	assert_false(cr_spinlock_trylock(&lock));
	cr_spinlock_unlock(&lock);
	cr_spinlock_lock(&lock);
	assert_false(cr_spinlock_trylock(&lock));
	cr_spinlock_unlock(&lock);
	assert_string_equal(cr_strerror(EINVAL), strerror(EINVAL));
	for (int i = CR_MIN_ERRCODE + 1; i < CR_MAX_ERRCODE; i++)
		assert_null(strstr(cr_strerror(i), "Unknown"));
	assert_string_not_equal(cr_strerror(CR_ENOTCB), cr_strerror(CR_ENOINIT));
}

#define N_LOCKERS 4
#define N_LOCKS	  20000

static cr_spinlock_t counter_lock;
static long counter;

static void *locks(void *arg)
{
	for (int i = 0; i < N_LOCKS; i++) {
		cr_spinlock_lock(&counter_lock);
		counter++;
		cr_spinlock_unlock(&counter_lock);
	}
	return arg;
}

static void test_spinlock_excludes(void **state)
{
	pthread_t thread[N_LOCKERS];

	(void)state;
	for (int i = 0; i < N_LOCKERS; i++)
		pthread_create(&thread[i], NULL, locks, NULL);
	for (int i = 0; i < N_LOCKERS; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(counter, N_LOCKERS * N_LOCKS);
}

static void test_hold_values(void **state)
{
	(void)state;
	cr_init();
	assert_int_equal(cr_hold_ctrl(CR_HOLD_SCOPE_THREAD, CR_HOLD_READ), CR_HOLD_DFLT);
	assert_int_equal(cr_hold_ctrl(CR_HOLD_SCOPE_INIT, CR_HOLD_READ), CR_HOLD_BOTH);
	assert_int_equal(cr_hold_ctrl(CR_HOLD_SCOPE_UNINIT, CR_HOLD_CONT), CR_HOLD_BOTH);
	assert_int_equal(cr_hold_ctrl(CR_HOLD_SCOPE_UNINIT, CR_HOLD_BOTH), CR_HOLD_CONT);
	assert_int_equal(cr_hold_ctrl(CR_HOLD_SCOPE_THREAD, CR_HOLD_NONE), CR_HOLD_DFLT);
	assert_int_equal(cr_hold_ctrl(CR_HOLD_SCOPE_THREAD, CR_HOLD_DFLT), CR_HOLD_NONE);
	FAILS(cr_hold_ctrl(CR_HOLD_SCOPE_INIT, CR_HOLD_DFLT), EINVAL);
	FAILS(cr_hold_ctrl(3, CR_HOLD_READ), EINVAL);
	FAILS(cr_hold_ctrl(-1, CR_HOLD_READ), EINVAL);
	FAILS(cr_hold_ctrl(CR_HOLD_SCOPE_THREAD, 5), EINVAL);
	FAILS(cr_hold_ctrl(CR_HOLD_SCOPE_THREAD, -2), EINVAL);
}

static void some_hook(cr_hook_event_t event)
{
	(void)event;
}

static void test_hook_values(void **state)
{
	(void)state;
	cr_init();
	assert_true(cr_register_hook(CR_HOOK_CONT_SIGNAL_CONTEXT, some_hook) == NULL);
	assert_true(cr_register_hook(CR_HOOK_CONT_SIGNAL_CONTEXT, NULL) == some_hook);
	assert_true(cr_register_hook(CR_HOOK_CONT_SIGNAL_CONTEXT, NULL) == NULL);
	errno = 0;
	assert_true(cr_register_hook(CR_NUM_HOOKS, some_hook) == CR_HOOK_FN_ERROR);
	assert_int_equal(errno, EINVAL);
	errno = 0;
	assert_true(cr_register_hook((cr_hook_event_t)-1, some_hook) == CR_HOOK_FN_ERROR);
	assert_int_equal(errno, EINVAL);
	errno = 0;
	assert_true(cr_register_hook(CR_HOOK_CONT_SIGNAL_CONTEXT, CR_HOOK_FN_ERROR) ==
		    CR_HOOK_FN_ERROR);
	assert_int_equal(errno, EINVAL);
}

/* ---- the order of things ---- */

static void two_of_each(void)
{
	cr_init();
	cr_register_callback(speaks, WORD("s0"), CR_SIGNAL_CONTEXT);
	cr_register_callback(speaks, WORD("t0"), CR_THREAD_CONTEXT);
	cr_register_callback(speaks, WORD("s1"), CR_SIGNAL_CONTEXT);
	cr_register_callback(speaks, WORD("t1"), CR_THREAD_CONTEXT);
	stay(1);
}

static bool in_order(const char *log, const char *const *word)
{
	const char *at = log;

	for (; *word; word++) {
		at = strstr(at, *word);
		if (!at)
			return false;
		at += strlen(*word);
	}
	return true;
}

static void order(int result)
{
	char word[4][16], start[16];
	struct target t;

	for (int i = 0; i < 2; i++) {
		snprintf(word[i], sizeof(word[i]), "s%d:%d ", i, result);
		snprintf(word[2 + i], sizeof(word[2 + i]), "t%d:%d ", i, result);
	}
	target_start(&t, two_of_each);
	target_ready(1);
	target_checkpoint(&t, result);
	snprintf(start, sizeof(start), "t1 t0 s1 s0 ");
	assert_memory_equal(shared->log, start, strlen(start));
	/* After: first registered first, but both contexts at once. */
	assert_true(in_order(shared->log, (const char *[]){ word[0], word[1], NULL }));
	assert_true(in_order(shared->log, (const char *[]){ word[2], word[3], NULL }));
	assert_int_equal(strlen(shared->log),
			 strlen(start) + 2 * strlen(word[0]) + 2 * strlen(word[2]));
	target_go();
	assert_int_equal(target_end(&t), 0);
}

static void test_order_continue(void **state)
{
	(void)state;
	order(0);
}

static void test_order_restart(void **state)
{
	(void)state;
	order(4711);
}

static void test_order_failure(void **state)
{
	(void)state;
	order(-EIO);
}

static void test_many_in_a_row(void **state)
{
	struct target t;

	(void)state;
	target_start(&t, two_of_each);
	target_ready(1);
	for (int i = 0; i < 100; i++)
		target_checkpoint(&t, i % 2);
	target_go();
	assert_int_equal(target_end(&t), 0);
	assert_int_equal(atomic_load(&shared->log_len), 100 * (4 * 3 + 4 * 5));
}

/* ---- what callbacks do ---- */

static int never_calls(void *arg)
{
	say(arg);
	return 0;
}

static int calls_twice(void *arg)
{
	char word[32];
	int first = cr_checkpoint(CR_CHECKPOINT_READY);

	snprintf(word, sizeof(word), "%s:%d:%d", (const char *)arg, first,
		 cr_checkpoint(CR_CHECKPOINT_TEMP_FAILURE));
	say(word);
	return 0;
}

static void careless(void)
{
	cr_init();
	cr_register_callback(speaks, WORD("a"), CR_SIGNAL_CONTEXT);
	cr_register_callback(never_calls, WORD("b"), CR_SIGNAL_CONTEXT);
	cr_register_callback(calls_twice, WORD("c"), CR_SIGNAL_CONTEXT);
	stay(1);
}

static void test_careless(void **state)
{
	struct target t;

	(void)state;
	target_start(&t, careless);
	target_ready(1);
	target_checkpoint(&t, 5);
	target_go();
	assert_int_equal(target_end(&t), 0);
	log_is("b a a:5 c:5:5 ");
}

static int asks(void *arg)
{
	int context = *(int *)arg, saved;
	const struct cr_checkpoint_info *info = cr_get_checkpoint_info();
	const struct cr_restart_info *restart;

	CHECK(cr_status() == CR_STATE_ACTIVE);
	CHECK(info && info->signal == 9 && !strcmp(info->dest, "/x/y") && info->requester == 7 &&
	      info->target == 8 && info->scope == CR_SCOPE_TREE);
	CHECK(!cr_get_restart_info());
	CHECK_FAILS(cr_register_callback(nothing, NULL, context), EBUSY);
	CHECK_FAILS(cr_replace_callback(context, nothing, NULL, context), EBUSY);
	CHECK_FAILS(
		cr_replace_self(nothing, NULL, context ^ (CR_SIGNAL_CONTEXT | CR_THREAD_CONTEXT)),
		EINVAL);
	CHECK(cr_enter_cs(CR_ID_CALLBACK) == 0);
	CHECK(cr_tryenter_cs(CR_ID_CALLBACK) == 0);
	CHECK(cr_leave_cs(CR_ID_CALLBACK) == 0);
	saved = cr_checkpoint(CR_CHECKPOINT_READY);
	restart = cr_get_restart_info();
	CHECK(!cr_get_checkpoint_info());
	CHECK(saved > 0 ? restart && restart->requester == saved : !restart);
	atomic_fetch_add(&shared->n[0], 1);
	return 0;
}

static void asking(void)
{
	static int signal_context = CR_SIGNAL_CONTEXT, thread_context = CR_THREAD_CONTEXT;

	cr_init();
	cr_register_callback(asks, &signal_context, CR_SIGNAL_CONTEXT);
	cr_register_callback(asks, &thread_context, CR_THREAD_CONTEXT);
	stay(1);
	CHECK(!cr_get_checkpoint_info() && !cr_get_restart_info());
	CHECK(cr_status() == CR_STATE_IDLE);
}

static void test_asking(void **state)
{
	struct target t;

	(void)state;
	target_start(&t, asking);
	target_ready(1);
	target_checkpoint(&t, 0);
	assert_int_equal(target_ask(&t), 0);
	assert_int_equal(target_arrive(&t, 20000), 1);
	/* As a restore does, but with the threads running before and after. */
	{
		struct hold h = { 0 };

		assert_int_equal(hold_all(&h, t.pid), 0);
		const struct meet_rebirth b = {
			.pid = t.pid,
			.hidden_tid = t.m.now.hidden_tid,
			.restarter = 12,
			.src = "/from/here",
		};

		assert_int_equal(meet_restored(&t.m, &b), 0);
		hold_done(&h);
	}
	assert_int_equal(target_over(&t, 20000), 1);
	target_go();
	assert_int_equal(target_end(&t), 0);
	assert_int_equal(atomic_load(&shared->n[0]), 4);
}

static int second_life(void *arg)
{
	say(arg);
	return 0;
}

static int first_life(void *arg)
{
	say(arg);
	CHECK(cr_replace_self(first_life, WORD("wrong"), CR_SIGNAL_CONTEXT) == 0);
	cr_checkpoint(CR_CHECKPOINT_READY);
	CHECK(cr_replace_self(second_life, WORD("second"), CR_SIGNAL_CONTEXT) == 0);
	return 0;
}

static void replacing(void)
{
	cr_callback_id_t id;

	cr_init();
	cr_register_callback(first_life, WORD("first"), CR_SIGNAL_CONTEXT);
	id = cr_register_callback(speaks, WORD("never"), CR_SIGNAL_CONTEXT);
	CHECK(cr_replace_callback(id, NULL, NULL, CR_SIGNAL_CONTEXT) == 0);
	stay(1);
	CHECK(cr_replace_callback(id, second_life, WORD("third"), CR_SIGNAL_CONTEXT) == 0);
	stay(2);
}

static void test_replacing(void **state)
{
	struct target t;

	(void)state;
	target_start(&t, replacing);
	target_ready(1);
	target_checkpoint(&t, 0);
	target_checkpoint(&t, 0);
	target_go();
	target_ready(2);
	target_checkpoint(&t, 0);
	target_go();
	assert_int_equal(target_end(&t), 0);
	log_is("first second third second ");
}

/* ---- refusals ---- */

static int flags_to_give;

static int refuses(void *arg)
{
	char word[32];
	int rc;

	say(arg);
	rc = cr_checkpoint(flags_to_give);
	snprintf(word, sizeof(word), "%s:%d", (const char *)arg, rc);
	say(word);
	return 0;
}

static void refusing(void)
{
	cr_init();
	cr_register_callback(speaks, WORD("inner"), CR_SIGNAL_CONTEXT);
	cr_register_callback(refuses, WORD("refuses"), CR_SIGNAL_CONTEXT);
	cr_register_callback(speaks, WORD("outer"), CR_SIGNAL_CONTEXT);
	stay(1);
}

static void refusal(int flags, int result, const char *log)
{
	struct target t;

	flags_to_give = flags;
	target_start(&t, refusing);
	target_ready(1);
	assert_int_equal(target_ask(&t), 0);
	assert_int_equal(target_arrive(&t, 20000), 2);
	assert_int_equal(t.m.now.vote, flags);
	assert_int_equal(t.m.now.vote_callback, 0x2000001);
	assert_int_equal(t.m.now.vote_tid, t.pid);
	assert_int_equal(target_decide(&t, result), 0);
	assert_int_equal(target_over(&t, 20000), 1);
	log_is(log);
	/* The next one works at once. */
	assert_int_equal(target_ask(&t), 0);
	assert_int_equal(target_arrive(&t, 20000), 2);
	kill(t.pid, SIGKILL);
	target_end(&t);
}

static void test_refusals(void **state)
{
	(void)state;
	refusal(CR_CHECKPOINT_TEMP_FAILURE, -CR_ETEMPFAIL,
		"outer refuses refuses:-2354 outer:-2354 ");
	refusal(CR_CHECKPOINT_TEMP_FAILURE_CODE(77), -77, "outer refuses refuses:-77 outer:-77 ");
	refusal(CR_CHECKPOINT_OMIT, -CR_EOMITTED, "outer refuses refuses:-2358 outer:-2358 ");
	refusal(CR_CHECKPOINT_PERM_FAILURE, -CR_EPERMFAIL,
		"outer refuses refuses:-2355 outer:-2355 ");
}

static int fails_before(void *arg)
{
	say(arg);
	return 1;
}

static int fails_after(void *arg)
{
	cr_checkpoint(CR_CHECKPOINT_READY);
	say(arg);
	return 1;
}

static void failing_before(void)
{
	cr_init();
	cr_register_callback(speaks, WORD("inner"), CR_THREAD_CONTEXT);
	cr_register_callback(fails_before, WORD("fails"), CR_THREAD_CONTEXT);
	stay(1);
}

static void failing_after(void)
{
	cr_init();
	cr_register_callback(fails_after, WORD("fails"), CR_SIGNAL_CONTEXT);
	stay(1);
}

static void test_failures(void **state)
{
	struct target t;

	(void)state;
	target_start(&t, failing_before);
	target_ready(1);
	assert_int_equal(target_ask(&t), 0);
	assert_int_equal(target_arrive(&t, 20000), 2);
	assert_int_equal(t.m.now.vote, CR_CHECKPOINT_PERM_FAILURE);
	log_is("fails ");
	kill(t.pid, SIGKILL);
	target_end(&t);

	target_start(&t, failing_after);
	target_ready(1);
	assert_int_equal(target_ask(&t), 0);
	assert_int_equal(target_arrive(&t, 20000), 1);
	assert_int_equal(target_decide(&t, 0), 0);
	assert_int_equal(target_over(&t, 20000), 2);
	assert_int_equal(t.m.now.failed_callback, 0x2000000);
	kill(t.pid, SIGKILL);
	target_end(&t);

	/* When nothing was saved there is nothing to fail. */
	target_start(&t, failing_after);
	target_ready(1);
	assert_int_equal(target_ask(&t), 0);
	assert_int_equal(target_arrive(&t, 20000), 1);
	assert_int_equal(target_decide(&t, -EIO), 0);
	assert_int_equal(target_over(&t, 20000), 1);
	target_go();
	assert_int_equal(target_end(&t), 0);
}

static int leaves(void *arg)
{
	exit(*(int *)arg);
}

static void leaving(void)
{
	static int status = 42;

	cr_init();
	cr_register_callback(leaves, &status, CR_THREAD_CONTEXT);
	stay(1);
}

static void test_exit_in_callback(void **state)
{
	struct target t;
	int rc;

	(void)state;
	target_start(&t, leaving);
	target_ready(1);
	assert_int_equal(target_ask(&t), 0);
	do
		rc = target_arrive(&t, 100);
	while (rc == 0 && kill(t.pid, 0) == 0 && waitpid(t.pid, NULL, WNOHANG | WNOWAIT) == 0);
	rc = target_end(&t);
	assert_true(WIFEXITED(rc) && WEXITSTATUS(rc) == 42);
}

static int thread_ends(void *arg)
{
	say(arg);
	pthread_exit(NULL);
}

static void thread_ending(void)
{
	cr_init();
	cr_register_callback(thread_ends, WORD("ends"), CR_THREAD_CONTEXT);
	stay(1);
}

static void test_pthread_exit_in_callback(void **state)
{
	struct target t;

	(void)state;
	target_start(&t, thread_ending);
	target_ready(1);
	assert_int_equal(target_ask(&t), 0);
	assert_int_equal(target_arrive(&t, 20000), 2);
	assert_int_equal(t.m.now.vote, CR_CHECKPOINT_PERM_FAILURE);
	kill(t.pid, SIGKILL);
	target_end(&t);
}

static int forwards(void *arg)
{
	(void)arg;
	CHECK_FAILS(cr_forward_checkpoint((cr_scope_t)4, 0), EINVAL);
	CHECK_FAILS(cr_forward_checkpoint(CR_SCOPE_PROC, -3), EINVAL);
	CHECK(cr_forward_checkpoint(CR_SCOPE_SESS, 77) == 0);
	CHECK_FAILS(cr_forward_checkpoint(CR_SCOPE_PGRP, 78), ESRCH);
	cr_checkpoint(CR_CHECKPOINT_READY);
	CHECK_FAILS(cr_forward_checkpoint(CR_SCOPE_PROC, 0), CR_ENOTCB);
	return 0;
}

static void forwarding(void)
{
	cr_init();
	cr_register_callback(forwards, NULL, CR_THREAD_CONTEXT);
	stay(1);
}

static void answer(struct target *t, uint32_t number, int scope, int pid, int result)
{
	while (t->m.now.forward < number)
		target_arrive(t, 10);
	assert_int_equal(t->m.now.forward_scope, scope);
	assert_int_equal(t->m.now.forward_target, pid);
	assert_int_equal(meet_answer(&t->m, result), 0);
}

static void test_forward(void **state)
{
	struct target t;

	(void)state;
	target_start(&t, forwarding);
	target_ready(1);
	assert_int_equal(target_ask(&t), 0);
	answer(&t, 1, CR_SCOPE_SESS, 77, 0);
	answer(&t, 2, CR_SCOPE_PGRP, 78, ESRCH);
	assert_int_equal(target_arrive(&t, 20000), 1);
	assert_int_equal(target_decide(&t, 0), 0);
	assert_int_equal(target_over(&t, 20000), 1);
	target_go();
	assert_int_equal(target_end(&t), 0);
}

/* ---- critical sections ---- */

static void in_section(void)
{
	cr_client_id_t id = cr_init();

	cr_register_callback(speaks, WORD("cb"), CR_SIGNAL_CONTEXT);
	cr_register_callback(speaks, WORD("t"), CR_THREAD_CONTEXT);
	CHECK_FAILS(cr_leave_cs(id), EINVAL);
	CHECK_FAILS(cr_enter_cs(id + 1), EINVAL);
	CHECK(cr_enter_cs(id) == 0);
	CHECK(cr_enter_cs(id) == 0);
	CHECK(cr_tryenter_cs(id) == 0);
	CHECK(cr_status() == CR_STATE_IDLE);
	stay(1);
	CHECK(cr_status() == CR_STATE_PENDING);
	CHECK(cr_tryenter_cs(id) == 0);
	CHECK(cr_leave_cs(id) == 0);
	CHECK(cr_leave_cs(id) == 0);
	CHECK(cr_leave_cs(id) == 0);
	say("leave");
	errno = 1234;
	CHECK(cr_leave_cs(id) == 0);
	CHECK(errno == 1234);
	say("left");
	stay(2);
}

static void test_section(void **state)
{
	struct target t;

	(void)state;
	target_start(&t, in_section);
	target_ready(1);
	assert_int_equal(target_ask(&t), 0);
	assert_int_equal(target_arrive(&t, 30), 0);
	assert_int_equal(t.m.now.inside, 1);
	assert_int_equal(t.m.now.inside_tid, t.pid);
	log_is("");
	target_go();
	assert_int_equal(target_arrive(&t, 20000), 1);
	assert_int_equal(target_decide(&t, 0), 0);
	assert_int_equal(target_over(&t, 20000), 1);
	target_ready(2);
	assert_non_null(strstr(shared->log, "cb:0 "));
	assert_true(in_order(shared->log,
			     (const char *[]){ "leave ", "t ", "cb ", "cb:0 ", "left ", NULL }));
	target_go();
	assert_int_equal(target_end(&t), 0);
}

/* One is inside, and waits for a lock that the other one holds when the signal comes. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void *holds_mutex(void *arg)
{
	cr_client_id_t id = cr_init();

	pthread_mutex_lock(&mutex);
	atomic_fetch_add(&shared->ready, 1);
	wait_go(1);
	pthread_mutex_unlock(&mutex);
	CHECK(cr_enter_cs(id) == 0); /* waits, and helps */
	say("entered");
	CHECK(cr_leave_cs(id) == 0);
	return arg;
}

static void *wants_mutex(void *arg)
{
	cr_client_id_t id = cr_init();

	CHECK(cr_enter_cs(id) == 0);
	atomic_fetch_add(&shared->ready, 1);
	pthread_mutex_lock(&mutex);
	pthread_mutex_unlock(&mutex);
	say("leave");
	CHECK(cr_leave_cs(id) == 0);
	return arg;
}

static void with_mutex(void)
{
	pthread_t thread[2];

	cr_init();
	cr_register_callback(speaks, WORD("cb"), CR_SIGNAL_CONTEXT);
	pthread_create(&thread[0], NULL, holds_mutex, NULL);
	while (atomic_load(&shared->ready) < 1)
		;
	pthread_create(&thread[1], NULL, wants_mutex, NULL);
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
	stay(2);
}

static void test_section_and_lock(void **state)
{
	struct target t;

	(void)state;
	target_start(&t, with_mutex);
	target_ready(2);
	assert_int_equal(target_ask(&t), 0);
	assert_int_equal(target_arrive(&t, 30), 0);
	target_go();
	assert_int_equal(target_arrive(&t, 20000), 1);
	assert_int_equal(target_decide(&t, 0), 0);
	assert_int_equal(target_over(&t, 20000), 1);
	target_ready(3);
	log_is("leave cb cb:0 entered ");
	target_go();
	assert_int_equal(target_end(&t), 0);
}

static void tries(void)
{
	cr_client_id_t id = cr_init();
	sigset_t set;

	/* It does not get the signal: there is a request, but it takes no part. */
	sigemptyset(&set);
	sigaddset(&set, CR_SIGNUM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	stay(1);
	CHECK(cr_status() == CR_STATE_PENDING);
	CHECK(cr_tryenter_cs(id) > 0);
	say("tried");
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	stay(2);
	CHECK(cr_status() == CR_STATE_IDLE);
	CHECK(cr_tryenter_cs(id) == 0);
	CHECK(cr_leave_cs(id) == 0);
}

static void test_tryenter(void **state)
{
	struct target t;

	(void)state;
	target_start(&t, tries);
	target_ready(1);
	assert_int_equal(target_ask(&t), 0);
	assert_int_equal(target_arrive(&t, 30), 0);
	target_go();
	assert_int_equal(target_arrive(&t, 20000), 1);
	assert_int_equal(target_decide(&t, 0), 0);
	assert_int_equal(target_over(&t, 20000), 1);
	target_go();
	assert_int_equal(target_end(&t), 0);
	log_is("tried ");
}

#define N_SECTIONS 3

static void *enters_and_leaves(void *arg)
{
	cr_client_id_t id = cr_init();

	for (unsigned int i = 0; !atomic_load(&shared->go); i++) {
		if (i % 3 == 0 && cr_tryenter_cs(id) != 0)
			continue;
		if (i % 3 != 0)
			CHECK(cr_enter_cs(id) == 0);
		atomic_fetch_add(&shared->n[0], 1);
		CHECK(cr_leave_cs(id) == 0);
	}
	return arg;
}

static int nobody_inside(void *arg)
{
	int before = atomic_load(&shared->n[0]);

	(void)arg;
	cr_checkpoint(CR_CHECKPOINT_READY);
	CHECK(atomic_load(&shared->n[0]) == before);
	atomic_fetch_add(&shared->n[1], 1);
	return 0;
}

static void tight_loop(void)
{
	pthread_t thread[N_SECTIONS];

	cr_init();
	cr_register_callback(nobody_inside, NULL, CR_THREAD_CONTEXT);
	for (int i = 0; i < N_SECTIONS; i++)
		pthread_create(&thread[i], NULL, enters_and_leaves, NULL);
	atomic_fetch_add(&shared->ready, 1);
	for (int i = 0; i < N_SECTIONS; i++)
		pthread_join(thread[i], NULL);
}

static void test_sections_do_not_starve(void **state)
{
	struct target t;

	(void)state;
	target_start(&t, tight_loop);
	target_ready(1);
	for (int i = 0; i < 200; i++)
		target_checkpoint(&t, 0);
	target_go();
	assert_int_equal(target_end(&t), 0);
	assert_int_equal(atomic_load(&shared->n[1]), 200);
	assert_true(atomic_load(&shared->n[0]) > 200);
}

/* ---- hooks, holding ---- */

static void counting_hook(cr_hook_event_t event)
{
	atomic_fetch_add(&shared->n[event], 1);
}

static void *uninit(void *arg)
{
	stay(1);
	return arg;
}

static void *init(void *arg)
{
	cr_init();
	stay(1);
	return arg;
}

static void hooked(void)
{
	pthread_t thread[3];

	cr_init();
	for (int i = 0; i < CR_NUM_HOOKS; i++)
		cr_register_hook((cr_hook_event_t)i, counting_hook);
	cr_register_callback(nothing, NULL, CR_THREAD_CONTEXT);
	pthread_create(&thread[0], NULL, uninit, NULL);
	pthread_create(&thread[1], NULL, uninit, NULL);
	pthread_create(&thread[2], NULL, init, NULL);
	stay(1);
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
}

static void hooks_are(int signal, int thread, int none, int r_signal, int r_thread, int r_none)
{
	const int expected[CR_NUM_HOOKS] = { signal, thread, none, r_signal, r_thread, r_none };

	for (int i = 0; i < CR_NUM_HOOKS; i++)
		assert_int_equal(atomic_load(&shared->n[i]), expected[i]);
}

static void test_hooks(void **state)
{
	struct target t;

	(void)state;
	target_start(&t, hooked);
	target_ready(4);
	target_checkpoint(&t, 0);
	hooks_are(2, 1, 2, 0, 0, 0);
	target_checkpoint(&t, -EIO);
	hooks_are(2, 1, 2, 0, 0, 0);
	target_checkpoint(&t, 9);
	hooks_are(2, 1, 2, 2, 1, 2);
	target_go();
	assert_int_equal(target_end(&t), 0);
}

/* The slow one is in its callback until told; does the other thread go on meanwhile? */
static int slow(void *arg)
{
	(void)arg;
	cr_checkpoint(CR_CHECKPOINT_READY);
	wait_go(2);
	say("slow");
	return 0;
}

static void *counts(void *arg)
{
	cr_init();
	CHECK(cr_hold_ctrl(CR_HOLD_SCOPE_THREAD, *(int *)arg) == CR_HOLD_DFLT);
	stay(0);
	while (atomic_load(&shared->go) < 3)
		atomic_fetch_add(&shared->n[0], 1);
	return NULL;
}

static int hold_flags;

static void held(void)
{
	pthread_t thread;

	cr_init();
	cr_register_callback(slow, NULL, CR_THREAD_CONTEXT);
	pthread_create(&thread, NULL, counts, &hold_flags);
	stay(3);
	pthread_join(thread, NULL);
}

static bool goes_on(int flags, int result, bool expected)
{
	const struct timespec while_it_counts = { 0, 20000000 };
	struct target t;
	int before, after, tries = expected ? 500 : 1;

	hold_flags = flags;
	target_start(&t, held);
	target_ready(2);
	assert_int_equal(target_ask(&t), 0);
	assert_int_equal(target_arrive(&t, 20000), 1);
	assert_int_equal(target_decide(&t, result), 0);
	assert_int_equal(target_over(&t, 20), 0);
	before = atomic_load(&shared->n[0]);
	/* On a busy machine it may take a while until it does. */
	do {
		nanosleep(&while_it_counts, NULL);
		after = atomic_load(&shared->n[0]);
	} while (after == before && --tries);
	target_go();
	target_go();
	assert_int_equal(target_over(&t, 20000), 1);
	target_go();
	assert_int_equal(target_end(&t), 0);
	return after > before;
}

static void test_hold(void **state)
{
	(void)state;
	assert_false(goes_on(CR_HOLD_DFLT, 0, false));
	assert_false(goes_on(CR_HOLD_BOTH, 1, false));
	assert_true(goes_on(CR_HOLD_NONE, 0, true));
	assert_true(goes_on(CR_HOLD_RSTRT, 0, true));
	assert_false(goes_on(CR_HOLD_CONT, 0, false));
	assert_true(goes_on(CR_HOLD_CONT, 1, true));
}

/* ---- threads that come and go ---- */

static pthread_key_t key;

static void last_words(void *arg)
{
	(void)arg;
	say(cr_status() == CR_STATE_IDLE ? "there" : "gone");
	cr_dec_persist();
}

static void *persists(void *arg)
{
	cr_init();
	CHECK(cr_inc_persist() == 0);
	CHECK(cr_inc_persist() == 1);
	CHECK(cr_dec_persist() == 2);
	pthread_setspecific(key, &key);
	return arg;
}

static void *does_not(void *arg)
{
	cr_init();
	pthread_setspecific(key, &key);
	return arg;
}

static void ends_of_threads(void)
{
	pthread_t thread;

	cr_init();
	CHECK_FAILS(cr_dec_persist(), ERANGE);
	pthread_key_create(&key, last_words);
	pthread_create(&thread, NULL, persists, NULL);
	pthread_join(thread, NULL);
	pthread_create(&thread, NULL, does_not, NULL);
	pthread_join(thread, NULL);
}

static void test_persist(void **state)
{
	struct target t;

	(void)state;
	/* The library's key is older: its destructor runs first. */
	target_start(&t, ends_of_threads);
	assert_int_equal(target_end(&t), 0);
	log_is("there gone ");
}

static int counting(void *arg)
{
	(void)arg;
	atomic_fetch_add(&shared->n[0], 1);
	cr_checkpoint(CR_CHECKPOINT_READY);
	atomic_fetch_add(&shared->n[1], 1);
	return 0;
}

static void *short_life(void *arg)
{
	cr_init();
	cr_register_callback(counting, NULL, CR_SIGNAL_CONTEXT);
	return arg;
}

static void coming_and_going(void)
{
	cr_init();
	cr_register_callback(counting, NULL, CR_THREAD_CONTEXT);
	atomic_fetch_add(&shared->ready, 1);
	while (!atomic_load(&shared->go)) {
		pthread_t thread[4];

		for (int i = 0; i < 4; i++)
			CHECK(pthread_create(&thread[i], NULL, short_life, NULL) == 0);
		for (int i = 0; i < 4; i++)
			pthread_join(thread[i], NULL);
		atomic_fetch_add(&shared->n[2], 1);
	}
}

static void test_threads_come_and_go(void **state)
{
	struct target t;

	(void)state;
	target_start(&t, coming_and_going);
	target_ready(1);
	for (int i = 0; i < 200; i++)
		target_checkpoint(&t, 0);
	target_go();
	assert_int_equal(target_end(&t), 0);
	assert_true(atomic_load(&shared->n[0]) >= 200 && atomic_load(&shared->n[2]) > 0);
	assert_int_equal(atomic_load(&shared->n[0]), atomic_load(&shared->n[1]));
}

/* 32 threads, half of them with callbacks, and a load of the program's own signals. */
#define N_BUSY 32

static void on_load(int sig)
{
	(void)sig;
	atomic_fetch_add(&shared->n[3], 1);
}

static void *busy(void *arg)
{
	pthread_t next = pthread_self();

	if (arg) {
		cr_init();
		cr_register_callback(counting, NULL, CR_SIGNAL_CONTEXT);
	}
	atomic_fetch_add(&shared->ready, 1);
	while (!atomic_load(&shared->go)) {
		const struct timespec pause = { 0, 1000000 };

		pthread_kill(next, SIGUSR1);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static void crowd(void)
{
	pthread_t thread[N_BUSY];

	signal(SIGUSR1, on_load);
	for (long i = 0; i < N_BUSY; i++)
		pthread_create(&thread[i], NULL, busy, (void *)(i % 2));
	for (int i = 0; i < N_BUSY; i++)
		pthread_join(thread[i], NULL);
}

static void test_crowd(void **state)
{
	struct target t;

	(void)state;
	target_start(&t, crowd);
	target_ready(N_BUSY);
	for (int i = 0; i < 100; i++)
		target_checkpoint(&t, 0);
	target_go();
	assert_int_equal(target_end(&t), 0);
	assert_int_equal(atomic_load(&shared->n[0]), 100 * N_BUSY / 2);
	assert_int_equal(atomic_load(&shared->n[1]), 100 * N_BUSY / 2);
	assert_true(atomic_load(&shared->n[3]) > 0);
}

/* From the request to the last callback entered, with 32 threads and the hidden one. */
static long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int notes_time(void *arg)
{
	long long now = now_ns(), last = atomic_load(&shared->last_ns);

	(void)arg;
	while (last < now && !atomic_compare_exchange_weak(&shared->last_ns, &last, now))
		;
	cr_checkpoint(CR_CHECKPOINT_READY);
	return 0;
}

static void *sleeps(void *arg)
{
	cr_init();
	cr_register_callback(notes_time, NULL, CR_SIGNAL_CONTEXT);
	atomic_fetch_add(&shared->ready, 1);
	wait_go(1);
	return arg;
}

static void sleepers(void)
{
	pthread_t thread[N_BUSY];

	cr_init();
	cr_register_callback(notes_time, NULL, CR_THREAD_CONTEXT);
	for (int i = 0; i < N_BUSY; i++)
		pthread_create(&thread[i], NULL, sleeps, NULL);
	for (int i = 0; i < N_BUSY; i++)
		pthread_join(thread[i], NULL);
}

static void test_callbacks_begin_soon(void **state)
{
	long long best = INT64_MAX;
	struct target t;

	(void)state;
	target_start(&t, sleepers);
	target_ready(N_BUSY);
	for (int i = 0; i < 50; i++) {
		long long start = now_ns(), took;

		target_checkpoint(&t, 0);
		took = atomic_load(&shared->last_ns) - start;
		best = took < best ? took : best;
	}
	target_go();
	assert_int_equal(target_end(&t), 0);
	/* Others may be at work on this machine, and sanitizers: the best of some tries counts. */
	print_message("callbacks entered after %lld us\n", best / 1000);
	assert_true(best < 3000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_before_init),
		cmocka_unit_test(test_init),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_small_things),
		cmocka_unit_test(test_spinlock_excludes),
		cmocka_unit_test(test_hold_values),
		cmocka_unit_test(test_hook_values),
		cmocka_unit_test(test_order_continue),
		cmocka_unit_test(test_order_restart),
		cmocka_unit_test(test_order_failure),
		cmocka_unit_test(test_many_in_a_row),
		cmocka_unit_test(test_careless),
		cmocka_unit_test(test_asking),
		cmocka_unit_test(test_replacing),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_exit_in_callback),
		cmocka_unit_test(test_pthread_exit_in_callback),
		cmocka_unit_test(test_forward),
		cmocka_unit_test(test_section),
		cmocka_unit_test(test_section_and_lock),
		cmocka_unit_test(test_tryenter),
		cmocka_unit_test(test_sections_do_not_starve),
		cmocka_unit_test(test_hooks),
		cmocka_unit_test(test_hold),
		cmocka_unit_test(test_persist),
		cmocka_unit_test(test_threads_come_and_go),
		cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_callbacks_begin_soon),
	};

	struct trace_clock clock;

	if (trace_clock_start(&clock, NULL) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
