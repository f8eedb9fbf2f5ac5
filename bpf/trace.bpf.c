// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tracing programs: they put a record of trace.h into a ring buffer for what happens to
 * observed tasks. Where the kernel has a tracepoint of the object itself, that is used; for the
 * rest there is one program that sees system calls return.
 *
 *   trace_record.bpf.h  who is observed; records, and how losses are counted
 *   trace_names.bpf.h   files, sockets and their names
 *   trace_task.bpf.h    fork, exec, exit, names; processes that are looked for
 *   trace_stack.bpf.h   user stacks
 *   trace_fd.bpf.h      descriptors
 *   trace_signal.bpf.h  signals
 *   trace_sock.bpf.h    connections
 *   trace_area.bpf.h    memory areas
 *   trace_misc.bpf.h    timers, namespaces, file locks
 *   trace_compat.bpf.h  calls of 32-bit programs
 *   trace_calls.bpf.h   the table of system calls, and the program that sees them return
 *   trace_uring.bpf.h   requests of io_uring
 *   trace_mark.bpf.h    iterators by which the loader marks what exists already
 *
 * Each program is loaded only if this kernel has its tracepoint.
 */
#include "../vmlinux/vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "common.bpf.h"
#include "compat.bpf.h"
#include "trace.h"
#include "trace_abi.bpf.h"

/* BPF_PROG() gives each program its arguments, and the context that few of them use. */
#pragma clang diagnostic ignored "-Wunused-parameter"

char LICENSE[] SEC("license") = "GPL";

#include "trace_record.bpf.h"

#include "trace_kinds.bpf.h"

#include "trace_names.bpf.h"

#include "trace_stack.bpf.h"

#include "trace_fd.bpf.h"

#include "trace_task.bpf.h"

#include "trace_signal.bpf.h"

#include "trace_sock.bpf.h"

#include "trace_area.bpf.h"

#include "trace_misc.bpf.h"

#include "trace_compat.bpf.h"

#include "trace_calls.bpf.h"

#include "trace_uring.bpf.h"

#include "trace_mark.bpf.h"
