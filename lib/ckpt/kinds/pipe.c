// SPDX-License-Identifier: LGPL-2.1-or-later
/* Pipes whose ends are all within the process, and what FIFOs share with them. See pipe.h. */
#include "pipe.h"
#include "../util.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* f_flags as the kernel keeps it: open(2) sets it always, pipe(2) never. */
#define KERNEL_O_LARGEFILE 0100000
/* The largest that F_SETPIPE_SZ takes. */
#define RING_MAX_BYTES (1U << 31)

/* O_DIRECT: a packet is never larger than a page. */
enum { PAGE_BYTES = 4096, CHUNK = 64 << 10 };

/* ---- the other holders ---- */

/* The first object of the ring: its name in the image. */
static uint32_t ring_index(const struct kind_dump *d, const struct kind_file *f)
{
	return objects_by_inode(d->os, f->inode->inode_id);
}

/* Descriptions of the dump, as the kernel counts them. */
static void count_ends(const struct kind_dump *d, const struct kind_file *f, uint32_t *readers,
		       uint32_t *writers)
{
	const struct object_row *r = objects_row(d->os, ring_index(d, f));

	for (; r; r = objects_row(d->os, r->next_of_inode)) {
		*readers += !!(r->f.inode->f_mode & FMODE_READ_BIT);
		*writers += !!(r->f.inode->f_mode & FMODE_WRITE_BIT);
	}
}

int pipe_ends_check(const struct kind_dump *d, const struct kind_file *f, const char *noun,
		    struct ckpt_err **err)
{
	uint32_t readers = 0, writers = 0;
	char who[128];
	bool outside;
	pid_t pid;

	count_ends(d, f, &readers, &writers);
	outside = f->file->pipe_readers > readers || f->file->pipe_writers > writers;
	/* After a fork both processes hold the same description, which is counted once. */
	pid = kind_outside_holder(d, f, outside);
	if (!pid && (!outside || kind_may_be_under_way(d)))
		return 0;
	kind_process_words(pid, who, sizeof(who));
	ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
		  outside ? "the other end of the %s is held by %s" : "the %s is shared with %s",
		  noun, who);
	ckpt_hint(err, "redirect to a file, or let one process hold both ends");
	return -EOPNOTSUPP;
}

/* ---- saving ---- */

/* A read end of our own. The program's, where it has one: closing another could be noticed. */
static int get_reader(const struct kind_dump *d, const struct kind_file *f, int *ret_fd,
		      struct ckpt_err **err)
{
	const struct object_row *r = objects_row(d->os, ring_index(d, f));
	char path[64];

	for (; r; r = objects_row(d->os, r->next_of_inode))
		if (r->f.inode->f_mode & FMODE_READ_BIT)
			return kind_get_fd(d, &r->f, ret_fd, err);
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", f->tgid, f->fd);
	*ret_fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return *ret_fd < 0 ? ckpt_fail_errno(err, errno, CKPT_E_SYS, "open a pipe for reading") : 0;
}

/* Let a pipe of our own refer to the same buffers: the program's keeps them. */
static int tee_all(int from, const struct kind_file *f, int own[2], struct ckpt_err **err)
{
	uint32_t size = f->file->pipe_ring_size * PAGE_BYTES;
	ssize_t n;

	if (pipe2(own, O_CLOEXEC | O_NONBLOCK) < 0 || fcntl(own[1], F_SETPIPE_SZ, size) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_LIMIT, "make a pipe of %u bytes", size);
	n = tee(from, own[1], INT_MAX, SPLICE_F_NONBLOCK);
	if (n < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "copy a pipe's contents");
	if ((uint64_t)n != f->file->pipe_bytes)
		return ckpt_fail(err, EIO, CKPT_E_CHANGING,
				 "a pipe holds %zd bytes, not the %u seen before", n,
				 f->file->pipe_bytes);
	return 0;
}

/* One read gives one packet at the most. */
static int drain(int from, int to, json_t *packets, struct ckpt_err **err)
{
	_cleanup_free_ char *buf = malloc(CHUNK);
	ssize_t n;
	int rc;

	if (!buf)
		return ckpt_fail_nomem(err);
	while ((n = read(from, buf, CHUNK)) > 0) {
		rc = write_all(to, buf, (size_t)n);
		if (rc < 0)
			return ckpt_fail_errno(err, rc, CKPT_E_OUTPUT, "write a pipe's contents");
		if (packets && json_array_append_new(packets, json_integer(n)))
			return ckpt_fail_nomem(err);
	}
	return 0;
}

static int save_contents(struct kind_dump *d, const struct kind_file *f, uint32_t index, json_t *o,
			 struct ckpt_err **err)
{
	_cleanup_close_ int from = -1, to = -1;
	json_t *packets = NULL;
	int own[2] = { -1, -1 };
	char name[40];
	int rc;

	snprintf(name, sizeof(name), "pipe-%u", index);
	if (f->file->pipe_packets && json_object_set_new(o, "packets", packets = json_array()))
		return ckpt_fail_nomem(err);
	rc = get_reader(d, f, &from, err);
	if (rc == 0)
		rc = tee_all(from, f, own, err);
	close_reset(&own[1]);
	if (rc == 0)
		rc = image_data_open(d->w, name, &to, err);
	if (rc == 0)
		rc = drain(own[0], to, packets, err);
	close_reset(&own[0]);
	if (rc == 0)
		rc = image_data_done(d->w, name, to, err);
	if (rc == 0 && json_object_set_new(o, "data", json_string(name)))
		rc = ckpt_fail_nomem(err);
	return rc;
}

int pipe_ends_save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	static const char *const ends[] = { "none", "read", "write", "both" };
	uint32_t index = ring_index(d, f);
	int rc = js_set_int(o, "pipe", index);

	rc |= json_object_set_new(
		o, "end", json_string(ends[f->inode->f_mode & (FMODE_READ_BIT | FMODE_WRITE_BIT)]));
	rc |= js_set_int(o, "size", (int64_t)f->file->pipe_ring_size * PAGE_BYTES);
	rc |= js_set_int(o, "bytes", f->file->pipe_bytes);
	if (rc)
		return ckpt_fail_nomem(err);
	if (!d->w || objects_id(d->os, f->inode->file_id) != index || !f->file->pipe_bytes)
		return 0;
	return save_contents(d, f, index, o, err);
}

const char *const pipe_volatile_members[] = { "info", "data", "packets", NULL };

/* ---- restoring ---- */

/* What the image says of a ring, checked. */
struct ring {
	uint32_t size, bytes;
	const char *data;      /* NULL: empty */
	const json_t *packets; /* NULL: a stream */
	const char *kind;
	int32_t index;
};

static int check_packets(const struct ring *ring, struct ckpt_err **err)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < json_array_size(ring->packets); i++) {
		const json_t *n = json_array_get(ring->packets, i);

		if (!json_is_integer(n) || json_integer_value(n) < 1 ||
		    json_integer_value(n) > CHUNK)
			return ckpt_fail(err, EINVAL, CKPT_E_IMAGE,
					 "a packet of a pipe has no length");
		sum += (uint64_t)json_integer_value(n);
	}
	if (!json_is_array(ring->packets) || sum != ring->bytes)
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE,
				 "the packets of a pipe are not its %u bytes", ring->bytes);
	return 0;
}

static int ring_read(const json_t *o, struct ring *ring, struct ckpt_err **err)
{
	int rc = js_u32(o, "size", &ring->size, err);

	ring->data = NULL;
	ring->packets = json_object_get(o, "packets");
	if (rc == 0)
		rc = js_u32(o, "bytes", &ring->bytes, err);
	if (rc == 0)
		rc = js_i32(o, "pipe", &ring->index, err);
	if (rc == 0)
		rc = js_str(o, "kind", &ring->kind, err);
	if (rc == 0)
		rc = js_opt_str(o, "data", &ring->data, err);
	if (rc < 0)
		return rc;
	if (ring->size < PAGE_BYTES || ring->size > RING_MAX_BYTES || ring->bytes > ring->size)
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "a pipe of %u bytes cannot hold %u",
				 ring->size, ring->bytes);
	return ring->data && ring->packets ? check_packets(ring, err) : 0;
}

static int open_contents(const struct kind_restore *r, const struct ring *ring, int *ret_fd,
			 struct ckpt_err **err)
{
	struct stat st;
	int rc = image_file_open(r->im, true, ring->data, ret_fd, err);

	if (rc < 0)
		return rc;
	if (fstat(*ret_fd, &st) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "look at data/%s", ring->data);
	if ((uint64_t)st.st_size != ring->bytes)
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE,
				 "data/%s has %lld bytes, not the %u of the pipe", ring->data,
				 (long long)st.st_size, ring->bytes);
	return 0;
}

int pipe_ends_need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	_cleanup_close_ int from = -1;
	struct ring ring = { 0 };
	int rc = ring_read(o, &ring, err);

	return rc == 0 && ring.data ? open_contents(r, &ring, &from, err) : rc;
}

/* `wr` does not block: a ring that is too small fails. */
static int fill(const struct ring *ring, int from, int wr, struct ckpt_err **err)
{
	_cleanup_free_ char *buf = malloc(CHUNK);
	int flags = fcntl(wr, F_GETFL), rc = 0;
	uint32_t at = 0;

	if (!buf)
		return ckpt_fail_nomem(err);
	if (ring->packets && fcntl(wr, F_SETFL, flags | O_DIRECT) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "make a pipe take packets");
	for (size_t i = 0; rc == 0 && at < ring->bytes; i++) {
		uint32_t n = ring->bytes - at < CHUNK ? ring->bytes - at : CHUNK;

		if (ring->packets)
			n = (uint32_t)json_integer_value(json_array_get(ring->packets, i));
		rc = pread_all(from, buf, n, at);
		if (rc == 0)
			rc = write_all(wr, buf, n);
		at += n;
	}
	if (rc < 0)
		return ckpt_fail_errno(err, rc, CKPT_E_RESTORE, "put %u bytes back into a pipe",
				       ring->bytes);
	if (ring->packets)
		fcntl(wr, F_SETFL, flags);
	return 0;
}

static int set_size(const struct ring *ring, int wr, struct ckpt_err **err)
{
	int now = fcntl(wr, F_GETPIPE_SZ);

	if (now == (int)ring->size || fcntl(wr, F_SETPIPE_SZ, ring->size) >= 0)
		return 0;
	ckpt_fail_errno(err, errno, CKPT_E_LIMIT, "make a pipe of %u bytes", ring->size);
	ckpt_hint(err, "raise /proc/sys/fs/pipe-max-size");
	return -EPERM;
}

/* A description of the ring. The first of each end of a pipe(2) is one that pipe(2) makes. */
static int open_end(const json_t *o, const struct ring *ring, int any, int *rd, int *wr,
		    int *ret_fd, struct ckpt_err **err)
{
	int64_t saved = 0;
	char link[40];
	int flags = 0, rc = kind_open_flags(o, &flags, err);

	if (rc == 0)
		rc = js_i64(o, "flags", &saved, err);
	if (rc < 0)
		return rc;
	if (!strcmp(ring->kind, "pipe") && !(saved & (KERNEL_O_LARGEFILE | O_PATH))) {
		int *own = (flags & O_ACCMODE) == O_RDONLY   ? rd
			   : (flags & O_ACCMODE) == O_WRONLY ? wr
							     : NULL;

		if (own && *own >= 0) {
			*ret_fd = TAKE_FD(*own);
			return 0;
		}
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", any);
	*ret_fd = open(link, flags & ~(O_DIRECTORY | O_NOFOLLOW));
	if (*ret_fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "open an end of a pipe");
	return 0;
}

/* Does the row belong to the ring? */
static bool row_of(const json_t *o, const struct ring *ring)
{
	const char *kind = "";
	int32_t index = 0;

	return js_str(o, "kind", &kind, NULL) == 0 && !strcmp(kind, ring->kind) &&
	       js_i32(o, "pipe", &index, NULL) == 0 && index == ring->index;
}

/* Of the contents, the first row tells. */
static const json_t *first_row(const struct kind_restore *r, const struct ring *ring,
			       const json_t *otherwise)
{
	const json_t *o = json_array_get(r->objects, (size_t)ring->index - 1);

	return ring->index > 0 && row_of(o, ring) ? o : otherwise;
}

int pipe_ends_open(struct kind_restore *r, const json_t *o, int rd_taken, int wr_taken,
		   struct ckpt_err **err)
{
	/* One more of each: they stay, however many rows take one. */
	_cleanup_close_ int rd = rd_taken, wr = wr_taken == rd_taken ? -1 : wr_taken;
	_cleanup_close_ int keep_rd = fcntl(rd_taken, F_DUPFD_CLOEXEC, 0);
	_cleanup_close_ int keep_wr = fcntl(wr_taken, F_DUPFD_CLOEXEC, 0);
	_cleanup_close_ int from = -1;
	struct ring ring = { 0 };
	int rc = ring_read(o, &ring, err);

	if (rc == 0)
		rc = ring_read(first_row(r, &ring, o), &ring, err);
	if (rc == 0 && (keep_rd < 0 || keep_wr < 0))
		rc = ckpt_fail_errno(err, EMFILE, CKPT_E_LIMIT, "open a pipe");
	if (rc == 0)
		rc = set_size(&ring, keep_wr, err);
	if (rc == 0 && ring.data)
		rc = open_contents(r, &ring, &from, err);
	if (rc == 0 && ring.data)
		rc = fill(&ring, from, keep_wr, err);
	if (rc == 0 && (ring.index < 1 || (size_t)ring.index >= r->n_fd))
		rc = ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "a pipe has no first end");
	for (uint32_t id = rc == 0 ? (uint32_t)ring.index : 0; rc == 0 && id;
	     id = r->next_end[id]) {
		const json_t *row = json_array_get(r->objects, id - 1);

		if (row_of(row, &ring) && r->fd[id] < 0)
			rc = open_end(row, &ring, keep_rd, &rd, &wr, &r->fd[id], err);
	}
	return rc;
}

static bool match(const struct kind_file *f)
{
	return S_ISFIFO(f->inode->mode) && f->file && !strcmp(f->inode->fstype, "pipefs");
}

static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	return pipe_ends_check(d, f, "pipe", err);
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	/* Who may open it again through /proc. */
	if (js_set_int(o, "uid", f->inode->uid) || js_set_int(o, "gid", f->inode->gid) ||
	    js_set_int(o, "mode", f->inode->mode))
		return ckpt_fail_nomem(err);
	return pipe_ends_save(d, f, o, err);
}

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	uint32_t uid = 0, gid = 0, mode = 0;
	int p[2], rc = js_u32(o, "uid", &uid, err);

	if (rc == 0)
		rc = js_u32(o, "gid", &gid, err);
	if (rc == 0)
		rc = js_u32(o, "mode", &mode, err);
	if (rc < 0)
		return rc;
	if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "make a pipe");
	if (fchown(p[0], uid, gid) < 0 || fchmod(p[0], mode & 0777) < 0) {
		rc = ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "give a pipe its owner");
		close(p[0]);
		close(p[1]);
		return rc;
	}
	rc = pipe_ends_open(r, o, p[0], p[1], err);
	(void)ret_fd; /* is the row's place in r->fd, which pipe_ends_open() has filled */
	return rc;
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	unsigned int mode = f->inode->f_mode & (FMODE_READ_BIT | FMODE_WRITE_BIT);

	snprintf(buf, len, "%s of a pipe that holds %u bytes",
		 mode == FMODE_READ_BIT	   ? "read end"
		 : mode == FMODE_WRITE_BIT ? "write end"
					   : "both ends",
		 f->file->pipe_bytes);
}

const struct ckpt_kind kind_pipe = {
	.name = "pipe",
	.match = match,
	.check = check,
	.save = save,
	.need = pipe_ends_need,
	.open = open_it,
	.volatile_members = pipe_volatile_members,
	.describe = describe,
};
