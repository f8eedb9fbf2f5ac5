// SPDX-License-Identifier: LGPL-2.1-or-later
/* One process of a dump. See dump_process.h. */
#include "dump_process.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

/* Copying so many pages is as fast as making a twin. */
#define SMALL_PAGES 256
/* Of all small processes together; more are held still by twins. */
#define STASH_MAX_BYTES (256ULL << 20)
#define STASH_CHUNK	((size_t)1 << 20)

void dump_process_done(struct dump_process *p)
{
	twin_end(&p->twin);
	taken_done(&p->taken);
	area_pages_done(&p->pages);
	inherited_done(&p->inherited);
}

void stash_done(struct stash *st)
{
	close_reset(&st->fd);
	free(st->buf);
	st->buf = NULL;
}

pid_t dump_process_mem(const struct dump_process *p)
{
	return p->twin.pid ? p->twin.pid : p->tid;
}

/* ---- setting aside ---- */

static int stash_open(struct stash *st, struct ckpt_err **err)
{
	if (!st->buf)
		st->buf = malloc(STASH_CHUNK);
	if (st->fd < 0)
		st->fd = memfd_create("ckpt-stash", MFD_CLOEXEC);
	if (!st->buf || st->fd < 0)
		return ckpt_fail_errno(err, st->buf ? errno : ENOMEM, CKPT_E_SYS,
				       "set memory aside");
	return 0;
}

/* Areas without read permission are read through /proc, which asks for none. */
static int read_piece(pid_t pid, int *mem, uint64_t at, void *buf, size_t n)
{
	struct iovec local = { buf, n }, remote = { (void *)(uintptr_t)at, n };
	char path[64];

	if (process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)n)
		return 0;
	if (*mem < 0) {
		snprintf(path, sizeof(path), "/proc/%d/mem", pid);
		*mem = open(path, O_RDONLY | O_CLOEXEC);
	}
	return *mem < 0 ? -errno : pread_all(*mem, buf, n, at);
}

static int stash_run(struct stash *st, pid_t pid, int *mem, struct core_run *r)
{
	uint64_t at = r->start, end = at + r->n_pages * CORE_PAGE;
	int rc = 0;

	r->source = CORE_FROM_BUFFER;
	while (rc == 0 && at < end) {
		size_t n = end - at < STASH_CHUNK ? end - at : STASH_CHUNK;

		rc = read_piece(pid, mem, at, st->buf, n);
		if (rc == 0)
			rc = pwrite_all(st->fd, st->buf, n, st->bytes);
		at += n;
		st->bytes += n;
	}
	return rc;
}

/* Copy the pages of the frozen process that are in p->pages; `all`, or what a fork would lose. */
static int stash_pages(struct dump_process *p, struct stash *st, const struct snapshot *s, bool all,
		       struct ckpt_err **err)
{
	_cleanup_close_ int mem = -1;
	size_t first, n;
	int rc = stash_open(st, err);

	snapshot_vmas_of(s, p->tgid, &first, &n);
	p->stash_at = st->bytes;
	for (size_t i = 0; rc == 0 && i < p->pages.n_runs; i++) {
		struct core_run *r = &p->pages.run[i];

		if (!all && !area_not_forked(s->vmas[first + r->area].rec))
			continue;
		rc = stash_run(st, p->tid, &mem, r);
		if (rc < 0)
			ckpt_fail_errno(err, rc, CKPT_E_GONE, "read memory at %#llx of process %d",
					(unsigned long long)r->start, p->tgid);
	}
	return rc;
}

static bool any_unforked(const struct dump_process *p, const struct snapshot *s)
{
	size_t first, n;

	snapshot_vmas_of(s, p->tgid, &first, &n);
	for (size_t i = first; i < first + n; i++)
		if (area_not_forked(s->vmas[i].rec) && !area_is_special(s->vmas[i].rec))
			return true;
	return false;
}

/* Whose pages it can be given by its birth: of a maker with a memory of its own. */
static const struct dump_process *page_parent(const struct dump_process *p)
{
	return p->maker && !p->maker->zombie && p->maker->mm_owner == p->maker ? p->maker : NULL;
}

/* While both are frozen. */
static int find_inherited(struct dump_process *p, const struct snapshot *s, struct ckpt_err **err)
{
	const struct dump_process *parent = page_parent(p);

	return parent ? inherited_find(&p->inherited, &p->pages, s, p->tgid, p->tid, parent->tgid,
				       parent->tid, err)
		      : 0;
}

static bool is_small(const struct dump_process *p, const struct stash *st)
{
	return p->pages.n_pages <= SMALL_PAGES && st->bytes < STASH_MAX_BYTES;
}

int dump_process_stash(struct dump_process *p, struct stash *st, const struct snapshot *s,
		       bool twin, struct ckpt_err **err)
{
	int rc = area_pages_find(&p->pages, s, p->tgid, p->tid, AREA_ALL, err);

	/* A child that has most of its pages from its maker is small without them. */
	if (rc == 0)
		rc = find_inherited(p, s, err);
	if (rc < 0)
		return rc;
	p->found = !twin || is_small(p, st) || p->inherited.pages.n;
	if (!twin)
		return 0;
	p->aside = is_small(p, st);
	if (p->found)
		return p->aside || any_unforked(p, s) ? stash_pages(p, st, s, p->aside, err) : 0;
	/* The others are left to the twin, when the program runs again. */
	area_pages_done(&p->pages);
	if (!any_unforked(p, s))
		return 0;
	rc = area_pages_find(&p->pages, s, p->tgid, p->tid, AREA_UNFORKED, err);
	return rc < 0 || !p->pages.n_runs ? rc : stash_pages(p, st, s, true, err);
}

/* ---- the twin ---- */

int dump_process_fork(struct dump_process *p, const struct snapshot *s, struct ckpt_err **err)
{
	const struct rec_mm *m = snapshot_mm(s, p->tgid);
	const struct taken_thread *t = taken_thread(&p->taken, p->tid);

	p->twin.filtered = snapshot_task(s, p->tid)->seccomp_mode != SECCOMP_NONE;
	return twin_make(&p->twin, p->tid, &t->regs, m->vdso, err);
}

void dump_process_unfork(struct dump_process *p)
{
	twin_end(&p->twin);
	if (p->found)
		return;
	area_pages_done(&p->pages);
}

/*
 * process_vm_readv(2) pins pages, and for that the kernel gives the twin copies of its own of all
 * that it shares with the program (gup_must_unshare() in mm/gup.c): slow, and the memory twice.
 * /proc/PID/mem does not pin.
 */
static void read_without_pinning(struct area_pages *p)
{
	for (size_t i = 0; i < p->n_runs; i++)
		if (p->run[i].source == CORE_FROM_READV)
			p->run[i].source = CORE_FROM_MEM;
}

int dump_process_find(struct dump_process *p, const struct snapshot *s, struct ckpt_err **err)
{
	struct area_pages rest = { 0 };
	int rc = 0;

	if (p->zombie || p->mm_owner != p)
		return 0;
	if (!p->found) {
		rc = area_pages_find(&rest, s, p->tgid, dump_process_mem(p),
				     p->twin.pid ? AREA_FORKED : AREA_ALL, err);
		if (rc == 0)
			rc = area_pages_join(&p->pages, &rest, err);
		area_pages_done(&rest);
		p->found = true;
	}
	if (p->twin.pid)
		read_without_pinning(&p->pages);
	return rc;
}

/* ---- the core ---- */

static int core_threads(struct dump_process *p, const struct snapshot *s, struct core_thread **ret,
			struct ckpt_err **err)
{
	struct core_thread *ct = calloc(p->taken.n ? p->taken.n : 1, sizeof(*ct));
	size_t k = taken_thread(&p->taken, p->tgid) ? 1 : 0;

	*ret = ct;
	if (!ct)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < p->taken.n; i++) {
		const struct taken_thread *t = &p->taken.thread[i];
		const struct rec_task *r = snapshot_task(s, t->tid);
		struct core_thread *c = t->tid == p->tgid ? &ct[0] : &ct[k++];

		*c = (struct core_thread){ .tid = r->vtid,
					   .gpr = t->regs,
					   .xstate = t->xstate,
					   .xstate_len = t->xstate_len,
					   .blocked = t->sigmask,
					   .pending = r->pending };
	}
	return 0;
}

static int core_areas(const struct dump_process *p, const struct snapshot *s,
		      struct core_area **ret, size_t *ret_n, struct ckpt_err **err)
{
	struct core_area *ca;
	size_t first, n;

	snapshot_vmas_of(s, p->tgid, &first, &n);
	if (p->mm_owner != p)
		n = 0;
	*ret = ca = calloc(n ? n : 1, sizeof(*ca));
	*ret_n = n;
	if (!ca)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < n; i++) {
		const struct rec_vma *v = s->vmas[first + i].rec;

		ca[i] = (struct core_area){
			.start = v->start,
			.end = v->end,
			.prot = (uint32_t)(v->vm_flags & 7),
			.pgoff_bytes = v->pgoff_bytes,
			.path = v->has_file && s->vmas[first + i].path[0] ? s->vmas[first + i].path
									  : NULL,
		};
	}
	return 0;
}

/* The command line, for debuggers: read from the process's memory, NULs become spaces. */
static void read_args(const struct dump_process *p, const struct rec_mm *m, char args[80])
{
	size_t len = m->arg_end > m->arg_start ? m->arg_end - m->arg_start : 0;
	int mem = -1;

	if (len > 79)
		len = 79;
	if (len && read_piece(dump_process_mem(p->mm_owner), &mem, m->arg_start, args, len) < 0)
		len = 0; /* it runs on, and has ended: a small one, copied before */
	close_reset(&mem);
	for (size_t i = 0; i + 1 < len; i++)
		if (!args[i])
			args[i] = ' ';
	args[len] = 0;
}

static void describe_core(const struct dump_process *p, const struct snapshot *s,
			  struct core_process *core)
{
	const struct rec_process *rp = snapshot_process(s, p->tgid);
	const struct rec_task *t = snapshot_task(s, p->tid);
	const struct rec_mm *m = snapshot_mm(s, p->tgid);

	*core = (struct core_process){ .pid = t->vtgid,
				       .ppid = rp->ppid,
				       .pgid = rp->pgid,
				       .sid = rp->sid,
				       .uid = t->cred.uid,
				       .gid = t->cred.gid,
				       .state = 'R',
				       .nice = t->nice,
				       .auxv = (const uint64_t *)m->auxv,
				       .n_auxv = REC_AUXV_U64,
				       .n_threads = p->taken.n };
	memcpy(core->comm, t->comm, sizeof(core->comm));
	read_args(p, m, core->args);
}

int dump_process_write(struct dump_process *p, const struct stash *st, const struct snapshot *s,
		       struct image_writer *w, struct core_write_opts *opts, struct ckpt_err **err)
{
	_cleanup_free_ struct core_thread *threads = NULL;
	_cleanup_free_ struct core_area *areas = NULL;
	struct core_process core;
	uint64_t bytes = 0;
	char xxh3[33], name[32];
	int rc;

	if (p->zombie)
		return 0;
	describe_core(p, s, &core);
	rc = core_threads(p, s, &threads, err);
	if (rc == 0)
		rc = core_areas(p, s, &areas, &core.n_areas, err);
	if (rc < 0)
		return rc;
	core.threads = threads;
	core.areas = areas;
	core.runs = p->pages.run;
	core.n_runs = p->pages.n_runs;
	opts->stash_at = p->stash_at;
	snprintf(name, sizeof(name), "core.%d", core.pid);
	rc = core_write(w->dir_fd, name, &core, dump_process_mem(p), st->fd, opts, &bytes, xxh3,
			err);
	return rc < 0 ? rc : image_note_core(w, name, bytes, xxh3, err);
}
