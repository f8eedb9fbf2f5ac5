// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Sets of ranges: a list of chunks, each a sorted array. Programs may have 65,530 areas and put
 * each new one below all others, which one large array would answer by moving everything each time.
 */
#include "ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_MAX 128

struct range_chunk {
	size_t n;
	struct range range[CHUNK_MAX];
};

/* The first chunk that ends above `address`; n_chunks: none does. */
static size_t find_chunk(const struct ranges *rs, uint64_t address)
{
	size_t low = 0, high = rs->n_chunks;

	while (low < high) {
		size_t mid = (low + high) / 2;
		const struct range_chunk *c = rs->chunk[mid];

		if (c->range[c->n - 1].end > address)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

static struct range_cursor find(const struct ranges *rs, uint64_t address)
{
	struct range_cursor at = { find_chunk(rs, address), 0 };

	if (at.chunk == rs->n_chunks)
		return at;
	const struct range_chunk *c = rs->chunk[at.chunk];
	size_t high = c->n;

	while (at.at < high) {
		size_t mid = (at.at + high) / 2;

		if (c->range[mid].end > address)
			high = mid;
		else
			at.at = mid + 1;
	}
	return at;
}

static struct range *get(const struct ranges *rs, struct range_cursor at)
{
	return at.chunk < rs->n_chunks ? &rs->chunk[at.chunk]->range[at.at] : NULL;
}

const struct range *ranges_at(const struct ranges *rs, uint64_t address)
{
	return get(rs, find(rs, address));
}

const struct range *ranges_next(const struct ranges *rs, struct range_cursor *c)
{
	const struct range *r = get(rs, *c);

	if (r && ++c->at == rs->chunk[c->chunk]->n) {
		c->chunk++;
		c->at = 0;
	}
	return r;
}

static int add_chunk(struct ranges *rs, size_t at)
{
	if (rs->n_chunks == rs->size) {
		size_t size = rs->size ? rs->size * 2 : 4;
		struct range_chunk **grown = reallocarray(rs->chunk, size, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		rs->chunk = grown;
		rs->size = size;
	}
	struct range_chunk *c = malloc(sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->n = 0;
	memmove(&rs->chunk[at + 1], &rs->chunk[at], (rs->n_chunks - at) * sizeof(*rs->chunk));
	rs->chunk[at] = c;
	rs->n_chunks++;
	return 0;
}

/* Make room at a place, which may move to another chunk for it. */
static int open_place(struct ranges *rs, struct range_cursor *at)
{
	/* At the end of the last chunk rather than in a new one. */
	if (at->chunk == rs->n_chunks && at->chunk > 0) {
		at->chunk--;
		at->at = rs->chunk[at->chunk]->n;
	}
	if (at->chunk == rs->n_chunks) {
		int rc = add_chunk(rs, at->chunk);

		if (rc < 0)
			return rc;
		at->at = 0;
	}
	struct range_chunk *c = rs->chunk[at->chunk];

	if (c->n == CHUNK_MAX) {
		int rc = add_chunk(rs, at->chunk + 1);
		size_t half = CHUNK_MAX / 2;

		if (rc < 0)
			return rc;
		struct range_chunk *next = rs->chunk[at->chunk + 1];

		memcpy(next->range, c->range + half, (CHUNK_MAX - half) * sizeof(*c->range));
		next->n = CHUNK_MAX - half;
		c->n = half;
		if (at->at > half) {
			at->chunk++;
			at->at -= half;
			c = next;
		}
	}
	memmove(&c->range[at->at + 1], &c->range[at->at], (c->n - at->at) * sizeof(*c->range));
	c->n++;
	return 0;
}

static int insert(struct ranges *rs, struct range_cursor at, const struct range *r)
{
	int rc = open_place(rs, &at);

	if (rc < 0)
		return rc;
	rs->chunk[at.chunk]->range[at.at] = *r;
	rs->n++;
	rs->bytes += r->end - r->start;
	return 0;
}

static void drop(struct ranges *rs, struct range_cursor at)
{
	struct range_chunk *c = rs->chunk[at.chunk];

	rs->n--;
	rs->bytes -= c->range[at.at].end - c->range[at.at].start;
	c->n--;
	memmove(&c->range[at.at], &c->range[at.at + 1], (c->n - at.at) * sizeof(*c->range));
	if (c->n)
		return;
	free(c);
	rs->n_chunks--;
	memmove(&rs->chunk[at.chunk], &rs->chunk[at.chunk + 1],
		(rs->n_chunks - at.chunk) * sizeof(*rs->chunk));
}

static void set_start(struct ranges *rs, struct range *r, uint64_t start)
{
	rs->bytes -= start - r->start;
	if (r->file.ino)
		r->offset += start - r->start;
	r->start = start;
}

static void set_end(struct ranges *rs, struct range *r, uint64_t end)
{
	rs->bytes -= r->end - end;
	r->end = end;
}

int ranges_cut(struct ranges *rs, uint64_t start, uint64_t end, uint64_t *ret_bytes)
{
	uint64_t before = rs->bytes;
	int rc = 0;

	while (start < end) {
		struct range_cursor at = find(rs, start);
		struct range *r = get(rs, at);

		if (!r || r->start >= end)
			break;
		if (r->start < start && r->end > end) {
			struct range rest = *r;

			set_end(rs, r, start);
			rest.offset += rest.file.ino ? end - rest.start : 0;
			rest.start = end;
			at.at++;
			rc = insert(rs, at, &rest);
			break;
		}
		if (r->start < start)
			set_end(rs, r, start);
		else if (r->end > end)
			set_start(rs, r, end);
		else
			drop(rs, at);
	}
	if (ret_bytes)
		*ret_bytes = before - rs->bytes;
	return rc;
}

/* Are they one, `b` beginning where `a` ends? */
static bool joins(const struct range *a, const struct range *b)
{
	return a->end == b->start && a->flags == b->flags && a->file.ino == b->file.ino &&
	       a->file.dev_major == b->file.dev_major && a->file.dev_minor == b->file.dev_minor &&
	       (!a->file.ino || a->offset + (a->end - a->start) == b->offset);
}

/* Put where nothing is. */
static int put_free(struct ranges *rs, const struct range *r)
{
	struct range_cursor at = find(rs, r->start);
	struct range_cursor before = at;
	struct range *next = get(rs, at), *prev = NULL;

	if (at.at > 0) {
		before.at--;
		prev = get(rs, before);
	} else if (at.chunk > 0) {
		before.chunk--;
		before.at = rs->chunk[before.chunk]->n - 1;
		prev = get(rs, before);
	}
	bool to_prev = prev && joins(prev, r), to_next = next && joins(r, next);

	if (to_prev) {
		rs->bytes += r->end - prev->end;
		prev->end = r->end;
		if (to_next) {
			rs->bytes += next->end - prev->end;
			prev->end = next->end;
			drop(rs, at);
		}
		return 0;
	}
	if (to_next) {
		rs->bytes += next->start - r->start;
		next->start = r->start;
		next->offset = r->offset;
		return 0;
	}
	return insert(rs, at, r);
}

int ranges_put(struct ranges *rs, const struct range *r)
{
	if (r->start >= r->end)
		return 0;
	int rc = ranges_cut(rs, r->start, r->end, NULL);

	return rc < 0 ? rc : put_free(rs, r);
}

/* Those parts of ranges that are within a span; malloc'd. */
static int take_within(const struct ranges *rs, uint64_t start, uint64_t end, struct range **ret,
		       size_t *ret_n)
{
	struct range_cursor at = find(rs, start), again = at;
	const struct range *r;
	size_t n = 0;

	while ((r = ranges_next(rs, &at)) && r->start < end)
		n++;
	*ret_n = n;
	*ret = malloc((n ? n : 1) * sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct range *part = *ret + i;

		*part = *ranges_next(rs, &again);
		if (part->start < start) {
			part->offset += part->file.ino ? start - part->start : 0;
			part->start = start;
		}
		if (part->end > end)
			part->end = end;
	}
	return 0;
}

int ranges_change(struct ranges *rs, uint64_t start, uint64_t end, uint32_t clear, uint32_t set)
{
	struct range *part;
	size_t n;
	int rc = start < end ? take_within(rs, start, end, &part, &n) : -EINVAL;

	if (rc < 0)
		return rc == -EINVAL ? 0 : rc;
	for (size_t i = 0; i < n && rc == 0; i++) {
		part[i].flags = (part[i].flags & ~clear) | set;
		rc = ranges_put(rs, &part[i]);
	}
	free(part);
	return rc;
}

int ranges_move(struct ranges *rs, uint64_t start, uint64_t end, uint64_t to, bool keep)
{
	struct range *part;
	size_t n;
	int rc = start < end ? take_within(rs, start, end, &part, &n) : -EINVAL;

	if (rc < 0)
		return rc == -EINVAL ? 0 : rc;
	if (!keep)
		rc = ranges_cut(rs, start, end, NULL);
	if (rc == 0)
		rc = ranges_cut(rs, to, to + (end - start), NULL);
	for (size_t i = 0; i < n && rc == 0; i++) {
		uint64_t len = part[i].end - part[i].start;

		part[i].start = to + (part[i].start - start);
		part[i].end = part[i].start + len;
		rc = ranges_put(rs, &part[i]);
	}
	free(part);
	return rc;
}

int ranges_copy(struct ranges *to, const struct ranges *from)
{
	struct ranges copy = { 0 };

	for (size_t i = 0; i < from->n_chunks; i++) {
		int rc = add_chunk(&copy, i);

		if (rc < 0) {
			ranges_done(&copy);
			return rc;
		}
		*copy.chunk[i] = *from->chunk[i];
	}
	copy.n = from->n;
	copy.bytes = from->bytes;
	ranges_done(to);
	*to = copy;
	return 0;
}

void ranges_done(struct ranges *rs)
{
	for (size_t i = 0; i < rs->n_chunks; i++)
		free(rs->chunk[i]);
	free(rs->chunk);
	*rs = (struct ranges){ 0 };
}
