// SPDX-License-Identifier: LGPL-2.1-or-later
/* ebpf-ckpt load and unload: keep the eBPF programs in the kernel between commands, and a tracer
 * running; or take them out. */
#include "load_trace.h"
#include <string.h>

struct load_args {
	struct cli_common common;
	bool trace;
	struct load_trace what; /* pids owned */
	const char *first;	/* argument */
	const char *only;	/* with --trace: an option that was given */
};

enum {
	OPT_TRACE = 256,
	OPT_NAME,
	OPT_CGROUP,
	OPT_STACKS,
};

static const struct argp_option load_options[] = {
	{ "trace", OPT_TRACE, NULL, 0,
	  "Remember from now on where descriptors come from, for check and attach: of these "
	  "processes and their children, or of all",
	  0 },
	{ "name", OPT_NAME, "NAME", 0, "With --trace: all processes of this name, also later ones",
	  0 },
	{ "cgroup", OPT_CGROUP, "PATH", 0,
	  "With --trace: all processes of this cgroup and those below, also later ones", 0 },
	{ "stacks", OPT_STACKS, NULL, 0, "With --trace: and which functions made them", 0 },
	{ 0 },
};

static error_t take_pid(struct load_args *a, const char *arg)
{
	pid_t pid;

	if (!a->first)
		a->first = arg;
	if (cli_parse_pid(arg, &pid))
		return cli_add_pid(&a->what.pids, &a->what.n_pids, pid);
	_cleanup_free_ char *text = cli_escape(arg, false);

	return cli_wrong(&a->common, a->trace ? "a number from 1 to 4194304" : NULL,
			 a->trace ? "'%s' is not a pid"
				  : "it takes no argument without --trace: what is '%s' for?",
			 text);
}

static error_t at_end(struct load_args *a)
{
	if (a->trace)
		return 0;
	if (a->only)
		return cli_wrong(&a->common, NULL, "%s is for --trace alone", a->only);
	if (!a->first)
		return 0;
	_cleanup_free_ char *text = cli_escape(a->first, false);

	return cli_wrong(&a->common, NULL,
			 "it takes no argument without --trace: what is '%s' for?", text);
}

static error_t parse_load(int key, char *arg, struct argp_state *state)
{
	struct load_args *a = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &a->common;
		return 0;
	case OPT_TRACE:
		a->trace = true;
		return 0;
	case OPT_NAME:
		a->only = "--name";
		a->what.name = arg;
		return *arg ? 0 : cli_wrong(&a->common, NULL, "the name is empty");
	case OPT_CGROUP:
		a->only = "--cgroup";
		a->what.cgroup = arg;
		return 0;
	case OPT_STACKS:
		a->only = "--stacks";
		a->what.stacks = true;
		return 0;
	case ARGP_KEY_ARG:
		return take_pid(a, arg);
	case ARGP_KEY_END:
		return at_end(a);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse_unload(int key, char *arg, struct argp_state *state)
{
	struct load_args *a = state->input;
	_cleanup_free_ char *text = NULL;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &a->common;
		return 0;
	case ARGP_KEY_ARG:
		text = cli_escape(arg, false);
		return cli_wrong(&a->common, NULL, "it takes no argument: what is '%s' for?", text);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp load_argp = {
	load_options,
	parse_load,
	"\n--trace [PID...|--name NAME|--cgroup PATH]",
	"Load the eBPF programs and pin them in bpffs, so that the following commands start in a "
	"millisecond. Programs of another version are replaced. They do nothing until they are used, "
	"and last until 'ebpf-ckpt unload' or the next boot. With --trace a process in the background "
	"remembers who opened what, and when; check and attach then tell where a descriptor comes "
	"from that cannot be saved."
	"\v"
	"Examples:\n"
	"  ebpf-ckpt load\n"
	"  ebpf-ckpt load --trace\n"
	"  ebpf-ckpt load --trace --stacks --name redis-server\n",
	cli_common_children,
	NULL,
	NULL,
};

static const struct argp unload_argp = {
	NULL,
	parse_unload,
	NULL,
	"Remove the eBPF programs that 'ebpf-ckpt load' has pinned, and end the tracing of 'load "
	"--trace'. Commands under way are not disturbed."
	"\v"
	"Example:\n"
	"  ebpf-ckpt unload\n",
	cli_common_children,
	NULL,
	NULL,
};

static int load(const struct load_args *a)
{
	_cleanup_err_ struct ckpt_err *err = NULL;
	bool changed = false;
	int rc = ckpt_load(&changed, &err);

	if (rc < 0)
		return cli_fail(&a->common, "cannot load the eBPF programs", rc, err);
	if (a->trace)
		return load_trace(&a->what, &a->common, changed);
	if (a->common.json)
		cli_json_print(json_pack("{s:b}", "changed", changed));
	else if (!a->common.quiet)
		printf("the eBPF programs %s\n", changed ? "are loaded" : "were loaded already");
	return CLI_OK;
}

static int run_load(int argc, char **argv)
{
	struct load_args a = { 0 };
	int status = cli_parse(&cmd_load, argc, argv, &a.common, &a);

	if (status == CLI_GO_ON)
		status = load(&a);
	free(a.what.pids);
	return status;
}

static int run_unload(int argc, char **argv)
{
	_cleanup_err_ struct ckpt_err *err = NULL;
	struct load_args a = { 0 };
	bool unloaded = false;
	int status = cli_parse(&cmd_unload, argc, argv, &a.common, &a);

	if (status != CLI_GO_ON)
		return status;
	int ended = ckpt_tracer_stop(&err);

	if (ended < 0)
		return cli_fail(&a.common, "cannot end the tracing", ended, err);
	int rc = ckpt_unload(&unloaded, &err);

	if (rc < 0)
		return cli_fail(&a.common, "cannot unload the eBPF programs", rc, err);
	if (a.common.json)
		cli_json_print(json_pack("{s:b, s:b}", "changed", unloaded || ended,
					 "tracing_ended", ended > 0));
	else if (!a.common.quiet)
		printf("%s eBPF programs %sloaded%s\n", unloaded ? "the" : "no",
		       unloaded ? "are un" : "were ", ended ? "; tracing has ended" : "");
	return CLI_OK;
}

const struct cli_command cmd_load = {
	.name = "load",
	.summary = "keep the eBPF programs loaded; or a tracer running",
	.argp = &load_argp,
	.run = run_load,
};

const struct cli_command cmd_unload = {
	.name = "unload",
	.summary = "remove them, and end the tracer",
	.argp = &unload_argp,
	.run = run_unload,
};
