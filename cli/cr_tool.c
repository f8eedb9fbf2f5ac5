// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the three commands of BLCR share. */
#include "cr_tool.h"
#include <libcr.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int cr_version(const char *name)
{
	printf("%s version %s\n", name, CR_RELEASE_VERSION);
	return 0;
}

bool cr_parse_signal(const char *text, int *ret)
{
	char *end;
	long v = strtol(text, &end, 10);

	if (*end || end == text || v < 1 || v > 64)
		return false;
	*ret = (int)v;
	return true;
}

const char *cr_error_text(int code)
{
	return cr_strerror(code);
}

int cr_usage(const char *name, const char *help, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: ", name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n%s", help);
	return CR_USAGE_STATUS;
}
