// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What tracing tells of descriptors, against what these did. A child does the thing that a case
 * is about, and ends; then all its records are there, in order, and are compared exactly. Needs
 * root.
 */
#include "traced.h"

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

/* Wait for a completion, and give its result. */
static int uring_wait(struct uring *u)
{
	unsigned int *head = (void *)(u->ring + u->p.cq_off.head);
	unsigned int *tail = (void *)(u->ring + u->p.cq_off.tail);
	struct io_uring_cqe *cqes = (void *)(u->ring + u->p.cq_off.cqes);
	int res;

	while (__atomic_load_n(tail, __ATOMIC_ACQUIRE) == *head)
		CHECK_CHILD(syscall(SYS_io_uring_enter, u->fd, 0, 1, IORING_ENTER_GETEVENTS, NULL,
				    0) >= 0);
	res = cqes[*head & (u->p.cq_entries - 1)].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return res;
}

/* Do one request, and give its result. */
static int uring_do(struct uring *u, const struct io_uring_sqe *sqe)
{
	unsigned int *tail = (void *)(u->ring + u->p.sq_off.tail);
	unsigned int *array = (void *)(u->ring + u->p.sq_off.array);
	unsigned int at = *tail & (u->p.sq_entries - 1);

	u->sqes[at] = *sqe;
	array[at] = at;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	CHECK_CHILD(syscall(SYS_io_uring_enter, u->fd, 1, 0, 0, NULL, 0) == 1);
	return uring_wait(u);
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

static void accept_many(struct told *t)
{
	struct io_uring_sqe many = { .opcode = IORING_OP_ACCEPT,
				     .ioprio = IORING_ACCEPT_MULTISHOT,
				     .user_data = 4711 };
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	struct uring u;
	int s, c;

	CHECK_CHILD(syscall(SYS_close_range, 3, ~0U, 0) == 0);
	uring_open(&u);
	s = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_CHILD(s == 4 && listen(s, 5) == 0 && getsockname(s, (void *)&a, &len) == 0);
	many.fd = s;
	for (int i = 0; i < 3; i++) {
		c = socket(AF_INET, SOCK_STREAM, 0);
		CHECK_CHILD(connect(c, (void *)&a, sizeof(a)) == 0);
		t->value[i] = (uint64_t)(i == 0 ? uring_do(&u, &many) : uring_wait(&u));
		CHECK_CHILD((int)t->value[i] > c);
	}
}

static void test_fd__io_uring_accepts_many(void **state)
{
	struct copy *c;
	struct run r;

	(void)state;
	run_types(&r, BIT(TRACE_FD_NEW), accept_many);
	next_new(&r, 3, SYS_io_uring_setup);
	next_new(&r, 4, SYS_socket);
	for (int i = 0; i < 3; i++) {
		next_new(&r, 5 + 2 * i, SYS_socket);
		c = next_new(&r, (int)r.told->value[i], SYS_accept4);
		assert_int_equal(c->head->flags & TRACE_F_URING, TRACE_F_URING);
		assert_int_equal(c->sock.state, TCP_ESTABLISHED);
	}
	run_done(&r);
}

/* --- calls of 32-bit programs --- */

/* By the entry of 32-bit programs, which every program may use. Numbers: asm/unistd_32.h. */
static int call32(uint32_t nr, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e)
{
	int ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
			 : "memory", "r8", "r9", "r10", "r11");
	return ret;
}

/* What such calls are given: all of it below 4 GiB. */
struct low {
	char zero[16];
	int32_t fds[2];
	uint32_t args[6];
	int32_t times[4];
	uint32_t iov[2];
	uint32_t msg[7];
	char control[64], byte;
};

static void send_and_receive32(struct low *low, int fd)
{
	uint32_t at = (uint32_t)(uintptr_t)low;

	send_fds(low->fds[0], &fd, 1);
	low->iov[0] = at + offsetof(struct low, byte);
	low->iov[1] = 1;
	low->msg[2] = at + offsetof(struct low, iov);
	low->msg[3] = 1;
	low->msg[4] = at + offsetof(struct low, control);
	low->msg[5] = sizeof(low->control);
	low->args[0] = (uint32_t)low->fds[1];
	low->args[1] = at + offsetof(struct low, msg);
	low->args[2] = 0;
	CHECK_CHILD(call32(102, 17, at + offsetof(struct low, args), 0, 0, 0) == 1);
}

static void call_as_32_bit(struct told *t)
{
	struct low *low = mmap(NULL, sizeof(*low), PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	uint32_t at = (uint32_t)(uintptr_t)low;

	CHECK_CHILD(low != MAP_FAILED && syscall(SYS_close_range, 3, ~0U, 0) == 0);
	strcpy(low->zero, "/dev/zero");
	CHECK_CHILD(call32(5, at, O_RDONLY | O_CLOEXEC, 0, 0, 0) == 3);
	/* Number 3 is read() there, and close() elsewhere. */
	CHECK_CHILD(call32(3, 3, at + offsetof(struct low, byte), 1, 0, 0) == 1);
	low->args[0] = AF_UNIX;
	low->args[1] = SOCK_DGRAM;
	low->args[3] = at + offsetof(struct low, fds);
	CHECK_CHILD(call32(102, 8, at + offsetof(struct low, args), 0, 0, 0) == 0);
	CHECK_CHILD(low->fds[0] == 4 && low->fds[1] == 5);
	send_and_receive32(low, 3);
	/* mmap2() */
	t->value[0] = (uint32_t)call32(192, 0, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, ~0U);
	CHECK_CHILD(t->value[0] < 0xfffff000U);
	low->times[1] = 8; /* interval: 8 us */
	low->times[2] = 2000;
	CHECK_CHILD(call32(104, ITIMER_PROF, at + offsetof(struct low, times), 0, 0, 0) == 0);
	CHECK_CHILD(call32(6, 3, 0, 0, 0, 0) == 0);
}

/* Does the kernel have that entry? */
static bool has_call32(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		_exit(call32(20, 0, 0, 0, 0, 0) == getpid() ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status == 0;
}

static void test_compat__calls_are_turned(void **state)
{
	struct copy *c, *opened;
	struct run r;

	(void)state;
	if (!has_call32())
		skip();
	run_types(&r,
		  BIT(TRACE_FD_NEW) | BIT(TRACE_FD_CLOSE) | BIT(TRACE_MAP) | BIT(TRACE_TIMER_SET),
		  call_as_32_bit);
	NEXT(&r, TRACE_MAP);
	NEXT(&r, TRACE_FD_CLOSE);
	opened = next_new(&r, 3, SYS_open);
	assert_string_equal(opened->path, "/dev/zero");
	assert_int_equal(opened->head->flags, TRACE_F_COMPAT);
	assert_int_equal(opened->fd_new->cloexec, 1);
	c = next_new(&r, 4, SYS_socketpair);
	assert_int_equal(c->fd_new->pair, 5);
	assert_int_equal(c->sock.type, SOCK_DGRAM);
	next_new(&r, 5, SYS_socketpair);
	c = next_new(&r, 6, SYS_recvmsg);
	assert_int_equal(c->fd_new->file.file_id, opened->fd_new->file.file_id);
	c = NEXT(&r, TRACE_MAP);
	assert_int_equal(c->map->nr, SYS_mmap);
	assert_int_equal(c->map->area.start, r.told->value[0]);
	assert_int_equal(c->map->area.end, r.told->value[0] + PAGE);
	c = NEXT(&r, TRACE_TIMER_SET);
	assert_int_equal(c->timer->id, TRACE_ITIMER_PROF);
	assert_int_equal(c->timer->value_ns, 2000000000000ULL);
	assert_int_equal(c->timer->interval_ns, 8000);
	c = next_close(&r, 3);
	assert_int_equal(c->head->flags, TRACE_F_COMPAT);
	run_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fd__files_and_their_names),
		cmocka_unit_test(test_fd__long_paths),
		cmocka_unit_test(test_fd__copies_and_flags),
		cmocka_unit_test(test_fd__nameless_kinds),
		cmocka_unit_test(test_fd__table_copied_beside_a_thread),
		cmocka_unit_test(test_fd__threads_leave_their_table),
		cmocka_unit_test(test_fd__received_in_messages),
		cmocka_unit_test(test_fd__pidfds),
		cmocka_unit_test(test_fd__io_uring),
		cmocka_unit_test(test_fd__io_uring_accepts_many),
		cmocka_unit_test(test_compat__calls_are_turned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
