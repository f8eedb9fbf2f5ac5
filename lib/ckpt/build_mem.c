// SPDX-License-Identifier: LGPL-2.1-or-later
/* Memory of a process under construction: areas are mapped, pages read into place. See build.h. */
#include "build.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/prctl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA	     0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif
#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#define MADV_GUARD	     102 /* MADV_GUARD_INSTALL, Linux 6.13 */
#define MADV_GUARD_REMOVE_NR 103
#define ARCH_MAP_VDSO_64     0x2003
#define USER_END	     0x7ffffffff000ULL

/* ---- reading the manifest's areas ---- */

static int parse_area(const struct build *b, const json_t *row, struct build_area *a,
		      struct ckpt_err **err)
{
	struct area_row r;
	int rc = area_row_parse(row, &r, err);

	if (rc < 0)
		return rc;
	a->start = r.start;
	a->end = r.end;
	a->prot = r.prot;
	a->flags = r.flags;
	a->offset = r.offset;
	a->mempolicy = r.mempolicy;
	a->has_mempolicy = r.has_mempolicy;
	a->special = r.special;
	a->aio = r.special && !strcmp(r.name, "[aio]");
	if (r.name[0] && !r.special) {
		a->name = strdup(r.name);
		if (!a->name)
			return ckpt_fail_nomem(err);
	}
	if ((a->start | a->end | a->offset) % CORE_PAGE || a->start >= a->end || a->end > USER_END)
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "memory area %#llx-%#llx is impossible",
				 (unsigned long long)a->start, (unsigned long long)a->end);
	if (r.object >= b->r->kr.n_fd)
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE,
				 "memory area %#llx refers to object %llu, which does not exist",
				 (unsigned long long)a->start, (unsigned long long)r.object);
	a->object = (uint32_t)r.object;
	if (a->flags & VMF_MAYSHARE && !a->object && !a->special)
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE,
				 "shared memory area %#llx has no object",
				 (unsigned long long)a->start);
	return 0;
}

/* Every run of pages must lie within areas that can hold private pages. */
static int place_runs(struct build *b, struct ckpt_err **err)
{
	size_t k = 0;

	for (size_t i = 0; i < b->core.n_runs; i++) {
		const struct core_run *r = &b->core.runs[i];
		uint64_t at = r->start, end = at + r->n_pages * CORE_PAGE;

		while (at < end) {
			while (k < b->n_areas && b->area[k].end <= at)
				k++;
			if (k == b->n_areas || b->area[k].start > at || b->area[k].special ||
			    b->area[k].flags & VMF_MAYSHARE)
				return ckpt_fail(err, EINVAL, CKPT_E_IMAGE,
						 "pages at %#llx are in no private memory area",
						 (unsigned long long)at);
			b->area[k].has_pages = true;
			at = b->area[k].end;
		}
	}
	return 0;
}

/* Did the fork give it this very area, as it shall be? */
static bool is_copy(const struct build_area *a, const struct build_area *p)
{
	const uint64_t apart = VMF_LOCKED | VMF_LOCKONFAULT | VMF_SEALED;
	const uint64_t unfit = VMF_MAYSHARE | VMF_HUGETLB | VMF_DONTCOPY | VMF_WIPEONFORK;

	return a->prot == p->prot && !((a->flags ^ p->flags) & ~apart) && !(a->flags & unfit) &&
	       a->object == p->object && a->special == p->special &&
	       (!a->object || a->offset - a->start == p->offset - p->start) &&
	       !strcmp(a->name ? a->name : "", p->name ? p->name : "");
}

/* Has the maker the whole of this range, in its core or from its own maker? */
static bool maker_has(const struct build *p, uint64_t at, uint64_t end)
{
	const struct address_ranges *h = &p->inherited.pages;
	size_t k = 0;

	while (at < end) {
		size_t i = ranges_from(h, at);

		if (i < h->n && h->range[i].start <= at) {
			at = h->range[i].end;
			continue;
		}
		while (k < p->core.n_runs &&
		       p->core.runs[k].start + p->core.runs[k].n_pages * CORE_PAGE <= at)
			k++;
		if (k == p->core.n_runs || p->core.runs[k].start > at)
			return false;
		at = p->core.runs[k].start + p->core.runs[k].n_pages * CORE_PAGE;
	}
	return true;
}

/* Maps that are copies lie in areas of which the maker has the same there. */
static bool are_copies(const struct build *b, const struct build *p)
{
	size_t k = 0, m = 0;

	for (size_t i = 0; i < b->inherited.areas.n; i++) {
		uint64_t at = b->inherited.areas.range[i].start,
			 end = b->inherited.areas.range[i].end;

		/* It may go on through areas that lie side by side. */
		while (at < end) {
			const struct build_area *a, *o;

			while (k < b->n_areas && b->area[k].end <= at)
				k++;
			while (m < p->n_areas && p->area[m].end <= at)
				m++;
			if (k == b->n_areas || m == p->n_areas)
				return false;
			a = &b->area[k];
			o = &p->area[m];
			if (a->start > at || o->start > at || !is_copy(a, o))
				return false;
			if (a->special &&
			    (a->start != o->start || a->end != o->end || a->end > end))
				return false;
			at = a->end < end ? a->end : end;
			/* What the maker has locked is an area of its own there. */
			at = o->end < at ? o->end : at;
		}
	}
	return true;
}

/* Are all these pages in maps that are copies? */
static bool pages_in_copies(const struct inherited *h)
{
	for (size_t i = 0; i < h->pages.n; i++) {
		const struct address_range *r = &h->pages.range[i];
		size_t k = ranges_from(&h->areas, r->start);

		if (k == h->areas.n || h->areas.range[k].start > r->start ||
		    h->areas.range[k].end < r->end)
			return false;
	}
	return true;
}

/* The first page that is said to be from the maker, and is in the core, too; 0: there is none. */
static uint64_t first_of_both(const struct build *b)
{
	const struct address_ranges *h = &b->inherited.pages;

	for (size_t i = 0; i < b->core.n_runs; i++) {
		const struct core_run *r = &b->core.runs[i];
		size_t k = ranges_from(h, r->start);

		if (k < h->n && h->range[k].start < r->start + r->n_pages * CORE_PAGE)
			return h->range[k].start > r->start ? h->range[k].start : r->start;
	}
	return 0;
}

int build_check_inherited(struct build *b, struct ckpt_err **err)
{
	const struct inherited *h = &b->inherited;
	const struct build *p = b->maker;

	if (!h->pages.n)
		return 0;
	if (!p || p->zombie || p->mm_owner != p)
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE,
				 "process %d has pages of a process that has no memory", b->vpid);
	if (!are_copies(b, p) || !pages_in_copies(h))
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE,
				 "process %d has memory of process %d that is not alike", b->vpid,
				 p->vpid);
	for (size_t i = 0; i < h->pages.n; i++)
		if (!maker_has(p, h->pages.range[i].start, h->pages.range[i].end))
			return ckpt_fail(err, EINVAL, CKPT_E_IMAGE,
					 "process %d has not the pages at %#llx from process %d",
					 b->vpid, (unsigned long long)h->pages.range[i].start,
					 p->vpid);
	uint64_t both = first_of_both(b);

	return both ? ckpt_fail(
			      err, EINVAL, CKPT_E_IMAGE,
			      "process %d has the page at %#llx twice: of its own, and from process "
			      "%d",
			      b->vpid, (unsigned long long)both, p->vpid)
		    : 0;
}

int build_areas_parse(struct build *b, struct ckpt_err **err)
{
	json_t *mm, *rows;
	uint64_t last = 0;
	int rc = js_obj(b->task, "mm", &mm, err);

	if (rc == 0)
		rc = js_arr(mm, "areas", &rows, err);
	if (rc < 0)
		return rc;
	b->n_areas = json_array_size(rows);
	b->area = calloc(b->n_areas ? b->n_areas : 1, sizeof(*b->area));
	if (!b->area)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < b->n_areas; i++) {
		rc = parse_area(b, json_array_get(rows, i), &b->area[i], err);
		if (rc < 0)
			return rc;
		if (b->area[i].start < last)
			return ckpt_fail(err, EINVAL, CKPT_E_IMAGE,
					 "memory area %#llx overlaps the one before it",
					 (unsigned long long)b->area[i].start);
		last = b->area[i].end;
	}
	return place_runs(b, err);
}

void build_areas_done(struct build *b)
{
	for (size_t i = 0; i < b->n_areas && b->area; i++)
		free(b->area[i].name);
	free(b->area);
	b->area = NULL;
	b->n_areas = 0;
}

/* ---- mapping ---- */

int build_empty(struct build *b, struct ckpt_err **err)
{
	struct arena *a = &b->r->arena;
	uint64_t after = a->there + ARENA_BYTES;

	arena_op(a, "unmap the restorer's memory", SYS_munmap, 0, a->there, 0, 0, 0, 0);
	arena_op(a, "unmap the restorer's memory", SYS_munmap, after, USER_END - after, 0, 0, 0, 0);
	return arena_run(a, b->pid, err);
}

/* The next part of an area that is there from birth; *i is from ranges_from(). */
static bool next_kept(const struct build *b, const struct build_area *a, size_t *i,
		      struct address_range *ret)
{
	const struct address_ranges *h = &b->inherited.areas;

	if (!b->inherited.pages.n || *i >= h->n || h->range[*i].start >= a->end)
		return false;
	*ret = h->range[(*i)++];
	if (ret->start < a->start)
		ret->start = a->start;
	if (ret->end > a->end)
		ret->end = a->end;
	return true;
}

static void mark_kept(struct build *b)
{
	const struct build *p = b->copy_of;
	size_t k = 0;

	for (size_t i = 0; i < b->n_areas; i++) {
		struct build_area *a = &b->area[i];
		size_t at = ranges_from(&b->inherited.areas, a->start);
		struct address_range r;

		for (bool first = true; next_kept(b, a, &at, &r); first = false) {
			while (k < p->n_areas && p->area[k].end <= r.start)
				k++;
			a->bound |= k < p->n_areas && p->area[k].has_mempolicy;
			a->kept = first && r.start == a->start && r.end == a->end;
		}
	}
}

static int unmap_gap(struct build *b, uint64_t start, uint64_t end, struct ckpt_err **err)
{
	const uint64_t arena = b->r->arena.there;
	int rc;

	if (start >= end)
		return 0;
	if (start < arena + ARENA_BYTES && arena < end) {
		rc = unmap_gap(b, start, arena, err);
		return rc < 0 ? rc : unmap_gap(b, arena + ARENA_BYTES, end, err);
	}
	rc = build_room(b, b->pid, 1, 0, err);
	if (rc == 0)
		arena_op(&b->r->arena, "unmap its parent's memory", SYS_munmap, start, end - start,
			 0, 0, 0, 0);
	return rc;
}

/* Pages that its parent has there, and it has not. */
static int zap_others(struct build *b, const struct address_range *r, struct ckpt_err **err)
{
	const struct address_ranges *h = &b->inherited.pages;
	uint64_t at = r->start;

	for (size_t i = ranges_from(h, at); at < r->end; i++) {
		bool more = i < h->n && h->range[i].start < r->end;
		uint64_t stop = more ? h->range[i].start : r->end;
		int rc = build_room(b, b->pid, 1, 0, err);

		if (rc < 0)
			return rc;
		if (stop > at)
			arena_op(&b->r->arena, "drop pages of its parent", SYS_madvise, at,
				 stop - at, MADV_DONTNEED, 0, 0, 0);
		at = more ? h->range[i].end : r->end;
	}
	return 0;
}

/* Reading pages into place needs to write. */
static int open_kept(struct build *b, const struct build_area *a, const struct address_range *r,
		     struct ckpt_err **err)
{
	int want = PROT_READ | PROT_WRITE, rc;

	if (!a->has_pages || (a->prot & want) == want)
		return 0;
	rc = build_room(b, b->pid, 1, 0, err);
	if (rc == 0)
		arena_op(&b->r->arena, "make an area writable", SYS_mprotect, r->start,
			 r->end - r->start, (uint64_t)(a->prot | want), 0, 0, 0);
	return rc;
}

/* Guard pages of the parent: those of its own are installed like everybody's. */
static int remove_guards(struct build *b, struct ckpt_err **err)
{
	const json_t *rows = json_object_get(json_object_get(b->copy_of->task, "mm"), "guards");
	const struct address_ranges *h = &b->inherited.areas;

	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		uint64_t start = 0, end = 0;
		int rc = js_u64(row, "start", &start, err);

		if (rc == 0)
			rc = js_u64(row, "end", &end, err);
		for (size_t k = ranges_from(h, start);
		     rc == 0 && k < h->n && h->range[k].start < end; k++) {
			uint64_t from = h->range[k].start > start ? h->range[k].start : start;
			uint64_t to = h->range[k].end < end ? h->range[k].end : end;

			rc = build_room(b, b->pid, 1, 0, err);
			if (rc == 0)
				arena_op(&b->r->arena, "remove guard pages", SYS_madvise, from,
					 to - from, MADV_GUARD_REMOVE_NR, 0, 0, 0);
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int clear_kept(struct build *b, const struct build_area *a, struct ckpt_err **err)
{
	size_t i = ranges_from(&b->inherited.areas, a->start);
	struct address_range r;
	int rc = 0;

	while (rc == 0 && next_kept(b, a, &i, &r)) {
		rc = zap_others(b, &r, err);
		if (rc == 0)
			rc = open_kept(b, a, &r, err);
	}
	return rc;
}

/* Born as a copy of another: what is not its own goes, what is the same stays. */
static int keep_copies(struct build *b, struct ckpt_err **err)
{
	const struct address_ranges *h = &b->inherited.areas;
	bool keeps = b->inherited.pages.n > 0;
	uint64_t at = 0;
	int rc = 0;

	if (keeps)
		mark_kept(b);
	for (size_t i = 0; rc == 0 && keeps && i < h->n; i++) {
		rc = unmap_gap(b, at, h->range[i].start, err);
		at = h->range[i].end;
	}
	if (rc == 0)
		rc = unmap_gap(b, at, USER_END, err);
	if (rc == 0 && keeps)
		rc = remove_guards(b, err);
	for (size_t i = 0; rc == 0 && keeps && i < b->n_areas; i++)
		if (!b->area[i].special)
			rc = clear_kept(b, &b->area[i], err);
	return rc;
}

/* The kernel maps vvar and vdso together, vvar first. */
static int map_vdso(struct build *b, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; i < b->n_areas; i++) {
		if (!b->area[i].special || b->area[i].aio)
			continue;
		rc = b->area[i].kept ? 0 : build_room(b, b->pid, 1, 0, err);
		if (rc == 0 && !b->area[i].kept)
			arena_op(&b->r->arena, "map the vdso", SYS_arch_prctl, ARCH_MAP_VDSO_64,
				 b->area[i].start, 0, 0, 0, 0);
		break;
	}
	return rc;
}

static int map_flags(const struct build_area *a)
{
	int flags = a->flags & VMF_MAYSHARE    ? MAP_SHARED
		    : a->flags & VMF_DROPPABLE ? MAP_DROPPABLE
					       : MAP_PRIVATE;

	flags |= MAP_FIXED_NOREPLACE;
	if (!a->object)
		flags |= MAP_ANONYMOUS;
	if (a->flags & VMF_NORESERVE)
		flags |= MAP_NORESERVE;
	if (a->flags & VMF_GROWSDOWN)
		flags |= MAP_GROWSDOWN;
	if (a->flags & VMF_HUGETLB)
		flags |= MAP_HUGETLB;
	return flags;
}

static int map_part(struct build *b, const struct build_area *a, uint64_t start, uint64_t end,
		    struct ckpt_err **err)
{
	/* Reading pages into place needs to write. */
	int prot = a->prot | (a->has_pages ? PROT_READ | PROT_WRITE : 0);
	int rc = start < end ? build_room(b, b->pid, 1, 0, err) : 0;

	if (rc == 0 && start < end)
		arena_op(&b->r->arena, "map a memory area", SYS_mmap, start, end - start,
			 (uint64_t)prot, (uint64_t)map_flags(a),
			 a->object ? (uint64_t)b->r->kr.fd[a->object] : (uint64_t)-1,
			 a->offset + (start - a->start));
	return rc;
}

/* What of an area is not there from birth. */
static int map_area(struct build *b, const struct build_area *a, struct ckpt_err **err)
{
	size_t i = ranges_from(&b->inherited.areas, a->start);
	uint64_t at = a->start;
	struct address_range r;
	int rc = 0;

	while (rc == 0 && b->copy_of && next_kept(b, a, &i, &r)) {
		rc = map_part(b, a, at, r.start, err);
		at = r.end;
	}
	return rc < 0 ? rc : map_part(b, a, at, a->end, err);
}

static int map_areas(struct build *b, struct ckpt_err **err)
{
	int rc = build_attach_segments(b, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < b->n_areas; i++) {
		const struct build_area *a = &b->area[i];

		if (a->special)
			continue;
		if (!a->attached)
			rc = map_area(b, a, err);
		if (rc < 0)
			return rc;
		if (a->has_mempolicy || a->bound)
			rc = build_area_numa(b, a, err);
		if (rc < 0)
			return rc;
	}
	rc = arena_run(&b->r->arena, b->pid, err);
	return rc < 0 ? rc : build_aio(b, err);
}

/* ---- pages ---- */

/*
 * Large runs are read into a scratch area of huge pages and moved (userfaultfd(2), UFFDIO_MOVE):
 * the copy runs at huge-page speed, four times that of fresh small pages, and the area keeps its
 * own flags.
 */
#define HUGE		      2097152ULL
#define SCRATCH_BYTES	      (32 * HUGE)
#define UFFD_API	      0xaaULL
#define UFFDIO_API_NR	      0xc018aa3fU
#define UFFDIO_REGISTER_NR    0xc020aa00U
#define UFFDIO_MOVE_NR	      0xc028aa05U
#define UFFD_FEATURE_MOVE_BIT (1ULL << 16)

struct uffd_api {
	uint64_t api, features, ioctls;
};

struct uffd_register {
	uint64_t start, len, mode, ioctls;
};

struct uffd_move {
	uint64_t dst, src, len, mode;
	int64_t moved;
};

struct filler {
	struct build *b;
	int uffd;	  /* descriptor in the child, or -1 */
	uint64_t scratch; /* address in the child, or 0 */
	/* The vector being gathered. */
	struct iovec *iov;
	uint64_t iov_there;
	size_t n_iov;
	uint64_t bytes, offset;
};

enum { IOV_PER_READ = 1024 };

#define READ_MAX (512ULL << 20)

static void flush_iov(struct filler *f)
{
	if (f->n_iov)
		arena_op(&f->b->r->arena, "read memory pages from the image", SYS_preadv,
			 (uint64_t)f->b->pages_fd, f->iov_there, f->n_iov, f->offset, 0, 0);
	f->n_iov = 0;
	f->bytes = 0;
}

/* Run what is queued, and check that each read gave all that was asked for. */
static int run_reads(struct filler *f, struct ckpt_err **err)
{
	struct arena *a = &f->b->r->arena;
	const struct remote_op *op =
		(const struct remote_op *)(const void *)(a->here + ARENA_OPS_AT);
	size_t n;
	int rc;

	flush_iov(f);
	n = a->n_ops;
	rc = arena_run(a, f->b->pid, err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		const struct iovec *iov;
		uint64_t want = 0;

		if (op[i].nr != SYS_preadv)
			continue;
		iov = (const struct iovec *)(const void *)(a->here + (op[i].args[1] - a->there));
		for (uint64_t k = 0; k < op[i].args[2]; k++)
			want += iov[k].iov_len;
		if ((uint64_t)op[i].ret != want)
			return ckpt_fail(err, EIO, CKPT_E_IMAGE,
					 "the core file ended early: %lld of %llu bytes read",
					 (long long)op[i].ret, (unsigned long long)want);
	}
	return rc;
}

static int queue_read(struct filler *f, uint64_t addr, uint64_t len, uint64_t offset,
		      struct ckpt_err **err)
{
	struct arena *a = &f->b->r->arena;

	if (f->n_iov && (f->n_iov == IOV_PER_READ || f->offset + f->bytes != offset ||
			 f->bytes + len > READ_MAX))
		flush_iov(f);
	if (!f->n_iov) {
		void *here;

		if (!arena_has_room(a, 4, IOV_PER_READ * sizeof(struct iovec))) {
			int rc = run_reads(f, err);

			if (rc < 0)
				return rc;
		}
		f->iov_there = arena_space(a, IOV_PER_READ * sizeof(struct iovec), &here);
		f->iov = here;
		f->offset = offset;
	}
	f->iov[f->n_iov++] = (struct iovec){ (void *)(uintptr_t)addr, len };
	f->bytes += len;
	return 0;
}

static bool can_move(const struct build_area *a)
{
	return !a->object && !(a->flags & (VMF_MAYSHARE | VMF_HUGETLB | VMF_GROWSDOWN |
					   VMF_NOHUGEPAGE | VMF_DROPPABLE));
}

/* Whole huge pages of one area, by way of the scratch area. */
static int read_and_move(struct filler *f, uint64_t addr, uint64_t len, uint64_t offset,
			 struct ckpt_err **err)
{
	struct arena *a = &f->b->r->arena;

	while (len > 0) {
		uint64_t n = len < SCRATCH_BYTES ? len : SCRATCH_BYTES;
		struct uffd_move mv = { .dst = addr, .src = f->scratch, .len = n };
		struct uffd_register reg = { .start = addr, .len = n, .mode = 1 };
		struct iovec iov = { (void *)(uintptr_t)f->scratch, n };
		int rc = 0;

		flush_iov(f);
		if (!arena_has_room(a, 8, 4096))
			rc = run_reads(f, err);
		if (rc < 0)
			return rc;
		arena_op(a, "read memory pages from the image", SYS_preadv,
			 (uint64_t)f->b->pages_fd, arena_data(a, &iov, sizeof(iov)), 1, offset, 0,
			 0);
		arena_op(a, "register memory with userfaultfd", SYS_ioctl, (uint64_t)f->uffd,
			 UFFDIO_REGISTER_NR, arena_data(a, &reg, sizeof(reg)), 0, 0, 0);
		arena_op(a, "move pages into place", SYS_ioctl, (uint64_t)f->uffd, UFFDIO_MOVE_NR,
			 arena_data(a, &mv, sizeof(mv)), 0, 0, 0);
		addr += n;
		offset += n;
		len -= n;
	}
	return 0;
}

/* Room for the scratch area in the child: a gap between the saved areas. 0: none. */
static uint64_t scratch_place(const struct build *b)
{
	uint64_t at = 1ULL << 32;

	for (size_t i = 0; i <= b->n_areas; i++) {
		uint64_t end = i < b->n_areas ? b->area[i].start : USER_END - (1ULL << 30);

		/* Keep away from areas that grow down, and from the arena. */
		if (end > at && end - at >= SCRATCH_BYTES + (1ULL << 28)) {
			uint64_t s = (at + HUGE - 1) & ~(HUGE - 1);

			if (s + SCRATCH_BYTES <= b->r->arena.there ||
			    s >= b->r->arena.there + ARENA_BYTES)
				return s;
		}
		if (i < b->n_areas && b->area[i].end > at)
			at = b->area[i].end;
	}
	return 0;
}

/* Without userfaultfd, or without a place for the scratch area, all is read straight into place. */
static int scratch_make(struct filler *f, struct ckpt_err **err)
{
	struct arena *a = &f->b->r->arena;
	struct uffd_api api = { .api = UFFD_API, .features = UFFD_FEATURE_MOVE_BIT };
	uint64_t place = scratch_place(f->b);
	const struct remote_op *op;
	int rc;

	if (!place)
		return 0;
	op = arena_op(a, "make a userfaultfd", SYS_userfaultfd, 02000000 /* O_CLOEXEC */, 0, 0, 0,
		      0, 0);
	((struct remote_op *)(uintptr_t)op)->flags = REMOTE_MAY_FAIL;
	rc = arena_run(a, f->b->pid, err);
	if (rc < 0 || op->ret < 0)
		return rc;
	f->uffd = (int)op->ret;
	op = arena_op(a, "set up the userfaultfd", SYS_ioctl, (uint64_t)f->uffd, UFFDIO_API_NR,
		      arena_data(a, &api, sizeof(api)), 0, 0, 0);
	((struct remote_op *)(uintptr_t)op)->flags = REMOTE_MAY_FAIL;
	rc = arena_run(a, f->b->pid, err);
	if (rc < 0 || op->ret < 0)
		return rc;
	arena_op(a, "map a scratch area", SYS_mmap, place, SCRATCH_BYTES, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, (uint64_t)-1,
		 0);
	arena_op(a, "ask for huge pages", SYS_madvise, place, SCRATCH_BYTES, MADV_HUGEPAGE, 0, 0, 0)
		->flags = REMOTE_MAY_FAIL;
	f->scratch = place;
	return arena_run(a, f->b->pid, err);
}

static int scratch_drop(struct filler *f, struct ckpt_err **err)
{
	struct arena *a = &f->b->r->arena;

	if (f->scratch)
		arena_op(a, "unmap the scratch area", SYS_munmap, f->scratch, SCRATCH_BYTES, 0, 0,
			 0, 0);
	if (f->uffd >= 0)
		arena_op(a, "close the userfaultfd", SYS_close, (uint64_t)f->uffd, 0, 0, 0, 0, 0);
	return arena_run(a, f->b->pid, err);
}

/* One piece of a run that lies within one area; huge pages in its middle are moved. */
static int fill_piece(struct filler *f, const struct build_area *a, uint64_t start, uint64_t end,
		      uint64_t offset, struct ckpt_err **err)
{
	uint64_t h0 = (start + HUGE - 1) & ~(HUGE - 1), h1 = end & ~(HUGE - 1);
	int rc = 0;

	if (!f->scratch || !can_move(a) || h1 <= h0)
		return queue_read(f, start, end - start, offset, err);
	if (h0 > start)
		rc = queue_read(f, start, h0 - start, offset, err);
	if (rc == 0)
		rc = read_and_move(f, h0, h1 - h0, offset + (h0 - start), err);
	if (rc == 0 && end > h1)
		rc = queue_read(f, h1, end - h1, offset + (h1 - start), err);
	return rc;
}

static int fill_pages(struct build *b, struct ckpt_err **err)
{
	struct filler f = { .b = b, .uffd = -1 };
	uint64_t offset = b->pages_offset;
	size_t k = 0;
	int rc = 0;

	if (b->core.n_pages * CORE_PAGE >= 8 * HUGE)
		rc = scratch_make(&f, err);
	for (size_t i = 0; rc == 0 && i < b->core.n_runs; i++) {
		uint64_t at = b->core.runs[i].start, end = at + b->core.runs[i].n_pages * CORE_PAGE;

		while (rc == 0 && at < end) {
			uint64_t stop;

			while (b->area[k].end <= at)
				k++;
			stop = end < b->area[k].end ? end : b->area[k].end;
			rc = fill_piece(&f, &b->area[k], at, stop, offset, err);
			offset += stop - at;
			at = stop;
		}
	}
	if (rc == 0)
		rc = run_reads(&f, err);
	if (rc == 0)
		rc = scratch_drop(&f, err);
	return rc;
}

/* ---- what an area still lacks ---- */

static const struct {
	uint64_t bit;
	int advice;
} advices[] = {
	{ VMF_SEQ_READ, MADV_SEQUENTIAL },   { VMF_RAND_READ, MADV_RANDOM },
	{ VMF_DONTCOPY, MADV_DONTFORK },     { VMF_WIPEONFORK, MADV_WIPEONFORK },
	{ VMF_DONTDUMP, MADV_DONTDUMP },     { VMF_HUGEPAGE, MADV_HUGEPAGE },
	{ VMF_NOHUGEPAGE, MADV_NOHUGEPAGE }, { VMF_MERGEABLE, MADV_MERGEABLE },
};

static int finish_area(struct build *b, const struct build_area *a, struct ckpt_err **err)
{
	struct arena *ar = &b->r->arena;
	uint64_t len = a->end - a->start;
	size_t name_len = a->name ? strlen(a->name) + 1 : 0;
	int rc = build_room(b, b->pid, 16, name_len, err);

	if (rc < 0)
		return rc;
	if (a->has_pages && (a->prot & (PROT_READ | PROT_WRITE)) != (PROT_READ | PROT_WRITE))
		arena_op(ar, "protect a memory area", SYS_mprotect, a->start, len,
			 (uint64_t)a->prot, 0, 0, 0);
	for (size_t i = 0; !a->kept && i < sizeof(advices) / sizeof(advices[0]); i++)
		/* The kernel sets this one itself on droppable memory, and refuses to be told. */
		if (a->flags & advices[i].bit && !(a->flags & VMF_DROPPABLE))
			arena_op(ar, "advise a memory area", SYS_madvise, a->start, len,
				 (uint64_t)advices[i].advice, 0, 0, 0);
	if (a->flags & VMF_LOCKED)
		arena_op(ar, "lock a memory area", SYS_mlock2, a->start, len,
			 a->flags & VMF_LOCKONFAULT ? MLOCK_ONFAULT : 0, 0, 0, 0);
	if (a->name && !a->kept)
		arena_op(ar, "name a memory area", SYS_prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME,
			 a->start, len, arena_data(ar, a->name, name_len), 0);
	return 0;
}

static int install_guards(struct build *b, struct ckpt_err **err)
{
	const json_t *rows = json_object_get(json_object_get(b->task, "mm"), "guards");

	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		uint64_t start, end;
		int rc = js_u64(row, "start", &start, err);

		if (rc == 0)
			rc = js_u64(row, "end", &end, err);
		if (rc == 0)
			rc = build_room(b, b->pid, 1, 0, err);
		if (rc < 0)
			return rc;
		arena_op(&b->r->arena, "install guard pages", SYS_madvise, start, end - start,
			 MADV_GUARD, 0, 0, 0);
	}
	return 0;
}

int build_seal_memory(struct build *b, struct ckpt_err **err)
{
	for (size_t i = 0; i < b->n_areas; i++) {
		const struct build_area *a = &b->area[i];
		int rc;

		if (!(a->flags & VMF_SEALED) || a->special)
			continue;
		rc = build_room(b, b->pid, 1, 0, err);
		if (rc < 0)
			return rc;
		arena_op(&b->r->arena, "seal a memory area", SYS_mseal, a->start, a->end - a->start,
			 0, 0, 0, 0);
	}
	return 0;
}

/* A descriptor of its executable, in the process; -1: it is that already. */
static int open_exe(struct build *b, int *ret_fd, bool *ret_close, struct ckpt_err **err)
{
	const struct build *p = b->copy_of;
	struct arena *a = &b->r->arena;
	_cleanup_free_ char *path = NULL;
	const struct remote_op *op;
	uint64_t object = 0;
	json_t *exe;
	int rc = js_obj(json_object_get(b->task, "mm"), "exe", &exe, err);

	*ret_fd = -1;
	*ret_close = false;
	if (rc == 0)
		rc = js_opt_u64(exe, "object", &object, err);
	if (rc < 0 || json_object_size(exe) == 0)
		return rc;
	/* The kernel refuses a change while the one before is mapped. */
	if (p && json_equal(exe, json_object_get(json_object_get(p->task, "mm"), "exe")))
		return 0;
	if (object && object < b->r->kr.n_fd && b->r->kr.fd[object] >= 0) {
		*ret_fd = b->r->kr.fd[object];
		return 0;
	}
	rc = js_bytes(exe, "path", &path, err);
	if (rc == 0)
		rc = build_room(b, b->pid, 1, strlen(path) + 16, err);
	if (rc < 0)
		return rc;
	op = arena_op(a, "open the executable", SYS_open, arena_data(a, path, strlen(path) + 1),
		      O_RDONLY | O_CLOEXEC, 0, 0, 0, 0);
	rc = arena_run(a, b->pid, err);
	*ret_fd = (int)op->ret;
	*ret_close = true;
	return rc;
}

/* struct prctl_mm_map of <linux/prctl.h>. */
static int set_mm_fields(struct build *b, struct ckpt_err **err)
{
	static const char *const names[] = { "start_code", "end_code",	"start_data",  "end_data",
					     "start_brk",  "brk",	"start_stack", "arg_start",
					     "arg_end",	   "env_start", "env_end" };
	const json_t *mm = json_object_get(b->task, "mm");
	struct prctl_mm_map map = { 0 };
	uint64_t *fields[] = { (uint64_t *)&map.start_code,  (uint64_t *)&map.end_code,
			       (uint64_t *)&map.start_data,  (uint64_t *)&map.end_data,
			       (uint64_t *)&map.start_brk,   (uint64_t *)&map.brk,
			       (uint64_t *)&map.start_stack, (uint64_t *)&map.arg_start,
			       (uint64_t *)&map.arg_end,     (uint64_t *)&map.env_start,
			       (uint64_t *)&map.env_end };
	uint64_t auxv[REC_AUXV_U64] = { 0 };
	bool close_exe = false;
	json_t *words;
	int exe_fd = -1;
	size_t n;
	int rc = js_arr(mm, "auxv", &words, err);

	if (rc == 0)
		rc = open_exe(b, &exe_fd, &close_exe, err);
	map.exe_fd = (uint32_t)exe_fd;

	for (size_t i = 0; rc == 0 && i < sizeof(names) / sizeof(names[0]); i++)
		rc = js_u64(mm, names[i], fields[i], err);
	if (rc < 0)
		return rc;
	n = json_array_size(words);
	if (n > REC_AUXV_U64)
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "the auxiliary vector is too long");
	for (size_t i = 0; i < n; i++)
		auxv[i] = strtoull(json_string_value(json_array_get(words, i)) ?: "0", NULL, 0);
	rc = build_room(b, b->pid, 2, sizeof(map) + sizeof(auxv) + 64, err);
	if (rc < 0)
		return rc;
	map.auxv = (void *)(uintptr_t)arena_data(&b->r->arena, auxv, n * sizeof(auxv[0]));
	map.auxv_size = (uint32_t)(n * sizeof(auxv[0]));
	arena_op(&b->r->arena, "set the memory descriptor's fields (PR_SET_MM_MAP)", SYS_prctl,
		 PR_SET_MM, PR_SET_MM_MAP, arena_data(&b->r->arena, &map, sizeof(map)), sizeof(map),
		 0, 0);
	if (close_exe)
		arena_op(&b->r->arena, "close a descriptor", SYS_close, (uint64_t)exe_fd, 0, 0, 0,
			 0, 0);
	return 0;
}

/* ---- checksums ---- */

/*
 * The pages' checksums are verified by a thread of ours while the process reads the same pages into
 * place: what the one has brought from the disk the other finds in the page cache. Nothing of the
 * program runs before both are done. Of few pages it is done at once.
 */
struct verifier {
	pthread_t thread;
	bool runs;
	struct core_file *core;
	const struct build_pin *pin;
	int rc;
	struct ckpt_err *err;
};

#define VERIFY_IN_THREAD_PAGES 1024

static void *verify_main(void *arg)
{
	struct verifier *v = arg;

	build_unpin(v->pin); /* beside us, not in turn with us */
	v->rc = core_verify(v->core, &v->err);
	return NULL;
}

/* A compressed core was verified when it was unpacked. */
static void verify_start(struct verifier *v, struct core_file *core, const struct build_pin *pin)
{
	*v = (struct verifier){ .core = core, .pin = pin };
	if (core->compressed)
		return;
	if (core->n_pages > VERIFY_IN_THREAD_PAGES)
		v->runs = pthread_create(&v->thread, NULL, verify_main, v) == 0;
	if (!v->runs)
		v->rc = core_verify(core, &v->err);
}

static int verify_end(struct verifier *v, int rc, struct ckpt_err **err)
{
	if (v->runs)
		pthread_join(v->thread, NULL);
	v->runs = false;
	if (rc == 0 && v->rc < 0 && err) {
		*err = v->err;
		return v->rc;
	}
	ckpt_err_free(v->err);
	return rc < 0 ? rc : v->rc;
}

/* Runs of few pages: put into place from here. Cheaper than to have the process read them. */
#define SMALL_PAGES 256

static int write_runs(struct build *b, const char *pages, struct ckpt_err **err)
{
	struct iovec remote[64], local = { (void *)(uintptr_t)pages, 0 };
	size_t n = 0;

	for (size_t i = 0; i < b->core.n_runs; i++) {
		const struct core_run *r = &b->core.runs[i];
		ssize_t got;

		remote[n++] = (struct iovec){ (void *)(uintptr_t)r->start, r->n_pages * CORE_PAGE };
		local.iov_len += r->n_pages * CORE_PAGE;
		if (n < sizeof(remote) / sizeof(remote[0]) && i + 1 < b->core.n_runs)
			continue;
		got = process_vm_writev(b->pid, &local, 1, remote, n, 0);
		if (got != (ssize_t)local.iov_len)
			return ckpt_fail_errno(err, got < 0 ? errno : EFAULT, CKPT_E_RESTORE,
					       "write the memory of process %d", b->vpid);
		local.iov_base = (char *)local.iov_base + got;
		local.iov_len = n = 0;
	}
	return 0;
}

static int fill_small(struct build *b, int from, struct ckpt_err **err)
{
	size_t bytes = b->core.n_pages * CORE_PAGE, at = 0;
	_cleanup_free_ char *pages = malloc(bytes);
	int rc;

	if (!pages)
		return ckpt_fail_nomem(err);
	rc = pread_all(from, pages, bytes, b->pages_offset);
	if (rc < 0)
		return ckpt_fail_errno(err, rc, CKPT_E_IMAGE, "read the core file of process %d",
				       b->vpid);
	for (size_t i = 0; rc == 0 && !b->core.compressed && i < b->core.n_runs; i++) {
		rc = core_verify_run(&b->core.runs[i], pages + at, err);
		at += b->core.runs[i].n_pages * CORE_PAGE;
	}
	return rc < 0 ? rc : write_runs(b, pages, err);
}

static int open_pages(struct build *b, int *ret, struct ckpt_err **err)
{
	int rc = build_open_core(b, &b->core.fd, err);

	return rc < 0 ? rc
		      : core_pages_fd(&b->core, b->core.compressed, ret, &b->pages_offset, err);
}

static bool is_small(const struct build *b)
{
	return b->core.n_pages <= SMALL_PAGES;
}

int build_fill_small(struct build *b, struct ckpt_err **err)
{
	_cleanup_close_ int ours = -1;
	int rc = open_pages(b, &ours, err);

	if (rc == 0)
		rc = fill_small(b, ours, err);
	close_reset(&b->core.fd);
	return rc;
}

/* Give the process a descriptor of its pages, and fill them in. */
static int fill_from_core(struct build *b, struct ckpt_err **err)
{
	_cleanup_close_ int ours = -1;
	struct verifier v;
	int rc = open_pages(b, &ours, err);

	if (rc == 0)
		rc = build_take_fd(b, b->pid, ours, &b->pages_fd, err);
	if (rc < 0)
		return rc;
	verify_start(&v, &b->core, &b->r->pin);
	rc = fill_pages(b, err);
	rc = verify_end(&v, rc, err);
	close_reset(&b->core.fd);
	if (rc == 0)
		arena_op(&b->r->arena, "close a descriptor", SYS_close, (uint64_t)b->pages_fd, 0, 0,
			 0, 0, 0);
	return rc;
}

static int fill(struct build *b, struct ckpt_err **err)
{
	if (!b->core.n_pages)
		return 0;
	if (!is_small(b))
		return fill_from_core(b, err);
	b->filled_later = b->is_leaf && b->r->n_procs > 1 && build_fill_later(b);
	return b->filled_later ? 0 : build_fill_small(b, err);
}

static int finish_areas(struct build *b, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < b->n_areas; i++)
		if (!b->area[i].special)
			rc = finish_area(b, &b->area[i], err);
	return rc < 0 ? rc : install_guards(b, err);
}

int build_memory_rest(struct build *b, struct ckpt_err **err)
{
	int rc = b->filled_later ? build_fill_wait(b, err) : 0;

	if (rc == 0 && b->filled_later)
		rc = finish_areas(b, err);
	b->has_memory = rc == 0;
	return rc;
}

int build_memory(struct build *b, struct ckpt_err **err)
{
	int rc = b->copy_of ? keep_copies(b, err) : 0;

	/* Now: the executable cannot be changed while its parent's is mapped, be it as its own. */
	if (rc == 0)
		rc = set_mm_fields(b, err);
	if (rc == 0)
		rc = build_numa(b, err); /* decides where pages go */
	if (rc == 0)
		rc = map_vdso(b, err);
	if (rc == 0)
		rc = map_areas(b, err);
	if (rc == 0)
		rc = fill(b, err);
	if (rc < 0 || b->filled_later)
		return rc;
	rc = finish_areas(b, err);
	if (rc == 0)
		rc = arena_run(&b->r->arena, b->pid, err);
	b->has_memory = rc == 0;
	return rc;
}
