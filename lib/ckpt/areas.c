// SPDX-License-Identifier: LGPL-2.1-or-later
/* Memory areas of a process: manifest rows, pages to save. See areas.h. */
#include "areas.h"
#include "pagemap.h"
#include "safe.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

bool area_is_special(const struct rec_vma *v)
{
	return v->special == REC_VMA_SPECIAL || v->special == REC_VMA_AIO;
}

bool area_not_forked(const struct rec_vma *v)
{
	/* Hugetlb pages are forked, but the child loses them when the pool has none left to copy
	 * to. */
	return v->vm_flags & (VMF_DONTCOPY | VMF_WIPEONFORK | VMF_HUGETLB);
}

/* Flags that make an area impossible to save, each with its reason. */
static const struct area_refusal {
	uint64_t flags;
	const char *why, *hint;
} refusals[] = {
	{ VMF_PFNMAP | VMF_IO | VMF_MIXEDMAP, "memory of a device", "" },
	{ VMF_PKEYS, "protected by a memory protection key (pkeys(7))", "" },
	{ VMF_SHADOW_STACK, "a shadow stack", "start the program without shadow stacks" },
};

int area_check(const struct rec_vma *v, struct ckpt_err **err)
{
	const char *why = NULL, *hint = "";

	if (area_is_special(v)) {
		if (!strncmp(v->anon_name, "[vdso", 5) || !strncmp(v->anon_name, "[vvar", 5) ||
		    v->special == REC_VMA_AIO)
			return 0;
		why = "a special mapping that is not the vdso's";
	}
	for (size_t i = 0; !why && i < sizeof(refusals) / sizeof(refusals[0]); i++)
		if (v->vm_flags & refusals[i].flags) {
			why = refusals[i].why;
			hint = refusals[i].hint;
		}
	if (!why && v->uffd_registered) {
		why = "watched by a userfaultfd";
		hint = "unregister it (UFFDIO_UNREGISTER) before the checkpoint";
	}
	if (!why && v->has_mempolicy > 1)
		why = "bound by mbind(2) to NUMA nodes beyond the first 64";
	if (!why)
		return 0;
	ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED, "it is %s", why);
	ckpt_hint(err, "%s", hint);
	return -EOPNOTSUPP;
}

void area_describe(const struct rec_vma *v, const char *path, char *buf, size_t len)
{
	char name[128];
	unsigned long long kib = (v->end - v->start) / 1024;
	uint64_t f = v->vm_flags;

	if (path[0])
		safe_text(name, sizeof(name), path);
	else if (v->anon_name[0])
		safe_text(name, sizeof(name), v->anon_name);
	else
		snprintf(name, sizeof(name), "%s memory", f & VMF_SHARED ? "shared" : "anonymous");
	snprintf(buf, len, "%s, %c%c%c%c, %llu KiB", name, f & VMF_READ ? 'r' : '-',
		 f & VMF_WRITE ? 'w' : '-', f & VMF_EXEC ? 'x' : '-', f & VMF_SHARED ? 's' : 'p',
		 kib);
}

/* ---- manifest ---- */

/* Flags that stand in "flags" by name. All of them are compared after a restore. */
static const struct area_flag {
	uint64_t bit;
	const char *name;
} area_flags[] = {
	{ VMF_MAYSHARE, "shared" },
	{ VMF_GROWSDOWN, "growsdown" },
	{ VMF_LOCKED, "locked" },
	{ VMF_LOCKONFAULT, "lockonfault" },
	{ VMF_SEQ_READ, "sequential" },
	{ VMF_RAND_READ, "random" },
	{ VMF_DONTCOPY, "dontfork" },
	{ VMF_WIPEONFORK, "wipeonfork" },
	{ VMF_DONTDUMP, "dontdump" },
	{ VMF_HUGEPAGE, "hugepage" },
	{ VMF_NOHUGEPAGE, "nohugepage" },
	{ VMF_MERGEABLE, "mergeable" },
	{ VMF_NORESERVE, "noreserve" },
	{ VMF_HUGETLB, "hugetlb" },
	{ VMF_SYNC, "sync" },
	{ VMF_DROPPABLE, "droppable" },
	{ VMF_SEALED, "sealed" },
};

#define N_AREA_FLAGS (sizeof(area_flags) / sizeof(area_flags[0]))

static uint64_t flag_bit(const char *name, size_t len)
{
	for (size_t i = 0; i < N_AREA_FLAGS; i++)
		if (strlen(area_flags[i].name) == len && !strncmp(area_flags[i].name, name, len))
			return area_flags[i].bit;
	return 0;
}

/* One word of a row, after the range and the protection. */
static int parse_word(const char *word, size_t len, struct area_row *a, struct ckpt_err **err)
{
	unsigned long long object, offset, nodes;
	struct rec_mempolicy *m = &a->mempolicy;
	uint64_t bit;

	if (sscanf(word, "numa=%hu:%hx:%llx:%d", &m->mode, &m->flags, &nodes, &m->home_node) == 4) {
		m->nodes = nodes;
		a->has_mempolicy = true;
		return 0;
	}
	if (word[0] == '@' && sscanf(word, "@%llu+%llx", &object, &offset) == 2) {
		a->object = object;
		a->offset = offset;
		return 0;
	}
	bit = flag_bit(word, len);
	if (!bit)
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE_VERSION,
				 "memory area %#llx has something unknown: \"%.40s\"",
				 (unsigned long long)a->start, word);
	a->flags |= bit;
	return 0;
}

int area_row_parse(const json_t *row, struct area_row *a, struct ckpt_err **err)
{
	const char *text = json_string_value(row), *p = text;
	char *next = NULL;

	*a = (struct area_row){ .name = "" };
	if (p) {
		a->start = strtoull(p, &next, 16);
		p = next;
	}
	if (p && *p == '-') {
		a->end = strtoull(p + 1, &next, 16);
		p = next;
	}
	if (!p || !next || *p != ' ' || strnlen(p, 4) < 4)
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE,
				 "a memory area is not understood: %.60s",
				 text ? text : "not a string");
	a->prot = (p[1] == 'r' ? PROT_READ : 0) | (p[2] == 'w' ? PROT_WRITE : 0) |
		  (p[3] == 'x' ? PROT_EXEC : 0);
	for (p += 4; *p == ' '; p = next) {
		p++;
		/* A name goes to the end of the row, whatever is in it. */
		a->special = !strncmp(p, "special=", 8);
		if (a->special || !strncmp(p, "name=", 5)) {
			a->name = strchr(p, '=') + 1;
			return 0;
		}
		next = (char *)(uintptr_t)(p + strcspn(p, " "));
		int rc = parse_word(p, (size_t)(next - p), a, err);

		if (rc < 0)
			return rc;
	}
	return 0;
}

static uint64_t saved_flags(const struct rec_vma *v)
{
	uint64_t known = VMF_READ | VMF_WRITE | VMF_EXEC;

	for (size_t i = 0; i < N_AREA_FLAGS; i++)
		known |= area_flags[i].bit;
	return v->vm_flags & known;
}

/* Would the kernel, too, have these as one area, had it been mapped at once? */
static bool joins(const struct rec_vma *a, uint64_t a_end, const struct rec_vma *b)
{
	if (a_end != b->start || saved_flags(a) != saved_flags(b) || a->has_file != b->has_file ||
	    area_is_special(a) || area_is_special(b) || strcmp(a->anon_name, b->anon_name) ||
	    a->has_mempolicy != b->has_mempolicy ||
	    memcmp(&a->mempolicy, &b->mempolicy, sizeof(a->mempolicy)) != 0)
		return false;
	return !a->has_file || (a->inode.file_id == b->inode.file_id &&
				b->pgoff_bytes - a->pgoff_bytes == b->start - a->start);
}

/* A row as text, like a line of /proc/PID/maps: an object of members would cost ten times as much,
 * and there are many. */
static json_t *area_text(const struct rec_vma *v, uint64_t end, const struct objects *os)
{
	uint32_t object = v->has_file ? objects_id(os, v->inode.file_id) : 0;
	char text[512];
	int n = snprintf(text, sizeof(text), "%llx-%llx %c%c%c", (unsigned long long)v->start,
			 (unsigned long long)end, v->vm_flags & VMF_READ ? 'r' : '-',
			 v->vm_flags & VMF_WRITE ? 'w' : '-', v->vm_flags & VMF_EXEC ? 'x' : '-');

	if (object)
		n += snprintf(text + n, sizeof(text) - (size_t)n, " @%u+%llx", object,
			      (unsigned long long)v->pgoff_bytes);
	for (size_t i = 0; i < N_AREA_FLAGS; i++)
		if (v->vm_flags & area_flags[i].bit)
			n += snprintf(text + n, sizeof(text) - (size_t)n, " %s",
				      area_flags[i].name);
	if (v->has_mempolicy)
		n += snprintf(text + n, sizeof(text) - (size_t)n, " numa=%u:%x:%llx:%d",
			      v->mempolicy.mode, v->mempolicy.flags,
			      (unsigned long long)v->mempolicy.nodes, v->mempolicy.home_node);
	/* The kernel takes printable names only (PR_SET_VMA_ANON_NAME). */
	if (v->anon_name[0])
		snprintf(text + n, sizeof(text) - (size_t)n, " %s=%.79s",
			 area_is_special(v) ? "special" : "name", v->anon_name);
	return json_string(text);
}

size_t area_joined_end(const struct snapshot *s, size_t i, size_t end)
{
	const struct rec_vma *last = s->vmas[i].rec;

	for (i++; i < end && joins(last, last->end, s->vmas[i].rec); i++)
		last = s->vmas[i].rec;
	return i;
}

int areas_save(const struct snapshot *s, pid_t tgid, const struct objects *os, json_t **ret,
	       struct ckpt_err **err)
{
	_cleanup_json_ json_t *rows = json_array();
	size_t first, n;

	snapshot_vmas_of(s, tgid, &first, &n);
	for (size_t i = first; i < first + n;) {
		const struct rec_vma *v = s->vmas[i].rec;

		i = area_joined_end(s, i, first + n);
		if (json_array_append_new(rows, area_text(v, s->vmas[i - 1].rec->end, os)))
			return ckpt_fail_nomem(err);
	}
	*ret = TAKE_PTR(rows);
	return 0;
}

/* ---- pages ---- */

static int push_run(struct area_pages *p, const struct rec_vma *v, size_t area, uint64_t start,
		    uint64_t end)
{
	struct core_run *r;

	/* Grow by doubling: powers of two. */
	if ((p->n_runs & (p->n_runs - 1)) == 0) {
		r = realloc(p->run, (p->n_runs ? 2 * p->n_runs : 1) * sizeof(*r));
		if (!r)
			return -ENOMEM;
		p->run = r;
	}
	p->run[p->n_runs++] = (struct core_run){
		.start = start,
		.n_pages = (end - start) / CORE_PAGE,
		.area = (uint32_t)area,
		.source = v->vm_flags & VMF_READ ? CORE_FROM_READV : CORE_FROM_MEM,
	};
	p->n_pages += (end - start) / CORE_PAGE;
	return 0;
}

static int push_guard(struct area_pages *p, uint64_t start, uint64_t end)
{
	struct area_guard *g = realloc(p->guard, (p->n_guards + 1) * sizeof(*g));

	if (!g)
		return -ENOMEM;
	p->guard = g;
	p->guard[p->n_guards++] = (struct area_guard){ start, end };
	return 0;
}

static bool chosen(const struct rec_vma *v, enum area_choice choice)
{
	/* Droppable memory is made to be lost: what lies there (the state of the vdso's random
	 * numbers) must not exist twice. */
	if (area_is_special(v) || v->vm_flags & VMF_DROPPABLE)
		return false;
	return choice == AREA_ALL || area_not_forked(v) == (choice == AREA_UNFORKED);
}

/* Cut the regions found by the kernel at the borders of the areas. Both are in address order. */
struct cutter {
	const struct snap_vma *vma;
	size_t n, at;
	uint64_t done; /* all before this has been cut: the kernel gives a region twice at times,
			* when a scan goes on where the one before it ended */
	enum area_choice choice;
	struct area_pages *out;
};

static int cut(struct cutter *c, uint64_t start, uint64_t end, bool guard)
{
	if (start < c->done)
		start = c->done;
	if (c->done < end)
		c->done = end;
	while (start < end) {
		const struct rec_vma *v;
		uint64_t stop;
		int rc = 0;

		while (c->at < c->n && c->vma[c->at].rec->end <= start)
			c->at++;
		if (c->at == c->n || c->vma[c->at].rec->start >= end)
			return 0;
		v = c->vma[c->at].rec;
		if (start < v->start)
			start = v->start;
		stop = end < v->end ? end : v->end;
		if (chosen(v, c->choice))
			rc = guard ? push_guard(c->out, start, stop)
				   : push_run(c->out, v, c->at, start, stop);
		if (rc < 0)
			return rc;
		start = stop;
	}
	return 0;
}

enum { SCAN_REGIONS = 4096 };

enum scan_for { SCAN_PAGES, SCAN_PAGES_NO_GUARDS, SCAN_GUARDS };

static int scan(int fd, struct cutter *c, enum scan_for what, uint64_t last_end)
{
	bool guard = what == SCAN_GUARDS;
	uint64_t without =
		PAGEMAP_PFNZERO | PAGEMAP_FILE | (what == SCAN_PAGES ? PAGEMAP_GUARD : 0);
	_cleanup_free_ struct pagemap_region *vec = malloc(SCAN_REGIONS * sizeof(*vec));
	struct pagemap_scan arg = {
		.size = sizeof(arg),
		.end = last_end,
		.vec = (uintptr_t)vec,
		.vec_len = SCAN_REGIONS,
		.return_mask = guard ? PAGEMAP_GUARD : PAGEMAP_FILE,
	};

	if (!vec)
		return -ENOMEM;
	if (guard) {
		arg.category_mask = PAGEMAP_GUARD;
	} else {
		/* Private pages with contents: in memory or in swap, not the shared zero page, not
		 * a page of a file or of shared memory, not a guard (which counts as swapped). */
		arg.category_inverted = without;
		arg.category_mask = without;
		arg.category_anyof_mask = PAGEMAP_PRESENT | PAGEMAP_SWAPPED;
	}
	c->at = 0;
	c->done = 0;
	while (arg.start < arg.end) {
		int n = ioctl(fd, PAGEMAP_SCAN_IOCTL, &arg);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		for (int i = 0; i < n; i++) {
			int rc = cut(c, vec[i].start, vec[i].end, guard);

			if (rc < 0)
				return rc;
		}
		if (arg.walk_end <= arg.start)
			break;
		arg.start = arg.walk_end;
	}
	return 0;
}

int area_pages_find(struct area_pages *p, const struct snapshot *s, pid_t tgid, pid_t mem_pid,
		    enum area_choice choice, struct ckpt_err **err)
{
	_cleanup_close_ int fd = -1;
	char path[64];
	size_t first, n;
	int rc;

	*p = (struct area_pages){ 0 };
	snapshot_vmas_of(s, tgid, &first, &n);
	if (n == 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", mem_pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_GONE, "open the page map of process %d",
				       mem_pid);
	struct cutter c = { .vma = s->vmas + first, .n = n, .choice = choice, .out = p };
	uint64_t end = s->vmas[first + n - 1].rec->end;

	rc = scan(fd, &c, SCAN_PAGES, end);
	if (rc == 0)
		rc = scan(fd, &c, SCAN_GUARDS, end);
	else if (rc == -EINVAL) /* a kernel that cannot tell guard ranges (before 6.15) */
		rc = scan(fd, &c, SCAN_PAGES_NO_GUARDS, end);
	if (rc == -ENOTTY || rc == -EINVAL)
		return ckpt_fail(err, -rc, CKPT_E_KERNEL,
				 "this kernel has no PAGEMAP_SCAN (Linux 6.7 or newer is needed)");
	if (rc < 0)
		return ckpt_fail_errno(err, rc, CKPT_E_SYS, "scan the page map of process %d",
				       mem_pid);
	return 0;
}

static int by_start(const void *a, const void *b)
{
	const struct core_run *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

int area_pages_join(struct area_pages *a, struct area_pages *b, struct ckpt_err **err)
{
	size_t n = a->n_runs + b->n_runs, cap = 1;
	struct core_run *all;

	if (b->n_runs) {
		while (cap <= n)
			cap *= 2;
		all = realloc(a->run, cap * sizeof(*all));
		if (!all)
			return ckpt_fail_nomem(err);
		memcpy(all + a->n_runs, b->run, b->n_runs * sizeof(*all));
		qsort(all, n, sizeof(*all), by_start);
		a->run = all;
		a->n_runs = n;
		a->n_pages += b->n_pages;
	}
	for (size_t i = 0; i < b->n_guards; i++)
		if (push_guard(a, b->guard[i].start, b->guard[i].end) < 0)
			return ckpt_fail_nomem(err);
	area_pages_done(b);
	return 0;
}

int area_guards_save(const struct area_pages *p, json_t *mm, struct ckpt_err **err)
{
	json_t *a = json_array();
	int rc = json_object_set_new(mm, "guards", a);

	for (size_t i = 0; i < p->n_guards; i++) {
		json_t *row = json_object();

		rc |= js_set_hex(row, "start", p->guard[i].start);
		rc |= js_set_hex(row, "end", p->guard[i].end);
		rc |= json_array_append_new(a, row);
	}
	return rc ? ckpt_fail_nomem(err) : 0;
}

void area_pages_done(struct area_pages *p)
{
	free(p->run);
	free(p->guard);
	*p = (struct area_pages){ 0 };
}
