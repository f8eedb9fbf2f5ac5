/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Unix sockets of an image that may hold anything: rows that are wrong in themselves, and rows that
 * do not fit to each other, are refused before a single socket is made.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kinds/unix.h"

#define MEMBERS "\"kind\": \"unix\", \"flags\": 2, \"uid\": 0, \"gid\": 0, \"mode\": 511, "

static json_t *row(const char *members)
{
	char text[4096];
	json_error_t e;
	json_t *o;

	snprintf(text, sizeof(text), "{" MEMBERS "%s}", members);
	o = json_loads(text, 0, &e);
	if (!o)
		fail_msg("%s: %s", text, e.text);
	return o;
}

static int parse(const char *members, struct unix_sk *ret)
{
	json_t *o = row(members);
	struct ckpt_err *err = NULL;
	int rc = unix_parse(o, ret, &err);

	if (rc < 0)
		assert_int_equal(ckpt_err_code(err), CKPT_E_IMAGE);
	ckpt_err_free(err);
	json_decref(o);
	ret->o = NULL;
	return rc;
}

#define STREAM "\"id\": 1, \"type\": \"stream\", \"shutdown\": 0"
#define DGRAM  "\"id\": 1, \"type\": \"datagram\", \"shutdown\": 0"

static void test_parse__sound(void **state)
{
	struct unix_sk sk;

	(void)state;
	assert_int_equal(parse(STREAM, &sk), 0);
	assert_int_equal(sk.type, SOCK_STREAM);
	unix_sk_done(&sk);
	assert_int_equal(parse(DGRAM ", \"name\": {\"path\": \"x\"}, \"queue\": [{\"bytes\": 0}, "
				     "{\"bytes\": 5, \"name\": {\"abstract\": \"a\"}, \"from\": 3, "
				     "\"cred\": {\"pid\": 7, \"uid\": 1, \"gid\": 2}}]",
			       &sk),
			 0);
	assert_int_equal(sk.queue.n, 2);
	assert_int_equal(sk.queue.bytes, 5);
	assert_int_equal(sk.queue.msg[1].from, 3);
	assert_true(unix_is_abstract(&sk.queue.msg[1].name));
	unix_sk_done(&sk);
	assert_int_equal(parse(STREAM ", \"name\": {\"abstract_hex\": \"00ff\"}, \"backlog\": 3, "
				      "\"pending\": [{\"client\": 2, \"shutdown\": 0}]",
			       &sk),
			 0);
	assert_int_equal(sk.name.len, 3);
	assert_int_equal(sk.n_pending, 1);
	unix_sk_done(&sk);
}

static void test_parse__wrong(void **state)
{
	static const char *const rows[] = {
		"\"id\": 1, \"shutdown\": 0, \"type\": \"raw\"",
		"\"id\": 1, \"shutdown\": 0",
		"\"id\": 1, \"shutdown\": 4, \"type\": \"stream\"",
		"\"id\": 1, \"shutdown\": -1, \"type\": \"stream\"",
		/* names */
		STREAM ", \"name\": \"x\"",
		STREAM ", \"name\": {\"path\": \"\"}",
		STREAM ", \"name\": {\"abstract_hex\": \"0\"}",
		STREAM ", \"name\": {\"abstract_hex\": \"zz\"}",
		STREAM ", \"name\": {}",
		STREAM ", \"name\": {\"path\": "
		       "\"1234567890123456789012345678901234567890123456789012345678901234567890"
		       "123456789012345678901234567890123456789\"}",
		/* a listener without a name, a datagram socket that listens */
		STREAM ", \"backlog\": 3",
		DGRAM ", \"backlog\": 3, \"name\": {\"path\": \"x\"}",
		STREAM ", \"pending\": [{\"client\": 2, \"shutdown\": 0}]",
		STREAM ", \"inherited\": true",
		/* files */
		STREAM ", \"file\": {\"path\": \"/x\", \"mode\": 0, \"uid\": 0, \"gid\": 0}, "
		       "\"info\": {\"dev\": 1, \"ino\": 1}",
		STREAM ", \"name\": {\"path\": \"x\"}, \"file\": {\"path\": \"x\", \"mode\": 0, "
		       "\"uid\": 0, \"gid\": 0}, \"info\": {\"dev\": 1, \"ino\": 1}",
		STREAM ", \"name\": {\"path\": \"x\"}, \"file\": {\"path\": \"/x/\", \"mode\": 0, "
		       "\"uid\": 0, \"gid\": 0}, \"info\": {\"dev\": 1, \"ino\": 1}",
		STREAM ", \"name\": {\"path\": \"x\"}, \"file\": {\"path\": \"/x\", \"mode\": 0, "
		       "\"uid\": 0, \"gid\": 0}",
		/* messages */
		STREAM ", \"queue\": 3",
		STREAM ", \"queue\": [{}]",
		STREAM ", \"queue\": [{\"bytes\": 0}]",
		STREAM ", \"queue\": [{\"bytes\": -1}]",
		STREAM ", \"queue\": [{\"bytes\": 2147483647}]",
		STREAM ", \"queue\": [{\"bytes\": 2, \"oob\": true}]",
		DGRAM ", \"queue\": [{\"bytes\": 1, \"oob\": true}]",
		DGRAM ", \"queue\": [{\"bytes\": 1, \"files\": []}]",
		DGRAM ", \"queue\": [{\"bytes\": 1, \"files\": 7}]",
		DGRAM
		", \"queue\": [{\"bytes\": 1, \"cred\": {\"pid\": -5, \"uid\": 0, \"gid\": 0}}]",
		/* peers */
		STREAM ", \"peer_outside\": true",
		STREAM ", \"peer_outside\": true, \"peer_name\": {\"path\": \"relative\"}",
		STREAM ", \"peer\": \"two\"",
		STREAM ", \"error\": 104",
		STREAM ", \"error\": 5, \"peer_gone\": true",
		STREAM ", \"peer_cred\": {\"pid\": 1}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct unix_sk sk;

		if (parse(rows[i], &sk) == 0)
			fail_msg("taken for sound: %s", rows[i]);
		unix_sk_done(&sk);
	}
}

/* Rows that do not fit to each other, as arrays of members. */
static void test_make__unfit(void **state)
{
#define S(n) "\"shutdown\": 0, \"type\": \"stream\", \"id\": " #n
#define L(n) S(n) ", \"name\": {\"path\": \"l\"}, \"backlog\": 5"
	static const char *const sets[][4] = {
		{ S(1) ", \"peer\": 9" },
		{ S(1) ", \"peer\": 1" },
		{ S(1) ", \"peer\": 2", S(2) },
		{ S(1) ", \"peer\": 2", S(2) ", \"peer\": 3", S(3) ", \"peer\": 1" },
		{ S(1) ", \"peer\": 2",
		  "\"shutdown\": 0, \"type\": \"datagram\", \"id\": 2, \"peer\": 1" },
		{ S(1) ", \"pending_at\": 2", L(2) },
		{ S(1) ", \"pending_at\": 2", S(2) },
		{ S(1), L(2) ", \"pending\": [{\"client\": 1, \"shutdown\": 0}]" },
		{ S(1) ", \"pending_at\": 2",
		  L(2) ", \"pending\": [{\"client\": 1, \"shutdown\": 0}, {\"client\": 1, "
		       "\"shutdown\": 0}]" },
		{ S(1) ", \"name\": {\"path\": \"l\"}, \"inherited\": true, \"peer\": 2",
		  S(2) ", \"name\": {\"path\": \"l\"}, \"inherited\": true, \"peer\": 1" },
		{ S(1) ", \"name\": {\"path\": \"other\"}, \"inherited\": true, \"listener\": 2, "
		       "\"peer_gone\": true",
		  L(2) },
		{ S(1) ", \"name\": {\"path\": \"l\"}, \"inherited\": true" },
		{ S(2) },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		json_t *rows = json_array();
		int fd[5] = { -1, -1, -1, -1, -1 };
		struct kind_restore r = { .fd = fd, .objects = rows, .n_fd = 1 };
		struct ckpt_err *err = NULL;

		for (size_t k = 0; k < 4 && sets[i][k]; k++, r.n_fd++)
			json_array_append_new(rows, row(sets[i][k]));
		assert_true(unix_make(&r, json_array_get(rows, 0), &fd[1], &err) < 0);
		if (ckpt_err_code(err) != CKPT_E_IMAGE)
			fail_msg("set %zu: %s", i, ckpt_err_text(err));
		for (size_t k = 0; k < 5; k++)
			assert_int_equal(fd[k], -1);
		r.unix_net_free(r.unix_net);
		ckpt_err_free(err);
		json_decref(rows);
	}
}

static void test_names__come_back(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} names[] = {
		{ "plain", 5 }, { "/run/\xff\n", 7 }, { "\0abstract", 9 },    { "\0a\0b\xff", 5 },
		{ "\0", 1 },	{ "\0 ", 2 },	      { "../up/and\"q", 11 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		json_t *o = json_object();
		struct unix_name back;

		assert_int_equal(unix_name_save(o, "name", names[i].bytes, names[i].len), 0);
		assert_int_equal(unix_name_parse(o, "name", &back, NULL), 0);
		assert_int_equal(back.len, names[i].len);
		assert_memory_equal(back.bytes, names[i].bytes, names[i].len);
		json_decref(o);
	}
}

static void test_same__what_counts(void **state)
{
	json_t *a = row(STREAM ", \"peer_cred\": {\"pid\": 5, \"uid\": 1, \"gid\": 2}, \"queue\": "
			       "[{\"bytes\": 3, \"from\": 1}]");
	json_t *b = row(STREAM ", \"peer_cred\": {\"pid\": 6, \"uid\": 1, \"gid\": 2}, \"queue\": "
			       "[{\"bytes\": 3}]");
	struct unix_sk sk = { .o = a };

	(void)state;
	assert_true(unix_same(a, b, NULL) < 0);
	assert_int_equal(unix_note_lost_pid(&sk, NULL), 0);
	assert_int_equal(unix_same(a, b, NULL), 0);
	json_object_set_new(json_object_get(b, "peer_cred"), "uid", json_integer(9));
	assert_true(unix_same(a, b, NULL) < 0);
	json_object_set_new(json_object_get(b, "peer_cred"), "uid", json_integer(1));
	json_object_set_new(b, "shutdown", json_integer(1));
	assert_true(unix_same(a, b, NULL) < 0);
	json_decref(a);
	json_decref(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse__sound),	  cmocka_unit_test(test_parse__wrong),
		cmocka_unit_test(test_make__unfit),	  cmocka_unit_test(test_names__come_back),
		cmocka_unit_test(test_same__what_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
