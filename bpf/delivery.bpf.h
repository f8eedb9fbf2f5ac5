/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What becomes of a signal that a checkpointer sends: queued, ignored, and when it was delivered.
 * Included by snapshot.bpf.c, whose types it shares.
 *
 * The signal itself says to whom this is told: REC_DELIVERY_VALUE() of records.h. A sender claims
 * one of a few ring buffers by an entry in delivery_senders, with a secret that strangers do not
 * know. (A map of rings, to which each sender adds its own, would make each of them wait 10 ms for
 * the kernel.) All other signals cost one comparison.
 */
#ifndef EBPF_CKPT_DELIVERY_BPF_H
#define EBPF_CKPT_DELIVERY_BPF_H

#define SI_QUEUE (-1)
#ifndef BPF_RB_NO_WAKEUP
#define BPF_RB_NO_WAKEUP    1
#define BPF_RB_FORCE_WAKEUP 2
#endif

/* The beginning of siginfo_t on 64-bit machines, which no kernel may change. */
struct siginfo_head {
	__s32 signo, error, code, pad;
	__u32 pid, uid;
	__u64 value;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, REC_SENDERS);
	__type(key, __u32);
	__type(value, struct rec_sender);
} delivery_senders SEC(".maps");

struct delivery_ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, REC_DELIVERY_RING_BYTES);
};

struct delivery_ring delivery_ring_0 SEC(".maps"), delivery_ring_1 SEC(".maps"),
	delivery_ring_2 SEC(".maps"), delivery_ring_3 SEC(".maps"), delivery_ring_4 SEC(".maps"),
	delivery_ring_5 SEC(".maps"), delivery_ring_6 SEC(".maps"), delivery_ring_7 SEC(".maps");

#define RING_CASE(n)                                                                               \
	case n:                                                                                    \
		bpf_ringbuf_output(&delivery_ring_##n, out, sizeof(*out), flags);                  \
		break

static __always_inline void put_in_ring(__u32 slot, struct rec_delivery *out, __u64 flags)
{
	switch (slot) {
		RING_CASE(0);
		RING_CASE(1);
		RING_CASE(2);
		RING_CASE(3);
		RING_CASE(4);
		RING_CASE(5);
		RING_CASE(6);
		RING_CASE(7);
	}
}

/* Whether there is more to come. */
static __always_inline bool count(struct rec_sender *sender, __u32 what)
{
	__s64 more = what == REC_QUEUED ? 1 : what == REC_DELIVERED ? -1 : 0;

	return __sync_fetch_and_add(&sender->on_way, more) + more > 0;
}

static __always_inline void tell(int sig, const void *info, __u32 what, __u64 blocked)
{
	struct rec_delivery out = { .what = what };
	struct rec_sender *sender;
	struct siginfo_head si;
	__u32 slot;

	/* 0 and 1 stand for the kernel's own. */
	if (sig != REC_DELIVERY_SIGNAL || (unsigned long)info <= 1 ||
	    bpf_probe_read_kernel(&si, sizeof(si), info) < 0 || si.code != SI_QUEUE)
		return;
	slot = REC_DELIVERY_SLOT(si.value);
	sender = bpf_map_lookup_elem(&delivery_senders, &slot);
	if (!sender || sender->secret != REC_DELIVERY_SECRET(si.value))
		return;
	out.time_ns = bpf_ktime_get_ns();
	out.tid = (__s32)si.value;
	out.blocked = blocked >> (sig - 1) & 1;
	/* The sender sleeps until the last one is there. */
	put_in_ring(slot, &out, count(sender, what) ? BPF_RB_NO_WAKEUP : BPF_RB_FORCE_WAKEUP);
}

/* sig, info, task, to the group, TRACE_SIGNAL_* */
SEC("raw_tp/signal_generate")

int delivery_generate(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[2];

	tell((int)ctx->args[0], (void *)ctx->args[1], (__u32)ctx->args[4],
	     BPF_CORE_READ(task, blocked.sig[0]));
	return 0;
}

/* sig, info, action */
SEC("raw_tp/signal_deliver")

int delivery_deliver(struct bpf_raw_tracepoint_args *ctx)
{
	tell((int)ctx->args[0], (void *)ctx->args[1], REC_DELIVERED, 0);
	return 0;
}

#endif
