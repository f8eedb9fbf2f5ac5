// SPDX-License-Identifier: LGPL-2.1-or-later
/* ebpf-ckpt help: the list of commands, or the help of one. */
#include "cli.h"
#include <string.h>

struct help_args {
	struct cli_common common;
	const struct cli_command *about;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct help_args *a = state->input;
	_cleanup_free_ char *text = NULL;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &a->common;
		return 0;
	case ARGP_KEY_ARG:
		text = cli_escape(arg, false);
		if (a->about)
			return cli_wrong(&a->common, NULL, "one command at a time");
		a->about = cli_command_find(arg);
		return a->about ? 0
				: cli_wrong(&a->common, PROGRAM " help", "unknown command '%s'",
					    text);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	NULL,
	parse,
	"[COMMAND]",
	"Print what the commands are, or how one is used."
	"\v"
	"Example:\n"
	"  ebpf-ckpt help attach\n",
	cli_common_children,
	NULL,
	NULL,
};

static void print_commands(FILE *out)
{
	fputs("Usage: " PROGRAM " COMMAND [OPTION...] [ARGUMENT...]\n"
	      "Checkpoint a running process to a directory, and bring it back.\n"
	      "\n",
	      out);
	for (size_t i = 0; cli_commands[i]; i++)
		fprintf(out, "  %-9s %s\n", cli_commands[i]->name, cli_commands[i]->summary);
	fputs("\n"
	      "See '" PROGRAM " help COMMAND' for the options of one.\n"
	      "\n"
	      "Example:\n"
	      "  " PROGRAM " attach 4711 -o job1 --kill\n"
	      "  " PROGRAM " restore job1\n",
	      out);
}

static int run(int argc, char **argv)
{
	struct help_args a = { 0 };

	if (!argc) { /* no command was given */
		print_commands(stderr);
		return CLI_USAGE;
	}
	/* "ebpf-ckpt --help" comes here too, with no argument that --help itself could mean. */
	int status = cli_parse(&cmd_help, argc, argv, &a.common, &a);

	if (status != CLI_GO_ON)
		return status;
	if (!a.about) {
		print_commands(stdout);
		return CLI_OK;
	}
	return cli_help(a.about);
}

const struct cli_command cmd_help = {
	.name = "help",
	.summary = "print this, or the help of a command",
	.argp = &argp,
	.run = run,
};
