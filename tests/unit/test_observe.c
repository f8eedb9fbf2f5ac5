// SPDX-License-Identifier: LGPL-2.1-or-later
/* The audit finds whatever is wrong in the books: each case puts one thing wrong, and asks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "observe.h"

/* What the child has, by number. */
#define FD_FILE	   100
#define FD_CONNECT 101
#define FD_ACCEPT  102
#define FD_LISTEN  103
#define AREA	   0x500000000000ULL
#define AREA_LEN   65536

static struct ckpt_session *session;

static void need(bool good)
{
	if (!good)
		_exit(1);
}

static void have_connection(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0), s;

	need(bind(l, (void *)&a, len) == 0 && listen(l, 1) == 0 &&
	     getsockname(l, (void *)&a, &len) == 0 && connect(c, (void *)&a, len) == 0);
	s = accept(l, NULL, NULL);
	need(s >= 0 && dup2(c, FD_CONNECT) >= 0 && dup2(s, FD_ACCEPT) >= 0 &&
	     dup2(l, FD_LISTEN) >= 0);
	close(l);
	close(c);
	close(s);
}

static void *idle(void *unused)
{
	for (;;)
		pause();
	return unused;
}

static _Noreturn void child(int ready)
{
	struct flock lock = { .l_type = F_WRLCK, .l_len = 100 };
	struct sigevent ev = { .sigev_notify = SIGEV_NONE };
	pthread_t thread;
	timer_t timer;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	need(dup2(memfd_create("file", 0), FD_FILE) >= 0);
	need(fcntl(FD_FILE, F_SETLK, &lock) == 0 &&
	     timer_create(CLOCK_MONOTONIC, &ev, &timer) == 0);
	need(mmap((void *)AREA, AREA_LEN, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == (void *)AREA);
	have_connection();
	need(pthread_create(&thread, NULL, idle, NULL) == 0 && write(ready, "r", 1) == 1);
	idle(NULL);
	_exit(1);
}

static pid_t start(void)
{
	int ready[2];
	pid_t pid;
	char byte;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child(ready[1]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

/* ---- what is put wrong ---- */

static struct ledger_table *table_of(struct ckpt_observe *o, pid_t pid)
{
	return ledger_process(&o->ledger, pid)->tasks->table;
}

static struct ledger_object *object_at(struct ckpt_observe *o, pid_t pid, int fd)
{
	const struct ledger_fd *e = ledger_fd(table_of(o, pid), fd);

	assert_non_null(e);
	return e->object;
}

static void fd_gone(struct ckpt_observe *o, pid_t pid)
{
	assert_int_equal(ledger_fd_set(&o->ledger, table_of(o, pid), FD_FILE, NULL, false), 0);
}

static void fd_too_many(struct ckpt_observe *o, pid_t pid)
{
	const struct ledger_file f = { .file_id = 64, .inode_id = 64, .kind = "regular" };

	assert_int_equal(ledger_fd_set(&o->ledger, table_of(o, pid), 200, &f, false), 0);
}

static void fd_of_another(struct ckpt_observe *o, pid_t pid)
{
	const struct ledger_file f = { .file_id = 64, .inode_id = 64, .kind = "regular" };

	assert_int_equal(ledger_fd_set(&o->ledger, table_of(o, pid), FD_FILE, &f, false), 0);
}

static void fd_cloexec(struct ckpt_observe *o, pid_t pid)
{
	const struct ledger_at at = { .pid = pid, .tid = pid };

	assert_int_equal(ledger_fd_cloexec(&o->ledger, &at, table_of(o, pid), FD_FILE, true), 0);
}

static void state_of_connected(struct ckpt_observe *o, pid_t pid)
{
	assert_int_equal(object_at(o, pid, FD_CONNECT)->sock_state, TCP_ESTABLISHED);
	object_at(o, pid, FD_CONNECT)->sock_state = TCP_CLOSE_WAIT;
}

static void state_of_accepted(struct ckpt_observe *o, pid_t pid)
{
	assert_int_equal(object_at(o, pid, FD_ACCEPT)->sock_state, TCP_ESTABLISHED);
	object_at(o, pid, FD_ACCEPT)->sock_state = TCP_FIN_WAIT1;
}

static void state_of_listening(struct ckpt_observe *o, pid_t pid)
{
	assert_int_equal(object_at(o, pid, FD_LISTEN)->sock_state, TCP_LISTEN);
	object_at(o, pid, FD_LISTEN)->sock_state = TCP_CLOSE;
}

static void area_gone(struct ckpt_observe *o, pid_t pid)
{
	struct ledger_mm *mm = ledger_process(&o->ledger, pid)->mm;

	assert_int_equal(ranges_cut(&mm->areas, AREA, AREA + 4096, NULL), 0);
}

static void area_too_many(struct ckpt_observe *o, pid_t pid)
{
	const struct range r = { .start = AREA + AREA_LEN,
				 .end = AREA + AREA_LEN + 4096,
				 .flags = RANGE_READ };

	assert_int_equal(ranges_put(&ledger_process(&o->ledger, pid)->mm->areas, &r), 0);
}

static void area_protection(struct ckpt_observe *o, pid_t pid)
{
	struct ledger_mm *mm = ledger_process(&o->ledger, pid)->mm;

	assert_int_equal(ranges_change(&mm->areas, AREA, AREA + AREA_LEN, RANGE_WRITE, 0), 0);
}

static void timer_gone(struct ckpt_observe *o, pid_t pid)
{
	struct ledger_process *p = ledger_process(&o->ledger, pid);

	assert_int_equal(p->n_timers, 1);
	ledger_timer_delete(p, 0, p->timer[0].id);
}

static void lock_gone(struct ckpt_observe *o, pid_t pid)
{
	(void)pid;
	idmap_each(&o->ledger.locks, s)
	{
		ranges_done(&((struct ledger_lock *)s->value)->ranges);
		return;
	}
	fail_msg("the lock is not known");
}

static void thread_gone(struct ckpt_observe *o, pid_t pid)
{
	for (struct ledger_task *t = ledger_process(&o->ledger, pid)->tasks; t; t = t->next) {
		const struct ledger_at at = { .pid = pid, .tid = t->tid };

		if (t->tid == pid)
			continue;
		assert_int_equal(ledger_task_exit(&o->ledger, &at), 0);
		return;
	}
	fail_msg("there is no thread");
}

static void thread_too_many(struct ckpt_observe *o, pid_t pid)
{
	const struct ledger_at at = { .pid = pid, .tid = pid };
	struct ledger_task *t;

	/* One that cannot be: the kernel's numbers end before. */
	assert_int_equal(ledger_add_task(&o->ledger, &at, pid, 1 << 23, 1, "none", &t), 0);
}

/* ---- what is said ---- */

struct said {
	const char *what, *ledger, *kernel; /* parts of the difference that is looked for */
	size_t n;
	bool found;
	char text[2048];
};

static const char *text_of(const struct ckpt_member *object, const char *name)
{
	for (size_t i = 0; i < object->n; i++)
		if (!strcmp(object->member[i].name, name))
			return object->member[i].text;
	return "";
}

static int note(void *userdata, const struct ckpt_event *e)
{
	const struct ckpt_member *d = ckpt_event_member(e, "differences");
	struct said *s = userdata;

	for (size_t i = 0; d && i < d->n; i++) {
		const char *what = text_of(&d->member[i], "what");
		const char *ledger = text_of(&d->member[i], "ledger");
		const char *kernel = text_of(&d->member[i], "kernel");
		size_t len = strlen(s->text);

		s->n++;
		s->found |= s->what && strstr(what, s->what) && strstr(ledger, s->ledger) &&
			    strstr(kernel, s->kernel);
		snprintf(s->text + len, sizeof(s->text) - len, "[%s: %s, %s]", what, ledger,
			 kernel);
	}
	return 0;
}

static void must_find(void (*wrong)(struct ckpt_observe *o, pid_t pid), const char *what,
		      const char *ledger, const char *kernel)
{
	struct said before = { 0 }, after = { .what = what, .ledger = ledger, .kernel = kernel };
	pid_t pid = start();
	const struct ckpt_observe_opts opts = { .size = sizeof(opts), .pids = &pid, .n_pids = 1 };
	struct ckpt_observe *o = NULL;
	struct ckpt_err *err = NULL;
	bool balanced = false;

	if (ckpt_observe_open(session, &opts, &o, &err) < 0)
		fail_msg("%s", ckpt_err_text(err));
	assert_int_equal(ckpt_observe_audit(o, note, &before, &balanced, &err), 0);
	if (!balanced || before.n)
		fail_msg("the books are wrong to begin with: %s", before.text);
	wrong(o, pid);
	assert_int_equal(ckpt_observe_audit(o, note, &after, &balanced, &err), 0);
	if (balanced || !after.found || after.n != 1)
		fail_msg("balanced %d, %zu differences: %s", balanced, after.n, after.text);
	ckpt_observe_close(o);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_audit__descriptors(void **state)
{
	(void)state;
	must_find(fd_gone, "fd 100", "free", "memfd");
	must_find(fd_too_many, "fd 200", "regular", "free");
	must_find(fd_of_another, "fd 100", "regular", "memfd");
	must_find(fd_cloexec, "fd 100", "close-on-exec", "memfd");
}

static void test_audit__states_of_connections(void **state)
{
	(void)state;
	must_find(state_of_connected, "fd 101", "CLOSE_WAIT", "ESTABLISHED");
	must_find(state_of_accepted, "fd 102", "FIN_WAIT1", "ESTABLISHED");
	must_find(state_of_listening, "fd 103", "CLOSE", "LISTEN");
}

static void test_audit__areas(void **state)
{
	(void)state;
	must_find(area_gone, "500000000000", "", "rw-");
	must_find(area_too_many, "500000010000", "r--", "");
	must_find(area_protection, "500000000000", "r--", "rw-");
}

static void test_audit__others(void **state)
{
	(void)state;
	must_find(timer_gone, "timer", "", "");
	must_find(lock_gone, "lock", "", "");
	must_find(thread_gone, "thread", "none", "runs");
	must_find(thread_too_many, "thread 8388608", "runs", "none");
}

static int setup(void **state)
{
	struct ckpt_err *err = NULL;

	(void)state;
	if (ckpt_session_new(&session, &err) == 0)
		return 0;
	fprintf(stderr, "%s\n", ckpt_err_text(err));
	return -1;
}

static int teardown(void **state)
{
	(void)state;
	ckpt_session_free(session);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_audit__descriptors),
		cmocka_unit_test(test_audit__states_of_connections),
		cmocka_unit_test(test_audit__areas),
		cmocka_unit_test(test_audit__others),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
