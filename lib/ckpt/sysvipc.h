/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * System V semaphores and message queues. No descriptor refers to them, and no process owns them:
 * they belong to a checkpoint when a process of it was the last to change a semaphore of the set
 * (semop(2), SETVAL, SETALL), has adjustments to undo in it (SEM_UNDO), or was the last to send to
 * or to receive from the queue. The manifest's "sysv":
 *
 *   { "semaphores": [ { "id", ...sysvid.h..., "changed_s", "used": whether semop(2) was ever
 * called, "values": [...], "pids": [... of the last to change each; 0: none of ours] } ], "queues":
 * [ { "id", ...sysvid.h..., "changed_s", "max_bytes", "sender", "receiver": pids or 0, "messages":
 * [ "TYPE BYTES", ... ], "contents_xxh3", "data" } ] }
 *
 * Adjustments are a process's, as "sem_undo" of its row: [ { "set": id, "adjust": [ "NUMBER VALUE"
 * ] } ].
 *
 * Those that are there at restore get the values and messages of the image, unless others have used
 * them since. Times of use are not brought back.
 */
#ifndef CKPT_SYSVIPC_H
#define CKPT_SYSVIPC_H

#include "err.h"
#include "image.h"
#include "loader.h"
#include "sysvid.h"
#include <jansson.h>

/* ---- saving ---- */

/* Can the adjustments of a process be saved? */
int sysvipc_check(const struct snapshot *s, pid_t tgid, struct ckpt_err **err);
/* "sem_undo" into the row of a process, where it has any. */
int sysvipc_undo_save(const struct snapshot *s, pid_t tgid, json_t *o, struct ckpt_err **err);
/* The sets and queues that belong to the processes of the snapshot; *ret NULL: none. Messages are
 * written under data/ with `w`. */
int sysvipc_save(const struct snapshot *s, struct image_writer *w, json_t **ret,
		 struct ckpt_err **err);

/* ---- restoring ---- */

struct semset {
	int32_t id;
	struct sysvid who;
	int64_t changed_s;
	bool used;
	size_t n;
	uint16_t *value; /* owned */
	pid_t *pid;	 /* owned */
};

void semset_done(struct semset *s);
int semset_parse(const json_t *o, struct semset *s, struct ckpt_err **err);
/* Is it there, and may it be used? 1: yes; 0: no, and number and key are free. */
int semset_look(const struct semset *s, bool allow_changed, struct ckpt_err **err);

struct msgqueue {
	int32_t id;
	struct sysvid who;
	int64_t changed_s;
	uint64_t max_bytes;
	pid_t sender, receiver;
	size_t n;

	struct sysvmsg {
		int64_t type;
		uint64_t len, at; /* in `bytes` */
	} * msg;		  /* owned */

	char *bytes; /* owned */
	uint64_t len;
};

void msgqueue_done(struct msgqueue *q);
/* With the messages' contents, from the image. */
int msgqueue_parse(const struct image *im, const json_t *o, struct msgqueue *q,
		   struct ckpt_err **err);
/* Has nobody else that lives sent to it or received from it last? */
int msgqueue_unused(const struct msgqueue *q, struct ckpt_err **err);
/* As semset_look(); *ret_same: it has the saved messages already. */
int msgqueue_look(const struct msgqueue *q, bool allow_changed, bool *ret_same,
		  struct ckpt_err **err);

/* Can all of it be restored here? With `here` false, only whether it is sound. */
int sysvipc_need(const struct image *im, const json_t *sysv, bool here, bool allow_changed,
		 struct ckpt_err **err);
/* Are those that belong to the restored tree what was saved? */
int sysvipc_same(const json_t *saved, const json_t *now, struct ckpt_err **err);

#endif
