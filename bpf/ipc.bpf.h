/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IPC beyond sockets and pipes: POSIX message queues, the undo lists of System V semaphores, and
 * contexts of io_setup(2). Part of snapshot.bpf.c. What is long is asked for in pieces
 * (snapshot_more).
 */
#ifndef EBPF_CKPT_IPC_BPF_H
#define EBPF_CKPT_IPC_BPF_H

#define MQUEUE_MAGIC 0x19800202
#define PAGE_BYTES   4096
/* Of the 32 KiB that one element may write, what is left when the next record may be the longest.
 */
#define PIECE_BYTES (24 * 1024)
#define RB_STEPS    (1 << 22) /* each message takes a few steps */

struct ipc_loop {
	struct seq_file *seq;
	struct scratch *s;
};

/* --- POSIX message queues: struct mqueue_inode_info of ipc/mqueue.c -------------------------- */

static __always_inline struct mqueue_inode_info *mqueue_of(struct inode *inode)
{
	if (BPF_CORE_READ(inode, i_sb, s_magic) != MQUEUE_MAGIC ||
	    (BPF_CORE_READ(inode, i_mode) & S_IFMT) != S_IFREG)
		return 0;
	return (void *)inode - bpf_core_field_offset(struct mqueue_inode_info, vfs_inode);
}

static __always_inline void write_mqueue(struct seq_file *seq, struct scratch *s,
					 const struct rec_detail *detail, struct file *file,
					 const struct reader *r)
{
	struct mqueue_inode_info *info = mqueue_of(file->f_inode);
	struct rec_mqueue *out = &s->mqueue;
	struct sk_buff *cookie;

	if (!info)
		return;
	__builtin_memset(out, 0, sizeof(*out));
	rec_init(&out->head, REC_MQUEUE, sizeof(*out));
	out->tgid = detail->tgid;
	out->fd = detail->fd;
	out->what = REC_MQUEUE_QUEUE;
	out->max_messages = (__u64)BPF_CORE_READ(info, attr.mq_maxmsg);
	out->max_bytes = (__u64)BPF_CORE_READ(info, attr.mq_msgsize);
	out->n_messages = (__u64)BPF_CORE_READ(info, attr.mq_curmsgs);
	out->bytes = BPF_CORE_READ(info, qsize);
	if (out->n_messages)
		out->head.flags = REC_F_MORE;
	if (BPF_CORE_READ(info, notify_owner)) {
		out->has_notify = 1;
		out->notify_tgid = pid_nr(BPF_CORE_READ(info, notify_owner), r);
		out->notify = (__u32)BPF_CORE_READ(info, notify.sigev_notify);
		out->notify_signo = BPF_CORE_READ(info, notify.sigev_signo);
		out->notify_value = (__u64)BPF_CORE_READ(info, notify.sigev_value.sival_ptr);
		out->notify_sock_id = (__u64)BPF_CORE_READ(info, notify_sock);
		cookie = BPF_CORE_READ(info, notify_cookie);
		if (cookie)
			bpf_probe_read_kernel(out->notify_cookie, sizeof(out->notify_cookie),
					      BPF_CORE_READ(cookie, data));
	}
	bpf_seq_write(seq, out, sizeof(*out));
}

/*
 * The tree of messages, one node per priority, is walked without a stack: into a node, then left,
 * then right, then up to the first ancestor whose right side is still to come. The messages of a
 * node are a list, each with its first bytes behind it and a chain of segments.
 */
static __always_inline struct rb_node *rb_parent(struct rb_node *n)
{
	return (void *)(BPF_CORE_READ(n, __rb_parent_color) & ~3UL);
}

static __always_inline void tree_step(struct ipc_walk *w)
{
	struct rb_node *n = (void *)w->node, *left = BPF_CORE_READ(n, rb_left),
		       *right = BPF_CORE_READ(n, rb_right), *parent;

	if (!w->climbing && left) {
		w->node = (__u64)left;
	} else if (!w->climbing && right) {
		w->node = (__u64)right;
	} else {
		parent = rb_parent(n);
		w->climbing = 1;
		w->node = (__u64)parent;
		if (!parent)
			return;
		right = BPF_CORE_READ(parent, rb_right);
		if (right && right != n) {
			w->climbing = 0;
			w->node = (__u64)right;
		}
	}
}

static __always_inline void enter_node(struct ipc_walk *w)
{
	struct posix_msg_tree_node *leaf =
		(void *)w->node - bpf_core_field_offset(struct posix_msg_tree_node, rb_node);

	w->list_end = (__u64)leaf + bpf_core_field_offset(struct posix_msg_tree_node, msg_list);
	w->list = (__u64)BPF_CORE_READ(leaf, msg_list.next);
	w->priority = (__u32)BPF_CORE_READ(leaf, priority);
	w->segment = 0;
	w->offset = 0;
}

/* Where the segment at w->segment (0: the first) of the message at w->list begins, and its length.
 */
static __always_inline __u64 segment_data(const struct ipc_walk *w, __u32 *ret_bytes)
{
	struct msg_msg *msg = (void *)w->list;
	__u64 at = w->segment ? w->segment : w->list;
	__u32 head = w->segment ? bpf_core_type_size(struct msg_msgseg)
				: bpf_core_type_size(struct msg_msg);
	__u32 left = (__u32)BPF_CORE_READ(msg, m_ts) - w->offset;

	*ret_bytes = left < PAGE_BYTES - head ? left : PAGE_BYTES - head;
	return at + head;
}

static __always_inline void write_segment(struct seq_file *seq, struct scratch *s, __u64 from,
					  __u32 n)
{
	struct ipc_walk *w = &s->ipc;
	struct msg_msg *msg = (void *)w->list;
	struct rec_mqueue_piece *out = &s->mqueue_piece.fixed;

	rec_init(&out->head, REC_MQUEUE, 0);
	out->what = REC_MQUEUE_PIECE;
	out->priority = w->priority;
	out->index = w->index;
	out->message_bytes = (__u32)BPF_CORE_READ(msg, m_ts);
	out->offset = w->offset;
	out->bytes = n;
	if (n >= sizeof(s->mqueue_piece.data))
		return;
	*(__u64 *)&s->mqueue_piece.data[n & (PAGE_BYTES - 8)] = 0; /* padding */
	bpf_probe_read_kernel(s->mqueue_piece.data, n, (void *)from);
	n = sizeof(*out) + padded(n);
	out->head.len = n;
	w->left -= (__s32)n;
	if (w->left < (__s32)sizeof(s->mqueue_piece))
		out->head.flags = REC_F_MORE;
	if (n <= sizeof(s->mqueue_piece))
		bpf_seq_write(seq, out, n);
}

static __always_inline void next_segment(struct ipc_walk *w, __u32 bytes)
{
	struct msg_msg *msg = (void *)w->list;
	struct msg_msgseg *segment = (void *)w->segment;

	w->offset += bytes;
	if (w->offset < (__u32)BPF_CORE_READ(msg, m_ts)) {
		w->segment = segment ? (__u64)BPF_CORE_READ(segment, next)
				     : (__u64)BPF_CORE_READ(msg, next);
		if (w->segment)
			return;
	}
	w->list = (__u64)BPF_CORE_READ(msg, m_list.next);
	w->segment = 0;
	w->offset = 0;
	w->index++;
}

static long mqueue_step(__u32 i, void *data)
{
	struct ipc_loop *loop = data;
	struct scratch *s = loop->s;
	struct ipc_walk *w = &s->ipc;
	__u32 bytes = 0;
	__u64 from;

	(void)i;
	if (w->list && w->list != w->list_end) {
		from = segment_data(w, &bytes);
		if (w->skip)
			w->skip--;
		else
			write_segment(loop->seq, s, from, bytes);
		next_segment(w, bytes);
		return w->left < (__s32)sizeof(s->mqueue_piece);
	}
	if (w->started)
		tree_step(w);
	w->started = 1;
	if (!w->node)
		return 1;
	w->list = 0;
	if (!w->climbing)
		enter_node(w);
	return 0;
}

/* The messages of the queue that a descriptor of the task refers to, from piece `first` on. */
static __always_inline void write_messages(struct seq_file *seq, struct scratch *s,
					   struct task_struct *task, const struct reader *r,
					   const struct rec_request *request)
{
	struct ipc_loop loop = { .seq = seq, .s = s };
	struct fdtable *fdt = BPF_CORE_READ(task, files, fdt);
	struct file **fds = BPF_CORE_READ(fdt, fd), *file = 0;
	struct mqueue_inode_info *info;

	if ((__u32)request->fd >= BPF_CORE_READ(fdt, max_fds))
		return;
	bpf_probe_read_kernel(&file, sizeof(file), &fds[(__u32)request->fd]);
	info = file ? mqueue_of(BPF_CORE_READ(file, f_inode)) : 0;
	if (!info)
		return;
	__builtin_memset(&s->ipc, 0, sizeof(s->ipc));
	s->ipc.skip = request->first;
	s->ipc.left = PIECE_BYTES;
	s->ipc.node = (__u64)BPF_CORE_READ(info, msg_tree.rb_node);
	s->mqueue_piece.fixed.tgid = group_nr(task, r);
	s->mqueue_piece.fixed.fd = request->fd;
	bpf_loop(RB_STEPS, mqueue_step, &loop, 0);
}

/* --- undo lists of System V semaphores: struct sem_undo_list of ipc/sem.c -------------------- */

static __always_inline bool has_sem_undo(struct task_struct *task)
{
	struct sem_undo_list *list = BPF_CORE_READ(task, sysvsem.undo_list);

	return list && BPF_CORE_READ(list, list_proc.next) != &list->list_proc;
}

static long sem_undo_step(__u32 i, void *data)
{
	struct ipc_loop *loop = data;
	struct ipc_walk *w = &loop->s->ipc;
	struct rec_sem_undo *out = &loop->s->sem_undo;
	struct list_head *node = (void *)w->list;
	struct sem_undo *undo;

	(void)i;
	if (!node || w->list == w->list_end)
		return 1;
	undo = (void *)node - bpf_core_field_offset(struct sem_undo, list_proc);
	w->list = (__u64)BPF_CORE_READ(node, next);
	if (w->skip) {
		w->skip--;
		return 0;
	}
	out->semid = BPF_CORE_READ(undo, semid);
	/* The set knows how many of them there are; what follows them is of no meaning. */
	bpf_probe_read_kernel(out->adjust, sizeof(out->adjust),
			      (void *)undo + bpf_core_field_offset(struct sem_undo, semadj));
	w->left -= sizeof(*out);
	out->head.flags = w->left < (__s32)sizeof(*out) && w->list != w->list_end ? REC_F_MORE : 0;
	bpf_seq_write(loop->seq, out, sizeof(*out));
	return w->left < (__s32)sizeof(*out);
}

static __always_inline void write_sem_undo(struct seq_file *seq, struct scratch *s,
					   struct task_struct *task, const struct reader *r,
					   const struct rec_request *request)
{
	struct sem_undo_list *list = BPF_CORE_READ(task, sysvsem.undo_list);
	struct ipc_loop loop = { .seq = seq, .s = s };
	struct rec_sem_undo *out = &s->sem_undo;

	if (!list)
		return;
	rec_init(&out->head, REC_SEM_UNDO, sizeof(*out));
	out->fd = 0;
	out->tgid = group_nr(task, r);
	out->tid = task_nr(task, r);
	out->list_id = (__u64)list;
	__builtin_memset(&s->ipc, 0, sizeof(s->ipc));
	s->ipc.skip = request->first;
	s->ipc.left = PIECE_BYTES;
	s->ipc.list = (__u64)BPF_CORE_READ(list, list_proc.next);
	s->ipc.list_end = (__u64)&list->list_proc;
	bpf_loop(LIST_MAX, sem_undo_step, &loop, 0);
}

/* --- contexts of io_setup(2): struct kioctx of fs/aio.c -------------------------------------- */

/* To learn where each CPU's data lie: how far its own copy of this is from what the map tells. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} percpu_probe SEC(".maps");

/* Each CPU may hold back some of the places for requests that nobody uses. */
static long aio_cpu_step(__u32 cpu, void *data)
{
	struct ipc_loop *loop = data;
	struct ipc_walk *w = &loop->s->ipc;
	__u32 zero = 0, n = 0;
	void *mine;

	if (cpu >= possible_cpus)
		return 1;
	mine = bpf_map_lookup_percpu_elem(&percpu_probe, &zero, cpu);
	if (!mine)
		return 0; /* a CPU that cannot be */
	/* Written and read back, it is a number. */
	*(void *volatile *)&w->segment = mine;
	bpf_probe_read_kernel(
		&n, sizeof(n),
		(void *)(w->percpu_at + *(volatile __u64 *)&w->segment - w->percpu_base));
	w->sum += n;
	return 0;
}

static __always_inline void aio_percpu_base(struct ipc_walk *w)
{
	*(void *volatile *)&w->segment = &percpu_probe;
	bpf_probe_read_kernel(&w->percpu_base, sizeof(w->percpu_base),
			      (void *)(*(volatile __u64 *)&w->segment +
				       bpf_core_field_offset(struct bpf_array, pptrs)));
}

static long aio_step(__u32 i, void *data)
{
	struct ipc_loop *loop = data;
	struct ipc_walk *w = &loop->s->ipc;
	struct rec_aio *out = &loop->s->aio;
	struct kioctx_table *table = (void *)w->list;
	struct kioctx *ctx = 0;

	(void)i;
	if (w->index >= w->until || w->left < (__s32)sizeof(*out))
		return 1;
	bpf_probe_read_kernel(&ctx, sizeof(ctx), &table->table[w->index]);
	w->index++;
	if (!ctx || BPF_CORE_READ(ctx, dead.counter))
		return 0;
	if (w->skip) {
		w->skip--;
		return 0;
	}
	out->address = BPF_CORE_READ(ctx, user_id);
	out->bytes = BPF_CORE_READ(ctx, mmap_size);
	out->max_requests = BPF_CORE_READ(ctx, max_reqs);
	out->n_events = BPF_CORE_READ(ctx, nr_events);
	/* Each request takes a place, and gives it back when its event was consumed. */
	w->percpu_at = (__u64)BPF_CORE_READ(ctx, cpu);
	w->sum = (__u32)BPF_CORE_READ(ctx, reqs_available.counter) +
		 BPF_CORE_READ(ctx, completed_events);
	bpf_loop(possible_cpus, aio_cpu_step, data, 0);
	out->in_flight = out->n_events - 1 - (__u32)w->sum;
	w->left -= sizeof(*out);
	out->head.flags = w->left < (__s32)sizeof(*out) && w->index < w->until ? REC_F_MORE : 0;
	bpf_seq_write(loop->seq, out, sizeof(*out));
	return 0;
}

static __always_inline void write_aio(struct seq_file *seq, struct scratch *s,
				      struct task_struct *task, const struct reader *r,
				      const struct rec_request *request)
{
	struct kioctx_table *table = BPF_CORE_READ(task, mm, ioctx_table);
	struct ipc_loop loop = { .seq = seq, .s = s };
	struct rec_aio *out = &s->aio;

	if (!table)
		return;
	__builtin_memset(out, 0, sizeof(*out));
	rec_init(&out->head, REC_AIO, sizeof(*out));
	out->tgid = group_nr(task, r);
	__builtin_memset(&s->ipc, 0, sizeof(s->ipc));
	s->ipc.skip = request->first;
	s->ipc.left = PIECE_BYTES;
	s->ipc.list = (__u64)table;
	s->ipc.until = BPF_CORE_READ(table, nr);
	aio_percpu_base(&s->ipc);
	bpf_loop(LIST_MAX, aio_step, &loop, 0);
}

#endif
