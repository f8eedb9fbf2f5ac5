// SPDX-License-Identifier: LGPL-2.1-or-later
/* ebpf-ckpt show: what an image holds, its memory as a core file, and what an error code means. */
#include "cli.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { OPT_CORE = 256, OPT_EXPLAIN };

struct show_args {
	struct cli_common common;
	const char *image;
	const char *output;  /* of --core; NULL: stdout */
	const char *explain; /* code, or NULL */
	pid_t core;	     /* 0: not asked for */
};

static const struct argp_option options[] = {
	{ "core", OPT_CORE, "PID", 0, "Write a plain core file of this process, for gdb", 0 },
	{ "output", 'o', "FILE", 0, "With --core: write it here instead of to stdout", 0 },
	{ "explain", OPT_EXPLAIN, "CODE", 0, "Say what an error code means (no DIR)", 0 },
	{ 0 },
};

static error_t check_args(struct show_args *a)
{
	if (a->explain && (a->image || a->core))
		return cli_wrong(&a->common, NULL, "--explain stands alone");
	if (!a->explain && !a->image)
		return cli_wrong(&a->common, NULL, "which image? Give its DIR");
	if (a->output && !a->core)
		return cli_wrong(&a->common, NULL, "--output belongs to --core");
	if (a->core && !a->output && isatty(STDOUT_FILENO))
		return cli_wrong(&a->common, "-o FILE, or a pipe",
				 "a core file is not for a terminal");
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct show_args *a = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &a->common;
		return 0;
	case OPT_CORE:
		return cli_parse_pid(arg, &a->core)
			       ? 0
			       : cli_wrong(&a->common, "ebpf-ckpt show DIR lists them",
					   "--core: that is not a pid");
	case 'o':
		a->output = arg;
		return *arg ? 0 : cli_wrong(&a->common, NULL, "--output: the name is empty");
	case OPT_EXPLAIN:
		a->explain = arg;
		return 0;
	case ARGP_KEY_ARG:
		return cli_take_dir(&a->common, &a->image, arg);
	case ARGP_KEY_END:
		return check_args(a);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	options,
	parse,
	"DIR\n--explain CODE",
	"Show what an image holds. With --json, its manifest."
	"\v"
	"Examples:\n"
	"  ebpf-ckpt show /var/tmp/job1\n"
	"  ebpf-ckpt show /var/tmp/job1 --core 4711 -o core && gdb python3 core\n"
	"  ebpf-ckpt show --explain CKPT_E_PID_TAKEN\n",
	cli_common_children,
	NULL,
	NULL,
};

/* ---- --explain --------------------------------------------------------------------------------
 */

/* "CKPT_E_PID_TAKEN", "pid_taken" and "PID-TAKEN" are the same. */
static bool same_code(const char *name, const char *arg)
{
	static const char prefix[] = "CKPT_E_";

	if (strncasecmp(arg, prefix, sizeof(prefix) - 1) != 0)
		name += sizeof(prefix) - 1;
	for (; *name && *arg; name++, arg++)
		if (*name != toupper((unsigned char)(*arg == '-' ? '_' : *arg)))
			return false;
	return *name == *arg;
}

static int explain_unknown(const struct show_args *a)
{
	_cleanup_free_ char *arg = cli_escape(a->explain, false);
	_cleanup_free_ char *headline = cli_format("there is no error code '%s'", arg);
	char *list = NULL;
	size_t size;
	FILE *f = open_memstream(&list, &size);

	for (int code = 1; f && code < CKPT_E_NR; code++)
		fprintf(f, "%s%s", code > 1 ? ", " : "one of ",
			ckpt_code_name((enum ckpt_code)code) + strlen("CKPT_E_"));
	if (f)
		fclose(f);

	int status = cli_complain(&a->common, CKPT_E_USAGE, headline, NULL, list);

	free(list);
	return status;
}

static int explain(const struct show_args *a)
{
	int code = 0;

	while (code < CKPT_E_NR && !same_code(ckpt_code_name((enum ckpt_code)code), a->explain))
		code++;
	if (code == CKPT_E_NR)
		return explain_unknown(a);

	enum ckpt_code c = (enum ckpt_code)code;

	if (a->common.json) {
		cli_json_print(json_pack("{s:s, s:s, s:s, s:i}", "code", ckpt_code_name(c), "text",
					 ckpt_code_sentence(c), "hint", ckpt_code_hint(c),
					 "exit_status", ckpt_code_exit_status(c)));
		return CLI_OK;
	}
	printf("%s: %s\n", ckpt_code_name(c), ckpt_code_sentence(c));
	if (*ckpt_code_hint(c))
		printf("  try: %s\n", ckpt_code_hint(c));
	printf("  exit status: %d\n", ckpt_code_exit_status(c));
	return CLI_OK;
}

/* ---- an image ---------------------------------------------------------------------------------
 */

static int fail(const struct show_args *a, int rc, const struct ckpt_err *err)
{
	_cleanup_free_ char *where = cli_escape(a->image, false);
	_cleanup_free_ char *headline =
		a->core ? cli_format("cannot write a core file of %d from %s", a->core, where)
			: cli_format("cannot show %s", where);

	return cli_fail(&a->common, headline, rc, err);
}

static int show_core(const struct show_args *a, struct ckpt_session *s)
{
	_cleanup_err_ struct ckpt_err *err = NULL;
	int fd = STDOUT_FILENO;

	/* It holds the process's secrets, as the image does. */
	if (a->output)
		fd = open(a->output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0) {
		_cleanup_free_ char *where = cli_escape(a->output, false);
		_cleanup_free_ char *headline = cli_format("cannot write %s", where);

		return cli_fail(&a->common, headline, errno, NULL);
	}
	int rc = ckpt_show_core(s, a->image, a->core, fd, &err);

	if (a->output && close(fd) && rc >= 0)
		rc = -errno;
	if (rc < 0 && a->output)
		unlink(a->output);
	return rc < 0 ? fail(a, rc, err) : CLI_OK;
}

/* Names of files and programs come from outside: the text passes through the escaper. */
static int show_text(const struct show_args *a, struct ckpt_session *s)
{
	_cleanup_err_ struct ckpt_err *err = NULL;
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return fail(a, errno, NULL);
	int rc = ckpt_show(s, a->image, false, f, &err);

	if (fclose(f) && rc >= 0)
		rc = -ENOMEM;
	if (rc < 0)
		return fail(a, rc, err);
	_cleanup_free_ char *safe = cli_escape(text, true);

	fputs(safe, stdout);
	return CLI_OK;
}

static int show(const struct show_args *a)
{
	_cleanup_session_ struct ckpt_session *s = NULL;
	_cleanup_err_ struct ckpt_err *err = NULL;
	int rc = ckpt_session_new(&s, &err);

	if (rc < 0)
		return fail(a, rc, err);
	if (a->core)
		return show_core(a, s);
	if (!a->common.json)
		return show_text(a, s);
	rc = ckpt_show(s, a->image, true, stdout, &err);
	return rc < 0 ? fail(a, rc, err) : CLI_OK;
}

static int run(int argc, char **argv)
{
	struct show_args a = { 0 };
	int status = cli_parse(&cmd_show, argc, argv, &a.common, &a);

	if (status != CLI_GO_ON)
		return status;
	if (a.explain)
		return explain(&a);
	status = cli_need_dir(&a.common, a.image);
	return status ? status : show(&a);
}

const struct cli_command cmd_show = {
	.name = "show",
	.summary = "show what an image holds",
	.argp = &argp,
	.run = run,
};
