// SPDX-License-Identifier: LGPL-2.1-or-later
/* ebpf-ckpt verify: is an image whole? */
#include "cli.h"

struct verify_args {
	struct cli_common common;
	const char *image;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct verify_args *a = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &a->common;
		return 0;
	case ARGP_KEY_ARG:
		return cli_take_dir(&a->common, &a->image, arg);
	case ARGP_KEY_END:
		return a->image ? 0 : cli_wrong(&a->common, NULL, "which image? Give its DIR");
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	NULL,
	parse,
	"DIR",
	"Read all of an image and check it: the seal, the checksums of every file and of all memory, "
	"and the sense of the manifest."
	"\v"
	"Example:\n"
	"  ebpf-ckpt verify /var/tmp/job1 && echo safe to keep\n",
	cli_common_children,
	NULL,
	NULL,
};

static int verify(const struct verify_args *a)
{
	_cleanup_session_ struct ckpt_session *s = NULL;
	_cleanup_err_ struct ckpt_err *err = NULL;
	_cleanup_free_ char *where = cli_escape(a->image, false);
	struct cli_progress progress;

	cli_progress_init(&progress, a->common.quiet);
	int rc = ckpt_session_new(&s, &err);

	if (!rc) {
		ckpt_session_set_progress(s, cli_progress, &progress);
		rc = ckpt_verify(s, a->image, &err);
	}
	cli_progress_end(&progress);
	if (rc < 0) {
		_cleanup_free_ char *headline = cli_format("cannot vouch for %s", where);

		return cli_fail(&a->common, headline, rc, err);
	}
	if (a->common.json)
		cli_json_print(
			json_pack("{s:o, s:b}", "image", cli_json_text(a->image), "whole", 1));
	else if (!a->common.quiet)
		printf("%s is whole\n", where);
	return CLI_OK;
}

static int run(int argc, char **argv)
{
	struct verify_args a = { 0 };
	int status = cli_parse(&cmd_verify, argc, argv, &a.common, &a);

	if (status != CLI_GO_ON)
		return status;
	status = cli_need_dir(&a.common, a.image);
	return status ? status : verify(&a);
}

const struct cli_command cmd_verify = {
	.name = "verify",
	.summary = "check that an image is whole",
	.argp = &argp,
	.run = run,
};
