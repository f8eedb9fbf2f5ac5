/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Error chains. A link is a sentence, a code, an errno and perhaps a hint; a chain goes from what
 * the caller wanted (outermost) to what went wrong (innermost). Making an error must not itself
 * fail: when memory is out, one static link stands in.
 */
#include "err.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

/* Chains that come from another process are cut here; ours have five links at most. */
#define ERR_MAX_LINKS 32

struct ckpt_err {
	enum ckpt_code code;
	int errnum;		/* positive */
	char *text;		/* owned */
	char *hint;		/* owned, or NULL */
	struct ckpt_err *cause; /* owned, or NULL */
};

static char err_nomem_text[] = "out of memory";

/* Never written to and never released: shared by all threads. */
static struct ckpt_err err_nomem = {
	.code = CKPT_E_NOMEM,
	.errnum = ENOMEM,
	.text = err_nomem_text,
};

struct err_code_row {
	const char *name;
	const char *sentence;
	const char *hint;
	int status;
};

static const struct err_code_row err_codes[] = {
#define ERR_CODE_ROW(code, status_, sentence_, hint_)                                              \
	[code] = { .name = #code, .sentence = sentence_, .hint = hint_, .status = status_ },
	CKPT_CODES(ERR_CODE_ROW)
#undef ERR_CODE_ROW
};

_Static_assert(sizeof(err_codes) / sizeof(err_codes[0]) == CKPT_E_NR, "a row per code");

static const struct err_code_row *err_row(enum ckpt_code code)
{
	if ((unsigned int)code >= CKPT_E_NR)
		code = CKPT_E_SYS;
	return &err_codes[code];
}

/* A link that owns `text`; frees it and gives the static link when there is no memory. */
static struct ckpt_err *err_new(enum ckpt_code code, int errnum, char *text)
{
	struct ckpt_err *e;

	if (!text)
		return &err_nomem;
	e = calloc(1, sizeof(*e));
	if (!e) {
		free(text);
		return &err_nomem;
	}
	e->code = code;
	e->errnum = errnum;
	e->text = text;
	return e;
}

__attribute__((format(printf, 1, 0))) static char *err_vformat(const char *fmt, va_list ap)
{
	char *text;

	return vasprintf(&text, fmt, ap) < 0 ? NULL : text;
}

static int err_abs(int rc)
{
	return rc < 0 ? -rc : rc;
}

int ckpt_fail(struct ckpt_err **err, int rc, enum ckpt_code code, const char *fmt, ...)
{
	va_list ap;

	rc = err_abs(rc);
	if (err && !*err) {
		va_start(ap, fmt);
		*err = err_new(code, rc, err_vformat(fmt, ap));
		va_end(ap);
	}
	return -rc;
}

int ckpt_fail_errno(struct ckpt_err **err, int rc, enum ckpt_code code, const char *fmt, ...)
{
	_cleanup_free_ char *what = NULL;
	char reason[128];
	char *text;
	va_list ap;

	rc = err_abs(rc);
	if (!err || *err)
		return -rc;
	va_start(ap, fmt);
	what = err_vformat(fmt, ap);
	va_end(ap);
	if (!what || asprintf(&text, "%s: %s", what, strerror_r(rc, reason, sizeof(reason))) < 0)
		text = NULL;
	/* Whatever was to be opened, this is what was in the way. */
	if (rc == EMFILE || rc == ENFILE)
		code = CKPT_E_LIMIT;
	*err = err_new(code, rc, text);
	if (code == CKPT_E_LIMIT && (rc == EMFILE || rc == ENFILE))
		ckpt_hint(err, "raise the limit of open files (ulimit -n)");
	return -rc;
}

void ckpt_hint(struct ckpt_err **err, const char *fmt, ...)
{
	va_list ap;
	char *hint;

	if (!err || !*err || *err == &err_nomem)
		return;
	va_start(ap, fmt);
	hint = err_vformat(fmt, ap);
	va_end(ap);
	if (!hint)
		return; /* the error without its hint is better than no error */
	free((*err)->hint);
	(*err)->hint = hint;
}

int ckpt_wrap(struct ckpt_err **err, int rc, const char *fmt, ...)
{
	struct ckpt_err *outer;
	va_list ap;
	char *text;

	if (!err || !*err)
		return rc;
	va_start(ap, fmt);
	text = err_vformat(fmt, ap);
	va_end(ap);
	outer = err_new((*err)->code, (*err)->errnum, text);
	if (outer == &err_nomem)
		return rc; /* keep the cause, lose the context */
	outer->cause = *err;
	*err = outer;
	return rc;
}

/* What the loader reports as an errno, as a code of ours. */
static enum ckpt_code err_loader_code(int errnum)
{
	switch (errnum) {
	case EPERM:
	case EACCES:
		return CKPT_E_PRIVILEGE;
	case ENOENT:
	case ENOSYS:
	case EOPNOTSUPP:
		return CKPT_E_KERNEL;
	case ENOMEM:
		return CKPT_E_NOMEM;
	default:
		return CKPT_E_BPF;
	}
}

int ckpt_fail_loader(struct ckpt_err **err, int rc, const struct loader_why *why)
{
	enum ckpt_code code;

	rc = err_abs(rc);
	code = err_loader_code(rc);
	if (!err || *err)
		return -rc;
	if (why && why->what[0])
		ckpt_fail(err, rc, code, "%s", why->what);
	else
		ckpt_fail_errno(err, rc, code, "%s", ckpt_code_sentence(CKPT_E_BPF));
	if (why && why->remedy[0])
		ckpt_hint(err, "%s", why->remedy);
	return -rc;
}

int ckpt_fail_nomem(struct ckpt_err **err)
{
	if (err && !*err)
		*err = &err_nomem;
	return -ENOMEM;
}

/* ---- reading ---- */

static const struct ckpt_err *err_innermost(const struct ckpt_err *e)
{
	while (e && e->cause)
		e = e->cause;
	return e;
}

const char *ckpt_err_text(const struct ckpt_err *e)
{
	return e ? e->text : ckpt_code_sentence(CKPT_E_OK);
}

const char *ckpt_err_hint(const struct ckpt_err *e)
{
	const char *hint = NULL;

	for (const struct ckpt_err *i = e; i; i = i->cause) {
		if (i->hint && i->hint[0])
			hint = i->hint;
	}
	return hint ? hint : ckpt_code_hint(ckpt_err_code(e));
}

const struct ckpt_err *ckpt_err_cause(const struct ckpt_err *e)
{
	return e ? e->cause : NULL;
}

enum ckpt_code ckpt_err_code(const struct ckpt_err *e)
{
	e = err_innermost(e);
	return e ? e->code : CKPT_E_OK;
}

const char *ckpt_code_name(enum ckpt_code code)
{
	return err_row(code)->name;
}

const char *ckpt_code_sentence(enum ckpt_code code)
{
	return err_row(code)->sentence;
}

const char *ckpt_code_hint(enum ckpt_code code)
{
	return err_row(code)->hint;
}

int ckpt_code_exit_status(enum ckpt_code code)
{
	return err_row(code)->status;
}

int ckpt_err_errno(const struct ckpt_err *e)
{
	e = err_innermost(e);
	return e ? e->errnum : 0;
}

int ckpt_err_exit_status(const struct ckpt_err *e)
{
	return ckpt_code_exit_status(ckpt_err_code(e));
}

void ckpt_err_free(struct ckpt_err *e)
{
	while (e && e != &err_nomem) {
		struct ckpt_err *cause = e->cause;

		free(e->text);
		free(e->hint);
		free(e);
		e = cause;
	}
}

/* ---- across a process boundary ---- */

/* Text may quote a file name that is not UTF-8: such bytes become '?', for JSON cannot carry them.
 */
static json_t *err_json_string(const char *text)
{
	_cleanup_free_ char *copy = NULL;
	json_t *j = json_string(text);

	if (j)
		return j;
	copy = strdup(text);
	if (!copy)
		return NULL;
	for (char *p = copy; *p; p++) {
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	}
	return json_string(copy);
}

/*
 * {"chain": [{"code": "CKPT_E_SYS", "errno": 2, "text": "...", "hint": "..."}, ...]}, outermost
 * first. Codes travel by name: the two ends may be of different builds.
 */
char *ckpt_err_to_json(const struct ckpt_err *e)
{
	_cleanup_json_ json_t *root = json_object();
	json_t *chain = json_array();

	if (!root || json_object_set_new(root, "chain", chain) < 0)
		return NULL;
	for (; e; e = e->cause) {
		json_t *o = json_object();

		if (!o || json_array_append_new(chain, o) < 0)
			return NULL;
		if (json_object_set_new(o, "code", json_string(ckpt_code_name(e->code))) < 0 ||
		    json_object_set_new(o, "errno", json_integer(e->errnum)) < 0 ||
		    json_object_set_new(o, "text", err_json_string(e->text)) < 0)
			return NULL;
		if (e->hint && json_object_set_new(o, "hint", err_json_string(e->hint)) < 0)
			return NULL;
	}
	return json_dumps(root, JSON_COMPACT);
}

static enum ckpt_code err_code_by_name(const char *name)
{
	for (unsigned int i = 0; name && i < CKPT_E_NR; i++) {
		if (strcmp(err_codes[i].name, name) == 0)
			return (enum ckpt_code)i;
	}
	return CKPT_E_SYS;
}

static struct ckpt_err *err_link_from_json(const json_t *o)
{
	const char *text = json_string_value(json_object_get(o, "text"));
	const char *hint = json_string_value(json_object_get(o, "hint"));
	enum ckpt_code code = err_code_by_name(json_string_value(json_object_get(o, "code")));
	json_int_t errnum = json_integer_value(json_object_get(o, "errno"));
	struct ckpt_err *e;

	if (errnum <= 0 || errnum > 4095)
		errnum = EIO;
	e = err_new(code, (int)errnum, strdup(text ? text : ckpt_code_sentence(code)));
	if (hint)
		ckpt_hint(&e, "%s", hint);
	return e;
}

struct ckpt_err *ckpt_err_from_json(const char *text)
{
	_cleanup_json_ json_t *root = json_loads(text ? text : "", 0, NULL);
	json_t *chain = json_object_get(root, "chain");
	size_t n = json_array_size(chain);
	struct ckpt_err *e = NULL;

	if (n == 0) {
		ckpt_fail(&e, EPROTO, CKPT_E_SYS, "an error that another process reported is lost");
		return e;
	}
	/* Too long a chain keeps its outer links and its innermost one, the cause. */
	for (size_t i = n; i-- > 0;) {
		struct ckpt_err *outer;

		if (i != n - 1 && i >= ERR_MAX_LINKS - 1)
			continue;
		outer = err_link_from_json(json_array_get(chain, i));
		if (outer == &err_nomem && e)
			continue;
		if (outer == &err_nomem)
			return outer;
		outer->cause = e;
		e = outer;
	}
	return e;
}
