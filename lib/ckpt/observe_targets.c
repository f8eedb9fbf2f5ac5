// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Finding the processes to be observed, and their descendants. Whoever is marked hands the mark on
 * to its children, but one may have had a child just before: so the listing is repeated until it
 * shows nobody new.
 */
#include "observe_targets.h"
#include "look.h"
#include "pids.h"
#include "util.h"

#include <fcntl.h>
#include <ftw.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define PASSES_MAX 100

int observe_targets_cgroup(struct ckpt_observe *o, const char *path, struct ckpt_err **err)
{
	struct stat st;
	struct statfs fs;

	if (stat(path, &st) < 0 || statfs(path, &fs) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_USAGE, "look at the cgroup %s", path);
	if (!S_ISDIR(st.st_mode) || fs.f_type != CGROUP2_SUPER_MAGIC) {
		ckpt_fail(err, EINVAL, CKPT_E_USAGE, "%s is not a directory of cgroups", path);
		ckpt_hint(err, "one in the unified hierarchy, as in /sys/fs/cgroup/system.slice");
		return -EINVAL;
	}
	o->cgroup = strdup(path);
	/* The kernel's id of a cgroup is its inode number on 64-bit machines (kernfs_id_ino()). */
	o->cgroup_id = st.st_ino;
	return o->cgroup ? 0 : ckpt_fail_nomem(err);
}

/* nftw(3) takes no userdata. */
struct members {
	pid_t *pids;
	size_t n;
	int rc;
};

static __thread struct members *walking;

static int read_members(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	char file[4200];
	FILE *f;
	int pid;

	(void)st;
	(void)ftw;
	if (flag != FTW_D)
		return 0;
	snprintf(file, sizeof(file), "%s/cgroup.procs", path);
	f = fopen(file, "re");
	if (!f)
		return 0;
	/* 0: a process that we cannot see. */
	while (fscanf(f, "%d", &pid) == 1)
		if (pid > 0 && pids_add(&walking->pids, &walking->n, pid) < 0)
			walking->rc = -ENOMEM;
	fclose(f);
	return walking->rc;
}

static int find_cgroup_members(const struct ckpt_observe *o, struct members *m)
{
	walking = m;
	nftw(o->cgroup, read_members, 16, FTW_PHYS);
	walking = NULL;
	return m->rc;
}

/* What one listing tells. */
struct search {
	const struct snapshot *s;
	const struct members *cgroup;
	pid_t *pids; /* found so far */
	size_t n;
};

static bool is_leader(const struct rec_member *m)
{
	return m->tid == m->tgid;
}

/* Is it wanted for itself, or for its parent? */
static bool is_wanted(const struct ckpt_observe *o, const struct search *f,
		      const struct rec_member *m)
{
	if (m->tgid == getpid() || m->exit_state)
		return false;
	return o->all || pids_have(o->targets, o->n_targets, m->tgid) ||
	       (o->name && !strncmp(o->name, m->comm, REC_COMM_LEN - 1)) ||
	       pids_have(f->cgroup->pids, f->cgroup->n, m->tgid) ||
	       pids_have(f->pids, f->n, m->ppid);
}

/* Returns how many were new, or a negative errno. */
static int add_found(struct ckpt_observe *o, struct search *f, struct ckpt_err **err)
{
	int n = 0;
	bool again = true;

	/* Children may stand before their parents. */
	while (again) {
		again = false;
		for (size_t i = 0; i < f->s->n_members; i++) {
			const struct rec_member *m = f->s->members[i];
			struct loader_why why = { 0 };
			int rc;

			if (!is_leader(m) || pids_have(f->pids, f->n, m->tgid) ||
			    !is_wanted(o, f, m))
				continue;
			rc = tracing_add_pid(o->tracing, m->tgid, &why);
			if (rc == -ESRCH)
				continue;
			if (rc < 0)
				return ckpt_fail_loader(err, rc, &why);
			if (pids_add(&f->pids, &f->n, m->tgid) < 0)
				return ckpt_fail_nomem(err);
			n++;
			again = true;
		}
	}
	return n;
}

static int one_pass(struct ckpt_observe *o, struct search *f, struct ckpt_err **err)
{
	struct members cgroup = { 0 };
	struct snapshot *s = NULL;
	struct loader_why why = { 0 };
	int rc = o->cgroup ? find_cgroup_members(o, &cgroup) : 0;

	if (rc < 0)
		rc = ckpt_fail_nomem(err);
	else if ((rc = snapshot_take(o->loader, NULL, 0, SNAPSHOT_MEMBERS, &s, &why)) < 0)
		rc = ckpt_fail_loader(err, rc, &why);
	if (rc == 0) {
		f->s = s;
		f->cgroup = &cgroup;
		rc = add_found(o, f, err);
	}
	snapshot_free(s);
	free(cgroup.pids);
	return rc;
}

/* Why is this none of those that were found? */
static int fail_root(const struct ckpt_observe *o, pid_t pid, struct ckpt_err **err)
{
	struct snapshot *s = NULL;
	const struct rec_task *t = NULL;
	pid_t leader = 0;

	if (snapshot_take(o->loader, &pid, 1, SNAPSHOT_TASKS | SNAPSHOT_MEMBERS, &s, NULL) == 0)
		t = snapshot_task(s, pid);
	for (size_t i = 0; s && i < s->n_members; i++)
		if (s->members[i]->tid == pid && s->members[i]->tgid != pid)
			leader = s->members[i]->tgid;
	if (leader) {
		ckpt_fail(err, ESRCH, CKPT_E_NO_PROCESS, "%d is a thread of process %d", pid,
			  leader);
		ckpt_hint(err, "ebpf-ckpt observe %d", leader);
	} else if (t && task_is_kthread(t)) {
		ckpt_fail(err, ESRCH, CKPT_E_NO_PROCESS,
			  "%d is a kernel thread, which has nothing to observe", pid);
	} else if (t && t->exit_state) {
		ckpt_fail(err, ESRCH, CKPT_E_NO_PROCESS,
			  "process %d has ended; its parent has not taken notice yet", pid);
	} else {
		ckpt_fail(err, ESRCH, CKPT_E_NO_PROCESS,
			  "there is no process %d that could be observed", pid);
		ckpt_hint(err, "see ps -e");
	}
	snapshot_free(s);
	return -ESRCH;
}

static int check_roots(const struct ckpt_observe *o, const struct search *f, struct ckpt_err **err)
{
	for (size_t i = 0; i < o->n_targets; i++) {
		if (o->targets[i] == getpid()) {
			return ckpt_fail(err, EINVAL, CKPT_E_SELF,
					 "a process cannot observe itself");
		}
		if (!pids_have(f->pids, f->n, o->targets[i]))
			return fail_root(o, o->targets[i], err);
	}
	return 0;
}

int observe_targets_add(struct ckpt_observe *o, pid_t **ret, size_t *ret_n, struct ckpt_err **err)
{
	struct search f = { 0 };
	int rc = 1;

	for (int i = 0; rc > 0 && i < PASSES_MAX; i++)
		rc = one_pass(o, &f, err);
	if (rc >= 0)
		rc = check_roots(o, &f, err);
	if (rc < 0) {
		free(f.pids);
		return rc;
	}
	*ret = f.pids;
	*ret_n = f.n;
	return 0;
}
