/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * System calls of 32-bit programs, and of 64-bit ones that use their entry: other numbers,
 * arguments in other registers, and smaller structures. They are turned into the calls of
 * trace_calls.bpf.h, with TRACE_F_COMPAT; where a structure has another layout, the code that reads
 * it looks at that.
 */
#ifndef EBPF_CKPT_TRACE_COMPAT_BPF_H
#define EBPF_CKPT_TRACE_COMPAT_BPF_H

#define TS_COMPAT	       2
#define COMPAT_MMAP	       90  /* its arguments are in a structure */
#define COMPAT_SETITIMER       104 /* times of 32 bits, as those of the next two */
#define COMPAT_TIMER_SETTIME   260
#define COMPAT_TIMERFD_SETTIME 325
#define COMPAT_SOCKETCALL      102
#define COMPAT_IPC	       117
#define COMPAT_MMAP2	       192 /* its offset is in pages */

/* By number: the call of 64-bit programs, or, where an argument tells which, one of them. Source:
 * asm/unistd_32.h. */
static const volatile __u16 compat_call[CALLS_MAX] = {
	[5] = NR_open,
	[6] = NR_close,
	[8] = NR_creat,
	[27] = NR_alarm,
	[41] = NR_dup,
	[42] = NR_pipe,
	[45] = NR_brk,
	[54] = NR_ioctl,
	[55] = NR_fcntl,
	[63] = NR_dup2,
	[90] = NR_mmap,
	[91] = NR_munmap,
	[COMPAT_SOCKETCALL] = NR_socket,
	[104] = NR_setitimer,
	[COMPAT_IPC] = NR_shmat,
	[120] = NR_clone,
	[125] = NR_mprotect,
	[163] = NR_mremap,
	[177] = NR_rt_sigtimedwait,
	[192] = NR_mmap,
	[221] = NR_fcntl,
	[245] = NR_io_setup,
	[246] = NR_io_destroy,
	[254] = NR_epoll_create,
	[257] = NR_remap_file_pages,
	[259] = NR_timer_create,
	[260] = NR_timer_settime,
	[263] = NR_timer_delete,
	[277] = NR_mq_open,
	[291] = NR_inotify_init,
	[295] = NR_openat,
	[310] = NR_unshare,
	[321] = NR_signalfd,
	[322] = NR_timerfd_create,
	[323] = NR_eventfd,
	[325] = NR_timerfd_settime,
	[327] = NR_signalfd4,
	[328] = NR_eventfd2,
	[329] = NR_epoll_create1,
	[330] = NR_dup3,
	[331] = NR_pipe2,
	[332] = NR_inotify_init1,
	[336] = NR_perf_event_open,
	[337] = NR_recvmmsg,
	[338] = NR_fanotify_init,
	[342] = NR_open_by_handle_at,
	[346] = NR_setns,
	[354] = NR_seccomp,
	[356] = NR_memfd_create,
	[357] = NR_bpf,
	[359] = NR_socket,
	[360] = NR_socketpair,
	[361] = NR_bind,
	[362] = NR_connect,
	[363] = NR_listen,
	[364] = NR_accept4,
	[372] = NR_recvmsg,
	[373] = NR_shutdown,
	[374] = NR_userfaultfd,
	[380] = NR_pkey_mprotect,
	[397] = NR_shmat,
	[398] = NR_shmdt,
	[409] = NR_timer_settime,
	[411] = NR_timerfd_settime,
	[417] = NR_recvmmsg,
	[421] = NR_rt_sigtimedwait,
	[425] = NR_io_uring_setup,
	[428] = NR_open_tree,
	[430] = NR_fsopen,
	[432] = NR_fsmount,
	[433] = NR_fspick,
	[434] = NR_pidfd_open,
	[435] = NR_clone3,
	[436] = NR_close_range,
	[437] = NR_openat2,
	[438] = NR_pidfd_getfd,
	[444] = NR_landlock_create_ruleset,
	[447] = NR_memfd_secret,
	[453] = NR_map_shadow_stack,
	[467] = NR_open_tree_attr,
};

/* By the first argument of socketcall(2); linux/net.h. */
static const volatile __u16 compat_socketcall[20] = {
	[1] = NR_socket,   [2] = NR_bind,	[3] = NR_connect,   [4] = NR_listen,
	[5] = NR_accept,   [8] = NR_socketpair, [13] = NR_shutdown, [17] = NR_recvmsg,
	[18] = NR_accept4, [19] = NR_recvmmsg,
};

static __always_inline void compat_arguments(struct call *c, __u64 where)
{
	__u32 args[6] = {};

	bpf_probe_read_user(args, sizeof(args), (void *)where);
	for (int i = 0; i < 6; i++)
		c->arg[i] = args[i];
}

/* ipc(call, first, second, third, pointer), of which shmat(2) gives its result by `third`. */
static __always_inline __u32 compat_ipc(struct call *c)
{
	__u32 address = 0;

	if (c->arg[0] == 22) {
		c->arg[0] = c->arg[4];
		return NR_shmdt;
	}
	if (c->arg[0] != 21)
		return 0;
	bpf_probe_read_user(&address, sizeof(address), (void *)c->arg[3]);
	c->arg[0] = c->arg[1];
	if (c->ret >= 0)
		c->ret = address;
	return NR_shmat;
}

/* Turn the call into one of 64-bit programs; 0: none that is looked at. */
static __always_inline __u32 compat_turn(struct call *c, struct pt_regs *regs, __u32 nr)
{
	c->flags = TRACE_F_COMPAT;
	c->arg[0] = (__u32)regs->bx;
	c->arg[1] = (__u32)regs->cx;
	c->arg[2] = (__u32)regs->dx;
	c->arg[3] = (__u32)regs->si;
	c->arg[4] = (__u32)regs->di;
	c->arg[5] = (__u32)regs->bp;
	switch (nr) {
	case COMPAT_SOCKETCALL:
		nr = (__u32)c->arg[0];
		if (nr >= 20)
			return 0;
		compat_arguments(c, c->arg[1]);
		return compat_socketcall[nr];
	case COMPAT_IPC:
		return compat_ipc(c);
	case COMPAT_MMAP:
		compat_arguments(c, c->arg[0]);
		return NR_mmap;
	case COMPAT_MMAP2:
		c->arg[5] *= PAGE_BYTES;
		return NR_mmap;
	case COMPAT_SETITIMER:
	case COMPAT_TIMER_SETTIME:
	case COMPAT_TIMERFD_SETTIME:
		c->narrow_times = 1;
		break;
	default:
		break;
	}
	return nr < CALLS_MAX ? compat_call[nr] : 0;
}

#endif
