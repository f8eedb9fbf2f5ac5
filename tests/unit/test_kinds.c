/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kinds of open files: the files of a real child process are looked at, saved into an image, the
 * child is ended, and the image's objects are opened in this very process, where the descriptors
 * can be asked.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "kind.h"
#include "safe.h"

#define LIMIT (1U << 20)

static struct loader *loader;
static char dir[64]; /* of all files of a test; removed with all in it */

static const char *in_dir(const char *name)
{
	static char path[4][160];
	static unsigned int at;

	at = (at + 1) % 4;
	snprintf(path[at], sizeof(path[at]), "%s/%s", dir, name);
	return path[at];
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/test_kinds.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char cmd[96];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

/* ---- a child that holds something ---- */

typedef void make_fn(void);

static void child_die(int line)
{
	fprintf(stderr, "child: line %d: %s\n", line, strerror(errno));
	_exit(99);
}

#define NEED(cond) ((cond) ? (void)0 : child_die(__LINE__))

static pid_t child_start(make_fn *make)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int fd = fcntl(ready[1], F_DUPFD_CLOEXEC, 600);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* Nothing of this process's but the way to say so. */
		syscall(SYS_close_range, 3, 599, 0);
		for (int i = 0; i < 3; i++) {
			close(i);
			NEED(open("/dev/null", O_RDWR) == i);
		}
		make();
		NEED(write(fd, "r", 1) == 1);
		close(fd);
		raise(SIGSTOP);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	assert_int_equal(waitpid(pid, NULL, WUNTRACED),
			 pid); /* stopped: nothing changes any more */
	return pid;
}

static void child_end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* ---- there and back ---- */

struct trip {
	pid_t pid;
	struct snapshot *snap;
	struct tree tree;
	struct objects os;
	struct kind_dump d;
	struct image im;
	struct kind_restore r;
	json_t *files; /* fd -> object, as an object of numbers */
};

static void fail_err(struct ckpt_err *err)
{
	char text[1024] = "";
	size_t len = 0;

	for (const struct ckpt_err *e = err; e && len < sizeof(text); e = ckpt_err_cause(e))
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", len ? " <- " : "",
					ckpt_err_text(e));
	fail_msg("%s", text);
}

static void trip_look(struct trip *t, make_fn *make)
{
	struct loader_why why = { 0 };
	struct ckpt_err *err = NULL;

	*t = (struct trip){ .im = IMAGE_INIT };
	/* The programs' maps are mapped while the loader is open: a child would inherit them. */
	t->pid = child_start(make);
	if (loader_open(&loader, &why) < 0)
		fail_msg("%s", why.what);
	if (snapshot_take(loader, &t->pid, 1, SNAPSHOT_ALL, &t->snap, &why) < 0)
		fail_msg("%s", why.what);
	if (tree_find(&t->tree, loader, t->pid, true, &err) < 0 ||
	    objects_collect(&t->os, t->snap, &t->tree, &err) < 0)
		fail_err(err);
	t->d = (struct kind_dump){
		.loader = loader, .snap = t->snap, .root = t->pid, .deleted_limit_bytes = LIMIT
	};
	if (kind_pids_open(&t->d, &t->pid, 1, &err) < 0)
		fail_err(err);
}

static void trip_done(struct trip *t)
{
	if (t->pid)
		child_end(t->pid);
	objects_close(&t->r);
	objects_done(&t->os);
	snapshot_free(t->snap);
	tree_done(&t->tree);
	image_done(&t->im);
	json_decref(t->files);
	kind_pids_close(&t->d);
	loader_close(loader);
}

/* Check, save, seal; end the child; open the image. */
static void trip_save(struct trip *t)
{
	struct image_writer w = IMAGE_WRITER_INIT;
	struct ckpt_findings *f = calloc(1, sizeof(*f));
	struct ckpt_err *err = NULL;
	json_t *objects = NULL, *m = json_object();

	if (objects_check(&t->os, &t->d, f, &err) < 0)
		fail_err(err);
	for (size_t i = 0; i < f->n; i++)
		if (f->row[i].verdict == CKPT_NO)
			fail_msg("%s: %s: %s", f->row[i].subject, f->row[i].what, f->row[i].why);
	ckpt_findings_free(f);
	t->files = json_object();
	for (size_t i = 0; i < t->snap->n_files; i++) {
		char fd[16];

		snprintf(fd, sizeof(fd), "%d", t->snap->files[i].rec->fd);
		json_object_set_new(
			t->files, fd,
			json_integer(objects_id(&t->os, t->snap->files[i].rec->inode.file_id)));
	}
	if (image_create(&w, in_dir("image"), &err) < 0)
		fail_err(err);
	t->d.w = &w;
	if (objects_save(&t->os, &t->d, true, &objects, &err) < 0)
		fail_err(err);
	json_object_set_new(m, "objects", objects);
	if (image_seal(&w, m, &err) < 0)
		fail_err(err);
	image_writer_done(&w);
	t->d.w = NULL;
	json_decref(m);
	child_end(t->pid);
	t->pid = 0;
	if (image_open(&t->im, in_dir("image"), &err) < 0)
		fail_err(err);
	t->r.loader = loader;
	t->r.im = &t->im;
	t->r.objects = json_object_get(t->im.manifest, "objects");
}

static void trip_restore(struct trip *t)
{
	struct ckpt_err *err = NULL;

	if (objects_need(&t->r, &err) < 0 || objects_number(&t->r, &err) < 0 ||
	    objects_open(&t->r, &err) < 0 || objects_connect(&t->r, &err) < 0)
		fail_err(err);
}

/* Our descriptor for what was the child's `fd`. */
static int now(const struct trip *t, int fd)
{
	char key[16];

	snprintf(key, sizeof(key), "%d", fd);
	return t->r.fd[json_integer_value(json_object_get(t->files, key))];
}

static void there_and_back(struct trip *t, make_fn *make)
{
	trip_look(t, make);
	trip_save(t);
	trip_restore(t);
}

static void assert_content(int fd, const char *want)
{
	char buf[256] = "";
	char link[64];
	int own;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	own = open(link, O_RDONLY | O_CLOEXEC);
	assert_true(own >= 0);
	assert_int_equal(read(own, buf, sizeof(buf) - 1), strlen(want));
	assert_string_equal(buf, want);
	close(own);
}

static void assert_link(int fd, const char *want)
{
	char link[64], text[200] = "";

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	assert_true(readlink(link, text, sizeof(text) - 1) > 0);
	assert_string_equal(text, want);
}

#define FLAGS_SEEN (O_ACCMODE | O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | O_SYNC | O_PATH)

/* ---- files ---- */

static void make_regular(void)
{
	int fd = open(in_dir("file"), O_RDWR | O_CREAT, 0640); /* 3 */

	NEED(fd == 3 && write(fd, "contents", 8) == 8 && lseek(fd, 3, SEEK_SET) == 3);
	NEED(open(in_dir("file"), O_WRONLY | O_APPEND | O_DSYNC) == 4);
	NEED(dup(3) == 5);
	NEED(open(in_dir("file"), O_PATH) == 6);
	NEED(open(in_dir("file"), O_RDONLY | O_NOATIME) == 7);
}

static void test_regular__position_flags_and_sharing(void **state)
{
	struct trip t;

	(void)state;
	there_and_back(&t, make_regular);
	assert_int_equal(lseek(now(&t, 3), 0, SEEK_CUR), 3);
	assert_int_equal(now(&t, 3), now(&t, 5));
	assert_int_not_equal(now(&t, 3), now(&t, 4));
	assert_int_equal(fcntl(now(&t, 3), F_GETFL) & FLAGS_SEEN, O_RDWR);
	assert_int_equal(fcntl(now(&t, 4), F_GETFL) & FLAGS_SEEN, O_WRONLY | O_APPEND | O_DSYNC);
	assert_int_equal(fcntl(now(&t, 6), F_GETFL) & FLAGS_SEEN, O_PATH);
	assert_int_equal(fcntl(now(&t, 7), F_GETFL) & FLAGS_SEEN, O_RDONLY | O_NOATIME);
	trip_done(&t);
}

static void make_unlinked(void)
{
	char big[8] = "end";
	int fd = open(in_dir("gone"), O_WRONLY | O_CREAT, 0751); /* 3 */

	NEED(fd == 3 && write(fd, "unlinked", 8) == 8 && fchmod(fd, 0751) == 0);
	NEED(open(in_dir("gone"), O_RDONLY) == 4 && lseek(4, 2, SEEK_SET) == 2);
	NEED(unlink(in_dir("gone")) == 0);
	NEED(open(dir, O_RDWR | O_TMPFILE, 0600) == 5);
	NEED(pwrite(5, big, 3, (off_t)64 << 20) == 3); /* far over the limit, but for the hole */
}

static void test_regular__unlinked_comes_back_unlinked(void **state)
{
	struct stat a, b;
	struct trip t;
	char want[200];

	(void)state;
	there_and_back(&t, make_unlinked);
	assert_int_equal(access(in_dir("gone"), F_OK), -1);
	assert_content(now(&t, 4), "unlinked");
	snprintf(want, sizeof(want), "%s (deleted)", in_dir("gone"));
	assert_link(now(&t, 3), want);
	assert_int_equal(fstat(now(&t, 3), &a), 0);
	assert_int_equal(fstat(now(&t, 4), &b), 0);
	assert_int_equal(a.st_ino, b.st_ino); /* one file, as before */
	assert_int_equal(a.st_mode & 07777, 0751);
	assert_int_equal(a.st_nlink, 0);
	assert_int_equal(lseek(now(&t, 3), 0, SEEK_CUR), 8);
	assert_int_equal(lseek(now(&t, 4), 0, SEEK_CUR), 2);
	assert_int_equal(fstat(now(&t, 5), &a), 0);
	assert_int_equal(a.st_size, ((off_t)64 << 20) + 3);
	assert_in_range(a.st_blocks, 1, 64); /* still a hole */
	assert_true(fcntl(now(&t, 5), F_GETFL) & O_TMPFILE & ~O_DIRECTORY);
	trip_done(&t);
}

static void test_regular__unlinked_name_taken_by_another(void **state)
{
	struct trip t;
	int fd;

	(void)state;
	trip_look(&t, make_unlinked);
	trip_save(&t);
	fd = open(in_dir("gone"), O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_int_equal(write(fd, "other", 5), 5);
	close(fd);
	trip_restore(&t);
	assert_content(now(&t, 4), "unlinked");
	fd = open(in_dir("gone"), O_RDONLY);
	assert_content(fd, "other");
	close(fd);
	trip_done(&t);
}

/* One "no", whose reason holds `want`. */
static void assert_refused(make_fn *make, const char *want)
{
	struct ckpt_findings *f = calloc(1, sizeof(*f));
	struct ckpt_err *err = NULL;
	struct trip t;

	trip_look(&t, make);
	if (objects_check(&t.os, &t.d, f, &err) < 0)
		fail_err(err);
	assert_int_equal(f->n_no, 1);
	for (size_t i = 0; i < f->n; i++) {
		char all[1024];

		if (f->row[i].verdict != CKPT_NO)
			continue;
		snprintf(all, sizeof(all), "%s: %s: %s; %s", f->row[i].subject, f->row[i].what,
			 f->row[i].why, f->row[i].remedy);
		if (!strstr(all, want))
			fail_msg("\"%s\" has no \"%s\"", all, want);
	}
	ckpt_findings_free(f);
	trip_done(&t);
}

static void make_big_unlinked(void)
{
	static char block[LIMIT / 4];
	int fd = open(in_dir("big"), O_RDWR | O_CREAT, 0600);

	for (int i = 0; i < 5; i++)
		NEED(write(fd, block, sizeof(block)) == sizeof(block));
	NEED(unlink(in_dir("big")) == 0);
}

static void test_check__refuses_with_the_reason(void **state)
{
	(void)state;
	assert_refused(make_big_unlinked, "--deleted-limit=2M");
}

static void make_perf_event(void)
{
	/* A software clock, of this process: always there. */
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(attr) };

	NEED(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0) == 3);
}

static void make_socket(void)
{
	NEED(socket(AF_INET, SOCK_STREAM, 0) == 3 && listen(3, 1) == 0);
}

static void test_check__names_what_is_unsupported(void **state)
{
	(void)state;
	assert_refused(make_perf_event, "fd 3: a perf event");
	assert_refused(make_socket, "TCP socket, listening on 0.0.0.0:");
}

static void make_two_needs(void)
{
	int fd = open(in_dir("changed"), O_RDWR | O_CREAT, 0600);

	NEED(fd == 3 && write(fd, "12345", 5) == 5);
	NEED(open(in_dir("lost"), O_RDWR | O_CREAT, 0600) == 4);
}

static void test_need__names_all_files(void **state)
{
	struct ckpt_err *err = NULL;
	struct trip t;
	bool changed = false, lost = false;

	(void)state;
	trip_look(&t, make_two_needs);
	trip_save(&t);
	assert_int_equal(truncate(in_dir("changed"), 2), 0);
	assert_int_equal(unlink(in_dir("lost")), 0);
	assert_true(objects_need(&t.r, &err) < 0);
	for (const struct ckpt_err *e = err; e; e = ckpt_err_cause(e)) {
		changed |= strstr(ckpt_err_text(e), "it is shorter, 2 bytes instead of 5") != NULL;
		lost |= strstr(ckpt_err_text(e), "lost is gone") != NULL;
	}
	assert_true(changed && lost);
	ckpt_err_free(err);
	/* A change may be allowed, an absence not. */
	t.r.allow_changed = true;
	err = NULL;
	assert_true(objects_need(&t.r, &err) < 0);
	assert_int_equal(ckpt_err_code(err), CKPT_E_FILE_GONE);
	assert_null(ckpt_err_cause(err));
	ckpt_err_free(err);
	trip_done(&t);
}

static void make_directory(void)
{
	for (int i = 0; i < 300; i++) {
		char name[64];

		snprintf(name, sizeof(name), "entry %d", i);
		close(open(in_dir(name), O_WRONLY | O_CREAT, 0600));
	}
	char buf[4096];

	NEED(open(dir, O_RDONLY | O_DIRECTORY) == 3);
	NEED(syscall(SYS_getdents64, 3, buf, sizeof(buf)) > 0);
}

static void test_directory__goes_on_reading(void **state)
{
	char a[4096], b[4096];
	struct trip t;
	ssize_t n;
	int fd;

	(void)state;
	there_and_back(&t, make_directory);
	fd = open(dir, O_RDONLY | O_DIRECTORY);
	assert_true(syscall(SYS_getdents64, fd, a, sizeof(a)) > 0);
	n = syscall(SYS_getdents64, fd, a, sizeof(a));
	assert_true(n > 0);
	assert_int_equal(syscall(SYS_getdents64, now(&t, 3), b, sizeof(b)), n);
	assert_memory_equal(a, b, 8); /* the same next inode */
	close(fd);
	trip_done(&t);
}

/* ---- what lives in the kernel only ---- */

static void make_pipe(void)
{
	int p[2];

	NEED(pipe(p) == 0 && p[0] == 3 && p[1] == 4);
	NEED(write(4, "stream", 6) == 6 && fcntl(4, F_SETPIPE_SZ, 8192) == 8192);
	NEED(pipe2(p, O_DIRECT | O_NONBLOCK) == 0 && p[0] == 5);
	NEED(write(6, "one", 3) == 3 && write(6, "three", 5) == 5);
	NEED(pipe(p) == 0 && p[0] == 7 && write(8, "last", 4) == 4 && close(8) == 0);
}

static void test_pipe__contents_packets_and_closed_ends(void **state)
{
	char buf[32];
	struct trip t;

	(void)state;
	there_and_back(&t, make_pipe);
	assert_int_equal(read(now(&t, 3), buf, sizeof(buf)), 6);
	assert_memory_equal(buf, "stream", 6);
	assert_int_equal(fcntl(now(&t, 3), F_GETPIPE_SZ), 8192);
	assert_int_equal(write(now(&t, 4), "x", 1), 1);
	assert_int_equal(read(now(&t, 3), buf, sizeof(buf)), 1);
	assert_int_equal(read(now(&t, 5), buf, sizeof(buf)), 3);
	assert_int_equal(read(now(&t, 5), buf, sizeof(buf)), 5);
	assert_int_equal(read(now(&t, 5), buf, sizeof(buf)), -1);
	assert_int_equal(errno, EAGAIN);
	assert_true(fcntl(now(&t, 6), F_GETFL) & O_DIRECT);
	assert_int_equal(read(now(&t, 7), buf, sizeof(buf)), 4);
	assert_int_equal(read(now(&t, 7), buf, sizeof(buf)), 0); /* nobody writes it */
	trip_done(&t);
}

static void make_memfd(void)
{
	NEED(memfd_create("name with\ncontrol", MFD_ALLOW_SEALING) == 3);
	NEED(write(3, "memory", 6) == 6 && fcntl(3, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
	NEED(open("/proc/self/fd/3", O_RDONLY) == 4);
}

static void test_memfd__contents_seals_and_second_description(void **state)
{
	struct stat a, b;
	struct trip t;

	(void)state;
	there_and_back(&t, make_memfd);
	assert_link(now(&t, 3), "/memfd:name with\ncontrol (deleted)");
	assert_content(now(&t, 4), "memory");
	assert_int_equal(fcntl(now(&t, 3), F_GET_SEALS), F_SEAL_SHRINK);
	assert_int_equal(lseek(now(&t, 3), 0, SEEK_CUR), 6);
	assert_int_equal(fcntl(now(&t, 4), F_GETFL) & FLAGS_SEEN, O_RDONLY);
	assert_int_equal(fstat(now(&t, 3), &a) | fstat(now(&t, 4), &b), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	trip_done(&t);
}

static void make_shared_memory(void)
{
	char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	NEED(p != MAP_FAILED);
	strcpy(p + 500000, "shared");
}

static void test_shmem__contents(void **state)
{
	struct trip t;
	bool found = false;

	(void)state;
	there_and_back(&t, make_shared_memory);
	for (size_t i = 1; i < t.r.n_fd; i++) {
		const json_t *o = json_array_get(t.r.objects, i - 1);
		char *p;

		if (strcmp(json_string_value(json_object_get(o, "kind")), "shmem"))
			continue;
		p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, t.r.fd[i], 0);
		assert_ptr_not_equal(p, MAP_FAILED);
		found |= !strcmp(p + 500000, "shared");
		munmap(p, 1 << 20);
	}
	assert_true(found);
	trip_done(&t);
}

static void make_pty(void)
{
	NEED(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK) == 3 && unlockpt(3) == 0);
	NEED(open(ptsname(3), O_RDWR | O_NOCTTY) == 4);
	NEED(write(3, "one\ntwo", 7) == 7 && write(4, "out\n", 4) == 4);
}

static void test_pty__queues_of_both_ends(void **state)
{
	char buf[64] = "";
	struct trip t;

	(void)state;
	there_and_back(&t, make_pty);
	assert_int_equal(read(now(&t, 4), buf, sizeof(buf)), 4);
	assert_memory_equal(buf, "one\n", 4);
	/* The echo and the program's output, in the order in which they came there. */
	assert_int_equal(read(now(&t, 3), buf, sizeof(buf)), 13);
	assert_non_null(strstr(buf, "out\r\n"));
	assert_int_equal(read(now(&t, 3), buf, sizeof(buf)), -1);
	assert_int_equal(errno, EAGAIN);
	trip_done(&t);
}

static void make_owner(void)
{
	int p[2];
	struct f_owner_ex ex = { F_OWNER_PID, getpid() };

	NEED(pipe(p) == 0 && fcntl(3, F_SETOWN_EX, &ex) == 0 && fcntl(3, F_SETSIG, SIGUSR1) == 0);
	NEED(fcntl(3, F_SETFL, O_ASYNC | O_NONBLOCK) == 0);
}

static pid_t saved_pid;

static pid_t our_pid(void *userdata, pid_t saved)
{
	(void)userdata;
	saved_pid = saved;
	return getpid();
}

static void test_objects_finish__process(void **state)
{
	struct ckpt_err *err = NULL;
	struct f_owner_ex ex = { 0 };
	struct trip t;
	pid_t pid;

	(void)state;
	trip_look(&t, make_owner);
	pid = t.pid;
	trip_save(&t);
	trip_restore(&t);
	t.r.pid_now = our_pid;
	if (objects_finish(&t.r, &err) < 0)
		fail_err(err);
	assert_int_equal(saved_pid, pid);
	assert_int_equal(fcntl(now(&t, 3), F_GETOWN_EX, &ex), 0);
	assert_int_equal(ex.type, F_OWNER_PID);
	assert_int_equal(ex.pid, getpid());
	assert_int_equal(fcntl(now(&t, 3), F_GETSIG), SIGUSR1);
	assert_int_equal(fcntl(now(&t, 3), F_GETFL) & (O_ASYNC | O_NONBLOCK), O_ASYNC | O_NONBLOCK);
	fcntl(now(&t, 3), F_SETFL, 0);
	trip_done(&t);
}

/* ---- images made up ---- */

static enum ckpt_code open_text(const char *text)
{
	struct image im = IMAGE_INIT;
	struct kind_restore r = { .im = &im };
	struct ckpt_err *err = NULL;
	enum ckpt_code code = CKPT_E_OK;

	r.objects = json_loads(text, 0, NULL);
	assert_non_null(r.objects);
	if (objects_need(&r, &err) < 0 || objects_number(&r, &err) < 0 ||
	    objects_open(&r, &err) < 0 || objects_connect(&r, &err) < 0) {
		assert_non_null(err);
		code = ckpt_err_code(err);
	}
	ckpt_err_free(err);
	objects_close(&r);
	json_decref(r.objects);
	return code;
}

#define TIMERFD(interval, flags)                                                                   \
	"[{\"id\":1,\"kind\":\"timerfd\",\"flags\":2,\"clock\":1,\"settime_flags\":" flags         \
	",\"interval_ns\":\"" interval "\",\"ticks\":0,\"armed\":true,\"expired\":false,"          \
	"\"expires_ns\":0,\"left_ns\":0}]"
#define WATCH(fd, object) "{\"fd\":" fd ",\"object\":" object ",\"events\":1,\"data\":0}"
/* Of three objects; the third is an epoll instance that watches the first. */
#define EPOLL(entries, ready)                                                                       \
	"[{\"id\":1,\"kind\":\"epoll\",\"flags\":2,\"entries\":[" entries "],\"ready\":[" ready     \
	"]},{\"id\":2,\"kind\":\"eventfd\",\"flags\":2,\"count\":0,\"semaphore\":false},{\"id\":3," \
	"\"kind\":\"epoll\",\"flags\":2,\"entries\":[" WATCH("9", "1") "],\"ready\":[]}]"

static void test_objects_open__made_up(void **state)
{
	static const char *const bad[] = {
		"[{}]",
		"[1]",
		"[{\"id\":2,\"kind\":\"regular\",\"flags\":0,\"path\":\"/dev/null\"}]",
		"[{\"id\":1,\"kind\":\"regular\",\"flags\":0,\"path\":\"relative\"}]",
		"[{\"id\":1,\"kind\":\"regular\",\"flags\":0,\"path\":\"/x\",\"info\":7}]",
		"[{\"id\":1,\"kind\":\"regular\",\"flags\":0,\"path\":\"/tmp/x\",\"deleted\":true,"
		"\"inode_of\":1}]",
		"[{\"id\":1,\"kind\":\"regular\",\"flags\":0,\"path\":\"/tmp/x\",\"deleted\":true,"
		"\"inode_of\":4000000000}]",
		"[{\"id\":1,\"kind\":\"regular\",\"flags\":0,\"path\":\"/tmp/x\",\"deleted\":true,"
		"\"size\":-1,\"mode\":0,\"uid\":0,\"gid\":0,\"mtime_ns\":0}]",
		"[{\"id\":1,\"kind\":\"memfd\",\"flags\":2,\"name\":\"x\",\"inode_of\":1}]",
		"[{\"id\":1,\"kind\":\"chardev\",\"flags\":0,\"path\":\"/dev/mem\",\"major\":1,"
		"\"minor\":1}]",
		"[{\"id\":1,\"kind\":\"pipe\",\"flags\":0}]",
		"[{\"id\":1,\"kind\":\"eventfd\",\"flags\":2}]",
		"[{\"id\":1,\"kind\":\"signalfd\",\"flags\":2,\"signals\":-1}]",
		TIMERFD("0x8000000000000000", "0"),
		TIMERFD("0x0", "4"),
		"[{\"id\":1,\"kind\":\"pidfd\",\"flags\":2}]",
		"[{\"id\":1,\"kind\":\"namespace\",\"flags\":0}]",
		"[{\"id\":1,\"kind\":\"namespace\",\"flags\":0,\"namespace\":\"../mem\"}]",
		"[{\"id\":1,\"kind\":\"pidfd\",\"flags\":2,\"dead\":2}]",
		/* would stop, and never end */
		"[{\"id\":1,\"kind\":\"pidfd\",\"flags\":2,\"dead\":1,\"exit_code\":19}]",
		EPOLL("", "0"),
		EPOLL(WATCH("-1", "2"), ""),
		EPOLL(WATCH("5", "4"), ""),
		EPOLL(WATCH("5", "0"), ""),
		EPOLL(WATCH("5", "2"), "1"),
		EPOLL(WATCH("5", "2"), "0,0"),
		/* itself, and one that watches it */
		EPOLL(WATCH("5", "1"), ""),
		EPOLL(WATCH("5", "3"), ""),
		"[{\"id\":1,\"kind\":\"ptmx\",\"flags\":2,\"path\":\"/dev/ptmx\"}]",
		"[{\"id\":1,\"kind\":\"tty\",\"flags\":2,\"pair\":1,\"hung_up\":false}]",
		"[{\"id\":1,\"kind\":\"tty\",\"flags\":2,\"pair\":9,\"hung_up\":true}]",
		"[{\"id\":1,\"kind\":\"tty\",\"flags\":2,\"pair\":0,\"hung_up\":true}]",
		"[{\"id\":1,\"kind\":\"tty\",\"flags\":2,\"path\":\"/dev/mem\","
		"\"device\":{\"major\":1,\"minor\":1}}]",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		enum ckpt_code code = open_text(bad[i]);

		if (code != CKPT_E_IMAGE)
			fail_msg("%s: %s", bad[i], ckpt_code_name(code));
	}
	assert_int_equal(open_text("[{\"id\":1,\"kind\":\"unheard of\",\"flags\":0}]"),
			 CKPT_E_IMAGE_VERSION);
	assert_int_equal(open_text("[{\"id\":1,\"kind\":\"unsupported\",\"flags\":0}]"),
			 CKPT_E_IMAGE_VERSION);
	assert_int_equal(open_text("[]"), CKPT_E_OK);
	assert_int_equal(open_text(TIMERFD("0x0", "0")), CKPT_E_OK);
	assert_int_equal(open_text(EPOLL(WATCH("5", "2"), "0")), CKPT_E_OK);
}

static void test_safe_text__escapes_and_cuts(void **state)
{
	char buf[16];

	(void)state;
	assert_string_equal(safe_text(buf, sizeof(buf), "a\033[1m"), "a\\x1b[1m");
	assert_string_equal(safe_text(buf, sizeof(buf), "gr\xc3\xbc\xff"), "gr\xc3\xbc\\xff");
	assert_string_equal(safe_text(buf, sizeof(buf), "0123456789abcdefghij"), "0123456789ab...");
}

int main(void)
{
	const struct CMUnitTest with_kernel[] = {
		cmocka_unit_test_setup_teardown(test_regular__position_flags_and_sharing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_regular__unlinked_comes_back_unlinked, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_regular__unlinked_name_taken_by_another, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_check__refuses_with_the_reason, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_check__names_what_is_unsupported, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_need__names_all_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_directory__goes_on_reading, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pipe__contents_packets_and_closed_ends, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_memfd__contents_seals_and_second_description,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_pty__queues_of_both_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shmem__contents, setup, teardown),
		cmocka_unit_test_setup_teardown(test_objects_finish__process, setup, teardown),
	};
	const struct CMUnitTest plain[] = {
		cmocka_unit_test(test_objects_open__made_up),
		cmocka_unit_test(test_safe_text__escapes_and_cuts),
	};
	struct loader_why why = { 0 };
	int failed = cmocka_run_group_tests_name("images made up", plain, NULL, NULL);

	if (loader_open(&loader, &why) < 0) {
		printf("skipped the rest: %s\n", why.what);
		return failed ? 1 : 77;
	}
	loader_close(loader);
	failed += cmocka_run_group_tests_name("kinds", with_kernel, NULL, NULL);
	return failed ? 1 : 0;
}
