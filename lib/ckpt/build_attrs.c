// SPDX-License-Identifier: LGPL-2.1-or-later
/* Setting rarer attributes of a thread under construction, and of the process. See attrs.h. */
#include "build.h"
#include "trace.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <linux/prctl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define NODES_BITS     65 /* one more than there are, as get_nodes() in mm/mempolicy.c wants it */
#define ARCH_SET_CPUID 0x1012

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

/* ---- NUMA ---- */

static bool has_policy(const struct build_thread *t)
{
	return json_object_get(t->json, "mempolicy") != NULL;
}

/* Is there any, of ours or in the tree, that others may be born with? */
static bool any_policy(struct restore *r)
{
	int ours = MPOL_DEFAULT;

	if (r->numa)
		return r->numa > 0;
	syscall(SYS_get_mempolicy, &ours, NULL, 0, NULL, 0);
	r->numa = ours == MPOL_DEFAULT ? -1 : 1;
	for (size_t i = 0; i < r->n_procs; i++)
		for (size_t k = 0; k < r->proc[i].n_threads; k++)
			if (has_policy(&r->proc[i].thread[k]))
				r->numa = 1;
	return r->numa > 0;
}

static int queue_mempolicy(struct build *b, const struct build_thread *t, struct ckpt_err **err)
{
	json_t *o;
	int rc;
	uint32_t mode = MPOL_DEFAULT;
	uint64_t flags = 0, nodes = 0;

	if (!any_policy(b->r))
		return 0;
	if (has_policy(t)) {
		rc = js_obj(t->json, "mempolicy", &o, err);
		if (rc == 0)
			rc = js_u32(o, "mode", &mode, err);
		if (rc == 0)
			rc = js_u64(o, "flags", &flags, err);
		if (rc == 0)
			rc = js_u64(o, "nodes", &nodes, err);
		if (rc < 0)
			return rc;
	}
	rc = build_room(b, t->tid, 1, sizeof(nodes), err);
	if (rc < 0)
		return rc;
	arena_op(&b->r->arena, "set the NUMA policy", SYS_set_mempolicy, mode | flags,
		 nodes ? arena_data(&b->r->arena, &nodes, sizeof(nodes)) : 0,
		 nodes ? NODES_BITS : 0, 0, 0, 0);
	return 0;
}

int build_numa(struct build *b, struct ckpt_err **err)
{
	return queue_mempolicy(b, &b->thread[0], err);
}

int build_area_numa(struct build *b, const struct build_area *area, struct ckpt_err **err)
{
	const struct rec_mempolicy *p = &area->mempolicy;
	uint64_t len = area->end - area->start, nodes;
	int rc = build_room(b, b->pid, 2, sizeof(p->nodes), err);

	if (rc < 0)
		return rc;
	nodes = p->nodes ? arena_data(&b->r->arena, &p->nodes, sizeof(p->nodes)) : 0;
	arena_op(&b->r->arena, "bind memory to NUMA nodes", SYS_mbind, area->start, len,
		 (uint64_t)p->mode | p->flags, nodes, nodes ? NODES_BITS : 0, 0);
	if (area->has_mempolicy && p->home_node >= 0)
		arena_op(&b->r->arena, "set the home node of memory", SYS_set_mempolicy_home_node,
			 area->start, len, (uint64_t)p->home_node, 0, 0, 0);
	return 0;
}

/* ---- the processor ---- */

/* PR_SET_SPECULATION_CTRL, from the bits of rec_task. */
static const struct speculation {
	uint32_t bits, of; /* these of those */
	unsigned long which, how;
} speculations[] = {
	{ 0x01, 0x13, PR_SPEC_STORE_BYPASS, PR_SPEC_DISABLE },
	{ 0x11, 0x13, PR_SPEC_STORE_BYPASS, PR_SPEC_DISABLE_NOEXEC },
	{ 0x03, 0x13, PR_SPEC_STORE_BYPASS, PR_SPEC_FORCE_DISABLE },
	{ 0x04, 0x0c, PR_SPEC_INDIRECT_BRANCH, PR_SPEC_DISABLE },
	{ 0x0c, 0x0c, PR_SPEC_INDIRECT_BRANCH, PR_SPEC_FORCE_DISABLE },
};

static int queue_processor(struct build *b, const struct build_thread *t, struct ckpt_err **err)
{
	uint64_t speculation = 0;
	uint32_t faults = 0;
	int rc = js_opt_u64(t->json, "speculation", &speculation, err);

	if (rc == 0)
		rc = js_u32(t->json, "tsc_cpuid", &faults, err);
	if (rc == 0)
		rc = build_room(b, t->tid, 4, 0, err);
	if (rc < 0)
		return rc;
	if (faults & 1)
		arena_op(&b->r->arena, "let CPUID fault", SYS_arch_prctl, ARCH_SET_CPUID, 0, 0, 0,
			 0, 0);
	if (faults & 2)
		arena_op(&b->r->arena, "let RDTSC fault", SYS_prctl, PR_SET_TSC, PR_TSC_SIGSEGV, 0,
			 0, 0, 0);
	for (size_t i = 0; i < sizeof(speculations) / sizeof(speculations[0]); i++) {
		const struct speculation *s = &speculations[i];

		if ((speculation & s->of) == s->bits)
			arena_op(&b->r->arena, "limit speculation", SYS_prctl,
				 PR_SET_SPECULATION_CTRL, s->which, s->how, 0, 0, 0);
	}
	return 0;
}

/* ---- threads ---- */

int build_attrs(struct build *b, const struct build_thread *t, struct ckpt_err **err)
{
	int rc = queue_mempolicy(b, t, err);

	if (rc == 0)
		rc = queue_processor(b, t, err);
	if (rc == 0)
		rc = build_room(b, t->tid, 1, 0, err);
	if (rc == 0 && json_is_true(json_object_get(t->json, "io_flusher")))
		arena_op(&b->r->arena, "do I/O without recursion", SYS_prctl, PR_SET_IO_FLUSHER, 1,
			 0, 0, 0, 0);
	return rc;
}

int build_dispatch(const struct build_thread *t, struct ckpt_err **err)
{
	struct trace_dispatch d = { .mode = TRACE_DISPATCH_ON };
	json_t *o;
	int rc;

	if (!json_object_get(t->json, "dispatch"))
		return 0;
	rc = js_obj(t->json, "dispatch", &o, err);
	if (rc == 0)
		rc = js_u64(o, "selector", &d.selector, err);
	if (rc == 0)
		rc = js_u64(o, "offset", &d.offset, err);
	if (rc == 0)
		rc = js_u64(o, "len", &d.len, err);
	if (rc < 0)
		return rc;
	rc = trace_set_dispatch(t->tid, &d);
	if (rc < 0)
		return ckpt_fail_errno(err, rc, CKPT_E_RESTORE,
				       "let thread %d catch its system calls", t->vtid);
	return 0;
}

/* ---- audit ---- */

/*
 * Only the process itself may set it, and not always: then it stays that of whoever restores. The
 * threads, which are made later, have it from the leader.
 */
int build_loginuid(struct build *b, struct ckpt_err **err)
{
	struct arena *a = &b->r->arena;
	uint64_t saved = BUILD_NO_LOGINUID;
	struct remote_op *op;
	char text[16];
	int rc = js_opt_u64(json_object_get(b->task, "info"), "loginuid", &saved, err);

	if (rc < 0 || saved == b->r->born.loginuid)
		return rc;
	op = arena_op(a, "open the login user id", SYS_openat, (uint64_t)AT_FDCWD,
		      arena_data(a, "/proc/self/loginuid", sizeof("/proc/self/loginuid")),
		      O_WRONLY | O_CLOEXEC, 0, 0, 0);
	op->flags = REMOTE_MAY_FAIL;
	rc = arena_run(a, b->pid, err);
	if (rc < 0 || op->ret < 0)
		return rc;
	int fd = (int)op->ret, len = snprintf(text, sizeof(text), "%u", (uint32_t)saved);

	arena_op(a, "set the login user id", SYS_write, (uint64_t)fd,
		 arena_data(a, text, (size_t)len), (uint64_t)len, 0, 0, 0)
		->flags = REMOTE_MAY_FAIL;
	arena_op(a, "close the login user id", SYS_close, (uint64_t)fd, 0, 0, 0, 0, 0);
	return arena_run(a, b->pid, err);
}
