/* SPDX-License-Identifier: GPL-2.0-only */
/* The filters of seccomp(2) that a thread is under: which they are, by identity. What is in them is
 * asked for with ptrace(2), once per filter. Part of snapshot.bpf.c. */

/* Of one thread: with them, the output of one element stays below 32 KiB. */
#define SECCOMP_MAX 96

struct seccomp_walk {
	struct seq_file *seq;
	struct scratch *s;
};

static long seccomp_step(__u32 i, void *data)
{
	struct seccomp_walk *w = data;
	struct walk *at = &w->s->walk;
	struct rec_seccomp *out = &w->s->seccomp;
	struct seccomp_filter *filter = (void *)at->node;

	(void)i;
	if (!filter)
		return 1;
	at->node = (__u64)BPF_CORE_READ(filter, prev);
	at->left--;
	out->filter_id = (__u64)filter;
	out->flags = BPF_CORE_READ(filter, log) ? REC_SECCOMP_LOG : 0;
	if (BPF_CORE_READ(filter, notif))
		out->flags |= REC_SECCOMP_LISTENER;
	out->head.flags = !at->left && at->node ? REC_F_TRUNCATED : 0;
	bpf_seq_write(w->seq, out, sizeof(*out));
	return !at->left;
}

static __always_inline void write_seccomp(struct seq_file *seq, struct scratch *s,
					  struct task_struct *task, const struct reader *r)
{
	struct seccomp_walk w = { .seq = seq, .s = s };
	struct rec_seccomp *out = &s->seccomp;

	s->walk.node = (__u64)BPF_CORE_READ(task, seccomp.filter);
	if (!s->walk.node)
		return;
	__builtin_memset(out, 0, sizeof(*out));
	rec_init(&out->head, REC_SECCOMP, sizeof(*out));
	out->tgid = group_nr(task, r);
	out->tid = task_nr(task, r);
	s->walk.left = SECCOMP_MAX;
	bpf_loop(SECCOMP_MAX, seccomp_step, &w, 0);
}
