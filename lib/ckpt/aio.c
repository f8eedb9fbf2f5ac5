// SPDX-License-Identifier: LGPL-2.1-or-later
/* Contexts of asynchronous I/O. See aio.h; build_aio.c makes them again. */
#include "aio.h"
#include "image.h"
#include "util.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <time.h>

/* The disk answers within this time; what takes longer waits for something to happen. */
#define WAIT_US 1000000
#define TICK_NS 200000

/* The first process with requests under way, 0: none. */
static pid_t in_flight(const struct snapshot *s, const pid_t *pids, size_t n, uint32_t *ret_n)
{
	for (size_t i = 0; i < n; i++) {
		size_t rows;
		const void *const *row = snapshot_details(s, REC_AIO, pids[i], 0, &rows);

		for (size_t k = 0; k < rows; k++) {
			const struct rec_aio *a = row[k];

			*ret_n = a->in_flight;
			if (a->in_flight)
				return pids[i];
		}
	}
	return 0;
}

int aio_wait(struct loader *l, const pid_t *pids, size_t n, struct snapshot **s,
	     struct ckpt_err **err)
{
	const struct timespec tick = { 0, TICK_NS };
	uint64_t deadline = now_us() + WAIT_US;
	struct loader_why why = { 0 };
	struct snapshot *now = NULL;
	uint32_t left = 0;
	pid_t pid = in_flight(*s, pids, n, &left);
	int rc;

	if (!pid)
		return 0;
	while (pid && now_us() < deadline) {
		nanosleep(&tick, NULL);
		rc = snapshot_take(l, pids, n, SNAPSHOT_TASKS, &now, &why);
		if (rc < 0)
			return ckpt_fail_loader(err, rc, &why);
		pid = in_flight(now, pids, n, &left);
		snapshot_free(now);
	}
	if (pid) {
		ckpt_fail(
			err, EBUSY, CKPT_E_UNSUPPORTED,
			"%u asynchronous requests of process %d are under way, and do not come to "
			"an end",
			left, pid);
		ckpt_hint(err, "cancel polls (IOCB_CMD_POLL) before the checkpoint, or try again");
		return -EBUSY;
	}
	/* Buffers were written to, and perhaps eventfds, meanwhile. */
	rc = snapshot_take(l, pids, n, SNAPSHOT_ALL, &now, &why);
	if (rc < 0)
		return ckpt_fail_loader(err, rc, &why);
	snapshot_free(*s);
	*s = now;
	return 0;
}

int aio_check(const struct snapshot *s, pid_t tgid, struct ckpt_err **err)
{
	size_t first, n, rows;
	const void *const *row = snapshot_details(s, REC_AIO, tgid, 0, &rows);

	snapshot_vmas_of(s, tgid, &first, &n);
	for (size_t i = first; i < first + n; i++) {
		const struct rec_vma *v = s->vmas[i].rec;
		bool own = false;

		if (v->special != REC_VMA_AIO)
			continue;
		for (size_t k = 0; k < rows; k++) {
			const struct rec_aio *a = row[k];

			own |= a->address == v->start && a->bytes == v->end - v->start;
		}
		if (own)
			continue;
		ckpt_fail(
			err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
			"the ring at %#llx belongs to no context of the process (its parent's, or a "
			"part of one)",
			(unsigned long long)v->start);
		ckpt_hint(err, "call io_setup(2) after fork(2), not before");
		return -EOPNOTSUPP;
	}
	return 0;
}

/* ---- saving ---- */

static int events_save(const struct aio_event *e, const struct aio_ring *r, json_t *o)
{
	json_t *rows = json_array();
	int rc = json_object_set_new(o, "events", rows);

	for (uint32_t at = r->head; at != r->tail; at = (at + 1) % r->nr) {
		char text[80];

		snprintf(text, sizeof(text), "%llx %llx %llx %llx", (unsigned long long)e[at].data,
			 (unsigned long long)e[at].obj, (unsigned long long)e[at].res,
			 (unsigned long long)e[at].res2);
		rc |= json_array_append_new(rows, json_string(text));
	}
	return rc;
}

static int ring_save(const struct rec_aio *a, const struct aio_ring *r, json_t *rows,
		     struct ckpt_err **err)
{
	uint64_t room = (a->bytes - sizeof(*r)) / sizeof(struct aio_event);
	json_t *o = json_object();
	int rc;

	if (json_array_append_new(rows, o))
		return ckpt_fail_nomem(err);
	/* The program can write to it, too. */
	if (r->magic != AIO_MAGIC || r->nr != a->n_events || r->nr == 0 || r->nr > room ||
	    r->head >= r->nr || r->tail >= r->nr || r->header_bytes != sizeof(*r))
		return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
				 "the ring of the asynchronous I/O context %#llx is damaged",
				 (unsigned long long)a->address);
	rc = js_set_hex(o, "address", a->address);
	rc |= js_set_hex(o, "bytes", a->bytes);
	rc |= js_set_int(o, "max_requests", a->max_requests);
	rc |= js_set_int(o, "n_events", a->n_events);
	rc |= js_set_int(o, "head", r->head);
	rc |= js_set_int(o, "tail", r->tail);
	rc |= events_save((const struct aio_event *)(const void *)(r + 1), r, o);
	return rc ? ckpt_fail_nomem(err) : 0;
}

#define RING_BYTES_MAX (64ULL << 20)

int aio_take(const struct snapshot *s, pid_t tgid, pid_t tid, json_t **ret, struct ckpt_err **err)
{
	_cleanup_json_ json_t *rows = json_array();
	size_t n;
	const void *const *row = snapshot_details(s, REC_AIO, tgid, 0, &n);

	for (size_t i = 0; i < n; i++) {
		const struct rec_aio *a = row[i];
		uint64_t bytes = a->bytes < RING_BYTES_MAX ? a->bytes : RING_BYTES_MAX;
		_cleanup_free_ void *ring = malloc(bytes + sizeof(struct aio_ring));
		struct iovec local = { ring, bytes };
		struct iovec remote = { (void *)(uintptr_t)a->address, bytes };
		int rc;

		if (!ring)
			return ckpt_fail_nomem(err);
		if (bytes < sizeof(struct aio_ring) || bytes != a->bytes ||
		    process_vm_readv(tid, &local, 1, &remote, 1, 0) != (ssize_t)bytes)
			return ckpt_fail(err, EIO, CKPT_E_GONE,
					 "read the ring of the asynchronous I/O context %#llx",
					 (unsigned long long)a->address);
		rc = ring_save(a, ring, rows, err);
		if (rc < 0)
			return rc;
	}
	*ret = n ? TAKE_PTR(rows) : NULL;
	return 0;
}
