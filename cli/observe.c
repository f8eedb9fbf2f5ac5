// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * ebpf-ckpt observe: the command line, and the loop that takes events from the engine and hands
 * them to the outputs.
 */
#include "observe.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUTS_MAX 4
/* Events may wait for this long in the kernel before we look (see ckpt_observe_fd()). */
#define LOOK_MS	    50
#define IDLE_US	    250000
#define HTML_EVENTS 200000 /* a browser opens that many in 2 seconds */
#define NICE_PROMPT (-10)

struct observe_args {
	struct cli_common common;
	pid_t *pids; /* owned */
	size_t n_pids;
	char **cmd; /* of argv; NULL: none */
	const char *name, *cgroup, *output, *html;
	struct observe_filter *filter; /* owned */
	bool summary, stacks, top;
	uint64_t duration_us, audit_us, count, ring_bytes, html_events;
	int die_by; /* result: the signal that ended the command */
};

enum {
	OPT_NAME = 256,
	OPT_CGROUP,
	OPT_STACKS,
	OPT_AUDIT_EVERY,
	OPT_RING,
	OPT_HTML,
	OPT_HTML_EVENTS,
	OPT_TOP,
};

static const struct argp_option options[] = {
	{ "name", OPT_NAME, "NAME", 0, "Observe all processes of this name, also later ones", 0 },
	{ "cgroup", OPT_CGROUP, "PATH", 0,
	  "Observe all processes of this cgroup and those below, also later ones", 0 },
	{ "filter", 'f', "KEY=VALUE[,VALUE...]", 0,
	  "Show those events only: KEY is event, kind, pid, name or cgroup; != for all others", 0 },
	{ "summary", 's', NULL, 0, "Only the tables at the end, not each event", 0 },
	{ "stacks", OPT_STACKS, NULL, 0, "Tell which functions made what there is", 0 },
	{ "output", 'o', "FILE", 0, "Write there instead of to standard output", 0 },
	{ "html", OPT_HTML, "FILE", 0, "Write a page with a timeline, to be opened in a browser",
	  0 },
	{ "html-events", OPT_HTML_EVENTS, "N", 0,
	  "Events that the page may have, the last ones (200000)", 0 },
	{ "top", OPT_TOP, NULL, 0, "A live table in the terminal instead of lines", 0 },
	{ "duration", 'd', "TIME", 0, "End after this time: 10, 1.5s, 5m, 2h", 0 },
	{ "count", 'n', "N", 0, "End after so many events", 0 },
	{ "audit-every", OPT_AUDIT_EVERY, "TIME", 0,
	  "Compare the ledger with the kernel that often, not only at the end", 0 },
	{ "ring", OPT_RING, "SIZE", 0, "Room for events between kernel and us (16M)", 0 },
	{ 0 },
};

/* ---- the command line ---- */

static error_t take_time(struct cli_common *c, uint64_t *ret_us, const char *arg)
{
	static const struct {
		const char *unit;
		double us;
	} units[] = { { "", 1e6 }, { "s", 1e6 }, { "ms", 1e3 }, { "m", 6e7 }, { "h", 3.6e9 } };

	char *end;
	double v = *arg >= '0' && *arg <= '9' ? strtod(arg, &end) : -1;

	for (size_t i = 0; v >= 0 && i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(end, units[i].unit) && v * units[i].us < 1e17) {
			*ret_us = (uint64_t)(v * units[i].us);
			return *ret_us ? 0 : cli_wrong(c, NULL, "no time at all");
		}
	_cleanup_free_ char *text = cli_escape(arg, false);

	return cli_wrong(c, "a number with ms, s, m or h: 1.5s", "'%s' is not a time", text);
}

static error_t take_count(struct cli_common *c, uint64_t *ret, const char *arg)
{
	char *end;

	errno = 0;
	*ret = strtoull(arg, &end, 10);
	if (*arg >= '0' && *arg <= '9' && !*end && !errno && *ret)
		return 0;
	_cleanup_free_ char *text = cli_escape(arg, false);

	return cli_wrong(c, "a number from 1 on", "'%s' is not a number of events", text);
}

static error_t take_filter(struct observe_args *a, const char *arg)
{
	_cleanup_free_ char *wrong = observe_filter_add(&a->filter, arg);

	if (!wrong)
		return 0;
	_cleanup_free_ char *text = cli_escape(wrong, false);

	return cli_wrong(&a->common, "KEY=VALUE, KEY being event, kind, pid, name or cgroup", "%s",
			 text);
}

static error_t take_pid(struct observe_args *a, const char *arg)
{
	pid_t pid;

	if (cli_parse_pid(arg, &pid))
		return cli_add_pid(&a->pids, &a->n_pids, pid);
	_cleanup_free_ char *text = cli_escape(arg, false);

	return cli_wrong(&a->common, "a number from 1 to 4194304; a command stands after --",
			 "'%s' is not a pid", text);
}

/* Behind "--" stands the command, which is not argp's: that would move what stands before, too. */
static void take_command(struct observe_args *a, int *argc, char **argv)
{
	for (int i = 1; i < *argc; i++) {
		if (strcmp(argv[i], "--") != 0)
			continue;
		a->cmd = i + 1 < *argc ? &argv[i + 1] : NULL;
		argv[i] = NULL;
		*argc = i;
	}
}

static error_t at_end(struct observe_args *a)
{
	if (!a->n_pids && !a->cmd && !a->name && !a->cgroup)
		return cli_wrong(&a->common, "a PID, --name, --cgroup, or -- COMMAND",
				 "nothing to observe is named");
	if (a->html_events && !a->html)
		return cli_wrong(&a->common, NULL, "--html-events is for --html alone");
	if (a->top && (a->common.json || a->output))
		return cli_wrong(&a->common, NULL, "--top is for the terminal alone");
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct observe_args *a = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &a->common;
		return 0;
	case OPT_NAME:
		a->name = arg;
		return *arg ? 0 : cli_wrong(&a->common, NULL, "the name is empty");
	case OPT_CGROUP:
		a->cgroup = arg;
		return 0;
	case OPT_STACKS:
		a->stacks = true;
		return 0;
	case OPT_HTML:
		a->html = arg;
		return 0;
	case OPT_HTML_EVENTS:
		return take_count(&a->common, &a->html_events, arg);
	case OPT_TOP:
		a->top = true;
		return 0;
	case OPT_AUDIT_EVERY:
		return take_time(&a->common, &a->audit_us, arg);
	case OPT_RING:
		if (cli_parse_size(arg, &a->ring_bytes) && a->ring_bytes)
			return 0;
		return cli_wrong(&a->common, "such as 64M", "that is no size of a ring");
	case 'f':
		return take_filter(a, arg);
	case 's':
		a->summary = true;
		return 0;
	case 'o':
		a->output = arg;
		return 0;
	case 'd':
		return take_time(&a->common, &a->duration_us, arg);
	case 'n':
		return take_count(&a->common, &a->count, arg);
	case ARGP_KEY_ARG:
		return take_pid(a, arg);
	case ARGP_KEY_END:
		return at_end(a);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	options,
	parse,
	"PID...\n--name NAME\n--cgroup PATH\n-- COMMAND [ARGUMENT...]",
	"Follow processes and their children: every resource that they make, pass on, close and "
	"leave behind, and every signal. At the end, or at Ctrl-C, the books are compared with what "
	"the kernel has, and a summary is printed."
	"\v"
	"Examples:\n"
	"  ebpf-ckpt observe 4711\n"
	"  ebpf-ckpt observe --summary --stacks -- ./server --port 8080\n"
	"  ebpf-ckpt observe --html run.html -- make\n"
	"  ebpf-ckpt observe --json -f event=signal_* --duration 10s --name nginx\n",
	cli_common_children,
	NULL,
	NULL,
};

/* ---- running ---- */

struct run {
	struct observe_args *a;
	struct ckpt_observe *o;
	struct observe_child child;
	struct observe_output *output[OUTPUTS_MAX];
	size_t n_outputs, n_started;
	bool wants_json, wants_json_of_all; /* of_all: of what is said of the whole */
	struct observe_sink sink, line;	    /* line: one of JSON, never written */
	int signal_fd, offer_fd;	    /* offer_fd is the engine's; -1: others cannot ask */
	unsigned int n_interrupts;
	uint64_t n_events; /* shown */
	bool full;	   /* as many as were asked for */
	bool ending;	   /* only the audit is shown from here on */
	bool failed;
	uint64_t start_us, audit_us;
};

/* Take what signals there are. Ctrl-C twice (or once, when no command gets it, too) is the end. */
static void take_signals(struct run *r)
{
	struct signalfd_siginfo info;

	while (read(r->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		int sig = (int)info.ssi_signo;
		bool terminal = info.ssi_code == SI_KERNEL;

		if (sig == SIGCHLD) {
			child_poll(&r->child);
			continue;
		}
		r->n_interrupts++;
		/* The terminal has sent it to the command, too; and let that end. */
		if (r->child.pid && !r->child.ended && !terminal)
			kill(r->child.pid, sig);
	}
}

/* How many of them it takes: the first one is the command's. */
static unsigned int interrupts_enough(const struct run *r)
{
	return r->child.pid && !r->child.ended ? 2 : 1;
}

static bool is_interrupted(const struct run *r)
{
	return r->n_interrupts >= interrupts_enough(r);
}

/*
 * Asked by the sink while a reader does not read: after the end of the observation the rest of the
 * output is still wanted, until we are interrupted once more.
 */
static bool give_up(void *userdata)
{
	struct run *r = userdata;

	take_signals(r);
	return r->n_interrupts > interrupts_enough(r);
}

static int on_event(void *userdata, const struct ckpt_event *e)
{
	struct run *r = userdata;
	struct observe_line line = { .event = e };
	bool about_all = !e->pid;

	if (!observe_filter_passes(r->a->filter, e) || (r->full && !about_all))
		return 0;
	if (r->wants_json || (r->wants_json_of_all && about_all)) {
		r->line.n = 0;
		observe_json_event(&r->line, e);
		line.json = r->line.buf;
		line.json_len = r->line.n;
	}
	for (size_t i = 0; i < r->n_outputs; i++) {
		struct observe_output *out = r->output[i];

		if (out->brief && !about_all)
			continue;

		int rc = out->event ? out->event(out, &line) : 0;

		if (rc < 0) {
			r->failed = true;
			return 1;
		}
	}
	if (!about_all && r->a->count && ++r->n_events >= r->a->count)
		r->full = true;
	/* Not too much at once, so that a reader who waits gets something. */
	if (r->sink.n > (32 << 10) && sink_flush(&r->sink) < 0)
		return 1;
	return 0;
}

static int outputs_idle(struct run *r)
{
	for (size_t i = 0; i < r->n_outputs; i++) {
		struct observe_output *out = r->output[i];

		if (out->idle && out->idle(out, r->o) < 0) {
			r->failed = true;
			return 1;
		}
	}
	return sink_flush(&r->sink) < 0;
}

/* Wait for events, signals, keys. 1: the user wants to end. */
static int wait_for_more(struct run *r)
{
	struct pollfd p[3 + OUTPUTS_MAX] = { { .fd = ckpt_observe_fd(r->o), .events = POLLIN },
					     { .fd = r->signal_fd, .events = POLLIN },
					     { .fd = r->offer_fd, .events = POLLIN } };

	for (size_t i = 0; i < r->n_outputs; i++)
		p[3 + i] = (struct pollfd){ .fd = r->output[i]->fd, .events = POLLIN };
	if (poll(p, 3 + r->n_outputs, LOOK_MS) <= 0)
		return 0;
	if (p[1].revents)
		take_signals(r);
	for (size_t i = 0; i < r->n_outputs; i++) {
		struct observe_output *out = r->output[i];

		if (p[3 + i].revents && out->input && out->input(out, r->o))
			return 1;
	}
	return 0;
}

static bool is_over(struct run *r, int n)
{
	const struct observe_args *a = r->a;

	if (r->full || is_interrupted(r) ||
	    (a->duration_us && cli_now_us() - r->start_us >= a->duration_us))
		return true;
	/* Others may come that have the name, or are in the cgroup. */
	return n == 0 && !a->name && !a->cgroup && !ckpt_observe_living(r->o) &&
	       (!r->child.pid || child_poll(&r->child));
}

static int audit(struct run *r, bool *ret_balanced, struct ckpt_err **err)
{
	r->audit_us = cli_now_us();
	return ckpt_observe_audit(r->o, on_event, r, ret_balanced, err);
}

/* 0, 1: an output has had enough, negative: the engine has failed. */
static int observe_loop(struct run *r, struct ckpt_err **err)
{
	uint64_t idle_us = 0;

	r->start_us = r->audit_us = cli_now_us();
	for (;;) {
		int n = ckpt_observe_next(r->o, on_event, r, err);

		if (n < 0 || r->failed || r->sink.error)
			return n < 0 ? n : 1;
		if (is_over(r, n))
			return 0;
		if (r->a->audit_us && cli_now_us() - r->audit_us >= r->a->audit_us) {
			int rc = audit(r, NULL, err);

			if (rc)
				return rc;
		}
		if (n == 0 || cli_now_us() - idle_us > IDLE_US) {
			ckpt_observe_serve(r->o);
			if (outputs_idle(r))
				return 1;
			idle_us = cli_now_us();
		}
		if (n == 0 ? wait_for_more(r) : (take_signals(r), 0))
			return 0;
	}
}

/* ---- beginning and end ---- */

static void add_output(struct run *r, struct observe_output *out)
{
	r->output[r->n_outputs++] = out;
	r->wants_json = r->wants_json || (out->wants_json && !out->brief);
	r->wants_json_of_all = r->wants_json_of_all || out->wants_json;
}

static void make_outputs(struct run *r)
{
	const struct observe_args *a = r->a;

	if (a->html)
		add_output(r, observe_html_new(a->html,
					       a->html_events ? a->html_events : HTML_EVENTS));
	/* Last, since what others say would be on its screen. */
	if (a->top) {
		add_output(r, observe_top_new());
		return;
	}
	/* Whoever wants a page wants no lines, unless he says so. */
	bool brief = a->summary || (a->html && !a->common.json && !a->output);

	add_output(r, a->common.json ? observe_json_new(&r->sink, brief)
				     : observe_text_new(&r->sink, brief));
}

/* Those that were started, the last first; what follows may print again. */
static int end_outputs(struct run *r, struct ckpt_observe *o)
{
	int worst = 0;

	while (r->n_started) {
		struct observe_output *out = r->output[--r->n_started];

		if (out->end && out->end(out, o) < 0)
			worst = -1;
	}
	return worst;
}

/* Give the terminal back, so that messages are seen. */
static void leave_terminal(struct run *r)
{
	struct observe_output *out = r->a->top ? r->output[r->n_started - 1] : NULL;

	if (out && out->end) {
		r->n_started--;
		out->end(out, r->o);
	}
}

static int start_outputs(struct run *r)
{
	_cleanup_free_ char *title = NULL;
	size_t size;
	FILE *f = open_memstream(&title, &size);

	for (size_t i = 0; f && i < r->a->n_pids; i++)
		fprintf(f, "%s%d", i ? " " : "", r->a->pids[i]);
	for (char **arg = r->a->cmd; f && arg && *arg; arg++) {
		_cleanup_free_ char *text = cli_escape(*arg, false);

		fprintf(f, "%s%s", arg == r->a->cmd ? "-- " : " ", text);
	}
	if (f)
		fclose(f);
	const struct observe_about about = { .title = title ? title : "",
					     .quiet = r->a->common.quiet,
					     .stacks = r->a->stacks };

	for (; r->n_started < r->n_outputs; r->n_started++) {
		struct observe_output *out = r->output[r->n_started];

		if (out->start && out->start(out, &about) < 0) {
			end_outputs(r, NULL);
			return -1;
		}
	}
	return 0;
}

static int open_sink(struct run *r)
{
	const char *path = r->a->output;
	int fd = STDOUT_FILENO;

	if (path) {
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		if (fd < 0) {
			_cleanup_free_ char *text = cli_escape(path, false);
			_cleanup_free_ char *headline = cli_format("cannot write '%s'", text);

			cli_fail(&r->a->common, headline, -errno, NULL);
			return -1;
		}
	}
	sink_init(&r->sink, fd);
	r->sink.owned = path != NULL;
	r->sink.give_up = give_up;
	r->sink.userdata = r;
	return 0;
}

/* From here on, signals are taken when we ask for them. The command has its own mask already. */
static void hold_signals(struct run *r)
{
	static const int held[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(held) / sizeof(held[0]); i++) {
		struct sigaction sa;

		/* What is ignored (nohup(1)) stays so. */
		if (!sigaction(held[i], NULL, &sa) && sa.sa_handler != SIG_IGN)
			sigaddset(&set, held[i]);
	}
	sigprocmask(SIG_BLOCK, &set, NULL);
	r->signal_fd = r->sink.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int open_engine(struct run *r, struct ckpt_session *s, struct ckpt_err **err)
{
	const struct observe_args *a = r->a;
	size_t n = a->n_pids + (r->child.pid ? 1 : 0);
	_cleanup_free_ pid_t *pids = cli_alloc((n + 1) * sizeof(*pids));

	if (a->n_pids)
		memcpy(pids, a->pids, a->n_pids * sizeof(*pids));
	if (r->child.pid)
		pids[a->n_pids] = r->child.pid;
	const struct ckpt_observe_opts opts = { .size = sizeof(opts),
						.pids = pids,
						.n_pids = n,
						.name = a->name,
						.cgroup = a->cgroup,
						.stacks = a->stacks,
						.ring_bytes = a->ring_bytes };

	return ckpt_observe_open(s, &opts, &r->o, err);
}

static int fail(const struct run *r, int rc, const struct ckpt_err *err)
{
	const struct observe_args *a = r->a;
	_cleanup_free_ char *headline = NULL;

	if (a->n_pids == 1 && !a->cmd) {
		_cleanup_free_ char *comm = cli_comm(a->pids[0]);

		headline = strcmp(comm, "?")
				   ? cli_format("cannot observe %d (%s)", a->pids[0], comm)
				   : cli_format("cannot observe %d", a->pids[0]);
	}
	return cli_fail(&a->common, headline ? headline : "cannot observe", rc, err);
}

/* The observation is over: the last audit, the summary. */
static int finish(struct run *r, struct ckpt_err **err)
{
	bool balanced = true;
	int rc, rc2 = 0;

	r->ending = true;
	/* In JSON the audit is the last line. */
	if (r->a->summary && r->a->common.json)
		rc2 = observe_summary_put(&r->sink, r->o, true);
	rc = audit(r, &balanced, err);
	if (rc < 0)
		return fail(r, rc, *err);
	if (!r->a->common.json && (r->a->summary || (r->a->top ? !balanced : !r->a->common.quiet)))
		rc2 = observe_summary_put(&r->sink, r->o, false);
	/* Of a command, the exit status is the command's. */
	return rc || rc2 || (!balanced && !r->child.pid) ? CLI_FAILED : CLI_OK;
}

/* What is sent to us is for the command still, which goes on without being observed. */
static void wait_for_command(struct run *r)
{
	struct pollfd p = { .fd = r->signal_fd, .events = POLLIN };

	while (r->child.pid && !child_poll(&r->child)) {
		poll(&p, 1, -1);
		take_signals(r);
	}
}

/* Its exit status, when there is a command. */
static int child_status(struct run *r, int status)
{
	int rc = child_exec_errno(&r->child);

	if (!r->child.pid)
		return status;
	if (rc) {
		_cleanup_free_ char *text = cli_escape(r->a->cmd[0], false);
		_cleanup_free_ char *headline = cli_format("cannot run '%s'", text);

		cli_fail(&r->a->common, headline, -rc, NULL);
	}
	if (WIFSIGNALED(r->child.status)) {
		r->a->die_by = WTERMSIG(r->child.status);
		return 128 + r->a->die_by;
	}
	return WEXITSTATUS(r->child.status) ? WEXITSTATUS(r->child.status) : status;
}

/*
 * Programs that keep all CPUs busy would leave us none, and what they do meanwhile be lost. We use
 * no more than it takes to keep up with them. Not everybody may; then it is as it is.
 */
void observe_be_prompt(void)
{
	errno = 0;
	int nice = getpriority(PRIO_PROCESS, 0);

	if (!errno && nice > NICE_PROMPT)
		setpriority(PRIO_PROCESS, 0, NICE_PROMPT);
}

static int observe(struct run *r)
{
	_cleanup_session_ struct ckpt_session *s = NULL;
	_cleanup_err_ struct ckpt_err *err = NULL;
	int rc = ckpt_session_new(&s, &err), status = CLI_FAILED;

	if (rc == 0)
		rc = open_engine(r, s, &err);
	if (rc < 0) {
		child_kill(&r->child);
		end_outputs(r, NULL);
		return fail(r, rc, err);
	}
	r->offer_fd = ckpt_observe_offer(r->o, NULL);
	observe_be_prompt();
	child_go(&r->child);
	rc = observe_loop(r, &err);
	leave_terminal(r);
	if (rc < 0)
		fail(r, rc, err);
	else if (rc == 0)
		status = finish(r, &err);
	if (end_outputs(r, rc < 0 ? NULL : r->o) < 0)
		status = CLI_FAILED;
	ckpt_observe_close(r->o);
	rc = sink_flush(&r->sink);
	if (rc < 0) {
		fprintf(stderr, PROGRAM ": cannot write the output: %s\n",
			rc == -ECANCELED ? "nobody reads it" : strerror(-rc));
		status = CLI_FAILED;
	}
	wait_for_command(r);
	return child_status(r, status);
}

static int run_all(struct observe_args *a)
{
	struct run r = { .a = a, .signal_fd = -1, .offer_fd = -1 };
	int status = CLI_FAILED, rc = 0;

	if (open_sink(&r) < 0)
		return CLI_FAILED;
	sink_init(&r.line, -1);
	if (a->cmd)
		rc = child_start(&r.child, a->cmd);
	hold_signals(&r);
	make_outputs(&r);
	if (rc < 0)
		cli_fail(&a->common, "cannot make a process for the command", rc, NULL);
	else if (r.signal_fd < 0)
		cli_fail(&a->common, "cannot wait for signals", -errno, NULL);
	else if (start_outputs(&r) == 0)
		status = observe(&r);
	child_kill(&r.child);
	child_done(&r.child);
	for (size_t i = 0; i < r.n_outputs; i++)
		if (r.output[i]->free)
			r.output[i]->free(r.output[i]);
	sink_done(&r.line);
	sink_done(&r.sink);
	if (r.signal_fd >= 0)
		close(r.signal_fd);
	return status;
}

static int run(int argc, char **argv)
{
	struct observe_args a = { 0 };

	/* Unlike other commands this one may live for weeks: what is freed is given back (main.c).
	 */
	mallopt(M_TRIM_THRESHOLD, 1 << 20);
	mallopt(M_TOP_PAD, 1 << 17);

	take_command(&a, &argc, argv);

	int status = cli_parse(&cmd_observe, argc, argv, &a.common, &a);

	if (status == CLI_GO_ON)
		status = run_all(&a);
	observe_filter_free(a.filter);
	free(a.pids);
	if (a.die_by) {
		fflush(NULL);
		cli_die_by(a.die_by);
	}
	return status;
}

const struct cli_command cmd_observe = {
	.name = "observe",
	.summary = "follow processes: resources, signals, what is left behind",
	.argp = &argp,
	.run = run,
};
