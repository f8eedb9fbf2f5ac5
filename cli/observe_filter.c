// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Which events are shown: KEY=VALUE[,VALUE...] takes those that fit one of the values, KEY!=... the
 * others. All filters must agree. What is said of the whole ("start", "lost", "audit") always
 * passes.
 */
#include "observe.h"
#include <fnmatch.h>
#include <ftw.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

enum key { KEY_EVENT, KEY_KIND, KEY_PID, KEY_NAME, KEY_CGROUP, KEY_NR };

static const char *const keys[KEY_NR] = {
	[KEY_EVENT] = "event", [KEY_KIND] = "kind",	[KEY_PID] = "pid",
	[KEY_NAME] = "name",   [KEY_CGROUP] = "cgroup",
};

/* By their directories' inode numbers, which are the kernel's ids. */
struct cgroups {
	uint64_t *id; /* owned */
	size_t n;
};

struct observe_filter {
	enum key key;
	bool negative;
	char *text;   /* owned: cut into values */
	char **value; /* owned; of text */
	size_t n;
	struct cgroups in, out; /* KEY_CGROUP: as far as they have been met */
	struct observe_filter *next;
};

void observe_filter_free(struct observe_filter *f)
{
	while (f) {
		struct observe_filter *next = f->next;

		free(f->text);
		free(f->value);
		free(f->in.id);
		free(f->out.id);
		free(f);
		f = next;
	}
}

static bool is_about_all(const struct ckpt_event *e)
{
	return !e->pid;
}

static bool has_cgroup(const struct cgroups *c, uint64_t id)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->id[i] == id)
			return true;
	return false;
}

static void put_cgroup(struct cgroups *c, uint64_t id)
{
	/* In powers of two. */
	if ((c->n & (c->n - 1)) == 0)
		c->id = cli_realloc(c->id, (c->n ? 2 * c->n : 1) * sizeof(*c->id));
	c->id[c->n++] = id;
}

/* nftw(3) takes no userdata. */
static __thread struct cgroups *walking;

static int walk_cgroup(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)path;
	(void)ftw;
	if (flag == FTW_D && !has_cgroup(walking, st->st_ino))
		put_cgroup(walking, st->st_ino);
	return 0;
}

/* The directories that were named, with those below. */
static bool find_cgroups(struct observe_filter *f, size_t i)
{
	int rc;

	walking = &f->in;
	rc = nftw(f->value[i], walk_cgroup, 16, FTW_PHYS);
	walking = NULL;
	return rc == 0;
}

/* One that has not been met may have been made since. */
static bool is_in_cgroup(struct observe_filter *f, uint64_t id)
{
	if (has_cgroup(&f->in, id))
		return true;
	if (!id || has_cgroup(&f->out, id))
		return false;
	for (size_t i = 0; i < f->n; i++)
		find_cgroups(f, i);
	if (has_cgroup(&f->in, id))
		return true;
	put_cgroup(&f->out, id);
	return false;
}

static bool fits_value(const struct observe_filter *f, const struct ckpt_event *e, size_t i)
{
	pid_t pid;

	switch (f->key) {
	case KEY_EVENT:
		return !fnmatch(f->value[i], e->name, 0);
	case KEY_KIND:
		return e->kind && !strcmp(f->value[i], e->kind);
	case KEY_PID:
		return cli_parse_pid(f->value[i], &pid) && (pid == e->pid || pid == e->tid);
	case KEY_NAME:
		return !fnmatch(f->value[i], e->comm, 0);
	case KEY_CGROUP:
	case KEY_NR:
		break;
	}
	return false;
}

static bool fits(struct observe_filter *f, const struct ckpt_event *e)
{
	if (f->key == KEY_CGROUP)
		return is_in_cgroup(f, e->cgroup);
	for (size_t i = 0; i < f->n; i++)
		if (fits_value(f, e, i))
			return true;
	return false;
}

bool observe_filter_passes(struct observe_filter *f, const struct ckpt_event *e)
{
	if (is_about_all(e))
		return true;
	for (; f; f = f->next)
		if (fits(f, e) == f->negative)
			return false;
	return true;
}

/* ---- the command line ---- */

static size_t cut(struct observe_filter *f)
{
	char *p = f->text;

	f->value = cli_alloc((strlen(p) + 1) * sizeof(*f->value));
	for (char *value; (value = strsep(&p, ","));)
		if (*value)
			f->value[f->n++] = value;
	return f->n;
}

static char *check_cgroups(struct observe_filter *f)
{
	struct statfs fs;

	for (size_t i = 0; i < f->n; i++)
		if (statfs(f->value[i], &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC ||
		    !find_cgroups(f, i))
			return cli_format("there is no cgroup '%s'", f->value[i]);
	return NULL;
}

/* Those of ebpf-ckpt-observe(5). A word that is none of them would show nothing, without end. */
static const char *const events[] = {
	"process",
	"fork",
	"thread",
	"exec",
	"rename",
	"thread_exit",
	"exit",
	"namespace",
	"fd_new",
	"fd_close",
	"fd_flags",
	"bind",
	"listen",
	"connect",
	"shutdown",
	"sock_state",
	"map",
	"shmat",
	"unmap",
	"shmdt",
	"protect",
	"remap",
	"brk",
	"timer_new",
	"timer_set",
	"timer_delete",
	"lock",
	"unlock",
	"signal_generate",
	"signal_deliver",
	"start",
	"lost",
	"summary",
	"audit",
};

static const char *const kinds[] = {
	"bpfmap",   "chardev",	"directory", "epoll",	  "eventfd",	 "fanotify",   "fifo",
	"hugeshm",  "inotify",	"memfd",     "mqueue",	  "opath",	 "pidfd",      "pipe",
	"posixshm", "procpid",	"ptmx",	     "regular",	  "shmem",	 "signalfd",   "sysvshm",
	"timerfd",  "tty",	"unix",	     "tcp",	  "udp",	 "inet",       "netlink",
	"packet",   "vsock",	"socket",    "io_uring",  "userfaultfd", "perf_event", "bpf",
	"kvm",	    "seccomp",	"landlock",  "fscontext", "anonymous",	 "namespace",  "secretmem",
	"dmabuf",   "blockdev", "other",     "unknown",
};

static bool is_known(const char *const *names, size_t n, const char *pattern)
{
	for (size_t i = 0; i < n; i++)
		if (!fnmatch(pattern, names[i], 0))
			return true;
	return false;
}

#define IS_KNOWN(names, pattern) is_known(names, sizeof(names) / sizeof((names)[0]), pattern)

static char *check_values(struct observe_filter *f)
{
	pid_t pid;

	if (!cut(f))
		return cli_format("the filter has no value");
	for (size_t i = 0; i < f->n; i++) {
		if (f->key == KEY_EVENT && !IS_KNOWN(events, f->value[i]))
			return cli_format("there is no event '%s': see ebpf-ckpt-observe(5)",
					  f->value[i]);
		if (f->key == KEY_KIND && !IS_KNOWN(kinds, f->value[i]))
			return cli_format("there is no kind '%s': see ebpf-ckpt-observe(5)",
					  f->value[i]);
	}
	for (size_t i = 0; f->key == KEY_PID && i < f->n; i++)
		if (!cli_parse_pid(f->value[i], &pid))
			return cli_format("'%s' is not a pid", f->value[i]);
	return f->key == KEY_CGROUP ? check_cgroups(f) : NULL;
}

char *observe_filter_add(struct observe_filter **list, const char *text)
{
	size_t len = strcspn(text, "!=");
	bool negative = text[len] == '!';
	const char *value = text + len + negative;

	if (*value != '=')
		return cli_format("'%s' is no filter", text);
	for (int key = 0; key < KEY_NR; key++) {
		if (strlen(keys[key]) != len || strncmp(keys[key], text, len))
			continue;
		struct observe_filter *f = cli_alloc(sizeof(*f));

		f->key = (enum key)key;
		f->negative = negative;
		f->text = cli_format("%s", value + 1);
		f->next = *list;
		*list = f;
		return check_values(f);
	}
	return cli_format("there is no filter by '%.*s'", (int)len, text);
}
