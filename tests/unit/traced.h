/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For the tests of tracing: a child that does what a case is about, and all that was told of it.
 */
#ifndef TRACED_H
#define TRACED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tracing.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#define CLOSE_RANGE_UNSHARE_FLAG 2U
#define CLOSE_RANGE_CLOEXEC_FLAG 4U
#define BIT(type)		 (1ULL << (type))
#define PAGE			 4096UL
/* Numbers that no descriptor inherited from the test has. */
#define BASE 200

/* What a child tells its parent. */
struct told {
	uint64_t value[32];
	struct stat st[4];
	char text[256 << 10];
};

struct copy {
	union {
		const struct trace_head *head;
		const struct trace_fork *fork;
		const struct trace_exec *exec;
		const struct trace_exit *exit;
		const struct trace_rename *rename;
		const struct trace_appeared *appeared;
		const struct trace_fd_new *fd_new;
		const struct trace_fd_close *fd_close;
		const struct trace_fd_flags *fd_flags;
		const struct trace_table *table;
		const struct trace_unshare *unshare;
		const struct trace_sock_state *state;
		const struct trace_sock_call *call;
		const struct trace_map *map;
		const struct trace_range *range;
		const struct trace_remap *remap;
		const struct trace_brk *brk;
		const struct trace_area_rec *area;
		const struct trace_timer *timer;
		const struct trace_lock *lock;
		const struct trace_namespace *ns;
		const struct trace_signal *signal;
		const struct trace_stack *stack;
	};

	struct trace_sock sock; /* of FD_NEW */
	char *path, *argv;
	size_t argv_len;
};

/* One case's child and all that was told of it. */
struct run {
	pid_t pid;
	int status;
	struct told *told;
	struct copy *events;
	size_t n, at;
	uint64_t lost; /* between events */
	struct tracing *tracing;
};

#define CHECK_CHILD(good) check_child((good), __LINE__)
#define NEXT(r, type)	  next_of((r), (type), (r)->pid)

void check_child(bool good, int line);
struct tracing *open_tracing(const struct tracing_options *o);
/* Start a child that waits until it is observed, and then does `what`. */
void run_start(struct run *r, const struct tracing_options *o, void (*what)(struct told *));
/* Wait for its end, and take all records that there are. */
void run_wait(struct run *r);
void drain(struct run *r);
/* All of that, for these types of records, of a child that ends well. */
void run_types(struct run *r, uint64_t types, void (*what)(struct told *));
/* Fails when the case has not taken all records. */
void run_done(struct run *r);
/* The next record, which has to be of this type and process. */
struct copy *next_of(struct run *r, enum trace_type type, pid_t pid);

/* What several children do. */
void exec_true(struct told *t); /* with the words "a b", "", "c" */
void *wait_at(void *barrier);

#endif
