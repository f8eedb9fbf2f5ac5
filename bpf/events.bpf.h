/* SPDX-License-Identifier: GPL-2.0-only */
/* Details of eventfd, timerfd, signalfd and pidfd descriptors. Included by snapshot.bpf.c. */
#ifndef EBPF_CKPT_EVENTS_BPF_H
#define EBPF_CKPT_EVENTS_BPF_H

#define KTIME_MAX      0x7fffffffffffffffLL
#define BITS_KILL_STOP (1ULL << 8 | 1ULL << 18) /* SIGKILL, SIGSTOP */

static __always_inline void write_eventfd(struct seq_file *seq, const struct rec_detail *whose,
					  struct file *file)
{
	struct eventfd_ctx *ctx = BPF_CORE_READ(file, private_data);
	struct rec_eventfd out = {};

	detail_init(&out.head, whose, REC_EVENTFD, sizeof(out));
	out.count = BPF_CORE_READ(ctx, count);
	out.flags = BPF_CORE_READ(ctx, flags) & 1; /* EFD_SEMAPHORE */
	out.users = (__u32)BPF_CORE_READ(ctx, kref.refcount.refs.counter);
	bpf_seq_write(seq, &out, sizeof(out));
}

static __always_inline void write_timerfd(struct seq_file *seq, const struct rec_detail *whose,
					  struct file *file)
{
	struct timerfd_ctx *ctx = BPF_CORE_READ(file, private_data);
	struct rec_timerfd out = {};
	__u64 offset;
	__u32 state;

	detail_init(&out.head, whose, REC_TIMERFD, sizeof(out));
	out.clockid = BPF_CORE_READ(ctx, clockid);
	out.settime_flags = BPF_CORE_READ(ctx, settime_flags);
	out.interval_ns = (__u64)BPF_CORE_READ(ctx, tintv);
	out.ticks = BPF_CORE_READ(ctx, ticks);
	out.expired = BPF_CORE_READ(ctx, expired);
	out.canceled = BPF_CORE_READ(ctx, might_cancel) && BPF_CORE_READ(ctx, moffs) == KTIME_MAX;
	if (out.clockid == 8 || out.clockid == 9) { /* CLOCK_*_ALARM */
		out.expires_ns = (__u64)BPF_CORE_READ(ctx, t.alarm.node.expires);
		state = (__u32)BPF_CORE_READ(ctx, t.alarm.state);
		offset = (__u64)BPF_CORE_READ(ctx, t.alarm.timer.base, offset);
	} else {
		/* A relative time on CLOCK_REALTIME is kept on CLOCK_MONOTONIC. */
		out.expires_ns = (__u64)BPF_CORE_READ(ctx, t.tmr.node.expires);
		state = BPF_CORE_READ(ctx, t.tmr.state);
		offset = (__u64)BPF_CORE_READ(ctx, t.tmr.base, offset);
	}
	out.armed = state & HRTIMER_ENQUEUED;
	out.left_ns = (__s64)(out.expires_ns - bpf_ktime_get_ns() - offset);
	bpf_seq_write(seq, &out, sizeof(out));
}

static __always_inline void write_signalfd(struct seq_file *seq, const struct rec_detail *whose,
					   struct file *file)
{
	struct signalfd_ctx *ctx = BPF_CORE_READ(file, private_data);
	struct rec_signalfd out = {};

	detail_init(&out.head, whose, REC_SIGNALFD, sizeof(out));
	/* Kept as the signals that it does not take. */
	out.mask = ~BPF_CORE_READ(ctx, sigmask.sig[0]) & ~BITS_KILL_STOP;
	bpf_seq_write(seq, &out, sizeof(out));
}

static __always_inline void write_pidfd(struct seq_file *seq, const struct rec_detail *whose,
					struct file *file, const struct reader *r, bool pidfs)
{
	/* Before 6.9, and without CONFIG_FS_PID, all of them share one inode. */
	struct pid *pid =
		pidfs ? BPF_CORE_READ(file, f_inode, i_private) : BPF_CORE_READ(file, private_data);
	struct rec_pidfd out = {};

	detail_init(&out.head, whose, REC_PIDFD, sizeof(out));
	out.pid_id = (__u64)pid;
	out.pid = pid_nr(pid, r);
	out.dead = !BPF_CORE_READ(pid, tasks[PIDTYPE_PID].first);
	bpf_seq_write(seq, &out, sizeof(out));
}

#endif
