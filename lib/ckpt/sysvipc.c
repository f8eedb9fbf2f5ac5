// SPDX-License-Identifier: LGPL-2.1-or-later
/* System V semaphores and message queues: looking at them. See sysvipc.h; build_sysv.c makes them.
 */
#include "sysvipc.h"
#include "kind.h"
#include "util.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <xxhash.h>

#ifndef SEM_STAT_ANY
#define SEM_STAT_ANY 20
#endif
#ifndef MSG_STAT_ANY
#define MSG_STAT_ANY 13
#endif
#ifndef MSG_COPY
#define MSG_COPY 040000
#endif
#define SEMS_MAX	65536u
#define MESSAGES_MAX	(1u << 20)
#define QUEUE_BYTES_MAX (1ULL << 31)

union semun {
	int val;
	struct semid_ds *buf;
	unsigned short *array;
	struct seminfo *info;
};

/* The pid in the program's own numbering, 0: not of these processes. */
static pid_t vpid_of(const struct snapshot *s, pid_t pid)
{
	const struct rec_task *t =
		pid > 0 && snapshot_process(s, pid) ? snapshot_task(s, pid) : NULL;

	return t ? t->vtgid : 0;
}

/* ---- adjustments ---- */

/* Those of a process; a list that threads share is told of once. */
static const struct rec_sem_undo *undo_row(const struct snapshot *s, pid_t tgid, size_t i,
					   size_t *ret_n)
{
	const void *const *rows = snapshot_details(s, REC_SEM_UNDO, tgid, 0, ret_n);

	return i < *ret_n ? rows[i] : NULL;
}

static bool has_undo_in(const struct snapshot *s, int id)
{
	for (size_t i = 0; i < s->n_processes; i++) {
		const struct rec_sem_undo *u;
		size_t n = 1;

		for (size_t k = 0; k < n; k++) {
			u = undo_row(s, s->processes[i]->tgid, k, &n);
			if (u && u->semid == id)
				return true;
		}
	}
	return false;
}

/* 0: the set is gone, and the adjustments with it. */
static size_t semaphores_in(int id)
{
	struct semid_ds ds = { 0 };

	return semctl(id, 0, IPC_STAT, (union semun){ .buf = &ds }) == 0 ? ds.sem_nsems : 0;
}

int sysvipc_check(const struct snapshot *s, pid_t tgid, struct ckpt_err **err)
{
	const struct rec_task *leader = snapshot_task(s, tgid);
	const struct rec_sem_undo *u;
	size_t n = 1;

	for (size_t k = 0; k < n; k++) {
		u = undo_row(s, tgid, k, &n);
		if (!u)
			break;
		if (leader && u->list_id != leader->sysvsem_id)
			return ckpt_fail(
				err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
				"thread %d has semaphore adjustments (SEM_UNDO) of its own",
				u->tid);
		if (semaphores_in(u->semid) > REC_SEM_UNDO_MAX)
			return ckpt_fail(
				err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
				"it has adjustments (SEM_UNDO) in semaphore set %d, which has "
				"more than %d semaphores",
				u->semid, REC_SEM_UNDO_MAX);
	}
	/* Even if there are none now: they would be undone at the end of the last of them. */
	for (size_t i = 0; leader && leader->sysvsem_id && i < s->n_tasks; i++)
		if (s->tasks[i]->tgid != tgid && s->tasks[i]->sysvsem_id == leader->sysvsem_id)
			return ckpt_fail(
				err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
				"its semaphore adjustments (SEM_UNDO) are shared with process "
				"%d (CLONE_SYSVSEM)",
				s->tasks[i]->tgid);
	return 0;
}

static int undo_set_save(const struct rec_sem_undo *u, json_t *rows)
{
	size_t n = semaphores_in(u->semid);
	json_t *row, *adjust;
	char text[32];
	int rc;

	if (n > REC_SEM_UNDO_MAX)
		n = REC_SEM_UNDO_MAX;
	row = json_object();
	adjust = json_array();
	rc = js_set_int(row, "set", u->semid);
	rc |= json_object_set_new(row, "adjust", adjust);
	for (size_t i = 0; i < n; i++) {
		if (!u->adjust[i])
			continue;
		snprintf(text, sizeof(text), "%zu %d", i, u->adjust[i]);
		rc |= json_array_append_new(adjust, json_string(text));
	}
	if (json_array_size(adjust))
		return rc | json_array_append_new(rows, row);
	json_decref(row);
	return rc;
}

int sysvipc_undo_save(const struct snapshot *s, pid_t tgid, json_t *o, struct ckpt_err **err)
{
	_cleanup_json_ json_t *rows = json_array();
	const struct rec_sem_undo *u;
	size_t n = 1;

	for (size_t k = 0; k < n; k++) {
		u = undo_row(s, tgid, k, &n);
		if (u && u->semid >= 0 && undo_set_save(u, rows))
			return ckpt_fail_nomem(err);
	}
	if (json_array_size(rows) && json_object_set(o, "sem_undo", rows))
		return ckpt_fail_nomem(err);
	return 0;
}

/* ---- saving semaphores ---- */

static int fail_set(int id, struct ckpt_err **err)
{
	return ckpt_fail_errno(err, errno, CKPT_E_SYS, "look at semaphore set %d", id);
}

/* pids: as the program numbers them. */
static int read_set(const struct snapshot *s, int id, size_t n, unsigned short *value, pid_t *pid,
		    bool *ret_ours, struct ckpt_err **err)
{
	if (semctl(id, 0, GETALL, (union semun){ .array = value }) < 0)
		return fail_set(id, err);
	*ret_ours = has_undo_in(s, id);
	for (size_t i = 0; i < n; i++) {
		int got = semctl(id, (int)i, GETPID);

		if (got < 0)
			return fail_set(id, err);
		pid[i] = vpid_of(s, got);
		*ret_ours |= pid[i] != 0;
	}
	return 0;
}

static int set_save(const struct snapshot *s, int id, const struct semid_ds *ds, json_t *rows,
		    struct ckpt_err **err)
{
	_cleanup_free_ unsigned short *value = calloc(ds->sem_nsems + 1, sizeof(*value));
	_cleanup_free_ pid_t *pid = calloc(ds->sem_nsems + 1, sizeof(*pid));
	json_t *o, *values, *pids;
	bool ours = false;
	int rc = value && pid ? 0 : ckpt_fail_nomem(err);

	if (rc == 0)
		rc = read_set(s, id, ds->sem_nsems, value, pid, &ours, err);
	if (rc < 0 || !ours)
		return rc;
	o = json_object();
	rc = json_array_append_new(rows, o);
	rc |= js_set_int(o, "id", id);
	rc |= sysvid_save(&ds->sem_perm, o);
	rc |= js_set_int(o, "changed_s", ds->sem_ctime);
	rc |= js_set_bool(o, "used", ds->sem_otime != 0);
	rc |= json_object_set_new(o, "values", values = json_array());
	rc |= json_object_set_new(o, "pids", pids = json_array());
	for (size_t i = 0; i < ds->sem_nsems; i++) {
		rc |= json_array_append_new(values, json_integer(value[i]));
		rc |= json_array_append_new(pids, json_integer(pid[i]));
	}
	return rc ? ckpt_fail_nomem(err) : 0;
}

static int sets_save(const struct snapshot *s, json_t *rows, struct ckpt_err **err)
{
	struct seminfo info = { 0 };
	int last = semctl(0, 0, SEM_INFO, (union semun){ .info = &info });

	for (int i = 0; i <= last; i++) {
		struct semid_ds ds = { 0 };
		int id = semctl(i, 0, SEM_STAT_ANY, (union semun){ .buf = &ds }), rc;

		/* There are gaps, and some may go away at any time. */
		rc = id < 0 ? 0 : set_save(s, id, &ds, rows, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- saving messages ---- */

struct message {
	long type;
	char text[];
};

/* All messages of a queue, without taking them: "TYPE BYTES" each, and their bytes. */
static int copy_messages(int id, const struct msqid_ds *ds, json_t *rows, char *bytes,
			 uint64_t *ret_len, struct ckpt_err **err)
{
	_cleanup_free_ struct message *m = malloc(sizeof(*m) + ds->__msg_cbytes + 1);
	uint64_t len = 0;

	if (!m)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < ds->msg_qnum; i++) {
		ssize_t n = msgrcv(id, m, ds->__msg_cbytes + 1, (long)i, MSG_COPY | IPC_NOWAIT);
		char text[64];

		if (n < 0 && errno == ENOSYS)
			return ckpt_fail(err, ENOSYS, CKPT_E_KERNEL,
					 "this kernel cannot show messages of System V queues "
					 "(CONFIG_CHECKPOINT_RESTORE)");
		if (n < 0 || (uint64_t)n > ds->__msg_cbytes - len)
			return ckpt_fail(err, EAGAIN, CKPT_E_CHANGING,
					 "message queue %d changed while it was read", id);
		memcpy(bytes + len, m->text, (size_t)n);
		len += (uint64_t)n;
		snprintf(text, sizeof(text), "%ld %zd", m->type, n);
		if (json_array_append_new(rows, json_string(text)))
			return ckpt_fail_nomem(err);
	}
	*ret_len = len;
	return 0;
}

static int messages_save(int id, const struct msqid_ds *ds, struct image_writer *w, json_t *o,
			 struct ckpt_err **err)
{
	_cleanup_free_ char *bytes = malloc(ds->__msg_cbytes + 1);
	json_t *rows = json_array();
	uint64_t len = 0;
	char text[40];
	int rc;

	if (json_object_set_new(o, "messages", rows) || !bytes)
		return ckpt_fail_nomem(err);
	rc = copy_messages(id, ds, rows, bytes, &len, err);
	if (rc < 0)
		return rc;
	snprintf(text, sizeof(text), "%016llx", (unsigned long long)XXH3_64bits(bytes, len));
	if (json_object_set_new(o, "contents_xxh3", json_string(text)))
		return ckpt_fail_nomem(err);
	if (!w)
		return 0;
	snprintf(text, sizeof(text), "sysvmsg-%d", id);
	if (json_object_set_new(o, "data", json_string(text)))
		return ckpt_fail_nomem(err);
	return image_data_write(w, text, bytes, len, err);
}

static int queue_save(const struct snapshot *s, int id, const struct msqid_ds *ds,
		      struct image_writer *w, json_t *rows, struct ckpt_err **err)
{
	pid_t sender = vpid_of(s, ds->msg_lspid), receiver = vpid_of(s, ds->msg_lrpid);
	json_t *o;
	int rc;

	if (!sender && !receiver)
		return 0;
	o = json_object();
	rc = json_array_append_new(rows, o);
	rc |= js_set_int(o, "id", id);
	rc |= sysvid_save(&ds->msg_perm, o);
	rc |= js_set_int(o, "changed_s", ds->msg_ctime);
	rc |= js_set_int(o, "max_bytes", (int64_t)ds->msg_qbytes);
	rc |= js_set_int(o, "sender", sender);
	rc |= js_set_int(o, "receiver", receiver);
	return rc ? ckpt_fail_nomem(err) : messages_save(id, ds, w, o, err);
}

static int queues_save(const struct snapshot *s, struct image_writer *w, json_t *rows,
		       struct ckpt_err **err)
{
	struct msginfo info = { 0 };
	int last = msgctl(0, MSG_INFO, (struct msqid_ds *)(void *)&info);

	for (int i = 0; i <= last; i++) {
		struct msqid_ds ds = { 0 };
		int id = msgctl(i, MSG_STAT_ANY, &ds), rc;

		rc = id < 0 ? 0 : queue_save(s, id, &ds, w, rows, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int sysvipc_save(const struct snapshot *s, struct image_writer *w, json_t **ret,
		 struct ckpt_err **err)
{
	_cleanup_json_ json_t *o = json_object();
	json_t *sets = json_array(), *queues = json_array();
	int rc;

	if (json_object_set_new(o, "semaphores", sets) || json_object_set_new(o, "queues", queues))
		return ckpt_fail_nomem(err);
	rc = sets_save(s, sets, err);
	if (rc == 0)
		rc = queues_save(s, w, queues, err);
	if (rc == 0)
		*ret = json_array_size(sets) || json_array_size(queues) ? TAKE_PTR(o) : NULL;
	return rc;
}

/* ---- restoring ---- */

/* Is this pid somebody's who lives, other than the one that the image names? */
static bool is_other(pid_t pid, pid_t saved)
{
	return pid > 0 && pid != saved && pid != getpid() && (kill(pid, 0) == 0 || errno == EPERM);
}

static int fail_used(const char *what, int32_t id, pid_t pid, struct ckpt_err **err)
{
	if (pid)
		ckpt_fail(err, EBUSY, CKPT_E_RESTORE, "process %d has used %s %d since", pid, what,
			  id);
	else
		ckpt_fail(err, EBUSY, CKPT_E_RESTORE, "somebody waits at %s %d", what, id);
	ckpt_hint(err, "end the processes that use it (ipcs -s -q -p)");
	return -EBUSY;
}

void semset_done(struct semset *s)
{
	free(s->value);
	free(s->pid);
	*s = (struct semset){ 0 };
}

int semset_parse(const json_t *o, struct semset *s, struct ckpt_err **err)
{
	json_t *values, *pids;
	int rc = js_i32(o, "id", &s->id, err);

	if (rc == 0)
		rc = sysvid_parse(o, &s->who, err);
	if (rc == 0)
		rc = js_i64(o, "changed_s", &s->changed_s, err);
	if (rc == 0)
		rc = js_bool(o, "used", &s->used, err);
	if (rc == 0)
		rc = js_arr(o, "values", &values, err);
	if (rc == 0)
		rc = js_arr(o, "pids", &pids, err);
	if (rc < 0)
		return rc;
	s->n = json_array_size(values);
	s->value = calloc(s->n + 1, sizeof(*s->value));
	s->pid = calloc(s->n + 1, sizeof(*s->pid));
	if (!s->value || !s->pid)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < s->n; i++) {
		json_int_t v = json_integer_value(json_array_get(values, i));
		json_int_t p = json_integer_value(json_array_get(pids, i));

		if (v < 0 || v > 32767 || p < 0 || p > INT32_MAX)
			return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a semaphore is not sound");
		s->value[i] = (uint16_t)v;
		s->pid[i] = (pid_t)p;
	}
	if (s->id < 0 || s->n == 0 || s->n > SEMS_MAX || json_array_size(pids) != s->n)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a semaphore set is not sound");
	return 0;
}

/* Others may have it as it is, but not be robbed of what they did with it. */
static int semset_unused(const struct semset *s, struct ckpt_err **err)
{
	_cleanup_free_ unsigned short *value = calloc(s->n, sizeof(*value));
	bool same = true;

	if (!value)
		return ckpt_fail_nomem(err);
	if (semctl(s->id, 0, GETALL, (union semun){ .array = value }) < 0)
		return fail_set(s->id, err);
	for (size_t i = 0; i < s->n; i++)
		same &= value[i] == s->value[i];
	for (size_t i = 0; !same && i < s->n; i++) {
		pid_t pid = semctl(s->id, (int)i, GETPID);

		if (is_other(pid, s->pid[i]))
			return fail_used("semaphore set", s->id, pid, err);
		if (semctl(s->id, (int)i, GETNCNT) > 0 || semctl(s->id, (int)i, GETZCNT) > 0)
			return fail_used("semaphore set", s->id, 0, err);
	}
	return 1;
}

int semset_look(const struct semset *s, bool allow_changed, struct ckpt_err **err)
{
	struct semid_ds ds = { 0 };

	if (semctl(s->id, 0, IPC_STAT, (union semun){ .buf = &ds }) < 0) {
		if (errno != EINVAL && errno != EIDRM)
			return fail_set(s->id, err);
		return sysvid_key_free("semaphore set", &s->who,
				       s->who.key ? semget(s->who.key, 0, 0) : -1, 's', err);
	}
	if (!sysvid_same(&s->who, &ds.sem_perm) || ds.sem_nsems != s->n)
		return sysvid_fail_other("semaphore set", s->id, 's', err);
	if (ds.sem_ctime != s->changed_s && !allow_changed)
		return sysvid_fail_changed("semaphore set", s->id, 's', err);
	return semset_unused(s, err);
}

void msgqueue_done(struct msgqueue *q)
{
	free(q->msg);
	free(q->bytes);
	*q = (struct msgqueue){ 0 };
}

static int parse_messages(const json_t *rows, struct msgqueue *q, struct ckpt_err **err)
{
	q->n = json_array_size(rows);
	if (q->n > MESSAGES_MAX)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a queue has too many messages");
	q->msg = calloc(q->n + 1, sizeof(*q->msg));
	if (!q->msg)
		return ckpt_fail_nomem(err);
	for (size_t i = 0; i < q->n; i++) {
		const char *text = json_string_value(json_array_get(rows, i));
		long long type = 0;
		unsigned long long len = 0;

		if (!text || sscanf(text, "%lld %llu", &type, &len) != 2 || type < 1 ||
		    len > QUEUE_BYTES_MAX - q->len)
			return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a message is not understood");
		q->msg[i] = (struct sysvmsg){ .type = type, .len = len, .at = q->len };
		q->len += len;
	}
	return 0;
}

static int load_bytes(const struct image *im, const json_t *o, struct msgqueue *q,
		      struct ckpt_err **err)
{
	_cleanup_close_ int fd = -1;
	const char *name = "";
	int rc = js_str(o, "data", &name, err);

	if (rc == 0)
		rc = image_file_open(im, true, name, &fd, err);
	if (rc < 0)
		return rc;
	q->bytes = malloc(q->len + 1);
	if (!q->bytes)
		return ckpt_fail_nomem(err);
	rc = pread_all(fd, q->bytes, q->len, 0);
	return rc < 0 ? ckpt_fail_errno(err, rc, CKPT_E_IMAGE, "read data/%s", name) : 0;
}

int msgqueue_parse(const struct image *im, const json_t *o, struct msgqueue *q,
		   struct ckpt_err **err)
{
	json_t *rows;
	int rc = js_i32(o, "id", &q->id, err);

	if (rc == 0)
		rc = sysvid_parse(o, &q->who, err);
	if (rc == 0)
		rc = js_i64(o, "changed_s", &q->changed_s, err);
	if (rc == 0)
		rc = js_u64(o, "max_bytes", &q->max_bytes, err);
	if (rc == 0)
		rc = js_i32(o, "sender", &q->sender, err);
	if (rc == 0)
		rc = js_i32(o, "receiver", &q->receiver, err);
	if (rc == 0)
		rc = js_arr(o, "messages", &rows, err);
	if (rc == 0 && (q->id < 0 || q->sender < 0 || q->receiver < 0))
		rc = ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a message queue is not sound");
	if (rc == 0)
		rc = parse_messages(rows, q, err);
	return rc < 0 ? rc : load_bytes(im, o, q, err);
}

static int has_same_messages(const struct msgqueue *q, const struct msqid_ds *ds, bool *ret,
			     struct ckpt_err **err)
{
	_cleanup_free_ char *bytes = NULL;
	_cleanup_json_ json_t *rows = json_array();
	uint64_t len = 0;
	char text[64];
	int rc;

	*ret = ds->msg_qnum == q->n && ds->__msg_cbytes == q->len;
	if (!*ret)
		return 0;
	bytes = malloc(q->len + 1);
	if (!bytes || !rows)
		return ckpt_fail_nomem(err);
	rc = copy_messages(q->id, ds, rows, bytes, &len, err);
	if (rc < 0)
		return rc;
	*ret = memcmp(bytes, q->bytes, q->len) == 0;
	for (size_t i = 0; *ret && i < q->n; i++) {
		snprintf(text, sizeof(text), "%lld %llu", (long long)q->msg[i].type,
			 (unsigned long long)q->msg[i].len);
		*ret = !strcmp(text, json_string_value(json_array_get(rows, i)));
	}
	return 0;
}

int msgqueue_unused(const struct msgqueue *q, struct ckpt_err **err)
{
	struct msqid_ds ds = { 0 };

	if (msgctl(q->id, IPC_STAT, &ds) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "look at message queue %d",
				       q->id);
	if (is_other(ds.msg_lspid, q->sender))
		return fail_used("message queue", q->id, ds.msg_lspid, err);
	if (is_other(ds.msg_lrpid, q->receiver))
		return fail_used("message queue", q->id, ds.msg_lrpid, err);
	return 0;
}

int msgqueue_look(const struct msgqueue *q, bool allow_changed, bool *ret_same,
		  struct ckpt_err **err)
{
	struct msqid_ds ds = { 0 };
	int rc;

	*ret_same = false;
	if (msgctl(q->id, IPC_STAT, &ds) < 0) {
		if (errno != EINVAL && errno != EIDRM)
			return ckpt_fail_errno(err, errno, CKPT_E_RESTORE,
					       "look at message queue %d", q->id);
		return sysvid_key_free("message queue", &q->who,
				       q->who.key ? msgget(q->who.key, 0) : -1, 'q', err);
	}
	if (!sysvid_same(&q->who, &ds.msg_perm))
		return sysvid_fail_other("message queue", q->id, 'q', err);
	if (ds.msg_ctime != q->changed_s && !allow_changed)
		return sysvid_fail_changed("message queue", q->id, 'q', err);
	rc = has_same_messages(q, &ds, ret_same, err);
	if (rc < 0 || *ret_same)
		return rc < 0 ? rc : 1;
	rc = msgqueue_unused(q, err);
	return rc < 0 ? rc : 1;
}

static int need_set(const json_t *o, bool here, bool allow_changed, struct ckpt_err **err)
{
	struct semset s = { 0 };
	int rc = semset_parse(o, &s, err);

	if (rc == 0 && here)
		rc = semset_look(&s, allow_changed, err);
	semset_done(&s);
	return rc < 0 ? rc : 0;
}

static int need_queue(const struct image *im, const json_t *o, bool here, bool allow_changed,
		      struct ckpt_err **err)
{
	struct msgqueue q = { 0 };
	bool same;
	int rc = msgqueue_parse(im, o, &q, err);

	if (rc == 0 && here)
		rc = msgqueue_look(&q, allow_changed, &same, err);
	msgqueue_done(&q);
	return rc < 0 ? rc : 0;
}

int sysvipc_need(const struct image *im, const json_t *sysv, bool here, bool allow_changed,
		 struct ckpt_err **err)
{
	json_t *sets, *queues;
	int rc;

	if (!sysv)
		return 0;
	rc = js_arr(sysv, "semaphores", &sets, err);
	if (rc == 0)
		rc = js_arr(sysv, "queues", &queues, err);
	for (size_t i = 0; rc == 0 && i < json_array_size(sets); i++)
		rc = need_set(json_array_get(sets, i), here, allow_changed, err);
	for (size_t i = 0; rc == 0 && i < json_array_size(queues); i++)
		rc = need_queue(im, json_array_get(queues, i), here, allow_changed, err);
	return rc;
}

/* ---- comparing ---- */

static const json_t *row_of(const json_t *rows, const json_t *id)
{
	for (size_t i = 0; i < json_array_size(rows); i++)
		if (json_equal(json_object_get(json_array_get(rows, i), "id"), id))
			return json_array_get(rows, i);
	return NULL;
}

/* Others that the tree touches now, as it had not before, are no matter. */
static int rows_same(const json_t *saved, const json_t *now, const char *sort, const char *what,
		     struct ckpt_err **err)
{
	static const char *const volatile_members[] = { "changed_s", "data", NULL };
	const json_t *rows = json_object_get(saved, sort);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < json_array_size(rows); i++) {
		json_t *a = json_array_get(rows, i), *v;
		const json_t *id = json_object_get(a, "id");
		const json_t *b = row_of(json_object_get(now, sort), id);
		const char *key;

		if (!b)
			return ckpt_fail(err, EIO, CKPT_E_DIFFERENT, "%s %lld did not come back",
					 what, (long long)json_integer_value(id));
		json_object_foreach(a, key, v) {
			if (rc == 0 && strcmp(key, volatile_members[0]) &&
			    strcmp(key, volatile_members[1]))
				rc = objects_same_member(a, b, key, err);
		}
		if (rc < 0)
			return ckpt_wrap(err, rc, "%s %lld did not come back as it was", what,
					 (long long)json_integer_value(id));
	}
	return rc;
}

int sysvipc_same(const json_t *saved, const json_t *now, struct ckpt_err **err)
{
	int rc = rows_same(saved, now, "semaphores", "semaphore set", err);

	return rc < 0 ? rc : rows_same(saved, now, "queues", "message queue", err);
}
