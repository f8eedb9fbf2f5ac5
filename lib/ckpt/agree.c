// SPDX-License-Identifier: LGPL-2.1-or-later
/* Coming to an agreement with the callbacks of a tree. See agree.h. */
#include "agree.h"
#include "../cr/blcr_common.h"
#include "image.h"
#include "look.h"
#include "pids.h"
#include "util.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* For a process that has been told, to be done: some hundred milliseconds. */
#define LOOKS_AFTER    300
#define ON_WAY_US      2000
#define PROT_READ_FLAG 0x1 /* VM_READ */

/* Callbacks that only set a flag take some microseconds; those that compress a heap, seconds. */
static void pause_between_looks(unsigned int *look)
{
	static const struct {
		unsigned int until;
		long ns;
	} rest[] = { { 50, 20000 }, { 100, 200000 }, { ~0u, 2000000 } };

	size_t i = 0;

	while (*look >= rest[i].until)
		i++;
	nanosleep(&(struct timespec){ 0, rest[i].ns }, NULL);
	++*look;
}

/* ---- what becomes of the signals ---- */

static void on_news(void *userdata, const struct rec_delivery *what)
{
	struct agree *a = userdata;
	struct agree_news *more;

	if (what->what == REC_QUEUED)
		a->on_way++;
	else if (what->what == REC_DELIVERED && a->on_way)
		a->on_way--;
	more = realloc(a->news, (a->n_news + 1) * sizeof(*more));
	if (!more)
		return;
	a->news = more;
	a->news[a->n_news++] = (struct agree_news){
		.tid = what->tid,
		.what = what->what,
		.time_us = what->time_ns / 1000,
	};
}

static const struct agree_news *find_news(const struct agree *a, pid_t tid)
{
	for (size_t i = a->n_news; i-- > 0;)
		if (a->news[i].tid == tid)
			return &a->news[i];
	return NULL;
}

/* Without it, all goes on, but for the time-out's reason. */
void agree_watch(struct agree *a)
{
	if (!a->watch && delivery_open(a->loader, &a->watch, NULL) < 0)
		a->watch = NULL;
}

void agree_unwatch(struct agree *a)
{
	delivery_close(a->watch);
	a->watch = NULL;
	for (size_t i = 0; i < a->n; i++)
		a->proc[i].m.watch = NULL;
}

/*
 * While signals are on their way, we are woken when the last is delivered; nothing can happen
 * before, except that threads begin or end, or ask by themselves. From then on it takes as long as
 * the callbacks do.
 */
static void wait_for_news(struct agree *a, unsigned int *look)
{
	uint64_t now = now_us(), until = now + ON_WAY_US;

	if (!a->watch || !a->on_way) {
		pause_between_looks(look);
		if (a->watch)
			delivery_wait(a->watch, 0, on_news, a);
		return;
	}
	for (; a->on_way && now < until; now = now_us())
		delivery_wait(a->watch, (int64_t)(until - now) * 1000, on_news, a);
	if (!a->on_way)
		*look = 0;
}

/* ---- who has it ---- */

static struct agree_process *find_known(const struct agree *a, pid_t pid)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->proc[i].m.pid == pid)
			return &a->proc[i];
	return NULL;
}

/* The block of a process, of the library that has precedence. */
static uint64_t find_block(const struct snapshot *s, pid_t pid, enum cr_kind *ret_kind)
{
	uint64_t best = 0;
	size_t first, n;

	snapshot_vmas_of(s, pid, &first, &n);
	for (size_t i = first; i < first + n; i++) {
		const struct rec_vma *v = s->vmas[i].rec;
		enum cr_kind kind;
		uint64_t block;

		if (!v->has_file || v->pgoff_bytes || !(v->vm_flags & PROT_READ_FLAG))
			continue;
		block = meet_look_for(pid, v->start, v->end, &kind);
		if (block && (!best || kind < *ret_kind)) {
			best = block;
			*ret_kind = kind;
		}
	}
	return best;
}

static int add_omitted(struct agree *a, struct agree_process *p, struct ckpt_err **err)
{
	p->omitted = true;
	return pids_add(&a->omit, &a->n_omit, p->m.pid) < 0 ? ckpt_fail_nomem(err) : 0;
}

static int add(struct agree *a, const struct snapshot *s, pid_t pid, uint64_t block,
	       enum cr_kind kind, struct ckpt_err **err)
{
	struct agree_process *more = realloc(a->proc, (a->n + 1) * sizeof(*more)), *p;
	const struct rec_sighand *h = snapshot_sighand(s, pid);
	const struct rec_mm *mm = snapshot_mm(s, pid);

	if (!more)
		return ckpt_fail_nomem(err);
	a->proc = more;
	p = &a->proc[a->n++];
	*p = (struct agree_process){
		.m = { .pid = pid, .block = block, .vdso = mm ? mm->vdso : 0 },
		.kind = kind,
	};
	if (h) {
		const struct rec_sigaction *sa = &h->action[CR_SIGNUM - 1];

		p->action = (struct cr_control_action){ sa->handler, sa->flags, sa->restorer,
							sa->mask };
	}
	if (kind != CR_KIND_OMIT)
		return 0;
	p->decided = true;
	return add_omitted(a, p, err);
}

/* There is no use in going on, whatever else may be wrong. */
static bool is_busy(pid_t pid, uint64_t block)
{
	struct meeting m = { .pid = pid, .block = block };

	return meet_read(&m) == 0 && meet_is_busy(&m);
}

int agree_begin(struct agree *a, const struct ckpt_dump_opts *opts, struct ckpt_err **err)
{
	int rc = 0;

	a->root = opts->pid;
	for (size_t i = 0; rc == 0 && i < opts->n_omit; i++)
		rc = pids_add(&a->omit, &a->n_omit, opts->omit[i]);
	for (size_t i = 0; rc == 0 && i < opts->n_more; i++)
		rc = pids_add(&a->more, &a->n_more, opts->more[i]);
	return rc < 0 ? ckpt_fail_nomem(err) : 0;
}

/*
 * A child by vfork(2) is in its parent's memory, and what lies there is the parent's; it will
 * execute a program. The same goes for others that share it.
 */
static bool borrows_memory(const struct tree *t, const struct tree_process *p)
{
	size_t first, n;

	snapshot_members_of(t->members, p->tgid, &first, &n);
	for (size_t i = first; i < first + n; i++)
		if (t->members->members[i]->in_vfork)
			return true;
	return p->share[PLAN_MM] && p->share[PLAN_MM] != (uint32_t)p->vtgid;
}

int agree_find(struct agree *a, const struct snapshot *s, const struct tree *t, size_t *ret_new,
	       struct ckpt_err **err)
{
	int rc = 0;

	*ret_new = 0;
	for (size_t i = 0; rc == 0 && !a->opts.none && i < t->n; i++) {
		pid_t pid = t->proc[i].tgid;
		enum cr_kind kind = CR_KIND_CR;
		uint64_t block;

		if (t->proc[i].zombie || find_known(a, pid) || borrows_memory(t, &t->proc[i]))
			continue;
		block = find_block(s, pid, &kind);
		if (block && is_busy(pid, block)) {
			rc = ckpt_fail(err, EBUSY, CKPT_E_BUSY,
				       "process %d takes part in another checkpoint or restart",
				       pid);
		} else if (block) {
			rc = add(a, s, pid, block, kind, err);
			++*ret_new;
		} else if (a->opts.required && snapshot_mm(s, pid)) {
			rc = ckpt_fail(err, CR_ENOSUPPORT, CKPT_E_NO_LIBRARY,
				       "process %d has no checkpoint library loaded", pid);
		}
	}
	return rc;
}

const char *agree_kind_words(const struct agree_process *p)
{
	static const char *const words[] = {
		[CR_KIND_CR] = "callbacks of the program",
		[CR_KIND_RUN] = "loaded by cr_run",
		[CR_KIND_OMIT] = "left out, by cr_run --omit",
	};

	return words[p->kind];
}

void agree_done(struct agree *a)
{
	agree_unwatch(a);
	for (size_t i = 0; i < a->n; i++)
		meet_done(&a->proc[i].m);
	free(a->news);
	a->news = NULL;
	a->n_news = a->on_way = 0;
	free(a->proc);
	free(a->omit);
	free(a->more);
	a->proc = NULL;
	a->omit = a->more = NULL;
	a->n = a->n_omit = a->n_more = 0;
}

/* ---- asking ---- */

/* A signal that comes early comes before the callbacks go on. */
static int late_signal(const struct agree *a)
{
	return a->opts.signal > 0 ? a->opts.signal : 0;
}

static int ask_one(struct agree *a, struct agree_process *p, struct ckpt_err **err)
{
	const struct meet_request q = {
		.requester = a->opts.requester ? a->opts.requester : getppid(),
		.target = a->opts.target,
		.scope = a->opts.scope,
		.signal = a->opts.signal,
		.dest = a->dest,
		.held = late_signal(a) != 0,
	};

	if (p->m.id || p->m.gone || p->omitted)
		return 0;
	p->m.watch = a->watch;
	return meet_ask(&p->m, &q, &p->action, err);
}

static int ask_new(struct agree *a, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < a->n; i++)
		rc = ask_one(a, &a->proc[i], err);
	return rc;
}

static int refusal_code(uint32_t vote, int otherwise)
{
	return vote >> 16 ? (int)(vote >> 16) : otherwise;
}

static int vote_of(struct agree *a, struct agree_process *p, struct ckpt_err **err)
{
	const struct cr_control *c = &p->m.now;

	if (c->vote & 4 /* CR_CHECKPOINT_OMIT */)
		return add_omitted(a, p, err);
	if (c->vote & 2 /* CR_CHECKPOINT_PERM_FAILURE */) {
		agree_kill(a);
		return ckpt_fail(err, refusal_code(c->vote, CR_EPERMFAIL), CKPT_E_CALLBACK,
				 "callback %#x of thread %d failed for good: all were killed",
				 c->vote_callback, c->vote_tid);
	}
	return ckpt_fail(err, refusal_code(c->vote, CR_ETEMPFAIL), CKPT_E_CALLBACK,
			 "callback %#x of thread %d refused the checkpoint for now",
			 c->vote_callback, c->vote_tid);
}

/* p is not good any more afterwards. */
static int answer_forward(struct agree *a, size_t i, struct ckpt_err **err)
{
	struct meeting *m = &a->proc[i].m;
	int result;

	if (m->now.forward == m->now.forward_answered)
		return 0;
	result = agree_forward(a, m->pid, m->now.forward_scope, m->now.forward_target);
	meet_answer(&a->proc[i].m, result);
	return result ? 0 : ask_new(a, err);
}

/* 1: it has arrived. */
static int look_at(struct agree *a, size_t i, struct ckpt_err **err)
{
	struct agree_process *p = &a->proc[i];
	const struct cr_control *c = &p->m.now;
	int rc;

	if (p->m.gone || p->omitted)
		return 1;
	if (!p->m.id) {
		rc = ask_one(a, p, err);
		return rc < 0 ? rc : p->m.gone;
	}
	rc = meet_read(&p->m);
	if (rc == 0)
		rc = meet_send(&p->m);
	p->m.gone |= rc == -ESRCH;
	if (p->m.gone)
		return 1;
	if (rc < 0)
		return ckpt_fail_errno(err, rc, CKPT_E_SYS, "look at process %d", p->m.pid);
	if (c->vote)
		return vote_of(a, p, err);
	rc = answer_forward(a, i, err);
	if (rc < 0)
		return rc;
	p = &a->proc[i];
	c = &p->m.now;
	return meet_all_arrived_running(&p->m);
}

/* ---- too late ---- */

static bool is_member(const struct cr_member *member, size_t n, pid_t tid, uint32_t *ret_state,
		      uint32_t *ret_callback)
{
	for (size_t i = 0; i < n; i++) {
		if (member[i].tid != tid)
			continue;
		*ret_state = member[i].state;
		*ret_callback = member[i].callback;
		return true;
	}
	return false;
}

#define MEMBERS_LOOKED_AT 4096

static unsigned int ms_since(const struct agree_news *news)
{
	uint64_t now = now_us();

	return news && now > news->time_us ? (unsigned int)((now - news->time_us) / 1000) : 0;
}

static void in_callback_words(const struct agree *a, pid_t tid, uint32_t callback, char *buf,
			      size_t len)
{
	const struct agree_news *news = find_news(a, tid);
	int n = snprintf(buf, len, "callback %#x of thread %d has not come to cr_checkpoint()",
			 callback, tid);

	if (news && news->what == REC_DELIVERED && n > 0 && (size_t)n < len)
		snprintf(buf + n, len - (size_t)n, " since it was asked %u ms ago", ms_since(news));
}

/* Of one that takes no part: what became of its signal. */
static void no_member_words(const struct agree *a, const struct meeting *m,
			    const struct rec_task *t, char *buf, size_t len)
{
	const struct agree_news *news = find_news(a, t->tid);
	unsigned int ms = ms_since(news);

	if (t->blocked & 1ULL << (CR_SIGNUM - 1))
		snprintf(buf, len,
			 "thread %d blocks signal %d, and has not unblocked it since it was asked "
			 "%llu ms ago",
			 t->tid, CR_SIGNUM,
			 m->blocks_since_us ? (now_us() - m->blocks_since_us) / 1000ULL : 0);
	else if (!news)
		snprintf(buf, len, "thread %d has not got signal %d", t->tid, CR_SIGNUM);
	else if (news->what == REC_IGNORED)
		snprintf(buf, len, "thread %d ignored signal %d %u ms ago", t->tid, CR_SIGNUM, ms);
	else if (news->what == REC_OVERFLOW)
		snprintf(buf, len,
			 "signal %d cannot be queued for thread %d: too many signals are pending "
			 "(RLIMIT_SIGPENDING)",
			 CR_SIGNUM, t->tid);
	else if (news->what == REC_DELIVERED)
		snprintf(buf, len,
			 "thread %d took signal %d %u ms ago, and did not come to its handler",
			 t->tid, CR_SIGNUM, ms);
	else
		snprintf(buf, len,
			 "thread %d has not taken signal %d for %u ms: it is stopped, or busy in "
			 "the kernel",
			 t->tid, CR_SIGNUM, ms);
}

/* What a thread that has not arrived does instead; false: it has. */
static bool why_not_thread(const struct agree *a, const struct meeting *m, const struct rec_task *t,
			   const struct cr_member *member, size_t n, char *buf, size_t len)
{
	uint32_t state = 0, callback = 0;

	if (!is_member(member, n, t->tid, &state, &callback))
		no_member_words(a, m, t, buf, len);
	else if (state == CR_MEMBER_ARRIVED)
		return false;
	else if (callback != ~0u)
		in_callback_words(a, t->tid, callback, buf, len);
	else
		snprintf(buf, len, "thread %d waits for the callbacks of another one", t->tid);
	return true;
}

static void why_not(struct agree *a, struct agree_process *p, char *buf, size_t len)
{
	_cleanup_free_ struct cr_member *member = calloc(MEMBERS_LOOKED_AT, sizeof(*member));
	struct snapshot *s = NULL;
	bool found = false;
	size_t n;

	snprintf(buf, len, "it did not come to cr_checkpoint()");
	if (p->m.hold.n_late) {
		snprintf(
			buf, len,
			"thread %d cannot be stopped to ask it: it waits in the kernel, perhaps for a "
			"child by vfork(2)",
			p->m.hold.late[0]);
		return;
	}
	if (p->m.now.inside) {
		snprintf(buf, len, "thread %d is in a critical section", p->m.now.inside_tid);
		return;
	}
	if (!member || snapshot_take(a->loader, &p->m.pid, 1, SNAPSHOT_TASKS, &s, NULL) < 0)
		return;
	n = meet_members(&p->m, member, MEMBERS_LOOKED_AT);
	for (size_t i = 0; i < s->n_tasks && !found; i++)
		if (!task_is_exiting(s->tasks[i]) && s->tasks[i]->tid != p->m.now.hidden_tid)
			found = why_not_thread(a, &p->m, s->tasks[i], member, n, buf, len);
	/* All others wait for it. */
	for (size_t i = 0; i < n; i++)
		if (member[i].state == CR_MEMBER_IN_CALLBACK)
			in_callback_words(a, member[i].tid, member[i].callback, buf, len);
	snapshot_free(s);
}

static int fail_late(struct agree *a, struct agree_process *p, struct ckpt_err **err)
{
	char why[200];

	why_not(a, p, why, sizeof(why));
	return ckpt_fail(err, ETIMEDOUT, CKPT_E_NO_ANSWER, "process %d: %s (no answer in %u ms)",
			 p->m.pid, why, a->opts.timeout_ms);
}

int agree_ask(struct agree *a, agree_cancelled_fn *cancelled, void *userdata, struct ckpt_err **err)
{
	unsigned int look = 0;
	int rc;

	if (!a->asked && a->opts.timeout_ms)
		a->deadline_us = now_us() + a->opts.timeout_ms * 1000ULL;
	a->asked = true;
	agree_watch(a);
	rc = ask_new(a, err);
	if (rc == 0 && a->opts.asked) {
		a->opts.asked(a->opts.userdata);
		a->opts.asked = NULL;
	}
	while (rc == 0) {
		size_t left = 0, missing = 0; /* the first one, by its number plus one */

		for (size_t i = 0; rc >= 0 && i < a->n; i++) {
			rc = look_at(a, i, err);
			if (rc == 0 && !missing)
				missing = i + 1;
			left += !a->proc[i].m.gone;
		}
		if (rc < 0)
			return rc;
		rc = 0;
		if (!left)
			return ckpt_fail(err, ESRCH, CKPT_E_GONE,
					 "all processes ended, or executed other programs");
		if (!missing)
			return 0;
		if (cancelled(userdata))
			return ckpt_fail(err, EINTR, CKPT_E_INTERRUPTED,
					 "interrupted; nothing was written");
		if (a->deadline_us && now_us() > a->deadline_us)
			return fail_late(a, &a->proc[missing - 1], err);
		wait_for_news(a, &look);
	}
	return rc;
}

/* ---- frozen ---- */

int agree_frozen(struct agree *a, const struct freeze *f, const struct snapshot *s,
		 const struct tree *t, bool last_try, struct ckpt_err **err)
{
	struct ckpt_err *why = NULL;
	size_t n_new, n;
	int rc = agree_find(a, s, t, &n_new, &why);

	/* One that begins just now has not loaded it yet. */
	if (rc < 0 && !last_try && ckpt_err_code(why) == CKPT_E_NO_LIBRARY) {
		ckpt_err_free(why);
		return 1;
	}
	if (rc < 0) {
		if (err)
			*err = why;
		else
			ckpt_err_free(why);
		return rc;
	}
	for (size_t i = 0; i < a->n; i++) {
		struct agree_process *p = &a->proc[i];

		if (p->omitted || p->m.gone || !tree_process(t, p->m.pid))
			continue;
		freeze_threads(f, p->m.pid, &n);
		if (!p->m.id)
			return 1;
		if (meet_read(&p->m) == 0 && !meet_all_arrived(&p->m, n))
			return 1;
	}
	return 0;
}

int agree_decide_frozen(struct agree *a, const struct freeze *f, int result, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < a->n; i++) {
		struct agree_process *p = &a->proc[i];
		const struct frozen *thread;
		size_t n;

		thread = freeze_threads(f, p->m.pid, &n);
		if (!n || p->decided || p->omitted || !p->m.id)
			continue;
		rc = meet_decide(&p->m, result, thread[0].tid);
		if (rc < 0)
			return ckpt_fail_errno(err, rc, CKPT_E_SYS,
					       "tell process %d that it goes on", p->m.pid);
		p->decided = true;
		if (result == 0 && a->opts.signal < 0)
			kill(p->m.pid, -a->opts.signal);
	}
	return rc;
}

static void wait_until_over(struct agree_process *p)
{
	unsigned int look = 0;

	while (meet_read(&p->m) == 0 && !meet_is_over(&p->m) && look < LOOKS_AFTER)
		pause_between_looks(&look);
}

static void tell_running(struct agree *a, int result)
{
	for (size_t i = 0; i < a->n; i++) {
		struct agree_process *p = &a->proc[i];

		if (p->decided || p->m.gone || !p->m.id)
			continue;
		meet_decide_running(&p->m, p->omitted ? -CR_EOMITTED : result);
		p->decided = true;
		if (late_signal(a) || p->m.stopped) {
			meet_release(&p->m);
			if (p->m.stopped)
				kill(p->m.pid, SIGSTOP);
		}
	}
}

void agree_cancel(struct agree *a, int result)
{
	tell_running(a, result);
	for (size_t i = 0; result == -ETIMEDOUT && i < a->n; i++)
		if (a->proc[i].m.id && !a->proc[i].m.gone)
			meet_send_members(&a->proc[i].m);
	/* Who asked may ask again at once. But a callback may never return. */
	for (size_t i = 0; result != -ETIMEDOUT && i < a->n; i++)
		if (a->proc[i].m.id && !a->proc[i].m.gone && !a->proc[i].m.stopped)
			wait_until_over(&a->proc[i]);
}

void agree_kill(const struct agree *a)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->proc[i].m.id && !a->proc[i].m.gone)
			kill(a->proc[i].m.pid, SIGKILL);
}

/* ---- after ---- */

static void finish(struct agree *a, struct agree_process *p)
{
	int sig = p->omitted ? 0 : late_signal(a);

	if (p->m.stopped && sig != SIGCONT)
		sig = SIGSTOP;
	if (!late_signal(a) && !p->m.stopped)
		return;
	if (sig)
		kill(p->m.pid, sig);
	meet_release(&p->m);
}

static int wait_until_left(struct agree *a, struct agree_process *p, agree_cancelled_fn *cancelled,
			   void *userdata, struct ckpt_err **err)
{
	unsigned int look = 0;

	while (meet_read(&p->m) == 0) {
		if (p->m.now.failed == p->m.id) {
			agree_kill(a);
			return ckpt_fail(
				err, CR_EPERMFAIL, CKPT_E_CALLBACK,
				"callback %#x of thread %d failed after the checkpoint: all were killed",
				p->m.now.failed_callback, p->m.now.failed_tid);
		}
		if (meet_all_left(&p->m))
			return 0;
		if (cancelled(userdata))
			return ckpt_fail(err, EINTR, CKPT_E_INTERRUPTED,
					 "interrupted while callbacks run");
		pause_between_looks(&look);
	}
	return 0;
}

int agree_wait_left(struct agree *a, agree_cancelled_fn *cancelled, void *userdata,
		    struct ckpt_err **err)
{
	int rc = 0;

	tell_running(a, -EIO);
	for (size_t i = 0; rc == 0 && i < a->n; i++)
		if (a->proc[i].m.id && !a->proc[i].m.gone)
			rc = wait_until_left(a, &a->proc[i], cancelled, userdata, err);
	return rc;
}

void agree_finish(struct agree *a)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->proc[i].m.id && !a->proc[i].m.gone)
			finish(a, &a->proc[i]);
	for (size_t i = 0; i < a->n; i++)
		if (a->proc[i].m.id && !a->proc[i].m.gone && !a->proc[i].m.stopped &&
		    late_signal(a) != SIGSTOP)
			wait_until_over(&a->proc[i]);
}

/* ---- the image ---- */

json_t *agree_save(const struct agree *a)
{
	json_t *rows = json_array();

	for (size_t i = 0; rows && i < a->n; i++) {
		const struct agree_process *p = &a->proc[i];
		json_t *row;

		if (p->omitted || p->m.gone || !p->m.id)
			continue;
		row = json_pack("{s:i, s:I, s:I, s:b}", "pid", (int)p->m.pid, "block",
				(json_int_t)p->m.block, "request", (json_int_t)p->m.id, "stopped",
				(int)(p->m.stopped && a->opts.signal != SIGCONT));
		if (!row || json_array_append_new(rows, row)) {
			json_decref(rows);
			return NULL;
		}
	}
	return rows;
}
