// SPDX-License-Identifier: LGPL-2.1-or-later
/* Records of memory areas, timers and locks, for the ledger and as events. See observe.h. */
#include "observe.h"
#include "observe_stack.h"
#include "util.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* The kernel's vm_flags. */
#define VM_MAYSHARE  0x80ULL
#define VM_GROWSDOWN 0x100ULL

#define PAGE_BYTES 4096ULL

static uint64_t page_up(uint64_t address)
{
	return (address + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}

uint32_t observe_range_flags(uint64_t vm_flags)
{
	return (uint32_t)(vm_flags & RANGE_PROT) | (vm_flags & VM_MAYSHARE ? RANGE_SHARED : 0) |
	       (vm_flags & VM_GROWSDOWN ? RANGE_GROWSDOWN : 0);
}

static struct range range_of(const struct trace_area *a)
{
	return (struct range){ .start = a->start,
			       .end = a->end,
			       .flags = observe_range_flags(a->vm_flags),
			       .file = { a->ino, a->dev_major, a->dev_minor },
			       .offset = a->ino ? a->pgoff_bytes : 0 };
}

/* The address space that the record names; NULL: nothing is known of its process. */
static int get_mm(struct ckpt_observe *o, const struct ledger_at *at, uint64_t mm_id,
		  struct ledger_mm **ret)
{
	struct ledger_task *t;
	int rc = observe_task(o, at, &t);

	*ret = NULL;
	if (rc < 0 || !mm_id)
		return rc;
	struct ledger_process *p = t->process;

	if (!p->mm || p->mm->mm_id != mm_id) {
		o->resync = true;
		rc = ledger_use_mm(&o->ledger, p, mm_id, NULL);
	}
	*ret = rc == 0 ? p->mm : NULL;
	return rc;
}

static void count_area(struct ckpt_observe *o, const struct ledger_at *at, bool made)
{
	struct ledger_process *p = ledger_process(&o->ledger, at->pid);

	if (!p)
		return;
	struct ledger_count *c = ledger_count(p, "area");

	if (made)
		c->made++;
	else
		c->closed++;
	if (p->mm && p->mm->areas.n > c->peak)
		c->peak = p->mm->areas.n;
}

static struct event *begin_span(struct ckpt_observe *o, const char *name,
				const struct ledger_at *at, uint64_t start, uint64_t end)
{
	struct event *e = event_begin(o, name, at);

	event_hex(e, "start", start);
	event_hex(e, "end", end);
	return e;
}

static int tell_map(struct ckpt_observe *o, const struct ledger_at *at, const char *name,
		    const struct trace_area *a, const char *path, const char *by, int fd)
{
	struct event *e = begin_span(o, name, at, a->start, a->end);

	event_word(e, "prot", name_prot(a->vm_flags));
	event_bool(e, "shared", a->vm_flags & VM_MAYSHARE);
	if (path[0])
		event_text(e, "path", path);
	if (a->ino && a->pgoff_bytes)
		event_uint(e, "offset", a->pgoff_bytes);
	if (fd >= 0)
		event_int(e, "fd", fd);
	event_word(e, "by", by);
	return event_end(o, e);
}

/* Of a file that was mapped through a descriptor, unless that is another's by now. */
static const char *path_of_fd(const struct ckpt_observe *o, const struct ledger_at *at,
			      const struct trace_map *r)
{
	const struct ledger_task *t = ledger_task(&o->ledger, at->tid);
	const struct ledger_fd *f = t && t->table ? ledger_fd(t->table, r->fd) : NULL;

	return f && (!r->area.file_id || f->object->file_id == r->area.file_id) ? f->object->name
										: "";
}

int observe_map(struct ckpt_observe *o, const struct ledger_at *at, const struct tracing_event *ev)
{
	const struct trace_map *r = (const void *)ev->head;
	const struct range range = range_of(&r->area);
	const char *path;
	struct ledger_mm *mm;
	int rc = get_mm(o, at, r->mm_id, &mm);

	if (rc == 0 && mm) {
		ledger_mm_touch(&o->ledger, mm, at->time_ns, range.start, range.end);
		rc = ranges_put(&mm->areas, &range);
	}
	count_area(o, at, true);
	path = ev->path[0] ? ev->path : path_of_fd(o, at, r);
	observe_code(o, &range, path, at->pid);
	tell_map(o, at, r->nr == SYS_shmat ? "shmat" : "map", &r->area, path, name_of_call(r->nr),
		 r->fd);
	return rc;
}

/*
 * shmdt(2), io_destroy(2): all that is left of what was mapped there at once goes, which
 * mprotect(2) and munmap(2) may have left in pieces. Each lies as far from the beginning as its
 * offset says.
 */
static int detach(struct ckpt_observe *o, const struct ledger_at *at, struct ledger_mm *mm,
		  uint64_t start)
{
	struct range_file file = { 0 };
	const struct range *r;
	uint64_t from = start;
	int rc = 0;

	while (rc == 0 && (r = ranges_at(&mm->areas, from))) {
		struct range piece = *r;

		from = piece.end;
		if (!piece.file.ino || piece.start - piece.offset != start ||
		    (file.ino && memcmp(&file, &piece.file, sizeof(file)) != 0))
			continue;
		file = piece.file;
		ledger_mm_touch(&o->ledger, mm, at->time_ns, piece.start, piece.end);
		rc = ranges_cut(&mm->areas, piece.start, piece.end, NULL);
	}
	return rc;
}

int observe_unmap(struct ckpt_observe *o, const struct ledger_at *at,
		  const struct tracing_event *ev)
{
	const struct trace_range *r = (const void *)ev->head;
	struct ledger_mm *mm;
	int rc = get_mm(o, at, r->mm_id, &mm);

	if (rc == 0 && mm && r->start == r->end) {
		rc = detach(o, at, mm, r->start);
	} else if (rc == 0 && mm) {
		ledger_mm_touch(&o->ledger, mm, at->time_ns, r->start, r->end);
		rc = ranges_cut(&mm->areas, r->start, r->end, NULL);
	}
	count_area(o, at, false);

	struct event *e =
		begin_span(o, r->nr == SYS_shmdt ? "shmdt" : "unmap", at, r->start, r->end);

	event_word(e, "by", name_of_call(r->nr));
	event_end(o, e);
	return rc;
}

int observe_protect(struct ckpt_observe *o, const struct ledger_at *at,
		    const struct tracing_event *ev)
{
	const struct trace_range *r = (const void *)ev->head;
	uint64_t flags = r->vm_flags ? r->vm_flags : r->prot;
	struct ledger_mm *mm;
	int rc = get_mm(o, at, r->mm_id, &mm);

	if (rc == 0 && mm) {
		ledger_mm_touch(&o->ledger, mm, at->time_ns, r->start, r->end);
		rc = ranges_change(&mm->areas, r->start, r->end, RANGE_PROT,
				   (uint32_t)(flags & RANGE_PROT));
	}
	struct event *e = begin_span(o, "protect", at, r->start, r->end);

	event_word(e, "prot", name_prot(flags));
	event_word(e, "by", name_of_call(r->nr));
	event_end(o, e);
	return rc;
}

/* More of what is at `from`, at [start, end). */
static int extend(struct ranges *rs, uint64_t from, uint64_t start, uint64_t end)
{
	const struct range *like = ranges_at(rs, from);

	if (!like || like->start > from || start >= end)
		return 0;
	struct range more = *like;

	more.offset += more.file.ino ? (from - like->start) : 0;
	more.start = start;
	more.end = end;
	return ranges_put(rs, &more);
}

static int remap(struct ranges *rs, const struct trace_remap *r)
{
	uint64_t old = r->old_end - r->old_start, new = r->new_end - r->new_start;
	uint64_t both = old < new ? old : new;
	bool keep = r->flags & MREMAP_DONTUNMAP;
	int rc = 0;

	/* Of a shared area, another one beside it (mremap(2), old_size 0). */
	if (!old)
		return extend(rs, r->old_start, r->new_start, r->new_end);
	if (r->new_start != r->old_start)
		rc = ranges_move(rs, r->old_start, r->old_start + both, r->new_start, keep);
	if (rc == 0 && old > new && !keep)
		rc = ranges_cut(rs, r->old_start + both, r->old_end, NULL);
	if (rc < 0 || old >= new)
		return rc;
	const struct range *last = ranges_at(rs, r->new_start + both - 1);

	if (!last || last->start > r->new_start + both - 1)
		return 0;
	struct range more = *last;

	more.start = r->new_start + both;
	more.end = r->new_end;
	more.offset += more.file.ino ? more.start - last->start : 0;
	return ranges_put(rs, &more);
}

int observe_remap(struct ckpt_observe *o, const struct ledger_at *at,
		  const struct tracing_event *ev)
{
	const struct trace_remap *r = (const void *)ev->head;
	struct ledger_mm *mm;
	int rc = get_mm(o, at, r->mm_id, &mm);

	if (rc == 0 && mm) {
		ledger_mm_touch(&o->ledger, mm, at->time_ns, r->old_start, r->old_end);
		ledger_mm_touch(&o->ledger, mm, at->time_ns, r->new_start, r->new_end);
		rc = remap(&mm->areas, r);
	}
	struct event *e = begin_span(o, "remap", at, r->new_start, r->new_end);

	event_hex(e, "old_start", r->old_start);
	event_hex(e, "old_end", r->old_end);
	event_end(o, e);
	return rc;
}

int observe_brk(struct ckpt_observe *o, const struct ledger_at *at, const struct tracing_event *ev)
{
	const struct trace_brk *r = (const void *)ev->head;
	struct ledger_mm *mm;
	int rc = get_mm(o, at, r->mm_id, &mm);

	if (rc == 0 && mm) {
		uint64_t was = page_up(mm->brk ? mm->brk : r->start_brk), now = page_up(r->brk);
		const struct range more = { .start = was,
					    .end = now,
					    .flags = RANGE_READ | RANGE_WRITE };

		mm->brk = r->brk;
		ledger_mm_touch(&o->ledger, mm, at->time_ns, was < now ? was : now,
				was < now ? now : was);
		rc = was < now ? ranges_put(&mm->areas, &more)
			       : ranges_cut(&mm->areas, now, was, NULL);
	}
	struct event *e = begin_span(o, "brk", at, r->start_brk, r->brk);

	event_end(o, e);
	return rc;
}

/* One of an inventory: of a new image, or of a copy. */
int observe_area(struct ckpt_observe *o, const struct ledger_at *at, const struct tracing_event *ev)
{
	const struct trace_area_rec *r = (const void *)ev->head;
	struct ledger_mm *mm = ledger_mm(&o->ledger, r->mm_id);
	const struct range range = range_of(&r->area);
	char name[sizeof(r->name) + 1] = "";
	int rc = 0;

	if (mm) {
		ledger_mm_touch(&o->ledger, mm, at->time_ns, range.start, range.end);
		rc = ranges_put(&mm->areas, &range);
		if (ev->head->flags & TRACE_F_LAST)
			mm->known = true;
		if (ev->head->flags & TRACE_F_CUT && ev->head->flags & TRACE_F_LAST)
			o->resync = true;
	}
	observe_code(o, &range, ev->path, at->pid);
	/* A copy's are no news. */
	if (!mm || !mm->fresh)
		return rc;
	mm->fresh = !(ev->head->flags & TRACE_F_LAST);
	memcpy(name, r->name, sizeof(r->name));
	count_area(o, at, true);
	tell_map(o, at, "map", &r->area, ev->path[0] ? ev->path : name, "execve", -1);
	return rc;
}

/* ---- timers ---- */

static const char *itimer_name(int id)
{
	return id == TRACE_ITIMER_REAL ? "real" : id == TRACE_ITIMER_VIRT ? "virtual" : "prof";
}

/* Which one: of three sorts. */
static void add_timer(struct event *e, const struct trace_timer *r)
{
	if (r->id == TRACE_TIMER_FD)
		event_int(e, "fd", r->fd);
	else if (r->id < 0)
		event_word(e, "itimer", itimer_name(r->id));
	else
		event_int(e, "id", r->id);
}

int observe_timer_new(struct ckpt_observe *o, const struct ledger_at *at,
		      const struct tracing_event *ev)
{
	const struct trace_timer *r = (const void *)ev->head;
	const struct ledger_timer timer = {
		.id = r->id, .clock = r->clock, .signo = r->signo, .made_ns = at->time_ns
	};
	struct ledger_task *t;
	int rc = observe_task(o, at, &t);

	if (rc == 0)
		rc = ledger_timer_set(t->process, at->time_ns, &timer);
	struct event *e = event_begin(o, "timer_new", at);

	add_timer(e, r);
	event_word(e, "clock", name_of_clock(r->clock));
	if (r->signo > 0)
		event_word(e, "signal", name_of_signal(r->signo));
	if (r->notify_tid)
		event_int(e, "notify_tid", r->notify_tid);
	event_stack(o, e, at->stack);
	event_end(o, e);
	return rc;
}

int observe_timer_set(struct ckpt_observe *o, const struct ledger_at *at,
		      const struct tracing_event *ev)
{
	const struct trace_timer *r = (const void *)ev->head;
	struct ledger_task *t;
	int rc = observe_task(o, at, &t);
	struct ledger_timer *timer = rc == 0 && r->id >= 0 ? ledger_timer(t->process, r->id) : NULL;

	if (timer) {
		timer->interval_ns = r->interval_ns;
		t->process->timers_touched_ns = at->time_ns;
	}
	struct event *e = event_begin(o, "timer_set", at);

	add_timer(e, r);
	event_uint(e, "value_ns", r->value_ns);
	event_uint(e, "interval_ns", r->interval_ns);
	if (r->absolute)
		event_bool(e, "absolute", true);
	event_word(e, "by", name_of_call(r->nr));
	event_end(o, e);
	return rc;
}

int observe_timer_delete(struct ckpt_observe *o, const struct ledger_at *at,
			 const struct tracing_event *ev)
{
	const struct trace_timer *r = (const void *)ev->head;
	struct ledger_task *t;
	int rc = observe_task(o, at, &t);

	if (rc == 0)
		ledger_timer_delete(t->process, at->time_ns, r->id);
	struct event *e = event_begin(o, "timer_delete", at);

	add_timer(e, r);
	event_end(o, e);
	return rc;
}

/* ---- locks ---- */

static const char *lock_class_name(uint32_t kind)
{
	static const char *const names[] = { [TRACE_LOCK_POSIX] = "posix",
					     [TRACE_LOCK_OFD] = "ofd",
					     [TRACE_LOCK_FLOCK] = "flock",
					     [TRACE_LOCK_LEASE] = "lease" };

	return kind < sizeof(names) / sizeof(names[0]) && names[kind] ? names[kind] : "?";
}

static void tell_lock(struct ckpt_observe *o, const struct ledger_at *at,
		      const struct trace_lock *r, const char *path)
{
	bool unlock = r->type == 2;
	struct event *e = event_begin(o, unlock ? "unlock" : "lock", at);

	if (path[0])
		event_text(e, "path", path);
	event_word(e, "class", lock_class_name(r->kind));
	if (!unlock)
		event_word(e, "type", r->type == 0 ? "read" : "write");
	if (r->kind == TRACE_LOCK_POSIX || r->kind == TRACE_LOCK_OFD) {
		event_uint(e, "start", r->start);
		event_uint(e, "end", r->end);
	}
	if (!unlock) {
		event_bool(e, "blocking", r->blocking);
		/* Another has it: this one waits, and is told of again when it gets it. */
		if (r->ret > 0)
			event_bool(e, "waiting", true);
	}
	event_end(o, e);
}

int observe_lock(struct ckpt_observe *o, const struct ledger_at *at, const struct tracing_event *ev)
{
	const struct trace_lock *r = (const void *)ev->head;
	const struct ledger_object *obj = idmap_get(&o->ledger.objects, r->file_id);
	struct ledger_lock key = { .inode_id = r->inode_id,
				   .owner_id = r->owner_id,
				   .lock_class = r->kind };
	uint64_t bytes = 1;
	char *path = strdup(obj ? obj->name : "");
	int rc = path ? 0 : -ENOMEM;

	key.name = path;
	if (rc == 0 && r->ret == 0)
		rc = r->type == 2
			     ? ledger_unlock(&o->ledger, at, &key, r->start, r->end, &bytes)
			     : ledger_lock(&o->ledger, at, &key, r->start, r->end, r->type == 1);
	/* The kernel gives up at each close what there is, or is not. */
	if (rc == 0 && r->ret >= 0 && bytes)
		tell_lock(o, at, r, path);
	free(path);
	return rc;
}
