/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Descriptors: the system calls that make, copy, and close them. What a new descriptor refers to
 * is read from the kernel's own objects when the call returns, not from its arguments.
 */
#ifndef EBPF_CKPT_TRACE_FD_BPF_H
#define EBPF_CKPT_TRACE_FD_BPF_H

#define MAX_FDS (1 << 24)

/* The struct file behind a number; 0: free. */
static __always_inline struct file *fd_file(struct task_struct *task, __u32 fd, __u32 *cloexec)
{
	struct fdtable *fdt = kread(files_struct, kread(task_struct, task, files), fdt);
	unsigned long *bits, word = 0;
	struct file *file = 0, **fds;

	if (!fdt || fd >= kread(fdtable, fdt, max_fds))
		return 0;
	fds = kread(fdtable, fdt, fd);
	bpf_probe_read_kernel(&file, sizeof(file), fds + fd);
	if (!file || !cloexec)
		return file;
	bits = kread(fdtable, fdt, close_on_exec);
	bpf_probe_read_kernel(&word, sizeof(word), bits + fd / 64);
	*cloexec = word >> (fd % 64) & 1;
	return file;
}

/* The descriptor table of the running task: its identity. */
static __always_inline __u64 current_files(void)
{
	return (__u64)kread(task_struct, bpf_get_current_task_btf(), files);
}

/* States of a TCP connection are told while one who is observed has had a descriptor of it. */
static __always_inline void sock_watch(struct trace_fd_new *out)
{
	struct watched who = { .pid = out->head.pid, .tid = out->head.tid };
	__u64 id = out->file.sock_id;

	__builtin_memcpy(who.comm, out->head.comm, sizeof(who.comm));
	if (bpf_map_update_elem(&sockets, &id, &who, 0 /* BPF_ANY */) < 0)
		lost(TRACE_TYPE_NR + TRACE_CAUSE_SOCKET);
}

/*
 * How a descriptor came to be.
 *
 * The functions that make records are not static: such functions are verified once, and not for
 * each call of them.
 */
struct origin {
	__s32 from, pair, of;
};

__noinline int fd_new(struct call *c, __s32 fd, const struct origin *origin)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct trace_fd_new *out;
	struct scratch *s;
	struct file *file;

	if (!c || !origin || !is_wanted(TRACE_FD_NEW))
		return 0;
	call_stack(c);
	s = scratch_get();
	if (!s) {
		lost(TRACE_TYPE_NR + TRACE_CAUSE_SCRATCH);
		return 0;
	}
	out = (void *)s->rec;
	__builtin_memset(out, 0, sizeof(*out));
	head_init(&out->head, TRACE_FD_NEW, 0, task, c->time_ns);
	out->head.flags = c->flags;
	out->head.stack = c->stack;
	out->files_id = current_files();
	out->since_ns = c->since_ns;
	out->fd = fd;
	out->nr = c->nr;
	out->from = origin->from;
	out->pair = origin->pair;
	out->of = origin->of;
	s->at = sizeof(*out);
	file = fd_file(task, (__u32)fd, &out->cloexec);
	if (file) {
		file_fill(&out->file, file);
		if (out->file.sock_id) {
			struct trace_sock *sock = (void *)&s->rec[sizeof(*out)];

			__builtin_memset(sock, 0, sizeof(*sock));
			sock_fill(sock, (void *)out->file.sock_id);
			s->at = sizeof(*out) + sizeof(*sock);
			if (sock->protocol == IPPROTO_TCP &&
			    (sock->family == AF_INET || sock->family == AF_INET6)) {
				sock_watch(out);
				/* Again: what changes from now on is told. */
				sock->state = sock_state((void *)sock->sock_id);
			}
		}
		out->file.names_len = names_put(s, file);
	}
	scratch_submit(s);
	scratch_put(s);
	return 0;
}

static __always_inline int fd_new_from(struct call *c, __s32 fd, __s32 from)
{
	struct origin origin = { .from = from, .pair = -1 };

	return fd_new(c, fd, &origin);
}

/* Two descriptors, which the call has put into the program's memory. */
static __always_inline void fd_new_pair(struct call *c, __u64 where)
{
	struct origin origin = { .from = -1 };
	__s32 fds[2] = { -1, -1 };

	bpf_probe_read_user(fds, sizeof(fds), (void *)where);
	if (fds[0] < 0 || fds[1] < 0) {
		lost(TRACE_FD_NEW);
		return;
	}
	origin.pair = fds[1];
	fd_new(c, fds[0], &origin);
	origin.pair = fds[0];
	fd_new(c, fds[1], &origin);
}

__noinline int fd_close(struct call *c, __u32 first, __u32 last)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct trace_fd_close *out;

	if (!c || !is_wanted(TRACE_FD_CLOSE))
		return 0;
	out = record_new_at(trace_fd_close, TRACE_FD_CLOSE, task, c->time_ns);
	if (!out)
		return 0;
	out->head.flags = c->flags;
	out->files_id = current_files();
	out->since_ns = c->since_ns;
	out->first = first;
	out->last = last;
	out->nr = c->nr;
	out->ret = (__s32)c->ret;
	if (first == last)
		out->now_id = (__u64)fd_file(task, first, 0);
	record_submit(out);
	return 0;
}

__noinline int fd_flags(struct call *c, __u32 first, __u32 last, __u32 cloexec)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct trace_fd_flags *out;

	if (!c || !is_wanted(TRACE_FD_FLAGS))
		return 0;
	out = record_new_at(trace_fd_flags, TRACE_FD_FLAGS, task, c->time_ns);
	if (!out)
		return 0;
	out->head.flags = c->flags;
	out->files_id = current_files();
	out->first = first;
	out->last = last;
	out->nr = c->nr;
	out->cloexec = cloexec;
	record_submit(out);
	return 0;
}

/* --- tables --- */

struct table_walk {
	struct scratch *s;
	struct task_struct *task;
	__u64 fds, open, cloexec;
	__u32 max;
};

static __always_inline void table_piece(struct scratch *s, bool last)
{
	struct trace_table *out = (void *)s->rec;
	__u32 n = s->n;

	if (n > TRACE_TABLE_MAX)
		n = TRACE_TABLE_MAX;
	out->n = n;
	out->head.flags = last ? TRACE_F_LAST : 0;
	s->at = sizeof(*out) - sizeof(out->entry) + n * sizeof(out->entry[0]);
	scratch_submit(s);
	s->n = 0;
}

static long table_step(__u32 fd, void *data)
{
	struct table_walk *w = data;
	struct trace_table_entry *entry;
	unsigned long word = 0;
	struct scratch *s = w->s;
	struct file *file = 0;
	__u32 n;

	if (fd >= w->max)
		return 1;
	bpf_probe_read_kernel(&file, sizeof(file), (void *)(w->fds + (__u64)fd * 8));
	if (!file)
		return 0;
	if (s->n >= TRACE_TABLE_MAX) {
		table_piece(s, false);
		head_init((void *)s->rec, TRACE_TABLE, 0, w->task, bpf_ktime_get_ns());
	}
	n = s->n & (TRACE_TABLE_MAX - 1);
	entry = &((struct trace_table *)s->rec)->entry[n];
	bpf_probe_read_kernel(&word, sizeof(word), (void *)(w->cloexec + (__u64)(fd / 64) * 8));
	entry->fd = (__s32)fd;
	entry->cloexec = word >> (fd % 64) & 1;
	entry->file_id = (__u64)file;
	s->n = n + 1;
	return 0;
}

/* All descriptors of the task's table. */
static __noinline int table_inventory(struct task_struct *task)
{
	struct table_walk w = {};
	struct trace_table *out;
	struct fdtable *fdt;
	struct scratch *s = scratch_get();

	if (!s) {
		lost(TRACE_TYPE_NR + TRACE_CAUSE_SCRATCH);
		return 0;
	}
	out = (void *)s->rec;
	__builtin_memset(out, 0, sizeof(*out) - sizeof(out->entry));
	head_init(&out->head, TRACE_TABLE, 0, task, bpf_ktime_get_ns());
	out->files_id = (__u64)BPF_CORE_READ(task, files);
	s->n = 0;
	fdt = BPF_CORE_READ(task, files, fdt);
	w.s = s;
	w.task = task;
	w.max = BPF_CORE_READ(fdt, max_fds);
	w.fds = (__u64)BPF_CORE_READ(fdt, fd);
	w.cloexec = (__u64)BPF_CORE_READ(fdt, close_on_exec);
	bpf_loop(MAX_FDS > (1 << 23) ? 1 << 23 : MAX_FDS, table_step, &w, 0);
	table_piece(s, true);
	scratch_put(s);
	return 0;
}

/* The thread has left the table that it shared, or not: only a new table tells that it has. */
static __always_inline void files_unshared(struct call *c, struct observed *self)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 files_id = current_files();
	struct trace_unshare *out;

	if (self->files_id == files_id)
		return;
	self->files_id = files_id;
	out = record_new_at(trace_unshare, TRACE_UNSHARE, task, c->time_ns);
	if (!out)
		return;
	out->head.flags = c->flags | TRACE_F_INVENTORY;
	out->files_id = files_id;
	out->nr = c->nr;
	record_submit(out);
	table_inventory(task);
}

/* --- calls --- */

static __always_inline void on_close_range(struct call *c, struct observed *self)
{
	__u32 first = (__u32)c->arg[0], last = (__u32)c->arg[1];

	if (c->arg[2] & CLOSE_RANGE_UNSHARE)
		files_unshared(c, self);
	if (c->arg[2] & CLOSE_RANGE_CLOEXEC)
		fd_flags(c, first, last, 1);
	else
		fd_close(c, first, last);
}

static __always_inline void on_fcntl(struct call *c)
{
	switch ((__u32)c->arg[1]) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		fd_new_from(c, (__s32)c->ret, (__s32)c->arg[0]);
		break;
	case F_SETFD:
		fd_flags(c, (__u32)c->arg[0], (__u32)c->arg[0], c->arg[2] & 1 /* FD_CLOEXEC */);
		break;
	default:
		break;
	}
}

/* Requests that give a new descriptor; others that return a number above 0 mean something else. */
static __always_inline bool ioctl_makes_fd(__u32 request)
{
	switch (request) {
	case 0x5441: /* TIOCGPTPEER */
	case 0xb701: /* NS_GET_USERNS */
	case 0xb702: /* NS_GET_PARENT */
	case 0x894c: /* SIOCGSKNS */
	case 0xaa00: /* USERFAULTFD_IOC_NEW */
	case 0xae01: /* KVM_CREATE_VM */
	case 0xae41: /* KVM_CREATE_VCPU */
		return true;
	default:
		/* PIDFD_GET_*_NAMESPACE */
		return request >= 0xff01 && request <= 0xff0a;
	}
}

static __always_inline void on_ioctl(struct call *c)
{
	__u32 request = (__u32)c->arg[1];

	if (request == 0x5451 || request == 0x5450) /* FIOCLEX, FIONCLEX */
		fd_flags(c, (__u32)c->arg[0], (__u32)c->arg[0], request == 0x5451);
	else if (ioctl_makes_fd(request))
		fd_new_from(c, (__s32)c->ret, -1);
}

/* The process that a descriptor of a process refers to, as the observer numbers it. */
static __always_inline __s32 pidfd_pid(__u32 fd)
{
	struct file *file = fd_file(bpf_get_current_task_btf(), fd, 0);
	struct inode *inode;

	if (!file)
		return 0;
	inode = BPF_CORE_READ(file, f_inode);
	if (BPF_CORE_READ(inode, i_sb, s_magic) == MAGIC_PIDFS)
		return pid_nr(BPF_CORE_READ(inode, i_private), OBSERVER);
	return pid_nr(BPF_CORE_READ(file, private_data), OBSERVER);
}

static __always_inline void on_pidfd_open(struct call *c)
{
	struct origin origin = { .from = -1, .pair = -1, .of = pidfd_pid((__u32)c->ret) };

	fd_new(c, (__s32)c->ret, &origin);
}

static __always_inline void on_pidfd_getfd(struct call *c)
{
	struct origin origin = { .from = (__s32)c->arg[1],
				 .pair = -1,
				 .of = pidfd_pid((__u32)c->arg[0]) };

	fd_new(c, (__s32)c->ret, &origin);
}

/* The parent's call: the child itself was told of when it was made. */
static __always_inline void on_clone(struct call *c)
{
	struct origin origin = { .from = -1, .pair = -1 };
	__u64 flags = c->arg[0], where = c->arg[2]; /* clone(2): in parent_tid's place */
	__s32 fd = -1;

	if (c->ret == 0) /* the child */
		return;
	if (c->nr == NR_clone3) {
		/* struct clone_args begins: flags, pidfd */
		bpf_probe_read_user(&flags, sizeof(flags), (void *)c->arg[0]);
		bpf_probe_read_user(&where, sizeof(where), (void *)(c->arg[0] + 8));
	}
	if (!(flags & CLONE_PIDFD))
		return;
	if (bpf_probe_read_user(&fd, sizeof(fd), (void *)where) < 0 || fd < 0) {
		lost(TRACE_FD_NEW);
		return;
	}
	origin.of = pidfd_pid((__u32)fd);
	fd_new(c, fd, &origin);
}

/* --- descriptors in messages --- */

#define CMSG_MAX   16
#define SCM_MAX_FD 253

struct message {
	struct call *c;
	__u64 at, end; /* control data in the program's memory */
	__u32 n;
	__u32 word; /* bytes of a pointer and of a size there: 4 or 8 */
};

static long rights_step(__u32 i, void *data)
{
	struct message *m = data;
	__s32 fd = -1;

	if (i >= m->n)
		return 1;
	/* Behind a size and two numbers. */
	bpf_probe_read_user(&fd, sizeof(fd), (void *)(m->at + m->word + 8 + (__u64)i * 4));
	if (fd >= 0)
		fd_new_from(m->c, fd, -1);
	return 0;
}

/* A pointer or size. */
static __always_inline __u64 word_at(__u64 where, __u32 word)
{
	__u64 value = 0;

	bpf_probe_read_user(&value, word == 4 ? 4 : 8, (void *)where);
	return value;
}

static long cmsg_step(__u32 i, void *data)
{
	struct message *m = data;
	__u64 len, head_len = m->word + 8;
	__s32 kind[2] = {}; /* level, type */

	(void)i;
	if (m->at + head_len > m->end)
		return 1;
	len = word_at(m->at, m->word);
	if (len < head_len ||
	    bpf_probe_read_user(kind, sizeof(kind), (void *)(m->at + m->word)) < 0)
		return 1;
	if (kind[0] == SOL_SOCKET && (kind[1] == SCM_RIGHTS || kind[1] == SCM_PIDFD)) {
		m->n = (__u32)((len - head_len) / 4);
		bpf_loop(SCM_MAX_FD, rights_step, m, 0);
	}
	m->at += (len + m->word - 1) & ~(__u64)(m->word - 1);
	return 0;
}

/*
 * One struct user_msghdr: name, its length, vector, its length, control data, and their length,
 * into which the call has written how much there is.
 */
__noinline int message_rights(struct call *c, __u64 where)
{
	struct message m = {};
	__u64 len;

	if (!c)
		return 0;
	m.c = c;
	m.word = c->flags & TRACE_F_COMPAT ? 4 : 8;
	m.at = word_at(where + 4 * m.word, m.word);
	len = word_at(where + 5 * m.word, m.word);
	if (!m.at || len < 12 || len > (1 << 20))
		return 0;
	m.end = m.at + len;
	bpf_loop(CMSG_MAX, cmsg_step, &m, 0);
	return 0;
}

static long mmsg_step(__u32 i, void *data)
{
	struct call *c = *(struct call **)data;

	if (i >= c->ret)
		return 1;
	/* sizeof(struct mmsghdr) */
	message_rights(c, c->arg[1] + (__u64)i * (c->flags & TRACE_F_COMPAT ? 32 : 64));
	return 0;
}

static __always_inline void on_recvmmsg(struct call *c)
{
	bpf_loop(1024 /* UIO_MAXIOV */, mmsg_step, &c, 0);
}

#endif
