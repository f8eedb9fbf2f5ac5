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
	REC_INOTIFY = 18,      /* the group; its watches are REC_NOTIFY_MARK */
	REC_FANOTIFY = 19,     /* the group; its marks are REC_NOTIFY_MARK */
	REC_NOTIFY_EVENT = 20, /* of inotify: one per queued event */
	REC_UNIX = 21,
	REC_UNIX_MSG = 22, /* one per queued message */
	REC_MQUEUE = 23,
	REC_TTY = 24,
	/* Details of a process, iter/task; fd is 0. */
	REC_AIO = 25,
	REC_SEM_UNDO = 26,
	REC_SECCOMP = 27,
	/* Of a descriptor again: one per mark of a group; of a directory: its use of dnotify. */
	REC_NOTIFY_MARK = 28,
	/* Details of a descriptor. */
	REC_BPF_MAP = 29,
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
/* REC_TIMER, REC_GROUPS, details: more follow than one element of an iterator holds; see
 * rec_request. */
#define REC_F_MORE 0x4
/* REC_LOCK: a lease that is being broken, to a read lease or to none. */
#define REC_F_DOWNGRADING 0x8
#define REC_F_UNLOCKING	  0x10

/* REC_TASK: there are adjustments in its undo list (REC_SEM_UNDO). */
#define REC_F_SEM_UNDO 0x8

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

/* A NUMA policy; all zero: none. Source: struct mempolicy. */
struct rec_mempolicy {
	__u16 mode;	 /* MPOL_* */
	__u16 flags;	 /* MPOL_F_*_NODES and the like, as set_mempolicy(2) takes them */
	__s32 home_node; /* of set_mempolicy_home_node(2), -1: none */
	__u64 nodes;	 /* the first 64 */
};

/* Variables of the programs: Landlock is not in use, or where its memory lies is not known. */
#define LANDLOCK_ABSENT	 (-1)
#define LANDLOCK_UNKNOWN (-2)

/* rec_task.landlock */
#define REC_LANDLOCK_DOMAIN  1 /* it is restricted */
#define REC_LANDLOCK_UNKNOWN 2 /* it may be */

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
	__u32 has_mempolicy; /* 2: and it names nodes beyond the first 64 */
	__u32 tif_nocpuid;   /* arch_prctl(ARCH_CPUID) faulting on; also TSC disabled: bit 1 */
	__u32 pid_ns_inum, pid_ns_level;
	__u32 uts_ns_inum, ipc_ns_inum, mnt_ns_inum, net_ns_inum, time_ns_inum, cgroup_ns_inum;
	__u64 utime_ns, stime_ns;
	struct rec_mempolicy mempolicy;
	__u32 speculation; /* PR_SET_SPECULATION_CTRL: bits 3 to 7 of atomic_flags, from bit 0 on */
	__u32 loginuid;	   /* of audit; ~0: not set */
	__u32 landlock;	   /* REC_LANDLOCK_* */
	__u32 umask;	   /* ~0: it has given up its fs_struct */
	__u64 syscall_nr;  /* orig_ax of the user registers while in a call, else ~0 */
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
	__u32 special;	     /* enum rec_vma_special */
	__u32 has_mempolicy; /* as in rec_task */
	__u32 uffd_registered;
	struct rec_mempolicy mempolicy;
	char anon_name[REC_ANON_NAME_LEN]; /* PR_SET_VMA_ANON_NAME, or the special mapping's name */
	struct rec_inode inode;
};

enum rec_vma_special {
	REC_VMA_ORDINARY = 0,
	REC_VMA_SPECIAL = 1, /* a special mapping; anon_name holds its name: [vdso], [vvar], ... */
	/*
	 * An attached System V segment, whose id is inode.ino. Each shmat(2) makes an open file of
	 * its own, which nobody can ask for: inode.file_id is the segment's identity here, one for
	 * those attached for reading and writing and one for those for reading only.
	 */
	REC_VMA_SYSV = 2,
	REC_VMA_AIO = 3, /* the ring of a context of io_setup(2); anon_name is [aio] */
};

/*
 * One per descriptor. A path follows. Of a thread that does not share its leader's table, `tgid` is
 * the thread's own id, here and in all records that belong to a descriptor.
 */
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
	__u32 type;  /* REC_TIMER, REC_GROUPS, ...; REC_REQUEST_FILTER */
	__u32 first; /* index of the first entry wanted; length of the list */
	__s32 fd;    /* REC_MQUEUE: the descriptor whose messages are wanted */
	__u32 pad;
	/*
	 * REC_REQUEST_FILTER, in a pass over all processes: only those whose tgids are in this
	 * sorted list of __s32 in the reader's memory.
	 */
	__u64 list;
	__u64 nonce; /* another number for each list */
};

#define REC_REQUEST_FILTER 0x1000

/*
 * For REC_EPOLL: of which descriptor, whose file that must be, and behind which entry to go on.
 */
struct rec_request_epoll {
	struct rec_request request; /* `first` means nothing */
	__s32 fd;
	__s32 after_fd;
	__u64 file_id, after_file_id;
};

#define REC_REQUEST_MAGIC 0x65626370666d6f72ULL

enum rec_path_what { REC_PATH_EXE = 1, REC_PATH_CWD = 2, REC_PATH_ROOT = 3 };

/*
 * Directories and executable of the thread group, or of a thread with an fs_struct of its own. No
 * path follows: the loader asks /proc for it.
 */
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
	/*
	 * First and last byte; end is 2^63 - 1 for "to the end". Of a lease, start is the number of
	 * the descriptor that its signals tell of.
	 */
	__u64 start, end;
	__u64 file_id; /* of the descriptor */
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

/* Source: struct eventfd_ctx. */
struct rec_eventfd {
	struct rec_detail head;
	__u64 count;
	__u32 flags; /* EFD_SEMAPHORE */
	__u32 users; /* the open file, and what else in the kernel counts it up */
};

/* Source: struct timerfd_ctx. Times are on the timer's own clock. */
struct rec_timerfd {
	struct rec_detail head;
	__s32 clockid;
	__u32 settime_flags; /* TFD_TIMER_*, of the last timerfd_settime(2) */
	__u64 interval_ns, expires_ns;
	__s64 left_ns; /* until expires_ns, negative after it */
	__u64 ticks;   /* expirations that nobody has read */
	__u32 armed;
	__u32 expired;	/* since it was read; a periodic one then rests until it is read again */
	__u32 canceled; /* the clock was set, and nobody has been told */
	__u32 pad;
};

/* Source: struct signalfd_ctx. */
struct rec_signalfd {
	struct rec_detail head;
	__u64 mask; /* bit n-1 is signal n */
};

/* Source: the struct pid that it holds. */
struct rec_pidfd {
	struct rec_detail head;
	__u64 pid_id;
	__s32 pid;  /* reader's pid namespace; 0: not visible there */
	__u32 dead; /* 1: the process, or thread, was reaped: the number is anybody's */
};

/* rec_epoll.flags */
#define REC_EPOLL_READY 0x1 /* on the list of what is ready */
#define REC_EPOLL_ORDER 0x2 /* not an entry: the next on that list is this one */

#define REC_EPOLL_NAME_LEN 16

/*
 * Source: struct epitem. First come those of REC_EPOLL_ORDER (not all, when there are many), then
 * the entries, by file and number. REC_F_MORE and struct rec_request_epoll for the rest of them;
 * REC_F_TRUNCATED when the rest could not be read.
 */
struct rec_epoll {
	struct rec_detail head;
	__u64 epoll_id; /* struct file of the epoll instance */
	__u64 file_id;	/* what is watched: file and number at which it was */
	__s32 number;
	__u32 events;
	__u64 data;
	__u64 sighand_id; /* of a signalfd: whose signals, struct sighand_struct; else 0 */
	__u32 flags;
	__u32 pad;
	char name[REC_EPOLL_NAME_LEN]; /* of the file's dentry, cut */
};

/* ---- details ---- */

enum rec_mqueue_what { REC_MQUEUE_QUEUE = 0, REC_MQUEUE_PIECE = 1 };

#define REC_MQUEUE_COOKIE 32

/* REC_MQUEUE, the first of a descriptor. Source: struct mqueue_inode_info. */
struct rec_mqueue {
	struct rec_head head; /* REC_F_MORE: pieces of messages follow */
	__s32 tgid;
	__s32 fd;
	__u32 what;
	__u32 has_notify; /* someone waits by mq_notify(3) */
	__u64 max_messages, max_bytes;
	__u64 n_messages, bytes; /* queued */
	__s32 notify_tgid;
	__u32 notify; /* SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD */
	__s32 notify_signo;
	__u32 pad;
	__u64 notify_value;
	__u64 notify_sock_id; /* SIGEV_THREAD: the netlink socket that gets the cookie */
	__u8 notify_cookie[REC_MQUEUE_COOKIE];
};

/*
 * The others, asked for (rec_request): parts of the messages that are queued, in order, each a
 * segment as the kernel keeps them. Of one priority the messages are in order; priorities are in
 * none. The data follow.
 */
struct rec_mqueue_piece {
	struct rec_head head;
	__s32 tgid;
	__s32 fd;
	__u32 what;
	__u32 priority;
	__u32 index;	     /* of the message */
	__u32 message_bytes; /* of all of it */
	__u32 offset, bytes; /* this part */
};

/* Semaphores of a set whose adjustments are told. */
#define REC_SEM_UNDO_MAX 2048

/* One per set that a task's undo list has adjustments for. Asked for (rec_request). Source: struct
 * sem_undo. */
struct rec_sem_undo {
	struct rec_head head;
	__s32 tgid;
	__s32 fd; /* 0 */
	__s32 tid;
	__s32 semid;
	__u64 list_id; /* struct sem_undo_list, which threads share */
	/* What is added to each semaphore's value at the end of the last task that has the list;
	 * meaningful up to the number of semaphores in the set. */
	__s16 adjust[REC_SEM_UNDO_MAX];
};

/* One per context of io_setup(2) of the process. Asked for (rec_request). Source: struct kioctx. */
struct rec_aio {
	struct rec_head head;
	__s32 tgid;
	__s32 fd;	    /* 0 */
	__u64 address;	    /* of the ring, which is the context's name */
	__u64 bytes;	    /* of the ring */
	__u32 max_requests; /* as given to io_setup(2) */
	__u32 n_events;	    /* places in the ring */
	__u32 in_flight;    /* requests submitted and not completed */
	__u32 pad;
};

#define REC_BPF_NAME_LEN 16

/* REC_BPF_MAP. Source: struct bpf_map; numbers as in <linux/bpf.h>. */
struct rec_bpf_map {
	struct rec_head head;
	__s32 tgid;
	__s32 fd;
	__u64 map_id; /* struct bpf_map: descriptions of one map share it */
	__u64 refs;   /* descriptions, pins, programs, other maps */
	__u32 type;
	__u32 id; /* as in BPF_MAP_GET_FD_BY_ID */
	__u32 key_bytes, value_bytes, max_entries;
	__u32 flags; /* BPF_F_* */
	__s32 numa_node;
	__u32 frozen;
	__u64 extra; /* map_extra */
	__u32 has_btf;
	__u32 pad;
	char name[REC_BPF_NAME_LEN];
};

_Static_assert(sizeof(struct rec_bpf_map) % 8 == 0, "rec_bpf_map");
_Static_assert(sizeof(struct rec_mqueue) % 8 == 0, "rec_mqueue");
_Static_assert(sizeof(struct rec_mqueue_piece) % 8 == 0, "rec_mqueue_piece");
_Static_assert(sizeof(struct rec_sem_undo) % 8 == 0, "rec_sem_undo");
_Static_assert(sizeof(struct rec_aio) % 8 == 0, "rec_aio");

#define REC_UNIX_NAME	108 /* the kernel's UNIX_PATH_MAX */
#define REC_UNIX_GROUPS 32
/* Of a message that cannot be peeked: as much is read of its bytes, or nothing. */
#define REC_UNIX_DATA 3776

/* rec_unix.flags */
#define REC_UNIX_DEAD	     0x1   /* the socket was closed */
#define REC_UNIX_EMBRYO	     0x2   /* a connection that was not accepted yet */
#define REC_UNIX_INHERITED   0x4   /* its name is its listener's, from accept(2) */
#define REC_UNIX_UNLINKED    0x8   /* its file has no name any more */
#define REC_UNIX_FILTER	     0x10  /* a BPF filter is attached */
#define REC_UNIX_PEER	     0x20  /* it has a peer, of which the members peer_* tell */
#define REC_UNIX_PEER_DEAD   0x40  /* ... which was closed */
#define REC_UNIX_PEER_EMBRYO 0x80  /* ... which was not accepted yet */
#define REC_UNIX_OOB_INLINE  0x100 /* SO_OOBINLINE */

/* The process that a socket's peer is to it (SO_PEERCRED), or the sender of a message. */
struct rec_unix_cred {
	__s32 pid;	   /* in the reader's numbering; 0: none that it can see */
	__s32 vpid;	   /* in the pid namespace where the process was at home */
	__u32 pid_ns_inum; /* that namespace; 0: no process */
	__u32 uid, gid;	   /* effective */
	__u32 has;	   /* 1: there are credentials */
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
	__s32 error;   /* sk_err: what the next call will fail with */
	__u32 backlog; /* sk_max_ack_backlog */
	__u32 n_messages;
	__u32 n_pending;	       /* connections not accepted yet */
	__u16 name_len, peer_name_len; /* of sun_path, a path's NUL left out; 0: no name */
	__u32 n_groups;		       /* may exceed what group[] holds */
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

/*
 * Terminals. One REC_TTY of part REC_TTY_OWN for every open terminal, and of pseudo-terminals what
 * is queued for its reader; through the master also one of REC_TTY_LINK, which is the slave, and
 * its queue as far as there is room.
 */
enum rec_tty_part {
	REC_TTY_OWN = 1,	/* struct rec_tty: the terminal that is open */
	REC_TTY_LINK = 2,	/* struct rec_tty: the other end */
	REC_TTY_READ = 3,	/* struct rec_tty_data: bytes that the line discipline holds */
	REC_TTY_READ_FLAGS = 4, /* all of its bit map: which places of the ring end a line */
	REC_TTY_FLIP = 5,	/* bytes that it has not taken yet */
};

/* What all parts begin with. */
struct rec_tty_part_head {
	struct rec_head head;
	__s32 tgid;
	__s32 fd;
	__u32 part; /* enum rec_tty_part */
	__u32 link; /* of the data: 1: the other end's */
};

#define REC_TTY_NCC  19
#define REC_TTY_RING 4096

struct rec_termios {
	__u32 iflag, oflag, cflag, lflag;
	__u32 ispeed, ospeed;
	__u8 line;
	__u8 cc[REC_TTY_NCC];
};

/* Source: struct tty_struct, and of its line discipline struct n_tty_data. */
struct rec_tty {
	struct rec_tty_part_head part;
	__u64 tty_id, link_id;
	__s32 count;
	__u8 other_closed, exclusive, slave_locked, pad0;
	__u32 major, minor, index;
	__u32 is_pty;		     /* 1: master, 2: slave of a Unix98 pair; else 0 */
	__u32 hung_up;		     /* this open file was hung up */
	__s32 session;		     /* whose controlling terminal it is; 0: nobody's */
	__s32 fg_pgid;		     /* foreground process group; 0: none */
	__u32 has_session, has_pgrp; /* there is one, which the reader may not see */
	__u8 stopped, stopped_by_call, packet, packet_status;
	__u16 rows, columns, xpixels, ypixels;
	struct rec_termios termios, locked;
	__s32 ldisc; /* its number; -1: none */
	char ldisc_name[REC_FSTYPE_LEN];
	/* N_TTY: positions that grow for ever; & (REC_TTY_RING - 1) is the place in the ring. */
	__u64 read_head, read_tail, canon_head, echo_head, echo_tail;
	__u32 column, canon_column;
	__u8 literal_next, erasing;
	__u8 no_room; /* it takes no more until something is read */
	__u8 pad;
	__u32 flip_bytes;
	__u32 flip_flagged; /* some of them are not plain characters */
	/* Slave: its node in devpts. */
	__u32 node_dev_major, node_dev_minor;
	__u32 node_uid, node_gid, node_mode;
	__u64 node_inode_id;
};

/* `n` bytes follow, in order; several of one part go on where the one before ended. */
struct rec_tty_data {
	struct rec_tty_part_head part;
	__u32 n;
	__u32 pad;
};

/* An inotify or fanotify group. Source: struct fsnotify_group. */
struct rec_notify_group {
	struct rec_head head;
	__s32 tgid;
	__s32 fd;
	__u32 flags;	   /* fanotify_init(2): flags, but those of the descriptor itself */
	__u32 event_flags; /* fanotify_init(2): event_f_flags */
	__u32 n_queued;	   /* events */
	__u32 max_events;
	__u32 next_wd; /* inotify: the next watch gets this number, or a higher one; 0: none
			* had one
			*/
	__u32 asked;   /* fanotify: 1: permission was asked of the program, and it has not
			  answered */
};

enum rec_notify_object {
	REC_NOTIFY_INODE = 0, /* the kernel's enum fsnotify_obj_type */
	REC_NOTIFY_MOUNT = 1,
	REC_NOTIFY_SB = 2,
	REC_NOTIFY_MNTNS = 3,
	REC_NOTIFY_UNKNOWN = 4,
};

/*
 * A watch of inotify, a mark of fanotify; of a directory's descriptor: what dnotify
 * (F_NOTIFY) was told. The names follow, each with its NUL: the inode's own and those of
 * the directories above it, up to the root of the file system.
 */
struct rec_notify_mark {
	struct rec_head head;
	__s32 tgid;
	__s32 fd;
	__s32 wd;   /* inotify: number of the watch; dnotify: of the descriptor it signals */
	__u32 mask; /* the kernel's FS_*, which for inotify and fanotify are the IN_* and
		       FAN_* */
	__u32 ignored;
	__u32 flags;	     /* the kernel's FSNOTIFY_MARK_FLAG_* */
	__u32 object;	     /* enum rec_notify_object */
	__u32 mnt_id;	     /* a mount's, as in mountinfo */
	__u64 inode_id, ino; /* an inode's */
	__u32 mode, nlink;
	__u32 dev_major, dev_minor; /* of the superblock */
	__u32 unhashed;		    /* 1: its name was removed */
	__u32 rooted;		    /* 1: the names lead to the file system's root */
	__u32 names_len;	    /* bytes; 0: none, the root itself or not known (see rooted) */
	__u32 pad;
	char fstype[REC_FSTYPE_LEN];
};

/* A queued event of inotify; its name follows, with a NUL. Source: struct
 * inotify_event_info. */
struct rec_notify_event {
	struct rec_head head;
	__s32 tgid;
	__s32 fd;
	__s32 wd;
	__u32 mask;
	__u32 cookie;
	__u32 name_len; /* without its NUL; 0: none */
};

#define REC_SECCOMP_LOG	     0x1 /* SECCOMP_FILTER_FLAG_LOG */
#define REC_SECCOMP_LISTENER 0x2 /* a supervisor holds its listener */

/*
 * A filter of seccomp(2): one per filter and thread, the newest first. A detail of a process, with
 * the thread in the place of the descriptor.
 */
struct rec_seccomp {
	struct rec_head head; /* REC_F_TRUNCATED: there are more */
	__s32 tgid;
	__s32 tid;
	__u64 filter_id; /* struct seccomp_filter */
	__u32 flags;	 /* REC_SECCOMP_* */
	__u32 pad;
};

/* What became of a signal that a checkpointer sent; not of a snapshot, and without a head. */
enum rec_delivery_what {
	/* TRACE_SIGNAL_* of the kernel, when it is sent */
	REC_QUEUED = 0,
	REC_IGNORED = 1,
	REC_PENDING_ALREADY = 2,
	REC_OVERFLOW = 3,
	REC_LOST_INFO = 4,
	REC_DELIVERED = 16, /* the thread takes it, and is about to run its handler */
};

struct rec_delivery {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__s32 tid;     /* whom it was sent to, as the sender numbers it */
	__u16 what;    /* enum rec_delivery_what */
	__u16 blocked; /* 1: the thread blocked it when it was sent */
};

#define REC_DELIVERY_SIGNAL	64 /* SIGRTMAX */
#define REC_DELIVERY_RING_BYTES (64 * 1024)
#define REC_SENDERS		8 /* at a time; each has a ring delivery_ring_N */

/* The signal's value (si_value): slot, secret, and the thread it is sent to. */
#define REC_DELIVERY_VALUE(slot, secret, tid)                                                      \
	((__u64)(slot) << 56 | (__u64)((secret)&0xffffff) << 32 | (__u32)(tid))
#define REC_DELIVERY_SLOT(value)   ((__u32)((value) >> 56))
#define REC_DELIVERY_SECRET(value) ((__u32)((value) >> 32) & 0xffffff)

/* Who has a ring; key: its slot. */
struct rec_sender {
	__u32 secret;
	__s32 pid;	   /* as the sender numbers itself */
	__u64 pid_ns_inum; /* of its pid namespace */
	__u64 start_ticks; /* when it started, as in /proc/PID/stat: a pid is no identity */
	__s64 on_way;	   /* by the programs: queued, and not yet delivered */
};

_Static_assert(sizeof(struct rec_delivery) == 16, "rec_delivery");
_Static_assert(sizeof(struct rec_sender) == 32, "rec_sender");
_Static_assert(sizeof(struct rec_head) == 8, "rec_head");
_Static_assert(sizeof(struct rec_detail) == 16, "rec_detail");
_Static_assert(sizeof(struct rec_tty) % 8 == 0, "rec_tty");
_Static_assert(sizeof(struct rec_tty_data) == 32, "rec_tty_data");
_Static_assert(sizeof(struct rec_holder) == 56, "rec_holder");
_Static_assert(sizeof(struct rec_eventfd) == 32, "rec_eventfd");
_Static_assert(sizeof(struct rec_timerfd) == 72, "rec_timerfd");
_Static_assert(sizeof(struct rec_signalfd) == 24, "rec_signalfd");
_Static_assert(sizeof(struct rec_pidfd) == 32, "rec_pidfd");
_Static_assert(sizeof(struct rec_epoll) == 80, "rec_epoll");
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
_Static_assert(sizeof(struct rec_notify_group) == 40, "rec_notify_group");
_Static_assert(sizeof(struct rec_notify_mark) == 104, "rec_notify_mark");
_Static_assert(sizeof(struct rec_notify_event) == 32, "rec_notify_event");
_Static_assert(sizeof(struct rec_seccomp) == 32, "rec_seccomp");

#endif
