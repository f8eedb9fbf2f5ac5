// SPDX-License-Identifier: LGPL-2.1-or-later
/* cr_run: start a program that knows nothing of checkpoints so that it can take part in them. */
#include "cli.h"
#include "cr_tool.h"
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME "cr_run"

static const char help[] =
	"Usage: " NAME " [options] [--] program [arguments]\n"
	"Start a program so that it can be checkpointed by cr_checkpoint, with no callbacks.\n"
	"      --run      let it be checkpointed (default)\n"
	"      --omit     leave it out of every checkpoint\n"
	"  -?, --help     print this help\n"
	"      --version  print the version\n";

/* Installed beside this program, or where the dynamic linker looks. */
static char *library(const char *name)
{
	char exe[PATH_MAX], *slash;
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	for (int up = 0; n > 0 && up < 2; up++) {
		exe[n] = 0;
		slash = strrchr(exe, '/');
		n = slash ? slash - exe : 0;
	}
	if (n > 0) {
		char *path;

		exe[n] = 0;
		path = cli_format("%s/" CR_LIBDIR "/%s", exe, name);
		if (access(path, R_OK) == 0)
			return path;
		free(path);
	}
	return cli_format("%s", name);
}

/* The library first, then what was there, without those of an outer cr_run. */
static int set_preload(const char *name)
{
	_cleanup_free_ char *value = library(name);
	_cleanup_free_ char *old = cli_format("%s", getenv("LD_PRELOAD") ?: "");
	char *rest = old, *word;

	while ((word = strsep(&rest, ": "))) {
		char *more;

		if (!*word || strstr(word, "libcr_run.so") || strstr(word, "libcr_omit.so"))
			continue;
		more = cli_format("%s:%s", value, word);
		free(value);
		value = more;
	}
	return setenv("LD_PRELOAD", value, 1);
}

int cr_run_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "run", no_argument, NULL, 'r' },
		{ "omit", no_argument, NULL, 'o' },
		{ "help", no_argument, NULL, '?' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};

	const char *name = "libcr_run.so.0";
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "+?", options, NULL)) != -1) {
		switch (c) {
		case 'r':
			name = "libcr_run.so.0";
			break;
		case 'o':
			name = "libcr_omit.so.0";
			break;
		case 'V':
			return cr_version(NAME);
		default:
			if (optopt && optopt != '?')
				return cr_usage(NAME, help, "unknown option '%s'",
						argv[optind - 1]);
			fputs(help, stdout);
			return 0;
		}
	}
	if (optind == argc)
		return cr_usage(NAME, help, "which program?");
	if (set_preload(name) < 0)
		return errno & 255;
	execvp(argv[optind], argv + optind);
	c = errno;
	fprintf(stderr, NAME ": %s: %s\n", argv[optind], strerror(c));
	return c & 255;
}
