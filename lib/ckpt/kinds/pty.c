// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Pseudo-terminals whose master is in the dump: judging and saving them. The master's row has the
 * state of both ends; the slave's open files (kind "tty") refer to it. See pty.h.
 *
 * The queues are short (the kernel holds some 12 KiB each way) and are part of the row, as hex, so
 * that the final comparison sees them.
 */
#include "pty.h"
#include "../safe.h"
#include "../util.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define MAJOR_TTYAUX 5
#define MINOR_PTMX   2

/* What is written is taken by a worker of the kernel's soon, whether the program runs or not. */
#define SETTLE_DEADLINE_US 1000000
#define SETTLE_POLL_NS	   500000

/* ---- what the snapshot tells ---- */

static const void *part_of(const void *const *part, size_t n, enum rec_tty_part which)
{
	for (size_t i = 0; i < n; i++) {
		const struct rec_tty_part_head *p = part[i];

		if (p->part == which && p->head.len >= sizeof(struct rec_tty))
			return p;
	}
	return NULL;
}

const struct rec_tty *tty_of(const struct snapshot *s, pid_t tgid, int fd)
{
	size_t n;
	const void *const *part = snapshot_details(s, REC_TTY, tgid, fd, &n);

	return part_of(part, n, REC_TTY_OWN);
}

bool pty_view(const struct snapshot *s, pid_t tgid, int fd, struct pty_view *ret)
{
	ret->snap = s;
	ret->part = snapshot_details(s, REC_TTY, tgid, fd, &ret->n_parts);
	ret->master = part_of(ret->part, ret->n_parts, REC_TTY_OWN);
	ret->slave = part_of(ret->part, ret->n_parts, REC_TTY_LINK);
	return ret->master && ret->slave && ret->master->is_pty == TTY_MASTER;
}

const struct rec_file *pty_master_of(const struct snapshot *s, const struct rec_tty *slave)
{
	if (slave->is_pty != TTY_SLAVE || !slave->link_id)
		return NULL;
	for (size_t i = 0; i < s->n_files; i++) {
		const struct rec_file *f = s->files[i].rec;
		const struct rec_tty *t =
			f->inode.rdev_major == MAJOR_TTYAUX && f->inode.rdev_minor == MINOR_PTMX
				? tty_of(s, f->tgid, f->fd)
				: NULL;

		if (t && t->tty_id == slave->link_id)
			return f;
	}
	return NULL;
}

static size_t ring_bytes(const struct rec_tty *t)
{
	uint64_t n = t->read_head - t->read_tail;

	return t->ldisc == N_TTY && n <= REC_TTY_RING ? n : 0;
}

void pty_queue_done(struct tty_queue *q)
{
	free(q->bytes);
	*q = (struct tty_queue){ 0 };
}

/* What one descriptor tells; whether that is all. `link`: of its other end. */
static bool gather(const void *const *part, size_t n_parts, bool link, struct tty_queue *q)
{
	size_t at = 0;

	for (size_t i = 0; i < n_parts; i++) {
		const struct rec_tty_data *d = part[i];
		const uint8_t *bytes = (const uint8_t *)(d + 1);

		if (d->part.part < REC_TTY_READ || d->part.link != link ||
		    d->part.head.len < sizeof(*d) || d->n > d->part.head.len - sizeof(*d))
			continue;
		if (d->part.part == REC_TTY_READ_FLAGS && d->n == sizeof(q->line_ends)) {
			memcpy(q->line_ends, bytes, sizeof(q->line_ends));
		} else if (d->part.part != REC_TTY_READ_FLAGS && d->n <= q->n - at) {
			memcpy(q->bytes + at, bytes, d->n);
			at += d->n;
		}
	}
	return at == q->n;
}

/* Through the master there may have been no room for it. */
static bool gather_from_slave(const struct pty_view *v, struct tty_queue *q)
{
	for (size_t i = 0; i < v->snap->n_files; i++) {
		const struct rec_file *f = v->snap->files[i].rec;
		const struct rec_tty *t = tty_of(v->snap, f->tgid, f->fd);
		const void *const *part;
		size_t n;

		if (!t || t->tty_id != v->slave->tty_id)
			continue;
		part = snapshot_details(v->snap, REC_TTY, f->tgid, f->fd, &n);
		if (gather(part, n, false, q))
			return true;
	}
	return false;
}

int pty_queue(const struct pty_view *v, bool slave, struct tty_queue *ret, struct ckpt_err **err)
{
	const struct rec_tty *t = slave ? v->slave : v->master;
	struct tty_queue q = { .n_taken = ring_bytes(t), .n = ring_bytes(t) + t->flip_bytes };

	q.bytes = malloc(q.n ? q.n : 1);
	if (!q.bytes)
		return ckpt_fail_nomem(err);
	if (gather(v->part, v->n_parts, slave, &q) || (slave && gather_from_slave(v, &q))) {
		*ret = q;
		return 0;
	}
	pty_queue_done(&q);
	ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
		  "more is queued in a pseudo-terminal than can be told");
	ckpt_hint(err, "try again when its reader has caught up");
	return -EOPNOTSUPP;
}

/* ---- checking ---- */

static bool match(const struct kind_file *f)
{
	return S_ISCHR(f->inode->mode) && f->file && f->inode->rdev_major == MAJOR_TTYAUX &&
	       f->inode->rdev_minor == MINOR_PTMX;
}

static int no(struct ckpt_err **err, const char *hint, const char *format, const char *arg)
{
	char text[400];

	snprintf(text, sizeof(text), format, arg);
	ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED, "%s", text);
	ckpt_hint(err, "%s", hint);
	return -EOPNOTSUPP;
}

/* Open files of the slave within the snapshot, each counted once. */
static int slave_files(const struct snapshot *s, uint64_t tty_id)
{
	int n = 0;

	for (size_t i = 0; i < s->n_files; i++) {
		const struct rec_file *f = s->files[i].rec;
		const struct rec_tty *t = tty_of(s, f->tgid, f->fd);
		bool counted = !t || t->tty_id != tty_id;

		for (size_t j = 0; j < i && !counted; j++)
			counted = s->files[j].rec->inode.file_id == f->inode.file_id;
		n += !counted;
	}
	return n;
}

/* Whoever else has the slave open would lose it. The master has counted itself, too. */
static int check_holders(const struct kind_dump *d, const struct kind_file *f,
			 const struct rec_tty *slave, struct ckpt_err **err)
{
	const char *hint = "checkpoint it together with that process, or end that one first";
	pid_t pid = kind_outside_holder(d, f, false);
	char who[128];

	if (pid) {
		kind_process_words(pid, who, sizeof(who));
		return no(err, hint, "the master side of a pseudo-terminal is shared with %s", who);
	}
	if (slave->count - 1 > slave_files(d->snap, slave->tty_id)) {
		struct rec_inode node = { .inode_id = slave->node_inode_id };
		struct kind_file file = { .fd = -1, .inode = &node };

		kind_process_words(kind_outside_holder(d, &file, true), who, sizeof(who));
		return no(err, hint, "the pseudo-terminal is open in %s", who);
	}
	if (slave->has_session && !snapshot_process(d->snap, slave->session)) {
		kind_process_words(slave->session, who, sizeof(who));
		return no(err, hint, "the pseudo-terminal is the controlling terminal of %s", who);
	}
	return 0;
}

static bool has_group(const struct snapshot *s, pid_t pgid)
{
	for (size_t i = 0; i < s->n_processes; i++)
		if (s->processes[i]->pgid == pgid)
			return true;
	return false;
}

/*
 * Packet mode's pending bits are made again by doing what raised them, the queues being full by
 * then: what would empty a queue, or change how its bytes are read, cannot be done any more.
 */
static bool packet_status_possible(const struct rec_tty *master, const struct rec_tty *slave)
{
	uint8_t status = slave->packet_status;

	if (!master->packet)
		return true;
	if (status & TIOCPKT_FLUSHREAD && ring_bytes(slave) + slave->flip_bytes)
		return false;
	/* This mode is told with every change of the settings. */
	if (slave->termios.lflag & EXTPROC && !(status & TIOCPKT_IOCTL) &&
	    status & (TIOCPKT_FLUSHREAD | TIOCPKT_DOSTOP | TIOCPKT_NOSTOP))
		return false;
	if (status & TIOCPKT_FLUSHWRITE && master->flip_bytes)
		return false;
	return !(status & TIOCPKT_IOCTL) || slave->termios.lflag & EXTPROC ||
	       !(ring_bytes(slave) + slave->flip_bytes);
}

static int check_state(const struct kind_dump *d, const struct rec_tty *master,
		       const struct rec_tty *slave, struct ckpt_err **err)
{
	const char *again = "try again a moment later";
	char name[64];

	if (master->ldisc != N_TTY || (slave->ldisc != N_TTY && slave->ldisc != -1)) {
		const struct rec_tty *t = master->ldisc != N_TTY ? master : slave;

		safe_text(name, sizeof(name), t->ldisc_name);
		return no(err, "close it first", "its line discipline is %s, not the ordinary one",
			  name[0] ? name : "none");
	}
	if (slave->has_pgrp && slave->has_session && !has_group(d->snap, slave->fg_pgid))
		return no(err, again, "%s",
			  "the foreground process group of the pseudo-terminal has ended");
	if (slave->stopped && slave->echo_head != slave->echo_tail)
		return no(err, "start its output again (Ctrl-Q)", "%s",
			  "its output is stopped, and input waits to be echoed");
	if (slave->flip_flagged || master->flip_flagged)
		return no(err, again, "%s", "its queue has more than plain characters");
	if (!packet_status_possible(master, slave))
		return no(err, again, "%s",
			  "its reader has not taken the status that packet mode tells");
	return 0;
}

/* Only of one instance of devpts can it be made again: the one mounted here. */
static int check_instance(const struct rec_tty *slave, struct ckpt_err **err)
{
	struct stat st;

	if (stat("/dev/pts", &st) == 0 &&
	    st.st_dev == makedev(slave->node_dev_major, slave->node_dev_minor))
		return 0;
	return no(err, "run ebpf-ckpt where that devpts is mounted", "%s",
		  "it belongs to another devpts than the one that is mounted on /dev/pts");
}

static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	struct pty_view v;
	int rc;

	if (f->inode->f_flags & O_PATH)
		return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
				 "a terminal opened with O_PATH is not supported");
	if (!pty_view(d->snap, f->tgid, f->fd, &v))
		return no(err, "", "%s", "the two ends of the pseudo-terminal cannot be told");
	if ((f->inode->f_flags & O_ACCMODE) != O_RDWR)
		return no(err, "", "%s", "the master side is open for reading or for writing only");
	rc = path_check(f, err);
	if (rc == 0)
		rc = check_instance(v.slave, err);
	if (rc == 0)
		rc = check_holders(d, f, v.slave, err);
	return rc < 0 ? rc : check_state(d, v.master, v.slave, err);
}

/* ---- saving ---- */

static int set_hex_bytes(json_t *o, const char *key, const uint8_t *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	_cleanup_free_ char *hex = malloc(2 * n + 1);

	if (!hex)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		hex[2 * i] = digits[bytes[i] >> 4];
		hex[2 * i + 1] = digits[bytes[i] & 15];
	}
	return json_object_set_new(o, key, json_stringn(hex, 2 * n));
}

static int save_termios(json_t *o, const char *key, const struct rec_termios *t, bool speeds)
{
	json_t *to = json_object(), *cc = json_array();
	int rc = json_object_set_new(o, key, to);

	rc |= js_set_int(to, "iflag", t->iflag);
	rc |= js_set_int(to, "oflag", t->oflag);
	rc |= js_set_int(to, "cflag", t->cflag);
	rc |= js_set_int(to, "lflag", t->lflag);
	if (speeds) {
		rc |= js_set_int(to, "ispeed", t->ispeed);
		rc |= js_set_int(to, "ospeed", t->ospeed);
	}
	rc |= js_set_int(to, "line", t->line);
	rc |= json_object_set_new(to, "cc", cc);
	for (size_t i = 0; i < REC_TTY_NCC; i++)
		rc |= json_array_append_new(cc, json_integer(t->cc[i]));
	return rc;
}

/* Of columns only these matter: 0, not 0, and the distance from the last tab stop. */
static unsigned int column(unsigned int c)
{
	return c < 16 ? c : 8 + c % 8;
}

/* Where lines end, counted from the first byte. Without line editing there are none. */
static int save_lines(const struct rec_tty *t, const struct tty_queue *q, json_t *o)
{
	json_t *ends = json_array();
	int rc = json_object_set_new(o, "line_ends", ends);

	for (size_t i = 0; i < q->n_taken; i++) {
		uint64_t place = (t->read_tail + i) & (REC_TTY_RING - 1);

		if (q->line_ends[place / 8] >> (place % 8) & 1)
			rc |= json_array_append_new(ends, json_integer((json_int_t)i));
	}
	rc |= js_set_int(o, "whole_lines", (int64_t)(t->canon_head - t->read_tail));
	return rc;
}

static int save_input(const struct rec_tty *t, const struct tty_queue *q, json_t *o)
{
	int rc = set_hex_bytes(o, "input", q->bytes, q->n_taken);

	rc |= set_hex_bytes(o, "input_not_taken", q->bytes + q->n_taken, q->n - q->n_taken);
	if (t->ldisc == N_TTY && t->termios.lflag & ICANON && !(t->termios.lflag & EXTPROC)) {
		rc |= save_lines(t, q, o);
		rc |= js_set_bool(o, "literal_next", t->literal_next);
	}
	return rc;
}

static const char *stopped_words(const struct rec_tty *t)
{
	return !t->stopped ? "no" : t->stopped_by_call ? "by call" : "by character";
}

static int save_slave(const struct rec_tty *t, const struct tty_queue *q, bool opened, json_t *o)
{
	int rc = js_set_bool(o, "opened", opened);

	rc |= js_set_bool(o, "line_discipline", t->ldisc == N_TTY);
	rc |= js_set_bool(o, "exclusive", t->exclusive);
	rc |= json_object_set_new(o, "stopped", json_string(stopped_words(t)));
	rc |= js_set_int(o, "rows", t->rows);
	rc |= js_set_int(o, "columns", t->columns);
	rc |= js_set_int(o, "xpixels", t->xpixels);
	rc |= js_set_int(o, "ypixels", t->ypixels);
	rc |= js_set_int(o, "uid", t->node_uid);
	rc |= js_set_int(o, "gid", t->node_gid);
	rc |= js_set_int(o, "mode", t->node_mode & 07777);
	rc |= save_termios(o, "termios", &t->termios, true);
	rc |= save_termios(o, "locked", &t->locked, false);
	if (opened && t->ldisc == N_TTY) {
		rc |= js_set_int(o, "column", column(t->column));
		rc |= js_set_int(o, "line_column", column(t->canon_column));
	}
	return rc ? rc : save_input(t, q, o);
}

static int save_pair(const struct pty_view *v, json_t *o, struct ckpt_err **err)
{
	const struct rec_tty *m = v->master, *t = v->slave;
	bool closed = m->other_closed;
	struct tty_queue out = { 0 }, in = { 0 };
	json_t *slave = json_object();
	int rc = json_object_set_new(o, "slave", slave);

	rc |= js_set_int(o, "index", m->index);
	rc |= js_set_bool(o, "locked", m->slave_locked);
	rc |= js_set_bool(o, "slave_closed", closed);
	rc |= js_set_bool(o, "exclusive", m->exclusive);
	rc |= js_set_bool(o, "stopped", m->stopped);
	rc |= js_set_bool(o, "packet", m->packet);
	if (m->packet)
		rc |= js_set_int(o, "packet_status", t->packet_status);
	if (rc)
		return ckpt_fail_nomem(err);
	rc = pty_queue(v, false, &out, err);
	if (rc == 0)
		rc = pty_queue(v, true, &in, err);
	if (rc == 0 && (set_hex_bytes(o, "output", out.bytes, out.n) ||
			save_slave(t, &in, closed || t->count > 1, slave)))
		rc = ckpt_fail_nomem(err);
	pty_queue_done(&in);
	pty_queue_done(&out);
	return rc;
}

static bool end_settled(const struct rec_tty *t)
{
	return (!t->flip_bytes || t->no_room || t->ldisc != N_TTY) &&
	       (t->echo_head == t->echo_tail || t->ldisc != N_TTY);
}

/*
 * What was written last may still be on its way to the line discipline: wait for its arrival. In a
 * new snapshot, which is *ret; NULL: the one at hand is good.
 */
static int settle(const struct kind_dump *d, const struct kind_file *f, struct pty_view *v,
		  struct snapshot **ret, struct ckpt_err **err)
{
	const struct timespec tick = { 0, SETTLE_POLL_NS };
	uint64_t deadline = now_us() + SETTLE_DEADLINE_US;
	size_t n = d->snap->n_processes;
	_cleanup_free_ pid_t *tgids = calloc(n + 1, sizeof(*tgids));
	struct loader_why why = { 0 };
	bool there = pty_view(d->snap, f->tgid, f->fd, v);
	int rc;

	if (!tgids)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < n; i++)
		tgids[i] = d->snap->processes[i]->tgid;
	while (there && !(end_settled(v->master) && end_settled(v->slave))) {
		if (now_us() > deadline)
			return no(err, "try again when its reader has caught up", "%s",
				  "input of a pseudo-terminal waits to be taken, or to be echoed");
		nanosleep(&tick, NULL);
		snapshot_free(*ret);
		*ret = NULL;
		rc = snapshot_take(d->loader, tgids, n, SNAPSHOT_FILES, ret, &why);
		if (rc < 0)
			return ckpt_fail_loader(err, rc, &why);
		there = pty_view(*ret, f->tgid, f->fd, v);
	}
	return there ? 0
		     : ckpt_fail(err, EIO, CKPT_E_CHANGING,
				 "a pseudo-terminal went away while it was looked at");
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	struct snapshot *later = NULL;
	struct pty_view v;
	int rc = settle(d, f, &v, &later, err);

	if (rc == 0 && js_set_bytes(o, "path", f->path))
		rc = ckpt_fail_nomem(err);
	if (rc == 0)
		rc = save_pair(&v, o, err);
	snapshot_free(later);
	return rc;
}

/* ---- restoring ---- */

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	(void)ret_fd; /* is the row's place in r->fd, which is filled with the others of the pair */
	return pty_open_pair(r, o, err);
}

static int members_same(const json_t *of, const json_t *a, const json_t *b, const char *const *but,
			struct ckpt_err **err)
{
	const char *key;
	json_t *v;
	int rc = 0;

	/* The cast: jansson's iterators take no const objects. */
	json_object_foreach((json_t *)(uintptr_t)of, key, v) {
		size_t i = 0;

		while (but[i] && strcmp(but[i], key))
			i++;
		if (rc == 0 && !but[i])
			rc = objects_same_member(a, b, key, err);
	}
	return rc;
}

/*
 * What the line discipline had not taken for want of room is taken as soon as there is some, and
 * when that was made shortly before the checkpoint, it may still stand there then, but not
 * afterwards. So of the input, what was in is still first.
 */
static int input_same(const json_t *a, const json_t *b, struct ckpt_err **err)
{
	const char *was = "", *is = "", *rest = "";
	int rc = js_str(a, "input", &was, err);

	if (rc == 0)
		rc = js_str(a, "input_not_taken", &rest, err);
	if (rc == 0)
		rc = js_str(b, "input", &is, err);
	if (rc < 0)
		return rc;
	if (!rest[0] || strncmp(was, is, strlen(was)))
		return objects_same_member(a, b, "input", err);
	return 0;
}

static int same(const json_t *saved, const json_t *now, struct ckpt_err **err)
{
	static const char *const common[] = { "info", "foreign_owner", "flags", "slave", NULL };
	static const char *const input[] = { "input", "input_not_taken", "line_ends", "whole_lines",
					     NULL };
	const json_t *a = json_object_get(saved, "slave"), *b = json_object_get(now, "slave");
	const char *rest = "";
	int rc = members_same(saved, saved, now, common, err);

	if (rc == 0)
		rc = members_same(now, saved, now, common, err);
	if (rc == 0)
		rc = members_same(a, a, b, input, err);
	if (rc == 0)
		rc = members_same(b, a, b, input, err);
	if (rc == 0)
		rc = input_same(a, b, err);
	if (rc == 0)
		rc = js_str(a, "input_not_taken", &rest, err);
	for (size_t i = 1; rc == 0 && !rest[0] && input[i]; i++)
		rc = objects_same_member(a, b, input[i], err);
	return rc;
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	snprintf(buf, len, "master side of the pseudo-terminal /dev/pts/%u", f->file->tty_index);
}

const struct ckpt_kind kind_ptmx = {
	.name = "ptmx",
	.match = match,
	.check = check,
	.save = save,
	.need = pty_need,
	.open = open_it,
	.same = same,
	.describe = describe,
};
