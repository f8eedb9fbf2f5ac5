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

/* What a step needs of a dentry; the kernel's has them in a row. */
struct dentry_links {
	__u64 parent;
	__u64 hash_and_len; /* of d_name */
	__u64 name;
};

static __always_inline void links_read(struct dentry_links *ret, struct dentry *dentry)
{
	__u64 at = bpf_core_field_offset(struct dentry, d_parent);

	if (bpf_core_field_offset(struct dentry, d_name) == at + 8 &&
	    bpf_core_field_offset(struct qstr, name) == 8) {
		bpf_probe_read_kernel(ret, sizeof(*ret), (void *)dentry + at);
		return;
	}
	ret->parent = (__u64)BPF_CORE_READ(dentry, d_parent);
	ret->name = (__u64)BPF_CORE_READ(dentry, d_name.name);
}

/* One step up, within a file system or from the root of one to where it is mounted. */
static long name_step(__u32 i, void *data)
{
	struct scratch *s = *(struct scratch **)data;
	struct mount *mount = (void *)s->walk_mnt, *above;
	struct dentry_links links = {};
	__u64 dentry = s->walk;

	if (!dentry || !mount)
		return 1;
	if (dentry == s->walk_root) {
		above = kread(mount, mount, mnt_parent);
		if (!above || above == mount)
			return 1;
		s->walk = (__u64)kread(mount, mount, mnt_mountpoint);
		s->walk_mnt = (__u64)above;
		s->walk_root = (__u64)kread(mount, above, mnt.mnt_root);
		return 0;
	}
	links_read(&links, (void *)dentry);
	if (!links.parent || links.parent == dentry) {
		/* It has no place in a tree: a pipe, a memfd. */
		((struct trace_head *)s->rec)->flags |= TRACE_F_NO_PLACE;
		if (i == 0)
			name_put(s, (void *)links.name);
		return 1;
	}
	if (s->at + NAME_MAX_BYTES > s->end) {
		((struct trace_head *)s->rec)->flags |= TRACE_F_CUT;
		return 1;
	}
	name_put(s, (void *)links.name);
	s->walk = links.parent;
	return 0;
}

/* Not static: such functions are verified once, and not for each call. */
__noinline __u32 names_walk(struct scratch *s)
{
	__u32 start, len, at;

	if (!s)
		return 0;
	start = s->at;
	s->end = start + TRACE_NAMES_MAX;
	bpf_loop(DEPTH_MAX, name_step, &s, 0);
	at = s->at;
	len = at - start;
	if (at <= SCRATCH_BYTES - 8)
		*(volatile __u64 *)&s->rec[at] = 0;
	s->at = (at + 7) & ~7U;
	return len;
}

/* Append the names of a file's path; how many bytes. The record's length is a multiple of 8 then.
 */
static __always_inline __u32 names_put(struct scratch *s, struct file *file)
{
	struct vfsmount *mnt = kread(file, file, f_path.mnt);

	s->walk = (__u64)kread(file, file, f_path.dentry);
	s->walk_root = (__u64)kread(vfsmount, mnt, mnt_root);
	s->walk_mnt = (__u64)mnt - bpf_core_field_offset(struct mount, mnt);
	return names_walk(s);
}

static __always_inline __u16 sock_state(struct sock *sk)
{
	return kread(sock, sk, __sk_common.skc_state);
}

static __always_inline void sock_fill(struct trace_sock *out, struct sock *sk)
{
	struct unix_sock *unix = (void *)sk;

	out->sock_id = (__u64)sk;
	out->family = kread(sock, sk, __sk_common.skc_family);
	out->type = kread(sock, sk, sk_type);
	out->protocol = kread(sock, sk, sk_protocol);
	out->state = sock_state(sk);
	out->netns_inum = kread(net, kread(sock, sk, __sk_common.skc_net.net), ns.inum);
	if (out->family == AF_UNIX)
		out->peer_id = (__u64)kread(unix_sock, unix, peer);
	if (out->family != AF_INET && out->family != AF_INET6)
		return;
	out->sport = kread(sock, sk, __sk_common.skc_num);
	out->dport = bpf_ntohs(kread(sock, sk, __sk_common.skc_dport));
	if (out->family == AF_INET) {
		*(__u32 *)out->src = kread(sock, sk, __sk_common.skc_rcv_saddr);
		*(__u32 *)out->dst = kread(sock, sk, __sk_common.skc_daddr);
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
	socket = kread(file, file, private_data);
	return kread(socket, socket, sk);
}

static __always_inline void file_fill(struct trace_file *out, struct file *file)
{
	struct inode *inode = kread(file, file, f_inode);
	struct super_block *sb = kread(inode, inode, i_sb);
	__u32 dev = kread(super_block, sb, s_dev), rdev;

	out->file_id = (__u64)file;
	out->inode_id = (__u64)inode;
	out->ino = kread(inode, inode, i_ino);
	out->sb_magic = kread(super_block, sb, s_magic);
	out->dev_major = dev_major(dev);
	out->dev_minor = dev_minor(dev);
	out->mode = kread(inode, inode, i_mode);
	if ((out->mode & S_IFMT) == S_IFCHR || (out->mode & S_IFMT) == S_IFBLK) {
		rdev = kread(inode, inode, i_rdev);
		out->rdev_major = dev_major(rdev);
		out->rdev_minor = dev_minor(rdev);
	}
	out->unhashed = dentry_unhashed(kread(file, file, f_path.dentry));
	out->f_flags = kread(file, file, f_flags);
	out->f_mode = kread(file, file, f_mode);
	out->nlink = kread(inode, inode, i_nlink);
	out->sock_id = (__u64)sock_of(file, out);
}

#endif
