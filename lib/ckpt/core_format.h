/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What core_write.c and core_read.c agree on: our own notes, and the pipeline that moves pages.
 *
 * A core file is a head and pages. The head is: ELF header; program headers, PT_NOTE first; with
 * PN_XNUM or more of them, section header 0; the notes; zeros up to a page boundary. The head ends
 * where the page-aligned end of the notes is, so a reader finds its length without believing any
 * table. Our two notes come last, owner "EBPFCKPT". Everything is little endian.
 */
#ifndef CKPT_CORE_FORMAT_H
#define CKPT_CORE_FORMAT_H

#include "core.h"

#include <elf.h>

#define CORE_NOTE_OWNER	  "EBPFCKPT"
#define CORE_NOTE_RUNS	  1 /* struct core_note_head, then struct core_note_run[n_runs] */
#define CORE_NOTE_FRAMES  2 /* struct core_note_frame[n_frames]; compressed cores only */
#define CORE_NOTE_VERSION 1

#define CORE_FLAG_ZSTD	 (1U << 0)
#define CORE_FLAGS_KNOWN CORE_FLAG_ZSTD

/* Uncompressed bytes of a frame, and the size of every buffer of the pipeline. */
#define CORE_CHUNK (4U << 20)
/* User addresses end here, also with five-level page tables. */
#define CORE_ADDR_MAX	 ((1ULL << 56) - CORE_PAGE)
#define CORE_MAX_THREADS (1U << 20)
/* Bounds of what XSAVE can take: the legacy part with its header; far above what AMX needs. */
#define CORE_XSTATE_MIN 576U
#define CORE_XSTATE_MAX (64U << 10)
#define CORE_FXSAVE	512U

struct core_note_head {
	uint32_t version;
	uint32_t flags;
	uint64_t n_runs;
	uint64_t n_pages; /* of all runs */
	uint64_t n_areas;
	uint64_t pages_offset; /* = length of the head */
	uint64_t frame_bytes;  /* 0 when not compressed */
	uint64_t n_frames;
	uint64_t reserved;
};

struct core_note_run {
	uint64_t start;
	uint64_t n_pages;
	uint64_t offset; /* in the file; compressed: in the stream of pages */
	uint64_t xxh3;
	uint32_t area;
	uint32_t reserved;
};

struct core_note_frame {
	uint64_t offset; /* in the file */
	uint64_t bytes;	 /* compressed */
};

_Static_assert(sizeof(struct core_note_head) == 64, "note head");
_Static_assert(sizeof(struct core_note_run) == 40, "note run");
_Static_assert(sizeof(struct core_note_frame) == 16, "note frame");

/* A note's space in the file: header, owner and contents, each padded to 4. */
static inline uint64_t core_note_space(const char *owner, uint64_t bytes)
{
	uint64_t name = __builtin_strlen(owner) + 1;

	return sizeof(Elf64_Nhdr) + ((name + 3) & ~3ULL) + ((bytes + 3) & ~3ULL);
}

static inline uint64_t core_page_align(uint64_t v)
{
	return (v + CORE_PAGE - 1) & ~(CORE_PAGE - 1);
}

/* ---- the head, read; all of it checked against the file's size ---- */

struct core_head {
	uint64_t file_bytes;
	uint64_t n_phdr;
	uint64_t note_offset, note_bytes;
	uint64_t head_bytes;
};

struct core_note {
	uint32_t type;
	const char *owner; /* NUL-terminated */
	const uint8_t *desc;
	size_t bytes;
	size_t offset; /* of its header, in the notes */
};

int core_bad(struct ckpt_err **err, const char *what);
int core_fail_read(struct ckpt_err **err, int rc);
int core_read_head(int fd, struct core_head *h, struct ckpt_err **err);
/* All notes; *ret is malloc'd. */
int core_read_notes(int fd, const struct core_head *h, uint8_t **ret, struct ckpt_err **err);
/* The next note of a buffer. 1: there is one, 0: no more, negative: damaged. */
int core_next_note(const uint8_t *buf, size_t len, size_t *pos, struct core_note *ret,
		   struct ckpt_err **err);

/* ---- the head, written piece by piece ---- */

/*
 * Collects bytes in a buffer and writes them out when it is full; sums them all. The first error
 * stays, and everything after it is dropped: look at `rc` once, at the end.
 */
struct core_sink {
	int fd;
	bool seekable; /* pwrite at `offset`; else plain writes, one after the other */
	uint8_t *buf;  /* borrowed */
	size_t size, used;
	uint64_t offset;	   /* of buf[0] in the file */
	struct XXH3_state_s *hash; /* owned; NULL: no sum wanted */
	int rc;
};

void core_sink_put(struct core_sink *s, const void *data, size_t len);
void core_sink_pad(struct core_sink *s, uint64_t end); /* zeros up to this offset in the file */
void core_sink_note(struct core_sink *s, const char *owner, uint32_t type, uint64_t bytes);
void core_sink_flush(struct core_sink *s);
/* Flush the sum: 32 hex digits and NUL. */
void core_sink_hex(const struct core_sink *s, char hex[33]);

/* ---- the pipeline ---- */

/*
 * Moves a stream of chunks: fill() makes the next one, work() may transform it, drain() takes it.
 * fill() is called in order, by one thread at a time; work() by several at once; drain() in order,
 * by the thread that called core_pipe_run(). Each returns 0 or a negative errno with *err set; the
 * first failure stops everything.
 */
struct core_pipe_ops {
	/* *ret_len = 0: no more. `cap` is CORE_CHUNK; buf is page-aligned. */
	int (*fill)(void *ctx, uint8_t *buf, size_t cap, size_t *ret_len, struct ckpt_err **err);
	/* May be NULL. `cap` is out_size. scratch: what new_scratch() made for this thread. */
	int (*work)(void *ctx, void *scratch, const uint8_t *in, size_t len, uint8_t *out,
		    size_t cap, size_t *ret_len, struct ckpt_err **err);
	void *(*new_scratch)(void *ctx);
	void (*free_scratch)(void *scratch);
	int (*drain)(void *ctx, const uint8_t *buf, size_t len, struct ckpt_err **err);
};

/*
 * n_workers 0: all in the calling thread. out_size: room for what work() makes of a chunk. With n
 * workers n_slots buffers hold what waits for drain(); memory: n_slots * out_size, and with work()
 * also a chunk for each worker.
 */
int core_pipe_run(const struct core_pipe_ops *ops, void *ctx, unsigned int n_workers,
		  unsigned int n_slots, size_t out_size, struct ckpt_err **err);

#endif
