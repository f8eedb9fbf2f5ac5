// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The tracing programs in this process: loading and attaching them, and telling them whom to
 * observe. What they say is read in tracing_read.c.
 */
#include "btf_subset.h"
#include "internal.h"
#include "tracing_internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trace.skel.h"

#define RING_MIN ((size_t)64 << 10)
#define RING_MAX ((size_t)1 << 30)
_Static_assert(TRACE_RECORD_MAX <= RING_MIN, "");

/* What is not seen without a tracepoint. Those of a program's SEC("tp_btf/...") are looked up by
 * the program's name. */
static const struct {
	const char *prog, *tracepoint, *what;
	uint64_t types; /* which records it makes; not loaded when none of them is wanted */
} tracepoints[] = {
	{ "trace_newtask", "task_newtask", "new processes and threads, and all that they do",
	  ~0ULL },
	{ "trace_rename", "task_rename", "new names of threads; processes that take a name",
	  1ULL << TRACE_RENAME | 1ULL << TRACE_APPEARED },
	{ "trace_cgroup_attach", "cgroup_attach_task", "processes that are moved into a cgroup",
	  1ULL << TRACE_APPEARED },
	{ "trace_exec", "sched_process_exec", "new programs in a process", ~0ULL },
	{ "trace_exit", "sched_process_exit", "ends of processes and threads", ~0ULL },
	{ "trace_signal_generate", "signal_generate", "signals that are sent",
	  1ULL << TRACE_SIGNAL_GENERATE },
	{ "trace_signal_deliver", "signal_deliver", "delivery of signals",
	  1ULL << TRACE_SIGNAL_DELIVER },
	{ "trace_sock_state", "inet_sock_set_state", "states of connections",
	  1ULL << TRACE_SOCK_STATE },
	{ "trace_sock_destroy", "tcp_destroy_sock", "ends of connections (they are only forgotten)",
	  1ULL << TRACE_SOCK_STATE },
	{ "trace_posix_lock", "posix_lock_inode", "locks of fcntl(2)", 1ULL << TRACE_LOCK },
	{ "trace_flock", "flock_lock_inode", "locks of flock(2)", 1ULL << TRACE_LOCK },
	{ "trace_add_lease", "generic_add_lease", "leases", 1ULL << TRACE_LOCK },
	{ "trace_delete_lease", "generic_delete_lease", "ends of leases", 1ULL << TRACE_LOCK },
	{ "trace_uring", "io_uring_complete", "descriptors made and closed through io_uring",
	  1ULL << TRACE_FD_NEW | 1ULL << TRACE_FD_CLOSE },
	{ "trace_uring_submit", "io_uring_submit_req",
	  "connections accepted by requests of io_uring that accept many", 1ULL << TRACE_FD_NEW },
	/* After the programs whose records announce them. */
	{ "trace_exec_areas", "sched_process_exec", "memory areas of new programs",
	  1ULL << TRACE_AREA },
	{ "trace_newtask_areas", "task_newtask", "memory areas of children of threads",
	  1ULL << TRACE_AREA },
	{ "trace_sys_exit", "sys_exit", "descriptors, memory areas, timers: all that calls make",
	  ~0ULL },
};

#define N_TRACEPOINTS (sizeof(tracepoints) / sizeof(tracepoints[0]))

/* Causes of losses, in the order of lost_by_cause[]. */
static const char *const lost_names[] = {
	[TRACE_FORK] = "ring full: fork",
	[TRACE_EXEC] = "ring full: exec",
	[TRACE_EXIT] = "ring full: exit",
	[TRACE_RENAME] = "ring full: rename",
	[TRACE_APPEARED] = "ring full: appeared",
	[TRACE_FD_NEW] = "ring full: fd_new",
	[TRACE_FD_CLOSE] = "ring full: fd_close",
	[TRACE_FD_FLAGS] = "ring full: fd_flags",
	[TRACE_TABLE] = "ring full: table",
	[TRACE_UNSHARE] = "ring full: unshare",
	[TRACE_SOCK_STATE] = "ring full: sock_state",
	[TRACE_SOCK_CALL] = "ring full: sock_call",
	[TRACE_MAP] = "ring full: map",
	[TRACE_UNMAP] = "ring full: unmap",
	[TRACE_PROTECT] = "ring full: protect",
	[TRACE_REMAP] = "ring full: remap",
	[TRACE_BRK] = "ring full: brk",
	[TRACE_AREA] = "ring full: area",
	[TRACE_TIMER_NEW] = "ring full: timer_new",
	[TRACE_TIMER_SET] = "ring full: timer_set",
	[TRACE_TIMER_DELETE] = "ring full: timer_delete",
	[TRACE_LOCK] = "ring full: lock",
	[TRACE_NAMESPACE] = "ring full: namespace",
	[TRACE_SIGNAL_GENERATE] = "ring full: signal_generate",
	[TRACE_SIGNAL_DELIVER] = "ring full: signal_deliver",
	[TRACE_SIGNAL_TAKE] = "ring full: signal_take",
	[TRACE_TYPE_NR + TRACE_CAUSE_MARK] = "no memory to mark a child",
	[TRACE_TYPE_NR + TRACE_CAUSE_SCRATCH] = "no place to put a record together",
	[TRACE_TYPE_NR + TRACE_CAUSE_SOCKET] = "too many sockets: their states",
	[TRACE_TYPE_NR + TRACE_CAUSE_STACK] = "ring half full: stacks of some calls",
};

#define N_LOST (sizeof(lost_names) / sizeof(lost_names[0]))
_Static_assert(N_LOST == TRACE_TYPE_NR + TRACE_CAUSE_NR, "a cause has no name");

static size_t ring_size(const struct tracing_options *options)
{
	size_t bytes = RING_MIN, wanted = options->ring_bytes;

	if (wanted == 0)
		wanted = TRACING_RING_DEFAULT;
	while (bytes < wanted && bytes < RING_MAX)
		bytes *= 2;
	return bytes;
}

static int check_options(const struct tracing_options *o, struct loader_why *why)
{
	if (o->ring_bytes > RING_MAX)
		return why_set(why, -EINVAL, "choose one of at most 1 GiB",
			       "a ring of %zu bytes is too large", o->ring_bytes);
	if (o->n_names > TRACE_NAMES_WANTED)
		return why_set(why, -EINVAL, NULL, "%zu names are too many: at most %d", o->n_names,
			       TRACE_NAMES_WANTED);
	if (o->n_cgroups > TRACE_CGROUPS_MAX)
		return why_set(why, -EINVAL, NULL, "%zu cgroups are too many: at most %d",
			       o->n_cgroups, TRACE_CGROUPS_MAX);
	return 0;
}

static void set_variables(struct trace_bpf *skel, const struct tracing_options *o, size_t ring)
{
	if (o->types)
		skel->rodata->wanted_types = o->types;
	skel->rodata->wake_bytes = ring / 16;
	skel->rodata->with_stacks = o->stacks;
	skel->rodata->n_names = (__u32)o->n_names;
	for (size_t i = 0; i < o->n_names; i++)
		strncpy((char *)(uintptr_t)skel->rodata->names[i], o->names[i], TRACE_COMM_LEN - 1);
	skel->rodata->n_cgroups = (__u32)o->n_cgroups;
	for (size_t i = 0; i < o->n_cgroups; i++)
		((__u64 *)(uintptr_t)skel->rodata->cgroups)[i] = o->cgroups[i];
	bpf_map__set_max_entries(skel->maps.ring, (__u32)ring);
	skel->rodata->stack_ring_bytes = ring / 2;
	if (!o->stacks) {
		bpf_map__set_max_entries(skel->maps.stacks, 1);
		bpf_map__set_max_entries(skel->maps.stack_scratch, 1);
	}
}

/* Leave out programs whose tracepoint is not there, or whose records nobody wants. */
static int choose_programs(struct tracing *t, const struct tracing_options *o,
			   const struct btf *kernel)
{
	uint64_t types = o->types ? o->types : ~0ULL;
	bool areas = btf__find_by_name_kind(kernel, "bpf_iter_task_vma_new", BTF_KIND_FUNC) > 0;
	char name[64];

	t->missing = calloc(N_TRACEPOINTS, sizeof(*t->missing));
	if (!t->missing)
		return -ENOMEM;
	for (size_t i = 0; i < N_TRACEPOINTS; i++) {
		struct bpf_program *prog;

		prog = bpf_object__find_program_by_name(t->skel->obj, tracepoints[i].prog);
		snprintf(name, sizeof(name), "btf_trace_%s", tracepoints[i].tracepoint);
		if (!(types & tracepoints[i].types) ||
		    (tracepoints[i].types == 1ULL << TRACE_AREA && !areas)) {
			bpf_program__set_autoload(prog, false);
		} else if (btf__find_by_name_kind(kernel, name, BTF_KIND_TYPEDEF) < 0 ||
			   (o->without && !strcmp(o->without, tracepoints[i].tracepoint))) {
			bpf_program__set_autoload(prog, false);
			t->missing[t->n_missing++] = (struct tracing_missing){
				tracepoints[i].tracepoint, tracepoints[i].what, tracepoints[i].types
			};
		}
	}
	t->skel->rodata->with_areas = areas;
	return 0;
}

/* Open the skeleton, to be relocated against the kernel types that it needs and no others. */
static struct trace_bpf *open_skel(int *types_fd)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts);
	struct trace_bpf *skel = trace_bpf__open();
	char path[40];

	*types_fd = skel ? btf_subset(bpf_object__btf(skel->obj)) : -1;
	if (*types_fd < 0)
		return skel;
	trace_bpf__destroy(skel);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", *types_fd);
	opts.btf_custom_path = path;
	return trace_bpf__open_opts(&opts);
}

#define TYPE_ID(name)                                                                              \
	{                                                                                          \
		offsetof(struct trace_type_ids, name), #name                                       \
	}

/* For plain loads; see kread() in trace_record.bpf.h. Without one of the types, it is done without.
 */
static void find_types(struct trace_bpf *skel, const struct btf *kernel)
{
	static const struct {
		size_t at;
		const char *name;
	} types[] = {
		TYPE_ID(task_struct), TYPE_ID(files_struct),  TYPE_ID(fdtable),
		TYPE_ID(file),	      TYPE_ID(inode),	      TYPE_ID(super_block),
		TYPE_ID(mount),	      TYPE_ID(vfsmount),      TYPE_ID(sock),
		TYPE_ID(unix_sock),   TYPE_ID(socket),	      TYPE_ID(net),
		TYPE_ID(mm_struct),   TYPE_ID(signal_struct), TYPE_ID(vm_area_struct),
	};
	struct trace_type_ids ids;

	if (btf__find_by_name_kind(kernel, "bpf_rdonly_cast", BTF_KIND_FUNC) < 0)
		return;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		int id = btf__find_by_name_kind(kernel, types[i].name, BTF_KIND_STRUCT);

		if (id < 0)
			return;
		memcpy((char *)&ids + types[i].at, &id, sizeof(__u32));
	}
	memcpy((void *)(uintptr_t)&skel->rodata->type_ids, &ids, sizeof(ids));
	skel->rodata->with_cast = 1;
}

/* How many arguments a tracepoint's programs get. */
static int n_arguments(const struct btf *kernel, const char *name)
{
	const struct btf_type *t = NULL;
	int id = btf__find_by_name_kind(kernel, name, BTF_KIND_TYPEDEF);

	if (id > 0)
		t = btf__type_by_id(kernel, btf__type_by_id(kernel, (__u32)id)->type);
	if (t && btf_is_ptr(t))
		t = btf__type_by_id(kernel, t->type);
	return t && btf_is_func_proto(t) ? btf_vlen(t) - 1 : 0; /* the first is not theirs */
}

static int load(struct tracing *t, const struct tracing_options *o, struct loader_why *why)
{
	libbpf_print_fn_t previous = libbpf_listen();
	struct btf *kernel = NULL;
	size_t ring = ring_size(o);
	int types_fd, rc = 0;

	t->skel = open_skel(&types_fd);
	if (t->skel)
		kernel = btf__load_vmlinux_btf();
	if (!t->skel || !kernel)
		rc = errno ? -errno : -ENOMEM;
	if (rc == 0)
		rc = choose_programs(t, o, kernel);
	if (rc == 0) {
		set_variables(t->skel, o, ring);
		find_types(t->skel, kernel);
		t->skel->rodata->uring_has_cqe =
			n_arguments(kernel, "btf_trace_io_uring_complete") == 3;
		rc = trace_bpf__load(t->skel);
	}
	btf__free(kernel);
	if (types_fd >= 0)
		close(types_fd);
	libbpf_set_print(previous);
	if (rc < 0)
		return explain_load(why, rc);
	return 0;
}

/* Iterators are attached when they are needed. */
static int attach(struct tracing *t, struct loader_why *why)
{
	for (size_t i = 0; i < N_TRACEPOINTS; i++) {
		struct bpf_program *prog;
		struct bpf_link *link;

		prog = bpf_object__find_program_by_name(t->skel->obj, tracepoints[i].prog);
		if (!bpf_program__autoload(prog))
			continue;
		link = bpf_program__attach(prog);
		if (!link)
			return why_set(why, -errno, NULL, "cannot attach to tracepoint %s: %s",
				       tracepoints[i].tracepoint, strerror(errno));
		t->links[t->n_links++] = link;
	}
	return 0;
}

int tracing_open(const struct tracing_options *options, struct tracing **ret,
		 struct loader_why *why)
{
	struct tracing *t = calloc(1, sizeof(*t));
	int rc = check_options(options, why);

	if (t) {
		t->lost = calloc(N_LOST + N_TRACEPOINTS, sizeof(*t->lost));
		t->links = calloc(N_TRACEPOINTS, sizeof(struct bpf_link *));
	}
	if (!t || !t->lost || !t->links)
		rc = why_set(why, -ENOMEM, NULL, "out of memory");
	if (rc == 0)
		rc = load(t, options, why);
	if (rc == 0) {
		t->ring.woken = &t->skel->bss->woken;
		rc = tracing_ring_open(&t->ring, bpf_map__fd(t->skel->maps.ring),
				       ring_size(options));
		if (rc < 0)
			why_set(why, rc, NULL, "cannot map the ring of %zu bytes: %s",
				ring_size(options), strerror(-rc));
	}
	if (rc == 0)
		rc = attach(t, why);
	if (rc < 0) {
		tracing_close(t);
		return rc;
	}
	*ret = t;
	return 0;
}

void tracing_close(struct tracing *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n_links; i++)
		bpf_link__destroy(t->links[i]);
	tracing_ring_close(&t->ring);
	tracing_forget_paths(t);
	trace_bpf__destroy(t->skel);
	free(t->links);
	free(t->missing);
	free(t->lost);
	free(t);
}

/* Let an iterator pass over one process; *ret: how many elements it told of. */
static int run_iterator(struct bpf_program *prog, union bpf_iter_link_info *over, size_t *ret)
{
	libbpf_print_fn_t previous = libbpf_listen();
	struct bpf_iter_attach_opts opts;
	struct bpf_link *link;
	uint32_t tids[256];
	int fd, rc;
	ssize_t n;

	memset(&opts, 0, sizeof(opts)); /* libbpf wants the padding to be zero, too */
	opts.sz = sizeof(opts);
	opts.link_info = over;
	opts.link_info_len = sizeof(*over);
	link = bpf_program__attach_iter(prog, &opts);
	rc = link ? 0 : -errno;
	libbpf_set_print(previous);
	if (rc < 0)
		return rc;
	*ret = 0;
	fd = bpf_iter_create(bpf_link__fd(link));
	if (fd < 0) {
		rc = -errno;
		bpf_link__destroy(link);
		return rc;
	}
	while (rc == 0 && (n = read(fd, tids, sizeof(tids))) != 0) {
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			rc = -errno;
		else if (n > 0 && tids[0] == TRACE_MARK_SELF)
			rc = -EDEADLK;
		else if (n > 0)
			*ret += (size_t)n / sizeof(tids[0]);
	}
	close(fd);
	bpf_link__destroy(link);
	return rc;
}

static int add(struct tracing *t, union bpf_iter_link_info *over, const char *what, int number,
	       struct loader_why *why)
{
	uint64_t no_memory = t->skel->bss->lost_by_cause[TRACE_TYPE_NR + TRACE_CAUSE_MARK];
	size_t n, ignored;
	int rc;

	rc = run_iterator(t->skel->progs.trace_mark_task, over, &n);
	if (rc == 0 && n == 0)
		rc = -ESRCH;
	if (rc == 0)
		rc = run_iterator(t->skel->progs.trace_mark_file, over, &ignored);
	if (rc == 0 && t->skel->bss->lost_by_cause[TRACE_TYPE_NR + TRACE_CAUSE_MARK] != no_memory)
		rc = -ENOMEM;
	if (rc == -EDEADLK)
		return why_set(why, -EINVAL, NULL, "%s %d is the observer itself", what, number);
	if (rc == -ESRCH || rc == -EBADF)
		return why_set(why, -ESRCH, NULL, "there is no process of %s %d", what, number);
	if (rc < 0)
		return why_set(why, rc, NULL, "cannot observe the process of %s %d: %s", what,
			       number, strerror(-rc));
	return 0;
}

int tracing_add_pid(struct tracing *t, pid_t tgid, struct loader_why *why)
{
	union bpf_iter_link_info over = { 0 };

	over.task.pid = (__u32)tgid;
	return add(t, &over, "pid", tgid, why);
}

int tracing_add(struct tracing *t, int pidfd, struct loader_why *why)
{
	union bpf_iter_link_info over = { 0 };

	over.task.pid_fd = (__u32)pidfd;
	return add(t, &over, "pidfd", pidfd, why);
}

/* How often a program was not run, as it had been interrupted by what would have run it again. */
static uint64_t missed_runs(const struct bpf_program *prog)
{
	struct bpf_prog_info info = { 0 };
	__u32 len = sizeof(info);

	if (!bpf_program__autoload(prog) ||
	    bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len) < 0)
		return 0;
	return info.recursion_misses;
}

size_t tracing_lost(struct tracing *t, const struct tracing_lost **ret)
{
	size_t n = 0;

	for (size_t i = 0; i < N_LOST; i++) {
		uint64_t count = __atomic_load_n(&t->skel->bss->lost_by_cause[i], __ATOMIC_RELAXED);

		if (count && lost_names[i])
			t->lost[n++] = (struct tracing_lost){
				.cause = lost_names[i],
				.count = count,
				.whole = i == TRACE_TYPE_NR + TRACE_CAUSE_STACK,
			};
	}
	for (size_t i = 0; i < N_TRACEPOINTS; i++) {
		uint64_t count = missed_runs(
			bpf_object__find_program_by_name(t->skel->obj, tracepoints[i].prog));

		/* That one makes no records: a number stays in a map, no more. */
		if (count && strcmp(tracepoints[i].prog, "trace_sock_destroy") != 0)
			t->lost[n++] = (struct tracing_lost){ .cause = tracepoints[i].tracepoint,
							      .count = count };
	}
	*ret = t->lost;
	return n;
}

size_t tracing_missing(const struct tracing *t, const struct tracing_missing **ret)
{
	*ret = t->missing;
	return t->n_missing;
}

int tracing_know_stack(struct tracing *t, const struct trace_stack_key *key,
		       const struct trace_stack_known *known)
{
	return bpf_map_update_elem(bpf_map__fd(t->skel->maps.stacks), key, known, BPF_ANY) < 0
		       ? -errno
		       : 0;
}

void tracing_forget_stack(struct tracing *t, const struct trace_stack_key *key)
{
	bpf_map_delete_elem(bpf_map__fd(t->skel->maps.stacks), key);
}
