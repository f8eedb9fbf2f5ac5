/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pages that a process has from its parent and that neither has written to since: one physical page
 * for both. They are left out of the child's core, and the restored child gets them as it did
 * before, by being forked from its parent; so they are looked for only where the plan (plan.h) has
 * it forked from that parent, or from the sibling that makes it. In the manifest, of an "mm":
 * "inherited", the pages, and "copied", the maps that a fork brings about, both as rows
 * "START-END" in hexadecimal.
 */
#ifndef CKPT_INHERIT_H
#define CKPT_INHERIT_H

#include "areas.h"

struct address_range {
	uint64_t start, end;
};

/* In address order, not overlapping. */
struct address_ranges {
	struct address_range *range;
	size_t n;
};

struct inherited {
	struct address_ranges pages;
	/* The areas, or parts of areas, that come with them: whole maps of the child, each within
	 * a map of the other, and alike. */
	struct address_ranges areas;
};

/*
 * Take the pages of `child` that are those of `parent` out of `pages` and note them in `h`. The
 * areas are those of the snapshot; mem_child and mem_parent are whose page maps are read: frozen
 * tasks, or their twins.
 */
int inherited_find(struct inherited *h, struct area_pages *pages, const struct snapshot *s,
		   pid_t child, pid_t mem_child, pid_t parent, pid_t mem_parent,
		   struct ckpt_err **err);
int inherited_save(const struct inherited *h, json_t *mm, struct ckpt_err **err);
/* Read both members of an "mm"; the ranges are in order, page-aligned, and do not overlap. */
int inherited_parse(struct inherited *h, const json_t *mm, struct ckpt_err **err);
/* The first range that ends above `at`; r->n when there is none. */
size_t ranges_from(const struct address_ranges *r, uint64_t at);
void inherited_done(struct inherited *h);

#endif
