// SPDX-License-Identifier: LGPL-2.1-or-later
/* ebpf-ckpt check: can this machine, can this process be checkpointed? A table with the reasons. */
#include "cli.h"
#include <string.h>
#include <unistd.h>

#define VERDICT_WIDTH	  6  /* "note" and two spaces */
#define SUBJECT_WIDTH_MAX 36 /* "memory 7f0000000000-7f0000000000" fits */

struct check_args {
	struct cli_common common;
	pid_t pid; /* 0: the machine */
	bool only;
};

enum { OPT_ONLY = 256 };

static const struct argp_option options[] = {
	{ "only", OPT_ONLY, NULL, 0, "The process alone, without its children", 0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct check_args *a = state->input;
	_cleanup_free_ char *text = NULL;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &a->common;
		return 0;
	case OPT_ONLY:
		a->only = true;
		return 0;
	case ARGP_KEY_ARG:
		text = cli_escape(arg, false);
		if (a->pid)
			return cli_wrong(&a->common, NULL,
					 "one process at a time: what is '%s' for?", text);
		if (!cli_parse_pid(arg, &a->pid))
			return cli_wrong(&a->common, "a number from 1 to 4194304",
					 "'%s' is not a pid", text);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	options,
	parse,
	"[PID]",
	"Tell what this machine can do or, given a PID, whether that process and its children can be "
	"checkpointed: one row for each resource, and for each 'no' the reason and what to do. They "
	"are not touched."
	"\v"
	"Examples:\n"
	"  ebpf-ckpt check\n"
	"  ebpf-ckpt check 4711\n",
	cli_common_children,
	NULL,
	NULL,
};

static const struct verdict_words {
	const char *text, *colour;
} verdict_words[] = {
	[CKPT_YES] = { "yes", "\033[32m" },
	[CKPT_NO] = { "no", "\033[1;31m" },
	[CKPT_NOTE] = { "note", "\033[33m" },
};

/* How the table is laid out. */
struct table {
	int subject; /* width of the column */
	int width;   /* of the terminal; 0: no limit */
	bool colour;
};

/* Text in a column from `indent` on, broken at blanks; the cursor stands there already. */
static void print_wrapped(const char *text, int indent, int width)
{
	int room = width ? width - indent - 1 : 0;

	if (room < 20) { /* no room for columns, or no limit */
		printf("%s\n", text);
		return;
	}
	while (strlen(text) > (size_t)room) {
		int cut = room;

		while (cut > 0 && text[cut] != ' ')
			cut--;
		if (!cut) /* a long word: a path, which is better whole */
			cut = (int)strcspn(text, " ");
		printf("%.*s\n", cut, text);
		text += cut + strspn(text + cut, " ");
		if (!*text)
			return;
		printf("%*s", indent, "");
	}
	printf("%s\n", text);
}

static void print_under(const struct table *t, const char *label, const char *text)
{
	int indent = VERDICT_WIDTH + t->subject + 2;

	if (!*text)
		return;
	_cleanup_free_ char *safe = cli_escape(text, false);
	_cleanup_free_ char *full = cli_format("%s%s", label, safe);

	printf("%*s", indent, "");
	print_wrapped(full, indent, t->width);
}

static void print_row(const struct table *t, const struct cli_fold *fold)
{
	const struct ckpt_finding *row = fold->row;
	const struct verdict_words *v = &verdict_words[row->verdict];
	_cleanup_free_ char *what = cli_escape(row->what, false);

	printf("%s%-*s%s%-*s  ", t->colour ? v->colour : "", VERDICT_WIDTH, v->text,
	       t->colour ? "\033[0m" : "", t->subject, fold->subject);
	print_wrapped(what, VERDICT_WIDTH + t->subject + 2, t->width);
	print_under(t, row->verdict == CKPT_NO ? "why: " : "", row->why);
	if (row->verdict == CKPT_NO && fold->who)
		print_under(t, "of: ", fold->who);
	print_under(t, "try: ", row->remedy);
}

static void print_table(const struct check_args *a, const struct ckpt_findings *f)
{
	struct table t = { .width = (int)cli_width(STDOUT_FILENO),
			   .colour = cli_colour(STDOUT_FILENO) };
	_cleanup_free_ char *comm = a->pid ? cli_comm(a->pid) : NULL;
	_cleanup_free_ char *who =
		a->pid ? cli_format("%d (%s)", a->pid, comm) : cli_format("this machine");
	const char *verb = a->pid ? "be checkpointed" : "checkpoint and restore";

	struct cli_fold *fold;
	size_t n = cli_fold_findings(f, &fold), n_no = 0;

	for (size_t i = 0; i < n; i++) {
		int len = (int)strlen(fold[i].subject);

		n_no += fold[i].row->verdict == CKPT_NO;
		if (len > t.subject)
			t.subject = len > SUBJECT_WIDTH_MAX ? SUBJECT_WIDTH_MAX : len;
	}
	for (size_t i = 0; i < n; i++)
		if (!a->common.quiet || fold[i].row->verdict == CKPT_NO)
			print_row(&t, &fold[i]);
	cli_fold_free(fold, n);
	if (n_no)
		printf("%s cannot %s: %zu reason%s\n", who, verb, n_no, n_no == 1 ? "" : "s");
	else
		printf("%s can %s\n", who, verb);
}

static void print_json(const struct ckpt_findings *f)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < f->n; i++) {
		const struct ckpt_finding *r = &f->row[i];

		json_array_append_new(
			rows,
			json_pack("{s:s, s:i, s:o, s:o, s:o, s:o}", "verdict",
				  verdict_words[r->verdict].text, "pid", (int)r->pid, "subject",
				  cli_json_text(r->subject), "what", cli_json_text(r->what), "why",
				  cli_json_text(r->why), "remedy", cli_json_text(r->remedy)));
	}
	cli_json_print(rows);
}

static int fail(const struct check_args *a, int rc, const struct ckpt_err *err)
{
	_cleanup_free_ char *comm = a->pid ? cli_comm(a->pid) : NULL;
	_cleanup_free_ char *headline = !a->pid ? cli_format("cannot check this machine")
					: !strcmp(comm, "?")
						? cli_format("cannot check %d", a->pid)
						: cli_format("cannot check %d (%s)", a->pid, comm);

	return cli_fail(&a->common, headline, rc, err);
}

static int check(const struct check_args *a)
{
	_cleanup_session_ struct ckpt_session *s = NULL;
	_cleanup_findings_ struct ckpt_findings *f = NULL;
	_cleanup_err_ struct ckpt_err *err = NULL;
	int rc = ckpt_session_new(&s, &err);

	if (!rc)
		rc = a->pid ? ckpt_check_process(s, a->pid, a->only, &f, &err)
			    : ckpt_check_machine(s, &f, &err);
	if (rc < 0)
		return fail(a, rc, err);
	if (a->common.json)
		print_json(f);
	else
		print_table(a, f);
	if (!f->n_no)
		return CLI_OK;
	return a->pid ? CLI_CANNOT : CLI_FAILED;
}

static int run(int argc, char **argv)
{
	struct check_args a = { 0 };
	int status = cli_parse(&cmd_check, argc, argv, &a.common, &a);

	return status == CLI_GO_ON ? check(&a) : status;
}

const struct cli_command cmd_check = {
	.name = "check",
	.summary = "can this machine, or a process, be checkpointed?",
	.argp = &argp,
	.run = run,
};
