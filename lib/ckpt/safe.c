// SPDX-License-Identifier: LGPL-2.1-or-later
/* Text from outside, made safe. See safe.h. */
#include "safe.h"

#include <stdio.h>
#include <string.h>

/* Bytes of the valid UTF-8 sequence at p that may be shown, 0 when there is none. */
static size_t utf8_len(const unsigned char *p)
{
	size_t n = p[0] < 0x80			 ? 1
		   : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
		   : (p[0] & 0xf0) == 0xe0	 ? 3
		   : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
						 : 0;

	if (n == 1)
		return p[0] >= 0x20 && p[0] != 0x7f && p[0] != '\\';
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if (n == 2 && p[0] == 0xc2 && p[1] < 0xa0)
		return 0; /* C1 controls */
	if (n == 3 && ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0)))
		return 0; /* overlong, surrogates */
	/* Characters that turn the direction of text or end a line. */
	if (n == 3 && p[0] == 0xe2 && p[1] == 0x80 && p[2] >= 0xa8 && p[2] <= 0xae)
		return 0;
	return n;
}

const char *safe_text(char *buf, size_t size, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t at = 0;

	if (size == 0)
		return buf;
	while (*p) {
		size_t n = utf8_len(p), need = n ? n : 4;

		if (at + need + 4 > size) {
			if (size >= 4 && at + 4 <= size) {
				memcpy(buf + at, "...", 3);
				at += 3;
			}
			break;
		}
		if (n)
			memcpy(buf + at, p, n);
		else
			snprintf(buf + at, 5, "\\x%02x", *p);
		at += need;
		p += n ? n : 1;
	}
	buf[at] = 0;
	return buf;
}
