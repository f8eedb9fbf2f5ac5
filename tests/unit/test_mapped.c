// SPDX-License-Identifier: LGPL-2.1-or-later
/* Which saved contents of mapped files a restore uses; and rows that refer to nothing of the kind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kind.h"
#include "util.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/test_mapped.XXXXXX";

static void put(const char *name, const char *text, size_t len, mode_t mode)
{
	char path[200];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static int group_setup(void **state)
{
	char path[200];

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/data", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	put("data/mapped-1", "words\0\0\0", 8, 0600);
	put("same", "words\0\0\0", 8, 0755);
	put("other", "worse\0\0\0", 8, 0755);
	put("longer", "words\0\0\0\0", 9, 0755);
	put("mode", "words\0\0\0", 8, 0644);
	return 0;
}

static int group_teardown(void **state)
{
	char command[200];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

#define INFO                                                                                       \
	"'info': {'dev': '1:1', 'ino': 1, 'size': 8, 'mtime_ns': 5, 'mode': 33261, 'fstype': "     \
	"'ext4'}"
#define FIRST                                                                                      \
	"'copy': {'mode': 493, 'uid': 0, 'gid': 0, 'size': 8, 'mtime_ns': 5}, 'data': 'mapped-1'"

/* Rows with %s for the directory, and ' for ". */
static int settle(const char *rows, json_t **ret, struct ckpt_err **err)
{
	struct image im = IMAGE_INIT;
	char text[2000] = "{\"objects\": [";
	size_t n = strlen(text);
	int rc;

	for (const char *p = rows; *p; p++) {
		if (*p == '%')
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", dir);
		else
			text[n++] = *p == '\'' ? '"' : *p;
		assert_true(n < sizeof(text) - 10);
	}
	snprintf(text + n, sizeof(text) - n, "]}");
	*ret = json_loads(text, 0, NULL);
	assert_non_null(*ret);
	im.dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = mapped_settle(&im, *ret, err);
	close(im.dir_fd);
	return rc;
}

static json_t *row(json_t *manifest, size_t i)
{
	return json_array_get(json_object_get(manifest, "objects"), i);
}

static void assert_copied(json_t *manifest, size_t i, bool copied)
{
	assert_null(json_object_get(row(manifest, i), "copy"));
	assert_int_equal(json_is_true(json_object_get(row(manifest, i), "deleted")), copied);
	assert_int_equal(json_object_get(row(manifest, i), "info") == NULL, copied);
}

static void test_file_or_copy(void **state)
{
	static const struct {
		const char *name;
		bool copied;
	} c[] = { { "same", false }, { "other", true },	 { "longer", true },
		  { "mode", true },  { "absent", true }, { "data", true } };

	(void)state;
	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		_cleanup_json_ json_t *m = NULL;
		char rows[500];

		snprintf(rows, sizeof(rows),
			 "{'id': 1, 'kind': 'regular', 'path': '%%/%s', " INFO ", " FIRST "}",
			 c[i].name);
		assert_int_equal(settle(rows, &m, NULL), 0);
		assert_copied(m, 0, c[i].copied);
		if (c[i].copied)
			assert_int_equal(json_integer_value(json_object_get(row(m, 0), "mode")),
					 493);
		else
			assert_int_not_equal(json_integer_value(json_object_get(
						     json_object_get(row(m, 0), "info"), "ino")),
					     1);
	}
}

/* One file stays one file: if a second description does not find it, the copy is for both. */
static void test_group(void **state)
{
	static const char *const second[] = { "same", "absent", "other" };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		_cleanup_json_ json_t *m = NULL;
		char rows[800];

		snprintf(rows, sizeof(rows),
			 "{'id': 1, 'kind': 'regular', 'path': '%%/same', " INFO ", " FIRST "},"
			 "{'id': 2, 'kind': 'regular', 'path': '%%/%s', " INFO
			 ", 'copy': {'inode_of': 1}}",
			 second[i]);
		assert_int_equal(settle(rows, &m, NULL), 0);
		assert_copied(m, 0, i > 0);
		assert_copied(m, 1, i > 0);
		assert_int_equal(json_integer_value(json_object_get(row(m, 1), "inode_of")), i > 0);
	}
}

static void test_nothing_to_do(void **state)
{
	_cleanup_json_ json_t *m = NULL;

	(void)state;
	assert_int_equal(settle("{'id': 1, 'kind': 'regular', 'path': '%/absent', " INFO "},"
				"{'id': 2, 'kind': 'pipe', 'copy': {'inode_of': 7}}, 5",
				&m, NULL),
			 0);
	assert_null(json_object_get(row(m, 0), "deleted"));
	assert_null(json_object_get(row(m, 1), "deleted"));
}

static void test_unsound(void **state)
{
	static const char *const rows[] = {
		"{'id': 1, 'kind': 'regular', 'copy': 5}",
		"{'id': 1, 'kind': 'regular', 'copy': {}}",
		"{'id': 1, 'kind': 'regular', 'copy': {'inode_of': 0}}",
		("{'id': 1, 'kind': 'regular', 'copy': {'inode_of': 2}}, "
		 "{'id': 2, 'kind': 'regular', 'path': '%/same', " INFO ", " FIRST "}"),
		"{'id': 1, 'kind': 'regular', 'copy': {'inode_of': -1}}",
		"{'id': 1, 'kind': 'regular'}, {'id': 2, 'kind': 'regular', 'copy': {'inode_of': 1}}",
		"{'id': 1, 'kind': 'regular', 'copy': {'mode': 420, 'size': 8}}",
		"{'id': 1, 'kind': 'regular', 'data': '../same', 'copy': {'mode': 420, 'size': 8}}",
		"{'id': 1, 'kind': 'regular', 'data': 'mapped-1', 'copy': {'mode': 420, 'size': 9}}",
		"{'id': 1, 'kind': 'regular', 'copy': {'mode': 420, 'size': '0xffffffffffffffff'}}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		_cleanup_json_ json_t *m = NULL;
		struct ckpt_err *err = NULL;

		assert_true(settle(rows[i], &m, &err) < 0);
		assert_int_equal(ckpt_err_code(err), CKPT_E_IMAGE);
		ckpt_err_free(err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file_or_copy),
		cmocka_unit_test(test_group),
		cmocka_unit_test(test_nothing_to_do),
		cmocka_unit_test(test_unsound),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
