// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * page_of FILE LIMIT <LINES: the page that "observe --html" makes of these events. They are lines
 * of JSON as "observe --json" prints them; the test makes up what it wants to see in a page.
 */
#include "observe.h"
#include <string.h>

/* What the writer asks an event for. */
static int hand_over(struct observe_output *out, const char *line, size_t len)
{
	json_t *j = json_loadb(line, len, 0, NULL);
	struct ckpt_member known = { .name = "known", .type = CKPT_VALUE_BOOL };
	struct ckpt_event e = { .member = &known, .n = 1 };
	struct observe_line l = { .event = &e, .json = line, .json_len = len };

	if (!j || !json_is_string(json_object_get(j, "event"))) {
		fprintf(stderr, "page_of: no event: %.*s\n", (int)len, line);
		return -1;
	}
	e.name = json_string_value(json_object_get(j, "event"));
	known.u = json_is_true(json_object_get(j, "known"));
	int rc = out->event(out, &l);

	json_decref(j);
	return rc;
}

int main(int argc, char **argv)
{
	struct observe_about about = { .title = "made up" };
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	ssize_t n;

	if (argc != 3)
		return CLI_USAGE;
	struct observe_output *out = observe_html_new(argv[1], strtoull(argv[2], NULL, 10));
	int rc = out->start(out, &about);

	if (!rc) {
		while (!rc && (n = getline(&line, &size, stdin)) > 0)
			rc = hand_over(out, line, (size_t)n - (line[n - 1] == '\n'));
		int rc2 = out->end(out, NULL);

		rc = rc ? rc : rc2;
	}
	out->free(out);
	return rc ? CLI_FAILED : CLI_OK;
}
