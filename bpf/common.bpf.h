/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the snapshot's and the tracing's programs both need: numbers of processes as the observer
 * sees them, and small facts of files.
 */
#ifndef EBPF_CKPT_COMMON_BPF_H
#define EBPF_CKPT_COMMON_BPF_H

#include "compat.bpf.h"

#define MAGIC_PIDFS  0x50494446 /* PID_FS_MAGIC */
#define MAGIC_ANON   0x09041934 /* ANON_INODE_FS_MAGIC */
#define MAGIC_SOCKFS 0x534f434b

#define S_IFMT	0170000
#define S_IFDIR 0040000
#define S_IFREG 0100000
#define S_IFCHR 0020000
#define S_IFBLK 0060000
#define S_IFIFO 0010000

/* The pid namespace of the process that reads the iterator. */
struct reader {
	__u64 ns;
	__u32 level;
};

static __always_inline void read_upid(struct upid *ret, const struct pid *pid, __u32 level)
{
	__u64 size = bpf_core_type_size(struct upid);

	ret->nr = 0;
	ret->ns = 0;
	bpf_probe_read_kernel(ret, sizeof(*ret), (const char *)&pid->numbers[0] + level * size);
}

static __always_inline void reader_init(struct reader *r)
{
	struct task_struct *self = bpf_get_current_task_btf();
	struct pid *pid = BPF_CORE_READ(self, thread_pid);
	struct upid upid;

	r->level = BPF_CORE_READ(pid, level);
	r->ns = 0;
	if (r->level > 0) {
		read_upid(&upid, pid, r->level);
		r->ns = (__u64)upid.ns;
	}
}

/* A pid's number as the reader sees it; 0 when the reader cannot see it. */
static __noinline __s32 pid_nr(const struct pid *pid, const struct reader *r)
{
	struct upid upid;

	if (!pid || BPF_CORE_READ(pid, level) < r->level)
		return 0;
	read_upid(&upid, pid, r->level);
	if (r->level > 0 && (__u64)upid.ns != r->ns)
		return 0;
	return upid.nr;
}

/* A pid's number in the namespace of this level; 0 when it is not known there. */
static __always_inline __s32 pid_nr_at(const struct pid *pid, __u32 level)
{
	struct upid upid;

	if (!pid || BPF_CORE_READ(pid, level) < level)
		return 0;
	read_upid(&upid, pid, level);
	return upid.nr;
}

static __always_inline __s32 task_nr(struct task_struct *task, const struct reader *r)
{
	return r->level == 0 ? task->pid : pid_nr(BPF_CORE_READ(task, thread_pid), r);
}

static __always_inline __s32 group_nr(const struct task_struct *task, const struct reader *r)
{
	if (r->level == 0)
		return BPF_CORE_READ(task, tgid);
	return pid_nr(BPF_CORE_READ(task, group_leader, thread_pid), r);
}

static __always_inline __u32 dev_major(__u32 dev)
{
	return dev >> 20;
}

static __always_inline __u32 dev_minor(__u32 dev)
{
	return dev & 0xfffff;
}

/* Has it lost its name? Directories that are the root of a file system never had one. */
static __always_inline bool dentry_unhashed(struct dentry *dentry)
{
	if (BPF_CORE_READ(dentry, d_hash.pprev))
		return false;
	return BPF_CORE_READ(dentry, d_parent) != dentry ||
	       (BPF_CORE_READ(dentry, d_inode, i_mode) & S_IFMT) != S_IFDIR;
}

#endif
