// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The terminal of a shell job. It belongs to the user, not to the program: at restore the
 * descriptors are attached to the terminal of the one who restores. Its settings go along: a
 * program that switched echo off expects it off.
 *
 * What the terminal was stands under "info", as it is another one afterwards.
 */
#include "../safe.h"
#include "../util.h"
#include "kinds.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* Documentation/admin-guide/devices.txt */
#define MAJOR_TTY	4
#define MAJOR_TTYAUX	5 /* /dev/tty, /dev/console, /dev/ptmx */
#define MINOR_PTMX	2
#define MAJOR_PTS_FIRST 136
#define MAJOR_PTS_LAST	143
#define MAJOR_HVC	229

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

static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	(void)d;
	if (f->inode->f_flags & O_PATH)
		return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
				 "a terminal opened with O_PATH is not supported");
	return 0;
}

/* The settings, as far as the terminal still has some: one that hung up answers EIO. */
static int save_settings(const struct kind_dump *d, const struct kind_file *f, json_t *info)
{
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_getfd, kind_pidfd(d, f->tgid), f->fd, 0);
	struct winsize win;
	struct termios2 t;
	json_t *cc;
	int rc = 0;

	if (fd < 0)
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

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	const struct rec_process *p = snapshot_process(d->snap, f->tgid);
	json_t *info = json_object();
	int rc = json_object_set_new(o, "info", info);

	rc |= js_set_bytes(info, "path", f->path);
	rc |= js_set_int(info, "major", f->file->tty_major);
	rc |= js_set_int(info, "minor", f->file->tty_minor);
	rc |= js_set_int(info, "index", f->file->tty_index);
	rc |= js_set_bool(info, "controlling",
			  p && p->tty_major == f->file->tty_major &&
				  p->tty_minor == f->file->tty_minor);
	if (rc == 0)
		rc = save_settings(d, f, info);
	return rc ? ckpt_fail_nomem(err) : 0;
}

/* A standard descriptor of ours that is a terminal, or -1. */
static int own_terminal(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (isatty(fd))
			return fd;
	return -1;
}

static int need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	char safe[128] = "a terminal";

	(void)r;
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

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	int flags = 0, rc = kind_open_flags(o, &flags, err);

	if (rc == 0)
		rc = need(r, o, err);
	if (rc == 0)
		rc = kind_reopen(own_terminal(), flags, "the terminal", err);
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
