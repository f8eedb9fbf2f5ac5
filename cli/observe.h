/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of "ebpf-ckpt observe" share: observe.c parses the command line and drives the
 * engine; each form of output (text, JSON, summary, page, live table) is one struct observe_output.
 */
#ifndef CLI_OBSERVE_H
#define CLI_OBSERVE_H

#include "cli.h"

/* An event on its way to the outputs. */
struct observe_line {
	const struct ckpt_event *event;
	/* The line of JSON, without its newline, escaped: printable UTF-8 alone. Made once for all
	 * outputs that want it; NULL when none does. */
	const char *json;
	size_t json_len;
};

/* What is said of the whole: the command line, in a form that outputs may print. */
struct observe_about {
	const char *title; /* "4711 4712", "-- make -j2"; escaped */
	bool quiet;
	bool stacks;
};

/*
 * A form of output. Functions return 0, or a negative errno after saying on stderr what is wrong
 * (cli_fail(), cli_complain()): the observation then ends, with exit status CLI_FAILED. Any may be
 * NULL. `self` is the struct that was registered, which others embed as their first member.
 */
struct observe_output {
	bool wants_json;
	int fd; /* to be polled for input(), or -1 */
	/* Before anything is observed: open files, take the terminal. */
	int (*start)(struct observe_output *self, const struct observe_about *about);
	/* Each event that passes the filters, "start" first, "audit" among them. */
	int (*event)(struct observe_output *self, const struct observe_line *line);
	/* When no more events wait, and at least four times a second. */
	int (*idle)(struct observe_output *self, struct ckpt_observe *o);
	/* self->fd is readable. 1: the user wants to end. */
	int (*input)(struct observe_output *self, struct ckpt_observe *o);
	/* The last audit has been handed over (or, after an error, `o` is NULL): write the rest,
	 * give the terminal back. Called once if start() was. */
	int (*end)(struct observe_output *self, struct ckpt_observe *o);
	void (*free)(struct observe_output *self);
};

/* Makers, NULL-terminated names in observe.c's table of outputs. All end the program without
 * memory. */
struct observe_output *observe_text_new(FILE *out);		  /* lines for people */
struct observe_output *observe_json_new(FILE *out);		  /* lines for programs */
struct observe_output *observe_summary_new(FILE *out, bool json); /* the tables at the end */
struct observe_output *observe_html_new(const char *path);
struct observe_output *observe_top_new(void);

#endif
