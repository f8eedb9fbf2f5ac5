/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a file is, and what it is called. bpf_d_path() may not be called where these programs run,
 * so the path is gathered dentry by dentry, from the file to the root of its mount namespace, the
 * way that d_path() itself goes. A rename meanwhile may mix the two names; nothing worse can
 * happen, as all reads are guarded.
 */
#ifndef EBPF_CKPT_TRACE_NAMES_BPF_H
#define EBPF_CKPT_TRACE_NAMES_BPF_H

#define NAME_MAX_BYTES 256 /* NAME_MAX and the NUL */
#define DEPTH_MAX      512

static __always_inline void name_put(struct scratch *s, const unsigned char *name)
{
	__u32 at = s->at;
	long n;

	/* Half of the scratch is for the record: what is read beyond s->end is not used. */
	if (at > SCRATCH_BYTES - NAME_MAX_BYTES)
		return;
	n = bpf_probe_read_kernel_str(&s->rec[at], NAME_MAX_BYTES, name);
	if (n > 0)
		s->at = at + (__u32)n;
}

/* One step up, within a file system or from the root of one to where it is mounted. */
static long name_step(__u32 i, void *data)
{
	struct scratch *s = *(struct scratch **)data;
	struct dentry *dentry = (void *)s->walk, *parent;
	struct mount *mount = (void *)s->walk_mnt, *above;

	if (!dentry || !mount)
		return 1;
	if (dentry == BPF_CORE_READ(mount, mnt.mnt_root)) {
		above = BPF_CORE_READ(mount, mnt_parent);
		if (!above || above == mount)
			return 1;
		s->walk = (__u64)BPF_CORE_READ(mount, mnt_mountpoint);
		s->walk_mnt = (__u64)above;
		return 0;
	}
	parent = BPF_CORE_READ(dentry, d_parent);
	if (!parent || parent == dentry) {
		/* It has no place in a tree: a pipe, a memfd. */
		((struct trace_head *)s->rec)->flags |= TRACE_F_NO_PLACE;
		if (i == 0)
			name_put(s, BPF_CORE_READ(dentry, d_name.name));
		return 1;
	}
	if (s->at + NAME_MAX_BYTES > s->end) {
		((struct trace_head *)s->rec)->flags |= TRACE_F_CUT;
		return 1;
	}
	name_put(s, BPF_CORE_READ(dentry, d_name.name));
	s->walk = (__u64)parent;
	return 0;
}

/* Append the names of a path; how many bytes. The record's length is a multiple of 8 afterwards. */
static __noinline __u32 names_put(struct scratch *s, struct dentry *dentry, struct vfsmount *mnt)
{
	__u32 start, len, i;

	if (!s)
		return 0;
	start = s->at;
	s->end = start + TRACE_NAMES_MAX;
	s->walk = (__u64)dentry;
	s->walk_mnt = (__u64)mnt - bpf_core_field_offset(struct mount, mnt);
	bpf_loop(DEPTH_MAX, name_step, &s, 0);
	len = s->at - start;
	i = s->at;
	if (i <= SCRATCH_BYTES - 8)
		*(volatile __u64 *)&s->rec[i] = 0;
	s->at = (i + 7) & ~7U;
	return len;
}

static __always_inline void sock_fill(struct trace_sock *out, struct sock *sk)
{
	struct unix_sock *unix = (void *)sk;

	out->sock_id = (__u64)sk;
	out->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	out->type = BPF_CORE_READ(sk, sk_type);
	out->protocol = BPF_CORE_READ(sk, sk_protocol);
	out->state = BPF_CORE_READ(sk, __sk_common.skc_state);
	out->netns_inum = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	if (out->family == AF_UNIX)
		out->peer_id = (__u64)BPF_CORE_READ(unix, peer);
	if (out->family != AF_INET && out->family != AF_INET6)
		return;
	out->sport = BPF_CORE_READ(sk, __sk_common.skc_num);
	out->dport = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (out->family == AF_INET) {
		*(__u32 *)out->src = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
		*(__u32 *)out->dst = BPF_CORE_READ(sk, __sk_common.skc_daddr);
	} else if (bpf_core_field_exists(sk->__sk_common.skc_v6_daddr)) {
		BPF_CORE_READ_INTO(&out->src, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8);
		BPF_CORE_READ_INTO(&out->dst, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr8);
	}
}

static __always_inline struct sock *sock_of(struct file *file, const struct trace_file *facts)
{
	struct socket *socket;

	if ((facts->mode & S_IFMT) != S_IFSOCK || facts->sb_magic != MAGIC_SOCKFS)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	return BPF_CORE_READ(socket, sk);
}

static __always_inline void file_fill(struct trace_file *out, struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct super_block *sb = BPF_CORE_READ(inode, i_sb);
	__u32 dev = BPF_CORE_READ(sb, s_dev), rdev;

	out->file_id = (__u64)file;
	out->inode_id = (__u64)inode;
	out->ino = BPF_CORE_READ(inode, i_ino);
	out->sb_magic = BPF_CORE_READ(sb, s_magic);
	out->dev_major = dev_major(dev);
	out->dev_minor = dev_minor(dev);
	out->mode = BPF_CORE_READ(inode, i_mode);
	if ((out->mode & S_IFMT) == S_IFCHR || (out->mode & S_IFMT) == S_IFBLK) {
		rdev = BPF_CORE_READ(inode, i_rdev);
		out->rdev_major = dev_major(rdev);
		out->rdev_minor = dev_minor(rdev);
	}
	out->unhashed = dentry_unhashed(BPF_CORE_READ(file, f_path.dentry));
	out->f_flags = BPF_CORE_READ(file, f_flags);
	out->f_mode = BPF_CORE_READ(file, f_mode);
	out->nlink = BPF_CORE_READ(inode, i_nlink);
	out->sock_id = (__u64)sock_of(file, out);
}

#endif
