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

struct observe_filter {
	enum key key;
	bool negative;
	char *text;    /* owned: cut into values */
	char **value;  /* owned; of text */
	uint64_t *ids; /* owned: KEY_CGROUP: inode numbers of the directories */
	size_t n;      /* values, or ids */
	struct observe_filter *next;
};

void observe_filter_free(struct observe_filter *f)
{
	while (f) {
		struct observe_filter *next = f->next;

		free(f->text);
		free(f->value);
		free(f->ids);
		free(f);
		f = next;
	}
}

static bool is_about_all(const struct ckpt_event *e)
{
	return !e->pid;
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
		return e->cgroup == f->ids[i];
	case KEY_NR:
		break;
	}
	return false;
}

bool observe_filter_passes(const struct observe_filter *f, const struct ckpt_event *e)
{
	if (is_about_all(e))
		return true;
	for (; f; f = f->next) {
		bool fits = false;

		for (size_t i = 0; i < f->n && !fits; i++)
			fits = fits_value(f, e, i);
		if (fits == f->negative)
			return false;
	}
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

/* nftw(3) takes no userdata. */
static __thread struct observe_filter *walking;

static int add_cgroup(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	struct observe_filter *f = walking;

	(void)path;
	(void)ftw;
	if (flag != FTW_D)
		return 0;
	uint64_t *grown = reallocarray(f->ids, f->n + 1, sizeof(*grown));

	if (!grown)
		return -1;
	f->ids = grown;
	f->ids[f->n++] = st->st_ino;
	return 0;
}

/* The directories of cgroupfs, with those below: their inodes are the kernel's ids. */
static char *find_cgroups(struct observe_filter *f)
{
	size_t n = f->n;

	f->n = 0;
	for (size_t i = 0; i < n; i++) {
		struct statfs fs;

		if (statfs(f->value[i], &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
			return cli_format("there is no cgroup '%s'", f->value[i]);
		walking = f;
		int rc = nftw(f->value[i], add_cgroup, 16, FTW_PHYS);

		walking = NULL;
		if (rc)
			return cli_format("there is no cgroup '%s'", f->value[i]);
	}
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
	return f->key == KEY_CGROUP ? find_cgroups(f) : NULL;
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
