// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Reading what the tracing programs tell: the ring, and the records in it. Records are used where
 * they lie; libbpf's own reader would want them to be gone when its callback returns.
 */
#include "tracing_internal.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CPUS_MAX 65536

int tracing_ring_open(struct tracing_ring *r, int fd, size_t bytes)
{
	unsigned char *map;

	r->fd = fd;
	r->bytes = bytes;
	r->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	/* All that the kernel would give, the data twice, would count as resident twice. */
	r->map_bytes = r->page_bytes + bytes + TRACE_RECORD_MAX;
	map = mmap(NULL, r->page_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	r->consumer = (void *)map;
	map = mmap(NULL, r->map_bytes, PROT_READ, MAP_SHARED, fd, (off_t)r->page_bytes);
	if (map == MAP_FAILED)
		return -errno;
	r->producer = (void *)map;
	r->data = map + r->page_bytes;
	r->next = *r->consumer;
	return 0;
}

void tracing_ring_close(struct tracing_ring *r)
{
	if (r->consumer)
		munmap((void *)(uintptr_t)r->consumer, r->page_bytes);
	if (r->producer)
		munmap((void *)(uintptr_t)r->producer, r->map_bytes);
	r->consumer = NULL;
	r->producer = NULL;
}

const void *tracing_ring_next(struct tracing_ring *r, size_t *ret_len)
{
	/* The writers look at this line for each record: leave it to them for a while. */
	if (r->next - *r->consumer >= r->bytes / 64)
		__atomic_store_n(r->consumer, r->next, __ATOMIC_RELEASE);
	while (r->next < __atomic_load_n(r->producer, __ATOMIC_ACQUIRE)) {
		const unsigned char *at = r->data + (r->next & (r->bytes - 1));
		uint32_t head =
			__atomic_load_n((const uint32_t *)(const void *)at, __ATOMIC_ACQUIRE);
		uint32_t len = head & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);

		if (head & BPF_RINGBUF_BUSY_BIT)
			break; /* it is being written; those after it have to wait */
		r->next += BPF_RINGBUF_HDR_SZ + ((len + 7UL) & ~7UL);
		if (!(head & BPF_RINGBUF_DISCARD_BIT)) {
			*ret_len = len;
			return at + BPF_RINGBUF_HDR_SZ;
		}
	}
	__atomic_store_n(r->consumer, r->next, __ATOMIC_RELEASE);
	__atomic_store_n(r->woken, 0, __ATOMIC_RELEASE);
	return NULL;
}

size_t tracing_ring_bytes(const struct tracing *t)
{
	return t->ring.bytes;
}

size_t tracing_ring_used(const struct tracing *t)
{
	return __atomic_load_n(t->ring.producer, __ATOMIC_ACQUIRE) - *t->ring.consumer;
}

int tracing_fd(const struct tracing *t)
{
	return t->ring.fd;
}

/*
 * Names come innermost first. Their place in the path is known from the end: copy each to where it
 * belongs.
 */
static const char *turn_round(struct tracing *t, const char *names, size_t len, bool no_place)
{
	char *end = t->path + sizeof(t->path) - 1, *to = end;

	*end = '\0';
	if (no_place && len > 0 && strnlen(names, len) == len - 1)
		return names;
	while (len > 0) {
		size_t n = strnlen(names, len);

		to -= n + 1;
		to[0] = '/';
		memcpy(to + 1, names, n);
		if (n == len)
			break;
		names += n + 1;
		len -= n + 1;
	}
	if (to == end)
		*--to = '/';
	/* Of a thing without a place, names are relative to it: they end in its own. */
	return no_place ? to + 1 : to;
}

/* A part of fixed size is there. */
static bool fits(const struct trace_head *head, size_t at, size_t len)
{
	return at <= head->len && len <= head->len - at;
}

static bool take_names(struct tracing *t, struct tracing_event *e, size_t at, size_t len)
{
	const char *names = (const char *)e->head + at;

	if (len > TRACE_NAMES_MAX || !fits(e->head, at, len))
		return false;
	e->path = turn_round(t, names, len, e->head->flags & TRACE_F_NO_PLACE);
	return true;
}

static size_t padded(size_t len)
{
	return (len + 7) & ~(size_t)7;
}

static bool take_fd_new(struct tracing *t, struct tracing_event *e)
{
	const struct trace_fd_new *rec = (const void *)e->head;
	size_t at = sizeof(*rec);

	if (rec->file.file_id == 0)
		return true;
	if (rec->file.sock_id) {
		if (!fits(e->head, at, sizeof(*e->sock)))
			return false;
		e->sock = (const void *)((const char *)rec + at);
		at += sizeof(*e->sock);
	}
	return take_names(t, e, at, rec->file.names_len);
}

static bool take_exec(struct tracing *t, struct tracing_event *e)
{
	const struct trace_exec *rec = (const void *)e->head;
	size_t at = sizeof(*rec) + padded(rec->names_len);

	if (!take_names(t, e, sizeof(*rec), rec->names_len) || !fits(e->head, at, rec->argv_len))
		return false;
	e->argv = (const char *)rec + at;
	e->argv_len = rec->argv_len;
	return true;
}

/* Where the path of this CPU's last area with names is kept; NULL: no memory. */
static struct area_path *area_path_of(struct tracing *t, uint32_t cpu)
{
	struct area_path *more;

	if (cpu < t->n_area_paths)
		return &t->area_paths[cpu];
	if (cpu >= CPUS_MAX)
		return NULL;
	more = realloc(t->area_paths, (cpu + 1) * sizeof(*more));
	if (!more)
		return NULL;
	memset(more + t->n_area_paths, 0, (cpu + 1 - t->n_area_paths) * sizeof(*more));
	t->area_paths = more;
	t->n_area_paths = cpu + 1;
	return &more[cpu];
}

/* Of areas of the same file in a row, the first has the names. */
static bool take_area(struct tracing *t, struct tracing_event *e)
{
	const struct trace_area_rec *rec = (const void *)e->head;
	struct area_path *kept;

	if (rec->area.file_id == 0)
		return true;
	kept = area_path_of(t, rec->head.cpu);
	if (!rec->names_len) {
		if (kept && kept->path && kept->file_id == rec->area.file_id)
			e->path = kept->path;
		return true;
	}
	if (!take_names(t, e, sizeof(*rec), rec->names_len))
		return false;
	if (kept) {
		free(kept->path);
		kept->path = strdup(e->path);
		kept->file_id = rec->area.file_id;
	}
	return true;
}

void tracing_forget_paths(struct tracing *t)
{
	for (size_t i = 0; i < t->n_area_paths; i++)
		free(t->area_paths[i].path);
	free(t->area_paths);
}

static bool take_stack(struct tracing_event *e)
{
	const struct trace_stack *rec = (const void *)e->head;

	e->stack = (const uint8_t *)(rec + 1);
	return fits(e->head, sizeof(*rec), rec->n_bytes);
}

/* Size of a record's fixed part. */
static const size_t fixed_size[TRACE_TYPE_NR] = {
	[TRACE_FORK] = sizeof(struct trace_fork),
	[TRACE_EXEC] = sizeof(struct trace_exec),
	[TRACE_EXIT] = sizeof(struct trace_exit),
	[TRACE_RENAME] = sizeof(struct trace_rename),
	[TRACE_APPEARED] = sizeof(struct trace_appeared),
	[TRACE_FD_NEW] = sizeof(struct trace_fd_new),
	[TRACE_FD_CLOSE] = sizeof(struct trace_fd_close),
	[TRACE_FD_FLAGS] = sizeof(struct trace_fd_flags),
	[TRACE_TABLE] = offsetof(struct trace_table, entry),
	[TRACE_UNSHARE] = sizeof(struct trace_unshare),
	[TRACE_SOCK_STATE] = sizeof(struct trace_sock_state),
	[TRACE_SOCK_CALL] = sizeof(struct trace_sock_call),
	[TRACE_MAP] = sizeof(struct trace_map),
	[TRACE_UNMAP] = sizeof(struct trace_range),
	[TRACE_PROTECT] = sizeof(struct trace_range),
	[TRACE_REMAP] = sizeof(struct trace_remap),
	[TRACE_BRK] = sizeof(struct trace_brk),
	[TRACE_AREA] = sizeof(struct trace_area_rec),
	[TRACE_TIMER_NEW] = sizeof(struct trace_timer),
	[TRACE_TIMER_SET] = sizeof(struct trace_timer),
	[TRACE_TIMER_DELETE] = sizeof(struct trace_timer),
	[TRACE_LOCK] = sizeof(struct trace_lock),
	[TRACE_NAMESPACE] = sizeof(struct trace_namespace),
	[TRACE_SIGNAL_GENERATE] = sizeof(struct trace_signal),
	[TRACE_SIGNAL_DELIVER] = sizeof(struct trace_signal),
	[TRACE_SIGNAL_TAKE] = sizeof(struct trace_signal),
	[TRACE_STACK] = sizeof(struct trace_stack),
};

/* What follows the fixed part; false: the record is not what the programs make. */
static bool take_rest(struct tracing *t, struct tracing_event *e)
{
	const struct trace_table *table = (const void *)e->head;

	switch ((enum trace_type)e->head->type) {
	case TRACE_FD_NEW:
		return take_fd_new(t, e);
	case TRACE_EXEC:
		return take_exec(t, e);
	case TRACE_MAP: {
		const struct trace_map *rec = (const void *)e->head;

		return !rec->names_len || take_names(t, e, sizeof(*rec), rec->names_len);
	}
	case TRACE_AREA:
		return take_area(t, e);
	case TRACE_STACK:
		return take_stack(e);
	case TRACE_TABLE:
		return table->n <= TRACE_TABLE_MAX &&
		       fits(e->head, offsetof(struct trace_table, entry),
			    table->n * sizeof(table->entry[0]));
	default:
		return true;
	}
}

int tracing_next(struct tracing *t, struct tracing_event *ret)
{
	struct tracing_event e = { .path = "" };
	size_t len;

	e.head = tracing_ring_next(&t->ring, &len);
	if (!e.head)
		return 0;
	if (len < sizeof(*e.head) || e.head->len != len || e.head->type >= TRACE_TYPE_NR ||
	    len < fixed_size[e.head->type] || !take_rest(t, &e))
		return -EBADMSG;
	/* Of two CPUs, one may have read the count before, and written later: it never goes back.
	 */
	if ((int32_t)(e.head->lost - t->last_lost) > 0) {
		e.lost_before = e.head->lost - t->last_lost;
		t->last_lost = e.head->lost;
	}
	*ret = e;
	return 1;
}
