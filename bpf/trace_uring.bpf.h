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

/* Set by the loader: the tracepoint has the completion itself; older ones its members one by one.
 */
const volatile __u32 uring_has_cqe = 1;

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

/*
 * A request that accepts one connection after the other completes many times, without the request
 * itself being told: only by what the program has marked it with.
 */
struct uring_mark {
	__u64 ring, user_data;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, 1); /* BPF_F_NO_PREALLOC */
	__type(key, struct uring_mark);
	__type(value, __u32);
} multishot SEC(".maps");

SEC("tp_btf/io_uring_submit_req")

int BPF_PROG(trace_uring_submit, struct io_kiocb *request)
{
	struct uring_mark mark = {};
	__u32 one = 1;

	if (!observed_get(bpf_get_current_task_btf()) ||
	    BPF_CORE_READ(request, opcode) != IORING_OP_ACCEPT ||
	    !(BPF_CORE_READ((struct io_accept *)request, iou_flags) & IORING_ACCEPT_MULTISHOT) ||
	    BPF_CORE_READ((struct io_accept *)request, file_slot))
		return 0;
	mark.ring = (__u64)BPF_CORE_READ(request, ctx);
	mark.user_data = BPF_CORE_READ(request, cqe.user_data);
	if (bpf_map_update_elem(&multishot, &mark, &one, 0 /* BPF_ANY */) < 0)
		lost(TRACE_TYPE_NR + TRACE_CAUSE_SOCKET);
	return 0;
}

/* What a completion without a request belongs to; only of accepting. */
static __always_inline __u8 uring_marked(__u64 *ctx)
{
	struct uring_mark mark = { .ring = ctx[0] };

	if (uring_has_cqe)
		mark.user_data = BPF_CORE_READ((struct io_uring_cqe *)ctx[2], user_data);
	else
		mark.user_data = ctx[2];
	return bpf_map_lookup_elem(&multishot, &mark) ? IORING_OP_ACCEPT : 0;
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

	self = observed_get(task);
	if (!self)
		return 0;
	opcode = request ? BPF_CORE_READ(request, opcode) : uring_marked(ctx);
	c.nr = uring_call(opcode);
	if (!c.nr || (request && uring_slot(opcode, request)))
		return 0;
	if (uring_has_cqe) {
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
