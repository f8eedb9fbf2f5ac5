// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Kinds of open files, and file locks: a child makes real ones, a real snapshot is taken, and what
 * comes back out of an image is compared. Needs root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kind.h"
#include "kinds/kinds.h"
#include "locks.h"
#include "util.h"

#define PAGE ((size_t)4096)

/* What a child tells its parent. */
struct told {
	int ready;
	int fd[16];
	pid_t pid;
};

struct child {
	pid_t pid;
	struct told *told;
	struct loader *loader; /* opened after the fork: its maps would be the child's, too */
	struct snapshot *snap;
	struct objects os;
	struct kind_dump kd;
};

static char dir[] = "/tmp/test_kinds.XXXXXX";
static unsigned char text[8192];

#define NEED(good) ((good) ? (void)0 : need_failed(__LINE__))

static void need_failed(int line)
{
	fprintf(stderr, "child: line %d: %s\n", line, strerror(errno));
	_exit(99);
}

/* The child has no descriptor but what `make` opens, and /dev/null. */
static void child_start(struct child *c, void (*make)(struct told *))
{
	struct loader_why why = { 0 };

	memset(c, 0, sizeof(*c));
	c->told = mmap(NULL, sizeof(*c->told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	assert_ptr_not_equal(c->told, MAP_FAILED);
	c->pid = fork();
	assert_true(c->pid >= 0);
	if (c->pid == 0) {
		int null = open("/dev/null", O_RDWR);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		NEED(dup2(null, 0) == 0 && dup2(null, 1) == 1);
		NEED(close_range(3, ~0U, 0) == 0 && chdir(dir) == 0);
		make(c->told);
		NEED(dup2(0, 2) == 2);
		__atomic_store_n(&c->told->ready, 1, __ATOMIC_RELEASE);
		for (;;)
			pause();
	}
	while (!__atomic_load_n(&c->told->ready, __ATOMIC_ACQUIRE)) {
		assert_int_equal(waitpid(c->pid, NULL, WNOHANG), 0);
		sched_yield();
	}
	if (loader_open(&c->loader, &why) < 0)
		fail_msg("%s (%s)", why.what, why.remedy);
	if (snapshot_take(c->loader, &c->pid, 1, SNAPSHOT_ALL, &c->snap, &why) < 0)
		fail_msg("%s (%s)", why.what, why.remedy);
	assert_int_equal(objects_collect(&c->os, c->snap, NULL), 0);
	c->kd = (struct kind_dump){ .snap = c->snap,
				    .os = &c->os,
				    .root = c->pid,
				    .root_pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0) };
	assert_true(c->kd.root_pidfd >= 0);
}

static void child_end(struct child *c)
{
	kill(c->pid, SIGKILL);
	assert_int_equal(waitpid(c->pid, NULL, __WALL), c->pid);
	close(c->kd.root_pidfd);
	objects_done(&c->os);
	snapshot_free(c->snap);
	loader_close(c->loader);
	munmap(c->told, sizeof(*c->told));
}

static const struct object_row *object_of(const struct child *c, int fd)
{
	for (size_t i = 0; i < c->snap->n_files; i++)
		if (c->snap->files[i].rec->fd == fd)
			return &c->os.row[objects_id(&c->os, c->snap->files[i].rec->inode.file_id) -
					  1];
	fail_msg("no descriptor %d in the snapshot", fd);
	return NULL;
}

/* Why a descriptor is refused; "" when it is not. Valid until the next call. */
static const char *refusal(const struct child *c, int fd)
{
	static char buf[400];
	const struct object_row *r = object_of(c, fd);
	struct ckpt_err *err = NULL;

	buf[0] = 0;
	if (r->kind->check(&c->kd, &r->f, &err) < 0)
		snprintf(buf, sizeof(buf), "%s", ckpt_err_text(err));
	ckpt_err_free(err);
	return buf;
}

/* ---- through an image and back ---- */

enum { ODD_RD, ODD_WR, PACKET_RD, FULL_RD, FULL_WR, BOTH, DEAD_WR, FIFO_RD, FIFO_WR, N_ENDS };

static void make_ends(struct told *t)
{
	unsigned char *mem =
		mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char buf[PAGE], link[40];
	int p[2];

	NEED(mem != MAP_FAILED);
	memcpy(mem, "first", 5);
	memcpy(mem + 2 * PAGE, text, PAGE);
	/* Not at a page's start. */
	NEED(pipe(p) == 0 && write(p[1], text, 5000) == 5000 && read(p[0], buf, 1111) == 1111);
	t->fd[ODD_RD] = p[0];
	t->fd[ODD_WR] = p[1];
	/* Packets whose writer, and so its O_DIRECT, is gone; one byte is one too. */
	NEED(pipe2(p, O_DIRECT) == 0 && write(p[1], text, 10) == 10 && write(p[1], "x", 1) == 1 &&
	     write(p[1], text, 4096) == 4096 && close(p[1]) == 0);
	t->fd[PACKET_RD] = p[0];
	NEED(pipe2(p, O_NONBLOCK) == 0 && fcntl(p[1], F_SETPIPE_SZ, 8192) == 8192 &&
	     write(p[1], text, 8192) == 8192);
	t->fd[FULL_RD] = p[0];
	t->fd[FULL_WR] = p[1];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", p[0]);
	t->fd[BOTH] = open(link, O_RDWR);
	NEED(t->fd[BOTH] >= 0);
	NEED(pipe(p) == 0 && write(p[1], "never", 5) == 5 && close(p[0]) == 0);
	t->fd[DEAD_WR] = p[1];
	NEED(mkfifo("fifo", 0600) == 0);
	t->fd[FIFO_RD] = open("fifo", O_RDONLY | O_NONBLOCK);
	t->fd[FIFO_WR] = open("fifo", O_WRONLY);
	NEED(t->fd[FIFO_WR] >= 0 && write(t->fd[FIFO_WR], text, 100) == 100);
}

static void save_and_open(struct child *c, struct image *im, struct kind_restore *kr)
{
	struct image_writer w = IMAGE_WRITER_INIT;
	json_t *manifest = json_object(), *rows = NULL;
	struct ckpt_err *err = NULL;
	char path[64];
	int rc;

	snprintf(path, sizeof(path), "%s/image", dir);
	c->kd.w = &w;
	rc = image_create(&w, path, 0, 0, &err);
	if (rc == 0)
		rc = objects_save(&c->os, &c->kd, true, &rows, &err);
	json_object_set_new(manifest, "objects", rows);
	if (rc == 0)
		rc = image_seal(&w, manifest, &err);
	image_writer_done(&w);
	json_decref(manifest);
	if (rc == 0)
		rc = image_open(im, path, &err);
	kr->im = im;
	kr->objects = json_object_get(im->manifest, "objects");
	if (rc == 0)
		rc = objects_need(kr, &err);
	/* A FIFO that is still in use would be mixed up. */
	kill(c->pid, SIGKILL);
	if (rc == 0) {
		siginfo_t info;

		assert_int_equal(waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOWAIT), 0);
		rc = objects_open(kr, &err);
	}
	if (rc < 0)
		fail_msg("%s", ckpt_err_text(err));
}

static void assert_reads(int fd, const void *data, size_t len)
{
	unsigned char buf[2 * sizeof(text)];

	assert_int_equal(read(fd, buf, sizeof(buf)), len);
	assert_memory_equal(buf, data, len);
}

static int restored(const struct child *c, const struct kind_restore *kr, int which)
{
	return kr->fd[object_of(c, c->told->fd[which])->id];
}

static void test_kinds__round_trip(void **state)
{
	struct kind_restore kr = { 0 };
	struct image im = IMAGE_INIT;
	unsigned char page[PAGE];
	struct child c;
	int fd, n_shmem = 0;

	(void)state;
	child_start(&c, make_ends);
	for (int i = 0; i < N_ENDS; i++)
		assert_string_equal(refusal(&c, c.told->fd[i]), "");
	save_and_open(&c, &im, &kr);

	assert_reads(restored(&c, &kr, ODD_RD), text + 1111, 5000 - 1111);
	assert_int_equal(write(restored(&c, &kr, ODD_WR), "more", 4), 4);
	assert_reads(restored(&c, &kr, ODD_RD), "more", 4);
	assert_int_equal(fcntl(restored(&c, &kr, ODD_RD), F_GETFL), O_RDONLY);

	fd = restored(&c, &kr, PACKET_RD);
	assert_reads(fd, text, 10);
	assert_reads(fd, "x", 1);
	assert_reads(fd, text, 4096);
	assert_int_equal(read(fd, page, 1), 0);

	fd = restored(&c, &kr, FULL_WR);
	assert_int_equal(fcntl(fd, F_GETPIPE_SZ), 8192);
	assert_int_equal(fcntl(fd, F_GETFL), O_WRONLY | O_NONBLOCK);
	assert_true(write(fd, "x", 1) < 0 && errno == EAGAIN);
	assert_reads(restored(&c, &kr, BOTH), text, 8192);
	assert_int_equal(write(restored(&c, &kr, BOTH), "back", 4), 4);
	assert_reads(restored(&c, &kr, FULL_RD), "back", 4);

	signal(SIGPIPE, SIG_IGN);
	assert_true(write(restored(&c, &kr, DEAD_WR), "x", 1) < 0 && errno == EPIPE);

	assert_reads(restored(&c, &kr, FIFO_RD), text, 100);
	assert_true(read(restored(&c, &kr, FIFO_RD), page, 1) < 0 && errno == EAGAIN);
	assert_int_equal(fcntl(restored(&c, &kr, FIFO_WR), F_GETFL) & (O_ACCMODE | O_NONBLOCK),
			 O_WRONLY);

	for (size_t i = 0; i < c.os.n; i++) {
		const struct object_row *r = &c.os.row[i];

		if (r->kind != &kind_shmem || r->f.inode->size != 3 * PAGE)
			continue;
		n_shmem++;
		fd = kr.fd[r->id];
		assert_int_equal(pread(fd, page, PAGE, 0), PAGE);
		assert_memory_equal(page, "first", 6);
		assert_int_equal(pread(fd, page, PAGE, 2 * PAGE), PAGE);
		assert_memory_equal(page, text, PAGE);
		/* The page that nobody touched takes no memory. */
		assert_int_equal(lseek(fd, PAGE, SEEK_DATA), 2 * PAGE);
	}
	assert_int_equal(n_shmem, 1);
	objects_close(&kr);
	image_done(&im);
	child_end(&c);
}

/* ---- what is refused ---- */

static void make_shared_pipe(struct told *t)
{
	int mine[2], shared[2];
	pid_t pid;

	NEED(pipe(mine) == 0 && pipe(shared) == 0);
	t->fd[0] = shared[0];
	t->fd[1] = shared[1];
	pid = fork();
	NEED(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(mine[0]);
		close(mine[1]);
		__atomic_store_n(&t->pid, getpid(), __ATOMIC_RELEASE);
		for (;;)
			pause();
	}
	while (!__atomic_load_n(&t->pid, __ATOMIC_ACQUIRE))
		sched_yield();
	t->fd[2] = mine[0];
}

/* After a fork the kernel's counts of ends tell nothing: both processes have the same descriptions.
 */
static void test_pipe_check__shared_by_fork(void **state)
{
	struct child c;
	char who[32];

	(void)state;
	child_start(&c, make_shared_pipe);
	snprintf(who, sizeof(who), "process %d", c.told->pid);
	assert_string_equal(refusal(&c, c.told->fd[2]), "");
	assert_non_null(strstr(refusal(&c, c.told->fd[0]), who));
	assert_non_null(strstr(refusal(&c, c.told->fd[1]), who));
	child_end(&c);
}

/* The page in which the child tells its parent what it did is shared with the parent. */
static void make_nothing(struct told *t)
{
	(void)t;
}

static void test_shmem_check__shared_with_parent(void **state)
{
	struct child c;
	int n = 0;

	(void)state;
	child_start(&c, make_nothing);
	for (size_t i = 0; i < c.os.n; i++) {
		const struct object_row *r = &c.os.row[i];
		struct ckpt_err *err = NULL;
		char who[32];

		if (r->kind != &kind_shmem)
			continue;
		n++;
		snprintf(who, sizeof(who), "process %d", getpid());
		assert_true(r->kind->check(&c.kd, &r->f, &err) < 0);
		assert_non_null(strstr(ckpt_err_text(err), who));
		ckpt_err_free(err);
	}
	assert_int_equal(n, 1);
	child_end(&c);
}

static void make_removed_fifo(struct told *t)
{
	NEED(mkfifo("removed", 0600) == 0);
	t->fd[0] = open("removed", O_RDWR);
	NEED(t->fd[0] >= 0 && unlink("removed") == 0);
}

static void test_fifo_check__removed(void **state)
{
	struct child c;

	(void)state;
	child_start(&c, make_removed_fifo);
	assert_non_null(strstr(refusal(&c, c.told->fd[0]), "removed"));
	child_end(&c);
}

/* Rows that no dump writes. */
static void test_need__hostile_rows(void **state)
{
	static const struct {
		const char *kind, *row;
	} rows[] = {
		{ "pipe", "{}" },
		{ "pipe", "{'kind':'pipe','pipe':3,'size':4096,'bytes':4097}" },
		{ "pipe", "{'kind':'pipe','pipe':3,'size':0,'bytes':0}" },
		{ "pipe",
		  "{'kind':'pipe','pipe':3,'size':4096,'bytes':2,'data':'x','packets':[1]}" },
		{ "pipe",
		  "{'kind':'pipe','pipe':3,'size':4096,'bytes':1,'data':'x','packets':[2,-1]}" },
		{ "pipe",
		  "{'kind':'pipe','pipe':3,'size':4096,'bytes':1,'data':'x','packets':{}}" },
		{ "pipe", "{'kind':'pipe','pipe':3,'size':4096,'bytes':1,'data':'../x'}" },
		{ "fifo", "{'kind':'fifo','path':'/etc/passwd','pipe':3,'size':4096,'bytes':0}" },
		{ "fifo", "{'kind':'fifo','path':'fifo','pipe':3,'size':4096,'bytes':0}" },
		{ "shmem", "{'size':0,'data':'x'}" },
		{ "shmem", "{'size':4095,'data':'x'}" },
		{ "shmem", "{'size':'0xfffffffffffff000','data':'x'}" },
		{ "shmem", "{'size':4096}" },
	};
	struct image im = IMAGE_INIT;
	struct kind_restore kr = { .im = &im };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ckpt_err *err = NULL;
		char json[200];
		json_t *o;

		snprintf(json, sizeof(json), "%s", rows[i].row);
		for (char *p = json; *p; p++)
			if (*p == '\'')
				*p = '"';
		o = json_loads(json, 0, NULL);
		assert_non_null(o);
		assert_true(kind_by_name(rows[i].kind)->need(&kr, o, &err) < 0);
		assert_non_null(err);
		ckpt_err_free(err);
		json_decref(o);
	}
}

/* ---- locks ---- */

static void lock(int fd, int cmd, short type, off_t start, off_t len)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };

	NEED(fcntl(fd, cmd, &fl) == 0);
}

static void make_locks(struct told *t)
{
	/* The lowest descriptor of the file may not take a write lock. */
	int rd = open("locked", O_RDONLY | O_CREAT, 0600), rw = open("locked", O_RDWR);
	int whole = open("whole", O_RDWR | O_CREAT, 0600);

	NEED(rd == 3 && rw == 4 && whole == 5 && dup(whole) == 6);
	lock(rw, F_SETLK, F_WRLCK, 10, 10);
	lock(rw, F_SETLK, F_RDLCK, 100, 0);
	lock(rw, F_OFD_SETLK, F_WRLCK, 50, 1);
	NEED(flock(whole, LOCK_SH) == 0);
	t->pid = fork();
	NEED(t->pid >= 0);
	if (t->pid == 0) {
		/* Another's lock of the same file. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		lock(rw, F_SETLK, F_WRLCK, 30, 1);
		__atomic_store_n(&t->fd[0], 1, __ATOMIC_RELEASE);
		for (;;)
			pause();
	}
	while (!__atomic_load_n(&t->fd[0], __ATOMIC_ACQUIRE))
		sched_yield();
}

static void test_locks_save__all_classes(void **state)
{
	static const char want[] =
		"[{\"fd\":3,\"class\":\"posix\",\"type\":\"read\",\"start\":\"0x64\",\"end\":\"0x7fffffffffffffff\"},"
		"{\"fd\":4,\"class\":\"posix\",\"type\":\"write\",\"start\":\"0xa\",\"end\":\"0x13\"},"
		"{\"fd\":4,\"class\":\"ofd\",\"type\":\"write\",\"start\":\"0x32\",\"end\":\"0x32\"},"
		"{\"fd\":5,\"class\":\"flock\",\"type\":\"read\",\"start\":\"0x0\",\"end\":\"0x7fffffffffffffff\"}]";
	json_t *rows = NULL;
	struct child c;
	char *got;

	(void)state;
	child_start(&c, make_locks);
	assert_int_equal(locks_check(c.snap, c.pid, NULL), 0);
	assert_int_equal(locks_save(c.snap, c.pid, &rows, NULL), 0);
	got = json_dumps(rows, JSON_COMPACT | JSON_PRESERVE_ORDER);
	assert_string_equal(got, want);
	free(got);
	json_decref(rows);
	child_end(&c);
}

static void make_lease(struct told *t)
{
	t->fd[0] = open("leased", O_RDWR | O_CREAT, 0600);
	NEED(t->fd[0] >= 0 && fcntl(t->fd[0], F_SETLEASE, F_WRLCK) == 0);
}

static void test_locks_check__lease(void **state)
{
	struct ckpt_err *err = NULL;
	struct child c;

	(void)state;
	child_start(&c, make_lease);
	assert_true(locks_check(c.snap, c.pid, &err) < 0);
	assert_int_equal(ckpt_err_code(err), CKPT_E_UNSUPPORTED);
	ckpt_err_free(err);
	child_end(&c);
}

/* More than one read of the iterator can tell: refused, not cut. */
static void make_many_locks(struct told *t)
{
	t->fd[0] = open("many", O_RDWR | O_CREAT, 0600);
	for (int i = 0; i < 1000; i++)
		lock(t->fd[0], F_SETLK, F_WRLCK, 2 * i, 1);
}

static void test_locks_check__too_many(void **state)
{
	struct ckpt_err *err = NULL;
	struct child c;

	(void)state;
	child_start(&c, make_many_locks);
	assert_true(locks_check(c.snap, c.pid, &err) < 0);
	ckpt_err_free(err);
	child_end(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds__round_trip),
		cmocka_unit_test(test_pipe_check__shared_by_fork),
		cmocka_unit_test(test_shmem_check__shared_with_parent),
		cmocka_unit_test(test_fifo_check__removed),
		cmocka_unit_test(test_need__hostile_rows),
		cmocka_unit_test(test_locks_save__all_classes),
		cmocka_unit_test(test_locks_check__lease),
		cmocka_unit_test(test_locks_check__too_many),
	};
	char command[80];
	int rc;

	if (geteuid() != 0) {
		fprintf(stderr, "skipped: needs root\n");
		return 77;
	}
	if (!mkdtemp(dir))
		return 1;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (unsigned char)(i * 131 >> 3);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	if (system(command) != 0)
		rc = 1;
	return rc;
}
