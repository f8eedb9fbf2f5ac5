/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The areas of an address space as a set of ranges. Neighbours that are alike are one, so that it
 * does not matter where the kernel splits and merges its own.
 */
#ifndef CKPT_RANGES_H
#define CKPT_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RANGE_READ	0x01
#define RANGE_WRITE	0x02
#define RANGE_EXEC	0x04
#define RANGE_PROT	0x07
#define RANGE_SHARED	0x08
#define RANGE_GROWSDOWN 0x10 /* a stack: it may begin lower than is known */
#define RANGE_SYSV	0x20 /* attached by shmat(2); ino is the segment's id */
#define RANGE_SPECIAL	0x40 /* the kernel's own: [vdso] and the like */

/* What a range maps. All zero: nothing, it is anonymous. */
struct range_file {
	uint64_t ino;
	uint32_t dev_major, dev_minor;
};

struct range {
	uint64_t start, end;
	uint32_t flags; /* RANGE_* */
	uint32_t pad;
	struct range_file file;
	uint64_t offset; /* in the file; 0: anonymous */
};

/* All zero: empty. */
struct ranges {
	struct range_chunk **chunk; /* owned; in order of addresses, none empty */
	size_t n_chunks, size;
	size_t n;	/* ranges */
	uint64_t bytes; /* of them all */
};

/* What comes in place of all that was there. 0 or -ENOMEM: the set then lacks a part. */
int ranges_put(struct ranges *rs, const struct range *r);
/* Cut out. ret_bytes, may be NULL: of how much there was something. */
int ranges_cut(struct ranges *rs, uint64_t start, uint64_t end, uint64_t *ret_bytes);
/* Change flags within a span. */
int ranges_change(struct ranges *rs, uint64_t start, uint64_t end, uint32_t clear, uint32_t set);
/* Move what is within [start, end) to `to`, as mremap(2) does; nothing stays behind unless `keep`.
 */
int ranges_move(struct ranges *rs, uint64_t start, uint64_t end, uint64_t to, bool keep);
int ranges_copy(struct ranges *to, const struct ranges *from);
void ranges_done(struct ranges *rs);

/* The range that has this address, or the next one above it; NULL: none. */
const struct range *ranges_at(const struct ranges *rs, uint64_t address);

/*
 * Go through all in order: start with a zeroed cursor. NULL: no more. The set must not change
 * meanwhile.
 */
struct range_cursor {
	size_t chunk, at;
};

const struct range *ranges_next(const struct ranges *rs, struct range_cursor *c);

#endif
