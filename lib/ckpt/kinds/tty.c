// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Terminals but the master sides of pseudo-terminals. Four cases:
 *
 * pair    a slave whose master is in the dump: it is made again with the master's row (pty.c)
 * hung up  what is left of a terminal that went away: it reads end of file and writes EIO again
 * job     the terminal of a shell job, or the slave of somebody else's master. It belongs to the
 *         user, not to the program: at restore the descriptors are attached to the terminal of the
 *         one who restores. Its settings go along: a program that switched echo off expects it off.
 *         What the terminal was stands under "info", as it is another one afterwards.
 * device  a console or serial line that is nobody's job: opened again by its path, settings as well
 */
#include "../safe.h"
#include "../tables.h"
#include "../util.h"
#include "pty.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

/* Documentation/admin-guide/devices.txt */
#define MAJOR_TTY     4
#define MAJOR_TTYAUX  5 /* /dev/tty, /dev/console, /dev/ptmx */
#define MINOR_CURRENT 0 /* /dev/tty: whatever controls the session */
#define MINOR_PTMX    2
#define MAJOR_HVC     229

static bool match(const struct kind_file *f)
{
	const struct rec_inode *i = f->inode;

	if (!S_ISCHR(i->mode) || !f->file)
		return false;
	if (i->rdev_major == MAJOR_TTYAUX)
		return i->rdev_minor != MINOR_PTMX;
	return i->rdev_major == MAJOR_TTY || i->rdev_major == MAJOR_HVC ||
	       (i->rdev_major >= MAJOR_PTS_FIRST && i->rdev_major <= MAJOR_PTS_LAST);
}

enum tty_case { CASE_PAIR, CASE_HUNG_UP, CASE_JOB, CASE_DEVICE };

static enum tty_case case_of(const struct snapshot *s, const struct kind_file *f)
{
	const struct rec_tty *t = tty_of(s, f->tgid, f->fd);

	if (!t)
		return CASE_JOB;
	if (pty_master_of(s, t))
		return CASE_PAIR;
	if (t->hung_up)
		return CASE_HUNG_UP;
	if (t->is_pty || (t->has_session && !snapshot_process(s, t->session)))
		return CASE_JOB;
	return CASE_DEVICE;
}

static bool through_current(const struct kind_file *f)
{
	return f->inode->rdev_major == MAJOR_TTYAUX && f->inode->rdev_minor == MINOR_CURRENT;
}

uint32_t tty_object(const struct snapshot *s, const struct objects *os, uint32_t tty_major,
		    uint32_t tty_minor)
{
	for (size_t i = 0; i < os->n; i++) {
		const struct object_row *row = &os->row[i];
		const struct rec_file *file = row->f.file;
		struct pty_view v;

		if (row->kind == &kind_ptmx && pty_view(s, row->f.tgid, row->f.fd, &v) &&
		    v.slave->major == tty_major && v.slave->minor == tty_minor)
			return row->id;
		if (row->kind == &kind_tty && file->tty_major == tty_major &&
		    file->tty_minor == tty_minor && !through_current(&row->f) &&
		    case_of(s, &row->f) == CASE_DEVICE)
			return row->id;
	}
	return 0;
}

/* ---- checking and saving ---- */

/* Both are held by nobody else than the dump's processes. */
static int check_shared(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	pid_t pid = kind_outside_holder(d, f, false);
	char who[128];

	if (!pid)
		return 0;
	kind_process_words(pid, who, sizeof(who));
	ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED, "the terminal is shared with %s", who);
	ckpt_hint(err, "checkpoint it together with that process, or end that one first");
	return -EOPNOTSUPP;
}

static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	if (f->inode->f_flags & O_PATH)
		return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
				 "a terminal opened with O_PATH is not supported");
	switch (case_of(d->snap, f)) {
	case CASE_PAIR:
		return check_shared(d, f, err);
	case CASE_HUNG_UP:
	case CASE_JOB:
		return 0;
	case CASE_DEVICE:
		if (!through_current(f))
			return path_check(f, err);
		return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
				 "/dev/tty, which is a console or a serial line, is not supported");
	}
	return 0;
}

/* The settings, as far as the terminal still has some: one that hung up answers EIO. */
static int save_settings(const struct kind_dump *d, const struct kind_file *f, json_t *info)
{
	_cleanup_close_ int fd = -1;
	struct winsize win;
	struct termios2 t;
	json_t *cc;
	int rc = 0;

	if (kind_get_fd(d, f, &fd, NULL) < 0)
		return 0;
	if (ioctl(fd, TIOCGWINSZ, &win) == 0) {
		rc |= js_set_int(info, "rows", win.ws_row);
		rc |= js_set_int(info, "columns", win.ws_col);
	}
	if (ioctl(fd, TCGETS2, &t) < 0)
		return rc;
	rc |= js_set_int(info, "iflag", t.c_iflag);
	rc |= js_set_int(info, "oflag", t.c_oflag);
	rc |= js_set_int(info, "cflag", t.c_cflag);
	rc |= js_set_int(info, "lflag", t.c_lflag);
	rc |= json_object_set_new(info, "cc", cc = json_array());
	for (size_t i = 0; i < NCCS; i++)
		rc |= json_array_append_new(cc, json_integer(t.c_cc[i]));
	return rc;
}

/* The object with the state of the terminal: the master, or of hung up ones the first. */
static uint32_t pair_id(const struct kind_dump *d, const struct rec_tty *t)
{
	const struct rec_file *master = pty_master_of(d->snap, t);

	if (master)
		return objects_id(d->os, master->inode.file_id);
	for (size_t i = 0; i < d->os->n; i++) {
		const struct object_row *row = &d->os->row[i];
		const struct rec_tty *other =
			row->kind == &kind_tty ? tty_of(d->snap, row->f.tgid, row->f.fd) : NULL;

		if (other && other->tty_id == t->tty_id && other->hung_up)
			return row->id;
	}
	return 0;
}

static int save_slave(const struct kind_dump *d, const struct kind_file *f, json_t *o)
{
	const struct rec_tty *t = tty_of(d->snap, f->tgid, f->fd);
	int rc = js_set_int(o, "pair", pair_id(d, t));

	rc |= js_set_bool(o, "hung_up", t->hung_up);
	return rc | js_set_bool(o, "through_current", through_current(f));
}

static int save_device(const struct kind_file *f, json_t *o)
{
	json_t *device = json_object();
	int rc = js_set_bytes(o, "path", f->path);

	rc |= json_object_set_new(o, "device", device);
	rc |= js_set_int(device, "major", f->inode->rdev_major);
	return rc | js_set_int(device, "minor", f->inode->rdev_minor);
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	const struct rec_process *p = snapshot_process(d->snap, tables_tgid(d->snap, f->tgid));
	enum tty_case which = case_of(d->snap, f);
	json_t *info = json_object();
	int rc = json_object_set_new(o, "info", info);

	rc |= js_set_bytes(info, "path", f->path);
	rc |= js_set_int(info, "major", f->file->tty_major);
	rc |= js_set_int(info, "minor", f->file->tty_minor);
	rc |= js_set_int(info, "index", f->file->tty_index);
	rc |= js_set_bool(info, "controlling",
			  p && p->tty_major == f->file->tty_major &&
				  p->tty_minor == f->file->tty_minor);
	if (which == CASE_PAIR || which == CASE_HUNG_UP)
		rc |= save_slave(d, f, o);
	else
		rc |= save_settings(d, f, info);
	if (which == CASE_DEVICE)
		rc |= save_device(f, o);
	return rc ? ckpt_fail_nomem(err) : 0;
}

/* ---- restoring ---- */

/* A standard descriptor of ours that is a terminal, or -1. */
static int own_terminal(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (isatty(fd))
			return fd;
	return -1;
}

static int need_job(const json_t *o, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	char safe[128] = "a terminal";

	if (own_terminal() >= 0)
		return 0;
	if (js_bytes(json_object_get(o, "info"), "path", &path, NULL) == 0)
		safe_text(safe, sizeof(safe), path);
	ckpt_fail(err, ENOTTY, CKPT_E_MACHINE,
		  "the process uses a terminal (%s), and there is none here to attach it to", safe);
	ckpt_hint(
		err,
		"restore it from a terminal, standard input, output or error being that terminal");
	return -ENOTTY;
}

/* Opening another device may do things: so it must be a terminal, and the one that it was. */
static int need_device(const json_t *o, const json_t *device, char **ret_path,
		       struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	uint32_t maj = 0, min = 0;
	char safe[300];
	struct stat st;
	int rc = js_u32(device, "major", &maj, err);

	if (rc == 0)
		rc = js_u32(device, "minor", &min, err);
	if (rc == 0)
		rc = path_get(o, &path, err);
	if (rc < 0)
		return rc;
	safe_text(safe, sizeof(safe), path);
	if (maj != MAJOR_TTY && maj != MAJOR_HVC &&
	    (maj != MAJOR_TTYAUX || min == MINOR_CURRENT || min == MINOR_PTMX))
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
				 "%s is device %u:%u, which is no terminal", safe, maj, min);
	if (stat(path, &st) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_FILE_GONE, "look at terminal %s", safe);
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(maj, min))
		return ckpt_fail(err, ESTALE, CKPT_E_FILE_GONE, "%s is no longer device %u:%u",
				 safe, maj, min);
	*ret_path = TAKE_PTR(path);
	return 0;
}

static int need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	const json_t *device = json_object_get(o, "device");
	_cleanup_free_ char *path = NULL;

	if (json_object_get(o, "pair"))
		return pty_need(r, o, err);
	return device ? need_device(o, device, &path, err) : need_job(o, err);
}

static int open_device(const json_t *o, const json_t *device, int flags, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	char safe[300];
	int fd, rc = need_device(o, device, &path, err);

	if (rc < 0)
		return rc;
	/* A serial line waits for its other end otherwise; the flag is set right afterwards. */
	fd = open(path, flags | O_NONBLOCK);
	if (fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_FILE_GONE, "open %s",
				       safe_text(safe, sizeof(safe), path));
	return fd;
}

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	const json_t *device = json_object_get(o, "device");
	int flags = 0, rc;

	if (json_object_get(o, "pair"))
		return pty_open_pair(r, o, err);
	rc = kind_open_flags(o, &flags, err);
	if (rc == 0 && !device)
		rc = need_job(o, err);
	if (rc == 0)
		rc = device ? open_device(o, device, flags, err)
			    : kind_reopen(own_terminal(), flags, "the terminal", err);
	if (rc < 0)
		return rc;
	*ret_fd = rc;
	return 0;
}

static bool flag_member(const json_t *info, const char *key, tcflag_t *ret)
{
	uint32_t v = 0;

	if (js_u32(info, key, &v, NULL) < 0)
		return false;
	*ret = v;
	return true;
}

/*
 * The settings last of all, so that a restore that fails leaves the terminal as it was. Speed and
 * line format (cflag) are the terminal's own.
 */
static void go(struct kind_restore *r, const json_t *o, int fd)
{
	const json_t *info = json_object_get(o, "info"), *cc = json_object_get(info, "cc");
	sigset_t block, old;
	struct termios2 t;

	(void)r;
	if (json_object_get(o, "pair"))
		return;
	if (ioctl(fd, TCGETS2, &t) < 0 || json_array_size(cc) != NCCS ||
	    !flag_member(info, "iflag", &t.c_iflag) || !flag_member(info, "oflag", &t.c_oflag) ||
	    !flag_member(info, "lflag", &t.c_lflag))
		return;
	for (size_t i = 0; i < NCCS; i++)
		t.c_cc[i] = (cc_t)json_integer_value(json_array_get(cc, i));
	/* From the background, with the signal blocked, the call does not stop us. */
	sigemptyset(&block);
	sigaddset(&block, SIGTTOU);
	sigprocmask(SIG_BLOCK, &block, &old);
	ioctl(fd, TCSETS2, &t);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	char path[200];

	snprintf(buf, len, "terminal %s", safe_text(path, sizeof(path), f->path));
}

const struct ckpt_kind kind_tty = {
	.name = "tty",
	.match = match,
	.check = check,
	.save = save,
	.need = need,
	.open = open_it,
	.go = go,
	.describe = describe,
};
