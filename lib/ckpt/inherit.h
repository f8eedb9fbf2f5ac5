/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pages that a process has from its parent and that neither has written to since: one physical page
 * for both. They are left out of the child's core, and the restored child gets them as it did
 * before, by being forked from its parent; so they are looked for only where the plan (plan.h) has
 * it forked from that parent, or from the sibling that makes it. In the manifest: "inherited" of an
 * "mm", rows "START-END" in hexadecimal.
 */
#ifndef CKPT_INHERIT_H
#define CKPT_INHERIT_H

#include "areas.h"

struct inherited {
	struct inherited_range {
		uint64_t start, end;
	} * range; /* in address order */

	size_t n;
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
/* Read "inherited" of an "mm"; in order, page-aligned, not overlapping. */
int inherited_parse(struct inherited *h, const json_t *mm, struct ckpt_err **err);
/* The first range that ends above `at`; h->n when there is none. */
size_t inherited_from(const struct inherited *h, uint64_t at);
void inherited_done(struct inherited *h);

#endif
