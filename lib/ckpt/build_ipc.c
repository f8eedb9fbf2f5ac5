// SPDX-License-Identifier: LGPL-2.1-or-later
/* What a process has of IPC beyond its descriptors. See build.h. */
#include "build.h"
#include "util.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#define USER_END      0x7ffffffff000ULL
#define SEGMENT_ALIGN (1ULL << 30) /* fits huge pages of all sizes */

/* ---- System V shared memory ---- */

/* A gap in the saved memory, clear of the arena; 0: there is none. */
static uint64_t find_gap(const struct build *b, uint64_t len)
{
	uint64_t at = 1ULL << 32, there = b->r->arena.there;

	for (size_t i = 0; i <= b->n_areas; i++) {
		uint64_t end = i < b->n_areas ? b->area[i].start : USER_END;
		uint64_t s = (at + SEGMENT_ALIGN - 1) & ~(SEGMENT_ALIGN - 1);

		if (s < there + ARENA_BYTES && there < s + len)
			s = (there + ARENA_BYTES + SEGMENT_ALIGN - 1) & ~(SEGMENT_ALIGN - 1);
		if (s < end && end - s >= len)
			return s;
		if (i < b->n_areas && b->area[i].end > at)
			at = b->area[i].end;
	}
	return 0;
}

/* Where the attachment that an area is part of begins, or would. */
static uint64_t base_of(const struct build_area *a)
{
	return a->start - a->offset;
}

/*
 * Parts of an attachment may be unmapped or lie elsewhere, and other areas between them. So it is
 * attached at a place apart, its parts moved to where they belong, and the rest unmapped. shmdt(2)
 * later knows its parts by where they lie, and by the open file that only one shmat(2) has made.
 */
static int attach_one(struct build *b, size_t first, const struct kind_segment *s,
		      struct ckpt_err **err)
{
	struct build_area *a = &b->area[first];
	uint32_t object = a->object;
	uint64_t base = base_of(a), place = find_gap(b, s->bytes);
	int rc;

	if (!place)
		return ckpt_fail(err, ENOMEM, CKPT_E_RESTORE,
				 "there is no room to attach segment %d", s->id);
	rc = build_room(b, b->pid, 1, 0, err);
	if (rc < 0)
		return rc;
	arena_op(&b->r->arena, "attach a shared memory segment", SYS_shmat, (uint64_t)s->id, place,
		 s->read_only ? SHM_RDONLY : 0, 0, 0, 0);
	for (size_t i = first; i < b->n_areas; i++) {
		uint64_t len;

		a = &b->area[i];
		len = a->end - a->start;
		if (a->object != object || base_of(a) != base || a->attached)
			continue;
		if (a->offset > s->bytes || len > s->bytes - a->offset)
			return ckpt_fail(err, EINVAL, CKPT_E_IMAGE,
					 "memory area %#llx lies beyond its segment",
					 (unsigned long long)a->start);
		rc = build_room(b, b->pid, 2, 0, err);
		if (rc < 0)
			return rc;
		arena_op(&b->r->arena, "move a shared memory segment", SYS_mremap,
			 place + a->offset, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, a->start, 0);
		arena_op(&b->r->arena, "protect a shared memory segment", SYS_mprotect, a->start,
			 len, (uint64_t)a->prot, 0, 0, 0);
		a->attached = true;
	}
	rc = build_room(b, b->pid, 1, 0, err);
	if (rc == 0)
		arena_op(&b->r->arena, "unmap the rest of a shared memory segment", SYS_munmap,
			 place, s->bytes, 0, 0, 0, 0);
	return rc;
}

int build_attach_segments(struct build *b, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < b->n_areas; i++) {
		struct kind_segment s = { 0 };

		if (!b->area[i].object || b->area[i].attached)
			continue;
		rc = objects_segment(&b->r->kr, b->area[i].object, &s, err);
		if (rc > 0)
			rc = attach_one(b, i, &s, err);
	}
	return rc < 0 ? rc : arena_run(&b->r->arena, b->pid, err);
}

/* ---- mq_notify(3) ---- */

#define COOKIE_BYTES 32

static int parse_cookie(const json_t *row, uint8_t cookie[COOKIE_BYTES], struct ckpt_err **err)
{
	const char *text = "";
	int rc = js_str(row, "cookie", &text, err);

	if (rc < 0)
		return rc;
	for (int i = 0; i < COOKIE_BYTES; i++)
		if (strlen(text) != 2 * COOKIE_BYTES ||
		    sscanf(text + 2 * i, "%2hhx", &cookie[i]) != 1)
			return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a cookie is not understood");
	return 0;
}

static int parse_notify(struct build *b, const json_t *row, struct sigevent *ev,
			struct ckpt_err **err)
{
	uint8_t cookie[COOKIE_BYTES];
	const char *how = "";
	uint64_t value = 0;
	int rc = js_str(row, "how", &how, err);

	if (rc < 0)
		return rc;
	if (!strcmp(how, "none")) {
		ev->sigev_notify = SIGEV_NONE;
		return 0;
	}
	if (!strcmp(how, "thread")) {
		ev->sigev_notify = SIGEV_THREAD;
		rc = js_i32(row, "socket", &ev->sigev_signo, err);
		if (rc == 0)
			rc = parse_cookie(row, cookie, err);
		if (rc == 0)
			ev->sigev_value.sival_ptr =
				(void *)(uintptr_t)arena_data(&b->r->arena, cookie, sizeof(cookie));
		return rc;
	}
	ev->sigev_notify = SIGEV_SIGNAL;
	rc = js_i32(row, "signal", &ev->sigev_signo, err);
	if (rc == 0)
		rc = js_u64(row, "value", &value, err);
	ev->sigev_value.sival_ptr = (void *)(uintptr_t)value;
	return rc;
}

int build_mq_notify(struct build *b, struct ckpt_err **err)
{
	const json_t *rows = json_object_get(b->task, "mq_notify");
	struct arena *a = &b->r->arena;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		struct sigevent ev = { 0 };
		uint32_t fd = 0;

		rc = build_room(b, b->pid, 1, sizeof(ev) + COOKIE_BYTES + 32, err);
		if (rc == 0)
			rc = js_u32(row, "fd", &fd, err);
		if (rc == 0)
			rc = parse_notify(b, row, &ev, err);
		if (rc == 0)
			arena_op(a, "wait for messages (mq_notify)", SYS_mq_notify, fd,
				 arena_data(a, &ev, sizeof(ev)), 0, 0, 0, 0);
	}
	return rc;
}
