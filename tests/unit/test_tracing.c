// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What tracing tells of tasks and signals, against what these did; who is observed, and losses. A
 * child does the thing that a case is about, and ends; then all its records are there, in order,
 * and are compared exactly. Needs root.
 */
#include "traced.h"

/* --- tasks ------------------------------------------------------------------------------ */

static void make_children(struct told *t)
{
	pid_t pid = fork();

	CHECK_CHILD(pid >= 0);
	if (pid == 0)
		_exit(7);
	t->value[0] = (uint64_t)pid;
	CHECK_CHILD(waitpid(pid, NULL, 0) == pid);
	pid = vfork();
	if (pid == 0)
		_exit(8);
	t->value[1] = (uint64_t)pid;
	CHECK_CHILD(waitpid(pid, NULL, 0) == pid);
	pid = fork();
	if (pid == 0) {
		kill(getpid(), SIGTERM);
		for (;;)
			pause();
	}
	t->value[2] = (uint64_t)pid;
	CHECK_CHILD(waitpid(pid, NULL, 0) == pid);
	_exit(9);
}

static void check_end(struct run *r, pid_t pid, int status)
{
	struct copy *c = next_of(r, TRACE_EXIT, pid);

	assert_int_equal(c->exit->group_dead, 1);
	assert_int_equal(c->exit->group_code, status);
	assert_int_equal(c->head->tid, pid);
}

static void test_fork__each_child_and_its_end(void **state)
{
	struct tracing_options o = { .types = BIT(TRACE_FORK) | BIT(TRACE_EXIT) };
	struct copy *c;
	struct run r;

	(void)state;
	run_start(&r, &o, make_children);
	run_wait(&r);
	for (int i = 0; i < 3; i++) {
		const int status[] = { 7 << 8, 8 << 8, SIGTERM };
		pid_t child = (pid_t)r.told->value[i];

		c = NEXT(&r, TRACE_FORK);
		assert_int_equal(c->fork->child_pid, child);
		assert_int_equal(c->fork->child_tid, child);
		assert_int_equal(c->fork->exit_signal, SIGCHLD);
		assert_int_equal(c->fork->real_parent, r.pid);
		assert_int_equal(c->fork->worker, 0);
		assert_string_equal(c->head->comm, "traced");
		/* A copy of the descriptors; the address space only of fork(). */
		assert_true(c->fork->files_id != c->fork->parent_files_id);
		assert_int_equal(c->fork->mm_id == c->fork->parent_mm_id, i == 1);
		check_end(&r, child, status[i]);
	}
	check_end(&r, r.pid, 9 << 8);
	assert_int_equal(r.status, 9 << 8);
	run_done(&r);
}

static void *tell_tid(void *arg)
{
	struct told *t = arg;

	t->value[0] = (uint64_t)syscall(SYS_gettid);
	prctl(PR_SET_NAME, "worker");
	return NULL;
}

static void make_thread(struct told *t)
{
	pthread_t thread;

	CHECK_CHILD(pthread_create(&thread, NULL, tell_tid, t) == 0);
	CHECK_CHILD(pthread_join(thread, NULL) == 0);
}

static void test_fork__thread(void **state)
{
	struct copy *c;
	struct run r;
	pid_t tid;

	(void)state;
	run_types(&r, BIT(TRACE_FORK) | BIT(TRACE_EXIT) | BIT(TRACE_RENAME), make_thread);
	tid = (pid_t)r.told->value[0];
	c = NEXT(&r, TRACE_FORK);
	assert_int_equal(c->fork->child_pid, r.pid);
	assert_int_equal(c->fork->child_tid, tid);
	assert_true(c->fork->clone_flags & CLONE_THREAD);
	assert_int_equal(c->fork->exit_signal, -1);
	assert_int_equal(c->fork->files_id, c->fork->parent_files_id);
	c = NEXT(&r, TRACE_RENAME);
	assert_int_equal(c->head->tid, tid);
	assert_string_equal(c->head->comm, "traced");
	assert_string_equal(c->rename->to, "worker");
	c = NEXT(&r, TRACE_EXIT);
	assert_int_equal(c->head->tid, tid);
	assert_string_equal(c->head->comm, "worker");
	assert_int_equal(c->exit->group_dead, 0);
	check_end(&r, r.pid, 0);
	run_done(&r);
}

static void test_exec__path_and_words(void **state)
{
	static const char words[] = "true\0a b\0\0c";
	char path[4096];
	struct copy *c;
	struct run r;

	(void)state;
	run_types(&r, BIT(TRACE_EXEC) | BIT(TRACE_EXIT), exec_true);
	assert_non_null(realpath("/bin/true", path));
	c = NEXT(&r, TRACE_EXEC);
	assert_string_equal(c->path, path);
	assert_string_equal(c->head->comm, "true");
	assert_int_equal(c->argv_len, sizeof(words));
	assert_memory_equal(c->argv, words, sizeof(words));
	assert_int_equal(c->exec->old_tid, r.pid);
	assert_int_equal(c->exec->secure, 0);
	assert_int_equal(c->head->flags, 0);
	check_end(&r, r.pid, 0);
	run_done(&r);
}

static void *exec_from_thread(void *arg)
{
	tell_tid(arg);
	exec_true(arg);
	return NULL;
}

static void exec_in_thread(struct told *t)
{
	pthread_t thread;

	CHECK_CHILD(pthread_create(&thread, NULL, exec_from_thread, t) == 0);
	for (;;)
		pause();
}

static void test_exec__thread_takes_the_leaders_place(void **state)
{
	struct copy *c;
	struct run r;

	(void)state;
	run_types(&r, BIT(TRACE_FORK) | BIT(TRACE_EXEC) | BIT(TRACE_EXIT), exec_in_thread);
	NEXT(&r, TRACE_FORK);
	c = NEXT(&r, TRACE_EXIT); /* the leader is killed */
	assert_int_equal(c->exit->group_dead, 0);
	c = NEXT(&r, TRACE_EXEC);
	assert_int_equal(c->head->tid, r.pid);
	assert_int_equal(c->exec->old_tid, r.told->value[0]);
	check_end(&r, r.pid, 0);
	run_done(&r);
}

static void exec_long(struct told *t)
{
	char *word = malloc(100000);

	(void)t;
	memset(word, 'x', 99999);
	word[99999] = '\0';
	execl("/bin/true", "true", word, NULL);
	CHECK_CHILD(false);
}

static void test_exec__long_command_line_is_cut(void **state)
{
	struct copy *c;
	struct run r;

	(void)state;
	run_types(&r, BIT(TRACE_EXEC), exec_long);
	c = NEXT(&r, TRACE_EXEC);
	assert_int_equal(c->argv_len, TRACE_ARGV_MAX);
	assert_int_equal(c->head->flags, TRACE_F_CUT);
	assert_string_equal(c->argv, "true");
	assert_int_equal(strspn(c->argv + 5, "x"), TRACE_ARGV_MAX - 5);
	run_done(&r);
}

/* --- signals ---------------------------------------------------------------------------- */

static void on_signal(int signo)
{
	(void)signo;
}

static void use_signals(struct told *t)
{
	struct sigaction sa = { .sa_handler = on_signal };
	union sigval value = { .sival_int = 4711 };
	siginfo_t info;
	sigset_t set;

	t->value[0] = (uint64_t)(uintptr_t)on_signal;
	CHECK_CHILD(sigaction(SIGUSR1, &sa, NULL) == 0);
	CHECK_CHILD(kill(getpid(), SIGUSR1) == 0);
	signal(SIGUSR2, SIG_IGN);
	CHECK_CHILD(kill(getpid(), SIGUSR2) == 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	CHECK_CHILD(raise(SIGUSR1) == 0);
	CHECK_CHILD(raise(SIGUSR1) == 0);
	CHECK_CHILD(sigqueue(getpid(), SIGRTMIN, value) == 0);
	sigdelset(&set, SIGUSR1);
	CHECK_CHILD(sigwaitinfo(&set, &info) == SIGRTMIN && info.si_value.sival_int == 4711);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	signal(SIGCHLD, SIG_DFL);
}

static void check_sent(struct run *r, int signo, int code, unsigned int result,
		       unsigned int blocked, unsigned int action)
{
	const struct trace_signal *s = NEXT(r, TRACE_SIGNAL_GENERATE)->signal;

	assert_int_equal(s->signo, signo);
	assert_int_equal(s->code, code);
	assert_int_equal(s->sender_pid, r->pid);
	assert_int_equal(s->sender_uid, getuid());
	assert_int_equal(s->result, result);
	assert_int_equal(s->blocked, blocked);
	assert_int_equal(s->action, action);
	assert_int_equal(s->group, code != SI_TKILL);
}

static void test_signal__sent_blocked_ignored_delivered(void **state)
{
	const struct trace_signal *s;
	struct run r;

	(void)state;
	run_types(&r,
		  BIT(TRACE_SIGNAL_GENERATE) | BIT(TRACE_SIGNAL_DELIVER) | BIT(TRACE_SIGNAL_TAKE),
		  use_signals);
	check_sent(&r, SIGUSR1, SI_USER, TRACE_RESULT_DELIVERED, 0, TRACE_ACTION_HANDLER);
	s = NEXT(&r, TRACE_SIGNAL_DELIVER)->signal;
	assert_int_equal(s->signo, SIGUSR1);
	assert_int_equal(s->action, TRACE_ACTION_HANDLER);
	assert_int_equal(s->handler, r.told->value[0]);
	check_sent(&r, SIGUSR2, SI_USER, TRACE_RESULT_IGNORED, 0, TRACE_ACTION_IGNORE);
	check_sent(&r, SIGUSR1, SI_TKILL, TRACE_RESULT_DELIVERED, 1, TRACE_ACTION_HANDLER);
	check_sent(&r, SIGUSR1, SI_TKILL, TRACE_RESULT_ALREADY_PENDING, 1, TRACE_ACTION_HANDLER);
	check_sent(&r, SIGRTMIN, SI_QUEUE, TRACE_RESULT_DELIVERED, 1, TRACE_ACTION_DEFAULT);
	assert_int_equal((uint32_t)r.events[r.at - 1].signal->value, 4711);
	s = NEXT(&r, TRACE_SIGNAL_TAKE)->signal;
	assert_int_equal(s->signo, SIGRTMIN);
	s = NEXT(&r, TRACE_SIGNAL_DELIVER)->signal;
	assert_int_equal(s->signo, SIGUSR1);
	run_done(&r);
}

static volatile uintptr_t nowhere = 0x123;

static void segfault(struct told *t)
{
	pid_t pid = fork();

	CHECK_CHILD(pid >= 0);
	if (pid == 0) {
		*(volatile char *)nowhere = 1;
		_exit(0);
	}
	t->value[0] = (uint64_t)pid;
	CHECK_CHILD(waitpid(pid, NULL, 0) == pid);
}

static void test_signal__of_the_kernel(void **state)
{
	const struct trace_signal *s;
	struct run r;
	pid_t child;

	(void)state;
	run_types(&r, BIT(TRACE_SIGNAL_GENERATE) | BIT(TRACE_SIGNAL_DELIVER), segfault);
	child = (pid_t)r.told->value[0];
	s = next_of(&r, TRACE_SIGNAL_GENERATE, child)->signal;
	assert_int_equal(s->signo, SIGSEGV);
	assert_int_equal(s->code, SEGV_MAPERR);
	assert_int_equal(s->value, 0x123);
	assert_int_equal(s->sender_pid, 0);
	s = next_of(&r, TRACE_SIGNAL_DELIVER, child)->signal;
	assert_int_equal(s->signo, SIGSEGV);
	assert_int_equal(s->action, TRACE_ACTION_DEFAULT);
	s = NEXT(&r, TRACE_SIGNAL_GENERATE)->signal;
	assert_int_equal(s->signo, SIGCHLD);
	assert_int_equal(s->child_pid, child);
	assert_int_equal(s->result, TRACE_RESULT_IGNORED);
	run_done(&r);
}

/* --- who is observed, losses, stacks ---------------------------------------------------- */

/* Threads that are there before: each of them is observed. */
struct many {
	pthread_barrier_t start, end;
};

static void *open_in_thread(void *arg)
{
	struct many *m = arg;
	int fd;

	pthread_barrier_wait(&m->start);
	fd = open("/dev/zero", O_RDONLY);
	CHECK_CHILD(fd >= 0 && close(fd) == 0);
	pthread_barrier_wait(&m->end);
	return NULL;
}

#define N_THREADS 20

static void test_add__threads_that_are_there(void **state)
{
	struct tracing_options o = { .types = BIT(TRACE_FD_NEW) };
	struct run r = { 0 };
	int ready[2], go[2], pidfd;
	struct many m;
	char byte;

	(void)state;
	r.tracing = open_tracing(&o);
	assert_true(pipe2(ready, O_CLOEXEC) == 0 && pipe2(go, O_CLOEXEC) == 0);
	r.pid = fork();
	if (r.pid == 0) {
		pthread_t thread;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pthread_barrier_init(&m.start, NULL, N_THREADS + 1);
		pthread_barrier_init(&m.end, NULL, N_THREADS + 1);
		for (int i = 0; i < N_THREADS; i++)
			CHECK_CHILD(pthread_create(&thread, NULL, open_in_thread, &m) == 0);
		CHECK_CHILD(write(ready[1], "r", 1) == 1);
		close(go[1]);
		CHECK_CHILD(read(go[0], &byte, 1) == 0);
		pthread_barrier_wait(&m.start);
		pthread_barrier_wait(&m.end);
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	pidfd = (int)syscall(SYS_pidfd_open, r.pid, 0);
	assert_true(pidfd >= 0);
	assert_int_equal(tracing_add(r.tracing, pidfd, NULL), 0);
	close(go[1]);
	run_wait(&r);
	assert_int_equal(r.n, N_THREADS);
	for (size_t i = 0; i < r.n; i++) {
		assert_string_equal(r.events[i].path, "/dev/zero");
		for (size_t k = 0; k < i; k++)
			assert_int_not_equal(r.events[i].head->tid, r.events[k].head->tid);
	}
	r.at = r.n;
	close(pidfd);
	close(ready[0]);
	close(go[0]);
	run_done(&r);
}

static void test_add__what_cannot_be(void **state)
{
	struct tracing_options o = { 0 };
	struct tracing *t = open_tracing(&o);
	const struct tracing_missing *missing;
	struct loader_why why = { 0 };
	struct tracing_event e;
	pid_t pid;

	(void)state;
	assert_int_equal(tracing_add_pid(t, getpid(), &why), -EINVAL);
	assert_true(strstr(why.what, "observer") != NULL);
	pid = fork();
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(tracing_add_pid(t, pid, &why), -ESRCH);
	assert_int_equal(tracing_add(t, -1, &why), -ESRCH);
	assert_int_equal(tracing_next(t, &e), 0);
	assert_int_equal(tracing_ring_bytes(t), TRACING_RING_DEFAULT);
	/* Nothing is missing where all of this file can pass. */
	assert_int_equal(tracing_missing(t, &missing), 0);
	tracing_close(t);
	o.ring_bytes = (size_t)8 << 30;
	assert_int_equal(tracing_open(&o, &t, &why), -EINVAL);
	tracing_close(NULL);
}

static void open_fork_kill(struct told *t)
{
	int fd = open("/dev/null", O_RDONLY);
	pid_t pid = fork();

	(void)t;
	if (pid == 0)
		_exit(0);
	CHECK_CHILD(waitpid(pid, NULL, 0) == pid);
	signal(SIGUSR1, SIG_IGN);
	CHECK_CHILD(raise(SIGUSR1) == 0 && close(fd) == 0);
}

static bool has_type(const struct run *r, enum trace_type type)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->events[i].head->type == type)
			return true;
	return false;
}

/* A kernel that lacks a tracepoint: it is named, with what is not seen, and the rest is seen. */
static void test_missing__named_and_the_rest_works(void **state)
{
	static const struct {
		const char *tracepoint;
		enum trace_type lost; /* TRACE_NONE: nothing that the child does */
	} cases[] = {
		{ "task_newtask", TRACE_FORK },
		{ "task_rename", TRACE_NONE },
		{ "cgroup_attach_task", TRACE_NONE },
		{ "sched_process_exec", TRACE_NONE },
		{ "sched_process_exit", TRACE_EXIT },
		{ "signal_generate", TRACE_SIGNAL_GENERATE },
		{ "signal_deliver", TRACE_NONE },
		{ "inet_sock_set_state", TRACE_NONE },
		{ "tcp_destroy_sock", TRACE_NONE },
		{ "posix_lock_inode", TRACE_NONE },
		{ "flock_lock_inode", TRACE_NONE },
		{ "generic_add_lease", TRACE_NONE },
		{ "generic_delete_lease", TRACE_NONE },
		{ "io_uring_complete", TRACE_NONE },
		{ "sys_exit", TRACE_FD_NEW },
	};

	static const enum trace_type all[] = { TRACE_FORK, TRACE_EXIT, TRACE_SIGNAL_GENERATE,
					       TRACE_FD_NEW };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tracing_options o = { .without = cases[i].tracepoint };
		const struct tracing_missing *missing;
		struct run r;
		size_t n;

		run_start(&r, &o, open_fork_kill);
		run_wait(&r);
		assert_int_equal(r.status, 0);
		n = tracing_missing(r.tracing, &missing);
		assert_true(n > 0);
		for (size_t k = 0; k < n; k++) {
			assert_string_equal(missing[k].tracepoint, cases[i].tracepoint);
			assert_true(strlen(missing[k].what) > 0);
		}
		for (size_t k = 0; k < sizeof(all) / sizeof(all[0]); k++)
			if (has_type(&r, all[k]) != (all[k] != cases[i].lost))
				fail_msg("without %s: type %d", cases[i].tracepoint, all[k]);
		r.at = r.n;
		run_done(&r);
	}
}

static void open_often(struct told *t)
{
	int fd = -1;

	for (int i = 0; i < 2000; i++) {
		fd = open("/dev/null", O_RDONLY);
		CHECK_CHILD(fd >= 0 && close(fd) == 0);
	}
	t->value[0] = 2000;
}

/* Nobody reads while the child runs: what finds no room is counted, each record of it. */
static void test_lost__counted_exactly(void **state)
{
	struct tracing_options o = { .ring_bytes = 1,
				     .types = BIT(TRACE_FD_NEW) | BIT(TRACE_FD_CLOSE) };
	const struct tracing_lost *lost;
	size_t made = 0, closed = 0, before = 0, n;
	struct tracing_event e;
	struct run r;

	(void)state;
	run_start(&r, &o, open_often);
	assert_int_equal(waitpid(r.pid, &r.status, 0), r.pid);
	while (tracing_next(r.tracing, &e) > 0) {
		made += e.head->type == TRACE_FD_NEW;
		closed += e.head->type == TRACE_FD_CLOSE;
		before += e.lost_before; /* a small record may fit where a large one did not */
	}
	assert_true(made > 0 && made < 2000);
	n = tracing_lost(r.tracing, &lost);
	assert_int_equal(n, 2);
	assert_string_equal(lost[0].cause, "ring full: fd_new");
	assert_int_equal(made + lost[0].count, 2000);
	assert_int_equal(closed + lost[1].count, 2000);
	assert_true(before < lost[0].count + lost[1].count);
	munmap(r.told, sizeof(*r.told));
	tracing_close(r.tracing);
}

/* The reader makes room again: the next record tells how many are missing before it. */
static void open_in_two_parts(struct told *t)
{
	open_often(t);
	kill(getpid(), SIGSTOP);
	CHECK_CHILD(open("/dev/zero", O_RDONLY) >= 0);
}

static void test_lost__told_where_it_happened(void **state)
{
	struct tracing_options o = { .ring_bytes = 1, .types = BIT(TRACE_FD_NEW) };
	struct run r;
	size_t first;

	(void)state;
	run_start(&r, &o, open_in_two_parts);
	assert_int_equal(waitpid(r.pid, &r.status, WUNTRACED), r.pid);
	assert_true(WIFSTOPPED(r.status));
	drain(&r);
	first = r.n;
	assert_int_equal(r.lost, 0);
	assert_int_equal(kill(r.pid, SIGCONT), 0);
	run_wait(&r);
	assert_int_equal(r.n, first + 1);
	assert_string_equal(r.events[first].path, "/dev/zero");
	assert_int_equal(first + r.lost, 2000);
	for (size_t i = 0; i < r.n; i++) {
		free((void *)(uintptr_t)r.events[i].head);
		free(r.events[i].path);
	}
	free(r.events);
	munmap(r.told, sizeof(*r.told));
	tracing_close(r.tracing);
}

/* A place that is called from two others. */
static __attribute__((noinline)) int open_there(const char *path)
{
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY);

	CHECK_CHILD(fd >= 0);
	return fd;
}

static void open_from_places(struct told *t)
{
	for (int i = 0; i < 3; i++) {
		t->value[i] = (uint64_t)open_there("/dev/null");
		raise(SIGSTOP);
	}
}

static void wait_stopped(struct run *r)
{
	assert_int_equal(waitpid(r->pid, &r->status, WUNTRACED), r->pid);
	assert_true(WIFSTOPPED(r->status));
	drain(r);
}

/* A copy of the stack, and the descriptor that has it. */
static void check_sample(struct run *r, size_t n)
{
	const struct trace_stack *s;

	assert_int_equal(r->n, n);
	s = r->events[n - 2].stack;
	assert_int_equal(s->head.type, TRACE_STACK);
	assert_true(s->head.stack & TRACE_STACK_SAMPLE);
	assert_int_equal(r->events[n - 1].head->type, TRACE_FD_NEW);
	assert_int_equal(r->events[n - 1].head->stack, s->head.stack);
	/* This is a fork: the same code, and a stack that has not moved. */
	assert_in_range(s->regs[TRACE_REG_IP], (uintptr_t)syscall, (uintptr_t)syscall + 4096);
	assert_in_range(s->regs[TRACE_REG_SP], (uintptr_t)&s - (1 << 20),
			(uintptr_t)&s + (1 << 20));
	assert_in_range(s->n_bytes, 4096, TRACE_STACK_BYTES);
}

static void test_stack__is_copied_until_known(void **state)
{
	struct tracing_options o = { .types = BIT(TRACE_FD_NEW), .stacks = true };
	struct trace_stack_known known = { .id = 7, .n = 1 };
	const struct trace_stack *s;
	struct run r;

	(void)state;
	run_start(&r, &o, open_from_places);
	wait_stopped(&r);
	check_sample(&r, 2);
	s = r.events[0].stack;

	const struct trace_stack_key key = { .mm_id = s->mm_id,
					     .ip = s->regs[TRACE_REG_IP],
					     .sp = s->regs[TRACE_REG_SP] };

	memcpy(known.word, s + 1, 8);
	assert_int_equal(tracing_know_stack(r.tracing, &key, &known), 0);
	kill(r.pid, SIGCONT);
	wait_stopped(&r);
	assert_int_equal(r.n, 3);
	assert_int_equal(r.events[2].head->stack, 7);
	/* Not this one: a word is another. */
	known.word[0]++;
	assert_int_equal(tracing_know_stack(r.tracing, &key, &known), 0);
	kill(r.pid, SIGCONT);
	wait_stopped(&r);
	check_sample(&r, 5);
	kill(r.pid, SIGCONT);
	run_wait(&r);
	r.at = r.n;
	run_done(&r);
}

static void take_name(struct told *t)
{
	(void)t;
	CHECK_CHILD(prctl(PR_SET_NAME, "looked-for-name") == 0);
	CHECK_CHILD(open("/dev/null", O_RDONLY) >= 0);
}

/* Nobody adds it: it is observed from when it takes the name. */
static void test_appeared__by_name(void **state)
{
	const char *name = "looked-for-name";
	struct tracing_options o = { .types = BIT(TRACE_APPEARED) | BIT(TRACE_FD_NEW) |
					      BIT(TRACE_EXIT),
				     .names = &name,
				     .n_names = 1 };
	struct run r = { 0 };
	struct copy *c;

	(void)state;
	r.tracing = open_tracing(&o);
	r.pid = fork();
	if (r.pid == 0) {
		CHECK_CHILD(open("/dev/zero", O_RDONLY) >= 0);
		take_name(NULL);
		_exit(0);
	}
	run_wait(&r);
	c = NEXT(&r, TRACE_APPEARED);
	assert_int_equal(c->appeared->why, TRACE_WHY_NAME);
	assert_true(c->appeared->cgroup_id != 0);
	c = NEXT(&r, TRACE_FD_NEW);
	assert_string_equal(c->path, "/dev/null");
	check_end(&r, r.pid, 0);
	run_done(&r);
}

/* Write a process's number to where a cgroup takes members. */
static bool move_to(const char *cgroup, pid_t pid)
{
	char path[128], text[16];
	int fd, n = snprintf(text, sizeof(text), "%d", pid);
	bool done;

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	done = fd >= 0 && write(fd, text, (size_t)n) == n;
	if (fd >= 0)
		close(fd);
	return done;
}

/* A child that is moved into a cgroup below the one that is looked for, and opens a file then. */
static void run_in_cgroup(struct run *r, const char *cgroup, const char *below)
{
	struct tracing_options o = { .types = BIT(TRACE_APPEARED) | BIT(TRACE_FD_NEW) };
	struct stat st;
	uint64_t id;
	int go[2];
	char byte;

	assert_int_equal(stat(cgroup, &st), 0);
	id = st.st_ino;
	o.cgroups = &id;
	o.n_cgroups = 1;
	r->tracing = open_tracing(&o);
	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	r->pid = fork();
	if (r->pid == 0) {
		close(go[1]);
		CHECK_CHILD(read(go[0], &byte, 1) == 0);
		CHECK_CHILD(open("/dev/null", O_RDONLY) >= 0);
		_exit(0);
	}
	assert_true(move_to(below, r->pid));
	close(go[0]);
	close(go[1]);
	run_wait(r);
}

static void test_appeared__in_a_cgroup(void **state)
{
	char dir[] = "/tmp/test-tracing-XXXXXX", cgroup[64], below[80];
	struct run r = { 0 };
	struct copy *c;
	bool made;

	(void)state;
	assert_non_null(mkdtemp(dir));
	if (mount("none", dir, "cgroup2", 0, NULL) < 0) {
		rmdir(dir);
		skip();
	}
	snprintf(cgroup, sizeof(cgroup), "%s/test-tracing-%d", dir, getpid());
	snprintf(below, sizeof(below), "%s/below", cgroup);
	made = mkdir(cgroup, 0755) == 0 && mkdir(below, 0755) == 0;
	if (made)
		run_in_cgroup(&r, cgroup, below);
	rmdir(below);
	rmdir(cgroup);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
	if (!made)
		skip();
	c = NEXT(&r, TRACE_APPEARED);
	assert_int_equal(c->appeared->why, TRACE_WHY_CGROUP);
	c = NEXT(&r, TRACE_FD_NEW);
	assert_string_equal(c->path, "/dev/null");
	run_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fork__each_child_and_its_end),
		cmocka_unit_test(test_fork__thread),
		cmocka_unit_test(test_exec__path_and_words),
		cmocka_unit_test(test_exec__thread_takes_the_leaders_place),
		cmocka_unit_test(test_exec__long_command_line_is_cut),
		cmocka_unit_test(test_signal__sent_blocked_ignored_delivered),
		cmocka_unit_test(test_signal__of_the_kernel),
		cmocka_unit_test(test_add__threads_that_are_there),
		cmocka_unit_test(test_add__what_cannot_be),
		cmocka_unit_test(test_missing__named_and_the_rest_works),
		cmocka_unit_test(test_lost__counted_exactly),
		cmocka_unit_test(test_lost__told_where_it_happened),
		cmocka_unit_test(test_stack__is_copied_until_known),
		cmocka_unit_test(test_appeared__by_name),
		cmocka_unit_test(test_appeared__in_a_cgroup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
