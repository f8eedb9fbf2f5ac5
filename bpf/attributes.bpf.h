/* SPDX-License-Identifier: GPL-2.0-only */
/* Rarer attributes of tasks: NUMA policies, Landlock. Part of snapshot.bpf.c. */

#define MPOL_LOCAL	      4
#define MPOL_F_STATIC_NODES   (1 << 15)
#define MPOL_F_RELATIVE_NODES (1 << 14)
#define MPOL_MODE_FLAGS	      0xe000 /* what set_mempolicy(2) takes; the others are the kernel's */

/* Fill in a NUMA policy, if there is one. What it gives is for `has_mempolicy`. */
static __always_inline __u32 fill_mempolicy(struct rec_mempolicy *out, struct mempolicy *p)
{
	struct mempolicy___any *policy = (void *)p;
	__u64 size = bpf_core_field_size(policy->nodes), more = 0, word;
	const char *nodes;

	if (!policy)
		return 0;
	out->mode = BPF_CORE_READ(policy, mode);
	out->flags = BPF_CORE_READ(policy, flags) & MPOL_MODE_FLAGS;
	out->home_node = -1;
	if (bpf_core_field_exists(policy->home_node))
		out->home_node = BPF_CORE_READ(policy, home_node);
	if (out->mode == MPOL_LOCAL) /* no nodes: the memory for them was never written */
		return 1;
	/* With these flags, the nodes in force are made of those that were asked for. */
	nodes = out->flags & (MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES)
			? (const char *)&policy->w.user_nodemask
			: (const char *)&policy->nodes;
	bpf_probe_read_kernel(&out->nodes, sizeof(out->nodes), nodes);
	for (__u64 i = 8; i < 128; i += 8) {
		if (i >= size)
			break;
		word = 0;
		bpf_probe_read_kernel(&word, sizeof(word), nodes + i);
		more |= word;
	}
	return more ? 2 : 1;
}

static __always_inline __u32 find_landlock(struct task_struct *task)
{
	__u64 at = (__u64)BPF_CORE_READ(task, cred, security);
	struct landlock_cred_security *security;

	if (landlock_offset == LANDLOCK_UNKNOWN)
		return REC_LANDLOCK_UNKNOWN;
	if (landlock_offset < 0 || !bpf_core_type_exists(struct landlock_cred_security))
		return 0;
	at += landlock_offset;
	if (landlock_after_selinux)
		at += compat_selinux_cred_size();
	security = (void *)at;
	return BPF_CORE_READ(security, domain) ? REC_LANDLOCK_DOMAIN : 0;
}
