// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * observe --html FILE: the events in one page that needs nothing else (cli/page/).
 *
 * They are kept in files without a name until the end. Of a long run the last ones are kept: two
 * files are filled in turn, each with as many as the page may have, so that neither memory nor the
 * disk fills up. What was there at the start is kept apart, and always.
 */
#include "observe.h"
#include "observe_page.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD_MAX      20000		   /* lines of what was there */
#define SPOOL_MAX     (UINT64_C(96) << 20) /* bytes of each file: a browser reads no endless page */
#define NONCE_SIZE    33
#define TEMPORARY_MAX 64

struct spool {
	FILE *f;
	uint64_t lines, bytes;
};

struct html {
	struct observe_output out; /* first: the vtable's self */
	char *path;		   /* owned; as the user wrote it */
	char *name;		   /* owned: its last part */
	int dir;
	uint64_t limit;
	struct spool head, spool[2]; /* the older of the two is spool[!now] */
	unsigned int now;
	uint64_t dropped;
	int error; /* positive: why no more could be kept */
};

/* ---- errors ----------------------------------------------------------------------------------
 */

static int say(const struct html *h, int error, const char *what, const char *hint)
{
	_cleanup_free_ char *path = cli_escape(h->path, false);
	_cleanup_free_ char *headline = cli_format("cannot write the page %s", path);
	_cleanup_free_ char *cause =
		error ? cli_format("%s: %s", what, strerror(error)) : cli_format("%s", what);
	const char *causes[] = { cause, NULL };

	cli_complain(NULL, CKPT_E_OUTPUT, headline, causes, hint);
	return error ? -error : -EINVAL;
}

static const char *hint_for(int error)
{
	return error == ENOSPC || error == EDQUOT    ? "make room there, or write it elsewhere"
	       : error == ENOENT || error == ENOTDIR ? "make the directory first"
						     : "write it to a directory of your own";
}

/* ---- keeping events ---------------------------------------------------------------------------
 */

/* A file without a name in the directory of the page: that is where there is room for it. */
static int spool_open(const struct html *h, struct spool *s)
{
	int fd = openat(h->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);

	if (fd < 0) { /* some file systems cannot */
		char name[TEMPORARY_MAX];

		snprintf(name, sizeof(name), ".ebpf-ckpt-observe.%d.%p", getpid(), (void *)s);
		fd = openat(h->dir, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR | O_CLOEXEC, 0600);
		if (fd >= 0)
			unlinkat(h->dir, name, 0);
	}
	s->f = fd >= 0 ? fdopen(fd, "w+") : NULL;
	if (!s->f) {
		int error = errno;

		if (fd >= 0)
			close(fd);
		return -error;
	}
	return 0;
}

static void spool_close(struct spool *s)
{
	if (s->f)
		fclose(s->f);
	s->f = NULL;
}

static int spool_empty(struct spool *s)
{
	rewind(s->f);
	if (ftruncate(fileno(s->f), 0))
		return -errno;
	s->lines = s->bytes = 0;
	return 0;
}

static int spool_add(struct spool *s, const struct observe_line *line)
{
	errno = EIO;
	if (fwrite(line->json, 1, line->json_len, s->f) != line->json_len ||
	    putc('\n', s->f) == EOF)
		return -errno;
	s->lines++;
	s->bytes += line->json_len + 1;
	return 0;
}

/* The first line, and those of what was there before. */
static bool is_head(const struct html *h, const struct ckpt_event *e)
{
	const struct ckpt_member *known;

	if (!strcmp(e->name, "start"))
		return true;
	if (strcmp(e->name, "process") || h->head.lines >= HEAD_MAX)
		return false;
	known = ckpt_event_member(e, "known");
	return known && known->u;
}

static int html_event(struct observe_output *self, const struct observe_line *line)
{
	struct html *h = (struct html *)self;
	struct spool *s = &h->spool[h->now];
	int rc = 0;

	if (is_head(h, line->event)) {
		s = &h->head;
	} else if (s->lines >= h->limit || s->bytes >= SPOOL_MAX) {
		h->now = !h->now;
		s = &h->spool[h->now];
		h->dropped += s->lines;
		rc = spool_empty(s);
	}
	if (!rc)
		rc = spool_add(s, line);
	h->error = -rc; /* told at the end: the terminal may be another output's now */
	return rc;
}

/* ---- the page ---------------------------------------------------------------------------------
 */

/* Within <script> nothing but '<' can end the text, and in JSON it stands in strings alone. */
static void put_escaped(FILE *out, const char *text, size_t n)
{
	for (const char *lt; n && (lt = memchr(text, '<', n));
	     n -= (size_t)(lt + 1 - text), text = lt + 1) {
		fwrite(text, 1, (size_t)(lt - text), out);
		fputs("\\u003c", out);
	}
	fwrite(text, 1, n, out);
}

/* All lines but the first `skip`. */
static void put_spool(FILE *out, struct spool *s, uint64_t skip)
{
	char buf[65536];
	size_t n;

	rewind(s->f);
	while ((n = fread(buf, 1, sizeof(buf), s->f)) > 0) {
		const char *p = buf, *end = buf + n;

		while (skip && p < end) {
			const char *newline = memchr(p, '\n', (size_t)(end - p));

			p = newline ? newline + 1 : end;
			skip -= newline != NULL;
		}
		put_escaped(out, p, (size_t)(end - p));
	}
}

static json_t *process_totals(const struct ckpt_observed_process *p)
{
	json_t *kinds = json_array();

	for (size_t i = 0; i < p->n_kinds; i++)
		json_array_append_new(kinds, json_pack("{s:s, s:I, s:I, s:I, s:I}", "kind",
						       p->kind[i].name, "made",
						       (json_int_t)p->kind[i].made, "closed",
						       (json_int_t)p->kind[i].closed, "open",
						       (json_int_t)p->kind[i].open, "peak",
						       (json_int_t)p->kind[i].peak));
	_cleanup_free_ char *comm = cli_escape(p->comm, false);

	return json_pack("{s:i, s:s, s:I, s:o}", "pid", (int)p->pid, "comm", comm, "folded",
			 (json_int_t)p->n_folded, "kinds", kinds);
}

static json_t *signal_totals(const struct ckpt_observed_signal *s)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "signal", s->name, "generated",
			 (json_int_t)s->generated, "delivered", (json_int_t)s->delivered,
			 "median_ns", (json_int_t)s->median_ns, "p99_ns", (json_int_t)s->p99_ns,
			 "max_ns", (json_int_t)s->max_ns);
}

/* The sums of the whole run, for a page that has not all events. */
static void put_totals(FILE *out, struct ckpt_observe *o)
{
	const struct ckpt_observed *v;

	if (!o || ckpt_observe_view(o, &v, NULL) < 0) {
		fputs("null", out);
		return;
	}
	json_t *processes = json_array(), *signals = json_array();

	for (size_t i = 0; i < v->n_processes; i++)
		json_array_append_new(processes, process_totals(&v->process[i]));
	for (size_t i = 0; i < v->n_signals; i++)
		json_array_append_new(signals, signal_totals(&v->signal[i]));
	json_t *all = json_pack("{s:o, s:o}", "processes", processes, "signals", signals);
	_cleanup_free_ char *text = all ? json_dumps(all, JSON_COMPACT) : NULL;

	json_decref(all);
	put_escaped(out, text ? text : "null", text ? strlen(text) : 4);
}

static void put_events(FILE *out, struct html *h)
{
	struct spool *old = &h->spool[!h->now], *new = &h->spool[h->now];
	uint64_t all = old->lines + new->lines;
	uint64_t skip = all > h->limit ? all - h->limit : 0;

	put_spool(out, &h->head, 0);
	put_spool(out, old, skip);
	put_spool(out, new, 0);
}

static uint64_t count_dropped(const struct html *h)
{
	uint64_t all = h->spool[0].lines + h->spool[1].lines;

	return h->dropped + (all > h->limit ? all - h->limit : 0);
}

/* Scripts without this word, which nobody can know before, do not run: whatever the events hold. */
static int make_nonce(char *buf)
{
	unsigned char bytes[NONCE_SIZE / 2];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return -errno;
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(buf + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

static void put_part(FILE *out, struct observe_page_part part)
{
	fwrite(part.text, 1, (size_t)(part.end - part.text), out);
}

/* What stands for @@name@@. */
static void put_named(FILE *out, struct html *h, struct ckpt_observe *o, const char *nonce,
		      const char *name, size_t len)
{
	uint64_t dropped = count_dropped(h);

#define IS(text) (len == strlen(text) && !memcmp(name, text, len))
	if (IS("css"))
		put_part(out, observe_page_css());
	else if (IS("js"))
		put_part(out, observe_page_js());
	else if (IS("nonce"))
		fputs(nonce, out);
	else if (IS("dropped"))
		fprintf(out, "%" PRIu64, dropped);
	else if (IS("limit"))
		fprintf(out, "%" PRIu64, h->limit);
	else if (IS("totals"))
		put_totals(out, dropped ? o : NULL);
	else if (IS("events"))
		put_events(out, h);
#undef IS
}

static int write_page(FILE *out, struct html *h, struct ckpt_observe *o)
{
	struct observe_page_part page = observe_page_html();
	char nonce[NONCE_SIZE];
	int rc = make_nonce(nonce);

	if (rc)
		return rc;
	for (const char *p = page.text, *at, *end; p < page.end; p = end) {
		at = memmem(p, (size_t)(page.end - p), "@@", 2);
		end = at ? memmem(at + 2, (size_t)(page.end - at) - 2, "@@", 2) : NULL;
		if (!end) {
			fwrite(p, 1, (size_t)(page.end - p), out);
			break;
		}
		fwrite(p, 1, (size_t)(at - p), out);
		put_named(out, h, o, nonce, at + 2, (size_t)(end - at) - 2);
		end += 2;
	}
	errno = EIO;
	for (int i = 0; i < 2; i++)
		if (ferror(h->spool[i].f))
			return -EIO;
	return ferror(h->head.f) || ferror(out) || fflush(out) || fsync(fileno(out)) ? -errno : 0;
}

/* ---- the file ---------------------------------------------------------------------------------
 */

/* The page takes the place of another one, never of a device, or of what a link leads to. */
static int check_place(const struct html *h)
{
	struct stat st;

	if (fstatat(h->dir, h->name, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : say(h, errno, "it cannot be looked at", NULL);
	if (S_ISREG(st.st_mode))
		return 0;
	return say(h, 0,
		   S_ISDIR(st.st_mode)	 ? "there is a directory of that name"
		   : S_ISLNK(st.st_mode) ? "there is a symbolic link, which is not followed"
					 : "there is something that is no regular file",
		   "give another name");
}

static int html_start(struct observe_output *self, const struct observe_about *about)
{
	struct html *h = (struct html *)self;
	_cleanup_free_ char *a = cli_format("%s", h->path);
	_cleanup_free_ char *b = cli_format("%s", h->path);
	size_t len = strlen(h->path);

	(void)about;
	if (!len || h->path[len - 1] == '/')
		return say(h, 0, "that is no name of a file", "give a name: --html run.html");
	h->name = cli_format("%s", basename(a));
	h->dir = open(dirname(b), O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (h->dir < 0)
		return say(h, errno, "its directory", hint_for(errno));
	int rc = check_place(h);

	if (rc)
		return rc;
	if ((rc = spool_open(h, &h->head)) || (rc = spool_open(h, &h->spool[0])) ||
	    (rc = spool_open(h, &h->spool[1])))
		return say(h, -rc, "a file in its directory", hint_for(-rc));
	return 0;
}

static int html_end(struct observe_output *self, struct ckpt_observe *o)
{
	struct html *h = (struct html *)self;
	char name[TEMPORARY_MAX];

	if (h->error)
		return say(h, h->error, "the events kept for it", hint_for(h->error));
	if (!h->head.lines && !h->spool[0].lines) /* it did not even begin */
		return 0;
	int rc = check_place(h);

	if (rc)
		return rc;
	snprintf(name, sizeof(name), ".ebpf-ckpt-observe.%d.new", getpid());
	int fd = openat(h->dir, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, 0600);
	FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;

	if (!out)
		return say(h, errno, "a file in its directory", hint_for(errno));
	rc = write_page(out, h, o);
	if (fclose(out) && !rc)
		rc = -errno;
	if (!rc && renameat(h->dir, name, h->dir, h->name))
		rc = -errno;
	if (rc) {
		unlinkat(h->dir, name, 0);
		return say(h, -rc, "what is in it", hint_for(-rc));
	}
	return 0;
}

static void html_free(struct observe_output *self)
{
	struct html *h = (struct html *)self;

	spool_close(&h->head);
	spool_close(&h->spool[0]);
	spool_close(&h->spool[1]);
	if (h->dir >= 0)
		close(h->dir);
	free(h->path);
	free(h->name);
	free(h);
}

struct observe_output *observe_html_new(const char *path, uint64_t limit)
{
	struct html *h = cli_alloc(sizeof(*h));

	h->out = (struct observe_output){
		.wants_json = true,
		.fd = -1,
		.start = html_start,
		.event = html_event,
		.end = html_end,
		.free = html_free,
	};
	h->path = cli_format("%s", path);
	h->dir = -1;
	h->limit = limit;
	return &h->out;
}
