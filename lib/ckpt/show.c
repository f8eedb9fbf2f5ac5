// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What an image holds, for a person. Lenient where verify is strict: a member that is missing or
 * odd is left out or shown as "?", because a damaged image is what one wants to look into most.
 */
#include "areas.h"
#include "core.h"
#include "image.h"
#include "inherit.h"
#include "safe.h"
#include "session.h"
#include "tasks.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

enum { TEXT = 4200, NUMBER = 32, DEPTH_SHOWN = 200 };

struct view {
	FILE *out;
	const json_t *manifest, *objects, *files; /* borrowed */
};

/* ---- words ---- */

static int64_t number(const json_t *o, const char *key, int64_t otherwise)
{
	uint64_t v = (uint64_t)otherwise;

	if (json_is_integer(json_object_get(o, key)))
		return json_integer_value(json_object_get(o, key));
	js_u64(o, key, &v, NULL);
	return (int64_t)v;
}

/* A member's text, safe to show; "?" when there is none. */
static const char *text(const json_t *o, const char *key, char buf[TEXT])
{
	_cleanup_free_ char *s = NULL;

	if (js_bytes(o, key, &s, NULL) < 0)
		return "?";
	return safe_text(buf, TEXT, s);
}

static const char *size_text(uint64_t bytes, char buf[NUMBER])
{
	static const char *const unit[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double v = (double)bytes / 1024;
	size_t i = 0;

	/* 1023.96 would be rounded to 1024.0. */
	for (; v >= 1023.95 && i + 1 < sizeof(unit) / sizeof(unit[0]); i++)
		v /= 1024;
	if (bytes < 1024)
		snprintf(buf, NUMBER, "%" PRIu64 " bytes", bytes);
	else
		snprintf(buf, NUMBER, "%.1f %s", v, unit[i]);
	return buf;
}

static const char *time_text(int64_t ns, char buf[NUMBER])
{
	if (ns < 0)
		ns = 0;
	if (ns < 1000000)
		snprintf(buf, NUMBER, "%" PRId64 " us", ns / 1000);
	else if (ns < 1000000000)
		snprintf(buf, NUMBER, "%" PRId64 " ms", ns / 1000000);
	else
		snprintf(buf, NUMBER, "%.1f s", (double)ns / 1e9);
	return buf;
}

static const char *signal_text(int sig, char buf[NUMBER])
{
	const char *name = sig > 0 && sig < 32 ? sigabbrev_np(sig) : NULL;

	if (name)
		snprintf(buf, NUMBER, "SIG%s", name);
	else
		snprintf(buf, NUMBER, "signal %d", sig);
	return buf;
}

__attribute__((format(printf, 3, 4))) static void line(const struct view *v, const char *label,
						       const char *fmt, ...)
{
	va_list ap;

	fprintf(v->out, "  %-10s  ", label);
	va_start(ap, fmt);
	vfprintf(v->out, fmt, ap);
	va_end(ap);
	fputc('\n', v->out);
}

/* ---- the head ---- */

static bool is_compressed(const struct view *v)
{
	const json_t *name;
	size_t i;

	json_array_foreach(json_object_get(v->manifest, "required"), i, name) {
		const char *s = json_string_value(name);

		if (s && !strcmp(s, "zstd"))
			return true;
	}
	return false;
}

static void show_head(const struct view *v)
{
	const json_t *host = json_object_get(v->manifest, "host");
	char a[TEXT], b[TEXT], c[TEXT];

	line(v, "created", "%s", text(v->manifest, "created", a));
	line(v, "host", "%s, Linux %s, %s", text(host, "name", a), text(host, "kernel", b),
	     text(host, "machine", c));
	line(v, "written by", "%s%s", text(v->manifest, "writer", a),
	     is_compressed(v) ? ", compressed (zstd)" : "");
}

/* ---- a process ---- */

/* Where a path stands: among the object's own members, or among those that restore does not
 * compare. */
static const char *path_text(const json_t *o, char buf[TEXT])
{
	const char *s = text(o, "path", buf);

	return strcmp(s, "?") ? s : text(json_object_get(o, "info"), "path", buf);
}

static const json_t *object(const struct view *v, const json_t *row)
{
	int64_t id = number(row, "object", 0);

	return id > 0 ? json_array_get(v->objects, (size_t)id - 1) : NULL;
}

static uint64_t inherited_bytes(const json_t *mm)
{
	struct inherited h = { 0 };
	uint64_t bytes = 0;

	if (inherited_parse(&h, mm, NULL) == 0)
		for (size_t i = 0; i < h.pages.n; i++)
			bytes += h.pages.range[i].end - h.pages.range[i].start;
	inherited_done(&h);
	return bytes;
}

static void show_memory(const struct view *v, const json_t *task, const struct core_file *core)
{
	const json_t *mm = json_object_get(task, "mm"), *areas = json_object_get(mm, "areas"), *row;
	uint64_t bytes = 0, had;
	char a[NUMBER], b[NUMBER];
	size_t i;

	json_array_foreach(areas, i, row) {
		struct area_row r;

		if (area_row_parse(row, &r, NULL) == 0)
			bytes += r.end - r.start;
	}
	if (task_shares(task, PLAN_MM)) {
		line(v, "memory", "that of process %" PRId64,
		     number(json_object_get(task, "shares"), "mm", 0));
		return;
	}
	line(v, "memory", "%" PRIu64 " pages saved, %s", core->n_pages,
	     size_text(core->n_pages * CORE_PAGE, a));
	had = inherited_bytes(mm) / (uint64_t)CORE_PAGE;
	if (had)
		line(v, "", "%" PRIu64 " pages that it has from another process, %s", had,
		     size_text(had * CORE_PAGE, a));
	line(v, "", "%zu areas, %s of addresses", json_array_size(areas), size_text(bytes, b));
}

static void show_relations(const struct view *v, const json_t *task)
{
	const json_t *info = json_object_get(task, "info");

	line(v, "parent", "%" PRId64 ", process group %" PRId64 ", session %" PRId64 "%s",
	     number(info, "ppid", 0), number(info, "pgid", 0), number(info, "sid", 0),
	     json_is_true(json_object_get(info, "tty")) ? " with a terminal" : "");
}

static void show_zombie(const struct view *v, const json_t *task)
{
	int status = (int)number(json_object_get(task, "zombie"), "status", 0);
	char sig[NUMBER];

	show_relations(v, task);
	if (WIFSIGNALED(status))
		line(v, "state", "ended by %s, not waited for", signal_text(WTERMSIG(status), sig));
	else
		line(v, "state", "ended with status %d, not waited for", WEXITSTATUS(status));
}

/* What it has in common with others, but for its memory. */
static void show_shares(const struct view *v, const json_t *task)
{
	static const struct {
		enum plan_shared what;
		const char *member, *words;
	} row[] = {
		{ PLAN_FILES, "files", "descriptors" },
		{ PLAN_FS, "fs", "directories" },
		{ PLAN_SIGHAND, "sighand", "signal handlers" },
	};

	const char *label = "shares";

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		if (!task_shares(task, row[i].what))
			continue;
		line(v, label, "the %s of process %" PRId64, row[i].words,
		     number(json_object_get(task, "shares"), row[i].member, 0));
		label = "";
	}
}

static void show_process(const struct view *v, const json_t *task, const struct core_file *core)
{
	const json_t *exe = json_object_get(json_object_get(task, "mm"), "exe");
	const json_t *info = json_object_get(task, "info"), *cwd = json_object_get(task, "cwd");
	char buf[TEXT], sig[NUMBER];

	if (exe)
		line(v, "program", "%s",
		     path_text(json_object_get(exe, "object") ? object(v, exe) : exe, buf));
	if (cwd)
		line(v, "directory", "%s",
		     path_text(json_object_get(cwd, "object") ? object(v, cwd) : cwd, buf));
	show_relations(v, task);
	show_shares(v, task);
	if (number(info, "stopped", 0))
		line(v, "state", "stopped by %s",
		     signal_text((int)number(info, "stopped", 0), sig));
	show_memory(v, task, core);
}

/* ---- threads ---- */

/* Calls in which a program waits; of others the number is shown. */
static const struct {
	long nr;
	const char *name;
} waits[] = {
	{ SYS_read, "read" },
	{ SYS_write, "write" },
	{ SYS_readv, "readv" },
	{ SYS_writev, "writev" },
	{ SYS_poll, "poll" },
	{ SYS_ppoll, "ppoll" },
	{ SYS_select, "select" },
	{ SYS_pselect6, "pselect6" },
	{ SYS_pause, "pause" },
	{ SYS_nanosleep, "nanosleep" },
	{ SYS_clock_nanosleep, "clock_nanosleep" },
	{ SYS_restart_syscall, "restart_syscall" },
	{ SYS_futex, "futex" },
	{ SYS_epoll_wait, "epoll_wait" },
	{ SYS_epoll_pwait, "epoll_pwait" },
	{ SYS_wait4, "wait4" },
	{ SYS_waitid, "waitid" },
	{ SYS_rt_sigsuspend, "rt_sigsuspend" },
	{ SYS_rt_sigtimedwait, "rt_sigtimedwait" },
	{ SYS_accept, "accept" },
	{ SYS_accept4, "accept4" },
	{ SYS_connect, "connect" },
	{ SYS_recvfrom, "recvfrom" },
	{ SYS_recvmsg, "recvmsg" },
	{ SYS_sendto, "sendto" },
	{ SYS_sendmsg, "sendmsg" },
	{ SYS_flock, "flock" },
	{ SYS_fcntl, "fcntl" },
	{ SYS_io_getevents, "io_getevents" },
};

static void call_text(const struct view *v, const json_t *info, char *buf, size_t size)
{
	int64_t nr = number(info, "syscall", -1), expires = number(info, "restart_expires_ns", 0);
	bool real = number(info, "restart_clock", CLOCK_MONOTONIC) == CLOCK_REALTIME;
	int64_t now = number(v->manifest, real ? "realtime_ns" : "monotonic_ns", 0);
	char name[64], left[NUMBER];
	size_t i = 0;

	if (nr < 0) {
		snprintf(buf, size, info ? "running" : "ended");
		return;
	}
	while (i < sizeof(waits) / sizeof(waits[0]) && waits[i].nr != nr)
		i++;
	if (i < sizeof(waits) / sizeof(waits[0]))
		snprintf(name, sizeof(name), "in %s", waits[i].name);
	else
		snprintf(name, sizeof(name), "in system call %" PRId64, nr);
	if (expires)
		snprintf(buf, size, "%s, %s left", name,
			 time_text((int64_t)((uint64_t)expires - (uint64_t)now), left));
	else
		snprintf(buf, size, "%s", name);
}

static void show_threads(const struct view *v, const json_t *task)
{
	const json_t *rows = json_object_get(task, "threads"), *row;
	char name[TEXT], call[96];
	size_t i;

	fprintf(v->out, "\n  %8s  %-16s  %s\n", "THREAD", "NAME", "STATE");
	json_array_foreach(rows, i, row) {
		call_text(v, json_object_get(row, "info"), call, sizeof(call));
		fprintf(v->out, "  %8" PRId64 "  %-16s  %s\n", number(row, "tid", 0),
			text(row, "comm", name), call);
	}
}

/* ---- descriptors ---- */

static uint64_t data_bytes(const struct view *v, const char *data)
{
	const json_t *row;
	size_t i;

	json_array_foreach(v->files, i, row) {
		const char *s = json_string_value(json_object_get(row, "name"));

		if (s && !strncmp(s, IMAGE_DATA "/", sizeof(IMAGE_DATA)) &&
		    !strcmp(s + sizeof(IMAGE_DATA), data))
			return (uint64_t)number(row, "bytes", 0);
	}
	return 0;
}

/* Members that several kinds have, each shown where it is there: so there is no list of kinds here.
 */
static void show_object(const struct view *v, const json_t *o)
{
	const char *data = json_string_value(json_object_get(o, "data"));
	int64_t pos = number(o, "pos", 0);
	char buf[TEXT], size[NUMBER];
	const char *path = path_text(o, buf), *comma = "";

	if (strcmp(path, "?")) {
		fputs(path, v->out);
		comma = ", ";
	}
	if (json_object_get(json_object_get(o, "info"), "what")) {
		fprintf(v->out, "%s%s", comma, text(json_object_get(o, "info"), "what", buf));
		comma = ", ";
	}
	if (json_is_true(json_object_get(o, "deleted"))) {
		fprintf(v->out, "%sdeleted", comma);
		comma = ", ";
	}
	if (json_object_get(o, "end")) {
		fprintf(v->out, "%s%s end", comma, text(o, "end", buf));
		comma = ", ";
	}
	if (json_object_get(o, "bytes")) {
		fprintf(v->out, "%s%s in it", comma,
			size_text((uint64_t)number(o, "bytes", 0), size));
		comma = ", ";
	}
	if (pos) {
		fprintf(v->out, "%sat %" PRId64, comma, pos);
		comma = ", ";
	}
	if (data)
		fprintf(v->out, "%s%s saved", comma, size_text(data_bytes(v, data), size));
}

static void show_descriptors(const struct view *v, const json_t *task)
{
	/* By O_ACCMODE. */
	static const char *const modes[] = { "r", "w", "rw", "-" };
	const json_t *rows = json_object_get(task, "files"), *row;
	size_t n_objects = json_array_size(v->objects), i;
	/* By object: one more than the first descriptor that refers to it. */
	_cleanup_free_ int64_t *first = calloc(n_objects + 1, sizeof(*first));
	char kind[TEXT];

	if (json_array_size(rows) == 0 || !first)
		return;
	fprintf(v->out, "\n  %8s  %-10s  %-4s  %s\n", "FD", "KIND", "MODE", "WHAT");
	json_array_foreach(rows, i, row) {
		const json_t *o = object(v, row);
		int64_t fd = (int)number(row, "fd", -1), *other = &first[0];

		if (o)
			other = &first[number(row, "object", 0)];

		fprintf(v->out, "  %8" PRId64 "  %-10s  %-4s  ", fd, text(o, "kind", kind),
			modes[number(o, "flags", 0) & O_ACCMODE]);
		if (o && *other)
			fprintf(v->out, "same as %" PRId64, *other - 1);
		else
			show_object(v, o);
		*other = *other ? *other : fd + 1;
		fputc('\n', v->out);
	}
}

/* ---- signals and timers ---- */

static void count_pending(const json_t *owner, size_t count[65])
{
	const json_t *row;
	siginfo_t si;
	size_t i;

	json_array_foreach(json_object_get(owner, "pending"), i, row)
		if (siginfo_parse(row, &si, NULL) == 0)
			count[si.si_signo]++;
}

static void show_pending(const struct view *v, const json_t *task)
{
	const json_t *row;
	size_t count[65] = { 0 }, i;
	const char *label = "pending";
	char name[NUMBER];

	count_pending(task, count);
	json_array_foreach(json_object_get(task, "threads"), i, row)
		count_pending(row, count);
	for (int sig = 1; sig <= 64; sig++) {
		if (!count[sig])
			continue;
		line(v, label, "%s, %zu time%s", signal_text(sig, name), count[sig],
		     count[sig] == 1 ? "" : "s");
		label = "";
	}
}

static void show_timer(const struct view *v, const char *label, const char *name, const json_t *o)
{
	const json_t *info = json_object_get(o, "info");
	int64_t value = number(info, "value_ns", 0), every = number(o, "interval_ns", 0);
	char left[NUMBER], interval[NUMBER];

	line(v, label, "%s, %s%s%s%s", name, value ? time_text(value, left) : "not armed",
	     value ? " left" : "", every ? ", every " : "",
	     every ? time_text(every, interval) : "");
}

static void show_timers(const struct view *v, const json_t *task)
{
	static const struct {
		const char *member, *name;
	} itimers[] = {
		{ "itimer_real", "interval timer, real time" },
		{ "itimer_virtual", "interval timer, user time" },
		{ "itimer_prof", "interval timer, processor time" },
	};

	const json_t *rows = json_object_get(task, "timers"), *row;
	const char *label = "timers";
	char name[NUMBER];
	size_t i;

	for (i = 0; i < sizeof(itimers) / sizeof(itimers[0]); i++) {
		row = json_object_get(task, itimers[i].member);
		if (!row)
			continue;
		show_timer(v, label, itimers[i].name, row);
		label = "";
	}
	json_array_foreach(rows, i, row) {
		snprintf(name, sizeof(name), "POSIX timer %" PRId64, number(row, "id", 0));
		show_timer(v, label, name, row);
		label = "";
	}
}

/* ---- an image ---- */

static int open_core(const struct image *im, pid_t pid, struct core_file *core,
		     struct ckpt_err **err)
{
	char name[32];
	int fd = -1, rc;

	snprintf(name, sizeof(name), "core.%d", pid);
	rc = image_file_open(im, false, name, &fd, err);
	return rc < 0 ? rc : core_open(core, fd, err);
}

static const char *task_name(const json_t *task, char buf[TEXT])
{
	return text(json_array_get(json_object_get(task, "threads"), 0), "comm", buf);
}

static int show_task(const struct view *v, const struct image *im, const json_t *task,
		     struct ckpt_err **err)
{
	struct core_file core = { .fd = -1 };
	bool zombie = json_object_get(task, "zombie");
	char name[TEXT];
	int32_t pid = 0;
	int rc = js_i32(task, "pid", &pid, err);

	if (rc == 0 && !zombie)
		rc = open_core(im, pid, &core, err);
	if (rc < 0)
		return rc;
	fprintf(v->out, "\nprocess %d (%s)\n", pid, task_name(task, name));
	if (zombie) {
		show_zombie(v, task);
		return 0;
	}
	show_process(v, task, &core);
	show_timers(v, task);
	show_pending(v, task);
	show_threads(v, task);
	show_descriptors(v, task);
	core_done(&core);
	return 0;
}

/* Children below their parents, each process once, whatever the image says. */
static void show_branch(const struct view *v, const json_t *tasks, size_t at, int depth, bool *seen)
{
	const json_t *task = json_array_get(tasks, at), *row;
	int64_t pid = number(task, "pid", 0);
	char name[TEXT];
	size_t i;

	seen[at] = true;
	fprintf(v->out, "  %*s%" PRId64 " (%s)%s\n", 2 * (depth < 30 ? depth : 30), "", pid,
		task_name(task, name), json_object_get(task, "zombie") ? ", ended" : "");
	json_array_foreach(tasks, i, row)
		if (!seen[i] && number(row, "ppid", 0) == pid && depth < DEPTH_SHOWN)
			show_branch(v, tasks, i, depth + 1, seen);
}

static void show_tree(const struct view *v, const json_t *tasks)
{
	size_t n = json_array_size(tasks);
	_cleanup_free_ bool *seen = calloc(n + 1, sizeof(*seen));

	if (n < 2 || !seen)
		return;
	fprintf(v->out, "\n%zu processes\n", n);
	show_branch(v, tasks, 0, 0, seen);
}

static int show_person(const struct image *im, FILE *out, struct ckpt_err **err)
{
	struct view v = { .out = out, .manifest = im->manifest };
	json_t *tasks, *row;
	size_t i;
	int rc = js_arr(im->manifest, "tasks", &tasks, err);

	if (rc < 0)
		return rc;
	v.objects = json_object_get(im->manifest, "objects");
	v.files = json_object_get(im->manifest, "files");
	fputs("image\n", out);
	show_head(&v);
	show_tree(&v, tasks);
	json_array_foreach(tasks, i, row) {
		rc = show_task(&v, im, row, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int ckpt_show(struct ckpt_session *s, const char *image, bool json, FILE *out,
	      struct ckpt_err **err)
{
	struct image im = IMAGE_INIT;
	int rc = image_open(&im, image, err);

	(void)s;
	if (rc < 0)
		return rc;
	/* Everything beyond ASCII is escaped: names in it come from outside, and may go to a
	 * terminal. */
	if (!json)
		rc = show_person(&im, out, err);
	else if (json_dumpf(im.manifest, out, JSON_INDENT(2) | JSON_ENSURE_ASCII) < 0)
		rc = ckpt_fail(err, EIO, CKPT_E_SYS, "cannot write the manifest");
	else
		fputc('\n', out);
	if (rc == 0 && (fflush(out) || ferror(out)))
		rc = ckpt_fail_errno(err, errno ? errno : EIO, CKPT_E_SYS, "cannot write");
	image_done(&im);
	return rc;
}
