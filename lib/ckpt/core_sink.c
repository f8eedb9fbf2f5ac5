/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The head of a core file, written piece by piece through a small buffer and summed on the way. */
#include "core_format.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "util.h"

void core_sink_flush(struct core_sink *s)
{
	if (s->rc == 0 && s->used > 0)
		s->rc = s->seekable ? pwrite_all(s->fd, s->buf, s->used, s->offset)
				    : write_all(s->fd, s->buf, s->used);
	s->offset += s->used;
	s->used = 0;
}

void core_sink_put(struct core_sink *s, const void *data, size_t len)
{
	const uint8_t *p = data;

	if (s->hash && len > 0)
		XXH3_128bits_update(s->hash, data, len);
	while (len > 0) {
		size_t take;

		if (s->used == s->size)
			core_sink_flush(s);
		take = s->size - s->used < len ? s->size - s->used : len;
		memcpy(s->buf + s->used, p, take);
		s->used += take;
		p += take;
		len -= take;
	}
}

void core_sink_pad(struct core_sink *s, uint64_t end)
{
	static const uint8_t zeros[512];

	for (uint64_t at = s->offset + s->used; at < end;) {
		size_t take = end - at < sizeof(zeros) ? end - at : sizeof(zeros);

		core_sink_put(s, zeros, take);
		at += take;
	}
}

void core_sink_note(struct core_sink *s, const char *owner, uint32_t type, uint64_t bytes)
{
	size_t name = strlen(owner) + 1;
	Elf64_Nhdr h = {
		.n_namesz = (Elf64_Word)name,
		.n_descsz = (Elf64_Word)bytes,
		.n_type = type,
	};

	core_sink_put(s, &h, sizeof(h));
	core_sink_put(s, owner, name);
	core_sink_pad(s, (s->offset + s->used + 3) & ~3ULL);
}

void core_sink_hex(const struct core_sink *s, char hex[33])
{
	XXH128_canonical_t c;

	XXH128_canonicalFromHash(&c, XXH3_128bits_digest(s->hash));
	for (size_t i = 0; i < sizeof(c.digest); i++)
		snprintf(hex + 2 * i, 3, "%02x", c.digest[i]);
}
