// SPDX-License-Identifier: LGPL-2.1-or-later
/* Pages shared, copy-on-write, by parent and child. See inherit.h. */
#include "inherit.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst). */
#define PM_FRAME   ((1ULL << 55) - 1)
#define PM_SWAP	   (1ULL << 62)
#define PM_PRESENT (1ULL << 63)

enum { CHUNK_PAGES = 4096 };

struct finder {
	struct inherited *h;
	struct area_pages *out;
	int child_fd, parent_fd;
	uint64_t child[CHUNK_PAGES], parent[CHUNK_PAGES];
};

static int push_range(struct address_ranges *h, uint64_t start, uint64_t end)
{
	if (h->n && h->range[h->n - 1].end == start) {
		h->range[h->n - 1].end = end;
		return 0;
	}
	/* Grow by doubling: powers of two. */
	if ((h->n & (h->n - 1)) == 0) {
		struct address_range *more =
			realloc(h->range, (h->n ? 2 * h->n : 1) * sizeof(*more));

		if (!more)
			return -ENOMEM;
		h->range = more;
	}
	h->range[h->n++] = (struct address_range){ start, end };
	return 0;
}

static int push_own(struct area_pages *p, const struct core_run *like, uint64_t start, uint64_t end)
{
	if ((p->n_runs & (p->n_runs - 1)) == 0) {
		struct core_run *more =
			realloc(p->run, (p->n_runs ? 2 * p->n_runs : 1) * sizeof(*more));

		if (!more)
			return -ENOMEM;
		p->run = more;
	}
	p->run[p->n_runs] = *like;
	p->run[p->n_runs].start = start;
	p->run[p->n_runs++].n_pages = (end - start) / CORE_PAGE;
	p->n_pages += (end - start) / CORE_PAGE;
	return 0;
}

static bool same_page(uint64_t a, uint64_t b)
{
	if (!(a & b & (PM_PRESENT | PM_SWAP)))
		return false;
	/* A frame of 0 is told to those without the right to know. */
	return (a & PM_FRAME) &&
	       (a & (PM_FRAME | PM_SWAP | PM_PRESENT)) == (b & (PM_FRAME | PM_SWAP | PM_PRESENT));
}

/* One run, of which all pages are in an area that parent and child have alike. */
static int split_run(struct finder *f, const struct core_run *r)
{
	uint64_t at = r->start, end = r->start + r->n_pages * CORE_PAGE;

	while (at < end) {
		size_t n = (end - at) / CORE_PAGE, i = 0;
		int rc;

		if (n > CHUNK_PAGES)
			n = CHUNK_PAGES;
		rc = pread_all(f->child_fd, f->child, n * 8, at / CORE_PAGE * 8);
		if (rc == 0)
			rc = pread_all(f->parent_fd, f->parent, n * 8, at / CORE_PAGE * 8);
		while (rc == 0 && i < n) {
			bool same = same_page(f->child[i], f->parent[i]);
			size_t k = i + 1;

			while (k < n && same_page(f->child[k], f->parent[k]) == same)
				k++;
			rc = same ? push_range(&f->h->pages, at + i * CORE_PAGE, at + k * CORE_PAGE)
				  : push_own(f->out, r, at + i * CORE_PAGE, at + k * CORE_PAGE);
			i = k;
		}
		if (rc < 0)
			return rc;
		at += n * CORE_PAGE;
	}
	return 0;
}

/* Equal neighbours are one row of the manifest, and what restore compares. */
struct row {
	const struct snapshot *s;
	size_t at, next, end;
	const struct rec_vma *first;
	uint64_t row_end;
};

static void row_step(struct row *r)
{
	r->at = r->next;
	if (r->at >= r->end)
		return;
	r->first = r->s->vmas[r->at].rec;
	r->next = area_joined_end(r->s, r->at, r->end);
	r->row_end = r->s->vmas[r->next - 1].rec->end;
}

static void row_first(struct row *r, const struct snapshot *s, pid_t tgid)
{
	size_t n;

	*r = (struct row){ .s = s };
	snapshot_vmas_of(s, tgid, &r->next, &n);
	r->end = r->next + n;
	row_step(r);
}

/* The row of the other that ends above this address. */
static void row_seek(struct row *r, uint64_t at)
{
	while (r->at < r->end && r->row_end <= at)
		row_step(r);
}

/*
 * Would a fork give the child this very map, perhaps as a part of a longer one? Either may have
 * grown or shrunk since; a map of the child that reaches beyond is not kept, for the kernel would
 * leave it in two.
 */
static bool same_area(const struct rec_vma *a, const struct row *y)
{
	const uint64_t differ = VMF_LOCKED | VMF_LOCKONFAULT;
	const struct rec_vma *b = y->first;

	if (y->at >= y->end || a->start < b->start || a->end > y->row_end)
		return false;
	if (area_is_special(a) && (a->start != b->start || a->end != y->row_end))
		return false;
	return a->has_file == b->has_file && !((a->vm_flags ^ b->vm_flags) & ~differ) &&
	       a->pgoff_bytes - a->start == b->pgoff_bytes - b->start &&
	       a->inode.file_id == b->inode.file_id && a->special == b->special &&
	       !strcmp(a->anon_name, b->anon_name) &&
	       !(a->vm_flags & (VMF_MAYSHARE | VMF_HUGETLB)) && !area_not_forked(a);
}

static int open_pagemap(pid_t pid, int *ret_fd, struct ckpt_err **err)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	*ret_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (*ret_fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_GONE, "open the page map of process %d",
				       pid);
	return 0;
}

/* Both lists of areas, and the runs, are in address order. */
static int split_all(struct finder *f, const struct area_pages *in, const struct snapshot *s,
		     pid_t child, pid_t parent)
{
	size_t first, n, k = 0;
	struct row p;
	int rc = 0;

	row_first(&p, s, parent);
	snapshot_vmas_of(s, child, &first, &n);
	for (size_t i = first; rc == 0 && i < first + n; i++) {
		const struct rec_vma *v = s->vmas[i].rec;
		bool same;

		row_seek(&p, v->start);
		same = same_area(v, &p);
		if (same)
			rc = push_range(&f->h->areas, v->start, v->end);
		for (; rc == 0 && k < in->n_runs && in->run[k].start < v->end; k++) {
			const struct core_run *r = &in->run[k];

			rc = same ? split_run(f, r)
				  : push_own(f->out, r, r->start,
					     r->start + r->n_pages * CORE_PAGE);
		}
	}
	return rc;
}

static bool any_same_area(const struct snapshot *s, pid_t child, pid_t parent)
{
	size_t first, n;
	struct row p;

	row_first(&p, s, parent);
	snapshot_vmas_of(s, child, &first, &n);
	for (size_t i = first; i < first + n; i++) {
		row_seek(&p, s->vmas[i].rec->start);
		if (s->vmas[i].rec->vm_flags & VMF_WRITE && same_area(s->vmas[i].rec, &p))
			return true;
	}
	return false;
}

static void ranges_done(struct address_ranges *r)
{
	free(r->range);
	*r = (struct address_ranges){ 0 };
}

int inherited_find(struct inherited *h, struct area_pages *pages, const struct snapshot *s,
		   pid_t child, pid_t mem_child, pid_t parent, pid_t mem_parent,
		   struct ckpt_err **err)
{
	_cleanup_close_ int child_fd = -1, parent_fd = -1;
	_cleanup_free_ struct finder *f = NULL;
	struct area_pages own = { 0 };
	int rc;

	/* It has executed another program since, mostly. */
	if (!any_same_area(s, child, parent))
		return 0;
	f = malloc(sizeof(*f));
	if (!f)
		return ckpt_fail_nomem(err);
	rc = open_pagemap(mem_child, &child_fd, err);
	if (rc == 0)
		rc = open_pagemap(mem_parent, &parent_fd, err);
	if (rc < 0)
		return rc;
	f->h = h;
	f->out = &own;
	f->child_fd = child_fd;
	f->parent_fd = parent_fd;
	rc = split_all(f, pages, s, child, parent);
	if (rc < 0) {
		area_pages_done(&own);
		return ckpt_fail_errno(err, rc, CKPT_E_SYS,
				       "compare the pages of processes %d and %d", child, parent);
	}
	if (!h->pages.n)
		ranges_done(&h->areas);
	own.guard = TAKE_PTR(pages->guard);
	own.n_guards = pages->n_guards;
	pages->n_guards = 0;
	area_pages_done(pages);
	*pages = own;
	return 0;
}

static int ranges_save(const struct address_ranges *r, json_t *mm, const char *name)
{
	json_t *rows = json_array();
	int rc = json_object_set_new(mm, name, rows);
	char text[64];

	for (size_t i = 0; i < r->n; i++) {
		snprintf(text, sizeof(text), "%llx-%llx", (unsigned long long)r->range[i].start,
			 (unsigned long long)r->range[i].end);
		rc |= json_array_append_new(rows, json_string(text));
	}
	return rc;
}

int inherited_save(const struct inherited *h, json_t *mm, struct ckpt_err **err)
{
	if (!h->pages.n)
		return 0;
	if (ranges_save(&h->pages, mm, "inherited") || ranges_save(&h->areas, mm, "copied"))
		return ckpt_fail_nomem(err);
	return 0;
}

static int ranges_parse(struct address_ranges *r, const json_t *rows, struct ckpt_err **err)
{
	const json_t *row;
	uint64_t last = 0;
	size_t i;

	json_array_foreach(rows, i, row) {
		const char *text = json_string_value(row);
		unsigned long long start = 0, end = 0;

		if (!text || sscanf(text, "%llx-%llx", &start, &end) != 2 ||
		    (start | end) % CORE_PAGE || start >= end || start < last)
			return ckpt_fail(err, EINVAL, CKPT_E_IMAGE,
					 "a range of inherited memory is not sound: %.60s",
					 text ? text : "not a string");
		last = end;
		if (push_range(r, start, end) < 0)
			return ckpt_fail_nomem(err);
	}
	return 0;
}

int inherited_parse(struct inherited *h, const json_t *mm, struct ckpt_err **err)
{
	int rc;

	*h = (struct inherited){ 0 };
	rc = ranges_parse(&h->pages, json_object_get(mm, "inherited"), err);
	return rc < 0 ? rc : ranges_parse(&h->areas, json_object_get(mm, "copied"), err);
}

size_t ranges_from(const struct address_ranges *r, uint64_t at)
{
	size_t low = 0, high = r->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (r->range[middle].end <= at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void inherited_done(struct inherited *h)
{
	ranges_done(&h->pages);
	ranges_done(&h->areas);
}
