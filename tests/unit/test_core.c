/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Core files: written from this very process, read back, verified, exported. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <xxhash.h>

#include "core.h"

#define XSTATE_LEN 2696

/* A process of two threads whose memory is an area of ours. */
struct fixture {
	char dir[64];
	int dir_fd;
	uint8_t *mem;
	size_t mem_pages;
	struct core_area areas[4];
	struct core_run *runs;
	struct core_thread threads[2];
	uint64_t auxv[4];
	struct core_process p;
	struct core_write_opts opts;
	uint64_t bytes;
	char xxh3[33];
};

static void fill_random(uint8_t *p, size_t len, uint64_t seed)
{
	for (size_t i = 0; i + 8 <= len; i += 8) {
		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		memcpy(p + i, &seed, 8);
	}
}

static void fixture_init(struct fixture *f, size_t mem_pages, size_t n_runs)
{
	memset(f, 0, sizeof(*f));
	strcpy(f->dir, "/tmp/test_core.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->dir_fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->mem_pages = mem_pages;
	f->mem = mmap(NULL, mem_pages * CORE_PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(f->mem, MAP_FAILED);
	fill_random(f->mem, mem_pages * CORE_PAGE, 1);
	f->areas[0] = (struct core_area){ .start = 0x10000,
					  .end = 0x20000,
					  .prot = PROT_READ | PROT_EXEC,
					  .pgoff_bytes = 0x3000,
					  .path = "/bin/true" };
	f->areas[1] = (struct core_area){ .start = (uintptr_t)f->mem,
					  .end = (uintptr_t)f->mem + mem_pages * CORE_PAGE,
					  .prot = PROT_READ | PROT_WRITE };
	f->runs = calloc(n_runs + 1, sizeof(*f->runs));
	for (int i = 0; i < 2; i++) {
		f->threads[i].tid = 100 + i;
		f->threads[i].xstate = malloc(XSTATE_LEN);
		f->threads[i].xstate_len = XSTATE_LEN;
		fill_random(f->threads[i].xstate, XSTATE_LEN, 7 + (uint64_t)i);
		fill_random((uint8_t *)&f->threads[i].gpr, sizeof(f->threads[i].gpr),
			    70 + (uint64_t)i);
		f->threads[i].blocked = 0xf0f0 + (uint64_t)i;
		f->threads[i].pending = 0x0f0f;
	}
	f->threads[1].info.si_signo = SIGUSR1;
	f->threads[1].info.si_code = SI_TKILL;
	f->p = (struct core_process){
		.pid = 100,
		.uid = geteuid(),
		.gid = getegid(),
		.comm = "test",
		.args = "test core",
		.state = 'S',
		.auxv = f->auxv,
		.n_auxv = 4,
		.threads = f->threads,
		.n_threads = 2,
		.areas = f->areas,
		.n_areas = 2,
		.runs = f->runs,
		.n_runs = n_runs,
	};
}

static void fixture_done(struct fixture *f)
{
	char cmd[96];

	for (int i = 0; i < 2; i++)
		free(f->threads[i].xstate);
	free(f->runs);
	munmap(f->mem, f->mem_pages * CORE_PAGE);
	close(f->dir_fd);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", f->dir);
	assert_int_equal(system(cmd), 0);
}

/* n_runs runs of run_pages each, with a gap of one page between. */
static void fixture_runs(struct fixture *f, size_t run_pages, size_t step)
{
	for (size_t i = 0; i < f->p.n_runs; i++)
		f->runs[i] = (struct core_run){ .start = (uintptr_t)f->mem + i * step * CORE_PAGE,
						.n_pages = run_pages,
						.area = 1 };
}

static int fixture_write(struct fixture *f, struct ckpt_err **err)
{
	return core_write(f->dir_fd, "core.100", &f->p, getpid(), -1, &f->opts, &f->bytes, f->xxh3,
			  err);
}

static void fixture_open(struct fixture *f, struct core_file *c)
{
	struct ckpt_err *err = NULL;
	char hex[33];
	int fd = openat(f->dir_fd, "core.100", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(core_head_xxh3(fd, hex, &err), 0);
	assert_string_equal(hex, f->xxh3);
	if (core_open(c, fd, &err) < 0)
		fail_msg("%s", ckpt_err_text(err));
}

static void check_threads(const struct fixture *f, const struct core_file *c)
{
	assert_int_equal(c->n_threads, 2);
	for (int i = 0; i < 2; i++) {
		const struct core_thread *a = &f->threads[i], *b = &c->threads[i];

		assert_int_equal(a->tid, b->tid);
		assert_memory_equal(&a->gpr, &b->gpr, sizeof(a->gpr));
		assert_int_equal(a->xstate_len, b->xstate_len);
		assert_memory_equal(a->xstate, b->xstate, XSTATE_LEN);
		assert_memory_equal(&a->info, &b->info, sizeof(a->info));
		assert_true(a->blocked == b->blocked && a->pending == b->pending);
	}
}

/* Every page in the file that core_pages_fd() gives is the page in memory. */
static void check_pages(struct core_file *c)
{
	struct ckpt_err *err = NULL;
	uint64_t offset = 0;
	uint8_t page[CORE_PAGE];
	int fd = -1;

	if (core_pages_fd(c, true, &fd, &offset, &err) < 0)
		fail_msg("%s", ckpt_err_text(err));
	for (size_t i = 0; i < c->n_runs; i++) {
		for (uint64_t k = 0; k < c->runs[i].n_pages; k++, offset += CORE_PAGE) {
			uintptr_t at = c->runs[i].start + k * CORE_PAGE;

			assert_int_equal(pread(fd, page, sizeof(page), (off_t)offset), CORE_PAGE);
			assert_memory_equal(page, (const void *)at, CORE_PAGE);
		}
	}
	close(fd);
}

/* The segments cover the areas without gap or overlap, and those with contents are the runs. */
static void check_segments(const struct fixture *f, int fd)
{
	uint64_t at = f->areas[0].start;
	size_t run = 0, area = 0;
	Elf64_Ehdr eh;

	assert_int_equal(pread(fd, &eh, sizeof(eh), 0), sizeof(eh));
	for (unsigned int i = 1; i < eh.e_phnum; i++) {
		off_t where = (off_t)(eh.e_phoff + i * sizeof(Elf64_Phdr));
		Elf64_Phdr ph;

		assert_int_equal(pread(fd, &ph, sizeof(ph), where), sizeof(ph));
		assert_int_equal(ph.p_type, PT_LOAD);
		assert_true(ph.p_vaddr == at);
		assert_true(ph.p_memsz > 0 && ph.p_filesz <= ph.p_memsz);
		assert_true(ph.p_offset % CORE_PAGE == 0);
		if (ph.p_filesz) {
			assert_true(ph.p_vaddr == f->runs[run].start);
			assert_true(ph.p_filesz == f->runs[run].n_pages * CORE_PAGE);
			assert_true(ph.p_offset == f->runs[run].offset);
			run++;
		}
		at += ph.p_memsz;
		if (at == f->areas[area].end && ++area < f->p.n_areas)
			at = f->areas[area].start;
	}
	assert_int_equal(run, f->p.n_runs);
	assert_int_equal(area, f->p.n_areas);
}

static void test_core_write__segments_cover_the_areas(void **state)
{
	struct ckpt_err *err = NULL;
	struct core_file c;
	struct fixture f;

	(void)state;
	fixture_init(&f, 100, 4);
	fixture_runs(&f, 5, 20);
	f.runs[0].start += CORE_PAGE;			   /* a gap at the start */
	f.runs[2].start = f.runs[1].start + 5 * CORE_PAGE; /* none between */
	f.runs[3].start = f.areas[1].end - 5 * CORE_PAGE;  /* none at the end */
	assert_int_equal(fixture_write(&f, &err), 0);
	fixture_open(&f, &c);
	check_segments(&f, c.fd);
	check_pages(&c);
	core_done(&c);
	fixture_done(&f);
}

/* Write, read back, compare, verify, export, and read the export. */
static void round_trip(size_t mem_pages, size_t n_runs, size_t run_pages, size_t step,
		       bool compress, bool direct)
{
	struct ckpt_err *err = NULL;
	struct core_file c, plain;
	struct fixture f;
	struct stat st;
	int fd;

	fixture_init(&f, mem_pages, n_runs);
	fixture_runs(&f, run_pages, step);
	f.opts.compress = compress;
	f.opts.direct = direct;
	if (fixture_write(&f, &err) < 0)
		fail_msg("%s", ckpt_err_text(err));
	fixture_open(&f, &c);
	assert_int_equal(fstat(c.fd, &st), 0);
	assert_true((uint64_t)st.st_size == f.bytes);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true(c.compressed == compress);
	assert_int_equal(c.n_runs, n_runs);
	assert_true(c.n_pages == n_runs * run_pages);
	check_threads(&f, &c);
	for (size_t i = 0; i < n_runs; i++) {
		assert_true(c.runs[i].start == f.runs[i].start);
		assert_true(c.runs[i].xxh3 == XXH3_64bits((const void *)(uintptr_t)f.runs[i].start,
							  run_pages * CORE_PAGE));
	}
	assert_int_equal(core_verify(&c, &err), 0);
	check_pages(&c);

	fd = openat(f.dir_fd, "plain", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_int_equal(core_export(&c, fd, &err), 0);
	if (core_open(&plain, fd, &err) < 0)
		fail_msg("%s", ckpt_err_text(err));
	assert_false(plain.compressed);
	check_threads(&f, &plain);
	check_pages(&plain);
	core_done(&plain);
	core_done(&c);
	fixture_done(&f);
}

static void test_core_write__small(void **state)
{
	(void)state;
	round_trip(16, 3, 2, 4, false, true);
	round_trip(16, 1, 16, 16, false, false);
	round_trip(16, 0, 0, 1, false, false);
}

static void test_core_write__large_with_one_long_run(void **state)
{
	(void)state;
	round_trip(5000, 1, 5000, 5000, false, true);
	round_trip(5000, 1, 4999, 5000, false, false);
}

static void test_core_write__large_with_many_runs(void **state)
{
	(void)state;
	round_trip(6000, 2000, 2, 3, false, true);
	round_trip(9000, 3, 2900, 3000, false, true);
}

static void test_core_write__compressed(void **state)
{
	(void)state;
	round_trip(16, 3, 2, 4, true, false);
	round_trip(16, 0, 0, 1, true, false);
	round_trip(9000, 3, 2900, 3000, true, true);
	round_trip(6000, 2000, 2, 3, true, true);
}

static void test_core_write__more_segments_than_a_half_word_counts(void **state)
{
	struct ckpt_err *err = NULL;
	struct fixture f;
	struct core_file c;
	Elf64_Ehdr eh;
	Elf64_Shdr sh;

	(void)state;
	fixture_init(&f, 140000, 70000);
	fixture_runs(&f, 1, 2);
	f.opts.direct = true;
	assert_int_equal(fixture_write(&f, &err), 0);
	fixture_open(&f, &c);
	assert_int_equal(pread(c.fd, &eh, sizeof(eh), 0), sizeof(eh));
	assert_int_equal(eh.e_phnum, PN_XNUM);
	assert_int_equal(pread(c.fd, &sh, sizeof(sh), (off_t)eh.e_shoff), sizeof(sh));
	assert_int_equal(sh.sh_info, 70002);
	assert_int_equal(core_verify(&c, &err), 0);
	core_done(&c);
	fixture_done(&f);
	round_trip(140000, 70000, 1, 2, true, false);
}

static void test_core_write__reads_pages_without_read_permission(void **state)
{
	struct ckpt_err *err = NULL;
	struct core_file c;
	struct fixture f;

	(void)state;
	fixture_init(&f, 600, 2);
	fixture_runs(&f, 300, 300);
	f.runs[1].source = CORE_FROM_MEM;
	/* one in a run that says nothing of it, one run that does */
	mprotect(f.mem + 5 * CORE_PAGE, CORE_PAGE, PROT_NONE);
	mprotect(f.mem + 300 * CORE_PAGE, 300 * CORE_PAGE, PROT_NONE);
	assert_int_equal(fixture_write(&f, &err), 0);
	mprotect(f.mem, 600 * CORE_PAGE, PROT_READ | PROT_WRITE);
	fixture_open(&f, &c);
	check_pages(&c);
	core_done(&c);
	fixture_done(&f);
}

static void test_core_write__takes_stashed_pages_in_order(void **state)
{
	struct ckpt_err *err = NULL;
	struct core_file c;
	struct fixture f;
	int stash = memfd_create("stash", MFD_CLOEXEC);

	(void)state;
	fixture_init(&f, 600, 3);
	fixture_runs(&f, 200, 200);
	f.runs[0].source = f.runs[2].source = CORE_FROM_BUFFER;
	assert_int_equal(write(stash, f.mem, 200 * CORE_PAGE), 200 * CORE_PAGE);
	assert_int_equal(write(stash, f.mem + 400 * CORE_PAGE, 200 * CORE_PAGE), 200 * CORE_PAGE);
	assert_int_equal(core_write(f.dir_fd, "core.100", &f.p, getpid(), stash, &f.opts, &f.bytes,
				    f.xxh3, &err),
			 0);
	fixture_open(&f, &c);
	check_pages(&c);
	core_done(&c);
	close(stash);
	fixture_done(&f);
}

static void expect_write_failure(struct fixture *f, pid_t pid, enum ckpt_code code)
{
	struct ckpt_err *err = NULL;
	int r = core_write(f->dir_fd, "core.100", &f->p, pid, -1, &f->opts, &f->bytes, f->xxh3,
			   &err);

	assert_true(r < 0);
	assert_non_null(err);
	if (ckpt_err_code(err) != code)
		fail_msg("%s: %s", ckpt_code_name(ckpt_err_code(err)), ckpt_err_text(err));
	assert_int_equal(faccessat(f->dir_fd, "core.100", F_OK, 0), -1);
	ckpt_err_free(err);
}

static void test_core_write__process_gone(void **state)
{
	struct fixture f;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
	for (size_t pages = 20; pages <= 2000; pages += 1980) {
		fixture_init(&f, pages, 1);
		fixture_runs(&f, pages, pages);
		expect_write_failure(&f, pid, CKPT_E_GONE);
		f.runs[0].source = CORE_FROM_MEM;
		expect_write_failure(&f, pid, CKPT_E_GONE);
		fixture_done(&f);
	}
}

static void test_core_write__file_size_limit(void **state)
{
	struct rlimit old, tight = { .rlim_cur = 64 << 10, .rlim_max = RLIM_INFINITY };
	struct fixture f;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	tight.rlim_max = old.rlim_max;
	for (size_t pages = 20; pages <= 2000; pages += 1980) {
		fixture_init(&f, pages, 1);
		fixture_runs(&f, pages, pages);
		for (int how = 0; how < 3; how++) {
			f.opts.direct = how == 1;
			f.opts.compress = how == 2;
			setrlimit(RLIMIT_FSIZE, &tight);
			expect_write_failure(&f, getpid(), CKPT_E_OUTPUT);
			setrlimit(RLIMIT_FSIZE, &old);
		}
		fixture_done(&f);
	}
	signal(SIGXFSZ, SIG_DFL);
}

static int give_up(void *userdata, uint64_t done, uint64_t total)
{
	uint64_t *calls = userdata;

	assert_true(done <= total);
	++*calls;
	return 1;
}

static void test_core_write__given_up_by_progress(void **state)
{
	struct fixture f;
	uint64_t calls = 0;

	(void)state;
	fixture_init(&f, 3000, 1);
	fixture_runs(&f, 3000, 3000);
	f.opts.progress = give_up;
	f.opts.userdata = &calls;
	expect_write_failure(&f, getpid(), CKPT_E_INTERRUPTED);
	assert_int_equal(calls, 1);
	fixture_done(&f);
}

static void test_core_write__refuses_tables_that_do_not_fit(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, 16, 2);
	fixture_runs(&f, 4, 3); /* overlapping */
	expect_write_failure(&f, getpid(), CKPT_E_SYS);
	fixture_runs(&f, 4, 8);
	f.runs[1].n_pages = 9; /* past the end */
	expect_write_failure(&f, getpid(), CKPT_E_SYS);
	fixture_runs(&f, 4, 8);
	f.runs[0].area = 0; /* not its area */
	expect_write_failure(&f, getpid(), CKPT_E_SYS);
	fixture_done(&f);
}

static void test_core_verify__finds_an_altered_page(void **state)
{
	(void)state;
	for (int compress = 0; compress < 2; compress++) {
		struct ckpt_err *err = NULL;
		struct core_file c;
		struct fixture f;
		uint8_t byte;
		off_t at;
		int fd = -1;
		uint64_t offset;

		fixture_init(&f, 2000, 2);
		fixture_runs(&f, 900, 1000);
		f.opts.compress = compress;
		assert_int_equal(fixture_write(&f, &err), 0);
		fixture_open(&f, &c);
		at = (off_t)c.pages_offset + 1000 * (off_t)CORE_PAGE;
		assert_int_equal(pread(c.fd, &byte, 1, at), 1);
		byte ^= 1;
		assert_int_equal(pwrite(c.fd, &byte, 1, at), 1);
		assert_true(core_verify(&c, &err) < 0);
		assert_int_equal(ckpt_err_code(err), CKPT_E_IMAGE);
		ckpt_err_free(err);
		err = NULL;
		assert_true(core_pages_fd(&c, true, &fd, &offset, &err) < 0);
		ckpt_err_free(err);
		core_done(&c);
		fixture_done(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_core_write__small),
		cmocka_unit_test(test_core_write__large_with_one_long_run),
		cmocka_unit_test(test_core_write__large_with_many_runs),
		cmocka_unit_test(test_core_write__compressed),
		cmocka_unit_test(test_core_write__segments_cover_the_areas),
		cmocka_unit_test(test_core_write__more_segments_than_a_half_word_counts),
		cmocka_unit_test(test_core_write__reads_pages_without_read_permission),
		cmocka_unit_test(test_core_write__takes_stashed_pages_in_order),
		cmocka_unit_test(test_core_write__process_gone),
		cmocka_unit_test(test_core_write__file_size_limit),
		cmocka_unit_test(test_core_write__given_up_by_progress),
		cmocka_unit_test(test_core_write__refuses_tables_that_do_not_fit),
		cmocka_unit_test(test_core_verify__finds_an_altered_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
