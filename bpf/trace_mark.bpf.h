/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Iterators which mark a process that is there already: its threads, and the sockets that it has.
 * They run in the process that reads them, which is the observer.
 *
 * A thread that an unmarked one makes meanwhile is appended to the end of the kernel's list, which
 * the iterator has not passed yet.
 */
#ifndef EBPF_CKPT_TRACE_MARK_BPF_H
#define EBPF_CKPT_TRACE_MARK_BPF_H

SEC("iter/task")

int trace_mark_task(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct seq_file *seq = ctx->meta->seq;
	struct observed *new_;
	struct reader reader;
	__u32 tid;

	if (!task)
		return 0;
	reader_init(&reader);
	observer_ns = reader.ns;
	observer_level = reader.level;
	observer_tgid = BPF_CORE_READ((struct task_struct *)bpf_get_current_task_btf(), tgid);
	if ((BPF_CORE_READ(task, flags) & PF_KTHREAD) || BPF_CORE_READ(task, exit_state))
		return 0;
	tid = TRACE_MARK_SELF;
	if (BPF_CORE_READ(task, tgid) == observer_tgid) {
		bpf_seq_write(seq, &tid, sizeof(tid));
		return 0;
	}
	tid = (__u32)task_nr(task, OBSERVER);
	new_ = bpf_task_storage_get(&observed, task, 0, 1 /* BPF_LOCAL_STORAGE_GET_F_CREATE */);
	if (!new_) {
		lost(TRACE_TYPE_NR + TRACE_CAUSE_MARK);
		return 0;
	}
	new_->files_id = (__u64)BPF_CORE_READ(task, files);
	bpf_seq_write(seq, &tid, sizeof(tid));
	return 0;
}

SEC("iter/task_file")

int trace_mark_file(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct watched who = {};
	struct socket *socket;
	__u64 id;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	id = (__u64)socket->sk;
	if (!id || BPF_CORE_READ((struct sock *)id, sk_protocol) != IPPROTO_TCP)
		return 0;
	who.pid = group_nr(task, OBSERVER);
	who.tid = task_nr(task, OBSERVER);
	bpf_probe_read_kernel(who.comm, sizeof(who.comm), task->comm);
	if (bpf_map_update_elem(&sockets, &id, &who, 0 /* BPF_ANY */) < 0)
		lost(TRACE_TYPE_NR + TRACE_CAUSE_SOCKET);
	return 0;
}

#endif
