/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Requests of io_uring that make or close descriptors, seen when they complete: in the task that
 * submitted them, or in a worker of its process, which shares the descriptors. Those which work on
 * a ring's own table of files make no descriptor.
 */
#ifndef EBPF_CKPT_TRACE_URING_BPF_H
#define EBPF_CKPT_TRACE_URING_BPF_H

/* linux/io_uring.h */
#define IORING_OP_RECVMSG	   10
#define IORING_OP_ACCEPT	   13
#define IORING_OP_OPENAT	   18
#define IORING_OP_CLOSE		   19
#define IORING_OP_OPENAT2	   28
#define IORING_OP_SOCKET	   45
#define IORING_OP_FIXED_FD_INSTALL 54
#define IORING_OP_PIPE		   62
#define IORING_ACCEPT_MULTISHOT	   1

/* Since 6.?: the completion itself; before, its members one by one. */
#define URING_CQE_SINCE ((6 << 16) + (11 << 8))

static __always_inline bool uring_slot(__u8 opcode, void *request)
{
	switch (opcode) {
	case IORING_OP_ACCEPT:
		return BPF_CORE_READ((struct io_accept *)request, file_slot) != 0;
	case IORING_OP_SOCKET:
		return BPF_CORE_READ((struct io_socket *)request, file_slot) != 0;
	case IORING_OP_OPENAT:
	case IORING_OP_OPENAT2:
		return BPF_CORE_READ((struct io_open *)request, file_slot) != 0;
	case IORING_OP_CLOSE:
		return BPF_CORE_READ((struct io_close *)request, file_slot) != 0;
	case IORING_OP_PIPE:
		return bpf_core_type_exists(struct io_pipe) &&
		       BPF_CORE_READ((struct io_pipe *)request, file_slot) != 0;
	default:
		return false;
	}
}

static __always_inline __u32 uring_call(__u8 opcode)
{
	switch (opcode) {
	case IORING_OP_ACCEPT:
		return NR_accept4;
	case IORING_OP_SOCKET:
		return NR_socket;
	case IORING_OP_OPENAT:
		return NR_openat;
	case IORING_OP_OPENAT2:
		return NR_openat2;
	case IORING_OP_CLOSE:
		return NR_close;
	case IORING_OP_PIPE:
		return NR_pipe2;
	case IORING_OP_RECVMSG:
		return NR_recvmsg;
	case IORING_OP_FIXED_FD_INSTALL:
		return NR_dup;
	default:
		return 0;
	}
}

static __always_inline void uring_done(struct call *c, __u8 opcode, void *request)
{
	__u32 fd;

	switch (opcode) {
	case IORING_OP_CLOSE:
		fd = (__u32)BPF_CORE_READ((struct io_close *)request, fd);
		if (c->ret != -EBADF)
			fd_close(c, fd, fd);
		break;
	case IORING_OP_PIPE:
		if (c->ret >= 0)
			fd_new_pair(c, (__u64)BPF_CORE_READ((struct io_pipe *)request, fds));
		break;
	case IORING_OP_RECVMSG:
		if (c->ret >= 0)
			message_rights(c, (__u64)BPF_CORE_READ((struct io_sr_msg *)request, umsg));
		break;
	default:
		if (c->ret >= 0)
			fd_new_from(c, (__s32)c->ret, -1);
		break;
	}
}

SEC("tp_btf/io_uring_complete")

int trace_uring(__u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct io_kiocb *request = (void *)ctx[1];
	struct io_uring_cqe *cqe;
	struct observed *self;
	struct call c = {};
	__u8 opcode;

	if (!request)
		return 0;
	self = observed_get(task);
	if (!self)
		return 0;
	opcode = BPF_CORE_READ(request, opcode);
	c.nr = uring_call(opcode);
	if (!c.nr || uring_slot(opcode, request))
		return 0;
	if (LINUX_KERNEL_VERSION >= URING_CQE_SINCE) {
		cqe = (void *)ctx[2];
		c.ret = BPF_CORE_READ(cqe, res);
	} else {
		c.ret = (__s32)ctx[3];
	}
	c.stack = -1;
	c.time_ns = bpf_ktime_get_ns();
	c.since_ns = self->since_ns;
	c.flags = TRACE_F_URING;
	uring_done(&c, opcode, request);
	return 0;
}

#endif
