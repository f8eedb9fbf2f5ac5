/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: exclusive */
/* System V message queues: numbers, keys, types and order, empty and long messages, limits, who
 * sent and received last; a full queue; one that is empty but was used. */
#include "zoo.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEY  (0x2d000000 | (getpid() & 0xffffff))
#define LONG 8000

struct message {
	long type;
	char text[LONG];
};

static void send(int id, long type, size_t len, uint64_t seed)
{
	struct message m = { .type = type };

	zoo_fill(m.text, len, seed);
	zoo_need(msgsnd(id, &m, len, IPC_NOWAIT) == 0);
}

static void receive(int id, long want, long type, size_t len, uint64_t seed)
{
	struct message m = { 0 };

	zoo_same(msgrcv(id, &m, LONG, want, IPC_NOWAIT), (long long)len);
	zoo_same(m.type, type);
	zoo_check(zoo_filled(m.text, len, seed), "message %llu", (unsigned long long)seed);
}

static struct msqid_ds stat_of(int id)
{
	struct msqid_ds ds = { 0 };

	zoo_need(msgctl(id, IPC_STAT, &ds) == 0);
	return ds;
}

int main(void)
{
	struct msqid_ds ds;
	int id, full, used;
	pid_t child;

	zoo_start();
	id = msgget(KEY, IPC_CREAT | IPC_EXCL | 0652);
	if (id < 0 && errno == ENOSYS)
		zoo_skip("no System V message queues");
	full = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
	used = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
	zoo_need(id >= 0 && full >= 0 && used >= 0);
	send(id, 1, 5, 99);
	child = fork();
	zoo_need(child >= 0);
	if (child == 0) {
		/* Last to receive from one queue, last to send to another, until it is told. */
		receive(id, 0, 1, 5, 99);
		send(used, 3, 1, 3);
		for (;;)
			pause();
	}
	while (stat_of(used).msg_qnum == 0)
		zoo_sleep_ms(1);
	receive(used, 0, 3, 1, 3);
	send(id, 7, 100, 1);
	send(id, 2, 0, 2);
	send(id, 7, LONG, 3);
	send(id, 1L << 40, 4049, 4);
	send(full, 1, 100, 5);
	send(full, 1, 150, 6);
	ds = stat_of(full);
	ds.msg_qbytes = 200; /* less than what is in it */
	zoo_need(msgctl(full, IPC_SET, &ds) == 0);
	zoo_ready();
	zoo_wait();

	zoo_same(msgget(KEY, 0), id);
	ds = stat_of(id);
	zoo_same(ds.msg_perm.mode, 0652);
	zoo_same(ds.msg_qnum, 4);
	zoo_same(ds.msg_lspid, getpid());
	zoo_same(ds.msg_lrpid, child);
	zoo_check(ds.msg_stime && ds.msg_rtime, "as if it had not been used");
	zoo_same(stat_of(used).msg_lspid, child);
	zoo_same(stat_of(used).msg_lrpid, getpid());
	receive(id, 2, 2, 0, 2);
	receive(id, 0, 7, 100, 1);
	receive(id, -(1L << 41), 7, LONG, 3);
	receive(id, 0, 1L << 40, 4049, 4);
	zoo_same(stat_of(id).msg_qnum, 0);
	zoo_same(stat_of(full).msg_qbytes, 200);
	zoo_same(stat_of(full).msg_lrpid, 0);
	zoo_check(msgsnd(full, &(struct message){ .type = 1 }, 0, IPC_NOWAIT) < 0 &&
			  errno == EAGAIN,
		  "not full");
	receive(full, 0, 1, 100, 5);
	receive(full, 0, 1, 150, 6);
	zoo_need(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
	zoo_need(msgctl(id, IPC_RMID, NULL) == 0 && msgctl(full, IPC_RMID, NULL) == 0 &&
		 msgctl(used, IPC_RMID, NULL) == 0);
	return zoo_end();
}
