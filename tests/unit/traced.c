// SPDX-License-Identifier: LGPL-2.1-or-later
/* Running a child that is traced, and taking its records one by one. */
#include "traced.h"

void check_child(bool good, int line)
{
	if (!good) {
		fprintf(stderr, "child: line %d: %s\n", line, strerror(errno));
		_exit(99);
	}
}

struct tracing *open_tracing(const struct tracing_options *o)
{
	struct loader_why why = { 0 };
	struct tracing *t = NULL;

	if (tracing_open(o, &t, &why) < 0)
		fail_msg("%s (%s)", why.what, why.remedy);
	return t;
}

static void keep(struct run *r, const struct tracing_event *e)
{
	struct copy *c;
	void *head;

	if (r->n % 256 == 0) {
		r->events = realloc(r->events, (r->n + 256) * sizeof(*r->events));
		assert_non_null(r->events);
	}
	c = &r->events[r->n++];
	memset(c, 0, sizeof(*c));
	head = malloc(e->head->len);
	assert_non_null(head);
	memcpy(head, e->head, e->head->len);
	c->head = head;
	c->path = strdup(e->path);
	if (e->sock)
		c->sock = *e->sock;
	if (e->argv) {
		c->argv = malloc(e->argv_len + 1);
		assert_non_null(c->argv);
		memcpy(c->argv, e->argv, e->argv_len);
		c->argv[e->argv_len] = '\0';
		c->argv_len = e->argv_len;
	}
	r->lost += e->lost_before;
}

void drain(struct run *r)
{
	struct tracing_event e;
	int rc;

	while ((rc = tracing_next(r->tracing, &e)) > 0)
		keep(r, &e);
	assert_int_equal(rc, 0);
}

/* Start a child that waits until it is observed, and then does `what`. */
void run_start(struct run *r, const struct tracing_options *o, void (*what)(struct told *))
{
	struct loader_why why = { 0 };
	int go[2], ready[2];
	char byte;

	memset(r, 0, sizeof(*r));
	r->tracing = open_tracing(o);
	r->told = mmap(NULL, sizeof(*r->told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	assert_ptr_not_equal(r->told, MAP_FAILED);
	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	r->pid = fork();
	assert_true(r->pid >= 0);
	if (r->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, "traced");
		signal(SIGSEGV, SIG_DFL); /* the test's framework catches it */
		close(go[1]);
		CHECK_CHILD(syscall(SYS_close_range, BASE, ~0U, 0) == 0);
		CHECK_CHILD(write(ready[1], "r", 1) == 1);
		CHECK_CHILD(read(go[0], &byte, 1) == 0);
		what(r->told);
		_exit(0);
	}
	close(go[0]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	if (tracing_add_pid(r->tracing, r->pid, &why) < 0)
		fail_msg("%s", why.what);
	close(go[1]);
}

void run_wait(struct run *r)
{
	while (waitpid(r->pid, &r->status, 0) < 0)
		assert_int_equal(errno, EINTR);
	/* All that a child did was told before it could be waited for. */
	drain(r);
}

void run_types(struct run *r, uint64_t types, void (*what)(struct told *))
{
	struct tracing_options o = { .types = types };

	run_start(r, &o, what);
	run_wait(r);
	assert_int_equal(r->status, 0);
	assert_int_equal(r->lost, 0);
}

void run_done(struct run *r)
{
	const struct tracing_lost *lost;

	/* Each case has taken all that there was. */
	if (r->at < r->n)
		fail_msg("record of type %d is more than the child did",
			 r->events[r->at].head->type);
	assert_int_equal(tracing_lost(r->tracing, &lost), 0);
	for (size_t i = 0; i < r->n; i++) {
		free((void *)(uintptr_t)r->events[i].head);
		free(r->events[i].path);
		free(r->events[i].argv);
	}
	free(r->events);
	if (r->told)
		munmap(r->told, sizeof(*r->told));
	tracing_close(r->tracing);
}

/* The next record, which has to be of this type, and of the child itself. */
struct copy *next_of(struct run *r, enum trace_type type, pid_t pid)
{
	struct copy *c = &r->events[r->at];

	if (r->at >= r->n)
		fail_msg("no record, instead of one of type %d", type);
	if (c->head->type != type)
		fail_msg("record %zu is of type %d instead of %d", r->at, c->head->type, type);
	assert_int_equal(c->head->pid, pid);
	assert_true(c->head->time_ns != 0);
	r->at++;
	return c;
}

void exec_true(struct told *t)
{
	(void)t;
	execl("/bin/true", "true", "a b", "", "c", NULL);
	CHECK_CHILD(false);
}

void *wait_at(void *arg)
{
	pthread_barrier_wait(arg);
	return NULL;
}
