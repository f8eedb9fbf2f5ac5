// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Taking a snapshot: reading the iterators and turning the stream of records into sorted tables.
 * Where the programs come from is loader.c's.
 */
#include "internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES  ((size_t)64 << 10) /* an iterator fills at most 32 KiB at a time */
#define MAX_RETRIES 100000
/* So many processes are read in one pass over the machine, rather than one by one. */
#define LISTED_FROM 24

struct buffer {
	char *data; /* owned */
	size_t len, size;
};

/* The snapshot as the caller sees it, and the memory that it points into. */
struct snapshot_full {
	struct snapshot pub;
	struct buffer buf;    /* owned: the stream */
	struct buffer joined; /* owned: records put together from pieces */
	struct buffer *added; /* owned: streams of snapshot_add_files() */
	size_t n_added;
	const void **rows[REC_TYPE_NR]; /* owned: records by type, sorted */
	size_t n_rows[REC_TYPE_NR];
	const struct rec_task **by_tid; /* owned */
	char **links;			/* owned: paths of REC_PATH rows, NULL: none */
	size_t n_links;
};

static int buffer_reserve(struct buffer *b, size_t room)
{
	size_t size = b->size ? b->size : READ_BYTES * 2;
	char *data;

	while (size - b->len < room)
		size *= 2;
	if (size == b->size)
		return 0;
	data = realloc(b->data, size);
	if (!data)
		return -ENOMEM;
	b->data = data;
	b->size = size;
	return 0;
}

/* Whether an iterator is over all threads of a group, over a single thread, or over the machine. */
enum iter_over { OVER_GROUP, OVER_THREAD, OVER_ALL };

static int iter_open(int prog_fd, pid_t pid, enum iter_over over)
{
	union bpf_iter_link_info info = { 0 };
	LIBBPF_OPTS(bpf_link_create_opts, opts);
	int link, iter;

	if (over == OVER_GROUP)
		info.task.pid = (__u32)pid;
	else if (over == OVER_THREAD)
		info.task.tid = (__u32)pid;
	opts.iter_info = &info;
	opts.iter_info_len = sizeof(info);
	link = bpf_link_create(prog_fd, 0, BPF_TRACE_ITER, &opts);
	if (link < 0)
		return -errno;
	iter = bpf_iter_create(link);
	if (iter < 0)
		iter = -errno;
	close(link);
	return iter;
}

/*
 * Read an iterator to its end, appending to `b`. A request, where there is one, is put where the
 * kernel's program looks for it: at the start of the memory given to read(2).
 */
static int iter_read(int iter, const void *request, size_t request_bytes, struct buffer *b)
{
	unsigned int retries = 0;

	for (;;) {
		ssize_t n;
		int rc = buffer_reserve(b, READ_BYTES);

		if (rc < 0)
			return rc;
		if (request)
			memcpy(b->data + b->len, request, request_bytes);
		/* Not read(2): its wrapper may be replaced by one that reads elsewhere first. */
		n = syscall(SYS_read, iter, b->data + b->len, READ_BYTES);
		if (n == 0)
			return 0;
		if (n > 0) {
			b->len += (size_t)n;
		} else if (errno == EAGAIN && retries++ < MAX_RETRIES) {
			sched_yield(); /* all scratch slots are in use by others */
		} else if (errno != EINTR) {
			return -errno;
		}
	}
}

static int run_iter(int prog_fd, pid_t pid, enum iter_over over, const void *request,
		    size_t request_bytes, struct buffer *b)
{
	int rc, iter = iter_open(prog_fd, pid, over);

	if (iter < 0)
		return iter;
	rc = iter_read(iter, request, request_bytes, b);
	close(iter);
	return rc;
}

/* The record at an offset, or NULL when the stream is not sound there (a bug, or another ABI). */
static const struct rec_head *record_at(const struct buffer *b, size_t at)
{
	const struct rec_head *head = (const void *)(b->data + at);

	if (b->len - at < sizeof(*head) || head->len < sizeof(*head) || head->len % 8 ||
	    head->len > b->len - at)
		return NULL;
	return head;
}

static const size_t rec_size[REC_TYPE_NR] = {
	[REC_TASK] = sizeof(struct rec_task),
	[REC_PROCESS] = sizeof(struct rec_process),
	[REC_SIGHAND] = sizeof(struct rec_sighand),
	[REC_MM] = sizeof(struct rec_mm),
	[REC_TIMER] = sizeof(struct rec_timer),
	[REC_VMA] = sizeof(struct rec_vma),
	[REC_FILE] = sizeof(struct rec_file),
	[REC_GROUPS] = sizeof(struct rec_groups),
	[REC_PATH] = sizeof(struct rec_path),
	[REC_LOCK] = sizeof(struct rec_lock),
	[REC_HOLDER] = sizeof(struct rec_holder),
	[REC_MEMBER] = sizeof(struct rec_member),
	[REC_EVENTFD] = sizeof(struct rec_eventfd),
	[REC_TIMERFD] = sizeof(struct rec_timerfd),
	[REC_SIGNALFD] = sizeof(struct rec_signalfd),
	[REC_EPOLL] = sizeof(struct rec_epoll),
	[REC_PIDFD] = sizeof(struct rec_pidfd),
	[REC_UNIX] = sizeof(struct rec_unix),
	[REC_UNIX_MSG] = sizeof(struct rec_unix_msg),
	[REC_SECCOMP] = sizeof(struct rec_seccomp),
	/* Details: 0 here is the least, struct rec_detail. */
	[REC_SEM_UNDO] = sizeof(struct rec_sem_undo),
	[REC_AIO] = sizeof(struct rec_aio),
	[REC_BPF_MAP] = sizeof(struct rec_bpf_map),
	[REC_TTY] = sizeof(struct rec_tty_part_head),
	[REC_INOTIFY] = sizeof(struct rec_notify_group),
	[REC_FANOTIFY] = sizeof(struct rec_notify_group),
	[REC_NOTIFY_MARK] = sizeof(struct rec_notify_mark),
	[REC_NOTIFY_EVENT] = sizeof(struct rec_notify_event),
};

/* The fixed part of a record of this type. */
static size_t fixed_size(uint16_t type)
{
	return rec_size[type] ? rec_size[type] : sizeof(struct rec_detail);
}

/* Bytes that a record says follow its fixed part, without padding. */
static uint32_t record_tail_bytes(const struct rec_head *head)
{
	if (head->type == REC_VMA)
		return ((const struct rec_vma *)(const void *)head)->inode.path_len;
	if (head->type == REC_FILE)
		return ((const struct rec_file *)(const void *)head)->inode.path_len;
	if (head->type == REC_PATH)
		return ((const struct rec_path *)(const void *)head)->inode.path_len;
	if (head->type == REC_GROUPS)
		return ((const struct rec_groups *)(const void *)head)->n * 4;
	if (head->type == REC_NOTIFY_MARK)
		return ((const struct rec_notify_mark *)(const void *)head)->names_len;
	if (head->type == REC_NOTIFY_EVENT) {
		uint32_t len = ((const struct rec_notify_event *)(const void *)head)->name_len;

		return len ? len + 1 : 0;
	}
	return 0;
}

/* Two records under one type: each must be whole. */
static bool mqueue_is_whole(const struct rec_head *head)
{
	const struct rec_mqueue_piece *piece = (const void *)head;
	const struct rec_mqueue *queue = (const void *)head;

	if (head->len >= sizeof(*queue) && queue->what == REC_MQUEUE_QUEUE)
		return true;
	return head->len >= sizeof(*piece) && piece->what == REC_MQUEUE_PIECE &&
	       head->len - sizeof(*piece) >= piece->bytes;
}

/* Check the whole stream once, and count its records. */
static int count_records(const struct buffer *b, size_t counts[REC_TYPE_NR])
{
	for (size_t at = 0; at < b->len;) {
		const struct rec_head *head = record_at(b, at);

		if (!head || head->type == REC_NONE || head->type >= REC_TYPE_NR ||
		    head->len < fixed_size(head->type) ||
		    record_tail_bytes(head) > head->len - fixed_size(head->type) ||
		    (head->type == REC_MQUEUE && !mqueue_is_whole(head)))
			return -EPROTO;
		counts[head->type]++;
		at += head->len;
	}
	return 0;
}

/* --- lists in pieces --- */

/* Entries of a list that a record stands for. */
static uint32_t record_entries(const struct rec_head *head)
{
	return head->type == REC_GROUPS ? ((const struct rec_groups *)(const void *)head)->n : 1;
}

/*
 * Read the rest of one list, of which the request says where it goes on. `tid` is the thread that
 * has it. The pieces are appended to the stream, after all that was there.
 */
static int read_rest(const struct loader *l, pid_t tid, const struct rec_request *wanted,
		     struct buffer *b)
{
	struct rec_request request = *wanted;
	bool more = true;

	request.magic = REC_REQUEST_MAGIC;
	while (more) {
		size_t at = b->len;
		int rc = run_iter(l->prog_fd[LOADER_PROG_MORE], tid, OVER_THREAD, &request,
				  sizeof(request), b);

		if (rc < 0)
			return rc;
		more = false;
		while (at < b->len) {
			const struct rec_head *head = record_at(b, at);

			if (!head)
				return -EPROTO;
			request.first += record_entries(head);
			more = head->flags & REC_F_MORE;
			at += head->len;
		}
	}
	return 0;
}

static int read_list(const struct loader *l, pid_t tid, uint32_t type, uint32_t first,
		     struct buffer *b)
{
	struct rec_request request = { .magic = REC_REQUEST_MAGIC, .type = type, .first = first };

	return read_rest(l, tid, &request, b);
}

/* What descriptors have that is too long to come with them, in the stream from `at` on. */
static int read_more_files(const struct loader *l, size_t at, struct buffer *b)
{
	struct rec_request request = { .magic = REC_REQUEST_MAGIC, .type = REC_MQUEUE };
	size_t end = b->len;

	while (at < end) {
		const struct rec_head *head = record_at(b, at);
		int rc;

		if (!head)
			return -EPROTO;
		at += head->len;
		if (head->type != REC_MQUEUE || !(head->flags & REC_F_MORE))
			continue;
		request.fd = ((const struct rec_detail *)(const void *)head)->fd;
		rc = read_rest(l, ((const struct rec_detail *)(const void *)head)->tgid, &request,
			       b);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* The same for the entries of an epoll instance, behind `last`, the record at this offset. */
static int read_rest_epoll(const struct loader *l, size_t last, struct buffer *b)
{
	for (;;) {
		struct rec_epoll *e = (void *)(b->data + last);
		struct rec_request_epoll request = {
			.request = { .magic = REC_REQUEST_MAGIC, .type = REC_EPOLL },
			.fd = e->head.fd,
			.after_fd = e->number,
			.file_id = e->epoll_id,
			.after_file_id = e->file_id,
		};
		size_t at = b->len;
		int rc = run_iter(l->prog_fd[LOADER_PROG_MORE], e->head.tgid, OVER_THREAD, &request,
				  sizeof(request), b);

		if (rc < 0)
			return rc;
		e = (void *)(b->data + last);
		if (at == b->len) {
			/* Closed meanwhile, or in a file table that only a thread has. */
			e->head.head.flags |= REC_F_TRUNCATED;
			return 0;
		}
		for (const struct rec_head *head; at < b->len; at += head->len) {
			head = record_at(b, at);
			if (!head || head->type != REC_EPOLL)
				return -EPROTO;
			last = at;
		}
		if (!(((const struct rec_head *)(void *)(b->data + last))->flags & REC_F_MORE))
			return 0;
	}
}

/* Complete the lists that were cut, in the stream from `at` on. */
static int read_more(const struct loader *l, size_t at, struct buffer *b)
{
	size_t end = b->len;
	uint32_t n_timers = 0, n_unix = 0;
	uint64_t undo_list = 0;
	/* Of the same type, one after the other: they are of one descriptor. */
	uint32_t n_notify = 0, last_type = REC_NONE, type = REC_NONE;

	while (at < end) {
		const struct rec_head *head = record_at(b, at);
		int rc = 0;

		if (!head)
			return -EPROTO;
		at += head->len;
		type = head->type; /* the stream may move below */
		if (head->type == REC_TIMER) {
			const struct rec_timer *timer = (const void *)head;

			n_timers++;
			if (head->flags & REC_F_MORE)
				rc = read_list(l, timer->tgid, REC_TIMER, n_timers, b);
		} else if (head->type == REC_GROUPS && (head->flags & REC_F_MORE)) {
			const struct rec_groups *groups = (const void *)head;

			rc = read_list(l, groups->tid, REC_GROUPS, groups->n, b);
		} else if (head->type == REC_EPOLL && (head->flags & REC_F_MORE)) {
			rc = read_rest_epoll(l, at - head->len, b);
		} else if (head->type == REC_MM) {
			const struct rec_mm *mm = (const void *)head;

			if (mm->ioctx_table)
				rc = read_list(l, mm->tgid, REC_AIO, 0, b);
		} else if (head->type == REC_TASK) {
			const struct rec_task *task = (const void *)head;

			n_timers = 0;
			/* Threads share the list, and come one after the other. */
			if (head->flags & REC_F_SEM_UNDO && task->sysvsem_id != undo_list) {
				undo_list = task->sysvsem_id;
				rc = read_list(l, task->tid, REC_SEM_UNDO, 0, b);
			}
		} else if (head->type == REC_FILE) {
			n_unix = 0;
		} else if (head->type == REC_UNIX || head->type == REC_UNIX_MSG) {
			struct rec_request request = { .magic = REC_REQUEST_MAGIC,
						       .type = REC_UNIX };
			const struct rec_detail *detail = (const void *)head;

			request.first = ++n_unix;
			request.fd = detail->fd;
			if (head->flags & REC_F_MORE)
				rc = read_rest(l, detail->tgid, &request, b);
		} else if (head->type == REC_NOTIFY_MARK || head->type == REC_NOTIFY_EVENT) {
			const struct rec_detail *detail = (const void *)head;
			struct rec_request request = { .magic = REC_REQUEST_MAGIC,
						       .type = head->type,
						       .fd = detail->fd };

			n_notify = head->type == last_type ? n_notify + 1 : 1;
			request.first = n_notify;
			if (head->flags & REC_F_MORE)
				rc = read_rest(l, detail->tgid, &request, b);
		}
		last_type = type;
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* --- tables --- */

static int compare(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

/* After tgid or tid, in which all records but REC_TASK agree: what the rows are sorted by. */
static uint64_t second_key(const struct rec_head *head)
{
	switch ((enum rec_type)head->type) {
	case REC_TASK: /* the leader first */
		return ((const struct rec_task *)(const void *)head)->tid ==
				       ((const struct rec_task *)(const void *)head)->tgid
			       ? 0
			       : (uint32_t)((const struct rec_task *)(const void *)head)->tid;
	case REC_TIMER:
		return (uint32_t)((const struct rec_timer *)(const void *)head)->id;
	case REC_VMA:
		return ((const struct rec_vma *)(const void *)head)->start;
	case REC_FILE:
		return (uint32_t)((const struct rec_file *)(const void *)head)->fd;
	case REC_LOCK:
		return (uint32_t)((const struct rec_lock *)(const void *)head)->fd;
	case REC_PATH:
		return ((const struct rec_path *)(const void *)head)->what;
	case REC_MEMBER:
		return (uint32_t)((const struct rec_member *)(const void *)head)->tid;
	case REC_NONE:
	case REC_PROCESS:
	case REC_SIGHAND:
	case REC_MM:
	case REC_GROUPS:
		return 0;
	default:
		return (uint32_t)((const struct rec_detail *)(const void *)head)->fd;
	}
}

/* Which of several records for the same thing is kept: the lowest. Locks are all kept, by start. */
static uint64_t third_key(const struct rec_head *head)
{
	if (head->type == REC_FILE)
		return ((const struct rec_file *)(const void *)head)->files_id;
	if (head->type == REC_LOCK)
		return ((const struct rec_lock *)(const void *)head)->start;
	/* Told by several threads of a group without leader: one that still had its fs knows more.
	 */
	if (head->type == REC_PROCESS)
		return ((const struct rec_process *)(const void *)head)->umask == UINT32_MAX;
	return 0;
}

/* The thread group, or for REC_GROUPS the thread, that a record is about. */
static pid_t first_key(const struct rec_head *head)
{
	if (head->type == REC_TASK)
		return ((const struct rec_task *)(const void *)head)->tgid;
	return ((const struct rec_process *)(const void *)head)->tgid;
}

_Static_assert(offsetof(struct rec_process, tgid) == offsetof(struct rec_sighand, tgid) &&
		       offsetof(struct rec_process, tgid) == offsetof(struct rec_mm, tgid) &&
		       offsetof(struct rec_process, tgid) == offsetof(struct rec_timer, tgid) &&
		       offsetof(struct rec_process, tgid) == offsetof(struct rec_vma, tgid) &&
		       offsetof(struct rec_process, tgid) == offsetof(struct rec_file, tgid) &&
		       offsetof(struct rec_process, tgid) == offsetof(struct rec_groups, tid) &&
		       offsetof(struct rec_process, tgid) == offsetof(struct rec_lock, tgid) &&
		       offsetof(struct rec_process, tgid) == offsetof(struct rec_holder, tgid) &&
		       offsetof(struct rec_process, tgid) == offsetof(struct rec_member, tgid) &&
		       offsetof(struct rec_process, tgid) == offsetof(struct rec_detail, tgid) &&
		       offsetof(struct rec_process, tgid) == offsetof(struct rec_seccomp, tgid) &&
		       offsetof(struct rec_process, tgid) == offsetof(struct rec_path, tgid),
	       "first_key() reads all of them alike");

static int compare_keys(const struct rec_head *a, const struct rec_head *b)
{
	uint64_t ka = second_key(a), kb = second_key(b);
	int c = compare(first_key(a), first_key(b));

	if (c == 0)
		c = (ka > kb) - (ka < kb);
	return c;
}

static int compare_rows(const void *pa, const void *pb)
{
	const struct rec_head *a = *(const struct rec_head *const *)pa;
	const struct rec_head *b = *(const struct rec_head *const *)pb;
	uint64_t ka = third_key(a), kb = third_key(b);
	int c = compare_keys(a, b);

	if (c == 0)
		c = (ka > kb) - (ka < kb);
	if (c == 0) /* as they came */
		c = ((uintptr_t)a > (uintptr_t)b) - ((uintptr_t)a < (uintptr_t)b);
	return c;
}

static bool same_row(const struct rec_head *a, const struct rec_head *b)
{
	/* Threads with file tables of their own: the same number in each of them. */
	if (a->type == REC_FILE && third_key(a) != third_key(b))
		return false;
	if (a->type == REC_LOCK)
		return memcmp(a, b, sizeof(struct rec_lock)) == 0;
	if (a->type >= REC_DETAIL_FIRST || a->type == REC_HOLDER)
		return false;
	return compare_keys(a, b) == 0;
}

/* Sorted already more often than not: areas, descriptors and threads come in order. */
static void sort_rows(const void **rows, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		if (compare_rows(&rows[i - 1], &rows[i]) > 0) {
			qsort(rows, n, sizeof(*rows), compare_rows);
			return;
		}
	}
}

static size_t unique_rows(const void **rows, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (kept == 0 || !same_row(rows[kept - 1], rows[i]))
			rows[kept++] = rows[i];
	}
	return kept;
}

/* Put the pieces of each thread's groups together. */
static int join_groups(struct snapshot_full *s)
{
	const void **rows = s->rows[REC_GROUPS];
	size_t n = s->n_rows[REC_GROUPS], kept = 0, entries = 0;
	struct buffer *b = &s->joined;

	for (size_t i = 0; i < n; i++)
		entries += ((const struct rec_groups *)rows[i])->n;
	/* Never moved after this, as rows point into it: room for all, with padding. */
	if (buffer_reserve(b, n * (sizeof(struct rec_groups) + 8) + entries * 4) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < n; kept++) {
		const struct rec_groups *piece = rows[i];
		struct rec_groups *all;

		if (!(piece->head.flags & REC_F_MORE)) {
			rows[kept] = piece;
			i++;
		} else {
			all = (void *)(b->data + b->len);
			*all = (struct rec_groups){ .head = piece->head, .tid = piece->tid };
			all->head.flags &= (uint16_t)~REC_F_MORE;
			for (; i < n && ((const struct rec_groups *)rows[i])->tid == all->tid;
			     i++) {
				piece = rows[i];
				memcpy(all->gid + all->n, piece->gid, piece->n * sizeof(__u32));
				all->n += piece->n;
			}
			if (all->n % 2)
				all->gid[all->n] = 0;
			all->head.len = (__u32)sizeof(*all) + (all->n + 1) / 2 * 8;
			b->len += all->head.len;
			rows[kept] = all;
		}
		while (i < n && ((const struct rec_groups *)rows[i])->tid == piece->tid)
			i++; /* asked for twice */
	}
	s->n_rows[REC_GROUPS] = kept;
	return 0;
}

/*
 * The path after a record, "" when there is none. The kernel marks an unlinked file's path with a
 * suffix, which is taken off: `unhashed` says it, and a name may end like that by itself.
 */
static const char *take_path(struct rec_inode *inode, char *path)
{
	static const char suffix[] = " (deleted)";
	size_t n = sizeof(suffix) - 1;

	if (!inode->path_len)
		return "";
	path[inode->path_len] = '\0';
	if (inode->unhashed && inode->path_len > n &&
	    strcmp(path + inode->path_len - n, suffix) == 0) {
		inode->path_len -= (__u32)n;
		path[inode->path_len] = '\0';
	}
	return path;
}

/* Rows of a type whose records have paths, as pairs. All three pair types look the same. */
static int pair_paths(struct snapshot_full *s, enum rec_type type, size_t inode_at,
		      struct snap_vma **ret)
{
	size_t n = s->n_rows[type];
	struct snap_vma *pairs = calloc(n ? n : 1, sizeof(*pairs));

	if (!pairs)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		/* The rows are read-only for the caller, the memory is ours. */
		char *rec = s->buf.data + ((const char *)s->rows[type][i] - s->buf.data);

		pairs[i].rec = (const void *)rec;
		pairs[i].path = take_path((void *)(rec + inode_at), rec + rec_size[type]);
	}
	*ret = pairs;
	return 0;
}

static ssize_t read_task_link(pid_t tid, const char *name, char path[REC_PATH_MAX])
{
	char link[64];

	snprintf(link, sizeof(link), "/proc/%d/%s", tid, name);
	return readlink(link, path, REC_PATH_MAX);
}

/* A leader that has ended while others go on has none. */
static ssize_t read_group_link(const struct snapshot_full *s, pid_t tgid, const char *name,
			       char path[REC_PATH_MAX])
{
	for (size_t i = 0; i < s->n_rows[REC_TASK]; i++) {
		const struct rec_task *t = s->rows[REC_TASK][i];
		ssize_t n =
			t->tgid == tgid && t->tid != tgid ? read_task_link(t->tid, name, path) : -1;

		if (n > 0)
			return n;
	}
	return -1;
}

/*
 * A path that the kernel looked up for us under /proc; malloc'd, NULL: none, *ret_rc says if for
 * want of memory. The mark of an unlinked one is kept, for take_path().
 */
static char *read_link(const struct snapshot_full *s, struct rec_path *rec, int *ret_rc)
{
	static const char *const names[] = {
		[REC_PATH_EXE] = "exe", [REC_PATH_CWD] = "cwd", [REC_PATH_ROOT] = "root"
	};
	char path[REC_PATH_MAX + 1];
	ssize_t n = read_task_link(rec->tgid, names[rec->what], path);
	char *copy;

	if (n < 0 && errno == ENAMETOOLONG)
		rec->head.flags |= REC_F_TRUNCATED;
	else if (n < 0)
		n = read_group_link(s, rec->tgid, names[rec->what], path);
	if (n <= 0)
		return NULL; /* it has ended */
	/* Unlinked since the record was made? Unless its name ends like that. */
	path[n] = '\0';
	if (!rec->inode.unhashed && n > 10 && !strcmp(path + n - 10, " (deleted)") &&
	    faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		rec->inode.unhashed = 1;
	rec->inode.path_len = (__u32)n;
	copy = malloc((size_t)n + 1);
	if (!copy)
		*ret_rc = -ENOMEM;
	else
		memcpy(copy, path, (size_t)n);
	return copy;
}

static int link_paths(struct snapshot_full *s, struct snap_path *paths)
{
	size_t n = s->n_rows[REC_PATH];
	int rc = 0;

	s->links = calloc(n ? n : 1, sizeof(*s->links));
	if (!s->links)
		return -ENOMEM;
	s->n_links = n;
	for (size_t i = 0; i < n && rc == 0; i++) {
		/* As in pair_paths(): the memory is ours. */
		struct rec_path *rec =
			(void *)(s->buf.data + ((const char *)paths[i].rec - s->buf.data));

		if (rec->what < REC_PATH_EXE || rec->what > REC_PATH_ROOT)
			continue;
		s->links[i] = read_link(s, rec, &rc);
		if (s->links[i])
			paths[i].path = take_path(&rec->inode, s->links[i]);
	}
	return rc;
}

_Static_assert(sizeof(struct snap_vma) == sizeof(struct snap_file) &&
		       sizeof(struct snap_vma) == sizeof(struct snap_path) &&
		       offsetof(struct snap_vma, path) == offsetof(struct snap_file, path) &&
		       offsetof(struct snap_vma, path) == offsetof(struct snap_path, path),
	       "pair_paths() makes all of them");

/* The kernel tells of a group's dead threads; add what the living ones used. */
static void add_cpu_times(struct snapshot_full *s)
{
	for (size_t i = 0; i < s->n_rows[REC_PROCESS]; i++) {
		const struct rec_process *told = s->rows[REC_PROCESS][i];
		struct rec_process *process =
			(void *)(s->buf.data + ((const char *)told - s->buf.data));
		size_t first, n;

		snapshot_tasks_of(&s->pub, process->tgid, &first, &n);
		for (size_t j = first; j < first + n; j++) {
			process->utime_ns += s->pub.tasks[j]->utime_ns;
			process->stime_ns += s->pub.tasks[j]->stime_ns;
		}
	}
}

static int compare_tids(const void *pa, const void *pb)
{
	const struct rec_task *a = *(const struct rec_task *const *)pa;
	const struct rec_task *b = *(const struct rec_task *const *)pb;

	return compare(a->tid, b->tid);
}

static int publish(struct snapshot_full *s)
{
	struct snapshot *pub = &s->pub;
	size_t n_tasks = s->n_rows[REC_TASK];
	struct snap_vma *pairs;
	int rc;

#define PUBLISH(member, type)                                                                      \
	do {                                                                                       \
		pub->member = (void *)s->rows[type];                                               \
		pub->n_##member = s->n_rows[type];                                                 \
	} while (0)
	PUBLISH(tasks, REC_TASK);
	PUBLISH(processes, REC_PROCESS);
	PUBLISH(sighands, REC_SIGHAND);
	PUBLISH(mms, REC_MM);
	PUBLISH(timers, REC_TIMER);
	PUBLISH(groups, REC_GROUPS);
	PUBLISH(locks, REC_LOCK);
	PUBLISH(holders, REC_HOLDER);
	PUBLISH(members, REC_MEMBER);
#undef PUBLISH
	rc = pair_paths(s, REC_VMA, offsetof(struct rec_vma, inode), &pairs);
	if (rc < 0)
		return rc;
	pub->vmas = pairs;
	pub->n_vmas = s->n_rows[REC_VMA];
	rc = pair_paths(s, REC_FILE, offsetof(struct rec_file, inode), &pairs);
	if (rc < 0)
		return rc;
	pub->files = (void *)pairs;
	pub->n_files = s->n_rows[REC_FILE];
	rc = pair_paths(s, REC_PATH, offsetof(struct rec_path, inode), &pairs);
	if (rc < 0)
		return rc;
	pub->paths = (void *)pairs;
	pub->n_paths = s->n_rows[REC_PATH];
	rc = link_paths(s, pub->paths);
	if (rc < 0)
		return rc;

	s->by_tid = calloc(n_tasks ? n_tasks : 1, sizeof(*s->by_tid));
	if (!s->by_tid)
		return -ENOMEM;
	if (n_tasks) {
		memcpy(s->by_tid, pub->tasks, n_tasks * sizeof(*s->by_tid));
		qsort(s->by_tid, n_tasks, sizeof(*s->by_tid), compare_tids);
	}
	add_cpu_times(s);
	return 0;
}

static int make_tables(struct snapshot_full *s)
{
	size_t counts[REC_TYPE_NR] = { 0 };
	int rc = count_records(&s->buf, counts);

	if (rc < 0)
		return rc;
	for (int type = 0; type < REC_TYPE_NR; type++) {
		s->rows[type] = calloc(counts[type] + 1, sizeof(*s->rows[type]));
		if (!s->rows[type])
			return -ENOMEM;
	}
	for (size_t at = 0; at < s->buf.len;) {
		struct rec_head *head = (void *)(s->buf.data + at);

		/* All of the list is here. */
		if (head->type == REC_TIMER || head->type == REC_EPOLL ||
		    head->type == REC_NOTIFY_MARK || head->type == REC_NOTIFY_EVENT)
			head->flags &= (__u16)~REC_F_MORE;
		s->rows[head->type][s->n_rows[head->type]++] = head;
		at += head->len;
	}
	for (int type = 0; type < REC_TYPE_NR; type++) {
		sort_rows(s->rows[type], s->n_rows[type]);
		if (type != REC_GROUPS)
			s->n_rows[type] = unique_rows(s->rows[type], s->n_rows[type]);
	}
	rc = join_groups(s);
	return rc < 0 ? rc : publish(s);
}

/* --- the interface --- */

static int read_parts(const struct loader *l, pid_t tgid, enum iter_over over,
		      const struct rec_request *request, unsigned int what, struct buffer *b)
{
	size_t at = b->len, size = request ? sizeof(*request) : 0;
	int rc = 0;

	if (what & SNAPSHOT_TASKS) {
		rc = run_iter(l->prog_fd[LOADER_PROG_TASK], tgid, over, request, size, b);
		if (rc == 0)
			rc = read_more(l, at, b);
	}
	if (rc == 0 && (what & SNAPSHOT_VMAS))
		rc = run_iter(l->prog_fd[LOADER_PROG_VMA], tgid, over, request, size, b);
	if (rc == 0 && (what & SNAPSHOT_FILES)) {
		at = b->len;
		rc = run_iter(l->prog_fd[LOADER_PROG_FILE], tgid, over, request, size, b);
		if (rc == 0)
			rc = read_more(l, at, b);
		if (rc == 0)
			rc = read_more_files(l, at, b);
	}
	return rc;
}

static int compare_pids(const void *a, const void *b)
{
	return compare(*(const pid_t *)a, *(const pid_t *)b);
}

/* Many processes in one pass over all of the machine: the programs pick those of a list. */
static int read_listed(const struct loader *l, const pid_t *tgids, size_t n, unsigned int what,
		       struct buffer *b)
{
	pid_t *sorted = malloc(n * sizeof(*sorted));
	struct rec_request request = { .magic = REC_REQUEST_MAGIC,
				       .type = REC_REQUEST_FILTER,
				       .first = (uint32_t)n,
				       .list = (uintptr_t)sorted };
	struct timespec now;
	int rc;

	if (!sorted)
		return -ENOMEM;
	memcpy(sorted, tgids, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), compare_pids);
	clock_gettime(CLOCK_MONOTONIC, &now);
	request.nonce = (uint64_t)now.tv_sec << 32 ^ (uint64_t)now.tv_nsec ^
			(uint64_t)(unsigned int)getpid() << 44;
	rc = read_parts(l, 0, OVER_ALL, &request, what, b);
	free(sorted);
	return rc;
}

int snapshot_take(struct loader *l, const pid_t *tgids, size_t n, unsigned int what,
		  struct snapshot **ret, struct loader_why *why)
{
	struct snapshot_full *s = calloc(1, sizeof(*s));
	int rc = 0;

	if (!s)
		return why_set(why, -ENOMEM, NULL, "out of memory");
	if (what & SNAPSHOT_HOLDERS)
		rc = run_iter(l->prog_fd[LOADER_PROG_HOLDER], 0, OVER_ALL, NULL, 0, &s->buf);
	if (rc == 0 && what & SNAPSHOT_MEMBERS)
		rc = run_iter(l->prog_fd[LOADER_PROG_MEMBER], 0, OVER_ALL, NULL, 0, &s->buf);
	if (rc < 0)
		why_set(why, rc, NULL, "cannot list the processes of this machine: %s",
			strerror(-rc));
	if (rc == 0 && n >= LISTED_FROM) {
		rc = read_listed(l, tgids, n, what, &s->buf);
		if (rc < 0)
			why_set(why, rc, NULL, "cannot take a snapshot of %zu processes: %s", n,
				strerror(-rc));
		n = 0;
	}
	for (size_t i = 0; i < n && rc == 0; i++) {
		rc = tgids[i] > 0 ? read_parts(l, tgids[i], OVER_GROUP, NULL, what, &s->buf)
				  : -EINVAL;
		if (rc < 0)
			why_set(why, rc,
				rc == -EPERM ? "run as root, or grant CAP_BPF and CAP_PERFMON"
					     : NULL,
				"cannot take a snapshot of process %d: %s", tgids[i],
				strerror(-rc));
	}
	if (rc == 0) {
		rc = make_tables(s);
		if (rc < 0)
			why_set(why, rc,
				rc == -EPROTO ? "run `ebpf-ckpt unload`, then try again" : NULL,
				"cannot understand what the eBPF programs tell: %s", strerror(-rc));
	}
	if (rc < 0) {
		snapshot_free(&s->pub);
		return rc;
	}
	*ret = &s->pub;
	return 0;
}

/* --- adding --- */

static bool is_among(int fd, const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fds[i] == fd)
			return true;
	return false;
}

static int add_row(struct snapshot_full *s, const struct rec_head *head)
{
	size_t n = s->n_rows[head->type];
	const void **rows = realloc(s->rows[head->type], (n + 2) * sizeof(*rows));

	if (!rows)
		return -ENOMEM;
	rows[n] = head;
	s->rows[head->type] = rows;
	s->n_rows[head->type] = n + 1;
	return 0;
}

static int add_file_pair(struct snapshot_full *s, struct rec_file *rec)
{
	struct snapshot *pub = &s->pub;
	struct snap_file *files = realloc(pub->files, (pub->n_files + 1) * sizeof(*files));

	if (!files)
		return -ENOMEM;
	pub->files = files;
	files[pub->n_files++] =
		(struct snap_file){ .rec = rec,
				    .path = take_path(&rec->inode, (char *)rec + sizeof(*rec)) };
	return 0;
}

static int compare_pairs(const void *pa, const void *pb)
{
	const struct snap_file *a = pa, *b = pb;

	return compare_rows(&a->rec, &b->rec);
}

/* The records of these descriptors that a stream has; it belongs to the snapshot by now. */
static int add_records(struct snapshot_full *s, struct buffer *b, const int *fds, size_t n)
{
	size_t counts[REC_TYPE_NR] = { 0 };
	int rc = count_records(b, counts);

	for (size_t at = 0; rc == 0 && at < b->len;) {
		struct rec_detail *detail = (void *)(b->data + at);
		uint16_t type = detail->head.type;

		at += detail->head.len;
		if ((type != REC_FILE && type != REC_LOCK && type < REC_DETAIL_FIRST) ||
		    !is_among(detail->fd, fds, n))
			continue;
		rc = add_row(s, &detail->head);
		if (rc == 0 && type == REC_FILE)
			rc = add_file_pair(s, (void *)detail);
	}
	if (rc < 0)
		return rc;
	for (int type = 0; type < REC_TYPE_NR; type++)
		if (counts[type])
			sort_rows(s->rows[type], s->n_rows[type]);
	qsort(s->pub.files, s->pub.n_files, sizeof(*s->pub.files), compare_pairs);
	s->pub.locks = (void *)s->rows[REC_LOCK];
	s->pub.n_locks = s->n_rows[REC_LOCK];
	return 0;
}

_Static_assert(offsetof(struct rec_file, fd) == offsetof(struct rec_detail, fd) &&
		       offsetof(struct rec_lock, fd) == offsetof(struct rec_detail, fd),
	       "add_records() reads all of them alike");

int snapshot_add_files(struct loader *l, struct snapshot *pub, pid_t tgid, const int *fds, size_t n,
		       struct loader_why *why)
{
	struct snapshot_full *s = (void *)pub;
	struct buffer *added = realloc(s->added, (s->n_added + 1) * sizeof(*added)), *b;
	int rc;

	if (!added)
		return why_set(why, -ENOMEM, NULL, "out of memory");
	s->added = added;
	b = &added[s->n_added++];
	*b = (struct buffer){ 0 };
	rc = read_parts(l, tgid, OVER_GROUP, NULL, SNAPSHOT_FILES, b);
	if (rc == 0)
		rc = add_records(s, b, fds, n);
	if (rc < 0)
		why_set(why, rc, NULL, "cannot look at descriptors of process %d: %s", tgid,
			strerror(-rc));
	return rc;
}

void snapshot_free(struct snapshot *pub)
{
	struct snapshot_full *s = (void *)pub;

	if (!s)
		return;
	for (int type = 0; type < REC_TYPE_NR; type++)
		free(s->rows[type]);
	free(pub->vmas);
	free(pub->files);
	free(pub->paths);
	free(s->by_tid);
	for (size_t i = 0; i < s->n_links; i++)
		free(s->links[i]);
	free(s->links);
	for (size_t i = 0; i < s->n_added; i++)
		free(s->added[i].data);
	free(s->added);
	free(s->joined.data);
	free(s->buf.data);
	free(s);
}

/* The run of rows of `type` whose first key is `key`. */
static size_t find_rows(const struct snapshot *pub, enum rec_type type, pid_t key, size_t *n)
{
	const struct snapshot_full *s = (const void *)pub;
	const void **rows = s->rows[type];
	size_t low = 0, high = s->n_rows[type], first;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (first_key(rows[middle]) < key)
			low = middle + 1;
		else
			high = middle;
	}
	first = low;
	high = s->n_rows[type];
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (first_key(rows[middle]) <= key)
			low = middle + 1;
		else
			high = middle;
	}
	*n = low - first;
	return first;
}

static const void *find_row(const struct snapshot *pub, enum rec_type type, pid_t key)
{
	const struct snapshot_full *s = (const void *)pub;
	size_t n, first = find_rows(pub, type, key, &n);

	return n ? s->rows[type][first] : NULL;
}

const struct rec_task *snapshot_task(const struct snapshot *pub, pid_t tid)
{
	const struct snapshot_full *s = (const void *)pub;
	struct rec_task wanted = { .tid = tid };
	const struct rec_task *key = &wanted, **found;

	found = bsearch(&key, s->by_tid, pub->n_tasks, sizeof(*s->by_tid), compare_tids);
	return found ? *found : NULL;
}

const struct rec_process *snapshot_process(const struct snapshot *s, pid_t tgid)
{
	return find_row(s, REC_PROCESS, tgid);
}

const struct rec_sighand *snapshot_sighand(const struct snapshot *s, pid_t tgid)
{
	return find_row(s, REC_SIGHAND, tgid);
}

const struct rec_mm *snapshot_mm(const struct snapshot *s, pid_t tgid)
{
	return find_row(s, REC_MM, tgid);
}

const struct rec_groups *snapshot_groups(const struct snapshot *s, pid_t tid)
{
	return find_row(s, REC_GROUPS, tid);
}

const struct snap_path *snapshot_path(const struct snapshot *s, pid_t tgid, enum rec_path_what what)
{
	size_t n, first = find_rows(s, REC_PATH, tgid, &n);

	for (size_t i = first; i < first + n; i++) {
		if (s->paths[i].rec->what == what)
			return &s->paths[i];
	}
	return NULL;
}

void snapshot_tasks_of(const struct snapshot *s, pid_t tgid, size_t *first, size_t *n)
{
	*first = find_rows(s, REC_TASK, tgid, n);
}

void snapshot_vmas_of(const struct snapshot *s, pid_t tgid, size_t *first, size_t *n)
{
	*first = find_rows(s, REC_VMA, tgid, n);
}

void snapshot_files_of(const struct snapshot *s, pid_t tgid, size_t *first, size_t *n)
{
	*first = find_rows(s, REC_FILE, tgid, n);
}

void snapshot_timers_of(const struct snapshot *s, pid_t tgid, size_t *first, size_t *n)
{
	*first = find_rows(s, REC_TIMER, tgid, n);
}

void snapshot_locks_of(const struct snapshot *s, pid_t tgid, size_t *first, size_t *n)
{
	*first = find_rows(s, REC_LOCK, tgid, n);
}

void snapshot_members_of(const struct snapshot *s, pid_t tgid, size_t *first, size_t *n)
{
	*first = find_rows(s, REC_MEMBER, tgid, n);
}

const void *const *snapshot_details(const struct snapshot *pub, enum rec_type type, pid_t tgid,
				    int fd, size_t *ret_n)
{
	const struct snapshot_full *s = (const void *)pub;
	size_t n, first = find_rows(pub, type, tgid, &n), end = first + n, high = end;

	while (first < high) {
		size_t middle = first + (high - first) / 2;

		if (second_key(s->rows[type][middle]) < (uint32_t)fd)
			first = middle + 1;
		else
			high = middle;
	}
	for (n = 0; first + n < end && second_key(s->rows[type][first + n]) == (uint32_t)fd;)
		n++;
	*ret_n = n;
	return (const void *const *)&s->rows[type][first];
}
