/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * User stacks. Where the callers of a function stand on its stack is told by tables in the
 * program's files, which user space reads (programs built without frame pointers cannot be unwound
 * here): the top of the stack is copied for it. That is dear, and in the end most stacks are like
 * one before, so user space puts into a map by which words one can be recognized.
 */
#ifndef EBPF_CKPT_TRACE_STACK_BPF_H
#define EBPF_CKPT_TRACE_STACK_BPF_H

#define STACK_SLOTS   16
#define STACK_PAGE    4096
#define USER32_CS     0x23 /* __USER32_CS */
#define USER_BYTES    (1ULL << 47)
#define STACK_NUMBERS (TRACE_STACK_SAMPLE - 1)

const volatile __u64 stack_ring_bytes = 0; /* no stacks are copied when the ring holds more */

__u32 stack_number = 0;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TRACE_STACKS_KNOWN);
	__uint(map_flags, 1); /* BPF_F_NO_PREALLOC */
	__type(key, struct trace_stack_key);
	__type(value, struct trace_stack_known);
} stacks SEC(".maps");

struct stack_scratch {
	__u32 busy, pad;
	struct trace_stack rec;
	__u8 bytes[TRACE_STACK_BYTES];
};

_Static_assert(sizeof(struct stack_scratch) <= TRACE_RECORD_MAX, "");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, STACK_SLOTS);
	__type(key, __u32);
	__type(value, struct stack_scratch);
} stack_scratch SEC(".maps");

struct stack_match {
	struct trace_stack_known *known;
	__u64 sp;
	bool differs;
};

static long word_step(__u32 i, void *data)
{
	struct stack_match *m = data;
	__u64 word = 0;

	if (i >= TRACE_STACK_WORDS)
		return 1;
	m->differs = bpf_probe_read_user(&word, sizeof(word),
					 (void *)(m->sp + m->known->at[i] * 8ULL)) < 0 ||
		     word != m->known->word[i];
	return m->differs;
}

/* The id of the known stack that this one is; 0: of none. */
static __always_inline __s32 stack_known(__u64 mm_id, const __u64 *regs)
{
	struct trace_stack_key key = { .mm_id = mm_id,
				       .ip = regs[TRACE_REG_IP],
				       .sp = regs[TRACE_REG_SP] };
	struct stack_match m = { .sp = key.sp };

	for (key.way = 0; key.way < TRACE_STACK_WAYS; key.way++) {
		m.known = bpf_map_lookup_elem(&stacks, &key);
		if (!m.known)
			break;
		if (m.known->with_bp && m.known->bp != regs[TRACE_REG_BP])
			continue;
		m.differs = false;
		bpf_loop(m.known->n, word_step, &m, 0);
		if (!m.differs)
			return (__s32)m.known->id;
	}
	return 0;
}

static __always_inline struct stack_scratch *stack_scratch_get(void)
{
	__u32 start = bpf_get_smp_processor_id();

	for (__u32 i = 0; i < 4; i++) {
		__u32 key = (start + i * 5) % STACK_SLOTS;
		struct stack_scratch *s = bpf_map_lookup_elem(&stack_scratch, &key);

		if (s && __sync_val_compare_and_swap(&s->busy, 0, 1) == 0)
			return s;
	}
	return 0;
}

/* By pages: behind the stack's end there may be nothing. Returns how many bytes there are. */
static __always_inline __u32 stack_copy(struct stack_scratch *s, __u64 sp)
{
	__u32 len = STACK_PAGE - (__u32)(sp % STACK_PAGE), n;

	if (len > STACK_PAGE || bpf_probe_read_user(s->bytes, len, (void *)sp) < 0)
		return 0;
	for (n = len; n <= TRACE_STACK_BYTES - STACK_PAGE; n += STACK_PAGE)
		if (bpf_probe_read_user(&s->bytes[n], STACK_PAGE, (void *)(sp + n)) < 0)
			break;
	return n;
}

/* Put a copy into the ring; its number, or -1. */
static __always_inline __s32 stack_sample(struct call *c, __u64 mm_id, const __u64 *regs)
{
	struct stack_scratch *s = 0;
	__s32 number = -1;
	__u32 n, len;

	/* Rather the records than their stacks. */
	if (bpf_ringbuf_query(&ring, 0 /* BPF_RB_AVAIL_DATA */) <= stack_ring_bytes)
		s = stack_scratch_get();
	if (s) {
		number =
			__sync_fetch_and_add(&stack_number, 1) % STACK_NUMBERS | TRACE_STACK_SAMPLE;
		n = stack_copy(s, regs[TRACE_REG_SP]);
		len = (sizeof(s->rec) + n + 7) & ~7U;
		head_init(&s->rec.head, TRACE_STACK, len, bpf_get_current_task_btf(), c->time_ns);
		s->rec.head.stack = number;
		s->rec.mm_id = mm_id;
		__builtin_memcpy(s->rec.regs, regs, sizeof(s->rec.regs));
		s->rec.n_bytes = n;
		if (len > sizeof(s->rec) + sizeof(s->bytes) ||
		    bpf_ringbuf_output(&ring, &s->rec, len, wake_flags()) < 0)
			number = -1;
		__sync_lock_test_and_set(&s->busy, 0);
	}
	if (number < 0)
		__sync_fetch_and_add(&lost_by_cause[TRACE_TYPE_NR + TRACE_CAUSE_STACK], 1);
	return number;
}

__noinline int stack_take(struct call *c)
{
	__u64 regs[TRACE_REG_NR], mm_id;

	if (!c)
		return 0;
	c->stack = -1;
	/* The kernel's struct pt_regs is filled completely when the program enters it. */
	if (!c->regs || bpf_probe_read_kernel(regs, sizeof(regs), (void *)c->regs) < 0 ||
	    (__u16)regs[TRACE_REG_CS] == USER32_CS || regs[TRACE_REG_SP] >= USER_BYTES)
		return 0;
	mm_id = (__u64)kread(task_struct, bpf_get_current_task_btf(), mm);
	c->stack = stack_known(mm_id, regs);
	if (!c->stack)
		c->stack = stack_sample(c, mm_id, regs);
	return 0;
}

/* The stack of the call is wanted for a record: before that gets its place in the ring. */
static __always_inline void call_stack(struct call *c)
{
	if (!with_stacks)
		c->stack = -1;
	else if (!c->stack)
		stack_take(c);
}

#endif
