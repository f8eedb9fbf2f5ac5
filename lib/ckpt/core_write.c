/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing core.PID. The pages go first, behind the space that the head will need: reading them from
 * the process, summing them and writing them overlap, and the sums are known only when that is
 * done. Then the head is written in front, with its notes in the order in which the kernel's own
 * cores have them.
 */
#include "core_format.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/procfs.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <xxhash.h>
#include <zstd.h>

#include "image.h"
#include "util.h"

/* Up to here all is done in one buffer and one write, without threads and without O_DIRECT. */
#define CORE_SMALL (1U << 20)
/* One reading call: what still is in the cache when it is summed. */
#define CORE_BATCH     (512U << 10)
#define CORE_BATCH_IOV 1024
#define CORE_HEAD_BUF  (256U << 10)
#define CORE_SLOTS     4
/* Compression: less slots, for each worker has a buffer of its own as well. */
#define CORE_ZSTD_SLOTS	  2
#define CORE_ZSTD_WORKERS 2
#define CORE_PROGRESS_US  100000

/* ---- where the pages come from ---- */

struct core_reader {
	struct core_process *p;
	pid_t pid;
	int mem_fd;   /* /proc/PID/mem, opened when first needed */
	int stash_fd; /* borrowed */
	uint64_t stash_offset;
	size_t run;    /* the run being read */
	uint64_t done; /* bytes of it already read */
	XXH3_state_t *hash;
};

static uint64_t core_run_bytes(const struct core_run *r)
{
	return r->n_pages * CORE_PAGE;
}

/* Account for bytes just read: sum them, run by run, and move on. */
static void core_reader_advance(struct core_reader *s, const uint8_t *data, uint64_t len)
{
	while (len > 0) {
		struct core_run *r = &s->p->runs[s->run];
		uint64_t bytes = core_run_bytes(r);
		uint64_t take = bytes - s->done < len ? bytes - s->done : len;

		if (take == bytes) {
			r->xxh3 = XXH3_64bits(data, take);
		} else {
			if (s->done == 0)
				XXH3_64bits_reset(s->hash);
			XXH3_64bits_update(s->hash, data, take);
			if (s->done + take == bytes)
				r->xxh3 = XXH3_64bits_digest(s->hash);
		}
		s->done += take;
		if (s->done == bytes) {
			s->run++;
			s->done = 0;
		}
		data += take;
		len -= take;
	}
}

static int core_fail_gone(struct ckpt_err **err, pid_t pid)
{
	return ckpt_fail(err, ESRCH, CKPT_E_GONE,
			 "process %d ended while its memory was being read", pid);
}

/* Through /proc/PID/mem, which reads pages that no protection bit lets process_vm_readv(2) see. */
static int core_read_mem(struct core_reader *s, uint8_t *buf, size_t len, uint64_t addr,
			 struct ckpt_err **err)
{
	ssize_t n;

	if (s->mem_fd < 0) {
		char path[32];

		snprintf(path, sizeof(path), "/proc/%d/mem", s->pid);
		s->mem_fd = open(path, O_RDONLY | O_CLOEXEC);
		if (s->mem_fd < 0 && errno == ENOENT)
			return core_fail_gone(err, s->pid);
		if (s->mem_fd < 0)
			return ckpt_fail_errno(err, errno, CKPT_E_SYS, "cannot open %s", path);
	}
	while (len > 0) {
		n = pread(s->mem_fd, buf, len, (off_t)addr);
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0) /* its address space is gone */
			return core_fail_gone(err, s->pid);
		if (n < 0)
			return ckpt_fail_errno(err, errno, CKPT_E_SYS,
					       "cannot read memory of process %d at 0x%llx", s->pid,
					       (unsigned long long)addr);
		buf += n;
		addr += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* As many bytes of consecutive process_vm_readv runs as one call shall read. */
static size_t core_gather(const struct core_reader *s, size_t cap, struct iovec *iov, size_t *ret_n)
{
	uint64_t done = s->done;
	size_t total = 0, n = 0;

	if (cap > CORE_BATCH)
		cap = CORE_BATCH;
	for (size_t i = s->run; i < s->p->n_runs && n < CORE_BATCH_IOV && total < cap; i++) {
		const struct core_run *r = &s->p->runs[i];
		uint64_t left = core_run_bytes(r) - done;
		size_t take = left < cap - total ? left : cap - total;

		if (r->source != CORE_FROM_READV)
			break;
		iov[n++] = (struct iovec){
			.iov_base = (void *)(uintptr_t)(r->start + done),
			.iov_len = take,
		};
		total += take;
		done = 0;
	}
	*ret_n = n;
	return total;
}

static int core_read_batch(struct core_reader *s, uint8_t *buf, size_t cap, size_t *ret_len,
			   struct ckpt_err **err)
{
	struct iovec remote[CORE_BATCH_IOV], local = { .iov_base = buf };
	size_t n_iov;
	ssize_t n;
	int r;

	local.iov_len = core_gather(s, cap, remote, &n_iov);
	do {
		n = process_vm_readv(s->pid, &local, 1, remote, n_iov, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == ESRCH)
		return core_fail_gone(err, s->pid);
	if (n < 0 && errno != EFAULT)
		return ckpt_fail_errno(err, errno, errno == EPERM ? CKPT_E_PRIVILEGE : CKPT_E_SYS,
				       "cannot read memory of process %d", s->pid);
	if (n >= (ssize_t)CORE_PAGE) {
		/* part of the batch: the next one begins at the page that stopped it */
		*ret_len = (size_t)n & ~(CORE_PAGE - 1);
		return 0;
	}
	r = core_read_mem(s, buf, CORE_PAGE, (uintptr_t)remote[0].iov_base, err);
	*ret_len = CORE_PAGE;
	return r;
}

/* Read some of the current run, or of several that process_vm_readv can read at once. */
static int core_read_some(struct core_reader *s, uint8_t *buf, size_t cap, size_t *ret_len,
			  struct ckpt_err **err)
{
	const struct core_run *run = &s->p->runs[s->run];
	uint64_t left = core_run_bytes(run) - s->done;
	size_t len = cap < CORE_BATCH ? cap : CORE_BATCH;
	int r;

	if (run->source == CORE_FROM_READV)
		return core_read_batch(s, buf, cap, ret_len, err);
	if (left < len)
		len = left;
	*ret_len = len;
	if (run->source == CORE_FROM_MEM)
		return core_read_mem(s, buf, len, run->start + s->done, err);
	r = pread_all(s->stash_fd, buf, len, s->stash_offset);
	if (r < 0)
		return ckpt_fail_errno(err, r, CKPT_E_SYS,
				       "cannot read back the pages taken while frozen");
	s->stash_offset += len;
	return 0;
}

static int core_reader_fill(struct core_reader *s, uint8_t *buf, size_t cap, size_t *ret_len,
			    struct ckpt_err **err)
{
	size_t len = 0;

	while (len < cap && s->run < s->p->n_runs) {
		size_t got = 0;
		int r = core_read_some(s, buf + len, cap - len, &got, err);

		if (r < 0)
			return r;
		core_reader_advance(s, buf + len, got);
		len += got;
	}
	*ret_len = len;
	return 0;
}

/* ---- the layout ---- */

struct core_layout {
	uint64_t n_phdr;
	uint64_t note_offset, note_bytes;
	uint64_t head_bytes;
	uint64_t file_note_bytes;
	uint64_t n_pages;
	uint64_t n_frames;
	bool compress;
};

/* Walks the PT_LOADs: a run with the gap that follows it, or a gap at the start of an area. */
struct core_load_iter {
	size_t area, run;
	uint64_t pos; /* in the area; 0: at its start */
};

static bool core_next_load(const struct core_process *p, bool compress, struct core_load_iter *it,
			   Elf64_Phdr *ret)
{
	const struct core_area *a;
	const struct core_run *run = NULL;
	uint64_t start, end, bytes = 0;

	if (it->area >= p->n_areas)
		return false;
	a = &p->areas[it->area];
	start = it->pos ? it->pos : a->start;
	if (it->run < p->n_runs && p->runs[it->run].area == it->area)
		run = &p->runs[it->run];
	if (run && run->start == start) {
		bytes = core_run_bytes(run);
		it->run++;
		run++;
		if (it->run >= p->n_runs || run->area != it->area)
			run = NULL;
	}
	end = run ? run->start : a->end;
	*ret = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_flags = (a->prot & PROT_READ ? PF_R : 0U) | (a->prot & PROT_WRITE ? PF_W : 0U) |
			   (a->prot & PROT_EXEC ? PF_X : 0U),
		.p_vaddr = start,
		.p_filesz = compress ? 0 : bytes,
		.p_memsz = end - start,
		.p_align = CORE_PAGE,
	};
	it->pos = end;
	if (end == a->end) {
		it->area++;
		it->pos = 0;
	}
	return true;
}

/* The tables must be sorted and fit each other, or the file would be wrong in silence. */
static int core_check_tables(const struct core_process *p, struct ckpt_err **err)
{
	uint64_t end = 0;

	if (p->n_threads == 0)
		return ckpt_fail(err, EINVAL, CKPT_E_SYS, "a process without threads");
	for (size_t i = 0; i < p->n_areas; i++) {
		const struct core_area *a = &p->areas[i];

		if (a->start < end || a->end <= a->start || a->start % CORE_PAGE ||
		    a->end % CORE_PAGE)
			return ckpt_fail(err, EINVAL, CKPT_E_SYS, "memory area %zu is misplaced",
					 i);
		end = a->end;
	}
	end = 0;
	for (size_t i = 0; i < p->n_runs; i++) {
		const struct core_run *r = &p->runs[i];

		if (r->area >= p->n_areas || r->n_pages == 0 || r->start % CORE_PAGE ||
		    r->start < end || r->start < p->areas[r->area].start ||
		    r->start >= p->areas[r->area].end ||
		    r->n_pages > (p->areas[r->area].end - r->start) / CORE_PAGE)
			return ckpt_fail(err, EINVAL, CKPT_E_SYS, "page run %zu is misplaced", i);
		end = r->start + core_run_bytes(r);
	}
	return 0;
}

static uint64_t core_file_note_bytes(const struct core_process *p)
{
	uint64_t bytes = 2 * sizeof(uint64_t);

	for (size_t i = 0; i < p->n_areas; i++) {
		if (p->areas[i].path)
			bytes += 3 * sizeof(uint64_t) + strlen(p->areas[i].path) + 1;
	}
	return bytes;
}

/* The kernel gives a core one NT_SIGINFO; we keep each thread's, when there is one. */
static bool core_has_siginfo(const struct core_process *p, size_t i)
{
	return i == 0 || p->threads[i].info.si_signo != 0;
}

static uint64_t core_thread_space(const struct core_process *p, size_t i)
{
	const struct core_thread *t = &p->threads[i];
	uint64_t n = core_note_space("CORE", sizeof(struct elf_prstatus));

	if (core_has_siginfo(p, i))
		n += core_note_space("CORE", sizeof(siginfo_t));
	if (t->xstate_len >= CORE_FXSAVE)
		n += core_note_space("CORE", CORE_FXSAVE) + core_note_space("LINUX", t->xstate_len);
	return n;
}

static void core_lay_out(struct core_layout *l, const struct core_process *p, bool compress)
{
	struct core_load_iter it = { 0 };
	Elf64_Phdr ph;

	*l = (struct core_layout){ .n_phdr = 1, .compress = compress };
	for (size_t i = 0; i < p->n_runs; i++)
		l->n_pages += p->runs[i].n_pages;
	if (compress)
		l->n_frames = (l->n_pages * CORE_PAGE + CORE_CHUNK - 1) / CORE_CHUNK;
	while (core_next_load(p, compress, &it, &ph))
		l->n_phdr++;
	l->note_offset = sizeof(Elf64_Ehdr) + l->n_phdr * sizeof(Elf64_Phdr);
	if (l->n_phdr >= PN_XNUM)
		l->note_offset += sizeof(Elf64_Shdr);
	l->file_note_bytes = core_file_note_bytes(p);
	l->note_bytes = core_note_space("CORE", sizeof(struct elf_prpsinfo)) +
			core_note_space("CORE", p->n_auxv * sizeof(uint64_t)) +
			core_note_space("CORE", l->file_note_bytes);
	for (size_t i = 0; i < p->n_threads; i++)
		l->note_bytes += core_thread_space(p, i);
	l->note_bytes +=
		core_note_space(CORE_NOTE_OWNER, sizeof(struct core_note_head) +
							 p->n_runs * sizeof(struct core_note_run));
	if (compress)
		l->note_bytes += core_note_space(CORE_NOTE_OWNER,
						 l->n_frames * sizeof(struct core_note_frame));
	l->head_bytes = core_page_align(l->note_offset + l->note_bytes);
}

/* ---- the head ---- */

static void core_put_headers(struct core_sink *s, const struct core_process *p,
			     const struct core_layout *l)
{
	bool many = l->n_phdr >= PN_XNUM;
	Elf64_Ehdr eh = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			     EV_CURRENT, ELFOSABI_NONE },
		.e_type = ET_CORE,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = many ? PN_XNUM : (Elf64_Half)l->n_phdr,
		.e_shoff = many ? l->note_offset - sizeof(Elf64_Shdr) : 0,
		.e_shentsize = many ? sizeof(Elf64_Shdr) : 0,
		.e_shnum = many ? 1 : 0,
	};
	Elf64_Phdr ph = {
		.p_type = PT_NOTE,
		.p_offset = l->note_offset,
		.p_filesz = l->note_bytes,
		.p_align = 4,
	};
	struct core_load_iter it = { 0 };
	uint64_t offset = l->head_bytes;

	core_sink_put(s, &eh, sizeof(eh));
	core_sink_put(s, &ph, sizeof(ph));
	while (core_next_load(p, l->compress, &it, &ph)) {
		/* Parts without contents get the offset where contents would be, as the kernel
		 * does. */
		ph.p_offset = offset;
		offset += ph.p_filesz;
		core_sink_put(s, &ph, sizeof(ph));
	}
	if (many) {
		/* elf(5): the true count of program headers is in sh_info of section 0 */
		Elf64_Shdr sh = { .sh_type = SHT_NULL,
				  .sh_size = 1,
				  .sh_info = (Elf64_Word)l->n_phdr };

		core_sink_put(s, &sh, sizeof(sh));
	}
}

static void core_put_prstatus(struct core_sink *s, const struct core_process *p,
			      const struct core_thread *t)
{
	struct elf_prstatus st;

	memset(&st, 0, sizeof(st));
	st.pr_info.si_signo = t->info.si_signo;
	st.pr_cursig = (short)t->info.si_signo;
	st.pr_sigpend = t->pending;
	st.pr_sighold = t->blocked;
	st.pr_pid = t->tid;
	st.pr_ppid = p->ppid;
	st.pr_pgrp = p->pgid;
	st.pr_sid = p->sid;
	_Static_assert(sizeof(st.pr_reg) == sizeof(t->gpr), "same registers in the same order");
	memcpy(&st.pr_reg, &t->gpr, sizeof(st.pr_reg));
	st.pr_fpvalid = t->xstate_len >= CORE_FXSAVE;
	core_sink_note(s, "CORE", NT_PRSTATUS, sizeof(st));
	core_sink_put(s, &st, sizeof(st));
}

static void core_put_prpsinfo(struct core_sink *s, const struct core_process *p)
{
	static const char states[] = "RSDTZW";
	const char *at = p->state ? strchr(states, p->state) : NULL;
	struct elf_prpsinfo ps;

	memset(&ps, 0, sizeof(ps));
	ps.pr_state = (char)(at ? at - states : 0);
	ps.pr_sname = p->state ? p->state : 'R';
	ps.pr_nice = (char)p->nice;
	ps.pr_uid = p->uid;
	ps.pr_gid = p->gid;
	ps.pr_pid = p->pid;
	ps.pr_ppid = p->ppid;
	ps.pr_pgrp = p->pgid;
	ps.pr_sid = p->sid;
	memcpy(ps.pr_fname, p->comm, sizeof(ps.pr_fname));
	memcpy(ps.pr_psargs, p->args, sizeof(ps.pr_psargs));
	core_sink_note(s, "CORE", NT_PRPSINFO, sizeof(ps));
	core_sink_put(s, &ps, sizeof(ps));
}

/* NT_FILE: count, page size, (start, end, offset in pages) each, then the names. */
static void core_put_files(struct core_sink *s, const struct core_process *p,
			   const struct core_layout *l)
{
	uint64_t head[2] = { 0, CORE_PAGE };

	for (size_t i = 0; i < p->n_areas; i++)
		head[0] += p->areas[i].path != NULL;
	core_sink_note(s, "CORE", NT_FILE, l->file_note_bytes);
	core_sink_put(s, head, sizeof(head));
	for (size_t i = 0; i < p->n_areas; i++) {
		const struct core_area *a = &p->areas[i];
		uint64_t row[3] = { a->start, a->end, a->pgoff_bytes / CORE_PAGE };

		if (a->path)
			core_sink_put(s, row, sizeof(row));
	}
	for (size_t i = 0; i < p->n_areas; i++) {
		if (p->areas[i].path)
			core_sink_put(s, p->areas[i].path, strlen(p->areas[i].path) + 1);
	}
	core_sink_pad(s, (s->offset + s->used + 3) & ~3ULL);
}

static void core_put_siginfo(struct core_sink *s, const struct core_thread *t)
{
	core_sink_note(s, "CORE", NT_SIGINFO, sizeof(t->info));
	core_sink_put(s, &t->info, sizeof(t->info));
}

static void core_put_xstate(struct core_sink *s, const struct core_thread *t)
{
	if (t->xstate_len < CORE_FXSAVE)
		return;
	core_sink_note(s, "CORE", NT_FPREGSET, CORE_FXSAVE);
	core_sink_put(s, t->xstate, CORE_FXSAVE);
	core_sink_note(s, "LINUX", NT_X86_XSTATE, t->xstate_len);
	core_sink_put(s, t->xstate, t->xstate_len);
	core_sink_pad(s, (s->offset + s->used + 3) & ~3ULL);
}

static void core_put_our_notes(struct core_sink *s, const struct core_process *p,
			       const struct core_layout *l, const struct core_note_frame *frames)
{
	struct core_note_head h = {
		.version = CORE_NOTE_VERSION,
		.flags = l->compress ? CORE_FLAG_ZSTD : 0,
		.n_runs = p->n_runs,
		.n_pages = l->n_pages,
		.n_areas = p->n_areas,
		.pages_offset = l->head_bytes,
		.frame_bytes = l->compress ? CORE_CHUNK : 0,
		.n_frames = l->n_frames,
	};

	core_sink_note(s, CORE_NOTE_OWNER, CORE_NOTE_RUNS,
		       sizeof(h) + p->n_runs * sizeof(struct core_note_run));
	core_sink_put(s, &h, sizeof(h));
	for (size_t i = 0; i < p->n_runs; i++) {
		const struct core_run *r = &p->runs[i];
		struct core_note_run row = {
			.start = r->start,
			.n_pages = r->n_pages,
			.offset = r->offset,
			.xxh3 = r->xxh3,
			.area = r->area,
		};

		core_sink_put(s, &row, sizeof(row));
	}
	if (l->compress) {
		uint64_t bytes = l->n_frames * sizeof(*frames);

		core_sink_note(s, CORE_NOTE_OWNER, CORE_NOTE_FRAMES, bytes);
		core_sink_put(s, frames, bytes);
	}
}

/* The whole head, ending at a page boundary. */
static void core_put_head(struct core_sink *s, const struct core_process *p,
			  const struct core_layout *l, const struct core_note_frame *frames)
{
	core_put_headers(s, p, l);
	for (size_t i = 0; i < p->n_threads; i++) {
		const struct core_thread *t = &p->threads[i];

		core_put_prstatus(s, p, t);
		if (i == 0)
			core_put_prpsinfo(s, p);
		if (core_has_siginfo(p, i))
			core_put_siginfo(s, t);
		if (i == 0) {
			core_sink_note(s, "CORE", NT_AUXV, p->n_auxv * sizeof(uint64_t));
			core_sink_put(s, p->auxv, p->n_auxv * sizeof(uint64_t));
			core_put_files(s, p, l);
		}
		core_put_xstate(s, t);
	}
	core_put_our_notes(s, p, l, frames);
	core_sink_pad(s, l->head_bytes);
}

/* ---- the file ---- */

struct core_writer {
	const struct core_process *p;
	struct core_layout l;
	struct core_reader reader;
	const struct core_write_opts *opts;
	int dir_fd;	  /* borrowed */
	const char *name; /* borrowed */
	int fd;
	bool direct;			/* O_DIRECT is set on fd */
	uint64_t offset;		/* of the next write of pages */
	uint64_t pages_done;		/* bytes, uncompressed */
	struct core_note_frame *frames; /* owned */
	size_t n_frames;
	uint64_t last_progress_us;
};

static int core_fail_file(const struct core_writer *w, int rc, struct ckpt_err **err)
{
	return image_fail_write(err, rc, w->dir_fd, w->name);
}

static void core_set_direct(struct core_writer *w, bool on)
{
	int flags = fcntl(w->fd, F_GETFL);

	if (flags < 0 || w->direct == on)
		return;
	if (fcntl(w->fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT) == 0)
		w->direct = on;
}

static int core_put_pages(struct core_writer *w, const uint8_t *buf, size_t len,
			  struct ckpt_err **err)
{
	int r = pwrite_all(w->fd, buf, len, w->offset);

	if (r == -EINVAL && w->direct) {
		/* some file systems take the flag and then refuse the write */
		core_set_direct(w, false);
		r = pwrite_all(w->fd, buf, len, w->offset);
	}
	if (r < 0)
		return core_fail_file(w, r, err);
	w->offset += len;
	return 0;
}

static int core_tell_progress(struct core_writer *w, uint64_t bytes, struct ckpt_err **err)
{
	uint64_t total = w->l.n_pages * CORE_PAGE, now = now_us();

	w->pages_done += bytes;
	if (!w->opts->progress ||
	    (now - w->last_progress_us < CORE_PROGRESS_US && w->pages_done < total))
		return 0;
	w->last_progress_us = now;
	if (w->opts->progress(w->opts->userdata, w->pages_done, total))
		return ckpt_fail(err, EINTR, CKPT_E_INTERRUPTED, "given up while writing %s",
				 w->name);
	return 0;
}

static int core_pipe_fill(void *ctx, uint8_t *buf, size_t cap, size_t *ret_len,
			  struct ckpt_err **err)
{
	struct core_writer *w = ctx;

	return core_reader_fill(&w->reader, buf, cap, ret_len, err);
}

static int core_pipe_drain(void *ctx, const uint8_t *buf, size_t len, struct ckpt_err **err)
{
	struct core_writer *w = ctx;
	int r;

	r = core_put_pages(w, buf, len, err);
	return r < 0 ? r : core_tell_progress(w, len, err);
}

static const struct core_pipe_ops core_plain_ops = {
	.fill = core_pipe_fill,
	.drain = core_pipe_drain,
};

static void *core_zstd_new(void *ctx)
{
	(void)ctx;
	return ZSTD_createCCtx();
}

static void core_zstd_free(void *scratch)
{
	ZSTD_freeCCtx(scratch);
}

static int core_zstd_work(void *ctx, void *scratch, const uint8_t *in, size_t len, uint8_t *out,
			  size_t cap, size_t *ret_len, struct ckpt_err **err)
{
	struct core_writer *w = ctx;
	int level = w->opts->level ? w->opts->level : 1;
	size_t n = ZSTD_compressCCtx(scratch, out, cap, in, len, level);

	if (ZSTD_isError(n))
		return ckpt_fail(err, EIO, CKPT_E_OUTPUT, "compressing %s: %s", w->name,
				 ZSTD_getErrorName(n));
	*ret_len = n;
	return 0;
}

static int core_zstd_drain(void *ctx, const uint8_t *buf, size_t len, struct ckpt_err **err)
{
	struct core_writer *w = ctx;
	uint64_t left = w->l.n_pages * CORE_PAGE - w->pages_done;
	int r;

	w->frames[w->n_frames++] = (struct core_note_frame){ .offset = w->offset, .bytes = len };
	r = core_put_pages(w, buf, len, err);
	return r < 0 ? r : core_tell_progress(w, left < CORE_CHUNK ? left : CORE_CHUNK, err);
}

static const struct core_pipe_ops core_zstd_ops = {
	.fill = core_pipe_fill,
	.work = core_zstd_work,
	.new_scratch = core_zstd_new,
	.free_scratch = core_zstd_free,
	.drain = core_zstd_drain,
};

/* Find out that the disk is full before a gigabyte has been written to it. */
static int core_reserve(const struct core_writer *w, uint64_t bytes, struct ckpt_err **err)
{
	if (fallocate(w->fd, 0, 0, (off_t)bytes) == 0)
		return 0;
	if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
		return core_fail_file(w, errno, err);
	return 0;
}

/* Head and pages in one buffer, by one write. */
static int core_write_small(struct core_writer *w, struct core_sink *s, struct ckpt_err **err)
{
	size_t pages = w->l.n_pages * CORE_PAGE, size = w->l.head_bytes + pages, got = 0;
	uint8_t *buf = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	int r;

	if (buf == MAP_FAILED)
		return ckpt_fail_nomem(err);
	r = core_reader_fill(&w->reader, buf + w->l.head_bytes, pages, &got, err);
	if (r >= 0) {
		s->buf = buf;
		s->size = w->l.head_bytes;
		core_put_head(s, w->p, &w->l, NULL);
		s->used = size; /* the pages stand right behind */
		s->size = size;
		core_sink_flush(s);
		r = core_tell_progress(w, pages, err);
	}
	if (r >= 0 && s->rc < 0)
		r = core_fail_file(w, s->rc, err);
	s->buf = NULL;
	munmap(buf, size);
	return r;
}

static int core_write_pages(struct core_writer *w, struct ckpt_err **err)
{
	uint64_t bytes = w->l.n_pages * CORE_PAGE;
	bool threads = bytes > CORE_SMALL;

	w->offset = w->l.head_bytes;
	if (w->l.compress)
		return core_pipe_run(&core_zstd_ops, w, threads ? CORE_ZSTD_WORKERS : 0,
				     CORE_ZSTD_SLOTS, ZSTD_compressBound(CORE_CHUNK), err);
	if (threads) {
		int r = core_reserve(w, w->l.head_bytes + bytes, err);

		if (r < 0)
			return r;
		if (w->opts->direct)
			core_set_direct(w, true);
	}
	return core_pipe_run(&core_plain_ops, w, threads ? 1 : 0, CORE_SLOTS, CORE_CHUNK, err);
}

static int core_write_large(struct core_writer *w, struct core_sink *s, struct ckpt_err **err)
{
	_cleanup_free_ uint8_t *buf = NULL;
	int r;

	if (w->l.compress) {
		w->frames = calloc(w->l.n_frames + 1, sizeof(*w->frames));
		if (!w->frames)
			return ckpt_fail_nomem(err);
	}
	r = core_write_pages(w, err);
	if (r < 0)
		return r;
	core_set_direct(w, false);
	buf = malloc(CORE_HEAD_BUF);
	if (!buf)
		return ckpt_fail_nomem(err);
	s->buf = buf;
	s->size = CORE_HEAD_BUF;
	core_put_head(s, w->p, &w->l, w->frames);
	core_sink_flush(s);
	s->buf = NULL;
	return s->rc < 0 ? core_fail_file(w, s->rc, err) : 0;
}

static int core_write_file(struct core_writer *w, uint64_t *ret_bytes, char head_xxh3[33],
			   struct ckpt_err **err)
{
	struct core_sink s = { .fd = w->fd, .seekable = true, .hash = XXH3_createState() };
	struct stat st;
	int r;

	w->reader.hash = XXH3_createState();
	if (s.hash && w->reader.hash) {
		XXH3_128bits_reset(s.hash);
		if (!w->l.compress && w->l.head_bytes + w->l.n_pages * CORE_PAGE <= CORE_SMALL)
			r = core_write_small(w, &s, err);
		else
			r = core_write_large(w, &s, err);
	} else {
		r = ckpt_fail_nomem(err);
	}
	if (r >= 0 && fstat(w->fd, &st) < 0)
		r = core_fail_file(w, errno, err);
	if (r >= 0) {
		core_sink_hex(&s, head_xxh3);
		*ret_bytes = (uint64_t)st.st_size;
	}
	XXH3_freeState(s.hash);
	XXH3_freeState(w->reader.hash);
	return r;
}

/* Where each run will stand: one after the other. */
static void core_place_runs(struct core_process *p, const struct core_layout *l)
{
	uint64_t offset = l->compress ? 0 : l->head_bytes;

	for (size_t i = 0; i < p->n_runs; i++) {
		p->runs[i].offset = offset;
		offset += core_run_bytes(&p->runs[i]);
	}
}

int core_write(int dir_fd, const char *name, struct core_process *p, pid_t mem_pid, int stash_fd,
	       const struct core_write_opts *opts, uint64_t *ret_bytes, char head_xxh3[33],
	       struct ckpt_err **err)
{
	struct core_writer w = {
		.p = p,
		.reader = { .p = p,
			    .pid = mem_pid,
			    .mem_fd = -1,
			    .stash_fd = stash_fd,
			    .stash_offset = opts->stash_at },
		.opts = opts,
		.dir_fd = dir_fd,
		.name = name,
		.fd = -1,
		.last_progress_us = now_us(),
	};
	int r;

	r = core_check_tables(p, err);
	if (r < 0)
		return r;
	core_lay_out(&w.l, p, opts->compress);
	core_place_runs(p, &w.l);
	w.fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (w.fd < 0)
		return core_fail_file(&w, errno, err);
	r = core_write_file(&w, ret_bytes, head_xxh3, err);
	close_reset(&w.reader.mem_fd);
	close_reset(&w.fd);
	free(w.frames);
	if (r < 0)
		unlinkat(dir_fd, name, 0);
	return r;
}
