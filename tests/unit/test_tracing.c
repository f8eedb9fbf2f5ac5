// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What tracing tells of real processes, against what these did. A child does the thing that a case
 * is about, and ends; then all its records are there, in order, and are compared exactly. Needs
 * root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tracing.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#define CLOSE_RANGE_UNSHARE_FLAG 2U
#define CLOSE_RANGE_CLOEXEC_FLAG 4U
#define BIT(type)		 (1ULL << (type))
#define PAGE			 4096UL
/* Numbers that no descriptor inherited from the test has. */
#define BASE 200

/* What a child tells its parent. */
struct told {
	uint64_t value[32];
	struct stat st[4];
	char text[65536];
};

struct copy {
	union {
		const struct trace_head *head;
		const struct trace_fork *fork;
		const struct trace_exec *exec;
		const struct trace_exit *exit;
		const struct trace_rename *rename;
		const struct trace_appeared *appeared;
		const struct trace_fd_new *fd_new;
		const struct trace_fd_close *fd_close;
		const struct trace_fd_flags *fd_flags;
		const struct trace_table *table;
		const struct trace_unshare *unshare;
		const struct trace_sock_state *state;
		const struct trace_sock_call *call;
		const struct trace_map *map;
		const struct trace_range *range;
		const struct trace_remap *remap;
		const struct trace_brk *brk;
		const struct trace_area_rec *area;
		const struct trace_timer *timer;
		const struct trace_lock *lock;
		const struct trace_namespace *ns;
		const struct trace_signal *signal;
		const struct trace_stack *stack;
	};

	struct trace_sock sock; /* of FD_NEW */
	char *path, *argv;
	size_t argv_len;
};

/* One case's child and all that was told of it. */
struct run {
	pid_t pid;
	int status;
	struct told *told;
	struct copy *events;
	size_t n, at;
	uint64_t lost; /* between events */
	struct tracing *tracing;
};

static void check_child(bool good, int line)
{
	if (!good) {
		fprintf(stderr, "child: line %d: %s\n", line, strerror(errno));
		_exit(99);
	}
}

#define CHECK_CHILD(good) check_child((good), __LINE__)

static struct tracing *open_tracing(const struct tracing_options *o)
{
	struct loader_why why = { 0 };
	struct tracing *t = NULL;

	if (tracing_open(o, &t, &why) < 0)
		fail_msg("%s (%s)", why.what, why.remedy);
	return t;
}

static void keep(struct run *r, const struct tracing_event *e)
{
	struct copy *c;
	void *head;

	if (r->n % 256 == 0) {
		r->events = realloc(r->events, (r->n + 256) * sizeof(*r->events));
		assert_non_null(r->events);
	}
	c = &r->events[r->n++];
	memset(c, 0, sizeof(*c));
	head = malloc(e->head->len);
	assert_non_null(head);
	memcpy(head, e->head, e->head->len);
	c->head = head;
	c->path = strdup(e->path);
	if (e->sock)
		c->sock = *e->sock;
	if (e->argv) {
		c->argv = malloc(e->argv_len + 1);
		assert_non_null(c->argv);
		memcpy(c->argv, e->argv, e->argv_len);
		c->argv[e->argv_len] = '\0';
		c->argv_len = e->argv_len;
	}
	r->lost += e->lost_before;
}

static void drain(struct run *r)
{
	struct tracing_event e;
	int rc;

	while ((rc = tracing_next(r->tracing, &e)) > 0)
		keep(r, &e);
	assert_int_equal(rc, 0);
}

/* Start a child that waits until it is observed, and then does `what`. */
static void run_start(struct run *r, const struct tracing_options *o, void (*what)(struct told *))
{
	struct loader_why why = { 0 };
	int go[2], ready[2];
	char byte;

	memset(r, 0, sizeof(*r));
	r->tracing = open_tracing(o);
	r->told = mmap(NULL, sizeof(*r->told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	assert_ptr_not_equal(r->told, MAP_FAILED);
	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	r->pid = fork();
	assert_true(r->pid >= 0);
	if (r->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, "traced");
		signal(SIGSEGV, SIG_DFL); /* the test's framework catches it */
		close(go[1]);
		CHECK_CHILD(syscall(SYS_close_range, BASE, ~0U, 0) == 0);
		CHECK_CHILD(write(ready[1], "r", 1) == 1);
		CHECK_CHILD(read(go[0], &byte, 1) == 0);
		what(r->told);
		_exit(0);
	}
	close(go[0]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	if (tracing_add_pid(r->tracing, r->pid, &why) < 0)
		fail_msg("%s", why.what);
	close(go[1]);
}

static void run_wait(struct run *r)
{
	while (waitpid(r->pid, &r->status, 0) < 0)
		assert_int_equal(errno, EINTR);
	/* All that a child did was told before it could be waited for. */
	drain(r);
}

static void run_types(struct run *r, uint64_t types, void (*what)(struct told *))
{
	struct tracing_options o = { .types = types };

	run_start(r, &o, what);
	run_wait(r);
	assert_int_equal(r->status, 0);
	assert_int_equal(r->lost, 0);
}

static void run_done(struct run *r)
{
	const struct tracing_lost *lost;

	/* Each case has taken all that there was. */
	if (r->at < r->n)
		fail_msg("record of type %d is more than the child did",
			 r->events[r->at].head->type);
	assert_int_equal(tracing_lost(r->tracing, &lost), 0);
	for (size_t i = 0; i < r->n; i++) {
		free((void *)(uintptr_t)r->events[i].head);
		free(r->events[i].path);
		free(r->events[i].argv);
	}
	free(r->events);
	if (r->told)
		munmap(r->told, sizeof(*r->told));
	tracing_close(r->tracing);
}

/* The next record, which has to be of this type, and of the child itself. */
static struct copy *next_of(struct run *r, enum trace_type type, pid_t pid)
{
	struct copy *c = &r->events[r->at];

	if (r->at >= r->n)
		fail_msg("no record, instead of one of type %d", type);
	if (c->head->type != type)
		fail_msg("record %zu is of type %d instead of %d", r->at, c->head->type, type);
	assert_int_equal(c->head->pid, pid);
	assert_true(c->head->time_ns != 0);
	r->at++;
	return c;
}

#define NEXT(r, type) next_of((r), (type), (r)->pid)

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

static void exec_true(struct told *t)
{
	(void)t;
	execl("/bin/true", "true", "a b", "", "c", NULL);
	CHECK_CHILD(false);
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

/* --- descriptors ------------------------------------------------------------------------ */

#define FD_TYPES                                                                                   \
	(BIT(TRACE_FD_NEW) | BIT(TRACE_FD_CLOSE) | BIT(TRACE_FD_FLAGS) | BIT(TRACE_UNSHARE) |      \
	 BIT(TRACE_TABLE))

/* A descriptor at the next free number from BASE on: what it is made by is in `nr`. */
static struct copy *next_new(struct run *r, int fd, long nr)
{
	struct copy *c = NEXT(r, TRACE_FD_NEW);

	assert_int_equal(c->fd_new->fd, fd);
	assert_int_equal(c->fd_new->nr, nr);
	assert_true(c->fd_new->file.file_id != 0);
	return c;
}

static struct copy *next_close(struct run *r, int fd)
{
	struct copy *c = NEXT(r, TRACE_FD_CLOSE);

	assert_int_equal(c->fd_close->first, fd);
	assert_int_equal(c->fd_close->last, fd);
	assert_int_equal(c->fd_close->nr, SYS_close);
	assert_int_equal(c->fd_close->ret, 0);
	assert_int_equal(c->fd_close->now_id, 0);
	return c;
}

static void open_files(struct told *t)
{
	char dir[] = "/tmp/test-tracing-XXXXXX", path[64];
	int fd;

	CHECK_CHILD(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/a file", dir);
	fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	CHECK_CHILD(fd >= 0);
	t->value[0] = (uint64_t)fd;
	CHECK_CHILD(fstat(fd, &t->st[0]) == 0);
	snprintf(t->text, sizeof(t->text), "%s", path);
	CHECK_CHILD(unlink(path) == 0);
	CHECK_CHILD(open("/proc/self/fd/0", O_PATH) >= 0 || errno == ENOENT);
	t->value[1] = (uint64_t)dup(fd);
	CHECK_CHILD((int)t->value[1] >= 0);
	CHECK_CHILD(rmdir(dir) == 0);
	CHECK_CHILD(open("/", O_RDONLY | O_DIRECTORY) >= 0);
	CHECK_CHILD(open("/no/such/file", O_RDONLY) < 0);
	CHECK_CHILD(open("/dev/null", O_WRONLY) >= 0);
	CHECK_CHILD(close(fd) == 0);
	CHECK_CHILD(close(fd) < 0);
}

static void test_fd__files_and_their_names(void **state)
{
	const struct trace_file *f;
	struct copy *c, *opened;
	struct run r;
	int fd;

	(void)state;
	run_types(&r, FD_TYPES, open_files);
	fd = (int)r.told->value[0];
	c = opened = next_new(&r, fd, SYS_openat);
	f = &c->fd_new->file;
	assert_string_equal(c->path, r.told->text);
	assert_int_equal(f->ino, r.told->st[0].st_ino);
	assert_int_equal(f->dev_major, major(r.told->st[0].st_dev));
	assert_int_equal(f->dev_minor, minor(r.told->st[0].st_dev));
	assert_int_equal(f->mode, r.told->st[0].st_mode);
	assert_int_equal(f->f_flags & (O_ACCMODE | O_APPEND), O_RDWR | O_APPEND);
	assert_int_equal(f->nlink, 1);
	assert_int_equal(f->unhashed, 0);
	assert_int_equal(f->sock_id, 0);
	assert_int_equal(c->fd_new->cloexec, 1);
	assert_int_equal(c->fd_new->from, -1);
	assert_int_equal(c->fd_new->pair, -1);
	assert_int_equal(c->head->flags, 0);
	c = NEXT(&r, TRACE_FD_NEW); /* what the test's own standard input is does not matter */
	/* The same file, by now without a name. */
	c = next_new(&r, (int)r.told->value[1], SYS_dup);
	assert_string_equal(c->path, r.told->text);
	assert_int_equal(c->fd_new->from, fd);
	assert_int_equal(c->fd_new->cloexec, 0);
	assert_int_equal(c->fd_new->file.file_id, opened->fd_new->file.file_id);
	assert_int_equal(c->fd_new->file.unhashed, 1);
	assert_int_equal(c->fd_new->file.nlink, 0);
	assert_true(c->fd_new->since_ns != 0 && c->fd_new->since_ns <= c->head->time_ns);
	c = NEXT(&r, TRACE_FD_NEW);
	assert_string_equal(c->path, "/");
	c = NEXT(&r, TRACE_FD_NEW);
	assert_string_equal(c->path, "/dev/null");
	assert_int_equal(c->fd_new->file.rdev_major, 1);
	assert_int_equal(c->fd_new->file.rdev_minor, 3);
	next_close(&r, fd);
	run_done(&r);
}

/* A path of 15 * 250 bytes and more, then one that is longer than what is kept. */
static void open_deep(struct told *t)
{
	char dir[] = "/tmp/test-tracing-XXXXXX", name[251];
	int at, made = 0;

	CHECK_CHILD(mkdtemp(dir) != NULL && chdir(dir) == 0);
	memset(name, 'd', 250);
	name[250] = '\0';
	for (; made < 20; made++) {
		CHECK_CHILD(mkdir(name, 0700) == 0 && chdir(name) == 0);
		if (made == 14) {
			at = open("end", O_CREAT | O_RDWR, 0600);
			CHECK_CHILD(at >= 0 && unlink("end") == 0);
		}
	}
	at = open(".", O_RDONLY);
	CHECK_CHILD(at >= 0);
	strcpy(t->text, dir);
	for (; made > 0; made--)
		CHECK_CHILD(chdir("..") == 0 && rmdir(name) == 0);
	CHECK_CHILD(rmdir(dir) == 0);
}

static void test_fd__long_paths(void **state)
{
	size_t dir_len;
	struct copy *c;
	struct run r;

	(void)state;
	run_types(&r, BIT(TRACE_FD_NEW), open_deep);
	dir_len = strlen(r.told->text);
	c = NEXT(&r, TRACE_FD_NEW);
	assert_int_equal(c->head->flags, 0);
	assert_int_equal(strlen(c->path), dir_len + 15 * 251 + 4);
	assert_memory_equal(c->path, r.told->text, dir_len);
	assert_string_equal(c->path + dir_len + 15 * 251, "/end");
	c = NEXT(&r, TRACE_FD_NEW);
	assert_int_equal(c->head->flags, TRACE_F_CUT);
	assert_true(strlen(c->path) > 3800);
	run_done(&r);
}

static void copy_fds(struct told *t)
{
	int fd = open("/dev/null", O_RDONLY);

	(void)t;
	CHECK_CHILD(fcntl(fd, F_DUPFD, BASE) == BASE);
	CHECK_CHILD(close(fd) == 0);
	CHECK_CHILD(dup2(BASE, BASE + 1) == BASE + 1);
	CHECK_CHILD(dup2(BASE, BASE) == BASE); /* does nothing */
	CHECK_CHILD(dup3(BASE, BASE + 1, O_CLOEXEC) == BASE + 1);
	CHECK_CHILD(fcntl(BASE, F_DUPFD_CLOEXEC, BASE) == BASE + 2);
	CHECK_CHILD(fcntl(BASE, F_SETFD, FD_CLOEXEC) == 0);
	CHECK_CHILD(fcntl(BASE, F_GETFD) == FD_CLOEXEC);
	CHECK_CHILD(ioctl(BASE, FIONCLEX) == 0);
	CHECK_CHILD(ioctl(BASE, FIOCLEX) == 0);
	CHECK_CHILD(syscall(SYS_close_range, BASE, BASE + 1, CLOSE_RANGE_CLOEXEC_FLAG) == 0);
	CHECK_CHILD(syscall(SYS_close_range, BASE, ~0U, 0) == 0);
}

static void check_flags(struct run *r, unsigned int first, unsigned int last, long nr,
			unsigned int cloexec)
{
	struct copy *c = NEXT(r, TRACE_FD_FLAGS);

	assert_int_equal(c->fd_flags->first, first);
	assert_int_equal(c->fd_flags->last, last);
	assert_int_equal(c->fd_flags->nr, nr);
	assert_int_equal(c->fd_flags->cloexec, cloexec);
}

static void test_fd__copies_and_flags(void **state)
{
	struct copy *c;
	struct run r;
	int fd;

	(void)state;
	run_types(&r, FD_TYPES, copy_fds);
	c = NEXT(&r, TRACE_FD_NEW);
	fd = c->fd_new->fd;
	c = next_new(&r, BASE, SYS_fcntl);
	assert_int_equal(c->fd_new->from, fd);
	next_close(&r, fd);
	c = next_new(&r, BASE + 1, SYS_dup2);
	assert_int_equal(c->fd_new->from, BASE);
	assert_int_equal(c->fd_new->cloexec, 0);
	c = next_new(&r, BASE + 1, SYS_dup3);
	assert_int_equal(c->fd_new->cloexec, 1);
	c = next_new(&r, BASE + 2, SYS_fcntl);
	assert_int_equal(c->fd_new->cloexec, 1);
	check_flags(&r, BASE, BASE, SYS_fcntl, 1);
	check_flags(&r, BASE, BASE, SYS_ioctl, 0);
	check_flags(&r, BASE, BASE, SYS_ioctl, 1);
	check_flags(&r, BASE, BASE + 1, SYS_close_range, 1);
	c = NEXT(&r, TRACE_FD_CLOSE);
	assert_int_equal(c->fd_close->first, BASE);
	assert_int_equal(c->fd_close->last, ~0U);
	assert_int_equal(c->fd_close->nr, SYS_close_range);
	run_done(&r);
}

static void make_kinds(struct told *t)
{
	int p[2];

	/* All at known numbers. */
	CHECK_CHILD(syscall(SYS_close_range, 3, ~0U, 0) == 0);
	CHECK_CHILD(pipe2(p, O_CLOEXEC) == 0 && p[0] == 3 && p[1] == 4);
	CHECK_CHILD(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, p) == 0 && p[0] == 5 && p[1] == 6);
	CHECK_CHILD(eventfd(0, EFD_CLOEXEC) == 7);
	CHECK_CHILD(epoll_create1(0) == 8);
	CHECK_CHILD(timerfd_create(CLOCK_MONOTONIC, 0) == 9);
	CHECK_CHILD(memfd_create("a\033b", 0) == 10);
	CHECK_CHILD(socket(AF_INET, SOCK_DGRAM, 0) == 11);
	CHECK_CHILD(syscall(SYS_pidfd_open, getppid(), 0) == 12);
	CHECK_CHILD(fstat(3, &t->st[0]) == 0);
}

static void test_fd__nameless_kinds(void **state)
{
	struct copy *a, *b, *c;
	struct run r;

	(void)state;
	run_types(&r, BIT(TRACE_FD_NEW), make_kinds);
	a = next_new(&r, 3, SYS_pipe2);
	b = next_new(&r, 4, SYS_pipe2);
	assert_int_equal(a->fd_new->pair, 4);
	assert_int_equal(b->fd_new->pair, 3);
	assert_int_equal(a->fd_new->file.ino, r.told->st[0].st_ino);
	assert_int_equal(a->fd_new->file.inode_id, b->fd_new->file.inode_id);
	assert_int_equal(a->fd_new->cloexec, 1);
	assert_string_equal(a->path, "");
	a = next_new(&r, 5, SYS_socketpair);
	b = next_new(&r, 6, SYS_socketpair);
	assert_int_equal(a->sock.family, AF_UNIX);
	assert_int_equal(a->sock.type, SOCK_SEQPACKET);
	assert_int_equal(a->sock.peer_id, b->sock.sock_id);
	assert_int_equal(b->sock.peer_id, a->fd_new->file.sock_id);
	assert_string_equal(next_new(&r, 7, SYS_eventfd2)->path, "[eventfd]");
	assert_string_equal(next_new(&r, 8, SYS_epoll_create1)->path, "[eventpoll]");
	assert_string_equal(next_new(&r, 9, SYS_timerfd_create)->path, "[timerfd]");
	c = next_new(&r, 10, SYS_memfd_create);
	assert_string_equal(c->path, "memfd:a\033b");
	assert_int_equal(c->fd_new->file.mode & S_IFMT, S_IFREG);
	c = next_new(&r, 11, SYS_socket);
	assert_int_equal(c->sock.family, AF_INET);
	assert_int_equal(c->sock.protocol, IPPROTO_UDP);
	c = next_new(&r, 12, SYS_pidfd_open);
	assert_int_equal(c->fd_new->of, getpid());
	run_done(&r);
}

/* Threads that share a table: a child's copy is told of as a whole. */
static void *wait_at(void *arg)
{
	pthread_barrier_wait(arg);
	return NULL;
}

static void fork_beside_thread(struct told *t)
{
	pthread_barrier_t barrier;
	pthread_t thread;
	pid_t pid;

	CHECK_CHILD(syscall(SYS_close_range, 3, ~0U, 0) == 0);
	for (int i = 0; i < 130; i++)
		CHECK_CHILD(fcntl(0, i % 2 ? F_DUPFD_CLOEXEC : F_DUPFD, BASE) == BASE + i);
	pthread_barrier_init(&barrier, NULL, 2);
	CHECK_CHILD(pthread_create(&thread, NULL, wait_at, &barrier) == 0);
	pid = fork();
	if (pid == 0)
		_exit(0);
	t->value[0] = (uint64_t)pid;
	CHECK_CHILD(waitpid(pid, NULL, 0) == pid);
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
	pid = fork(); /* alone again */
	if (pid == 0)
		_exit(0);
	CHECK_CHILD(waitpid(pid, NULL, 0) == pid);
}

/* The entries of an inventory with numbers from BASE on; the rest is the test's own. */
static size_t take_table(struct run *r, pid_t pid, uint64_t files_id)
{
	size_t n = 0;
	struct copy *c;

	do {
		c = next_of(r, TRACE_TABLE, pid);
		assert_int_equal(c->table->files_id, files_id);
		for (unsigned int i = 0; i < c->table->n; i++) {
			const struct trace_table_entry *e = &c->table->entry[i];

			if (e->fd < BASE)
				continue;
			assert_int_equal(e->fd, BASE + n);
			assert_int_equal(e->cloexec, n % 2);
			assert_true(e->file_id != 0);
			n++;
		}
	} while (!(c->head->flags & TRACE_F_LAST));
	return n;
}

static void test_fd__table_copied_beside_a_thread(void **state)
{
	struct copy *c;
	struct run r;

	(void)state;
	run_types(&r, BIT(TRACE_FORK) | BIT(TRACE_TABLE), fork_beside_thread);
	c = NEXT(&r, TRACE_FORK); /* the thread */
	assert_int_equal(c->head->flags, 0);
	c = NEXT(&r, TRACE_FORK);
	assert_int_equal(c->head->flags, TRACE_F_INVENTORY);
	assert_int_equal(take_table(&r, (pid_t)r.told->value[0], c->fork->files_id), 130);
	c = NEXT(&r, TRACE_FORK);
	assert_int_equal(c->head->flags, 0);
	run_done(&r);
}

static void *unshare_in_thread(void *arg)
{
	(void)arg;
	CHECK_CHILD(unshare(CLONE_FILES) == 0);
	CHECK_CHILD(syscall(SYS_close_range, BASE + 1, ~0U, CLOSE_RANGE_UNSHARE_FLAG) == 0);
	return NULL;
}

static void *close_range_in_thread(void *arg)
{
	(void)arg;
	CHECK_CHILD(syscall(SYS_close_range, BASE + 1, ~0U, CLOSE_RANGE_UNSHARE_FLAG) == 0);
	return NULL;
}

static void leave_table(struct told *t)
{
	pthread_t thread;

	(void)t;
	CHECK_CHILD(unshare(CLONE_FILES) == 0); /* alone: nothing changes */
	CHECK_CHILD(fcntl(0, F_DUPFD, BASE) == BASE);
	CHECK_CHILD(fcntl(0, F_DUPFD_CLOEXEC, BASE) == BASE + 1);
	CHECK_CHILD(pthread_create(&thread, NULL, unshare_in_thread, NULL) == 0);
	CHECK_CHILD(pthread_join(thread, NULL) == 0);
	CHECK_CHILD(pthread_create(&thread, NULL, close_range_in_thread, NULL) == 0);
	CHECK_CHILD(pthread_join(thread, NULL) == 0);
}

static void test_fd__threads_leave_their_table(void **state)
{
	uint64_t shared, own;
	struct copy *c;
	struct run r;

	(void)state;
	run_types(&r, FD_TYPES, leave_table);
	shared = next_new(&r, BASE, SYS_fcntl)->fd_new->files_id;
	next_new(&r, BASE + 1, SYS_fcntl);
	c = NEXT(&r, TRACE_UNSHARE);
	own = c->unshare->files_id;
	assert_int_equal(c->unshare->nr, SYS_unshare);
	assert_int_equal(c->head->flags, TRACE_F_INVENTORY);
	assert_true(own != shared && c->head->tid != r.pid);
	assert_int_equal(take_table(&r, r.pid, own), 2);
	c = NEXT(&r, TRACE_FD_CLOSE); /* the table is its own already */
	assert_int_equal(c->fd_close->files_id, own);
	c = NEXT(&r, TRACE_UNSHARE);
	assert_int_equal(c->unshare->nr, SYS_close_range);
	assert_true(c->unshare->files_id != shared);
	assert_int_equal(take_table(&r, r.pid, c->unshare->files_id), 1);
	c = NEXT(&r, TRACE_FD_CLOSE);
	assert_int_equal(c->fd_close->first, BASE + 1);
	run_done(&r);
}

static void send_fds(int sock, const int *fds, size_t n)
{
	char control[CMSG_SPACE(sizeof(int) * 8)] = { 0 }, byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = CMSG_SPACE(sizeof(int) * n) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * n);
	memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
	CHECK_CHILD(sendmsg(sock, &msg, 0) == 1);
}

static void receive_fds(struct told *t)
{
	char control[3][256], bytes[3];
	struct iovec iov[3];
	struct mmsghdr m[3] = { 0 };
	int fds[2], p[2];

	(void)t;
	CHECK_CHILD(syscall(SYS_close_range, 3, ~0U, 0) == 0);
	CHECK_CHILD(pipe2(fds, O_CLOEXEC) == 0);
	CHECK_CHILD(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, p) == 0 && p[1] == 6);
	for (int i = 0; i < 3; i++) {
		iov[i] = (struct iovec){ &bytes[i], 1 };
		m[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i],
						.msg_iovlen = 1,
						.msg_control = control[i],
						.msg_controllen = sizeof(control[i]) };
	}
	send_fds(p[0], fds, 2);
	CHECK_CHILD(recvmsg(p[1], &m[0].msg_hdr, MSG_CMSG_CLOEXEC) == 1);
	send_fds(p[0], fds, 1);
	CHECK_CHILD(send(p[0], "x", 1, 0) == 1);
	send_fds(p[0], fds + 1, 1);
	m[0].msg_hdr.msg_controllen = sizeof(control[0]);
	CHECK_CHILD(recvmmsg(p[1], m, 3, 0, NULL) == 3);
}

static void test_fd__received_in_messages(void **state)
{
	struct copy *end[2], *c;
	struct run r;

	(void)state;
	run_types(&r, BIT(TRACE_FD_NEW), receive_fds);
	end[0] = next_new(&r, 3, SYS_pipe2);
	end[1] = next_new(&r, 4, SYS_pipe2);
	next_new(&r, 5, SYS_socketpair);
	next_new(&r, 6, SYS_socketpair);
	for (int i = 0; i < 2; i++) {
		c = next_new(&r, 7 + i, SYS_recvmsg);
		assert_int_equal(c->fd_new->file.file_id, end[i]->fd_new->file.file_id);
		assert_int_equal(c->fd_new->cloexec, 1);
	}
	for (int i = 0; i < 2; i++) {
		c = next_new(&r, 9 + i, SYS_recvmmsg);
		assert_int_equal(c->fd_new->file.file_id, end[i]->fd_new->file.file_id);
		assert_int_equal(c->fd_new->cloexec, 0);
	}
	run_done(&r);
}

static void use_pidfds(struct told *t)
{
	struct clone_args args = { .flags = CLONE_PIDFD, .exit_signal = SIGCHLD };
	int go[2], pidfd = -1;
	pid_t pid;
	char c;

	CHECK_CHILD(syscall(SYS_close_range, 3, ~0U, 0) == 0);
	CHECK_CHILD(pipe2(go, O_CLOEXEC) == 0);
	args.pidfd = (uint64_t)(uintptr_t)&pidfd;
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0) {
		close(go[1]);
		_exit(read(go[0], &c, 1) == 0 ? 0 : 1);
	}
	CHECK_CHILD(pid > 0 && pidfd == 5);
	t->value[0] = (uint64_t)pid;
	CHECK_CHILD(syscall(SYS_pidfd_getfd, pidfd, go[0], 0) == 6);
	CHECK_CHILD(close(go[1]) == 0);
	CHECK_CHILD(waitpid(pid, NULL, 0) == pid);
}

static void test_fd__pidfds(void **state)
{
	struct copy *c, *end;
	struct run r;
	pid_t child;

	(void)state;
	run_types(&r, BIT(TRACE_FD_NEW), use_pidfds);
	child = (pid_t)r.told->value[0];
	end = next_new(&r, 3, SYS_pipe2);
	next_new(&r, 4, SYS_pipe2);
	c = next_new(&r, 5, SYS_clone3);
	assert_int_equal(c->fd_new->of, child);
	assert_int_equal(c->fd_new->cloexec, 1);
	c = next_new(&r, 6, SYS_pidfd_getfd);
	assert_int_equal(c->fd_new->of, child);
	assert_int_equal(c->fd_new->from, 3);
	assert_int_equal(c->fd_new->file.file_id, end->fd_new->file.file_id);
	run_done(&r);
}

/* --- io_uring --- */

struct uring {
	int fd;
	unsigned char *ring;
	struct io_uring_sqe *sqes;
	struct io_uring_params p;
};

static void uring_open(struct uring *u)
{
	memset(u, 0, sizeof(*u));
	u->fd = (int)syscall(SYS_io_uring_setup, 8, &u->p);
	CHECK_CHILD(u->fd >= 0);
	u->ring = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, u->fd, IORING_OFF_SQ_RING);
	u->sqes = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, u->fd, IORING_OFF_SQES);
	CHECK_CHILD(u->ring != MAP_FAILED && (void *)u->sqes != MAP_FAILED);
}

/* Do one request, and give its result. */
static int uring_do(struct uring *u, const struct io_uring_sqe *sqe)
{
	unsigned int *tail = (void *)(u->ring + u->p.sq_off.tail);
	unsigned int *array = (void *)(u->ring + u->p.sq_off.array);
	unsigned int *cq_head = (void *)(u->ring + u->p.cq_off.head);
	struct io_uring_cqe *cqes = (void *)(u->ring + u->p.cq_off.cqes);
	unsigned int at = *tail & (u->p.sq_entries - 1), done = *cq_head & (u->p.cq_entries - 1);

	u->sqes[at] = *sqe;
	array[at] = at;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	CHECK_CHILD(syscall(SYS_io_uring_enter, u->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1);
	__atomic_store_n(cq_head, *cq_head + 1, __ATOMIC_RELEASE);
	return cqes[done].res;
}

static void use_uring(struct told *t)
{
	struct io_uring_sqe open_null = { .opcode = IORING_OP_OPENAT,
					  .fd = AT_FDCWD,
					  .addr = (uint64_t)(uintptr_t) "/dev/null" };
	struct io_uring_sqe make = { .opcode = IORING_OP_SOCKET,
				     .fd = AF_UNIX,
				     .off = SOCK_STREAM };
	struct io_uring_sqe end = { .opcode = IORING_OP_CLOSE };
	struct uring u;

	CHECK_CHILD(syscall(SYS_close_range, 3, ~0U, 0) == 0);
	uring_open(&u);
	CHECK_CHILD(uring_do(&u, &open_null) == 4);
	/* By a worker of the kernel, which is a thread of the process. */
	open_null.flags = IOSQE_ASYNC;
	CHECK_CHILD(uring_do(&u, &open_null) == 5);
	end.fd = 4;
	CHECK_CHILD(uring_do(&u, &end) == 0);
	CHECK_CHILD(uring_do(&u, &end) == -EBADF);
	t->value[0] = uring_do(&u, &make) == 4;
}

static void test_fd__io_uring(void **state)
{
	struct copy *c;
	struct run r;

	(void)state;
	run_types(&r, BIT(TRACE_FD_NEW) | BIT(TRACE_FD_CLOSE), use_uring);
	next_of(&r, TRACE_FD_CLOSE, r.pid); /* close_range() */
	assert_string_equal(next_new(&r, 3, SYS_io_uring_setup)->path, "[io_uring]");
	for (int i = 0; i < 2; i++) {
		c = next_new(&r, 4 + i, SYS_openat);
		assert_string_equal(c->path, "/dev/null");
		assert_int_equal(c->head->flags, TRACE_F_URING);
	}
	c = next_close(&r, 4);
	assert_int_equal(c->head->flags, TRACE_F_URING);
	if (r.told->value[0]) { /* since 5.19 */
		c = next_new(&r, 4, SYS_socket);
		assert_int_equal(c->sock.family, AF_UNIX);
	}
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

/* --- connections ------------------------------------------------------------------------ */

static void connect_tcp(struct told *t)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	char bytes[8];
	int s, c, p;

	s = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_CHILD(s >= 0 && bind(s, (void *)&a, sizeof(a)) == 0);
	CHECK_CHILD(getsockname(s, (void *)&a, &len) == 0);
	t->value[0] = ntohs(a.sin_port);
	CHECK_CHILD(listen(s, 5) == 0);
	c = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_CHILD(c >= 0 && connect(c, (void *)&a, sizeof(a)) == 0);
	p = accept4(s, NULL, NULL, SOCK_CLOEXEC);
	CHECK_CHILD(p >= 0 && write(p, "1234567", 7) == 7 && read(c, bytes, 7) == 7);
	CHECK_CHILD(shutdown(p, SHUT_WR) == 0 && read(c, bytes, 1) == 0);
	t->value[1] = (uint64_t)s;
	t->value[2] = (uint64_t)c;
	t->value[3] = (uint64_t)p;
	CHECK_CHILD(close(c) == 0 && read(p, bytes, 1) == 0 && close(p) == 0 && close(s) == 0);
	c = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_CHILD(c >= 0 && connect(c, (void *)&a, sizeof(a)) < 0 && errno == ECONNREFUSED);
}

/* A change of state; those which are made by interrupts come when they come. */
struct change {
	unsigned int from, to;
};

static const struct trace_sock_state *find_change(struct run *r, uint64_t sock, struct change which)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct trace_sock_state *s = r->events[i].state;

		if (s->head.type == TRACE_SOCK_STATE && s->sock.sock_id == sock &&
		    s->from == which.from && s->to == which.to)
			return s;
	}
	fail_msg("no change of state from %u to %u", which.from, which.to);
	return NULL;
}

static struct copy *nth_call(struct run *r, long nr, int n)
{
	for (size_t i = 0; i < r->n; i++) {
		struct copy *c = &r->events[i];

		if (((c->head->type == TRACE_SOCK_CALL && c->call->nr == nr) ||
		     (c->head->type == TRACE_FD_NEW && c->fd_new->nr == nr)) &&
		    n-- == 0)
			return c;
	}
	fail_msg("no call %ld", nr);
	return NULL;
}

static void test_sock__life_of_a_connection(void **state)
{
	const struct trace_sock_state *s;
	uint64_t listener, client, peer;
	struct sockaddr_in a;
	struct copy *c;
	struct run r;

	(void)state;
	run_types(&r, BIT(TRACE_FD_NEW) | BIT(TRACE_SOCK_CALL) | BIT(TRACE_SOCK_STATE),
		  connect_tcp);
	c = nth_call(&r, SYS_bind, 0);
	memcpy(&a, c->call->addr, sizeof(a));
	assert_int_equal(c->call->addr_len, sizeof(a));
	assert_int_equal(a.sin_family, AF_INET);
	assert_int_equal(a.sin_port, 0);
	assert_int_equal(c->call->sock.sport, r.told->value[0]);
	listener = c->call->sock.sock_id;
	c = nth_call(&r, SYS_listen, 0);
	assert_int_equal(c->call->fd, r.told->value[1]);
	assert_int_equal(c->call->arg, 5);
	find_change(&r, listener, (struct change){ TCP_CLOSE, TCP_LISTEN });
	c = nth_call(&r, SYS_connect, 0);
	client = c->call->sock.sock_id;
	assert_int_equal(c->call->ret, 0);
	assert_int_equal(c->call->sock.dport, r.told->value[0]);
	find_change(&r, client, (struct change){ TCP_CLOSE, TCP_SYN_SENT });
	find_change(&r, client, (struct change){ TCP_SYN_SENT, TCP_ESTABLISHED });
	c = nth_call(&r, SYS_accept4, 0);
	peer = c->sock.sock_id;
	assert_int_equal(c->fd_new->from, r.told->value[1]);
	assert_int_equal(c->sock.state, TCP_ESTABLISHED);
	assert_int_equal(c->sock.sport, r.told->value[0]);
	assert_memory_equal(c->sock.dst, &(uint32_t){ htonl(INADDR_LOOPBACK) }, 4);
	c = nth_call(&r, SYS_shutdown, 0);
	assert_int_equal(c->call->arg, SHUT_WR);
	find_change(&r, peer, (struct change){ TCP_ESTABLISHED, TCP_FIN_WAIT1 });
	s = find_change(&r, client, (struct change){ TCP_LAST_ACK, TCP_CLOSE });
	assert_int_equal(s->received_bytes, 8); /* and the FIN, as TCP counts */
	assert_int_equal(s->head.pid, r.pid);
	find_change(&r, listener, (struct change){ TCP_LISTEN, TCP_CLOSE });
	c = nth_call(&r, SYS_connect, 1);
	assert_int_equal(c->call->ret, -ECONNREFUSED);
	find_change(&r, c->call->sock.sock_id, (struct change){ TCP_SYN_SENT, TCP_CLOSE });
	r.at = r.n;
	run_done(&r);
}

/* --- memory areas ----------------------------------------------------------------------- */

#define AREA_TYPES                                                                                 \
	(BIT(TRACE_MAP) | BIT(TRACE_UNMAP) | BIT(TRACE_PROTECT) | BIT(TRACE_REMAP) | BIT(TRACE_BRK))
#define VM_BITS 0x87ULL /* read, write, execute, shared */

static void change_areas(struct told *t)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	uint64_t *v = t->value;
	char *a, *b;

	CHECK_CHILD(fstat(fd, &t->st[0]) == 0);
	a = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	v[0] = (uint64_t)(uintptr_t)a;
	CHECK_CHILD(mprotect(a + PAGE, 2 * PAGE, PROT_READ) == 0);
	/* Into the middle, odd length. */
	b = mmap(a + 4 * PAGE, PAGE + 1, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, PAGE);
	CHECK_CHILD(b == a + 4 * PAGE);
	CHECK_CHILD(munmap(a + 6 * PAGE, 2 * PAGE) == 0);
	b = mremap(a, PAGE, 16 * PAGE, MREMAP_MAYMOVE);
	CHECK_CHILD(b != MAP_FAILED);
	v[1] = (uint64_t)(uintptr_t)b;
	b = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	v[2] = (uint64_t)(uintptr_t)b;
	v[3] = (uint64_t)syscall(SYS_brk, 0);
	CHECK_CHILD((uint64_t)syscall(SYS_brk, v[3] + 3 * PAGE) == v[3] + 3 * PAGE);
	CHECK_CHILD(mmap(NULL, 0, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED);
}

static void check_map(struct run *r, uint64_t start, uint64_t pages, uint64_t bits)
{
	struct copy *c = NEXT(r, TRACE_MAP);

	assert_int_equal(c->map->area.start, start);
	assert_int_equal(c->map->area.end, start + pages * PAGE);
	assert_int_equal(c->map->area.vm_flags & VM_BITS, bits);
	assert_int_equal(c->map->nr, SYS_mmap);
	assert_true(c->map->mm_id != 0);
	assert_string_equal(c->path, "");
}

static void test_area__map_protect_move_unmap(void **state)
{
	const uint64_t *v;
	struct copy *c;
	struct run r;

	(void)state;
	run_types(&r, AREA_TYPES, change_areas);
	v = r.told->value;
	check_map(&r, v[0], 8, PROT_READ | PROT_WRITE);
	assert_int_equal(r.events[r.at - 1].map->area.file_id, 0);
	c = NEXT(&r, TRACE_PROTECT);
	assert_int_equal(c->range->start, v[0] + PAGE);
	assert_int_equal(c->range->end, v[0] + 3 * PAGE);
	assert_int_equal(c->range->prot, PROT_READ);
	assert_int_equal(c->range->vm_flags, 0);
	check_map(&r, v[0] + 4 * PAGE, 2, PROT_READ | PROT_EXEC);
	c = &r.events[r.at - 1];
	assert_int_equal(c->map->area.ino, r.told->st[0].st_ino);
	assert_int_equal(c->map->area.dev_major, major(r.told->st[0].st_dev));
	assert_int_equal(c->map->area.pgoff_bytes, PAGE);
	assert_true(c->map->fd >= 0);
	c = NEXT(&r, TRACE_UNMAP);
	assert_int_equal(c->range->start, v[0] + 6 * PAGE);
	assert_int_equal(c->range->end, v[0] + 8 * PAGE);
	c = NEXT(&r, TRACE_REMAP);
	assert_int_equal(c->remap->old_start, v[0]);
	assert_int_equal(c->remap->old_end, v[0] + PAGE);
	assert_int_equal(c->remap->new_start, v[1]);
	assert_int_equal(c->remap->new_end, v[1] + 16 * PAGE);
	assert_int_equal(c->remap->flags, MREMAP_MAYMOVE);
	check_map(&r, v[2], 1, PROT_READ | PROT_WRITE | 0x80);
	assert_true(r.events[r.at - 1].map->area.ino != 0); /* of shared memory's own file system */
	c = NEXT(&r, TRACE_BRK);
	assert_int_equal(c->brk->brk, v[3] + 3 * PAGE);
	assert_true(c->brk->start_brk != 0 && c->brk->start_brk <= v[3]);
	run_done(&r);
}

static void protect_over_gap(struct told *t)
{
	char *a = mmap(NULL, 4 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK_CHILD(a != MAP_FAILED && munmap(a + 2 * PAGE, PAGE) == 0);
	t->value[0] = (uint64_t)(uintptr_t)a;
	CHECK_CHILD(mprotect(a, 4 * PAGE, PROT_NONE) < 0 && errno == ENOMEM);
}

/* It has failed, and yet changed what lies before the gap. */
static void test_area__half_done(void **state)
{
	uint64_t start;
	struct copy *c;
	struct run r;

	(void)state;
	run_types(&r, BIT(TRACE_MAP) | BIT(TRACE_UNMAP) | BIT(TRACE_AREA), protect_over_gap);
	start = r.told->value[0];
	NEXT(&r, TRACE_MAP);
	NEXT(&r, TRACE_UNMAP);
	c = NEXT(&r, TRACE_AREA);
	if (c->head->flags & TRACE_F_CUT) {
		run_done(&r);
		skip(); /* before 6.7 */
	}
	assert_int_equal(c->head->flags, 0);
	assert_int_equal(c->area->area.start, start);
	assert_int_equal(c->area->area.end, start + 2 * PAGE);
	assert_int_equal(c->area->area.vm_flags & VM_BITS, 0);
	c = NEXT(&r, TRACE_AREA);
	assert_int_equal(c->area->area.start, start + 3 * PAGE);
	assert_int_equal(c->area->area.vm_flags & VM_BITS, PROT_READ);
	run_done(&r);
}

static void attach_segments(struct told *t)
{
	aio_context_t ctx = 0;
	int id = shmget(IPC_PRIVATE, 3 * PAGE, IPC_CREAT | 0600);
	char *a;

	CHECK_CHILD(id >= 0);
	a = shmat(id, NULL, SHM_RDONLY);
	CHECK_CHILD(a != (void *)-1 && shmctl(id, IPC_RMID, NULL) == 0);
	t->value[0] = (uint64_t)(uintptr_t)a;
	t->value[1] = (uint64_t)id;
	CHECK_CHILD(shmdt(a) == 0);
	CHECK_CHILD(syscall(SYS_io_setup, 4, &ctx) == 0);
	t->value[2] = ctx;
	CHECK_CHILD(syscall(SYS_io_destroy, ctx) == 0);
}

static void test_area__segments_and_rings(void **state)
{
	struct copy *c;
	struct run r;

	(void)state;
	run_types(&r, AREA_TYPES, attach_segments);
	c = NEXT(&r, TRACE_MAP);
	assert_int_equal(c->map->nr, SYS_shmat);
	assert_int_equal(c->map->shmid, r.told->value[1]);
	assert_int_equal(c->map->area.ino, r.told->value[1]);
	assert_int_equal(c->map->area.start, r.told->value[0]);
	assert_int_equal(c->map->area.end, r.told->value[0] + 3 * PAGE);
	assert_int_equal(c->map->area.vm_flags & VM_BITS, PROT_READ | 0x80);
	c = NEXT(&r, TRACE_UNMAP);
	assert_int_equal(c->range->nr, SYS_shmdt);
	assert_int_equal(c->range->start, r.told->value[0]);
	c = NEXT(&r, TRACE_MAP);
	assert_int_equal(c->map->nr, SYS_io_setup);
	assert_int_equal(c->map->area.start, r.told->value[2]);
	assert_true(c->map->area.end > c->map->area.start);
	c = NEXT(&r, TRACE_UNMAP);
	assert_int_equal(c->range->nr, SYS_io_destroy);
	assert_int_equal(c->range->start, r.told->value[2]);
	run_done(&r);
}

static void read_maps(char *text, size_t size)
{
	int fd = open("/proc/self/maps", O_RDONLY);
	size_t at = 0;
	ssize_t n;

	CHECK_CHILD(fd >= 0);
	while ((n = read(fd, text + at, size - 1 - at)) > 0)
		at += (size_t)n;
	text[at] = '\0';
	close(fd);
}

static void fork_areas_beside_thread(struct told *t)
{
	pthread_barrier_t barrier;
	pthread_t thread;
	pid_t pid;

	pthread_barrier_init(&barrier, NULL, 2);
	CHECK_CHILD(pthread_create(&thread, NULL, wait_at, &barrier) == 0);
	pid = (pid_t)syscall(SYS_fork); /* runs nothing of libc in the child */
	if (pid == 0) {
		read_maps(t->text, sizeof(t->text));
		_exit(0);
	}
	t->value[0] = (uint64_t)pid;
	CHECK_CHILD(waitpid(pid, NULL, 0) == pid);
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
}

static void test_area__copied_beside_a_thread(void **state)
{
	char *line, *end, *save = NULL;
	struct copy *c;
	struct run r;

	(void)state;
	run_types(&r, BIT(TRACE_FORK) | BIT(TRACE_AREA), fork_areas_beside_thread);
	NEXT(&r, TRACE_FORK);
	c = NEXT(&r, TRACE_FORK);
	if (!(c->head->flags & TRACE_F_AREAS)) {
		run_done(&r);
		skip(); /* before 6.7 */
	}
	line = strtok_r(r.told->text, "\n", &save);
	do {
		c = next_of(&r, TRACE_AREA, (pid_t)r.told->value[0]);
		assert_non_null(line);
		assert_int_equal(c->area->area.start, strtoull(line, &end, 16));
		assert_int_equal(c->area->area.end, strtoull(end + 1, &end, 16));
		assert_int_equal(c->area->area.vm_flags & 1, end[1] == 'r');
		assert_int_equal(c->area->area.vm_flags >> 1 & 1, end[2] == 'w');
		assert_int_equal(c->area->area.vm_flags >> 2 & 1, end[3] == 'x');
		assert_int_equal(c->area->area.vm_flags >> 7 & 1, end[4] == 's');
		if (c->area->area.file_id && strchr(line, '/') && !strstr(line, " (deleted)"))
			assert_string_equal(c->path, strchr(line, '/'));
		if (c->area->name[0])
			assert_string_equal(c->area->name, strchr(line, '['));
		line = strtok_r(NULL, "\n", &save);
	} while (!(c->head->flags & TRACE_F_LAST));
	/* The gate area belongs to no process. */
	assert_true(!line || strstr(line, "[vsyscall]"));
	run_done(&r);
}

static void test_area__of_a_new_image(void **state)
{
	bool vdso = false, exe = false;
	char path[4096];
	struct copy *c;
	struct run r;

	(void)state;
	assert_non_null(realpath("/bin/true", path));
	run_types(&r, BIT(TRACE_EXEC) | BIT(TRACE_AREA), exec_true);
	c = NEXT(&r, TRACE_EXEC);
	if (!(c->head->flags & TRACE_F_AREAS)) {
		run_done(&r);
		skip(); /* before 6.7 */
	}
	do {
		uint64_t mm = r.events[0].exec->mm_id;

		c = NEXT(&r, TRACE_AREA);
		assert_int_equal(c->area->mm_id, mm);
		vdso |= strcmp(c->area->name, "[vdso]") == 0;
		exe |= strcmp(c->path, path) == 0;
	} while (!(c->head->flags & TRACE_F_LAST));
	assert_true(vdso && exe);
	run_done(&r);
}

/* --- timers, locks, namespaces ---------------------------------------------------------- */

static void use_timers(struct told *t)
{
	struct itimerspec it = { .it_interval = { 3, 4 }, .it_value = { 1000000000, 5 } };
	struct itimerval iv = { .it_interval = { 7, 8 }, .it_value = { 2000, 9 } };
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };
	int id = -1, fd;

	ev._sigev_un._tid = getpid();
	CHECK_CHILD(syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, &id) == 0);
	t->value[0] = (uint64_t)id;
	CHECK_CHILD(syscall(SYS_timer_settime, id, TIMER_ABSTIME, &it, NULL) == 0);
	CHECK_CHILD(syscall(SYS_timer_delete, id) == 0);
	CHECK_CHILD(syscall(SYS_timer_delete, id) < 0);
	CHECK_CHILD(syscall(SYS_timer_create, CLOCK_REALTIME, NULL, &id) == 0);
	CHECK_CHILD(setitimer(ITIMER_PROF, &iv, NULL) == 0);
	CHECK_CHILD(syscall(SYS_alarm, 500) == 0);
	fd = timerfd_create(CLOCK_BOOTTIME, 0);
	CHECK_CHILD(fd >= 0 && timerfd_settime(fd, 0, &it, NULL) == 0);
	t->value[1] = (uint64_t)fd;
}

static void check_set(struct run *r, int id, uint64_t value, uint64_t interval,
		      unsigned int absolute)
{
	const struct trace_timer *s = NEXT(r, TRACE_TIMER_SET)->timer;

	assert_int_equal(s->id, id);
	assert_int_equal(s->value_ns, value);
	assert_int_equal(s->interval_ns, interval);
	assert_int_equal(s->absolute, absolute);
}

static void test_timer__all_kinds(void **state)
{
	const struct trace_timer *s;
	struct run r;
	int id;

	(void)state;
	run_types(&r, BIT(TRACE_TIMER_NEW) | BIT(TRACE_TIMER_SET) | BIT(TRACE_TIMER_DELETE),
		  use_timers);
	id = (int)r.told->value[0];
	s = NEXT(&r, TRACE_TIMER_NEW)->timer;
	assert_int_equal(s->id, id);
	assert_int_equal(s->clock, CLOCK_MONOTONIC);
	assert_int_equal(s->signo, SIGUSR1);
	assert_int_equal(s->notify, SIGEV_THREAD_ID);
	assert_int_equal(s->notify_tid, r.pid);
	check_set(&r, id, 1000000000000000005ULL, 3000000004ULL, 1);
	s = NEXT(&r, TRACE_TIMER_DELETE)->timer;
	assert_int_equal(s->id, id);
	s = NEXT(&r, TRACE_TIMER_NEW)->timer;
	assert_int_equal(s->clock, CLOCK_REALTIME);
	assert_int_equal(s->signo, SIGALRM);
	check_set(&r, TRACE_ITIMER_PROF, 2000000009000ULL, 7000008000ULL, 0);
	check_set(&r, TRACE_ITIMER_REAL, 500000000000ULL, 0, 0);
	check_set(&r, TRACE_TIMER_FD, 1000000000000000005ULL, 3000000004ULL, 0);
	assert_int_equal(r.events[r.at - 1].timer->fd, r.told->value[1]);
	run_done(&r);
}

static void use_locks(struct told *t)
{
	struct flock l = { .l_type = F_RDLCK, .l_start = 10, .l_len = 5 };
	FILE *file = tmpfile();
	int fd = file ? fileno(file) : -1, other;
	char path[32];

	CHECK_CHILD(fstat(fd, &t->st[0]) == 0);
	CHECK_CHILD(fcntl(fd, F_SETLK, &l) == 0);
	CHECK_CHILD(flock(fd, LOCK_EX) == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	other = open(path, O_RDONLY);
	CHECK_CHILD(other >= 0 && flock(other, LOCK_EX | LOCK_NB) < 0 && errno == EAGAIN);
	CHECK_CHILD(flock(fd, LOCK_UN) == 0);
	CHECK_CHILD(close(other) == 0); /* which gives up the process's locks of fcntl(2) */
	CHECK_CHILD(fcntl(fd, F_SETLEASE, F_WRLCK) == 0);
	CHECK_CHILD(fcntl(fd, F_SETLEASE, F_UNLCK) == 0);
}

static void check_lock(struct run *r, enum trace_lock_kind kind, int type, int ret)
{
	struct copy *c = NEXT(r, TRACE_LOCK);

	assert_int_equal(c->lock->kind, kind);
	assert_int_equal(c->lock->type, type);
	assert_int_equal(c->lock->ret, ret);
	assert_int_equal(c->lock->ino, r->told->st[0].st_ino);
	assert_int_equal(c->lock->dev_minor, minor(r->told->st[0].st_dev));
	assert_true(c->lock->owner_id != 0);
}

static void own_locks(struct told *t)
{
	struct flock l = { .l_type = F_WRLCK, .l_start = 100, .l_len = 5 };
	FILE *file = tmpfile();

	CHECK_CHILD(file && fstat(fileno(file), &t->st[0]) == 0);
	CHECK_CHILD(fcntl(fileno(file), F_OFD_SETLK, &l) == 0);
	CHECK_CHILD(flock(fileno(file), LOCK_SH) == 0);
	CHECK_CHILD(close(fileno(file)) == 0);
}

static void test_lock__of_processes(void **state)
{
	const struct trace_lock *l;
	struct run r;

	(void)state;
	run_types(&r, BIT(TRACE_LOCK), use_locks);
	check_lock(&r, TRACE_LOCK_POSIX, F_RDLCK, 0);
	l = r.events[0].lock;
	assert_int_equal(l->start, 10);
	assert_int_equal(l->end, 14);
	assert_int_equal(l->blocking, 0);
	check_lock(&r, TRACE_LOCK_FLOCK, F_WRLCK, 0);
	assert_int_equal(r.events[1].lock->blocking, 1);
	check_lock(&r, TRACE_LOCK_FLOCK, F_WRLCK, -EAGAIN);
	check_lock(&r, TRACE_LOCK_FLOCK, F_UNLCK, 0);
	check_lock(&r, TRACE_LOCK_POSIX, F_UNLCK, 0);
	assert_int_equal(r.events[4].lock->owner_id, l->owner_id);
	check_lock(&r, TRACE_LOCK_LEASE, F_WRLCK, 0);
	check_lock(&r, TRACE_LOCK_LEASE, F_UNLCK, 0);
	run_done(&r);
}

static void test_lock__end_with_the_file(void **state)
{
	const struct trace_lock *l;
	uint64_t owner;
	struct run r;

	(void)state;
	run_types(&r, BIT(TRACE_LOCK), own_locks);
	check_lock(&r, TRACE_LOCK_OFD, F_WRLCK, 0);
	l = r.events[0].lock;
	owner = l->owner_id;
	assert_int_equal(l->owner_id, l->file_id);
	assert_int_equal(l->start, 100);
	assert_int_equal(l->end, 104);
	check_lock(&r, TRACE_LOCK_FLOCK, F_RDLCK, 0);
	assert_int_equal(r.events[1].lock->owner_id, owner);
	/* Every close of a file gives up the process's own locks, though there be none. */
	r.at = 2;
	check_lock(&r, TRACE_LOCK_POSIX, F_UNLCK, 0);
	/* The last reference went: both are given up, in whatever order. */
	assert_int_equal(r.n, 5);
	for (int i = 3; i < 5; i++) {
		l = r.events[i].lock;
		assert_int_equal(l->type, F_UNLCK);
		assert_int_equal(l->owner_id, owner);
		assert_int_equal(l->ret, 0);
	}
	assert_int_not_equal(r.events[3].lock->kind, r.events[4].lock->kind);
	r.at = r.n;
	run_done(&r);
}

static void change_namespaces(struct told *t)
{
	int fd = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
	struct stat st;

	CHECK_CHILD(fd >= 0 && unshare(CLONE_NEWUTS | CLONE_FS) == 0);
	CHECK_CHILD(stat("/proc/self/ns/uts", &st) == 0);
	t->value[0] = st.st_ino;
	CHECK_CHILD(fstat(fd, &st) == 0 && setns(fd, CLONE_NEWUTS) == 0);
	t->value[1] = st.st_ino;
	CHECK_CHILD(stat("/proc/self/ns/mnt", &st) == 0);
	t->value[2] = st.st_ino;
	CHECK_CHILD(unshare(CLONE_FS) == 0);
}

static void test_namespace__unshare_and_setns(void **state)
{
	struct copy *c;
	struct run r;

	(void)state;
	run_types(&r, BIT(TRACE_NAMESPACE), change_namespaces);
	for (int i = 0; i < 2; i++) {
		c = NEXT(&r, TRACE_NAMESPACE);
		assert_int_equal(c->ns->nr, i ? SYS_setns : SYS_unshare);
		assert_int_equal(c->ns->flags, CLONE_NEWUTS);
		assert_int_equal(c->ns->uts, r.told->value[i]);
		assert_int_equal(c->ns->mnt, r.told->value[2]);
	}
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
	close(ready[1]);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fork__each_child_and_its_end),
		cmocka_unit_test(test_fork__thread),
		cmocka_unit_test(test_exec__path_and_words),
		cmocka_unit_test(test_exec__thread_takes_the_leaders_place),
		cmocka_unit_test(test_exec__long_command_line_is_cut),
		cmocka_unit_test(test_fd__files_and_their_names),
		cmocka_unit_test(test_fd__long_paths),
		cmocka_unit_test(test_fd__copies_and_flags),
		cmocka_unit_test(test_fd__nameless_kinds),
		cmocka_unit_test(test_fd__table_copied_beside_a_thread),
		cmocka_unit_test(test_fd__threads_leave_their_table),
		cmocka_unit_test(test_fd__received_in_messages),
		cmocka_unit_test(test_fd__pidfds),
		cmocka_unit_test(test_fd__io_uring),
		cmocka_unit_test(test_signal__sent_blocked_ignored_delivered),
		cmocka_unit_test(test_signal__of_the_kernel),
		cmocka_unit_test(test_sock__life_of_a_connection),
		cmocka_unit_test(test_area__map_protect_move_unmap),
		cmocka_unit_test(test_area__half_done),
		cmocka_unit_test(test_area__segments_and_rings),
		cmocka_unit_test(test_area__copied_beside_a_thread),
		cmocka_unit_test(test_area__of_a_new_image),
		cmocka_unit_test(test_timer__all_kinds),
		cmocka_unit_test(test_lock__of_processes),
		cmocka_unit_test(test_lock__end_with_the_file),
		cmocka_unit_test(test_namespace__unshare_and_setns),
		cmocka_unit_test(test_add__threads_that_are_there),
		cmocka_unit_test(test_add__what_cannot_be),
		cmocka_unit_test(test_lost__counted_exactly),
		cmocka_unit_test(test_lost__told_where_it_happened),
		cmocka_unit_test(test_stack__is_copied_until_known),
		cmocka_unit_test(test_appeared__by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
