/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Images that somebody tampered with: thousands of mutations of a valid core, manifest and seal, by
 * a fixed seed. Each must be taken or refused with an error; run it under ASan and UBSan.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <xxhash.h>

#include "core.h"
#include "image.h"

#define CORE_ROUNDS	2500
#define MANIFEST_ROUNDS 2500
#define SEAL_ROUNDS	500
#define MEM_PAGES	24

static uint64_t seed = 0x9e3779b97f4a7c15ULL;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static const uint64_t extremes[] = {
	0,
	1,
	2,
	3,
	0x7f,
	0xff,
	0xffff,
	0xfffe,
	0x7fffffff,
	0x80000000,
	0xffffffff,
	0xfff,
	0x1000,
	0x1001,
	1ULL << 32,
	1ULL << 47,
	1ULL << 56,
	1ULL << 62,
	1ULL << 63,
	UINT64_MAX,
	UINT64_MAX - 1,
	INT64_MAX,
	-4096ULL,
	-4095ULL,
	0x7fffffffe000,
	1ULL << 52,
	1ULL << 60,
	88,
};

struct blob {
	uint8_t *data;
	size_t len;
};

static struct blob blob_read(int dir_fd, const char *name)
{
	struct blob b = { 0 };
	struct stat st;
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	b.len = (size_t)st.st_size;
	b.data = malloc(b.len + 64);
	assert_int_equal(read(fd, b.data, b.len), b.len);
	close(fd);
	return b;
}

/* A changed copy; `focus` bytes at the start get most of the changes. */
static struct blob blob_mutate(const struct blob *b, size_t focus)
{
	struct blob m = { .data = malloc(b->len + 64), .len = b->len };
	unsigned int times = 1 + (unsigned int)(rnd() % 4);

	memcpy(m.data, b->data, b->len);
	for (unsigned int i = 0; i < times && m.len > 8; i++) {
		size_t span = rnd() % 8 && focus < m.len ? focus : m.len;
		size_t at = rnd() % span;
		uint64_t v = extremes[rnd() % (sizeof(extremes) / sizeof(extremes[0]))];

		switch (rnd() % 8) {
		case 0:
		case 1:
			m.data[at] ^= (uint8_t)(1U << rnd() % 8);
			break;
		case 2:
			m.data[at] = (uint8_t)rnd();
			break;
		case 3:
			m.len = rnd() % 4 ? at : m.len - 1;
			break;
		case 4:
		case 5:
			at &= ~(size_t)7;
			if (at + 8 <= m.len)
				memcpy(m.data + at, &v, 8);
			break;
		case 6:
			at &= ~(size_t)3;
			if (at + 4 <= m.len)
				memcpy(m.data + at, &v, 4);
			break;
		default:
			at &= ~(size_t)1;
			if (at + 2 <= m.len)
				memcpy(m.data + at, &v, 2);
			break;
		}
	}
	return m;
}

struct hostile {
	char dir[64];
	int dir_fd; /* of the image */
	struct blob plain, zipped, manifest, seal;
};

static void write_core(struct image_writer *w, const char *name, uint8_t *mem, bool compress)
{
	struct core_thread t[2] = { { .tid = 7, .xstate_len = 832 },
				    { .tid = 8, .xstate_len = 832 } };
	struct core_area a[2] = {
		{ .start = 0x1000, .end = 0x3000, .path = "/bin/true" },
		{ .start = (uintptr_t)mem, .end = (uintptr_t)mem + MEM_PAGES * CORE_PAGE },
	};
	struct core_run runs[3];
	uint64_t auxv[2] = { 0, 0 }, bytes = 0;
	struct core_process p = { .pid = 7,
				  .uid = geteuid(),
				  .gid = getegid(),
				  .auxv = auxv,
				  .n_auxv = 2,
				  .threads = t,
				  .n_threads = 2,
				  .areas = a,
				  .n_areas = 2,
				  .runs = runs,
				  .n_runs = 3 };
	struct core_write_opts opts = { .compress = compress };
	struct ckpt_err *err = NULL;
	char hex[33];

	t[0].xstate = calloc(1, 832);
	t[1].xstate = calloc(1, 832);
	for (size_t i = 0; i < 3; i++)
		runs[i] = (struct core_run){ .start = (uintptr_t)mem + (1 + i * 8) * CORE_PAGE,
					     .n_pages = 2 + i,
					     .area = 1 };
	if (core_write(w->dir_fd, name, &p, getpid(), -1, &opts, &bytes, hex, &err) < 0)
		fail_msg("%s", ckpt_err_text(err));
	assert_int_equal(image_note_core(w, name, bytes, hex, &err), 0);
	free(t[0].xstate);
	free(t[1].xstate);
}

static int setup(void **state)
{
	struct image_writer w = IMAGE_WRITER_INIT;
	struct hostile *h = calloc(1, sizeof(*h));
	struct ckpt_err *err = NULL;
	char path[128];
	uint8_t *mem;
	json_t *m;

	strcpy(h->dir, "/tmp/test_hostile.XXXXXX");
	if (!mkdtemp(h->dir))
		return -1;
	snprintf(path, sizeof(path), "%s/img", h->dir);
	mem = mmap(NULL, MEM_PAGES * CORE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		   -1, 0);
	for (size_t i = 0; i < MEM_PAGES * CORE_PAGE; i++)
		mem[i] = (uint8_t)(i / 64);
	assert_int_equal(image_create(&w, path, &err), 0);
	write_core(&w, "core.7", mem, false);
	write_core(&w, "core.8", mem, true);
	assert_int_equal(image_data_write(&w, "d", "contents", 8, &err), 0);
	m = json_pack("{s:[s], s:[{s:i,s:s}]}", "required", "zstd", "tasks", "pid", 7, "name", "x");
	assert_int_equal(image_seal(&w, m, &err), 0);
	json_decref(m);
	image_writer_done(&w);
	munmap(mem, MEM_PAGES * CORE_PAGE);
	h->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	h->plain = blob_read(h->dir_fd, "core.7");
	h->zipped = blob_read(h->dir_fd, "core.8");
	h->manifest = blob_read(h->dir_fd, "manifest.json");
	h->seal = blob_read(h->dir_fd, "seal");
	*state = h;
	return 0;
}

static int teardown(void **state)
{
	struct hostile *h = *state;
	char cmd[96];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", h->dir);
	close(h->dir_fd);
	free(h->plain.data);
	free(h->zipped.data);
	free(h->manifest.data);
	free(h->seal.data);
	free(h);
	return system(cmd);
}

/* A failure has an error with it, a success has none. */
static bool outcome(int r, struct ckpt_err **err)
{
	if (r < 0) {
		assert_non_null(*err);
		assert_true(strlen(ckpt_err_text(*err)) > 0);
		ckpt_err_free(*err);
		*err = NULL;
		return false;
	}
	assert_null(*err);
	return true;
}

static int memfd_of(const struct blob *b)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, b->data, b->len), b->len);
	return fd;
}

/* Everything that can be done with a core; returns whether it opened. */
static bool try_core(const struct blob *b)
{
	struct ckpt_err *err = NULL;
	struct core_file c;
	uint64_t offset;
	char hex[33];
	int fd = memfd_of(b), out;

	outcome(core_head_xxh3(fd, hex, &err), &err);
	if (!outcome(core_open(&c, fd, &err), &err))
		return false;
	outcome(core_verify(&c, &err), &err);
	out = -1;
	if (outcome(core_pages_fd(&c, false, &out, &offset, &err), &err))
		close(out);
	out = memfd_create("out", MFD_CLOEXEC);
	outcome(core_export(&c, out, &err), &err);
	close(out);
	core_done(&c);
	return true;
}

static void test_core_open__mutated(void **state)
{
	struct hostile *h = *state;
	size_t focus = h->plain.len - 9 * CORE_PAGE; /* the head */
	unsigned int opened = 0;

	assert_true(try_core(&h->plain));
	assert_true(try_core(&h->zipped));
	for (unsigned int i = 0; i < CORE_ROUNDS; i++) {
		struct blob m = blob_mutate(i % 2 ? &h->plain : &h->zipped, focus);

		opened += try_core(&m);
		free(m.data);
	}
	/* mutations of padding, paths and pages open; those of tables do not */
	assert_in_range(opened, 1, CORE_ROUNDS - 1);
}

static void test_core_open__cut_at_every_length(void **state)
{
	struct hostile *h = *state;

	for (size_t len = 0; len < h->zipped.len; len += 1 + rnd() % 29) {
		struct blob cut = { .data = h->zipped.data, .len = len };

		assert_false(try_core(&cut));
	}
}

static void put_file(const struct hostile *h, const char *name, const void *data, size_t len)
{
	int fd = openat(h->dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

/* A seal that fits the manifest, as whoever made it up would make one. */
static void put_seal(const struct hostile *h, const struct blob *manifest)
{
	char seal[80] = "ebpf-ckpt-seal 1 xxh3:";
	size_t n = strlen(seal);
	XXH128_canonical_t c;

	XXH128_canonicalFromHash(&c, XXH3_128bits(manifest->data, manifest->len));
	for (int i = 0; i < 16; i++)
		n += (size_t)sprintf(seal + n, "%02x", c.digest[i]);
	seal[n++] = '\n';
	put_file(h, "seal", seal, n);
}

static bool try_image(const struct hostile *h)
{
	struct image im = IMAGE_INIT;
	struct ckpt_err *err = NULL;
	char path[128];
	bool ok;

	snprintf(path, sizeof(path), "%s/img", h->dir);
	ok = outcome(image_open(&im, path, &err), &err);
	image_done(&im);
	return ok;
}

static void test_image_open__mutated_manifest(void **state)
{
	struct hostile *h = *state;

	assert_true(try_image(h));
	for (unsigned int i = 0; i < MANIFEST_ROUNDS; i++) {
		struct blob m = blob_mutate(&h->manifest, h->manifest.len);

		put_file(h, "manifest.json", m.data, m.len);
		if (m.len != h->manifest.len || memcmp(m.data, h->manifest.data, m.len) != 0)
			assert_false(try_image(h)); /* the seal tells */
		put_seal(h, &m);
		try_image(h);
		put_file(h, "seal", h->seal.data, h->seal.len);
		free(m.data);
	}
	put_file(h, "manifest.json", h->manifest.data, h->manifest.len);
	assert_true(try_image(h));
}

static void test_image_open__mutated_seal(void **state)
{
	struct hostile *h = *state;

	for (unsigned int i = 0; i < SEAL_ROUNDS; i++) {
		struct blob m = blob_mutate(&h->seal, h->seal.len);

		put_file(h, "seal", m.data, m.len);
		if (m.len != h->seal.len || memcmp(m.data, h->seal.data, m.len) != 0)
			assert_false(try_image(h));
		free(m.data);
	}
	put_file(h, "seal", h->seal.data, h->seal.len);
	assert_true(try_image(h));
}

static void test_image_open__mutated_core(void **state)
{
	struct hostile *h = *state;

	for (unsigned int i = 0; i < SEAL_ROUNDS; i++) {
		size_t head = h->plain.len - 9 * CORE_PAGE;
		struct blob m = blob_mutate(&h->plain, head);

		put_file(h, "core.7", m.data, m.len);
		if (m.len != h->plain.len || memcmp(m.data, h->plain.data, head) != 0)
			assert_false(try_image(h)); /* the sum of the head tells */
		free(m.data);
	}
	put_file(h, "core.7", h->plain.data, h->plain.len);
	assert_true(try_image(h));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_core_open__mutated),
		cmocka_unit_test(test_core_open__cut_at_every_length),
		cmocka_unit_test(test_image_open__mutated_manifest),
		cmocka_unit_test(test_image_open__mutated_seal),
		cmocka_unit_test(test_image_open__mutated_core),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
