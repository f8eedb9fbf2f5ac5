// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Making a pair of pseudo-terminals again, with all its open files, queues and settings. See pty.h.
 *
 * All is done before the tasks exist, so that nobody has the terminal for his own yet, and no
 * signal (SIGWINCH, SIGHUP) reaches anyone. Queues are filled by writing into the other end, under
 * settings that let every byte pass as it is; then the saved settings are put in place. A worker of
 * the kernel's carries what is written to the reader's line discipline, and what it has not carried
 * yet would be read under the new settings: the snapshot programs tell when it is done.
 */
#include "../safe.h"
#include "../util.h"
#include "pty.h"

#include <asm/termbits.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#define DISABLED	  0 /* a control character that is none: _POSIX_VDISABLE */
#define QUEUE_MAX	  65536
#define COLUMN_MAX	  16
#define RING_ROOM	  (REC_TTY_RING - 1)
#define TAKEN_DEADLINE_US 5000000
#define TAKEN_POLL_NS	  200000
#define FREE_DEADLINE_US  1000000
#define FREE_POLL_NS	  2000000
#define BUFFER_BYTES	  1792 /* TTY_BUFFER_PAGE of drivers/tty/tty_buffer.c */
#define HELPER_STACK	  65536

struct bytes {
	uint8_t *p; /* owned */
	size_t n;
};

/* What the image says of a pair, checked. */
struct pty {
	struct kind_restore *r;
	const json_t *row; /* borrowed: the one with the state */
	uint32_t id;	   /* its number */
	bool orphan;	   /* there is no master: all its slaves are hung up */
	uint32_t index;
	bool locked, slave_closed, packet, master_exclusive, master_stopped;
	uint32_t packet_status;
	/* the slave's */
	bool opened, line_discipline, slave_exclusive, stopped_by_call, stopped_by_char;
	uint32_t uid, gid, mode, column, line_column;
	struct termios2 termios;
	struct termios locked_termios;
	struct winsize win;
	struct bytes output, input, not_taken;
	bool line_end[REC_TTY_RING];
	bool literal_next;
	/* made so far */
	int master; /* borrowed from r->fd, or owned while `orphan` */
	int slave;  /* owned: one of our own, while it is built; -1: none */
};

/* ---- reading the image ---- */

static bool is_slave_row(const json_t *o)
{
	const char *kind = "";

	return js_str(o, "kind", &kind, NULL) == 0 && !strcmp(kind, kind_tty.name) &&
	       json_object_get(o, "pair");
}

int pty_row_of(const struct kind_restore *r, const json_t *o, const json_t **ret,
	       struct ckpt_err **err)
{
	const char *kind = "";
	const json_t *row;
	uint32_t id = 0, own = 0;
	int rc = js_u32(o, "pair", &id, err);

	if (rc < 0)
		return rc;
	row = id ? json_array_get(r->objects, id - 1) : NULL;
	if (row && js_str(row, "kind", &kind, NULL) == 0 && !strcmp(kind, kind_ptmx.name)) {
		*ret = row;
		return 0;
	}
	if (!row || !is_slave_row(row) || js_u32(row, "pair", &own, NULL) < 0 || own != id ||
	    !json_is_true(json_object_get(o, "hung_up")))
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
				 "a terminal refers to object %u, which is not its pair", id);
	*ret = row;
	return 0;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int get_hex(const json_t *o, const char *key, size_t max, struct bytes *ret,
		   struct ckpt_err **err)
{
	const char *hex = "";
	size_t n;
	int rc = js_str(o, key, &hex, err);

	if (rc < 0)
		return rc;
	n = strlen(hex);
	if (n % 2 || n / 2 > max)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a terminal's %s has %zu digits", key,
				 n);
	ret->n = n / 2;
	ret->p = malloc(ret->n + 1);
	if (!ret->p)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < ret->n; i++) {
		int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a terminal's %s is not hex",
					 key);
		ret->p[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

/* Many members of one type, in one go. */
struct u32_member {
	const char *key;
	uint32_t *at, max;
};

static int get_u32s(const json_t *o, const struct u32_member *m, size_t n, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		rc = js_u32(o, m[i].key, m[i].at, err);
		if (rc == 0 && *m[i].at > m[i].max)
			rc = ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a terminal's %s is %u",
				       m[i].key, *m[i].at);
	}
	return rc;
}

struct bool_member {
	const char *key;
	bool *at;
};

static int get_bools(const json_t *o, const struct bool_member *m, size_t n, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = js_bool(o, m[i].key, m[i].at, err);
	return rc;
}

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static int get_termios(const json_t *slave, const char *key, bool speeds, struct termios2 *t,
		       struct ckpt_err **err)
{
	uint32_t line = 0;

	const struct u32_member all[] = {
		{ "iflag", &t->c_iflag, UINT32_MAX },	{ "oflag", &t->c_oflag, UINT32_MAX },
		{ "cflag", &t->c_cflag, UINT32_MAX },	{ "lflag", &t->c_lflag, UINT32_MAX },
		{ "line", &line, UINT8_MAX },		{ "ispeed", &t->c_ispeed, UINT32_MAX },
		{ "ospeed", &t->c_ospeed, UINT32_MAX },
	};

	json_t *o, *cc;
	int rc = js_obj(slave, key, &o, err);

	if (rc == 0)
		rc = get_u32s(o, all, speeds ? 7 : 5, err);
	if (rc == 0)
		rc = js_arr(o, "cc", &cc, err);
	if (rc < 0)
		return rc;
	t->c_line = (cc_t)line;
	for (size_t i = 0; i < NCCS; i++) {
		const json_t *c = json_array_get(cc, i);

		if (!json_is_integer(c) || json_integer_value(c) < 0 || json_integer_value(c) > 255)
			return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
					 "a terminal's control character %zu is none", i);
		t->c_cc[i] = (cc_t)json_integer_value(c);
	}
	return 0;
}

static int parse_lines(const json_t *slave, struct pty *p, struct ckpt_err **err)
{
	json_t *ends;
	int rc = js_bool(slave, "literal_next", &p->literal_next, err);

	if (rc == 0)
		rc = js_arr(slave, "line_ends", &ends, err);
	for (size_t i = 0; rc == 0 && i < json_array_size(ends); i++) {
		json_int_t at = json_integer_value(json_array_get(ends, i));

		if (at < 0 || (size_t)at >= p->input.n)
			return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
					 "a line of a terminal ends outside of its input");
		p->line_end[at] = true;
	}
	return rc;
}

static int parse_stopped(const json_t *slave, struct pty *p, struct ckpt_err **err)
{
	const char *words = "";
	int rc = js_str(slave, "stopped", &words, err);

	p->stopped_by_call = !strcmp(words, "by call");
	p->stopped_by_char = !strcmp(words, "by character");
	return rc;
}

static int parse_slave(const json_t *o, struct pty *p, struct ckpt_err **err)
{
	struct termios2 locked = { 0 };
	uint32_t rows = 0, columns = 0, x = 0, y = 0;

	const struct u32_member numbers[] = {
		{ "rows", &rows, UINT16_MAX },	{ "columns", &columns, UINT16_MAX },
		{ "xpixels", &x, UINT16_MAX },	{ "ypixels", &y, UINT16_MAX },
		{ "uid", &p->uid, UINT32_MAX }, { "gid", &p->gid, UINT32_MAX },
		{ "mode", &p->mode, 07777 },
	};
	const struct u32_member places[] = { { "column", &p->column, COLUMN_MAX },
					     { "line_column", &p->line_column, COLUMN_MAX } };
	const struct bool_member bools[] = { { "opened", &p->opened },
					     { "line_discipline", &p->line_discipline },
					     { "exclusive", &p->slave_exclusive } };
	int rc = get_u32s(o, numbers, COUNT(numbers), err);

	if (rc == 0)
		rc = get_bools(o, bools, COUNT(bools), err);
	if (rc == 0 && p->opened && p->line_discipline)
		rc = get_u32s(o, places, COUNT(places), err);
	if (rc == 0)
		rc = parse_stopped(o, p, err);
	if (rc == 0)
		rc = get_termios(o, "termios", true, &p->termios, err);
	if (rc == 0)
		rc = get_termios(o, "locked", false, &locked, err);
	if (rc == 0)
		rc = get_hex(o, "input", REC_TTY_RING, &p->input, err);
	if (rc == 0)
		rc = get_hex(o, "input_not_taken", QUEUE_MAX, &p->not_taken, err);
	if (rc == 0 && json_object_get(o, "line_ends"))
		rc = parse_lines(o, p, err);
	p->win = (struct winsize){ (uint16_t)rows, (uint16_t)columns, (uint16_t)x, (uint16_t)y };
	p->locked_termios = (struct termios){ .c_iflag = locked.c_iflag,
					      .c_oflag = locked.c_oflag,
					      .c_cflag = locked.c_cflag,
					      .c_lflag = locked.c_lflag,
					      .c_line = locked.c_line };
	memcpy(p->locked_termios.c_cc, locked.c_cc, sizeof(locked.c_cc));
	return rc;
}

static int pty_parse(const struct kind_restore *r, const json_t *o, struct pty *p,
		     struct ckpt_err **err)
{
	const struct bool_member bools[] = {
		{ "locked", &p->locked },
		{ "slave_closed", &p->slave_closed },
		{ "exclusive", &p->master_exclusive },
		{ "stopped", &p->master_stopped },
		{ "packet", &p->packet },
	};

	json_t *slave;
	int rc = 0;

	*p = (struct pty){ .row = o, .master = -1, .slave = -1 };
	if (json_object_get(o, "pair"))
		rc = pty_row_of(r, o, &p->row, err);
	if (rc == 0)
		rc = js_u32(p->row, "id", &p->id, err);
	if (rc == 0 && !p->id)
		rc = ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "an object has number 0");
	p->orphan = json_object_get(p->row, "pair");
	if (rc < 0 || p->orphan)
		return rc;
	rc = js_u32(p->row, "index", &p->index, err);
	if (rc == 0)
		rc = get_bools(p->row, bools, COUNT(bools), err);
	if (rc == 0 && p->packet)
		rc = js_u32(p->row, "packet_status", &p->packet_status, err);
	if (rc == 0)
		rc = get_hex(p->row, "output", QUEUE_MAX, &p->output, err);
	if (rc == 0)
		rc = js_obj(p->row, "slave", &slave, err);
	return rc < 0 ? rc : parse_slave(slave, p, err);
}

static void pty_done(struct pty *p)
{
	free(p->output.p);
	free(p->input.p);
	free(p->not_taken.p);
	close_reset(&p->slave);
	if (p->orphan)
		close_reset(&p->master);
}

/* ---- is it possible? ---- */

/* Is a descriptor of another process an end of the pair of this number? Of the master only fdinfo
 * tells. */
static bool is_end(const char *pid, const char *fd, uint32_t index)
{
	_cleanup_free_ char *line = NULL;
	char path[600], text[64] = "", slave[40];
	unsigned int number = 0;
	size_t size = 0;
	bool found = false;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/%s/fd/%s", pid, fd);
	snprintf(slave, sizeof(slave), "/dev/pts/%u", index);
	if (readlink(path, text, sizeof(text) - 1) <= 0)
		return false;
	if (!strstr(text, "ptmx"))
		return !strcmp(text, slave);
	snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, fd);
	info = fopen(path, "re");
	while (info && !found && getline(&line, &size, info) > 0)
		found = sscanf(line, "tty-index: %u", &number) == 1 && number == index;
	if (info)
		fclose(info);
	return found;
}

static bool has_end(const char *pid, uint32_t index)
{
	const struct dirent *fd;
	bool found = false;
	char dir[300];
	DIR *fds;

	snprintf(dir, sizeof(dir), "/proc/%s/fd", pid);
	fds = opendir(dir);
	while (fds && !found && (fd = readdir(fds)))
		found = is_end(pid, fd->d_name, index);
	if (fds)
		closedir(fds);
	return found;
}

/* Some process that has the pair open, for the message only. */
static pid_t find_user(uint32_t index)
{
	DIR *proc = opendir("/proc");
	const struct dirent *e;
	pid_t found = 0;

	while (proc && !found && (e = readdir(proc)))
		if (isdigit((unsigned char)e->d_name[0]) && has_end(e->d_name, index))
			found = atoi(e->d_name);
	if (proc)
		closedir(proc);
	return found;
}

static int fail_taken(uint32_t index, struct ckpt_err **err)
{
	char path[40], who[128];

	snprintf(path, sizeof(path), "/dev/pts/%u", index);
	kind_process_words(find_user(index), who, sizeof(who));
	ckpt_fail(err, EEXIST, CKPT_E_MACHINE,
		  "the program's pseudo-terminal was %s, which is now used by %s", path, who);
	ckpt_hint(err, "end that process first, or restore where the name is free");
	return -EEXIST;
}

/*
 * Whoever looked at an open file that was closed meanwhile closes it a moment later; and others who
 * restore hold numbers for a moment.
 */
static int wait_free(const char *node, uint32_t index, struct ckpt_err **err)
{
	const struct timespec tick = { 0, FREE_POLL_NS };
	uint64_t deadline = now_us() + FREE_DEADLINE_US;
	struct stat st;

	while (stat(node, &st) == 0) {
		if (now_us() > deadline)
			return fail_taken(index, err);
		nanosleep(&tick, NULL);
	}
	return 0;
}

int pty_need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	char node[40], safe[300];
	struct stat st;
	struct pty p;
	int rc = pty_parse(r, o, &p, err);

	if (rc == 0 && !p.orphan && p.row == o) {
		rc = path_get(o, &path, err);
		snprintf(node, sizeof(node), "/dev/pts/%u", p.index);
		if (rc == 0 &&
		    (stat(path, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2)))
			rc = ckpt_fail(err, ENOENT, CKPT_E_FILE_GONE,
				       "%s does not make pseudo-terminals",
				       safe_text(safe, sizeof(safe), path));
		if (rc == 0)
			rc = wait_free(node, p.index, err);
	}
	pty_done(&p);
	return rc;
}

/* ---- ends ---- */

static int fail_step(struct ckpt_err **err, const char *what)
{
	return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "%s a pseudo-terminal", what);
}

static int open_master(const char *path, int flags, uint32_t *ret_index, struct ckpt_err **err)
{
	unsigned int n = 0;
	int fd = open(path, flags | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return fail_step(err, "open");
	if (ioctl(fd, TIOCGPTN, &n) < 0) {
		fail_step(err, "ask for the number of");
		close(fd);
		return -EIO;
	}
	*ret_index = n;
	return fd;
}

/*
 * The kernel gives the lowest free number: those below are held until it is the one wanted. *again:
 * the number was not free at this moment.
 */
static int open_once(const char *path, int flags, uint32_t index, bool *again,
		     struct ckpt_err **err)
{
	int *held = NULL, fd = -1;
	bool below = true;
	size_t n = 0;

	*again = false;
	while (below) {
		int *more = realloc(held, (n + 1) * sizeof(*held));
		uint32_t got = 0;

		if (!more) {
			fd = ckpt_fail_nomem(err);
			break;
		}
		held = more;
		fd = open_master(path, flags, &got, err);
		below = fd >= 0 && got < index;
		*again = fd >= 0 && got > index;
		if (below)
			held[n++] = fd;
		if (*again)
			close(fd);
	}
	while (n > 0)
		close(held[--n]);
	free(held);
	return fd;
}

static int open_numbered(const char *path, int flags, uint32_t index, struct ckpt_err **err)
{
	const struct timespec tick = { 0, FREE_POLL_NS };
	uint64_t deadline = now_us() + FREE_DEADLINE_US;
	bool again;
	int fd = open_once(path, flags, index, &again, err);

	while (again) {
		if (now_us() > deadline)
			return fail_taken(index, err);
		nanosleep(&tick, NULL);
		fd = open_once(path, flags, index, &again, err);
	}
	return fd;
}

static int set_lock(int master, bool lock, struct ckpt_err **err)
{
	int v = lock;

	return ioctl(master, TIOCSPTLCK, &v) < 0 ? fail_step(err, "lock or unlock") : 0;
}

/* This call, other than open(2), leaves O_CLOEXEC in the flags of the open file. */
static int open_slave(const struct pty *p, int flags, bool keeps_cloexec, struct ckpt_err **err)
{
	int fd = ioctl(p->master, TIOCGPTPEER,
		       (flags & ~O_CLOEXEC) | O_NOCTTY | (keeps_cloexec ? O_CLOEXEC : 0));

	if (fd < 0)
		return fail_step(err, "open the slave side of");
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	return fd;
}

/* ---- what only a session leader can do ---- */

struct helper {
	int terminal;
	int *open_at; /* where to put them: one for every row */
	const int *flags;
	size_t n;
	int error;
};

/*
 * In a task that shares our memory and descriptors, and whose session is its own: take the terminal
 * for it, open /dev/tty, and give it up. It alone is told of that, by signals that are blocked.
 */
static int helper_main(void *arg)
{
	struct helper *h = arg;

	if (setsid() < 0 || ioctl(h->terminal, TIOCSCTTY, 0) < 0) {
		h->error = errno;
		_exit(1);
	}
	for (size_t i = 0; i < h->n && !h->error; i++) {
		h->open_at[i] = open("/dev/tty", h->flags[i] | O_CLOEXEC);
		if (h->open_at[i] < 0)
			h->error = errno;
	}
	if (ioctl(h->terminal, TIOCNOTTY) < 0)
		h->error = errno;
	_exit(0);
}

static int run_helper(struct helper *h, struct ckpt_err **err)
{
	uint8_t *stack = malloc(HELPER_STACK);
	sigset_t all, old;
	int status;
	pid_t pid;

	if (!stack)
		return ckpt_fail_nomem(err);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	pid = clone(helper_main, stack + HELPER_STACK,
		    CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, h);
	if (pid < 0)
		h->error = errno;
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	sigprocmask(SIG_SETMASK, &old, NULL);
	free(stack);
	errno = h->error;
	return h->error ? fail_step(err, "make a session for") : 0;
}

/* ---- open files of the slave ---- */

static bool row_bool(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

/* Does a row belong to the pair, and is it one of those that are hung up, or of the others? */
static bool is_row(const struct pty *p, const json_t *o, bool hung_up)
{
	uint32_t pair = 0;

	return is_slave_row(o) && js_u32(o, "pair", &pair, NULL) == 0 && pair == p->id &&
	       row_bool(o, "hung_up") == hung_up;
}

static bool has_rows(const struct pty *p, bool hung_up)
{
	for (size_t i = 0; i < json_array_size(p->r->objects); i++)
		if (is_row(p, json_array_get(p->r->objects, i), hung_up))
			return true;
	return false;
}

/* Those opened by name, and the flags of those that were opened as /dev/tty. */
static int open_rows(struct pty *p, bool hung_up, int *current_flags, size_t *ret_n,
		     struct ckpt_err **err)
{
	struct kind_restore *r = p->r;
	int rc = 0;

	for (size_t i = 0; rc >= 0 && i < json_array_size(r->objects) && i + 1 < r->n_fd; i++) {
		const json_t *o = json_array_get(r->objects, i);
		int64_t saved = 0;
		int flags = 0;

		if (!is_row(p, o, hung_up) || r->fd[i + 1] >= 0)
			continue;
		rc = kind_open_flags(o, &flags, err);
		if (rc == 0)
			rc = js_i64(o, "flags", &saved, err);
		if (rc == 0 && row_bool(o, "through_current"))
			current_flags[(*ret_n)++] = flags;
		else if (rc == 0)
			rc = r->fd[i + 1] = open_slave(p, flags, saved & O_CLOEXEC, err);
	}
	return rc < 0 ? rc : 0;
}

static void place_current(struct pty *p, bool hung_up, const int *fd)
{
	struct kind_restore *r = p->r;
	size_t n = 0;

	for (size_t i = 0; i < json_array_size(r->objects) && i + 1 < r->n_fd; i++) {
		const json_t *o = json_array_get(r->objects, i);

		if (is_row(p, o, hung_up) && r->fd[i + 1] < 0 && row_bool(o, "through_current"))
			r->fd[i + 1] = fd[n++];
	}
}

static int open_all(struct pty *p, bool hung_up, struct ckpt_err **err)
{
	size_t n = json_array_size(p->r->objects);
	_cleanup_free_ int *flags = calloc(n + 1, sizeof(*flags));
	_cleanup_free_ int *fd = malloc((n + 1) * sizeof(*fd));
	struct helper h = { .terminal = p->slave, .open_at = fd };
	int rc;

	if (!flags || !fd)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i <= n; i++)
		fd[i] = -1;
	rc = open_rows(p, hung_up, flags, &h.n, err);
	h.flags = flags;
	if (rc == 0 && h.n)
		rc = run_helper(&h, err);
	/* Even after a failure, so that they are closed. */
	place_current(p, hung_up, fd);
	return rc;
}

/* ---- queues ---- */

/* Settings under which every byte passes as it is; the slave's, whichever end is told. */
static struct termios2 plain(tcflag_t iflag, tcflag_t oflag, tcflag_t lflag)
{
	struct termios2 t = { .c_iflag = iflag,
			      .c_oflag = oflag,
			      .c_cflag = B38400 | CS8 | CREAD,
			      .c_lflag = lflag };

	t.c_cc[VMIN] = 1;
	return t;
}

static int set_termios(const struct pty *p, unsigned long how, const struct termios2 *t,
		       struct ckpt_err **err)
{
	return ioctl(p->master, how, t) < 0 ? fail_step(err, "set up") : 0;
}

/* Bytes in the line discipline of an end, and those on their way to it. */
struct level {
	uint64_t taken, waiting;
	bool stopped;
};

static int level_of(const struct pty *p, bool slave, struct level *ret, struct ckpt_err **err)
{
	struct loader_why why = { 0 };
	struct snapshot *s = NULL;
	pid_t me = getpid();
	struct pty_view v;
	int rc = snapshot_take(p->r->loader, &me, 1, SNAPSHOT_FILES, &s, &why);

	if (rc < 0)
		return ckpt_fail_loader(err, rc, &why);
	if (pty_view(s, me, p->master, &v)) {
		const struct rec_tty *t = slave ? v.slave : v.master;

		*ret = (struct level){ .taken = t->read_head - t->read_tail,
				       .waiting = t->flip_bytes,
				       .stopped = t->stopped };
	} else {
		rc = ckpt_fail(err, EIO, CKPT_E_BPF, "a new pseudo-terminal cannot be looked at");
	}
	snapshot_free(s);
	return rc;
}

/* Wait until an end has taken so much, or has at least stopped. */
static int wait_level(const struct pty *p, bool slave, const struct level *want,
		      struct ckpt_err **err)
{
	const struct timespec tick = { 0, TAKEN_POLL_NS };
	uint64_t deadline = now_us() + TAKEN_DEADLINE_US;
	struct level is = { 0 };
	int rc = level_of(p, slave, &is, err);

	while (rc == 0 && (is.taken != want->taken || is.waiting != want->waiting ||
			   (want->stopped && !is.stopped))) {
		if (now_us() > deadline)
			return ckpt_fail(err, ETIMEDOUT, CKPT_E_RESTORE,
					 "a pseudo-terminal has taken %llu bytes, not %llu",
					 (unsigned long long)is.taken,
					 (unsigned long long)want->taken);
		nanosleep(&tick, NULL);
		rc = level_of(p, slave, &is, err);
	}
	return rc;
}

/*
 * Write into one end, which does not block. In pieces of which the kernel's buffers hold a whole
 * number: with others some room is wasted, and it may not take as much as it did.
 */
static int feed(int fd, const uint8_t *bytes, size_t n, struct ckpt_err **err)
{
	const struct timespec tick = { 0, TAKEN_POLL_NS };
	uint64_t deadline = now_us() + TAKEN_DEADLINE_US;

	while (n > 0) {
		ssize_t done = write(fd, bytes, n < BUFFER_BYTES ? n : BUFFER_BYTES);

		if (done < 0 && errno != EAGAIN && errno != EINTR)
			return fail_step(err, "write into");
		if (done <= 0 && now_us() > deadline)
			return ckpt_fail(err, ETIMEDOUT, CKPT_E_RESTORE,
					 "a pseudo-terminal has no room for %zu bytes more", n);
		if (done <= 0) {
			nanosleep(&tick, NULL);
			continue;
		}
		bytes += done;
		n -= (size_t)done;
	}
	return 0;
}

static struct level full(size_t n)
{
	size_t taken = n < RING_ROOM ? n : RING_ROOM;

	return (struct level){ .taken = taken, .waiting = n - taken };
}

/*
 * The line discipline counts columns of what it post-processes: once a line feed has told where
 * input begins, go on to where the cursor stood, and take all that away again.
 */
static int set_columns(const struct pty *p, struct ckpt_err **err)
{
	struct termios2 t = plain(0, OPOST, 0);
	uint8_t text[2 + 2 * COLUMN_MAX];
	uint32_t n = 0;
	struct level want;
	int rc;

	if (!p->column && !p->line_column)
		return 0;
	text[n++] = '\r';
	while (n <= p->line_column)
		text[n++] = ' ';
	text[n++] = '\n';
	for (uint32_t c = p->line_column; c != p->column; c += c < p->column ? 1 : -1U)
		text[n++] = c < p->column ? ' ' : '\b';
	want = full(n);
	rc = set_termios(p, TCSETS2, &t, err);
	if (rc == 0)
		rc = feed(p->slave, text, n, err);
	if (rc == 0)
		rc = wait_level(p, false, &want, err);
	if (rc == 0 && ioctl(p->master, TCFLSH, TCIFLUSH) < 0)
		rc = fail_step(err, "empty");
	return rc;
}

/* What the slave's side has written. */
static int fill_output(const struct pty *p, struct ckpt_err **err)
{
	struct termios2 t = plain(0, 0, 0);
	struct level want = full(p->output.n), first = { .taken = want.taken };
	int rc = set_termios(p, TCSETS2, &t, err);

	if (rc == 0)
		rc = feed(p->slave, p->output.p, first.taken, err);
	if (rc == 0)
		rc = wait_level(p, false, &first, err);
	if (rc == 0)
		rc = feed(p->slave, p->output.p + first.taken, want.waiting, err);
	return rc < 0 ? rc : wait_level(p, false, &want, err);
}

/*
 * A slave that was never opened has written nothing: what is there is the echo of input. To open it
 * would be noticed, so let it echo again, in pieces that the buffer of echoes holds.
 */
static int fill_echo(const struct pty *p, struct ckpt_err **err)
{
	struct termios2 t = plain(0, 0, ECHO);
	int rc = set_termios(p, TCSETS2, &t, err);

	for (size_t at = 0; rc == 0 && at < p->output.n;) {
		size_t n = p->output.n - at < 1024 ? p->output.n - at : 1024;
		struct level in = full(n), out;

		rc = feed(p->master, p->output.p + at, n, err);
		at += n;
		out = full(at);
		if (rc == 0)
			rc = wait_level(p, true, &in, err);
		if (rc == 0)
			rc = wait_level(p, false, &out, err);
		/* Away with the input. */
		if (rc == 0)
			rc = set_termios(p, TCSETSF2, &t, err);
	}
	return rc;
}

/* Control characters for putting input in, and the byte that ends a line besides line feed. */
struct marks {
	uint8_t literal, eof, eol;
};

static struct marks marks_for(uint8_t eol)
{
	static const uint8_t usable[] = { CTRL('V'), CTRL('D'), CTRL('A') };
	struct marks m = { .eol = eol };
	size_t i = 0;

	m.literal = usable[i] == eol ? usable[++i] : usable[i];
	i++;
	m.eof = usable[i] == eol ? usable[i + 1] : usable[i];
	return m;
}

static int set_marks(const struct pty *p, struct termios2 *t, const struct marks *m,
		     struct ckpt_err **err)
{
	t->c_cc[VLNEXT] = m->literal;
	t->c_cc[VEOF] = m->eof;
	t->c_cc[VEOL] = m->eol;
	return set_termios(p, TCSETS2, t, err);
}

static int feed_taken(const struct pty *p, const uint8_t *bytes, size_t n, size_t total,
		      struct ckpt_err **err)
{
	struct level want = { .taken = total };
	int rc = feed(p->master, bytes, n, err);

	return rc < 0 ? rc : wait_level(p, true, &want, err);
}

/*
 * Edited lines: all but what ends a line is quoted. A NUL that ends one stands for an end of file;
 * any other byte was the terminal's character for the end of a line when it came.
 */
static int fill_lines(const struct pty *p, struct termios2 *t, struct ckpt_err **err)
{
	_cleanup_free_ uint8_t *text = malloc(2 * p->input.n + 1);
	struct marks m = marks_for(DISABLED);
	size_t n = 0;
	int rc;

	if (!text)
		return ckpt_fail_nomem(err);
	rc = set_marks(p, t, &m, err);
	for (size_t i = 0; rc == 0 && i < p->input.n; i++) {
		uint8_t c = p->input.p[i];

		if (!p->line_end[i]) {
			text[n++] = m.literal;
		} else if (c == 0) {
			c = m.eof;
		} else if (c != '\n' && c != m.eol) {
			rc = feed_taken(p, text, n, i, err);
			n = 0;
			m = marks_for(c);
			if (rc == 0)
				rc = set_marks(p, t, &m, err);
		}
		text[n++] = c;
	}
	if (p->literal_next)
		text[n++] = m.literal;
	return rc < 0 ? rc : feed_taken(p, text, n, p->input.n, err);
}

/*
 * Whether lines are edited must not change afterwards: the kernel would end the line at once.
 * Output that a character has stopped goes on when such characters lose their meaning.
 */
static int fill_input(const struct pty *p, struct ckpt_err **err)
{
	tcflag_t kept = p->termios.c_lflag & (ICANON | EXTPROC);
	struct termios2 t = plain(p->stopped_by_char ? IXON : 0, 0, kept | IEXTEN);
	int rc = set_termios(p, TCSETS2, &t, err);

	if (rc < 0 || (!p->input.n && !p->literal_next))
		return rc;
	if (kept == ICANON)
		return fill_lines(p, &t, err);
	return feed_taken(p, p->input.p, p->input.n, p->input.n, err);
}

/* ---- state ---- */

static int stop_by_char(const struct pty *p, struct ckpt_err **err)
{
	struct termios2 t = plain(IXON, 0, 0);
	struct level want = { .stopped = true };
	uint8_t c = CTRL('S');
	int rc;

	t.c_cc[VSTOP] = c;
	rc = set_termios(p, TCSETS2, &t, err);
	if (rc == 0)
		rc = feed(p->master, &c, 1, err);
	return rc < 0 ? rc : wait_level(p, true, &want, err);
}

/* Is STOP and START of the usual characters in force? Packet mode tells when that changes. */
static struct termios2 with_flow_turned(struct termios2 t)
{
	bool flow = t.c_iflag & IXON && t.c_cc[VSTOP] == CTRL('S') && t.c_cc[VSTART] == CTRL('Q');

	if (flow) {
		t.c_cc[VSTART] = DISABLED;
	} else {
		t.c_iflag |= IXON;
		t.c_cc[VSTOP] = CTRL('S');
		t.c_cc[VSTART] = CTRL('Q');
	}
	return t;
}

static int stop(int fd, bool on, struct ckpt_err **err)
{
	return ioctl(fd, TCXONC, on ? TCOOFF : TCOON) < 0 ? fail_step(err, "stop or start") : 0;
}

/*
 * Packet mode, and what its reader has not been told yet: done again, in an order in which nothing
 * is raised that was not. The settings are in place, and output is stopped if that was told
 * already.
 */
static int set_packet(const struct pty *p, struct ckpt_err **err)
{
	struct termios2 other = p->termios, turned = with_flow_turned(p->termios);
	bool flow = p->packet_status & (TIOCPKT_DOSTOP | TIOCPKT_NOSTOP);
	bool tells_ioctl = p->packet_status & TIOCPKT_IOCTL;
	int on = 1, rc = 0;

	/* From these settings to the saved ones is the change that is told. */
	other.c_lflag |= tells_ioctl ? EXTPROC : 0;
	if (flow) {
		turned.c_lflag = other.c_lflag;
		other = turned;
	}
	if (flow || tells_ioctl)
		rc = set_termios(p, TCSETS2, &other, err);
	if (rc == 0 && ioctl(p->master, TIOCPKT, &on) < 0)
		rc = fail_step(err, "set packet mode of");
	if (rc == 0 && (flow || tells_ioctl))
		rc = set_termios(p, TCSETS2, &p->termios, err);
	if (rc == 0 && p->packet_status & TIOCPKT_FLUSHREAD)
		rc = set_termios(p, TCSETSF2, &p->termios, err);
	if (rc == 0 && p->packet_status & TIOCPKT_FLUSHWRITE && p->slave >= 0 &&
	    ioctl(p->slave, TCFLSH, TCOFLUSH) < 0)
		rc = fail_step(err, "empty");
	if (rc == 0 && p->packet_status & TIOCPKT_START && p->slave >= 0) {
		rc = stop(p->slave, true, err);
		if (rc == 0)
			rc = stop(p->slave, false, err);
	}
	return rc;
}

/* Before packet mode, when it has been told; after it, when it has not. */
static int set_stopped(const struct pty *p, struct ckpt_err **err)
{
	bool untold = p->packet && p->packet_status & TIOCPKT_STOP;
	struct level want = { .stopped = true };
	uint8_t c = p->termios.c_cc[VSTOP];
	int rc = 0;

	if (p->stopped_by_call && !untold && p->slave >= 0)
		rc = stop(p->slave, true, err);
	if (rc == 0 && p->packet)
		rc = set_packet(p, err);
	if (rc == 0 && p->stopped_by_call && untold && p->slave >= 0)
		rc = stop(p->slave, true, err);
	if (rc == 0 && p->stopped_by_char && untold) {
		rc = level_of(p, true, &want, err);
		want.stopped = true;
		if (rc == 0)
			rc = feed(p->master, &c, 1, err);
		if (rc == 0)
			rc = wait_level(p, true, &want, err);
	}
	if (rc == 0 && p->master_stopped)
		rc = stop(p->master, true, err);
	return rc;
}

static int set_locked(const struct pty *p, struct ckpt_err **err)
{
	const struct termios none = { 0 };

	if (!memcmp(&none, &p->locked_termios, sizeof(none)))
		return 0;
	return ioctl(p->master, TIOCSLCKTRMIOS, &p->locked_termios) < 0
		       ? fail_step(err, "lock settings of")
		       : 0;
}

static int set_node(const struct pty *p, struct ckpt_err **err)
{
	char path[40];
	struct stat st;

	snprintf(path, sizeof(path), "/dev/pts/%u", p->index);
	if (stat(path, &st) < 0 || st.st_rdev != makedev(MAJOR_PTS_FIRST, p->index))
		return ckpt_fail(err, ENOENT, CKPT_E_MACHINE,
				 "a new pseudo-terminal is not where it should be, %s", path);
	if ((st.st_uid != p->uid || st.st_gid != p->gid) && chown(path, p->uid, p->gid) < 0)
		return fail_step(err, "give its owner to");
	if ((st.st_mode & 07777) != p->mode && chmod(path, p->mode) < 0)
		return fail_step(err, "set the mode of");
	return 0;
}

static int set_state(const struct pty *p, struct ckpt_err **err)
{
	int rc = set_termios(p, TCSETS2, &p->termios, err);

	/* What was not taken for want of room was to be read under the saved settings. */
	if (rc == 0)
		rc = feed(p->master, p->not_taken.p, p->not_taken.n, err);
	if (rc == 0 && ioctl(p->master, TIOCSWINSZ, &p->win) < 0)
		rc = fail_step(err, "set the size of");
	if (rc == 0)
		rc = set_stopped(p, err);
	if (rc == 0)
		rc = set_locked(p, err);
	if (rc == 0 && p->master_exclusive && ioctl(p->master, TIOCEXCL) < 0)
		rc = fail_step(err, "make exclusive");
	if (rc == 0 && p->slave_exclusive && p->slave >= 0 && ioctl(p->slave, TIOCEXCL) < 0)
		rc = fail_step(err, "make exclusive");
	return rc < 0 ? rc : set_lock(p->master, p->locked, err);
}

/* ---- the whole ---- */

static int open_own_slave(struct pty *p, struct ckpt_err **err)
{
	close_reset(&p->slave);
	p->slave = open_slave(p, O_RDWR | O_NONBLOCK, false, err);
	return p->slave < 0 ? p->slave : 0;
}

/*
 * Hung up while the master lives. That takes away the line discipline, too, until the next open. Of
 * the output, what the master's side has taken stays.
 */
static int make_hung_up(struct pty *p, struct ckpt_err **err)
{
	int rc = open_own_slave(p, err);

	if (rc == 0 && !p->line_discipline)
		rc = fill_output(p, err);
	if (rc == 0)
		rc = open_all(p, true, err);
	if (rc == 0 && ioctl(p->slave, TIOCVHANGUP) < 0)
		rc = fail_step(err, "hang up");
	close_reset(&p->slave);
	return rc;
}

static int fill(struct pty *p, struct ckpt_err **err)
{
	int rc = 0;

	if (!p->line_discipline || has_rows(p, true))
		rc = make_hung_up(p, err);
	if (rc < 0 || !p->line_discipline)
		return rc;
	if (p->opened) {
		rc = open_own_slave(p, err);
		if (rc == 0)
			rc = set_columns(p, err);
		if (rc == 0)
			rc = fill_output(p, err);
	} else if (p->output.n) {
		rc = fill_echo(p, err);
	}
	if (rc == 0)
		rc = open_all(p, false, err);
	if (rc == 0 && p->stopped_by_char && !(p->packet && p->packet_status & TIOCPKT_STOP))
		rc = stop_by_char(p, err);
	return rc < 0 ? rc : fill_input(p, err);
}

static int open_pair(struct pty *p, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	int now, flags = 0, rc = kind_open_flags(p->row, &flags, err);

	if (rc == 0)
		rc = path_get(p->row, &path, err);
	if (rc < 0)
		return rc;
	p->master = open_numbered(path, flags, p->index, err);
	if (p->master < 0)
		return p->master;
	p->r->fd[p->id] = p->master;
	now = fcntl(p->master, F_GETFL);
	if ((now & O_ACCMODE) != O_RDWR || fcntl(p->master, F_SETFL, now | O_NONBLOCK) < 0)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
				 "the master side is not open for reading and writing");
	rc = set_lock(p->master, false, err);
	if (rc == 0)
		rc = set_node(p, err);
	if (rc == 0)
		rc = fill(p, err);
	return rc < 0 ? rc : set_state(p, err);
}

/* With the master, all that is open of the slave goes. */
static int open_orphans(struct pty *p, struct ckpt_err **err)
{
	uint32_t index;
	int rc;

	p->master = open_master("/dev/ptmx", O_RDWR, &index, err);
	if (p->master < 0)
		return p->master;
	rc = set_lock(p->master, false, err);
	if (rc == 0)
		rc = open_own_slave(p, err);
	return rc < 0 ? rc : open_all(p, true, err);
}

int pty_open_pair(struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	struct pty p;
	int rc = pty_parse(r, o, &p, err);

	p.r = r;
	if (rc == 0 && (p.id >= r->n_fd || r->fd[p.id] >= 0))
		rc = ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "object %u is no pair, or made already",
			       p.id);
	if (rc == 0)
		rc = p.orphan ? open_orphans(&p, err) : open_pair(&p, err);
	pty_done(&p);
	return rc;
}
