// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What tracing tells of connections, areas, timers, locks and namespaces, against what these did. A
 * child does the thing that a case is about, and ends; then all its records are there, in order,
 * and are compared exactly. Needs root.
 */
#include "traced.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
