/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Seccomp filters of an image, which may be anything. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "seccomp.h"

#define ALLOW "000600007fff0000"

static int parse(struct seccomp_table *t, const char *text)
{
	json_t *o = json_loads(text, 0, NULL);
	int rc;

	assert_non_null(o);
	rc = seccomp_parse(t, o, NULL);
	json_decref(o);
	return rc;
}

static void must_fail(const char *text)
{
	struct seccomp_table t;

	if (parse(&t, text) == 0)
		fail_msg("taken: %s", text);
	seccomp_table_done(&t);
}

static void test_seccomp_parse__a_tree(void **state)
{
	struct seccomp_table t;

	(void)state;
	assert_int_equal(parse(&t, "{\"seccomp\": ["
				   "{\"prev\": 0, \"code\": \"" ALLOW ALLOW "\", \"log\": true},"
				   "{\"prev\": 1, \"code\": \"" ALLOW "\"},"
				   "{\"prev\": 1, \"code\": \"" ALLOW "\"}]}"),
			 0);
	assert_int_equal(t.n, 3);
	assert_int_equal(t.filter[0].n, 2);
	assert_true(t.filter[0].log && !t.filter[1].log);
	assert_int_equal(t.filter[0].code[1].code, BPF_RET | BPF_K);
	assert_int_equal(t.filter[0].code[1].k, 0x7fff0000);
	assert_int_equal(t.filter[2].prev, 1);
	assert_int_equal(t.filter[2].depth, 2);
	seccomp_table_done(&t);
	assert_int_equal(parse(&t, "{}"), 0);
	assert_int_equal(t.n, 0);
	seccomp_table_done(&t);
}

static void test_seccomp_parse__bad_rows(void **state)
{
	(void)state;
	must_fail("{\"seccomp\": 1}");
	must_fail("{\"seccomp\": [1]}");
	must_fail("{\"seccomp\": [{\"code\": \"" ALLOW "\"}]}");
	must_fail("{\"seccomp\": [{\"prev\": 1, \"code\": \"" ALLOW "\"}]}");
	must_fail("{\"seccomp\": [{\"prev\": -1, \"code\": \"" ALLOW "\"}]}");
	must_fail("{\"seccomp\": [{\"prev\": 0, \"code\": \"\"}]}");
	must_fail("{\"seccomp\": [{\"prev\": 0, \"code\": \"0006\"}]}");
	must_fail("{\"seccomp\": [{\"prev\": 0, \"code\": \"000600007fff000G\"}]}");
	must_fail("{\"seccomp\": [{\"prev\": 0, \"code\": \"000600007FFF0000\"}]}");
	must_fail("{\"seccomp\": [{\"prev\": 0, \"code\": \"" ALLOW "\", \"log\": 1}]}");
}

static void test_seccomp_parse__too_long(void **state)
{
	size_t n = BPF_MAXINSNS + 1;
	char *code = malloc(n * 16 + 1), *text = malloc(n * 16 + 100);

	(void)state;
	for (size_t i = 0; i < n; i++)
		memcpy(code + i * 16, ALLOW, 17);
	snprintf(text, n * 16 + 100, "{\"seccomp\": [{\"prev\": 0, \"code\": \"%s\"}]}", code);
	must_fail(text);
	free(code);
	free(text);
}

static int parse_thread(const char *text, uint32_t *filter, bool *strict)
{
	struct seccomp_filter two[2] = { { .depth = 1 }, { .depth = 2, .prev = 1 } };
	const struct seccomp_table t = { .filter = two, .n = 2 };
	json_t *o = json_loads(text, 0, NULL);
	int rc;

	assert_non_null(o);
	rc = seccomp_parse_thread(&t, o, filter, strict, NULL);
	json_decref(o);
	return rc;
}

static void test_seccomp_parse_thread__modes(void **state)
{
	uint32_t filter = 9;
	bool strict = true;

	(void)state;
	assert_int_equal(parse_thread("{}", &filter, &strict), 0);
	assert_true(filter == 0 && !strict);
	assert_int_equal(
		parse_thread("{\"seccomp\": {\"strict\": false, \"filter\": 2}}", &filter, &strict),
		0);
	assert_true(filter == 2 && !strict);
	assert_int_equal(parse_thread("{\"seccomp\": {\"strict\": true}}", &filter, &strict), 0);
	assert_true(filter == 0 && strict);
	/* The two exclude each other, and one of them there must be. */
	assert_true(parse_thread("{\"seccomp\": {\"strict\": true, \"filter\": 1}}", &filter,
				 &strict) < 0);
	assert_true(parse_thread("{\"seccomp\": {\"strict\": false}}", &filter, &strict) < 0);
	assert_true(parse_thread("{\"seccomp\": {\"strict\": false, \"filter\": 3}}", &filter,
				 &strict) < 0);
	assert_true(parse_thread("{\"seccomp\": {\"filter\": 1}}", &filter, &strict) < 0);
	assert_true(parse_thread("{\"seccomp\": []}", &filter, &strict) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seccomp_parse__a_tree),
		cmocka_unit_test(test_seccomp_parse__bad_rows),
		cmocka_unit_test(test_seccomp_parse__too_long),
		cmocka_unit_test(test_seccomp_parse_thread__modes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
