// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Contexts of asynchronous I/O of a process under construction. See aio.h and build.h.
 *
 * The kernel keeps a count of its own of where the next event goes, which nobody can set. So as
 * many requests are made as it takes to get there: reads of nothing from /dev/null, which complete
 * at once. The events of those that were waiting in the ring are then overwritten with the saved
 * ones. The ring is moved to its address last; a context's name follows its ring.
 */
#include "aio.h"
#include "build.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define USER_END  0x7ffffffff000ULL
#define BATCH_MAX 64u /* any ring has as many places */

struct context {
	const json_t *json;
	uint64_t address, bytes;
	uint32_t max_requests, n_events, head, tail;
	uint64_t made_at; /* where the kernel put it */
};

static int parse(const struct build *b, const json_t *o, struct context *c, struct ckpt_err **err)
{
	bool has_area = false;
	json_t *events;
	int rc = js_u64(o, "address", &c->address, err);

	c->json = o;
	if (rc == 0)
		rc = js_u64(o, "bytes", &c->bytes, err);
	if (rc == 0)
		rc = js_u32(o, "max_requests", &c->max_requests, err);
	if (rc == 0)
		rc = js_u32(o, "n_events", &c->n_events, err);
	if (rc == 0)
		rc = js_u32(o, "head", &c->head, err);
	if (rc == 0)
		rc = js_u32(o, "tail", &c->tail, err);
	if (rc == 0)
		rc = js_arr(o, "events", &events, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < b->n_areas; i++)
		has_area |= b->area[i].aio && b->area[i].start == c->address &&
			    b->area[i].end - b->area[i].start == c->bytes;
	if (!has_area || c->head >= c->n_events || c->tail >= c->n_events || !c->max_requests ||
	    json_array_size(events) != (c->tail + c->n_events - c->head) % c->n_events)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
				 "the asynchronous I/O context %#llx is not sound",
				 (unsigned long long)c->address);
	return 0;
}

static int read_ring(const struct build *b, uint64_t at, struct aio_ring *ret,
		     struct ckpt_err **err)
{
	struct iovec local = { ret, sizeof(*ret) },
		     remote = { (void *)(uintptr_t)at, sizeof(*ret) };

	if (process_vm_readv(b->pid, &local, 1, &remote, 1, 0) != (ssize_t)sizeof(*ret))
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "read an asynchronous I/O ring");
	return 0;
}

/* The kernel makes room for more than was asked for, depending on the number of CPUs. */
static int set_up(struct build *b, struct context *c, struct ckpt_err **err)
{
	struct arena *a = &b->r->arena;
	const uint64_t none = 0;
	struct aio_ring ring;
	struct remote_op *op;
	uint64_t there;
	int rc = build_room(b, b->pid, 1, 64, err);

	if (rc < 0)
		return rc;
	there = arena_data(a, &none, sizeof(none));
	op = arena_op(a, "make an asynchronous I/O context", SYS_io_setup, c->max_requests, there,
		      0, 0, 0, 0);
	op->flags = REMOTE_MAY_FAIL;
	rc = arena_run(a, b->pid, err);
	if (rc == 0 && op->ret < 0) {
		rc = ckpt_fail_errno(err, (int)op->ret, CKPT_E_RESTORE,
				     "make an asynchronous I/O context of %u requests",
				     c->max_requests);
		if (op->ret == -EAGAIN)
			ckpt_hint(err, "raise /proc/sys/fs/aio-max-nr");
	}
	if (rc < 0)
		return rc;
	c->made_at = *(const uint64_t *)(const void *)(a->here + (there - a->there));
	rc = read_ring(b, c->made_at, &ring, err);
	if (rc == 0 && ring.nr != c->n_events)
		rc = ckpt_fail(
			err, EOPNOTSUPP, CKPT_E_MACHINE,
			"a ring for %u asynchronous requests has room for %u events here, not "
			"%u: the number of CPUs is another one",
			c->max_requests, ring.nr, c->n_events);
	return rc;
}

/* What all the requests share; addresses in the process. */
struct nothing {
	uint64_t iocbs; /* array of pointers, all to the same struct iocb */
	uint64_t events;
};

static struct nothing prepare(struct build *b, int null_fd)
{
	struct arena *a = &b->r->arena;
	struct iocb iocb = { .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = (uint32_t)null_fd };
	uint64_t pointer[BATCH_MAX];
	struct nothing n;
	void *here;

	iocb.aio_buf = arena_space(a, 16, &here);
	pointer[0] = arena_data(a, &iocb, sizeof(iocb));
	for (size_t i = 1; i < BATCH_MAX; i++)
		pointer[i] = pointer[0];
	n.iocbs = arena_data(a, pointer, sizeof(pointer));
	n.events = arena_space(a, BATCH_MAX * sizeof(struct aio_event), &here);
	return n;
}

#define PREPARED_BYTES (BATCH_MAX * (8 + sizeof(struct aio_event)) + 512)

/* Complete `n` requests; with `take` their events are taken out of the ring again. */
static int complete(struct build *b, const struct context *c, int null_fd, uint32_t n, bool take,
		    struct ckpt_err **err)
{
	struct arena *a = &b->r->arena;

	while (n > 0) {
		uint32_t k = n < BATCH_MAX ? n : BATCH_MAX;
		const struct remote_op *op;
		struct nothing nothing;
		int rc = build_room(b, b->pid, 2, PREPARED_BYTES, err);

		if (rc < 0)
			return rc;
		nothing = prepare(b, null_fd);
		op = arena_op(a, "submit asynchronous requests", SYS_io_submit, c->made_at, k,
			      nothing.iocbs, 0, 0, 0);
		if (take)
			arena_op(a, "take events of asynchronous requests", SYS_io_getevents,
				 c->made_at, 0, k, nothing.events, 0, 0);
		rc = arena_run(a, b->pid, err);
		if (rc < 0)
			return rc;
		if (op->ret <= 0 || op->ret > k)
			return ckpt_fail(err, EIO, CKPT_E_RESTORE,
					 "asynchronous requests were not accepted");
		n -= (uint32_t)op->ret;
	}
	return 0;
}

static int write_events(const struct build *b, const struct context *c, struct ckpt_err **err)
{
	const json_t *rows = json_object_get(c->json, "events");

	for (size_t i = 0; i < json_array_size(rows); i++) {
		const char *text = json_string_value(json_array_get(rows, i));
		uint64_t slot = (c->head + i) % c->n_events;
		unsigned long long v[4];
		struct aio_event e;
		struct iovec local = { &e, sizeof(e) },
			     remote = { (void *)(uintptr_t)(c->made_at + sizeof(struct aio_ring) +
							    slot * sizeof(e)),
					sizeof(e) };

		if (!text || sscanf(text, "%llx %llx %llx %llx", &v[0], &v[1], &v[2], &v[3]) != 4)
			return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "an event is not understood");
		e = (struct aio_event){ v[0], v[1], (int64_t)v[2], (int64_t)v[3] };
		if (process_vm_writev(b->pid, &local, 1, &remote, 1, 0) != (ssize_t)sizeof(e))
			return ckpt_fail_errno(err, errno, CKPT_E_RESTORE,
					       "write to an asynchronous I/O ring");
	}
	return 0;
}

static int move_ring(struct build *b, const struct context *c, struct ckpt_err **err)
{
	struct aio_ring ring;
	int rc = 0;

	if (c->made_at != c->address) {
		arena_op(&b->r->arena, "move an asynchronous I/O ring", SYS_mremap, c->made_at,
			 c->bytes, c->bytes, MREMAP_MAYMOVE | MREMAP_FIXED, c->address, 0);
		rc = arena_run(&b->r->arena, b->pid, err);
	}
	if (rc == 0)
		rc = read_ring(b, c->address, &ring, err);
	if (rc == 0 && (ring.head != c->head || ring.tail != c->tail))
		rc = ckpt_fail(err, EIO, CKPT_E_RESTORE,
			       "an asynchronous I/O ring stands at %u, %u and not at %u, %u",
			       ring.head, ring.tail, c->head, c->tail);
	return rc;
}

static int build_one(struct build *b, const json_t *o, int null_fd, struct ckpt_err **err)
{
	struct context c = { 0 };
	int rc = parse(b, o, &c, err);

	if (rc == 0)
		rc = set_up(b, &c, err);
	if (rc == 0)
		rc = complete(b, &c, null_fd, c.head, true, err);
	if (rc == 0)
		rc = complete(b, &c, null_fd,
			      (uint32_t)json_array_size(json_object_get(o, "events")), false, err);
	if (rc == 0)
		rc = write_events(b, &c, err);
	return rc < 0 ? rc : move_ring(b, &c, err);
}

/* Nothing that the kernel maps meanwhile may lie where a ring belongs. */
static int keep_places(struct build *b, struct ckpt_err **err)
{
	for (size_t i = 0; i < b->n_areas; i++) {
		int rc;

		if (!b->area[i].aio)
			continue;
		rc = build_room(b, b->pid, 1, 0, err);
		if (rc < 0)
			return rc;
		arena_op(&b->r->arena, "keep the place of a ring", SYS_mmap, b->area[i].start,
			 b->area[i].end - b->area[i].start, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE,
			 (uint64_t)-1, 0);
	}
	return arena_run(&b->r->arena, b->pid, err);
}

int build_aio(struct build *b, struct ckpt_err **err)
{
	static const char null[] = "/dev/null";
	const json_t *rows = json_object_get(json_object_get(b->task, "mm"), "aio");
	struct arena *a = &b->r->arena;
	const struct remote_op *op;
	int null_fd, rc;

	if (json_array_size(rows) == 0)
		return 0;
	rc = keep_places(b, err);
	if (rc < 0)
		return rc;
	op = arena_op(a, "open /dev/null", SYS_openat, (uint64_t)AT_FDCWD,
		      arena_data(a, null, sizeof(null)), O_RDONLY | O_CLOEXEC, 0, 0, 0);
	rc = arena_run(a, b->pid, err);
	if (rc < 0)
		return rc;
	null_fd = (int)op->ret;
	for (size_t i = 0; rc == 0 && i < json_array_size(rows); i++)
		rc = build_one(b, json_array_get(rows, i), null_fd, err);
	if (rc < 0)
		return rc;
	arena_op(a, "close /dev/null", SYS_close, (uint64_t)null_fd, 0, 0, 0, 0, 0);
	return arena_run(a, b->pid, err);
}
