// SPDX-License-Identifier: LGPL-2.1-or-later
/* Judging a running process before anything is done to it. See look.h. */
#include "look.h"
#include "aio.h"
#include "areas.h"
#include "attrs.h"
#include "kinds/kinds.h"
#include "pids.h"
#include "safe.h"
#include "seccomp.h"
#include "sysvipc.h"
#include "tables.h"
#include "tasks.h"
#include "util.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PF_KTHREAD 0x00200000u
#define PF_EXITING 0x00000004u

bool task_is_exiting(const struct rec_task *t)
{
	return t->pf_flags & PF_EXITING || t->exit_state;
}

bool task_is_kthread(const struct rec_task *t)
{
	return t->pf_flags & PF_KTHREAD;
}

const struct rec_task *task_living_thread(const struct snapshot *s, pid_t tgid)
{
	size_t first, n;

	snapshot_tasks_of(s, tgid, &first, &n);
	for (size_t i = first; i < first + n; i++)
		if (!task_is_exiting(s->tasks[i]))
			return s->tasks[i];
	return NULL;
}

int look_snapshot(struct loader *l, pid_t pid, bool only, struct tree *t, struct snapshot **ret,
		  struct ckpt_err **err)
{
	_cleanup_free_ pid_t *pids = NULL;
	struct loader_why why = { 0 };
	struct snapshot *s;
	size_t n;
	int rc;

	if (pid <= 0 || (kill(pid, 0) < 0 && errno == ESRCH))
		return ckpt_fail(err, ESRCH, CKPT_E_NO_PROCESS, "there is no process %d", pid);
	rc = tree_find(t, l, pid, only, err);
	if (rc < 0)
		return rc;
	rc = tree_find_shares(t, err);
	if (rc < 0)
		return rc;
	pids = tree_pids(t, true, &n);
	if (!pids)
		return ckpt_fail_nomem(err);
	/* A kernel thread is in no tree: its own snapshot says what it is. */
	if (n == 0)
		pids[n++] = pid;
	rc = snapshot_take(l, pids, n, SNAPSHOT_ALL, &s, &why);
	if (rc < 0)
		return ckpt_fail_loader(err, rc, &why);
	*ret = s;
	return 0;
}

/* The pid's ancestors include the caller's terminal shell: freezing one would freeze who waits for
 * us. */
static bool is_ancestor(struct loader *l, pid_t pid)
{
	pid_t p = getpid();

	for (int depth = 0; p > 0 && depth < 4096; depth++) {
		struct snapshot *s = NULL;
		const struct rec_task *t;

		if (p == pid)
			return true;
		if (snapshot_take(l, &p, 1, SNAPSHOT_TASKS, &s, NULL) < 0)
			return false;
		t = snapshot_task(s, p);
		p = t ? t->ppid : 0;
		snapshot_free(s);
	}
	return false;
}

static int fail_traced(struct loader *l, const struct rec_task *t, struct ckpt_err **err)
{
	struct snapshot *s = NULL;
	pid_t tracer = t->tracer_tgid;
	const struct rec_task *who;
	char comm[64] = "?", its[64];

	safe_text(its, sizeof(its), t->comm);
	if (snapshot_take(l, &tracer, 1, SNAPSHOT_TASKS, &s, NULL) == 0) {
		who = snapshot_task(s, tracer);
		if (who)
			safe_text(comm, sizeof(comm), who->comm);
		snapshot_free(s);
	}
	ckpt_fail(err, EBUSY, CKPT_E_TRACED, "thread %d (%s) is traced by process %d (%s)", t->tid,
		  its, tracer, comm);
	ckpt_hint(err, "detach or end process %d first", tracer);
	return -EBUSY;
}

/* One process of the tree, which is no zombie. */
static int look_process(struct loader *l, const struct snapshot *s, pid_t pid,
			struct ckpt_err **err)
{
	size_t first, n;

	snapshot_tasks_of(s, pid, &first, &n);
	for (size_t i = first; i < first + n; i++) {
		if (s->tasks[i]->tracer_tgid)
			return fail_traced(l, s->tasks[i], err);
		if (s->tasks[i]->head.flags & REC_F_COMPAT32)
			return ckpt_fail(err, ENOEXEC, CKPT_E_COMPAT32,
					 "process %d is a 32-bit program", pid);
	}
	return 0;
}

int look_tracers(const struct tree *t, struct ckpt_err **err)
{
	const struct snapshot *all = t->members;
	char theirs[64], its[64];

	for (size_t i = 0; i < all->n_members; i++) {
		const struct rec_member *m = all->members[i], *who;
		const struct tree_process *p =
			m->tracer_tgid ? tree_process(t, m->tracer_tgid) : NULL;
		size_t first, n;

		if (!p || p->zombie)
			continue;
		snapshot_members_of(all, p->tgid, &first, &n);
		who = n ? all->members[first] : m;
		safe_text(theirs, sizeof(theirs), who->comm);
		safe_text(its, sizeof(its), m->comm);
		ckpt_fail(err, EBUSY, CKPT_E_TRACER,
			  "process %d (%s) traces thread %d (%s): that cannot be restored", p->tgid,
			  theirs, m->tid, its);
		ckpt_hint(err, "let it detach, or end process %d first", p->tgid);
		return -EBUSY;
	}
	return 0;
}

static int look_root(struct loader *l, const struct snapshot *s, pid_t pid, bool leaves_out,
		     struct ckpt_err **err)
{
	const struct rec_task *t = snapshot_task(s, pid);
	size_t first, n;

	if (!t)
		return ckpt_fail(err, ESRCH, CKPT_E_NO_PROCESS,
				 "%d is not a process (a thread's id, or it ended just now)", pid);
	if (task_is_kthread(t))
		return ckpt_fail(err, EINVAL, CKPT_E_KTHREAD, "%d (%s) is a kernel thread", pid,
				 t->comm);
	/* One that is left out waits for nobody. */
	if (pid == getpid() || (!leaves_out && is_ancestor(l, pid)))
		return ckpt_fail(
			err, EINVAL, CKPT_E_SELF,
			"%d is this program itself or one of its ancestors, who wait for it", pid);
	snapshot_tasks_of(s, pid, &first, &n);
	if (t->exit_state && n == 1) {
		ckpt_fail(
			err, ESRCH, CKPT_E_ZOMBIE,
			"process %d has ended; its parent, process %d, has not collected its status",
			pid, t->ppid);
		return -ESRCH;
	}
	if (!snapshot_mm(s, pid))
		return ckpt_fail(err, ESRCH, CKPT_E_ZOMBIE, "process %d is ending", pid);
	return 0;
}

static int look_other_root(struct loader *l, const struct snapshot *s, const struct tree *t,
			   pid_t pid, struct ckpt_err **err)
{
	const struct rec_task *task = snapshot_task(s, pid);

	if (task && tree_process(t, task->ppid))
		return ckpt_fail(err, EINVAL, CKPT_E_USAGE,
				 "process %d is below another one that is to be saved with it",
				 pid);
	return look_root(l, s, pid, t->n_omit > 0, err);
}

int look_tree(struct loader *l, const struct snapshot *s, const struct tree *t, pid_t root,
	      struct ckpt_err **err)
{
	int rc = look_root(l, s, root, t->n_omit > 0, err);

	for (size_t i = 0; rc == 0 && i < t->n_more; i++)
		rc = look_other_root(l, s, t, t->more[i], err);
	for (size_t i = 0; rc == 0 && i < t->n; i++)
		if (!t->proc[i].zombie)
			rc = look_process(l, s, t->proc[i].tgid, err);
	return rc < 0 ? rc : look_tracers(t, err);
}

/* ---- task attributes ---- */

struct judge {
	struct ckpt_findings *f;
	const struct rec_task *self; /* of the caller: namespaces are compared with it */
	const struct tree *tree;
	const struct objects *os;
	pid_t pid; /* the process that is judged */
};

static int no(struct judge *j, const char *subject, const char *what, const char *why,
	      const char *remedy, struct ckpt_err **err)
{
	return findings_add(j->f, CKPT_NO, j->pid, subject, what, why, remedy, err);
}

static int judge_namespaces(struct judge *j, const struct rec_task *t, struct ckpt_err **err)
{
	const struct rec_task *me = j->self;

	const struct {
		const char *name;
		uint32_t theirs, ours;
	} ns[] = {
		{ "pid namespace", t->pid_ns_inum, me->pid_ns_inum },
		{ "mount namespace", t->mnt_ns_inum, me->mnt_ns_inum },
		{ "network namespace", t->net_ns_inum, me->net_ns_inum },
		{ "IPC namespace", t->ipc_ns_inum, me->ipc_ns_inum },
		{ "UTS namespace", t->uts_ns_inum, me->uts_ns_inum },
		{ "time namespace", t->time_ns_inum, me->time_ns_inum },
		{ "user namespace", t->cred.user_ns_inum, me->cred.user_ns_inum },
		{ "cgroup namespace", t->cgroup_ns_inum, me->cgroup_ns_inum },
	};

	char subject[32];
	int rc = 0;

	snprintf(subject, sizeof(subject), "thread %d", t->tid);
	for (size_t i = 0; rc == 0 && i < sizeof(ns) / sizeof(ns[0]); i++)
		if (ns[i].theirs != ns[i].ours)
			rc = no(j, subject, ns[i].name,
				"it is in a namespace of its own, which is not supported yet",
				"run ebpf-ckpt within that namespace", err);
	return rc;
}

static int judge_thread(struct judge *j, const struct snapshot *s, const struct rec_task *t,
			struct ckpt_err **err)
{
	const struct {
		bool bad;
		const char *what, *why;
	} row[] = {
		{ t->io_bitmap || t->iopl, "I/O ports", "it may access I/O ports (ioperm, iopl)" },
		{ t->io_uring_id != 0, "io_uring", "io_uring rings are not supported yet" },
	};

	const char *why, *remedy;
	char subject[32];
	int rc = 0;

	snprintf(subject, sizeof(subject), "thread %d", t->tid);
	for (size_t i = 0; rc == 0 && i < sizeof(row) / sizeof(row[0]); i++)
		if (row[i].bad)
			rc = no(j, subject, row[i].what, row[i].why, "", err);
	why = seccomp_refused(s, t, j->self, &remedy);
	if (rc == 0 && why)
		rc = no(j, subject, "seccomp", why, remedy, err);
	why = tables_refused(s, t);
	if (rc == 0 && why)
		rc = no(j, subject, "sharing", why, "", err);
	why = attrs_refused(t, &remedy);
	if (rc == 0 && why)
		rc = no(j, subject, "attributes", why, remedy, err);
	return rc == 0 ? judge_namespaces(j, t, err) : rc;
}

static int judge_sharing(struct judge *j, struct ckpt_err **err)
{
	static const char *const what[PLAN_SHARED_NR] = { [PLAN_MM] = "memory",
							  [PLAN_FILES] = "descriptor table",
							  [PLAN_FS] = "working directory",
							  [PLAN_SIGHAND] = "signal handlers" };
	const struct tree_process *p = tree_process(j->tree, j->pid);
	char subject[32], why[200], who[128];
	int rc = 0;

	snprintf(subject, sizeof(subject), "process %d", j->pid);
	for (int i = 0; rc == 0 && i < PLAN_SHARED_NR; i++) {
		if (!p->outside[i])
			continue;
		kind_process_words(p->outside[i], who, sizeof(who));
		snprintf(why, sizeof(why), "shared with %s, which is not in the tree", who);
		rc = no(j, subject, what[i], why, "checkpoint the tree that has both", err);
	}
	return rc;
}

static int judge_process(struct judge *j, const struct snapshot *s, struct ckpt_err **err)
{
	const struct rec_process *p = snapshot_process(s, j->pid);
	struct ckpt_err *why = NULL;
	char subject[32];
	int rc = 0;

	snprintf(subject, sizeof(subject), "process %d", j->pid);
	if (p && p->is_session_leader && p->tty_major &&
	    !tty_object(s, j->os, p->tty_major, p->tty_minor))
		rc = no(j, subject, "session leader of a terminal",
			"it owns a terminal's session, as a login shell does", "", err);
	if (rc == 0 && snapshot_task(s, j->pid) && snapshot_task(s, j->pid)->vtgid == 1)
		rc = no(j, subject, "init of a pid namespace",
			"the processes of the namespace end with it", "", err);
	if (rc == 0 && aio_check(s, j->pid, &why) < 0)
		rc = no(j, subject, "asynchronous I/O", ckpt_err_text(why), ckpt_err_hint(why),
			err);
	ckpt_err_free(why);
	why = NULL;
	if (rc == 0 && sysvipc_check(s, j->pid, &why) < 0)
		rc = no(j, subject, "System V semaphores", ckpt_err_text(why), ckpt_err_hint(why),
			err);
	ckpt_err_free(why);
	return rc;
}

static int judge_areas(struct judge *j, const struct snapshot *s, struct ckpt_err **err)
{
	size_t first, n;
	int rc = 0;

	snapshot_vmas_of(s, j->pid, &first, &n);
	for (size_t i = first; rc == 0 && i < first + n; i++) {
		const struct rec_vma *v = s->vmas[i].rec;
		struct ckpt_err *why = NULL;
		char subject[64], what[200];

		if (area_check(v, &why) == 0)
			continue;
		snprintf(subject, sizeof(subject), "memory %#llx-%#llx",
			 (unsigned long long)v->start, (unsigned long long)v->end);
		area_describe(v, s->vmas[i].path, what, sizeof(what));
		rc = no(j, subject, what, ckpt_err_text(why), ckpt_err_hint(why), err);
		ckpt_err_free(why);
	}
	return rc;
}

/* A thread on its way out has nothing more; but a leader's end is the process's in the end. */
static int judge_ended(struct judge *j, const struct rec_task *t, struct ckpt_err **err)
{
	char subject[32];

	snprintf(subject, sizeof(subject), "thread %d", t->tid);
	if (t->tid != t->tgid || !(t->exit_code & 0x7f))
		return 0;
	return no(j, subject, "leader thread",
		  "it was killed alone, as seccomp(2) does: that cannot be repeated", "", err);
}

/* A live process: its threads, itself, its memory. */
static int judge_one(struct judge *j, const struct snapshot *s, struct ckpt_err **err)
{
	size_t first, n;
	int rc = 0;

	snapshot_tasks_of(s, j->pid, &first, &n);
	for (size_t i = first; rc == 0 && i < first + n; i++)
		rc = task_is_exiting(s->tasks[i]) ? judge_ended(j, s->tasks[i], err)
						  : judge_thread(j, s, s->tasks[i], err);
	if (rc == 0)
		rc = judge_sharing(j, err);
	if (rc == 0)
		rc = judge_process(j, s, err);
	if (rc == 0)
		rc = judge_areas(j, s, err);
	return rc;
}

int look_births(const struct snapshot *s, const struct tree *t, struct plan *ret,
		struct ckpt_findings *f, struct ckpt_err **err)
{
	struct ckpt_err *why = NULL;
	int rc = tasks_plan(s, t, ret, &why);

	if (rc == 0)
		return 0;
	if (rc == -ENOMEM)
		rc = ckpt_fail_nomem(err);
	else
		rc = findings_add(f, CKPT_NO, 0, "process tree", "parents and sessions",
				  ckpt_err_text(why), ckpt_err_hint(why), err);
	ckpt_err_free(why);
	return rc;
}

int look_resources(struct loader *l, const struct tree *t, const struct kind_dump *d,
		   const struct objects *os, struct ckpt_findings *f, struct ckpt_err **err)
{
	struct snapshot *self = NULL;
	pid_t me = getpid();
	struct judge j = { .f = f, .tree = t, .os = os };
	struct loader_why why = { 0 };
	int rc = snapshot_take(l, &me, 1, SNAPSHOT_TASKS, &self, &why);

	if (rc < 0)
		return ckpt_fail_loader(err, rc, &why);
	j.self = snapshot_task(self, me);
	if (!j.self)
		rc = ckpt_fail(err, ESRCH, CKPT_E_BPF, "the iterators do not see this process (%d)",
			       me);
	for (size_t i = 0; rc == 0 && i < t->n; i++) {
		j.pid = t->proc[i].tgid;
		if (!t->proc[i].zombie)
			rc = judge_one(&j, d->snap, err);
	}
	if (rc == 0)
		rc = objects_check(os, d, f, err);
	snapshot_free(self);
	return rc;
}

/* Whose it is, when there are several and the subject does not tell. */
static void whose(const struct ckpt_findings *f, const struct ckpt_finding *row, pid_t root,
		  char *buf, size_t len)
{
	bool several = false;
	size_t n;

	for (size_t i = 0; i < f->n; i++)
		several |= f->row[i].pid && f->row[i].pid != root;
	buf[0] = 0;
	if (!several || !row->pid || !strncmp(row->subject, "process ", 8))
		return;
	kind_process_words(row->pid, buf, len);
	n = strlen(buf);
	snprintf(buf + n, len - n, ": ");
}

int look_verdict(const struct ckpt_findings *f, pid_t pid, struct ckpt_err **err)
{
	const struct ckpt_finding *bad = NULL;
	char who[128], more[64] = "";

	for (size_t i = 0; i < f->n && !bad; i++)
		if (f->row[i].verdict == CKPT_NO)
			bad = &f->row[i];
	if (!bad)
		return 0;
	whose(f, bad, pid, who, sizeof(who));
	if (f->n_no > 1)
		snprintf(more, sizeof(more), " (and %zu more: see ebpf-ckpt check %d)", f->n_no - 1,
			 pid);
	ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED, "%s%s: %s: %s%s", who, bad->subject,
		  bad->what, bad->why, more);
	if (bad->remedy[0])
		ckpt_hint(err, "%s", bad->remedy);
	return -EOPNOTSUPP;
}

/* ---- the first look, at what runs ---- */

#define LOOKS_MAX 16
/* A program that waits for a CPU holds what it holds for a moment only all the longer. */
#define LOOK_AGAIN_NS 40000000L

void look_done(struct look *k)
{
	ckpt_findings_free(k->f);
	snapshot_free(k->snap);
	tree_done(&k->tree);
	*k = (struct look){ 0 };
}

static int judge_look(struct look *k, struct loader *l, pid_t root, const struct kind_dump *like,
		      struct ckpt_err **err)
{
	_cleanup_free_ pid_t *pids = NULL;
	struct objects os = { 0 };
	struct plan plan = { 0 };
	struct kind_dump d = {
		.loader = l,
		.snap = k->snap,
		.deleted_limit_bytes = like->deleted_limit_bytes,
		.save_mapped = like->save_mapped,
		.ext_unix = like->ext_unix,
		.root = root,
	};
	size_t n;
	int rc = look_tree(l, k->snap, &k->tree, root, err);

	pids = tree_pids(&k->tree, false, &n);
	if (rc == 0)
		rc = pids ? kind_pids_open(&d, pids, n, err) : ckpt_fail_nomem(err);
	if (rc == 0)
		rc = objects_collect(&os, k->snap, &k->tree, err);
	if (rc == 0)
		rc = look_resources(l, &k->tree, &d, &os, k->f, err);
	if (rc == 0)
		rc = look_births(k->snap, &k->tree, &plan, k->f, err);
	plan_done(&plan);
	objects_done(&os);
	kind_pids_close(&d);
	return rc;
}

static int look_once(struct look *k, struct loader *l, pid_t pid, bool only,
		     const struct kind_dump *like, struct ckpt_err **err)
{
	int rc;

	*k = (struct look){ .f = calloc(1, sizeof(*k->f)) };
	if (!k->f)
		return ckpt_fail_nomem(err);
	k->tree.omit = like->omit;
	k->tree.n_omit = like->n_omit;
	k->tree.more = like->more;
	k->tree.n_more = like->n_more;
	rc = look_snapshot(l, pid, only, &k->tree, &k->snap, err);
	return rc < 0 ? rc : judge_look(k, l, pid, like, err);
}

static bool is_same_refusal(const struct ckpt_finding *x, const struct ckpt_finding *y)
{
	return x->verdict == CKPT_NO && y->verdict == CKPT_NO && x->pid == y->pid &&
	       !strcmp(x->subject, y->subject) && !strcmp(x->why, y->why);
}

/* The row of `f` that is the same, or f->n; mostly it is near `*from`, which goes on with it. */
static size_t find_refusal(const struct ckpt_findings *f, const struct ckpt_finding *row,
			   size_t *from)
{
	for (size_t i = 0; i < f->n; i++) {
		size_t k = (*from + i) % f->n;

		if (is_same_refusal(&f->row[k], row)) {
			*from = k + 1;
			return k;
		}
	}
	return f->n;
}

bool look_keep_repeated(struct ckpt_findings *f, const struct ckpt_findings *before)
{
	_cleanup_free_ bool *drop = calloc(f->n ? f->n : 1, sizeof(*drop));
	size_t from = 0, n_no = 0;

	for (size_t i = 0; drop && i < f->n; i++) {
		drop[i] = f->row[i].verdict == CKPT_NO &&
			  find_refusal(before, &f->row[i], &from) == before->n;
		n_no += f->row[i].verdict == CKPT_NO && !drop[i];
	}
	if (!n_no)
		return false;
	findings_drop(f, drop);
	return true;
}

/*
 * A process of the tree ended on the way; of the root we are told otherwise. In an exec(2) by a
 * thread other than the first, that one ends, and the process is one without memory, or without its
 * first thread, for a moment.
 */
static bool is_passing(const struct ckpt_err *e, pid_t root)
{
	if (ckpt_err_code(e) == CKPT_E_GONE)
		return kill(root, 0) == 0;
	return (ckpt_err_code(e) == CKPT_E_ZOMBIE || ckpt_err_code(e) == CKPT_E_NO_PROCESS) &&
	       pids_lives(root, root);
}

int look_running(struct look *k, struct loader *l, pid_t pid, bool only,
		 const struct kind_dump *like, struct ckpt_err **err)
{
	const struct timespec pause = { 0, LOOK_AGAIN_NS };
	struct look before = { 0 };
	int rc = 0;

	for (int i = 0; i < LOOKS_MAX; i++) {
		struct ckpt_err *why = NULL;

		rc = look_once(k, l, pid, only, like, &why);
		k->settled = rc == 0 &&
			     (!k->f->n_no || (before.f && look_keep_repeated(k->f, before.f)));
		if (k->settled)
			break;
		if (rc < 0 && (i + 1 == LOOKS_MAX || !is_passing(why, pid))) {
			if (err)
				*err = why;
			else
				ckpt_err_free(why);
			break;
		}
		ckpt_err_free(why);
		look_done(&before);
		if (rc == 0 && i + 1 < LOOKS_MAX) {
			before = *k;
			*k = (struct look){ 0 };
			nanosleep(&pause, NULL);
		} else if (rc < 0) {
			look_done(k);
		}
	}
	look_done(&before);
	return rc;
}
