// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The table of objects: open file descriptions found by identity, each with its kind. See kind.h.
 * This file knows what all kinds have in common (number, flags, position, owner); everything else
 * is the kind's.
 */
#include "areas.h"
#include "kind.h"
#include "kinds/copy.h"
#include "locks.h"
#include "look.h"
#include "safe.h"
#include "tables.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct object_slot {
	uint64_t key;
	uint32_t id; /* 0: empty */
};

/* What F_SETFL can set; the rest is given at open. */
#define SETFL_FLAGS (O_APPEND | O_NONBLOCK | O_ASYNC | O_DIRECT | O_NOATIME)
/* Bits of f_flags that the kernel keeps for itself: FMODE_EXEC, FMODE_NONOTIFY. */
#define KERNEL_FLAGS 0x4000020u

/* ---- collecting ---- */

static struct object_slot *slot_in(struct object_slot *hash, size_t size, uint64_t key)
{
	/* Addresses of slab objects differ in their middle bits. */
	size_t i = (key >> 6) * 0x9e3779b97f4a7c15ULL >> 20 & (size - 1);

	while (hash[i].id && hash[i].key != key)
		i = (i + 1) & (size - 1);
	return &hash[i];
}

static struct object_slot *slot_of(const struct objects *os, uint64_t file_id)
{
	return slot_in(os->hash, os->hash_size, file_id);
}

static int reserve(struct objects *os, size_t n_max)
{
	os->hash_size = 64;
	while (os->hash_size < 2 * n_max)
		os->hash_size *= 2;
	os->hash = calloc(os->hash_size, sizeof(*os->hash));
	os->inodes = calloc(os->hash_size, sizeof(*os->inodes));
	os->socks = calloc(os->hash_size, sizeof(*os->socks));
	os->row = calloc(n_max ? n_max : 1, sizeof(*os->row));
	return os->hash && os->inodes && os->socks && os->row ? 0 : -ENOMEM;
}

static struct object_row *row_for(struct objects *os, uint64_t file_id)
{
	struct object_slot *s = slot_of(os, file_id);

	if (!s->id) {
		s->key = file_id;
		s->id = (uint32_t)++os->n;
		os->row[s->id - 1] = (struct object_row){ .id = s->id, .file_id = file_id };
		os->row[s->id - 1].f.fd = -1;
	}
	return &os->row[s->id - 1];
}

/* The first thread, which has the process's number, may have ended before others. */
static pid_t thread_of(const struct snapshot *s, pid_t tgid_or_tid)
{
	const struct rec_task *t = snapshot_task(s, tgid_or_tid);

	if (t && task_is_exiting(t))
		t = task_living_thread(s, t->tgid);
	return t ? t->tid : tgid_or_tid;
}

static void collect_file(struct objects *os, const struct snap_file *sf, pid_t tid)
{
	struct object_row *r = row_for(os, sf->rec->inode.file_id);

	r->n_refs++;
	if (r->f.file)
		return;
	r->f.tgid = sf->rec->tgid;
	r->f.tid = tid;
	r->f.fd = sf->rec->fd;
	r->f.inode = &sf->rec->inode;
	r->f.file = sf->rec;
	r->f.path = sf->path;
	r->f.path_cut = sf->rec->head.flags & REC_F_TRUNCATED;
}

/*
 * Private huge pages of a fixed size have a file of the kernel's own, which is no object of the
 * program, unless a descriptor refers to it, too.
 */
static bool is_object(const struct objects *os, const struct rec_vma *v)
{
	bool private_huge = v->vm_flags & VMF_HUGETLB && !(v->vm_flags & VMF_MAYSHARE);

	if (!v->has_file || area_is_special(v))
		return false;
	return !private_huge || strcmp(v->inode.dname, "anon_hugepage") ||
	       slot_of(os, v->inode.file_id)->id;
}

static void collect_area(struct objects *os, const struct snap_vma *sv, pid_t tid)
{
	struct object_row *r = row_for(os, sv->rec->inode.file_id);

	r->n_refs++;
	if (!r->f.inode) {
		r->f.tgid = sv->rec->tgid;
		r->f.tid = tid;
		r->f.inode = &sv->rec->inode;
		r->f.path = sv->path;
		r->f.path_cut = sv->rec->head.flags & REC_F_TRUNCATED;
	}
	if (!r->f.map_end) {
		r->f.map_start = sv->rec->start;
		r->f.map_end = sv->rec->end;
	}
	if (sv->rec->vm_flags & VMF_MAYSHARE)
		r->f.mapped_shared = true;
	else
		r->f.mapped_private = true;
}

/* From the last to the first, so that the chains are in order. */
static void index_rows(struct objects *os)
{
	memset(os->inodes, 0, os->hash_size * sizeof(*os->inodes));
	memset(os->socks, 0, os->hash_size * sizeof(*os->socks));
	os->first_listening = 0;
	for (size_t i = os->n; i-- > 0;) {
		struct object_row *r = &os->row[i];
		struct object_slot *s1 = slot_in(os->inodes, os->hash_size, r->f.inode->inode_id);
		uint64_t sock = r->f.file ? r->f.file->sock_id : 0;

		r->next_of_inode = s1->id;
		s1->key = r->f.inode->inode_id;
		s1->id = r->id;
		r->kind = kind_of(&r->f);
		if (!sock)
			continue;
		*slot_in(os->socks, os->hash_size, sock) =
			(struct object_slot){ .key = sock, .id = r->id };
		if (r->f.file->sk_state == TCP_LISTEN) {
			r->next_listening = os->first_listening;
			os->first_listening = r->id;
		}
	}
}

/*
 * Working and root directories whose names are gone, or will be others. Descriptions have no part
 * in it, so their number is found by the inode. And executables: some area maps them, mostly, but a
 * program can unmap all of it, and on an overlay an area has another file than the process.
 */
static void collect_place(struct objects *os, const struct snap_path *sp, pid_t tid)
{
	static const char *const names[] = {
		[REC_PATH_EXE] = "exe", [REC_PATH_CWD] = "cwd", [REC_PATH_ROOT] = "root"
	};
	const struct rec_inode *ino = &sp->rec->inode;
	bool exe = sp->rec->what == REC_PATH_EXE;
	struct object_row *r;

	if (!exe && !ino->unhashed && !procpid_is(ino, sp->path))
		return;
	r = row_for(os, exe ? ino->file_id : ino->inode_id);
	r->f.is_exe |= exe;
	if (r->f.inode)
		return;
	r->f.tgid = sp->rec->tgid;
	r->f.tid = tid;
	r->f.place = names[sp->rec->what];
	r->f.inode = &sp->rec->inode;
	r->f.path = sp->path;
	r->f.path_cut = sp->rec->head.flags & REC_F_TRUNCATED;
}

static void collect_files(struct objects *os, const struct snapshot *s, pid_t tgid_or_tid)
{
	pid_t tid = thread_of(s, tgid_or_tid);
	size_t first, n;

	snapshot_files_of(s, tgid_or_tid, &first, &n);
	for (size_t i = first; i < first + n; i++)
		collect_file(os, &s->files[i], tid);
}

/* A process's descriptors, then those of its threads with tables of their own. */
static int collect_tables(struct objects *os, const struct snapshot *s, pid_t tgid)
{
	size_t n;
	_cleanup_free_ const struct rec_task **own = tables_threads(s, tgid, &n);

	if (!own)
		return -ENOMEM;
	collect_files(os, s, tgid);
	for (size_t i = 0; i < n; i++)
		collect_files(os, s, own[i]->tid);
	return 0;
}

static void count_queued(void *userdata, uint64_t file_id)
{
	struct objects *os = userdata;
	uint32_t id = objects_id(os, file_id);

	if (id)
		os->row[id - 1].n_queued++;
	else
		os->any_unknown = true;
}

static void count_all_queued(struct objects *os, const struct snapshot *s)
{
	os->any_unknown = false;
	for (size_t i = 0; i < os->n; i++)
		os->row[i].n_queued = 0;
	for (size_t i = 0; i < os->n; i++)
		if (os->row[i].kind->queued)
			os->row[i].kind->queued(s, &os->row[i].f, count_queued, os);
}

int objects_collect(struct objects *os, const struct snapshot *s, const struct tree *t,
		    struct ckpt_err **err)
{
	size_t first, n;

	*os = (struct objects){ 0 };
	if (reserve(os, s->n_files + s->n_vmas + s->n_paths) < 0)
		return ckpt_fail_nomem(err);
	for (size_t p = 0; p < t->n; p++)
		if (collect_tables(os, s, t->proc[p].tgid) < 0)
			return ckpt_fail_nomem(err);
	for (size_t p = 0; p < t->n; p++) {
		pid_t tid = thread_of(s, t->proc[p].tgid);

		snapshot_vmas_of(s, t->proc[p].tgid, &first, &n);
		for (size_t i = first; i < first + n; i++)
			if (is_object(os, s->vmas[i].rec))
				collect_area(os, &s->vmas[i], tid);
	}
	for (size_t i = 0; i < s->n_paths; i++)
		if (tree_process(t, tables_tgid(s, s->paths[i].rec->tgid)))
			collect_place(os, &s->paths[i], thread_of(s, s->paths[i].rec->tgid));
	index_rows(os);
	count_all_queued(os, s);
	return 0;
}

/* ---- what is under way in messages ---- */

bool kind_flight_has(const struct kind_dump *d, uint64_t file_id)
{
	for (size_t i = 0; i < d->n_flight; i++)
		if (d->flight[i].file_id == file_id)
			return true;
	return false;
}

int kind_flight_add(struct kind_dump *d, uint64_t file_id, int fd, struct ckpt_err **err)
{
	struct kind_flight *more = realloc(d->flight, (d->n_flight + 1) * sizeof(*more));

	if (!more) {
		close(fd);
		return ckpt_fail_nomem(err);
	}
	d->flight = more;
	more[d->n_flight++] = (struct kind_flight){ .file_id = file_id, .fd = fd };
	return 0;
}

void objects_drop_in_flight(struct kind_dump *d)
{
	for (size_t i = 0; i < d->n_flight; i++)
		close_reset(&d->flight[i].fd);
	free(d->flight);
	d->flight = NULL;
	d->n_flight = 0;
}

/* Room for more rows; the rows move, what they point to does not. */
static int grow(struct objects *os, size_t n_more)
{
	struct objects bigger = { 0 };

	if (reserve(&bigger, os->n + n_more) < 0) {
		objects_done(&bigger);
		return -ENOMEM;
	}
	for (size_t i = 0; i < os->n; i++)
		*row_for(&bigger, os->row[i].file_id) = os->row[i];
	objects_done(os);
	*os = bigger;
	return 0;
}

static const struct snap_file *own_file(const struct snapshot *s, int fd)
{
	size_t first, n;

	snapshot_files_of(s, getpid(), &first, &n);
	for (size_t i = first; i < first + n; i++)
		if (s->files[i].rec->fd == fd)
			return &s->files[i];
	return NULL;
}

/* The rows of the descriptors from `first` on. */
static int add_in_flight(struct objects *os, struct kind_dump *d, struct snapshot *s, size_t first,
			 struct ckpt_err **err)
{
	size_t n = d->n_flight - first;
	_cleanup_free_ int *fds = calloc(n, sizeof(*fds));
	struct loader_why why = { 0 };
	int rc;

	if (!fds || grow(os, n) < 0)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < n; i++)
		fds[i] = d->flight[first + i].fd;
	rc = snapshot_add_files(d->loader, s, getpid(), fds, n, &why);
	if (rc < 0)
		return ckpt_fail_loader(err, rc, &why);
	for (size_t i = 0; i < n; i++) {
		const struct snap_file *f = own_file(s, fds[i]);

		if (!f || f->rec->inode.file_id != d->flight[first + i].file_id)
			return ckpt_fail(err, EAGAIN, CKPT_E_CHANGING,
					 "a file in a message is not the one seen before");
		collect_file(os, f, getpid());
	}
	index_rows(os);
	return 0;
}

int objects_collect_in_flight(struct objects *os, struct kind_dump *d, struct snapshot *s,
			      struct ckpt_err **err)
{
	int rc = 0;

	d->os = os;
	/* Rows are added meanwhile: what is under way may have something under way itself. */
	for (size_t i = 0; rc == 0 && i < os->n; i++) {
		const struct kind_file f = os->row[i].f;
		size_t before = d->n_flight;

		if (os->row[i].kind->in_flight)
			rc = os->row[i].kind->in_flight(d, &f, err);
		if (rc == 0 && d->n_flight > before)
			rc = add_in_flight(os, d, s, before, err);
	}
	count_all_queued(os, s);
	d->os = NULL;
	return rc;
}

void objects_done(struct objects *os)
{
	free(os->row);
	free(os->hash);
	free(os->inodes);
	free(os->socks);
	*os = (struct objects){ 0 };
}

uint32_t objects_id(const struct objects *os, uint64_t file_id)
{
	return os->hash_size ? slot_of(os, file_id)->id : 0;
}

uint32_t objects_by_inode(const struct objects *os, uint64_t inode_id)
{
	return os->hash_size ? slot_in(os->inodes, os->hash_size, inode_id)->id : 0;
}

uint32_t objects_by_sock(const struct objects *os, uint64_t sock_id)
{
	return os->hash_size && sock_id ? slot_in(os->socks, os->hash_size, sock_id)->id : 0;
}

const struct object_row *objects_row(const struct objects *os, uint32_t id)
{
	return id && id <= os->n ? &os->row[id - 1] : NULL;
}

static int by_tgid(const void *a, const void *b)
{
	const struct kind_pid *x = a, *y = b;

	return x->tgid < y->tgid ? -1 : x->tgid > y->tgid;
}

int kind_pids_open(struct kind_dump *d, const pid_t *tgids, size_t n, struct ckpt_err **err)
{
	kind_pids_close(d);
	d->pids = calloc(n + 1, sizeof(*d->pids));
	if (!d->pids)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i <= n; i++) {
		pid_t tgid = i < n ? tgids[i] : getpid();
		int fd = (int)syscall(SYS_pidfd_open, tgid, 0);

		if (fd < 0 && errno == ESRCH && !d->frozen)
			continue; /* it runs, and has ended */
		if (fd < 0)
			return ckpt_fail_errno(err, errno, CKPT_E_GONE, "process %d", tgid);
		d->pids[d->n_pids++] = (struct kind_pid){ .tgid = tgid, .pidfd = fd };
	}
	qsort(d->pids, d->n_pids, sizeof(*d->pids), by_tgid);
	return 0;
}

static void deferred_done(struct kind_deferred *w)
{
	free(w->data);
	close_reset(&w->fd);
}

void kind_pids_close(struct kind_dump *d)
{
	objects_drop_in_flight(d);
	for (size_t i = 0; i < d->n_deferred; i++)
		deferred_done(&d->deferred[i]);
	free(d->deferred);
	d->deferred = NULL;
	d->n_deferred = 0;
	for (size_t i = 0; i < d->n_pids; i++)
		close(d->pids[i].pidfd);
	free(d->pids);
	d->pids = NULL;
	d->n_pids = 0;
}

int kind_pidfd(const struct kind_dump *d, pid_t tgid)
{
	struct kind_pid key = { .tgid = tgid };
	const struct kind_pid *found =
		d->pids ? bsearch(&key, d->pids, d->n_pids, sizeof(key), by_tgid) : NULL;

	return found ? found->pidfd : -1;
}

const struct ckpt_kind *kind_of(const struct kind_file *f)
{
	size_t i = 0;

	while (!ckpt_kinds[i]->match(f))
		i++; /* the last one matches everything */
	return ckpt_kinds[i];
}

const struct ckpt_kind *kind_by_name(const char *name)
{
	for (size_t i = 0; ckpt_kinds[i]; i++)
		if (!strcmp(ckpt_kinds[i]->name, name))
			return ckpt_kinds[i];
	return NULL;
}

/* ---- checking and saving ---- */

static void subject_of(const struct kind_file *f, char *buf, size_t len)
{
	if (f->tgid == getpid())
		snprintf(buf, len, "file in a message");
	else if (f->fd >= 0)
		snprintf(buf, len, "fd %d", f->fd);
	else if (f->place)
		snprintf(buf, len, "%s", f->place);
	else
		snprintf(buf, len, "memory %#llx-%#llx", (unsigned long long)f->map_start,
			 (unsigned long long)f->map_end);
}

/* The judgement of an object, made once however many descriptors it has. */
struct verdict {
	bool made, bad;
	char what[512];
	struct ckpt_err *why; /* owned */
};

static void judge(const struct kind_dump *d, const struct object_row *r, struct verdict *v)
{
	if (v->made)
		return;
	v->made = true;
	v->bad = r->kind->check(d, &r->f, &v->why) < 0;
	r->kind->describe(&r->f, v->what, sizeof(v->what));
}

static int add_verdict(struct ckpt_findings *f, const struct verdict *v, pid_t pid,
		       const char *subject, struct ckpt_err **err)
{
	return findings_add(f, v->bad ? CKPT_NO : CKPT_YES, pid, subject, v->what,
			    v->bad ? ckpt_err_text(v->why) : "",
			    v->bad ? ckpt_err_hint(v->why) : "", err);
}

static int check_all(const struct objects *os, const struct kind_dump *d, struct verdict *v,
		     struct ckpt_findings *f, struct ckpt_err **err)
{
	char subject[64];
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < d->snap->n_files; i++) {
		const struct rec_file *file = d->snap->files[i].rec;
		size_t at = objects_id(os, file->inode.file_id) - 1;

		if (file->tgid == getpid())
			continue; /* under way in a message: judged below */
		judge(d, &os->row[at], &v[at]);
		snprintf(subject, sizeof(subject), "fd %d", file->fd);
		rc = add_verdict(f, &v[at], file->tgid, subject, err);
	}
	for (size_t i = 0; rc == 0 && i < os->n; i++) {
		pid_t tgid = os->row[i].f.tgid;

		if (v[i].made)
			continue;
		judge(d, &os->row[i], &v[i]);
		subject_of(&os->row[i].f, subject, sizeof(subject));
		rc = add_verdict(f, &v[i], tgid == getpid() ? 0 : tgid, subject, err);
	}
	return rc;
}

/* Locks belong to descriptors and processes, and are restored with the latter. */
static int check_locks(const struct snapshot *s, struct ckpt_findings *f, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < s->n_locks; i++) {
		struct ckpt_err *why = NULL;
		pid_t tgid = s->locks[i]->tgid;
		char subject[32];

		/* In order: once for each process, or thread with a table of its own. */
		if ((i && s->locks[i - 1]->tgid == tgid) || locks_check(s, tgid, &why) == 0)
			continue;
		snprintf(subject, sizeof(subject), "process %d", tables_tgid(s, tgid));
		rc = findings_add(f, CKPT_NO, tgid, subject, "file locks", ckpt_err_text(why),
				  ckpt_err_hint(why), err);
		ckpt_err_free(why);
	}
	return rc;
}

int objects_check(const struct objects *os, const struct kind_dump *d, struct ckpt_findings *f,
		  struct ckpt_err **err)
{
	struct verdict *v = calloc(os->n ? os->n : 1, sizeof(*v));
	struct kind_dump with_objects = *d;
	int rc;

	if (!v)
		return ckpt_fail_nomem(err);
	with_objects.os = os;
	rc = mapped_find(&with_objects, os, err);
	if (rc == 0)
		rc = check_all(os, &with_objects, v, f, err);
	if (rc == 0)
		rc = check_locks(d->snap, f, err);
	for (size_t i = 0; i < os->n; i++)
		ckpt_err_free(v[i].why);
	free(v);
	mapped_forget(&with_objects);
	return rc;
}

/* By enum pid_type of the kernel, and by F_OWNER_TID and so on, which are the same numbers. */
static const char *const owner_types[] = { "thread", "process", "group" };

/* The number of a group in the image: 0 for the one in which the tree began; -1: it is foreign. */
static pid_t owner_group(const struct kind_dump *d, pid_t pgid)
{
	const struct rec_process *root = snapshot_process(d->snap, d->root);

	if (root && root->pgid == pgid && !snapshot_process(d->snap, pgid))
		return 0;
	for (size_t i = 0; i < d->snap->n_processes; i++)
		if (d->snap->processes[i]->pgid == pgid)
			return d->snap->processes[i]->vpgid;
	return -1;
}

/*
 * Who gets SIGIO. A task or group of the checkpoint is told by its number in the program's own pid
 * namespace. Others are foreign, and their pid is for people only. F_SETOWN also notes the caller's
 * user, which cannot be told to the kernel, and is not saved.
 */
static int save_owner(const struct kind_dump *d, const struct rec_file *f, json_t *o)
{
	const struct rec_task *t = snapshot_task(d->snap, f->fown_pid);
	pid_t number = f->fown_pid_type == 2 ? owner_group(d, f->fown_pid) : t ? t->vtid : -1;
	json_t *owner, *info;
	int rc;

	if ((!f->fown_pid && !f->fown_signum) || f->fown_pid_type > 2)
		return 0;
	owner = json_object();
	rc = json_object_set_new(o, "owner", owner);
	rc |= js_set_int(owner, "signal", f->fown_signum);
	if (f->fown_pid && number >= 0) {
		rc |= json_object_set_new(owner, "type",
					  json_string(owner_types[f->fown_pid_type]));
		rc |= js_set_int(owner, "pid", number);
	} else if (f->fown_pid) {
		rc |= json_object_set_new(o, "foreign_owner", info = json_object());
		rc |= json_object_set_new(info, "type", json_string(owner_types[f->fown_pid_type]));
		rc |= js_set_int(info, "pid", f->fown_pid);
	}
	return rc;
}

static int save_common(const struct kind_dump *d, const struct object_row *r, json_t *o)
{
	const struct kind_file *f = &r->f;
	uint32_t flags = f->inode->f_flags & ~KERNEL_FLAGS;
	int rc = js_set_int(o, "id", r->id);

	rc |= json_object_set_new(o, "kind", json_string(r->kind->name));
	/* Nobody can ask a file that is only mapped for more than how it may be mapped. */
	rc |= js_set_int(o, "flags", f->file ? flags : flags & O_ACCMODE);
	if (f->file) {
		if (r->kind->has_pos && !(flags & O_PATH))
			rc |= js_set_int(o, "pos", (int64_t)f->file->pos);
		rc |= save_owner(d, f->file, o);
	}
	return rc;
}

static int save_row(struct kind_dump *d, const struct object_row *r, json_t *o,
		    struct ckpt_err **err)
{
	char subject[64], what[512];
	int rc;

	if (save_common(d, r, o))
		return ckpt_fail_nomem(err);
	rc = r->kind->save(d, &r->f, o, err);
	if (rc == 0)
		return 0;
	subject_of(&r->f, subject, sizeof(subject));
	r->kind->describe(&r->f, what, sizeof(what));
	return ckpt_wrap(err, rc, "save %s (%s)", subject, what);
}

int objects_save(const struct objects *os, struct kind_dump *d, bool contents, json_t **ret,
		 struct ckpt_err **err)
{
	_cleanup_json_ json_t *rows = json_array();
	struct image_writer *w = d->w;
	int rc = 0;

	if (!contents)
		d->w = NULL;
	d->contents = contents;
	d->os = os;
	if (contents)
		rc = mapped_find(d, os, err);
	for (size_t i = 0; rc == 0 && i < os->n; i++) {
		json_t *o = json_object();

		rc = json_array_append_new(rows, o) ? ckpt_fail_nomem(err)
						    : save_row(d, &os->row[i], o, err);
	}
	d->w = w;
	d->os = NULL;
	mapped_forget(d);
	if (rc == 0)
		*ret = TAKE_PTR(rows);
	return rc;
}

/* Takes over what is in *w. */
static int defer(struct kind_dump *d, const char *name, struct kind_deferred *w,
		 struct ckpt_err **err)
{
	struct kind_deferred *more = realloc(d->deferred, (d->n_deferred + 1) * sizeof(*more));

	if (!more) {
		deferred_done(w);
		return ckpt_fail_nomem(err);
	}
	d->deferred = more;
	more[d->n_deferred] = *w;
	snprintf(more[d->n_deferred++].name, sizeof(more->name), "%s", name);
	return 0;
}

int kind_defer_data(struct kind_dump *d, const char *name, void *data, size_t len,
		    struct ckpt_err **err)
{
	struct kind_deferred w = { .data = data, .len = len, .fd = -1 };

	return defer(d, name, &w, err);
}

int kind_defer_file(struct kind_dump *d, const char *name, int fd, uint64_t len,
		    struct ckpt_err **err)
{
	struct kind_deferred w = { .fd = fd, .len = len };
	struct stat st;

	if (fstat(fd, &st) < 0) {
		ckpt_fail_errno(err, errno, CKPT_E_SYS, "look at the file");
		close(fd);
		return -EIO;
	}
	w.mtime = st.st_mtim;
	return defer(d, name, &w, err);
}

/* One that is replaced meanwhile is a matter of its name; one that is written to is lost. */
static int same_file(const struct kind_deferred *w, struct ckpt_err **err)
{
	struct stat st;

	if (fstat(w->fd, &st) == 0 && (uint64_t)st.st_size == w->len &&
	    st.st_mtim.tv_sec == w->mtime.tv_sec && st.st_mtim.tv_nsec == w->mtime.tv_nsec)
		return 0;
	ckpt_fail(err, EAGAIN, CKPT_E_CHANGING, "somebody writes to it");
	ckpt_hint(err, "try again, or do without its contents (--save-mapped)");
	return -EAGAIN;
}

static int write_deferred(struct kind_dump *d, const struct kind_deferred *w, struct ckpt_err **err)
{
	_cleanup_close_ int to = -1;
	char path[PATH_MAX] = "?", link[40], safe[300];
	int rc;

	if (w->fd < 0)
		return image_data_write(d->w, w->name, w->data, w->len, err);
	rc = image_data_open(d->w, w->name, &to, err);
	if (rc == 0)
		rc = copy_sparse(w->fd, to, w->len, err);
	if (rc == 0)
		rc = same_file(w, err);
	if (rc == 0)
		return image_data_done(d->w, w->name, to, err);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", w->fd);
	if (readlink(link, path, sizeof(path) - 1) < 0)
		path[0] = '?';
	return ckpt_wrap(err, rc, "save the contents of %s", safe_text(safe, sizeof(safe), path));
}

int objects_write_deferred(struct kind_dump *d, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < d->n_deferred; i++)
		rc = write_deferred(d, &d->deferred[i], err);
	return rc;
}

/* ---- restoring ---- */

static int row_kind(const json_t *o, size_t i, const struct ckpt_kind **ret, struct ckpt_err **err)
{
	const char *name = "";
	uint32_t id = 0;
	int rc = js_str(o, "kind", &name, err);

	if (rc == 0)
		rc = js_u32(o, "id", &id, err);
	if (rc < 0)
		return rc;
	*ret = kind_by_name(name);
	if (!*ret || !(*ret)->open)
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE_VERSION,
				 "object %zu is of a kind that this version does not know: %.40s",
				 i + 1, name);
	if (id != i + 1)
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "object %zu has number %u", i + 1, id);
	return 0;
}

#define FAILURES_SHOWN 5

/* One chain of several failures; the first is the innermost, which gives code and hint. Takes them
 * over. */
static int gather(struct ckpt_err *failed[FAILURES_SHOWN], size_t n, int rc, struct ckpt_err **err)
{
	struct ckpt_err *all = failed[0];

	for (size_t i = 1; i < n && i < FAILURES_SHOWN; i++) {
		ckpt_wrap(&all, rc, "%s", ckpt_err_text(failed[i]));
		ckpt_err_free(failed[i]);
	}
	if (n > 1)
		ckpt_wrap(&all, rc, "%zu things that the process has open are not as they were%s",
			  n, n > FAILURES_SHOWN ? "; the first of them" : "");
	if (err && !*err)
		*err = all;
	else
		ckpt_err_free(all);
	return rc;
}

int objects_need(const struct kind_restore *r, struct ckpt_err **err)
{
	struct ckpt_err *failed[FAILURES_SHOWN] = { NULL };
	size_t n = json_array_size(r->objects), n_failed = 0;
	int first_rc = 0;

	for (size_t i = 0; i < n; i++) {
		const json_t *o = json_array_get(r->objects, i);
		struct ckpt_err *why = NULL;
		const struct ckpt_kind *k;
		int rc = row_kind(o, i, &k, &why);

		if (rc == 0 && k->need)
			rc = k->need(r, o, &why);
		if (rc == 0)
			continue;
		if (n_failed == 0)
			first_rc = rc;
		if (n_failed < FAILURES_SHOWN)
			failed[n_failed] = why;
		else
			ckpt_err_free(why);
		n_failed++;
	}
	return n_failed ? gather(failed, n_failed, first_rc, err) : 0;
}

static int set_signal(const json_t *o, int fd, struct ckpt_err **err)
{
	const json_t *owner = json_object_get(o, "owner");
	int32_t sig = 0;
	int rc = owner ? js_i32(owner, "signal", &sig, err) : 0;

	if (rc == 0 && sig && fcntl(fd, F_SETSIG, sig) < 0)
		rc = ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "set the signal of a descriptor");
	return rc;
}

static int owner_type(const json_t *owner, int *ret, struct ckpt_err **err)
{
	const char *name = "";
	int rc = js_str(owner, "type", &name, err);

	if (rc < 0)
		return rc;
	for (int i = 0; i < 3; i++)
		if (!strcmp(owner_types[i], name)) {
			*ret = i;
			return 0;
		}
	return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a descriptor's owner is a %.20s", name);
}

static int set_owner(const struct kind_restore *r, const json_t *owner, int fd,
		     struct ckpt_err **err)
{
	struct f_owner_ex ex = { 0 };
	int32_t saved = 0;
	int type = 0, rc = owner_type(owner, &type, err);

	if (rc == 0)
		rc = js_i32(owner, "pid", &saved, err);
	if (rc < 0)
		return rc;
	ex.type = (enum __pid_type)type;
	ex.pid = r->pid_now(r->userdata, saved);
	if (ex.pid < 0)
		ex.pid = -ex.pid; /* a group */
	if (!ex.pid)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
				 "a descriptor's owner, %d, is not in the image", saved);
	if (fcntl(fd, F_SETOWN_EX, &ex) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "set the owner of a descriptor");
	return 0;
}

int objects_finish(struct kind_restore *r, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i + 1 < r->n_fd; i++) {
		const json_t *o = json_array_get(r->objects, i), *owner;
		const struct ckpt_kind *k;

		owner = json_object_get(o, "owner");
		if (owner && json_object_get(owner, "type"))
			rc = set_owner(r, owner, r->fd[i + 1], err);
		if (rc == 0)
			rc = row_kind(o, i, &k, err);
		if (rc == 0 && k->finish)
			rc = k->finish(r, o, r->fd[i + 1], err);
	}
	return rc;
}

void objects_go(struct kind_restore *r)
{
	for (size_t i = 0; i + 1 < r->n_fd; i++) {
		const json_t *o = json_array_get(r->objects, i);
		const struct ckpt_kind *k;

		if (row_kind(o, i, &k, NULL) == 0 && k->go && r->fd[i + 1] >= 0)
			k->go(r, o, r->fd[i + 1]);
	}
}

static int set_common(const struct ckpt_kind *k, const json_t *o, int fd, struct ckpt_err **err)
{
	uint64_t pos = 0;
	int64_t flags = 0;
	int now = fcntl(fd, F_GETFL), rc = js_i64(o, "flags", &flags, err);

	if (rc == 0)
		rc = js_opt_u64(o, "pos", &pos, err);
	if (rc < 0)
		return rc;
	if (flags & O_PATH)
		return 0;
	if ((now ^ (int)flags) & SETFL_FLAGS & ~O_ASYNC &&
	    fcntl(fd, F_SETFL, (int)flags & SETFL_FLAGS & ~O_ASYNC) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "set the flags of a descriptor");
	if (k->has_pos && pos && lseek(fd, (off_t)pos, SEEK_SET) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "set a file position to %llu",
				       (unsigned long long)pos);
	rc = set_signal(o, fd, err);
	/* Last, when everything about the signal is known; the owner follows when it exists. */
	if (rc == 0 && flags & O_ASYNC && fcntl(fd, F_SETFL, (int)flags & SETFL_FLAGS) < 0)
		rc = ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "set the flags of a descriptor");
	return rc;
}

/* open() of the rows whose kind needs the tasks, or of those whose kind does not. */
static int open_rows(struct kind_restore *r, bool late, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i + 1 < r->n_fd; i++) {
		const json_t *o = json_array_get(r->objects, i);
		const struct ckpt_kind *k;

		rc = row_kind(o, i, &k, err);
		if (rc == 0 && k->needs_tasks == late && r->fd[i + 1] < 0)
			rc = k->open(r, o, &r->fd[i + 1], err);
	}
	return rc;
}

/* All ends of a pipe are opened with the first of them: so they are found without a search. */
static int chain_pipes(struct kind_restore *r, struct ckpt_err **err)
{
	size_t n = r->n_fd - 1;
	_cleanup_free_ uint32_t *last = calloc(n + 1, sizeof(*last));

	r->next_end = calloc(n + 1, sizeof(*r->next_end));
	if (!last || !r->next_end)
		return ckpt_fail_nomem(err);
	for (uint32_t id = 1; id <= n; id++) {
		json_int_t pipe = json_integer_value(
			json_object_get(json_array_get(r->objects, id - 1), "pipe"));

		if (pipe < 1 || pipe > (json_int_t)n)
			continue;
		if (last[pipe])
			r->next_end[last[pipe]] = id;
		last[pipe] = id;
	}
	return 0;
}

int objects_number(struct kind_restore *r, struct ckpt_err **err)
{
	size_t n = json_array_size(r->objects);

	r->fd = malloc((n + 1) * sizeof(*r->fd));
	r->made = calloc(n + 1, sizeof(*r->made));
	r->in_tasks = calloc(n + 1, sizeof(*r->in_tasks));
	if (!r->fd || !r->made || !r->in_tasks)
		return ckpt_fail_nomem(err);
	r->n_fd = n + 1;
	for (size_t i = 0; i <= n; i++)
		r->fd[i] = -1;
	return 0;
}

int objects_open(struct kind_restore *r, struct ckpt_err **err)
{
	if (chain_pipes(r, err) < 0)
		return -ENOMEM;
	return open_rows(r, false, err);
}

bool objects_row_is_placed(const json_t *o)
{
	const char *name = "";
	const struct ckpt_kind *k = js_str(o, "kind", &name, NULL) == 0 ? kind_by_name(name) : NULL;

	return k && k->placed;
}

bool objects_called_upon(const struct kind_restore *r, uint32_t id)
{
	const struct ckpt_kind *k;

	return id && row_kind(json_array_get(r->objects, id - 1), id - 1, &k, NULL) == 0 &&
	       k->called_upon;
}

/* connect() of the rows whose kind watches others, or of those whose kind does not; flags. */
static int connect_rows(struct kind_restore *r, bool last, struct ckpt_err **err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i + 1 < r->n_fd; i++) {
		const json_t *o = json_array_get(r->objects, i);
		const struct ckpt_kind *k;

		rc = row_kind(o, i, &k, err);
		if (rc < 0 || k->connects_last != last)
			continue;
		if (k->connect)
			rc = k->connect(r, o, r->fd[i + 1], err);
		if (rc == 0 && r->fd[i + 1] < 0)
			rc = ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "object %zu has no other end",
				       i + 1);
		if (rc == 0)
			rc = set_common(k, o, r->fd[i + 1], err);
	}
	return rc;
}

int objects_connect(struct kind_restore *r, struct ckpt_err **err)
{
	int rc = open_rows(r, true, err);

	if (rc == 0)
		rc = connect_rows(r, false, err);
	return rc < 0 ? rc : connect_rows(r, true, err);
}

void objects_close(struct kind_restore *r)
{
	procpid_mortal_end(r);
	for (size_t i = 0; i < r->n_fd && r->fd; i++)
		close_reset(&r->fd[i]);
	free(r->fd);
	free(r->made);
	free(r->next_end);
	free(r->in_tasks);
	r->fd = NULL;
	r->in_tasks = NULL;
	r->made = NULL;
	r->next_end = NULL;
	r->n_fd = 0;
	if (r->unix_net_free)
		r->unix_net_free(r->unix_net);
	r->unix_net = NULL;
	r->unix_net_free = NULL;
}

void objects_undo(const struct kind_restore *r)
{
	for (size_t i = 0; r->made && i + 1 < r->n_fd; i++) {
		const json_t *o = json_array_get(r->objects, i);
		const struct ckpt_kind *k;

		if (r->made[i + 1] && row_kind(o, i, &k, NULL) == 0 && k->undo)
			k->undo(r, o);
	}
}

int objects_segment(const struct kind_restore *r, uint32_t id, struct kind_segment *ret,
		    struct ckpt_err **err)
{
	const json_t *o = id ? json_array_get(r->objects, id - 1) : NULL;
	const struct ckpt_kind *k;
	int rc = o ? row_kind(o, id - 1, &k, err) : 0;

	if (rc < 0 || !o || !k->segment)
		return rc;
	rc = k->segment(r, o, ret, err);
	return rc < 0 ? rc : 1;
}

/* ---- comparing ---- */

static bool is_volatile(const struct ckpt_kind *k, const char *key)
{
	for (size_t i = 0; k->volatile_members && k->volatile_members[i]; i++)
		if (!strcmp(k->volatile_members[i], key))
			return true;
	return false;
}

static void to_text(const json_t *v, char *buf, size_t len)
{
	_cleanup_free_ char *text = v ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;

	safe_text(buf, len, text ? text : "absent");
}

int objects_same_member(const json_t *saved, const json_t *now, const char *key,
			struct ckpt_err **err)
{
	const json_t *a = json_object_get(saved, key), *b = json_object_get(now, key);
	char was[100], is[100];

	if (a == b || (a && b && json_equal(a, b)))
		return 0;
	to_text(a, was, sizeof(was));
	to_text(b, is, sizeof(is));
	return ckpt_fail(err, EIO, CKPT_E_DIFFERENT, "its %s was %s, is %s", key, was, is);
}

/* Those of the members of `of`, which is one of the two, that count. */
static int members_same(const struct ckpt_kind *k, const json_t *of, const json_t *a,
			const json_t *b, struct ckpt_err **err)
{
	const char *key;
	json_t *v;
	int rc = 0;

	/* The cast: jansson's iterators take no const objects. */
	json_object_foreach((json_t *)(uintptr_t)of, key, v) {
		if (rc == 0 && strcmp(key, "info") && strcmp(key, "foreign_owner") &&
		    strcmp(key, "flags") && !is_volatile(k, key))
			rc = objects_same_member(a, b, key, err);
	}
	return rc;
}

/*
 * O_LARGEFILE (0 in the headers of a 64-bit libc) says only by which call a description was made,
 * and cannot be set: a terminal from posix_openpt(3) lacks it, opened again it has it.
 */
#define KERNEL_O_LARGEFILE 0100000
/* Of a file reopened through /proc it would forbid the way there; it says nothing once a file is
 * open. */
/* mq_open(2) alone leaves it there; it is the descriptor's. */
#define NOT_COMPARED (KERNEL_O_LARGEFILE | O_NOFOLLOW | O_CLOEXEC)

static int flags_same(const json_t *a, const json_t *b, struct ckpt_err **err)
{
	int64_t was = 0, is = 0;
	int rc = js_i64(a, "flags", &was, err);

	if (rc == 0)
		rc = js_i64(b, "flags", &is, err);
	if (rc == 0 && (was ^ is) & ~(int64_t)NOT_COMPARED)
		rc = ckpt_fail(err, EIO, CKPT_E_DIFFERENT, "its flags were %#llo, are %#llo",
			       (unsigned long long)was, (unsigned long long)is);
	return rc;
}

static int row_same(const struct ckpt_kind *k, size_t i, const json_t *a, const json_t *b,
		    struct ckpt_err **err)
{
	static const char *const common[] = { "id", "kind", "pos", "owner" };
	char path[200] = "";
	_cleanup_free_ char *bytes = NULL;
	int rc = 0;

	for (size_t c = 0; rc == 0 && c < sizeof(common) / sizeof(common[0]); c++)
		if (!is_volatile(k, common[c]))
			rc = objects_same_member(a, b, common[c], err);
	if (rc == 0 && !is_volatile(k, "flags"))
		rc = flags_same(a, b, err);
	if (rc == 0 && k->same)
		rc = k->same(a, b, err);
	else if (rc == 0)
		rc = members_same(k, a, a, b, err);
	if (rc == 0 && !k->same)
		rc = members_same(k, b, a, b, err);
	if (rc == 0)
		return 0;
	if (json_object_get(a, "path") && js_bytes(a, "path", &bytes, NULL) == 0)
		safe_text(path, sizeof(path), bytes);
	return ckpt_wrap(err, rc, "object %zu (%s%s%s) did not come back as it was", i + 1, k->name,
			 path[0] ? " " : "", path);
}

int objects_same(const json_t *saved, const json_t *now, struct ckpt_err **err)
{
	size_t n = json_array_size(saved);
	int rc = 0;

	if (n != json_array_size(now))
		return ckpt_fail(err, EIO, CKPT_E_DIFFERENT, "there were %zu open files, now %zu",
				 n, json_array_size(now));
	for (size_t i = 0; rc == 0 && i < n; i++) {
		const json_t *a = json_array_get(saved, i), *b = json_array_get(now, i);
		const struct ckpt_kind *k;

		rc = row_kind(a, i, &k, err);
		if (rc == 0)
			rc = row_same(k, i, a, b, err);
	}
	return rc;
}
