// SPDX-License-Identifier: GPL-2.0-only
/*
 * The snapshot programs: BPF iterators which turn the kernel's own objects into the records of
 * records.h. They only read; the target need not be stopped, and does not notice.
 *
 *   snapshot_task  iter/task       threads, thread groups, handlers, mm, timers, groups, paths
 *   snapshot_vma   iter/task_vma   memory areas
 *   snapshot_file  iter/task_file  descriptors
 *   snapshot_more  iter/task       the rest of a list too long for one element (rec_request)
 *   snapshot_holder  iter/task_file  who holds pipes, sockets and nameless files, all processes
 *   snapshot_member  iter/task       all threads of the machine, as much as makes a tree
 *   delivery_*       raw tracepoints: what becomes of a checkpointer's signals (delivery.bpf.h)
 *
 * An iterator's program is called once per element. When its output does not fit into what is left
 * of the 32 KiB buffer, the kernel drops all of the element's output and calls again with an empty
 * buffer, so records are never cut or doubled; but one element must never write more than 32 KiB.
 * Returning 1 asks for another call with the same element, too.
 *
 * Numbers in objects that the context points to are read by plain loads, which the kernel guards
 * (a load from a bad address gives 0) and which cost nothing. Pointers are mostly read with
 * BPF_CORE_READ() all the same, except where it is done for every memory area: for each plain load
 * of one, the verifier searches all the kernel's types by name, which made loading a fifth slower.
 */
#include "../vmlinux/vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "common.bpf.h"
#include "compat.bpf.h"
#include "records.h"

char LICENSE[] SEC("license") = "GPL";

/* Set by the loader: no CPU at or above this number can exist. */
const volatile __u32 possible_cpus = 1024;

/*
 * Set by the loader: where in a credential's memory for security modules Landlock's part lies, not
 * counting SELinux's; or LANDLOCK_*.
 */
const volatile __s32 landlock_offset = LANDLOCK_ABSENT;
const volatile __u32 landlock_after_selinux = 0;

#define AGAIN 1

#define TIMERS_PER_PIECE 64
#define GROUPS_PER_PIECE 1024
#define LIST_MAX	 (1 << 20) /* bound of walks over kernel lists */
/* Of one descriptor: with them, the output of one element stays below 32 KiB. */
#define LOCKS_MAX     480
#define SCRATCH_SLOTS 32

#define FMODE_WRITE 0x2

/*
 * Where a walk over a kernel list stands. It lies in the scratch and not on the stack, because the
 * verifier takes what it reads from a map for unknown: numbers on the stack, which it follows
 * exactly, would make it try every round of the loop.
 */
struct walk {
	__u64 node, end;	/* addresses of the next link, and of the one that ends the list */
	__u64 inner, inner_end; /* the same of a list within the list */
	__u32 at, until;	/* indices, where it is a ring */
	__u32 skip, left;	/* entries to pass over, and to take then */
	__u64 sum;
	__s32 tgid;
	__u32 pad;
};

/* The same for ipc.bpf.h. */
struct ipc_walk {
	__u64 node;	      /* of a tree */
	__u64 list, list_end; /* where it stands in a list, and the list's end */
	__u64 segment;
	__u64 percpu_at, percpu_base;
	__u64 sum;
	__u32 priority, index, until, offset;
	__u32 skip;
	__s32 left; /* bytes that may still be written */
	__u32 started, climbing;
};

/* struct rec_groups with room for one piece. */
struct groups_piece {
	struct rec_head head;
	__s32 tid;
	__u32 n;
	__u32 gid[GROUPS_PER_PIECE];
};

_Static_assert(sizeof(struct rec_groups) + 4 * GROUPS_PER_PIECE == sizeof(struct groups_piece), "");

/*
 * Where records are put together: they are larger than the stack. A per-CPU slot would not do, as a
 * program can be preempted by another reader's on the same CPU; so slots are claimed, and given
 * back before the program ends.
 */
struct scratch {
	__u32 busy;
	__u32 wanted; /* the last answer of is_wanted(), and the question */
	__u64 wanted_task, wanted_nonce;
	struct walk walk;
	struct ipc_walk ipc;

	union {
		struct rec_task task;
		struct rec_process process;
		struct rec_sighand sighand;
		struct rec_mm mm;
		struct rec_timer timer;
		struct rec_vma vma;
		struct rec_file file;
		struct rec_lock lock;
		struct rec_path path;
		struct groups_piece groups;
		struct rec_holder holder;
		struct rec_member member;
		struct rec_detail detail;
		struct rec_mqueue mqueue;
		struct rec_sem_undo sem_undo;
		struct rec_aio aio;
		struct rec_bpf_map bpf_map;

		struct {
			struct rec_mqueue_piece fixed;
			__u8 data[4096];
		} mqueue_piece;
		struct rec_unix unix_socket;
		struct rec_unix_msg unix_msg;
		struct rec_tty tty;
		struct rec_notify_group notify_group;
		struct rec_notify_mark notify_mark;
		struct rec_notify_event notify_event;
		struct rec_seccomp seccomp;
	};

	char name[REC_PATH_MAX + 8]; /* and room for padding */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SCRATCH_SLOTS);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

static __always_inline struct scratch *scratch_get(void)
{
	__u32 start = bpf_get_smp_processor_id();

	for (__u32 i = 0; i < SCRATCH_SLOTS; i++) {
		__u32 key = (start + i) % SCRATCH_SLOTS;
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

struct search {
	__u64 list;
	__s32 tgid;
	__u32 low, high, found;
};

static long search_step(__u32 i, void *data)
{
	struct search *s = data;
	__u32 middle = s->low + (s->high - s->low) / 2;
	__s32 there = 0;

	(void)i;
	if (s->low >= s->high)
		return 1;
	bpf_probe_read_user(&there, sizeof(there), (const void *)(s->list + (__u64)middle * 4));
	if (there == s->tgid) {
		s->found = 1;
		return 1;
	}
	if (there < s->tgid)
		s->low = middle + 1;
	else
		s->high = middle;
	return 0;
}

/* Second argument of the reader's read(2): its buffer, where a request may stand. */
static __always_inline const void *request_address(void)
{
	struct pt_regs *regs = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());

	return (const void *)regs->si;
}

static __always_inline void read_request(struct rec_request *request)
{
	bpf_probe_read_user(request, sizeof(*request), request_address());
}

/*
 * In a pass over the whole machine, is this one of the processes that the reader wants? In a pass
 * over one process there is no such request, and the answer is yes.
 */
static __always_inline bool is_wanted(struct scratch *s, struct task_struct *task,
				      const struct reader *r)
{
	struct rec_request request = {};
	struct search search = {};

	read_request(&request);
	if (request.magic != REC_REQUEST_MAGIC || request.type != REC_REQUEST_FILTER)
		return true;
	if (s->wanted_task == (__u64)task && s->wanted_nonce == request.nonce)
		return s->wanted;
	search.list = request.list;
	search.high = request.first;
	search.tgid = group_nr(task, r);
	bpf_loop(32, search_step, &search, 0);
	s->wanted_task = (__u64)task;
	s->wanted_nonce = request.nonce;
	s->wanted = search.found;
	return search.found;
}

static __always_inline void rec_init(struct rec_head *head, __u16 type, __u32 len)
{
	head->type = type;
	head->flags = 0;
	head->len = len;
}

static __always_inline void detail_init(struct rec_detail *out, const struct rec_detail *whose,
					__u16 type, __u32 len)
{
	*out = *whose;
	rec_init(&out->head, type, len);
}

#include "epoll.bpf.h"
#include "events.bpf.h"

/* --- files -------------------------------------------------------------------------------- */

static __always_inline void fill_inode(struct rec_inode *out, struct inode *inode,
				       struct dentry *dentry)
{
	struct super_block *sb = BPF_CORE_READ(inode, i_sb);
	__u32 dev = BPF_CORE_READ(sb, s_dev), rdev = inode->i_rdev;

	out->inode_id = (__u64)inode;
	out->ino = inode->i_ino;
	out->size = (__u64)inode->i_size;
	compat_inode_times(inode, &out->mtime_ns, &out->ctime_ns);
	out->dev_major = dev_major(dev);
	out->dev_minor = dev_minor(dev);
	out->mode = inode->i_mode;
	if ((out->mode & S_IFMT) == S_IFCHR || (out->mode & S_IFMT) == S_IFBLK) {
		out->rdev_major = dev_major(rdev);
		out->rdev_minor = dev_minor(rdev);
	}
	out->nlink = inode->i_nlink;
	out->uid = inode->i_uid.val;
	out->gid = inode->i_gid.val;
	out->sb_magic = BPF_CORE_READ(sb, s_magic);
	out->unhashed = dentry_unhashed(dentry);
	bpf_probe_read_kernel_str(out->fstype, sizeof(out->fstype),
				  BPF_CORE_READ(sb, s_type, name));
	bpf_probe_read_kernel_str(out->dname, sizeof(out->dname),
				  BPF_CORE_READ(dentry, d_name.name));
}

/*
 * The path into s->name, NUL and padding after it. Returns its length without the NUL, 0 when
 * there is none. The kernel appends " (deleted)" to the path of an unlinked file, at
 * its own reading of the dentry: so *unhashed is read anew until both readings agree.
 */
static __always_inline __u32 fill_path(struct scratch *s, struct path *path, __u32 *unhashed,
				       __u16 *flags)
{
	struct dentry *dentry = BPF_CORE_READ(path, dentry);
	long len = 0;

	for (int i = 0; i < 2; i++) {
		*unhashed = dentry_unhashed(dentry);
		len = bpf_d_path(path, s->name, REC_PATH_MAX);
		if (*unhashed == dentry_unhashed(dentry))
			break;
	}
	if (len < 0)
		*flags |= REC_F_TRUNCATED;
	if (len <= 1 || len > REC_PATH_MAX)
		return 0;
	*(volatile char *)&s->name[len & (REC_PATH_MAX * 2 - 1)] = 0;
	return (__u32)len - 1;
}

static __always_inline __u32 padded(__u32 len)
{
	return (len + 7) & ~7U;
}

/* Bytes that follow a record for a path of this length. */
static __always_inline __u32 path_bytes(__u32 path_len)
{
	return path_len ? padded(path_len + 1) : 0;
}

static __always_inline void write_path(struct seq_file *seq, struct scratch *s, __u32 path_len)
{
	__u32 bytes = path_bytes(path_len);

	if (bytes > 0 && bytes <= REC_PATH_MAX)
		bpf_seq_write(seq, s->name, bytes);
}

#include "attributes.bpf.h"
#include "bpfmap.bpf.h"
#include "delivery.bpf.h"
#include "ipc.bpf.h"
#include "notify.bpf.h"
#include "seccomp.bpf.h"

/* --- threads ------------------------------------------------------------------------------ */

static __always_inline void fill_restart(struct rec_restart_block *out, struct task_struct *task,
					 struct pt_regs *regs)
{
	struct restart_block *rb = &task->restart_block;
	char name[24] = {};
	__u64 fn;

	/* Otherwise the block is a left-over of some earlier call. */
	/* No plain loads below: the verifier knows only the first member of a union. */
	if ((long)regs->ax != -ERESTART_RESTARTBLOCK)
		return;
	/* The functions are static, and nothing but their names tells them apart. */
	fn = (__u64)rb->fn;
	bpf_snprintf(name, sizeof(name), "%ps", &fn, sizeof(fn));
	out->kind = REC_RESTART_UNKNOWN;
	if (name[0] == 'f') { /* futex_wait_restart */
		out->kind = REC_RESTART_FUTEX;
		out->uaddr = (__u64)BPF_CORE_READ(rb, futex.uaddr);
		out->val = BPF_CORE_READ(rb, futex.val);
		out->flags = BPF_CORE_READ(rb, futex.flags);
		out->clockid = compat_futex_clock(out->flags);
		out->bitset = BPF_CORE_READ(rb, futex.bitset);
		out->expires_ns = BPF_CORE_READ(rb, futex.time);
	} else if (name[0] == 'd' && name[3] == 'r') { /* do_restart_poll */
		out->kind = REC_RESTART_POLL;
		out->clockid = 1; /* CLOCK_MONOTONIC */
		out->uaddr = (__u64)BPF_CORE_READ(rb, poll.ufds);
		out->val = (__u32)BPF_CORE_READ(rb, poll.nfds);
		out->flags = (__u32)BPF_CORE_READ(rb, poll.has_timeout);
		if (out->flags)
			out->expires_ns = compat_poll_end_ns(task);
	} else if (name[0] == 'h' || name[0] == 'p' || name[0] == 'a') {
		out->kind = name[0] == 'h' ? REC_RESTART_NANOSLEEP : /* hrtimer_nanosleep_restart */
				    name[0] == 'p' ? REC_RESTART_POSIX_CPU
						   :   /* posix_cpu_nsleep_restart */
				    REC_RESTART_ALARM; /* alarm_timer_nsleep_restart */
		out->clockid = (__u32)BPF_CORE_READ(rb, nanosleep.clockid);
		out->flags = BPF_CORE_READ(rb, nanosleep.type);
		out->expires_ns = BPF_CORE_READ(rb, nanosleep.expires);
		if (BPF_CORE_READ(rb, nanosleep.type) != TT_NONE)
			out->rmtp = (__u64)BPF_CORE_READ(rb, nanosleep.rmtp);
	} else if (name[0] == 'd') { /* do_no_restart_syscall: the call ends with EINTR */
		out->kind = REC_RESTART_NONE;
	}
}

static __always_inline void fill_cred(struct rec_cred *out, const struct cred *cred)
{
	out->uid = cred->uid.val;
	out->euid = cred->euid.val;
	out->suid = cred->suid.val;
	out->fsuid = cred->fsuid.val;
	out->gid = cred->gid.val;
	out->egid = cred->egid.val;
	out->sgid = cred->sgid.val;
	out->fsgid = cred->fsgid.val;
	out->cap_inheritable = compat_cap(cred, cap_inheritable);
	out->cap_permitted = compat_cap(cred, cap_permitted);
	out->cap_effective = compat_cap(cred, cap_effective);
	out->cap_bset = compat_cap(cred, cap_bset);
	out->cap_ambient = compat_cap(cred, cap_ambient);
	out->securebits = cred->securebits;
	out->ngroups = (__u32)BPF_CORE_READ(cred, group_info, ngroups);
	out->user_ns_id = (__u64)BPF_CORE_READ(cred, user_ns);
	out->user_ns_inum = BPF_CORE_READ(cred, user_ns, ns.inum);
}

static __always_inline void fill_namespaces(struct rec_task *out, struct task_struct *task)
{
	struct nsproxy *ns = BPF_CORE_READ(task, nsproxy);
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	struct upid upid;

	if (pid) {
		out->pid_ns_level = BPF_CORE_READ(pid, level);
		read_upid(&upid, pid, out->pid_ns_level);
		out->vtid = upid.nr;
		out->pid_ns_inum = BPF_CORE_READ(upid.ns, ns.inum);
		pid = BPF_CORE_READ(task, group_leader, thread_pid);
		read_upid(&upid, pid, out->pid_ns_level);
		out->vtgid = upid.nr;
	}
	if (!ns)
		return;
	out->uts_ns_inum = BPF_CORE_READ(ns, uts_ns, ns.inum);
	out->ipc_ns_inum = BPF_CORE_READ(ns, ipc_ns, ns.inum);
	out->mnt_ns_inum = BPF_CORE_READ(ns, mnt_ns, ns.inum);
	out->net_ns_inum = BPF_CORE_READ(ns, net_ns, ns.inum);
	out->time_ns_inum = BPF_CORE_READ(ns, time_ns, ns.inum);
	out->cgroup_ns_inum = BPF_CORE_READ(ns, cgroup_ns, ns.inum);
}

static __always_inline void fill_sched(struct rec_task *out, struct task_struct *task)
{
	const void *mask = BPF_CORE_READ(task, user_cpus_ptr);
	__u64 size = bpf_core_type_size(struct cpumask);

	out->policy = task->policy;
	out->nice = task->static_prio - 120;
	out->rt_priority = task->rt_priority;
	out->reset_on_fork = BPF_CORE_READ_BITFIELD(task, sched_reset_on_fork);
	out->dl_runtime = task->dl.dl_runtime;
	out->dl_deadline = task->dl.dl_deadline;
	out->dl_period = task->dl.dl_period;
	out->dl_flags = task->dl.flags;
	out->timer_slack_ns = task->timer_slack_ns;
	out->default_timer_slack_ns = task->default_timer_slack_ns;
	out->nr_cpus_allowed = (__u32)task->nr_cpus_allowed;
	out->ioprio = BPF_CORE_READ(task, io_context, ioprio);

	if (!mask)
		mask = BPF_CORE_READ(task, cpus_ptr);
	/* A mask may be allocated shorter than its type: nothing beyond the last CPU is read. */
	if (size > (possible_cpus + 63) / 64 * 8)
		size = (possible_cpus + 63) / 64 * 8;
	if (size > sizeof(out->cpus_mask))
		size = sizeof(out->cpus_mask);
	bpf_probe_read_kernel(out->cpus_mask, size, mask);
}

static __always_inline void fill_signals(struct rec_task *out, struct task_struct *task)
{
	out->blocked = task->blocked.sig[0];
	out->saved_sigmask = task->saved_sigmask.sig[0];
	out->pending = task->pending.signal.sig[0];
	out->sas_sp = task->sas_ss_sp;
	out->sas_size = task->sas_ss_size;
	out->sas_flags = task->sas_ss_flags;
	out->pdeath_signal = task->pdeath_signal;
	out->jobctl = (__u32)task->jobctl;
	out->clear_child_tid = (__u64)BPF_CORE_READ(task, clear_child_tid);
	out->set_child_tid = (__u64)BPF_CORE_READ(task, set_child_tid);
	out->robust_list = (__u64)BPF_CORE_READ(task, robust_list);
	out->robust_list_len = out->robust_list ? 24 : 0;
	compat_rseq(task, &out->rseq, &out->rseq_len, &out->rseq_sig);
}

/* The user registers of a thread: only kernel threads have none. */
static __always_inline void fill_registers(struct rec_task *out, struct task_struct *task)
{
	struct pt_regs *regs = (void *)bpf_task_pt_regs(task);

	out->syscall_nr = ~0ULL;
	if (!regs || (out->pf_flags & PF_KTHREAD))
		return;
	if ((long)regs->orig_ax >= 0)
		out->syscall_nr = regs->orig_ax;
	if ((regs->cs & 0xffff) == USER32_CS)
		out->head.flags |= REC_F_COMPAT32;
	fill_restart(&out->restart, task, regs);
}

static __always_inline void fill_task(struct rec_task *out, struct task_struct *task,
				      const struct reader *r)
{
	__u64 thread_flags = task->thread_info.flags;

	__builtin_memset(out, 0, sizeof(*out));
	rec_init(&out->head, REC_TASK, sizeof(*out));
	out->tid = task_nr(task, r);
	out->tgid = group_nr(task, r);
	out->ppid = group_nr(BPF_CORE_READ(task, real_parent), r);
	if (task->ptrace)
		out->tracer_tgid = group_nr(BPF_CORE_READ(task, parent), r);
	out->start_boottime_ns = task->start_boottime;
	out->state = task->__state;
	out->exit_state = task->exit_state;
	out->exit_code = task->exit_code;
	out->exit_signal = task->exit_signal;
	out->pf_flags = task->flags;
	out->mm_id = (__u64)BPF_CORE_READ(task, mm);
	out->files_id = (__u64)BPF_CORE_READ(task, files);
	out->fs_id = (__u64)BPF_CORE_READ(task, fs);
	out->sighand_id = (__u64)BPF_CORE_READ(task, sighand);
	out->signal_id = (__u64)BPF_CORE_READ(task, signal);
	out->nsproxy_id = (__u64)BPF_CORE_READ(task, nsproxy);
	out->sysvsem_id = (__u64)BPF_CORE_READ(task, sysvsem.undo_list);
	out->io_uring_id = (__u64)BPF_CORE_READ(task, io_uring);
	out->fsbase = task->thread.fsbase;
	out->gsbase = task->thread.gsbase;
	out->personality = task->personality;
	out->no_new_privs = task->atomic_flags & PFA_NO_NEW_PRIVS ? 1 : 0;
	out->seccomp_mode = (__u32)task->seccomp.mode;
	out->seccomp_filters = (__u32)task->seccomp.filter_count.counter;
	out->io_bitmap = BPF_CORE_READ(task, thread.io_bitmap) ? 1 : 0;
	out->iopl = (__u32)task->thread.iopl_emul;
	out->has_mempolicy = fill_mempolicy(&out->mempolicy, BPF_CORE_READ(task, mempolicy));
	out->speculation = task->atomic_flags >> 3 & 0x1f;
	out->loginuid = ~0U;
	if (bpf_core_field_exists(task->loginuid)) /* CONFIG_AUDIT */
		out->loginuid = task->loginuid.val;
	out->landlock = find_landlock(task);
	out->umask = BPF_CORE_READ(task, fs) ? (__u32)BPF_CORE_READ(task, fs, umask) : ~0U;
	out->tif_nocpuid = compat_tif_bits(thread_flags);
	out->utime_ns = task->utime;
	out->stime_ns = task->stime;
	bpf_probe_read_kernel(out->comm, sizeof(out->comm), task->comm);
	fill_signals(out, task);
	fill_sched(out, task);
	fill_namespaces(out, task);
	fill_cred(&out->cred, task->cred);
	fill_registers(out, task);
	if (has_sem_undo(task))
		out->head.flags |= REC_F_SEM_UNDO;
}

/* One piece of the supplementary groups, from index `first` on. */
static __always_inline void write_groups(struct seq_file *seq, struct scratch *s,
					 struct task_struct *task, const struct reader *r,
					 __u32 first)
{
	struct group_info *info = BPF_CORE_READ(task, cred, group_info);
	struct groups_piece *out = &s->groups;
	__u32 total = (__u32)BPF_CORE_READ(info, ngroups), n, bytes;

	if (first >= total)
		return;
	n = total - first;
	rec_init(&out->head, REC_GROUPS, 0);
	if (n > GROUPS_PER_PIECE) {
		n = GROUPS_PER_PIECE;
		out->head.flags = REC_F_MORE;
	}
	out->tid = task_nr(task, r);
	out->n = n;
	bytes = n * 4;
	if (bytes > sizeof(out->gid))
		return;
	bpf_probe_read_kernel(out->gid, bytes, (const char *)&info->gid[0] + (__u64)first * 4);
	if (n & 1) /* padding; an odd count leaves room for it */
		out->gid[n % GROUPS_PER_PIECE] = 0;
	bytes = sizeof(struct rec_groups) + padded(bytes);
	out->head.len = bytes;
	if (bytes <= sizeof(*out))
		bpf_seq_write(seq, out, bytes);
}

/* --- timers ------------------------------------------------------------------------------- */

/* CPU time of a thread group on the kernel's clocks, as its armed CPU timers see it. */
struct cpu_now {
	__u64 prof_ns, virt_ns, sched_ns;
};

static __always_inline void group_cpu_now(struct cpu_now *now, struct signal_struct *signal)
{
	struct task_cputime_atomic *t = &signal->cputimer.cputime_atomic;

	/* Kept up to date by the kernel exactly as long as such a timer is armed. */
	now->virt_ns = (__u64)t->utime.counter;
	now->prof_ns = (__u64)t->stime.counter + now->virt_ns;
	now->sched_ns = (__u64)t->sum_exec_runtime.counter;
}

static __always_inline __u64 left_ns(__u64 expires, __u64 now)
{
	/* Due but not yet noticed: still armed, so never 0. */
	return (__s64)(expires - now) > 0 ? expires - now : 1;
}

struct timer_walk {
	struct seq_file *seq;
	struct scratch *s;
	const struct reader *r;
};

/* CPU clock numbers: bits 0-1 say which clock (0 prof, 1 virt, 2 sched), bit 2 a thread's. */
static __always_inline __u64 cpu_clock_now(struct k_itimer *timer, __s32 clock)
{
	struct pid *pid = BPF_CORE_READ(timer, it.cpu.pid);
	struct signal_struct *signal;
	struct task_struct *task;
	__u64 utime, stime, node;

	node = (__u64)BPF_CORE_READ(pid, tasks[(clock & 4) ? PIDTYPE_PID : PIDTYPE_TGID].first);
	if (!node)
		return 0;
	node -= (clock & 4) ? bpf_core_field_offset(struct task_struct, pid_links)
			    : bpf_core_field_offset(struct task_struct, pid_links) +
				      sizeof(struct hlist_node);
	task = (void *)node;
	if (clock & 4) {
		utime = BPF_CORE_READ(task, utime);
		stime = BPF_CORE_READ(task, stime);
		if ((clock & 3) == 2)
			return BPF_CORE_READ(task, se.sum_exec_runtime);
		return (clock & 3) == 1 ? utime : utime + stime;
	}
	signal = BPF_CORE_READ(task, signal);
	if ((clock & 3) == 2)
		return (__u64)BPF_CORE_READ(signal,
					    cputimer.cputime_atomic.sum_exec_runtime.counter);
	utime = (__u64)BPF_CORE_READ(signal, cputimer.cputime_atomic.utime.counter);
	stime = (__u64)BPF_CORE_READ(signal, cputimer.cputime_atomic.stime.counter);
	return (clock & 3) == 1 ? utime : utime + stime;
}

static __always_inline __u64 timer_left(struct k_itimer *timer, struct rec_timer *out, bool requeue)
{
	bool none = out->notify == 1; /* SIGEV_NONE: never armed, yet it can be asked */
	__u64 expires, now, late;
	bool armed;

	if (out->clockid < 0) {
		expires = (__u64)BPF_CORE_READ(timer, it.cpu.node.expires);
		armed = BPF_CORE_READ(timer, it.cpu.head) != 0;
		now = cpu_clock_now(timer, out->clockid);
	} else if (out->clockid == 8 || out->clockid == 9) { /* CLOCK_*_ALARM */
		expires = (__u64)BPF_CORE_READ(timer, it.alarm.alarmtimer.node.expires);
		armed = BPF_CORE_READ(timer, it.alarm.alarmtimer.state) & HRTIMER_ENQUEUED;
		now = bpf_ktime_get_ns() +
		      (__u64)BPF_CORE_READ(timer, it.alarm.alarmtimer.timer.base, offset);
	} else {
		expires = (__u64)BPF_CORE_READ(timer, it.real.timer.node.expires);
		armed = BPF_CORE_READ(timer, it.real.timer.state) & HRTIMER_ENQUEUED;
		now = bpf_ktime_get_ns() + (__u64)BPF_CORE_READ(timer, it.real.timer.base, offset);
	}
	if (armed)
		return left_ns(expires, now);
	if (out->sigqueued && (__s64)(expires - now) <= 0)
		out->late_ns = now - expires;
	if (!out->interval_ns)
		return none && (__s64)(expires - now) > 0 ? expires - now : 0;
	if (!none && !requeue)
		return 0;
	/* A periodic one whose signal is not delivered yet is set going again at the delivery. */
	late = (__s64)(expires - now) > 0 ? 0 : now - expires;
	if (late)
		expires += (late / out->interval_ns + 1) * out->interval_ns;
	return left_ns(expires, now);
}

static __always_inline __u64 timer_sigqueue(struct k_itimer *timer)
{
	struct k_itimer___6_12 *old = (void *)timer;

	if (bpf_core_field_exists(timer->it_status))
		return (__u64)timer + bpf_core_field_offset(struct k_itimer, sigq);
	return (__u64)BPF_CORE_READ(old, sigq);
}

static __always_inline void fill_timer(struct rec_timer *out, struct k_itimer *timer,
				       const struct timer_walk *w)
{
	struct k_itimer___6_12 *old = (void *)timer;
	struct sigqueue *sigq = (void *)timer_sigqueue(timer);
	struct list_head *queued = (void *)sigq + bpf_core_field_offset(struct sigqueue, list);
	bool requeue;

	__builtin_memset(out, 0, sizeof(*out));
	rec_init(&out->head, REC_TIMER, sizeof(*out));
	out->tgid = w->s->walk.tgid;
	out->id = BPF_CORE_READ(timer, it_id);
	out->clockid = BPF_CORE_READ(timer, it_clock);
	out->notify = BPF_CORE_READ(timer, it_sigev_notify);
	out->signo = BPF_CORE_READ(sigq, info.si_signo);
	if (out->notify & 4) /* SIGEV_THREAD_ID */
		out->notify_tid = pid_nr(BPF_CORE_READ(timer, it_pid), w->r);
	out->sigval = (__u64)BPF_CORE_READ(sigq, info._sifields._timer._sigval.sival_ptr);
	out->interval_ns = (__u64)BPF_CORE_READ(timer, it_interval);
	out->overrun = (__s32)BPF_CORE_READ(timer, it_overrun);
	out->overrun_last = (__s32)BPF_CORE_READ(timer, it_overrun_last);
	out->sigqueued = BPF_CORE_READ(queued, next) != queued;
	if (bpf_core_field_exists(timer->it_status))
		requeue = BPF_CORE_READ(timer, it_status) == POSIX_TIMER_REQUEUE;
	else
		requeue = BPF_CORE_READ(old, it_requeue_pending) & 1;
	out->value_ns = timer_left(timer, out, requeue);
}

static long timer_step(__u32 i, void *data)
{
	struct timer_walk *w = data;
	struct walk *at = &w->s->walk;
	struct rec_timer *out = &w->s->timer;
	struct hlist_node *node = (void *)at->node;
	struct k_itimer *timer;

	(void)i;
	if (!node || at->node == at->end)
		return 1;
	timer = (void *)node - bpf_core_field_offset(struct k_itimer, list);
	at->node = (__u64)BPF_CORE_READ(node, next);
	if (at->skip) {
		at->skip--;
		return 0;
	}
	fill_timer(out, timer, w);
	at->left--;
	if (!at->left && at->node && at->node != at->end)
		out->head.flags |= REC_F_MORE;
	bpf_seq_write(w->seq, out, sizeof(*out));
	return !at->left;
}

static __always_inline void write_timers(struct seq_file *seq, struct scratch *s,
					 struct task_struct *task, const struct reader *r,
					 __u32 first)
{
	struct timer_walk w = { .seq = seq, .s = s, .r = r };
	struct walk *at = &s->walk;

	at->node = compat_posix_timers(task->signal, &at->end);
	if (!at->node || at->node == at->end)
		return;
	at->tgid = group_nr(task, r);
	at->skip = first;
	at->left = TIMERS_PER_PIECE;
	bpf_loop(LIST_MAX, timer_step, &w, 0);
}

/* --- thread groups ------------------------------------------------------------------------ */

static long child_step(__u32 i, void *data)
{
	struct walk *at = *(struct walk **)data;
	struct list_head *node = (void *)at->inner;

	(void)i;
	if (!node || at->inner == at->inner_end)
		return 1;
	at->inner = (__u64)BPF_CORE_READ(node, next);
	at->sum++;
	return 0;
}

static long thread_step(__u32 i, void *data)
{
	struct walk *at = *(struct walk **)data;
	struct list_head *node = (void *)at->node;
	struct list_head *children;

	(void)i;
	if (!node || at->node == at->end)
		return 1;
	children = (void *)node - bpf_core_field_offset(struct task_struct, thread_node) +
		   bpf_core_field_offset(struct task_struct, children);
	at->node = (__u64)BPF_CORE_READ(node, next);
	at->inner_end = (__u64)children;
	at->inner = (__u64)BPF_CORE_READ(children, next);
	if (at->inner != at->inner_end)
		bpf_loop(LIST_MAX, child_step, data, 0);
	return 0;
}

/* Children belong to the thread that made them. */
static __always_inline __u32 count_children(struct walk *at, struct signal_struct *signal)
{
	at->node = (__u64)BPF_CORE_READ(signal, thread_head.next);
	at->end = (__u64)&signal->thread_head;
	at->sum = 0;
	bpf_loop(LIST_MAX, thread_step, &at, 0);
	return (__u32)at->sum;
}

static __always_inline void fill_itimers(struct rec_process *out, struct signal_struct *signal)
{
	struct hrtimer *real = &signal->real_timer;
	struct cpu_now now;

	out->it_real.interval_ns = (__u64)signal->it_real_incr;
	if (real->state & HRTIMER_ENQUEUED)
		out->it_real.value_ns = left_ns((__u64)real->node.expires, bpf_ktime_get_ns());
	group_cpu_now(&now, signal);
	out->it_prof.interval_ns = signal->it[0].incr;
	out->it_virt.interval_ns = signal->it[1].incr;
	if (signal->it[0].expires)
		out->it_prof.value_ns = left_ns(signal->it[0].expires, now.prof_ns);
	if (signal->it[1].expires)
		out->it_virt.value_ns = left_ns(signal->it[1].expires, now.virt_ns);
}

static __always_inline void fill_process(struct scratch *s, struct task_struct *task,
					 const struct reader *r)
{
	struct rec_process *out = &s->process;
	struct signal_struct *signal = task->signal;
	struct fs_struct *fs = BPF_CORE_READ(task, fs);
	struct tty_struct *tty = BPF_CORE_READ(signal, tty);
	__u32 level;

	__builtin_memset(out, 0, sizeof(*out));
	rec_init(&out->head, REC_PROCESS, sizeof(*out));
	out->tgid = group_nr(task, r);
	out->ppid = group_nr(BPF_CORE_READ(task, group_leader, real_parent), r);
	out->pgid = pid_nr(BPF_CORE_READ(signal, pids[PIDTYPE_PGID]), r);
	out->sid = pid_nr(BPF_CORE_READ(signal, pids[PIDTYPE_SID]), r);
	level = BPF_CORE_READ(task, thread_pid, level);
	out->vpgid = pid_nr_at(BPF_CORE_READ(signal, pids[PIDTYPE_PGID]), level);
	out->vsid = pid_nr_at(BPF_CORE_READ(signal, pids[PIDTYPE_SID]), level);
	out->n_threads = (__u32)signal->nr_threads;
	out->is_session_leader = signal->leader ? 1 : 0;
	out->has_child_subreaper = BPF_CORE_READ_BITFIELD(signal, has_child_subreaper);
	out->is_child_subreaper = BPF_CORE_READ_BITFIELD(signal, is_child_subreaper);
	out->oom_score_adj = signal->oom_score_adj;
	out->oom_score_adj_min = signal->oom_score_adj_min;
	out->shared_pending = signal->shared_pending.signal.sig[0];
#pragma unroll
	for (int i = 0; i < REC_NLIMITS; i++) {
		out->rlim_cur[i] = signal->rlim[i].rlim_cur;
		out->rlim_max[i] = signal->rlim[i].rlim_max;
	}
	fill_itimers(out, signal);
	/* What dead threads used; the loader adds the living ones'. */
	out->utime_ns = signal->utime;
	out->stime_ns = signal->stime;
	out->cutime_ns = signal->cutime;
	out->cstime_ns = signal->cstime;
	if (tty) {
		out->tty_major = (__u32)BPF_CORE_READ(tty, driver, major);
		out->tty_minor = (__u32)(BPF_CORE_READ(tty, driver, minor_start) +
					 BPF_CORE_READ(tty, index));
		out->tty_fg_pgid = pid_nr(compat_tty_pgrp(tty), r);
	}
	out->group_exit_code = signal->group_exit_code;
	out->signal_flags = signal->flags;
	out->next_posix_timer_id = (__u32)signal->next_posix_timer_id.counter;
	out->umask = fs ? (__u32)BPF_CORE_READ(fs, umask) : ~0U;
	out->n_children = count_children(&s->walk, signal);
	out->cgroup_id = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
}

static __always_inline void write_sighand(struct seq_file *seq, struct scratch *s,
					  struct task_struct *task, const struct reader *r)
{
	struct rec_sighand *out = &s->sighand;
	struct sighand_struct *sighand = BPF_CORE_READ(task, sighand);

	if (!sighand)
		return;
	rec_init(&out->head, REC_SIGHAND, sizeof(*out));
	out->tgid = group_nr(task, r);
	out->pad = 0;
	/* rec_sigaction has the members of the kernel's struct, in the same order. */
	if (bpf_core_type_size(struct k_sigaction) != sizeof(struct rec_sigaction) ||
	    bpf_probe_read_kernel(out->action, sizeof(out->action), &sighand->action[0]))
		out->head.flags |= REC_F_TRUNCATED;
	bpf_seq_write(seq, out, sizeof(*out));
}

static __always_inline void write_mm(struct seq_file *seq, struct scratch *s,
				     struct task_struct *task, const struct reader *r)
{
	struct mm_struct *mm = task->mm;
	struct rec_mm *out = &s->mm;
	__u64 auxv_size = bpf_core_field_size(mm->saved_auxv);

	__builtin_memset(out, 0, sizeof(*out));
	rec_init(&out->head, REC_MM, sizeof(*out));
	out->tgid = group_nr(task, r);
	out->n_vmas = (__u32)mm->map_count;
	out->start_code = mm->start_code;
	out->end_code = mm->end_code;
	out->start_data = mm->start_data;
	out->end_data = mm->end_data;
	out->start_brk = mm->start_brk;
	out->brk = mm->brk;
	out->start_stack = mm->start_stack;
	out->arg_start = mm->arg_start;
	out->arg_end = mm->arg_end;
	out->env_start = mm->env_start;
	out->env_end = mm->env_end;
	out->vdso = (__u64)BPF_CORE_READ(mm, context.vdso);
	out->def_flags = mm->def_flags;
	out->mm_flags = compat_mm_flags(mm);
	out->total_vm_pages = mm->total_vm;
	out->locked_vm_pages = mm->locked_vm;
	out->data_vm_pages = mm->data_vm;
	out->rss_file_pages = compat_rss(mm, MM_FILEPAGES);
	out->rss_anon_pages = compat_rss(mm, MM_ANONPAGES);
	out->rss_shmem_pages = compat_rss(mm, MM_SHMEMPAGES);
	out->swap_pages = compat_rss(mm, MM_SWAPENTS);
	out->membarrier_state = (__u32)mm->membarrier_state.counter;
	out->n_users = (__u32)mm->mm_users.counter;
	out->ioctx_table = BPF_CORE_READ(mm, ioctx_table) ? 1 : 0;
	if (auxv_size > sizeof(out->auxv)) {
		auxv_size = sizeof(out->auxv);
		out->head.flags |= REC_F_TRUNCATED;
	}
	bpf_probe_read_kernel(out->auxv, auxv_size, mm->saved_auxv);
	bpf_seq_write(seq, out, sizeof(*out));
}

/*
 * Without the path itself, which the loader asks /proc for: nothing holds a running task's
 * directories and executable for us, and bpf_d_path() would go through pointers of what another CPU
 * frees at this moment. All else is read by loads that may fail.
 */
static __always_inline void write_one_path(struct seq_file *seq, struct scratch *s,
					   struct path *path, struct inode *inode,
					   struct file *file, __s32 tgid, __u32 what)
{
	struct rec_path *out = &s->path;

	__builtin_memset(out, 0, sizeof(*out));
	rec_init(&out->head, REC_PATH, sizeof(*out));
	out->tgid = tgid;
	out->what = what;
	fill_inode(&out->inode, inode, BPF_CORE_READ(path, dentry));
	if (file) {
		out->inode.file_id = (__u64)file;
		out->inode.f_flags = file->f_flags;
		out->inode.f_mode = file->f_mode;
	}
	out->inode.unhashed = dentry_unhashed(BPF_CORE_READ(path, dentry));
	bpf_seq_write(seq, out, sizeof(*out));
}

static __always_inline void write_fs(struct seq_file *seq, struct scratch *s,
				     struct task_struct *task, __s32 tgid)
{
	struct fs_struct *fs = task->fs;

	if (!fs)
		return;
	write_one_path(seq, s, &fs->pwd, fs->pwd.dentry->d_inode, 0, tgid, REC_PATH_CWD);
	write_one_path(seq, s, &fs->root, fs->root.dentry->d_inode, 0, tgid, REC_PATH_ROOT);
}

static __always_inline void write_paths(struct seq_file *seq, struct scratch *s,
					struct task_struct *task, const struct reader *r)
{
	__s32 tgid = group_nr(task, r);
	struct file *exe = task->mm ? task->mm->exe_file : 0;

	if (exe)
		write_one_path(seq, s, &exe->f_path, exe->f_inode, exe, tgid, REC_PATH_EXE);
	write_fs(seq, s, task, tgid);
}

/*
 * What belongs to the whole group comes with its leader. A leader that has exited has given up its
 * mm and fs while the others go on with them: each of those then tells, and the loader keeps
 * one of the answers.
 */
static __always_inline void write_group(struct seq_file *seq, struct scratch *s,
					struct task_struct *task, const struct reader *r)
{
	struct task_struct *first = BPF_CORE_READ(task, group_leader);
	bool leader = (__u64)task == (__u64)first;

	if (!leader && BPF_CORE_READ(first, mm)) {
		if (BPF_CORE_READ(task, fs) != BPF_CORE_READ(first, fs))
			write_fs(seq, s, task, task_nr(task, r));
		return;
	}
	fill_process(s, task, r);
	bpf_seq_write(seq, &s->process, sizeof(s->process));
	if (leader) {
		write_sighand(seq, s, task, r);
		write_timers(seq, s, task, r, 0);
	}
	if (BPF_CORE_READ(task, mm))
		write_mm(seq, s, task, r);
	write_paths(seq, s, task, r);
}

SEC("iter/task")

int snapshot_task(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	struct reader r;
	struct scratch *s;

	if (!task)
		return 0;
	s = scratch_get();
	if (!s)
		return AGAIN;
	reader_init(&r);
	if (is_wanted(s, task, &r)) {
		fill_task(&s->task, task, &r);
		bpf_seq_write(seq, &s->task, sizeof(s->task));
		write_groups(seq, s, task, &r, 0);
		write_seccomp(seq, s, task, &r);
		write_group(seq, s, task, &r);
	}
	scratch_put(s);
	return 0;
}

#include "unix.bpf.h"

SEC("iter/task")

int snapshot_more(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	struct rec_request_epoll epoll = {};
	struct rec_request request = {};
	struct reader r;
	struct scratch *s;

	if (!task)
		return 0;
	read_request(&request);
	if (request.magic != REC_REQUEST_MAGIC)
		return 0;
	s = scratch_get();
	if (!s)
		return AGAIN;
	reader_init(&r);
	if (request.type == REC_TIMER)
		write_timers(seq, s, task, &r, request.first);
	else if (request.type == REC_GROUPS)
		write_groups(seq, s, task, &r, request.first);
	else if (request.type == REC_EPOLL &&
		 !bpf_probe_read_user(&epoll, sizeof(epoll), request_address()))
		write_more_epoll(seq, &s->walk, task, group_nr(task, &r), &epoll);
	else if (request.type == REC_MQUEUE)
		write_messages(seq, s, task, &r, &request);
	else if (request.type == REC_SEM_UNDO)
		write_sem_undo(seq, s, task, &r, &request);
	else if (request.type == REC_AIO)
		write_aio(seq, s, task, &r, &request);
	else if (request.type == REC_UNIX)
		write_more_unix(seq, s, task, &r, request.fd, request.first);
	else if (request.type == REC_NOTIFY_MARK || request.type == REC_NOTIFY_EVENT)
		write_notify_more(seq, s, task, &r, &request);
	scratch_put(s);
	return 0;
}

/* --- memory areas ------------------------------------------------------------------------- */

static __always_inline void fill_area_name(struct rec_vma *out, struct vm_area_struct *vma)
{
	struct vm_area_struct___named *named = (void *)vma;
	struct vm_special_mapping *special;
	char name[24] = {};
	__u64 fn;

	if (!vma->vm_ops) {
		if (bpf_core_field_exists(named->anon_name))
			bpf_probe_read_kernel_str(out->anon_name, sizeof(out->anon_name),
						  BPF_CORE_READ(named, anon_name)->name);
		return;
	}
	/* special_mapping_vmops is a static object; the function in it has a name. */
	fn = (__u64)BPF_CORE_READ(vma, vm_ops, name);
	if (!fn)
		return;
	bpf_snprintf(name, sizeof(name), "%ps", &fn, sizeof(fn));
	if (bpf_strncmp(name, 20, "special_mapping_name") != 0)
		return;
	special = BPF_CORE_READ(vma, vm_private_data);
	out->special = REC_VMA_SPECIAL;
	bpf_probe_read_kernel_str(out->anon_name, sizeof(out->anon_name),
				  BPF_CORE_READ(special, name));
}

/*
 * Areas of files which the kernel makes for itself. Both fill names that others may give their
 * files, too; what an area of System V is shows in its operations, which only shmat(2) gives.
 */
static __always_inline void fill_kernel_file(struct rec_vma *out, struct vm_area_struct *vma)
{
	char name[16] = {};
	__u64 fn;

	if (bpf_strncmp(out->inode.dname, 4, "SYSV") == 0) {
		fn = (__u64)BPF_CORE_READ(vma, vm_ops, fault);
		bpf_snprintf(name, sizeof(name), "%ps", &fn, sizeof(fn));
		if (bpf_strncmp(name, 9, "shm_fault") != 0)
			return;
		out->special = REC_VMA_SYSV;
		out->inode.file_id = out->inode.inode_id | !(out->inode.f_mode & FMODE_WRITE);
		out->inode.f_count = 0;
	} else if (bpf_strncmp(out->inode.fstype, 4, "aio") == 0) {
		out->special = REC_VMA_AIO;
		__builtin_memcpy(out->anon_name, "[aio]", 6);
	}
}

SEC("iter/task_vma")

int snapshot_vma(struct bpf_iter__task_vma *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	struct vm_area_struct *vma = ctx->vma;
	struct rec_vma *out;
	struct scratch *s;
	struct reader r;
	struct file *file;
	__u32 len = 0;

	if (!task || !vma)
		return 0;
	/* Threads that unshared their files are visited apart, with the memory seen already. */
	if (task->pid != task->tgid && BPF_CORE_READ(task, group_leader, mm))
		return 0;
	s = scratch_get();
	if (!s)
		return AGAIN;
	reader_init(&r);
	if (!is_wanted(s, task, &r)) {
		scratch_put(s);
		return 0;
	}
	out = &s->vma;
	__builtin_memset(out, 0, sizeof(*out));
	rec_init(&out->head, REC_VMA, sizeof(*out));
	out->tgid = r.level == 0 ? task->tgid : group_nr(task, &r);
	out->start = vma->vm_start;
	out->end = vma->vm_end;
	out->vm_flags = vma->vm_flags;
	out->pgoff_bytes = vma->vm_pgoff << 12;
	out->has_anon_vma = vma->anon_vma ? 1 : 0;
	if (vma->vm_policy)
		out->has_mempolicy = fill_mempolicy(&out->mempolicy, BPF_CORE_READ(vma, vm_policy));
	out->uffd_registered = vma->vm_userfaultfd_ctx.ctx ? 1 : 0;
	file = vma->vm_file;
	if (file) {
		out->has_file = 1;
		out->inode.file_id = (__u64)file;
		out->inode.f_flags = file->f_flags;
		out->inode.f_mode = file->f_mode;
		out->inode.f_count = compat_file_count(file);
		fill_inode(&out->inode, file->f_inode, BPF_CORE_READ(file, f_path.dentry));
		fill_kernel_file(out, vma);
		len = fill_path(s, &file->f_path, &out->inode.unhashed, &out->head.flags);
		out->inode.path_len = len;
		out->head.len = sizeof(*out) + path_bytes(len);
	} else {
		fill_area_name(out, vma);
	}
	bpf_seq_write(seq, out, sizeof(*out));
	write_path(seq, s, len);
	scratch_put(s);
	return 0;
}

/* --- descriptors -------------------------------------------------------------------------- */

/* inner: the table that is looked for; inner_end: the first thread that has it; sum: the first that
 * has any. */
static long table_step(__u32 i, void *data)
{
	struct walk *at = *(struct walk **)data;
	struct list_head *node = (void *)at->node;
	struct task_struct *task;
	__u64 files;

	(void)i;
	if (!node || at->node == at->end)
		return 1;
	task = (void *)node - bpf_core_field_offset(struct task_struct, thread_node);
	at->node = (__u64)BPF_CORE_READ(node, next);
	files = (__u64)BPF_CORE_READ(task, files);
	if (files && !at->sum)
		at->sum = (__u64)task;
	if (files != at->inner)
		return 0;
	at->inner_end = (__u64)task;
	return 1;
}

/*
 * Under which number a thread's table is told of: the process's for the leader's, or for that of
 * the first thread when the leader has ended; the thread's own for another. 0: another thread,
 * which has it too, tells.
 */
static __always_inline __s32 table_nr(struct walk *at, struct task_struct *task,
				      const struct reader *r)
{
	struct signal_struct *signal = task->signal;

	if (task->pid == task->tgid)
		return group_nr(task, r);
	at->node = (__u64)BPF_CORE_READ(signal, thread_head.next);
	at->end = (__u64)&signal->thread_head;
	at->inner = (__u64)BPF_CORE_READ(task, files);
	at->inner_end = 0;
	at->sum = 0;
	bpf_loop(LIST_MAX, table_step, &at, 0);
	if (at->inner_end != (__u64)task)
		return 0;
	return at->sum == at->inner_end ? group_nr(task, r) : task_nr(task, r);
}

static __always_inline __u32 fd_cloexec(struct task_struct *task, __u32 fd)
{
	const __u64 *map = (const __u64 *)BPF_CORE_READ(task, files, fdt, close_on_exec);
	__u64 word = 0;

	bpf_probe_read_kernel(&word, sizeof(word), (const char *)map + fd / 64 * 8);
	return word >> (fd % 64) & 1;
}

static __always_inline void fill_locks(struct rec_file *out, struct inode *inode)
{
	struct file_lock_context *locks = BPF_CORE_READ(inode, i_flctx);

	if (!locks)
		return;
	if ((__u64)BPF_CORE_READ(locks, flc_flock.next) != (__u64)&locks->flc_flock)
		out->has_locks |= 1;
	if ((__u64)BPF_CORE_READ(locks, flc_posix.next) != (__u64)&locks->flc_posix)
		out->has_locks |= 2;
	if ((__u64)BPF_CORE_READ(locks, flc_lease.next) != (__u64)&locks->flc_lease)
		out->has_locks |= 4;
}

struct lock_walk {
	struct seq_file *seq;
	struct scratch *s;
	__u64 file, files; /* who owns the locks that are told: the description, the file table */
};

/* Is it held through this descriptor? Sets the class of the record. */
static __always_inline bool lock_is_mine(const struct lock_walk *w, const struct compat_lock *lock,
					 struct rec_lock *out)
{
	if (lock->flags & FL_LEASE) {
		out->lock_class = REC_LOCK_LEASE;
	} else if (lock->flags & FL_OFDLCK) {
		out->lock_class = REC_LOCK_OFD;
	} else if (lock->flags & FL_POSIX) {
		out->lock_class = REC_LOCK_POSIX;
		return lock->owner == w->files;
	} else if (lock->flags & FL_FLOCK) {
		out->lock_class = REC_LOCK_FLOCK;
	} else {
		return false;
	}
	return lock->file == w->file;
}

static long lock_step(__u32 i, void *data)
{
	struct lock_walk *w = data;
	struct walk *at = &w->s->walk;
	struct rec_lock *out = &w->s->lock;
	struct list_head *node = (void *)at->node;
	struct compat_lock lock;
	struct file_lock *fl;

	(void)i;
	if (!node || at->node == at->end)
		return 1;
	compat_lock_read(at->node, &lock);
	at->node = (__u64)BPF_CORE_READ(node, next);
	if (!lock_is_mine(w, &lock, out))
		return 0;
	fl = lock.lock;
	out->lock_type = lock.type;
	out->start = 0;
	out->end = ~0ULL >> 1;
	if (out->lock_class == REC_LOCK_POSIX || out->lock_class == REC_LOCK_OFD) {
		out->start = (__u64)BPF_CORE_READ(fl, fl_start);
		out->end = (__u64)BPF_CORE_READ(fl, fl_end);
	}
	at->left--;
	out->head.flags = at->left ? 0 : REC_F_TRUNCATED;
	if (out->lock_class == REC_LOCK_LEASE) {
		out->start = (__u64)BPF_CORE_READ((struct file_lease *)fl, fl_fasync, fa_fd);
		if (lock.flags & FL_UNLOCK_PENDING)
			out->head.flags |= REC_F_UNLOCKING;
		else if (lock.flags & FL_DOWNGRADE_PENDING)
			out->head.flags |= REC_F_DOWNGRADING;
	}
	bpf_seq_write(w->seq, out, sizeof(*out));
	return !at->left;
}

static __always_inline void write_lock_list(struct lock_walk *w, struct list_head *list)
{
	struct walk *at = &w->s->walk;

	at->node = (__u64)BPF_CORE_READ(list, next);
	at->end = (__u64)list;
	if (at->node != at->end && at->left)
		bpf_loop(LIST_MAX, lock_step, w, 0);
}

/* Takes the place of the descriptor's record, which is written by now. */
static __always_inline void write_locks(struct seq_file *seq, struct scratch *s, struct file *file,
					struct inode *inode)
{
	struct file_lock_context *locks = BPF_CORE_READ(inode, i_flctx);
	struct lock_walk w = { .seq = seq, .s = s, .file = (__u64)file };
	struct rec_lock *out = &s->lock;
	__s32 tgid = s->file.tgid, fd = s->file.fd;

	w.files = s->file.files_id;
	if (!locks)
		return;
	__builtin_memset(out, 0, sizeof(*out));
	rec_init(&out->head, REC_LOCK, sizeof(*out));
	out->tgid = tgid;
	out->fd = fd;
	out->file_id = (__u64)file;
	out->inode_id = (__u64)inode;
	s->walk.left = LOCKS_MAX;
	write_lock_list(&w, &locks->flc_flock);
	write_lock_list(&w, &locks->flc_posix);
	write_lock_list(&w, &locks->flc_lease);
}

static __always_inline void fill_fown(struct rec_file *out, struct file *file,
				      const struct reader *r)
{
	const struct fown_struct *fown = compat_fown(file);

	if (!fown)
		return;
	out->fown_pid = pid_nr(BPF_CORE_READ(fown, pid), r);
	out->fown_pid_type = BPF_CORE_READ(fown, pid_type);
	out->fown_uid = BPF_CORE_READ(fown, uid.val);
	out->fown_euid = BPF_CORE_READ(fown, euid.val);
	out->fown_signum = BPF_CORE_READ(fown, signum);
}

static long pipe_step(__u32 i, void *data)
{
	struct walk *at = *(struct walk **)data;
	struct pipe_buffer *buf;

	(void)i;
	if (at->at == at->until)
		return 1;
	/* left: the mask that makes an index of the ever-growing number */
	buf = (void *)at->node +
	      (__u64)(at->at & at->left) * bpf_core_type_size(struct pipe_buffer);
	at->sum += BPF_CORE_READ(buf, len);
	if (BPF_CORE_READ(buf, flags) & PIPE_BUF_FLAG_PACKET)
		at->skip++;
	at->at++;
	return 0;
}

static __always_inline void fill_pipe(struct rec_file *out, struct walk *at,
				      struct pipe_inode_info *pipe)
{
	if (!pipe)
		return;
	out->pipe_id = (__u64)pipe;
	out->pipe_ring_size = pipe->ring_size;
	out->pipe_readers = pipe->readers;
	out->pipe_writers = pipe->writers;
	at->at = pipe->tail;
	at->until = pipe->head;
	at->left = pipe->ring_size - 1;
	at->node = (__u64)pipe->bufs;
	at->sum = 0;
	at->skip = 0; /* counts packets */
	out->pipe_id_lo = at->until - at->at;
	if (at->until != at->at)
		bpf_loop(LIST_MAX, pipe_step, &at, 0);
	out->pipe_bytes = (__u32)at->sum;
	out->pipe_packets = at->skip;
}

static __always_inline void fill_socket(struct rec_file *out, struct file *file)
{
	struct socket *socket = bpf_sock_from_file(file);
	struct sock *sk;

	if (!socket)
		return;
	sk = socket->sk;
	if (!sk)
		return;
	out->sock_id = (__u64)sk;
	out->sk_family = sk->__sk_common.skc_family;
	out->sk_type = sk->sk_type;
	out->sk_protocol = sk->sk_protocol;
	out->sk_state = sk->__sk_common.skc_state;
	if (out->sk_family == 2 || out->sk_family == 10) { /* AF_INET, AF_INET6 */
		out->sk_src4 = sk->__sk_common.skc_rcv_saddr;
		out->sk_dst4 = sk->__sk_common.skc_daddr;
		out->sk_sport = sk->__sk_common.skc_num;
		out->sk_dport = bpf_ntohs(sk->__sk_common.skc_dport);
	}
}

/* Devices whose files are terminals: consoles and serial lines, /dev/tty and ptmx, Unix98 ptys,
 * hvc. */
static __always_inline bool is_tty_major(__u32 major)
{
	return major == 4 || major == 5 || (major >= 136 && major <= 143) || major == 229;
}

static __always_inline void fill_tty(struct rec_file *out, struct file *file,
				     const struct reader *r)
{
	struct tty_file_private *priv = BPF_CORE_READ(file, private_data);
	struct tty_struct *tty = BPF_CORE_READ(priv, tty);

	if (!tty)
		return;
	out->tty_index = (__u32)BPF_CORE_READ(tty, index);
	out->tty_major = (__u32)BPF_CORE_READ(tty, driver, major);
	out->tty_minor = (__u32)BPF_CORE_READ(tty, driver, minor_start) + out->tty_index;
	out->tty_session = pid_nr(compat_tty_session(tty), r);
	out->tty_fg_pgid = pid_nr(compat_tty_pgrp(tty), r);
}

#include "tty.bpf.h"

/*
 * What a kind of file has beyond the common: one line here, one header beside this file. Takes the
 * place of the records written before.
 */
static __always_inline void write_file_details(struct seq_file *seq, struct scratch *s,
					       struct file *file, const struct reader *r)
{
	struct rec_detail detail = { .tgid = s->file.tgid, .fd = s->file.fd };
	bool is_char = (s->file.inode.mode & S_IFMT) == S_IFCHR;
	__u64 magic = s->file.inode.sb_magic;
	char name[16];

	__builtin_memcpy(name, s->file.inode.dname, sizeof(name));
	if (magic == MAGIC_PIDFS)
		write_pidfd(seq, &detail, file, r, true);
	if (is_char && is_tty_major(s->file.inode.rdev_major)) {
		write_tty(seq, s, &detail, file,
			  s->file.has_locks ? LOCKS_MAX * sizeof(s->lock) : s->file.head.len);
		return;
	}
	if (s->file.sock_id) {
		write_unix(seq, s, r, file);
		return;
	}
	write_notify(seq, s, file, &detail);
	write_mqueue(seq, s, &detail, file, r);
	if (magic != MAGIC_ANON)
		return;
	if (bpf_strncmp(name, 10, "[eventfd]") == 0)
		write_eventfd(seq, &detail, file);
	else if (bpf_strncmp(name, 10, "[timerfd]") == 0)
		write_timerfd(seq, &detail, file);
	else if (bpf_strncmp(name, 11, "[signalfd]") == 0)
		write_signalfd(seq, &detail, file);
	else if (bpf_strncmp(name, 12, "[eventpoll]") == 0)
		write_epoll(seq, &detail, &s->walk, file);
	else if (bpf_strncmp(name, 8, "[pidfd]") == 0)
		write_pidfd(seq, &detail, file, r, false);
	else if (bpf_strncmp(name, 8, "bpf-map") == 0)
		write_bpf_map(seq, s, &detail, file);
}

SEC("iter/task_file")

int snapshot_file(struct bpf_iter__task_file *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct rec_file *out;
	struct inode *inode;
	struct scratch *s;
	struct reader r;
	__u32 len;

	if (!task || !file)
		return 0;
	s = scratch_get();
	if (!s)
		return AGAIN;
	reader_init(&r);
	if (!is_wanted(s, task, &r)) {
		scratch_put(s);
		return 0;
	}
	inode = file->f_inode;
	out = &s->file;
	__builtin_memset(out, 0, sizeof(*out));
	rec_init(&out->head, REC_FILE, sizeof(*out));
	out->tgid = table_nr(&s->walk, task, &r);
	if (!out->tgid) {
		scratch_put(s);
		return 0;
	}
	out->fd = (__s32)ctx->fd;
	out->cloexec = fd_cloexec(task, ctx->fd);
	out->files_id = (__u64)BPF_CORE_READ(task, files);
	out->pos = (__u64)file->f_pos;
	fill_locks(out, inode);
	fill_fown(out, file, &r);
	out->inode.file_id = (__u64)file;
	out->inode.f_flags = file->f_flags;
	out->inode.f_mode = file->f_mode;
	/* Without the reference that the iterator itself holds meanwhile. */
	out->inode.f_count = compat_file_count(file) - 1;
	fill_inode(&out->inode, inode, BPF_CORE_READ(file, f_path.dentry));
	if ((out->inode.mode & S_IFMT) == S_IFIFO)
		fill_pipe(out, &s->walk, inode->i_pipe);
	else if ((out->inode.mode & S_IFMT) == S_IFCHR && is_tty_major(out->inode.rdev_major))
		fill_tty(out, file, &r);
	else
		fill_socket(out, file);
	len = fill_path(s, &file->f_path, &out->inode.unhashed, &out->head.flags);
	out->inode.path_len = len;
	out->head.len = sizeof(*out) + path_bytes(len);
	bpf_seq_write(seq, out, sizeof(*out));
	write_path(seq, s, len);
	if (out->has_locks)
		write_locks(seq, s, file, inode);
	write_file_details(seq, s, file, &r);
	scratch_put(s);
	return 0;
}

/* --- who holds what ----------------------------------------------------------------------- */

SEC("iter/task_file")

int snapshot_holder(struct bpf_iter__task_file *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct rec_holder *out;
	struct socket *socket;
	struct inode *inode;
	struct scratch *s;
	struct reader r;
	__u32 type;

	if (!task || !file)
		return 0;
	inode = file->f_inode;
	type = inode->i_mode & S_IFMT;
	/* Files with a name, and directories, are never asked for; but for message queues. */
	if (type == S_IFDIR || type == S_IFBLK ||
	    (type == S_IFREG && inode->i_nlink && !mqueue_of(inode)))
		return 0;
	s = scratch_get();
	if (!s)
		return AGAIN;
	reader_init(&r);
	out = &s->holder;
	__builtin_memset(out, 0, sizeof(*out));
	rec_init(&out->head, REC_HOLDER, sizeof(*out));
	out->tgid = group_nr(task, &r);
	out->fd = (__s32)ctx->fd;
	out->file_id = (__u64)file;
	out->inode_id = (__u64)inode;
	socket = bpf_sock_from_file(file);
	if (socket)
		out->sock_id = (__u64)socket->sk;
	bpf_probe_read_kernel_str(out->comm, sizeof(out->comm), task->comm);
	bpf_seq_write(seq, out, sizeof(*out));
	scratch_put(s);
	return 0;
}

/* --- who belongs to whom ------------------------------------------------------------------ */

SEC("iter/task")

int snapshot_member(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	struct signal_struct *signal;
	struct rec_member *out;
	struct upid upid;
	struct pid *pid;
	struct scratch *s;
	struct reader r;

	if (!task || (task->flags & PF_KTHREAD))
		return 0;
	s = scratch_get();
	if (!s)
		return AGAIN;
	reader_init(&r);
	out = &s->member;
	__builtin_memset(out, 0, sizeof(*out));
	rec_init(&out->head, REC_MEMBER, sizeof(*out));
	signal = task->signal;
	out->tgid = group_nr(task, &r);
	out->tid = task_nr(task, &r);
	pid = BPF_CORE_READ(task, thread_pid);
	if (pid) {
		read_upid(&upid, pid, BPF_CORE_READ(pid, level));
		out->vtid = upid.nr;
		out->pid_ns_inum = BPF_CORE_READ(upid.ns, ns.inum);
	}
	out->ppid = group_nr(BPF_CORE_READ(task, real_parent), &r);
	out->pgid = pid_nr(BPF_CORE_READ(signal, pids[PIDTYPE_PGID]), &r);
	out->sid = pid_nr(BPF_CORE_READ(signal, pids[PIDTYPE_SID]), &r);
	if (task->ptrace)
		out->tracer_tgid = group_nr(BPF_CORE_READ(task, parent), &r);
	out->exit_state = task->exit_state;
	out->pf_flags = task->flags;
	out->start_boottime_ns = task->start_boottime;
	out->mm_id = (__u64)BPF_CORE_READ(task, mm);
	out->files_id = (__u64)BPF_CORE_READ(task, files);
	out->fs_id = (__u64)BPF_CORE_READ(task, fs);
	out->sighand_id = (__u64)BPF_CORE_READ(task, sighand);
	out->in_vfork = BPF_CORE_READ(task, vfork_done) ? 1 : 0;
	bpf_probe_read_kernel_str(out->comm, sizeof(out->comm), task->comm);
	bpf_seq_write(seq, out, sizeof(*out));
	scratch_put(s);
	return 0;
}
