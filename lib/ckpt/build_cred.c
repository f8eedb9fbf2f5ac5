// SPDX-License-Identifier: LGPL-2.1-or-later
/* Credentials of a thread under construction. The order is everything: each step needs what the
 * next takes away. */
#include "build.h"
#include "util.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define NO_SETUID_FIXUP 0x4u /* SECBIT_NO_SETUID_FIXUP */

struct cred_in {
	uint32_t uid[4], gid[4];
	uint64_t inheritable, permitted, effective, bounding, ambient;
	uint32_t securebits;
	json_t *groups;
};

static int parse_ids(const json_t *o, const char *key, uint32_t id[4], struct ckpt_err **err)
{
	json_t *a;
	int rc = js_arr(o, key, &a, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < 4; i++) {
		json_int_t v = json_integer_value(json_array_get(a, i));

		if (json_array_size(a) != 4 || v < 0 || v > UINT32_MAX)
			return ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "\"%s\" is not four ids", key);
		id[i] = (uint32_t)v;
	}
	return 0;
}

static int parse(const struct build_thread *t, struct cred_in *c, struct ckpt_err **err)
{
	json_t *o;
	int rc = js_obj(t->json, "cred", &o, err);

	if (rc == 0)
		rc = parse_ids(o, "uid", c->uid, err);
	if (rc == 0)
		rc = parse_ids(o, "gid", c->gid, err);
	if (rc == 0)
		rc = js_arr(o, "groups", &c->groups, err);
	if (rc == 0)
		rc = js_u64(o, "inheritable", &c->inheritable, err);
	if (rc == 0)
		rc = js_u64(o, "permitted", &c->permitted, err);
	if (rc == 0)
		rc = js_u64(o, "effective", &c->effective, err);
	if (rc == 0)
		rc = js_u64(o, "bounding", &c->bounding, err);
	if (rc == 0)
		rc = js_u64(o, "ambient", &c->ambient, err);
	if (rc == 0)
		rc = js_u32(o, "securebits", &c->securebits, err);
	if (rc == 0 && json_array_size(c->groups) > 65536)
		rc = ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "too many groups");
	return rc;
}

static uint64_t own_permitted(void)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2] = { { 0 } };

	if (syscall(SYS_capget, &h, d) < 0)
		return 0;
	return (uint64_t)d[1].permitted << 32 | d[0].permitted;
}

static void queue_capset(struct arena *a, const char *what, uint64_t e, uint64_t p, uint64_t i)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2] = {
		{ (uint32_t)e, (uint32_t)p, (uint32_t)i },
		{ (uint32_t)(e >> 32), (uint32_t)(p >> 32), (uint32_t)(i >> 32) },
	};
	uint64_t hp = arena_data(a, &h, sizeof(h));

	arena_op(a, what, SYS_capset, hp, arena_data(a, d, sizeof(d)), 0, 0, 0, 0);
}

static int queue_groups(struct build *b, pid_t tid, const struct cred_in *c, struct ckpt_err **err)
{
	size_t n = json_array_size(c->groups);
	void *here;
	uint64_t there;
	int rc = build_room(b, tid, 1, n * sizeof(uint32_t) + 16, err);

	if (rc < 0)
		return rc;
	there = arena_space(&b->r->arena, n * sizeof(uint32_t), &here);
	for (size_t i = 0; i < n; i++)
		((uint32_t *)here)[i] = (uint32_t)json_integer_value(json_array_get(c->groups, i));
	arena_op(&b->r->arena, "set the supplementary groups", SYS_setgroups, n, there, 0, 0, 0, 0);
	return 0;
}

static void queue_caps(struct arena *a, const struct cred_in *c, uint64_t mine)
{
	for (uint64_t cap = 0; cap < 64; cap++)
		if (mine >> cap & 1 && !(c->bounding >> cap & 1))
			arena_op(a, "drop a capability from the bounding set", SYS_prctl,
				 PR_CAPBSET_DROP, cap, 0, 0, 0, 0);
	queue_capset(a, "set inheritable capabilities", mine, mine, c->inheritable);
	arena_op(a, "clear the ambient capabilities", SYS_prctl, PR_CAP_AMBIENT,
		 PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0, 0);
	for (uint64_t cap = 0; cap < 64; cap++)
		if (c->ambient >> cap & 1)
			arena_op(a, "raise an ambient capability", SYS_prctl, PR_CAP_AMBIENT,
				 PR_CAP_AMBIENT_RAISE, cap, 0, 0, 0);
	arena_op(a, "set the securebits", SYS_prctl, PR_SET_SECUREBITS, c->securebits, 0, 0, 0, 0);
	queue_capset(a, "set the capabilities", c->effective, c->permitted, c->inheritable);
}

int build_cred(struct build *b, struct build_thread *t, struct ckpt_err **err)
{
	struct cred_in c = { .groups = NULL };
	struct arena *a = &b->r->arena;
	uint64_t mine = own_permitted();
	int rc = parse(t, &c, err);

	if (rc == 0)
		rc = queue_groups(b, t->tid, &c, err);
	if (rc == 0)
		rc = build_room(b, t->tid, 160, 512, err);
	if (rc < 0)
		return rc;
	arena_op(a, "keep capabilities while ids change", SYS_prctl, PR_SET_SECUREBITS,
		 NO_SETUID_FIXUP, 0, 0, 0, 0);
	arena_op(a, "set the group ids", SYS_setresgid, c.gid[0], c.gid[1], c.gid[2], 0, 0, 0);
	arena_op(a, "set the filesystem group id", SYS_setfsgid, c.gid[3], 0, 0, 0, 0, 0);
	arena_op(a, "set the user ids", SYS_setresuid, c.uid[0], c.uid[1], c.uid[2], 0, 0, 0);
	arena_op(a, "set the filesystem user id", SYS_setfsuid, c.uid[3], 0, 0, 0, 0, 0);
	queue_caps(a, &c, mine);
	return 0;
}
