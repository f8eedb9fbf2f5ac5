/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later */
/*
 * The contract between the programs in the kernel and the loader: every record that crosses the
 * boundary. Both sides include this file and nothing else of each other's.
 *
 * A snapshot is a byte stream of records read from a BPF iterator. Each record starts with
 * struct rec_head; its `len` is the whole record's length in bytes, a multiple of 8, and its
 * variable tail, where it has one, follows the fixed part.
 *
 * Rules: fixed-width members, natural alignment with explicit padding, sizes asserted. Members
 * named *_id hold the address of a kernel object, an identity that is good for comparing within
 * one snapshot; it is a kernel secret and never leaves the loader's caller (no image, no output).
 *
 * Needs: uint8_t ... uint64_t-like types named __u8 ... __u64 and __s32, __s64 (vmlinux.h or
 * linux/types.h), included before this file.
 */
#ifndef EBPF_CKPT_RECORDS_H
#define EBPF_CKPT_RECORDS_H

/* Raised with every change of a record or a program; a pinned set of another value is replaced. */
#define REC_ABI_VERSION 2

enum rec_type {
	REC_NONE = 0,
	REC_TASK = 1,	 /* iter/task: one per thread */
	REC_PROCESS = 2, /* iter/task: one per thread group, after its leader's REC_TASK */
	REC_SIGHAND = 3, /* iter/task: one per thread group */
	REC_MM = 4,	 /* iter/task: one per thread group that has an mm */
	REC_TIMER = 5,	 /* iter/task: one per POSIX timer of the thread group */
	REC_VMA = 6,	 /* iter/task_vma: one per memory area */
	REC_FILE = 7,	 /* iter/task_file: one per descriptor */
	REC_GROUPS = 8,	 /* iter/task: supplementary groups of a thread, where it has any */
	REC_PATH = 9,	 /* iter/task: exe, cwd, root of the thread group */
	REC_LOCK = 10,	 /* iter/task_file: one per file lock held through a descriptor */
	REC_HOLDER = 11, /* iter/task_file over all processes: who holds what */
	REC_MEMBER = 12, /* iter/task over all processes: one per thread */
	/*
	 * Details of a descriptor, iter/task_file, after its REC_FILE. Each begins as struct
	 * rec_detail does; several of one type for one descriptor keep their order.
	 */
	REC_EVENTFD = 13,
	REC_TIMERFD = 14,
	REC_SIGNALFD = 15,
	REC_EPOLL = 16, /* one per entry */
	REC_PIDFD = 17,
	REC_INOTIFY = 18,  /* one per watch */
	REC_FANOTIFY = 19, /* one per mark */
	REC_NOTIFY_EVENT = 20,
	REC_UNIX = 21,
	REC_UNIX_MSG = 22, /* one per queued message */
	REC_MQUEUE = 23,
	REC_TTY = 24,
	/* Details of a process, iter/task; fd is 0. */
	REC_AIO = 25,
	REC_SEM_UNDO = 26,
	REC_SECCOMP = 27,
	REC_TYPE_NR
};

#define REC_DETAIL_FIRST REC_EVENTFD

struct rec_head {
	__u16 type; /* enum rec_type */
	__u16 flags;
	__u32 len; /* bytes of the whole record, multiple of 8 */
};

/* rec_head.flags: some part of the record could not be read or was cut; the reader decides. */
#define REC_F_TRUNCATED 0x1
/* REC_TASK: the thread runs 32-bit code (its code segment is the compatibility one). */
#define REC_F_COMPAT32 0x2
/*
 * REC_TIMER, REC_GROUPS, REC_UNIX, REC_UNIX_MSG: more follow than one element of an iterator holds;
 * see rec_request.
 */
#define REC_F_MORE 0x4

/* How every record of a detail begins. */
struct rec_detail {
	struct rec_head head;
	__s32 tgid;
	__s32 fd;
};

#define REC_COMM_LEN	  16
#define REC_CPUS_U64	  16 /* affinity: up to 1024 CPUs */
#define REC_PATH_MAX	  4096
#define REC_AUXV_U64	  64 /* kernel: AT_VECTOR_SIZE, 2 * (22 + 20 + 1) at the most; used part */
#define REC_NSIG	  64
#define REC_NLIMITS	  16
#define REC_GROUPS_MAX	  65536
#define REC_FSTYPE_LEN	  16
#define REC_DNAME_LEN	  64
#define REC_ANON_NAME_LEN 80

/* What a task in a blocking call will do when the call is restarted (task->restart_block.fn). */
enum rec_restart {
	REC_RESTART_NONE = 0,
	REC_RESTART_NANOSLEEP = 1, /* hrtimer_nanosleep_restart */
	REC_RESTART_FUTEX = 2,	   /* futex_wait_restart */
	REC_RESTART_POLL = 3,	   /* do_restart_poll */
	REC_RESTART_POSIX_CPU = 4, /* posix_cpu_nsleep_restart */
	REC_RESTART_ALARM = 5,	   /* alarm_timer_nsleep_restart */
	REC_RESTART_UNKNOWN = 6,
};

/*
 * The restart block, valid while the thread is stopped in a call that it will restart by it (its
 * saved rax is -ERESTART_RESTARTBLOCK); otherwise all zero, for a running or sleeping thread too.
 * Told apart by the name of the function that it holds, so also for a call that was restarted
 * before and whose number reads 219 now. Times are absolute on the clock of the call, in
 * nanoseconds.
 */
struct rec_restart_block {
	__u32 kind;	  /* enum rec_restart */
	__u32 clockid;	  /* nanosleep: the clock; poll: CLOCK_MONOTONIC; futex: of its time-out */
	__u64 expires_ns; /* nanosleep, futex, poll: absolute expiry; 0: none */
	__u64 rmtp;	  /* nanosleep: user address for the remaining time; else 0 */
	__u64 uaddr;	  /* futex: address; poll: array of pollfd */
	__u32 val;	  /* futex: expected value; poll: number of entries */
	__u32 bitset;	  /* futex */
	__u32 flags; /* futex: kernel FLAGS_*; nanosleep: enum timespec_type; poll: has_timeout */
	__u32 pad;
};

struct rec_cred {
	__u32 uid, euid, suid, fsuid;
	__u32 gid, egid, sgid, fsgid;
	__u64 cap_inheritable, cap_permitted, cap_effective, cap_bset, cap_ambient;
	__u32 securebits;
	__u32 ngroups; /* the groups follow in REC_GROUPS */
	__u64 user_ns_id;
	__u32 user_ns_inum;
	__u32 pad;
};

/* One per thread. Source: struct task_struct, unless said otherwise. */
struct rec_task {
	struct rec_head head;
	__s32 tid, tgid;   /* in the initial pid namespace's numbering of the reader */
	__s32 vtid, vtgid; /* innermost pid namespace */
	__s32 ppid;	   /* tgid of real_parent */
	__s32 tracer_tgid; /* tgid of the ptracer; 0: not traced */
	__u64 start_boottime_ns;
	__u32 state;	  /* __state */
	__s32 exit_state; /* 0 alive, 16 dead, 32 zombie */
	__s32 exit_code;
	__s32 exit_signal;
	__u32 pf_flags; /* PF_* */
	__u32 jobctl;
	__u64 mm_id, files_id, fs_id, sighand_id, signal_id, nsproxy_id, sysvsem_id, io_uring_id;
	__u64 blocked, saved_sigmask, pending; /* bit n-1 is signal n */
	__u64 sas_sp, sas_size;
	__u32 sas_flags;
	__s32 pdeath_signal;
	__u64 clear_child_tid, set_child_tid;
	__u64 robust_list, robust_list_len; /* len: sizeof(struct robust_list_head) or 0 */
	__u64 rseq;
	__u32 rseq_len, rseq_sig;
	__u64 fsbase, gsbase;
	__u32 policy; /* SCHED_* */
	__s32 nice;
	__u32 rt_priority;
	__u32 reset_on_fork;				    /* sched_reset_on_fork */
	__u64 dl_runtime, dl_deadline, dl_period, dl_flags; /* SCHED_DEADLINE, ns */
	__u64 timer_slack_ns, default_timer_slack_ns;
	__u32 nr_cpus_allowed;
	__u32 ioprio;		       /* io_context->ioprio; 0: none */
	__u64 cpus_mask[REC_CPUS_U64]; /* user's mask, or cpus_mask */
	__u32 personality;
	__u32 no_new_privs;
	__u32 seccomp_mode, seccomp_filters;
	__u32 io_bitmap; /* 1: the task has an I/O permission bitmap */
	__u32 iopl;
	__u32 has_mempolicy;
	__u32 tif_nocpuid; /* arch_prctl(ARCH_CPUID) faulting on; also TSC disabled: bit 1 */
	__u32 pid_ns_inum, pid_ns_level;
	__u32 uts_ns_inum, ipc_ns_inum, mnt_ns_inum, net_ns_inum, time_ns_inum, cgroup_ns_inum;
	__u64 utime_ns, stime_ns;
	__u64 syscall_nr; /* orig_ax of the user registers while in a call, else ~0 */
	struct rec_restart_block restart;
	struct rec_cred cred;
	char comm[REC_COMM_LEN];
};

struct rec_itimer {
	__u64 value_ns; /* time left; 0: not armed */
	__u64 interval_ns;
};

/* One per thread group. Source: struct signal_struct. */
struct rec_process {
	struct rec_head head;
	__s32 tgid;
	__s32 ppid;
	__s32 pgid, sid;   /* reader's pid namespace */
	__s32 vpgid, vsid; /* the process's own; 0: that of someone outside of it */
	__u32 n_threads;
	__u32 is_session_leader;
	__u32 has_child_subreaper, is_child_subreaper;
	__s32 oom_score_adj, oom_score_adj_min;
	__u64 shared_pending;
	__u64 rlim_cur[REC_NLIMITS], rlim_max[REC_NLIMITS];
	struct rec_itimer it_real, it_virt, it_prof;
	__u64 cutime_ns, cstime_ns;
	__u64 utime_ns, stime_ns;
	__u32 tty_major, tty_minor; /* controlling terminal's device; 0,0: none */
	__s32 tty_fg_pgid;	    /* foreground process group; 0: none */
	__s32 group_exit_code;
	__u32 signal_flags; /* SIGNAL_* */
	__u32 next_posix_timer_id;
	__u32 umask; /* of the leader's fs_struct */
	__u32 n_children;
	__u64 cgroup_id; /* id of the cgroup in the default hierarchy */
};

struct rec_sigaction {
	__u64 handler, flags, restorer, mask;
};

/* One per thread group; action[n-1] is signal n's. */
struct rec_sighand {
	struct rec_head head;
	__s32 tgid;
	__u32 pad;
	struct rec_sigaction action[REC_NSIG];
};

/* One per thread group. Source: struct mm_struct. */
struct rec_mm {
	struct rec_head head;
	__s32 tgid;
	__u32 n_vmas; /* map_count */
	__u64 start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
	__u64 arg_start, arg_end, env_start, env_end;
	__u64 vdso;	 /* address of the vdso text; 0: none */
	__u64 def_flags; /* vm_flags of new areas: VM_LOCKED after mlockall(MCL_FUTURE) */
	__u64 mm_flags;	 /* MMF_*: dumpable in bits 0-1, core filter from bit 2 on */
	__u64 total_vm_pages, locked_vm_pages, data_vm_pages, rss_anon_pages, rss_file_pages,
		rss_shmem_pages, swap_pages;
	__u32 membarrier_state;
	__u32 n_users; /* mm_users */
	__u64 auxv[REC_AUXV_U64];
	__u32 ioctx_table; /* 1: legacy AIO contexts exist */
	__u32 pad;
};

/* One per POSIX timer. Source: struct k_itimer. */
struct rec_timer {
	struct rec_head head;
	__s32 tgid;
	__s32 id;
	__s32 clockid;
	__s32 notify; /* SIGEV_* with SIGEV_THREAD_ID */
	__s32 signo;
	__s32 notify_tid; /* SIGEV_THREAD_ID: target */
	__u64 sigval;
	__u64 interval_ns;
	__u64 value_ns; /* time left; 0: not armed (CPU clocks: left on that clock) */
	__s32 overrun, overrun_last;
	__u32 sigqueued; /* 1: its signal is queued */
	__u32 pad;
	__u64 late_ns; /* its signal being queued: how long ago it expired first; else 0 */
};

/* What an open file refers to; part of REC_VMA (when backed) and REC_FILE. */
struct rec_inode {
	__u64 file_id;	/* struct file */
	__u64 inode_id; /* struct inode */
	__u64 ino;
	__u64 size;
	__u64 mtime_ns, ctime_ns;
	__u32 dev_major, dev_minor;   /* of the superblock, as st_dev shows */
	__u32 rdev_major, rdev_minor; /* device files */
	__u32 mode;		      /* S_IFMT | permissions */
	__u32 nlink;
	__u32 uid, gid;
	__u64 sb_magic;
	__u32 f_flags;	/* O_*, without O_CLOEXEC */
	__u32 f_mode;	/* FMODE_* */
	__u32 unhashed; /* 1: the dentry is no longer in its directory (unlinked) */
	__u32 path_len; /* bytes of the path that follows the record, without its NUL; 0: none */
	__u64 f_count;	/* references to the open file: descriptors, areas, and more for a moment */
	char fstype[REC_FSTYPE_LEN];
	char dname[REC_DNAME_LEN]; /* the dentry's own name: tells anonymous inodes apart */
};

/* One per memory area, in address order. A path may follow (path_len, NUL, padding). */
struct rec_vma {
	struct rec_head head;
	__s32 tgid;
	__u32 has_file; /* inode is valid */
	__u64 start, end;
	__u64 vm_flags;
	__u64 pgoff_bytes;
	__u32 has_anon_vma;
	__u32 special; /* enum rec_vma_special */
	__u32 has_mempolicy;
	__u32 uffd_registered;
	char anon_name[REC_ANON_NAME_LEN]; /* PR_SET_VMA_ANON_NAME, or the special mapping's name */
	struct rec_inode inode;
};

enum rec_vma_special {
	REC_VMA_ORDINARY = 0,
	REC_VMA_SPECIAL = 1, /* a special mapping; anon_name holds its name: [vdso], [vvar], ... */
};

/* One per descriptor. A path follows. */
struct rec_file {
	struct rec_head head;
	__s32 tgid;
	__s32 fd;
	__u32 cloexec;
	__u32 has_locks; /* bit 0 flock, 1 posix, 2 lease on the inode's lock context */
	__u64 files_id;
	__u64 pos;
	__s32 fown_pid;	     /* F_SETOWN: pid or pgid in the reader's namespace; 0: none */
	__u32 fown_pid_type; /* 0 thread, 1 process, 2 process group (kernel's enum pid_type) */
	__u32 fown_uid, fown_euid;
	__s32 fown_signum;    /* F_SETSIG */
	__u32 pipe_id_lo;     /* low bits of the pipe's ring usage: buffers in use */
	__u64 pipe_id;	      /* struct pipe_inode_info; 0: not a pipe */
	__u32 pipe_ring_size; /* buffers */
	__u32 pipe_bytes;     /* bytes queued */
	__u32 pipe_readers, pipe_writers;
	__u32 pipe_packets; /* buffers that end a packet (pipe(2), O_DIRECT) */
	__u32 pad;
	__u64 sock_id; /* struct sock; 0: not a socket */
	__u16 sk_family, sk_type, sk_protocol, sk_state;
	__u32 sk_src4, sk_dst4;	  /* IPv4, network order */
	__u16 sk_sport, sk_dport; /* host order */
	__u32 tty_index;
	__u32 tty_major, tty_minor;
	__s32 tty_session; /* sid whose controlling terminal this is; 0: none */
	__s32 tty_fg_pgid;
	struct rec_inode inode;
};

struct rec_groups {
	struct rec_head head;
	__s32 tid;
	__u32 n;
	__u32 gid[]; /* n, padded to 8 bytes */
};

/*
 * The kernel gives one element of an iterator 32 KiB of output, which long lists exceed: those come
 * in pieces. The first piece is in the stream itself; of the last record of a piece, REC_F_MORE
 * says that the list goes on. The next piece is read from an iterator over that one thread made
 * from the program `snapshot_more`. Which piece is wanted is told in the buffer given to read(2),
 * whose address the program learns from the reader's own registers: no state outlives the call, and
 * readers cannot meet.
 */
struct rec_request {
	__u64 magic; /* REC_REQUEST_MAGIC */
	__u32 type;  /* REC_TIMER, REC_GROUPS or REC_UNIX */
	__u32 first; /* index of the first entry wanted */
	__s32 fd;    /* REC_UNIX: of this descriptor; else 0 */
	__u32 pad;
};

#define REC_REQUEST_MAGIC 0x65626370666d6f72ULL

enum rec_path_what { REC_PATH_EXE = 1, REC_PATH_CWD = 2, REC_PATH_ROOT = 3 };

/* Paths of the thread group; the path follows. */
struct rec_path {
	struct rec_head head;
	__s32 tgid;
	__u32 what;		/* enum rec_path_what */
	struct rec_inode inode; /* file_id only for the executable */
};

enum rec_lock_class {
	REC_LOCK_FLOCK = 0, /* flock(2): the description's */
	REC_LOCK_POSIX =
		1,	  /* fcntl(2): the process's; told of through each descriptor of the file */
	REC_LOCK_OFD = 2, /* fcntl(2): the description's */
	REC_LOCK_LEASE = 3,
};

/* One per file lock that is held through a descriptor, after its REC_FILE. Source: struct
 * file_lock. */
struct rec_lock {
	struct rec_head head;
	__s32 tgid;
	__s32 fd;
	__u32 lock_class; /* enum rec_lock_class */
	__u32 lock_type;  /* F_RDLCK 0, F_WRLCK 1; of a lease that is being broken: what it was */
	__u64 start, end; /* first and last byte; end is 2^63 - 1 for "to the end" */
	__u64 file_id;	  /* of the descriptor */
	__u64 inode_id;
};

/* Who holds an open file that is not a plain one: descriptors of all processes. */
struct rec_holder {
	struct rec_head head;
	__s32 tgid;
	__s32 fd;
	__u64 file_id, inode_id, sock_id;
	char comm[REC_COMM_LEN];
};

/* One per thread of the machine that the reader can see: as much as it takes to find a tree. */
struct rec_member {
	struct rec_head head;
	__s32 tgid;
	__s32 tid;
	__s32 vtid; /* innermost pid namespace */
	__u32 pid_ns_inum;
	__s32 ppid, pgid, sid;
	__s32 tracer_tgid;
	__s32 exit_state;
	__u32 pf_flags;
	__u64 start_boottime_ns;
	__u64 mm_id, files_id, fs_id, sighand_id;
	__u32 in_vfork; /* its parent waits in vfork(2) for it */
	__u32 pad;
	char comm[REC_COMM_LEN];
};

#define REC_UNIX_NAME	108 /* the kernel's UNIX_PATH_MAX */
#define REC_UNIX_GROUPS 32
/* Of a message that cannot be peeked: as much is read of its bytes, or nothing. */
#define REC_UNIX_DATA 3776

/* rec_unix.flags */
#define REC_UNIX_DEAD	    0x1	  /* the socket was closed */
#define REC_UNIX_EMBRYO	    0x2	  /* a connection that was not accepted yet */
#define REC_UNIX_INHERITED  0x4	  /* its name is its listener's, from accept(2) */
#define REC_UNIX_UNLINKED   0x8	  /* its file has no name any more */
#define REC_UNIX_FILTER	    0x10  /* a BPF filter is attached */
#define REC_UNIX_PEER	    0x20  /* it has a peer, of which the members peer_* tell */
#define REC_UNIX_PEER_DEAD  0x40  /* ... which was closed */
#define REC_UNIX_PEER_EMBRYO 0x80 /* ... which was not accepted yet */
#define REC_UNIX_OOB_INLINE 0x100 /* SO_OOBINLINE */

/* The process that a socket's peer is to it (SO_PEERCRED), or the sender of a message. */
struct rec_unix_cred {
	__s32 pid;	    /* in the reader's numbering; 0: none that it can see */
	__s32 vpid;	    /* in the pid namespace where the process was at home */
	__u32 pid_ns_inum;  /* that namespace; 0: no process */
	__u32 uid, gid;	    /* effective */
	__u32 has;	    /* 1: there are credentials */
};

/*
 * A unix socket: with `index` 0 the descriptor's own, and after its messages, with 1 and so on, the
 * connections that it has not accepted yet, in order, each followed by its messages. The path of
 * the file that it is bound to follows (of index 0, path_len bytes, NUL, padding). Source: struct
 * unix_sock.
 */
struct rec_unix {
	struct rec_head head;
	__s32 tgid;
	__s32 fd;
	__u32 index;
	__u32 flags; /* REC_UNIX_* */
	__u64 sock_id, addr_id;
	__u64 peer_id, peer_peer_id, peer_listener_id;
	__u64 file_inode_id, file_ino; /* of the file that it is bound to; 0: none */
	__u32 file_dev_major, file_dev_minor;
	__u32 file_mode, file_uid, file_gid;
	__u32 path_len;
	__u16 type, state, shutdown, protocol;
	__s32 error; /* sk_err: what the next call will fail with */
	__u32 backlog; /* sk_max_ack_backlog */
	__u32 n_messages;
	__u32 n_pending; /* connections not accepted yet */
	__u16 name_len, peer_name_len; /* of sun_path, a path's NUL left out; 0: no name */
	__u32 n_groups; /* may exceed what group[] holds */
	struct rec_unix_cred peer_cred;
	__u32 group[REC_UNIX_GROUPS];
	char name[REC_UNIX_NAME], peer_name[REC_UNIX_NAME];
};

/* rec_unix_msg.flags */
#define REC_UNIX_MSG_OOB      0x1 /* sent with MSG_OOB */
#define REC_UNIX_MSG_OOB_READ 0x2 /* such a mark whose byte was received already */
#define REC_UNIX_MSG_SENDER   0x4 /* the sending socket still exists */

/*
 * A message in the queue of the socket with the same `index`; of a stream, what one call sent and
 * was not yet received of it. There follow, each padded to 8 bytes: n_files identities of the files
 * that it carries, from_len bytes of the sender's name, data_len bytes of contents (only of
 * connections that were not accepted yet, and of datagrams whose receiver has an error waiting).
 * Source: struct sk_buff, struct unix_skb_parms.
 */
struct rec_unix_msg {
	struct rec_head head;
	__s32 tgid;
	__s32 fd;
	__u32 index;
	__u32 flags; /* REC_UNIX_MSG_* */
	__u32 len;   /* bytes not yet received */
	__u32 n_files;
	__u32 from_len;
	__u32 data_len;
	__u64 sender_id; /* struct sock */
	struct rec_unix_cred cred;
};

_Static_assert(sizeof(struct rec_head) == 8, "rec_head");
_Static_assert(sizeof(struct rec_detail) == 16, "rec_detail");
_Static_assert(sizeof(struct rec_holder) == 56, "rec_holder");
_Static_assert(sizeof(struct rec_member) % 8 == 0, "rec_member");
_Static_assert(sizeof(struct rec_restart_block) == 48, "rec_restart_block");
_Static_assert(sizeof(struct rec_cred) % 8 == 0, "rec_cred");
_Static_assert(sizeof(struct rec_task) % 8 == 0, "rec_task");
_Static_assert(sizeof(struct rec_process) % 8 == 0, "rec_process");
_Static_assert(sizeof(struct rec_sighand) == 16 + 64 * 32, "rec_sighand");
_Static_assert(sizeof(struct rec_mm) % 8 == 0, "rec_mm");
_Static_assert(sizeof(struct rec_timer) % 8 == 0, "rec_timer");
_Static_assert(sizeof(struct rec_inode) % 8 == 0, "rec_inode");
_Static_assert(sizeof(struct rec_vma) % 8 == 0, "rec_vma");
_Static_assert(sizeof(struct rec_file) % 8 == 0, "rec_file");
_Static_assert(sizeof(struct rec_path) % 8 == 0, "rec_path");
_Static_assert(sizeof(struct rec_lock) == 56, "rec_lock");
_Static_assert(sizeof(struct rec_unix_cred) == 24, "rec_unix_cred");
_Static_assert(sizeof(struct rec_unix) % 8 == 0, "rec_unix");
_Static_assert(sizeof(struct rec_unix_msg) % 8 == 0, "rec_unix_msg");

#endif
