/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The entries of epoll instances, from the red-black tree in which the kernel keeps them, ordered
 * by file and number. Included by snapshot.bpf.c.
 */
#ifndef EBPF_CKPT_EPOLL_BPF_H
#define EBPF_CKPT_EPOLL_BPF_H

/* With both, and the descriptor's own record, the output of one element stays below 32 KiB. */
#define EPOLL_ORDER_MAX 96
#define EPOLL_PER_PIECE 260
#define RB_DEPTH_MAX	64
#define RB_PARENT_MASK	(~3ULL)

/* Where the walk has come to (walk.at). */
enum { TREE_HERE, TREE_DOWN, TREE_UP };

struct epoll_walk {
	struct seq_file *seq;
	struct walk *at; /* node: where it stands; left: entries to write; end: the list's head */
	struct rec_epoll out;
	__u64 after_file; /* for the search */
	__s32 after_fd;
};

static __always_inline struct epitem *epitem_of(__u64 node)
{
	return (void *)(node - bpf_core_field_offset(struct epitem, rbn));
}

/* Whose signals a signalfd tells of: those of the process that made the entry. */
static __always_inline __u64 epitem_sighand(struct epitem *item)
{
	__u64 head = (__u64)BPF_CORE_READ(item, pwqlist, whead);

	return head ? head - bpf_core_field_offset(struct sighand_struct, signalfd_wqh) : 0;
}

static __noinline void fill_epitem(struct rec_epoll *out, struct epitem *item)
{
	struct list_head *link;
	struct file *file;

	if (!out || !item)
		return;
	link = (void *)item + bpf_core_field_offset(struct epitem, rdllink);
	file = BPF_CORE_READ(item, ffd.file);
	out->file_id = (__u64)file;
	out->number = BPF_CORE_READ(item, ffd.fd);
	out->events = BPF_CORE_READ(item, event.events);
	out->data = BPF_CORE_READ(item, event.data);
	out->flags = (__u64)BPF_CORE_READ(link, next) != (__u64)link ? REC_EPOLL_READY : 0;
	out->sighand_id = 0;
	__builtin_memset(out->name, 0, sizeof(out->name));
	bpf_probe_read_kernel_str(out->name, sizeof(out->name),
				  BPF_CORE_READ(file, f_path.dentry, d_name.name));
	if (bpf_strncmp(out->name, sizeof(out->name), "[signalfd]") == 0)
		out->sighand_id = epitem_sighand(item);
}

static long epoll_ready_step(__u32 i, void *data)
{
	struct epoll_walk *w = data;
	struct list_head *node = (void *)w->at->node;
	struct epitem *item;

	if (!node || w->at->node == w->at->end || i >= EPOLL_ORDER_MAX)
		return 1;
	item = (void *)(w->at->node - bpf_core_field_offset(struct epitem, rdllink));
	w->at->node = (__u64)BPF_CORE_READ(node, next);
	fill_epitem(&w->out, item);
	w->out.flags = REC_EPOLL_ORDER;
	bpf_seq_write(w->seq, &w->out, sizeof(w->out));
	return 0;
}

/* One move from node to node; 1 when there is none. */
static __always_inline long epoll_move(struct walk *at)
{
	struct rb_node *node = (void *)at->node, *to;

	if (at->at == TREE_HERE) {
		to = BPF_CORE_READ(node, rb_right);
		at->at = to ? TREE_DOWN : TREE_UP;
		if (to)
			at->node = (__u64)to;
		return 0;
	}
	if (at->at == TREE_DOWN) {
		to = BPF_CORE_READ(node, rb_left);
		if (to)
			at->node = (__u64)to;
		else
			at->at = TREE_HERE;
		return 0;
	}
	to = (void *)(BPF_CORE_READ(node, __rb_parent_color) & RB_PARENT_MASK);
	if (!to)
		return 1;
	if (BPF_CORE_READ(to, rb_left) == node)
		at->at = TREE_HERE;
	at->node = (__u64)to;
	return 0;
}

/* The last entry of a piece waits in w->out until it is known whether more follow. */
static long epoll_step(__u32 i, void *data)
{
	struct epoll_walk *w = data;

	(void)i;
	if (w->at->at == TREE_HERE) {
		if (w->out.file_id)
			bpf_seq_write(w->seq, &w->out, sizeof(w->out));
		if (!w->at->left)
			return 1;
		w->at->left--;
		fill_epitem(&w->out, epitem_of(w->at->node));
		if (!w->at->left)
			w->out.head.head.flags = REC_F_MORE;
	}
	return epoll_move(w->at);
}

/* Down the tree: walk.inner becomes the first entry behind the one asked for. */
static long epoll_find_step(__u32 i, void *data)
{
	struct epoll_walk *w = data;
	struct rb_node *node = (void *)w->at->node;
	struct epitem *item;
	__u64 file;
	bool behind;

	(void)i;
	if (!node)
		return 1;
	item = epitem_of(w->at->node);
	file = (__u64)BPF_CORE_READ(item, ffd.file);
	behind = file > w->after_file ||
		 (file == w->after_file && BPF_CORE_READ(item, ffd.fd) > w->after_fd);
	if (behind)
		w->at->inner = w->at->node;
	w->at->node =
		behind ? (__u64)BPF_CORE_READ(node, rb_left) : (__u64)BPF_CORE_READ(node, rb_right);
	return 0;
}

static __always_inline void write_entries(struct epoll_walk *w, struct eventpoll *ep)
{
	struct walk *at = w->at;

	at->inner = 0;
	at->node = (__u64)BPF_CORE_READ(ep, rbr.rb_root.rb_node);
	bpf_loop(RB_DEPTH_MAX, epoll_find_step, w, 0);
	at->node = at->inner;
	if (!at->node)
		return;
	at->at = TREE_HERE;
	at->left = EPOLL_PER_PIECE;
	w->out.file_id = 0;
	bpf_loop(LIST_MAX, epoll_step, w, 0);
	/* The tree has ended before the piece was full: what waits is the last. */
	if (w->at->at == TREE_UP && w->out.file_id) {
		w->out.head.head.flags = 0;
		bpf_seq_write(w->seq, &w->out, sizeof(w->out));
	}
}

/* The first piece, with what is known of the order of the ready list. */
static __always_inline void write_epoll(struct seq_file *seq, const struct rec_detail *whose,
					struct walk *at, struct file *file)
{
	struct eventpoll *ep = BPF_CORE_READ(file, private_data);
	struct epoll_walk w = { .seq = seq, .at = at, .after_fd = -1 };

	detail_init(&w.out.head, whose, REC_EPOLL, sizeof(w.out));
	w.out.epoll_id = (__u64)file;
	at->end = (__u64)ep + bpf_core_field_offset(struct eventpoll, rdllist);
	at->node = (__u64)BPF_CORE_READ(ep, rdllist.next);
	if (at->node != at->end)
		bpf_loop(EPOLL_ORDER_MAX, epoll_ready_step, &w, 0);
	write_entries(&w, ep);
}

/* A further piece, of a descriptor of this task. Nothing when it is another file by now. */
static __always_inline void write_more_epoll(struct seq_file *seq, struct walk *at,
					     struct task_struct *task, __s32 tgid,
					     const struct rec_request_epoll *request)
{
	struct epoll_walk w = { .seq = seq, .at = at };
	struct rec_detail whose = { .tgid = tgid, .fd = request->fd };
	struct fdtable *fdt = BPF_CORE_READ(task, files, fdt);
	struct file **table = BPF_CORE_READ(fdt, fd);
	struct file *file = 0;

	if (request->fd < 0 || (__u32)request->fd >= BPF_CORE_READ(fdt, max_fds))
		return;
	bpf_probe_read_kernel(&file, sizeof(file), table + request->fd);
	if (!file || (__u64)file != request->file_id)
		return;
	detail_init(&w.out.head, &whose, REC_EPOLL, sizeof(w.out));
	w.out.epoll_id = (__u64)file;
	w.after_file = request->after_file_id;
	w.after_fd = request->after_fd;
	write_entries(&w, BPF_CORE_READ(file, private_data));
}

#endif
