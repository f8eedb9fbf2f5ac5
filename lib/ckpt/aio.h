/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Contexts of asynchronous I/O (io_setup(2), Linux AIO). The kernel shares with the program a ring
 * of completed requests, whose address is the context's name. Requests under way are not saved:
 * they are waited for while the processes stand still.
 */
#ifndef CKPT_AIO_H
#define CKPT_AIO_H

#include "err.h"
#include "loader.h"
#include <jansson.h>

/* The head of the ring, as include/linux/aio_abi.h of old had it (struct aio_ring of fs/aio.c). */
struct aio_ring {
	uint32_t id, nr, head, tail, magic, compat, incompat, header_bytes;
};

/* struct io_event */
struct aio_event {
	uint64_t data, obj;
	int64_t res, res2;
};

#define AIO_MAGIC 0xa10a10a1u

/*
 * Wait until no request of these frozen processes is under way; *s is then a new snapshot, of
 * everything. Nothing is done when there is none.
 */
int aio_wait(struct loader *l, const pid_t *pids, size_t n, struct snapshot **s,
	     struct ckpt_err **err);
/* Does every ring in the memory of the process belong to a context of its own? */
int aio_check(const struct snapshot *s, pid_t tgid, struct ckpt_err **err);
/* The contexts of a stopped process, with what is in their rings: "aio" of its "mm"; NULL: none. */
int aio_take(const struct snapshot *s, pid_t tgid, pid_t tid, json_t **ret, struct ckpt_err **err);

#endif
