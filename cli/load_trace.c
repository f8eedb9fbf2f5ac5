// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The tracer of "load --trace": an observer in the background, which shows nothing, and keeps its
 * ledger for those who ask. The command returns when it is ready; until then what it has to say is
 * said where the command would say it.
 */
#include "load_trace.h"
#include "observe.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define TRACER_NAME "ebpf-ckpt-trace" /* as ps -e shows it: 15 characters at the most */
/* Events may wait for this long; whoever asks is told of them all the same. */
#define LOOK_MS	 250
#define AUDIT_US (600ULL * 1000000)
#define READY	 'r'

/* ---- what is traced, in words ---- */

static char *target_words(const struct load_trace *t)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return cli_format("?");
	if (t->n_pids)
		fprintf(f, t->n_pids == 1 ? "process" : "processes");
	for (size_t i = 0; i < t->n_pids; i++)
		fprintf(f, "%s %d", i ? "," : "", t->pids[i]);
	if (t->name)
		fprintf(f, "%sall named %s", t->n_pids ? "; " : "", t->name);
	if (t->cgroup)
		fprintf(f, "%scgroup %s", t->n_pids || t->name ? "; " : "", t->cgroup);
	if (!t->n_pids && !t->name && !t->cgroup)
		fprintf(f, "every process");
	if (t->stacks)
		fprintf(f, ", with stacks");
	fclose(f);

	/* As the tracer tells it. */
	size_t room = sizeof(((struct ckpt_tracer *)0)->target);

	if (strlen(text) >= room)
		text[room - 1] = '\0';
	return text;
}

/* ---- the tracer ---- */

struct tracer {
	const struct load_trace *t;
	struct ckpt_observe *o;
	int signal_fd, offer_fd;
};

static int open_engine(struct tracer *r, struct ckpt_session *s, const char *words,
		       struct ckpt_err **err)
{
	const struct load_trace *t = r->t;
	const struct ckpt_observe_opts opts = { .size = sizeof(opts),
						.pids = t->pids,
						.n_pids = t->n_pids,
						.name = t->name,
						.cgroup = t->cgroup,
						.stacks = t->stacks,
						.all = !t->n_pids && !t->name && !t->cgroup,
						.descriptors_only = true };
	int rc = ckpt_observe_open(s, &opts, &r->o, err);

	if (rc < 0)
		return rc;
	r->offer_fd = ckpt_observe_keep(r->o, words, err);
	return r->offer_fd < 0 ? r->offer_fd : 0;
}

static bool is_told_to_end(const struct tracer *r)
{
	struct signalfd_siginfo info;

	return read(r->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info);
}

/* 0, or a negative errno: the engine has failed. */
static int keep_ledger(struct tracer *r, struct ckpt_err **err)
{
	const struct load_trace *t = r->t;
	/* Others may come that have the name, or are in the cgroup. */
	bool more_may_come = t->name || t->cgroup || !t->n_pids;
	uint64_t audit_us = cli_now_us();

	for (;;) {
		int n = ckpt_observe_next(r->o, NULL, NULL, err);

		if (n < 0)
			return n;
		/* Not before what has happened until now is in the ledger. */
		ckpt_observe_serve(r->o);
		if (is_told_to_end(r) || (!n && !more_may_come && !ckpt_observe_living(r->o)))
			return 0;
		if (cli_now_us() - audit_us >= AUDIT_US) {
			int rc = ckpt_observe_audit(r->o, NULL, NULL, NULL, err);

			if (rc < 0)
				return rc;
			audit_us = cli_now_us();
		}
		struct pollfd p[] = { { .fd = ckpt_observe_fd(r->o), .events = POLLIN },
				      { .fd = r->signal_fd, .events = POLLIN },
				      { .fd = r->offer_fd, .events = POLLIN } };

		if (!n)
			poll(p, sizeof(p) / sizeof(p[0]), LOOK_MS);
	}
}

/* Of whoever has started us nothing stays, the three standard descriptors and `ready` apart. */
static int leave_home(int *ready)
{
	if (setsid() < 0 || chdir("/") < 0 || dup2(*ready, 3) < 0)
		return -errno;
	*ready = 3;
	if (close_range(4, ~0U, 0) < 0 || fcntl(3, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	umask(077);
	prctl(PR_SET_NAME, TRACER_NAME);
	return 0;
}

static int say_unseen(void *userdata, const struct ckpt_event *e)
{
	const struct ckpt_member *unseen = ckpt_event_member(e, "unseen");

	(void)userdata;
	for (size_t i = 0; unseen && i < unseen->n; i++)
		fprintf(stderr, "ebpf-ckpt: note: this kernel does not tell of %s\n",
			unseen->member[i].text);
	return 0;
}

/* Whatever was blocked or ignored before: these end us. */
static int take_signals(struct tracer *r)
{
	static const int held[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(held) / sizeof(held[0]); i++) {
		signal(held[i], SIG_DFL);
		sigaddset(&set, held[i]);
	}
	sigprocmask(SIG_SETMASK, &set, NULL);
	r->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return r->signal_fd < 0 ? -errno : 0;
}

/* From here on nobody hears us. */
static int say_ready(int ready)
{
	const char byte = READY;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	fflush(NULL);
	for (int fd = 0; fd < 3; fd++)
		if (null < 0 || dup2(null, fd) < 0)
			return -errno;
	close(null);
	/* Whoever waited may be gone: then nobody wants it any more. */
	if (write(ready, &byte, 1) != 1)
		return -errno;
	close(ready);
	return 0;
}

static int run_tracer(const struct load_trace *t, const struct cli_common *c, const char *words,
		      int ready)
{
	_cleanup_session_ struct ckpt_session *s = NULL;
	_cleanup_err_ struct ckpt_err *err = NULL;
	struct tracer r = { .t = t, .signal_fd = -1, .offer_fd = -1 };
	int rc = leave_home(&ready);

	if (rc == 0)
		rc = take_signals(&r);
	if (rc == 0)
		rc = ckpt_session_new(&s, &err);
	if (rc == 0)
		rc = open_engine(&r, s, words, &err);
	/* The first event is "start". */
	if (rc == 0)
		rc = ckpt_observe_next(r.o, c->quiet ? NULL : say_unseen, NULL, &err);
	if (rc < 0) {
		ckpt_observe_close(r.o);
		return cli_fail(c, "cannot trace", rc, err);
	}
	observe_be_prompt();
	rc = say_ready(ready);
	if (rc == 0)
		rc = keep_ledger(&r, &err);
	ckpt_observe_close(r.o);
	close(r.signal_fd);
	if (rc < 0) {
		openlog(TRACER_NAME, LOG_PID, LOG_DAEMON);
		syslog(LOG_ERR, "tracing has ended: %s", err ? ckpt_err_text(err) : strerror(-rc));
		return CLI_FAILED;
	}
	return CLI_OK;
}

/* ---- whoever starts it ---- */

static json_t *json_of(const struct ckpt_tracer *t)
{
	struct timespec mono, wall;

	clock_gettime(CLOCK_MONOTONIC, &mono);
	clock_gettime(CLOCK_REALTIME, &wall);
	json_int_t offset = (json_int_t)(wall.tv_sec - mono.tv_sec) * 1000000000 +
			    (wall.tv_nsec - mono.tv_nsec);

	return json_pack("{s:i, s:o, s:I, s:I, s:I, s:I}", "pid", (int)t->pid, "target",
			 cli_json_text(t->target), "since_wall_ns",
			 (json_int_t)t->since_ns + offset, "processes", (json_int_t)t->processes,
			 "events", (json_int_t)t->events, "lost", (json_int_t)t->lost);
}

static void print_state(const struct cli_common *c, const struct ckpt_tracer *t, bool changed)
{
	_cleanup_free_ char *target = cli_escape(t->target, false);

	if (c->json)
		cli_json_print(json_pack("{s:b, s:o}", "changed", changed, "tracing", json_of(t)));
	else if (!c->quiet && changed)
		printf("the eBPF programs are loaded; process %d traces %s\n", t->pid, target);
	else if (!c->quiet)
		printf("the eBPF programs were loaded, and process %d traced %s already\n", t->pid,
		       target);
}

/* There is a tracer already. */
static int be_content(const struct cli_common *c, const struct ckpt_tracer *t, const char *words,
		      bool loaded)
{
	_cleanup_free_ char *target = cli_escape(t->target, false);
	_cleanup_free_ char *cause = NULL;

	if (t->answers && !strcmp(t->target, words)) {
		print_state(c, t, loaded);
		return CLI_OK;
	}
	if (t->answers)
		cause = cli_format("process %d traces %s", t->pid, target);
	else
		cause = cli_format("process %d does, and %s", t->pid,
				   t->same ? "does not answer" : "is of another version");
	return cli_complain(c, CKPT_E_BUSY, "cannot trace: tracing runs already",
			    (const char *const[]){ cause, NULL }, "ebpf-ckpt unload ends it");
}

/* Wait for READY, or for its end. */
static int wait_ready(const struct cli_common *c, pid_t pid, int ready)
{
	struct ckpt_tracer t;
	char byte = 0;
	int status;

	while (read(ready, &byte, 1) < 0 && errno == EINTR)
		;
	if (byte == READY) {
		/* Not so: it has ended since, as those that it traced have. */
		if (ckpt_tracer_find(&t, NULL) > 0 && t.pid == pid)
			print_state(c, &t, true);
		return CLI_OK;
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return cli_fail(c, "cannot trace", -errno, NULL);
	if (WIFSIGNALED(status)) {
		_cleanup_free_ char *cause =
			cli_format("the tracer was ended by signal %d", WTERMSIG(status));

		return cli_complain(c, CKPT_E_SYS, "cannot trace",
				    (const char *const[]){ cause, NULL }, NULL);
	}
	/* It has said why. */
	return WEXITSTATUS(status) ? WEXITSTATUS(status) : CLI_FAILED;
}

static int start(const struct load_trace *t, const struct cli_common *c, const char *words)
{
	int ready[2];

	if (pipe2(ready, O_CLOEXEC) < 0)
		return cli_fail(c, "cannot trace", -errno, NULL);
	fflush(NULL);
	pid_t pid = fork();

	if (pid == 0) {
		/* What it lives with for weeks is given back (main.c). */
		mallopt(M_TRIM_THRESHOLD, 1 << 20);
		mallopt(M_TOP_PAD, 1 << 17);
		return run_tracer(t, c, words, ready[1]);
	}
	int rc = pid < 0 ? -errno : 0;

	close(ready[1]);
	if (rc == 0)
		rc = wait_ready(c, pid, ready[0]);
	else
		rc = cli_fail(c, "cannot trace", rc, NULL);
	close(ready[0]);
	return rc;
}

int load_trace(const struct load_trace *t, const struct cli_common *c, bool loaded)
{
	_cleanup_free_ char *cgroup = NULL;
	_cleanup_err_ struct ckpt_err *err = NULL;
	struct load_trace full = *t;
	struct ckpt_tracer there;

	/* It stands in another directory. */
	if (t->cgroup)
		full.cgroup = cgroup = realpath(t->cgroup, NULL);
	if (t->cgroup && !cgroup) {
		_cleanup_free_ char *text = cli_escape(t->cgroup, false);
		_cleanup_free_ char *headline = cli_format("cannot look at the cgroup '%s'", text);

		return cli_fail(c, headline, -errno, NULL);
	}
	_cleanup_free_ char *words = target_words(&full);
	int rc = ckpt_tracer_find(&there, &err);

	if (rc < 0)
		return cli_fail(c, "cannot trace", rc, err);
	return rc ? be_content(c, &there, words, loaded) : start(&full, c, words);
}
