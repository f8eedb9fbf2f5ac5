// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * cr_checkpoint: checkpoint processes that have libcr loaded, to one file, with BLCR's options.
 *
 * A child does the work, and is left out of the checkpoint; so this command can be started by the
 * very processes that it is for. In their second life the child is not there: all went well.
 */
#include "cli.h"
#include "cr_job.h"
#include "cr_tool.h"
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME "cr_checkpoint"

static const char help[] =
	"Usage: " NAME " [options] ID\n"
	"What ID names:\n"
	"  -T, --tree             a process and its descendants (default)\n"
	"  -p, --pid, --process   a process\n"
	"  -g, --pgid, --group    a process group\n"
	"  -s, --sid, --session   a session\n"
	"Where to:\n"
	"  -c, --cwd              context.ID in the current directory (default)\n"
	"  -f, --file FILE        a file\n"
	"  -F, --fd FD            an open descriptor\n"
	"What becomes of an existing file:\n"
	"      --atomic           replaced when all is done (default)\n"
	"      --backup[=NAME]    renamed, to NAME or FILE.~1~, ...\n"
	"      --clobber          overwritten\n"
	"      --noclobber        an error\n"
	"      --sync, --nosync   have it on the disk at the end (default), or not\n"
	"What becomes of the processes:\n"
	"      --run              they go on (default)\n"
	"  -S, --signal N         they get a signal\n"
	"      --stop --term --abort --kill --cont  the same by name\n"
	"What is saved:\n"
	"      --save-exe         also the contents of the executables,\n"
	"      --save-private     of files that are mapped privately, as libraries are,\n"
	"      --save-shared      of files that are mapped shared,\n"
	"      --save-all         of all of them,\n"
	"      --save-none        or of none (default)\n"
	"      --ptraced-error --ptraced-allow --ptraced-skip --ptracer-error --ptracer-skip\n"
	"Others:\n"
	"  -t, --time SEC         give up after this time\n"
	"  -q, --quiet            no messages\n"
	"  -v, --verbose          all messages\n"
	"      --kmsg-none --kmsg-error --kmsg-warning  whether details of errors are told\n"
	"  -?, --help             print this help\n"
	"      --version          print the version\n";

enum existing { ATOMIC, BACKUP, CLOBBER, NOCLOBBER };

struct args {
	int scope;
	pid_t target;
	const char *file, *backup;
	int fd;
	int n_destinations;
	enum existing existing;
	bool sync, quiet, causes, verbose;
	int signal, seconds;
	unsigned int flags;
};

enum {
	O_ATOMIC = 256,
	O_BACKUP,
	O_CLOBBER,
	O_NOCLOBBER,
	O_SYNC_,
	O_NOSYNC,
	O_RUN,
	O_SIGNAL_BASE = 300, /* + 128 + the signal, which may be negative */
	O_SAVE = 600,	     /* + flags >> 9 */
	O_PTRACE = 620,
	O_KMSG_NONE = 640,
	O_KMSG_ERROR,
	O_KMSG_WARNING,
	O_VERSION,
};

#define NAMED(sig) (O_SIGNAL_BASE + 128 + (sig))

static const struct option options[] = {
	{ "tree", no_argument, NULL, 'T' },
	{ "pid", no_argument, NULL, 'p' },
	{ "process", no_argument, NULL, 'p' },
	{ "pgid", no_argument, NULL, 'g' },
	{ "group", no_argument, NULL, 'g' },
	{ "sid", no_argument, NULL, 's' },
	{ "session", no_argument, NULL, 's' },
	{ "file", required_argument, NULL, 'f' },
	{ "fd", required_argument, NULL, 'F' },
	{ "cwd", no_argument, NULL, 'c' },
	{ "dir", required_argument, NULL, 'd' },
	{ "atomic", no_argument, NULL, O_ATOMIC },
	{ "backup", optional_argument, NULL, O_BACKUP },
	{ "clobber", no_argument, NULL, O_CLOBBER },
	{ "noclobber", no_argument, NULL, O_NOCLOBBER },
	{ "sync", no_argument, NULL, O_SYNC_ },
	{ "nosync", no_argument, NULL, O_NOSYNC },
	{ "run", no_argument, NULL, O_RUN },
	{ "signal", required_argument, NULL, 'S' },
	{ "stop", no_argument, NULL, NAMED(SIGSTOP) },
	{ "term", no_argument, NULL, NAMED(SIGTERM) },
	{ "abort", no_argument, NULL, NAMED(SIGABRT) },
	{ "kill", no_argument, NULL, NAMED(SIGKILL) },
	{ "cont", no_argument, NULL, NAMED(SIGCONT) },
	{ "early-stop", no_argument, NULL, NAMED(-SIGSTOP) },
	{ "early-abrt", no_argument, NULL, NAMED(-SIGABRT) },
	{ "save-exe", no_argument, NULL, O_SAVE + (CR_CHKPT_DUMP_EXEC >> 9) },
	{ "save-private", no_argument, NULL, O_SAVE + (CR_CHKPT_DUMP_PRIVATE >> 9) },
	{ "save-shared", no_argument, NULL, O_SAVE + (CR_CHKPT_DUMP_SHARED >> 9) },
	{ "save-all", no_argument, NULL, O_SAVE + (CR_CHKPT_DUMP_ALL >> 9) },
	{ "save-none", no_argument, NULL, O_SAVE },
	{ "ptraced-error", no_argument, NULL, O_PTRACE },
	{ "ptraced-allow", no_argument, NULL, O_PTRACE + CR_CHKPT_PTRACED_ALLOW },
	{ "ptraced-skip", no_argument, NULL, O_PTRACE + CR_CHKPT_PTRACED_SKIP },
	{ "ptracer-error", no_argument, NULL, O_PTRACE + 1 },
	{ "ptracer-skip", no_argument, NULL, O_PTRACE + CR_CHKPT_PTRACER_SKIP },
	{ "time", required_argument, NULL, 't' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "kmsg-none", no_argument, NULL, O_KMSG_NONE },
	{ "kmsg-error", no_argument, NULL, O_KMSG_ERROR },
	{ "kmsg-warning", no_argument, NULL, O_KMSG_WARNING },
	{ "help", no_argument, NULL, '?' },
	{ "version", no_argument, NULL, O_VERSION },
	{ NULL, 0, NULL, 0 },
};

static void fail(const struct args *a, int code)
{
	if (!a->quiet)
		fprintf(stderr, "Checkpoint failed: %s\n", cr_error_text(code));
}

static void ptrace_flag(struct args *a, int flag)
{
	unsigned int traced = CR_CHKPT_PTRACED_ALLOW | CR_CHKPT_PTRACED_SKIP;

	if (flag == 1 || flag == CR_CHKPT_PTRACER_SKIP)
		a->flags &= ~(unsigned int)CR_CHKPT_PTRACER_SKIP;
	else
		a->flags &= ~traced;
	if (flag > 1)
		a->flags |= (unsigned int)flag;
}

static bool whole_number(const char *text, int *ret)
{
	char *end;
	long v = strtol(text, &end, 10);

	*ret = (int)v;
	return !*end && end != text && v >= 0 && v <= INT_MAX;
}

/* -1: taken; otherwise an errno, or ENOSYS: unknown. */
static int take_option(struct args *a, int c)
{
	switch (c) {
	case 'T':
	case 'p':
	case 'g':
	case 's':
		a->scope = c == 'T'   ? CR_SCOPE_TREE
			   : c == 'p' ? CR_SCOPE_PROC
			   : c == 'g' ? CR_SCOPE_PGRP
				      : CR_SCOPE_SESS;
		return -1;
	case 'f':
		a->file = optarg;
		a->n_destinations++;
		return -1;
	case 'F':
		a->n_destinations++;
		return whole_number(optarg, &a->fd) ? -1 : EINVAL;
	case 'c':
		a->n_destinations++;
		return -1;
	case 'd':
		return EINVAL;
	case 'S':
		return cr_parse_signal(optarg, &a->signal) ? -1 : EINVAL;
	case 't':
		return whole_number(optarg, &a->seconds) ? -1 : EINVAL;
	case 'q':
		a->quiet = true;
		return -1;
	case 'v':
		a->verbose = true;
		return -1;
	case O_RUN:
		a->signal = 0;
		return -1;
	case O_ATOMIC:
	case O_BACKUP:
	case O_CLOBBER:
	case O_NOCLOBBER:
		a->existing = (enum existing)(c - O_ATOMIC);
		a->backup = c == O_BACKUP ? optarg : a->backup;
		return -1;
	case O_SYNC_:
	case O_NOSYNC:
		a->sync = c == O_SYNC_;
		return -1;
	case O_KMSG_NONE:
	case O_KMSG_ERROR:
	case O_KMSG_WARNING:
		a->causes = c != O_KMSG_NONE;
		return -1;
	}
	if (c > O_SIGNAL_BASE && c < O_SAVE)
		a->signal = c - NAMED(0);
	else if (c == O_SAVE)
		a->flags &= ~(unsigned int)CR_CHKPT_DUMP_ALL;
	else if (c > O_SAVE && c < O_PTRACE)
		a->flags |= (unsigned int)(c - O_SAVE) << 9;
	else if (c >= O_PTRACE && c < O_KMSG_NONE)
		ptrace_flag(a, c - O_PTRACE);
	else
		return ENOSYS;
	return -1;
}

/* ---- the file ---- */

struct output {
	const struct args *a;
	char path[PATH_MAX], tmp[PATH_MAX], dir[PATH_MAX];
	int fd;
};

static int split_path(struct output *o)
{
	const struct args *a = o->a;
	const char *slash;
	char copy[PATH_MAX];

	if (a->file)
		snprintf(copy, sizeof(copy), "%s", a->file);
	else
		snprintf(copy, sizeof(copy), "context.%d", a->target);
	slash = strrchr(copy, '/');
	snprintf(o->path, sizeof(o->path), "%s", copy);
	snprintf(o->dir, sizeof(o->dir), "%.*s", slash ? (int)(slash - copy) : 1,
		 slash ? copy : ".");
	if (slash == copy)
		strcpy(o->dir, "/");
	if (snprintf(o->tmp, sizeof(o->tmp), "%s/.%s.tmp", o->dir, slash ? slash + 1 : copy) >=
	    (int)sizeof(o->tmp))
		return ENAMETOOLONG;
	return 0;
}

/* An errno, or 0. */
static int open_output(struct output *o)
{
	int flags = O_WRONLY | O_CREAT | O_CLOEXEC, rc;
	enum existing e = o->a->existing;

	if (o->a->fd >= 0) {
		o->fd = o->a->fd;
		return fcntl(o->fd, F_GETFL) < 0 ? errno : 0;
	}
	rc = split_path(o);
	if (rc)
		return rc;
	if (e == NOCLOBBER) {
		o->fd = open(o->path, flags | O_EXCL, 0400);
	} else if (e == CLOBBER) {
		o->fd = open(o->path, flags | O_TRUNC, 0400);
		if (o->fd < 0 && errno == EACCES && unlink(o->path) == 0)
			o->fd = open(o->path, flags | O_TRUNC, 0400);
	} else {
		unlink(o->tmp);
		o->fd = open(o->tmp, flags | O_EXCL, 0400);
	}
	return o->fd < 0 ? errno : 0;
}

static int back_up(const struct output *o)
{
	char name[PATH_MAX];

	if (o->a->backup)
		return rename(o->path, o->a->backup) < 0 && errno != ENOENT ? errno : 0;
	for (int i = 1; i < 100000; i++) {
		if (snprintf(name, sizeof(name), "%s.~%d~", o->path, i) >= (int)sizeof(name))
			return ENAMETOOLONG;
		if (access(name, F_OK) == 0)
			continue;
		return rename(o->path, name) < 0 && errno != ENOENT ? errno : 0;
	}
	return EEXIST;
}

static int finish_output(struct output *o, int rc)
{
	bool temporary = o->a->existing == ATOMIC || o->a->existing == BACKUP;

	if (rc == 0 && o->a->sync && fsync(o->fd) < 0 && errno != EINVAL && errno != EROFS)
		rc = errno;
	if (o->a->fd >= 0)
		return rc;
	if (rc == 0 && o->a->existing == BACKUP)
		rc = back_up(o);
	if (rc == 0 && temporary && rename(o->tmp, o->path) < 0)
		rc = errno;
	if (rc)
		unlink(temporary ? o->tmp : o->path);
	if (rc == 0 && o->a->sync) {
		int dir = open(o->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (dir >= 0) {
			fsync(dir);
			close(dir);
		}
	}
	return rc;
}

/* ---- the work ---- */

static void print_causes(const struct args *a, const struct ckpt_err *err, int rc)
{
	if (a->quiet || !(a->causes || a->verbose) || (!rc && !a->verbose))
		return;
	for (; err; err = ckpt_err_cause(err)) {
		_cleanup_free_ char *text = cli_escape(ckpt_err_text(err), false);

		fprintf(stderr, "- %s\n", text);
		if (!ckpt_err_cause(err) && *ckpt_err_hint(err))
			fprintf(stderr, "- %s\n", ckpt_err_hint(err));
	}
}

static int work(const struct args *a)
{
	_cleanup_err_ struct ckpt_err *err = NULL;
	struct output o = { .a = a, .fd = -1 };
	const pid_t self = getpid();
	char dest[PATH_MAX] = "";
	struct cr_job job = {
		.scope = a->scope,
		.target = a->target,
		.requester = getppid(),
		.signal = a->signal,
		.timeout_ms = a->seconds > 4000000 ? 0 : (unsigned int)a->seconds * 1000U,
		.flags = a->flags,
		.dest = dest,
		.omit = &self,
		.n_omit = 1,
	};
	int rc = open_output(&o);

	if (rc == 0) {
		if (a->fd >= 0)
			cr_path_of(o.fd, dest, sizeof(dest));
		else if (!realpath(o.dir, dest))
			dest[0] = 0;
		else if (strlen(dest) + strlen(o.path) + 2 < sizeof(dest))
			snprintf(dest + strlen(dest), sizeof(dest) - strlen(dest), "/%s",
				 strrchr(o.path, '/') ? strrchr(o.path, '/') + 1 : o.path);
		job.fd = o.fd;
		rc = cr_job_checkpoint(&job, &err);
		rc = finish_output(&o, rc);
	}
	if (rc)
		fail(a, rc);
	print_causes(a, err, rc);
	return rc & 255;
}

static pid_t worker; /* for pass_on() */

static void pass_on(int sig)
{
	kill(worker, sig);
}

/* Whoever wants us to end has to wait until all is undone. */
static void pass_signals_on(pid_t child)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
	struct sigaction old, sa = { .sa_handler = pass_on, .sa_flags = SA_RESTART };

	worker = child;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaction(signals[i], &sa, NULL);
}

static int wait_for(pid_t child)
{
	int status;
	pid_t pid;

	pass_signals_on(child);

	do
		pid = waitpid(child, &status, 0);
	while (pid < 0 && errno == EINTR);
	/* This is the second life, in which there is no child. */
	if (pid < 0)
		return errno == ECHILD ? 0 : errno & 255;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

int cr_checkpoint_main(int argc, char **argv)
{
	struct args a = { .scope = CR_SCOPE_TREE, .fd = -1, .sync = true, .causes = true };
	int c, wrong = 0, rc;
	pid_t child;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "Tpgsf:F:cd:S:t:qv?", options, NULL)) != -1) {
		if (c == O_VERSION)
			return cr_version(NAME);
		if (c == '?' && (!optopt || optopt == '?') &&
		    (!strcmp(argv[optind - 1], "-?") || !strncmp(argv[optind - 1], "--h", 3))) {
			fputs(help, stdout);
			return 0;
		}
		if (c == '?')
			return cr_usage(NAME, help, "wrong option '%s'", argv[optind - 1]);
		rc = take_option(&a, c);
		wrong = rc > 0 ? rc : wrong;
	}
	if (optind + 1 != argc)
		return cr_usage(NAME, help, "give one ID");
	if (!cli_parse_pid(argv[optind], &a.target))
		return cr_usage(NAME, help, "'%s' is no id", argv[optind]);
	if (a.n_destinations > 1)
		wrong = EINVAL;
	if (wrong) {
		fail(&a, wrong);
		return wrong & 255;
	}
	fflush(NULL);
	child = fork();
	if (child < 0)
		return errno & 255;
	if (child == 0)
		exit(work(&a));
	return wait_for(child);
}
