// SPDX-License-Identifier: LGPL-2.1-or-later
/* What an audit compares of a process, kind by kind. See observe_audit.c for what it means. */
#include "observe_audit.h"
#include "observe_stack.h"
#include "util.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define TEXT_MAX 512
/* What is not reported after this time was lost. */
#define SETTLE_NS 1000000000ULL

/* ---- calls under way ---- */

/*
 * Some calls go on for long after their deed is done, and before they report it: mmap(2) that fills
 * what it made with pages, close(2) that lets its file linger. Those in which a program may rest
 * for ever are not among them: they would hide what is wrong.
 */
enum under_way {
	MAKES_AREA = 0x01,
	ENDS_AREA = 0x02,
	CHANGES_AREA = 0x04,
	ENDS_FD = 0x08,
};

static const struct {
	uint64_t nr;
	unsigned int does; /* enum under_way */
} long_calls[] = {
	{ SYS_mmap, MAKES_AREA | ENDS_AREA },
	{ SYS_mremap, MAKES_AREA | ENDS_AREA },
	{ SYS_brk, MAKES_AREA | ENDS_AREA },
	{ SYS_shmat, MAKES_AREA },
	{ SYS_shmdt, ENDS_AREA },
	{ SYS_munmap, ENDS_AREA },
	{ SYS_mprotect, CHANGES_AREA },
	{ SYS_pkey_mprotect, CHANGES_AREA },
	{ SYS_close, ENDS_FD },
	{ SYS_close_range, ENDS_FD },
	{ SYS_dup2, ENDS_FD },
	{ SYS_dup3, ENDS_FD },
};

static unsigned int does_now(const struct rec_task *t)
{
	for (size_t i = 0; i < sizeof(long_calls) / sizeof(long_calls[0]); i++)
		if (t->syscall_nr == long_calls[i].nr)
			return long_calls[i].does;
	return 0;
}

/* What may be under way in those who use this address space, or this table (0: any). */
static unsigned int under_way(const struct audit_pass *a, uint64_t mm_id, uint64_t files_id)
{
	unsigned int does = 0;

	/* What is mended must be whole: their reports then find what they tell. */
	for (size_t i = 0; i < a->s->n_tasks && !a->mend; i++) {
		const struct rec_task *t = a->s->tasks[i];

		if ((!mm_id || t->mm_id == mm_id) && (!files_id || t->files_id == files_id))
			does |= does_now(t);
	}
	return does;
}

/* ---- descriptors ---- */

/* Of a connection that is followed; 0: of another kind. */
static uint32_t state_of(const struct ckpt_observe *o, const struct rec_file *f)
{
	return f->sock_id ? observe_state(o, observe_kind(&f->inode, f, ""), f->sk_state) : 0;
}

/* number: of the object; 0: it is not known. */
static void describe(char *buf, const char *kind, const char *name, uint32_t state, uint64_t number,
		     bool cloexec)
{
	char object[40] = "unknown object";

	if (number)
		snprintf(object, sizeof(object), "object %" PRIu64, number);
	snprintf(buf, TEXT_MAX, "%s%s%s%s%s, %s%s", kind, name[0] ? " " : "", name,
		 state ? ", " : "", state ? name_of_state(state) : "", object,
		 cloexec ? ", close-on-exec" : "");
}

static void describe_entry(char *buf, const struct ledger_fd *e)
{
	const struct ledger_object *obj = e ? e->object : NULL;

	if (obj)
		describe(buf, ledger_kind(obj), obj->name, obj->sock_state, obj->number,
			 e->cloexec);
	else
		snprintf(buf, TEXT_MAX, "free");
}

static void describe_row(const struct ckpt_observe *o, char *buf, const struct snap_file *row)
{
	if (!row) {
		snprintf(buf, TEXT_MAX, "free");
		return;
	}
	const struct rec_file *f = row->rec;
	const struct ledger_object *obj = idmap_get(&o->ledger.objects, f->inode.file_id);

	describe(buf, observe_kind(&f->inode, f, row->path), row->path, state_of(o, f),
		 obj ? obj->number : 0, f->cloexec);
}

/* What the snapshot tells of a file, in the ledger's words. */
static struct ledger_file file_of(const struct ckpt_observe *o, const struct snap_file *row)
{
	const struct rec_file *f = row->rec;

	return (struct ledger_file){ .file_id = f->inode.file_id,
				     .inode_id = f->inode.inode_id,
				     .sock_id = f->sock_id,
				     .sock_state = state_of(o, f),
				     .kind = observe_kind(&f->inode, f, row->path),
				     .name = f->sock_id ? "" : row->path };
}

static int mend_fd(struct audit_pass *a, struct ledger_table *t, int fd,
		   const struct snap_file *row)
{
	const struct ledger_fd *e = ledger_fd(t, fd);
	const struct ledger_at at = { .time_ns = e ? e->touched_ns : 0 };

	if (!row)
		return ledger_fd_set(&a->o->ledger, t, fd, NULL, false);
	const struct ledger_file f = file_of(a->o, row);

	/* The same file: who made it remains known. */
	if (e && e->object->file_id == f.file_id) {
		e->object->sock_state = f.sock_state;
		ledger_fd_cloexec(&a->o->ledger, &at, t, fd, row->rec->cloexec);
		return 0;
	}
	return ledger_fd_set(&a->o->ledger, t, fd, &f, row->rec->cloexec);
}

static bool same_state(const struct ckpt_observe *o, const struct ledger_object *obj,
		       const struct rec_file *f)
{
	return !obj->sock_state || obj->sock_state == state_of(o, f);
}

static bool same_fd(const struct ckpt_observe *o, const struct ledger_fd *e,
		    const struct snap_file *row)
{
	if (!e || !row)
		return !e && !row;
	return (!e->object->file_id || e->object->file_id == row->rec->inode.file_id) &&
	       e->cloexec == !!row->rec->cloexec && same_state(o, e->object, row->rec);
}

static int compare_fd(struct audit_pass *a, pid_t pid, struct ledger_table *t, int fd,
		      const struct snap_file *row, unsigned int does)
{
	const struct ledger_fd *e = ledger_fd(t, fd);
	const struct ledger_fd *place = ledger_fd_place(t, fd);
	bool moving = (place && place->touched_ns >= a->begin_ns) || (!row && does & ENDS_FD) ||
		      (e && e->object->state_ns >= a->begin_ns);
	char what[32], ledger[TEXT_MAX], kernel[TEXT_MAX];
	int rc;

	a->ret->descriptors += a->first && (e || row);
	if (same_fd(a->o, e, row))
		return 0;
	snprintf(what, sizeof(what), "fd %d", fd);
	describe_entry(ledger, e);
	describe_row(a->o, kernel, row);
	rc = audit_suspect(a, pid, moving, what, ledger, kernel);
	return rc == 0 && a->mend && !moving ? mend_fd(a, t, fd, row) : rc;
}

static int compare_table(struct audit_pass *a, pid_t pid, struct ledger_table *t)
{
	const struct snap_file *row = idmap_get(&a->tables, t->files_id);
	const struct snap_file *end = a->s->files + a->s->n_files;
	pid_t of = row ? row->rec->tgid : 0;
	unsigned int does = under_way(a, 0, t->files_id);
	int rc = 0;

	for (int fd = 0; rc == 0; fd++) {
		bool rows = row && row < end && row->rec->tgid == of;

		if ((size_t)fd >= t->size && !rows)
			break;
		bool here = rows && row->rec->fd == fd;

		rc = compare_fd(a, pid, t, fd, here ? row : NULL, does);
		row += here;
	}
	if (a->mend)
		t->unsure = false;
	/* What remains may come yet, or be wrong: it is looked at again. */
	if (a->mend && a->o->lost)
		a->moving += ledger_table_settle(t, a->begin_ns - SETTLE_NS) != 0;
	return rc;
}

int audit_files(struct audit_pass *a, struct ledger_process *p)
{
	int rc = 0;

	for (struct ledger_task *t = p->tasks; rc == 0 && t; t = t->next) {
		const struct rec_task *rt = snapshot_task(a->s, t->tid);
		const struct ledger_at at = {
			.time_ns = t->touched_ns, .pid = p->pid, .tid = t->tid, .comm = t->comm
		};
		char what[64];

		if (!rt || !rt->files_id)
			continue;
		if (!t->table || t->table->files_id != rt->files_id) {
			bool moving = t->touched_ns >= a->begin_ns;

			snprintf(what, sizeof(what), "descriptor table of thread %d", t->tid);
			rc = audit_suspect(a, p->pid, moving, what, "another one", "its own");
			if (rc < 0 || !a->mend || moving)
				continue;
			rc = ledger_use_table(&a->o->ledger, &at, t, rt->files_id);
		}
		if (rc < 0 || !t->table || t->table->pass == a->number)
			continue;
		t->table->pass = a->number;
		rc = compare_table(a, p->pid, t->table);
	}
	return rc;
}

/* ---- memory areas ---- */

static struct range range_of_vma(const struct rec_vma *v)
{
	return (struct range){
		.start = v->start,
		.end = v->end,
		.flags = observe_range_flags(v->vm_flags),
		.file = { v->has_file ? v->inode.ino : 0, v->has_file ? v->inode.dev_major : 0,
			  v->has_file ? v->inode.dev_minor : 0 },
		.offset = v->has_file && v->inode.ino ? v->pgoff_bytes : 0,
	};
}

static int kernel_areas(const struct audit_pass *a, pid_t pid, struct ranges *ret)
{
	size_t first, n;
	int rc = 0;

	snapshot_vmas_of(a->s, pid, &first, &n);
	for (size_t i = first; rc == 0 && i < first + n; i++) {
		const struct range r = range_of_vma(a->s->vmas[i].rec);

		if (a->mend)
			observe_code(a->o, &r, a->s->vmas[i].path, pid);
		rc = ranges_put(ret, &r);
	}
	return rc;
}

/* A stack grows by page faults, which nobody reports: that is no difference. */
static int grow_stacks(struct ranges *ledger, const struct ranges *kernel)
{
	struct range_cursor c = { 0 };
	const struct range *k;
	int rc = 0;

	while (rc == 0 && (k = ranges_next(kernel, &c))) {
		const struct range *l = ranges_at(ledger, k->start);

		if (!(k->flags & RANGE_GROWSDOWN) || !l || !(l->flags & RANGE_GROWSDOWN) ||
		    l->start <= k->start || l->start >= k->end)
			continue;
		struct range more = *l;

		more.end = l->start;
		more.start = k->start;
		rc = ranges_put(ledger, &more);
	}
	return rc;
}

static void describe_range(char *buf, const struct range *r)
{
	if (!r) {
		snprintf(buf, TEXT_MAX, "free");
		return;
	}
	int n = snprintf(buf, TEXT_MAX, "%s%s", name_prot(r->flags),
			 r->flags & RANGE_SHARED ? " shared" : "");

	if (r->file.ino && n > 0)
		snprintf(buf + n, TEXT_MAX - (size_t)n,
			 ", of inode %" PRIu64 " on device %u:%u from %" PRIu64, r->file.ino,
			 r->file.dev_major, r->file.dev_minor, r->offset);
}

/* Is it alike at this address? */
static bool alike(const struct range *a, const struct range *b, uint64_t at)
{
	if (!a || !b)
		return !a && !b;
	return a->flags == b->flags && a->file.ino == b->file.ino &&
	       a->file.dev_major == b->file.dev_major && a->file.dev_minor == b->file.dev_minor &&
	       (!a->file.ino || a->offset + (at - a->start) == b->offset + (at - b->start));
}

static bool is_touched(const struct ledger_mm *mm, uint64_t start, uint64_t end)
{
	const struct range *r = ranges_at(&mm->touched, start);

	return mm->touch_all || (r && r->start < end);
}

static int mend_span(struct ledger_mm *mm, const struct range *kernel, uint64_t start, uint64_t end)
{
	int rc = ranges_cut(&mm->areas, start, end, NULL);

	if (rc < 0 || !kernel)
		return rc;
	struct range r = *kernel;

	r.offset += r.file.ino ? start - r.start : 0;
	r.start = start;
	r.end = end;
	return ranges_put(&mm->areas, &r);
}

static const struct range *covering(const struct ranges *rs, uint64_t at, uint64_t *ret_next)
{
	const struct range *r = ranges_at(rs, at);

	if (r && r->start > at) {
		if (r->start < *ret_next)
			*ret_next = r->start;
		return NULL;
	}
	if (r && r->end < *ret_next)
		*ret_next = r->end;
	return r;
}

static int compare_areas(struct audit_pass *a, pid_t pid, struct ledger_mm *mm,
			 const struct ranges *kernel)
{
	unsigned int does = under_way(a, mm->mm_id, 0);
	int rc = 0;

	/* From boundary to boundary of either. */
	for (uint64_t at = 0, next; rc == 0; at = next) {
		char what[80], ledger_text[TEXT_MAX], kernel_text[TEXT_MAX];

		next = UINT64_MAX;
		const struct range *l = covering(&mm->areas, at, &next);
		const struct range *k = covering(kernel, at, &next);

		/* What moves in it is apart. */
		if (next != UINT64_MAX)
			covering(&mm->touched, at, &next);
		if (next == UINT64_MAX)
			break;
		if (alike(l, k, at))
			continue;
		bool moving = is_touched(mm, at, next) || does & (!l   ? MAKES_AREA
								  : !k ? ENDS_AREA
								       : CHANGES_AREA);

		snprintf(what, sizeof(what), "area 0x%" PRIx64 "-0x%" PRIx64, at, next);
		describe_range(ledger_text, l);
		describe_range(kernel_text, k);
		rc = audit_suspect(a, pid, moving, what, ledger_text, kernel_text);
		if (rc == 0 && a->mend && !moving) {
			ledger_mm_code(&a->o->ledger, mm, at, next);
			rc = mend_span(mm, k, at, next);
		}
	}
	return rc;
}

int audit_areas(struct audit_pass *a, struct ledger_process *p)
{
	const struct rec_task *leader = snapshot_task(a->s, p->pid);
	const struct rec_mm *rm = snapshot_mm(a->s, p->pid);
	struct ranges kernel = { 0 };
	int rc = 0;

	if (!leader || !leader->mm_id || !rm)
		return 0;
	if (!p->mm || p->mm->mm_id != leader->mm_id) {
		bool moving = p->touched_ns >= a->begin_ns;

		rc = audit_suspect(a, p->pid, moving, "address space", "another one", "its own");
		if (rc < 0 || !a->mend || moving)
			return rc;
		rc = ledger_use_mm(&a->o->ledger, p, leader->mm_id, NULL);
	}
	if (rc < 0 || p->mm->pass == a->number)
		return rc;
	p->mm->pass = a->number;
	rc = kernel_areas(a, p->pid, &kernel);
	if (rc == 0)
		rc = grow_stacks(&p->mm->areas, &kernel);
	if (rc == 0)
		rc = compare_areas(a, p->pid, p->mm, &kernel);
	a->ret->areas += a->first ? kernel.n : 0;
	ranges_done(&kernel);
	if (a->mend) {
		p->mm->brk = p->mm->touched_ns < a->begin_ns ? rm->brk : p->mm->brk;
		p->mm->known = true;
	}
	return rc;
}

/* ---- timers ---- */

static int mend_timer(struct ledger_process *p, int id, const struct rec_timer *r)
{
	const struct ledger_timer *was = ledger_timer(p, id);

	if (!r) {
		ledger_timer_delete(p, p->timers_touched_ns, id);
		return 0;
	}
	const struct ledger_timer t = { .id = id,
					.clock = r->clockid,
					.signo = r->signo,
					.interval_ns = r->interval_ns,
					.made_ns = was ? was->made_ns : 0 };

	return ledger_timer_set(p, p->timers_touched_ns, &t);
}

static int compare_timer(struct audit_pass *a, struct ledger_process *p, int id,
			 const struct rec_timer *r)
{
	const struct ledger_timer *t = ledger_timer(p, id);
	bool moving = p->timers_touched_ns >= a->begin_ns;
	char what[32], ledger[64] = "none", kernel[64] = "none";
	int rc;

	a->ret->timers += a->first;
	if (t && r && t->interval_ns == r->interval_ns)
		return 0;
	snprintf(what, sizeof(what), "timer %d", id);
	if (t)
		snprintf(ledger, sizeof(ledger), "every %" PRIu64 " ns", t->interval_ns);
	if (r)
		snprintf(kernel, sizeof(kernel), "every %" PRIu64 " ns", (uint64_t)r->interval_ns);
	rc = audit_suspect(a, p->pid, moving, what, ledger, kernel);
	return rc == 0 && a->mend && !moving ? mend_timer(p, id, r) : rc;
}

int audit_timers(struct audit_pass *a, struct ledger_process *p)
{
	size_t first, n, i = 0;
	int rc = 0;

	snapshot_timers_of(a->s, p->pid, &first, &n);
	for (size_t k = first; rc == 0 && k < first + n; k++) {
		const struct rec_timer *r = a->s->timers[k];

		/* Those of the ledger that the kernel does not have. */
		while (rc == 0 && i < p->n_timers && p->timer[i].id < r->id) {
			size_t before = p->n_timers;

			rc = compare_timer(a, p, p->timer[i].id, NULL);
			i += p->n_timers == before;
		}
		if (rc == 0)
			rc = compare_timer(a, p, r->id, r);
		i += i < p->n_timers && p->timer[i].id == r->id;
	}
	while (rc == 0 && i < p->n_timers) {
		size_t before = p->n_timers;

		rc = compare_timer(a, p, p->timer[i].id, NULL);
		i += p->n_timers == before;
	}
	return rc;
}

/* ---- locks ---- */

static uint32_t lock_class_of(uint32_t lock_class)
{
	static const uint32_t classes[] = { [REC_LOCK_FLOCK] = TRACE_LOCK_FLOCK,
					    [REC_LOCK_POSIX] = TRACE_LOCK_POSIX,
					    [REC_LOCK_OFD] = TRACE_LOCK_OFD,
					    [REC_LOCK_LEASE] = TRACE_LOCK_LEASE };

	return classes[lock_class & 3];
}

/* What the kernel has, in a ledger of its own that knows locks alone. */
static int kernel_locks(struct audit_pass *a, struct ledger *ret)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < a->s->n_locks; i++) {
		const struct rec_lock *r = a->s->locks[i];
		const struct rec_task *t = snapshot_task(a->s, r->tgid);
		bool posix = r->lock_class == REC_LOCK_POSIX;
		bool whole = r->lock_class == REC_LOCK_FLOCK || r->lock_class == REC_LOCK_LEASE;
		const struct ledger_object *obj = idmap_get(&a->o->ledger.objects, r->file_id);
		struct ledger_lock key = { .inode_id = r->inode_id,
					   .owner_id = posix ? (t ? t->files_id : 0) : r->file_id,
					   .lock_class = lock_class_of(r->lock_class),
					   .name = obj ? obj->name : NULL };
		const struct ledger_at at = { .pid = r->tgid };

		rc = ledger_lock(ret, &at, &key, whole ? 0 : r->start,
				 whole ? INT64_MAX : (int64_t)r->end, r->lock_type == 1);
	}
	return rc;
}

static bool same_ranges(const struct ranges *a, const struct ranges *b)
{
	struct range_cursor ca = { 0 }, cb = { 0 };
	const struct range *x, *y;

	do {
		x = ranges_next(a, &ca);
		y = ranges_next(b, &cb);
		if (!x || !y)
			return !x && !y;
	} while (x->start == y->start && x->end == y->end && x->flags == y->flags);
	return false;
}

static void describe_lock(char *buf, const struct ledger_lock *lock)
{
	struct range_cursor c = { 0 };
	const struct range *r = lock ? ranges_next(&lock->ranges, &c) : NULL;

	if (!r)
		snprintf(buf, TEXT_MAX, "none");
	else
		snprintf(buf, TEXT_MAX, "%s, bytes %" PRIu64 " to %" PRIu64 "%s",
			 r->flags & RANGE_WRITE ? "write" : "read", r->start, r->end - 1,
			 lock->ranges.n > 1 ? " and more" : "");
}

/* Does it belong to somebody who is looked at, and can anybody still tell of it? */
static bool lock_in_scope(struct audit_pass *a, const struct ledger_lock *lock)
{
	struct ledger *l = &a->o->ledger;

	if (lock->lock_class == TRACE_LOCK_POSIX)
		return ledger_table(l, lock->owner_id) &&
		       ledger_table(l, lock->owner_id)->pass == a->number;
	/* The open file's: another process may have it, and nobody we observe any more. */
	return idmap_get(&l->objects, lock->owner_id) && pids_have(a->pids, a->n_pids, lock->pid);
}

static int compare_lock(struct audit_pass *a, const struct ledger_lock *lock,
			const struct ledger_lock *kernel)
{
	const struct ledger_lock *any = lock ? lock : kernel;
	bool moving = lock && lock->touched_ns >= a->begin_ns;
	char what[TEXT_MAX], ledger_text[TEXT_MAX], kernel_text[TEXT_MAX];
	struct ranges none = { 0 };

	if (same_ranges(lock ? &lock->ranges : &none, kernel ? &kernel->ranges : &none))
		return 0;
	snprintf(what, sizeof(what), "lock of %s", any->name[0] ? any->name : "a file");
	describe_lock(ledger_text, lock);
	describe_lock(kernel_text, kernel);
	return audit_suspect(a, any->pid, moving, what, ledger_text, kernel_text);
}

/* Make the ledger's row what the kernel has; `lock` or `kernel` may be missing. */
static int mend_lock(struct audit_pass *a, struct ledger_lock *lock,
		     const struct ledger_lock *kernel)
{
	struct ledger *l = &a->o->ledger;
	const struct ledger_at at = { .pid = kernel ? kernel->pid : 0 };

	if (lock && lock->touched_ns >= a->begin_ns)
		return 0;
	if (!kernel) {
		ranges_done(&lock->ranges); /* the row goes when the audit ends */
		return 0;
	}
	if (!lock) {
		struct range_cursor c = { 0 };
		const struct range *r = ranges_next(&kernel->ranges, &c);
		int rc = ledger_lock(l, &at, kernel, r->start, r->end - 1, r->flags & RANGE_WRITE);

		if (rc < 0)
			return rc;
		lock = ledger_lock_of(l, kernel);
	}
	return ranges_copy(&lock->ranges, &kernel->ranges);
}

int audit_locks(struct audit_pass *a)
{
	struct ledger *l = &a->o->ledger, kernel;
	int rc;

	ledger_init(&kernel);
	rc = kernel_locks(a, &kernel);
	idmap_each(&kernel.locks, s)
	{
		struct ledger_lock *k = s->value, *lock = ledger_lock_of(l, k);

		a->ret->locks += a->first;
		if (rc == 0)
			rc = compare_lock(a, lock, k);
		if (rc == 0 && a->mend)
			rc = mend_lock(a, lock, k);
	}
	idmap_each(&l->locks, s)
	{
		struct ledger_lock *lock = s->value;

		if (rc < 0 || !lock_in_scope(a, lock) || ledger_lock_of(&kernel, lock))
			continue;
		rc = compare_lock(a, lock, NULL);
		if (rc == 0 && a->mend)
			rc = mend_lock(a, lock, NULL);
	}
	ledger_done(&kernel);
	return rc;
}
