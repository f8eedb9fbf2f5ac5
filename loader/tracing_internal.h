/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What tracing.c and tracing_read.c share. */
#ifndef EBPF_CKPT_TRACING_INTERNAL_H
#define EBPF_CKPT_TRACING_INTERNAL_H

#include "tracing.h"

/* The ring as the kernel maps it: the reader's position, the writer's, and the data, at the end of
 * which it begins again, so that no record is ever in two parts. */
struct tracing_ring {
	int fd; /* borrowed from the map */
	size_t bytes, page_bytes;
	size_t map_bytes; /* at producer */
	volatile unsigned long *consumer;	/* owned */
	const volatile unsigned long *producer; /* owned */
	const unsigned char *data;
	unsigned long next; /* what *consumer becomes when the caller is done with the record */
	uint32_t *woken;    /* in the programs' data: the reader has looked */
};

int tracing_ring_open(struct tracing_ring *r, int fd, size_t bytes);
void tracing_ring_close(struct tracing_ring *r);
/* The next record, or NULL. *ret_len: bytes that may be read. */
const void *tracing_ring_next(struct tracing_ring *r, size_t *ret_len);

struct trace_bpf;
struct bpf_link;

struct tracing {
	struct trace_bpf *skel;	 /* owned */
	struct bpf_link **links; /* owned */
	size_t n_links;
	struct tracing_ring ring;
	struct tracing_missing *missing; /* owned */
	size_t n_missing;
	struct tracing_lost *lost; /* owned */
	uint32_t last_lost;
	char path[TRACE_NAMES_MAX * 2];

	/* By CPU, which makes one inventory of areas after the other. */
	struct area_path {
		uint64_t file_id;
		char *path; /* owned */
	} * area_paths;	    /* owned */

	size_t n_area_paths;
};

void tracing_forget_paths(struct tracing *t);

#endif
