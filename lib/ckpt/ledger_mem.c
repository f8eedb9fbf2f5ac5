// SPDX-License-Identifier: LGPL-2.1-or-later
/* The ledger's address spaces. See ledger.h. */
#include "ledger.h"
#include "util.h"

#include <stdlib.h>

struct ledger_mm *ledger_mm(const struct ledger *l, uint64_t mm_id)
{
	return idmap_get(&l->mms, mm_id);
}

int ledger_use_mm(struct ledger *l, struct ledger_process *p, uint64_t mm_id,
		  const struct ledger_mm *like)
{
	struct ledger_mm *mm = ledger_mm(l, mm_id);

	if (p->mm && p->mm->mm_id == mm_id)
		return 0;
	if (!mm) {
		mm = calloc(1, sizeof(*mm));
		if (!mm || idmap_put(&l->mms, mm_id, mm) < 0) {
			free(mm);
			return -ENOMEM;
		}
		mm->mm_id = mm_id;
		mm->code = ++l->n_codes;
		if (like && !ranges_copy(&mm->areas, &like->areas)) {
			mm->known = like->known;
			mm->brk = like->brk;
		}
	}
	ledger_leave_mm(l, p);
	mm->n_users++;
	p->mm = mm;
	return 0;
}

void ledger_leave_mm(struct ledger *l, struct ledger_process *p)
{
	struct ledger_mm *mm = p->mm;

	p->mm = NULL;
	if (!mm || --mm->n_users)
		return;
	idmap_remove(&l->mms, mm->mm_id);
	ranges_done(&mm->areas);
	ranges_done(&mm->touched);
	free(mm);
}

void ledger_mm_code(struct ledger *l, struct ledger_mm *mm, uint64_t start, uint64_t end)
{
	const struct range *r;

	for (; start < end && (r = ranges_at(&mm->areas, start)) && r->start < end; start = r->end)
		if (r->flags & RANGE_EXEC) {
			mm->code = ++l->n_codes;
			break;
		}
}

void ledger_mm_touch(struct ledger *l, struct ledger_mm *mm, uint64_t time_ns, uint64_t start,
		     uint64_t end)
{
	const struct range r = { .start = start, .end = end };

	mm->touched_ns = time_ns;
	ledger_mm_code(l, mm, start, end);
	if (!l->audit_ns || time_ns < l->audit_ns || mm->touch_all)
		return;
	/* Too many to be told apart: this pass learns nothing of it. */
	if (mm->touched.n >= LEDGER_TOUCHES_MAX || ranges_put(&mm->touched, &r) < 0)
		mm->touch_all = true;
}

void ledger_mm_forget_touches(struct ledger_mm *mm)
{
	ranges_done(&mm->touched);
	mm->touch_all = false;
}
