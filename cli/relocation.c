// SPDX-License-Identifier: LGPL-2.1-or-later
/* OLD=NEW: paths that are others at the restore. */
#include "cli.h"
#include <errno.h>
#include <stdint.h>
#include <string.h>

void cli_trim_path(char *path)
{
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		path[--n] = 0;
}

/* Up to an unescaped '=' if `old`, or the end of the text; malloc'd. *text: behind it. */
static char *take_path(const char **text, bool old)
{
	char *path = malloc(strlen(*text) + 1), *to = path;
	const char *p = *text;

	if (!path)
		return NULL;
	while (*p && (*p != '=' || !old)) {
		if (*p == '\\' && (p[1] == '=' || p[1] == '\\'))
			p++;
		*to++ = *p++;
	}
	*to = 0;
	cli_trim_path(path);
	*text = p;
	return path;
}

void cli_relocation_done(struct ckpt_relocation *r)
{
	free((char *)(uintptr_t)r->from);
	free((char *)(uintptr_t)r->to);
}

int cli_parse_relocation(const char *text, struct ckpt_relocation *ret)
{
	char *old = take_path(&text, true), *new = NULL;

	if (old && *text == '=') {
		text++;
		new = take_path(&text, false);
	}
	if (!old || !new || *old != '/' || *new != '/') {
		free(old);
		free(new);
		return EINVAL;
	}
	*ret = (struct ckpt_relocation){ old, new };
	return 0;
}
