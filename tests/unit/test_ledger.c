// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The ledger of observe, from reports that were never made by any kernel: whatever the order in
 * which threads report, the books are right, and what is told of it balances.
 */
#include "ledger.h"
#include "tracing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FILES 0xf000
#define PID   100

static const char TEST_KIND[] = "pipe";

/* A ledger with one process, and what it told of descriptors: "+5.1" number and object, "-5.1c". */
struct fixture {
	struct ledger l;
	char told[1024];
	uint64_t now;
};

static struct ledger_at at(struct fixture *f, pid_t tid)
{
	f->now += 10;
	return (struct ledger_at){
		.time_ns = f->now, .enter_ns = f->now - 9, .pid = PID, .tid = tid, .comm = "test"
	};
}

static int on_made(void *userdata, const struct ledger_made *m)
{
	struct fixture *f = userdata;
	size_t n = strlen(f->told);

	snprintf(f->told + n, sizeof(f->told) - n, "+%d.%d ", m->fd, (int)m->now->object->file_id);
	return 0;
}

static int on_closed(void *userdata, const struct ledger_closed *c)
{
	struct fixture *f = userdata;
	size_t n = strlen(f->told);

	snprintf(f->told + n, sizeof(f->told) - n, "-%d.%d%s ", c->fd, (int)c->was->object->file_id,
		 !strcmp(c->by, "close") ? "" : c->by);
	return 0;
}

static void assert_told(struct fixture *f, const char *what)
{
	assert_string_equal(f->told, what);
	f->told[0] = '\0';
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct ledger_task *t;

	ledger_init(&f->l);
	f->l.calls.made = on_made;
	f->l.calls.closed = on_closed;
	f->l.calls.userdata = f;
	const struct ledger_at first = at(f, PID);

	assert_int_equal(ledger_add_task(&f->l, &first, PID, PID, 1, "test", &t), 0);
	assert_int_equal(ledger_use_table(&f->l, &first, t, FILES), 0);
	assert_int_equal(ledger_use_mm(&f->l, t->process, 0xa000, NULL), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ledger_done(&f->l);
	/* Nothing is left of anything. */
	assert_int_equal(f->l.tasks.n, 0);
	assert_int_equal(f->l.tables.n, 0);
	assert_int_equal(f->l.objects.n, 0);
	assert_int_equal(f->l.mms.n, 0);
	free(f);
	return 0;
}

static struct ledger_table *table(struct fixture *f)
{
	return ledger_table(&f->l, FILES);
}

static void open_at(struct fixture *f, struct ledger_at when, int fd, uint64_t file)
{
	const struct ledger_file file_of = { .file_id = file, .inode_id = file, .kind = TEST_KIND };

	assert_int_equal(
		ledger_fd_new(&f->l, &when, table(f), fd, &file_of, "openat", false, false), 0);
}

static void open_fd(struct fixture *f, int fd, uint64_t file)
{
	open_at(f, at(f, PID), fd, file);
}

static void dup2_fd(struct fixture *f, int fd, uint64_t file)
{
	const struct ledger_file file_of = { .file_id = file, .inode_id = file, .kind = TEST_KIND };
	const struct ledger_at when = at(f, PID);

	assert_int_equal(ledger_fd_new(&f->l, &when, table(f), fd, &file_of, "dup2", false, true),
			 0);
}

static int close_fd(struct fixture *f, int fd, uint64_t now_id)
{
	const struct ledger_at when = at(f, PID + 1);

	return ledger_fd_close(&f->l, &when, table(f), fd, now_id, "close");
}

static void assert_file(struct fixture *f, int fd, uint64_t file)
{
	const struct ledger_fd *e = ledger_fd(table(f), fd);

	if (!file)
		assert_null(e);
	else
		assert_int_equal(e ? e->object->file_id : 0, file);
}

static struct ledger_count *count(struct fixture *f)
{
	return ledger_count(ledger_process(&f->l, PID), TEST_KIND);
}

/* made - closed = open, whatever happened. */
static void assert_balances(struct fixture *f, uint64_t open)
{
	const struct ledger_count *c = count(f);

	assert_int_equal(c->open, open);
	assert_int_equal(c->inherited + c->made - c->closed, open);
	assert_int_equal(table(f)->n_open, open);
}

static void fork_process(struct fixture *f, pid_t parent_tid, pid_t pid, uint64_t files,
			 uint64_t mm);

/* ---- descriptors ---- */

static void test_fd__open_and_close(void **state)
{
	struct fixture *f = *state;

	open_fd(f, 3, 1);
	assert_file(f, 3, 1);
	assert_int_equal(close_fd(f, 3, 0), 0);
	assert_told(f, "+3.1 -3.1 ");
	assert_balances(f, 0);
}

static void test_fd__close_is_reported_after_the_next_open(void **state)
{
	struct fixture *f = *state;

	open_fd(f, 3, 1);
	open_fd(f, 3, 2);
	assert_told(f, "+3.1 -3.1 +3.2 ");
	/* The close that made way, late. */
	assert_int_equal(close_fd(f, 3, 2), LEDGER_IGNORED);
	assert_file(f, 3, 2);
	assert_int_equal(close_fd(f, 3, 0), 0);
	assert_told(f, "-3.2 ");
	assert_balances(f, 0);
}

static void test_fd__two_closes_are_owed(void **state)
{
	struct fixture *f = *state;

	open_fd(f, 3, 1);
	open_fd(f, 3, 2);
	open_fd(f, 3, 3);
	assert_int_equal(close_fd(f, 3, 3), LEDGER_IGNORED);
	assert_int_equal(close_fd(f, 3, 3), LEDGER_IGNORED);
	assert_file(f, 3, 3);
	assert_told(f, "+3.1 -3.1 +3.2 -3.2 +3.3 ");
	assert_balances(f, 1);
}

static void test_fd__close_is_reported_before_its_open(void **state)
{
	struct fixture *f = *state;
	struct ledger_at opener = at(f, PID);

	assert_int_equal(close_fd(f, 3, 0), LEDGER_IGNORED);
	assert_told(f, "");
	opener.time_ns = f->now + 5;
	open_at(f, opener, 3, 1);
	assert_told(f, "+3.1 -3.1 ");
	assert_file(f, 3, 0);
	assert_balances(f, 0);
}

static void test_fd__an_old_close_of_nothing_is_not_the_next_opens(void **state)
{
	struct fixture *f = *state;

	/* Of something that nobody knew; the open begins after it was reported. */
	assert_int_equal(close_fd(f, 3, 0), LEDGER_IGNORED);
	open_fd(f, 3, 1);
	assert_told(f, "+3.1 ");
	assert_file(f, 3, 1);
	assert_balances(f, 1);
}

static void test_fd__a_thread_does_not_close_before_it_opens(void **state)
{
	struct fixture *f = *state;
	struct ledger_at same = at(f, PID + 1);

	/* The open of what it closes was lost; its next one may have begun at that very moment. */
	assert_int_equal(close_fd(f, 3, 0), LEDGER_IGNORED);
	same.time_ns = f->now + 5;
	same.enter_ns = f->now;
	open_at(f, same, 3, 1);
	assert_told(f, "+3.1 ");
	assert_file(f, 3, 1);
	assert_balances(f, 1);
}

static void test_fd__what_was_lost_is_not_waited_for(void **state)
{
	struct fixture *f = *state;
	struct ledger_at opener = at(f, PID);

	/* Two closes whose opens were lost, and an open that is owed a close that was lost. */
	assert_int_equal(close_fd(f, 3, 0), LEDGER_IGNORED);
	open_fd(f, 4, 1);
	open_fd(f, 4, 2);
	assert_int_equal(ledger_table_settle(table(f), opener.time_ns), 2);
	assert_int_equal(ledger_table_settle(table(f), f->now + 1), 0);
	opener.time_ns = f->now + 5;
	open_at(f, opener, 3, 3);
	assert_file(f, 3, 3);
	assert_int_equal(close_fd(f, 4, 0), 0);
	assert_file(f, 4, 0);
}

static void test_fd__three_threads_and_one_number(void **state)
{
	struct fixture *f = *state;

	/* A opens 1, B closes it, C opens 2, and A's report names what is there by then. */
	open_fd(f, 3, 2);
	assert_int_equal(close_fd(f, 3, 2), 0);
	open_fd(f, 3, 2);
	assert_file(f, 3, 2);
	assert_int_equal(close_fd(f, 3, 0), 0);
	assert_balances(f, 0);
}

static void test_fd__dup2_closes_what_was_there(void **state)
{
	struct fixture *f = *state;

	open_fd(f, 3, 1);
	open_fd(f, 4, 2);
	dup2_fd(f, 4, 1);
	assert_told(f, "+3.1 +4.2 -4.2dup2 +4.1 ");
	assert_int_equal(idmap_get(&f->l.objects, 2) != NULL, 0);
	assert_int_equal(close_fd(f, 4, 0), 0);
	assert_int_equal(close_fd(f, 3, 0), 0);
	assert_told(f, "-4.1 -3.1 ");
	assert_balances(f, 0);
}

static void test_fd__dup2_where_a_close_is_to_be_reported(void **state)
{
	struct fixture *f = *state;

	open_fd(f, 3, 1);
	open_fd(f, 4, 2);
	dup2_fd(f, 4, 1);
	/* It was of 2, before; what is there now has come by dup2. */
	assert_int_equal(close_fd(f, 4, 1), LEDGER_IGNORED);
	assert_file(f, 4, 1);
	assert_balances(f, 2);
}

static void test_fd__number_that_cannot_be(void **state)
{
	struct fixture *f = *state;

	open_fd(f, -1, 1);
	open_fd(f, 1 << 30, 1);
	assert_int_equal(close_fd(f, -5, 0), LEDGER_IGNORED);
	assert_told(f, "");
	assert_balances(f, 0);
}

static void test_fd__large_numbers_are_not_many(void **state)
{
	struct fixture *f = *state;
	size_t pieces = 0;

	open_fd(f, 3, 1);
	open_fd(f, 1000000, 2);
	assert_file(f, 1000000, 2);
	for (size_t i = 0; i < table(f)->size / LEDGER_FDS; i++)
		pieces += table(f)->piece[i] != NULL;
	assert_int_equal(pieces, 2);
	fork_process(f, PID, 200, 0xf200, 0xa200);
	assert_int_equal(ledger_table(&f->l, 0xf200)->n_open, 2);
	assert_int_equal(close_fd(f, 1000000, 0), 0);
	assert_balances(f, 1);
}

static void test_fd__same_object_has_one_number(void **state)
{
	struct fixture *f = *state;

	open_fd(f, 3, 1);
	open_fd(f, 4, 1);
	assert_int_equal(ledger_fd(table(f), 3)->object->number,
			 ledger_fd(table(f), 4)->object->number);
	open_fd(f, 5, 2);
	assert_int_not_equal(ledger_fd(table(f), 5)->object->number,
			     ledger_fd(table(f), 4)->object->number);
}

static void test_fd__address_used_again_is_another_object(void **state)
{
	struct fixture *f = *state;
	const struct ledger_at when = at(f, PID);
	const struct ledger_file other = { .file_id = 1, .inode_id = 9, .kind = TEST_KIND };

	open_fd(f, 3, 1);
	assert_int_equal(ledger_fd_new(&f->l, &when, table(f), 4, &other, "openat", false, false),
			 0);
	assert_int_not_equal(ledger_fd(table(f), 3)->object->number,
			     ledger_fd(table(f), 4)->object->number);
	assert_balances(f, 2);
}

static void test_fd__close_range(void **state)
{
	struct fixture *f = *state;
	const struct ledger_at when = at(f, PID);

	for (int fd = 3; fd < 8; fd++)
		open_fd(f, fd, (uint64_t)fd);
	f->told[0] = '\0';
	assert_int_equal(ledger_fd_range(&f->l, &when, table(f), 4, 5, false), 0);
	assert_told(f, "-4.4close_range -5.5close_range ");
	assert_int_equal(ledger_fd_range(&f->l, &when, table(f), 7, ~0u, true), 0);
	assert_told(f, "");
	assert_true(ledger_fd(table(f), 7)->cloexec);
	assert_false(ledger_fd(table(f), 6)->cloexec);
	assert_balances(f, 3);
}

static void test_fd__snapshot_then_its_report(void **state)
{
	struct fixture *f = *state;
	const struct ledger_file file = { .file_id = 1, .inode_id = 1, .kind = TEST_KIND };

	/* The snapshot saw it, and then its maker says so. */
	assert_int_equal(ledger_fd_set(&f->l, table(f), 3, &file, true), 0);
	assert_told(f, "");
	open_fd(f, 3, 1);
	assert_told(f, "+3.1 ");
	assert_int_equal(close_fd(f, 3, 0), 0);
	assert_told(f, "-3.1 ");
	assert_balances(f, 0);
}

static void test_fd__snapshot_then_a_close_of_what_was_before(void **state)
{
	struct fixture *f = *state;
	const struct ledger_file file = { .file_id = 2, .inode_id = 2, .kind = TEST_KIND };

	assert_int_equal(ledger_fd_set(&f->l, table(f), 3, &file, true), 0);
	assert_int_equal(close_fd(f, 3, 2), LEDGER_IGNORED);
	assert_file(f, 3, 2);
}

static void test_fd__made_is_told_who_and_when(void **state)
{
	struct fixture *f = *state;

	open_fd(f, 3, 1);
	const struct ledger_fd *e = ledger_fd(table(f), 3);

	assert_int_equal(e->maker_tid, PID);
	assert_string_equal(e->maker, "test");
	assert_string_equal(e->by, "openat");
	assert_int_equal(e->made_ns, f->now);
}

/* Many threads at random on few numbers, whose reports are turned around: nothing may be off. */
static void test_fd__random_order(void **state)
{
	struct fixture *f = *state;
	unsigned int seed = 1;

	for (int round = 0; round < 2000; round++) {
		/* What happened in truth: opens and closes of one number in turn, ending closed. */
		struct {
			bool open;
			uint64_t file;
		} report[16];

		size_t n = 2 * (1 + (unsigned int)rand_r(&seed) % 8);
		struct ledger_at begin = at(f, PID);

		for (size_t i = 0; i < n; i++) {
			report[i].open = i % 2 == 0;
			report[i].file = 1 + i / 2;
		}
		/* Each moves by a few places. */
		for (size_t i = 0; i + 1 < n; i++)
			if (rand_r(&seed) % 2) {
				typeof(report[0]) t = report[i];

				report[i] = report[i + 1];
				report[i + 1] = t;
			}
		for (size_t i = 0; i < n; i++) {
			/* Those who close are other threads than those who open. */
			struct ledger_at when = at(f, report[i].open ? PID : PID + 1);

			when.enter_ns = begin.time_ns - 1;
			if (report[i].open)
				open_at(f, when, 3, report[i].file);
			else
				ledger_fd_close(&f->l, &when, table(f), 3, 0, "close");
		}
		assert_file(f, 3, 0);
		assert_balances(f, 0);
		f->told[0] = '\0';
	}
	assert_int_equal(count(f)->made, count(f)->closed);
}

/* ---- tables ---- */

static void fork_process(struct fixture *f, pid_t parent_tid, pid_t pid, uint64_t files,
			 uint64_t mm)
{
	const struct ledger_at when = at(f, parent_tid);
	const struct ledger_clone c = { .pid = pid, .tid = pid, .files_id = files, .mm_id = mm };

	assert_int_equal(ledger_clone(&f->l, &when, &c), 0);
}

static void test_clone__process_has_a_copy(void **state)
{
	struct fixture *f = *state;

	open_fd(f, 3, 1);
	fork_process(f, PID, 200, 0xf200, 0xa200);
	assert_int_equal(close_fd(f, 3, 0), 0);

	const struct ledger_fd *e = ledger_fd(ledger_table(&f->l, 0xf200), 3);

	assert_non_null(e);
	assert_true(e->inherited);
	assert_int_equal(e->object->refs, 1);

	const struct ledger_count *c = ledger_count(ledger_process(&f->l, 200), TEST_KIND);

	assert_int_equal(c->inherited, 1);
	assert_int_equal(c->made, 0);
	assert_int_equal(c->open, 1);
}

static void test_clone__thread_shares(void **state)
{
	struct fixture *f = *state;
	const struct ledger_at when = at(f, PID);
	const struct ledger_clone c = {
		.pid = PID, .tid = 101, .files_id = FILES, .mm_id = 0xa000
	};

	assert_int_equal(ledger_clone(&f->l, &when, &c), 0);
	assert_int_equal(table(f)->n_users, 2);
	assert_int_equal(ledger_process(&f->l, PID)->n_tasks, 2);
	assert_int_equal(ledger_count(ledger_process(&f->l, PID), "thread")->open, 1);
	assert_int_equal(ledger_count(ledger_process(&f->l, PID), "thread")->made, 1);

	const struct ledger_at end = at(f, 101);

	open_fd(f, 3, 1);
	assert_int_equal(ledger_task_exit(&f->l, &end), 0);
	assert_told(f, "+3.1 ");
	assert_int_equal(table(f)->n_users, 1);
	assert_int_equal(ledger_count(ledger_process(&f->l, PID), "thread")->open, 0);
	assert_int_equal(ledger_count(ledger_process(&f->l, PID), "thread")->closed, 1);
}

static void test_unshare__thread_gets_a_copy(void **state)
{
	struct fixture *f = *state;
	const struct ledger_at when = at(f, PID);
	const struct ledger_clone c = {
		.pid = PID, .tid = 101, .files_id = FILES, .mm_id = 0xa000
	};

	open_fd(f, 3, 1);
	assert_int_equal(ledger_clone(&f->l, &when, &c), 0);

	const struct ledger_at unshare = at(f, 101);

	assert_int_equal(ledger_use_table(&f->l, &unshare, ledger_task(&f->l, 101), 0xf101), 0);
	assert_int_equal(ledger_table(&f->l, 0xf101)->n_open, 1);
	assert_true(ledger_table(&f->l, 0xf101)->unsure);

	/* Its end closes the copy alone. */
	f->told[0] = '\0';
	assert_int_equal(ledger_task_exit(&f->l, &unshare), 0);
	assert_told(f, "-3.1exit ");
	assert_file(f, 3, 1);
}

static void test_table__shared_by_processes_outlives_its_owner(void **state)
{
	struct fixture *f = *state;
	const struct ledger_at end = at(f, PID);

	open_fd(f, 3, 1);
	fork_process(f, PID, 200, FILES, 0xa200);
	f->told[0] = '\0';
	assert_int_equal(ledger_task_exit(&f->l, &end), 0);
	assert_int_equal(ledger_process_exit(&f->l, &end, 0), 0);
	assert_told(f, "");
	assert_int_equal(table(f)->owner->pid, 200);
	assert_int_equal(ledger_count(table(f)->owner, TEST_KIND)->open, 1);
}

static void test_exec__closes_what_is_marked(void **state)
{
	struct fixture *f = *state;
	struct ledger_at when;

	open_fd(f, 3, 1);
	open_fd(f, 4, 2);
	when = at(f, PID);
	ledger_fd_cloexec(&f->l, &when, table(f), 4, true);
	const struct ledger_timer timer = { .id = 1, .made_ns = 1 };

	ledger_timer_set(ledger_process(&f->l, PID), 1, &timer);
	f->told[0] = '\0';
	assert_int_equal(ledger_exec(&f->l, &when, PID, FILES, 0xa001), 0);
	assert_told(f, "-4.2exec ");
	assert_file(f, 3, 1);
	assert_int_equal(ledger_process(&f->l, PID)->n_timers, 0);
	assert_int_equal(ledger_process(&f->l, PID)->mm->mm_id, 0xa001);
	assert_null(ledger_mm(&f->l, 0xa000));
}

static void test_exec__by_another_thread_takes_the_number(void **state)
{
	struct fixture *f = *state;
	const struct ledger_at when = at(f, PID);
	const struct ledger_clone c = {
		.pid = PID, .tid = 101, .files_id = FILES, .mm_id = 0xa000
	};

	open_fd(f, 3, 1);
	assert_int_equal(ledger_clone(&f->l, &when, &c), 0);
	f->told[0] = '\0';
	assert_int_equal(ledger_exec(&f->l, &when, 101, FILES, 0xa001), 0);
	assert_null(ledger_task(&f->l, 101));
	assert_int_equal(ledger_process(&f->l, PID)->n_tasks, 1);
	assert_int_equal(ledger_task(&f->l, PID)->tid, PID);
	assert_int_equal(table(f)->n_users, 1);
	assert_told(f, "");
}

static void test_exec__unshares_a_table(void **state)
{
	struct fixture *f = *state;

	open_fd(f, 3, 1);
	fork_process(f, PID, 200, FILES, 0xa000);

	struct ledger_at when = at(f, 200);

	when.pid = 200;
	assert_int_equal(ledger_exec(&f->l, &when, 200, 0xf200, 0xa200), 0);
	assert_int_equal(table(f)->n_users, 1);
	assert_int_equal(ledger_table(&f->l, 0xf200)->n_open, 1);
}

static void test_exit__closes_all(void **state)
{
	struct fixture *f = *state;
	const struct ledger_at end = at(f, PID);

	open_fd(f, 3, 1);
	open_fd(f, 4, 1);
	f->told[0] = '\0';
	assert_int_equal(ledger_task_exit(&f->l, &end), 0);
	assert_int_equal(ledger_process_exit(&f->l, &end, 9), 0);
	assert_told(f, "-3.1exit -4.1exit ");
	assert_null(ledger_process(&f->l, PID));
	assert_int_equal(f->l.ended_first->exit_signal, 9);
	assert_int_equal(f->l.objects.n, 0);
}

static void test_exit__rows_do_not_grow(void **state)
{
	struct fixture *f = *state;

	for (pid_t pid = 1000; pid < 21000; pid++) {
		char comm[LEDGER_COMM_LEN];
		struct ledger_at end;

		fork_process(f, PID, pid, 0x10000 + (uint64_t)pid, 0x90000 + (uint64_t)pid);
		snprintf(comm, sizeof(comm), "job%d", pid % 200);
		ledger_rename(&f->l, pid, comm);
		end = at(f, pid);
		end.pid = pid;
		assert_int_equal(ledger_task_exit(&f->l, &end), 0);
		assert_int_equal(ledger_process_exit(&f->l, &end, 0), 0);
	}
	assert_int_equal(f->l.n_ended, LEDGER_ENDED_MAX);
	assert_int_equal(f->l.n_folded, LEDGER_FOLDED_MAX);
	uint64_t n = f->l.n_ended;

	for (size_t i = 0; i < f->l.n_folded; i++)
		n += f->l.folded[i]->n_folded;
	assert_int_equal(n, 20000);
	assert_int_equal(f->l.tables.n, 1);
	assert_true(f->l.tasks.size < 1024);
}

static void test_loss__unknown_things_are_no_harm(void **state)
{
	struct fixture *f = *state;
	struct ledger_at who = at(f, 777);
	uint64_t delay, bytes;
	const struct ledger_lock key = { .inode_id = 1, .owner_id = 2, .lock_class = 1 };

	who.pid = 777;
	assert_int_equal(ledger_task_exit(&f->l, &who), 0);
	assert_int_equal(ledger_process_exit(&f->l, &who, 0), 0);
	assert_int_equal(ledger_exec(&f->l, &who, 777, 1, 2), 0);
	ledger_rename(&f->l, 777, "x");
	ledger_signal_taken(&f->l, 1, 777, 777, 15, &delay);
	assert_int_equal(delay, 0);
	assert_int_equal(ledger_unlock(&f->l, &who, &key, 0, 10, &bytes), 0);
	assert_int_equal(bytes, 0);
	/* The end of a thread was lost: the process's takes it along. */
	const struct ledger_clone c = { .pid = PID, .tid = 101, .files_id = FILES };
	const struct ledger_at when = at(f, PID);

	assert_int_equal(ledger_clone(&f->l, &when, &c), 0);
	assert_int_equal(ledger_task_exit(&f->l, &when), 0);
	assert_int_equal(ledger_process_exit(&f->l, &when, 0), 0);
	assert_null(ledger_task(&f->l, 101));
	assert_null(table(f));
}

/* ---- areas ---- */

static struct range range(uint64_t start, uint64_t end, uint32_t flags)
{
	return (struct range){ .start = start, .end = end, .flags = flags };
}

static void put(struct ranges *rs, uint64_t start, uint64_t end, uint32_t flags)
{
	const struct range r = range(start, end, flags);

	assert_int_equal(ranges_put(rs, &r), 0);
}

static void assert_ranges(const struct ranges *rs, const char *what)
{
	struct range_cursor c = { 0 };
	const struct range *r;
	char text[256] = "";
	uint64_t bytes = 0;
	size_t n = 0;

	while ((r = ranges_next(rs, &c))) {
		size_t len = strlen(text);

		snprintf(text + len, sizeof(text) - len, "%d-%d:%d%s ", (int)r->start, (int)r->end,
			 (int)r->flags, r->file.ino ? "f" : "");
		bytes += r->end - r->start;
		n++;
	}
	assert_string_equal(text, what);
	assert_int_equal(rs->bytes, bytes);
	assert_int_equal(rs->n, n);
}

static void test_ranges__merge_and_split(void **state)
{
	struct ranges rs = { 0 };
	uint64_t bytes;

	(void)state;
	put(&rs, 10, 20, 3);
	put(&rs, 30, 40, 3);
	assert_ranges(&rs, "10-20:3 30-40:3 ");
	put(&rs, 20, 30, 3);
	assert_ranges(&rs, "10-40:3 ");
	put(&rs, 15, 18, 1);
	assert_ranges(&rs, "10-15:3 15-18:1 18-40:3 ");
	assert_int_equal(ranges_change(&rs, 0, 100, RANGE_PROT, 1), 0);
	assert_ranges(&rs, "10-40:1 ");
	assert_int_equal(ranges_cut(&rs, 20, 25, &bytes), 0);
	assert_int_equal(bytes, 5);
	assert_ranges(&rs, "10-20:1 25-40:1 ");
	assert_int_equal(ranges_cut(&rs, 0, 100, &bytes), 0);
	assert_int_equal(bytes, 25);
	assert_ranges(&rs, "");
	ranges_done(&rs);
}

static void test_ranges__files_merge_when_they_go_on(void **state)
{
	struct ranges rs = { 0 };
	struct range r = { .start = 10, .end = 20, .flags = 1, .file = { 7, 8, 1 }, .offset = 100 };

	(void)state;
	assert_int_equal(ranges_put(&rs, &r), 0);
	r = (struct range){
		.start = 20, .end = 30, .flags = 1, .file = { 7, 8, 1 }, .offset = 110
	};
	assert_int_equal(ranges_put(&rs, &r), 0);
	assert_ranges(&rs, "10-30:1f ");
	r.start = 30;
	r.end = 40;
	r.offset = 0;
	assert_int_equal(ranges_put(&rs, &r), 0);
	assert_ranges(&rs, "10-30:1f 30-40:1f ");
	assert_int_equal(ranges_cut(&rs, 12, 15, NULL), 0);
	assert_int_equal(ranges_at(&rs, 16)->offset, 105);
	ranges_done(&rs);
}

static void test_ranges__move(void **state)
{
	struct ranges rs = { 0 };

	(void)state;
	put(&rs, 10, 20, 1);
	put(&rs, 20, 30, 3);
	assert_int_equal(ranges_move(&rs, 15, 25, 100, false), 0);
	assert_ranges(&rs, "10-15:1 25-30:3 100-105:1 105-110:3 ");
	assert_int_equal(ranges_move(&rs, 100, 110, 105, true), 0);
	assert_ranges(&rs, "10-15:1 25-30:3 100-110:1 110-115:3 ");
	ranges_done(&rs);
}

/* Against an array of bytes, which cannot be wrong. */
static void test_ranges__as_an_array(void **state)
{
	enum { SPAN = 3000 };

	static uint8_t truth[SPAN];
	struct ranges rs = { 0 }, copy = { 0 };
	unsigned int seed = 7;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		uint64_t a = (uint64_t)rand_r(&seed) % SPAN, b = (uint64_t)rand_r(&seed) % 40;
		uint32_t flags = 1 + (uint32_t)rand_r(&seed) % 3;

		b = a + b > SPAN ? SPAN : a + b;
		if (rand_r(&seed) % 3) {
			put(&rs, a, b, flags);
			memset(truth + a, (int)flags, b - a);
		} else {
			assert_int_equal(ranges_cut(&rs, a, b, NULL), 0);
			memset(truth + a, 0, b - a);
		}
	}
	assert_int_equal(ranges_copy(&copy, &rs), 0);
	ranges_done(&rs);
	for (uint64_t i = 0; i < SPAN; i++) {
		const struct range *r = ranges_at(&copy, i);

		assert_int_equal(r && r->start <= i ? r->flags : 0, truth[i]);
		/* Neighbours that are alike are one. */
		if (r && r->end == i + 1 && i + 1 < SPAN)
			assert_int_not_equal(truth[i], truth[i + 1]);
	}
	ranges_done(&copy);
}

static void test_ranges__sixty_thousand_from_above(void **state)
{
	struct ranges rs = { 0 };

	(void)state;
	for (uint64_t i = 60000; i > 0; i--)
		put(&rs, i * 10, i * 10 + 10, i % 2 ? 1 : 3);
	assert_int_equal(rs.n, 60000);
	assert_int_equal(ranges_cut(&rs, 0, ~0ULL, NULL), 0);
	assert_int_equal(rs.n_chunks, 0);
	ranges_done(&rs);
}

static void test_mm__copy_of_a_fork(void **state)
{
	struct fixture *f = *state;

	put(&ledger_process(&f->l, PID)->mm->areas, 10, 20, 1);
	fork_process(f, PID, 200, 0xf200, 0xa200);
	assert_ranges(&ledger_mm(&f->l, 0xa200)->areas, "10-20:1 ");
	ranges_cut(&ledger_mm(&f->l, 0xa200)->areas, 0, 15, NULL);
	assert_ranges(&ledger_mm(&f->l, 0xa000)->areas, "10-20:1 ");
	/* vfork(2): the same one. */
	fork_process(f, PID, 300, 0xf300, 0xa000);
	assert_int_equal(ledger_mm(&f->l, 0xa000)->n_users, 2);
}

static void test_mm__touches_are_bounded(void **state)
{
	struct fixture *f = *state;
	struct ledger_mm *mm = ledger_process(&f->l, PID)->mm;

	ledger_mm_touch(&f->l, mm, 1, 0, 1);
	assert_int_equal(mm->touched.n, 0);
	f->l.audit_ns = 100;
	ledger_mm_touch(&f->l, mm, 99, 0, 1);
	assert_int_equal(mm->touched.n, 0);
	for (uint64_t i = 0; i < LEDGER_TOUCHES_MAX + 10; i++)
		ledger_mm_touch(&f->l, mm, 100 + i, 2 * i, 2 * i + 1);
	assert_true(mm->touch_all);
	ledger_mm_forget_touches(mm);
	assert_false(mm->touch_all);
	assert_int_equal(mm->touched.n, 0);
}

/* ---- timers, locks ---- */

static void test_timer__set_and_delete(void **state)
{
	struct fixture *f = *state;
	struct ledger_process *p = ledger_process(&f->l, PID);

	for (int i = 0; i < 100; i++) {
		const struct ledger_timer t = { .id = (i * 37) % 100, .made_ns = 1 };

		assert_int_equal(ledger_timer_set(p, 1, &t), 0);
	}
	for (int i = 0; i < 100; i++)
		assert_int_equal(p->timer[i].id, i);
	for (int i = 0; i < 100; i += 2)
		ledger_timer_delete(p, 2, i);
	ledger_timer_delete(p, 2, 1000);
	assert_int_equal(p->n_timers, 50);
	assert_null(ledger_timer(p, 4));
	assert_non_null(ledger_timer(p, 5));
	assert_int_equal(ledger_count(p, "timer")->open, 50);
}

static void test_lock__ranges_and_owners(void **state)
{
	struct fixture *f = *state;
	const struct ledger_at when = at(f, PID);
	const struct ledger_lock a = { .inode_id = 1, .owner_id = 2, .lock_class = 1 };
	const struct ledger_lock b = { .inode_id = 1, .owner_id = 3, .lock_class = 1 };
	uint64_t bytes;

	assert_int_equal(ledger_lock(&f->l, &when, &a, 0, 9, true), 0);
	assert_int_equal(ledger_lock(&f->l, &when, &b, 20, INT64_MAX, false), 0);
	assert_int_equal(ledger_lock(&f->l, &when, &a, 4, 5, false), 0);
	assert_int_equal(ledger_lock_of(&f->l, &a)->ranges.n, 3);
	assert_int_equal(ledger_unlock(&f->l, &when, &a, 0, INT64_MAX, &bytes), 0);
	assert_int_equal(bytes, 10);
	assert_null(ledger_lock_of(&f->l, &a));
	assert_non_null(ledger_lock_of(&f->l, &b));
	/* Closing a descriptor gives up what is not there. */
	assert_int_equal(ledger_unlock(&f->l, &when, &a, 0, INT64_MAX, &bytes), 0);
	assert_int_equal(bytes, 0);
	/* While an audit looks, a row stays. */
	f->l.audit_ns = 1;
	assert_int_equal(ledger_unlock(&f->l, &when, &b, 0, INT64_MAX, &bytes), 0);
	assert_non_null(ledger_lock_of(&f->l, &b));
	ledger_lock_forget(&f->l, ledger_lock_of(&f->l, &b));
	assert_int_equal(f->l.locks.n, 0);
}

/* ---- signals ---- */

static void send_signal(struct fixture *f, uint64_t time_ns, pid_t tid, int signo,
			enum ledger_result result)
{
	assert_int_equal(ledger_signal_sent(&f->l, time_ns, PID, tid, signo, result, false), 0);
}

static uint64_t take(struct fixture *f, uint64_t time_ns, pid_t tid, int signo)
{
	uint64_t delay;

	ledger_signal_taken(&f->l, time_ns, PID, tid, signo, &delay);
	return delay;
}

static void test_signal__time_to_delivery(void **state)
{
	struct fixture *f = *state;

	send_signal(f, 1000, 0, 10, LEDGER_QUEUED);
	assert_int_equal(take(f, 1500, PID, 10), 500);
	/* Nobody sent it, as far as we know. */
	assert_int_equal(take(f, 1600, PID, 10), 0);
	/* A thread's own before that of all. */
	send_signal(f, 2000, 0, 12, LEDGER_QUEUED);
	send_signal(f, 2100, 101, 12, LEDGER_QUEUED);
	assert_int_equal(take(f, 2200, 101, 12), 100);
	assert_int_equal(take(f, 2300, 101, 12), 300);
	assert_int_equal(f->l.signal[12].delivered, 2);
	assert_int_equal(f->l.signal[12].timed, 2);
	assert_int_equal(f->l.signal[12].max_ns, 300);
}

static void test_signal__results_are_counted(void **state)
{
	struct fixture *f = *state;

	send_signal(f, 1, 0, 10, LEDGER_DISCARDED);
	send_signal(f, 2, 0, 10, LEDGER_QUEUED);
	send_signal(f, 3, 0, 10, LEDGER_ALREADY_PENDING);
	send_signal(f, 4, 0, 10, LEDGER_OVERFLOW);
	send_signal(f, 5, 0, 0, LEDGER_QUEUED);
	send_signal(f, 5, 0, 65, LEDGER_QUEUED);
	send_signal(f, 5, 0, -1, LEDGER_QUEUED);
	assert_int_equal(f->l.signal[10].generated, 4);
	assert_int_equal(f->l.signal[10].ignored, 1);
	assert_int_equal(f->l.signal[10].pending, 1);
	assert_int_equal(f->l.signal[10].lost, 1);
	assert_int_equal(take(f, 10, PID, 10), 8);
}

static void test_signal__real_time_ones_queue(void **state)
{
	struct fixture *f = *state;

	for (uint64_t i = 0; i < 100; i++)
		send_signal(f, i, 0, 40, LEDGER_QUEUED);
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(take(f, 1000, PID, 40), 1000 - i);
	/* More than are remembered: no harm. */
	for (uint64_t i = 0; i < 10000; i++)
		send_signal(f, i, 0, 40, LEDGER_QUEUED);
	assert_int_equal(take(f, 20000, PID, 40), 20000 - (10000 - 4096));
}

static void test_signal__quantiles(void **state)
{
	struct fixture *f = *state;
	const struct ledger_signal *s = &f->l.signal[10];

	for (uint64_t i = 1; i <= 1000; i++) {
		send_signal(f, 1000000, 0, 10, LEDGER_QUEUED);
		take(f, 1000000 + i * 1000, PID, 10);
	}
	assert_in_range(ledger_signal_quantile(s, 0.5), 500000 * 15 / 16, 500000 * 17 / 16);
	assert_in_range(ledger_signal_quantile(s, 0.99), 990000 * 15 / 16, 1000000);
	assert_int_equal(ledger_signal_quantile(s, 1.0), 1000000);
	assert_int_equal(ledger_signal_quantile(&f->l.signal[11], 0.5), 0);
	/* The longest of all has a bucket, too. */
	send_signal(f, 0, 0, 13, LEDGER_QUEUED);
	take(f, UINT64_MAX, PID, 13);
	assert_int_equal(ledger_signal_quantile(&f->l.signal[13], 0.5), UINT64_MAX);
}

/* ---- idmap ---- */

static void test_idmap__as_an_array(void **state)
{
	static uint8_t here[4096];
	static char value;
	struct idmap m = { 0 };
	unsigned int seed = 3;
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		uint64_t id = (uint64_t)rand_r(&seed) % 4096;

		if (rand_r(&seed) % 100 < (i < 100000 ? 60 : 30)) {
			n += !here[id];
			here[id] = 1;
			assert_int_equal(idmap_put(&m, id << 6, &value), 0);
		} else {
			assert_int_equal(idmap_remove(&m, id << 6) != NULL, here[id]);
			n -= here[id];
			here[id] = 0;
		}
	}
	assert_int_equal(m.n, n);
	for (uint64_t id = 0; id < 4096; id++)
		assert_int_equal(idmap_get(&m, id << 6) != NULL, here[id]);
	for (uint64_t id = 0; id < 4096; id++)
		idmap_remove(&m, id << 6);
	assert_int_equal(m.n, 0);
	assert_true(m.size <= 32);
	idmap_done(&m);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_fd__open_and_close),
		TEST(test_fd__close_is_reported_after_the_next_open),
		TEST(test_fd__two_closes_are_owed),
		TEST(test_fd__a_thread_does_not_close_before_it_opens),
		TEST(test_fd__what_was_lost_is_not_waited_for),
		TEST(test_fd__close_is_reported_before_its_open),
		TEST(test_fd__an_old_close_of_nothing_is_not_the_next_opens),
		TEST(test_fd__three_threads_and_one_number),
		TEST(test_fd__dup2_closes_what_was_there),
		TEST(test_fd__dup2_where_a_close_is_to_be_reported),
		TEST(test_fd__number_that_cannot_be),
		TEST(test_fd__large_numbers_are_not_many),
		TEST(test_fd__same_object_has_one_number),
		TEST(test_fd__address_used_again_is_another_object),
		TEST(test_fd__close_range),
		TEST(test_fd__snapshot_then_its_report),
		TEST(test_fd__snapshot_then_a_close_of_what_was_before),
		TEST(test_fd__made_is_told_who_and_when),
		TEST(test_fd__random_order),
		TEST(test_clone__process_has_a_copy),
		TEST(test_clone__thread_shares),
		TEST(test_unshare__thread_gets_a_copy),
		TEST(test_table__shared_by_processes_outlives_its_owner),
		TEST(test_exec__closes_what_is_marked),
		TEST(test_exec__by_another_thread_takes_the_number),
		TEST(test_exec__unshares_a_table),
		TEST(test_exit__closes_all),
		TEST(test_exit__rows_do_not_grow),
		TEST(test_loss__unknown_things_are_no_harm),
		TEST(test_ranges__merge_and_split),
		TEST(test_ranges__files_merge_when_they_go_on),
		TEST(test_ranges__move),
		TEST(test_ranges__as_an_array),
		TEST(test_ranges__sixty_thousand_from_above),
		TEST(test_mm__copy_of_a_fork),
		TEST(test_mm__touches_are_bounded),
		TEST(test_timer__set_and_delete),
		TEST(test_lock__ranges_and_owners),
		TEST(test_signal__time_to_delivery),
		TEST(test_signal__results_are_counted),
		TEST(test_signal__real_time_ones_queue),
		TEST(test_signal__quantiles),
		TEST(test_idmap__as_an_array),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
