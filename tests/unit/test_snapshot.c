// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The snapshot of real processes against what libc and the system calls say of them. A child makes
 * the resources that a case is about, says what it made in a shared page, and waits; the
 * parent takes a snapshot and compares. Needs root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "with_loader.h"

#define SECOND 1000000000ULL

/* What a child tells its parent. */
struct told {
	uint64_t addr[16];
	int64_t number[16];
	pid_t tid[16];
};

struct child {
	pid_t pid;
	int ready; /* a byte arrives when the child has made everything */
	struct told *told;
	struct snapshot *snap;
};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static void check_child(bool good, int line)
{
	if (!good) {
		fprintf(stderr, "child: line %d: %s\n", line, strerror(errno));
		_exit(99);
	}
}

#define CHECK_CHILD(good) check_child((good), __LINE__)

static void wait_forever(void)
{
	for (;;)
		pause();
}

static void say_ready(int fd)
{
	CHECK_CHILD(write(fd, "r", 1) == 1);
}

/* Start a child that runs `make` (which says that it is ready, or returns). */
static void child_start(struct child *c, void (*make)(struct told *, int ready))
{
	int fds[2];
	char byte;

	memset(c, 0, sizeof(*c));
	c->told = mmap(NULL, sizeof(*c->told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	assert_ptr_not_equal(c->told, MAP_FAILED);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	c->pid = fork();
	assert_true(c->pid >= 0);
	if (c->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		make(c->told, fds[1]);
		say_ready(fds[1]);
		wait_forever();
	}
	close(fds[1]);
	c->ready = fds[0];
	assert_int_equal(read(c->ready, &byte, 1), 1);
}

static void child_snapshot(struct child *c)
{
	struct loader_why why = { 0 };
	int rc;

	snapshot_free(c->snap);
	c->snap = NULL;
	rc = snapshot_take(loader, &c->pid, 1, SNAPSHOT_ALL, &c->snap, &why);
	if (rc < 0)
		fail_msg("%s (%s)", why.what, why.remedy);
}

/* Once it has come to rest, which is a little later than it says that it is ready. */
static void child_snapshot_paused(struct child *c)
{
	const struct timespec tick = { 0, 1000000 };

	for (int i = 0; i < 10000; i++) {
		const struct rec_task *t;

		child_snapshot(c);
		t = snapshot_task(c->snap, c->pid);
		if (t && t->syscall_nr == SYS_pause)
			return;
		nanosleep(&tick, NULL);
	}
	fail_msg("the child does not pause");
}

static void child_end(struct child *c)
{
	kill(c->pid, SIGKILL);
	assert_int_equal(waitpid(c->pid, NULL, __WALL), c->pid);
	close(c->ready);
	snapshot_free(c->snap);
	munmap(c->told, sizeof(*c->told));
}

/* --- threads and the group --- */

static void *named_thread(void *arg)
{
	struct told *told = arg;
	sigset_t mask;
	stack_t alt = { .ss_size = 65536 };

	prctl(PR_SET_NAME, "second");
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT); /* pending for the process, so blocked in every thread */
	sigaddset(&mask, SIGUSR1);
	sigaddset(&mask, SIGRTMIN + 3);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	alt.ss_sp = malloc(alt.ss_size);
	CHECK_CHILD(sigaltstack(&alt, NULL) == 0);
	told->addr[0] = (uint64_t)alt.ss_sp;
	CHECK_CHILD(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1) == 0);
	setpriority(PRIO_PROCESS, 0, 7);
	prctl(PR_SET_TIMERSLACK, 123456UL);
	CHECK_CHILD(syscall(SYS_arch_prctl, 0x1003 /* ARCH_GET_FS */, &told->addr[1]) == 0);
	__atomic_store_n(&told->tid[1], gettid(), __ATOMIC_RELEASE);
	wait_forever();
	return NULL;
}

static void handler(int sig)
{
	(void)sig;
}

static void make_threads(struct told *told, int ready)
{
	struct sigaction act = { .sa_handler = handler, .sa_flags = SA_RESTART | SA_NODEFER };
	struct rlimit limit = { 111, 222 };
	gid_t groups[3] = { 5, 60, 70 };
	cpu_set_t cpus;
	sigset_t mask;
	pthread_t t;

	(void)ready;
	sigaddset(&act.sa_mask, SIGTERM);
	sigaction(SIGUSR2, &act, NULL);
	signal(SIGHUP, SIG_IGN);
	CHECK_CHILD(setpgid(0, 0) == 0);
	umask(027);
	CHECK_CHILD(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK_CHILD(setgroups(3, groups) == 0);
	CHECK_CHILD(chdir("/usr") == 0);
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	CHECK_CHILD(sched_setaffinity(0, sizeof(cpus), &cpus) == 0);
	prctl(PR_SET_NAME, "first");
	prctl(PR_SET_CHILD_SUBREAPER, 1L);
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	pthread_sigmask(SIG_BLOCK, &mask, NULL);
	CHECK_CHILD(kill(getpid(), SIGINT) == 0);
	told->tid[0] = getpid();
	told->addr[2] = (uint64_t)sbrk(0);
	told->addr[3] = (uint64_t)(uintptr_t)handler;
	CHECK_CHILD(pthread_create(&t, NULL, named_thread, told) == 0);
	while (!__atomic_load_n(&told->tid[1], __ATOMIC_ACQUIRE))
		sched_yield();
	prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L);
}

static uint64_t sig_bit(int sig)
{
	return 1ULL << (sig - 1);
}

static void test_snapshot_take__threads(void **state)
{
	const struct rec_task *first, *second;
	struct child c;

	(void)state;
	child_start(&c, make_threads);
	child_snapshot_paused(&c);
	assert_int_equal(c.snap->n_tasks, 2);
	first = snapshot_task(c.snap, c.pid);
	second = snapshot_task(c.snap, c.told->tid[1]);
	assert_non_null(first);
	assert_non_null(second);
	assert_ptr_equal(first, c.snap->tasks[0]);
	assert_string_equal(first->comm, "first");
	assert_string_equal(second->comm, "second");
	assert_int_equal(second->tgid, c.pid);
	assert_int_equal(second->vtid, second->tid);
	assert_int_equal(first->ppid, getpid());
	assert_int_equal(first->tracer_tgid, 0);
	assert_int_equal(first->blocked, sig_bit(SIGINT));
	assert_int_equal(second->blocked,
			 sig_bit(SIGINT) | sig_bit(SIGUSR1) | sig_bit(SIGRTMIN + 3));
	assert_int_equal(second->pending, sig_bit(SIGUSR1));
	assert_int_equal(first->pending, 0);
	assert_int_equal(second->sas_sp, c.told->addr[0]);
	assert_int_equal(second->sas_size, 65536);
	assert_int_equal(second->fsbase, c.told->addr[1]);
	assert_int_equal(second->nice, 7);
	assert_int_equal(first->nice, getpriority(PRIO_PROCESS, 0));
	assert_int_equal(second->timer_slack_ns, 123456);
	assert_int_equal(first->cpus_mask[0], 1);
	assert_int_equal(first->cpus_mask[1], 0);
	assert_int_equal(first->pdeath_signal, SIGKILL);
	assert_int_equal(first->no_new_privs, 1);
	assert_int_equal(second->no_new_privs, 0);
	assert_int_equal(first->syscall_nr, SYS_pause);
	assert_int_equal(first->restart.kind, REC_RESTART_NONE);
	assert_true(first->mm_id == second->mm_id && first->files_id == second->files_id);
	assert_int_equal(first->robust_list_len, 24);
	assert_true(first->rseq != 0 && first->rseq != second->rseq);
	assert_int_equal(first->head.flags, 0);
	child_end(&c);
}

static void test_snapshot_take__process(void **state)
{
	const struct rec_process *process;
	const struct rec_sighand *sighand;
	const struct rec_groups *groups;
	const struct snap_path *path;
	const struct rec_mm *mm;
	char exe[PATH_MAX] = { 0 };
	struct child c;

	(void)state;
	child_start(&c, make_threads);
	child_snapshot(&c);
	process = snapshot_process(c.snap, c.pid);
	assert_non_null(process);
	assert_int_equal(process->ppid, getpid());
	assert_int_equal(process->pgid, c.pid);
	assert_int_equal(process->sid, getsid(0));
	assert_int_equal(process->n_threads, 2);
	assert_int_equal(process->umask, 027);
	assert_int_equal(process->n_children, 0);
	assert_int_equal(process->is_child_subreaper, 1);
	assert_int_equal(process->shared_pending, sig_bit(SIGINT));
	assert_int_equal(process->rlim_cur[RLIMIT_NOFILE], 111);
	assert_int_equal(process->rlim_max[RLIMIT_NOFILE], 222);
	assert_int_equal(process->rlim_cur[RLIMIT_CORE] == RLIM_INFINITY ||
				 process->rlim_cur[RLIMIT_CORE] < SECOND * 1000,
			 1);

	sighand = snapshot_sighand(c.snap, c.pid);
	assert_non_null(sighand);
	assert_int_equal(sighand->action[SIGUSR2 - 1].handler, c.told->addr[3]);
	assert_int_equal(sighand->action[SIGUSR2 - 1].flags,
			 SA_RESTART | SA_NODEFER | 0x04000000 /* SA_RESTORER */);
	assert_int_equal(sighand->action[SIGUSR2 - 1].mask, sig_bit(SIGTERM));
	assert_int_equal(sighand->action[SIGHUP - 1].handler, (uintptr_t)SIG_IGN);

	groups = snapshot_groups(c.snap, c.pid);
	assert_non_null(groups);
	assert_int_equal(groups->n, 3);
	assert_int_equal(groups->gid[0], 5);
	assert_int_equal(groups->gid[2], 70);

	path = snapshot_path(c.snap, c.pid, REC_PATH_CWD);
	assert_non_null(path);
	assert_string_equal(path->path, "/usr");
	path = snapshot_path(c.snap, c.pid, REC_PATH_EXE);
	assert_true(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	assert_string_equal(path->path, exe);
	assert_string_equal(snapshot_path(c.snap, c.pid, REC_PATH_ROOT)->path, "/");

	mm = snapshot_mm(c.snap, c.pid);
	assert_non_null(mm);
	assert_int_equal(mm->brk, c.told->addr[2]);
	assert_int_equal(mm->n_vmas, c.snap->n_vmas);
	assert_int_equal(mm->auxv[0] != 0, 1);
	child_end(&c);
}

/* --- timers --- */

static timer_t new_timer(clockid_t clock, int notify, int signo, int value)
{
	struct sigevent event = { .sigev_notify = notify, .sigev_signo = signo };
	int id = -1;

	event.sigev_value.sival_int = value;
	if (notify == SIGEV_THREAD_ID)
		event._sigev_un._tid = gettid();
	CHECK_CHILD(syscall(SYS_timer_create, clock, &event, &id) == 0);
	return (timer_t)(intptr_t)id;
}

static void arm_timer(timer_t timer, time_t seconds, time_t interval)
{
	struct itimerspec spec = { .it_value.tv_sec = seconds, .it_interval.tv_sec = interval };

	CHECK_CHILD(syscall(SYS_timer_settime, (int)(intptr_t)timer, 0, &spec, NULL) == 0);
}

static void make_timers(struct told *told, int ready)
{
	struct itimerval real = { .it_value.tv_sec = 500, .it_interval.tv_sec = 3 };
	struct itimerval virt = { .it_value.tv_sec = 300 };

	(void)told;
	(void)ready;
	for (int i = 0; i < 1000; i++)
		arm_timer(new_timer(i % 2 ? CLOCK_REALTIME : CLOCK_MONOTONIC, SIGEV_SIGNAL,
				    SIGRTMIN + i % 5, i),
			  1000 + i, i);
	arm_timer(new_timer(CLOCK_BOOTTIME, SIGEV_THREAD_ID, SIGUSR1, 7), 50, 0);
	arm_timer(new_timer(CLOCK_PROCESS_CPUTIME_ID, SIGEV_SIGNAL, SIGUSR1, 8), 60, 0);
	arm_timer(new_timer(CLOCK_THREAD_CPUTIME_ID, SIGEV_SIGNAL, SIGUSR1, 9), 70, 0);
	new_timer(CLOCK_MONOTONIC, SIGEV_NONE, 0, 10);
	CHECK_CHILD(setitimer(ITIMER_REAL, &real, NULL) == 0);
	CHECK_CHILD(setitimer(ITIMER_VIRTUAL, &virt, NULL) == 0);
}

static void assert_left(uint64_t value_ns, uint64_t set_seconds)
{
	/* The kernel adds a tick to CPU timers. */
	assert_in_range(value_ns, (set_seconds - 5) * SECOND, set_seconds * SECOND + SECOND / 100);
}

static void test_snapshot_take__a_thousand_timers(void **state)
{
	const struct rec_process *process;
	const struct rec_timer *t;
	struct child c;
	size_t first, n;

	(void)state;
	child_start(&c, make_timers);
	child_snapshot(&c);
	snapshot_timers_of(c.snap, c.pid, &first, &n);
	assert_int_equal(first, 0);
	assert_int_equal(n, 1004);
	for (int i = 0; i < 1000; i++) {
		t = c.snap->timers[i];
		assert_int_equal(t->id, i);
		assert_int_equal(t->sigval, i);
		assert_int_equal(t->clockid, i % 2 ? CLOCK_REALTIME : CLOCK_MONOTONIC);
		assert_int_equal(t->notify, SIGEV_SIGNAL);
		assert_int_equal(t->signo, SIGRTMIN + i % 5);
		assert_int_equal(t->interval_ns, (uint64_t)i * SECOND);
		assert_left(t->value_ns, 1000 + (uint64_t)i);
		assert_int_equal(t->sigqueued, 0);
		assert_int_equal(t->head.flags, 0);
	}
	t = c.snap->timers[1000];
	assert_int_equal(t->clockid, CLOCK_BOOTTIME);
	assert_int_equal(t->notify, SIGEV_THREAD_ID);
	assert_int_equal(t->notify_tid, c.pid);
	assert_left(t->value_ns, 50);
	assert_left(c.snap->timers[1001]->value_ns, 60);
	assert_left(c.snap->timers[1002]->value_ns, 70);
	assert_int_equal(c.snap->timers[1003]->notify, SIGEV_NONE);
	assert_int_equal(c.snap->timers[1003]->value_ns, 0);
	process = snapshot_process(c.snap, c.pid);
	assert_left(process->it_real.value_ns, 500);
	assert_int_equal(process->it_real.interval_ns, 3 * SECOND);
	assert_left(process->it_virt.value_ns, 300);
	assert_int_equal(process->it_prof.value_ns, 0);
	assert_int_equal(process->next_posix_timer_id, 1004);
	child_end(&c);
}

static void make_groups(struct told *told, int ready)
{
	static gid_t groups[20001];

	(void)told;
	(void)ready;
	for (gid_t i = 0; i < 20001; i++)
		groups[i] = i + 10;
	CHECK_CHILD(setgroups(20001, groups) == 0);
}

static void test_snapshot_take__twenty_thousand_groups(void **state)
{
	const struct rec_groups *groups;
	struct child c;

	(void)state;
	child_start(&c, make_groups);
	child_snapshot(&c);
	assert_int_equal(c.snap->n_groups, 1);
	groups = snapshot_groups(c.snap, c.pid);
	assert_int_equal(groups->n, 20001);
	for (uint32_t i = 0; i < groups->n; i++)
		assert_int_equal(groups->gid[i], i + 10);
	assert_int_equal(snapshot_task(c.snap, c.pid)->cred.ngroups, 20001);
	child_end(&c);
}

/* --- memory areas --- */

#define N_AREAS 5000

static void make_areas(struct told *told, int ready)
{
	char *p = mmap(NULL, N_AREAS * 4096UL, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	(void)ready;
	CHECK_CHILD(p != MAP_FAILED && fd >= 0 && ftruncate(fd, 65536) == 0);
	for (int i = 0; i < N_AREAS; i += 2)
		CHECK_CHILD(mprotect(p + i * 4096L, 4096, PROT_READ | PROT_WRITE) == 0);
	told->addr[0] = (uint64_t)p;
	p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 4096);
	CHECK_CHILD(p != MAP_FAILED);
	told->addr[1] = (uint64_t)p;
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	told->addr[2] = (uint64_t)p;
	p = mmap(NULL, 1UL << 40, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK_CHILD(p != MAP_FAILED);
	told->addr[3] = (uint64_t)p;
}

static const struct snap_vma *find_area(const struct child *c, uint64_t start)
{
	for (size_t i = 0; i < c->snap->n_vmas; i++) {
		if (c->snap->vmas[i].rec->start == start)
			return &c->snap->vmas[i];
	}
	return NULL;
}

static void test_snapshot_take__areas(void **state)
{
	const struct snap_vma *area;
	struct child c;
	uint64_t end = 0;
	bool vdso = false;

	(void)state;
	child_start(&c, make_areas);
	child_snapshot(&c);
	assert_int_equal(snapshot_mm(c.snap, c.pid)->n_vmas, c.snap->n_vmas);
	for (size_t i = 0; i < c.snap->n_vmas; i++) {
		area = &c.snap->vmas[i];
		assert_true(area->rec->start >= end);
		end = area->rec->end;
		if (area->rec->special && strcmp(area->rec->anon_name, "[vdso]") == 0) {
			vdso = true;
			assert_int_equal(area->rec->start, snapshot_mm(c.snap, c.pid)->vdso);
		}
	}
	assert_true(vdso);
	for (uint64_t i = 0; i < N_AREAS - 1; i++) {
		area = find_area(&c, c.told->addr[0] + i * 4096);
		assert_non_null(area);
		assert_int_equal(area->rec->vm_flags & 3, i % 2 ? 1 : 3);
		assert_int_equal(area->rec->has_file, 0);
	}
	area = find_area(&c, c.told->addr[1]);
	assert_non_null(area);
	assert_int_equal(area->rec->end - area->rec->start, 8192);
	assert_int_equal(area->rec->pgoff_bytes, 4096);
	assert_int_equal(area->rec->vm_flags & 8, 8); /* VM_SHARED */
	assert_int_equal(area->rec->has_file, 1);
	assert_int_equal(area->rec->inode.unhashed, 1);
	assert_int_equal(area->rec->inode.size, 65536);
	assert_int_equal(area->rec->inode.nlink, 0);
	assert_null(strstr(area->path, "(deleted)"));
	area = find_area(&c, c.told->addr[2]);
	assert_int_equal(area->rec->has_file, 1);
	assert_string_equal(area->path, "/dev/zero");
	assert_string_equal(area->rec->inode.fstype, "tmpfs");
	area = find_area(&c, c.told->addr[3]);
	assert_int_equal(area->rec->vm_flags & 7, 0);
	child_end(&c);
}

/* --- descriptors --- */

static void make_files(struct told *told, int ready)
{
	char name[64], renamed[80];
	int fd, fds[2], one = 1;
	struct stat st;

	snprintf(name, sizeof(name), "/tmp/test_snapshot.%d", getpid());
	snprintf(renamed, sizeof(renamed), "%s (deleted)", name);
	fd = open(name, O_CREAT | O_EXCL | O_RDWR | O_APPEND, 0640);
	CHECK_CHILD(fd >= 0 && write(fd, "hello", 5) == 5 && fstat(fd, &st) == 0);
	CHECK_CHILD(dup2(fd, 50) == 50);
	CHECK_CHILD(dup3(fd, 51, O_CLOEXEC) == 51);
	CHECK_CHILD(rename(name, renamed) == 0);
	CHECK_CHILD(flock(fd, LOCK_EX) == 0);
	told->number[0] = (int64_t)st.st_ino;
	told->number[1] = st.st_mtim.tv_sec * 1000000000L + st.st_mtim.tv_nsec;
	told->number[2] = major(st.st_dev);
	told->number[3] = minor(st.st_dev);
	fd = open(renamed, O_RDONLY);
	CHECK_CHILD(dup2(fd, 52) == 52 && unlink(renamed) == 0);
	CHECK_CHILD(pipe2(fds, O_NONBLOCK) == 0 && write(fds[1], "12345", 5) == 5);
	CHECK_CHILD(write(fds[1], "678", 3) == 3);
	CHECK_CHILD(dup2(fds[0], 53) == 53 && dup2(fds[1], 54) == 54);
	/* Not left open: the counts of readers and writers are of descriptions. */
	close(fds[0]);
	close(fds[1]);
	CHECK_CHILD(dup2(socket(AF_INET, SOCK_STREAM, 0), 55) == 55);
	CHECK_CHILD(setsockopt(55, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0);
	CHECK_CHILD(dup2(open("/dev/null", O_WRONLY), 56) == 56);
	fd = posix_openpt(O_RDWR | O_NOCTTY);
	CHECK_CHILD(fd >= 0 && grantpt(fd) == 0 && unlockpt(fd) == 0);
	CHECK_CHILD(dup2(open(ptsname(fd), O_RDWR | O_NOCTTY), 57) == 57);
	CHECK_CHILD(fstat(57, &st) == 0);
	told->number[4] = minor(st.st_rdev);
	CHECK_CHILD(fcntl(54, F_SETOWN, getpid()) == 0 && fcntl(54, F_SETSIG, SIGUSR1) == 0);
	(void)ready;
}

static const struct snap_file *find_fd(const struct child *c, int fd)
{
	for (size_t i = 0; i < c->snap->n_files; i++) {
		if (c->snap->files[i].rec->fd == fd)
			return &c->snap->files[i];
	}
	fail_msg("fd %d is not in the snapshot", fd);
	return NULL;
}

static void test_snapshot_take__regular_files(void **state)
{
	const struct snap_file *a, *b, *d;
	struct child c;
	char name[80];

	(void)state;
	child_start(&c, make_files);
	child_snapshot(&c);
	a = find_fd(&c, 50);
	b = find_fd(&c, 51);
	d = find_fd(&c, 52);
	snprintf(name, sizeof(name), "/tmp/test_snapshot.%d (deleted)", c.pid);
	assert_string_equal(a->path, name);
	assert_int_equal(a->rec->inode.path_len, strlen(name));
	assert_int_equal(a->rec->inode.unhashed, 1);
	assert_int_equal(a->rec->inode.nlink, 0);
	assert_int_equal(a->rec->inode.file_id == b->rec->inode.file_id, 1);
	assert_int_equal(a->rec->inode.file_id == d->rec->inode.file_id, 0);
	assert_int_equal(a->rec->inode.inode_id == d->rec->inode.inode_id, 1);
	assert_int_equal(a->rec->cloexec, 0);
	assert_int_equal(b->rec->cloexec, 1);
	assert_int_equal(a->rec->pos, 5);
	assert_int_equal(d->rec->pos, 0);
	assert_int_equal(a->rec->has_locks, 1);
	assert_int_equal(a->rec->inode.f_flags & (O_ACCMODE | O_APPEND), O_RDWR | O_APPEND);
	assert_int_equal(d->rec->inode.f_flags & (O_ACCMODE | O_APPEND), O_RDONLY);
	assert_int_equal(a->rec->inode.mode & ~(unsigned int)077, S_IFREG | 0600);
	assert_int_equal(a->rec->inode.size, 5);
	assert_int_equal(a->rec->inode.ino, c.told->number[0]);
	assert_int_equal(a->rec->inode.mtime_ns, c.told->number[1]);
	assert_int_equal(a->rec->inode.dev_major, c.told->number[2]);
	assert_int_equal(a->rec->inode.dev_minor, c.told->number[3]);
	child_end(&c);
}

static void test_snapshot_take__other_files(void **state)
{
	const struct rec_file *r, *w, *f;
	struct child c;

	(void)state;
	child_start(&c, make_files);
	child_snapshot(&c);
	r = find_fd(&c, 53)->rec;
	w = find_fd(&c, 54)->rec;
	assert_true(r->pipe_id != 0 && r->pipe_id == w->pipe_id);
	assert_int_equal(r->pipe_bytes, 8);
	assert_int_equal(r->pipe_readers, 1);
	assert_int_equal(r->pipe_writers, 1);
	assert_int_equal(r->pipe_ring_size, 16);
	assert_string_equal(r->inode.fstype, "pipefs");
	assert_int_equal(w->fown_pid, c.pid);
	assert_int_equal(w->fown_signum, SIGUSR1);
	assert_int_equal(w->inode.f_flags & O_NONBLOCK, O_NONBLOCK);
	f = find_fd(&c, 55)->rec;
	assert_true(f->sock_id != 0);
	assert_int_equal(f->sk_family, AF_INET);
	assert_int_equal(f->sk_type, SOCK_STREAM);
	assert_int_equal(f->sk_protocol, IPPROTO_TCP);
	f = find_fd(&c, 56)->rec;
	assert_int_equal(f->inode.mode & S_IFMT, S_IFCHR);
	assert_int_equal(f->inode.rdev_major, 1);
	assert_int_equal(f->inode.rdev_minor, 3);
	assert_string_equal(find_fd(&c, 56)->path, "/dev/null");
	f = find_fd(&c, 57)->rec;
	assert_int_equal(f->tty_major, 136);
	assert_int_equal(f->tty_index, c.told->number[4]);
	assert_int_equal(f->tty_session, 0);
	child_end(&c);
}

/* --- system calls under way --- */

static void sleep_nanosleep(struct told *told, int ready)
{
	struct timespec t = { .tv_sec = 1000 }, left;

	told->addr[0] = (uint64_t)&left;
	told->number[0] = (int64_t)now_ns(CLOCK_MONOTONIC);
	say_ready(ready);
	nanosleep(&t, &left);
}

static void sleep_poll(struct told *told, int ready)
{
	struct pollfd fds[2] = { { .fd = -1 }, { .fd = -1 } };

	told->addr[0] = (uint64_t)fds;
	told->number[0] = (int64_t)now_ns(CLOCK_MONOTONIC);
	say_ready(ready);
	syscall(SYS_poll, fds, 2, 1000000);
}

static void sleep_futex(struct told *told, int ready)
{
	struct timespec t = { .tv_sec = 1000 };
	uint32_t *word = (void *)&told->number[8];

	*word = 42;
	told->addr[0] = (uint64_t)word;
	told->number[0] = (int64_t)now_ns(CLOCK_MONOTONIC);
	say_ready(ready);
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, 42, &t, NULL, 0);
}

/* Stop the child once it sleeps in the call, and give its task as it is then. */
static const struct rec_task *stop_in_call(struct child *c, uint64_t nr)
{
	uint64_t deadline = now_ns(CLOCK_MONOTONIC) + 5 * SECOND;
	const struct rec_task *task;
	int status;

	do {
		child_snapshot(c);
		task = snapshot_task(c->snap, c->pid);
		assert_non_null(task);
		assert_true(now_ns(CLOCK_MONOTONIC) < deadline);
	} while (task->syscall_nr != nr || !(task->state & 1));
	assert_int_equal(ptrace(PTRACE_SEIZE, c->pid, NULL, NULL), 0);
	assert_int_equal(ptrace(PTRACE_INTERRUPT, c->pid, NULL, NULL), 0);
	assert_int_equal(waitpid(c->pid, &status, __WALL), c->pid);
	child_snapshot(c);
	task = snapshot_task(c->snap, c->pid);
	assert_int_equal(task->tracer_tgid, getpid());
	return task;
}

static void assert_expiry(const struct child *c, const struct rec_task *task)
{
	uint64_t start = (uint64_t)c->told->number[0];

	assert_in_range(task->restart.expires_ns, start + 1000 * SECOND, start + 1010 * SECOND);
	assert_int_equal(task->restart.clockid, CLOCK_MONOTONIC);
}

static void test_restart_block__nanosleep(void **state)
{
	const struct rec_task *task;
	struct child c;

	(void)state;
	child_start(&c, sleep_nanosleep);
	task = stop_in_call(&c, SYS_clock_nanosleep);
	assert_int_equal(task->restart.kind, REC_RESTART_NANOSLEEP);
	assert_int_equal(task->restart.rmtp, c.told->addr[0]);
	/* libc's nanosleep() asks for CLOCK_REALTIME, whose relative sleeps are on the monotonic */
	assert_in_range(task->restart.expires_ns, c.told->number[0] + 1000 * (int64_t)SECOND,
			c.told->number[0] + 1010 * (int64_t)SECOND);
	child_end(&c);
}

static void test_restart_block__poll_restarted_once(void **state)
{
	const struct rec_task *task;
	struct child c;
	int status;

	(void)state;
	child_start(&c, sleep_poll);
	task = stop_in_call(&c, SYS_poll);
	assert_int_equal(task->restart.kind, REC_RESTART_POLL);
	assert_int_equal(task->restart.uaddr, c.told->addr[0]);
	assert_int_equal(task->restart.val, 2);
	assert_expiry(&c, task);
	/* Let it go on, with restart_syscall(2), and stop it again. */
	assert_int_equal(ptrace(PTRACE_CONT, c.pid, NULL, NULL), 0);
	do {
		child_snapshot(&c);
		task = snapshot_task(c.snap, c.pid);
	} while (task->syscall_nr != SYS_restart_syscall || !(task->state & 1));
	assert_int_equal(task->restart.kind, REC_RESTART_NONE);
	assert_int_equal(ptrace(PTRACE_INTERRUPT, c.pid, NULL, NULL), 0);
	assert_int_equal(waitpid(c.pid, &status, __WALL), c.pid);
	child_snapshot(&c);
	task = snapshot_task(c.snap, c.pid);
	assert_int_equal(task->restart.kind, REC_RESTART_POLL);
	assert_expiry(&c, task);
	child_end(&c);
}

static void test_restart_block__futex(void **state)
{
	const struct rec_task *task;
	struct child c;

	(void)state;
	child_start(&c, sleep_futex);
	task = stop_in_call(&c, SYS_futex);
	assert_int_equal(task->restart.kind, REC_RESTART_FUTEX);
	assert_int_equal(task->restart.uaddr, c.told->addr[0]);
	assert_int_equal(task->restart.val, 42);
	assert_int_equal(task->restart.bitset, FUTEX_BITSET_MATCH_ANY);
	assert_expiry(&c, task);
	child_end(&c);
}

/* --- groups without leader, many threads, nobody --- */

static void *other_thread(void *arg)
{
	struct told *told = arg;

	__atomic_add_fetch(&told->number[0], 1, __ATOMIC_RELEASE);
	wait_forever();
	return NULL;
}

static void make_many_threads(struct told *told, int ready)
{
	pthread_attr_t attr;
	pthread_t t;

	(void)ready;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	for (int i = 0; i < 500; i++)
		CHECK_CHILD(pthread_create(&t, &attr, other_thread, told) == 0);
	while (__atomic_load_n(&told->number[0], __ATOMIC_ACQUIRE) < 500)
		sched_yield();
}

static void test_snapshot_take__500_threads(void **state)
{
	struct child c;

	(void)state;
	child_start(&c, make_many_threads);
	child_snapshot(&c);
	assert_int_equal(c.snap->n_tasks, 501);
	assert_int_equal(c.snap->n_processes, 1);
	assert_int_equal(c.snap->n_mms, 1);
	for (size_t i = 1; i < 501; i++)
		assert_true(c.snap->tasks[i]->tid > c.snap->tasks[i - 1]->tid ||
			    c.snap->tasks[i - 1]->tid == c.pid);
	child_end(&c);
}

static void make_leaderless(struct told *told, int ready)
{
	pthread_t t;

	umask(031);
	for (int i = 0; i < 2; i++)
		CHECK_CHILD(pthread_create(&t, NULL, other_thread, told) == 0);
	while (__atomic_load_n(&told->number[0], __ATOMIC_ACQUIRE) < 2)
		sched_yield();
	say_ready(ready);
	syscall(SYS_exit, 0);
}

static void test_snapshot_take__dead_leader(void **state)
{
	uint64_t deadline = now_ns(CLOCK_MONOTONIC) + 5 * SECOND;
	struct child c;

	(void)state;
	child_start(&c, make_leaderless);
	do {
		child_snapshot(&c);
		assert_true(now_ns(CLOCK_MONOTONIC) < deadline);
	} while (snapshot_task(c.snap, c.pid)->exit_state == 0);
	assert_int_equal(c.snap->n_tasks, 3);
	assert_int_equal(c.snap->n_processes, 1);
	assert_int_equal(c.snap->n_sighands, 1);
	assert_int_equal(c.snap->n_mms, 1);
	assert_int_equal(c.snap->n_paths, 3);
	assert_int_equal(snapshot_process(c.snap, c.pid)->umask, 031);
	assert_int_equal(c.snap->n_vmas, snapshot_mm(c.snap, c.pid)->n_vmas);
	for (size_t i = 1; i < c.snap->n_files; i++)
		assert_true(c.snap->files[i].rec->fd > c.snap->files[i - 1].rec->fd);
	assert_true(c.snap->n_files > 2);
	child_end(&c);
}

static void test_snapshot_take__nobody(void **state)
{
	struct snapshot *snap = NULL;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(snapshot_take(loader, &pid, 1, SNAPSHOT_ALL, &snap, NULL), 0);
	assert_int_equal(snap->n_tasks + snap->n_vmas + snap->n_files, 0);
	assert_null(snapshot_task(snap, pid));
	snapshot_free(snap);
	pid = -1;
	assert_int_equal(snapshot_take(loader, &pid, 1, SNAPSHOT_ALL, &snap, NULL), -EINVAL);
}

/* Readers at the same time must not see each other's records. */
static void *concurrent_reader(void *arg)
{
	const struct child *c = arg;

	for (int i = 0; i < 300; i++) {
		struct snapshot *snap;

		if (snapshot_take(loader, &c->pid, 1, SNAPSHOT_ALL, &snap, NULL) < 0)
			return arg;
		for (size_t j = 0; j < snap->n_vmas; j++) {
			if (snap->vmas[j].rec->tgid != c->pid)
				return arg;
		}
		if (snap->n_tasks == 0 || snap->tasks[0]->tid != c->pid)
			return arg;
		snapshot_free(snap);
	}
	return NULL;
}

static void test_snapshot_take__concurrent_readers(void **state)
{
	pthread_t threads[8];
	struct child c[2];
	void *failed;

	(void)state;
	child_start(&c[0], make_files);
	child_start(&c[1], make_threads);
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, concurrent_reader, &c[i % 2]),
				 0);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	child_end(&c[0]);
	child_end(&c[1]);
}

/* --- the pinned set --- */

/* A set that was there before is put back at the end. */
static void test_loader_pin__life_of_a_set(void **state)
{
	bool changed, before = loader_pin_state() == LOADER_PIN_OURS;
	struct loader_why why = { 0 };
	struct loader *l = NULL;
	pid_t self = getpid();
	struct snapshot *snap;

	(void)state;
	assert_int_equal(loader_unpin(&changed, &why), 0);
	assert_int_equal(loader_pin_state(), LOADER_PIN_NONE);
	assert_int_equal(loader_unpin(&changed, &why), 0);
	assert_false(changed);
	if (loader_pin(&changed, &why) < 0)
		fail_msg("%s (%s)", why.what, why.remedy);
	assert_true(changed);
	assert_int_equal(loader_pin_state(), LOADER_PIN_OURS);
	assert_int_equal(loader_pin(&changed, &why), 0);
	assert_false(changed);
	assert_int_equal(loader_open(&l, &why), 0);
	assert_true(loader_is_pinned(l));
	assert_int_equal(snapshot_take(l, &self, 1, SNAPSHOT_ALL, &snap, &why), 0);
	assert_int_equal(snap->tasks[0]->tid, self);
	snapshot_free(snap);
	loader_close(l);

	/* Another version is not used, and replaced. */
	assert_int_equal(loader_unpin(&changed, &why), 0);
	assert_true(changed);
	assert_int_equal(mkdir(LOADER_PIN_DIR, 0700), 0);
	assert_int_equal(mkdir(LOADER_PIN_DIR "/v0-0123456789abcdef", 0700), 0);
	assert_int_equal(loader_pin_state(), LOADER_PIN_OTHER_VERSION);
	assert_int_equal(loader_open(&l, &why), 0);
	assert_false(loader_is_pinned(l));
	loader_close(l);
	assert_int_equal(loader_pin(&changed, &why), 0);
	assert_true(changed);
	assert_int_equal(loader_pin_state(), LOADER_PIN_OURS);

	/* Neither is one that is not root's. */
	assert_int_equal(chown(LOADER_PIN_DIR, 1000, 1000), 0);
	assert_int_equal(loader_pin_state(), LOADER_PIN_OTHER_VERSION);
	assert_int_equal(loader_open(&l, &why), 0);
	assert_false(loader_is_pinned(l));
	loader_close(l);
	if (before)
		assert_int_equal(loader_pin(&changed, &why), 0);
	else
		assert_int_equal(loader_unpin(&changed, &why), 0);
	assert_int_equal(loader_pin_state(), before ? LOADER_PIN_OURS : LOADER_PIN_NONE);
}

static void test_loader_open__without_privilege(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	if (pid == 0) {
		struct loader_why why = { 0 };
		struct loader *l;
		int rc;

		CHECK_CHILD(setgroups(0, NULL) == 0 && setresuid(1000, 1000, 1000) == 0);
		rc = loader_open(&l, &why);
		_exit(rc == -EPERM && strstr(why.what, "privilege") && strstr(why.remedy, "root")
			      ? 0
			      : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_snapshot_take__threads),
		cmocka_unit_test(test_snapshot_take__process),
		cmocka_unit_test(test_snapshot_take__a_thousand_timers),
		cmocka_unit_test(test_snapshot_take__twenty_thousand_groups),
		cmocka_unit_test(test_snapshot_take__areas),
		cmocka_unit_test(test_snapshot_take__regular_files),
		cmocka_unit_test(test_snapshot_take__other_files),
		cmocka_unit_test(test_restart_block__nanosleep),
		cmocka_unit_test(test_restart_block__poll_restarted_once),
		cmocka_unit_test(test_restart_block__futex),
		cmocka_unit_test(test_snapshot_take__500_threads),
		cmocka_unit_test(test_snapshot_take__dead_leader),
		cmocka_unit_test(test_snapshot_take__nobody),
		cmocka_unit_test(test_snapshot_take__concurrent_readers),
		cmocka_unit_test(test_loader_pin__life_of_a_set),
		cmocka_unit_test(test_loader_open__without_privilege),
	};

	if (geteuid() != 0) {
		puts("skipped: needs root");
		return 77;
	}
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
