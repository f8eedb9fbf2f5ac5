/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading core.PID. The file may come from anybody: each count, offset and length is compared with
 * what the file really holds before it is used, in arithmetic that cannot overflow, and no buffer
 * is larger than the file gives reason for. The program headers are for debuggers only; we believe
 * our own note, after checking it. What is in the pages is checked by their sums, on demand.
 */
#include "core_format.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/procfs.h>
#include <sys/stat.h>
#include <xxhash.h>
#include <zstd.h>

#include "util.h"

#define CORE_HASH_STEP	  (256U << 10)
#define CORE_READ_SLOTS	  3
#define CORE_UNZIP_SLOTS  2 /* workers have buffers of their own */
#define CORE_READ_WORKERS 2
/* Up to here checking pages is not worth a thread. */
#define CORE_READ_SMALL (4U << 20)
/* A run of pages further than this cannot be real, and sums of such numbers cannot overflow. */
#define CORE_MAX_PAGES (1ULL << 44)

int core_bad(struct ckpt_err **err, const char *what)
{
	return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "the core file is damaged: %s", what);
}

int core_fail_read(struct ckpt_err **err, int rc)
{
	if (rc == -ENODATA)
		return core_bad(err, "it is cut short");
	return ckpt_fail_errno(err, rc, CKPT_E_IMAGE, "cannot read the core file");
}

/* ---- the frame of the file ---- */

static int core_count_phdrs(int fd, const Elf64_Ehdr *eh, uint64_t *ret, struct ckpt_err **err)
{
	Elf64_Shdr sh;
	int r;

	if (eh->e_phnum != PN_XNUM) {
		*ret = eh->e_phnum;
		return 0;
	}
	if (eh->e_shoff > INT64_MAX || eh->e_shnum == 0 || eh->e_shentsize != sizeof(sh))
		return core_bad(err, "it has no section that tells the number of segments");
	r = pread_all(fd, &sh, sizeof(sh), eh->e_shoff);
	if (r < 0)
		return core_fail_read(err, r);
	*ret = sh.sh_info;
	return 0;
}

int core_read_head(int fd, struct core_head *h, struct ckpt_err **err)
{
	Elf64_Ehdr eh;
	Elf64_Phdr ph;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return core_fail_read(err, -errno);
	h->file_bytes = (uint64_t)st.st_size;
	if (h->file_bytes < sizeof(eh))
		return core_bad(err, "it is cut short");
	r = pread_all(fd, &eh, sizeof(eh), 0);
	if (r < 0)
		return core_fail_read(err, r);
	if (memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0)
		return core_bad(err, "it is no ELF file");
	if (eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_ident[EI_DATA] != ELFDATA2LSB ||
	    eh.e_ident[EI_VERSION] != EV_CURRENT || eh.e_machine != EM_X86_64)
		return core_bad(err, "it is of another machine");
	if (eh.e_type != ET_CORE || eh.e_phoff != sizeof(eh) || eh.e_phentsize != sizeof(ph))
		return core_bad(err, "it is no core of a checkpoint");
	r = core_count_phdrs(fd, &eh, &h->n_phdr, err);
	if (r < 0)
		return r;
	if (h->n_phdr == 0 || h->n_phdr > (h->file_bytes - sizeof(eh)) / sizeof(ph))
		return core_bad(err, "its number of segments");
	r = pread_all(fd, &ph, sizeof(ph), eh.e_phoff);
	if (r < 0)
		return core_fail_read(err, r);
	if (ph.p_type != PT_NOTE || ph.p_offset < sizeof(eh) + h->n_phdr * sizeof(ph) ||
	    ph.p_offset % 4 || ph.p_offset > h->file_bytes ||
	    ph.p_filesz > h->file_bytes - ph.p_offset)
		return core_bad(err, "its notes are misplaced");
	h->note_offset = ph.p_offset;
	h->note_bytes = ph.p_filesz;
	h->head_bytes = core_page_align(ph.p_offset + ph.p_filesz);
	if (h->head_bytes > h->file_bytes)
		return core_bad(err, "it is cut short");
	return 0;
}

int core_head_xxh3(int fd, char hex[33], struct ckpt_err **err)
{
	_cleanup_free_ uint8_t *buf = NULL;
	struct core_sink s = { .fd = -1 }; /* only for its sum */
	struct core_head h = { 0 };
	int r;

	r = core_read_head(fd, &h, err);
	if (r < 0)
		return r;
	buf = malloc(CORE_HASH_STEP);
	s.hash = XXH3_createState();
	if (!buf || !s.hash) {
		XXH3_freeState(s.hash);
		return ckpt_fail_nomem(err);
	}
	XXH3_128bits_reset(s.hash);
	for (uint64_t at = 0; r >= 0 && at < h.head_bytes; at += CORE_HASH_STEP) {
		uint64_t left = h.head_bytes - at;
		size_t step = left < CORE_HASH_STEP ? left : CORE_HASH_STEP;

		r = pread_all(fd, buf, step, at);
		if (r >= 0)
			XXH3_128bits_update(s.hash, buf, step);
	}
	if (r < 0)
		core_fail_read(err, r);
	else
		core_sink_hex(&s, hex);
	XXH3_freeState(s.hash);
	return r;
}

/* ---- notes ---- */

int core_next_note(const uint8_t *buf, size_t len, size_t *pos, struct core_note *ret,
		   struct ckpt_err **err)
{
	Elf64_Nhdr h;
	size_t left = len - *pos;
	uint64_t name, desc;

	if (left == 0)
		return 0;
	if (left < sizeof(h))
		return core_bad(err, "a note is cut short");
	memcpy(&h, buf + *pos, sizeof(h));
	name = ((uint64_t)h.n_namesz + 3) & ~3ULL;
	desc = ((uint64_t)h.n_descsz + 3) & ~3ULL;
	left -= sizeof(h);
	if (h.n_namesz == 0 || name > left || desc > left - name)
		return core_bad(err, "a note is cut short");
	ret->type = h.n_type;
	ret->offset = *pos;
	ret->owner = (const char *)buf + *pos + sizeof(h);
	if (ret->owner[h.n_namesz - 1] != '\0')
		return core_bad(err, "a note has no owner");
	ret->desc = buf + *pos + sizeof(h) + name;
	ret->bytes = h.n_descsz;
	*pos += sizeof(h) + name + desc;
	return 1;
}

static bool core_note_is(const struct core_note *n, const char *owner, uint32_t type)
{
	return n->type == type && strcmp(n->owner, owner) == 0;
}

static int core_take_thread(struct core_file *c, size_t max, const struct core_note *n,
			    struct ckpt_err **err)
{
	struct core_thread *t;
	struct elf_prstatus st;

	if (n->bytes != sizeof(st))
		return core_bad(err, "registers of a wrong size");
	if (c->n_threads >= max)
		return core_bad(err, "too many threads");
	memcpy(&st, n->desc, sizeof(st));
	if (st.pr_pid <= 0)
		return core_bad(err, "a thread without an id");
	t = &c->threads[c->n_threads++];
	t->tid = st.pr_pid;
	t->pending = st.pr_sigpend;
	t->blocked = st.pr_sighold;
	memcpy(&t->gpr, &st.pr_reg, sizeof(t->gpr));
	return 0;
}

static int core_take_xstate(struct core_thread *t, const struct core_note *n, struct ckpt_err **err)
{
	if (n->bytes < CORE_XSTATE_MIN || n->bytes > CORE_XSTATE_MAX || n->bytes % 8)
		return core_bad(err, "extended registers of a wrong size");
	if (t->xstate)
		return core_bad(err, "a thread with two sets of extended registers");
	t->xstate = malloc(n->bytes);
	if (!t->xstate)
		return ckpt_fail_nomem(err);
	memcpy(t->xstate, n->desc, n->bytes);
	t->xstate_len = n->bytes;
	return 0;
}

static int core_take_siginfo(struct core_thread *t, const struct core_note *n,
			     struct ckpt_err **err)
{
	if (n->bytes != sizeof(t->info))
		return core_bad(err, "a signal of a wrong size");
	memcpy(&t->info, n->desc, sizeof(t->info));
	return 0;
}

static int core_take_once(const struct core_note *n, struct core_note *ret, struct ckpt_err **err)
{
	if (ret->desc)
		return core_bad(err, "it has a table twice");
	*ret = *n;
	return 0;
}

/* The notes that follow an NT_PRSTATUS belong to its thread. */
static int core_take_notes(struct core_file *c, const uint8_t *buf, size_t len, size_t max_threads,
			   struct core_note *ret_runs, struct core_note *ret_frames,
			   struct ckpt_err **err)
{
	struct core_note n;
	size_t pos = 0;
	int r;

	while ((r = core_next_note(buf, len, &pos, &n, err)) > 0) {
		struct core_thread *t = c->n_threads ? &c->threads[c->n_threads - 1] : NULL;

		if (core_note_is(&n, "CORE", NT_PRSTATUS))
			r = core_take_thread(c, max_threads, &n, err);
		else if (t && core_note_is(&n, "LINUX", NT_X86_XSTATE))
			r = core_take_xstate(t, &n, err);
		else if (t && core_note_is(&n, "CORE", NT_SIGINFO))
			r = core_take_siginfo(t, &n, err);
		else if (core_note_is(&n, CORE_NOTE_OWNER, CORE_NOTE_RUNS))
			r = core_take_once(&n, ret_runs, err);
		else if (core_note_is(&n, CORE_NOTE_OWNER, CORE_NOTE_FRAMES))
			r = core_take_once(&n, ret_frames, err);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (!ret_runs->desc)
		return core_bad(err, "it has no table of pages");
	if (c->n_threads == 0)
		return core_bad(err, "it has no threads");
	return 0;
}

static int core_compare_tids(const void *a, const void *b)
{
	pid_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

static int core_check_tids(const struct core_file *c, struct ckpt_err **err)
{
	_cleanup_free_ pid_t *tids = malloc(c->n_threads * sizeof(*tids));

	if (!tids)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < c->n_threads; i++)
		tids[i] = c->threads[i].tid;
	qsort(tids, c->n_threads, sizeof(*tids), core_compare_tids);
	for (size_t i = 1; i < c->n_threads; i++) {
		if (tids[i] == tids[i - 1])
			return core_bad(err, "two threads with one id");
	}
	return 0;
}

/* ---- the tables of runs and frames ---- */

static int core_take_note_head(struct core_file *c, const struct core_note *n,
			       const struct core_head *h, struct core_note_head *ret,
			       struct ckpt_err **err)
{
	if (n->bytes < sizeof(*ret))
		return core_bad(err, "its table of pages is cut short");
	memcpy(ret, n->desc, sizeof(*ret));
	if (ret->version != CORE_NOTE_VERSION || (ret->flags & ~CORE_FLAGS_KNOWN))
		return ckpt_fail(err, ENOTSUP, CKPT_E_IMAGE_VERSION,
				 "the core file needs something newer (version %u, flags 0x%x)",
				 ret->version, ret->flags);
	if (ret->n_runs != (n->bytes - sizeof(*ret)) / sizeof(struct core_note_run) ||
	    (n->bytes - sizeof(*ret)) % sizeof(struct core_note_run))
		return core_bad(err, "its table of pages has a wrong size");
	if (ret->pages_offset != h->head_bytes)
		return core_bad(err, "its pages are misplaced");
	c->compressed = ret->flags & CORE_FLAG_ZSTD;
	c->pages_offset = ret->pages_offset;
	c->n_pages = ret->n_pages;
	if (c->n_pages > CORE_MAX_PAGES)
		return core_bad(err, "its number of pages");
	if (!c->compressed && c->n_pages > (h->file_bytes - h->head_bytes) / CORE_PAGE)
		return core_bad(err, "it is cut short");
	return 0;
}

static int core_take_runs(struct core_file *c, const struct core_note *n,
			  const struct core_note_head *nh, struct ckpt_err **err)
{
	uint64_t pages = 0, end = 0, base = c->compressed ? 0 : c->pages_offset;

	c->runs = calloc(nh->n_runs + 1, sizeof(*c->runs));
	if (!c->runs)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < nh->n_runs; i++) {
		struct core_note_run row;

		memcpy(&row, n->desc + sizeof(*nh) + i * sizeof(row), sizeof(row));
		if (row.start % CORE_PAGE || row.start < end || row.start >= CORE_ADDR_MAX ||
		    row.n_pages == 0 || row.n_pages > (CORE_ADDR_MAX - row.start) / CORE_PAGE)
			return core_bad(err, "a run of pages has an impossible address");
		if (row.n_pages > c->n_pages - pages || row.offset != base + pages * CORE_PAGE)
			return core_bad(err, "a run of pages is not where it should be");
		if (row.area >= nh->n_areas)
			return core_bad(err, "a run of pages belongs to no area");
		c->runs[i] = (struct core_run){
			.start = row.start,
			.n_pages = row.n_pages,
			.offset = row.offset,
			.xxh3 = row.xxh3,
			.area = row.area,
		};
		pages += row.n_pages;
		end = row.start + row.n_pages * CORE_PAGE;
	}
	if (pages != c->n_pages)
		return core_bad(err, "its number of pages");
	c->n_runs = nh->n_runs;
	return 0;
}

static int core_take_frames(struct core_file *c, const struct core_note *n,
			    const struct core_note_head *nh, uint64_t file_bytes,
			    struct ckpt_err **err)
{
	uint64_t at = c->pages_offset, total = c->n_pages * CORE_PAGE;

	if (!c->compressed)
		return 0;
	if (nh->frame_bytes == 0 || nh->frame_bytes > CORE_CHUNK || nh->frame_bytes % CORE_PAGE)
		return core_bad(err, "its compressed frames have an impossible size");
	if (nh->n_frames != (total + nh->frame_bytes - 1) / nh->frame_bytes ||
	    nh->n_frames != n->bytes / sizeof(struct core_note_frame) ||
	    n->bytes % sizeof(struct core_note_frame))
		return core_bad(err, "its number of compressed frames");
	c->frame_table = calloc(2 * nh->n_frames + 1, sizeof(*c->frame_table));
	if (!c->frame_table)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < nh->n_frames; i++) {
		struct core_note_frame f;

		memcpy(&f, n->desc + i * sizeof(f), sizeof(f));
		if (f.offset != at || f.bytes == 0 || f.bytes > file_bytes - at ||
		    f.bytes > ZSTD_COMPRESSBOUND(CORE_CHUNK))
			return core_bad(err, "a compressed frame is not where it should be");
		c->frame_table[2 * i] = f.offset;
		c->frame_table[2 * i + 1] = f.bytes;
		at += f.bytes;
	}
	c->n_frames = nh->n_frames;
	c->frame_bytes = nh->frame_bytes;
	return 0;
}

int core_read_notes(int fd, const struct core_head *h, uint8_t **ret, struct ckpt_err **err)
{
	uint8_t *buf = malloc(h->note_bytes + 1); /* not more than the file holds */
	int r;

	if (!buf)
		return ckpt_fail_nomem(err);
	r = pread_all(fd, buf, h->note_bytes, h->note_offset);
	if (r < 0) {
		free(buf);
		return core_fail_read(err, r);
	}
	*ret = buf;
	return 0;
}

static int core_load(struct core_file *c, struct ckpt_err **err)
{
	struct core_note runs = { 0 }, frames = { 0 };
	_cleanup_free_ uint8_t *buf = NULL;
	struct core_note_head nh;
	struct core_head h = { 0 };
	size_t max;
	int r;

	r = core_read_head(c->fd, &h, err);
	if (r >= 0)
		r = core_read_notes(c->fd, &h, &buf, err);
	if (r < 0)
		return r;
	max = h.note_bytes / core_note_space("CORE", sizeof(struct elf_prstatus));
	if (max > CORE_MAX_THREADS)
		max = CORE_MAX_THREADS;
	c->threads = calloc(max + 1, sizeof(*c->threads));
	if (!c->threads)
		return ckpt_fail_nomem(err);
	r = core_take_notes(c, buf, h.note_bytes, max, &runs, &frames, err);
	if (r >= 0)
		r = core_check_tids(c, err);
	if (r >= 0)
		r = core_take_note_head(c, &runs, &h, &nh, err);
	if (r >= 0)
		r = core_take_runs(c, &runs, &nh, err);
	if (r >= 0)
		r = core_take_frames(c, &frames, &nh, h.file_bytes, err);
	return r;
}

int core_open(struct core_file *c, int fd, struct ckpt_err **err)
{
	int r;

	*c = (struct core_file){ .fd = fd };
	r = core_load(c, err);
	if (r < 0)
		core_done(c);
	return r;
}

void core_done(struct core_file *c)
{
	for (size_t i = 0; i < c->n_threads; i++)
		free(c->threads[i].xstate);
	free(c->threads);
	free(c->runs);
	free(c->frame_table);
	/* a zeroed core was never opened: descriptor 0 is not its own */
	if (c->fd > 0 || c->runs)
		close_reset(&c->fd);
	*c = (struct core_file){ .fd = -1 };
}

/* ---- moving the pages ---- */

/* A stream of all pages, in order, and what to do with it. */
struct core_stream {
	const struct core_file *c;
	uint64_t at;  /* plain: bytes read */
	size_t frame; /* compressed: frame to be read next */
	bool verify;
	int out_fd;	    /* -1: nowhere */
	size_t run;	    /* being summed */
	uint64_t done;	    /* bytes of it */
	XXH3_state_t *hash; /* owned */
};

static int core_stream_fill(void *ctx, uint8_t *buf, size_t cap, size_t *ret_len,
			    struct ckpt_err **err)
{
	struct core_stream *s = ctx;
	uint64_t left = s->c->n_pages * CORE_PAGE - s->at;
	size_t len = left < cap ? left : cap;
	int r;

	r = pread_all(s->c->fd, buf, len, s->c->pages_offset + s->at);
	if (r < 0)
		return core_fail_read(err, r);
	s->at += len;
	*ret_len = len;
	return 0;
}

/*
 * A compressed frame may be a little larger than a chunk when its pages would not shrink, so what
 * is handed to the worker is its number, and the worker reads it.
 */
static int core_frame_fill(void *ctx, uint8_t *buf, size_t cap, size_t *ret_len,
			   struct ckpt_err **err)
{
	struct core_stream *s = ctx;

	(void)cap;
	(void)err;
	*ret_len = 0;
	if (s->frame < s->c->n_frames) {
		memcpy(buf, &s->frame, sizeof(s->frame));
		*ret_len = sizeof(s->frame);
		s->frame++;
	}
	return 0;
}

struct core_unzip {
	ZSTD_DCtx *zstd;
	uint8_t in[ZSTD_COMPRESSBOUND(CORE_CHUNK)];
};

static void core_unzip_free(void *scratch)
{
	struct core_unzip *u = scratch;

	ZSTD_freeDCtx(u->zstd);
	free(u);
}

static void *core_unzip_new(void *ctx)
{
	struct core_unzip *u = malloc(sizeof(*u));

	(void)ctx;
	if (!u)
		return NULL;
	u->zstd = ZSTD_createDCtx();
	if (!u->zstd) {
		free(u);
		return NULL;
	}
	return u;
}

static int core_frame_work(void *ctx, void *scratch, const uint8_t *in, size_t len, uint8_t *out,
			   size_t cap, size_t *ret_len, struct ckpt_err **err)
{
	const struct core_stream *s = ctx;
	const struct core_file *c = s->c;
	struct core_unzip *u = scratch;
	uint64_t left, want;
	size_t i, n;
	int r;

	(void)len;
	memcpy(&i, in, sizeof(i));
	left = c->n_pages * CORE_PAGE - i * c->frame_bytes;
	want = left < c->frame_bytes ? left : c->frame_bytes;
	r = pread_all(c->fd, u->in, c->frame_table[2 * i + 1], c->frame_table[2 * i]);
	if (r < 0)
		return core_fail_read(err, r);
	n = ZSTD_decompressDCtx(u->zstd, out, cap, u->in, c->frame_table[2 * i + 1]);
	if (ZSTD_isError(n) || n != want)
		return core_bad(err, "compressed pages cannot be unpacked");
	*ret_len = n;
	return 0;
}

static int core_fail_altered(const struct core_run *r, struct ckpt_err **err)
{
	return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
			 "the core file is damaged: the pages at 0x%llx-0x%llx were altered",
			 (unsigned long long)r->start,
			 (unsigned long long)(r->start + r->n_pages * CORE_PAGE));
}

/* Sum the pages of each run. */
static int core_stream_check(struct core_stream *s, const uint8_t *buf, size_t len,
			     struct ckpt_err **err)
{
	while (len > 0 && s->run < s->c->n_runs) {
		const struct core_run *r = &s->c->runs[s->run];
		uint64_t bytes = r->n_pages * CORE_PAGE;
		size_t take = bytes - s->done < len ? bytes - s->done : len;

		if (s->done == 0)
			XXH3_64bits_reset(s->hash);
		XXH3_64bits_update(s->hash, buf, take);
		s->done += take;
		buf += take;
		len -= take;
		if (s->done < bytes)
			continue;
		if (XXH3_64bits_digest(s->hash) != r->xxh3)
			return core_fail_altered(r, err);
		s->run++;
		s->done = 0;
	}
	return 0;
}

static int core_stream_drain(void *ctx, const uint8_t *buf, size_t len, struct ckpt_err **err)
{
	struct core_stream *s = ctx;
	int r = 0;

	if (s->verify)
		r = core_stream_check(s, buf, len, err);
	if (r < 0 || s->out_fd < 0)
		return r;
	r = write_all(s->out_fd, buf, len);
	if (r < 0)
		return ckpt_fail_errno(err, r, CKPT_E_OUTPUT, "cannot write the pages");
	return 0;
}

static const struct core_pipe_ops core_stream_ops = {
	.fill = core_stream_fill,
	.drain = core_stream_drain,
};

static const struct core_pipe_ops core_frame_ops = {
	.fill = core_frame_fill,
	.work = core_frame_work,
	.new_scratch = core_unzip_new,
	.free_scratch = core_unzip_free,
	.drain = core_stream_drain,
};

/* All pages, once through: checked, written to out_fd, or both. */
static int core_run_stream(const struct core_file *c, bool verify, int out_fd,
			   struct ckpt_err **err)
{
	struct core_stream s = { .c = c, .verify = verify, .out_fd = out_fd };
	bool small = c->n_pages * CORE_PAGE <= CORE_READ_SMALL;
	int r;

	if (c->n_pages == 0)
		return 0;
	s.hash = XXH3_createState();
	if (!s.hash)
		return ckpt_fail_nomem(err);
	if (c->compressed)
		r = core_pipe_run(&core_frame_ops, &s, small ? 0 : CORE_READ_WORKERS,
				  CORE_UNZIP_SLOTS, CORE_CHUNK, err);
	else
		r = core_pipe_run(&core_stream_ops, &s, small ? 0 : 1, CORE_READ_SLOTS, CORE_CHUNK,
				  err);
	XXH3_freeState(s.hash);
	return r;
}

int core_verify_run(const struct core_run *r, const void *pages, struct ckpt_err **err)
{
	uint64_t bytes = r->n_pages * CORE_PAGE;

	return XXH3_64bits(pages, bytes) == r->xxh3 ? 0 : core_fail_altered(r, err);
}

int core_verify(struct core_file *c, struct ckpt_err **err)
{
	return core_run_stream(c, true, -1, err);
}

int core_pages_fd(struct core_file *c, bool verify, int *ret_fd, uint64_t *ret_offset,
		  struct ckpt_err **err)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (!c->compressed) {
		r = verify ? core_verify(c, err) : 0;
		if (r < 0)
			return r;
		fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 0);
		if (fd < 0)
			return ckpt_fail_errno(err, errno, CKPT_E_SYS, "cannot copy a descriptor");
		*ret_offset = c->pages_offset;
		*ret_fd = TAKE_FD(fd);
		return 0;
	}
	fd = memfd_create("ebpf-ckpt pages", MFD_CLOEXEC);
	if (fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "memfd_create");
	r = core_run_stream(c, verify, fd, err);
	if (r < 0)
		return r;
	*ret_offset = 0;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* ---- export ---- */

/* A plain core from a compressed one: the same head, with the segments' contents filled in. */
struct core_export {
	const struct core_file *c;
	struct core_head h;
	uint8_t *notes;	     /* owned */
	size_t keep;	     /* bytes of the notes before our own */
	uint64_t note_bytes; /* of the new file */
	uint64_t head_bytes; /* of the new file */
	struct core_note_head nh;
};

static int core_export_plan(struct core_export *x, struct ckpt_err **err)
{
	struct core_note n;
	size_t pos = 0;
	int r;

	r = core_read_head(x->c->fd, &x->h, err);
	if (r >= 0)
		r = core_read_notes(x->c->fd, &x->h, &x->notes, err);
	if (r < 0)
		return r;
	x->keep = x->h.note_bytes;
	while ((r = core_next_note(x->notes, x->h.note_bytes, &pos, &n, err)) > 0) {
		if (strcmp(n.owner, CORE_NOTE_OWNER) != 0)
			continue;
		if (n.offset < x->keep)
			x->keep = n.offset;
		if (n.type == CORE_NOTE_RUNS && n.bytes >= sizeof(x->nh))
			memcpy(&x->nh, n.desc, sizeof(x->nh));
	}
	if (r < 0)
		return r;
	x->note_bytes =
		x->keep +
		core_note_space(CORE_NOTE_OWNER,
				sizeof(x->nh) + x->c->n_runs * sizeof(struct core_note_run));
	x->head_bytes = core_page_align(x->h.note_offset + x->note_bytes);
	return 0;
}

static void core_export_note(struct core_sink *s, const struct core_export *x)
{
	struct core_note_head nh = {
		.version = CORE_NOTE_VERSION,
		.n_runs = x->c->n_runs,
		.n_pages = x->c->n_pages,
		.n_areas = x->nh.n_areas,
		.pages_offset = x->head_bytes,
	};

	core_sink_note(s, CORE_NOTE_OWNER, CORE_NOTE_RUNS,
		       sizeof(nh) + x->c->n_runs * sizeof(struct core_note_run));
	core_sink_put(s, &nh, sizeof(nh));
	for (size_t i = 0; i < x->c->n_runs; i++) {
		const struct core_run *r = &x->c->runs[i];
		struct core_note_run row = {
			.start = r->start,
			.n_pages = r->n_pages,
			.offset = x->head_bytes + r->offset,
			.xxh3 = r->xxh3,
			.area = r->area,
		};

		core_sink_put(s, &row, sizeof(row));
	}
	core_sink_pad(s, x->head_bytes);
}

/* The program headers: notes with their new size, each run with its contents. */
static int core_export_phdrs(struct core_sink *s, const struct core_export *x,
			     struct ckpt_err **err)
{
	uint64_t at = sizeof(Elf64_Ehdr), offset = x->head_bytes;
	size_t run = 0;

	for (uint64_t i = 0; i < x->h.n_phdr; i++, at += sizeof(Elf64_Phdr)) {
		Elf64_Phdr ph;
		int r = pread_all(x->c->fd, &ph, sizeof(ph), at);

		if (r < 0)
			return core_fail_read(err, r);
		if (i == 0) {
			ph.p_filesz = x->note_bytes;
		} else {
			ph.p_offset = offset;
			ph.p_filesz = 0;
		}
		if (i > 0 && run < x->c->n_runs && ph.p_vaddr == x->c->runs[run].start) {
			ph.p_filesz = x->c->runs[run].n_pages * CORE_PAGE;
			if (ph.p_memsz < ph.p_filesz)
				return core_bad(err, "a segment is shorter than its pages");
			run++;
		}
		if (i > 0)
			offset += ph.p_filesz;
		core_sink_put(s, &ph, sizeof(ph));
	}
	return run == x->c->n_runs ? 0 : core_bad(err, "pages outside all segments");
}

static int core_export_head(struct core_sink *s, const struct core_export *x, struct ckpt_err **err)
{
	uint64_t end = sizeof(Elf64_Ehdr) + x->h.n_phdr * sizeof(Elf64_Phdr);
	Elf64_Ehdr eh;
	int r;

	r = pread_all(x->c->fd, &eh, sizeof(eh), 0);
	if (r < 0)
		return core_fail_read(err, r);
	core_sink_put(s, &eh, sizeof(eh));
	r = core_export_phdrs(s, x, err);
	if (r < 0)
		return r;
	/* between headers and notes: at most section header 0 */
	for (; end + sizeof(Elf64_Shdr) <= x->h.note_offset; end += sizeof(Elf64_Shdr)) {
		Elf64_Shdr sh;

		r = pread_all(x->c->fd, &sh, sizeof(sh), end);
		if (r < 0)
			return core_fail_read(err, r);
		core_sink_put(s, &sh, sizeof(sh));
	}
	core_sink_pad(s, x->h.note_offset);
	core_sink_put(s, x->notes, x->keep);
	core_export_note(s, x);
	core_sink_flush(s);
	if (s->rc < 0)
		return ckpt_fail_errno(err, s->rc, CKPT_E_OUTPUT, "cannot write the core file");
	return 0;
}

/* The file as it is. */
static int core_export_plain(const struct core_file *c, int out_fd, struct ckpt_err **err)
{
	_cleanup_free_ uint8_t *buf = malloc(CORE_HASH_STEP);
	int r;

	if (!buf)
		return ckpt_fail_nomem(err);
	for (uint64_t at = 0; at < c->pages_offset; at += CORE_HASH_STEP) {
		uint64_t left = c->pages_offset - at;
		size_t step = left < CORE_HASH_STEP ? left : CORE_HASH_STEP;

		r = pread_all(c->fd, buf, step, at);
		if (r < 0)
			return core_fail_read(err, r);
		r = write_all(out_fd, buf, step);
		if (r < 0)
			return ckpt_fail_errno(err, r, CKPT_E_OUTPUT, "cannot write the core file");
	}
	return core_run_stream(c, true, out_fd, err);
}

int core_export(struct core_file *c, int out_fd, struct ckpt_err **err)
{
	struct core_export x = { .c = c };
	_cleanup_free_ uint8_t *buf = NULL;
	struct core_sink s = { .fd = out_fd, .size = CORE_HASH_STEP };
	int r;

	if (!c->compressed)
		return core_export_plain(c, out_fd, err);
	buf = malloc(CORE_HASH_STEP);
	if (!buf)
		return ckpt_fail_nomem(err);
	s.buf = buf;
	r = core_export_plan(&x, err);
	if (r >= 0)
		r = core_export_head(&s, &x, err);
	if (r >= 0)
		r = core_run_stream(c, true, out_fd, err);
	free(x.notes);
	return r;
}
