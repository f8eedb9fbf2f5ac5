// SPDX-License-Identifier: LGPL-2.1-or-later
/* ebpf-ckpt restore: bring a process back, and stand in for it or let it go. */
#include "cli.h"
#include <string.h>

enum {
	OPT_DETACH = 256,
	OPT_NEW_PIDNS,
	OPT_NEW_PIDS,
	OPT_ALLOW_CHANGED,
	OPT_RELOCATE,
	OPT_CALLBACK_TIMEOUT
};

#define RELOCATIONS_MAX 64

struct restore_args {
	struct cli_common common;
	struct ckpt_restore_opts opts;
	struct ckpt_relocation relocate[RELOCATIONS_MAX];
};

static const struct argp_option options[] = {
	{ "detach", OPT_DETACH, NULL, 0, "Print the pid and return; they live on by themselves",
	  0 },
	{ "new-pidns", OPT_NEW_PIDNS, NULL, 0,
	  "In a pid namespace of their own, so that no pid can be taken", 0 },
	{ "new-pids", OPT_NEW_PIDS, NULL, 0,
	  "With any pids that are free; numbers that programs remember are the old ones", 0 },
	{ "allow-changed", OPT_ALLOW_CHANGED, NULL, 0,
	  "Even if files are not what they were at the checkpoint", 0 },
	{ "relocate", OPT_RELOCATE, "OLD=NEW", 0,
	  "What was OLD, or below it, is NEW: files, directories, programs (repeatable; the first "
	  "that fits counts)",
	  0 },
	{ "callback-timeout", OPT_CALLBACK_TIMEOUT, "SECONDS", 0,
	  "How long callbacks of programs with libcr may take to end (default: for ever)", 0 },
	{ 0 },
};

static error_t take_relocation(struct restore_args *a, const char *arg)
{
	if (a->opts.n_relocate == RELOCATIONS_MAX)
		return cli_wrong(&a->common, NULL, "more than %d --relocate", RELOCATIONS_MAX);
	if (cli_parse_relocation(arg, &a->relocate[a->opts.n_relocate]))
		return cli_wrong(&a->common, NULL,
				 "--relocate: '%s' is not OLD=NEW, two absolute paths", arg);
	a->opts.n_relocate++;
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct restore_args *a = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &a->common;
		return 0;
	case OPT_DETACH:
		a->opts.detach = true;
		return 0;
	case OPT_NEW_PIDNS:
		a->opts.new_pidns = true;
		return 0;
	case OPT_NEW_PIDS:
		a->opts.new_pids = true;
		return 0;
	case OPT_ALLOW_CHANGED:
		a->opts.allow_changed = true;
		return 0;
	case OPT_RELOCATE:
		return take_relocation(a, arg);
	case OPT_CALLBACK_TIMEOUT:
		return cli_take_seconds(&a->common, &a->opts.timeout_ms, arg);
	case ARGP_KEY_ARG:
		return cli_take_dir(&a->common, &a->opts.image, arg);
	case ARGP_KEY_END:
		return a->opts.image ? 0 : cli_wrong(&a->common, NULL, "which image? Give its DIR");
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	options,
	parse,
	"DIR",
	"Restore the processes of an image. In the foreground, signals that are sent to this command "
	"go to the first of them, and it ends as that ends."
	"\v"
	"Examples:\n"
	"  ebpf-ckpt restore /var/tmp/job1\n"
	"  pid=$(ebpf-ckpt restore --detach /var/tmp/job1)\n"
	"  ebpf-ckpt restore --relocate /home/old=/home/new /var/tmp/job1\n",
	cli_common_children,
	NULL,
	NULL,
};

static void print_json(const struct ckpt_restore_result *r)
{
	cli_json_print(json_pack("{s:i, s:I, s:I, s:I, s:I, s:o}", "pid", (int)r->pid, "tasks",
				 (json_int_t)r->n_tasks, "threads", (json_int_t)r->n_threads,
				 "memory_bytes", (json_int_t)r->memory_bytes, "total_us",
				 (json_int_t)r->total_us, "stages",
				 cli_json_stages(r->stages, r->n_stages)));
}

static void print_line(const struct ckpt_restore_opts *o, const struct ckpt_restore_result *r)
{
	_cleanup_free_ char *comm = cli_comm(r->pid);
	_cleanup_free_ char *who = cli_who(comm, r->n_tasks, r->n_threads);
	_cleanup_free_ char *where = cli_escape(o->image, false);
	char total[CLI_NUMBER_MAX];

	fprintf(stderr, PROGRAM ": restored %d (%s) from %s in %s\n", r->pid, who, where,
		cli_duration(r->total_us, total));
}

static int report(const struct restore_args *a, const struct ckpt_restore_result *r)
{
	if (a->common.json)
		print_json(r);
	else if (a->opts.detach)
		printf("%d\n", r->pid);
	else if (!a->common.quiet)
		print_line(&a->opts, r);
	/* The restored process may write to the same place: ours comes first. */
	fflush(stdout);
	if (a->opts.detach)
		return CLI_OK;
	return cli_foreground(r->pid);
}

static int restore(struct restore_args *a)
{
	_cleanup_session_ struct ckpt_session *s = NULL;
	_cleanup_err_ struct ckpt_err *err = NULL;
	struct ckpt_restore_result result = { 0 };
	struct cli_progress progress;

	cli_signals_hold();
	if (!a->opts.detach)
		cli_foreground_hold();
	cli_progress_init(&progress, a->common.quiet);

	int rc = ckpt_session_new(&s, &err);

	if (!rc) {
		ckpt_session_set_progress(s, cli_progress, &progress);
		rc = ckpt_restore(s, &a->opts, &result, &err);
	}
	cli_progress_end(&progress);
	if (rc < 0) {
		_cleanup_free_ char *where = cli_escape(a->opts.image, false);
		_cleanup_free_ char *headline =
			cli_format("cannot restore %s; nothing was left running", where);

		return cli_fail(&a->common, headline, rc, err);
	}
	/* Programs, pins and memory are not needed while we only stand in for it. */
	ckpt_session_free(s);
	s = NULL;
	return report(a, &result);
}

static int run(int argc, char **argv)
{
	struct restore_args a = { .opts = { .size = sizeof(a.opts) } };
	int status;

	a.opts.relocate = a.relocate;
	status = cli_parse(&cmd_restore, argc, argv, &a.common, &a);

	if (status != CLI_GO_ON)
		return status;
	status = cli_need_dir(&a.common, a.opts.image);
	if (status == CLI_OK)
		status = restore(&a);
	for (size_t i = 0; i < a.opts.n_relocate; i++)
		cli_relocation_done(&a.relocate[i]);
	return status;
}

const struct cli_command cmd_restore = {
	.name = "restore",
	.summary = "bring checkpointed processes back",
	.argp = &argp,
	.run = run,
};
