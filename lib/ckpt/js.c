/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Typed members of JSON objects. A manifest comes from outside and nothing in it is trusted: each
 * reader says which member is missing or what is wrong with it, and leaves its result alone in that
 * case.
 */
#include "image.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "util.h"

/* Integers up to here are exact in every JSON reader. */
#define JS_EXACT (INT64_C(1) << 53)

static int js_bad(struct ckpt_err **err, const char *key, const char *what)
{
	return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "the manifest's \"%s\" %s", key, what);
}

static int js_get(const json_t *o, const char *key, json_t **ret, struct ckpt_err **err)
{
	json_t *v = json_object_get(o, key);

	if (!v)
		return js_bad(err, key, "is missing");
	*ret = v;
	return 0;
}

static int js_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* "0x" and 1 to 16 small hexadecimal digits, nothing else. */
static bool js_parse_hex(const json_t *v, uint64_t *ret)
{
	const char *s = json_string_value(v);
	size_t len = json_string_length(v);
	uint64_t n = 0;

	if (len < 3 || len > 18 || s[0] != '0' || s[1] != 'x')
		return false;
	for (size_t i = 2; i < len; i++) {
		int d = js_hex_digit(s[i]);

		if (d < 0)
			return false;
		n = n << 4 | (unsigned int)d;
	}
	*ret = n;
	return true;
}

int js_u64(const json_t *o, const char *key, uint64_t *ret, struct ckpt_err **err)
{
	json_t *v = NULL;
	int r;

	r = js_get(o, key, &v, err);
	if (r < 0)
		return r;
	if (json_is_integer(v)) {
		if (json_integer_value(v) < 0)
			return js_bad(err, key, "is negative");
		*ret = (uint64_t)json_integer_value(v);
		return 0;
	}
	if (json_is_string(v) && js_parse_hex(v, ret))
		return 0;
	return js_bad(err, key, "is not a whole number");
}

int js_i64(const json_t *o, const char *key, int64_t *ret, struct ckpt_err **err)
{
	uint64_t bits;
	json_t *v = NULL;
	int r;

	r = js_get(o, key, &v, err);
	if (r < 0)
		return r;
	if (json_is_integer(v)) {
		*ret = json_integer_value(v);
		return 0;
	}
	if (json_is_string(v) && js_parse_hex(v, &bits)) {
		*ret = (int64_t)bits;
		return 0;
	}
	return js_bad(err, key, "is not a whole number");
}

int js_u32(const json_t *o, const char *key, uint32_t *ret, struct ckpt_err **err)
{
	uint64_t v;
	int r;

	r = js_u64(o, key, &v, err);
	if (r < 0)
		return r;
	if (v > UINT32_MAX)
		return js_bad(err, key, "is out of range");
	*ret = (uint32_t)v;
	return 0;
}

int js_i32(const json_t *o, const char *key, int32_t *ret, struct ckpt_err **err)
{
	int64_t v;
	int r;

	r = js_i64(o, key, &v, err);
	if (r < 0)
		return r;
	if (v < INT32_MIN || v > INT32_MAX)
		return js_bad(err, key, "is out of range");
	*ret = (int32_t)v;
	return 0;
}

int js_bool(const json_t *o, const char *key, bool *ret, struct ckpt_err **err)
{
	json_t *v = NULL;
	int r;

	r = js_get(o, key, &v, err);
	if (r < 0)
		return r;
	if (!json_is_boolean(v))
		return js_bad(err, key, "is not true or false");
	*ret = json_is_true(v);
	return 0;
}

int js_str(const json_t *o, const char *key, const char **ret, struct ckpt_err **err)
{
	json_t *v = NULL;
	int r;

	r = js_get(o, key, &v, err);
	if (r < 0)
		return r;
	if (!json_is_string(v))
		return js_bad(err, key, "is not a string");
	if (strlen(json_string_value(v)) != json_string_length(v))
		return js_bad(err, key, "holds a NUL character");
	*ret = json_string_value(v);
	return 0;
}

int js_obj(const json_t *o, const char *key, json_t **ret, struct ckpt_err **err)
{
	json_t *v = NULL;
	int r;

	r = js_get(o, key, &v, err);
	if (r < 0)
		return r;
	if (!json_is_object(v))
		return js_bad(err, key, "is not an object");
	*ret = v;
	return 0;
}

int js_arr(const json_t *o, const char *key, json_t **ret, struct ckpt_err **err)
{
	json_t *v = NULL;
	int r;

	r = js_get(o, key, &v, err);
	if (r < 0)
		return r;
	if (!json_is_array(v))
		return js_bad(err, key, "is not an array");
	*ret = v;
	return 0;
}

int js_opt_u64(const json_t *o, const char *key, uint64_t *ret, struct ckpt_err **err)
{
	return json_object_get(o, key) ? js_u64(o, key, ret, err) : 0;
}

int js_opt_str(const json_t *o, const char *key, const char **ret, struct ckpt_err **err)
{
	return json_object_get(o, key) ? js_str(o, key, ret, err) : 0;
}

/* ---- writing ---- */

static int js_set(json_t *o, const char *key, json_t *v)
{
	return json_object_set_new(o, key, v) < 0 ? -ENOMEM : 0;
}

int js_set_hex(json_t *o, const char *key, uint64_t v)
{
	char buf[19];
	int n = snprintf(buf, sizeof(buf), "0x%" PRIx64, v);

	return js_set(o, key, json_stringn_nocheck(buf, (size_t)n));
}

int js_set_int(json_t *o, const char *key, int64_t v)
{
	if (v > JS_EXACT || v < -JS_EXACT)
		return js_set_hex(o, key, (uint64_t)v);
	return js_set(o, key, json_integer(v));
}

int js_set_bool(json_t *o, const char *key, bool v)
{
	return js_set(o, key, json_boolean(v));
}

static bool js_has_control(const char *s)
{
	for (; *s; s++) {
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return true;
	}
	return false;
}

/* {"hex": "..."} of the bytes before the NUL. */
static json_t *js_hex_object(const char *s)
{
	static const char digits[] = "0123456789abcdef";
	_cleanup_json_ json_t *o = json_object();
	_cleanup_free_ char *hex = NULL;
	size_t len = strlen(s);

	hex = malloc(2 * len + 1);
	if (!o || !hex)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		hex[2 * i] = digits[(unsigned char)s[i] >> 4];
		hex[2 * i + 1] = digits[(unsigned char)s[i] & 15];
	}
	if (js_set(o, "hex", json_stringn_nocheck(hex, 2 * len)) < 0)
		return NULL;
	return TAKE_PTR(o);
}

int js_set_bytes(json_t *o, const char *key, const char *s)
{
	/* json_string() gives NULL for what is not UTF-8 */
	json_t *v = js_has_control(s) ? NULL : json_string(s);

	if (!v)
		v = js_hex_object(s);
	return js_set(o, key, v);
}

static int js_bytes_from_hex(const json_t *v, const char *key, char **ret, struct ckpt_err **err)
{
	_cleanup_free_ char *out = NULL;
	const char *hex = NULL;
	size_t len;
	int r;

	r = js_str(v, "hex", &hex, err);
	if (r < 0)
		return ckpt_wrap(err, r, "the manifest's \"%s\" is neither text nor hex", key);
	len = strlen(hex);
	if (len % 2)
		return js_bad(err, key, "has an odd number of hex digits");
	out = malloc(len / 2 + 1);
	if (!out)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < len / 2; i++) {
		int hi = js_hex_digit(hex[2 * i]), lo = js_hex_digit(hex[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return js_bad(err, key, "holds something else than hex digits");
		if (hi == 0 && lo == 0)
			return js_bad(err, key, "holds a NUL character");
		out[i] = (char)(hi << 4 | lo);
	}
	out[len / 2] = '\0';
	*ret = TAKE_PTR(out);
	return 0;
}

int js_bytes(const json_t *o, const char *key, char **ret, struct ckpt_err **err)
{
	const char *s = NULL;
	char *copy;
	json_t *v = NULL;
	int r;

	r = js_get(o, key, &v, err);
	if (r < 0)
		return r;
	if (json_is_object(v))
		return js_bytes_from_hex(v, key, ret, err);
	r = js_str(o, key, &s, err);
	if (r < 0)
		return r;
	copy = strdup(s);
	if (!copy)
		return ckpt_fail_nomem(err);
	*ret = copy;
	return 0;
}
