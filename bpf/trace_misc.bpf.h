/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Timers and namespaces, told by system calls, and file locks, told by the code that sets them.
 */
#ifndef EBPF_CKPT_TRACE_MISC_BPF_H
#define EBPF_CKPT_TRACE_MISC_BPF_H

#define TIMER_ABSTIME	1
#define SIGALRM		14
#define SIGEV_NONE	1
#define SIGEV_THREAD_ID 4
#define FL_SLEEP	128
#define NSEC_PER_USEC	1000ULL
#define CLONE_NEW_ANY                                                                              \
	(CLONE_NEWTIME | CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |             \
	 CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

/* --- timers --- */

static __always_inline struct trace_timer *timer_record(struct call *c, __u16 type)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct trace_timer *out;

	if (!is_wanted(type))
		return 0;
	if (type == TRACE_TIMER_NEW)
		call_stack(c);
	out = record_new_at(trace_timer, type, task, c->time_ns);
	if (!out)
		return 0;
	out->head.flags = c->flags;
	if (type == TRACE_TIMER_NEW)
		out->head.stack = c->stack;
	out->fd = -1;
	out->clock = -1;
	out->signo = -1;
	out->notify = -1;
	out->nr = c->nr;
	out->files_id = current_files();
	return out;
}

/* timer_create(clock, event, id): the kernel's answer is in the program's memory. */
static __always_inline void on_timer_create(struct call *c)
{
	struct trace_timer *out = timer_record(c, TRACE_TIMER_NEW);

	struct {
		__s32 signo, notify, tid;
	} event = { .signo = SIGALRM };

	__u64 where;

	if (!out)
		return;
	if (bpf_probe_read_user(&out->id, sizeof(out->id), (void *)c->arg[2]) < 0)
		out->head.flags |= TRACE_F_CUT;
	if (c->arg[1]) {
		/* What precedes them is a pointer. */
		where = c->arg[1] + (c->flags & TRACE_F_COMPAT ? 4 : 8);
		if (bpf_probe_read_user(&event, sizeof(event), (void *)where) < 0)
			out->head.flags |= TRACE_F_CUT;
	}
	out->clock = (__s32)c->arg[0];
	out->notify = event.notify;
	out->signo = event.notify == SIGEV_NONE ? 0 : event.signo;
	out->notify_tid = event.notify & SIGEV_THREAD_ID ? event.tid : 0;
	record_submit(out);
}

/* Interval and value: struct itimerspec, or struct itimerval with its microseconds. */
static __always_inline void timer_times(struct call *c, struct trace_timer *out, __u64 where,
					__u64 unit)
{
	__u32 narrow[4] = {};
	__u64 t[4] = {};

	if (c->narrow_times) {
		if (bpf_probe_read_user(narrow, sizeof(narrow), (void *)where) < 0)
			out->head.flags |= TRACE_F_CUT;
		for (int i = 0; i < 4; i++)
			t[i] = narrow[i];
	} else if (bpf_probe_read_user(t, sizeof(t), (void *)where) < 0)
		out->head.flags |= TRACE_F_CUT;
	out->interval_ns = t[0] * NSEC_PER_SEC + t[1] * unit;
	out->value_ns = t[2] * NSEC_PER_SEC + t[3] * unit;
}

static __always_inline bool on_timer_call(struct call *c, __u8 kind)
{
	struct trace_timer *out;

	switch (kind) {
	case CALL_TIMER_CREATE:
		on_timer_create(c);
		return true;
	case CALL_TIMER_DELETE:
		out = timer_record(c, TRACE_TIMER_DELETE);
		if (out) {
			out->id = (__s32)c->arg[0];
			record_submit(out);
		}
		return true;
	case CALL_TIMER_SETTIME:
	case CALL_TIMERFD_SETTIME:
	case CALL_SETITIMER:
	case CALL_ALARM:
		break;
	default:
		return false;
	}
	out = timer_record(c, TRACE_TIMER_SET);
	if (!out)
		return true;
	if (kind == CALL_ALARM) {
		out->id = TRACE_ITIMER_REAL;
		out->value_ns = (__u32)c->arg[0] * NSEC_PER_SEC;
	} else if (kind == CALL_SETITIMER) {
		out->id = TRACE_ITIMER_REAL - (__s32)c->arg[0];
		if (c->arg[1])
			timer_times(c, out, c->arg[1], NSEC_PER_USEC);
	} else {
		out->id = kind == CALL_TIMER_SETTIME ? (__s32)c->arg[0] : TRACE_TIMER_FD;
		out->fd = kind == CALL_TIMER_SETTIME ? -1 : (__s32)c->arg[0];
		out->absolute = c->arg[1] & TIMER_ABSTIME;
		timer_times(c, out, c->arg[2], 1);
	}
	record_submit(out);
	return true;
}

/* --- namespaces --- */

static __always_inline void on_namespace(struct call *c)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 flags = (__u32)(c->nr == NR_unshare ? c->arg[0] : c->arg[1]) & CLONE_NEW_ANY;
	struct trace_namespace *out;
	struct nsproxy *ns;

	if (!is_wanted(TRACE_NAMESPACE) || (c->nr == NR_unshare && !flags))
		return;
	out = record_new_at(trace_namespace, TRACE_NAMESPACE, task, c->time_ns);
	if (!out)
		return;
	ns = BPF_CORE_READ(task, nsproxy);
	out->head.flags = c->flags;
	out->nr = c->nr;
	out->flags = flags;
	out->mnt = BPF_CORE_READ(ns, mnt_ns, ns.inum);
	out->uts = BPF_CORE_READ(ns, uts_ns, ns.inum);
	out->ipc = BPF_CORE_READ(ns, ipc_ns, ns.inum);
	out->net = BPF_CORE_READ(ns, net_ns, ns.inum);
	out->pid_for_children = BPF_CORE_READ(ns, pid_ns_for_children, ns.inum);
	if (bpf_core_field_exists(ns->time_ns))
		out->time = BPF_CORE_READ(ns, time_ns, ns.inum);
	out->cgroup = BPF_CORE_READ(ns, cgroup_ns, ns.inum);
	out->user = BPF_CORE_READ(task, cred, user_ns, ns.inum);
	record_submit(out);
}

/* --- locks --- */

static __always_inline __u32 lock_kind(__u32 flags)
{
	if (flags & FL_LEASE)
		return TRACE_LOCK_LEASE;
	if (flags & FL_FLOCK)
		return TRACE_LOCK_FLOCK;
	return flags & FL_OFDLCK ? TRACE_LOCK_OFD : TRACE_LOCK_POSIX;
}

static __always_inline void lock_record(struct inode *inode, void *request, int ret, bool unlock)
{
	struct compat_lock lock = {};
	struct file_lock *range;
	struct trace_lock *out;
	__u32 dev;

	if (!request || !observed_get(bpf_get_current_task_btf()) || !is_wanted(TRACE_LOCK))
		return;
	out = record_new(trace_lock, TRACE_LOCK, bpf_get_current_task_btf());
	if (!out)
		return;
	compat_lock_read((__u64)request + compat_lock_link(), &lock);
	dev = BPF_CORE_READ(inode, i_sb, s_dev);
	range = lock.lock;
	out->owner_id = lock.owner;
	out->file_id = lock.file;
	out->inode_id = (__u64)inode;
	out->ino = BPF_CORE_READ(inode, i_ino);
	out->dev_major = dev_major(dev);
	out->dev_minor = dev_minor(dev);
	out->kind = lock_kind(lock.flags);
	out->end = ~0ULL >> 1;
	if (out->kind == TRACE_LOCK_POSIX || out->kind == TRACE_LOCK_OFD) {
		out->start = (__u64)BPF_CORE_READ(range, fl_start);
		out->end = (__u64)BPF_CORE_READ(range, fl_end);
	}
	out->type = unlock ? 2 /* F_UNLCK */ : lock.type;
	out->ret = ret;
	out->blocking = (lock.flags & FL_SLEEP) != 0;
	record_submit(out);
}

SEC("tp_btf/posix_lock_inode")

int BPF_PROG(trace_posix_lock, struct inode *inode, struct file_lock *request, int ret)
{
	lock_record(inode, request, ret, false);
	return 0;
}

SEC("tp_btf/flock_lock_inode")

int BPF_PROG(trace_flock, struct inode *inode, struct file_lock *request, int ret)
{
	lock_record(inode, request, ret, false);
	return 0;
}

SEC("tp_btf/generic_add_lease")

int BPF_PROG(trace_add_lease, struct inode *inode, void *lease)
{
	lock_record(inode, lease, 0, false);
	return 0;
}

SEC("tp_btf/generic_delete_lease")

int BPF_PROG(trace_delete_lease, struct inode *inode, void *lease)
{
	lock_record(inode, lease, 0, true);
	return 0;
}

#endif
