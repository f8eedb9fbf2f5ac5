/* SPDX-License-Identifier: GPL-2.0-only */
/* Made by vmlinux/regenerate from vmlinux/members: do not edit. */
#ifndef EBPF_CKPT_VMLINUX_H
#define EBPF_CKPT_VMLINUX_H

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;

enum { false = 0, true = 1 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_STACK_TRACE = 7,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};

enum pid_type {
	PIDTYPE_PID = 0,
	PIDTYPE_TGID = 1,
	PIDTYPE_PGID = 2,
	PIDTYPE_SID = 3,
};

enum timespec_type {
	TT_NONE = 0,
	TT_NATIVE = 1,
	TT_COMPAT = 2,
};

enum alarmtimer_type {
	ALARM_REALTIME = 0,
	ALARM_BOOTTIME = 1,
};

struct __kernel_timespec;
struct anon_vma;
struct bpf_iter_meta;
struct btf;
struct cgroup;
struct cgroup_namespace;
struct cgroup_subsys_state;
struct completion;
struct cpumask;
struct cred;
struct css_set;
struct dentry;
struct dnotify_struct;
struct eppoll_entry;
struct fasync_struct;
struct fdtable;
struct file;
struct file_lock_context;
struct file_operations;
struct file_system_type;
struct files_struct;
struct fown_struct;
struct fs_struct;
struct fsnotify_group;
struct fsnotify_mark_connector;
struct fsnotify_ops;
struct group_info;
struct hlist_bl_node;
struct hlist_node;
struct hrtimer_clock_base;
struct inode;
struct io_bitmap;
struct io_context;
struct io_ring_ctx;
struct io_uring_task;
struct ipc_namespace;
struct kernfs_node;
struct kioctx;
struct kioctx_cpu;
struct kioctx_table;
struct landlock_ruleset;
struct list_head;
struct mempolicy;
struct mm_struct;
struct mnt_namespace;
struct mount;
struct msg_msgseg;
struct net;
struct notification;
struct nsproxy;
struct pid;
struct pid_namespace;
struct pipe_buffer;
struct pipe_inode_info;
struct pollfd;
struct rb_node;
struct robust_list_head;
struct rseq;
struct scm_fp_list;
struct seccomp_filter;
struct sem_undo_list;
struct seq_file;
struct sighand_struct;
struct signal_struct;
struct sk_buff;
struct sk_filter;
struct sock;
struct socket;
struct super_block;
struct task_struct;
struct time_namespace;
struct timerqueue_head;
struct tty_buffer;
struct tty_driver;
struct tty_ldisc;
struct tty_ldisc_ops;
struct tty_port;
struct tty_struct;
struct unix_address;
struct user_msghdr;
struct user_namespace;
struct userfaultfd_ctx;
struct uts_namespace;
struct vfsmount;
struct vm_area_struct;
struct vm_operations_struct;
struct wait_queue_head;

struct list_head {
	struct list_head *next;
	struct list_head *prev;
};

struct hlist_head {
	struct hlist_node *first;
};

struct hlist_node {
	struct hlist_node *next;
	struct hlist_node **pprev;
};

struct hlist_bl_node {
	struct hlist_bl_node *next;
	struct hlist_bl_node **pprev;
};

struct rb_node {
	long unsigned int __rb_parent_color;
	struct rb_node *rb_right;
	struct rb_node *rb_left;
};

struct rb_root {
	struct rb_node *rb_node;
};

struct bpf_raw_tracepoint_args {
	long long unsigned int args[0];
};

struct bpf_iter_meta {
	struct seq_file *seq;
	long long unsigned int session_id;
	long long unsigned int seq_num;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

struct bpf_iter__task_vma {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	struct vm_area_struct *vma;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	unsigned int fd;
	struct file *file;
};

struct seq_file {
	char *buf;
};

struct thread_info {
	long unsigned int flags;
	unsigned int status;
};

struct thread_struct {
	long unsigned int fsbase;
	long unsigned int gsbase;
	struct io_bitmap *io_bitmap;
	long unsigned int iopl_emul;
};

struct sched_entity {
	long long unsigned int sum_exec_runtime;
};

struct sched_dl_entity {
	long long unsigned int dl_runtime;
	long long unsigned int dl_deadline;
	long long unsigned int dl_period;
	unsigned int flags;
};

struct cpumask {
	long unsigned int bits[4];
};

struct restart_block {
	void *fn;
	struct { unsigned int *uaddr; unsigned int val; unsigned int flags; unsigned int bitset; long long unsigned int time; } futex;
	struct { int clockid; enum timespec_type type; struct __kernel_timespec *rmtp; long long unsigned int expires; } nanosleep;
	struct { struct pollfd *ufds; int nfds; int has_timeout; long unsigned int tv_sec; long unsigned int tv_nsec; } poll;
};

struct pt_regs {
	long unsigned int bp;
	long unsigned int bx;
	long unsigned int r10;
	long unsigned int r9;
	long unsigned int r8;
	long unsigned int ax;
	long unsigned int cx;
	long unsigned int dx;
	long unsigned int si;
	long unsigned int di;
	long unsigned int orig_ax;
	short unsigned int cs;
};

struct sysv_sem {
	struct sem_undo_list *undo_list;
};

struct seccomp {
	int mode;
	struct { int counter; } filter_count;
	struct seccomp_filter *filter;
};

struct seccomp_filter {
	_Bool log;
	struct seccomp_filter *prev;
	struct notification *notif;
};

struct io_context {
	short unsigned int ioprio;
};

struct landlock_cred_security {
	struct landlock_ruleset *domain;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct cgroup_subsys_state {
	struct cgroup_subsys_state *parent;
};

struct kernfs_node {
	long long unsigned int id;
};

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct ns_common {
	unsigned int inum;
};

struct nsproxy {
	struct uts_namespace *uts_ns;
	struct ipc_namespace *ipc_ns;
	struct mnt_namespace *mnt_ns;
	struct pid_namespace *pid_ns_for_children;
	struct net *net_ns;
	struct time_namespace *time_ns;
	struct cgroup_namespace *cgroup_ns;
};

struct cred {
	struct { unsigned int val; } uid;
	struct { unsigned int val; } gid;
	struct { unsigned int val; } suid;
	struct { unsigned int val; } sgid;
	struct { unsigned int val; } euid;
	struct { unsigned int val; } egid;
	struct { unsigned int val; } fsuid;
	struct { unsigned int val; } fsgid;
	unsigned int securebits;
	struct { long long unsigned int val; } cap_inheritable;
	struct { long long unsigned int val; } cap_permitted;
	struct { long long unsigned int val; } cap_effective;
	struct { long long unsigned int val; } cap_bset;
	struct { long long unsigned int val; } cap_ambient;
	void *security;
	struct user_namespace *user_ns;
	struct group_info *group_info;
};

struct group_info {
	int ngroups;
	struct { unsigned int val; } gid[0];
};

struct rlimit {
	long unsigned int rlim_cur;
	long unsigned int rlim_max;
};

struct cpu_itimer {
	long long unsigned int expires;
	long long unsigned int incr;
};

struct task_cputime_atomic {
	struct { long long int counter; } utime;
	struct { long long int counter; } stime;
	struct { long long int counter; } sum_exec_runtime;
};

struct sigaction {
	void *sa_handler;
	long unsigned int sa_flags;
	void *sa_restorer;
	struct { long unsigned int sig[1]; } sa_mask;
};

struct hrtimer_clock_base {
	long long int offset;
};

struct tty_driver {
	int major;
	int minor_start;
};

struct tty_file_private {
	struct tty_struct *tty;
};

struct tty_ldisc {
	struct tty_ldisc_ops *ops;
};

struct tty_ldisc_ops {
	char *name;
	int num;
};

struct ktermios {
	unsigned int c_iflag;
	unsigned int c_oflag;
	unsigned int c_cflag;
	unsigned int c_lflag;
	unsigned char c_line;
	unsigned char c_cc[19];
	unsigned int c_ispeed;
	unsigned int c_ospeed;
};

struct winsize {
	short unsigned int ws_row;
	short unsigned int ws_col;
	short unsigned int ws_xpixel;
	short unsigned int ws_ypixel;
};

struct tty_bufhead {
	struct tty_buffer *head;
};

struct tty_buffer {
	struct tty_buffer *next;
	unsigned int used;
	unsigned int read;
	_Bool flags;
	unsigned char data[0];
};

struct n_tty_data {
	long unsigned int read_head;
	long unsigned int canon_head;
	long unsigned int echo_head;
	_Bool no_room;
	unsigned char lnext : 1;
	unsigned char erasing : 1;
	unsigned char read_buf[4096];
	long unsigned int read_flags[64];
	long unsigned int read_tail;
	unsigned int column;
	unsigned int canon_column;
	long unsigned int echo_tail;
};

struct percpu_counter {
	long long int count;
};

struct vm_userfaultfd_ctx {
	struct userfaultfd_ctx *ctx;
};

struct vm_operations_struct {
	void *fault;
	void *name;
};

struct vm_special_mapping {
	char *name;
};

struct file_operations {
	void *read_iter;
};

struct fown_struct {
	struct pid *pid;
	enum pid_type pid_type;
	struct { unsigned int val; } uid;
	struct { unsigned int val; } euid;
	int signum;
};

struct file_lease {
	struct fasync_struct *fl_fasync;
};

struct fasync_struct {
	int fa_fd;
};

struct qstr {
	unsigned int len;
	unsigned char *name;
};

struct super_block {
	unsigned int s_dev;
	struct file_system_type *s_type;
	long unsigned int s_magic;
	struct dentry *s_root;
};

struct file_system_type {
	char *name;
};

struct files_struct {
	struct { int counter; } count;
	struct fdtable *fdt;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
	long unsigned int *close_on_exec;
};

struct pipe_inode_info {
	unsigned int head;
	unsigned int tail;
	unsigned int ring_size;
	unsigned int readers;
	unsigned int writers;
	struct pipe_buffer *bufs;
};

struct pipe_buffer {
	unsigned int len;
	unsigned int flags;
};

struct socket {
	struct sock *sk;
};

struct eventfd_ctx {
	struct { struct { struct { int counter; } refs; } refcount; } kref;
	long long unsigned int count;
	unsigned int flags;
};

struct signalfd_ctx {
	struct { long unsigned int sig[1]; } sigmask;
};

struct eppoll_entry {
	struct wait_queue_head *whead;
};

struct mq_attr {
	long int mq_maxmsg;
	long int mq_msgsize;
	long int mq_curmsgs;
};

struct sigevent {
	union { void *sival_ptr; } sigev_value;
	int sigev_signo;
	int sigev_notify;
};

struct sk_buff {
	struct sk_buff *next;
	struct sock *sk;
	char cb[48];
	unsigned int len;
	unsigned int data_len;
	unsigned char *data;
};

struct msg_msgseg {
	struct msg_msgseg *next;
};

struct kioctx_table {
	unsigned int nr;
	struct kioctx *table[0];
};

struct kioctx {
	struct { int counter; } dead;
	long unsigned int user_id;
	struct kioctx_cpu *cpu;
	unsigned int max_reqs;
	unsigned int nr_events;
	long unsigned int mmap_size;
	struct { int counter; } reqs_available;
	unsigned int completed_events;
};

struct bpf_map {
	enum bpf_map_type map_type;
	unsigned int key_size;
	unsigned int value_size;
	unsigned int max_entries;
	long long unsigned int map_extra;
	unsigned int map_flags;
	unsigned int id;
	int numa_node;
	struct btf *btf;
	char name[16];
	struct { long long int counter; } refcnt;
	_Bool frozen;
};

struct bpf_array {
	void *pptrs[0];
};

struct sk_buff_head {
	struct sk_buff *next;
	unsigned int qlen;
};

struct sockaddr_un {
	short unsigned int sun_family;
};

struct unix_skb_parms {
	struct pid *pid;
	struct { unsigned int val; } uid;
	struct { unsigned int val; } gid;
	struct scm_fp_list *fp;
	unsigned int consumed;
};

struct scm_fp_list {
	short int count;
	struct file *fp[253];
};

struct fsnotify_ops {
	void *handle_inode_event;
};

struct inotify_inode_mark {
	int wd;
};

struct inotify_event_info {
	unsigned int mask;
	int wd;
	unsigned int sync_cookie;
	int name_len;
	char name[0];
};

struct dnotify_mark {
	struct dnotify_struct *dn;
};

struct dnotify_struct {
	struct dnotify_struct *dn_next;
	unsigned int dn_mask;
	int dn_fd;
	struct file *dn_filp;
	void *dn_owner;
};

struct vfsmount {
	struct dentry *mnt_root;
	struct super_block *mnt_sb;
};

struct linux_binprm {
	unsigned int secureexec : 1;
	struct file *file;
};

struct kernel_siginfo {
	int si_signo;
	int si_errno;
	int si_code;
	union { struct { int _pid; unsigned int _uid; } _kill; struct { int _tid; union { void *sival_ptr; } _sigval; } _timer; struct { int _pid; unsigned int _uid; union { void *sival_ptr; } _sigval; } _rt; struct { int _pid; unsigned int _uid; } _sigchld; struct { void *_addr; } _sigfault; } _sifields;
};

struct in6_addr {
	union { unsigned char u6_addr8[16]; } in6_u;
};

struct tcp_sock {
	long long unsigned int bytes_received;
	long long unsigned int bytes_acked;
};

struct io_cqe {
	long long unsigned int user_data;
};

struct io_uring_cqe {
	long long unsigned int user_data;
	int res;
	unsigned int flags;
};

struct io_open {
	unsigned int file_slot;
};

struct io_close {
	int fd;
	unsigned int file_slot;
};

struct io_accept {
	int iou_flags;
	unsigned int file_slot;
};

struct io_socket {
	unsigned int file_slot;
};

struct io_pipe {
	int *fds;
	int file_slot;
};

struct io_sr_msg {
	struct user_msghdr *umsg;
};

struct sigpending {
	struct list_head list;
	struct { long unsigned int sig[1]; } signal;
};

struct fs_struct {
	int umask;
	struct path root;
	struct path pwd;
};

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
};

struct pid {
	unsigned int level;
	struct hlist_head tasks[4];
	struct upid numbers[0];
};

struct pid_namespace {
	unsigned int level;
	struct ns_common ns;
};

struct uts_namespace {
	struct ns_common ns;
};

struct ipc_namespace {
	struct ns_common ns;
};

struct mnt_namespace {
	struct ns_common ns;
};

struct net {
	struct ns_common ns;
};

struct time_namespace {
	struct ns_common ns;
};

struct cgroup_namespace {
	struct ns_common ns;
};

struct user_namespace {
	struct ns_common ns;
};

struct thread_group_cputimer {
	struct task_cputime_atomic cputime_atomic;
};

struct k_sigaction {
	struct sigaction sa;
};

struct timerqueue_node {
	struct rb_node node;
	long long int expires;
};

struct sigqueue {
	struct list_head list;
	struct { int si_signo; union { struct { union { void *sival_ptr; } _sigval; } _timer; } _sifields; } info;
};

struct tty_struct {
	int index;
	struct tty_driver *driver;
	struct tty_port *port;
	struct tty_ldisc *ldisc;
	struct ktermios termios;
	struct ktermios termios_locked;
	long unsigned int flags;
	int count;
	struct winsize winsize;
	struct { _Bool stopped; _Bool tco_stopped; } flow;
	struct { struct pid *pgrp; struct pid *session; unsigned char pktstatus; _Bool packet; } ctrl;
	struct tty_struct *link;
	void *disc_data;
	void *driver_data;
};

struct tty_port {
	struct tty_bufhead buf;
};

struct mm_struct {
	struct { int counter; } membarrier_state;
	struct { int counter; } mm_users;
	int map_count;
	long unsigned int total_vm;
	long unsigned int locked_vm;
	long unsigned int data_vm;
	long unsigned int def_flags;
	long unsigned int start_code;
	long unsigned int end_code;
	long unsigned int start_data;
	long unsigned int end_data;
	long unsigned int start_brk;
	long unsigned int brk;
	long unsigned int start_stack;
	long unsigned int arg_start;
	long unsigned int arg_end;
	long unsigned int env_start;
	long unsigned int env_end;
	long unsigned int saved_auxv[56];
	struct percpu_counter rss_stat[4];
	struct { void *vdso; } context;
	struct { long unsigned int __mm_flags[1]; } flags;
	struct kioctx_table *ioctx_table;
	struct file *exe_file;
};

struct vm_area_struct {
	long unsigned int vm_start;
	long unsigned int vm_end;
	struct mm_struct *vm_mm;
	long unsigned int vm_flags;
	struct anon_vma *anon_vma;
	struct vm_operations_struct *vm_ops;
	long unsigned int vm_pgoff;
	struct file *vm_file;
	void *vm_private_data;
	struct mempolicy *vm_policy;
	struct vm_userfaultfd_ctx vm_userfaultfd_ctx;
};

struct file {
	unsigned int f_mode;
	struct file_operations *f_op;
	void *private_data;
	struct inode *f_inode;
	unsigned int f_flags;
	struct fown_struct *f_owner;
	struct path f_path;
	long long int f_pos;
	struct { struct { long long int counter; } refcnt; } f_ref;
};

struct inode {
	short unsigned int i_mode;
	struct { unsigned int val; } i_uid;
	struct { unsigned int val; } i_gid;
	struct super_block *i_sb;
	long unsigned int i_ino;
	unsigned int i_nlink;
	unsigned int i_rdev;
	long long int i_size;
	long long int i_mtime_sec;
	long long int i_ctime_sec;
	unsigned int i_mtime_nsec;
	unsigned int i_ctime_nsec;
	struct hlist_head i_dentry;
	struct file_lock_context *i_flctx;
	struct pipe_inode_info *i_pipe;
	struct fsnotify_mark_connector *i_fsnotify_marks;
	void *i_private;
};

struct file_lock_context {
	struct list_head flc_flock;
	struct list_head flc_posix;
	struct list_head flc_lease;
};

struct file_lock_core {
	struct list_head flc_list;
	void *flc_owner;
	unsigned int flc_flags;
	unsigned char flc_type;
	struct file *flc_file;
};

struct dentry {
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	union { struct hlist_node d_alias; } d_u;
};

struct sock_common {
	unsigned int skc_daddr;
	unsigned int skc_rcv_saddr;
	unsigned int skc_hash;
	short unsigned int skc_dport;
	short unsigned int skc_num;
	short unsigned int skc_family;
	unsigned char skc_state;
	struct hlist_node skc_bind_node;
	struct { struct net *net; } skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	long unsigned int skc_flags;
};

struct eventpoll {
	struct list_head rdllist;
	struct { struct { struct rb_node *rb_node; } rb_root; } rbr;
};

struct epitem {
	struct rb_node rbn;
	struct list_head rdllink;
	struct { struct file *file; int fd; } ffd;
	struct eppoll_entry *pwqlist;
	struct { unsigned int events; long long unsigned int data; } event;
};

struct wait_queue_head {
	struct list_head head;
};

struct posix_msg_tree_node {
	struct rb_node rb_node;
	struct list_head msg_list;
	int priority;
};

struct msg_msg {
	struct list_head m_list;
	long unsigned int m_ts;
	struct msg_msgseg *next;
};

struct sem_undo_list {
	struct list_head list_proc;
};

struct sem_undo {
	struct list_head list_proc;
	int semid;
	short int semadj[0];
};

struct unix_address {
	int len;
	struct sockaddr_un name[0];
};

struct fsnotify_group {
	struct fsnotify_ops *ops;
	struct list_head notification_list;
	unsigned int q_len;
	unsigned int max_events;
	struct list_head marks_list;
	struct { struct { unsigned int idr_next; } idr; } inotify_data;
	struct { struct list_head access_list; int flags; int f_flags; } fanotify_data;
};

struct fsnotify_mark {
	unsigned int mask;
	struct fsnotify_group *group;
	struct list_head g_list;
	struct hlist_node obj_list;
	struct fsnotify_mark_connector *connector;
	unsigned int ignore_mask;
	unsigned int flags;
};

struct fsnotify_mark_connector {
	unsigned char type;
	void *obj;
	struct hlist_head list;
};

struct fsnotify_event {
	struct list_head list;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	struct fsnotify_mark_connector *mnt_fsnotify_marks;
	int mnt_id;
};

struct io_kiocb {
	unsigned char opcode;
	struct io_cqe cqe;
	struct io_ring_ctx *ctx;
};

struct task_struct {
	struct thread_info thread_info;
	unsigned int __state;
	unsigned int flags;
	unsigned int ptrace;
	int static_prio;
	unsigned int rt_priority;
	struct sched_entity se;
	struct sched_dl_entity dl;
	unsigned int policy;
	int nr_cpus_allowed;
	struct cpumask *cpus_ptr;
	struct cpumask *user_cpus_ptr;
	struct mm_struct *mm;
	int exit_state;
	int exit_code;
	int exit_signal;
	int pdeath_signal;
	long unsigned int jobctl;
	unsigned int personality;
	unsigned int sched_reset_on_fork : 1;
	unsigned int in_execve : 1;
	long unsigned int atomic_flags;
	struct restart_block restart_block;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct task_struct *parent;
	struct list_head children;
	struct list_head sibling;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	struct hlist_node pid_links[4];
	struct list_head thread_node;
	struct completion *vfork_done;
	int *set_child_tid;
	int *clear_child_tid;
	long long unsigned int utime;
	long long unsigned int stime;
	long long unsigned int start_boottime;
	struct cred *cred;
	char comm[16];
	struct sysv_sem sysvsem;
	struct fs_struct *fs;
	struct files_struct *files;
	struct io_uring_task *io_uring;
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
	struct sighand_struct *sighand;
	struct { long unsigned int sig[1]; } blocked;
	struct { long unsigned int sig[1]; } saved_sigmask;
	struct sigpending pending;
	long unsigned int sas_ss_sp;
	long unsigned int sas_ss_size;
	unsigned int sas_ss_flags;
	struct { unsigned int val; } loginuid;
	struct seccomp seccomp;
	struct io_context *io_context;
	struct css_set *cgroups;
	struct robust_list_head *robust_list;
	struct mempolicy *mempolicy;
	struct rseq *rseq;
	unsigned int rseq_len;
	unsigned int rseq_sig;
	long long unsigned int timer_slack_ns;
	long long unsigned int default_timer_slack_ns;
	struct thread_struct thread;
};

struct sighand_struct {
	struct wait_queue_head signalfd_wqh;
	struct k_sigaction action[64];
};

struct hrtimer {
	struct timerqueue_node node;
	struct hrtimer_clock_base *base;
	unsigned char state;
};

struct cpu_timer {
	struct timerqueue_node node;
	struct timerqueue_head *head;
	struct pid *pid;
};

struct file_lock {
	struct file_lock_core c;
	long long int fl_start;
	long long int fl_end;
};

struct sock {
	struct sock_common __sk_common;
	struct sk_buff_head sk_receive_queue;
	struct sk_filter *sk_filter;
	int sk_err;
	struct socket *sk_socket;
	short unsigned int sk_protocol;
	short unsigned int sk_type;
	unsigned char sk_shutdown;
	unsigned int sk_max_ack_backlog;
	struct pid *sk_peer_pid;
	struct cred *sk_peer_cred;
};

struct mqueue_inode_info {
	struct inode vfs_inode;
	struct rb_root msg_tree;
	struct mq_attr attr;
	struct sigevent notify;
	struct pid *notify_owner;
	struct sock *notify_sock;
	struct sk_buff *notify_cookie;
	long unsigned int qsize;
};

struct signal_struct {
	struct { int counter; } live;
	int nr_threads;
	struct list_head thread_head;
	struct sigpending shared_pending;
	int group_exit_code;
	unsigned int flags;
	unsigned int is_child_subreaper : 1;
	unsigned int has_child_subreaper : 1;
	struct { int counter; } next_posix_timer_id;
	struct hlist_head posix_timers;
	struct hrtimer real_timer;
	long long int it_real_incr;
	struct cpu_itimer it[2];
	struct thread_group_cputimer cputimer;
	struct pid *pids[4];
	int leader;
	struct tty_struct *tty;
	long long unsigned int utime;
	long long unsigned int stime;
	long long unsigned int cutime;
	long long unsigned int cstime;
	struct rlimit rlim[16];
	short int oom_score_adj;
	short int oom_score_adj_min;
};

struct alarm {
	struct timerqueue_node node;
	struct hrtimer timer;
	enum alarmtimer_type type;
	int state;
};

struct unix_sock {
	struct sock sk;
	struct unix_address *addr;
	struct path path;
	struct sock *peer;
	struct sock *listener;
	struct sk_buff *oob_skb;
};

struct k_itimer {
	struct hlist_node list;
	int it_id;
	int it_clock;
	int it_sigev_notify;
	int it_status;
	long long int it_overrun;
	long long int it_overrun_last;
	long long int it_interval;
	struct pid *it_pid;
	struct task_struct *it_process;
	struct sigqueue sigq;
	union { struct { struct hrtimer timer; } real; struct cpu_timer cpu; struct { struct alarm alarmtimer; } alarm; } it;
};

struct timerfd_ctx {
	union { struct hrtimer tmr; struct alarm alarm; } t;
	long long int tintv;
	long long int moffs;
	long long unsigned int ticks;
	int clockid;
	short unsigned int expired;
	short unsigned int settime_flags;
	_Bool might_cancel;
};

#pragma clang attribute pop

#endif
