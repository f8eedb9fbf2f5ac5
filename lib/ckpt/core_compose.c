// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A whole core file of a process that has some of its pages from another, or all of its memory
 * with it. The segments are those of the core that has the areas, divided where pages are.
 */
#include "core_format.h"
#include "util.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COMPOSE_STEP (256U << 10)

struct compose {
	const struct core_file *threads, *memory;
	const struct core_piece *piece;
	size_t n;
	struct core_head h; /* of `memory` */
	uint8_t *notes;	    /* owned */
	size_t note_bytes;
	uint64_t n_phdr, note_offset, head_bytes; /* of the new file */
	struct core_sink sink;
};

/* ---- notes ---- */

/* Append a note as it stands in `from`. */
static int copy_note(struct compose *c, const uint8_t *from, const struct core_note *n, size_t end,
		     struct ckpt_err **err)
{
	uint8_t *more = realloc(c->notes, c->note_bytes + (end - n->offset));

	if (!more)
		return ckpt_fail_nomem(err);
	c->notes = more;
	memcpy(more + c->note_bytes, from + n->offset, end - n->offset);
	c->note_bytes += end - n->offset;
	return 0;
}

static bool tells_of_memory(const struct core_note *n)
{
	return n->type == NT_FILE && !strcmp(n->owner, "CORE");
}

/* Of the process: all but our own tables, and but the files, unless its memory is its own. */
static bool is_wanted(const struct compose *c, const struct core_note *n, bool of_threads)
{
	if (!strcmp(n->owner, CORE_NOTE_OWNER))
		return false;
	if (c->threads == c->memory)
		return true;
	return of_threads != tells_of_memory(n);
}

static int take_notes(struct compose *c, const struct core_file *from, struct ckpt_err **err)
{
	_cleanup_free_ uint8_t *buf = NULL;
	struct core_head h = { 0 };
	struct core_note n;
	size_t pos = 0;
	int rc = core_read_head(from->fd, &h, err);

	if (rc == 0)
		rc = core_read_notes(from->fd, &h, &buf, err);
	if (rc < 0)
		return rc;
	while ((rc = core_next_note(buf, h.note_bytes, &pos, &n, err)) > 0) {
		if (!is_wanted(c, &n, from == c->threads))
			continue;
		rc = copy_note(c, buf, &n, pos, err);
		if (rc < 0)
			return rc;
	}
	return rc;
}

/* ---- segments ---- */

struct segment {
	uint64_t start, end;
	uint64_t bytes; /* of pages at its start */
};

struct segments {
	const struct compose *c;
	uint64_t at_phdr; /* index of the next segment of `memory` */
	Elf64_Phdr ph;	  /* the one that is being divided */
	uint64_t at;	  /* up to here; the end of ph when it is done */
	size_t piece;	  /* the first of which something is left */
	uint64_t left_at; /* from here on */
};

static int read_phdr(struct segments *s, struct ckpt_err **err)
{
	uint64_t place = sizeof(Elf64_Ehdr) + s->at_phdr * sizeof(Elf64_Phdr);
	int rc = pread_all(s->c->memory->fd, &s->ph, sizeof(s->ph), place);

	if (rc < 0)
		return core_fail_read(err, rc);
	if (s->ph.p_vaddr < s->at || s->ph.p_vaddr > CORE_ADDR_MAX ||
	    s->ph.p_memsz > CORE_ADDR_MAX - s->ph.p_vaddr || s->ph.p_vaddr % CORE_PAGE)
		return core_bad(err, "its segments are out of order");
	s->at = s->ph.p_vaddr;
	return 0;
}

/* Where the next pages are; the end of everything when there are no more. */
static uint64_t next_pages(const struct segments *s)
{
	if (s->piece == s->c->n)
		return UINT64_MAX;
	return s->left_at ? s->left_at : s->c->piece[s->piece].start;
}

/* The pages that begin here, as far as the segment goes; areas side by side may share a piece. */
static uint64_t take_pages(struct segments *s, uint64_t end)
{
	const struct core_piece *p = &s->c->piece[s->piece];
	uint64_t pages_end = p->start + p->n_pages * CORE_PAGE;

	if (pages_end > end) {
		s->left_at = end;
		return end - s->at;
	}
	s->left_at = 0;
	s->piece++;
	return pages_end - s->at;
}

/* 1: there is one, 0: no more. */
static int next_segment(struct segments *s, struct segment *ret, struct ckpt_err **err)
{
	uint64_t end, pages;

	while (s->at_phdr == 0 || s->at == s->ph.p_vaddr + s->ph.p_memsz) {
		int rc;

		if (++s->at_phdr >= s->c->h.n_phdr)
			return s->piece == s->c->n ? 0
						   : core_bad(err, "pages outside all segments");
		rc = read_phdr(s, err);
		if (rc < 0)
			return rc;
	}
	end = s->ph.p_vaddr + s->ph.p_memsz;
	*ret = (struct segment){ .start = s->at, .end = end };
	if (next_pages(s) == s->at)
		ret->bytes = take_pages(s, end);
	pages = next_pages(s);
	if (pages < s->at + ret->bytes)
		return core_bad(err, "pages outside all segments");
	if (pages < end)
		ret->end = pages;
	s->at = ret->end;
	return 1;
}

static int count_segments(struct compose *c, struct ckpt_err **err)
{
	struct segments s = { .c = c };
	struct segment seg;
	int rc;

	c->n_phdr = 1;
	while ((rc = next_segment(&s, &seg, err)) > 0)
		c->n_phdr++;
	c->note_offset = sizeof(Elf64_Ehdr) + c->n_phdr * sizeof(Elf64_Phdr);
	if (c->n_phdr >= PN_XNUM)
		c->note_offset += sizeof(Elf64_Shdr);
	c->head_bytes = core_page_align(c->note_offset + c->note_bytes);
	return rc;
}

static int put_segments(struct compose *c, struct ckpt_err **err)
{
	struct segments s = { .c = c };
	uint64_t offset = c->head_bytes;
	struct segment seg;
	int rc;

	while ((rc = next_segment(&s, &seg, err)) > 0) {
		Elf64_Phdr ph = {
			.p_type = PT_LOAD,
			.p_flags = s.ph.p_flags,
			.p_offset = offset,
			.p_vaddr = seg.start,
			.p_filesz = seg.bytes,
			.p_memsz = seg.end - seg.start,
			.p_align = CORE_PAGE,
		};

		offset += seg.bytes;
		core_sink_put(&c->sink, &ph, sizeof(ph));
	}
	return rc;
}

/* ---- the file ---- */

static int put_head(struct compose *c, struct ckpt_err **err)
{
	const Elf64_Phdr note = { .p_type = PT_NOTE,
				  .p_offset = c->note_offset,
				  .p_filesz = c->note_bytes,
				  .p_align = 4 };
	const Elf64_Shdr sh = { .sh_type = SHT_NULL,
				.sh_size = 1,
				.sh_info = (Elf64_Word)c->n_phdr };
	bool many = c->n_phdr >= PN_XNUM;
	Elf64_Ehdr eh;
	int rc = pread_all(c->memory->fd, &eh, sizeof(eh), 0);

	if (rc < 0)
		return core_fail_read(err, rc);
	eh.e_phnum = many ? PN_XNUM : (Elf64_Half)c->n_phdr;
	eh.e_shoff = many ? c->note_offset - sizeof(sh) : 0;
	eh.e_shentsize = many ? sizeof(sh) : 0;
	eh.e_shnum = many ? 1 : 0;
	core_sink_put(&c->sink, &eh, sizeof(eh));
	core_sink_put(&c->sink, &note, sizeof(note));
	rc = put_segments(c, err);
	if (rc < 0)
		return rc;
	if (many)
		core_sink_put(&c->sink, &sh, sizeof(sh));
	core_sink_put(&c->sink, c->notes, c->note_bytes);
	core_sink_pad(&c->sink, c->head_bytes);
	core_sink_flush(&c->sink);
	if (c->sink.rc < 0)
		return ckpt_fail_errno(err, c->sink.rc, CKPT_E_OUTPUT,
				       "cannot write the core file");
	return 0;
}

static int put_pages(const struct compose *c, const struct core_piece *p, int out_fd,
		     struct ckpt_err **err)
{
	uint64_t left = p->n_pages * CORE_PAGE, at = p->offset;

	while (left > 0) {
		size_t step = left < COMPOSE_STEP ? left : COMPOSE_STEP;
		int rc = pread_all(p->fd, c->sink.buf, step, at);

		if (rc < 0)
			return core_fail_read(err, rc);
		rc = write_all(out_fd, c->sink.buf, step);
		if (rc < 0)
			return ckpt_fail_errno(err, rc, CKPT_E_OUTPUT, "cannot write the pages");
		at += step;
		left -= step;
	}
	return 0;
}

int core_compose(const struct core_file *threads, const struct core_file *memory,
		 const struct core_piece *piece, size_t n, int out_fd, struct ckpt_err **err)
{
	_cleanup_free_ uint8_t *buf = malloc(COMPOSE_STEP);
	struct compose c = { .threads = threads,
			     .memory = memory,
			     .piece = piece,
			     .n = n,
			     .sink = { .fd = out_fd, .buf = buf, .size = COMPOSE_STEP } };
	int rc;

	if (!buf)
		return ckpt_fail_nomem(err);
	rc = core_read_head(memory->fd, &c.h, err);
	if (rc == 0)
		rc = take_notes(&c, threads, err);
	if (rc == 0 && memory != threads)
		rc = take_notes(&c, memory, err);
	if (rc == 0)
		rc = count_segments(&c, err);
	if (rc == 0)
		rc = put_head(&c, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = put_pages(&c, &piece[i], out_fd, err);
	free(c.notes);
	return rc;
}
