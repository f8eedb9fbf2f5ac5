/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of "ebpf-ckpt observe" share: observe.c parses the command line and drives the
 * engine; each form of output (text, JSON, summary, page, live table) is one struct observe_output.
 */
#ifndef CLI_OBSERVE_H
#define CLI_OBSERVE_H

#include "cli.h"

/* observe.c: raise our priority. */
void observe_be_prompt(void);

/* ---- outputs ----------------------------------------------------------------------------------
 */

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
	bool brief; /* it wants only what is said of the whole: events without a pid */
	int fd;	    /* to be polled for input(), or -1 */
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

/* ---- observe_sink.c: where lines go -----------------------------------------------------------
 */

/*
 * A buffer before a descriptor. Whoever reads it may be slow, or gone: writing waits for him, in a
 * way that Ctrl-C can end.
 */
struct observe_sink {
	int fd; /* borrowed, or owned when `owned` */
	bool owned;
	char *buf; /* owned */
	size_t n, size;
	int error; /* errno that stopped it; nothing is written from then on */
	/* Asked while the reader lets us wait: not 0, give up. May be NULL. */
	int signal_fd; /* becomes readable when it is worth asking; or -1 */
	bool (*give_up)(void *userdata);
	void *userdata;
};

void sink_init(struct observe_sink *s, int fd);
void sink_put(struct observe_sink *s, const char *text, size_t len);
void sink_text(struct observe_sink *s, const char *text);
void sink_printf(struct observe_sink *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Write what is buffered. 0, or a negative errno, the first that occurred. */
int sink_flush(struct observe_sink *s);
void sink_done(struct observe_sink *s);

/* ---- observe_json.c ---------------------------------------------------------------------------
 */

/* Append an event as one line of JSON, without the newline. */
void observe_json_event(struct observe_sink *s, const struct ckpt_event *e);
void observe_json_string(struct observe_sink *s, const char *text);

/* ---- the forms of output. Makers end the program without memory ------------------------------
 */

/* Lines for people, and for programs. `brief`: only those about the whole, as "audit" is. */
struct observe_output *observe_text_new(struct observe_sink *sink, bool brief);
struct observe_output *observe_json_new(struct observe_sink *sink, bool brief);
/* A page with the last `limit` events. */
struct observe_output *observe_html_new(const char *path, uint64_t limit);
struct observe_output *observe_top_new(void);

/* observe_summary.c: the tables at the end; with `json` one line of them. 0, or a negative errno
 * after saying so. */
int observe_summary_put(struct observe_sink *s, struct ckpt_observe *o, bool json);

/* ---- observe_filter.c -------------------------------------------------------------------------
 */

struct observe_filter;

/* Add "KEY=VALUE[,VALUE...]" or "KEY!=...". NULL, or what is wrong with it (malloc'd). */
char *observe_filter_add(struct observe_filter **f, const char *text);
bool observe_filter_passes(struct observe_filter *f, const struct ckpt_event *e);
void observe_filter_free(struct observe_filter *f); /* NULL is fine */

/* ---- observe_child.c: CMD ---------------------------------------------------------------------
 */

struct observe_child {
	pid_t pid;		   /* 0: there is none */
	struct observe_gate *gate; /* mapped: what it waits at */
	bool ended;
	int status; /* as wait(2) gives it */
};

/* Make a child that waits before its first instruction of `argv`. 0 or a negative errno. */
int child_start(struct observe_child *c, char **argv);
void child_go(struct observe_child *c);
/* Has it ended? */
bool child_poll(struct observe_child *c);
void child_wait(struct observe_child *c);
/* It never went, or shall not go on: kill it. */
void child_kill(struct observe_child *c);
/* The errno with which it could not be run; 0: it was. */
int child_exec_errno(const struct observe_child *c);
void child_done(struct observe_child *c);

#endif
