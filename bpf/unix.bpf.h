/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Unix sockets: the socket of a descriptor, the messages in its queue, the connections that it has
 * not accepted yet and their messages. Nothing is taken out or marked; the lists are walked as they
 * are, so of a running process only what is read of one object is true. Included by
 * snapshot.bpf.c.
 */
#ifndef EBPF_CKPT_UNIX_BPF_H
#define EBPF_CKPT_UNIX_BPF_H

#define AF_UNIX	    1
#define SOCK_STREAM 1
#define SOCK_DGRAM  2
#define TCP_LISTEN  10

#define SOCKFS_MAGIC 0x534f434bu

/* Bits of sock_common.skc_flags: enum sock_flags of the kernel. */
#define SOCK_FLAG_DEAD	    (1U << 0)
#define SOCK_FLAG_URGINLINE (1U << 2)

/*
 * Of the 32 KiB of one element: what is left beside a descriptor's own record, and the longest that
 * a record of the walk can be.
 */
#define UNIX_BUDGET  (22 << 10)
#define UNIX_LONGEST (sizeof(struct rec_unix_msg) + 256 * 8 + REC_UNIX_NAME + 4 + REC_UNIX_DATA + 8)

_Static_assert(sizeof(struct rec_unix) < UNIX_LONGEST, "");
_Static_assert(UNIX_LONGEST * 2 < UNIX_BUDGET, "");

struct unix_walk {
	struct seq_file *seq;
	struct scratch *s;
	const struct reader *r;
	__s32 fd;
	__u32 dgram;
};

static __always_inline bool unix_is_dead(struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_flags) & SOCK_FLAG_DEAD;
}

/*
 * Its name without the family; returns the length, 0 when it has none. The NUL at the end of a path
 * is not counted: behind the longest one it lies beyond sun_path.
 */
static __always_inline __u32 unix_name(struct sock *sk, char *name)
{
	struct unix_address *addr = BPF_CORE_READ((struct unix_sock *)sk, addr);
	__u32 len = addr ? (__u32)BPF_CORE_READ(addr, len) - 2 : 0;
	__u64 from = (__u64)addr + bpf_core_field_offset(struct unix_address, name) + 2;
	__u32 some = len > REC_UNIX_NAME ? REC_UNIX_NAME : len;

	if (!len || len > REC_UNIX_NAME + 1 || bpf_probe_read_kernel(name, some, (void *)from))
		return 0;
	return name[0] ? len - 1 : len;
}

static __always_inline void unix_cred(struct rec_unix_cred *out, struct pid *pid,
				      const struct reader *r)
{
	struct upid upid;

	out->pid = 0;
	out->vpid = 0;
	out->pid_ns_inum = 0;
	if (!pid)
		return;
	out->pid = pid_nr(pid, r);
	read_upid(&upid, pid, BPF_CORE_READ(pid, level));
	out->vpid = upid.nr;
	out->pid_ns_inum = BPF_CORE_READ(upid.ns, ns.inum);
}

static __always_inline void unix_fill_peer(struct rec_unix *out, struct sock *peer)
{
	struct unix_sock *u = (void *)peer;

	out->flags |= REC_UNIX_PEER;
	out->peer_id = (__u64)peer;
	out->peer_peer_id = (__u64)BPF_CORE_READ(u, peer);
	if (unix_is_dead(peer))
		out->flags |= REC_UNIX_PEER_DEAD;
	else if (!BPF_CORE_READ(peer, sk_socket))
		out->flags |= REC_UNIX_PEER_EMBRYO;
	if (bpf_core_field_exists(u->listener))
		out->peer_listener_id = (__u64)BPF_CORE_READ(u, listener);
	out->peer_name_len = unix_name(peer, out->peer_name);
}

static __always_inline void unix_fill_file(struct rec_unix *out, struct unix_sock *u)
{
	struct dentry *dentry = BPF_CORE_READ(u, path.dentry);
	struct inode *inode = BPF_CORE_READ(dentry, d_inode);
	__u32 dev;

	if (!dentry)
		return;
	dev = BPF_CORE_READ(inode, i_sb, s_dev);
	out->file_inode_id = (__u64)inode;
	out->file_ino = BPF_CORE_READ(inode, i_ino);
	out->file_dev_major = dev_major(dev);
	out->file_dev_minor = dev_minor(dev);
	out->file_mode = BPF_CORE_READ(inode, i_mode);
	out->file_uid = BPF_CORE_READ(inode, i_uid.val);
	out->file_gid = BPF_CORE_READ(inode, i_gid.val);
	if (!BPF_CORE_READ(dentry, d_hash.pprev))
		out->flags |= REC_UNIX_UNLINKED;
}

/*
 * A socket from accept(2) has its listener's name, but is not found by it: its place in the table
 * is that of sockets without a name, in the lower half, where those bound to a file are, too (since
 * 6.0); the latter are in another table besides.
 */
static __always_inline bool unix_is_inherited(struct rec_unix *out, struct sock *sk)
{
	__u32 hash = BPF_CORE_READ(sk, __sk_common.skc_hash);

	if (!out->name_len || out->type == SOCK_DGRAM)
		return false;
	if (out->name[0])
		return !BPF_CORE_READ(sk, __sk_common.skc_bind_node.pprev);
	return hash < 256;
}

static __always_inline void unix_fill(struct rec_unix *out, struct sock *sk, const struct reader *r)
{
	struct unix_sock *u = (void *)sk;
	const struct cred *cred = BPF_CORE_READ(sk, sk_peer_cred);
	struct group_info *groups = BPF_CORE_READ(cred, group_info);
	struct sock *peer = BPF_CORE_READ(u, peer);
	__u32 flags = BPF_CORE_READ(sk, __sk_common.skc_flags), qlen, n;

	out->sock_id = (__u64)sk;
	out->addr_id = (__u64)BPF_CORE_READ(u, addr);
	out->type = BPF_CORE_READ(sk, sk_type);
	out->state = BPF_CORE_READ(sk, __sk_common.skc_state);
	out->shutdown = BPF_CORE_READ(sk, sk_shutdown);
	out->protocol = BPF_CORE_READ(sk, sk_protocol);
	out->error = BPF_CORE_READ(sk, sk_err);
	out->backlog = BPF_CORE_READ(sk, sk_max_ack_backlog);
	qlen = BPF_CORE_READ(sk, sk_receive_queue.qlen);
	if (out->state == TCP_LISTEN)
		out->n_pending = qlen;
	else
		out->n_messages = qlen;
	if (flags & SOCK_FLAG_DEAD)
		out->flags |= REC_UNIX_DEAD;
	if (flags & SOCK_FLAG_URGINLINE)
		out->flags |= REC_UNIX_OOB_INLINE;
	if (BPF_CORE_READ(sk, sk_filter))
		out->flags |= REC_UNIX_FILTER;
	out->name_len = unix_name(sk, out->name);
	if (unix_is_inherited(out, sk))
		out->flags |= REC_UNIX_INHERITED;
	if (peer)
		unix_fill_peer(out, peer);
	unix_fill_file(out, u);
	unix_cred(&out->peer_cred, BPF_CORE_READ(sk, sk_peer_pid), r);
	if (!cred)
		return;
	out->peer_cred.has = 1;
	out->peer_cred.uid = BPF_CORE_READ(cred, euid.val);
	out->peer_cred.gid = BPF_CORE_READ(cred, egid.val);
	n = (__u32)BPF_CORE_READ(groups, ngroups);
	out->n_groups = n;
	if (n > REC_UNIX_GROUPS)
		n = REC_UNIX_GROUPS;
	bpf_probe_read_kernel(out->group, n * sizeof(out->group[0]), &groups->gid[0]);
}

/* The record of a socket: starts it, and counts it against what may be written. */
static __always_inline struct rec_unix *unix_start(struct unix_walk *w, __u32 index)
{
	struct rec_unix *out = &w->s->unix_socket;

	__builtin_memset(out, 0, sizeof(*out));
	rec_init(&out->head, REC_UNIX, sizeof(*out));
	out->tgid = w->s->walk.tgid;
	out->fd = w->fd;
	out->index = index;
	return out;
}

static __always_inline bool unix_at_end(const struct walk *at)
{
	return at->inner == at->inner_end && at->node == at->end;
}

/* Takes `bytes` off the budget; tells whether the walk ends here, and notes it in the record. */
static __always_inline bool unix_spend(struct walk *at, struct rec_head *head, __u32 bytes)
{
	at->left -= bytes;
	if (at->left >= UNIX_LONGEST || unix_at_end(at))
		return false;
	head->flags |= REC_F_MORE;
	return true;
}

/*
 * Let the walk go through the messages of a socket. What they hold is told where nobody can peek:
 * nothing has a descriptor of a connection that was not accepted, and a datagram's receiver takes
 * the error away that waits there.
 */
static __always_inline void unix_enter(struct walk *at, struct sock *sk)
{
	at->until =
		at->at || (BPF_CORE_READ(sk, sk_err) && BPF_CORE_READ(sk, sk_type) != SOCK_STREAM);
	at->inner_end = (__u64)sk + bpf_core_field_offset(struct sock, sk_receive_queue);
	at->inner = (__u64)BPF_CORE_READ(sk, sk_receive_queue.next);
}

static __always_inline struct unix_skb_parms *unix_parms(struct sk_buff *skb)
{
	return (void *)((char *)skb + bpf_core_field_offset(struct sk_buff, cb));
}

/* What follows the record of a message; s->name is where it is put together. */
static __always_inline void unix_write_tail(struct unix_walk *w, struct sk_buff *skb,
					    const struct rec_unix_msg *out)
{
	struct scm_fp_list *fp = BPF_CORE_READ(unix_parms(skb), fp);
	__u32 n = out->n_files, len = out->from_len, consumed;
	char *buf = w->s->name;

	if (n > 0 && n <= 253) {
		bpf_probe_read_kernel(buf, n * 8, &fp->fp[0]);
		bpf_seq_write(w->seq, buf, n * 8);
	}
	if (len > 0 && len <= REC_UNIX_NAME) {
		unix_name((struct sock *)out->sender_id, buf);
		bpf_seq_write(w->seq, buf, padded(len));
	}
	len = out->data_len;
	if (len > 0 && len <= REC_UNIX_DATA) {
		consumed = BPF_CORE_READ(unix_parms(skb), consumed);
		bpf_probe_read_kernel(buf, len, BPF_CORE_READ(skb, data) + consumed);
		bpf_seq_write(w->seq, buf, padded(len));
	}
}

static __always_inline void unix_fill_msg(struct unix_walk *w, struct rec_unix_msg *out,
					  struct sk_buff *skb)
{
	struct unix_sock *owner = (void *)(w->s->walk.inner_end -
					   bpf_core_field_offset(struct sock, sk_receive_queue));
	struct unix_skb_parms *parms = unix_parms(skb);
	struct scm_fp_list *fp = BPF_CORE_READ(parms, fp);
	struct sock *from = BPF_CORE_READ(skb, sk);
	struct pid *pid = BPF_CORE_READ(parms, pid);
	__u32 linear, consumed = BPF_CORE_READ(parms, consumed);

	out->sender_id = (__u64)from;
	out->len = BPF_CORE_READ(skb, len) - consumed;
	unix_cred(&out->cred, pid, w->r);
	out->cred.uid = BPF_CORE_READ(parms, uid.val);
	out->cred.gid = BPF_CORE_READ(parms, gid.val);
	out->cred.has = pid ? 1 : 0;
	if (fp)
		out->n_files = BPF_CORE_READ(fp, count) & 0xff;
	if (from && !unix_is_dead(from))
		out->flags |= REC_UNIX_MSG_SENDER;
	if (from && w->dgram)
		out->from_len = unix_name(from, w->s->name);
	if (bpf_core_field_exists(owner->oob_skb) &&
	    (__u64)BPF_CORE_READ(owner, oob_skb) == (__u64)skb)
		out->flags |= REC_UNIX_MSG_OOB;
	if (!out->len && !w->dgram && consumed)
		out->flags |= REC_UNIX_MSG_OOB_READ;
	if (!w->s->walk.until)
		return;
	linear = BPF_CORE_READ(skb, len) - BPF_CORE_READ(skb, data_len) - consumed;
	out->data_len = linear > REC_UNIX_DATA ? 0 : linear;
}

static __always_inline long unix_write_msg(struct unix_walk *w, struct sk_buff *skb)
{
	struct rec_unix_msg *out = &w->s->unix_msg;
	struct walk *at = &w->s->walk;
	long end;

	__builtin_memset(out, 0, sizeof(*out));
	rec_init(&out->head, REC_UNIX_MSG, sizeof(*out));
	out->tgid = at->tgid;
	out->fd = w->fd;
	out->index = at->at;
	unix_fill_msg(w, out, skb);
	out->head.len += out->n_files * 8 + padded(out->from_len) + padded(out->data_len);
	end = unix_spend(at, &out->head, out->head.len);
	bpf_seq_write(w->seq, out, sizeof(*out));
	unix_write_tail(w, skb, out);
	return end;
}

static __always_inline long unix_write_embryo(struct unix_walk *w, struct sock *sk)
{
	struct walk *at = &w->s->walk;
	struct rec_unix *out = unix_start(w, at->at);
	long end;

	unix_fill(out, sk, w->r);
	out->flags |= REC_UNIX_EMBRYO;
	end = unix_spend(at, &out->head, sizeof(*out));
	bpf_seq_write(w->seq, out, sizeof(*out));
	return end;
}

static long unix_step(__u32 i, void *data)
{
	struct unix_walk *w = data;
	struct walk *at = &w->s->walk;
	struct sk_buff *skb;
	bool message;

	(void)i;
	if (unix_at_end(at) || !at->inner || !at->node)
		return 1;
	message = at->inner != at->inner_end;
	skb = (void *)(message ? at->inner : at->node);
	if (message) {
		at->inner = (__u64)BPF_CORE_READ(skb, next);
	} else {
		at->node = (__u64)BPF_CORE_READ(skb, next);
		at->at++;
		unix_enter(at, BPF_CORE_READ(skb, sk));
	}
	if (at->skip) {
		at->skip--;
		return 0;
	}
	return message ? unix_write_msg(w, skb) : unix_write_embryo(w, BPF_CORE_READ(skb, sk));
}

/* Messages and connections of a socket from the entry `skip` on. */
static __always_inline void unix_write_list(struct unix_walk *w, struct sock *sk, __s32 tgid,
					    __u32 skip)
{
	struct walk *at = &w->s->walk;

	w->dgram = BPF_CORE_READ(sk, sk_type) == SOCK_DGRAM;
	at->tgid = tgid;
	at->at = 0;
	at->skip = skip;
	at->left = UNIX_BUDGET;
	unix_enter(at, sk);
	at->node = at->end = at->inner_end;
	if (BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_LISTEN) {
		at->node = at->inner;
		at->inner = at->inner_end;
	}
	if (!unix_at_end(at))
		bpf_loop(LIST_MAX, unix_step, w, 0);
}

/* All of a descriptor's socket; the record of the descriptor has been written. */
static __always_inline void write_unix(struct seq_file *seq, struct scratch *s,
				       const struct reader *r, struct file *file)
{
	struct socket *socket = bpf_sock_from_file(file);
	struct unix_walk w = { .seq = seq, .s = s, .r = r, .fd = s->file.fd };
	__s32 tgid = s->file.tgid;
	struct unix_sock *u;
	struct rec_unix *out;
	__u32 unlinked = 0, len = 0;
	struct sock *sk;

	if (!socket || s->file.sk_family != AF_UNIX)
		return;
	sk = socket->sk;
	u = sk ? bpf_skc_to_unix_sock(sk) : 0;
	if (!u)
		return;
	s->walk.tgid = tgid;
	out = unix_start(&w, 0);
	unix_fill(out, sk, r);
	if (out->file_inode_id)
		len = fill_path(s, &u->path, &unlinked, &out->head.flags);
	out->path_len = len;
	out->head.len += path_bytes(len);
	bpf_seq_write(seq, out, sizeof(*out));
	write_path(seq, s, len);
	unix_write_list(&w, sk, tgid, 0);
}

/*
 * The rest of a list, see rec_request; `skip` counts the socket's own record, too. What the task
 * has of a file is reached by plain pointers: it is held by the process that is frozen.
 */
static __always_inline void write_more_unix(struct seq_file *seq, struct scratch *s,
					    struct task_struct *task, const struct reader *r,
					    __s32 fd, __u32 skip)
{
	struct unix_walk w = { .seq = seq, .s = s, .r = r, .fd = fd };
	struct fdtable *fdt = BPF_CORE_READ(task, files, fdt);
	struct file **slot = BPF_CORE_READ(fdt, fd);
	struct file *file = 0;
	struct socket *socket;
	struct sock *sk;

	if (fd < 0 || (__u32)fd >= BPF_CORE_READ(fdt, max_fds) || !skip)
		return;
	bpf_probe_read_kernel(&file, sizeof(file), slot + fd);
	if (!file || BPF_CORE_READ(file, f_inode, i_sb, s_magic) != SOCKFS_MAGIC)
		return;
	socket = BPF_CORE_READ(file, private_data);
	sk = BPF_CORE_READ(socket, sk);
	if (sk && BPF_CORE_READ(sk, __sk_common.skc_family) == AF_UNIX)
		unix_write_list(&w, sk, task_nr(task, r), skip - 1);
}

#endif
