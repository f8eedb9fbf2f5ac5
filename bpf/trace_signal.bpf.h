/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Signals: made for a target, by someone; delivered, by the thread that will run the handler or
 * suffer the default; or taken by sigwait(2) and its like.
 */
#ifndef EBPF_CKPT_TRACE_SIGNAL_BPF_H
#define EBPF_CKPT_TRACE_SIGNAL_BPF_H

#define SEND_SIG_NOINFO 0 /* instead of a siginfo: from the current process by kill() */
#define SEND_SIG_PRIV	1 /* from the kernel */
#define SI_USER		0
#define SI_KERNEL	0x80
#define SI_QUEUE	(-1)
#define SI_TIMER	(-2)
#define SI_MESGQ	(-3)
#define SI_TKILL	(-6)
#define SIGILL		4
#define SIGTRAP		5
#define SIGBUS		7
#define SIGFPE		8
#define SIGSEGV		11
#define SIGCHLD		17

/* The number of a process in siginfo is that of its receiver's pid namespace. */
static __always_inline __s32 sender_nr(__s32 vpid, struct task_struct *target)
{
	struct task_struct *sender = bpf_get_current_task_btf();
	struct pid *pid;

	if (vpid == 0)
		return 0;
	/* Nearly always it is the one who is sending now. */
	pid = BPF_CORE_READ(sender, group_leader, thread_pid);
	if (pid_nr_at(pid, BPF_CORE_READ(target, thread_pid, level)) == vpid)
		return group_nr(sender, OBSERVER);
	return BPF_CORE_READ(target, thread_pid, level) == observer_level ? vpid : 0;
}

static __always_inline void signal_code(struct trace_signal *out, struct kernel_siginfo *info,
					struct task_struct *target)
{
	struct task_struct *sender = bpf_get_current_task_btf();
	__s32 code;

	out->timer_id = -1;
	if ((__u64)info == SEND_SIG_NOINFO) {
		out->code = SI_USER;
		out->sender_pid = group_nr(sender, OBSERVER);
		out->sender_uid = BPF_CORE_READ(sender, cred, uid.val);
		return;
	}
	if ((__u64)info == SEND_SIG_PRIV) {
		out->code = SI_KERNEL;
		return;
	}
	code = out->code = BPF_CORE_READ(info, si_code);
	out->err = BPF_CORE_READ(info, si_errno);
	if (code == SI_TIMER) {
		out->timer_id = BPF_CORE_READ(info, _sifields._timer._tid);
		out->value = (__u64)BPF_CORE_READ(info, _sifields._timer._sigval.sival_ptr);
	} else if (code <= 0) {
		out->sender_pid = sender_nr(BPF_CORE_READ(info, _sifields._kill._pid), target);
		out->sender_uid = BPF_CORE_READ(info, _sifields._kill._uid);
		if (code == SI_QUEUE || code == SI_MESGQ)
			out->value = (__u64)BPF_CORE_READ(info, _sifields._rt._sigval.sival_ptr);
	} else if (out->signo == SIGCHLD) {
		out->child_pid = sender_nr(BPF_CORE_READ(info, _sifields._sigchld._pid), target);
		out->sender_uid = BPF_CORE_READ(info, _sifields._sigchld._uid);
	} else if (out->signo == SIGSEGV || out->signo == SIGBUS || out->signo == SIGILL ||
		   out->signo == SIGFPE || out->signo == SIGTRAP) {
		out->value = (__u64)BPF_CORE_READ(info, _sifields._sigfault._addr);
	}
}

static __always_inline __u32 action_of(__u64 handler)
{
	if (handler == 0) /* SIG_DFL */
		return TRACE_ACTION_DEFAULT;
	return handler == 1 ? TRACE_ACTION_IGNORE : TRACE_ACTION_HANDLER;
}

static __always_inline void signal_action(struct trace_signal *out, struct task_struct *target)
{
	struct sighand_struct *sighand = BPF_CORE_READ(target, sighand);
	__u64 size = bpf_core_type_size(struct k_sigaction);
	struct k_sigaction *action;

	if (out->signo < 1 || out->signo > 64)
		return;
	action = (void *)sighand + bpf_core_field_offset(struct sighand_struct, action) +
		 (__u64)(out->signo - 1) * size;
	out->action = action_of((__u64)BPF_CORE_READ(action, sa.sa_handler));
	out->sa_flags = (__u32)BPF_CORE_READ(action, sa.sa_flags);
	out->blocked = BPF_CORE_READ(target, blocked.sig[0]) >> (out->signo - 1) & 1;
}

SEC("tp_btf/signal_generate")

int BPF_PROG(trace_signal_generate, int signo, struct kernel_siginfo *info,
	     struct task_struct *target, int group, int result)
{
	struct trace_signal *out;

	if (!observed_get(target) || !is_wanted(TRACE_SIGNAL_GENERATE))
		return 0;
	out = record_new(trace_signal, TRACE_SIGNAL_GENERATE, target);
	if (!out)
		return 0;
	out->signo = signo;
	out->group = (__u32)group;
	out->result = (__u32)result;
	signal_code(out, info, target);
	signal_action(out, target);
	record_submit(out);
	return 0;
}

SEC("tp_btf/signal_deliver")

int BPF_PROG(trace_signal_deliver, int signo, struct kernel_siginfo *info,
	     struct k_sigaction *action)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct trace_signal *out;

	if (!observed_get(task) || !is_wanted(TRACE_SIGNAL_DELIVER))
		return 0;
	out = record_new(trace_signal, TRACE_SIGNAL_DELIVER, task);
	if (!out)
		return 0;
	out->signo = signo;
	out->handler = (__u64)BPF_CORE_READ(action, sa.sa_handler);
	out->action = action_of(out->handler);
	out->sa_flags = (__u32)BPF_CORE_READ(action, sa.sa_flags);
	out->timer_id = -1;
	if (out->action != TRACE_ACTION_HANDLER)
		out->handler = 0;
	if ((__u64)info > SEND_SIG_PRIV) {
		out->code = BPF_CORE_READ(info, si_code);
		out->err = BPF_CORE_READ(info, si_errno);
	}
	record_submit(out);
	return 0;
}

/* rt_sigtimedwait(set, info, timeout, size): what it took is in its result. */
static __always_inline void on_sigtimedwait(struct call *c)
{
	struct trace_signal *out;

	if (!is_wanted(TRACE_SIGNAL_TAKE))
		return;
	out = record_new_at(trace_signal, TRACE_SIGNAL_TAKE, bpf_get_current_task_btf(),
			    c->time_ns);
	if (!out)
		return;
	out->signo = (__s32)c->ret;
	out->timer_id = -1;
	record_submit(out);
}

#endif
