// SPDX-License-Identifier: LGPL-2.1-or-later
/* The ledger's timers and file locks. See ledger.h. */
#include "ledger.h"
#include "util.h"

#include <stdlib.h>
#include <string.h>

/* ---- timers ---- */

static size_t find_timer(const struct ledger_process *p, int id)
{
	size_t low = 0, high = p->n_timers;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (p->timer[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct ledger_timer *ledger_timer(const struct ledger_process *p, int id)
{
	size_t at = find_timer(p, id);

	return at < p->n_timers && p->timer[at].id == id ? &p->timer[at] : NULL;
}

int ledger_timer_set(struct ledger_process *p, uint64_t time_ns, const struct ledger_timer *t)
{
	size_t at = find_timer(p, t->id);

	p->timers_touched_ns = time_ns;
	if (at < p->n_timers && p->timer[at].id == t->id) {
		p->timer[at] = *t;
		return 0;
	}
	if (p->n_timers == p->timers_size) {
		size_t size = p->timers_size ? p->timers_size * 2 : 4;
		struct ledger_timer *grown = reallocarray(p->timer, size, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		p->timer = grown;
		p->timers_size = size;
	}
	memmove(&p->timer[at + 1], &p->timer[at], (p->n_timers - at) * sizeof(*p->timer));
	p->timer[at] = *t;
	p->n_timers++;

	struct ledger_count *c = ledger_count(p, "timer");

	if (t->made_ns)
		c->made++;
	else
		c->inherited++;
	if (++c->open > c->peak)
		c->peak = c->open;
	return 0;
}

void ledger_timer_delete(struct ledger_process *p, uint64_t time_ns, int id)
{
	size_t at = find_timer(p, id);

	p->timers_touched_ns = time_ns;
	if (at == p->n_timers || p->timer[at].id != id)
		return;
	p->n_timers--;
	memmove(&p->timer[at], &p->timer[at + 1], (p->n_timers - at) * sizeof(*p->timer));

	struct ledger_count *c = ledger_count(p, "timer");

	c->closed++;
	c->open -= c->open > 0;
}

void ledger_timers_drop(struct ledger_process *p, uint64_t time_ns)
{
	while (p->n_timers)
		ledger_timer_delete(p, time_ns, p->timer[p->n_timers - 1].id);
}

/* ---- locks ---- */

static uint64_t lock_hash(const struct ledger_lock *k)
{
	return k->inode_id * 0x9e3779b97f4a7c15ULL ^ k->owner_id << 2 ^ k->lock_class;
}

/* Its row, and under which number it is kept: others may have the same. */
static struct ledger_lock *find_lock(const struct ledger *l, const struct ledger_lock *k,
				     uint64_t *ret_id)
{
	uint64_t id = lock_hash(k);
	struct ledger_lock *lock;

	while ((lock = idmap_get(&l->locks, id)) &&
	       (lock->inode_id != k->inode_id || lock->owner_id != k->owner_id ||
		lock->lock_class != k->lock_class))
		id++;
	*ret_id = id;
	return lock;
}

struct ledger_lock *ledger_lock_of(const struct ledger *l, const struct ledger_lock *key)
{
	uint64_t id;

	return find_lock(l, key, &id);
}

/* Ranges have an end that is not within; the last byte of the largest file is 2^63 - 1. */
static struct range lock_range(uint64_t start, uint64_t end, bool write)
{
	return (struct range){ .start = start,
			       .end = end + 1,
			       .flags = write ? RANGE_WRITE : RANGE_READ };
}

int ledger_lock(struct ledger *l, const struct ledger_at *at, const struct ledger_lock *key,
		uint64_t start, uint64_t end, bool write)
{
	uint64_t id;
	struct ledger_lock *lock = find_lock(l, key, &id);
	const struct range r = lock_range(start, end, write);

	if (!lock) {
		lock = calloc(1, sizeof(*lock));
		if (!lock)
			return -ENOMEM;
		*lock = *key;
		lock->ranges = (struct ranges){ 0 };
		lock->name = strdup(key->name ? key->name : "");
		if (!lock->name || idmap_put(&l->locks, id, lock) < 0) {
			free(lock->name);
			free(lock);
			return -ENOMEM;
		}
	}
	lock->pid = at->pid;
	lock->touched_ns = at->time_ns;
	return ranges_put(&lock->ranges, &r);
}

int ledger_unlock(struct ledger *l, const struct ledger_at *at, const struct ledger_lock *key,
		  uint64_t start, uint64_t end, uint64_t *ret_bytes)
{
	uint64_t id;
	struct ledger_lock *lock = find_lock(l, key, &id);
	int rc;

	*ret_bytes = 0;
	if (!lock)
		return 0;
	lock->touched_ns = at->time_ns;
	rc = ranges_cut(&lock->ranges, start, end + 1, ret_bytes);
	if (lock->ranges.n)
		return rc;
	/*
	 * A row without ranges stays for an audit, which must know that it was touched, and removes
	 * it then.
	 */
	if (!l->audit_ns)
		ledger_lock_forget(l, lock);
	return rc;
}

void ledger_lock_forget(struct ledger *l, struct ledger_lock *lock)
{
	uint64_t id;

	if (find_lock(l, lock, &id) != lock)
		return;
	/* Those that were put behind it because their place was taken move up. */
	idmap_remove(&l->locks, id);
	for (uint64_t next = id + 1;; next++) {
		struct ledger_lock *moved = idmap_remove(&l->locks, next);
		uint64_t place;

		if (!moved)
			break;
		find_lock(l, moved, &place);
		/* There is room: as many were taken out as are put back. */
		idmap_put(&l->locks, place, moved);
		if (place == next)
			break;
	}
	ranges_done(&lock->ranges);
	free(lock->name);
	free(lock);
}
