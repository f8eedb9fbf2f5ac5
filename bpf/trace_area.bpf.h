/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory areas: calls that change the map of an address space. What a new area is, is read from the
 * area itself, which may have been merged with its neighbours: it is cut to what the call made.
 */
#ifndef EBPF_CKPT_TRACE_AREA_BPF_H
#define EBPF_CKPT_TRACE_AREA_BPF_H

#define VM_SHARED_BITS	  0x88 /* and VM_MAYSHARE */
#define VM_HUGETLB_BIT	  0x400000
#define MAP_TYPE_BITS	  0xf
#define MAP_ANONYMOUS	  0x20
#define MAP_PRIVATE	  2
#define MAP_FIXED	  0x10
#define MREMAP_FIXED	  2
#define ARCH_MAP_VDSO_X32 0x2001
#define ARCH_MAP_VDSO_64  0x2003
#define VVAR_BYTES_MAX	  (8 * PAGE_BYTES) /* in 6.18 there are 6 pages */
/* MAP_PRIVATE, FIXED, ANONYMOUS, DENYWRITE, EXECUTABLE, NORESERVE, POPULATE, STACK, FIXED_NOREPLACE
 */
#define PLAIN_MAP_BITS	  (2 | 0x10 | 0x20 | 0x800 | 0x1000 | 0x4000 | 0x8000 | 0x20000 | 0x100000)
#define READ_IMPLIES_EXEC 0x0400000
#define PROT_GROWS_BITS	  0x03000000

static __always_inline __u64 page_up(__u64 bytes)
{
	return (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}

static __always_inline __u64 current_mm(void)
{
	return (__u64)kread(task_struct, bpf_get_current_task_btf(), mm);
}

static __always_inline void area_file(struct trace_area *out, struct file *file)
{
	struct inode *inode = kread(file, file, f_inode);
	__u32 dev = kread(super_block, kread(inode, inode, i_sb), s_dev);

	out->file_id = (__u64)file;
	out->inode_id = (__u64)inode;
	out->ino = kread(inode, inode, i_ino);
	out->dev_major = dev_major(dev);
	out->dev_minor = dev_minor(dev);
}

static __always_inline void area_fill(struct trace_area *out, struct vm_area_struct *vma)
{
	struct file *file = kread(vm_area_struct, vma, vm_file);

	out->start = kread(vm_area_struct, vma, vm_start);
	out->end = kread(vm_area_struct, vma, vm_end);
	out->vm_flags = kread(vm_area_struct, vma, vm_flags);
	if (!file)
		return;
	out->pgoff_bytes = kread(vm_area_struct, vma, vm_pgoff) * PAGE_BYTES;
	area_file(out, file);
}

static long on_found(struct task_struct *task, struct vm_area_struct *vma, void *data)
{
	(void)task;
	area_fill(data, vma);
	return 0;
}

/* The area at an address; false when it cannot be had: the map is being changed by another. */
static __always_inline bool area_at(struct trace_area *out, __u64 address)
{
	__builtin_memset(out, 0, sizeof(*out));
	return bpf_find_vma(bpf_get_current_task_btf(), address, on_found, out, 0) == 0 &&
	       out->start <= address && address < out->end;
}

/* Cut an area to [start, start + len); len 0: as far as it reaches. */
static __always_inline void area_cut(struct trace_area *area, __u64 start, __u64 len)
{
	if (area->start < start) {
		if (area->file_id)
			area->pgoff_bytes += start - area->start;
		area->start = start;
	}
	/* How large a huge page is has not been looked up. */
	if (len && !(area->vm_flags & VM_HUGETLB_BIT) && area->end > start + len)
		area->end = start + len;
}

static __always_inline void map_record(struct call *c, const struct trace_area *area, __s32 fd,
				       __s32 shmid, __u16 flags)
{
	struct trace_map *out;

	out = record_new_at(trace_map, TRACE_MAP, bpf_get_current_task_btf(), c->time_ns);
	if (!out)
		return;
	out->head.flags = c->flags | flags;
	out->mm_id = current_mm();
	out->area = *area;
	out->nr = c->nr;
	out->fd = fd;
	out->shmid = shmid;
	record_submit(out);
}

/* mmap(addr, len, prot, flags, fd, offset), when the area itself could not be looked at. */
static __always_inline void area_from_arguments(struct trace_area *area, struct call *c)
{
	struct file *file;

	__builtin_memset(area, 0, sizeof(*area));
	area->start = (__u64)c->ret;
	area->end = area->start + page_up(c->arg[1]);
	area->vm_flags = c->arg[2] & 7;
	if ((c->arg[3] & MAP_TYPE_BITS) != MAP_PRIVATE)
		area->vm_flags |= VM_SHARED_BITS;
	if (c->nr != NR_mmap || (c->arg[3] & MAP_ANONYMOUS))
		return;
	area->pgoff_bytes = c->arg[5];
	file = fd_file(bpf_get_current_task_btf(), (__u32)c->arg[4], 0);
	if (file)
		area_file(area, file);
}

/*
 * Is the new area all that the arguments say? Then it need not be looked for. A file's descriptor
 * could mean another by now, where threads share the table.
 */
static __always_inline bool arguments_tell(struct call *c)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (c->nr != NR_mmap || (task->personality & READ_IMPLIES_EXEC) ||
	    (c->arg[3] & ~(__u64)PLAIN_MAP_BITS) || (c->arg[3] & MAP_TYPE_BITS) != MAP_PRIVATE)
		return false;
	return (c->arg[3] & MAP_ANONYMOUS) ||
	       kread(files_struct, current_files(), count.counter) == 1;
}

static __always_inline void on_mmap(struct call *c)
{
	struct trace_area area;
	__u16 flags = 0;

	if (!is_wanted(TRACE_MAP))
		return;
	if (arguments_tell(c)) {
		area_from_arguments(&area, c);
	} else if (area_at(&area, (__u64)c->ret)) {
		area_cut(&area, (__u64)c->ret, page_up(c->arg[1]));
	} else {
		area_from_arguments(&area, c);
		flags = TRACE_F_CUT;
	}
	map_record(c, &area,
		   c->nr == NR_mmap && !(c->arg[3] & MAP_ANONYMOUS) ? (__s32)c->arg[4] : -1, -1,
		   flags);
}

/* Areas made elsewhere than a result says, or whose length only they know. */
static __always_inline void on_area_made(struct call *c, __u64 start, __u64 len, __s32 shmid)
{
	struct trace_area area;
	__u16 flags = 0;

	if (!is_wanted(TRACE_MAP))
		return;
	if (area_at(&area, start)) {
		area_cut(&area, start, len);
	} else {
		area.start = start;
		area.end = start + len;
		flags = TRACE_F_CUT;
	}
	map_record(c, &area, -1, shmid, flags);
}

static __always_inline void on_io_setup(struct call *c)
{
	__u64 context;

	/* A context is named by where its ring is. */
	context = word_at(c->arg[1], c->flags & TRACE_F_COMPAT ? 4 : 8);
	on_area_made(c, context, 0, -1);
}

static __always_inline void range_record(struct call *c, __u16 type, __u64 start, __u64 end)
{
	struct task_struct *task;
	struct trace_range *out;
	struct trace_area area;

	if (!is_wanted(type))
		return;
	out = record_new_at(trace_range, type, bpf_get_current_task_btf(), c->time_ns);
	if (!out)
		return;
	out->head.flags = c->flags;
	out->mm_id = current_mm();
	out->start = start;
	out->end = end;
	out->nr = c->nr;
	if (type == TRACE_PROTECT) {
		task = bpf_get_current_task_btf();
		out->prot = (__u32)c->arg[2];
		if (((task->personality & READ_IMPLIES_EXEC) || (out->prot & PROT_GROWS_BITS)) &&
		    area_at(&area, start))
			out->vm_flags = area.vm_flags;
	}
	record_submit(out);
}

static __always_inline void on_mremap(struct call *c)
{
	struct trace_remap *out;

	if (!is_wanted(TRACE_REMAP))
		return;
	out = record_new_at(trace_remap, TRACE_REMAP, bpf_get_current_task_btf(), c->time_ns);
	if (!out)
		return;
	out->head.flags = c->flags;
	out->mm_id = current_mm();
	out->old_start = c->arg[0];
	out->old_end = c->arg[0] + page_up(c->arg[1]);
	out->new_start = (__u64)c->ret;
	out->new_end = (__u64)c->ret + page_up(c->arg[2]);
	out->flags = (__u32)c->arg[3];
	record_submit(out);
}

static __always_inline void on_brk(struct call *c)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct trace_brk *out;

	/* It returns where the end is, whether it moved or not. */
	if (!is_wanted(TRACE_BRK) || c->arg[0] == 0 || (__u64)c->ret != c->arg[0])
		return;
	out = record_new_at(trace_brk, TRACE_BRK, task, c->time_ns);
	if (!out)
		return;
	out->head.flags = c->flags;
	out->mm_id = current_mm();
	out->start_brk = BPF_CORE_READ(task, mm, start_brk);
	out->brk = (__u64)c->ret;
	out->def_flags = BPF_CORE_READ(task, mm, def_flags);
	record_submit(out);
}

/* --- inventories: of a new image, and of a copy that was made beside other threads --- */

/* Since 6.7. */
struct bpf_iter_task_vma {
	__u64 __opaque[1];
};

extern int bpf_iter_task_vma_new(struct bpf_iter_task_vma *it, struct task_struct *task,
				 __u64 address) __weak __ksym;
extern struct vm_area_struct *bpf_iter_task_vma_next(struct bpf_iter_task_vma *it) __weak __ksym;
extern void bpf_iter_task_vma_destroy(struct bpf_iter_task_vma *it) __weak __ksym;

/* Operations of special maps, once they are known: looking a function's name up takes long. */
__u64 special_ops = 0;

/* As fill_area_name() of the snapshot does. */
static __always_inline bool is_special(struct vm_area_struct *vma)
{
	__u64 ops = (__u64)kread(vm_area_struct, vma, vm_ops), fn;
	char name[24] = {};

	if (!ops || ops == special_ops)
		return ops;
	fn = (__u64)BPF_CORE_READ(vma, vm_ops, name);
	if (!fn)
		return false;
	bpf_snprintf(name, sizeof(name), "%ps", &fn, sizeof(fn));
	if (bpf_strncmp(name, 20, "special_mapping_name") != 0)
		return false;
	special_ops = ops;
	return true;
}

/* Put s->vma of s->task together. */
__noinline int area_put(struct scratch *s)
{
	struct vm_special_mapping *special;
	struct trace_area_rec *out;
	struct vm_area_struct *vma;
	struct task_struct *task;
	struct file *file;

	if (!s)
		return 0;
	task = (void *)s->task;
	vma = (void *)s->vma;
	out = (void *)s->rec;
	__builtin_memset(out, 0, sizeof(*out));
	head_init(&out->head, TRACE_AREA, 0, task, bpf_ktime_get_ns());
	out->mm_id = (__u64)kread(task_struct, task, mm);
	s->at = sizeof(*out);
	if (!vma)
		return 0;
	area_fill(&out->area, vma);
	file = (void *)out->area.file_id;
	if (file && out->area.file_id != s->file_id) {
		out->names_len = names_put(s, file);
	} else if (!file && is_special(vma)) {
		special = BPF_CORE_READ(vma, vm_private_data);
		bpf_probe_read_kernel_str(out->name, sizeof(out->name),
					  BPF_CORE_READ(special, name));
	}
	s->file_id = out->area.file_id;
	return 0;
}

/* An area is told of when the next one is found, so that the last is known for it. */
static __always_inline void areas_inventory(struct task_struct *task)
{
	struct scratch *s = scratch_get();
	struct bpf_iter_task_vma it;
	struct vm_area_struct *vma;
	bool any = false;

	if (!s) {
		lost(TRACE_TYPE_NR + TRACE_CAUSE_SCRATCH);
		return;
	}
	s->file_id = 0;
	s->task = (__u64)task;
	bpf_iter_task_vma_new(&it, task, 0);
	while ((vma = bpf_iter_task_vma_next(&it))) {
		if (any)
			scratch_submit(s);
		s->vma = (__u64)vma;
		area_put(s);
		any = true;
	}
	bpf_iter_task_vma_destroy(&it);
	if (!any) {
		s->vma = 0;
		area_put(s);
		((struct trace_head *)s->rec)->flags = TRACE_F_CUT;
	}
	((struct trace_head *)s->rec)->flags |= TRACE_F_LAST;
	scratch_submit(s);
	scratch_put(s);
}

/*
 * Calls that fail may have done a part of their work: mprotect(2) that before a gap, and those with
 * a fixed place may have made room there. Tell what is in the span now; false: nothing is.
 */
static __noinline bool areas_between(struct task_struct *task, __u64 start, __u64 end)
{
	struct scratch *s = scratch_get();
	struct bpf_iter_task_vma it;
	struct vm_area_struct *vma;
	bool any = false;

	if (!s) {
		lost(TRACE_TYPE_NR + TRACE_CAUSE_SCRATCH);
		return true;
	}
	s->file_id = 0;
	s->task = (__u64)task;
	bpf_iter_task_vma_new(&it, task, start);
	while ((vma = bpf_iter_task_vma_next(&it))) {
		if (vma->vm_start >= end)
			break;
		s->vma = (__u64)vma;
		area_put(s);
		scratch_submit(s);
		any = true;
	}
	bpf_iter_task_vma_destroy(&it);
	scratch_put(s);
	return any;
}

/* Nothing is known of the areas any more: the reader has to look. */
static __always_inline void areas_unknown(struct task_struct *task)
{
	struct trace_area_rec *out = record_new(trace_area_rec, TRACE_AREA, task);

	if (!out)
		return;
	out->head.flags = TRACE_F_CUT | TRACE_F_LAST;
	out->mm_id = current_mm();
	record_submit(out);
}

static __always_inline void on_area_failure(struct call *c, __u8 kind)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 start = c->arg[0], end = c->arg[0] + page_up(c->arg[1]);

	if (kind == CALL_MREMAP) {
		start = c->arg[4];
		end = c->arg[4] + page_up(c->arg[2]);
	}
	if (c->ret == -EINVAL || c->ret == -EBADF || c->ret == -EEXIST || start >= end ||
	    !is_wanted(TRACE_AREA) ||
	    (kind == CALL_MMAP && (c->nr != NR_mmap || !(c->arg[3] & MAP_FIXED))) ||
	    (kind == CALL_MREMAP && !(c->arg[3] & MREMAP_FIXED)))
		return;
	if (!with_areas)
		areas_unknown(task);
	else if (!areas_between(task, start, end) && kind != CALL_MPROTECT)
		range_record(c, TRACE_UNMAP, start, end);
}

/*
 * arch_prctl(ARCH_MAP_VDSO_...), by which a restored program gets the kernel's code where it had
 * it: the result is how long that is, and the pages with the clock stand before it.
 */
static __always_inline void on_map_vdso(struct call *c)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 vdso;

	if (!is_wanted(TRACE_AREA) || c->arg[0] < ARCH_MAP_VDSO_X32 || c->arg[0] > ARCH_MAP_VDSO_64)
		return;
	vdso = (__u64)BPF_CORE_READ(task, mm, context.vdso);
	if (!with_areas)
		areas_unknown(task);
	else
		areas_between(task, vdso - VVAR_BYTES_MAX, vdso + (__u64)c->ret);
}

static __always_inline bool on_area_call(struct call *c, __u8 kind)
{
	switch (kind) {
	case CALL_MMAP:
		on_mmap(c);
		break;
	case CALL_REMAP_FILE_PAGES:
		on_area_made(c, c->arg[0], page_up(c->arg[1]), -1);
		break;
	case CALL_SHMAT:
		on_area_made(c, (__u64)c->ret, 0, (__s32)c->arg[0]);
		break;
	case CALL_IO_SETUP:
		on_io_setup(c);
		break;
	case CALL_MUNMAP:
		range_record(c, TRACE_UNMAP, c->arg[0], c->arg[0] + page_up(c->arg[1]));
		break;
	case CALL_SHMDT:
	case CALL_IO_DESTROY: /* how long it was is not known any more */
		range_record(c, TRACE_UNMAP, c->arg[0], c->arg[0]);
		break;
	case CALL_MPROTECT:
		range_record(c, TRACE_PROTECT, c->arg[0], c->arg[0] + page_up(c->arg[1]));
		break;
	case CALL_MREMAP:
		on_mremap(c);
		break;
	case CALL_BRK:
		on_brk(c);
		break;
	case CALL_ARCH_PRCTL:
		on_map_vdso(c);
		break;
	default:
		return false;
	}
	return true;
}

SEC("tp_btf/sched_process_exec")

int BPF_PROG(trace_exec_areas, struct task_struct *task)
{
	if (observed_get(task) && is_wanted(TRACE_AREA))
		areas_inventory(task);
	return 0;
}

/* After trace_newtask, which has marked the child. */
SEC("tp_btf/task_newtask")

int BPF_PROG(trace_newtask_areas, struct task_struct *child, __u64 clone_flags)
{
	struct task_struct *parent = bpf_get_current_task_btf();

	if (observed_get(parent) && fork_copies_beside_others(parent, clone_flags))
		areas_inventory(child);
	return 0;
}

#endif
