/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Terminals: their settings, and of pseudo-terminals what is queued. No call tells the latter
 * without taking it away, so it is read where it lies: what the line discipline has taken is in its
 * ring (struct n_tty_data), what it has not taken yet in a chain of buffers of the port.
 *
 * Each direction of a pair belongs to the end that reads it, and is told through that. Through the
 * master, of which there is never more than one open file, both are told, the slave's as far as
 * there is room: it may not be open at all.
 */
#ifndef EBPF_CKPT_TTY_BPF_H
#define EBPF_CKPT_TTY_BPF_H

/* Unix98 pairs (Documentation/admin-guide/devices.txt); they are made with one major number each.
 */
#define MAJOR_PTM 128
#define MAJOR_PTS 136
#define N_TTY	  0

/* Bits of tty_struct.flags that never moved */
#define TTY_OTHER_CLOSED 2
#define TTY_EXCLUSIVE	 3

/* One element's output stays below 32 KiB. Each direction holds 16 KiB at the most. */
#define ELEMENT_MAX 32768
#define TTY_HEADS   2048 /* of the parts, and the two bit maps */

static __always_inline void fill_termios(struct rec_termios *out, const struct ktermios *from)
{
	out->iflag = BPF_CORE_READ(from, c_iflag);
	out->oflag = BPF_CORE_READ(from, c_oflag);
	out->cflag = BPF_CORE_READ(from, c_cflag);
	out->lflag = BPF_CORE_READ(from, c_lflag);
	out->ispeed = BPF_CORE_READ(from, c_ispeed);
	out->ospeed = BPF_CORE_READ(from, c_ospeed);
	out->line = BPF_CORE_READ(from, c_line);
	bpf_core_read(out->cc, sizeof(out->cc), &from->c_cc);
}

static __always_inline void fill_tty_ring(struct rec_tty *out, const struct n_tty_data *ring)
{
	out->read_head = BPF_CORE_READ(ring, read_head);
	out->read_tail = BPF_CORE_READ(ring, read_tail);
	out->canon_head = BPF_CORE_READ(ring, canon_head);
	out->echo_head = BPF_CORE_READ(ring, echo_head);
	out->echo_tail = BPF_CORE_READ(ring, echo_tail);
	out->no_room = BPF_CORE_READ(ring, no_room);
	out->column = BPF_CORE_READ(ring, column);
	out->canon_column = BPF_CORE_READ(ring, canon_column);
	out->literal_next = BPF_CORE_READ_BITFIELD_PROBED(ring, lnext);
	out->erasing = BPF_CORE_READ_BITFIELD_PROBED(ring, erasing);
}

static __always_inline void fill_tty_node(struct rec_tty *out, const struct dentry *dentry)
{
	const struct inode *inode = BPF_CORE_READ(dentry, d_inode);
	__u32 dev = BPF_CORE_READ(inode, i_sb, s_dev);

	out->node_dev_major = dev_major(dev);
	out->node_dev_minor = dev_minor(dev);
	out->node_uid = BPF_CORE_READ(inode, i_uid.val);
	out->node_gid = BPF_CORE_READ(inode, i_gid.val);
	out->node_mode = BPF_CORE_READ(inode, i_mode);
	out->node_inode_id = (__u64)inode;
}

/*
 * Walks over the chain: node is the buffer, at the offset in it, until the end of what it holds,
 * left the bytes to take.
 */
static __always_inline void flip_enter(struct walk *at, __u64 node)
{
	struct tty_buffer *buf = (void *)node;

	at->node = node;
	at->at = node ? BPF_CORE_READ(buf, read) : 0;
	at->until = node ? BPF_CORE_READ(buf, used) : 0;
}

static long flip_count_step(__u32 i, void *data)
{
	struct walk *at = *(struct walk **)data;
	struct tty_buffer *buf = (void *)at->node;

	(void)i;
	if (!buf)
		return 1;
	if (at->until > at->at) {
		at->sum += at->until - at->at;
		at->skip |= compat_tty_buffer_flagged(buf);
	}
	flip_enter(at, (__u64)BPF_CORE_READ(buf, next));
	return 0;
}

/* skip: whether some buffer has flags. */
static __always_inline void fill_tty_flip(struct rec_tty *out, struct walk *at,
					  struct tty_struct *tty)
{
	flip_enter(at, (__u64)BPF_CORE_READ(tty, port, buf.head));
	at->sum = 0;
	at->skip = 0;
	bpf_loop(LIST_MAX, flip_count_step, &at, 0);
	out->flip_bytes = (__u32)at->sum;
	out->flip_flagged = at->skip;
}

static __always_inline bool is_hung_up(struct file *file)
{
	__u64 fn = (__u64)BPF_CORE_READ(file, f_op, read_iter);
	char name[16] = {};

	/* hung_up_tty_fops is a static object; the functions in it have names. */
	bpf_snprintf(name, sizeof(name), "%ps", &fn, sizeof(fn));
	return bpf_strncmp(name, 7, "hung_up") == 0;
}

/* Pipes and sockets have neither: only what is a terminal gets here. */
static __noinline int fill_tty_rec(struct scratch *s, struct tty_struct *tty,
				   const struct reader *r)
{
	struct rec_tty *out;
	struct tty_ldisc *ldisc;
	struct pid *pid;
	__u64 flags;

	if (!s || !tty || !r)
		return 0;
	out = &s->tty;
	out->tty_id = (__u64)tty;
	out->link_id = (__u64)BPF_CORE_READ(tty, link);
	flags = BPF_CORE_READ(tty, flags);
	out->other_closed = flags >> TTY_OTHER_CLOSED & 1;
	out->exclusive = flags >> TTY_EXCLUSIVE & 1;
	out->slave_locked = flags >> compat_tty_pty_lock() & 1;
	out->count = BPF_CORE_READ(tty, count);
	out->major = (__u32)BPF_CORE_READ(tty, driver, major);
	out->index = (__u32)BPF_CORE_READ(tty, index);
	out->minor = (__u32)BPF_CORE_READ(tty, driver, minor_start) + out->index;
	out->is_pty = out->major == MAJOR_PTM ? 1 : out->major == MAJOR_PTS ? 2 : 0;
	pid = compat_tty_session(tty);
	out->session = pid_nr(pid, r);
	out->has_session = pid != 0;
	pid = compat_tty_pgrp(tty);
	out->fg_pgid = pid_nr(pid, r);
	out->has_pgrp = pid != 0;
	out->stopped = BPF_CORE_READ(tty, flow.stopped);
	out->stopped_by_call = BPF_CORE_READ(tty, flow.tco_stopped);
	out->packet = BPF_CORE_READ(tty, ctrl.packet);
	out->packet_status = BPF_CORE_READ(tty, ctrl.pktstatus);
	out->rows = BPF_CORE_READ(tty, winsize.ws_row);
	out->columns = BPF_CORE_READ(tty, winsize.ws_col);
	out->xpixels = BPF_CORE_READ(tty, winsize.ws_xpixel);
	out->ypixels = BPF_CORE_READ(tty, winsize.ws_ypixel);
	fill_termios(&out->termios, &tty->termios);
	fill_termios(&out->locked, &tty->termios_locked);
	ldisc = BPF_CORE_READ(tty, ldisc);
	out->ldisc = -1;
	if (ldisc) {
		out->ldisc = BPF_CORE_READ(ldisc, ops, num);
		bpf_probe_read_kernel_str(out->ldisc_name, sizeof(out->ldisc_name),
					  BPF_CORE_READ(ldisc, ops, name));
	}
	if (out->is_pty == 2)
		fill_tty_node(out, BPF_CORE_READ(tty, driver_data));
	if (out->is_pty)
		fill_tty_flip(out, &s->walk, tty);
	if (out->ldisc == N_TTY)
		fill_tty_ring(out, BPF_CORE_READ(tty, disc_data));
	return 0;
}

static __always_inline void write_tty_rec(struct seq_file *seq, struct scratch *s,
					  const struct rec_detail *detail, struct tty_struct *tty,
					  __u32 part, bool hung_up)
{
	struct rec_tty *out = &s->tty;
	struct reader r;

	reader_init(&r);
	__builtin_memset(out, 0, sizeof(*out));
	rec_init(&out->part.head, REC_TTY, sizeof(*out));
	out->part.tgid = detail->tgid;
	out->part.fd = detail->fd;
	out->part.part = part;
	out->part.link = part == REC_TTY_LINK;
	out->hung_up = hung_up;
	fill_tty_rec(s, tty, &r);
	bpf_seq_write(seq, out, sizeof(*out));
}

/* What the walks that write need. */
struct tty_writer {
	struct seq_file *seq;
	struct scratch *s;
	struct rec_tty_data head;
};

/* A piece of at most REC_TTY_RING bytes. */
static __always_inline void write_tty_bytes(struct tty_writer *w, __u32 part, const void *from,
					    __u32 n)
{
	struct walk *at = &w->s->walk;
	__u32 room;

	if (n == 0 || n > REC_TTY_RING || n > at->left)
		return;
	at->left -= n;
	room = (n + 7) & ~7U;
	if (room > REC_TTY_RING)
		return;
	bpf_probe_read_kernel(w->s->name, room, from);
	w->head.part.part = part;
	w->head.part.head.len = sizeof(w->head) + room;
	w->head.n = n;
	bpf_seq_write(w->seq, &w->head, sizeof(w->head));
	bpf_seq_write(w->seq, w->s->name, room);
}

static long flip_write_step(__u32 i, void *data)
{
	struct tty_writer *w = data;
	struct walk *at = &w->s->walk;
	struct tty_buffer *buf = (void *)at->node;
	__u32 n;

	(void)i;
	if (!buf || !at->left)
		return 1;
	if (at->until <= at->at) {
		flip_enter(at, (__u64)BPF_CORE_READ(buf, next));
		return 0;
	}
	n = at->until - at->at;
	if (n > REC_TTY_RING)
		n = REC_TTY_RING;
	if (n > at->left) {
		at->left = 0;
		return 1;
	}
	write_tty_bytes(w, REC_TTY_FLIP,
			(char *)buf + bpf_core_field_offset(struct tty_buffer, data) + at->at, n);
	at->at += n;
	return 0;
}

static __always_inline void write_tty_ring(struct tty_writer *w, struct tty_struct *tty)
{
	const struct n_tty_data *ring = BPF_CORE_READ(tty, disc_data);
	const char *bytes = (const char *)ring + bpf_core_field_offset(struct n_tty_data, read_buf);
	const char *flags =
		(const char *)ring + bpf_core_field_offset(struct n_tty_data, read_flags);
	__u64 head = BPF_CORE_READ(ring, read_head), tail = BPF_CORE_READ(ring, read_tail);
	__u32 from = tail & (REC_TTY_RING - 1), n = head - tail, first = REC_TTY_RING - from;

	if (n == 0 || n > REC_TTY_RING)
		return;
	if (first > n)
		first = n;
	write_tty_bytes(w, REC_TTY_READ, bytes + from, first);
	if (n > first)
		write_tty_bytes(w, REC_TTY_READ, bytes, n - first);
	write_tty_bytes(w, REC_TTY_READ_FLAGS, flags, REC_TTY_RING / 8);
}

/* What `tty` has to read; walk.left is what may still be written. */
static __noinline int write_tty_queue(struct tty_writer *w, struct tty_struct *tty, __u32 link)
{
	struct tty_ldisc *ldisc;

	if (!w || !tty)
		return 0;
	w->head.part.link = link;
	ldisc = BPF_CORE_READ(tty, ldisc);
	if (ldisc && BPF_CORE_READ(ldisc, ops, num) == N_TTY)
		write_tty_ring(w, tty);
	flip_enter(&w->s->walk, (__u64)BPF_CORE_READ(tty, port, buf.head));
	bpf_loop(LIST_MAX, flip_write_step, w, 0);
	return 0;
}

/* written: bytes that the element has put out before. */
static __always_inline void write_tty(struct seq_file *seq, struct scratch *s,
				      const struct rec_detail *detail, struct file *file,
				      __u32 written)
{
	struct tty_file_private *priv = BPF_CORE_READ(file, private_data);
	struct tty_writer w = { .seq = seq, .s = s };
	struct tty_struct *tty, *link;
	bool is_master;

	if (!priv)
		return;
	tty = BPF_CORE_READ(priv, tty);
	if (!tty)
		return;
	link = BPF_CORE_READ(tty, link);
	write_tty_rec(seq, s, detail, tty, REC_TTY_OWN, is_hung_up(file));
	if (!s->tty.is_pty)
		return;
	is_master = s->tty.is_pty == 1 && link;
	if (is_master)
		write_tty_rec(seq, s, detail, link, REC_TTY_LINK, false);
	rec_init(&w.head.part.head, REC_TTY, 0);
	w.head.part.tgid = detail->tgid;
	w.head.part.fd = detail->fd;
	s->walk.left = written + TTY_HEADS < ELEMENT_MAX ? ELEMENT_MAX - TTY_HEADS - written : 0;
	write_tty_queue(&w, tty, 0);
	if (is_master)
		write_tty_queue(&w, link, 1);
}

#endif
