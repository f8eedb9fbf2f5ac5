// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Options that every command has, and what is said of a wrong command line. argp does the parsing;
 * it is kept silent, since its messages could be neither JSON nor of our form.
 */
#include "cli.h"
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

/* The kernel's PID_MAX_LIMIT on 64-bit machines (include/linux/threads.h). */
#define PID_LARGEST (4 * 1024 * 1024)

static const struct argp_option common_options[] = {
	{ "json", 'j', NULL, 0, "Print JSON instead of text, errors too", -1 },
	{ "quiet", 'q', NULL, 0, "No progress, no last line", -1 },
	{ "help", 'h', NULL, 0, "Print this help", -1 },
	{ 0 },
};

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
	struct cli_common *c = state->input;

	(void)arg;
	switch (key) {
	case 'j':
		c->json = true;
		return 0;
	case 'q':
		c->quiet = true;
		return 0;
	case 'h':
		c->help = true;
		return 0;
	case ARGP_KEY_ERROR:
		c->next = state->next;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp common_argp = { .options = common_options, .parser = parse_common };

const struct argp_child cli_common_children[] = {
	{ &common_argp, 0, NULL, -1 },
	{ 0 },
};

error_t cli_wrong(struct cli_common *c, const char *hint, const char *fmt, ...)
{
	va_list ap;

	if (c->problem)
		return EINVAL;
	va_start(ap, fmt);
	if (vasprintf(&c->problem, fmt, ap) < 0)
		c->problem = NULL;
	va_end(ap);
	c->hint = hint;
	return EINVAL;
}

/* The option that `name` (of `len` characters) is, or the only one it begins. */
static const struct argp_option *find_long(const struct argp_option *o, const char *name,
					   size_t len, unsigned int *n)
{
	const struct argp_option *found = NULL;

	for (; o && (o->name || o->key || o->doc); o++) {
		if (!o->name || strncmp(o->name, name, len) != 0)
			continue;
		found = o;
		++*n;
	}
	return found;
}

static const struct argp_option *find_short(const struct argp_option *o, char key)
{
	for (; o && (o->name || o->key || o->doc); o++)
		if (o->key == key)
			return o;
	return NULL;
}

/* The first letter of a cluster ("-qx") that is unknown, or lacks its value. */
static void diagnose_short(struct cli_common *c, const char *letters)
{
	for (; *letters; letters++) {
		const struct argp_option *o = find_short(c->cmd->argp->options, *letters);

		if (o && o->arg) {
			cli_wrong(c, NULL, "option '-%c' needs a value (%s)", *letters, o->arg);
			return;
		}
		if (!o && !find_short(common_options, *letters))
			break;
	}
	_cleanup_free_ char *text = cli_escape(letters, false);

	cli_wrong(c, NULL, "unknown option '-%s'", text);
}

/* argp says only that an option was wrong: find out in which way. */
static void diagnose(struct cli_common *c, char **argv, int argc)
{
	int at = c->next > 0 && c->next <= argc && argv[c->next - 1][0] == '-' ? c->next - 1
									       : c->next;
	const char *arg = at > 0 && at < argc ? argv[at] : "";
	_cleanup_free_ char *text = cli_escape(arg, false);

	if (arg[0] == '-' && isdigit((unsigned char)arg[1])) {
		cli_wrong(c, NULL, "'%s' is not a pid", text);
		return;
	}
	if (strncmp(arg, "--", 2) != 0) {
		diagnose_short(c, arg[0] ? arg + 1 : arg);
		return;
	}
	size_t len = strcspn(arg + 2, "=");
	unsigned int n = 0;
	const struct argp_option *o = find_long(c->cmd->argp->options, arg + 2, len, &n);
	const struct argp_option *o2 = find_long(common_options, arg + 2, len, &n);

	o = o ? o : o2;
	if (!o)
		cli_wrong(c, NULL, "unknown option '%s'", text);
	else if (n > 1)
		cli_wrong(c, NULL, "'%s' could be several options", text);
	else if (o->arg)
		cli_wrong(c, NULL, "option '--%s' needs a value (%s)", o->name, o->arg);
	else
		cli_wrong(c, NULL, "option '--%s' takes no value", o->name);
}

/* --json holds for errors that stand before it, too. */
static bool asks_json(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (!strcmp(argv[i], "--json") || !strcmp(argv[i], "-j"))
			return true;
	return false;
}

static int complain_usage(struct cli_common *c)
{
	_cleanup_free_ char *see = cli_format(PROGRAM " help %s", c->cmd->name);
	int status = cli_complain(c, CKPT_E_USAGE, c->problem ? c->problem : "wrong usage", NULL,
				  c->hint ? c->hint : see);

	free(c->problem);
	c->problem = NULL;
	return status;
}

int cli_help(const struct cli_command *cmd)
{
	_cleanup_free_ char *name = cli_format(PROGRAM " %s", cmd->name);

	/* Not the note that values of long options belong to short ones, too: it is longer than
	 * most helps. */
	setenv("ARGP_HELP_FMT", "no-dup-args-note", 0);
	argp_help(cmd->argp, stdout, ARGP_HELP_STD_HELP & ~ARGP_HELP_EXIT_OK, name);
	return CLI_OK;
}

int cli_parse(const struct cli_command *cmd, int argc, char **argv, struct cli_common *c,
	      void *input)
{
	c->cmd = cmd;
	bool json = asks_json(argc, argv);
	error_t rc = argp_parse(cmd->argp, argc, argv, ARGP_SILENT, NULL, input);

	if (c->help) {
		free(c->problem);
		c->problem = NULL;
		return cli_help(cmd);
	}
	if (!rc)
		return CLI_GO_ON;
	c->json = c->json || json;
	if (!c->problem)
		diagnose(c, argv, argc);
	return complain_usage(c);
}

error_t cli_take_seconds(struct cli_common *c, unsigned int *ret_ms, const char *arg)
{
	char *end;
	unsigned long seconds;

	errno = 0;
	seconds = strtoul(arg, &end, 10);
	if (*arg < '0' || *arg > '9' || *end || errno || seconds > 1000000)
		return cli_wrong(c, "whole seconds, 0 to 1000000", "that is not a time");
	*ret_ms = (unsigned int)seconds * 1000;
	return 0;
}

error_t cli_take_dir(struct cli_common *c, const char **dir, const char *arg)
{
	if (*dir) {
		_cleanup_free_ char *text = cli_escape(arg, false);

		return cli_wrong(c, NULL, "one image at a time: what is '%s' for?", text);
	}
	if (!*arg)
		return cli_wrong(c, NULL, "the image's directory is an empty name");
	*dir = arg;
	return 0;
}

int cli_need_dir(const struct cli_common *c, const char *path)
{
	struct stat st;
	int rc = stat(path, &st) ? errno : S_ISDIR(st.st_mode) ? 0 : ENOTDIR;

	/* Others (no permission, say) are told better by the engine. */
	if (rc != ENOENT && rc != ENOTDIR)
		return CLI_OK;
	_cleanup_free_ char *text = cli_escape(path, false);
	_cleanup_free_ char *headline =
		cli_format(rc == ENOENT ? "there is no '%s'" : "'%s' is not a directory", text);

	return cli_complain(c, CKPT_E_USAGE, headline, NULL,
			    "give the directory that " PROGRAM " attach has made");
}

bool cli_parse_pid(const char *text, pid_t *ret)
{
	long v = 0;

	if (!*text)
		return false;
	for (const char *p = text; *p; p++) {
		if (!isdigit((unsigned char)*p))
			return false;
		v = v * 10 + (*p - '0');
		if (v > PID_LARGEST)
			return false;
	}
	if (v < 1)
		return false;
	*ret = (pid_t)v;
	return true;
}

int cli_add_pid(pid_t **list, size_t *n, pid_t pid)
{
	pid_t *grown = reallocarray(*list, *n + 1, sizeof(*grown));

	if (!grown)
		return ENOMEM;
	*list = grown;
	grown[(*n)++] = pid;
	return 0;
}

bool cli_parse_size(const char *text, uint64_t *ret)
{
	static const char units[] = "KMGTPE";
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	unsigned long long whole = strtoull(text, &end, 10);
	long double v = whole;

	if (errno)
		return false;
	if (*end == '.') {
		long double digit = 0.1L;

		for (end++; isdigit((unsigned char)*end); end++, digit /= 10)
			v += (*end - '0') * digit;
	}
	const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;

	if (unit) {
		for (const char *u = units; u <= unit; u++)
			v *= 1024;
		end += !strncmp(end + 1, "iB", 2) ? 3 : 1;
	} else if (*end == 'B') {
		end++;
	}
	if (*end || v >= 0x1p63L)
		return false;
	*ret = (uint64_t)v;
	return true;
}
