/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Semaphore sets and message queues as an image tells of them: nothing of it is believed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "sysvipc.h"

#define WHO "\"key\":5,\"uid\":1,\"gid\":2,\"cuid\":3,\"cgid\":4,\"mode\":384,\"changed_s\":9"

static int parse_set(const char *members)
{
	char text[600];
	json_t *o;
	struct semset s = { 0 };
	struct ckpt_err *err = NULL;
	int rc;

	snprintf(text, sizeof(text), "{%s}", members);
	o = json_loads(text, 0, NULL);
	assert_non_null(o);
	rc = semset_parse(o, &s, &err);
	assert_true((rc < 0) == (err != NULL));
	ckpt_err_free(err);
	semset_done(&s);
	json_decref(o);
	return rc;
}

static void test_semset_parse__sound(void **state)
{
	(void)state;
	assert_int_equal(parse_set("\"id\":1," WHO ",\"used\":true,\"values\":[0,32767],"
				   "\"pids\":[0,7]"),
			 0);
}

static void test_semset_parse__unsound(void **state)
{
	static const char *const bad[] = {
		/* no number, a negative one */
		WHO ",\"used\":true,\"values\":[1],\"pids\":[0]",
		"\"id\":-1," WHO ",\"used\":true,\"values\":[1],\"pids\":[0]",
		/* no semaphores, fewer pids than values */
		"\"id\":1," WHO ",\"used\":true,\"values\":[],\"pids\":[]",
		"\"id\":1," WHO ",\"used\":true,\"values\":[1,2],\"pids\":[0]",
		/* values and pids out of range, or no numbers */
		"\"id\":1," WHO ",\"used\":true,\"values\":[32768],\"pids\":[0]",
		"\"id\":1," WHO ",\"used\":true,\"values\":[-1],\"pids\":[0]",
		"\"id\":1," WHO ",\"used\":true,\"values\":[1],\"pids\":[-4]",
		"\"id\":1," WHO ",\"used\":true,\"values\":1,\"pids\":[0]",
		/* a mode that no IPC object has */
		("\"id\":1,\"key\":5,\"uid\":1,\"gid\":2,\"cuid\":3,\"cgid\":4,\"mode\":4095,"
		 "\"changed_s\":9,\"used\":true,\"values\":[1],\"pids\":[0]"),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_true(parse_set(bad[i]) < 0);
}

static void test_msgqueue_parse__unsound(void **state)
{
	static const char *const messages[] = {
		"[\"0 5\"]", "[\"-3 5\"]", "[\"1\"]", "[\"1 99999999999999\"]",
		"[7]",	     "[\"x y\"]",  "{}",
	};
	struct image im = IMAGE_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		struct msgqueue q = { 0 };
		char text[600];
		json_t *o;

		snprintf(text, sizeof(text),
			 "{\"id\":1," WHO ",\"max_bytes\":10,\"sender\":0,\"receiver\":0,"
			 "\"messages\":%s,\"data\":\"x\"}",
			 messages[i]);
		o = json_loads(text, 0, NULL);
		assert_non_null(o);
		assert_true(msgqueue_parse(&im, o, &q, NULL) < 0);
		msgqueue_done(&q);
		json_decref(o);
	}
}

static void test_sysvipc_same__names_what_differs(void **state)
{
	json_t *a = json_loads("{\"semaphores\":[{\"id\":4,\"values\":[1],\"changed_s\":1}],"
			       "\"queues\":[]}",
			       0, NULL);
	json_t *same = json_loads("{\"semaphores\":[{\"id\":3},{\"id\":4,\"values\":[1],"
				  "\"changed_s\":2}],\"queues\":[]}",
				  0, NULL);
	json_t *other =
		json_loads("{\"semaphores\":[{\"id\":4,\"values\":[2]}],\"queues\":[]}", 0, NULL);
	json_t *none = json_loads("{\"semaphores\":[],\"queues\":[]}", 0, NULL);

	(void)state;
	assert_int_equal(sysvipc_same(a, same, NULL), 0);
	assert_true(sysvipc_same(a, other, NULL) < 0);
	assert_true(sysvipc_same(a, none, NULL) < 0);
	assert_true(sysvipc_same(a, NULL, NULL) < 0);
	json_decref(a);
	json_decref(same);
	json_decref(other);
	json_decref(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_semset_parse__sound),
		cmocka_unit_test(test_semset_parse__unsound),
		cmocka_unit_test(test_msgqueue_parse__unsound),
		cmocka_unit_test(test_sysvipc_same__names_what_differs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
