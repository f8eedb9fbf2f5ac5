// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * POSIX message queues (mq_overview(7)): name, limits, messages with their priorities and order.
 * The kernel has no way to look at messages without taking them away: they are read by eBPF.
 *
 * A queue with a name outlives the processes that have it open. One that is there at restore is
 * used when its limits and owner are the same; its messages are made those of the image, unless
 * others have it open. Who waits by mq_notify(3) is restored with the processes (build_ipc.c).
 */
#include "../safe.h"
#include "../util.h"
#include "kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <mqueue.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <xxhash.h>

/* Limits of the kernel for the privileged (HARD_MSGMAX, HARD_MSGSIZEMAX). */
#define MESSAGES_MAX	  65536u
#define MESSAGE_BYTES_MAX (16u << 20)
#define QUEUE_BYTES_MAX	  (1ULL << 32)

static bool match(const struct kind_file *f)
{
	return S_ISREG(f->inode->mode) && !strcmp(f->inode->fstype, "mqueue");
}

/* The path is the name in the file system of queues, which may be mounted somewhere. */
static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* ---- messages, as told by the kernel or by an image ---- */

struct message {
	uint32_t priority, index, len, got;
	uint64_t at; /* where its bytes begin */
};

struct messages {
	struct message *m; /* owned */
	size_t n;
	char *bytes; /* owned: one message after the other */
	uint64_t len;
};

static void messages_done(struct messages *q)
{
	free(q->m);
	free(q->bytes);
}

/* As they are received: high priorities first, of one priority the oldest first. */
static int by_turn(const void *a, const void *b)
{
	const struct message *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

/* The bytes in the order of the messages. */
static int arrange(struct messages *q)
{
	char *sorted = malloc(q->len ? q->len : 1);
	uint64_t at = 0;

	if (!sorted)
		return -ENOMEM;
	qsort(q->m, q->n, sizeof(*q->m), by_turn);
	for (size_t i = 0; i < q->n; i++) {
		memcpy(sorted + at, q->bytes + q->m[i].at, q->m[i].len);
		q->m[i].at = at;
		at += q->m[i].len;
	}
	free(q->bytes);
	q->bytes = sorted;
	return 0;
}

/* One piece: they come in order of messages, and of offsets within each. */
static bool add_piece(struct messages *q, const struct rec_mqueue_piece *p, size_t n_max,
		      uint64_t len_max)
{
	struct message *m;

	if (p->offset == 0) {
		if (q->n == n_max || p->message_bytes > len_max - q->len)
			return false;
		q->m[q->n++] = (struct message){ .priority = p->priority,
						 .index = p->index,
						 .len = p->message_bytes,
						 .at = q->len };
		q->len += p->message_bytes;
	}
	m = q->n ? &q->m[q->n - 1] : NULL;
	if (!m || m->index != p->index || m->got != p->offset || p->bytes > m->len - m->got)
		return false;
	memcpy(q->bytes + m->at + m->got, p + 1, p->bytes);
	m->got += p->bytes;
	return true;
}

static bool is_complete(const struct messages *q, const struct rec_mqueue *queue)
{
	for (size_t i = 0; i < q->n; i++)
		if (q->m[i].got != q->m[i].len)
			return false;
	return q->n == queue->n_messages && q->len == queue->bytes;
}

/* The queue that a descriptor refers to, and its messages. */
static int read_queue(const struct snapshot *s, pid_t tgid, int fd, const struct rec_mqueue **ret,
		      struct messages *q, struct ckpt_err **err)
{
	size_t n;
	const void *const *rows = snapshot_details(s, REC_MQUEUE, tgid, fd, &n);
	const struct rec_mqueue *queue = n ? rows[0] : NULL;
	bool ok = true;

	*q = (struct messages){ 0 };
	if (!queue || queue->what != REC_MQUEUE_QUEUE || queue->n_messages > MESSAGES_MAX ||
	    queue->bytes > QUEUE_BYTES_MAX)
		return ckpt_fail(err, EIO, CKPT_E_BPF, "nothing is known of a message queue");
	*ret = queue;
	q->m = calloc(queue->n_messages + 1, sizeof(*q->m));
	q->bytes = malloc(queue->bytes + 1);
	if (!q->m || !q->bytes)
		return ckpt_fail_nomem(err);
	for (size_t i = 1; ok && i < n; i++) {
		const struct rec_mqueue_piece *p = rows[i];

		ok = p->what == REC_MQUEUE_PIECE &&
		     add_piece(q, p, queue->n_messages, queue->bytes);
	}
	if (!ok || !is_complete(q, queue))
		return ckpt_fail(err, EAGAIN, CKPT_E_CHANGING,
				 "the queue changed while its messages were read");
	return arrange(q) < 0 ? ckpt_fail_nomem(err) : 0;
}

/* ---- saving ---- */

static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	char who[128];
	pid_t pid;

	if (f->inode->f_flags & O_PATH)
		return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
				 "a message queue opened with O_PATH is not supported");
	pid = kind_outside_holder(d, f, true);
	if (!pid)
		return 0;
	kind_process_words(pid, who, sizeof(who));
	ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED, "%s has the queue open, too", who);
	ckpt_hint(err, "end that process, or let it close the queue, before the checkpoint");
	return -EOPNOTSUPP;
}

/* "PRIORITY BYTES" each; their contents only as a checksum. */
static int messages_save(const struct messages *q, json_t *o)
{
	json_t *rows = json_array();
	char text[40];
	int rc = json_object_set_new(o, "messages", rows);

	for (size_t i = 0; i < q->n; i++) {
		snprintf(text, sizeof(text), "%u %u", q->m[i].priority, q->m[i].len);
		rc |= json_array_append_new(rows, json_string(text));
	}
	snprintf(text, sizeof(text), "%016llx", (unsigned long long)XXH3_64bits(q->bytes, q->len));
	return rc | json_object_set_new(o, "contents_xxh3", json_string(text));
}

static int queue_save(const struct kind_file *f, const struct rec_mqueue *queue,
		      const struct messages *q, json_t *o)
{
	int rc = 0;

	if (f->inode->unhashed)
		rc |= js_set_bool(o, "unlinked", true);
	rc |= js_set_int(o, "max_messages", (int64_t)queue->max_messages);
	rc |= js_set_int(o, "max_bytes", (int64_t)queue->max_bytes);
	rc |= js_set_int(o, "mode", f->inode->mode & 07777);
	rc |= js_set_int(o, "uid", f->inode->uid);
	rc |= js_set_int(o, "gid", f->inode->gid);
	return rc | messages_save(q, o);
}

static int data_save(struct kind_dump *d, const struct messages *q, json_t *o,
		     struct ckpt_err **err)
{
	char name[40];

	snprintf(name, sizeof(name), "mqueue-%lld",
		 (long long)json_integer_value(json_object_get(o, "id")));
	if (json_object_set_new(o, "data", json_string(name)))
		return ckpt_fail_nomem(err);
	return image_data_write(d->w, name, q->bytes, q->len, err);
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	uint32_t id = objects_id(d->os, f->inode->file_id);
	uint32_t first = objects_by_inode(d->os, f->inode->inode_id);
	const struct rec_mqueue *queue;
	struct messages q;
	int rc;

	if (js_set_bytes(o, "name", name_of(f->path)) ||
	    (first != id && js_set_int(o, "inode_of", first)))
		return ckpt_fail_nomem(err);
	if (first != id)
		return 0;
	rc = read_queue(d->snap, f->tgid, f->fd, &queue, &q, err);
	if (rc == 0 && queue_save(f, queue, &q, o))
		rc = ckpt_fail_nomem(err);
	if (rc == 0 && d->w)
		rc = data_save(d, &q, o, err);
	messages_done(&q);
	return rc;
}

/* ---- restoring ---- */

struct queue {
	char name[NAME_MAX + 2]; /* as mq_open(3) wants it: "/name" */
	uint64_t max_messages, max_bytes;
	uint32_t mode, uid, gid;
	bool unlinked;
};

static int parse(const json_t *o, struct queue *q, struct ckpt_err **err)
{
	_cleanup_free_ char *name = NULL;
	int rc = js_bytes(o, "name", &name, err);

	if (rc == 0)
		rc = js_u64(o, "max_messages", &q->max_messages, err);
	if (rc == 0)
		rc = js_u64(o, "max_bytes", &q->max_bytes, err);
	if (rc == 0)
		rc = js_u32(o, "mode", &q->mode, err);
	if (rc == 0)
		rc = js_u32(o, "uid", &q->uid, err);
	if (rc == 0)
		rc = js_u32(o, "gid", &q->gid, err);
	if (rc < 0)
		return rc;
	q->unlinked = json_is_true(json_object_get(o, "unlinked"));
	if (!name[0] || strchr(name, '/') || strlen(name) > NAME_MAX || !strcmp(name, ".") ||
	    !strcmp(name, "..") || q->mode > 07777 || q->max_messages > MESSAGES_MAX ||
	    q->max_bytes > MESSAGE_BYTES_MAX)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a message queue is not sound");
	snprintf(q->name, sizeof(q->name), "/%s", name);
	return 0;
}

static int parse_rows(const json_t *rows, struct messages *q, struct ckpt_err **err)
{
	q->n = json_array_size(rows);
	if (q->n > MESSAGES_MAX)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a queue holds too many messages");
	q->m = calloc(q->n + 1, sizeof(*q->m));
	if (!q->m)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < q->n; i++) {
		const char *text = json_string_value(json_array_get(rows, i));
		struct message *m = &q->m[i];

		if (!text || sscanf(text, "%u %u", &m->priority, &m->len) != 2 ||
		    m->len > MESSAGE_BYTES_MAX || m->len > QUEUE_BYTES_MAX - q->len)
			return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a message is not understood");
		m->at = q->len;
		q->len += m->len;
	}
	return 0;
}

static int messages_load(const struct kind_restore *r, const json_t *o, struct messages *q,
			 struct ckpt_err **err)
{
	_cleanup_close_ int from = -1;
	json_t *rows;
	int rc = js_arr(o, "messages", &rows, err);

	*q = (struct messages){ 0 };
	if (rc == 0)
		rc = parse_rows(rows, q, err);
	if (rc == 0)
		rc = kind_open_data(r, o, q->len, &from, err);
	if (rc < 0)
		return rc;
	q->bytes = malloc(q->len + 1);
	if (!q->bytes)
		return ckpt_fail_nomem(err);
	rc = pread_all(from, q->bytes, q->len, 0);
	return rc < 0 ? ckpt_fail_errno(err, rc, CKPT_E_IMAGE, "read messages") : 0;
}

static bool same_messages(const struct messages *a, const struct messages *b)
{
	if (a->n != b->n || a->len != b->len || memcmp(a->bytes, b->bytes, a->len) != 0)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (a->m[i].priority != b->m[i].priority || a->m[i].len != b->m[i].len)
			return false;
	return true;
}

/* A process other than this one that has the file open. */
static pid_t other_holder(struct loader *l, uint64_t inode_id)
{
	struct snapshot *s = NULL;
	pid_t found = 0;

	if (snapshot_take(l, NULL, 0, SNAPSHOT_HOLDERS, &s, NULL) < 0)
		return 0;
	for (size_t i = 0; i < s->n_holders && !found; i++)
		if (s->holders[i]->inode_id == inode_id && s->holders[i]->tgid != getpid())
			found = s->holders[i]->tgid;
	snapshot_free(s);
	return found;
}

static uint64_t inode_id_of(const struct snapshot *s, int fd)
{
	for (size_t i = 0; i < s->n_files; i++)
		if (s->files[i].rec->fd == fd)
			return s->files[i].rec->inode.inode_id;
	return 0;
}

static int fail_in_use(const struct queue *q, pid_t pid, struct ckpt_err **err)
{
	char who[128], name[300];

	kind_process_words(pid, who, sizeof(who));
	ckpt_fail(err, EBUSY, CKPT_E_RESTORE,
		  "message queue %s has other messages now, and %s has it open",
		  safe_text(name, sizeof(name), q->name), who);
	ckpt_hint(err, "end that process, or let it close the queue");
	return -EBUSY;
}

/*
 * Does the queue that `fd` refers to have the saved messages? If not, *ret_same is false; with
 * `alone`, others who have it open are a failure then.
 */
static int compare_messages(const struct kind_restore *r, const json_t *o, const struct queue *q,
			    int fd, bool alone, bool *ret_same, struct ckpt_err **err)
{
	struct messages saved = { 0 }, now = { 0 };
	const struct rec_mqueue *queue;
	struct loader_why why = { 0 };
	struct snapshot *s = NULL;
	pid_t me = getpid(), pid = 0;
	int rc = snapshot_take(r->loader, &me, 1, SNAPSHOT_FILES, &s, &why);

	if (rc < 0)
		return ckpt_fail_loader(err, rc, &why);
	rc = read_queue(s, me, fd, &queue, &now, err);
	if (rc == 0)
		rc = messages_load(r, o, &saved, err);
	if (rc == 0)
		*ret_same = same_messages(&saved, &now);
	if (rc == 0 && !*ret_same && alone)
		pid = other_holder(r->loader, inode_id_of(s, fd));
	messages_done(&saved);
	messages_done(&now);
	snapshot_free(s);
	return rc == 0 && pid ? fail_in_use(q, pid, err) : rc;
}

/* Is a queue of this name there? 1 and its descriptor: yes, the same one; 0: no. */
static int look(const struct kind_restore *r, const json_t *o, const struct queue *q, int *ret_fd,
		struct ckpt_err **err)
{
	_cleanup_close_ int fd = mq_open(q->name, O_RDWR | O_NONBLOCK);
	struct mq_attr attr;
	struct stat st;
	char name[300];
	bool same;
	int rc;

	safe_text(name, sizeof(name), q->name);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || mq_getattr(fd, &attr) < 0 || fstat(fd, &st) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "open message queue %s", name);
	if ((uint64_t)attr.mq_maxmsg != q->max_messages ||
	    (uint64_t)attr.mq_msgsize != q->max_bytes || st.st_uid != q->uid) {
		ckpt_fail(err, EEXIST, CKPT_E_FILE_CHANGED, "message queue %s is another one now",
			  name);
		ckpt_hint(err, "if nothing needs it: rm /dev/mqueue%s", name);
		return -EEXIST;
	}
	rc = compare_messages(r, o, q, fd, true, &same, err);
	if (rc < 0)
		return rc;
	*ret_fd = TAKE_FD(fd);
	return 1;
}

static int need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	_cleanup_close_ int fd = -1;
	struct messages m = { 0 };
	struct queue q = { 0 };
	int rc;

	if (json_object_get(o, "inode_of"))
		return 0;
	rc = parse(o, &q, err);
	if (rc == 0) {
		rc = messages_load(r, o, &m, err);
		messages_done(&m);
	}
	if (rc == 0 && !q.unlinked && r->loader)
		rc = look(r, o, &q, &fd, err);
	return rc < 0 ? rc : 0;
}

static int fail_create(const struct queue *q, struct ckpt_err **err)
{
	int rc = -errno;
	char name[300];

	ckpt_fail_errno(err, rc, CKPT_E_RESTORE,
			"make message queue %s for %" PRIu64 " messages of %" PRIu64 " bytes",
			safe_text(name, sizeof(name), q->name), q->max_messages, q->max_bytes);
	if (rc == -EINVAL)
		ckpt_hint(err, "raise /proc/sys/fs/mqueue/msg_max and msgsize_max");
	else if (rc == -EMFILE)
		ckpt_hint(err, "raise the limit of bytes in message queues (ulimit -q)");
	else if (rc == -ENOSPC)
		ckpt_hint(err, "raise /proc/sys/fs/mqueue/queues_max");
	return rc;
}

static int create(const struct queue *q, int *ret_fd, struct ckpt_err **err)
{
	struct mq_attr attr = { .mq_maxmsg = (long)q->max_messages,
				.mq_msgsize = (long)q->max_bytes };
	/* Close-on-exec always; asked for, it would show in the description's flags. */
	const int flags = O_RDWR | O_NONBLOCK | O_CREAT | O_EXCL;
	struct rlimit lim;
	char other[64];
	const char *name = q->name;

	if (getrlimit(RLIMIT_MSGQUEUE, &lim) == 0 && lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_MSGQUEUE, &lim);
	}
	*ret_fd = mq_open(name, flags, 0600, &attr);
	if (*ret_fd < 0 && errno == EEXIST && q->unlinked) {
		/* Its name is another queue's by now; it would go away at once anyway. */
		snprintf(other, sizeof(other), "/ebpf-ckpt-%d", getpid());
		name = other;
		*ret_fd = mq_open(name, flags, 0600, &attr);
	}
	if (*ret_fd < 0)
		return fail_create(q, err);
	if (q->unlinked)
		mq_unlink(name);
	if (fchown(*ret_fd, q->uid, q->gid) < 0 || fchmod(*ret_fd, q->mode) < 0) {
		int rc = ckpt_fail_errno(err, errno, CKPT_E_RESTORE,
					 "give a message queue its owner");

		if (!q->unlinked)
			mq_unlink(name);
		return rc;
	}
	return 0;
}

static int fill(const struct kind_restore *r, const json_t *o, int fd, struct ckpt_err **err)
{
	struct messages m;
	int rc = messages_load(r, o, &m, err);

	for (size_t i = 0; rc == 0 && i < m.n; i++)
		if (mq_send(fd, m.bytes + m.m[i].at, m.m[i].len, m.m[i].priority) < 0)
			rc = ckpt_fail_errno(err, errno, CKPT_E_RESTORE,
					     "put a message back into its queue");
	messages_done(&m);
	return rc;
}

static int open_first(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	struct queue q = { 0 };
	uint32_t id = 0;
	int there = 0, rc = js_u32(o, "id", &id, err);

	if (rc == 0)
		rc = parse(o, &q, err);
	if (rc == 0 && !q.unlinked)
		there = rc = look(r, o, &q, ret_fd, err);
	if (rc < 0 || there)
		return rc < 0 ? rc : 0;
	rc = create(&q, ret_fd, err);
	if (rc < 0)
		return rc;
	r->made[id] = true;
	return fill(r, o, *ret_fd, err);
}

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	_cleanup_close_ int fd = -1;
	int flags = 0, rc = kind_open_flags(o, &flags, err);

	if (rc == 0 && json_object_get(o, "inode_of"))
		return kind_open_other(r, o, flags, ret_fd, err);
	if (rc == 0)
		rc = open_first(r, o, &fd, err);
	if (rc < 0)
		return rc;
	if ((flags & O_ACCMODE) == O_RDWR) {
		*ret_fd = TAKE_FD(fd);
		return 0;
	}
	rc = kind_reopen(fd, flags, "a message queue", err);
	if (rc < 0)
		return rc;
	*ret_fd = rc;
	return 0;
}

static int drain(const struct queue *q, int fd, struct ckpt_err **err)
{
	_cleanup_free_ char *buf = malloc(q->max_bytes ? q->max_bytes : 1);

	if (!buf)
		return ckpt_fail_nomem(err);
	while (mq_receive(fd, buf, q->max_bytes, NULL) >= 0)
		;
	return errno == EAGAIN
		       ? 0
		       : ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "empty a message queue");
}

/* A queue that was there gets the messages of the image, before anybody waits for one. */
static int connect_it(struct kind_restore *r, const json_t *o, int fd, struct ckpt_err **err)
{
	_cleanup_close_ int own = -1;
	struct queue q = { 0 };
	uint32_t id = 0;
	bool same = true;
	int rc;

	if (json_object_get(o, "inode_of"))
		return 0;
	rc = js_u32(o, "id", &id, err);
	if (rc == 0)
		rc = parse(o, &q, err);
	if (rc < 0 || r->made[id])
		return rc;
	rc = compare_messages(r, o, &q, fd, false, &same, err);
	if (rc < 0 || same)
		return rc;
	own = kind_reopen(fd, O_RDWR | O_NONBLOCK, "a message queue", err);
	rc = own < 0 ? own : drain(&q, own, err);
	return rc < 0 ? rc : fill(r, o, own, err);
}

static void undo(const struct kind_restore *r, const json_t *o)
{
	struct queue q = { 0 };

	(void)r;
	if (parse(o, &q, NULL) == 0 && !q.unlinked)
		mq_unlink(q.name);
}

/* The name of one that has none any more may be another's now. */
static int same(const json_t *saved, const json_t *now, struct ckpt_err **err)
{
	static const char *const all[] = { "unlinked",	"inode_of", "max_messages",
					   "max_bytes", "mode",	    "uid",
					   "gid",	"messages", "contents_xxh3" };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof(all) / sizeof(all[0]); i++)
		rc = objects_same_member(saved, now, all[i], err);
	if (rc == 0 && !json_is_true(json_object_get(saved, "unlinked")) &&
	    !json_object_get(saved, "inode_of"))
		rc = objects_same_member(saved, now, "name", err);
	return rc;
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	char name[300];

	snprintf(buf, len, "POSIX message queue /%s%s",
		 safe_text(name, sizeof(name), name_of(f->path)),
		 f->inode->unhashed ? " (removed)" : "");
}

const struct ckpt_kind kind_mqueue = {
	.name = "mqueue",
	.has_pos = true,
	.match = match,
	.check = check,
	.save = save,
	.need = need,
	.open = open_it,
	.connect = connect_it,
	.undo = undo,
	.same = same,
	.describe = describe,
};
