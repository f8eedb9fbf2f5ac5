/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The system calls that are looked at, when they return. One program sees every call of the machine
 * return; all that it does for those not in the table, or of tasks which are not observed, is to
 * look that up. Calls that work on what a descriptor refers to (read, write, poll, ...) are not in
 * it.
 */
#ifndef EBPF_CKPT_TRACE_CALLS_BPF_H
#define EBPF_CKPT_TRACE_CALLS_BPF_H

#define MAX_ERRNO 4095 /* results below -MAX_ERRNO are addresses */

/* By number. */
static const volatile __u8 call_kind[CALLS_MAX] = {
	[NR_open] = CALL_FD,
	[NR_openat] = CALL_FD,
	[NR_openat2] = CALL_FD,
	[NR_creat] = CALL_FD,
	[NR_open_by_handle_at] = CALL_FD,
	[NR_socket] = CALL_FD,
	[NR_epoll_create] = CALL_FD,
	[NR_epoll_create1] = CALL_FD,
	[NR_eventfd] = CALL_FD,
	[NR_eventfd2] = CALL_FD,
	[NR_timerfd_create] = CALL_FD,
	[NR_inotify_init] = CALL_FD,
	[NR_inotify_init1] = CALL_FD,
	[NR_fanotify_init] = CALL_FD,
	[NR_perf_event_open] = CALL_FD,
	[NR_mq_open] = CALL_FD,
	[NR_memfd_create] = CALL_FD,
	[NR_memfd_secret] = CALL_FD,
	[NR_userfaultfd] = CALL_FD,
	[NR_io_uring_setup] = CALL_FD,
	[NR_open_tree] = CALL_FD,
	[NR_open_tree_attr] = CALL_FD,
	[NR_fsopen] = CALL_FD,
	[NR_fsmount] = CALL_FD,
	[NR_fspick] = CALL_FD,
	[NR_dup] = CALL_DUP,
	[NR_dup2] = CALL_DUP2,
	[NR_dup3] = CALL_DUP2,
	[NR_fcntl] = CALL_FCNTL,
	[NR_pipe] = CALL_PIPE,
	[NR_pipe2] = CALL_PIPE,
	[NR_socketpair] = CALL_SOCKETPAIR,
	[NR_accept] = CALL_ACCEPT,
	[NR_accept4] = CALL_ACCEPT,
	[NR_pidfd_open] = CALL_PIDFD_OPEN,
	[NR_pidfd_getfd] = CALL_PIDFD_GETFD,
	[NR_clone] = CALL_CLONE,
	[NR_clone3] = CALL_CLONE,
	[NR_signalfd] = CALL_SIGNALFD,
	[NR_signalfd4] = CALL_SIGNALFD,
	[NR_seccomp] = CALL_SECCOMP,
	[NR_landlock_create_ruleset] = CALL_LANDLOCK,
	[NR_bpf] = CALL_BPF,
	[NR_ioctl] = CALL_IOCTL,
	[NR_recvmsg] = CALL_RECVMSG,
	[NR_recvmmsg] = CALL_RECVMMSG,
	[NR_close] = CALL_CLOSE,
	[NR_close_range] = CALL_CLOSE_RANGE,
	[NR_unshare] = CALL_UNSHARE,
	[NR_setns] = CALL_SETNS,
	[NR_bind] = CALL_SOCKET_CALL,
	[NR_listen] = CALL_SOCKET_CALL,
	[NR_connect] = CALL_SOCKET_CALL,
	[NR_shutdown] = CALL_SOCKET_CALL,
	[NR_mmap] = CALL_MMAP,
	[NR_map_shadow_stack] = CALL_MMAP,
	[NR_remap_file_pages] = CALL_REMAP_FILE_PAGES,
	[NR_munmap] = CALL_MUNMAP,
	[NR_mprotect] = CALL_MPROTECT,
	[NR_pkey_mprotect] = CALL_MPROTECT,
	[NR_mremap] = CALL_MREMAP,
	[NR_brk] = CALL_BRK,
	[NR_shmat] = CALL_SHMAT,
	[NR_shmdt] = CALL_SHMDT,
	[NR_io_setup] = CALL_IO_SETUP,
	[NR_io_destroy] = CALL_IO_DESTROY,
	[NR_arch_prctl] = CALL_ARCH_PRCTL,
	[NR_timer_create] = CALL_TIMER_CREATE,
	[NR_timer_settime] = CALL_TIMER_SETTIME,
	[NR_timer_delete] = CALL_TIMER_DELETE,
	[NR_setitimer] = CALL_SETITIMER,
	[NR_alarm] = CALL_ALARM,
	[NR_timerfd_settime] = CALL_TIMERFD_SETTIME,
	[NR_rt_sigtimedwait] = CALL_SIGTIMEDWAIT,
};

/* Commands of bpf(2) whose result is a descriptor. */
#define BPF_COMMANDS_FD                                                                            \
	(1ULL << 0 | 1ULL << 5 | 1ULL << 7 | 1ULL << 13 | 1ULL << 14 | 1ULL << 17 | 1ULL << 18 |   \
	 1ULL << 19 | 1ULL << 28 | 1ULL << 30 | 1ULL << 32 | 1ULL << 33 | 1ULL << 36)

/* Calls of which a descriptor comes of some requests only. */
static __always_inline bool call_makes_fd(struct call *c, __u8 kind)
{
	switch (kind) {
	case CALL_FD:
		return true;
	case CALL_SIGNALFD: /* of an existing one, only the mask changes */
		return (__s32)c->arg[0] == -1;
	case CALL_SECCOMP: /* SECCOMP_SET_MODE_FILTER with a new listener */
		return c->arg[0] == 1 && (c->arg[1] & 1 << 3);
	case CALL_LANDLOCK: /* with flags, it asks for the version */
		return (__u32)c->arg[2] == 0;
	case CALL_BPF:
		return c->arg[0] < 64 && (BPF_COMMANDS_FD >> c->arg[0] & 1);
	default:
		return false;
	}
}

/* Calls that succeeded; false: of another part. */
static __always_inline bool on_fd_call(struct call *c, __u8 kind, struct observed *self)
{
	switch (kind) {
	case CALL_DUP:
	case CALL_ACCEPT:
		fd_new_from(c, (__s32)c->ret, (__s32)c->arg[0]);
		break;
	case CALL_DUP2: /* the same number twice does nothing */
		if ((__s32)c->arg[0] != (__s32)c->arg[1])
			fd_new_from(c, (__s32)c->ret, (__s32)c->arg[0]);
		break;
	case CALL_FCNTL:
		on_fcntl(c);
		break;
	case CALL_PIPE:
		fd_new_pair(c, c->arg[0]);
		break;
	case CALL_SOCKETPAIR:
		fd_new_pair(c, c->arg[3]);
		break;
	case CALL_PIDFD_OPEN:
		on_pidfd_open(c);
		break;
	case CALL_PIDFD_GETFD:
		on_pidfd_getfd(c);
		break;
	case CALL_CLONE:
		on_clone(c);
		break;
	case CALL_IOCTL:
		on_ioctl(c);
		break;
	case CALL_RECVMSG:
		message_rights(c, c->arg[1]);
		break;
	case CALL_RECVMMSG:
		on_recvmmsg(c);
		break;
	case CALL_CLOSE_RANGE:
		on_close_range(c, self);
		break;
	default:
		if (!call_makes_fd(c, kind))
			return false;
		fd_new_from(c, (__s32)c->ret, -1);
		break;
	}
	return true;
}

static __always_inline void on_other_call(struct call *c, __u8 kind, struct observed *self)
{
	switch (kind) {
	case CALL_UNSHARE:
		files_unshared(c, self);
		on_namespace(c);
		break;
	case CALL_SETNS:
		on_namespace(c);
		break;
	case CALL_SIGTIMEDWAIT:
		on_sigtimedwait(c);
		break;
	default:
		if (!on_area_call(c, kind))
			on_timer_call(c, kind);
		break;
	}
}

SEC("tp_btf/sys_exit")

int BPF_PROG(trace_sys_exit, struct pt_regs *regs, long ret)
{
	__u64 nr = regs->orig_ax;
	struct task_struct *task;
	struct observed *self;
	struct call c;
	bool compat;
	__u8 kind;

	/* This is all that most calls of the machine pay for: no call, and no stack to clear. */
	if (nr >= CALLS_MAX || !(call_kind[nr] | compat_call[nr]))
		return 0;
	task = bpf_get_current_task_btf();
	compat = task->thread_info.status & TS_COMPAT;
	if (!compat && call_kind[nr] == CALL_NONE)
		return 0;
	self = observed_get(task);
	if (!self)
		return 0;
	__builtin_memset(&c, 0, sizeof(c));
	c.ret = ret;
	if (compat) {
		nr = compat_turn(&c, regs, (__u32)nr);
		ret = c.ret;
		if (nr >= CALLS_MAX)
			return 0;
	}
	kind = call_kind[nr];
	if (kind == CALL_NONE)
		return 0;
	c.nr = (__u32)nr;
	c.time_ns = bpf_ktime_get_ns();
	c.since_ns = self->since_ns;
	c.regs = (__u64)regs;
	if (!compat) {
		c.arg[0] = regs->di;
		c.arg[1] = regs->si;
		c.arg[2] = regs->dx;
		c.arg[3] = regs->r10;
		c.arg[4] = regs->r8;
		c.arg[5] = regs->r9;
	}
	/* The number is given back even when writing back what was left to write fails. */
	if (kind == CALL_CLOSE && ret != -EBADF)
		fd_close(&c, (__u32)c.arg[0], (__u32)c.arg[0]);
	else if (kind == CALL_SOCKET_CALL)
		on_sock_call(&c);
	else if ((ret >= 0 || ret < -MAX_ERRNO) && !on_fd_call(&c, kind, self))
		on_other_call(&c, kind, self);
	else if (ret < 0 && ret >= -MAX_ERRNO &&
		 (kind == CALL_MPROTECT || kind == CALL_MMAP || kind == CALL_MREMAP))
		on_area_failure(&c, kind);
	self->since_ns = c.time_ns;
	return 0;
}

#endif
