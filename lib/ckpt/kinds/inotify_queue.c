// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The events that wait in an inotify instance. None can be put there: they are made again, on files
 * of our own, which nobody else sees, and which are watched by the numbers that the events name.
 *
 * Those numbers must then go over to the files that the program watches, and to take a watch away
 * adds an event, IN_IGNORED, which the program must not see. But a full queue takes no event, and
 *of the events lost it tells only once (IN_Q_OVERFLOW) for as long as that stands in the queue. So
 *the queue is filled before, first of all with events of no meaning, which are read in the end:
 *
 *	fill it until it overflows                [junk ... junk, overflow]
 *	read as many as are wanted, and one more  [junk ... junk, overflow]
 *	make the events: it is full again         [junk ... junk, overflow, events]
 *	take our watches away, add the program's: nothing is added
 *	read the rest of the junk                 [events]
 *
 * If the program has an overflow waiting itself, that one is not read, and the events before it are
 * made at the end of the filling.
 */
#include "../util.h"
#include "notify.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef INOTIFY_IOC_SETNEXTWD
#define INOTIFY_IOC_SETNEXTWD _IOW('I', 0, int32_t)
#endif

#define EVENT_BYTES sizeof(struct inotify_event)
/* What we never do to a scratch file but on purpose. */
#define IN_QUIET IN_MOVE_SELF
/* What inotify(7) says that a program may see. */
#define IN_SHOWN (IN_ALL_EVENTS | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED | IN_ISDIR)

/* ---- saving ---- */

int inotify_events_save(const struct kind_dump *d, const struct kind_file *f, json_t **ret,
			struct ckpt_err **err)
{
	_cleanup_json_ json_t *rows = json_array();
	uint32_t cookie = 0, n_cookies = 0;
	size_t n = 0;
	const void *const *e = snapshot_details(d->snap, REC_NOTIFY_EVENT, f->tgid, f->fd, &n);
	int rc = rows ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		const struct rec_notify_event *event = e[i];
		json_t *o = json_object();

		rc = json_array_append_new(rows, o);
		rc |= js_set_int(o, "wd", event->wd);
		rc |= js_set_int(o, "mask", event->mask & IN_SHOWN);
		if (event->name_len)
			rc |= js_set_bytes(o, "name", (const char *)(event + 1));
		/* The number itself is the kernel's; it only says which two events are one
		 * renaming.
		 */
		if (event->cookie) {
			n_cookies += event->cookie != cookie;
			cookie = event->cookie;
			rc |= js_set_int(o, "cookie", n_cookies);
		}
	}
	if (rc)
		return ckpt_fail_nomem(err);
	*ret = TAKE_PTR(rows);
	return 0;
}

/* ---- the rows ---- */

struct event {
	int32_t wd;
	uint32_t mask, cookie;
	char *name; /* owned; NULL: none */
};

struct events {
	struct event *e;
	size_t n;
};

static void events_done(struct events *es)
{
	for (size_t i = 0; i < es->n; i++)
		free(es->e[i].name);
	free(es->e);
	*es = (struct events){ 0 };
}

static int parse_event(const json_t *row, struct event *e, struct ckpt_err **err)
{
	uint64_t cookie = 0;
	int rc = js_i32(row, "wd", &e->wd, err);

	if (rc == 0)
		rc = js_u32(row, "mask", &e->mask, err);
	if (rc == 0)
		rc = js_opt_u64(row, "cookie", &cookie, err);
	if (rc == 0 && json_object_get(row, "name"))
		rc = js_bytes(row, "name", &e->name, err);
	e->cookie = (uint32_t)cookie;
	if (rc == 0 &&
	    ((e->wd < 1) != (e->mask == IN_Q_OVERFLOW) || cookie > UINT32_MAX ||
	     (e->name && (!*e->name || strlen(e->name) > NAME_MAX || strchr(e->name, '/') ||
			  !strcmp(e->name, ".") || !strcmp(e->name, "..")))))
		rc = ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "an event of watch %d is not sound",
			       e->wd);
	return rc;
}

static bool is_pair(const struct event *from, const struct event *to)
{
	return (from->mask & ~(uint32_t)IN_ISDIR) == IN_MOVED_FROM &&
	       (to->mask & ~(uint32_t)IN_ISDIR) == IN_MOVED_TO && from->cookie == to->cookie;
}

/* Can it be made? An event is of one thing only, and not all go with a name, or with a directory.
 */
static bool can_make(const struct events *es, size_t i)
{
	const struct event *e = &es->e[i], *next = i + 1 < es->n ? e + 1 : NULL;
	uint32_t named = IN_ACCESS | IN_MODIFY | IN_ATTRIB | IN_CLOSE | IN_OPEN | IN_MOVE |
			 IN_CREATE | IN_DELETE;
	uint32_t self = IN_ACCESS | IN_MODIFY | IN_ATTRIB | IN_CLOSE | IN_OPEN;
	uint32_t dir = named & ~(uint32_t)(IN_MODIFY | IN_CLOSE_WRITE);
	uint32_t what = e->mask & ~(uint32_t)IN_ISDIR;
	bool is_dir = e->mask & IN_ISDIR;

	if (!what || what & (what - 1) || (is_dir && !(what & dir)))
		return false;
	if (what == IN_DELETE_SELF) /* which is never alone */
		return !e->name && next && next->wd == e->wd && next->mask == IN_IGNORED;
	if (what == IN_MOVE_SELF || what == IN_IGNORED || what == IN_Q_OVERFLOW)
		return !e->name;
	/* Both halves of a renaming are made at once. */
	if (what == IN_MOVED_TO && e->cookie)
		for (size_t k = 0; k + 1 < i; k++)
			if (es->e[k].cookie == e->cookie)
				return false;
	return what & (e->name ? named : self);
}

static int parse_events(const json_t *rows, struct events *es, struct ckpt_err **err)
{
	int rc = 0;

	es->e = calloc(json_array_size(rows) + 1, sizeof(*es->e));
	if (!es->e)
		return ckpt_fail_nomem(err);
	for (; rc == 0 && es->n < json_array_size(rows); es->n++)
		rc = parse_event(json_array_get(rows, es->n), &es->e[es->n], err);
	for (size_t i = 0; rc == 0 && i < es->n; i++) {
		if (can_make(es, i))
			continue;
		rc = ckpt_fail(
			err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
			"an event of watch %d that waits to be read (%#x%s%s) cannot be made again",
			es->e[i].wd, es->e[i].mask, es->e[i].name ? " of " : "",
			es->e[i].name ? "a name" : "");
		ckpt_hint(err, "try again when the program has read its events");
	}
	return rc;
}

int inotify_events_need(const json_t *events, struct ckpt_err **err)
{
	struct events es = { 0 };
	int rc = parse_events(events, &es, err);

	events_done(&es);
	return rc;
}

/* ---- scratch files ---- */

struct scratch {
	int32_t wd;
	int fd; /* owned: the file or directory that is watched; -1: gone */
	bool is_dir;
	bool moved; /* it has its other name */
	bool watched;
};

struct inotify_queue {
	int fd;	 /* borrowed */
	int tmp; /* owned: a file system that is mounted nowhere */
	int next_free;
	struct events es;
	struct scratch *s; /* sorted by wd */
	size_t n_s;
	int junk_dir, junk[2]; /* owned */
	int junk_wd;
	uint64_t n_junk; /* how many are in the queue, at its head */
	bool overflow;	 /* one of ours is there, behind the junk */
};

int inotify_next_wd(int fd, int wd, struct ckpt_err **err)
{
	if (ioctl(fd, INOTIFY_IOC_SETNEXTWD, wd) == 0)
		return 0;
	ckpt_fail_errno(err, errno, CKPT_E_KERNEL, "choose the number of a watch");
	ckpt_hint(err, "the kernel needs CONFIG_CHECKPOINT_RESTORE");
	return -errno;
}

int inotify_watch_fd(int fd, int target, uint32_t mask)
{
	char link[40];
	int wd;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", target);
	wd = inotify_add_watch(fd, link, mask);
	return wd < 0 ? -errno : wd;
}

static int make_tmp(struct inotify_queue *q, struct ckpt_err **err)
{
	_cleanup_close_ int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);

	if (fs >= 0 && syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		q->tmp = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
	if (q->tmp < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_PRIVILEGE,
				       "make a file system for the events of inotify");
	return mkdirat(q->tmp, "t", 0700) < 0
		       ? ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "make a directory")
		       : 0;
}

/* Make a file, or directory, of one byte, and open it. -1 with errno. */
static int make_file(int dir, const char *name, bool is_dir)
{
	int fd;

	if (is_dir)
		return mkdirat(dir, name, 0700) < 0
			       ? -1
			       : openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0 && pwrite(fd, "x", 1, 0) != 1)
		close_reset(&fd);
	return fd;
}

/* The names of a scratch file: before and after it was moved. */
static const char *scratch_name(const struct scratch *s, bool moved, char buf[32])
{
	snprintf(buf, 32, "%c%d", moved ? 'm' : 's', s->wd);
	return buf;
}

static struct scratch *find_scratch(const struct inotify_queue *q, int32_t wd)
{
	for (size_t i = 0; i < q->n_s; i++)
		if (q->s[i].wd == wd)
			return &q->s[i];
	return NULL;
}

/* One for every number in the events: a directory if one is needed. */
static int find_scratches(struct inotify_queue *q, struct ckpt_err **err)
{
	q->s = calloc(q->es.n + 1, sizeof(*q->s));
	if (!q->s)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < q->es.n; i++) {
		const struct event *e = &q->es.e[i];
		struct scratch *s;

		if (e->wd < 0)
			continue;
		s = find_scratch(q, e->wd);
		if (!s) {
			s = &q->s[q->n_s++];
			*s = (struct scratch){ .wd = e->wd, .fd = -1 };
		}
		s->is_dir |= e->name || e->mask & IN_ISDIR;
	}
	return 0;
}

static int watch_scratches(struct inotify_queue *q, struct ckpt_err **err)
{
	char name[32];
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < q->n_s; i++) {
		struct scratch *s = &q->s[i];

		s->fd = make_file(q->tmp, scratch_name(s, false, name), s->is_dir);
		if (s->fd < 0)
			return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "make a scratch file");
		rc = inotify_next_wd(q->fd, s->wd, err);
		if (rc == 0 && inotify_watch_fd(q->fd, s->fd, IN_QUIET) != s->wd)
			rc = ckpt_fail(err, EIO, CKPT_E_RESTORE, "watch a scratch file as %d",
				       s->wd);
		s->watched = rc == 0;
	}
	return rc;
}

/* ---- filling and reading ---- */

static int64_t queued_bytes(const struct inotify_queue *q)
{
	int bytes = 0;

	return ioctl(q->fd, FIONREAD, &bytes) < 0 ? -errno : bytes;
}

/* As the kernel pads it. */
static size_t event_bytes(const struct event *e)
{
	return EVENT_BYTES +
	       (e->name ? (strlen(e->name) + 1 + EVENT_BYTES - 1) / EVENT_BYTES * EVENT_BYTES : 0);
}

#define JUNK_BYTES (2 * EVENT_BYTES)

static int start_junk(struct inotify_queue *q, struct ckpt_err **err)
{
	q->junk_dir = make_file(q->tmp, "j", true);
	for (int i = 0; q->junk_dir >= 0 && i < 2; i++)
		q->junk[i] = make_file(q->junk_dir, i ? "b" : "a", false);
	if (q->junk_dir < 0 || q->junk[0] < 0 || q->junk[1] < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "make a scratch file");
	q->junk_wd = q->next_free + 1;
	if (q->next_free == INT_MAX)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a watch has the highest number");
	if (inotify_next_wd(q->fd, q->junk_wd, err) < 0)
		return -EOPNOTSUPP;
	q->junk_wd = inotify_watch_fd(q->fd, q->junk_dir, IN_ACCESS);
	return q->junk_wd < 0
		       ? ckpt_fail_errno(err, q->junk_wd, CKPT_E_RESTORE, "watch a scratch file")
		       : 0;
}

/* Two equal events in a row would be one. */
static void add_junk(struct inotify_queue *q, uint64_t n)
{
	char c;

	for (uint64_t i = 0; i < n; i++)
		if (pread(q->junk[(q->n_junk + i) % 2], &c, 1, 0) != 1)
			break;
	q->n_junk += n;
}

static int read_bytes(const struct inotify_queue *q, uint64_t bytes, struct ckpt_err **err)
{
	char buf[64 * JUNK_BYTES];

	while (bytes > 0) {
		ssize_t n = read(q->fd, buf, bytes < sizeof(buf) ? bytes : sizeof(buf));

		if (n <= 0)
			return ckpt_fail_errno(err, n < 0 ? errno : EIO, CKPT_E_RESTORE,
					       "read an inotify instance");
		bytes -= (uint64_t)n;
	}
	return 0;
}

/* How many events the instance takes; it was made just now. */
static uint64_t queue_limit(void)
{
	_cleanup_close_ int fd =
		open("/proc/sys/fs/inotify/max_queued_events", O_RDONLY | O_CLOEXEC);
	char text[32] = "";

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return 0;
	return strtoull(text, NULL, 10);
}

/* ---- making events ---- */

/* From here on a scratch file tells of these acts, and no others. */
static int listen_to(struct inotify_queue *q, const struct scratch *s, uint32_t mask)
{
	return inotify_watch_fd(q->fd, s->fd, mask) == s->wd ? 0 : -EIO;
}

/* Of a directory: look into it. */
static int access_file(int fd, bool is_dir)
{
	char buf[1024];

	if (!is_dir)
		return pread(fd, buf, 1, 0) == 1 ? 0 : -EIO;
	lseek(fd, 0, SEEK_SET);
	return syscall(SYS_getdents64, fd, buf, sizeof(buf)) > 0 ? 0 : -EIO;
}

/* What can be done to an open file, by itself or as one of a watched directory. */
static int act_on(int fd, uint32_t what, bool is_dir)
{
	switch (what) {
	case IN_ACCESS:
		return access_file(fd, is_dir);
	case IN_MODIFY:
		return pwrite(fd, "y", 1, 0) == 1 ? 0 : -EIO;
	case IN_ATTRIB:
		return fchmod(fd, 0700) < 0 ? -errno : 0;
	default:
		return -EINVAL;
	}
}

/* Open and close; the one that is wanted is listened to. */
static int open_close(struct inotify_queue *q, const struct scratch *s, int dir, const char *name,
		      uint32_t what, bool is_dir)
{
	int flags = (what == IN_CLOSE_WRITE ? O_WRONLY : O_RDONLY) | (is_dir ? O_DIRECTORY : 0);
	int fd, rc = listen_to(q, s, what);

	if (rc < 0)
		return rc;
	fd = openat(dir, name, flags | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* Of an opening, not the closing; of a closing, it was not told that it was opened. */
	close(fd);
	return 0;
}

/* An act on the watched file or directory itself. */
static int make_self(struct inotify_queue *q, struct scratch *s, uint32_t what, bool is_dir)
{
	char name[32], other[32];
	int rc = listen_to(q, s, what);

	if (rc < 0)
		return rc;
	if (what & (IN_OPEN | IN_CLOSE))
		return open_close(q, s, q->tmp, scratch_name(s, s->moved, name), what, is_dir);
	if (what == IN_MOVE_SELF) {
		if (renameat(q->tmp, scratch_name(s, s->moved, name), q->tmp,
			     scratch_name(s, !s->moved, other)) < 0)
			return -errno;
		s->moved = !s->moved;
		return 0;
	}
	if (what == IN_DELETE_SELF) { /* and the IN_IGNORED that follows */
		s->watched = false;
		rc = unlinkat(q->tmp, scratch_name(s, s->moved, name),
			      s->is_dir ? AT_REMOVEDIR : 0);
		close_reset(&s->fd);
		return rc < 0 ? -errno : 0;
	}
	if (what == IN_IGNORED) {
		s->watched = false;
		return inotify_rm_watch(q->fd, s->wd) < 0 ? -errno : 0;
	}
	return act_on(s->fd, what, is_dir);
}

/* Make or remove an entry, or move it in or out. */
static int change_entry(struct inotify_queue *q, const struct scratch *s, const struct event *e,
			uint32_t what, bool is_dir)
{
	_cleanup_close_ int staging = openat(q->tmp, "t", O_PATH | O_CLOEXEC), fd = -1;
	int rc = listen_to(q, s, what);

	if (rc < 0)
		return rc;
	if (what == IN_CREATE) {
		fd = make_file(s->fd, e->name, is_dir);
		rc = fd < 0 ? -1 : 0;
	} else if (what == IN_DELETE) {
		rc = unlinkat(s->fd, e->name, is_dir ? AT_REMOVEDIR : 0);
	} else if (what == IN_MOVED_FROM) {
		rc = renameat(s->fd, e->name, staging, "x");
	} else {
		rc = renameat(staging, "x", s->fd, e->name);
	}
	return rc < 0 ? -errno : 0;
}

/* An act on an entry of a watched directory, which is there only as long as it takes. */
static int make_named(struct inotify_queue *q, const struct scratch *s, const struct event *e,
		      uint32_t what, bool is_dir)
{
	_cleanup_close_ int staging = openat(q->tmp, "t", O_PATH | O_CLOEXEC), fd = -1;
	int rc = listen_to(q, s, IN_QUIET);

	if (rc == 0 && what != IN_CREATE) {
		fd = make_file(what == IN_MOVED_TO ? staging : s->fd,
			       what == IN_MOVED_TO ? "x" : e->name, is_dir);
		if (fd < 0)
			return -errno;
	}
	if (rc == 0 && what & (IN_OPEN | IN_CLOSE))
		rc = open_close(q, s, s->fd, e->name, what, is_dir);
	else if (rc == 0 && what & (IN_CREATE | IN_DELETE | IN_MOVE))
		rc = change_entry(q, s, e, what, is_dir);
	else if (rc == 0)
		rc = listen_to(q, s, what) < 0 ? -EIO : act_on(fd, what, is_dir);
	if (listen_to(q, s, IN_QUIET) < 0)
		return -EIO;
	unlinkat(s->fd, e->name, is_dir ? AT_REMOVEDIR : 0);
	unlinkat(staging, "x", is_dir ? AT_REMOVEDIR : 0);
	return rc;
}

static int make_pair(struct inotify_queue *q, const struct event *from, const struct event *to)
{
	const struct scratch *a = find_scratch(q, from->wd), *b = find_scratch(q, to->wd);
	bool is_dir = from->mask & IN_ISDIR;
	int rc, fd = make_file(a->fd, from->name, is_dir);

	if (fd < 0)
		return -errno;
	close(fd);
	rc = listen_to(q, a, a == b ? IN_MOVE : IN_MOVED_FROM);
	if (rc == 0 && a != b)
		rc = listen_to(q, b, IN_MOVED_TO);
	if (rc == 0 && renameat(a->fd, from->name, b->fd, to->name) < 0)
		rc = -errno;
	if (listen_to(q, a, IN_QUIET) < 0 || listen_to(q, b, IN_QUIET) < 0)
		return -EIO;
	unlinkat(b->fd, to->name, is_dir ? AT_REMOVEDIR : 0);
	return rc;
}

/* One event, or two that come together. Returns their number. */
static int make_event(struct inotify_queue *q, size_t i, size_t end)
{
	const struct event *e = &q->es.e[i];
	struct scratch *s = find_scratch(q, e->wd);
	uint32_t what = e->mask & ~(uint32_t)IN_ISDIR;
	bool is_dir = e->mask & IN_ISDIR;
	int rc;

	if (!s || !s->watched)
		return -EBADMSG; /* an event of a watch that was taken away before */
	if (i + 1 < end && e->cookie && is_pair(e, e + 1) && find_scratch(q, e[1].wd)->watched) {
		rc = make_pair(q, e, e + 1);
		return rc < 0 ? rc : 2;
	}
	if (e->name)
		rc = make_named(q, s, e, what, is_dir);
	else
		rc = make_self(q, s, what, is_dir);
	if (rc == 0 && s->watched)
		rc = listen_to(q, s, IN_QUIET);
	return rc < 0 ? rc : what == IN_DELETE_SELF ? 2 : 1;
}

static int make_events(struct inotify_queue *q, size_t i, size_t end, struct ckpt_err **err)
{
	int64_t before = queued_bytes(q), want = 0;

	for (size_t k = i; k < end; k++)
		want += (int64_t)event_bytes(&q->es.e[k]);
	while (i < end) {
		int n = make_event(q, i, end);

		if (n < 0)
			return ckpt_fail_errno(err, n, CKPT_E_RESTORE,
					       "make event %zu of an inotify instance again",
					       i + 1);
		i += (size_t)n;
	}
	if (queued_bytes(q) - before != want)
		return ckpt_fail(err, EIO, CKPT_E_RESTORE,
				 "the events of an inotify instance came back as others");
	return 0;
}

/* ---- the whole ---- */

static size_t find_overflow(const struct events *es)
{
	size_t i = 0;

	while (i < es->n && es->e[i].mask != IN_Q_OVERFLOW)
		i++;
	return i;
}

/* Until it overflows; `before` events of the program stand before the overflow. */
static int fill(struct inotify_queue *q, size_t before, struct ckpt_err **err)
{
	uint64_t limit = queue_limit();
	int64_t bytes;
	int rc;

	if (limit <= before)
		return ckpt_fail(err, E2BIG, CKPT_E_LIMIT,
				 "%zu events wait to be read, and inotify's limit is %llu", q->es.n,
				 (unsigned long long)limit);
	add_junk(q, limit - before);
	bytes = queued_bytes(q);
	if (bytes != (int64_t)(q->n_junk * JUNK_BYTES))
		return ckpt_fail(err, EIO, CKPT_E_RESTORE,
				 "an inotify instance does not take %llu events",
				 (unsigned long long)q->n_junk);
	rc = make_events(q, 0, before, err);
	if (rc < 0)
		return rc;
	bytes = queued_bytes(q);
	add_junk(q, 1); /* is lost */
	q->n_junk--;
	if (queued_bytes(q) != bytes + (int64_t)EVENT_BYTES)
		return ckpt_fail(err, EIO, CKPT_E_RESTORE, "an inotify instance does not overflow");
	q->overflow = before == q->es.n || q->es.e[before].mask != IN_Q_OVERFLOW;
	return 0;
}

static int make_all(struct inotify_queue *q, struct ckpt_err **err)
{
	size_t at = find_overflow(&q->es), after = q->es.n, n;
	bool own = at < q->es.n; /* the program's, which stays */
	int rc = fill(q, own ? at : 0, err);

	at = own ? at + 1 : 0;
	n = after - at;
	if (rc == 0 && n) {
		if (n + 1 > q->n_junk)
			return ckpt_fail(err, E2BIG, CKPT_E_LIMIT,
					 "%zu events wait to be read: too many to be made again",
					 n);
		rc = read_bytes(q, (n + 1) * JUNK_BYTES, err);
		q->n_junk -= n + 1;
	}
	return rc < 0 ? rc : make_events(q, at, q->es.n, err);
}

/* The queue is full: nobody is told. */
static void drop_scratches(struct inotify_queue *q)
{
	for (size_t i = 0; i < q->n_s; i++) {
		if (q->s[i].watched)
			inotify_rm_watch(q->fd, q->s[i].wd);
		q->s[i].watched = false;
	}
	inotify_rm_watch(q->fd, q->junk_wd);
}

int inotify_queue_begin(int fd, const json_t *events, int next_free, struct inotify_queue **ret,
			struct ckpt_err **err)
{
	struct inotify_queue *q = calloc(1, sizeof(*q));
	int64_t bytes;
	int rc;

	if (!q)
		return ckpt_fail_nomem(err);
	*q = (struct inotify_queue){
		.fd = fd, .tmp = -1, .next_free = next_free, .junk_dir = -1, .junk = { -1, -1 }
	};
	*ret = q;
	rc = parse_events(events, &q->es, err);
	if (rc < 0 || !q->es.n)
		return rc;
	rc = make_tmp(q, err);
	if (rc == 0)
		rc = find_scratches(q, err);
	if (rc == 0)
		rc = watch_scratches(q, err);
	if (rc == 0)
		rc = start_junk(q, err);
	if (rc == 0)
		rc = make_all(q, err);
	if (rc < 0)
		return rc;
	bytes = queued_bytes(q);
	drop_scratches(q);
	if (queued_bytes(q) != bytes)
		return ckpt_fail(err, EIO, CKPT_E_RESTORE, "an inotify instance was not full");
	return 0;
}

int inotify_queue_end(struct inotify_queue *q, struct ckpt_err **err)
{
	return read_bytes(q, q->n_junk * JUNK_BYTES + (q->overflow ? EVENT_BYTES : 0), err);
}

void inotify_queue_free(struct inotify_queue *q)
{
	if (!q)
		return;
	for (size_t i = 0; i < q->n_s; i++)
		close_reset(&q->s[i].fd);
	close_reset(&q->junk_dir);
	close_reset(&q->junk[0]);
	close_reset(&q->junk[1]);
	close_reset(&q->tmp);
	events_done(&q->es);
	free(q->s);
	free(q);
}
