// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * How far a long step is: a bar on a terminal, plain lines elsewhere, nothing for short steps. And
 * the question that goes with it: does the user still want it?
 */
#include "cli.h"
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define SHOW_AFTER_US  500000 /* a step that is done sooner needs no bar */
#define BAR_EVERY_US   100000
#define LINES_EVERY_US 3000000
#define BAR_WIDTH_MAX  50

static const int interrupting[] = { SIGINT, SIGQUIT, SIGTERM, SIGHUP };
#define N_INTERRUPTING (sizeof(interrupting) / sizeof(*interrupting))

/* What is said of each stage: done so far, as a line; and under way, before the bar. */
static const struct stage_words {
	const char *stage, *done, *doing;
} stage_words[] = {
	{ "write", "written", "writing" }, { "fill", "read", "reading" },
	{ "read", "read", "reading" },	   { "verify", "checked", "checking" },
	{ "take", "taken", "taking" },	   { "prove", "compared", "comparing" },
	{ "core", "written", "writing" },
};

static const struct stage_words *words_of(const char *stage)
{
	for (size_t i = 0; i < sizeof(stage_words) / sizeof(*stage_words); i++)
		if (!strcmp(stage_words[i].stage, stage))
			return &stage_words[i];
	return NULL;
}

void cli_progress_init(struct cli_progress *p, bool quiet)
{
	*p = (struct cli_progress){ .quiet = quiet, .bar = cli_fancy(STDERR_FILENO) };
}

static void erase(const struct cli_progress *p)
{
	if (p->bar && p->shown_us)
		fputs("\r\033[K", stderr);
}

void cli_progress_end(struct cli_progress *p)
{
	erase(p);
	p->shown_us = 0;
}

/* In the background, the terminal's lines belong to someone else. */
static bool in_background(void)
{
	pid_t fg = tcgetpgrp(STDERR_FILENO);

	return fg >= 0 && fg != getpgrp();
}

/* "42%  426.7 MiB of 1.0 GiB, 851.3 MiB/s, 1 s left" */
static void format_tail(char *tail, size_t size, uint64_t done, uint64_t total, uint64_t took_us)
{
	char a[CLI_NUMBER_MAX], b[CLI_NUMBER_MAX], r[CLI_NUMBER_MAX];
	double rate = (double)done * 1e6 / (double)took_us;

	cli_bytes(done, a);
	cli_bytes(total, b);
	cli_bytes((uint64_t)rate, r);
	if (!total) {
		snprintf(tail, size, "%s, %s/s", a, r);
		return;
	}
	int n = snprintf(tail, size, "%3.0f%%  %s of %s, %s/s", (double)done * 100 / (double)total,
			 a, b, r);

	if (!done || done >= total || n < 0 || (size_t)n >= size)
		return;
	/* Whole seconds, since tenths would only flicker. */
	uint64_t left = (uint64_t)((double)(total - done) / rate) + 1;

	if (left < 120)
		snprintf(tail + n, size - (size_t)n, ", %" PRIu64 " s left", left);
	else
		snprintf(tail + n, size - (size_t)n, ", %" PRIu64 " min left", (left + 30) / 60);
}

/* "writing [#####     ] " and the tail, cut to the terminal's width. */
static void show_bar(const char *doing, uint64_t done, uint64_t total, uint64_t took_us)
{
	char hashes[BAR_WIDTH_MAX], tail[160];
	int columns = (int)cli_width(STDERR_FILENO) - 1;

	format_tail(tail, sizeof(tail), done, total, took_us);

	int room = columns - (int)(strlen(doing) + strlen(tail)) - 5;

	room = room > BAR_WIDTH_MAX ? BAR_WIDTH_MAX : room;
	if (!total || room < 5) {
		_cleanup_free_ char *line = cli_format("%s %s", doing, tail);

		fprintf(stderr, "\r%.*s\033[K", columns, line);
	} else {
		double share = (double)done / (double)total;

		memset(hashes, '#', sizeof(hashes));
		fprintf(stderr, "\r%s [%-*.*s] %s\033[K", doing, room,
			share >= 1 ? room : (int)(share * room), hashes, tail);
	}
	fflush(stderr);
}

static void show_line(const char *done_word, uint64_t done, uint64_t total)
{
	char a[CLI_NUMBER_MAX], b[CLI_NUMBER_MAX];

	if (total)
		fprintf(stderr, "%s %s of %s\n", done_word, cli_bytes(done, a),
			cli_bytes(total, b));
	else
		fprintf(stderr, "%s %s\n", done_word, cli_bytes(done, a));
}

static void show(struct cli_progress *p, const char *stage, uint64_t done, uint64_t total)
{
	const struct stage_words *w = words_of(stage);
	uint64_t now = cli_now_us();

	if (strncmp(p->stage, stage, sizeof(p->stage) - 1) != 0) {
		cli_progress_end(p);
		snprintf(p->stage, sizeof(p->stage), "%s", stage);
		p->stage_us = now;
		return;
	}
	/* The last line of several says that all is done. */
	bool last = !p->bar && p->shown_us && total && done == total;

	if (now - p->stage_us < SHOW_AFTER_US || (!done && !total))
		return;
	if (p->shown_us && !last && now - p->shown_us < (p->bar ? BAR_EVERY_US : LINES_EVERY_US))
		return;
	if (p->bar && in_background())
		return;
	p->shown_us = now;
	if (p->bar)
		show_bar(w ? w->doing : stage, done, total, now - p->stage_us);
	else
		show_line(w ? w->done : stage, done, total);
	if (last)
		p->stage_us = UINT64_MAX; /* not twice */
}

int cli_progress(void *userdata, const char *stage, uint64_t done, uint64_t total)
{
	struct cli_progress *p = userdata;

	if (!p->quiet && p->stage_us != UINT64_MAX)
		show(p, stage, done, total);
	return cli_interrupted() ? 1 : 0;
}

static bool is_ignored(int sig)
{
	struct sigaction sa;

	return !sigaction(sig, NULL, &sa) && sa.sa_handler == SIG_IGN;
}

void cli_signals_hold(void)
{
	sigset_t set;

	sigemptyset(&set);
	/* A blocked signal becomes pending even if ignored (signal(7)): leave those alone, for
	 * nohup's sake. */
	for (size_t i = 0; i < N_INTERRUPTING; i++)
		if (!is_ignored(interrupting[i]))
			sigaddset(&set, interrupting[i]);
	sigaddset(&set, SIGTSTP);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

int cli_interrupted(void)
{
	sigset_t set;

	sigpending(&set);
	for (size_t i = 0; i < N_INTERRUPTING; i++)
		if (sigismember(&set, interrupting[i]) == 1 && !is_ignored(interrupting[i]))
			return interrupting[i];
	return 0;
}

void cli_die_by(int sig)
{
	struct rlimit none = { 0 };
	sigset_t set;

	fflush(NULL);
	/* The core that is of interest, if any, is not ours. */
	setrlimit(RLIMIT_CORE, &none);
	signal(sig, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	raise(sig);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	_exit(128 + sig);
}
