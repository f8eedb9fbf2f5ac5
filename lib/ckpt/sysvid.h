/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the objects of System V IPC (shared memory, semaphores, message queues) have in common: they
 * have a number, given by the kernel, that programs remember; perhaps a key; an owner and a creator
 * with rights. They are no files, belong to no process, and outlive those that use them.
 */
#ifndef CKPT_SYSVID_H
#define CKPT_SYSVID_H

#include "err.h"
#include <jansson.h>
#include <stdint.h>
#include <sys/ipc.h>

/* struct ipc_perm, but for the number's parts. */
struct sysvid {
	int32_t key; /* IPC_PRIVATE: none */
	uint32_t uid, gid, cuid, cgid;
	uint32_t mode; /* permissions only */
};

/* Members "key", "uid", "gid", "cuid", "cgid", "mode". 0, or not: out of memory. */
int sysvid_save(const struct ipc_perm *p, json_t *o);
int sysvid_parse(const json_t *o, struct sysvid *ret, struct ckpt_err **err);
/* The same key, and made by the same user? The owner can be changed, and the key goes away with
 * IPC_RMID. */
bool sysvid_same(const struct sysvid *who, const struct ipc_perm *p);
/* For IPC_SET. */
void sysvid_into(const struct sysvid *who, struct ipc_perm *p);

/* How one sort of them is made. */
struct sysvid_maker {
	const char *what;      /* "shared memory segment" */
	char option;	       /* of ipcrm(1) */
	const char *next_id;   /* in /proc/sys/kernel: the number that the next one gets */
	int (*get)(void *arg); /* make it by key: the number, or -1 with errno */
	int (*remove)(int id);
};

/* Make one with this number, as its creator. -errno of get(2), with err. */
int sysvid_make(const struct sysvid_maker *m, int32_t id, const struct sysvid *who, void *arg,
		struct ckpt_err **err);

/*
 * Refusals. _key_free: `found` is what the key names now, -1: nothing, which is as it should be
 * (0). _other: something else has the number. _changed: it is there, but its time of change is
 * another one, so it may be one made since, or one that was given other rights.
 */
int sysvid_key_free(const char *what, const struct sysvid *who, int found, char option,
		    struct ckpt_err **err);
int sysvid_fail_other(const char *what, int32_t id, char option, struct ckpt_err **err);
int sysvid_fail_changed(const char *what, int32_t id, char option, struct ckpt_err **err);

#endif
