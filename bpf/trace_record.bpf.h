/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who is observed, and how records get into the ring: what all parts of trace.bpf.c need.
 *
 * Programs at tracepoints run with preemption off, but an interrupt may come and run another one:
 * what they share is claimed, or changed in one step.
 */
#ifndef EBPF_CKPT_TRACE_RECORD_BPF_H
#define EBPF_CKPT_TRACE_RECORD_BPF_H

#define SCRATCH_SLOTS  64
#define SCRATCH_BYTES  8192 /* a record with names, and as much room again, see names.bpf.h */
#define SOCKETS_MAX    (1 << 18)
#define MARK_SOCKETS   1
#define LOST_CAUSES_NR (TRACE_TYPE_NR + TRACE_CAUSE_NR)

/* Set by the loader. */
const volatile __u64 wanted_types = ~0ULL; /* mask of 1 << enum trace_type */
const volatile __u64 wake_bytes = 1 << 20; /* the reader is woken when the ring holds more */
const volatile __u32 with_stacks = 0;
const volatile __u32 with_areas = 0; /* trace_areas.bpf.h works here */
const volatile __u32 n_names = 0;
const volatile char names[TRACE_NAMES_WANTED][TRACE_COMM_LEN] = {};
const volatile __u32 n_cgroups = 0;
const volatile __u64 cgroups[TRACE_CGROUPS_MAX] = {};

/* The observer, set when it first marks a process. */
__u64 observer_ns = 0;
__u32 observer_level = 0;
__s32 observer_tgid = 0; /* in the initial pid namespace */

/* Losses: all, and by type of record, then by enum trace_cause. */
__u32 lost_total = 0;
__u64 lost_by_cause[LOST_CAUSES_NR] = {};
/* The reader has been woken, and did not look yet. */
__u32 woken = 0;

#define OBSERVER (&(const struct reader){ observer_ns, observer_level })

/*
 * Reading a member of a kernel object. bpf_probe_read_kernel(), which BPF_CORE_READ() is made of,
 * is a call each time. Where the kernel has bpf_rdonly_cast() (since 6.2), a plain load does, which
 * is guarded, too, and takes no time. Plain loads from what the verifier knows by itself are as
 * fast, but for each pointer that is loaded so it searches all the kernel's types by name: two
 * dozen of them make loading take a second longer.
 */
extern void *bpf_rdonly_cast(const void *object, __u32 type_id) __weak __ksym;

/* Numbers of the kernel's types, set by the loader; with_cast 0: not to be used. */
const volatile __u32 with_cast = 0;
const volatile struct trace_type_ids type_ids = {};

#define kread(type, object, member)                                                                \
	({                                                                                         \
		const void *object_ = (const void *)(object);                                      \
		typeof(((struct type *)0)->member) value_;                                         \
		if (with_cast)                                                                     \
			value_ = ((struct type *)bpf_rdonly_cast(object_, type_ids.type))->member; \
		else                                                                               \
			value_ = BPF_CORE_READ((struct type *)object_, member);                    \
		value_;                                                                            \
	})

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20);
} ring SEC(".maps");

/* What is kept of an observed thread. */
struct observed {
	__u64 since_ns; /* when its last traced call ended; 0: there was none */
	__u64 files_id; /* its descriptor table, when last looked at */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, 1); /* BPF_F_NO_PREALLOC */
	__type(key, int);
	__type(value, struct observed);
} observed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} sequence SEC(".maps");

/* Who is said to have a socket. */
struct watched {
	__s32 pid, tid;
	char comm[TRACE_COMM_LEN];
};

/* By address of the struct sock. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SOCKETS_MAX);
	__uint(map_flags, 1); /* BPF_F_NO_PREALLOC */
	__type(key, __u64);
	__type(value, struct watched);
} sockets SEC(".maps");

/* Where records of which the length varies are put together. */
struct scratch {
	__u32 busy;
	__u32 at; /* bytes written */
	__u32 left;
	__u32 n;
	__u64 walk, walk_mnt, walk_root, end, file_id, task, vma;
	__u8 rec[SCRATCH_BYTES];
};

_Static_assert(sizeof(struct scratch) <= TRACE_RECORD_MAX, "");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SCRATCH_SLOTS);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

/* A system call that is returning. */
struct call {
	__u64 arg[6];
	__s64 ret;
	__u64 time_ns, since_ns; /* of its return, and of that of the one before */
	__u32 nr;
	__u32 flags;	    /* TRACE_F_* for its records */
	__s32 stack;	    /* as in its records; 0: it has not been asked for */
	__u32 narrow_times; /* struct itimerspec of 32-bit programs */
	__u64 regs;	    /* the program's struct pt_regs; 0: none */
};

static __always_inline struct observed *observed_get(struct task_struct *task)
{
	return bpf_task_storage_get(&observed, task, 0, 0);
}

static __always_inline bool is_wanted(__u16 type)
{
	return wanted_types >> type & 1;
}

/* A record could not be made, or something could not be kept. */
static __always_inline void lost(__u32 cause)
{
	__sync_fetch_and_add(&lost_total, 1);
	if (cause < LOST_CAUSES_NR)
		__sync_fetch_and_add(&lost_by_cause[cause], 1);
}

static __always_inline struct scratch *scratch_get(void)
{
	__u32 start = bpf_get_smp_processor_id();

	for (__u32 i = 0; i < 8; i++) {
		__u32 key = (start + i * 7) % SCRATCH_SLOTS;
		struct scratch *s = bpf_map_lookup_elem(&scratch, &key);

		if (s && __sync_val_compare_and_swap(&s->busy, 0, 1) == 0)
			return s;
	}
	return 0;
}

static __always_inline void scratch_put(struct scratch *s)
{
	__sync_lock_test_and_set(&s->busy, 0);
}

/*
 * The reader is woken once when the ring has filled some way, not for each record. It says by
 * `woken` that it has looked.
 */
static __always_inline __u64 wake_flags(void)
{
	if (woken || bpf_ringbuf_query(&ring, 0 /* BPF_RB_AVAIL_DATA */) < wake_bytes)
		return 1; /* BPF_RB_NO_WAKEUP */
	woken = 1;
	return 2; /* BPF_RB_FORCE_WAKEUP */
}

static __always_inline void head_init(struct trace_head *head, __u16 type, __u32 len,
				      struct task_struct *task, __u64 time_ns)
{
	__u32 key = 0, *seq = bpf_map_lookup_elem(&sequence, &key);

	head->type = type;
	head->flags = 0;
	head->len = len;
	head->time_ns = time_ns;
	head->cpu = bpf_get_smp_processor_id();
	head->seq = seq ? __sync_fetch_and_add(seq, 1) : 0;
	head->lost = lost_total;
	if (observer_level == 0) {
		head->pid = kread(task_struct, task, tgid);
		head->tid = kread(task_struct, task, pid);
	} else {
		head->pid = group_nr(task, OBSERVER);
		head->tid = pid_nr(BPF_CORE_READ(task, thread_pid), OBSERVER);
	}
	head->stack = -1;
	bpf_probe_read_kernel(head->comm, sizeof(head->comm), task->comm);
}

/* Room in the ring for a record of fixed length, zeroed, with its head; NULL: counted as lost. */
#define record_new(type_of, TYPE, task) record_new_at(type_of, TYPE, task, bpf_ktime_get_ns())
#define record_new_at(type_of, TYPE, task, time)                                                   \
	({                                                                                         \
		struct type_of *new_ = bpf_ringbuf_reserve(&ring, sizeof(struct type_of), 0);      \
		if (new_) {                                                                        \
			__builtin_memset(new_, 0, sizeof(*new_));                                  \
			head_init(&new_->head, TYPE, sizeof(struct type_of), task, time);          \
		} else {                                                                           \
			lost(TYPE);                                                                \
		}                                                                                  \
		new_;                                                                              \
	})

static __always_inline void record_submit(void *record)
{
	bpf_ringbuf_submit(record, wake_flags());
}

/* Put what was put together in the scratch into the ring. */
static __always_inline void scratch_submit(struct scratch *s)
{
	struct trace_head *head = (void *)s->rec;
	__u32 len = s->at;

	if (len > sizeof(s->rec) / 2 + 1024)
		len = 0;
	head->len = len;
	if (!len || bpf_ringbuf_output(&ring, s->rec, len, wake_flags()) < 0)
		lost(head->type);
}

#endif
