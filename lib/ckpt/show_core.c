// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * One process of an image as a plain core file. Its pages may stand in several: those that it has
 * from the process that made it, which may have them from another, and all of them when it uses
 * another's memory.
 */
#include "build.h"
#include "core.h"
#include "image.h"
#include "session.h"
#include "util.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail_no_process(const json_t *tasks, pid_t pid, struct ckpt_err **err)
{
	enum { SHOWN = 20 };

	char list[SHOWN * 12 + 8] = "";
	const json_t *row;
	size_t i, len = 0;

	json_array_foreach(tasks, i, row) {
		if (i == SHOWN) {
			snprintf(list + len, sizeof(list) - len, ", ...");
			break;
		}
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%d", i ? ", " : "",
					(int)json_integer_value(json_object_get(row, "pid")));
	}
	ckpt_fail(err, ESRCH, CKPT_E_NO_PROCESS, "the image holds no process %d", pid);
	ckpt_hint(err, "it holds %s", list);
	return -ESRCH;
}

/* ---- pages ---- */

/* The pages of one core, as a file. */
struct pages {
	int fd; /* owned; -1: not open yet */
	uint64_t offset;
};

struct gather {
	struct restore *r;
	struct pages *pages; /* by process */
	struct core_piece *piece;
	size_t n;
};

static int open_core(const struct build *b, struct core_file *core, struct ckpt_err **err)
{
	int fd = -1, rc = build_open_core(b, &fd, err);

	return rc < 0 ? rc : core_open(core, fd, err);
}

/* Checksums are verified on the way. */
static int open_pages(struct gather *g, const struct build *b, struct pages **ret,
		      struct ckpt_err **err)
{
	struct core_file core = { .fd = -1 };
	int rc = 0;

	*ret = &g->pages[b - g->r->proc];
	if ((*ret)->fd < 0) {
		rc = open_core(b, &core, err);
		if (rc == 0)
			rc = core_pages_fd(&core, true, &(*ret)->fd, &(*ret)->offset, err);
		core_done(&core);
	}
	return rc < 0 ? ckpt_wrap(err, rc, "process %d", b->vpid) : 0;
}

static int add_piece(struct gather *g, const struct build *b, uint64_t start, uint64_t end,
		     uint64_t offset, struct ckpt_err **err)
{
	struct pages *p;
	int rc = open_pages(g, b, &p, err);

	if (rc < 0)
		return rc;
	/* Grow by doubling: powers of two. */
	if ((g->n & (g->n - 1)) == 0) {
		struct core_piece *more = realloc(g->piece, (g->n ? 2 * g->n : 1) * sizeof(*more));

		if (!more)
			return ckpt_fail_nomem(err);
		g->piece = more;
	}
	g->piece[g->n++] = (struct core_piece){ .start = start,
						.n_pages = (end - start) / CORE_PAGE,
						.fd = p->fd,
						.offset = p->offset + offset };
	return 0;
}

/* Pages of [at, end) that stand in its own core, and those that its maker has for it. */
static int gather(struct gather *g, const struct build *b, uint64_t at, uint64_t end,
		  struct ckpt_err **err)
{
	const struct address_ranges *h = &b->inherited.pages;
	uint64_t offset = 0;
	size_t i = ranges_from(h, at), k = 0;
	int rc = 0;

	/* Both lists in address order, and the one never where the other is. */
	while (rc == 0 && at < end) {
		uint64_t from = end, until = end, start;
		bool own;

		while (k < b->core.n_runs &&
		       b->core.runs[k].start + b->core.runs[k].n_pages * CORE_PAGE <= at)
			offset += b->core.runs[k++].n_pages * CORE_PAGE;
		own = k < b->core.n_runs &&
		      (i == h->n || b->core.runs[k].start < h->range[i].start);
		if (own) {
			from = b->core.runs[k].start;
			until = from + b->core.runs[k].n_pages * CORE_PAGE;
		} else if (i < h->n) {
			from = h->range[i].start;
			until = h->range[i++].end;
		}
		start = from > at ? from : at;
		until = until < end ? until : end;
		if (start >= end)
			break;
		rc = own ? add_piece(g, b, start, until, offset + (start - from), err)
			 : gather(g, b->maker, start, until, err);
		at = until;
	}
	return rc;
}

static int compose(struct gather *g, const struct build *b, int out_fd, struct ckpt_err **err)
{
	struct core_file threads = { .fd = -1 }, memory = { .fd = -1 };
	const struct build *mm = b->mm_owner;
	int rc = gather(g, mm, 0, UINT64_MAX, err);

	if (rc == 0)
		rc = open_core(b, &threads, err);
	if (rc == 0 && mm != b)
		rc = open_core(mm, &memory, err);
	if (rc == 0)
		rc = core_compose(&threads, mm != b ? &memory : &threads, g->piece, g->n, out_fd,
				  err);
	core_done(&threads);
	core_done(&memory);
	return rc;
}

/* A core that has everything is given out as it is. */
static int export(struct gather *g, const struct build *b, int out_fd, struct ckpt_err **err)
{
	struct core_file core = { .fd = -1 };
	int rc;

	if (b->zombie)
		return ckpt_fail(err, ESRCH, CKPT_E_NO_PROCESS,
				 "process %d had ended: of it nothing is left but its status",
				 b->vpid);
	if (b->mm_owner != b || b->inherited.pages.n)
		return compose(g, b, out_fd, err);
	rc = open_core(b, &core, err);
	if (rc == 0)
		rc = core_export(&core, out_fd, err);
	core_done(&core);
	return rc;
}

static int show_core(struct restore *r, pid_t pid, int out_fd, struct ckpt_err **err)
{
	struct gather g = { .r = r, .pages = calloc(r->n_procs, sizeof(*g.pages)) };
	const struct build *b = NULL;
	int rc;

	if (!g.pages)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < r->n_procs; i++) {
		g.pages[i].fd = -1;
		b = r->proc[i].vpid == pid ? &r->proc[i] : b;
	}
	rc = b ? export(&g, b, out_fd, err)
	       : fail_no_process(json_object_get(r->im.manifest, "tasks"), pid, err);
	for (size_t i = 0; i < r->n_procs; i++)
		close_reset(&g.pages[i].fd);
	free(g.pages);
	free(g.piece);
	return rc;
}

int ckpt_show_core(struct ckpt_session *s, const char *image, pid_t pid, int out_fd,
		   struct ckpt_err **err)
{
	struct restore r = { .im = IMAGE_INIT };
	int rc = image_open(&r.im, image, err);

	(void)s;
	if (rc == 0)
		rc = build_read(&r, err);
	if (rc == 0)
		rc = show_core(&r, pid, out_fd, err);
	build_read_done(&r);
	image_done(&r.im);
	return rc;
}
