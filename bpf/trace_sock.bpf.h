/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Connections: their states, as the protocol itself changes them (in interrupts, too), and the
 * calls that a program makes for them.
 */
#ifndef EBPF_CKPT_TRACE_SOCK_BPF_H
#define EBPF_CKPT_TRACE_SOCK_BPF_H

#define TCP_CLOSE 7 /* netinet/tcp.h */

SEC("tp_btf/inet_sock_set_state")

int BPF_PROG(trace_sock_state, struct sock *sk, int from, int to)
{
	__u64 id = (__u64)sk;
	struct watched *who = bpf_map_lookup_elem(&sockets, &id);
	struct trace_sock_state *out;
	struct tcp_sock *tcp;

	if (!who || !is_wanted(TRACE_SOCK_STATE))
		return 0;
	out = record_new(trace_sock_state, TRACE_SOCK_STATE, bpf_get_current_task_btf());
	if (!out)
		return 0;
	/* Who runs now may have nothing to do with it. */
	out->head.pid = who->pid;
	out->head.tid = who->tid;
	__builtin_memcpy(out->head.comm, who->comm, sizeof(who->comm));
	sock_fill(&out->sock, sk);
	out->sock.state = (__u16)to;
	out->from = (__u32)from;
	out->to = (__u32)to;
	if (out->sock.protocol == IPPROTO_TCP) {
		tcp = (void *)sk;
		out->sent_bytes = BPF_CORE_READ(tcp, bytes_acked);
		out->received_bytes = BPF_CORE_READ(tcp, bytes_received);
	}
	record_submit(out);
	/* The last one of a socket that no descriptor refers to. */
	if (to == TCP_CLOSE && !BPF_CORE_READ(sk, sk_socket))
		bpf_map_delete_elem(&sockets, &id);
	return 0;
}

/* Of those that were closed already. A run of this that is missed leaves a number behind, no more.
 */
SEC("tp_btf/tcp_destroy_sock")

int BPF_PROG(trace_sock_destroy, struct sock *sk)
{
	__u64 id = (__u64)sk;

	bpf_map_delete_elem(&sockets, &id);
	return 0;
}

/* connect(2) is told of when it failed, too; the program's next try is another call. */
static __always_inline bool sock_call_counts(const struct call *c)
{
	if (c->ret >= 0)
		return true;
	return c->nr == NR_connect && c->ret > -ERESTARTSYS && c->ret != -EBADF &&
	       c->ret != -ENOTSOCK && c->ret != -EFAULT;
}

static __always_inline void on_sock_call(struct call *c)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct trace_sock_call *out;
	struct trace_file facts = {};
	struct file *file;
	struct sock *sk;
	__u32 len;

	if (!is_wanted(TRACE_SOCK_CALL) || !sock_call_counts(c))
		return;
	out = record_new_at(trace_sock_call, TRACE_SOCK_CALL, task, c->time_ns);
	if (!out)
		return;
	out->head.flags = c->flags;
	out->files_id = current_files();
	out->fd = (__s32)c->arg[0];
	out->ret = (__s32)c->ret;
	out->nr = c->nr;
	file = fd_file(task, (__u32)c->arg[0], 0);
	if (file) {
		facts.mode = BPF_CORE_READ(file, f_inode, i_mode);
		facts.sb_magic = BPF_CORE_READ(file, f_inode, i_sb, s_magic);
		sk = sock_of(file, &facts);
		if (sk)
			sock_fill(&out->sock, sk);
	}
	if (c->nr == NR_bind || c->nr == NR_connect) {
		len = (__u32)c->arg[2];
		if (len > TRACE_ADDR_MAX)
			len = TRACE_ADDR_MAX;
		if (bpf_probe_read_user(out->addr, len, (void *)c->arg[1]) == 0)
			out->addr_len = len;
		else
			out->head.flags |= TRACE_F_CUT;
	} else {
		out->arg = (__u32)c->arg[1];
	}
	record_submit(out);
}

#endif
