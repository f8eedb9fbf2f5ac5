// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Making the entries of epoll instances again. An entry is added under the very number that it had,
 * so this is done in a process with a table of descriptors of its own. All instances are done
 * at once, when all that they watch is there, in an order that gives every entry its state:
 *
 * 1. Those that EPOLLONESHOT has disabled are let fire. The file must have something to report for
 *    that; one that has nothing is poked (epoll_poke.c), while nobody else watches it.
 * 2. Edge-triggered ones whose edge the program has seen: to add one is an edge, if there is
 *    something to report, and that is taken by epoll_wait(2).
 * 3. All others, what is on the ready list first, in its order: adding puts them there.
 *
 * 2 and 3 go from inner instances to outer ones.
 *
 * Entries of signalfds belong to a process's signals, and are added by that process itself. None of
 * its pending signals is there yet: those are events when they come.
 */
#include "../util.h"
#include "epoll.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/syscall.h>

struct watch {
	uint32_t object;
	int32_t number;
	uint32_t events;
	uint64_t data;
	int32_t signals_of; /* a process's saved pid; 0: it is no signalfd that somebody waits for
			     */
	bool ready;
};

struct instance {
	uint32_t object;
	struct watch *watch; /* owned; in the order in which they are added */
	size_t n;
	bool done;
};

struct watch_plan {
	const struct kind_restore *r;
	struct instance *instance; /* owned */
	size_t n;
	int *fd; /* owned; by object: descriptors out of the way of all numbers */
};

/* ---- reading ---- */

static int watch_read(const struct kind_restore *r, const json_t *o, struct watch *w,
		      struct ckpt_err **err)
{
	uint32_t events = 0;
	int rc = js_i32(o, "fd", &w->number, err);

	if (rc == 0)
		rc = js_u32(o, "object", &w->object, err);
	if (rc == 0)
		rc = js_u32(o, "events", &events, err);
	if (rc == 0)
		rc = js_u64(o, "data", &w->data, err);
	if (rc == 0 && json_object_get(o, "signals_of"))
		rc = js_i32(o, "signals_of", &w->signals_of, err);
	w->events = events;
	if (rc == 0 && (w->number < 0 || w->number >= INT_MAX / 2 || w->object < 1 ||
			w->object > json_array_size(r->objects)))
		rc = ckpt_fail(err, EINVAL, CKPT_E_IMAGE,
			       "an epoll instance watches object %u as descriptor %d", w->object,
			       w->number);
	return rc;
}

/* Those that are ready first, then the others, as they stand. */
static int watches_order(const json_t *ready, struct watch *w, size_t n, struct ckpt_err **err)
{
	struct watch *all = calloc(n ? n : 1, sizeof(*all));
	size_t at = 0;
	int rc = all ? 0 : ckpt_fail_nomem(err);

	for (size_t i = 0; rc == 0 && i < json_array_size(ready); i++) {
		const json_t *v = json_array_get(ready, i);
		json_int_t index = json_is_integer(v) ? json_integer_value(v) : -1;

		if (index < 0 || index >= (json_int_t)n || w[index].ready) {
			rc = ckpt_fail(err, EINVAL, CKPT_E_IMAGE,
				       "entry %lld of an epoll instance is ready",
				       (long long)index);
			break;
		}
		w[index].ready = true;
		all[at++] = w[index];
	}
	for (size_t i = 0; rc == 0 && i < n; i++)
		if (!w[i].ready)
			all[at++] = w[i];
	if (rc == 0)
		memcpy(w, all, n * sizeof(*w));
	free(all);
	return rc;
}

static int instance_read(const struct kind_restore *r, const json_t *o, struct instance *in,
			 struct ckpt_err **err)
{
	json_t *rows, *ready;
	int rc = js_arr(o, "entries", &rows, err);

	if (rc == 0)
		rc = js_arr(o, "ready", &ready, err);
	if (rc == 0)
		rc = js_u32(o, "id", &in->object, err);
	if (rc < 0)
		return rc;
	in->n = json_array_size(rows);
	in->watch = calloc(in->n ? in->n : 1, sizeof(*in->watch));
	if (!in->watch)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; rc == 0 && i < in->n; i++)
		rc = watch_read(r, json_array_get(rows, i), &in->watch[i], err);
	return rc < 0 ? rc : watches_order(ready, in->watch, in->n, err);
}

int epoll_need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	struct instance in = { 0 };
	int rc = instance_read(r, o, &in, err);

	free(in.watch);
	return rc;
}

static const char *kind_name(const struct kind_restore *r, uint32_t object)
{
	const char *name = "";

	js_str(json_array_get(r->objects, object - 1), "kind", &name, NULL);
	return name;
}

static bool is_epoll(const struct kind_restore *r, uint32_t object)
{
	return !strcmp(kind_name(r, object), "epoll");
}

static void watch_plan_done(struct watch_plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->instance[i].watch);
	free(p->instance);
	free(p->fd);
}

static int watch_plan_make(const struct kind_restore *r, struct watch_plan *p,
			   struct ckpt_err **err)
{
	int rc = 0;

	*p = (struct watch_plan){ .r = r };
	p->instance = calloc(r->n_fd, sizeof(*p->instance));
	p->fd = calloc(r->n_fd, sizeof(*p->fd));
	if (!p->instance || !p->fd)
		return ckpt_fail_nomem(err);
	for (uint32_t id = 1; rc == 0 && id < r->n_fd; id++) {
		p->fd[id] = r->fd[id];
		if (is_epoll(r, id))
			rc = instance_read(r, json_array_get(r->objects, id - 1),
					   &p->instance[p->n++], err);
	}
	return rc;
}

/* ---- in the process apart ---- */

/* Descriptors of what is needed, above all numbers that are to be used. */
static int move_away(struct watch_plan *p, struct ckpt_err **err)
{
	int highest = -1;

	for (size_t i = 0; i < p->n; i++)
		for (size_t j = 0; j < p->instance[i].n; j++)
			if (p->instance[i].watch[j].number > highest)
				highest = p->instance[i].watch[j].number;
	for (size_t id = 1; id < p->r->n_fd; id++) {
		if (p->fd[id] < 0 || p->fd[id] > highest)
			continue;
		p->fd[id] = fcntl(p->fd[id], F_DUPFD_CLOEXEC, highest + 1);
		if (p->fd[id] < 0)
			return ckpt_fail_errno(err, errno == EINVAL ? EMFILE : errno, CKPT_E_LIMIT,
					       "use descriptors above %d", highest);
	}
	return 0;
}

static int add(const struct watch_plan *p, const struct instance *in, const struct watch *w,
	       uint32_t events, struct ckpt_err **err)
{
	struct epoll_event e = { .events = events, .data.u64 = w->data };
	int fd = p->fd[w->object];

	if (fd < 0)
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "what descriptor %d was is not there",
				 w->number);
	if (dup3(fd, w->number, O_CLOEXEC) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_LIMIT, "use descriptor %d", w->number);
	if (epoll_ctl(p->fd[in->object], EPOLL_CTL_ADD, w->number, &e) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE,
				       "let an epoll instance watch descriptor %d", w->number);
	return 0;
}

/* Take what is ready, all of it; the number of events. */
static size_t take(const struct watch_plan *p, const struct instance *in)
{
	struct epoll_event e[64];
	size_t all = 0;
	int n;

	/* Nothing here comes again by itself: twice the entries is more than there can be. */
	while (all <= 2 * in->n &&
	       (n = epoll_wait(p->fd[in->object], e, sizeof(e) / sizeof(e[0]), 0)) > 0)
		all += (size_t)n;
	return all;
}

static int add_disabled(const struct watch_plan *p, const struct instance *in,
			const struct watch *w, struct ckpt_err **err)
{
	struct poke poke = POKE_NONE;
	int rc = add(p, in, w, w->events | EPOLL_ALL_EVENTS, err);
	size_t n;

	if (rc < 0 || take(p, in) == 1)
		return rc;
	rc = epoll_poke(&poke, kind_name(p->r, w->object), p->fd[w->object], err);
	n = rc == 0 ? take(p, in) : 0;
	if (rc == 0)
		rc = epoll_unpoke(&poke, err);
	if (rc == 0 && n != 1)
		rc = ckpt_fail(err, EIO, CKPT_E_RESTORE,
			       "disabling the entry of descriptor %d took %zu events", w->number,
			       n);
	return rc;
}

/* Has the program seen what there is to report? Then it is not told again. */
static bool is_seen(const struct watch *w)
{
	return w->events & EPOLLET && !w->ready && !(w->events & EPOLLONESHOT);
}

/* What is added in the process apart once the disabled ones are there. */
static bool is_enabled(const struct watch *w)
{
	return !epoll_is_disabled(w->events) && !w->signals_of;
}

static int add_enabled(const struct watch_plan *p, const struct instance *in, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < in->n; i++)
		if (is_enabled(&in->watch[i]) && is_seen(&in->watch[i]))
			rc = add(p, in, &in->watch[i], in->watch[i].events, err);
	if (rc == 0)
		take(p, in);
	for (size_t i = 0; rc == 0 && i < in->n; i++)
		if (is_enabled(&in->watch[i]) && !is_seen(&in->watch[i]))
			rc = add(p, in, &in->watch[i], in->watch[i].events, err);
	return rc;
}

static bool inner_done(const struct watch_plan *p, const struct instance *in)
{
	for (size_t i = 0; i < p->n; i++)
		for (size_t j = 0; !p->instance[i].done && j < in->n; j++)
			if (in->watch[j].object == p->instance[i].object)
				return false;
	return true;
}

static int work(void *arg, struct ckpt_err **err)
{
	struct watch_plan *p = arg;
	size_t left = p->n, before;
	int rc = move_away(p, err);

	for (size_t i = 0; i < p->n; i++)
		for (size_t j = 0; rc == 0 && j < p->instance[i].n; j++)
			if (epoll_is_disabled(p->instance[i].watch[j].events) &&
			    !p->instance[i].watch[j].signals_of)
				rc = add_disabled(p, &p->instance[i], &p->instance[i].watch[j],
						  err);
	do {
		before = left;
		for (size_t i = 0; rc == 0 && i < p->n; i++) {
			struct instance *in = &p->instance[i];

			if (in->done || !inner_done(p, in))
				continue;
			rc = add_enabled(p, in, err);
			in->done = true;
			left--;
		}
	} while (rc == 0 && left && left < before);
	if (rc == 0 && left)
		rc = ckpt_fail(err, ELOOP, CKPT_E_IMAGE, "epoll instances watch each other");
	return rc;
}

/* ---- in a process of the image ---- */

static int add_signalfd(struct kind_restore *r, const struct instance *in, const struct watch *w,
			struct ckpt_err **err)
{
	const struct epoll_event e = { .events = w->events, .data.u64 = w->data };
	const struct kind_call place = {
		.what = "put a signalfd in its place",
		.nr = SYS_dup3,
		.arg = { (uint64_t)r->fd[w->object], (uint64_t)w->number, O_CLOEXEC },
	};
	const struct kind_call watch = {
		.what = "let an epoll instance watch a signalfd",
		.nr = SYS_epoll_ctl,
		.arg = { (uint64_t)r->fd[in->object], EPOLL_CTL_ADD, (uint64_t)w->number },
		.data = &e,
		.data_bytes = sizeof(e),
		.data_arg = 3,
	};
	int rc;

	if (strcmp(kind_name(r, w->object), "signalfd"))
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "descriptor %d was no signalfd",
				 w->number);
	/* What tasks are born with is above the numbers of the image's descriptors. */
	for (size_t id = 1; id < r->n_fd; id++)
		if (r->in_tasks[id] && r->fd[id] >= 0 && r->fd[id] <= w->number)
			return ckpt_fail(err, EBUSY, CKPT_E_LIMIT,
					 "descriptor %d, closed after it was given to an epoll "
					 "instance, is in use by the restore",
					 w->number);
	rc = r->call(r->userdata, w->signals_of, &place, err);
	return rc < 0 ? rc : r->call(r->userdata, w->signals_of, &watch, err);
}

static int add_signalfds(struct kind_restore *r, const struct watch_plan *p, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; i < p->n; i++)
		for (size_t j = 0; rc == 0 && j < p->instance[i].n; j++)
			if (p->instance[i].watch[j].signals_of)
				rc = add_signalfd(r, &p->instance[i], &p->instance[i].watch[j],
						  err);
	return rc;
}

/* The first of them does it for all. */
int epoll_connect(struct kind_restore *r, const json_t *o, int fd, struct ckpt_err **err)
{
	struct watch_plan p;
	int rc;

	(void)fd;
	for (uint32_t id = 1; id < r->n_fd; id++) {
		if (!is_epoll(r, id))
			continue;
		if (json_array_get(r->objects, id - 1) != o)
			return 0;
		break;
	}
	rc = watch_plan_make(r, &p, err);
	if (rc == 0)
		rc = kind_apart(work, &p, err);
	if (rc == 0)
		rc = add_signalfds(r, &p, err);
	watch_plan_done(&p);
	return rc;
}
