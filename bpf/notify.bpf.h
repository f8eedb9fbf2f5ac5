/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who watches which files: inotify and fanotify groups with their marks and queued events, and the
 * dnotify registrations of a directory. Included by snapshot.bpf.c.
 *
 * A mark knows an inode and no path, so the names are told by which the inode can be found: those
 * of its dentry and of the directories above it, up to the root of its file system. Lists come in
 * pieces, as one element of an iterator must stay below 32 KiB.
 */
#ifndef EBPF_CKPT_NOTIFY_BPF_H
#define EBPF_CKPT_NOTIFY_BPF_H

/* Bytes of marks, and of events, in one piece: one more of the largest still fits. */
#define NOTIFY_PIECE 10240
#define NAMES_ROOM   3840 /* of REC_PATH_MAX: one more name still fits */
#define NAMES_DEPTH  512
#define ALIASES_MAX  8

#define ANON_INODE_FS_MAGIC 0x09041934

struct notify_walk {
	struct seq_file *seq;
	struct scratch *s;
	__u64 inotify; /* or fanotify, whose marks have no number */
};

/* One name more into s->name, of the dentry at walk.inner; then its parent. */
static long name_step(__u32 i, void *data)
{
	struct scratch *s = ((struct notify_walk *)data)->s;
	struct walk *at = &s->walk;
	struct dentry *dentry = (void *)at->inner;
	struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
	__u32 off = at->at;
	long n;

	(void)i;
	if (!parent || parent == dentry) {
		s->notify_mark.rooted = at->inner == at->inner_end;
		return 1;
	}
	if (off > NAMES_ROOM) {
		s->notify_mark.head.flags |= REC_F_TRUNCATED;
		return 1;
	}
	n = bpf_probe_read_kernel_str(&s->name[off], 256, BPF_CORE_READ(dentry, d_name.name));
	if (n <= 0)
		return 1;
	at->at = off + (__u32)n;
	at->inner = (__u64)parent;
	return 0;
}

/* A dentry of the inode: one that has a name, if there is one. */
static __always_inline struct dentry *inode_dentry(struct inode *inode)
{
	struct hlist_node *node = BPF_CORE_READ(inode, i_dentry.first);
	struct dentry *found = 0;

	for (int i = 0; i < ALIASES_MAX && node; i++) {
		struct dentry *dentry =
			(void *)((__u64)node - bpf_core_field_offset(struct dentry, d_u.d_alias));

		if (!found || BPF_CORE_READ(dentry, d_hash.pprev)) {
			found = dentry;
			if (BPF_CORE_READ(dentry, d_hash.pprev))
				break;
		}
		node = BPF_CORE_READ(node, next);
	}
	return found;
}

/* The names of the inode, from itself upwards, each with its NUL. */
static __always_inline void fill_names(struct notify_walk *w, struct inode *inode)
{
	struct rec_notify_mark *out = &w->s->notify_mark;
	struct walk *at = &w->s->walk;
	struct dentry *dentry = inode_dentry(inode);

	at->at = 0;
	if (!dentry)
		return;
	out->unhashed = dentry_unhashed(dentry);
	at->inner = (__u64)dentry;
	at->inner_end = (__u64)BPF_CORE_READ(inode, i_sb, s_root);
	bpf_loop(NAMES_DEPTH, name_step, w, 0);
	out->names_len = at->at;
}

static __always_inline void fill_object(struct notify_walk *w, struct fsnotify_mark *mark)
{
	struct rec_notify_mark *out = &w->s->notify_mark;
	struct fsnotify_mark_connector *conn = BPF_CORE_READ(mark, connector);
	struct super_block *sb = 0;
	struct inode *inode;
	__u64 obj;

	out->object = compat_mark_object(conn, &obj);
	if (out->object == REC_NOTIFY_INODE) {
		inode = (void *)obj;
		sb = BPF_CORE_READ(inode, i_sb);
		out->inode_id = obj;
		out->ino = BPF_CORE_READ(inode, i_ino);
		out->mode = BPF_CORE_READ(inode, i_mode);
		out->nlink = BPF_CORE_READ(inode, i_nlink);
		fill_names(w, inode);
	} else if (out->object == REC_NOTIFY_MOUNT) {
		out->mnt_id = (__u32)BPF_CORE_READ((struct mount *)obj, mnt_id);
		sb = BPF_CORE_READ((struct mount *)obj, mnt.mnt_sb);
	} else if (out->object == REC_NOTIFY_SB) {
		sb = (void *)obj;
	}
	if (sb) {
		out->dev_major = dev_major(BPF_CORE_READ(sb, s_dev));
		out->dev_minor = dev_minor(BPF_CORE_READ(sb, s_dev));
		bpf_probe_read_kernel_str(out->fstype, sizeof(out->fstype),
					  BPF_CORE_READ(sb, s_type, name));
	}
}

/* The record and the names after it; their length is added to the piece. */
static __always_inline void write_mark(struct notify_walk *w)
{
	struct rec_notify_mark *out = &w->s->notify_mark;
	__u32 bytes = padded(out->names_len);

	out->head.len = sizeof(*out) + bytes;
	w->s->walk.sum += out->head.len;
	bpf_seq_write(w->seq, out, sizeof(*out));
	if (bytes > 0 && bytes <= REC_PATH_MAX)
		bpf_seq_write(w->seq, w->s->name, bytes);
}

/* All that is in the record but who it belongs to goes back to zero. */
static __always_inline void mark_init(struct rec_notify_mark *out)
{
	__s32 tgid = out->tgid, fd = out->fd;

	__builtin_memset(out, 0, sizeof(*out));
	rec_init(&out->head, REC_NOTIFY_MARK, sizeof(*out));
	out->tgid = tgid;
	out->fd = fd;
}

static long mark_step(__u32 i, void *data)
{
	struct notify_walk *w = data;
	struct walk *at = &w->s->walk;
	struct rec_notify_mark *out = &w->s->notify_mark;
	struct list_head *node = (void *)at->node;
	struct fsnotify_mark *mark;

	(void)i;
	if (!node || at->node == at->end)
		return 1;
	at->node = (__u64)BPF_CORE_READ(node, next);
	if (at->skip) {
		at->skip--;
		return 0;
	}
	mark = (void *)((__u64)node - bpf_core_field_offset(struct fsnotify_mark, g_list));
	mark_init(out);
	out->mask = BPF_CORE_READ(mark, mask);
	out->ignored = compat_mark_ignored(mark);
	out->flags = BPF_CORE_READ(mark, flags);
	if (w->inotify)
		out->wd = BPF_CORE_READ((struct inotify_inode_mark *)mark, wd);
	fill_object(w, mark);
	if (at->sum > NOTIFY_PIECE && at->node != at->end)
		out->head.flags |= REC_F_MORE;
	write_mark(w);
	return !!(out->head.flags & REC_F_MORE);
}

/* From mark number `first` on. The descriptor stands in the record. */
static __always_inline void write_marks(struct notify_walk *w, struct fsnotify_group *group,
					__u32 first)
{
	struct walk *at = &w->s->walk;

	at->node = (__u64)BPF_CORE_READ(group, marks_list.next);
	at->end = (__u64)&group->marks_list;
	at->skip = first;
	at->sum = 0;
	bpf_loop(LIST_MAX, mark_step, w, 0);
}

static long event_step(__u32 i, void *data)
{
	struct notify_walk *w = data;
	struct walk *at = &w->s->walk;
	struct rec_notify_event *out = &w->s->notify_event;
	struct list_head *node = (void *)at->node;
	struct inotify_event_info *event;
	__u32 len, bytes;

	(void)i;
	if (!node || at->node == at->end)
		return 1;
	at->node = (__u64)BPF_CORE_READ(node, next);
	if (at->skip) {
		at->skip--;
		return 0;
	}
	event = (void *)((__u64)node - bpf_core_field_offset(struct fsnotify_event, list));
	out->head.flags = 0;
	out->mask = BPF_CORE_READ(event, mask);
	out->wd = BPF_CORE_READ(event, wd);
	out->cookie = BPF_CORE_READ(event, sync_cookie);
	len = (__u32)BPF_CORE_READ(event, name_len);
	if (len > 255)
		len = 255;
	out->name_len = len;
	bytes = len ? padded(len + 1) : 0;
	if (bytes) {
		__builtin_memset(w->s->name, 0, 264);
		bpf_probe_read_kernel(w->s->name, len & 255, event->name);
	}
	out->head.len = sizeof(*out) + bytes;
	at->sum += out->head.len;
	if (at->sum > NOTIFY_PIECE && at->node != at->end)
		out->head.flags = REC_F_MORE;
	bpf_seq_write(w->seq, out, sizeof(*out));
	if (bytes > 0 && bytes <= 264)
		bpf_seq_write(w->seq, w->s->name, bytes);
	return !!(out->head.flags & REC_F_MORE);
}

/* Queued events of an inotify group, from number `first` on. */
static __always_inline void write_events(struct notify_walk *w, struct fsnotify_group *group,
					 __u32 first)
{
	struct walk *at = &w->s->walk;

	at->node = (__u64)BPF_CORE_READ(group, notification_list.next);
	at->end = (__u64)&group->notification_list;
	at->skip = first;
	at->sum = 0;
	bpf_loop(LIST_MAX, event_step, w, 0);
}

static __always_inline void write_notify_group(struct notify_walk *w, struct fsnotify_group *group,
					       bool inotify, const struct rec_detail *detail)
{
	struct rec_notify_group *out = &w->s->notify_group;

	__builtin_memset(out, 0, sizeof(*out));
	rec_init(&out->head, inotify ? REC_INOTIFY : REC_FANOTIFY, sizeof(*out));
	out->tgid = detail->tgid;
	out->fd = detail->fd;
	out->n_queued = BPF_CORE_READ(group, q_len);
	out->max_events = BPF_CORE_READ(group, max_events);
	if (inotify) {
		out->next_wd = BPF_CORE_READ(group, inotify_data.idr.idr_next);
	} else {
		out->flags = (__u32)BPF_CORE_READ(group, fanotify_data.flags);
		out->event_flags = (__u32)BPF_CORE_READ(group, fanotify_data.f_flags);
		out->asked = (__u64)BPF_CORE_READ(group, fanotify_data.access_list.next) !=
			     (__u64)&group->fanotify_data.access_list;
	}
	bpf_seq_write(w->seq, out, sizeof(*out));
}

/* 1: inotify, 2: fanotify, 0: neither. Both names are the kernel's own. */
static __always_inline int notify_kind(struct file *file)
{
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
	char name[12] = {};

	if (BPF_CORE_READ(file, f_inode, i_sb, s_magic) != ANON_INODE_FS_MAGIC)
		return 0;
	bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(dentry, d_name.name));
	if (bpf_strncmp(name, 8, "inotify") == 0)
		return 1;
	return bpf_strncmp(name, 11, "[fanotify]") == 0 ? 2 : 0;
}

/* dnotify: the registration of this descriptor, in the list of its mark. */
static long dnotify_step(__u32 i, void *data)
{
	struct notify_walk *w = data;
	struct walk *at = &w->s->walk;
	struct rec_notify_mark *out = &w->s->notify_mark;
	struct dnotify_struct *dn = (void *)at->inner;

	(void)i;
	if (!dn)
		return 1;
	at->inner = (__u64)BPF_CORE_READ(dn, dn_next);
	if ((__u64)BPF_CORE_READ(dn, dn_filp) != at->node ||
	    (__u64)BPF_CORE_READ(dn, dn_owner) != at->end)
		return 0;
	out->mask = BPF_CORE_READ(dn, dn_mask);
	out->wd = BPF_CORE_READ(dn, dn_fd);
	write_mark(w);
	return 1;
}

static __always_inline bool is_dnotify(struct fsnotify_mark *mark)
{
	__u64 fn = (__u64)BPF_CORE_READ(mark, group, ops, handle_inode_event);
	char name[24] = {};

	if (!fn)
		return false;
	bpf_snprintf(name, sizeof(name), "%ps", &fn, sizeof(fn));
	return bpf_strncmp(name, 20, "dnotify_handle_event") == 0;
}

/* A directory has one mark of dnotify at the most, among those of others. */
static __always_inline void write_dnotify(struct notify_walk *w, struct file *file, __u64 files,
					  const struct rec_detail *detail)
{
	struct rec_notify_mark *out = &w->s->notify_mark;
	struct walk *at = &w->s->walk;
	struct hlist_node *node = BPF_CORE_READ(file, f_inode, i_fsnotify_marks, list.first);
	struct fsnotify_mark *mark;

	for (int i = 0; i < 16 && node; i++) {
		mark = (void *)((__u64)node -
				bpf_core_field_offset(struct fsnotify_mark, obj_list));
		if (is_dnotify(mark)) {
			out->tgid = detail->tgid;
			out->fd = detail->fd;
			mark_init(out);
			at->node = (__u64)file;
			at->end = files;
			at->inner = (__u64)BPF_CORE_READ((struct dnotify_mark *)mark, dn);
			at->sum = 0;
			bpf_loop(LIST_MAX, dnotify_step, w, 0);
			return;
		}
		node = BPF_CORE_READ(node, next);
	}
}

/* After a descriptor's record, whose place in the scratch is taken. */
static __always_inline void write_notify(struct seq_file *seq, struct scratch *s, struct file *file,
					 const struct rec_detail *detail)
{
	struct notify_walk w = { .seq = seq, .s = s };
	struct fsnotify_group *group;
	__u64 files = s->file.files_id;
	int kind;

	if ((s->file.inode.mode & S_IFMT) == S_IFDIR) {
		if (BPF_CORE_READ(file, f_inode, i_fsnotify_marks))
			write_dnotify(&w, file, files, detail);
		return;
	}
	kind = notify_kind(file);
	if (!kind)
		return;
	w.inotify = kind == 1;
	group = BPF_CORE_READ(file, private_data);
	write_notify_group(&w, group, kind == 1, detail);
	s->notify_mark.tgid = detail->tgid;
	s->notify_mark.fd = detail->fd;
	write_marks(&w, group, 0);
	if (kind == 1) {
		rec_init(&s->notify_event.head, REC_NOTIFY_EVENT, sizeof(s->notify_event));
		s->notify_event.tgid = detail->tgid;
		s->notify_event.fd = detail->fd;
		write_events(&w, group, 0);
	}
}

/* A further piece, of the marks or the events of descriptor request->fd. */
static __always_inline void write_notify_more(struct seq_file *seq, struct scratch *s,
					      struct task_struct *task, const struct reader *r,
					      const struct rec_request *request)
{
	struct notify_walk w = { .seq = seq, .s = s };
	struct file **table = BPF_CORE_READ(task, files, fdt, fd), *file = 0;
	struct fsnotify_group *group;
	int kind;

	if (!table || (__u32)request->fd >= BPF_CORE_READ(task, files, fdt, max_fds))
		return;
	bpf_probe_read_kernel(&file, sizeof(file), &table[request->fd]);
	if (!file)
		return;
	kind = notify_kind(file);
	if (!kind)
		return;
	w.inotify = kind == 1;
	group = BPF_CORE_READ(file, private_data);
	if (request->type == REC_NOTIFY_MARK) {
		s->notify_mark.tgid = group_nr(task, r);
		s->notify_mark.fd = (__s32)request->fd;
		write_marks(&w, group, request->first);
	} else if (kind == 1) {
		rec_init(&s->notify_event.head, REC_NOTIFY_EVENT, sizeof(s->notify_event));
		s->notify_event.tgid = group_nr(task, r);
		s->notify_event.fd = (__s32)request->fd;
		write_events(&w, group, request->first);
	}
}

#endif
