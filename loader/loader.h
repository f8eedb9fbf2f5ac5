/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The loader: the only code of the project that speaks libbpf. It loads or finds the programs of
 * bpf/, and turns what they tell into typed C tables. It knows nothing of images; it never prints
 * and never exits.
 */
#ifndef EBPF_CKPT_LOADER_H
#define EBPF_CKPT_LOADER_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../bpf/records.h"

/* Where the pinned set lives. */
#define LOADER_BPFFS   "/sys/fs/bpf"
#define LOADER_PIN_DIR LOADER_BPFFS "/ebpf-ckpt"

/* Why something failed, for a person: what, and what to do about it (may be empty). */
struct loader_why {
	char what[320];
	char remedy[240];
};

struct loader;

/*
 * Open the snapshot programs: the pinned set when its version is ours, otherwise load them into
 * this process (about 30 ms). A pinned set of another version is not used.
 * @ret: owned by the caller, released with loader_close(). Untouched on failure.
 * @why: may be NULL; filled on failure only.
 * Returns 0, or a negative errno: -EPERM (no CAP_BPF/CAP_PERFMON, or lockdown=confidentiality;
 * `why` says which), -ENOENT (no BTF in /sys/kernel/btf/vmlinux), -ENOSYS, -ENOMEM.
 */
int loader_open(struct loader **ret, struct loader_why *why);
void loader_close(struct loader *l); /* NULL is fine */

/* Whether the programs came from the pinned set. */
bool loader_is_pinned(const struct loader *l);

/* State of the pinned set. */
enum loader_pin_state { LOADER_PIN_NONE, LOADER_PIN_OURS, LOADER_PIN_OTHER_VERSION };
enum loader_pin_state loader_pin_state(void);

/*
 * Pin the programs in LOADER_PIN_DIR (mounting bpffs at LOADER_BPFFS when nothing is mounted
 * there), replacing a set of another version; a set of our version is left as it is. *ret_changed:
 * whether anything was pinned by this call.
 */
int loader_pin(bool *ret_changed, struct loader_why *why);
/* Remove the pinned set, of whatever version. *ret_changed: whether there was one. */
int loader_unpin(bool *ret_changed, struct loader_why *why);

/*
 * What becomes of signals that this process sends to ask for something: SIGRTMAX, by
 * rt_tgsigqueueinfo(2), with a value made by delivery_value().
 */
struct delivery;

/*
 * Begin to watch. *ret: owned by the caller, delivery_close(). Returns 0, or a negative errno with
 * `why` (may be NULL): -EBUSY: REC_SENDERS others watch at this moment. Costs 0.1 ms with the
 * pinned set, else up to 30 ms.
 */
int delivery_open(struct loader *l, struct delivery **ret, struct loader_why *why);
void delivery_close(struct delivery *d); /* NULL is fine */
/* The value (si_value, all 64 bits) for the signal to thread `tid`. */
uint64_t delivery_value(const struct delivery *d, pid_t tid);

typedef void delivery_fn(void *userdata, const struct rec_delivery *what);

/*
 * Wait until there is news, at most `timeout_ns`, and pass on all there is, in order. Returns how
 * much that was; 0 after a time-out or a signal.
 */
int delivery_wait(struct delivery *d, int64_t timeout_ns, delivery_fn *fn, void *userdata);

/* Parts of a snapshot. */
enum snapshot_what {
	SNAPSHOT_TASKS = 1, /* tasks, processes, sighands, mms, timers, groups, paths */
	SNAPSHOT_VMAS = 2,
	SNAPSHOT_FILES = 4,
	SNAPSHOT_ALL = 7,
	/* Of the whole machine, whatever processes are asked for. */
	SNAPSHOT_HOLDERS = 8,  /* who holds pipes, sockets and other nameless files */
	SNAPSHOT_MEMBERS = 16, /* every thread, with its relations */
};

/*
 * A record with a path. `rec` and `path` point into the snapshot. `path` is "" when there is none;
 * a deleted file's path has no " (deleted)" suffix (rec.inode.unhashed tells). Not necessarily
 * UTF-8.
 */
struct snap_vma {
	const struct rec_vma *rec;
	const char *path;
};

struct snap_file {
	const struct rec_file *rec;
	const char *path;
};

struct snap_path {
	const struct rec_path *rec;
	const char *path;
};

/*
 * Everything one pass told about the processes asked for. Tables are sorted: tasks by (tgid, tid)
 * with the leader first, vmas by (tgid, start), files by (tgid, fd), timers by (tgid, id).
 */
struct snapshot {
	const struct rec_task **tasks;
	size_t n_tasks;
	const struct rec_process **processes;
	size_t n_processes;
	const struct rec_sighand **sighands;
	size_t n_sighands;
	const struct rec_mm **mms;
	size_t n_mms;
	const struct rec_timer **timers;
	size_t n_timers;
	const struct rec_groups **groups;
	size_t n_groups;
	struct snap_path *paths;
	size_t n_paths;
	struct snap_vma *vmas;
	size_t n_vmas;
	struct snap_file *files;
	size_t n_files;
	const struct rec_lock **locks; /* held through the descriptors, by (tgid, fd, start) */
	size_t n_locks;
	const struct rec_holder **holders; /* by (tgid, fd) */
	size_t n_holders;
	const struct rec_member **members; /* by (tgid, tid) */
	size_t n_members;
};

/*
 * Take a snapshot of thread groups.
 * @tgids: `n` pids of thread group leaders, in the reader's pid namespace.
 * @what: mask of enum snapshot_what.
 * @ret: owned by the caller, snapshot_free(). A process that is gone has no records; that is no
 * error. Returns 0 or a negative errno.
 */
int snapshot_take(struct loader *l, const pid_t *tgids, size_t n, unsigned int what,
		  struct snapshot **ret, struct loader_why *why);
/*
 * Add descriptors of another process, with their locks and details, to a snapshot: files that no
 * process asked for has open, as they are under way in a message, but of which the reader has got
 * descriptors. Records that are there already stay where they are, the tables move.
 */
int snapshot_add_files(struct loader *l, struct snapshot *s, pid_t tgid, const int *fds, size_t n,
		       struct loader_why *why);
void snapshot_free(struct snapshot *s);

/* Look-ups; NULL when there is none. Borrowed from the snapshot. */
const struct rec_task *snapshot_task(const struct snapshot *s, pid_t tid);
const struct rec_process *snapshot_process(const struct snapshot *s, pid_t tgid);
const struct rec_sighand *snapshot_sighand(const struct snapshot *s, pid_t tgid);
const struct rec_mm *snapshot_mm(const struct snapshot *s, pid_t tgid);
const struct rec_groups *snapshot_groups(const struct snapshot *s, pid_t tid);
const struct snap_path *snapshot_path(const struct snapshot *s, pid_t tgid,
				      enum rec_path_what what);
/* The run of a thread group's rows in a sorted table: first row and count. */
void snapshot_tasks_of(const struct snapshot *s, pid_t tgid, size_t *first, size_t *n);
void snapshot_vmas_of(const struct snapshot *s, pid_t tgid, size_t *first, size_t *n);
void snapshot_files_of(const struct snapshot *s, pid_t tgid, size_t *first, size_t *n);
void snapshot_timers_of(const struct snapshot *s, pid_t tgid, size_t *first, size_t *n);
void snapshot_locks_of(const struct snapshot *s, pid_t tgid, size_t *first, size_t *n);
void snapshot_members_of(const struct snapshot *s, pid_t tgid, size_t *first, size_t *n);
/*
 * The details of one descriptor (fd 0: of a process) of one type, REC_DETAIL_FIRST or above, in the
 * order in which the kernel has them. Each is at least a struct rec_detail. Borrowed.
 */
const void *const *snapshot_details(const struct snapshot *s, enum rec_type type, pid_t tgid,
				    int fd, size_t *ret_n);

#endif
