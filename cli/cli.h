/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the subcommands of ebpf-ckpt share. The engine behind them is ebpf_ckpt.h and nothing else.
 */
#ifndef CLI_H
#define CLI_H

#include <argp.h>
#include <ebpf_ckpt.h>
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define PROGRAM "ebpf-ckpt"

/* Exit statuses, see "EXIT STATUS" in ebpf-ckpt(1). */
enum {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_CANNOT = 3,
};

/* ---- commands ---------------------------------------------------------------------------------
 */

struct cli_command {
	const char *name;
	const char *summary;		   /* one line of "ebpf-ckpt help" */
	const struct argp *argp;	   /* its options, and its help text */
	int (*run)(int argc, char **argv); /* argv[0]: "ebpf-ckpt NAME"; returns the exit status */
};

extern const struct cli_command cmd_attach, cmd_restore, cmd_show, cmd_check, cmd_verify,
	cmd_observe, cmd_load, cmd_unload, cmd_help;
/* All of them in the order of the help text, ended by NULL. */
extern const struct cli_command *const cli_commands[];
const struct cli_command *cli_command_find(const char *name); /* NULL: unknown */

/* ---- options.c: options of every command ------------------------------------------------------
 */

struct cli_common {
	const struct cli_command *cmd;
	bool json, quiet, help;
	char *problem;	  /* owned: what is wrong with the command line, or NULL */
	const char *hint; /* static */
	int next;	  /* argv index at which parsing failed */
};

/* Child parser of every command: --json, --quiet, --help. Its input is a struct cli_common. */
extern const struct argp_child cli_common_children[];

#define CLI_GO_ON (-1)
/*
 * Parse a command line. CLI_GO_ON, or the exit status to end with: help was printed, or what is
 * wrong. `input` is what the command's parser gets; its KEY_INIT must hand `c` to the child parser.
 */
int cli_parse(const struct cli_command *cmd, int argc, char **argv, struct cli_common *c,
	      void *input);
/* Print the help of a command on stdout; CLI_OK. */
int cli_help(const struct cli_command *cmd);
/* For parsers: remember what is wrong and return EINVAL. hint: static, or NULL for the command's
 * help. */
error_t cli_wrong(struct cli_common *c, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* For parsers: take a time in whole seconds. */
error_t cli_take_seconds(struct cli_common *c, unsigned int *ret_ms, const char *arg);
/* For parsers: take the one image directory of a command's arguments. */
error_t cli_take_dir(struct cli_common *c, const char **dir, const char *arg);
/* 0 when there is a directory at `path`; otherwise the exit status, after saying so. */
int cli_need_dir(const struct cli_common *c, const char *path);
bool cli_parse_pid(const char *text, pid_t *ret);
/* Append to a list, which is malloc'd and may be NULL. 0 or ENOMEM. */
int cli_add_pid(pid_t **list, size_t *n, pid_t pid);
/* OLD=NEW, both absolute; `\=` and `\\` stand for themselves. 0 and two malloc'd paths without
 * slashes at the end, or EINVAL. */
int cli_parse_relocation(const char *text, struct ckpt_relocation *ret);
void cli_relocation_done(struct ckpt_relocation *r);
void cli_trim_path(char *path);
/* "64M", "1.5GiB", "4096": whole bytes, binary units. */
bool cli_parse_size(const char *text, uint64_t *ret);

/* ---- text.c: text and numbers for people ------------------------------------------------------
 */

/*
 * Text from outside, safe to send to a terminal: control and bidirectional characters, and bytes
 * that are not UTF-8, become \xNN or \u{N}. Newlines stay when `lines`. Malloc'd; ends the program
 * without memory.
 */
char *cli_escape(const char *text, bool lines);
/* One character of UTF-8: its length, or 0 when it is none. */
size_t cli_decode(const char *text, uint32_t *ret);
/* Does it act on a terminal, or make a line look like another one? */
bool cli_acts(uint32_t c);
/* Zeroed memory; ends the program without it. */
void *cli_alloc(size_t size);
void *cli_realloc(void *p, size_t size);
char *cli_format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define CLI_NUMBER_MAX 32
/* Write into buf (CLI_NUMBER_MAX bytes) and return it. */
const char *cli_bytes(uint64_t bytes, char *buf);
const char *cli_duration(uint64_t us, char *buf);
const char *cli_nanoseconds(uint64_t ns, char *buf);
uint64_t cli_now_us(void); /* monotonic */

/* Name of a process from /proc/PID/comm, escaped; "?" when there is none. Malloc'd. */
char *cli_comm(pid_t pid);
/* "python3, 5 threads". Malloc'd. */
char *cli_who(const char *comm, unsigned int tasks, unsigned int threads);

/* Is it a terminal that understands more than plain text? */
bool cli_fancy(int fd);
bool cli_colour(int fd);	/* and does the user want colours there? */
unsigned int cli_width(int fd); /* columns; 0: not a terminal */

/* Strings that need not be UTF-8; stages of a result; one line of JSON on stdout (steals the
 * reference). */
json_t *cli_json_text(const char *text);
json_t *cli_json_stages(const struct ckpt_stage *stages, size_t n);
void cli_json_print(json_t *j);

/* ---- fold.c -----------------------------------------------------------------------------------
 */

/* A row of findings that say the same. */
struct cli_fold {
	const struct ckpt_finding *row; /* the first of them */
	size_t at;			/* its place */
	char *subject;			/* owned: "fd 0, 1, 2 of 5 processes" */
	char *who; /* owned: "4711 (bash), 4712 (sed)"; NULL: there is but one */
};

/* The rows, in the order of their first findings; for cli_fold_free(). */
size_t cli_fold_findings(const struct ckpt_findings *f, struct cli_fold **ret);
void cli_fold_free(struct cli_fold *fold, size_t n);

/* ---- print_err.c ------------------------------------------------------------------------------
 */

/*
 * Say that a call failed: `headline`, then each cause of the chain. On stderr, or with --json as
 * one object on stdout. Returns the exit status. `err` may be NULL (rc is shown then).
 */
int cli_fail(const struct cli_common *c, const char *headline, int rc, const struct ckpt_err *err);
/* The same for what this program found itself. causes: ended by NULL, may be NULL; hint may be
 * NULL. */
int cli_complain(const struct cli_common *c, enum ckpt_code code, const char *headline,
		 const char *const *causes, const char *hint);

/* ---- progress.c -------------------------------------------------------------------------------
 */

struct cli_progress {
	bool quiet, bar;
	char stage[32];
	uint64_t stage_us, shown_us; /* when the stage began; when it was last shown (0: never) */
};

void cli_progress_init(struct cli_progress *p, bool quiet);
/* Erase the bar. */
void cli_progress_end(struct cli_progress *p);
/* A ckpt_progress_fn; userdata: struct cli_progress. Gives up once an interrupting signal is
 * pending. */
int cli_progress(void *userdata, const char *stage, uint64_t done, uint64_t total);

/*
 * From here on Ctrl-C and its like (SIGINT, SIGQUIT, SIGTERM, SIGHUP, unless ignored) stay pending,
 * to be seen by cli_progress() at a moment when undoing is possible; Ctrl-Z waits, since a stopped
 * checkpointer would hold its frozen target.
 */
void cli_signals_hold(void);
/* The interrupting signal that is pending, or 0. */
int cli_interrupted(void);
/* End by a signal, so that our parent sees it. Falls back on exit(128 + sig). */
_Noreturn void cli_die_by(int sig);

/* In a child before it execs: signal dispositions as this program was started with (main.c). */
void cli_dispositions_restore(void);

/* ---- foreground.c -----------------------------------------------------------------------------
 */

/* Block the signals that cli_foreground() passes on; before the child is made. */
void cli_foreground_hold(void);
/* Be the shell of a child: pass on signals, terminal and stops, end as it ends. Returns its exit
 * status. */
int cli_foreground(pid_t child);

/* ---- cleanup ----------------------------------------------------------------------------------
 */

static inline void cli_freep(void *p)
{
	free(*(void **)p);
}

static inline void cli_sessionp(struct ckpt_session **s)
{
	ckpt_session_free(*s);
}

static inline void cli_errp(struct ckpt_err **e)
{
	ckpt_err_free(*e);
}

static inline void cli_findingsp(struct ckpt_findings **f)
{
	ckpt_findings_free(*f);
}

#define _cleanup_(fn)	   __attribute__((cleanup(fn)))
#define _cleanup_free_	   _cleanup_(cli_freep)
#define _cleanup_session_  _cleanup_(cli_sessionp)
#define _cleanup_err_	   _cleanup_(cli_errp)
#define _cleanup_findings_ _cleanup_(cli_findingsp)

#endif
