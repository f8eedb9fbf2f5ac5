// SPDX-License-Identifier: LGPL-2.1-or-later
/* ebpf-ckpt attach: checkpoint a running process and its children. */
#include "cli.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CANDIDATES_SHOWN 20

enum {
	OPT_NAME = 256,
	OPT_KILL,
	OPT_STOP,
	OPT_CONT,
	OPT_FROZEN,
	OPT_ONLY,
	OPT_COMPRESS,
	OPT_EXT_UNIX,
	OPT_DELETED_LIMIT,
	OPT_SAVE_MAPPED,
	OPT_CALLBACK_TIMEOUT,
	OPT_NO_CALLBACKS
};

/* Callbacks that take longer than this are more likely stuck than busy. */
#define CALLBACK_TIMEOUT_MS 60000

struct attach_args {
	struct cli_common common;
	struct ckpt_dump_opts opts;
	const char *name;
};

static const struct argp_option options[] = {
	{ "name", OPT_NAME, "NAME", 0, "Checkpoint the one process of this name", 0 },
	{ "output", 'o', "DIR", 0, "Make the image here (default ckpt-NAME-PID-TIME)", 0 },
	{ "kill", OPT_KILL, NULL, 0, "End them once the image is safe on disk", 1 },
	{ "stop", OPT_STOP, NULL, 0, "Leave them stopped", 1 },
	{ "cont", OPT_CONT, NULL, 0, "Let all go on, even those that were stopped", 1 },
	{ "only", OPT_ONLY, NULL, 0, "This process alone, without its children", 2 },
	{ "frozen", OPT_FROZEN, NULL, 0,
	  "Keep them frozen while writing, instead of writing from copy-on-write twins", 2 },
	{ "compress", OPT_COMPRESS, "LEVEL", OPTION_ARG_OPTIONAL,
	  "Compress memory with zstd (1 to 19, default 1)", 2 },
	{ "ext-unix", OPT_EXT_UNIX, NULL, 0,
	  "Let connections of unix sockets to other programs be made anew by the restore", 2 },
	{ "deleted-limit", OPT_DELETED_LIMIT, "SIZE", 0,
	  "Save contents of deleted files up to this size (default 64M)", 2 },
	{ "save-mapped", OPT_SAVE_MAPPED, "WHICH", 0,
	  "Save contents of mapped files, so that they can be removed or replaced: exe, private, shared, "
	  "several of them separated by commas, or all",
	  2 },
	{ "callback-timeout", OPT_CALLBACK_TIMEOUT, "SECONDS", 0,
	  "How long callbacks of programs with libcr may take to come to cr_checkpoint() (default 60, "
	  "0: for ever)",
	  2 },
	{ "no-callbacks", OPT_NO_CALLBACKS, NULL, 0, "Do not ask programs with libcr", 2 },
	{ 0 },
};

static error_t set_after(struct attach_args *a, enum ckpt_after after)
{
	if (a->opts.after != CKPT_AFTER_RUN && a->opts.after != after)
		return cli_wrong(&a->common, NULL, "choose one of --kill, --stop and --cont");
	a->opts.after = after;
	return 0;
}

static error_t set_level(struct attach_args *a, const char *arg)
{
	uint64_t level = 0;

	a->opts.compress = true;
	if (!arg)
		return 0;
	if (!cli_parse_size(arg, &level) || level < 1 || level > 19)
		return cli_wrong(&a->common, "a level from 1 (fast) to 19 (small)",
				 "--compress: there is no such level");
	a->opts.compress_level = (int)level;
	return 0;
}

static error_t set_mapped(struct attach_args *a, const char *arg)
{
	static const struct {
		const char *name;
		unsigned int which;
	} known[] = {
		{ "exe", CKPT_MAPPED_EXE },
		{ "private", CKPT_MAPPED_PRIVATE },
		{ "shared", CKPT_MAPPED_SHARED },
		{ "all", CKPT_MAPPED_ALL },
	};

	for (const char *word = arg; word; word = *word ? word + 1 : NULL) {
		size_t len = strcspn(word, ","), i = 0;

		while (i < sizeof(known) / sizeof(known[0]) &&
		       (strlen(known[i].name) != len || strncmp(known[i].name, word, len) != 0))
			i++;
		if (i == sizeof(known) / sizeof(known[0]))
			return cli_wrong(&a->common, "exe, private, shared, or all",
					 "--save-mapped: there is no such kind of mapped files");
		a->opts.save_mapped |= known[i].which;
		word += len;
	}
	return 0;
}

static error_t set_pid(struct attach_args *a, const char *arg)
{
	_cleanup_free_ char *text = cli_escape(arg, false);

	if (a->opts.pid)
		return cli_wrong(&a->common, NULL, "one process at a time: what is '%s' for?",
				 text);
	if (!cli_parse_pid(arg, &a->opts.pid))
		return cli_wrong(&a->common, "a number from 1 to 4194304, or --name NAME",
				 "'%s' is not a pid", text);
	return 0;
}

static error_t check_args(struct attach_args *a)
{
	if (a->name && a->opts.pid)
		return cli_wrong(&a->common, NULL, "give a PID or --name, not both");
	if (!a->name && !a->opts.pid)
		return cli_wrong(&a->common, NULL, "which process? Give its PID, or --name NAME");
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct attach_args *a = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &a->common;
		return 0;
	case OPT_NAME:
		a->name = arg;
		return *arg ? 0 : cli_wrong(&a->common, NULL, "--name: the name is empty");
	case 'o':
		a->opts.output = arg;
		return *arg ? 0 : cli_wrong(&a->common, NULL, "--output: the name is empty");
	case OPT_KILL:
		return set_after(a, CKPT_AFTER_KILL);
	case OPT_STOP:
		return set_after(a, CKPT_AFTER_STOP);
	case OPT_CONT:
		return set_after(a, CKPT_AFTER_CONT);
	case OPT_FROZEN:
		a->opts.frozen = true;
		return 0;
	case OPT_ONLY:
		a->opts.only = true;
		return 0;
	case OPT_EXT_UNIX:
		a->opts.ext_unix = true;
		return 0;
	case OPT_COMPRESS:
		return set_level(a, arg);
	case OPT_DELETED_LIMIT:
		if (cli_parse_size(arg, &a->opts.deleted_limit_bytes) &&
		    a->opts.deleted_limit_bytes)
			return 0;
		return cli_wrong(&a->common, "a size like 500K, 64M or 2G",
				 "--deleted-limit: that is not a size");
	case OPT_SAVE_MAPPED:
		return set_mapped(a, arg);
	case OPT_CALLBACK_TIMEOUT:
		return cli_take_seconds(&a->common, &a->opts.callbacks.timeout_ms, arg);
	case OPT_NO_CALLBACKS:
		a->opts.callbacks.none = true;
		return 0;
	case ARGP_KEY_ARG:
		return set_pid(a, arg);
	case ARGP_KEY_END:
		return check_args(a);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	options,
	parse,
	"PID\n--name NAME",
	"Checkpoint a running process and its children to a directory, their image. They go on, and "
	"are paused for a moment only."
	"\v"
	"Examples:\n"
	"  ebpf-ckpt attach 4711 -o /var/tmp/job1\n"
	"  ebpf-ckpt attach --name python3 --kill\n",
	cli_common_children,
	NULL,
	NULL,
};

/* ---- a process by its name --------------------------------------------------------------------
 */

struct candidates {
	size_t n, n_dead;
	pid_t pid, dead_pid;		  /* one of each */
	char *line[CANDIDATES_SHOWN + 2]; /* owned: "4711 python3 job.py" */
};

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static ssize_t read_proc(pid_t pid, const char *file, char *buf, size_t size)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	ssize_t n = read(fd, buf, size - 1);

	close(fd);
	buf[n > 0 ? n : 0] = '\0';
	return n;
}

static void note_candidate(struct candidates *c, pid_t pid, const char *comm, char *cmdline,
			   ssize_t len)
{
	/* A process that has ended has no command line left, and neither has a kernel thread. */
	if (len <= 0) {
		c->n_dead++;
		c->dead_pid = pid;
		return;
	}
	c->pid = pid;
	if (c->n++ >= CANDIDATES_SHOWN)
		return;
	for (ssize_t i = 0; i + 1 < len; i++)
		if (!cmdline[i])
			cmdline[i] = ' ';
	c->line[c->n - 1] = cli_format("%d (%s): %.60s", pid, comm, cmdline);
}

static void consider(struct candidates *c, pid_t pid, const char *name)
{
	char comm[64], cmdline[4096], link[64], exe[4096];
	ssize_t n = read_proc(pid, "comm", comm, sizeof(comm));

	if (n <= 0 || pid == getpid())
		return;
	comm[n - 1] = '\0';
	ssize_t len = read_proc(pid, "cmdline", cmdline, sizeof(cmdline));

	snprintf(link, sizeof(link), "/proc/%d/exe", pid);
	n = readlink(link, exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	if (!strcmp(comm, name) || (len > 0 && !strcmp(base_name(cmdline), name)) ||
	    !strcmp(base_name(exe), name))
		note_candidate(c, pid, comm, cmdline, len);
}

static int complain_candidates(const struct attach_args *a, struct candidates *c)
{
	_cleanup_free_ char *name = cli_escape(a->name, false);
	_cleanup_free_ char *headline = NULL;
	int status;

	if (!c->n) {
		headline = cli_format("there is no process named '%s'", name);
		return cli_complain(&a->common, CKPT_E_NO_PROCESS, headline, NULL,
				    "name a program (python3), not a script, or give the PID");
	}
	if (c->n > CANDIDATES_SHOWN)
		c->line[CANDIDATES_SHOWN] = cli_format("... and %zu more", c->n - CANDIDATES_SHOWN);
	headline = cli_format("%zu processes are named '%s'", c->n, name);
	status = cli_complain(&a->common, CKPT_E_USAGE, headline, (const char *const *)c->line,
			      "choose one by its PID");
	for (size_t i = 0; c->line[i]; i++)
		free(c->line[i]);
	return status;
}

/* CLI_GO_ON with the pid set, or the exit status. */
static int find_by_name(struct attach_args *a)
{
	struct candidates c = { 0 };
	DIR *d = opendir("/proc");

	if (!d)
		return cli_fail(&a->common, "cannot look for processes in /proc", errno, NULL);
	for (struct dirent *e; (e = readdir(d));) {
		pid_t pid;

		if (cli_parse_pid(e->d_name, &pid))
			consider(&c, pid, a->name);
	}
	closedir(d);
	/* One that lives is meant, however many have ended. */
	if (c.n != 1 && (c.n || c.n_dead != 1))
		return complain_candidates(a, &c);
	free(c.line[0]);
	a->opts.pid = c.n ? c.pid : c.dead_pid;
	return CLI_GO_ON;
}

/* ---- the checkpoint ---------------------------------------------------------------------------
 */

/* ckpt-NAME-PID-TIME in the current directory. */
static char *default_output(pid_t pid)
{
	_cleanup_free_ char *name = cli_comm(pid);
	time_t now = time(NULL);
	struct tm tm;
	char when[32];

	for (char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("._+-", *p))
			*p = '_';
	localtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y%m%dT%H%M%S", &tm);
	return cli_format("ckpt-%s-%d-%s", name, pid, when);
}

static const struct after_words {
	const char *json, *verb;
} after_words[] = {
	[CKPT_AFTER_RUN] = { "run", "checkpointed" },
	[CKPT_AFTER_STOP] = { "stop", "checkpointed and stopped" },
	[CKPT_AFTER_KILL] = { "kill", "checkpointed and ended" },
	[CKPT_AFTER_CONT] = { "cont", "checkpointed" },
};

static void print_json(const struct ckpt_dump_opts *o, const struct ckpt_dump_result *r,
		       const char *comm)
{
	cli_json_print(json_pack(
		"{s:o, s:i, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:o}", "image",
		cli_json_text(o->output), "pid", (int)o->pid, "name", comm, "tasks",
		(json_int_t)r->n_tasks, "threads", (json_int_t)r->n_threads, "bytes",
		(json_int_t)r->image_bytes, "memory_bytes", (json_int_t)r->memory_bytes, "pause_us",
		(json_int_t)r->pause_us, "total_us", (json_int_t)r->total_us, "after",
		after_words[o->after].json, "stages", cli_json_stages(r->stages, r->n_stages)));
}

static void print_line(const struct ckpt_dump_opts *o, const struct ckpt_dump_result *r,
		       const char *comm)
{
	char size[CLI_NUMBER_MAX], pause[CLI_NUMBER_MAX], total[CLI_NUMBER_MAX];
	_cleanup_free_ char *who = cli_who(comm, r->n_tasks, r->n_threads);
	_cleanup_free_ char *where = cli_escape(o->output, false);

	printf("%s %d (%s) to %s: %s, pause %s, total %s\n", after_words[o->after].verb, o->pid,
	       who, where, cli_bytes(r->image_bytes, size), cli_duration(r->pause_us, pause),
	       cli_duration(r->total_us, total));
}

static int fail(const struct attach_args *a, const char *comm, int rc, const struct ckpt_err *err)
{
	enum ckpt_code code = err ? ckpt_err_code(err) : CKPT_E_SYS;
	bool gone = code == CKPT_E_NO_PROCESS || code == CKPT_E_ZOMBIE || code == CKPT_E_GONE;
	_cleanup_free_ char *headline =
		cli_format(gone && !strcmp(comm, "?") ? "cannot checkpoint %d"
			   : gone		      ? "cannot checkpoint %d (%s)"
				  : "cannot checkpoint %d (%s); it keeps running",
			   a->opts.pid, comm);

	return cli_fail(&a->common, headline, rc, err);
}

static int checkpoint(struct attach_args *a)
{
	_cleanup_session_ struct ckpt_session *s = NULL;
	_cleanup_err_ struct ckpt_err *err = NULL;
	_cleanup_free_ char *output = NULL;
	_cleanup_free_ char *comm = cli_comm(a->opts.pid); /* --kill leaves nobody to ask */
	struct ckpt_dump_result result = { 0 };
	struct cli_progress progress;

	if (!a->opts.output)
		a->opts.output = output = default_output(a->opts.pid);
	a->opts.callbacks.requester = getpid();
	a->opts.callbacks.target = a->opts.pid;
	a->opts.callbacks.scope = a->opts.only ? 0 : 3; /* of <libcr.h>: a process, a tree */
	cli_signals_hold();
	cli_progress_init(&progress, a->common.quiet);

	int rc = ckpt_session_new(&s, &err);

	if (!rc) {
		ckpt_session_set_progress(s, cli_progress, &progress);
		rc = ckpt_dump(s, &a->opts, &result, &err);
	}
	cli_progress_end(&progress);
	if (rc < 0)
		return fail(a, comm, rc, err);
	if (a->common.json)
		print_json(&a->opts, &result, comm);
	else if (!a->common.quiet)
		print_line(&a->opts, &result, comm);
	return CLI_OK;
}

static int run(int argc, char **argv)
{
	struct attach_args a = { .opts = { .size = sizeof(a.opts),
					   .callbacks.timeout_ms = CALLBACK_TIMEOUT_MS } };
	int status = cli_parse(&cmd_attach, argc, argv, &a.common, &a);

	if (status == CLI_GO_ON && a.name)
		status = find_by_name(&a);
	return status == CLI_GO_ON ? checkpoint(&a) : status;
}

const struct cli_command cmd_attach = {
	.name = "attach",
	.summary = "checkpoint a running process and its children",
	.argp = &argp,
	.run = run,
};
