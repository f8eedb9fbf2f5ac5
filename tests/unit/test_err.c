/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Error chains: made, wrapped, read, carried across processes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "err.h"

static void test_ckpt_fail__sets_code_errno_and_text(void **state)
{
	struct ckpt_err *err = NULL;

	(void)state;
	assert_int_equal(ckpt_fail(&err, EEXIST, CKPT_E_PID_TAKEN, "pid %d", 7), -EEXIST);
	assert_string_equal(ckpt_err_text(err), "pid 7");
	assert_int_equal(ckpt_err_code(err), CKPT_E_PID_TAKEN);
	assert_int_equal(ckpt_err_errno(err), EEXIST);
	assert_int_equal(ckpt_err_exit_status(err), 1);
	assert_null(ckpt_err_cause(err));
	ckpt_err_free(err);
}

static void test_ckpt_fail__takes_errno_of_either_sign_and_no_err(void **state)
{
	(void)state;
	assert_int_equal(ckpt_fail(NULL, -EIO, CKPT_E_SYS, "x"), -EIO);
	assert_int_equal(ckpt_fail_errno(NULL, EIO, CKPT_E_SYS, "x"), -EIO);
	assert_int_equal(ckpt_fail_nomem(NULL), -ENOMEM);
	assert_int_equal(ckpt_wrap(NULL, -5, "x"), -5);
	ckpt_hint(NULL, "x");
	ckpt_err_free(NULL);
}

static void test_ckpt_fail__keeps_the_first_error(void **state)
{
	struct ckpt_err *err = NULL;

	(void)state;
	ckpt_fail(&err, EIO, CKPT_E_SYS, "first");
	ckpt_fail(&err, EPERM, CKPT_E_LIMIT, "second");
	ckpt_fail_nomem(&err);
	assert_string_equal(ckpt_err_text(err), "first");
	ckpt_err_free(err);
}

static void test_ckpt_fail_errno__appends_the_reason(void **state)
{
	struct ckpt_err *err = NULL;

	(void)state;
	assert_int_equal(ckpt_fail_errno(&err, ENOENT, CKPT_E_SYS, "open %s", "/x"), -ENOENT);
	assert_string_equal(ckpt_err_text(err), "open /x: No such file or directory");
	ckpt_err_free(err);
}

static void test_ckpt_wrap__makes_a_chain_with_the_inner_code(void **state)
{
	struct ckpt_err *err = NULL;

	(void)state;
	ckpt_fail(&err, EBUSY, CKPT_E_UNSUPPORTED, "inner");
	assert_int_equal(ckpt_wrap(&err, -EBUSY, "fd %d", 3), -EBUSY);
	assert_string_equal(ckpt_err_text(err), "fd 3");
	assert_string_equal(ckpt_err_text(ckpt_err_cause(err)), "inner");
	assert_int_equal(ckpt_err_code(err), CKPT_E_UNSUPPORTED);
	assert_int_equal(ckpt_err_exit_status(err), 3);
	ckpt_err_free(err);
}

static void test_ckpt_err_hint__innermost_then_default(void **state)
{
	struct ckpt_err *err = NULL;

	(void)state;
	ckpt_fail(&err, EPERM, CKPT_E_PRIVILEGE, "inner");
	assert_string_equal(ckpt_err_hint(err), "run as root");
	ckpt_wrap(&err, -EPERM, "middle");
	ckpt_hint(&err, "middle hint");
	ckpt_wrap(&err, -EPERM, "outer");
	ckpt_hint(&err, "outer hint");
	assert_string_equal(ckpt_err_hint(err), "middle hint");
	ckpt_err_free(err);
	assert_string_equal(ckpt_err_hint(NULL), "");
}

static void test_ckpt_fail_nomem__needs_no_memory(void **state)
{
	struct ckpt_err *err = NULL;

	(void)state;
	assert_int_equal(ckpt_fail_nomem(&err), -ENOMEM);
	assert_int_equal(ckpt_err_code(err), CKPT_E_NOMEM);
	ckpt_hint(&err, "not written into the shared one");
	assert_string_equal(ckpt_err_hint(err), ckpt_code_hint(CKPT_E_NOMEM));
	ckpt_wrap(&err, -ENOMEM, "outer");
	assert_string_equal(ckpt_err_text(ckpt_err_cause(err)), "out of memory");
	ckpt_err_free(err);
}

static void test_ckpt_fail_loader__maps_errno_and_carries_the_remedy(void **state)
{
	struct loader_why why = { .what = "no BTF", .remedy = "CONFIG_DEBUG_INFO_BTF=y" };
	struct ckpt_err *err = NULL;

	(void)state;
	assert_int_equal(ckpt_fail_loader(&err, -ENOENT, &why), -ENOENT);
	assert_int_equal(ckpt_err_code(err), CKPT_E_KERNEL);
	assert_string_equal(ckpt_err_text(err), "no BTF");
	assert_string_equal(ckpt_err_hint(err), "CONFIG_DEBUG_INFO_BTF=y");
	ckpt_err_free(err);
	err = NULL;
	ckpt_fail_loader(&err, -EPERM, NULL);
	assert_int_equal(ckpt_err_code(err), CKPT_E_PRIVILEGE);
	ckpt_err_free(err);
}

static void test_ckpt_code__every_code_has_a_row(void **state)
{
	(void)state;
	for (int i = 0; i < CKPT_E_NR; i++) {
		enum ckpt_code c = (enum ckpt_code)i;

		assert_memory_equal(ckpt_code_name(c), "CKPT_E_", 7);
		assert_true(strlen(ckpt_code_sentence(c)) > 0);
		assert_non_null(ckpt_code_hint(c));
		assert_in_range(ckpt_code_exit_status(c), 0, 3);
	}
	assert_non_null(ckpt_code_name(CKPT_E_NR));
}

static void test_ckpt_err_to_json__comes_back_whole(void **state)
{
	struct ckpt_err *err = NULL, *back;
	char *text;

	(void)state;
	ckpt_fail(&err, ENOSPC, CKPT_E_OUTPUT, "say \"%s\"", "x\ny\xff");
	ckpt_hint(&err, "make room");
	ckpt_wrap(&err, -ENOSPC, "outer");
	text = ckpt_err_to_json(err);
	assert_non_null(text);
	assert_null(strchr(text, '\n'));
	back = ckpt_err_from_json(text);
	assert_string_equal(ckpt_err_text(back), "outer");
	assert_string_equal(ckpt_err_text(ckpt_err_cause(back)), "say \"x\ny?\"");
	assert_string_equal(ckpt_err_hint(back), "make room");
	assert_int_equal(ckpt_err_code(back), CKPT_E_OUTPUT);
	assert_int_equal(ckpt_err_errno(back), ENOSPC);
	assert_null(ckpt_err_cause(ckpt_err_cause(back)));
	free(text);
	ckpt_err_free(err);
	ckpt_err_free(back);
}

static void test_ckpt_err_from_json__copes_with_rubbish(void **state)
{
	static const char *const rubbish[] = {
		"",
		"null",
		"[]",
		"{",
		"{\"chain\": 7}",
		"{\"chain\": []}",
		"{\"chain\": [1, null]}",
		"{\"chain\": [{\"code\": \"NOPE\", \"errno\": -99999999999, \"text\": 3}]}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rubbish) / sizeof(rubbish[0]); i++) {
		struct ckpt_err *e = ckpt_err_from_json(rubbish[i]);

		assert_non_null(e);
		assert_true(strlen(ckpt_err_text(e)) > 0);
		assert_true(ckpt_err_errno(e) > 0);
		ckpt_err_free(e);
	}
	ckpt_err_free(ckpt_err_from_json(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ckpt_fail__sets_code_errno_and_text),
		cmocka_unit_test(test_ckpt_fail__takes_errno_of_either_sign_and_no_err),
		cmocka_unit_test(test_ckpt_fail__keeps_the_first_error),
		cmocka_unit_test(test_ckpt_fail_errno__appends_the_reason),
		cmocka_unit_test(test_ckpt_wrap__makes_a_chain_with_the_inner_code),
		cmocka_unit_test(test_ckpt_err_hint__innermost_then_default),
		cmocka_unit_test(test_ckpt_fail_nomem__needs_no_memory),
		cmocka_unit_test(test_ckpt_fail_loader__maps_errno_and_carries_the_remedy),
		cmocka_unit_test(test_ckpt_code__every_code_has_a_row),
		cmocka_unit_test(test_ckpt_err_to_json__comes_back_whole),
		cmocka_unit_test(test_ckpt_err_from_json__copes_with_rubbish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
