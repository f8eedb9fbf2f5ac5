// SPDX-License-Identifier: LGPL-2.1-or-later
/* Writing a process into the manifest. See tasks.h; reading it back is restore_task.c. */
#include "tasks.h"
#include "areas.h"
#include "attrs.h"
#include "kinds/kinds.h"
#include "locks.h"
#include "look.h"
#include "mqnotify.h"
#include "sysvipc.h"
#include "tables.h"
#include "util.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

/* The setters of image.h give 0 or -ENOMEM: they are or-ed together, and looked at once. */

static json_t *hex(uint64_t v)
{
	char buf[32];

	snprintf(buf, sizeof(buf), "%#llx", (unsigned long long)v);
	return json_string(buf);
}

static json_t *hex_array(const uint64_t *v, size_t n)
{
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++)
		if (json_array_append_new(a, hex(v[i]))) {
			json_decref(a);
			return NULL;
		}
	return a;
}

/* ---- signals ---- */

static json_t *siginfo_json(const siginfo_t *told)
{
	static const char digits[] = "0123456789abcdef";
	/* Nobody can ever see more of a SIGSTOP than that it came. */
	const siginfo_t stop = { .si_signo = SIGSTOP },
			*si = told->si_signo == SIGSTOP ? &stop : told;
	const unsigned char *p = (const unsigned char *)si;
	char buf[2 * sizeof(*si) + 1];
	size_t n = sizeof(*si);

	while (n > 16 && p[n - 1] == 0)
		n--; /* most of the 128 bytes are unused */
	for (size_t i = 0; i < n; i++) {
		buf[2 * i] = digits[p[i] >> 4];
		buf[2 * i + 1] = digits[p[i] & 15];
	}
	buf[2 * n] = 0;
	return json_string(buf);
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int siginfo_parse(const json_t *v, siginfo_t *ret, struct ckpt_err **err)
{
	const char *s = json_string_value(v);
	size_t len = s ? json_string_length(v) : 0;
	unsigned char *p = (unsigned char *)ret;

	if (!s || len % 2 || len > 2 * sizeof(*ret) || len < 32)
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE,
				 "a pending signal is not %zu bytes of hex", sizeof(*ret));
	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < len; i++) {
		int d = nibble(s[i]);

		if (d < 0)
			return ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "a pending signal is not hex");
		p[i / 2] = (unsigned char)(p[i / 2] << 4 | d);
	}
	if (ret->si_signo < 1 || ret->si_signo > 64)
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "pending signal %d does not exist",
				 ret->si_signo);
	return 0;
}

static int pending_save(const siginfo_t *si, size_t n, json_t *o)
{
	json_t *a = json_array();
	int rc = 0;

	if (n == 0) {
		json_decref(a);
		return 0;
	}
	rc = json_object_set_new(o, "pending", a);
	for (size_t i = 0; i < n; i++)
		rc |= json_array_append_new(a, siginfo_json(&si[i]));
	return rc;
}

static int sighand_save(const struct rec_sighand *h, json_t *o)
{
	json_t *a = json_array();
	int rc = json_object_set_new(o, "sigactions", a);

	for (int i = 0; h && i < REC_NSIG; i++) {
		const struct rec_sigaction *sa = &h->action[i];
		json_t *row;

		if (!sa->handler && !sa->flags && !sa->restorer && !sa->mask)
			continue;
		row = json_object();
		rc |= js_set_int(row, "sig", i + 1);
		rc |= js_set_hex(row, "handler", sa->handler);
		rc |= js_set_hex(row, "flags", sa->flags);
		rc |= js_set_hex(row, "restorer", sa->restorer);
		rc |= js_set_hex(row, "mask", sa->mask);
		rc |= json_array_append_new(a, row);
	}
	return rc;
}

/* ---- timers ---- */

/* Did it expire, for the last time, between the snapshot and the look at the signals? */
static bool expired_since(const struct rec_itimer *it, int sig, const struct rec_process *p,
			  const struct taken *taken)
{
	if (it->interval_ns || p->shared_pending >> (sig - 1) & 1)
		return false;
	for (size_t i = 0; i < taken->n_shared; i++)
		if (taken->shared[i].si_signo == sig && taken->shared[i].si_code == SI_KERNEL)
			return true;
	return false;
}

static int itimer_save(json_t *o, const char *name, const struct rec_itimer *it, int sig,
		       const struct rec_process *p, const struct taken *taken)
{
	json_t *row, *info;
	int rc;

	if ((!it->value_ns && !it->interval_ns) || expired_since(it, sig, p, taken))
		return 0;
	row = json_object();
	info = json_object();
	rc = json_object_set_new(o, name, row);
	rc |= js_set_hex(row, "interval_ns", it->interval_ns);
	/* One that has expired rests until its signal is taken, and keeps its interval: it is set
	 * going again by that. */
	rc |= js_set_bool(row, "armed", it->value_ns || it->interval_ns);
	rc |= json_object_set_new(row, "info", info);
	rc |= js_set_hex(info, "value_ns", it->value_ns); /* runs on: not compared */
	return rc;
}

static pid_t tid_in_ns(const struct snapshot *s, pid_t tid)
{
	const struct rec_task *t = snapshot_task(s, tid);

	return t ? t->vtid : 0;
}

static bool has_signal_of(const siginfo_t *si, size_t n, const struct rec_timer *t)
{
	for (size_t i = 0; i < n; i++)
		if (si[i].si_code == SI_TIMER && si[i].si_signo == t->signo &&
		    si[i].si_timerid == t->id)
			return true;
	return false;
}

/* Is its signal pending? It may have expired between the snapshot and the look at the signals. */
static bool is_queued(const struct rec_timer *t, const struct taken *taken)
{
	if (t->sigqueued || has_signal_of(taken->shared, taken->n_shared, t))
		return true;
	for (size_t i = 0; i < taken->n; i++)
		if (has_signal_of(taken->thread[i].pending, taken->thread[i].n_pending, t))
			return true;
	return false;
}

static int timers_save(const struct snapshot *s, pid_t tgid, const struct taken *taken, json_t *o)
{
	json_t *a = json_array();
	size_t first, n;
	int rc = json_object_set_new(o, "timers", a);

	snapshot_timers_of(s, tgid, &first, &n);
	for (size_t i = first; i < first + n; i++) {
		const struct rec_timer *t = s->timers[i];
		json_t *row = json_object(), *info = json_object();
		bool queued = is_queued(t, taken);

		rc |= js_set_int(row, "id", t->id);
		rc |= js_set_int(row, "clock", t->clockid);
		rc |= js_set_int(row, "notify", t->notify);
		rc |= js_set_int(row, "signo", t->signo);
		rc |= js_set_int(row, "notify_tid",
				 t->notify_tid ? tid_in_ns(s, t->notify_tid) : 0);
		rc |= js_set_hex(row, "sigval", t->sigval);
		rc |= js_set_hex(row, "interval_ns", t->interval_ns);
		rc |= json_object_set_new(row, "info", info);
		rc |= js_set_hex(info, "value_ns", t->value_ns);
		rc |= js_set_bool(info, "armed", t->value_ns != 0 || queued);
		rc |= js_set_bool(info, "queued", queued);
		rc |= js_set_hex(info, "late_ns", t->late_ns);
		rc |= js_set_int(info, "overrun_last", t->overrun_last);
		rc |= json_array_append_new(a, row);
	}
	return rc;
}

/* ---- threads ---- */

static int cred_save(const struct snapshot *s, const struct rec_task *t, json_t *o)
{
	const struct rec_cred *c = &t->cred;
	const struct rec_groups *g = snapshot_groups(s, t->tid);
	json_t *cr = json_object(), *groups = json_array();
	int rc = json_object_set_new(o, "cred", cr);

	rc |= json_object_set_new(cr, "uid",
				  json_pack("[IIII]", (json_int_t)c->uid, (json_int_t)c->euid,
					    (json_int_t)c->suid, (json_int_t)c->fsuid));
	rc |= json_object_set_new(cr, "gid",
				  json_pack("[IIII]", (json_int_t)c->gid, (json_int_t)c->egid,
					    (json_int_t)c->sgid, (json_int_t)c->fsgid));
	rc |= json_object_set_new(cr, "groups", groups);
	for (uint32_t i = 0; g && i < g->n; i++)
		rc |= json_array_append_new(groups, json_integer(g->gid[i]));
	rc |= js_set_hex(cr, "inheritable", c->cap_inheritable);
	rc |= js_set_hex(cr, "permitted", c->cap_permitted);
	rc |= js_set_hex(cr, "effective", c->cap_effective);
	rc |= js_set_hex(cr, "bounding", c->cap_bset);
	rc |= js_set_hex(cr, "ambient", c->cap_ambient);
	rc |= js_set_int(cr, "securebits", c->securebits);
	return rc;
}

static int sched_save(const struct rec_task *t, json_t *o)
{
	json_t *sc = json_object();
	size_t n = REC_CPUS_U64;
	int rc = json_object_set_new(o, "sched", sc);

	while (n > 1 && t->cpus_mask[n - 1] == 0)
		n--;
	rc |= js_set_int(sc, "policy", t->policy);
	rc |= js_set_int(sc, "nice", t->nice);
	rc |= js_set_int(sc, "rt_priority", t->rt_priority);
	rc |= js_set_bool(sc, "reset_on_fork", t->reset_on_fork != 0);
	rc |= js_set_int(sc, "ioprio", t->ioprio);
	rc |= json_object_set_new(sc, "affinity", hex_array((const uint64_t *)t->cpus_mask, n));
	if (t->policy == 6 /* SCHED_DEADLINE */) {
		rc |= js_set_hex(sc, "dl_runtime_ns", t->dl_runtime);
		rc |= js_set_hex(sc, "dl_deadline_ns", t->dl_deadline);
		rc |= js_set_hex(sc, "dl_period_ns", t->dl_period);
	}
	return rc;
}

json_t *task_inherited(const struct snapshot *s, const struct rec_task *t)
{
	json_t *o = json_object();

	if (cred_save(s, t, o) || sched_save(t, o)) {
		json_decref(o);
		return NULL;
	}
	return o;
}

static int restart_save(const struct rec_task *t, json_t *o)
{
	const struct rec_restart_block *b = &t->restart;
	json_t *info = json_object();
	int rc = json_object_set_new(o, "info", info);

	rc |= js_set_int(info, "syscall", (int64_t)t->syscall_nr);
	rc |= js_set_int(info, "restart_kind", b->kind);
	if (b->kind == REC_RESTART_NONE)
		return rc;
	rc |= js_set_int(info, "restart_clock", (int32_t)b->clockid);
	rc |= js_set_hex(info, "restart_expires_ns", b->expires_ns);
	rc |= js_set_hex(info, "restart_rmtp", b->rmtp);
	rc |= js_set_hex(info, "restart_uaddr", b->uaddr);
	rc |= js_set_int(info, "restart_val", b->val);
	rc |= js_set_int(info, "restart_bitset", b->bitset);
	rc |= js_set_int(info, "restart_flags", b->flags);
	return rc;
}

/* PR_MCE_KILL_*, from PF_MCE_PROCESS and PF_MCE_EARLY (include/linux/sched.h). */
static int mce_kill(uint32_t pf_flags)
{
	return !(pf_flags & 0x80)      ? PR_MCE_KILL_DEFAULT
	       : pf_flags & 0x08000000 ? PR_MCE_KILL_EARLY
				       : PR_MCE_KILL_LATE;
}

static int thread_save(const struct snapshot *s, const struct rec_task *t,
		       const struct taken_thread *taken, const struct seccomp_table *seccomp,
		       json_t *o)
{
	json_t *sas = json_object(), *rseq = json_object();
	int rc = js_set_int(o, "tid", t->vtid);

	rc |= js_set_bytes(o, "comm", t->comm);
	rc |= js_set_hex(o, "sigmask", taken->sigmask);
	rc |= json_object_set_new(o, "altstack", sas);
	rc |= js_set_hex(sas, "sp", t->sas_sp);
	rc |= js_set_hex(sas, "size", t->sas_size);
	/* Without a stack it says disabled or, before the first sigaltstack(2), nothing: the same.
	 */
	rc |= js_set_int(sas, "flags", t->sas_size ? t->sas_flags : 2 /* SS_DISABLE */);
	rc |= js_set_int(o, "pdeath_signal", t->pdeath_signal);
	rc |= js_set_hex(o, "clear_child_tid", t->clear_child_tid);
	rc |= js_set_hex(o, "robust_list", t->robust_list);
	rc |= json_object_set_new(o, "rseq", rseq);
	rc |= js_set_hex(rseq, "addr", t->rseq);
	rc |= js_set_int(rseq, "len", t->rseq_len);
	rc |= js_set_int(rseq, "sig", t->rseq_sig);
	rc |= js_set_int(o, "timer_slack_ns", (int64_t)t->timer_slack_ns);
	rc |= js_set_hex(o, "personality", t->personality);
	rc |= js_set_bool(o, "no_new_privs", t->no_new_privs != 0);
	rc |= js_set_int(o, "mce_kill", mce_kill(t->pf_flags));
	rc |= js_set_int(o, "tsc_cpuid", t->tif_nocpuid);
	rc |= sched_save(t, o);
	rc |= cred_save(s, t, o);
	rc |= restart_save(t, o);
	rc |= seccomp_save_thread(seccomp, s, t, o);
	rc |= attrs_save(t, taken, o);
	rc |= pending_save(taken->pending, taken->n_pending, o);
	return rc;
}

/* Its number stays the process's, its user's that of the process for those who send it signals, and
 * its status what the parent is told in the end. */
static int ended_leader_save(const struct snapshot *s, const struct rec_task *t, json_t *o)
{
	json_t *ended = json_object();
	int rc = json_object_set_new(o, "ended", ended);

	rc |= js_set_int(ended, "status", t->exit_code & 0xff7f);
	rc |= js_set_int(o, "tid", t->vtid);
	rc |= js_set_bytes(o, "comm", t->comm);
	return rc | cred_save(s, t, o);
}

static int own_tables_save(const struct snapshot *s, const struct rec_task *t,
			   const struct objects *os, json_t *o, struct ckpt_err **err);

static int leader_then_vtid(const void *a, const void *b)
{
	const struct rec_task *x = *(const struct rec_task *const *)a;
	const struct rec_task *y = *(const struct rec_task *const *)b;

	if ((x->tid == x->tgid) != (y->tid == y->tgid))
		return x->tid == x->tgid ? -1 : 1;
	return (x->vtid > y->vtid) - (x->vtid < y->vtid);
}

/* In an order that is the same after a restore into a pid namespace, where we know them by other
 * numbers. */
static int threads_save(const struct snapshot *s, pid_t tgid, const struct taken *taken,
			const struct objects *os, json_t *o, struct ckpt_err **err)
{
	_cleanup_free_ const struct rec_task **task = NULL;
	json_t *a = json_array();
	size_t first, n;

	snapshot_tasks_of(s, tgid, &first, &n);
	task = calloc(n ? n : 1, sizeof(*task));
	if (json_object_set_new(o, "threads", a) || !task)
		return ckpt_fail_nomem(err);
	memcpy(task, s->tasks + first, n * sizeof(*task));
	qsort(task, n, sizeof(*task), leader_then_vtid);
	for (size_t i = 0; i < n; i++) {
		const struct taken_thread *tt = taken_thread(taken, task[i]->tid);
		json_t *row;

		if (!tt && task_is_exiting(task[i]) && task[i]->tid != tgid)
			continue;
		row = json_object();
		if (json_array_append_new(a, row))
			return ckpt_fail_nomem(err);
		if (!tt && task_is_exiting(task[i])) {
			if (ended_leader_save(s, task[i], row))
				return ckpt_fail_nomem(err);
			continue;
		}
		if (!tt)
			return ckpt_fail(err, EAGAIN, CKPT_E_CHANGING,
					 "thread %d appeared while the process was frozen",
					 task[i]->tid);
		if (thread_save(s, task[i], tt, &taken->seccomp, row))
			return ckpt_fail_nomem(err);
		int rc = own_tables_save(s, task[i], os, row, err);

		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- mm ---- */

static int mm_fields(const struct rec_mm *m, json_t *o)
{
	const struct {
		const char *name;
		uint64_t value;
	} field[] = {
		{ "start_code", m->start_code },   { "end_code", m->end_code },
		{ "start_data", m->start_data },   { "end_data", m->end_data },
		{ "start_brk", m->start_brk },	   { "brk", m->brk },
		{ "start_stack", m->start_stack }, { "arg_start", m->arg_start },
		{ "arg_end", m->arg_end },	   { "env_start", m->env_start },
		{ "env_end", m->env_end },	   { "vdso", m->vdso },
	};

	size_t n_auxv = 0;
	int rc = 0;

	for (size_t i = 0; i < sizeof(field) / sizeof(field[0]); i++)
		rc |= js_set_hex(o, field[i].name, field[i].value);
	while (n_auxv + 2 <= REC_AUXV_U64 && m->auxv[n_auxv])
		n_auxv += 2;
	if (n_auxv + 2 <= REC_AUXV_U64)
		n_auxv += 2; /* AT_NULL */
	rc |= json_object_set_new(o, "auxv", hex_array((const uint64_t *)m->auxv, n_auxv));
	/* mm_flags: dumpable in bits 0-1, core filter in 2-10; the rest by
	 * include/linux/mm_types.h. */
	rc |= js_set_int(o, "dumpable", (int64_t)(m->mm_flags & 3));
	rc |= js_set_int(o, "coredump_filter", (int64_t)(m->mm_flags >> 2 & 0x1ff));
	rc |= js_set_bool(o, "thp_disable", (m->mm_flags >> 24 & 1) != 0);
	rc |= js_set_int(o, "mdwe", (int64_t)(m->mm_flags >> 28 & 3));
	rc |= js_set_bool(o, "merge_any", (m->mm_flags >> 30 & 1) != 0);
	rc |= js_set_bool(o, "lock_future", (m->def_flags & VMF_LOCKED) != 0);
	rc |= js_set_bool(o, "lock_future_onfault", (m->def_flags & VMF_LOCKONFAULT) != 0);
	rc |= js_set_int(o, "membarrier", m->membarrier_state);
	return rc;
}

static int exe_save(const struct snapshot *s, pid_t tgid, const struct objects *os, json_t *o,
		    struct ckpt_err **err)
{
	const struct snap_path *p = snapshot_path(s, tgid, REC_PATH_EXE);
	json_t *exe = json_object();
	uint32_t id = p ? objects_id(os, p->rec->inode.file_id) : 0;

	if (json_object_set_new(o, "exe", exe))
		return ckpt_fail_nomem(err);
	if (!p)
		return 0;
	/* Normally some area maps it, and it is an object. */
	if (id)
		return js_set_int(exe, "object", id) ? ckpt_fail_nomem(err) : 0;
	return path_save(&p->rec->inode, p->path, exe, err);
}

static int mm_save(const struct snapshot *s, pid_t tgid, const struct objects *os, json_t *o,
		   struct ckpt_err **err)
{
	const struct rec_mm *m = snapshot_mm(s, tgid);
	json_t *mm = json_object(), *areas;
	int rc;

	if (json_object_set_new(o, "mm", mm))
		return ckpt_fail_nomem(err);
	if (!m)
		return ckpt_fail(err, ESRCH, CKPT_E_GONE, "process %d has no memory any more",
				 tgid);
	if (mm_fields(m, mm))
		return ckpt_fail_nomem(err);
	rc = exe_save(s, tgid, os, mm, err);
	if (rc == 0)
		rc = areas_save(s, tgid, os, &areas, err);
	if (rc == 0 && json_object_set_new(mm, "areas", areas))
		rc = ckpt_fail_nomem(err);
	return rc;
}

/* ---- process ---- */

static int limits_save(const struct rec_process *p, json_t *o)
{
	json_t *a = json_array();
	int rc = json_object_set_new(o, "rlimits", a);

	for (int i = 0; i < REC_NLIMITS; i++) {
		uint64_t pair[2] = { p->rlim_cur[i], p->rlim_max[i] };

		rc |= json_array_append_new(a, hex_array(pair, 2));
	}
	return rc;
}

static int files_save(const struct snapshot *s, pid_t tgid, const struct objects *os, json_t *o)
{
	json_t *a = json_array();
	size_t first, n;
	int rc = json_object_set_new(o, "files", a);

	snapshot_files_of(s, tgid, &first, &n);
	for (size_t i = first; i < first + n; i++) {
		const struct rec_file *f = s->files[i].rec;
		json_t *row = json_object();

		rc |= js_set_int(row, "fd", f->fd);
		rc |= js_set_int(row, "object", objects_id(os, f->inode.file_id));
		if (f->cloexec)
			rc |= js_set_bool(row, "cloexec", true);
		rc |= json_array_append_new(a, row);
	}
	return rc;
}

static int fs_path_save(const struct snapshot *s, pid_t tgid, const struct objects *os,
			enum rec_path_what what, json_t *o, struct ckpt_err **err)
{
	const char *name = what == REC_PATH_CWD ? "cwd" : "root";
	const struct snap_path *p = snapshot_path(s, tgid, what);
	json_t *row = json_object();

	if (json_object_set_new(o, name, row))
		return ckpt_fail_nomem(err);
	return p ? place_save(os, p, row, err) : 0;
}

/*
 * Sessions and process groups by number, in the process's own pid namespace. 0: the one in which
 * the root is though nobody of the tree made it; that is not brought back, it has the restorer's.
 */
static pid_t saved_sid(const struct snapshot *s, pid_t root, const struct rec_process *p)
{
	const struct rec_process *r = snapshot_process(s, root);

	return r && p->sid == r->sid && r->sid != r->tgid ? 0 : p->vsid;
}

static pid_t saved_pgid(const struct snapshot *s, pid_t root, const struct rec_process *p)
{
	const struct rec_process *r = snapshot_process(s, root);

	return r && p->pgid == r->pgid && !snapshot_process(s, r->pgid) ? 0 : p->vpgid;
}

static pid_t saved_ppid(const struct snapshot *s, pid_t root, const struct rec_process *p)
{
	const struct rec_task *parent = p->tgid != root ? snapshot_task(s, p->ppid) : NULL;

	return parent ? parent->vtgid : 0;
}

/* What every process has, a zombie too. */
static int relations_save(const struct snapshot *s, pid_t root, const struct rec_process *p,
			  json_t *o)
{
	const struct rec_task *leader = snapshot_task(s, p->tgid);
	json_t *info = json_object();
	int rc = json_object_set_new(o, "info", info);

	rc |= js_set_int(o, "pid", leader->vtgid);
	rc |= js_set_int(o, "ppid", saved_ppid(s, root, p));
	rc |= js_set_int(o, "sid", saved_sid(s, root, p));
	rc |= js_set_int(o, "pgid", saved_pgid(s, root, p));
	/* A root's is that of whoever restores it. */
	if (saved_ppid(s, root, p))
		rc |= js_set_int(o, "exit_signal", leader->exit_signal);
	rc |= js_set_int(info, "ppid", p->ppid);
	rc |= js_set_int(info, "pgid", p->pgid);
	rc |= js_set_int(info, "sid", p->sid);
	rc |= js_set_int(info, "utime_ns", (int64_t)p->utime_ns);
	rc |= js_set_int(info, "stime_ns", (int64_t)p->stime_ns);
	rc |= js_set_int(info, "start_boottime_ns", (int64_t)leader->start_boottime_ns);
	return rc;
}

/* SIGNAL_STOP_STOPPED and SIGNAL_STOP_CONTINUED of include/linux/sched/signal.h */
#define STOP_STOPPED   0x1u
#define STOP_CONTINUED 0x2u

static int process_save(const struct snapshot *s, const struct rec_process *p,
			const struct taken *taken, json_t *o)
{
	json_t *info = json_object_get(o, "info");
	int rc = js_set_int(o, "oom_score_adj", p->oom_score_adj);

	rc |= js_set_bool(o, "child_subreaper", p->is_child_subreaper != 0);
	/* Its parent can ask whether it was continued; the root's is another one then. */
	if (json_integer_value(json_object_get(o, "ppid")) && p->signal_flags & STOP_CONTINUED)
		rc |= js_set_bool(o, "continued", true);
	rc |= limits_save(p, o);
	rc |= itimer_save(o, "itimer_real", &p->it_real, SIGALRM, p, taken);
	rc |= itimer_save(o, "itimer_virtual", &p->it_virt, SIGVTALRM, p, taken);
	rc |= itimer_save(o, "itimer_prof", &p->it_prof, SIGPROF, p, taken);
	rc |= timers_save(s, p->tgid, taken, o);
	rc |= js_set_bool(info, "tty", p->tty_major != 0);
	rc |= js_set_int(info, "next_timer_id", p->next_posix_timer_id);
	/* The stop signal of a stopped process; it is stopped again when restored. */
	rc |= js_set_int(info, "stopped", taken->n ? taken->thread[0].group_stop : 0);
	rc |= js_set_bool(info, "stop_told", p->signal_flags & STOP_STOPPED && !p->group_exit_code);
	rc |= js_set_int(info, "loginuid", snapshot_task(s, p->tgid)->loginuid);
	return rc;
}

/* ---- what processes share ---- */

static const char *const share_names[PLAN_SHARED_NR] = {
	[PLAN_MM] = "mm",
	[PLAN_FILES] = "files",
	[PLAN_FS] = "fs",
	[PLAN_SIGHAND] = "sighand",
};

static int shares_save(const struct snapshot *s, const struct tree *t, pid_t tgid,
		       bool owns[PLAN_SHARED_NR], json_t *o)
{
	const struct rec_task *leader = snapshot_task(s, tgid);
	json_t *row = json_object();
	int rc = json_object_set_new(o, "shares", row);

	for (int i = 0; i < PLAN_SHARED_NR; i++) {
		uint32_t number = tree_process(t, tgid)->share[i];

		owns[i] = !number || number == (uint32_t)leader->vtgid;
		if (number)
			rc |= js_set_int(row, share_names[i], number);
	}
	if (json_object_size(row) == 0)
		json_object_del(o, "shares");
	return rc;
}

/* ---- the plan ---- */

/* A session or group may be led by somebody in the tree, or by nobody any more. */
static int check_leader(const struct tree *t, pid_t tgid, pid_t leader, const char *what,
			struct ckpt_err **err)
{
	size_t first, n;
	char who[128];

	snapshot_members_of(t->members, leader, &first, &n);
	if (!n || tree_process(t, leader))
		return 0;
	kind_process_words(leader, who, sizeof(who));
	return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
			 "process %d belongs to the %s of %s, which is not in the tree", tgid, what,
			 who);
}

int tasks_plan(const struct snapshot *s, const struct tree *t, struct plan *ret,
	       struct ckpt_err **err)
{
	_cleanup_free_ struct plan_task *tasks = calloc(t->n + 1, sizeof(*tasks));
	pid_t root = t->n ? t->proc[0].tgid : 0;

	if (!tasks)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < t->n; i++) {
		const struct rec_process *p = snapshot_process(s, t->proc[i].tgid);
		struct plan_task *pt = &tasks[i];
		int rc = 0;

		if (!p || !snapshot_task(s, p->tgid))
			return ckpt_fail(err, ESRCH, CKPT_E_GONE, "process %d is gone",
					 t->proc[i].tgid);
		*pt = (struct plan_task){ .pid = t->proc[i].vtgid,
					  .ppid = saved_ppid(s, root, p),
					  .sid = saved_sid(s, root, p),
					  .pgid = saved_pgid(s, root, p),
					  .exit_signal =
						  saved_ppid(s, root, p)
							  ? snapshot_task(s, p->tgid)->exit_signal
							  : SIGCHLD,
					  .zombie = t->proc[i].zombie,
					  .subreaper = p->is_child_subreaper };
		for (int k = 0; k < PLAN_SHARED_NR; k++)
			pt->share[k] = t->proc[i].share[k];
		if (pt->sid)
			rc = check_leader(t, p->tgid, p->sid, "session", err);
		if (rc == 0 && pt->pgid)
			rc = check_leader(t, p->tgid, p->pgid, "process group", err);
		if (rc < 0)
			return rc;
	}
	return plan_make(ret, tasks, t->n, err);
}

static int read_plan_task(const json_t *o, struct plan_task *pt, struct ckpt_err **err)
{
	const json_t *shares = json_object_get(o, "shares");
	bool reaper = false;
	int rc = js_i32(o, "pid", &pt->pid, err);

	if (rc == 0)
		rc = js_i32(o, "ppid", &pt->ppid, err);
	if (rc == 0)
		rc = js_i32(o, "sid", &pt->sid, err);
	if (rc == 0)
		rc = js_i32(o, "pgid", &pt->pgid, err);
	if (rc == 0 && (pt->pid <= 1 || pt->ppid < 0 || pt->sid < 0 || pt->pgid < 0))
		rc = ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "pid %d cannot be restored", pt->pid);
	pt->exit_signal = SIGCHLD;
	if (rc == 0 && pt->ppid)
		rc = js_i32(o, "exit_signal", &pt->exit_signal, err);
	pt->zombie = json_object_get(o, "zombie") != NULL;
	if (rc == 0 && !pt->zombie)
		rc = js_bool(o, "child_subreaper", &reaper, err);
	pt->subreaper = reaper;
	pt->inherits = json_array_size(json_object_get(json_object_get(o, "mm"), "inherited"));
	for (int i = 0; rc == 0 && i < PLAN_SHARED_NR; i++)
		if (json_object_get(shares, share_names[i]))
			rc = js_u32(shares, share_names[i], &pt->share[i], err);
	return rc;
}

int tasks_plan_image(const json_t *tasks, struct plan *ret, struct ckpt_err **err)
{
	size_t n = json_array_size(tasks);
	_cleanup_free_ struct plan_task *pt = calloc(n + 1, sizeof(*pt));

	if (!pt)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < n; i++) {
		int rc = read_plan_task(json_array_get(tasks, i), &pt[i], err);

		if (rc < 0)
			return rc;
	}
	return plan_make(ret, pt, n, err);
}

bool task_shares(const json_t *task, enum plan_shared what)
{
	const json_t *number = json_object_get(json_object_get(task, "shares"), share_names[what]);

	return number && !json_equal(number, json_object_get(task, "pid"));
}

/*
 * The controlling terminal, where it is in the dump. Its foreground group stands with the session's
 * leader.
 */
static int terminal_save(const struct snapshot *s, pid_t root, const struct rec_process *p,
			 const struct objects *os, json_t *o)
{
	uint32_t object = p->tty_major ? tty_object(s, os, p->tty_major, p->tty_minor) : 0;
	pid_t foreground = 0;
	json_t *terminal;
	int rc;

	if (!object)
		return 0;
	rc = json_object_set_new(o, "terminal", terminal = json_object());
	rc |= js_set_int(terminal, "object", object);
	for (size_t i = 0; i < s->n_processes && !foreground; i++)
		if (s->processes[i]->pgid == p->tty_fg_pgid)
			foreground = saved_pgid(s, root, s->processes[i]);
	if (p->is_session_leader)
		rc |= js_set_int(terminal, "foreground", foreground);
	return rc;
}

/* ---- the whole ---- */

static int locks_into(const struct snapshot *s, pid_t tgid, json_t *o, struct ckpt_err **err)
{
	json_t *locks = NULL;
	int rc = locks_save(s, tgid, &locks, err);

	if (rc < 0)
		return rc;
	return json_object_set_new(o, "locks", locks) ? ckpt_fail_nomem(err) : 0;
}

/* An ended process: who it was, and what its parent will be told. */
static int zombie_save(const struct snapshot *s, const struct rec_process *p, json_t *o)
{
	const struct rec_task *t = snapshot_task(s, p->tgid);
	json_t *threads = json_array(), *row = json_object(), *zombie = json_object();
	bool whole = p->signal_flags & 0x4; /* SIGNAL_GROUP_EXIT */
	int rc = json_object_set_new(o, "threads", threads);

	rc |= json_array_append_new(threads, row);
	rc |= json_object_set_new(o, "zombie", zombie);
	rc |= js_set_int(row, "tid", t->vtid);
	rc |= js_set_bytes(row, "comm", t->comm);
	rc |= cred_save(s, t, row);
	/* Bit 7 says that a core was dumped: that cannot be repeated. */
	rc |= js_set_int(zombie, "status", (whole ? p->group_exit_code : t->exit_code) & 0xff7f);
	return rc;
}

static int fs_save(const struct snapshot *s, pid_t tgid, uint32_t umask_bits,
		   const struct objects *os, json_t *o, struct ckpt_err **err)
{
	int rc = js_set_int(o, "umask", umask_bits) ? ckpt_fail_nomem(err) : 0;

	if (rc == 0)
		rc = fs_path_save(s, tgid, os, REC_PATH_CWD, o, err);
	return rc < 0 ? rc : fs_path_save(s, tgid, os, REC_PATH_ROOT, o, err);
}

/* What a thread does not share with its process. */
static int own_tables_save(const struct snapshot *s, const struct rec_task *t,
			   const struct objects *os, json_t *o, struct ckpt_err **err)
{
	json_t *fs;
	int rc = 0;

	if (tables_own_files(s, t)) {
		if (files_save(s, t->tid, os, o))
			return ckpt_fail_nomem(err);
		rc = locks_into(s, t->tid, o, err);
	}
	if (rc < 0 || !tables_own_fs(s, t))
		return rc;
	fs = json_object();
	if (json_object_set_new(o, "fs", fs))
		return ckpt_fail_nomem(err);
	return fs_save(s, t->tid, t->umask, os, fs, err);
}

static int live_save(const struct snapshot *s, const struct tree *t, const struct rec_process *p,
		     const struct objects *os, const struct taken *taken, json_t *o,
		     struct ckpt_err **err)
{
	bool owns[PLAN_SHARED_NR];
	int rc = 0;

	if (process_save(s, p, taken, o) || terminal_save(s, t->proc[0].tgid, p, os, o) ||
	    shares_save(s, t, p->tgid, owns, o) ||
	    pending_save(taken->shared, taken->n_shared, o) || seccomp_save(&taken->seccomp, o))
		return ckpt_fail_nomem(err);
	if ((owns[PLAN_SIGHAND] && sighand_save(snapshot_sighand(s, p->tgid), o)) ||
	    (owns[PLAN_FILES] && files_save(s, p->tgid, os, o)))
		return ckpt_fail_nomem(err);
	if (owns[PLAN_FS])
		rc = fs_save(s, p->tgid, p->umask, os, o, err);
	if (rc == 0 && owns[PLAN_FILES])
		rc = locks_into(s, p->tgid, o, err);
	if (rc == 0)
		rc = threads_save(s, p->tgid, taken, os, o, err);
	if (rc == 0 && owns[PLAN_MM])
		rc = mm_save(s, p->tgid, os, o, err);
	if (rc == 0 && owns[PLAN_MM] && taken->aio &&
	    json_object_set(json_object_get(o, "mm"), "aio", taken->aio))
		rc = ckpt_fail_nomem(err);
	if (rc == 0)
		rc = mqnotify_save(s, p->tgid, o, err);
	if (rc == 0)
		rc = sysvipc_undo_save(s, p->tgid, o, err);
	return rc;
}

int task_save(const struct snapshot *s, const struct tree *t, pid_t tgid, const struct objects *os,
	      const struct taken *taken, json_t **ret, struct ckpt_err **err)
{
	const struct rec_process *p = snapshot_process(s, tgid);
	const struct tree_process *tp = tree_process(t, tgid);
	_cleanup_json_ json_t *o = json_object();
	int rc = 0;

	if (!p || !tp || !snapshot_task(s, tgid))
		return ckpt_fail(err, ESRCH, CKPT_E_GONE, "process %d is gone", tgid);
	if (relations_save(s, t->proc[0].tgid, p, o) || (tp->zombie && zombie_save(s, p, o)))
		return ckpt_fail_nomem(err);
	if (!tp->zombie)
		rc = live_save(s, t, p, os, taken, o, err);
	if (rc == 0)
		*ret = TAKE_PTR(o);
	return rc;
}

/* ---- comparing ---- */

#define DIFFERENCES_SHOWN 5

struct diff {
	char text[512];
	size_t len;
	int n;
};

static void differ(struct diff *d, const char *place, const json_t *a, const json_t *b)
{
	char *x = a ? json_dumps(a, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
	char *y = b ? json_dumps(b, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;

	if (d->n++ < DIFFERENCES_SHOWN && d->len < sizeof(d->text) - 1) {
		int n = snprintf(d->text + d->len, sizeof(d->text) - d->len,
				 "%s%s: was %.60s, is %.60s", d->n > 1 ? "; " : "", place,
				 x ? x : "absent", y ? y : "absent");

		if (n > 0)
			d->len += (size_t)n;
	}
	free(x);
	free(y);
}

static void compare(struct diff *d, const char *place, const json_t *a, const json_t *b);
static json_t *sorted(const json_t *a);
static json_t *without_expired(const json_t *saved, const json_t *now);

static void compare_pending(struct diff *d, const char *place, const json_t *a, const json_t *b)
{
	_cleanup_json_ json_t *still = without_expired(a, b);
	_cleanup_json_ json_t *x = sorted(a);
	_cleanup_json_ json_t *y = sorted(still);

	compare(d, place, x, y);
}

static bool is_of_timer(const json_t *pending);

/* An interval timer that has expired for the last time since it was armed again: its signal is
 * there. */
static bool has_expired(const char *key, const json_t *itimer, const json_t *now)
{
	const json_t *rows = json_object_get(now, "pending"), *row;
	uint64_t interval = 1;
	size_t i;

	if (strncmp(key, "itimer_", 7) != 0 || json_object_get(now, key) ||
	    js_u64(itimer, "interval_ns", &interval, NULL) < 0 || interval)
		return false;
	json_array_foreach(rows, i, row)
		if (is_of_timer(row))
			return true;
	return false;
}

static void compare_objects(struct diff *d, const char *place, const json_t *a, const json_t *b)
{
	const char *key;
	json_t *v;
	char sub[256];

	/* The cast: jansson's iterators take no const objects. */
	json_object_foreach((json_t *)(uintptr_t)a, key, v) {
		if (!strcmp(key, "info") || has_expired(key, v, b))
			continue;
		snprintf(sub, sizeof(sub), "%s%s%s", place, place[0] ? "." : "", key);
		if (!strcmp(key, "pending"))
			compare_pending(d, sub, v, json_object_get(b, key));
		else
			compare(d, sub, v, json_object_get(b, key));
	}
	json_object_foreach((json_t *)(uintptr_t)b, key, v) {
		snprintf(sub, sizeof(sub), "%s%s%s", place, place[0] ? "." : "", key);
		if (json_object_get(a, key) || !strcmp(key, "info"))
			continue;
		if (!strcmp(key, "pending"))
			compare_pending(d, sub, NULL, v);
		else
			differ(d, sub, NULL, v);
	}
}

/* Is it one that the kernel sends when a timer expires? */
static bool is_of_timer(const json_t *pending)
{
	siginfo_t si;

	if (siginfo_parse(pending, &si, NULL) < 0)
		return false;
	return si.si_code == SI_TIMER ||
	       (si.si_code == SI_KERNEL &&
		(si.si_signo == SIGALRM || si.si_signo == SIGVTALRM || si.si_signo == SIGPROF));
}

/* Timers run: what has expired since they were armed again is no difference. */
static json_t *without_expired(const json_t *saved, const json_t *now)
{
	json_t *out = json_array();

	for (size_t i = 0; i < json_array_size(now); i++) {
		json_t *v = json_array_get(now, i);
		bool known = false;

		for (size_t k = 0; k < json_array_size(saved) && !known; k++)
			known = json_equal(json_array_get(saved, k), v);
		if (known || !is_of_timer(v))
			json_array_append(out, v);
	}
	return out;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(json_string_value(*(json_t *const *)a),
		      json_string_value(*(json_t *const *)b));
}

/*
 * Pending signals keep their order, but for those of timers: such a timer is let expire again, so
 * that the kernel counts its overruns on. So they are compared as a set.
 */
static json_t *sorted(const json_t *a)
{
	size_t n = json_array_size(a);
	json_t **v = calloc(n ? n : 1, sizeof(*v)), *out = json_array();

	for (size_t i = 0; v && i < n; i++)
		v[i] = json_array_get(a, i);
	if (v)
		qsort(v, n, sizeof(*v), by_text);
	for (size_t i = 0; v && i < n; i++)
		json_array_append(out, v[i]);
	free(v);
	return out;
}

static void compare(struct diff *d, const char *place, const json_t *a, const json_t *b)
{
	char sub[256];

	if (!a || !b || json_typeof(a) != json_typeof(b)) {
		differ(d, place, a, b);
	} else if (json_is_object(a)) {
		compare_objects(d, place, a, b);
	} else if (json_is_array(a)) {
		size_t n = json_array_size(a), m = json_array_size(b);

		if (n != m) {
			snprintf(sub, sizeof(sub), "%s (%zu rows, now %zu)", place, n, m);
			differ(d, sub, NULL, NULL);
		}
		for (size_t i = 0; i < n && i < m && d->n <= DIFFERENCES_SHOWN; i++) {
			snprintf(sub, sizeof(sub), "%s[%zu]", place, i);
			compare(d, sub, json_array_get(a, i), json_array_get(b, i));
		}
	} else if (!json_equal(a, b)) {
		differ(d, place, a, b);
	}
}

int tasks_same(const json_t *saved, const json_t *now, struct ckpt_err **err)
{
	struct diff d = { .text = "" };

	compare(&d, "", saved, now);
	if (d.n == 0)
		return 0;
	return ckpt_fail(err, EIO, CKPT_E_DIFFERENT, "%s%s", d.text,
			 d.n > DIFFERENCES_SHOWN ? "; and more" : "");
}
