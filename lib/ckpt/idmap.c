// SPDX-License-Identifier: LGPL-2.1-or-later
/* Open addressing with linear probing; removal moves later entries back. See idmap.h. */
#include "idmap.h"

#include <errno.h>
#include <stdlib.h>

#define SIZE_LEAST 16

/* Identities are addresses, whose low bits are alike: mix them (the finalizer of splitmix64). */
static size_t home(const struct idmap *m, uint64_t id)
{
	id = (id ^ (id >> 30)) * 0xbf58476d1ce4e5b9ULL;
	id = (id ^ (id >> 27)) * 0x94d049bb133111ebULL;
	return (size_t)(id ^ (id >> 31)) & (m->size - 1);
}

static struct idmap_slot *find(const struct idmap *m, uint64_t id)
{
	size_t i = home(m, id);

	while (m->slot[i].value && m->slot[i].id != id)
		i = (i + 1) & (m->size - 1);
	return &m->slot[i];
}

void *idmap_get(const struct idmap *m, uint64_t id)
{
	return m->size ? find(m, id)->value : NULL;
}

static int resize(struct idmap *m, size_t size)
{
	struct idmap new = { .slot = calloc(size, sizeof(*new.slot)), .n = m->n, .size = size };

	if (!new.slot)
		return -ENOMEM;
	idmap_each(m, s) * find(&new, s->id) = *s;
	free(m->slot);
	*m = new;
	return 0;
}

int idmap_put(struct idmap *m, uint64_t id, void *value)
{
	struct idmap_slot *s;

	if (!m->size || (m->n + 1) * 4 > m->size * 3) {
		int rc = resize(m, m->size ? m->size * 2 : SIZE_LEAST);

		if (rc < 0)
			return rc;
	}
	s = find(m, id);
	m->n += !s->value;
	*s = (struct idmap_slot){ id, value };
	return 0;
}

void *idmap_remove(struct idmap *m, uint64_t id)
{
	struct idmap_slot *s = m->size ? find(m, id) : NULL;
	size_t mask = m->size - 1;

	if (!s || !s->value)
		return NULL;
	void *value = s->value;
	size_t hole = (size_t)(s - m->slot);

	/* Whoever stands behind the hole, and would be found no more, moves into it. */
	for (size_t i = (hole + 1) & mask; m->slot[i].value; i = (i + 1) & mask) {
		size_t want = home(m, m->slot[i].id);

		if (((i - want) & mask) < ((i - hole) & mask))
			continue;
		m->slot[hole] = m->slot[i];
		hole = i;
	}
	m->slot[hole].value = NULL;
	m->n--;
	/* What cannot be had is no matter: it stays as large as it is. */
	if (m->size > SIZE_LEAST && m->n * 8 < m->size)
		resize(m, m->size / 2);
	return value;
}

void idmap_done(struct idmap *m)
{
	free(m->slot);
	*m = (struct idmap){ 0 };
}
