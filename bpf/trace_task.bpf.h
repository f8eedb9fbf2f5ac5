/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Lives of processes and threads. A child of an observed task is marked before it can run.
 */
#ifndef EBPF_CKPT_TRACE_TASK_BPF_H
#define EBPF_CKPT_TRACE_TASK_BPF_H

#define PF_IO_WORKER	  0x10
#define PF_USER_WORKER	  0x4000 /* since 6.4 */
#define SIGNAL_GROUP_EXIT 4
#define CORE_DUMPED	  0x80

/* --- processes that are looked for by name or cgroup --- */

static __always_inline bool name_matches(const char *comm)
{
	__u64 have[2] = {}, want[2];

	__builtin_memcpy(have, comm, sizeof(have));
	for (__u32 i = 0; i < TRACE_NAMES_WANTED; i++) {
		if (i >= n_names)
			break;
		__builtin_memcpy(want, (const char *)names[i], sizeof(want));
		if (have[0] == want[0] && have[1] == want[1])
			return true;
	}
	return false;
}

struct ancestry {
	__u64 css;
	bool found;
};

static long cgroup_step(__u32 i, void *data)
{
	struct ancestry *a = data;
	struct cgroup_subsys_state *css = (void *)a->css;
	struct cgroup *cgroup;
	__u64 id;

	(void)i;
	if (!css)
		return 1;
	cgroup = (void *)((__u64)css - bpf_core_field_offset(struct cgroup, self));
	id = BPF_CORE_READ(cgroup, kn, id);
	for (__u32 k = 0; k < TRACE_CGROUPS_MAX; k++) {
		if (k < n_cgroups && cgroups[k] == id)
			a->found = true;
	}
	a->css = (__u64)BPF_CORE_READ(css, parent);
	return a->found;
}

/* Is this one of the cgroups looked for, or below one? */
static __noinline int cgroup_matches(struct cgroup *cgroup)
{
	struct ancestry a = {};

	if (!cgroup)
		return 0;
	a.css = (__u64)cgroup + bpf_core_field_offset(struct cgroup, self);
	bpf_loop(64, cgroup_step, &a, 0);
	return a.found;
}

static __always_inline bool is_leader(struct task_struct *task)
{
	return BPF_CORE_READ(task, pid) == BPF_CORE_READ(task, tgid);
}

static __always_inline __u64 cgroup_id(struct task_struct *task)
{
	return BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
}

static __always_inline void appeared_record(struct task_struct *task, __u32 why)
{
	struct trace_appeared *out = record_new(trace_appeared, TRACE_APPEARED, task);

	if (!out)
		return;
	out->cgroup_id = cgroup_id(task);
	out->why = why;
	record_submit(out);
}

/* Observe it from now on; the reader will want a snapshot of what it has. */
static __always_inline void appeared(struct task_struct *task, __u32 why)
{
	struct observed *new_;

	if (BPF_CORE_READ(task, tgid) == observer_tgid || (BPF_CORE_READ(task, flags) & PF_KTHREAD))
		return;
	new_ = bpf_task_storage_get(&observed, task, 0, 1 /* BPF_LOCAL_STORAGE_GET_F_CREATE */);
	if (!new_) {
		lost(TRACE_TYPE_NR + TRACE_CAUSE_MARK);
		return;
	}
	new_->files_id = (__u64)kread(task_struct, task, files);
	appeared_record(task, why);
}

SEC("tp_btf/cgroup_attach_task")

int BPF_PROG(trace_cgroup_attach, struct cgroup *cgroup, const char *path, struct task_struct *task,
	     bool threadgroup)
{
	if (!is_leader(task))
		return 0;
	if (observed_get(task))
		appeared_record(task, TRACE_WHY_MOVED);
	else if (cgroup_matches(cgroup))
		appeared(task, TRACE_WHY_CGROUP);
	return 0;
}

/* --- fork --- */

/* Is the address space of the child a copy of one that other threads may have changed meanwhile? */
static __always_inline bool fork_copies_beside_others(struct task_struct *parent, __u64 clone_flags)
{
	return with_areas && is_wanted(TRACE_AREA) && !(clone_flags & CLONE_VM) &&
	       kread(mm_struct, kread(task_struct, parent, mm), mm_users.counter) > 1;
}

static __always_inline void fork_record(struct task_struct *parent, struct task_struct *child,
					__u64 clone_flags)
{
	struct trace_fork *out;
	bool inventory, areas;

	inventory = !(clone_flags & CLONE_FILES) &&
		    kread(files_struct, kread(task_struct, parent, files), count.counter) > 1;
	areas = fork_copies_beside_others(parent, clone_flags);
	out = record_new(trace_fork, TRACE_FORK, parent);
	if (!out)
		return;
	out->head.flags = (inventory && is_wanted(TRACE_TABLE) ? TRACE_F_INVENTORY : 0) |
			  (areas ? TRACE_F_AREAS : 0);
	out->child_pid = group_nr(child, OBSERVER);
	out->child_tid = task_nr(child, OBSERVER);
	out->clone_flags = clone_flags;
	out->files_id = (__u64)kread(task_struct, child, files);
	out->mm_id = (__u64)kread(task_struct, child, mm);
	out->fs_id = (__u64)kread(task_struct, child, fs);
	out->sighand_id = (__u64)kread(task_struct, child, sighand);
	out->start_boottime_ns = child->start_boottime;
	out->exit_signal = child->exit_signal;
	out->worker = (child->flags & (PF_IO_WORKER | PF_USER_WORKER)) != 0;
	out->real_parent = group_nr(BPF_CORE_READ(child, real_parent), OBSERVER);
	out->parent_files_id = (__u64)kread(task_struct, parent, files);
	out->parent_mm_id = (__u64)kread(task_struct, parent, mm);
	record_submit(out);
	if (inventory && is_wanted(TRACE_TABLE))
		table_inventory(child);
}

SEC("tp_btf/task_newtask")

int BPF_PROG(trace_newtask, struct task_struct *child, __u64 clone_flags)
{
	struct task_struct *parent = bpf_get_current_task_btf();
	struct observed *new_;
	char comm[TRACE_COMM_LEN];

	if (!observed_get(parent)) {
		if (n_names == 0 && n_cgroups == 0)
			return 0;
		bpf_probe_read_kernel(comm, sizeof(comm), child->comm);
		if (is_leader(child) && name_matches(comm))
			appeared(child, TRACE_WHY_NAME);
		else if (n_cgroups && is_leader(child) &&
			 cgroup_matches(BPF_CORE_READ(child, cgroups, dfl_cgrp)))
			appeared(child, TRACE_WHY_CGROUP);
		return 0;
	}
	new_ = bpf_task_storage_get(&observed, child, 0, 1 /* BPF_LOCAL_STORAGE_GET_F_CREATE */);
	if (!new_)
		lost(TRACE_TYPE_NR + TRACE_CAUSE_MARK);
	else
		new_->files_id = (__u64)kread(task_struct, child, files);
	if (is_wanted(TRACE_FORK))
		fork_record(parent, child, clone_flags);
	/* CLONE_INTO_CGROUP */
	if (is_leader(child) && cgroup_id(child) != cgroup_id(parent))
		appeared_record(child, TRACE_WHY_MOVED);
	return 0;
}

/* --- exec, rename, exit --- */

SEC("tp_btf/task_rename")

int BPF_PROG(trace_rename, struct task_struct *task, const char *to)
{
	char comm[TRACE_COMM_LEN] = {};
	struct trace_rename *out;

	bpf_probe_read_kernel_str(comm, sizeof(comm), to);
	if (!observed_get(task)) {
		if (n_names && is_leader(task) && name_matches(comm))
			appeared(task, TRACE_WHY_NAME);
		return 0;
	}
	/* TRACE_EXEC has the new name, too. */
	if (BPF_CORE_READ_BITFIELD_PROBED(task, in_execve) || !is_wanted(TRACE_RENAME))
		return 0;
	out = record_new(trace_rename, TRACE_RENAME, task);
	if (!out)
		return 0;
	__builtin_memcpy(out->to, comm, sizeof(out->to));
	record_submit(out);
	return 0;
}

static __always_inline void exec_argv(struct scratch *s, struct trace_exec *out,
				      struct mm_struct *mm)
{
	__u64 start = BPF_CORE_READ(mm, arg_start), end = BPF_CORE_READ(mm, arg_end);
	__u32 at = s->at, len = (__u32)(end - start);

	if (end - start > TRACE_ARGV_MAX) {
		len = TRACE_ARGV_MAX;
		out->head.flags |= TRACE_F_CUT;
	}
	if (len == 0 || len > TRACE_ARGV_MAX || at > SCRATCH_BYTES - TRACE_ARGV_MAX - 8)
		return;
	if (bpf_probe_read_user(&s->rec[at], len, (void *)start) < 0) {
		out->head.flags |= TRACE_F_CUT;
		return;
	}
	out->argv_len = len;
	at += len;
	if (at <= SCRATCH_BYTES - 8)
		*(volatile __u64 *)&s->rec[at] = 0;
	s->at = (at + 7) & ~7U;
}

SEC("tp_btf/sched_process_exec")

int BPF_PROG(trace_exec, struct task_struct *task, __s32 old_pid, struct linux_binprm *bprm)
{
	struct observed *self = observed_get(task);
	__u64 files_id = (__u64)kread(task_struct, task, files);
	struct trace_exec *out;
	struct mm_struct *mm;
	struct scratch *s;
	struct file *file;
	bool inventory;

	if (!self || !is_wanted(TRACE_EXEC))
		return 0;
	inventory = self->files_id != files_id && is_wanted(TRACE_TABLE);
	self->files_id = files_id;
	s = scratch_get();
	if (!s) {
		lost(TRACE_EXEC);
		return 0;
	}
	out = (void *)s->rec;
	mm = kread(task_struct, task, mm);
	__builtin_memset(out, 0, sizeof(*out));
	head_init(&out->head, TRACE_EXEC, 0, task, bpf_ktime_get_ns());
	out->head.flags = (inventory ? TRACE_F_INVENTORY : 0) |
			  (with_areas && is_wanted(TRACE_AREA) ? TRACE_F_AREAS : 0);
	/* In the innermost namespace of the task: only of use when it is the observer's, too. */
	out->old_tid = observer_level == 0 ? old_pid : out->head.tid;
	out->files_id = files_id;
	out->mm_id = (__u64)mm;
	out->sighand_id = (__u64)kread(task_struct, task, sighand);
	out->start_brk = BPF_CORE_READ(mm, start_brk);
	out->brk = BPF_CORE_READ(mm, brk);
	out->secure = BPF_CORE_READ_BITFIELD_PROBED(bprm, secureexec);
	s->at = sizeof(*out);
	file = BPF_CORE_READ(mm, exe_file);
	if (file)
		out->names_len = names_put(s, file);
	exec_argv(s, out, mm);
	scratch_submit(s);
	scratch_put(s);
	if (inventory)
		table_inventory(task);
	return 0;
}

SEC("tp_btf/sched_process_exit")

int BPF_PROG(trace_exit, struct task_struct *task)
{
	struct signal_struct *signal;
	struct trace_exit *out;

	if (!observed_get(task) || !is_wanted(TRACE_EXIT))
		return 0;
	out = record_new(trace_exit, TRACE_EXIT, task);
	if (!out)
		return 0;
	signal = kread(task_struct, task, signal);
	out->code = task->exit_code;
	/* The kernel's own second argument of the tracepoint, which older ones do not have. */
	out->group_dead = kread(signal_struct, signal, live.counter) == 0;
	out->group_code =
		kread(signal_struct, signal, flags) & SIGNAL_GROUP_EXIT
			? kread(signal_struct, signal, group_exit_code)
			: kread(task_struct, kread(task_struct, task, group_leader), exit_code);
	out->core = (out->group_code & CORE_DUMPED) != 0;
	out->files_id = (__u64)kread(task_struct, task, files);
	out->mm_id = (__u64)kread(task_struct, task, mm);
	out->utime_ns = task->utime;
	out->stime_ns = task->stime;
	record_submit(out);
	return 0;
}

#endif
