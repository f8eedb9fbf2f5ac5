/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later */
/*
 * The contract of tracing: the records that the programs of trace.bpf.c put into the ring, one per
 * thing that happened to an observed task. What such a record calls an id, a path or a number of a
 * process means the same as in a snapshot (records.h), so that both can be brought together.
 *
 * The order of the records in the ring is the total order in which they were made. A record of a
 * system call is made when the call returns, of anything else while it happens. Times are taken
 * just before a place in the ring is, so of two records of different CPUs which are less than some
 * microseconds apart the later one may have the earlier time.
 *
 * Rules as in records.h: fixed-width members, explicit padding, sizes asserted; members named *_id
 * hold the address of a kernel object and never reach an output. 0 is "none" for an id, and for the
 * number of a process that cannot be seen from the observer's pid namespace.
 */
#ifndef EBPF_CKPT_TRACE_H
#define EBPF_CKPT_TRACE_H

#define TRACE_COMM_LEN	   16
#define TRACE_ARGV_MAX	   512	/* bytes of a command line that are kept */
#define TRACE_NAMES_MAX	   4096 /* bytes of a path's names */
#define TRACE_ADDR_MAX	   128	/* sizeof(struct sockaddr_storage) */
#define TRACE_TABLE_MAX	   64	/* descriptors in one piece of an inventory */
#define TRACE_CGROUPS_MAX  16
#define TRACE_NAMES_WANTED 16
#define TRACE_STACK_BYTES  20480 /* of a user stack that are copied, at most; from 16384 on */
#define TRACE_STACK_WORDS  96	 /* by which a known stack is recognized */
#define TRACE_STACK_WAYS   8	 /* known stacks of the same place */
#define TRACE_STACKS_KNOWN 8192
#define TRACE_RECORD_MAX   32768 /* bytes of a record, its length in the ring included */

enum trace_type {
	TRACE_NONE = 0,
	/* Lives of tasks. */
	TRACE_FORK = 1,	    /* tp task_newtask: a process or thread was made; it has not run yet */
	TRACE_EXEC = 2,	    /* tp sched_process_exec */
	TRACE_EXIT = 3,	    /* tp sched_process_exit, before it gives anything back */
	TRACE_RENAME = 4,   /* tp task_rename */
	TRACE_APPEARED = 5, /* a process began to match a name or cgroup, or is in another one */
	/* Descriptors. */
	TRACE_FD_NEW = 6,
	TRACE_FD_CLOSE = 7, /* close, close_range: a range of numbers */
	TRACE_FD_FLAGS = 8, /* close-on-exec of a range of numbers */
	TRACE_TABLE = 9,    /* inventory of a descriptor table, in pieces */
	TRACE_UNSHARE = 10, /* the thread has a descriptor table of its own now */
	/* Connections. */
	TRACE_SOCK_STATE = 11, /* tp inet_sock_set_state */
	TRACE_SOCK_CALL = 12,  /* bind, listen, connect, shutdown */
	/* Memory areas. */
	TRACE_MAP = 13,	    /* mmap, shmat, and others which make an area */
	TRACE_UNMAP = 14,   /* munmap, shmdt */
	TRACE_PROTECT = 15, /* mprotect, pkey_mprotect */
	TRACE_REMAP = 16,   /* mremap */
	TRACE_BRK = 17,
	TRACE_AREA = 18, /* inventory of the areas of an mm, one each */
	/* Timers, locks, namespaces. */
	TRACE_TIMER_NEW = 19,
	TRACE_TIMER_SET = 20,
	TRACE_TIMER_DELETE = 21,
	TRACE_LOCK = 22, /* tp posix_lock_inode, flock_lock_inode, generic_add_lease, ... */
	TRACE_NAMESPACE = 23,
	/* Signals. */
	TRACE_SIGNAL_GENERATE = 24, /* tp signal_generate */
	TRACE_SIGNAL_DELIVER = 25,  /* tp signal_deliver */
	TRACE_SIGNAL_TAKE = 26,	    /* sigwait and its like: taken without delivery */
	/* What a call was made from; the call's own records follow. */
	TRACE_STACK = 27,
	TRACE_TYPE_NR
};

/* trace_head.flags */
#define TRACE_F_CUT                                                                                \
	0x1 /* some part could not be read, or a path, command line, or list was cut               \
	     */
#define TRACE_F_INVENTORY 0x2 /* FORK, EXEC, UNSHARE: TRACE_TABLE records of this table follow */
#define TRACE_F_LAST	  0x4 /* TABLE, AREA: the last piece of the inventory */
#define TRACE_F_COMPAT	  0x8 /* a call of the 32-bit kind; `nr` is the 64-bit call's all the same */
#define TRACE_F_URING	  0x10 /* made through an io_uring ring, not by a call */
#define TRACE_F_NO_PLACE  0x40 /* the names are one name, of what is in no tree of files */
#define TRACE_F_AREAS	  0x20 /* FORK, EXEC: TRACE_AREA records of this mm follow */

/*
 * Why something is not told, beyond records that found no room in the ring. Only the programs and
 * the loader need these.
 */
enum trace_cause {
	TRACE_CAUSE_MARK = 0,	 /* a child could not be marked as observed: no memory */
	TRACE_CAUSE_SCRATCH = 1, /* no place to put a record together */
	TRACE_CAUSE_SOCKET = 2,	 /* the table of observed sockets is full */
	TRACE_CAUSE_STACK =
		3, /* a stack was not copied: the ring is half full; no record is lost */
	TRACE_CAUSE_NR
};

/* Only the programs and the loader need this, too: kernel types by their names. */
struct trace_type_ids {
	__u32 task_struct, files_struct, fdtable, file, inode, super_block, mount, vfsmount, sock,
		unix_sock, socket, net, mm_struct, signal_struct, vm_area_struct;
};

/* What the marking iterator gives instead of numbers of threads, when it is asked for its reader.
 */
#define TRACE_MARK_SELF 0xffffffffU

/*
 * How every record begins. `pid`, `tid`, `comm`: the task that the record is of, which is the one
 * that did it, save for TRACE_SIGNAL_GENERATE (the target), TRACE_SOCK_STATE (the last task known
 * to have got a descriptor of the socket) and TRACE_APPEARED.
 */
struct trace_head {
	__u16 type; /* enum trace_type */
	__u16 flags;
	__u32 len;     /* bytes of the whole record, multiple of 8 */
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u32 cpu;
	__u32 seq;  /* counts this CPU's records, those included which were lost */
	__u32 lost; /* how many records of all CPUs were lost up to now, modulo 2^32 */
	__s32 pid, tid;
	__s32 stack; /* TRACE_FD_NEW, TRACE_TIMER_NEW: of the user stack; see struct trace_stack */
	char comm[TRACE_COMM_LEN];
};

/*
 * The user stack that a call was made from, as much as it takes to unwind it: the registers, and
 * the top of the stack. head.stack is its number, with TRACE_STACK_SAMPLE set; those records of the
 * call which tell of a stack have the same.
 *
 * Most calls come from where others came from. The reader tells the programs by what a stack that
 * it has unwound is recognized (struct trace_stack_known); another such stack is not copied, and
 * the records have the reader's own id (from 1). -1: not asked for, or not to be had.
 */
#define TRACE_STACK_SAMPLE 0x40000000

/* Places in trace_stack.regs, which is as the kernel's struct pt_regs of x86-64. */
enum trace_reg {
	TRACE_REG_R15,
	TRACE_REG_R14,
	TRACE_REG_R13,
	TRACE_REG_R12,
	TRACE_REG_BP,
	TRACE_REG_BX,
	TRACE_REG_R11,
	TRACE_REG_R10,
	TRACE_REG_R9,
	TRACE_REG_R8,
	TRACE_REG_AX,
	TRACE_REG_CX,
	TRACE_REG_DX,
	TRACE_REG_SI,
	TRACE_REG_DI,
	TRACE_REG_ORIG_AX,
	TRACE_REG_IP,
	TRACE_REG_CS,
	TRACE_REG_FLAGS,
	TRACE_REG_SP,
	TRACE_REG_SS,
	TRACE_REG_NR
};

struct trace_stack {
	struct trace_head head;
	__u64 mm_id;
	__u64 regs[TRACE_REG_NR];
	__u32 n_bytes; /* of the stack, from regs[TRACE_REG_SP] on; they follow */
	__u32 pad;
};

/* Where a known stack is looked for: of those at one place, by turns. */
struct trace_stack_key {
	__u64 mm_id, ip, sp;
	__u32 way; /* below TRACE_STACK_WAYS, without gaps unless some were forgotten */
	__u32 pad;
};

/* A stack is this one when all the words are there that its unwinding has gone by. */
struct trace_stack_known {
	__u32 id; /* the reader's */
	__u32 n;
	__u32 with_bp; /* 1: the register has to be bp, too */
	__u32 pad;
	__u64 bp;
	__u64 word[TRACE_STACK_WORDS];
	__u16 at[TRACE_STACK_WORDS]; /* distance from sp, in words */
};

/* What an open file is. Source: struct file, inode, super_block. */
struct trace_file {
	__u64 file_id, inode_id;
	__u64 ino;
	__u64 sb_magic;
	__u64 sock_id;		    /* struct sock; 0: no socket. Then struct trace_sock follows */
	__u32 dev_major, dev_minor; /* as st_dev shows */
	__u32 rdev_major, rdev_minor; /* devices; else 0 */
	__u32 mode;		      /* S_IFMT | permissions */
	__u32 f_flags;		      /* O_*, without O_CLOEXEC */
	__u32 f_mode;		      /* FMODE_* */
	__u32 unhashed;		      /* 1: it has no name any more */
	__u32 names_len;	      /* bytes of the names that follow */
	__u32 nlink;
};

/* What a socket is. Source: struct sock. Addresses and ports of families other than inet: 0. */
struct trace_sock {
	__u64 sock_id;
	__u64 peer_id; /* unix: the connected peer's struct sock; else 0 */
	__u16 family, type, protocol;
	__u16 state;	    /* TCP_* of <netinet/tcp.h>, for all families */
	__u16 sport, dport; /* host order */
	__u32 netns_inum;
	__u8 src[16], dst[16]; /* network order; IPv4 in the first 4 bytes */
};

/*
 * Names: the path of a file, as the names of its dentries, the file's own first, each with its NUL;
 * a path of n names from the root has n of them, "/" itself has none. Of files without a place in
 * the tree (pipes, sockets, anonymous inodes) it is the dentry's own name, perhaps "". At the end
 * there is padding with NUL to 8 bytes, which names_len does not count. The loader turns them
 * round.
 */

struct trace_fork {
	struct trace_head head;	    /* the parent; of a thread, the thread that made it */
	__s32 child_pid, child_tid; /* equal: a process */
	__u64 clone_flags;	    /* CLONE_* */
	__u64 files_id, mm_id, fs_id, sighand_id; /* of the child; mm 0: a kernel worker */
	__u64 start_boottime_ns;
	__s32 exit_signal; /* to its parent; -1 for threads */
	__u32 worker;	   /* 1: not the program's own thread but the kernel's (io_uring, vhost) */
	__s32 real_parent; /* pid of the one whose child it is; not head.pid with CLONE_PARENT */
	__u32 pad;
	__u64 parent_files_id, parent_mm_id;
};

struct trace_exec {
	struct trace_head head; /* by its new name */
	__s32 old_tid;		/* the thread's number before: another when it was not the leader */
	__u32 argv_len; /* bytes of the command line, NUL between the words; follows names */
	__u64 files_id, mm_id, sighand_id; /* its new ones */
	__u64 start_brk, brk;
	__u32 names_len; /* of the executable's path, which follows */
	__u32 secure;	 /* AT_SECURE: the program gained privilege */
};

struct trace_exit {
	struct trace_head head;
	__s32 code;	  /* of the thread, as wait(2) gives it */
	__s32 group_code; /* of the process, as wait(2) will give it; valid when group_dead */
	__u32 group_dead; /* 1: it was the last thread */
	__u32 core;	  /* 1: a core was or is dumped */
	__u64 files_id, mm_id;
	__u64 utime_ns, stime_ns; /* of the thread */
};

struct trace_rename {
	struct trace_head head; /* the name before */
	char to[TRACE_COMM_LEN];
};

#define TRACE_WHY_NAME	 1
#define TRACE_WHY_CGROUP 2
#define TRACE_WHY_MOVED	 3 /* it is observed already, and in another cgroup now */

struct trace_appeared {
	struct trace_head head;
	__u64 cgroup_id;
	__u32 why; /* TRACE_WHY_* */
	__u32 pad;
};

/* Which call: `nr` is the number of the x86-64 system call, of exec and exit, too. */
struct trace_fd_new {
	struct trace_head head;
	__u64 files_id;
	/* The call began after that: when the thread's traced call before it ended; 0: not known.
	 */
	__u64 since_ns;
	__s32 fd;
	__u32 nr;
	__u32 cloexec;
	/* The descriptor that it is another of: dup and its like, F_DUPFD; of pidfd_getfd the
	 * foreign one; of accept the listener. -1: none. */
	__s32 from;
	__s32 pair; /* pipe, socketpair: the other end; else -1 */
	__s32 of;   /* pidfd_open, pidfd_getfd, clone: pid of the process referred to; else 0 */
	struct trace_file file; /* file_id 0: it was closed by another thread already */
				/* struct trace_sock when file.sock_id; then names. */
};

/*
 * Calls of threads which share a table end in another order than they did their work: A's close(5)
 * has freed the number and B's open() got it, and B's record comes first. The records tell what is
 * behind the number when they are made (FD_NEW: file.file_id; FD_CLOSE: now_id), which is the truth
 * at that place of the stream: a close whose now_id is what the number is known to refer to was of
 * something before it; a FD_NEW over a number in use, of a call other than dup2 and dup3, tells
 * that a close is done and will be reported yet.
 */
struct trace_fd_close {
	struct trace_head head;
	__u64 files_id;
	__u64 since_ns;
	__u64 now_id;	   /* of one number: the struct file that it refers to by now; 0: free */
	__u32 first, last; /* equal: one */
	__u32 nr;
	__s32 ret; /* of close: 0, or an error that came after the number was given back */
};

struct trace_fd_flags {
	struct trace_head head;
	__u64 files_id;
	__u32 first, last;
	__u32 nr;
	__u32 cloexec; /* 0 or 1 */
};

struct trace_table_entry {
	__s32 fd;
	__u32 cloexec;
	__u64 file_id;
};

/*
 * The descriptors of a table that was copied while others could change the original: of the child
 * of a process with threads, say. No record of that table lies between them and the one which
 * announced them by TRACE_F_INVENTORY.
 */
struct trace_table {
	struct trace_head head;
	__u64 files_id;
	__u32 n;
	__u32 pad;
	struct trace_table_entry
		entry[TRACE_TABLE_MAX]; /* n, by ascending fd; the record ends there */
};

struct trace_unshare {
	struct trace_head head;
	__u64 files_id; /* the new one: a copy of the one that the thread had */
	__u32 nr;	/* unshare, close_range */
	__u32 pad;
};

struct trace_sock_state {
	struct trace_head head;
	struct trace_sock sock;
	__u32 from, to; /* TCP_* */
	__u64 sent_bytes,
		received_bytes; /* TCP: acknowledged by the peer, received in order; else 0 */
};

struct trace_sock_call {
	struct trace_head head;
	__u64 files_id;
	__s32 fd;
	__s32 ret;	/* of connect also when it failed; the others are reported when done */
	__u32 nr;	/* bind, listen, connect, shutdown */
	__u32 arg;	/* listen: backlog; shutdown: how */
	__u32 addr_len; /* bytes valid in addr */
	__u32 pad;
	struct trace_sock sock;
	__u8 addr[TRACE_ADDR_MAX]; /* the call's struct sockaddr */
};

/* Source: struct vm_area_struct. Shared areas are those with VM_MAYSHARE (0x80) in vm_flags. */
struct trace_area {
	__u64 start, end;
	__u64 vm_flags;
	__u64 pgoff_bytes;	      /* in its file; anonymous: 0 */
	__u64 file_id, inode_id, ino; /* 0: anonymous */
	__u32 dev_major, dev_minor;
};

/* A map that was made. It replaces whatever lay in its range. */
struct trace_map {
	struct trace_head head;
	__u64 mm_id;
	struct trace_area area; /* cut to what the call made; neighbours may have been merged */
	__u32 nr;
	__s32 fd;    /* mmap of a file; else -1 */
	__s32 shmid; /* shmat; else -1 */
	__u32 names_len;
	/* Names follow. */
};

/* TRACE_UNMAP, TRACE_PROTECT */
struct trace_range {
	struct trace_head head;
	__u64 mm_id;
	__u64 start, end; /* whole pages; shmdt, io_destroy: end is start, and all is gone that was
			   * made there by shmat or io_setup at once */
	__u32 nr;
	__u32 prot;	/* PROT_*, of TRACE_PROTECT */
	__u64 vm_flags; /* TRACE_PROTECT, where prot does not tell: of its first area; else 0 */
};

struct trace_remap {
	struct trace_head head;
	__u64 mm_id;
	__u64 old_start,
		old_end; /* old_end == old_start: nothing was moved but doubled (old size 0) */
	__u64 new_start, new_end;
	__u32 flags; /* MREMAP_* */
	__u32 pad;
};

struct trace_brk {
	struct trace_head head;
	__u64 mm_id;
	__u64 start_brk, brk; /* now; the area reaches up to the page's end */
	__u64 def_flags;      /* vm_flags beyond those of every heap (VM_LOCKED) */
};

/*
 * One area of an inventory, by ascending address. The names are not repeated where the area before
 * is of the same file; the loader gives the path all the same. It also comes without being
 * announced, for what a call that failed has left of areas (then without TRACE_F_LAST); with
 * TRACE_F_LAST and TRACE_F_CUT and no area, the areas of this mm are not known from here on.
 */
struct trace_area_rec {
	struct trace_head head;
	__u64 mm_id;
	struct trace_area area;
	__u32 names_len;
	__u32 pad;
	char name[16]; /* of a special map: [vdso], [vvar]; else "" */
		       /* Names follow. */
};

/* Ids of timers: those of timer_create(2), or for setitimer(2) and alarm(2) TRACE_ITIMER_*. */
#define TRACE_ITIMER_REAL (-1)
#define TRACE_ITIMER_VIRT (-2)
#define TRACE_ITIMER_PROF (-3)
#define TRACE_TIMER_FD	  (-4) /* timerfd_settime: `fd` tells which */

struct trace_timer {
	struct trace_head head;
	__s32 id;
	__s32 fd;	  /* TRACE_TIMER_FD; else -1 */
	__s32 clock;	  /* TIMER_NEW; else -1 */
	__s32 signo;	  /* TIMER_NEW: 0 when it makes none; else -1 */
	__s32 notify;	  /* TIMER_NEW: SIGEV_*; else -1 */
	__s32 notify_tid; /* TIMER_NEW with SIGEV_THREAD_ID, else 0 */
	__u64 value_ns; /* TIMER_SET: time to the first expiry, or its point in time; 0: disarmed */
	__u64 interval_ns;
	__u32 absolute; /* 1: value_ns is a point in time */
	__u32 nr;
	__u64 files_id;
};

/* enum trace_lock_kind: who owns it, and what ends it. */
enum trace_lock_kind {
	TRACE_LOCK_POSIX = 1, /* owner_id: the descriptor table */
	TRACE_LOCK_OFD = 2,   /* owner_id: the open file */
	TRACE_LOCK_FLOCK = 3, /* owner_id: the open file */
	TRACE_LOCK_LEASE = 4, /* owner_id: the open file */
};

struct trace_lock {
	struct trace_head head;
	__u64 owner_id, file_id, inode_id, ino;
	__u32 dev_major, dev_minor;
	__u64 start, end; /* bytes, both included; end ~0 >> 1: to the end of the file */
	__u32 kind;	  /* enum trace_lock_kind */
	__u32 type;	  /* F_RDLCK 0, F_WRLCK 1, F_UNLCK 2 */
	__s32 ret;	  /* 0: done; 1: it waits now (FILE_LOCK_DEFERRED); else a negative errno */
	__u32 blocking;	  /* 1: the caller is ready to wait */
};

struct trace_namespace {
	struct trace_head head;
	__u32 nr;    /* unshare, setns; a clone's are in its TRACE_FORK */
	__u32 flags; /* CLONE_NEW* of those which changed; 0: not known (setns by type 0) */
	__u32 mnt, uts, ipc, net, pid_for_children, time, cgroup,
		user; /* inode numbers afterwards */
};

enum trace_action {
	TRACE_ACTION_DEFAULT = 0,
	TRACE_ACTION_IGNORE = 1,
	TRACE_ACTION_HANDLER = 2,
};

/* trace_signal.result, the kernel's TRACE_SIGNAL_* */
enum trace_result {
	TRACE_RESULT_DELIVERED = 0, /* queued */
	TRACE_RESULT_IGNORED = 1,
	TRACE_RESULT_ALREADY_PENDING = 2,
	TRACE_RESULT_OVERFLOW_FAIL = 3,
	TRACE_RESULT_LOSE_INFO = 4,
};

/* TRACE_SIGNAL_GENERATE, TRACE_SIGNAL_DELIVER, TRACE_SIGNAL_TAKE */
struct trace_signal {
	struct trace_head
		head; /* the target; when for a group, the thread that the kernel began with */
	__s32 signo;
	__s32 code;	  /* si_code */
	__s32 err;	  /* si_errno */
	__s32 sender_pid; /* who sent it; 0: the kernel, or a process not to be seen. GENERATE and
			     TAKE */
	__u32 sender_uid;
	__u32 group;   /* GENERATE: 1: to the process, 0: to the thread */
	__u32 result;  /* GENERATE: enum trace_result */
	__u32 blocked; /* GENERATE: 1: in the target's mask (or awaited by sigwait) */
	__u32 action;  /* enum trace_action, as it stands */
	__u32 sa_flags;
	__u64 handler;	 /* DELIVER: address of the handler in the program; else 0 */
	__u64 value;	 /* si_value, of SI_QUEUE, SI_TIMER, SI_MESGQ; si_addr of faults; else 0 */
	__s32 timer_id;	 /* SI_TIMER: the timer; else -1 */
	__s32 child_pid; /* SIGCHLD of the kernel: the child; else 0 */
};

_Static_assert(sizeof(struct trace_head) == 56, "");
_Static_assert(sizeof(struct trace_stack) == 240, "");
_Static_assert(sizeof(struct trace_stack_key) == 32, "");
_Static_assert(sizeof(struct trace_stack_known) == 24 + 10 * TRACE_STACK_WORDS, "");
_Static_assert(sizeof(struct trace_file) == 80, "");
_Static_assert(sizeof(struct trace_sock) == 64, "");
_Static_assert(sizeof(struct trace_fork) == 144, "");
_Static_assert(sizeof(struct trace_exec) == 112, "");
_Static_assert(sizeof(struct trace_exit) == 104, "");
_Static_assert(sizeof(struct trace_rename) == 72, "");
_Static_assert(sizeof(struct trace_appeared) == 72, "");
_Static_assert(sizeof(struct trace_fd_new) == 176, "");
_Static_assert(sizeof(struct trace_fd_close) == 96, "");
_Static_assert(sizeof(struct trace_fd_flags) == 80, "");
_Static_assert(sizeof(struct trace_table_entry) == 16, "");
_Static_assert(sizeof(struct trace_table) == 72 + 16 * TRACE_TABLE_MAX, "");
_Static_assert(sizeof(struct trace_unshare) == 72, "");
_Static_assert(sizeof(struct trace_sock_state) == 144, "");
_Static_assert(sizeof(struct trace_sock_call) == 280, "");
_Static_assert(sizeof(struct trace_area) == 64, "");
_Static_assert(sizeof(struct trace_map) == 144, "");
_Static_assert(sizeof(struct trace_range) == 96, "");
_Static_assert(sizeof(struct trace_remap) == 104, "");
_Static_assert(sizeof(struct trace_brk) == 88, "");
_Static_assert(sizeof(struct trace_area_rec) == 152, "");
_Static_assert(sizeof(struct trace_timer) == 112, "");
_Static_assert(sizeof(struct trace_lock) == 128, "");
_Static_assert(sizeof(struct trace_namespace) == 96, "");
_Static_assert(sizeof(struct trace_signal) == 120, "");

#endif
