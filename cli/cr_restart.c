// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * cr_restart: restart processes from a context file, and stand in for the first of them, with
 * BLCR's options.
 *
 * It may be part of a checkpoint itself, of the tree of whoever started it. A callback then decides
 * whether it is left out: so a checkpoint of its pid is one of the job.
 */
#include "cli.h"
#include "cr_job.h"
#include "cr_tool.h"
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libcr.h>
#include <limits.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME "cr_restart"

static const char help[] =
	"Usage: " NAME " [options] [FILE]\n"
	"Where from:\n"
	"  -f, --file FILE        a context file\n"
	"  -F, --fd FD            an open descriptor\n"
	"What the processes get:\n"
	"      --run              nothing (default)\n"
	"  -S, --signal N         a signal\n"
	"      --stop --term --abort --kill --cont  the same by name\n"
	"      --restore-pid --no-restore-pid    their old pids (default), or not\n"
	"      --restore-pgid --no-restore-pgid  their process groups, or this one (default)\n"
	"      --restore-sid --no-restore-sid    their sessions, or this one (default)\n"
	"      --relocate OLD=NEW  another path; up to 16 times\n"
	"Commands to run:\n"
	"      --run-on-success CMD, --run-on-failure CMD, or by kind of failure:\n"
	"      --run-on-fail-args, --run-on-fail-temp, --run-on-fail-env, --run-on-fail-perm\n"
	"Whether this command is left out of later checkpoints:\n"
	"      --omit-maybe (default: if it is the target, or of init), --omit-always, --omit-never\n"
	"Others:\n"
	"  -q, --quiet            no messages\n"
	"      --kmsg-none --kmsg-error --kmsg-warning  whether details of errors are told\n"
	"  -?, --help             print this help\n"
	"  -v, --version          print the version\n";

enum failure { FAIL_ARGS, FAIL_TEMP, FAIL_ENV, FAIL_PERM, FAIL_NR };

enum omit { OMIT_MAYBE, OMIT_ALWAYS, OMIT_NEVER };

struct args {
	const char *file;
	int fd, n_sources;
	int signal;
	unsigned int flags;
	bool quiet, causes;
	const char *on_success, *on_failure[FAIL_NR];
	struct ckpt_relocation relocate[CR_MAX_RSTRT_RELOC];
	size_t n_relocate;
};

static enum omit omit;

enum {
	O_RUN = 256,
	O_SIGNAL_BASE = 300,
	O_PID = 400, /* + flag; + 32: without */
	O_RELOCATE = 500,
	O_ON_SUCCESS,
	O_ON_FAILURE,
	O_ON_FAIL, /* + enum failure */
	O_OMIT = 520,
	O_KMSG_NONE = 540,
	O_KMSG,
};

#define WITHOUT 32

static const struct option options[] = {
	{ "file", required_argument, NULL, 'f' },
	{ "fd", required_argument, NULL, 'F' },
	{ "dir", required_argument, NULL, 'd' },
	{ "run", no_argument, NULL, O_RUN },
	{ "signal", required_argument, NULL, 'S' },
	{ "stop", no_argument, NULL, O_SIGNAL_BASE + SIGSTOP },
	{ "freeze", no_argument, NULL, O_SIGNAL_BASE + SIGSTOP },
	{ "term", no_argument, NULL, O_SIGNAL_BASE + SIGTERM },
	{ "abort", no_argument, NULL, O_SIGNAL_BASE + SIGABRT },
	{ "kill", no_argument, NULL, O_SIGNAL_BASE + SIGKILL },
	{ "cont", no_argument, NULL, O_SIGNAL_BASE + SIGCONT },
	{ "restore-pid", no_argument, NULL, O_PID + CR_RSTRT_RESTORE_PID },
	{ "no-restore-pid", no_argument, NULL, O_PID + WITHOUT + CR_RSTRT_RESTORE_PID },
	{ "restore-pgid", no_argument, NULL, O_PID + CR_RSTRT_RESTORE_PGID },
	{ "no-restore-pgid", no_argument, NULL, O_PID + WITHOUT + CR_RSTRT_RESTORE_PGID },
	{ "restore-sid", no_argument, NULL, O_PID + CR_RSTRT_RESTORE_SID },
	{ "no-restore-sid", no_argument, NULL, O_PID + WITHOUT + CR_RSTRT_RESTORE_SID },
	{ "relocate", required_argument, NULL, O_RELOCATE },
	{ "run-on-success", required_argument, NULL, O_ON_SUCCESS },
	{ "run-on-failure", required_argument, NULL, O_ON_FAILURE },
	{ "run-on-fail-args", required_argument, NULL, O_ON_FAIL + FAIL_ARGS },
	{ "run-on-fail-temp", required_argument, NULL, O_ON_FAIL + FAIL_TEMP },
	{ "run-on-fail-env", required_argument, NULL, O_ON_FAIL + FAIL_ENV },
	{ "run-on-fail-perm", required_argument, NULL, O_ON_FAIL + FAIL_PERM },
	{ "omit-maybe", no_argument, NULL, O_OMIT + OMIT_MAYBE },
	{ "omit-always", no_argument, NULL, O_OMIT + OMIT_ALWAYS },
	{ "omit-never", no_argument, NULL, O_OMIT + OMIT_NEVER },
	{ "quiet", no_argument, NULL, 'q' },
	{ "kmsg-none", no_argument, NULL, O_KMSG_NONE },
	{ "kmsg-error", no_argument, NULL, O_KMSG },
	{ "kmsg-warning", no_argument, NULL, O_KMSG },
	{ "help", no_argument, NULL, '?' },
	{ "version", no_argument, NULL, 'v' },
	{ NULL, 0, NULL, 0 },
};

/* ---- arguments ---- */

static int take_relocation(struct args *a, const char *text)
{
	struct ckpt_relocation r;
	int rc = cli_parse_relocation(text, &r);

	if (rc == 0 && a->n_relocate == CR_MAX_RSTRT_RELOC)
		rc = EINVAL;
	if (rc == 0 && strcmp(r.from, r.to) != 0)
		a->relocate[a->n_relocate++] = r;
	return rc;
}

/* -1: unknown; otherwise 0 or an errno. */
static int take_option(struct args *a, int c)
{
	char *end;

	switch (c) {
	case 'f':
		a->file = optarg;
		a->n_sources++;
		return 0;
	case 'F':
		a->fd = (int)strtol(optarg, &end, 10);
		a->n_sources++;
		return *end || end == optarg || a->fd < 0 ? EINVAL : 0;
	case 'd':
		return EINVAL;
	case 'S':
		return cr_parse_signal(optarg, &a->signal) ? 0 : EINVAL;
	case 'q':
		a->quiet = true;
		return 0;
	case O_RUN:
		a->signal = 0;
		return 0;
	case O_RELOCATE:
		return take_relocation(a, optarg);
	case O_ON_SUCCESS:
		a->on_success = optarg;
		return 0;
	case O_ON_FAILURE:
		for (int i = 0; i < FAIL_NR; i++)
			a->on_failure[i] = optarg;
		return 0;
	case O_KMSG_NONE:
	case O_KMSG:
		a->causes = c == O_KMSG;
		return 0;
	}
	if (c >= O_ON_FAIL && c < O_ON_FAIL + FAIL_NR)
		a->on_failure[c - O_ON_FAIL] = optarg;
	else if (c >= O_OMIT && c <= O_OMIT + OMIT_NEVER)
		omit = (enum omit)(c - O_OMIT);
	else if (c > O_SIGNAL_BASE && c < O_PID)
		a->signal = c - O_SIGNAL_BASE;
	else if (c > O_PID + WITHOUT && c < O_RELOCATE)
		a->flags &= ~(unsigned int)(c - O_PID - WITHOUT);
	else if (c > O_PID && c < O_PID + WITHOUT)
		a->flags |= (unsigned int)(c - O_PID);
	else
		return -1;
	return 0;
}

/* ---- failure ---- */

static enum failure kind_of(int code)
{
	switch (code) {
	case EBUSY:
	case ENOMEM:
		return FAIL_TEMP;
	case EACCES:
	case EPERM:
	case ENOENT:
	case EEXIST:
	case EISDIR:
	case ENOTDIR:
		return FAIL_ENV;
	default:
		return FAIL_PERM;
	}
}

/* The status of a command, or 0. */
static int run_command(const char *command)
{
	int status = system(command); /* NOLINT: that is what the option is for */

	if (status == -1)
		return CR_USAGE_STATUS;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int fail(const struct args *a, enum failure kind, int code, int status,
		const struct ckpt_err *err)
{
	int rc = a->on_failure[kind] ? run_command(a->on_failure[kind]) : 0;

	if (rc)
		return rc;
	if (a->quiet)
		return status;
	fprintf(stderr, "Restart failed: %s\n", cr_error_text(code));
	for (; a->causes && err; err = ckpt_err_cause(err)) {
		_cleanup_free_ char *text = cli_escape(ckpt_err_text(err), false);

		fprintf(stderr, "- %s\n", text);
	}
	return status;
}

/* ---- a checkpoint of this command ---- */

static int on_checkpoint(void *arg)
{
	const struct cr_checkpoint_info *info = cr_get_checkpoint_info();
	bool out = omit == OMIT_ALWAYS ||
		   (omit == OMIT_MAYBE && (info->target == getpid() || getppid() == 1));

	(void)arg;
	cr_checkpoint(out ? CR_CHECKPOINT_OMIT : CR_CHECKPOINT_READY);
	return 0;
}

/* ---- the whole ---- */

static int open_source(struct args *a)
{
	if (!a->file)
		return 0;
	a->fd = open(a->file, O_RDONLY | O_CLOEXEC);
	return a->fd < 0 ? errno : 0;
}

static int restart(const struct args *a)
{
	_cleanup_err_ struct ckpt_err *err = NULL;
	char src[PATH_MAX];
	struct cr_restart_job job = {
		.fd = a->fd,
		.src = src,
		.signal = a->signal,
		.flags = a->flags,
		.requester = getpid(),
		.relocate = a->relocate,
		.n_relocate = a->n_relocate,
	};
	pid_t pid;
	int rc;

	cr_path_of(a->fd, src, sizeof(src));
	cli_foreground_hold();
	rc = cr_job_restart(&job, &pid, &err);
	close(a->fd);
	if (rc)
		return fail(a, kind_of(rc), rc, rc & 255, err);
	if (a->on_success) {
		rc = run_command(a->on_success);
		if (rc)
			return rc;
	}
	return cli_foreground(pid);
}

int cr_restart_main(int argc, char **argv)
{
	struct args a = { .fd = -1, .flags = CR_RSTRT_RESTORE_PID, .causes = true };
	int c, wrong = 0, rc;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "f:F:d:S:qv?", options, NULL)) != -1) {
		if (c == 'v')
			return cr_version(NAME);
		if (c == '?' &&
		    (!strcmp(argv[optind - 1], "-?") || !strncmp(argv[optind - 1], "--h", 3))) {
			fputs(help, stdout);
			return 0;
		}
		rc = c == '?' ? -1 : take_option(&a, c);
		if (rc < 0) {
			rc = a.on_failure[FAIL_ARGS] ? run_command(a.on_failure[FAIL_ARGS]) : 0;
			return rc ? rc
				  : cr_usage(NAME, help, "wrong option '%s'", argv[optind - 1]);
		}
		wrong = rc ? rc : wrong;
	}
	if (optind < argc) {
		a.file = argv[optind];
		a.n_sources += argc - optind;
	}
	if (a.n_sources != 1) {
		rc = a.on_failure[FAIL_ARGS] ? run_command(a.on_failure[FAIL_ARGS]) : 0;
		return rc ? rc : cr_usage(NAME, help, "give one context file");
	}
	if (wrong)
		return fail(&a, FAIL_ARGS, wrong, wrong & 255, NULL);
	rc = open_source(&a);
	if (rc)
		return fail(&a, FAIL_ARGS, rc, CR_USAGE_STATUS, NULL);
	cr_init();
	cr_register_callback(on_checkpoint, NULL, CR_SIGNAL_CONTEXT);
	return restart(&a);
}
