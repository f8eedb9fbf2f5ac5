/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All differences between kernels, in one place. vmlinux.h has the members of the newest kernel
 * that the programs were checked with; here are the older (or newer, or configured) shapes, as
 * "flavours": libbpf ignores the part of a type's name after three underscores, and which branch is
 * taken is decided when the programs are loaded, so the other ones cost nothing.
 */
#ifndef EBPF_CKPT_COMPAT_BPF_H
#define EBPF_CKPT_COMPAT_BPF_H

#include "../vmlinux/vmlinux.h"
#include "records.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define NSEC_PER_SEC 1000000000ULL

/* Macros of the kernel, which BTF does not carry. */
#define PF_KTHREAD	      0x00200000
#define PFA_NO_NEW_PRIVS      0x1 /* atomic_flags, bit 0 */
#define HRTIMER_ENQUEUED      0x1 /* hrtimer.state, and alarm.state alike */
#define ERESTART_RESTARTBLOCK 516
#define USER32_CS	      0x23
#define MM_FILEPAGES	      0
#define MM_ANONPAGES	      1
#define MM_SWAPENTS	      2
#define MM_SHMEMPAGES	      3
#define FL_POSIX	      1 /* flags of file locks */
#define FL_FLOCK	      2
#define FL_LEASE	      32
#define FL_DOWNGRADE_PENDING  256
#define FL_UNLOCK_PENDING     512
#define FL_OFDLCK	      1024
#define PIPE_BUF_FLAG_PACKET  0x08
#define POSIX_TIMER_ARMED     1 /* k_itimer.it_status since 6.13 */
#define POSIX_TIMER_REQUEUE   2

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct timespec64___any {
	long long tv_sec;
	long tv_nsec;
};

struct inode___6_6 {
	struct timespec64___any __i_ctime;
	struct timespec64___any i_mtime;
};

struct inode___6_7 {
	struct timespec64___any __i_ctime;
	struct timespec64___any __i_mtime;
};

struct inode___6_5 {
	struct timespec64___any i_ctime;
	struct timespec64___any i_mtime;
};

struct file___6_11 {
	struct fown_struct f_owner;
};

struct file___6_12 {
	struct {
		long counter;
	} f_count;
};

struct fsnotify_mark___5_18 {
	__u32 ignored_mask;
};

struct super_block___6_9 {
	void *s_fsnotify_marks;
};

struct kernel_cap_struct___6_2 {
	__u32 cap[2];
};

struct cred___6_2 {
	struct kernel_cap_struct___6_2 cap_inheritable, cap_permitted, cap_effective, cap_bset,
		cap_ambient;
};

struct mm_struct___6_17 {
	unsigned long flags;
};

struct mm_rss_stat___6_1 {
	struct {
		long counter;
	} count[4];
};

struct mm_struct___6_1 {
	struct mm_rss_stat___6_1 rss_stat;
};

struct anon_vma_name___any {
	char name[0];
};

/* CONFIG_ANON_VMA_NAME */
struct vm_area_struct___named {
	struct anon_vma_name___any *anon_name;
};

/* Its nodemask_t is a struct without a name. */
struct mempolicy___any {
	unsigned short mode;
	unsigned short flags;

	struct {
		unsigned long bits[1];
	} nodes;

	int home_node; /* since 5.17 */

	union {
		struct {
			unsigned long bits[1];
		} user_nodemask;
	} w;
};

/* SELinux's credential; the older kernels' has the name of what is the task's now. */
struct cred_security_struct {
	__u32 osid;
};

struct task_security_struct {
	__u32 sid;
};

struct signal_struct___6_12 {
	struct list_head posix_timers;
};

struct k_itimer___6_12 {
	int it_active;
	int it_requeue_pending;
	struct sigqueue *sigq;
};

struct k_itimer___int_overrun {
	int it_overrun;
};

struct rseq_data___6_19 {
	void *usrptr;
	__u32 len;
	__u32 sig;
};

struct task_struct___6_19 {
	struct rseq_data___6_19 rseq;
};

struct restart_poll___6_19 {
	void *ufds;
	int nfds;
	int has_timeout;
	struct timespec64___any end_time;
};

struct restart_block___6_19 {
	struct restart_poll___6_19 poll;
};

struct file_lock___6_8 {
	struct list_head fl_list;
	void *fl_owner;
	unsigned int fl_flags;
	unsigned char fl_type;
	struct file *fl_file;
};

struct tty_buffer___6_5 {
	int flags;
};

/* Macros before, with other values. */
enum tty_struct_flags___6_15 { TTY_PTY_LOCK___6_15 = 6 };

struct tty_struct___5_15 {
	struct pid *pgrp;
	struct pid *session;
};

#pragma clang attribute pop

static __always_inline __u64 timespec_ns(long long sec, long nsec)
{
	return (__u64)sec * NSEC_PER_SEC + (__u64)nsec;
}

static __always_inline void compat_inode_times(struct inode *inode, __u64 *mtime_ns,
					       __u64 *ctime_ns)
{
	struct inode___6_7 *i67 = (void *)inode;
	struct inode___6_6 *i66 = (void *)inode;
	struct inode___6_5 *i65 = (void *)inode;

	if (bpf_core_field_exists(inode->i_mtime_sec)) {
		*mtime_ns = timespec_ns(inode->i_mtime_sec, inode->i_mtime_nsec);
		*ctime_ns = timespec_ns(inode->i_ctime_sec, inode->i_ctime_nsec);
		return;
	}
	if (bpf_core_field_exists(i67->__i_mtime))
		*mtime_ns = timespec_ns(i67->__i_mtime.tv_sec, i67->__i_mtime.tv_nsec);
	else
		*mtime_ns = timespec_ns(i66->i_mtime.tv_sec, i66->i_mtime.tv_nsec);
	if (bpf_core_field_exists(i66->__i_ctime))
		*ctime_ns = timespec_ns(i66->__i_ctime.tv_sec, i66->__i_ctime.tv_nsec);
	else
		*ctime_ns = timespec_ns(i65->i_ctime.tv_sec, i65->i_ctime.tv_nsec);
}

/* The owner of a file's SIGIO: allocated apart since 6.12, and only when F_SETOWN was used. */
static __always_inline const struct fown_struct *compat_fown(struct file *file)
{
	struct file___6_11 *old = (void *)file;

	if (bpf_core_field_exists(old->f_owner.signum))
		return &old->f_owner;
	return file->f_owner;
}

/* References to an open file. Since 6.13 the counter of one reference is 0. */
static __always_inline __u64 compat_file_count(struct file *file)
{
	struct file___6_12 *old = (void *)file;

	if (bpf_core_field_exists(old->f_count))
		return (__u64)BPF_CORE_READ(old, f_count.counter);
	return (__u64)BPF_CORE_READ(file, f_ref.refcnt.counter) + 1;
}

#define compat_cap(cred, set)                                                                      \
	(bpf_core_field_exists((cred)->set.val)                                                    \
		 ? (cred)->set.val                                                                 \
		 : ((__u64)((const struct cred___6_2 *)(cred))->set.cap[1] << 32 |                 \
		    ((const struct cred___6_2 *)(cred))->set.cap[0]))

static __always_inline __u64 compat_mm_flags(struct mm_struct *mm)
{
	struct mm_struct___6_17 *old = (void *)mm;

	if (bpf_core_field_exists(mm->flags.__mm_flags))
		return mm->flags.__mm_flags[0];
	return old->flags;
}

extern int LINUX_KERNEL_VERSION __kconfig;

/* Bytes of SELinux's part in a credential's memory for security modules. */
#define compat_selinux_cred_size()                                                                 \
	(bpf_core_type_exists(struct cred_security_struct)                                         \
		 ? bpf_core_type_size(struct cred_security_struct)                                 \
		 : bpf_core_type_size(struct task_security_struct))

/*
 * thread_info.flags, which are macros: bit 0 of the result: CPUID faults; bit 1: RDTSC does. The
 * bits moved when x86 took over the generic numbers, in 6.18.
 */
static __always_inline __u32 compat_tif_bits(__u64 flags)
{
	if (LINUX_KERNEL_VERSION >= ((6 << 16) + (18 << 8)))
		return (flags >> 20 & 1) | (flags >> 21 & 1) << 1;
	return (flags >> 15 & 1) | (flags >> 16 & 1) << 1;
}

/*
 * A counter of resident pages. Since 6.2 it is a per-CPU counter, whose shared part may lag behind
 * by some pages per CPU and be negative: good for an estimate only, which is all it is used for.
 */
#define compat_rss(mm, index)                                                                      \
	({                                                                                         \
		struct mm_struct___6_1 *old_mm = (void *)(mm);                                     \
		long long pages = bpf_core_field_exists(old_mm->rss_stat.count)                    \
					  ? old_mm->rss_stat.count[index].counter                  \
					  : (mm)->rss_stat[index].count;                           \
		pages < 0 ? 0 : (__u64)pages;                                                      \
	})

static __always_inline void compat_rseq(struct task_struct *task, __u64 *addr, __u32 *len,
					__u32 *sig)
{
	struct task_struct___6_19 *newer = (void *)task;

	if (bpf_core_field_exists(newer->rseq.usrptr)) {
		*addr = (__u64)newer->rseq.usrptr;
		*len = newer->rseq.len;
		*sig = newer->rseq.sig;
	} else if (bpf_core_field_exists(task->rseq)) {
		*addr = (__u64)task->rseq;
		*len = bpf_core_field_exists(task->rseq_len) ? task->rseq_len : 32;
		*sig = task->rseq_sig;
	}
}

static __always_inline __u64 compat_poll_end_ns(struct task_struct *task)
{
	struct restart_block___6_19 *newer = (void *)&task->restart_block;

	if (bpf_core_field_exists(newer->poll.end_time))
		return timespec_ns(BPF_CORE_READ(newer, poll.end_time.tv_sec),
				   BPF_CORE_READ(newer, poll.end_time.tv_nsec));
	return timespec_ns((long long)BPF_CORE_READ(task, restart_block.poll.tv_sec),
			   (long)BPF_CORE_READ(task, restart_block.poll.tv_nsec));
}

/* The clock of a futex wait, from its restart block: the kernel's FLAGS_CLOCKRT moved in 6.7. */
static __always_inline __u32 compat_futex_clock(__u32 flags)
{
	bool realtime = flags & (LINUX_KERNEL_VERSION >= ((6 << 16) + (7 << 8)) ? 0x20 : 0x02);

	return realtime ? 0 : 1; /* CLOCK_REALTIME, CLOCK_MONOTONIC */
}

static __always_inline struct pid *compat_tty_pgrp(struct tty_struct *tty)
{
	struct tty_struct___5_15 *old = (void *)tty;

	return bpf_core_field_exists(tty->ctrl.pgrp) ? BPF_CORE_READ(tty, ctrl.pgrp)
						     : BPF_CORE_READ(old, pgrp);
}

static __always_inline struct pid *compat_tty_session(struct tty_struct *tty)
{
	struct tty_struct___5_15 *old = (void *)tty;

	return bpf_core_field_exists(tty->ctrl.session) ? BPF_CORE_READ(tty, ctrl.session)
							: BPF_CORE_READ(old, session);
}

/* Do its characters have flags? What the member says turned round when it became a bool, in 6.6. */
static __always_inline bool compat_tty_buffer_flagged(struct tty_buffer *buf)
{
	struct tty_buffer___6_5 *old = (void *)buf;

	if (bpf_core_field_size(buf->flags) == sizeof(bool))
		return BPF_CORE_READ(buf, flags);
	return !(BPF_CORE_READ(old, flags) & 1); /* TTYB_NORMAL */
}

/* The number of the bit in tty_struct.flags. */
static __always_inline __u32 compat_tty_pty_lock(void)
{
	if (bpf_core_enum_value_exists(enum tty_struct_flags___6_15, TTY_PTY_LOCK___6_15))
		return bpf_core_enum_value(enum tty_struct_flags___6_15, TTY_PTY_LOCK___6_15);
	return 16;
}

struct compat_lock {
	struct file_lock *lock; /* of a lease, another type follows the part read here */
	__u64 owner, file;
	__u32 flags, type;
};

/* A file lock from its link in a list of its inode. Its core is a struct of its own since 6.9. */
static __always_inline void compat_lock_read(__u64 node, struct compat_lock *ret)
{
	struct file_lock___6_8 *old;
	struct file_lock *lock;

	if (bpf_core_field_exists(struct file_lock, c)) {
		lock = (void *)(node - bpf_core_field_offset(struct file_lock, c) -
				bpf_core_field_offset(struct file_lock_core, flc_list));
		ret->lock = lock;
		ret->owner = (__u64)BPF_CORE_READ(lock, c.flc_owner);
		ret->file = (__u64)BPF_CORE_READ(lock, c.flc_file);
		ret->flags = BPF_CORE_READ(lock, c.flc_flags);
		ret->type = BPF_CORE_READ(lock, c.flc_type);
	} else {
		old = (void *)(node - bpf_core_field_offset(struct file_lock___6_8, fl_list));
		ret->lock = (void *)old;
		ret->owner = (__u64)BPF_CORE_READ(old, fl_owner);
		ret->file = (__u64)BPF_CORE_READ(old, fl_file);
		ret->flags = BPF_CORE_READ(old, fl_flags);
		ret->type = BPF_CORE_READ(old, fl_type);
	}
}

/* Where in a file lock, or lease, its link in a list is. */
static __always_inline __u64 compat_lock_link(void)
{
	if (bpf_core_field_exists(struct file_lock, c))
		return bpf_core_field_offset(struct file_lock, c) +
		       bpf_core_field_offset(struct file_lock_core, flc_list);
	return bpf_core_field_offset(struct file_lock___6_8, fl_list);
}

static __always_inline __u32 compat_mark_ignored(struct fsnotify_mark *mark)
{
	struct fsnotify_mark___5_18 *old = (void *)mark;

	return bpf_core_field_exists(mark->ignore_mask) ? BPF_CORE_READ(mark, ignore_mask)
							: BPF_CORE_READ(old, ignored_mask);
}

/*
 * What a mark is on: an inode, a mount, a superblock. Until 6.9 the connector held the address of
 * their member that leads back to it, since then that of themselves, of a mount that of its struct
 * vfsmount.
 */
static __always_inline __u32 compat_mark_object(struct fsnotify_mark_connector *conn, __u64 *ret)
{
	bool direct = LINUX_KERNEL_VERSION >= ((6 << 16) + (10 << 8));
	__u32 type = BPF_CORE_READ(conn, type);
	__u64 obj = (__u64)BPF_CORE_READ(conn, obj);

	*ret = 0;
	if (!conn || !obj)
		return REC_NOTIFY_UNKNOWN;
	if (type == REC_NOTIFY_INODE)
		*ret = obj - (direct ? 0 : bpf_core_field_offset(struct inode, i_fsnotify_marks));
	else if (type == REC_NOTIFY_MOUNT)
		*ret = obj - (direct ? bpf_core_field_offset(struct mount, mnt)
				     : bpf_core_field_offset(struct mount, mnt_fsnotify_marks));
	else if (type == REC_NOTIFY_SB)
		*ret = obj -
		       (direct ? 0
			       : bpf_core_field_offset(struct super_block___6_9, s_fsnotify_marks));
	else if (type != REC_NOTIFY_MNTNS)
		return REC_NOTIFY_UNKNOWN;
	return type;
}

/* Address of the first link of signal->posix_timers; an hlist (ends in 0) since 6.13. */
static __always_inline __u64 compat_posix_timers(struct signal_struct *signal, __u64 *end)
{
	struct signal_struct___6_12 *old = (void *)signal;

	if (bpf_core_field_exists(signal->posix_timers.first)) {
		*end = 0;
		return (__u64)signal->posix_timers.first;
	}
	*end = (__u64)&old->posix_timers;
	return (__u64)old->posix_timers.next;
}

#endif
