// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * ebpf-ckpt: choose the subcommand, and end properly. Each subcommand is one file beside this one:
 * it parses its options, calls the engine once, and prints the result.
 */
#include "../lib/cr/ask.h"
#include "cli.h"
#include "cr_job.h"
#include "cr_tool.h"
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <string.h>
#include <unistd.h>

const struct cli_command *const cli_commands[] = {
	&cmd_attach,  &cmd_restore, &cmd_show,	 &cmd_verify, &cmd_check,
	&cmd_observe, &cmd_load,    &cmd_unload, &cmd_help,   NULL,
};

const struct cli_command *cli_command_find(const char *name)
{
	for (size_t i = 0; cli_commands[i]; i++)
		if (!strcmp(cli_commands[i]->name, name))
			return cli_commands[i];
	return NULL;
}

/*
 * With 0, 1 or 2 closed, the next file opened (of an image, say) would become our stderr. Occupy
 * them, the wrong way round, so that using them still fails as it should.
 */
static void fill_standard_fds(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) < 0)
			_exit(CLI_FAILED);
}

/* What we were started with, for programs that we start. */
static struct disposition {
	int signo;
	void (*ours)(int);
	void (*was)(int);
} dispositions[] = {
	/* A full disk, a file-size limit or a closed pipe is an error to report, not a reason to
	 * die. */
	{ SIGPIPE, SIG_IGN, SIG_DFL },
	{ SIGXFSZ, SIG_IGN, SIG_DFL },
	/* Inherited as ignored, it would make the kernel reap our children before we know their
	 * end. */
	{ SIGCHLD, SIG_DFL, SIG_DFL },
};

static void set_dispositions(void)
{
	for (size_t i = 0; i < sizeof(dispositions) / sizeof(dispositions[0]); i++)
		dispositions[i].was = signal(dispositions[i].signo, dispositions[i].ours);
}

void cli_dispositions_restore(void)
{
	for (size_t i = 0; i < sizeof(dispositions) / sizeof(dispositions[0]); i++)
		if (dispositions[i].was != SIG_ERR)
			signal(dispositions[i].signo, dispositions[i].was);
}

/* Output that did not arrive is a failure too. */
static int close_stdout(int status)
{
	bool bad = ferror(stdout);

	errno = 0;
	if (fflush(stdout) || bad) {
		fprintf(stderr, PROGRAM ": cannot write the output%s%s\n", errno ? ": " : "",
			errno ? strerror(errno) : "");
		return status ? status : CLI_FAILED;
	}
	if (close(STDOUT_FILENO) && errno != EBADF) {
		fprintf(stderr, PROGRAM ": cannot write the output: %s\n", strerror(errno));
		return status ? status : CLI_FAILED;
	}
	return status;
}

static int unknown(const char *arg)
{
	_cleanup_free_ char *text = cli_escape(arg, false);
	_cleanup_free_ char *headline =
		cli_format("unknown %s '%s'", arg[0] == '-' ? "option" : "command", text);

	return cli_complain(NULL, CKPT_E_USAGE, headline, NULL, PROGRAM " help");
}

static int run(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	if (argc < 2)
		return cmd_help.run(0, NULL);
	if (!strcmp(name, "--version") || !strcmp(name, "-V")) {
		printf(PROGRAM " " EBPF_CKPT_VERSION "\n");
		return CLI_OK;
	}
	if (!strcmp(name, "--help") || !strcmp(name, "-h"))
		name = cmd_help.name;

	/* Not for people. */
	if (!strcmp(name, CR_ASK_COMMAND))
		return cr_helper(argc - 1, argv + 1);

	const struct cli_command *cmd = cli_command_find(name);

	if (!cmd)
		return unknown(name);
	_cleanup_free_ char *full = cli_format(PROGRAM " %s", cmd->name);

	argv[1] = full;
	return cmd->run(argc - 1, argv + 1);
}

/* We live shortly, and build large trees of small objects: nothing is given back before the end. */
static void tune_malloc(void)
{
	mallopt(M_MXFAST, 0); /* with those, each larger allocation looks at all that was freed */
	mallopt(M_TOP_PAD, 8 << 20);
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
}

/* Names of this program beside its own. */
static const struct name {
	const char *name;
	int (*main)(int argc, char **argv);
} names[] = {
	{ "cr_run", cr_run_main },
	{ "cr_checkpoint", cr_checkpoint_main },
	{ "cr_restart", cr_restart_main },
};

static const struct name *find_name(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	for (size_t i = 0; path && i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(names[i].name, slash ? slash + 1 : path))
			return &names[i];
	return NULL;
}

int main(int argc, char **argv)
{
	const struct name *name = find_name(argv[0]);

	/* What it starts inherits what this process was started with. */
	if (name && name->main == cr_run_main)
		return cr_run_main(argc, argv);
	tune_malloc();
	fill_standard_fds();
	set_dispositions();

	int status = close_stdout(name ? name->main(argc, argv) : run(argc, argv));
	int sig = cli_interrupted();

	if (status && sig)
		cli_die_by(sig);
	return status;
}
