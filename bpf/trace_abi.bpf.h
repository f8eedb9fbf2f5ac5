/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Constants of the system call interface, which vmlinux.h does not have and whose own headers
 * cannot be included beside it. Sources: asm/unistd_64.h, asm-generic/errno*.h, and the headers
 * named below, of Linux 6.18; none of them can change.
 */
#ifndef EBPF_CKPT_TRACE_ABI_BPF_H
#define EBPF_CKPT_TRACE_ABI_BPF_H

#define NR_open			   2
#define NR_close		   3
#define NR_mmap			   9
#define NR_mprotect		   10
#define NR_munmap		   11
#define NR_brk			   12
#define NR_ioctl		   16
#define NR_pipe			   22
#define NR_mremap		   25
#define NR_shmat		   30
#define NR_dup			   32
#define NR_dup2			   33
#define NR_alarm		   37
#define NR_setitimer		   38
#define NR_socket		   41
#define NR_connect		   42
#define NR_accept		   43
#define NR_recvmsg		   47
#define NR_shutdown		   48
#define NR_bind			   49
#define NR_listen		   50
#define NR_socketpair		   53
#define NR_clone		   56
#define NR_execve		   59
#define NR_shmdt		   67
#define NR_fcntl		   72
#define NR_creat		   85
#define NR_rt_sigtimedwait	   128
#define NR_arch_prctl		   158
#define NR_io_setup		   206
#define NR_io_destroy		   207
#define NR_epoll_create		   213
#define NR_remap_file_pages	   216
#define NR_timer_create		   222
#define NR_timer_settime	   223
#define NR_timer_delete		   226
#define NR_mq_open		   240
#define NR_inotify_init		   253
#define NR_openat		   257
#define NR_unshare		   272
#define NR_signalfd		   282
#define NR_timerfd_create	   283
#define NR_eventfd		   284
#define NR_timerfd_settime	   286
#define NR_accept4		   288
#define NR_signalfd4		   289
#define NR_eventfd2		   290
#define NR_epoll_create1	   291
#define NR_dup3			   292
#define NR_pipe2		   293
#define NR_inotify_init1	   294
#define NR_perf_event_open	   298
#define NR_recvmmsg		   299
#define NR_fanotify_init	   300
#define NR_open_by_handle_at	   304
#define NR_setns		   308
#define NR_seccomp		   317
#define NR_memfd_create		   319
#define NR_bpf			   321
#define NR_execveat		   322
#define NR_userfaultfd		   323
#define NR_pkey_mprotect	   329
#define NR_io_uring_setup	   425
#define NR_open_tree		   428
#define NR_fsopen		   430
#define NR_fsmount		   432
#define NR_fspick		   433
#define NR_pidfd_open		   434
#define NR_clone3		   435
#define NR_close_range		   436
#define NR_openat2		   437
#define NR_pidfd_getfd		   438
#define NR_landlock_create_ruleset 444
#define NR_memfd_secret		   447
#define NR_map_shadow_stack	   453
#define NR_open_tree_attr	   467

#define EBADF	    9
#define EFAULT	    14
#define EEXIST	    17
#define EINVAL	    22
#define ENOTSOCK    88
#define ERESTARTSYS 512 /* and the like, up to 516: the call will be made again */

/* linux/sched.h */
#define CLONE_VM	0x100
#define CLONE_FILES	0x400
#define CLONE_PIDFD	0x1000
#define CLONE_NEWTIME	0x80
#define CLONE_NEWNS	0x00020000
#define CLONE_NEWCGROUP 0x02000000
#define CLONE_NEWUTS	0x04000000
#define CLONE_NEWIPC	0x08000000
#define CLONE_NEWUSER	0x10000000
#define CLONE_NEWPID	0x20000000
#define CLONE_NEWNET	0x40000000

/* linux/fcntl.h, linux/close_range.h */
#define F_DUPFD		    0
#define F_SETFD		    2
#define F_DUPFD_CLOEXEC	    1030
#define CLOSE_RANGE_UNSHARE 2
#define CLOSE_RANGE_CLOEXEC 4
#define S_IFSOCK	    0140000

/* linux/socket.h, linux/in.h */
#define AF_UNIX	    1
#define AF_INET	    2
#define AF_INET6    10
#define IPPROTO_TCP 6
#define SOL_SOCKET  1
#define SCM_RIGHTS  1
#define SCM_PIDFD   4

#endif
