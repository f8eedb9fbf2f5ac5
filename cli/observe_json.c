// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Events as lines of JSON (ebpf-ckpt-observe(5)). Written by hand: there may be 100,000 a second,
 * and a tree of small objects for each would cost more than all else.
 */
#include "observe.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* A character that JSON or a terminal would take for something else, as an escape. */
static void put_escaped(struct observe_sink *s, uint32_t c)
{
	switch (c) {
	case '"':
		sink_text(s, "\\\"");
		break;
	case '\\':
		sink_text(s, "\\\\");
		break;
	case '\n':
		sink_text(s, "\\n");
		break;
	case '\t':
		sink_text(s, "\\t");
		break;
	default:
		sink_printf(s, "\\u%04" PRIx32, c);
		break;
	}
}

/* The text as it is, with escapes of JSON's own; it is UTF-8. */
static void put_utf8(struct observe_sink *s, const char *text)
{
	while (*text) {
		size_t plain = 0;
		uint32_t c;

		while (is_plain((unsigned char)text[plain]))
			plain++;
		sink_put(s, text, plain);
		text += plain;
		if (!*text)
			break;
		size_t n = cli_decode(text, &c);

		if (c == '"' || c == '\\' || (c < 0x10000 && cli_acts(c)))
			put_escaped(s, c);
		else
			sink_put(s, text, n);
		text += n;
	}
}

static bool is_utf8(const char *text)
{
	uint32_t c;

	while (*text) {
		size_t n = is_plain((unsigned char)*text) ? 1 : cli_decode(text, &c);

		if (!n)
			return false;
		text += n;
	}
	return true;
}

void observe_json_string(struct observe_sink *s, const char *text)
{
	sink_put(s, "\"", 1);
	if (is_utf8(text)) {
		put_utf8(s, text);
	} else {
		/* As in all other output: \xNN for what is none. */
		_cleanup_free_ char *safe = cli_escape(text, true);

		put_utf8(s, safe);
	}
	sink_put(s, "\"", 1);
}

static void put_value(struct observe_sink *s, const struct ckpt_member *m);

/* Causes of losses have blanks, and nothing that would need an escape. */
static void put_name(struct observe_sink *s, const char *name)
{
	sink_put(s, "\"", 1);
	sink_text(s, name);
	sink_put(s, "\": ", 3);
}

static void put_number(struct observe_sink *s, uint64_t value, bool negative)
{
	char digits[24], *p = digits + sizeof(digits);

	do
		*--p = (char)('0' + value % 10);
	while (value /= 10);
	if (negative)
		*--p = '-';
	sink_put(s, p, (size_t)(digits + sizeof(digits) - p));
}

static void put_members(struct observe_sink *s, const struct ckpt_member *m, size_t n, bool named)
{
	for (size_t i = 0; i < n; i++) {
		if (i)
			sink_text(s, ", ");
		if (named)
			put_name(s, m[i].name);
		put_value(s, &m[i]);
	}
}

static void put_value(struct observe_sink *s, const struct ckpt_member *m)
{
	switch (m->type) {
	case CKPT_VALUE_TEXT:
		observe_json_string(s, m->text);
		break;
	case CKPT_VALUE_INT:
		put_number(s, m->i < 0 ? -(uint64_t)m->i : (uint64_t)m->i, m->i < 0);
		break;
	case CKPT_VALUE_UINT:
		put_number(s, m->u, false);
		break;
	case CKPT_VALUE_HEX:
		sink_printf(s, "\"0x%" PRIx64 "\"", m->u);
		break;
	case CKPT_VALUE_BOOL:
		sink_text(s, m->u ? "true" : "false");
		break;
	case CKPT_VALUE_ARRAY:
		sink_text(s, "[");
		put_members(s, m->member, m->n, false);
		sink_text(s, "]");
		break;
	case CKPT_VALUE_OBJECT:
		sink_text(s, "{");
		put_members(s, m->member, m->n, true);
		sink_text(s, "}");
		break;
	}
}

void observe_json_event(struct observe_sink *s, const struct ckpt_event *e)
{
	sink_text(s, "{\"time_ns\": ");
	put_number(s, e->time_ns, false);
	sink_text(s, ", \"event\": \"");
	sink_text(s, e->name);
	sink_text(s, "\", \"pid\": ");
	put_number(s, (uint64_t)e->pid, false);
	sink_text(s, ", \"tid\": ");
	put_number(s, (uint64_t)e->tid, false);
	sink_text(s, ", \"comm\": ");
	observe_json_string(s, e->comm);
	if (e->n) {
		sink_text(s, ", ");
		put_members(s, e->member, e->n, true);
	}
	sink_text(s, "}");
}

/* ---- the output ---- */

struct json_output {
	struct observe_output output;
	struct observe_sink *sink; /* borrowed */
};

static int on_event(struct observe_output *self, const struct observe_line *line)
{
	struct json_output *j = (struct json_output *)self;

	sink_put(j->sink, line->json, line->json_len);
	sink_put(j->sink, "\n", 1);
	return 0;
}

static void on_free(struct observe_output *self)
{
	free(self);
}

struct observe_output *observe_json_new(struct observe_sink *sink, bool brief)
{
	struct json_output *j = cli_alloc(sizeof(*j));

	j->output = (struct observe_output){
		.brief = brief, .wants_json = true, .fd = -1, .event = on_event, .free = on_free
	};
	j->sink = sink;
	return &j->output;
}
