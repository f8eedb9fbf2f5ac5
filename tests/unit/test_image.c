/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The image directory and the typed reading of its JSON. */
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
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <xxhash.h>

#include "core.h"
#include "image.h"

static char top[64];
static char at[512];

static const char *path(const char *name)
{
	snprintf(at, sizeof(at), "%s/%s", top, name);
	return at;
}

static int setup(void **state)
{
	(void)state;
	strcpy(top, "/tmp/test_image.XXXXXX");
	return mkdtemp(top) ? 0 : -1;
}

static int teardown(void **state)
{
	char cmd[128];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -rf %s", top);
	return system(cmd);
}

static void put(const char *name, const char *text)
{
	FILE *f = fopen(path(name), "we");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* How many entries the top directory has: no temporary directory may stay behind. */
static int top_count(void)
{
	char cmd[128];
	int n = -1;
	FILE *f;

	snprintf(cmd, sizeof(cmd), "ls -A %s | wc -l", top);
	f = popen(cmd, "re");
	assert_int_equal(fscanf(f, "%d", &n), 1);
	pclose(f);
	return n;
}

/* An image with a data file, a core and a manifest of some depth. */
static void make_image(const char *name, json_t *extra)
{
	struct image_writer w = IMAGE_WRITER_INIT;
	uint64_t auxv[2] = { 0, 0 }, bytes = 0;
	struct core_thread t = { .tid = 5 };
	struct core_process p = { .pid = 5,
				  .uid = geteuid(),
				  .gid = getegid(),
				  .auxv = auxv,
				  .n_auxv = 2,
				  .threads = &t,
				  .n_threads = 1 };
	struct core_write_opts opts = { 0 };
	struct ckpt_err *err = NULL;
	json_t *m = json_pack("{s:i, s:[{s:s, s:[i,i]}, {s:s}]}", "pid", 5, "areas", "a", "x", "l",
			      1, 2, "a", "y");
	char hex[33];

	if (image_create(&w, path(name), &err) < 0)
		fail_msg("%s", ckpt_err_text(err));
	assert_int_equal(image_data_write(&w, "pipe-1", "hello", 5, &err), 0);
	assert_int_equal(core_write(w.dir_fd, "core.5", &p, 1, -1, &opts, &bytes, hex, &err), 0);
	assert_int_equal(image_note_core(&w, "core.5", bytes, hex, &err), 0);
	if (extra)
		json_object_update(m, extra);
	json_decref(extra);
	if (image_seal(&w, m, &err) < 0)
		fail_msg("%s", ckpt_err_text(err));
	assert_true(w.bytes > bytes + 5);
	image_writer_done(&w);
	json_decref(m);
}

static void expect_open_failure(const char *name, enum ckpt_code code, const char *word)
{
	struct image im = IMAGE_INIT;
	struct ckpt_err *err = NULL;
	const struct ckpt_err *e;
	bool found = false;

	assert_true(image_open(&im, path(name), &err) < 0);
	assert_non_null(err);
	for (e = err; e; e = ckpt_err_cause(e))
		found = found || strstr(ckpt_err_text(e), word);
	if (!found || ckpt_err_code(err) != code)
		fail_msg("wanted \"%s\", got %s: %s", word, ckpt_code_name(ckpt_err_code(err)),
			 ckpt_err_text(err));
	ckpt_err_free(err);
	image_done(&im);
}

static void expect_create_failure(const char *name, enum ckpt_code code)
{
	struct image_writer w = IMAGE_WRITER_INIT;
	struct ckpt_err *err = NULL;

	assert_true(image_create(&w, name, &err) < 0);
	if (ckpt_err_code(err) != code)
		fail_msg("%s: %s", ckpt_code_name(ckpt_err_code(err)), ckpt_err_text(err));
	ckpt_err_free(err);
	image_writer_done(&w);
}

static void test_image_seal__opens_again(void **state)
{
	struct ckpt_err *err = NULL;
	struct image im = IMAGE_INIT;
	const char *format = NULL;
	struct stat st;
	char buf[8] = "";
	int fd = -1;

	(void)state;
	make_image("img", NULL);
	assert_int_equal(top_count(), 1);
	assert_int_equal(stat(path("img"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(path("img/manifest.json"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	if (image_open(&im, path("img"), &err) < 0)
		fail_msg("%s", ckpt_err_text(err));
	assert_int_equal(js_str(im.manifest, "format", &format, &err), 0);
	assert_string_equal(format, IMAGE_FORMAT);
	assert_int_equal(json_array_size(json_object_get(im.manifest, "files")), 2);
	assert_int_equal(json_array_size(json_object_get(im.manifest, "areas")), 2);
	assert_int_equal(image_file_open(&im, true, "pipe-1", &fd, &err), 0);
	assert_int_equal(read(fd, buf, 8), 5);
	assert_string_equal(buf, "hello");
	close(fd);
	assert_true(image_file_open(&im, true, "../seal", &fd, NULL) < 0);
	assert_true(image_file_open(&im, false, ".", &fd, NULL) < 0);
	assert_true(image_file_open(&im, false, "", &fd, NULL) < 0);
	assert_true(image_file_open(&im, false, "data", &fd, NULL) < 0);
	image_done(&im);
}

static void test_image_create__empty_directory_is_replaced(void **state)
{
	struct ckpt_err *err = NULL;
	struct image im = IMAGE_INIT;

	(void)state;
	mkdir(path("img"), 0755);
	make_image("img//", NULL);
	assert_int_equal(image_open(&im, path("img"), &err), 0);
	image_done(&im);
	assert_int_equal(top_count(), 1);
}

static void test_image_create__refuses_what_exists(void **state)
{
	(void)state;
	put("file", "x");
	expect_create_failure(path("file"), CKPT_E_EXISTS);
	assert_int_equal(symlink("nowhere", path("link")), 0);
	expect_create_failure(path("link"), CKPT_E_EXISTS);
	mkdir(path("dir"), 0755);
	assert_int_equal(symlink("dir", path("dirlink")), 0);
	expect_create_failure(path("dirlink"), CKPT_E_EXISTS);
	put("dir/x", "x");
	expect_create_failure(path("dir"), CKPT_E_EXISTS);
	expect_create_failure(path("dir/."), CKPT_E_EXISTS);
	expect_create_failure("", CKPT_E_EXISTS);
	expect_create_failure("/", CKPT_E_EXISTS);
	expect_create_failure("/proc", CKPT_E_EXISTS);
	expect_create_failure(path("no/such"), CKPT_E_OUTPUT);
	expect_create_failure(path("file/x"), CKPT_E_OUTPUT);
	expect_create_failure("/proc/x", CKPT_E_OUTPUT);
	assert_int_equal(top_count(), 4);
}

static void test_image_create__long_names(void **state)
{
	struct image_writer w = IMAGE_WRITER_INIT;
	char name[300];

	(void)state;
	memset(name, 'n', sizeof(name));
	name[255] = '\0';
	make_image(name, NULL);
	assert_int_equal(top_count(), 1);
	name[255] = 'n';
	name[256] = '\0';
	assert_true(image_create(&w, path(name), NULL) < 0);
	assert_int_equal(top_count(), 1);
}

static void test_image_writer_done__leaves_nothing(void **state)
{
	struct image_writer w = IMAGE_WRITER_INIT, zero = { 0 };
	struct ckpt_err *err = NULL;
	int fd = -1;

	(void)state;
	image_writer_done(&w);
	image_writer_done(&zero);
	assert_int_equal(image_create(&w, path("img"), &err), 0);
	assert_int_equal(image_data_write(&w, "a", "x", 1, &err), 0);
	assert_int_equal(image_data_open(&w, "b", &fd, &err), 0);
	assert_int_equal(write(fd, "yy", 2), 2);
	assert_int_equal(image_data_done(&w, "b", fd, &err), 0);
	close(fd);
	assert_true(image_data_open(&w, "b", &fd, NULL) < 0);
	assert_true(image_data_open(&w, "../b", &fd, NULL) < 0);
	assert_true(image_data_open(&w, ".b", &fd, NULL) < 0);
	image_writer_done(&w);
	assert_int_equal(top_count(), 0);
	image_writer_done(&w);
}

static void test_image_seal__place_taken_meanwhile(void **state)
{
	(void)state;
	for (int was_empty = 0; was_empty < 2; was_empty++) {
		struct image_writer w = IMAGE_WRITER_INIT;
		struct ckpt_err *err = NULL;
		json_t *m = json_object();

		if (was_empty)
			mkdir(path("img2"), 0755);
		assert_int_equal(image_create(&w, path(was_empty ? "img2" : "img1"), &err), 0);
		mkdir(path("img1"), 0755);
		put(was_empty ? "img2/x" : "img1/x", "x");
		assert_true(image_seal(&w, m, &err) < 0);
		assert_int_equal(ckpt_err_code(err), CKPT_E_EXISTS);
		ckpt_err_free(err);
		image_writer_done(&w);
		json_decref(m);
		assert_int_equal(top_count(), 1 + was_empty);
	}
}

static void test_image_seal__file_size_limit(void **state)
{
	struct rlimit old, tight = { .rlim_cur = 100 };
	struct image_writer w = IMAGE_WRITER_INIT;
	struct ckpt_err *err = NULL;
	json_t *m = json_object();

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	tight.rlim_max = old.rlim_max;
	for (int i = 0; i < 100; i++)
		json_object_set_new(m, (char[]){ (char)('!' + i % 90), 'k', 0 }, json_integer(i));
	assert_int_equal(image_create(&w, path("img"), &err), 0);
	setrlimit(RLIMIT_FSIZE, &tight);
	assert_int_equal(image_seal(&w, m, &err), -EFBIG);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(ckpt_err_code(err), CKPT_E_OUTPUT);
	assert_non_null(strstr(ckpt_err_text(err), "manifest.json"));
	assert_non_null(strstr(ckpt_err_hint(err), "ulimit"));
	ckpt_err_free(err);
	image_writer_done(&w);
	json_decref(m);
	assert_int_equal(top_count(), 0);
	signal(SIGXFSZ, SIG_DFL);
}

static void test_image_open__names_what_is_wrong(void **state)
{
	(void)state;
	expect_open_failure("none", CKPT_E_IMAGE, "No such file");
	put("file", "x");
	expect_open_failure("file", CKPT_E_IMAGE, "not a directory");
	mkdir(path("empty"), 0700);
	expect_open_failure("empty", CKPT_E_IMAGE, "not an image");

	make_image("a", NULL);
	unlink(path("a/seal"));
	expect_open_failure("a", CKPT_E_IMAGE, "not sealed");
	put("a/seal", "rubbish");
	expect_open_failure("a", CKPT_E_IMAGE, "seal of");
	put("a/seal", "ebpf-ckpt-seal 2 something:new\n");
	expect_open_failure("a", CKPT_E_IMAGE_VERSION, "newer");

	make_image("b", NULL);
	assert_int_equal(truncate(path("b/manifest.json"), 40), 0);
	expect_open_failure("b", CKPT_E_IMAGE, "altered or cut short");
	unlink(path("b/manifest.json"));
	mkfifo(path("b/manifest.json"), 0600);
	expect_open_failure("b", CKPT_E_IMAGE, "not a regular file");

	make_image("c", NULL);
	put("c/data/pipe-1", "hellO");
	expect_open_failure("c", CKPT_E_IMAGE, "data/pipe-1 was altered");
	put("c/data/pipe-1", "hello!");
	expect_open_failure("c", CKPT_E_IMAGE, "6 bytes");
	unlink(path("c/data/pipe-1"));
	expect_open_failure("c", CKPT_E_IMAGE, "data/pipe-1 is missing");
	assert_int_equal(symlink("/etc/passwd", path("c/data/pipe-1")), 0);
	expect_open_failure("c", CKPT_E_IMAGE, "regular file");

	make_image("d", NULL);
	put("d/core.5", "no core at all");
	expect_open_failure("d", CKPT_E_IMAGE, "core.5");
}

static void test_image_open__format_version_and_needs(void **state)
{
	struct ckpt_err *err = NULL;
	struct image im = IMAGE_INIT;

	(void)state;
	make_image("a", json_pack("{s:s}", "format", "other"));
	expect_open_failure("a", CKPT_E_IMAGE, "something else");
	make_image("b", json_pack("{s:i}", "version", 99));
	expect_open_failure("b", CKPT_E_IMAGE_VERSION, "99");
	make_image("c", json_pack("{s:[s,s]}", "required", "zstd", "time-travel"));
	expect_open_failure("c", CKPT_E_IMAGE_VERSION, "time-travel");
	make_image("d", json_pack("{s:[s]}", "required", "zstd"));
	assert_int_equal(image_open(&im, path("d"), &err), 0);
	image_done(&im);
	make_image("e", json_pack("{s:[i]}", "required", 7));
	expect_open_failure("e", CKPT_E_IMAGE, "required");
	make_image("f", json_pack("{s:i}", "version", 0));
	expect_open_failure("f", CKPT_E_IMAGE, "version 0");
}

/* Seal any text as a manifest. */
static void seal_text(const char *text)
{
	XXH128_canonical_t c;
	char seal[80] = "ebpf-ckpt-seal 1 xxh3:";
	size_t n = strlen(seal);

	XXH128_canonicalFromHash(&c, XXH3_128bits(text, strlen(text)));
	for (int i = 0; i < 16; i++)
		n += (size_t)sprintf(seal + n, "%02x", c.digest[i]);
	strcpy(seal + n, "\n");
	mkdir(path("s"), 0700);
	put("s/manifest.json", text);
	put("s/seal", seal);
}

static void test_image_open__made_up_manifests(void **state)
{
	_Alignas(8) static char deep[200001];

	(void)state;
	seal_text("");
	expect_open_failure("s", CKPT_E_IMAGE, "line");
	seal_text("[]");
	expect_open_failure("s", CKPT_E_IMAGE, "no object");
	seal_text("{}");
	expect_open_failure("s", CKPT_E_IMAGE, "format");
	seal_text("{\"format\": \"x\", \"format\": \"y\"}");
	expect_open_failure("s", CKPT_E_IMAGE, "duplicate");
	memset(deep, '[', sizeof(deep) - 1);
	seal_text(deep);
	expect_open_failure("s", CKPT_E_IMAGE, "depth");
	seal_text("{\"format\": \"ebpf-ckpt-image\", \"version\": 1}");
	expect_open_failure("s", CKPT_E_IMAGE, "files");
	seal_text("{\"format\": \"ebpf-ckpt-image\", \"version\": 1, \"files\": [{\"name\": "
		  "\"../../etc/passwd\", \"bytes\": 1, \"xxh3\": \"\"}]}");
	expect_open_failure("s", CKPT_E_IMAGE, "no name");
	seal_text("{\"format\": \"ebpf-ckpt-image\", \"version\": 1, \"files\": [7]}");
	expect_open_failure("s", CKPT_E_IMAGE, "name");
}

static void test_js__numbers(void **state)
{
	json_t *o = json_pack("{s:i, s:s, s:s, s:s, s:s, s:I, s:f, s:b}", "neg", -1, "hex",
			      "0xffffffffffffffff", "long", "0x10000000000000000", "bad", "0xfg",
			      "empty", "0x", "big", (json_int_t)1 << 40, "real", 1.5, "yes", 1);
	struct ckpt_err *err = NULL;
	uint64_t u = 3;
	int64_t i = 3;
	uint32_t u32 = 3;
	int32_t i32 = 3;
	bool b = false;

	(void)state;
	assert_true(js_u64(o, "neg", &u, NULL) < 0);
	assert_true(js_u64(o, "none", &u, &err) < 0);
	assert_non_null(strstr(ckpt_err_text(err), "none"));
	ckpt_err_free(err);
	assert_true(js_u64(o, "long", &u, NULL) < 0);
	assert_true(js_u64(o, "bad", &u, NULL) < 0);
	assert_true(js_u64(o, "empty", &u, NULL) < 0);
	assert_true(js_u64(o, "real", &u, NULL) < 0);
	assert_true(js_u64(NULL, "real", &u, NULL) < 0);
	assert_int_equal(u, 3);
	assert_int_equal(js_u64(o, "hex", &u, NULL), 0);
	assert_true(u == UINT64_MAX);
	assert_int_equal(js_i64(o, "neg", &i, NULL), 0);
	assert_int_equal(i, -1);
	assert_true(js_u32(o, "big", &u32, NULL) < 0);
	assert_true(js_i32(o, "big", &i32, NULL) < 0);
	assert_int_equal(js_i32(o, "neg", &i32, NULL), 0);
	assert_int_equal(i32, -1);
	assert_true(js_bool(o, "neg", &b, NULL) < 0);
	assert_int_equal(js_bool(o, "yes", &b, NULL), 0);
	assert_true(b);
	u = 9;
	assert_int_equal(js_opt_u64(o, "none", &u, NULL), 0);
	assert_int_equal(u, 9);
	assert_true(js_opt_u64(o, "bad", &u, NULL) < 0);
	json_decref(o);
}

static void test_js__numbers_survive(void **state)
{
	static const int64_t values[] = {
		0, 1, -1, INT64_MAX, INT64_MIN, 1LL << 53, -(1LL << 53) - 1
	};
	json_t *o = json_object();

	(void)state;
	for (size_t k = 0; k < sizeof(values) / sizeof(values[0]); k++) {
		int64_t back = 5;
		uint64_t uback = 5;

		assert_int_equal(js_set_int(o, "v", values[k]), 0);
		assert_int_equal(js_i64(o, "v", &back, NULL), 0);
		assert_true(back == values[k]);
		assert_int_equal(js_set_hex(o, "v", (uint64_t)values[k]), 0);
		assert_int_equal(js_u64(o, "v", &uback, NULL), 0);
		assert_true(uback == (uint64_t)values[k]);
	}
	json_decref(o);
}

static void test_js_bytes__any_name_survives(void **state)
{
	static const char *const names[] = { "",	 "/tmp/x", "/tmp/\xc3\xa9", "/tmp/\xff\xfe",
					     "a\nb\x7f", "\x01" };
	json_t *o = json_object(), *bad;

	(void)state;
	for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
		char *back = NULL, *text;

		assert_int_equal(js_set_bytes(o, "n", names[k]), 0);
		text = json_dumps(o, 0);
		assert_non_null(text);
		free(text);
		assert_int_equal(js_bytes(o, "n", &back, NULL), 0);
		assert_string_equal(back, names[k]);
		free(back);
	}
	bad = json_pack("{s:{s:s}, s:{s:s}, s:{s:s}, s:i, s:{}, s:s%}", "odd", "hex", "abc", "nul",
			"hex", "6100", "notahex", "hex", "zz", "num", 3, "none", "inner", "a\0b",
			(size_t)3);
	assert_non_null(bad);
	for (void *it = json_object_iter(bad); it; it = json_object_iter_next(bad, it)) {
		char *back = NULL;

		assert_true(js_bytes(bad, json_object_iter_key(it), &back, NULL) < 0);
		assert_null(back);
	}
	json_decref(bad);
	json_decref(o);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_image_seal__opens_again),
		TEST(test_image_create__empty_directory_is_replaced),
		TEST(test_image_create__refuses_what_exists),
		TEST(test_image_create__long_names),
		TEST(test_image_writer_done__leaves_nothing),
		TEST(test_image_seal__place_taken_meanwhile),
		TEST(test_image_seal__file_size_limit),
		TEST(test_image_open__names_what_is_wrong),
		TEST(test_image_open__format_version_and_needs),
		TEST(test_image_open__made_up_manifests),
		TEST(test_js__numbers),
		TEST(test_js__numbers_survive),
		TEST(test_js_bytes__any_name_survives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
