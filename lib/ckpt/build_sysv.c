// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * System V semaphores and message queues of a tree under construction. See sysvipc.h and build.h.
 *
 * Values and messages are set by this process. What the kernel notes of the caller (who changed a
 * semaphore last, what to undo when it ends, who sent or received last) can only be brought about
 * by calls of the processes themselves: by pairs of operations that leave a semaphore as it was,
 * and by a message without text that comes and goes.
 */
#include "build.h"
#include "sysvipc.h"
#include "util.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/syscall.h>

#define SEM_VALUE_MAX	32767
#define REMOTE_TEXT_MAX (256u << 10)
#define KERNEL_IPC_EXCL (IPC_CREAT | IPC_EXCL | 0600)

union semun {
	int val;
	struct semid_ds *buf;
	unsigned short *array;
};

static int note_made(struct restore *r, bool queue, int32_t id, struct ckpt_err **err)
{
	struct sysv_made *more = realloc(r->sysv_made, (r->n_sysv_made + 1) * sizeof(*more));

	if (!more)
		return ckpt_fail_nomem(err);
	r->sysv_made = more;
	more[r->n_sysv_made++] = (struct sysv_made){ .queue = queue, .id = id };
	return 0;
}

void build_sysv_undo(struct restore *r)
{
	for (size_t i = 0; i < r->n_sysv_made; i++) {
		if (r->sysv_made[i].queue)
			msgctl(r->sysv_made[i].id, IPC_RMID, NULL);
		else
			semctl(r->sysv_made[i].id, 0, IPC_RMID);
	}
	r->n_sysv_made = 0;
}

/* A living process of the tree by its saved pid. */
static struct build *process_of(struct restore *r, pid_t vpid)
{
	for (size_t i = 0; vpid && i < r->n_procs; i++)
		if (r->proc[i].vpid == vpid && !r->proc[i].zombie)
			return &r->proc[i];
	return NULL;
}

/* ---- semaphores: values ---- */

static int get_set(void *arg)
{
	const struct semset *s = arg;

	return semget(s->who.key, (int)s->n, KERNEL_IPC_EXCL);
}

static int remove_set(int id)
{
	return semctl(id, 0, IPC_RMID);
}

static int make_set(struct restore *r, struct semset *s, struct ckpt_err **err)
{
	static const struct sysvid_maker maker = { .what = "semaphore set",
						   .option = 's',
						   .next_id = "sem_next_id",
						   .get = get_set,
						   .remove = remove_set };
	struct semid_ds ds = { 0 };
	int rc = sysvid_make(&maker, s->id, &s->who, s, err);

	if (rc == 0)
		rc = note_made(r, false, s->id, err);
	if (rc < 0)
		return rc;
	sysvid_into(&s->who, &ds.sem_perm);
	if (semctl(s->id, 0, IPC_SET, (union semun){ .buf = &ds }) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE,
				       "give semaphore set %d its owner", s->id);
	return 0;
}

static int set_values(struct semset *s, struct ckpt_err **err)
{
	_cleanup_free_ unsigned short *now = calloc(s->n, sizeof(*now));

	if (!now)
		return ckpt_fail_nomem(err);
	if (semctl(s->id, 0, GETALL, (union semun){ .array = now }) == 0 &&
	    memcmp(now, s->value, s->n * sizeof(*now)) == 0)
		return 0;
	if (semctl(s->id, 0, SETALL, (union semun){ .array = s->value }) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "set semaphore set %d", s->id);
	return 0;
}

/* ---- semaphores: what belongs to processes ---- */

/*
 * Two operations at once that leave a semaphore as it was, the one with `flags` being `op`. In
 * which order they are done is chosen so that its value stays within the bounds.
 */
static void make_pair(struct sembuf pair[2], size_t num, uint16_t value, int op, short flags)
{
	int there = value + op >= 0 && value + op <= SEM_VALUE_MAX ? 0 : 1;

	pair[there] =
		(struct sembuf){ (unsigned short)num, (short)op, (short)(flags | IPC_NOWAIT) };
	pair[!there] = (struct sembuf){ (unsigned short)num, (short)-op, IPC_NOWAIT };
}

/* The largest step that one order or the other can do. */
static int pair_max(uint16_t value)
{
	return value > SEM_VALUE_MAX - value ? value : SEM_VALUE_MAX - value;
}

static int remote_pair(struct build *b, int32_t id, const struct sembuf pair[2],
		       struct ckpt_err **err)
{
	struct arena *a = &b->r->arena;
	int rc = build_room(b, b->pid, 1, 2 * sizeof(*pair) + 16, err);

	if (rc == 0)
		arena_op(a, "operate on a semaphore", SYS_semop, (uint64_t)id,
			 arena_data(a, pair, 2 * sizeof(*pair)), 2, 0, 0, 0);
	return rc;
}

/* "NUMBER VALUE": what is added at the end of the process. */
static int adjust(struct build *b, const struct semset *s, const json_t *row, struct ckpt_err **err)
{
	const char *text = json_string_value(row);
	unsigned int num = 0;
	int left = 0, rc = 0;

	if (!text || sscanf(text, "%u %d", &num, &left) != 2 || num >= s->n ||
	    abs(left) > SEM_VALUE_MAX + 1)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "an adjustment is not understood");
	while (rc == 0 && left) {
		int max = pair_max(s->value[num]);
		int step = left > max ? max : left < -max ? -max : left;
		struct sembuf pair[2];

		/* An operation is noted with its sign turned. */
		make_pair(pair, num, s->value[num], -step, SEM_UNDO);
		rc = remote_pair(b, s->id, pair, err);
		left -= step;
	}
	return rc;
}

static const struct semset *set_by_id(const struct semset *s, size_t n, int32_t id)
{
	for (size_t i = 0; i < n; i++)
		if (s[i].id == id)
			return &s[i];
	return NULL;
}

static int adjust_all(struct build *b, const struct semset *sets, size_t n, struct ckpt_err **err)
{
	const json_t *rows = json_object_get(b->task, "sem_undo");
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		const struct semset *s;
		json_t *list;
		int32_t id = 0;

		rc = js_i32(row, "set", &id, err);
		if (rc == 0)
			rc = js_arr(row, "adjust", &list, err);
		s = rc == 0 ? set_by_id(sets, n, id) : NULL;
		if (rc == 0 && !s)
			rc = ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
				       "semaphore set %d is not in the image", id);
		for (size_t k = 0; rc == 0 && k < json_array_size(list); k++)
			rc = adjust(b, s, json_array_get(list, k), err);
	}
	return rc < 0 ? rc : arena_run(&b->r->arena, b->pid, err);
}

/* The last to change a semaphore. Of a set on which semop(2) was never called that must stay so. */
static int touch(struct restore *r, const struct semset *s, size_t num, struct ckpt_err **err)
{
	struct build *b = process_of(r, s->pid[num]);
	struct sembuf pair[2];
	int rc;

	if (!b || semctl(s->id, (int)num, GETPID) == b->pid)
		return 0;
	if (s->used) {
		make_pair(pair, num, s->value[num], 1, 0);
		rc = remote_pair(b, s->id, pair, err);
	} else {
		rc = build_room(b, b->pid, 1, 0, err);
		if (rc == 0)
			arena_op(&r->arena, "set a semaphore", SYS_semctl, (uint64_t)s->id, num,
				 SETVAL, s->value[num], 0, 0);
	}
	return rc < 0 ? rc : arena_run(&r->arena, b->pid, err);
}

static int finish_set(struct restore *r, const struct semset *s, struct ckpt_err **err)
{
	struct semid_ds ds = { 0 };
	struct sembuf pair[2];
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < s->n; i++)
		rc = touch(r, s, i, err);
	if (rc < 0 || !s->used)
		return rc;
	if (semctl(s->id, 0, IPC_STAT, (union semun){ .buf = &ds }) == 0 && ds.sem_otime)
		return 0;
	/* Programs take the time of the last operation for a sign that a set is ready. */
	make_pair(pair, 0, s->value[0], 1, 0);
	if (semop(s->id, pair, 2) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "operate on semaphore set %d",
				       s->id);
	return 0;
}

static int build_sets(struct restore *r, const json_t *rows, struct ckpt_err **err)
{
	size_t n = json_array_size(rows);
	struct semset *sets = calloc(n ? n : 1, sizeof(*sets));
	int rc = sets ? 0 : ckpt_fail_nomem(err);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		rc = semset_parse(json_array_get(rows, i), &sets[i], err);
		if (rc == 0)
			rc = semset_look(&sets[i], r->opts->allow_changed, err);
		if (rc == 0)
			rc = make_set(r, &sets[i], err);
		if (rc >= 0)
			rc = set_values(&sets[i], err);
	}
	for (size_t i = 0; rc == 0 && i < r->n_procs; i++)
		if (!r->proc[i].zombie)
			rc = adjust_all(&r->proc[i], sets, n, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = finish_set(r, &sets[i], err);
	for (size_t i = 0; i < n && sets; i++)
		semset_done(&sets[i]);
	free(sets);
	return rc;
}

/* ---- messages ---- */

static int get_queue(void *arg)
{
	const struct msgqueue *q = arg;

	return msgget(q->who.key, KERNEL_IPC_EXCL);
}

static int remove_queue(int id)
{
	return msgctl(id, IPC_RMID, NULL);
}

static int set_queue(const struct msgqueue *q, uint64_t max_bytes, struct ckpt_err **err)
{
	struct msqid_ds ds = { .msg_qbytes = max_bytes };

	sysvid_into(&q->who, &ds.msg_perm);
	if (msgctl(q->id, IPC_SET, &ds) == 0)
		return 0;
	ckpt_fail_errno(err, errno, CKPT_E_RESTORE,
			"give message queue %d its owner, and room for %llu bytes", q->id,
			(unsigned long long)max_bytes);
	if (errno == EPERM)
		ckpt_hint(err, "raise /proc/sys/kernel/msgmnb");
	return -errno;
}

static int make_queue(struct restore *r, struct msgqueue *q, struct ckpt_err **err)
{
	static const struct sysvid_maker maker = { .what = "message queue",
						   .option = 'q',
						   .next_id = "msg_next_id",
						   .get = get_queue,
						   .remove = remove_queue };
	int rc = sysvid_make(&maker, q->id, &q->who, q, err);

	return rc < 0 ? rc : note_made(r, true, q->id, err);
}

static int drain(const struct msgqueue *q, struct ckpt_err **err)
{
	char text[sizeof(long) + 8];

	while (msgrcv(q->id, text, 0, 0, IPC_NOWAIT | MSG_NOERROR) >= 0)
		;
	return errno == ENOMSG ? 0
			       : ckpt_fail_errno(err, errno, CKPT_E_RESTORE,
						 "empty message queue %d", q->id);
}

struct message {
	long type;
	char text[];
};

/* By the process `b`, NULL: this one. */
static int send_message(struct restore *r, struct build *b, const struct msgqueue *q,
			const struct message *m, size_t len, struct ckpt_err **err)
{
	struct arena *a = &r->arena;
	int rc;

	if (!b || len > REMOTE_TEXT_MAX) {
		if (msgsnd(q->id, m, len, IPC_NOWAIT) < 0)
			return ckpt_fail_errno(err, errno, CKPT_E_RESTORE,
					       "put a message into queue %d", q->id);
		return 0;
	}
	rc = build_room(b, b->pid, 1, sizeof(*m) + len + 16, err);
	if (rc < 0)
		return rc;
	arena_op(a, "put a message into its queue", SYS_msgsnd, (uint64_t)q->id,
		 arena_data(a, m, sizeof(*m) + len), len, IPC_NOWAIT, 0, 0);
	return arena_run(a, b->pid, err);
}

/* A message without text is received by the process `b`, NULL: this one. */
static int receive_nothing(struct restore *r, struct build *b, const struct msgqueue *q,
			   struct ckpt_err **err)
{
	struct message m = { 0 };
	struct arena *a = &r->arena;
	int rc;

	if (!b) {
		if (msgrcv(q->id, &m, 0, 0, IPC_NOWAIT) < 0)
			return ckpt_fail_errno(err, errno, CKPT_E_RESTORE,
					       "take a message out of queue %d", q->id);
		return 0;
	}
	rc = build_room(b, b->pid, 1, sizeof(m) + 16, err);
	if (rc < 0)
		return rc;
	arena_op(a, "take a message out of its queue", SYS_msgrcv, (uint64_t)q->id,
		 arena_data(a, &m, sizeof(m)), 0, 0, IPC_NOWAIT, 0);
	return arena_run(a, b->pid, err);
}

/* Who received last, while the queue is empty; an empty one's last sender, too. */
static int pass_nothing(struct restore *r, const struct msgqueue *q, struct ckpt_err **err)
{
	struct build *sender = q->n ? NULL : process_of(r, q->sender);
	struct build *receiver = process_of(r, q->receiver);
	const struct message m = { .type = 1 };
	int rc;

	if (!sender && !receiver)
		return 0;
	rc = send_message(r, sender, q, &m, 0, err);
	return rc < 0 ? rc : receive_nothing(r, receiver, q, err);
}

static int send_all(struct restore *r, const struct msgqueue *q, struct ckpt_err **err)
{
	_cleanup_free_ struct message *m = malloc(sizeof(*m) + q->len + 1);
	int rc = m ? 0 : ckpt_fail_nomem(err);

	for (size_t i = 0; rc == 0 && i < q->n; i++) {
		const struct sysvmsg *msg = &q->msg[i];
		bool last = i + 1 == q->n;

		m->type = (long)msg->type;
		memcpy(m->text, q->bytes + msg->at, msg->len);
		rc = send_message(r, last ? process_of(r, q->sender) : NULL, q, m, msg->len, err);
	}
	return rc;
}

static int build_queue(struct restore *r, const json_t *o, struct ckpt_err **err)
{
	struct msgqueue q = { 0 };
	bool same = false;
	int rc = msgqueue_parse(&r->im, o, &q, err);
	uint64_t room;

	if (rc == 0)
		rc = msgqueue_look(&q, r->opts->allow_changed, &same, err);
	/* In a new namespace the last to send and receive are others, by the same numbers. */
	if (rc >= 0 && same && r->ns_init) {
		int used = msgqueue_unused(&q, err);

		rc = used < 0 ? used : rc;
		same = false;
	}
	if (rc == 0)
		rc = make_queue(r, &q, err);
	/* Room for all of it even if the limit was lowered below what was there, and for the
	 * message that comes and goes. */
	room = q.max_bytes > q.len ? q.max_bytes : q.len;
	room = room > q.n + 1 ? room : q.n + 1;
	if (rc >= 0 && !same) {
		rc = set_queue(&q, room, err);
		if (rc == 0)
			rc = drain(&q, err);
		if (rc == 0)
			rc = pass_nothing(r, &q, err);
		if (rc == 0)
			rc = send_all(r, &q, err);
		if (rc == 0 && room != q.max_bytes)
			rc = set_queue(&q, q.max_bytes, err);
	}
	msgqueue_done(&q);
	return rc < 0 ? rc : 0;
}

int build_sysv(struct restore *r, struct ckpt_err **err)
{
	const json_t *sysv = json_object_get(r->im.manifest, "sysv");
	const json_t *queues = json_object_get(sysv, "queues");
	int rc = build_sets(r, json_object_get(sysv, "semaphores"), err);

	for (size_t i = 0; rc == 0 && i < json_array_size(queues); i++)
		rc = build_queue(r, json_array_get(queues, i), err);
	return rc;
}
