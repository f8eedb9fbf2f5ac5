// SPDX-License-Identifier: LGPL-2.1-or-later
/* ebpf-ckpt load and unload: keep the eBPF programs in the kernel between commands, or take them
 * out. */
#include "cli.h"

struct load_args {
	struct cli_common common;
};

static error_t parse(int key, char *arg, struct argp_state *state)
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
	NULL,
	parse,
	NULL,
	"Load the eBPF programs and pin them in bpffs, so that the following commands start in a "
	"millisecond. Programs of another version are replaced. They do nothing until they are used, "
	"and last until 'ebpf-ckpt unload' or the next boot."
	"\v"
	"Example:\n"
	"  ebpf-ckpt load\n",
	cli_common_children,
	NULL,
	NULL,
};

static const struct argp unload_argp = {
	NULL,
	parse,
	NULL,
	"Remove the eBPF programs that 'ebpf-ckpt load' has pinned. Commands under way are not "
	"disturbed."
	"\v"
	"Example:\n"
	"  ebpf-ckpt unload\n",
	cli_common_children,
	NULL,
	NULL,
};

/* What the two do, and what they say. */
struct load_words {
	const struct cli_command *cmd;
	int (*call)(bool *ret_changed, struct ckpt_err **err);
	const char *changed, *unchanged, *failed;
};

static int load_or_unload(const struct load_words *w, int argc, char **argv)
{
	_cleanup_err_ struct ckpt_err *err = NULL;
	struct load_args a = { 0 };
	bool changed = false;
	int rc = cli_parse(w->cmd, argc, argv, &a.common, &a);

	if (rc != CLI_GO_ON)
		return rc;
	rc = w->call(&changed, &err);
	if (rc < 0)
		return cli_fail(&a.common, w->failed, rc, err);
	if (a.common.json)
		cli_json_print(json_pack("{s:b}", "changed", changed));
	else if (!a.common.quiet)
		printf("%s\n", changed ? w->changed : w->unchanged);
	return CLI_OK;
}

static int run_load(int argc, char **argv)
{
	static const struct load_words words = {
		.cmd = &cmd_load,
		.call = ckpt_load,
		.changed = "the eBPF programs are loaded",
		.unchanged = "the eBPF programs were loaded already",
		.failed = "cannot load the eBPF programs",
	};

	return load_or_unload(&words, argc, argv);
}

static int run_unload(int argc, char **argv)
{
	static const struct load_words words = {
		.cmd = &cmd_unload,
		.call = ckpt_unload,
		.changed = "the eBPF programs are unloaded",
		.unchanged = "no eBPF programs were loaded",
		.failed = "cannot unload the eBPF programs",
	};

	return load_or_unload(&words, argc, argv);
}

const struct cli_command cmd_load = {
	.name = "load",
	.summary = "keep the eBPF programs loaded, for a quicker start",
	.argp = &load_argp,
	.run = run_load,
};

const struct cli_command cmd_unload = {
	.name = "unload",
	.summary = "remove them",
	.argp = &unload_argp,
	.run = run_unload,
};
