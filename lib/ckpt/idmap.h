/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A map from numbers (identities, pids) to pointers. */
#ifndef CKPT_IDMAP_H
#define CKPT_IDMAP_H

#include <stddef.h>
#include <stdint.h>

/* All zero: empty. Values are borrowed, and never NULL. */
struct idmap {
	struct idmap_slot {
		uint64_t id;
		void *value; /* NULL: free */
	} * slot;

	size_t n, size; /* size: 0 or a power of two */
};

void *idmap_get(const struct idmap *m, uint64_t id); /* NULL: none */
/* Put, or replace. 0 or -ENOMEM, and nothing is changed. */
int idmap_put(struct idmap *m, uint64_t id, void *value);
/* Returns what was there, or NULL. Shrinks when most places are free. */
void *idmap_remove(struct idmap *m, uint64_t id);
void idmap_done(struct idmap *m);

/* In no order; the map must not change meanwhile. */
#define idmap_each(m, s)                                                                           \
	for (struct idmap_slot *s = (m)->slot; s && s < (m)->slot + (m)->size; s++)                \
		if (s->value)

#endif
