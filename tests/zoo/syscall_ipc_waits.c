/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: exclusive */
/* Threads that wait in semop, msgrcv, msgsnd, mq_receive, mq_send, io_getevents and sigwaitinfo go
 * on waiting, and get what they wait for; none is told of an interruption. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <unistd.h>

struct message {
	long type;
	char text[8];
};

static int sem, empty, full, file;
static mqd_t queue, narrow;
static aio_context_t ctx;

static long do_semop(void)
{
	struct sembuf down = { 0, -1, 0 };

	return semop(sem, &down, 1) == 0 ? 1 : -errno;
}

static long do_msgrcv(void)
{
	struct message m;
	ssize_t n = msgrcv(empty, &m, sizeof(m.text), 5, 0);

	return n < 0 ? -errno : n == 3 && m.text[0] == 'm';
}

static long do_msgsnd(void)
{
	struct message m = { .type = 9 };

	return msgsnd(full, &m, 0, 0) == 0 ? 1 : -errno;
}

static long do_receive(void)
{
	char text[64];
	ssize_t n = mq_receive(queue, text, sizeof(text), NULL);

	return n < 0 ? -errno : n == 4 && text[0] == 'q';
}

static long do_send(void)
{
	return mq_send(narrow, "last", 4, 0) == 0 ? 1 : -errno;
}

static long do_getevents(void)
{
	struct io_event e = { 0 };
	long n = syscall(SYS_io_getevents, ctx, 1, 1, &e, NULL);

	return n < 0 ? -errno : e.data == 42;
}

static long do_sigwait(void)
{
	siginfo_t si;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return sigwaitinfo(&set, &si) < 0 ? -errno : si.si_value.sival_int == 17;
}

static long (*const calls[])(void) = { do_semop, do_msgrcv,    do_msgsnd, do_receive,
				       do_send,	 do_getevents, do_sigwait };
#define N ((int)(sizeof(calls) / sizeof(calls[0])))

static void *thread_main(void *arg)
{
	return (void *)calls[(long)arg]();
}

static mqd_t open_queue(const char *suffix, long max)
{
	struct mq_attr attr = { .mq_maxmsg = max, .mq_msgsize = 64 };
	char name[64];
	mqd_t q;

	snprintf(name, sizeof(name), "/zoo-%d-%s", getpid(), suffix);
	q = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
	zoo_need(q >= 0 && mq_unlink(name) == 0);
	return q;
}

int main(void)
{
	struct iocb cb = { .aio_data = 42, .aio_lio_opcode = IOCB_CMD_PREAD }, *p = &cb;
	struct message m = { .type = 5, .text = "msg" };
	struct sembuf up = { 0, 1, 0 };
	struct msqid_ds ds;
	pthread_t thread[N];
	sigset_t set;
	char text[64];

	zoo_start();
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	zoo_need(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
	sem = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
	empty = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
	full = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
	zoo_need(sem >= 0 && empty >= 0 && full >= 0 && semctl(sem, 0, SETVAL, 0) == 0);
	/* One message has come and gone: the queue is the process's. */
	zoo_need(msgsnd(empty, &m, 3, 0) == 0 && msgrcv(empty, &m, 8, 0, 0) == 3);
	zoo_need(msgsnd(full, &m, 3, 0) == 0 && msgctl(full, IPC_STAT, &ds) == 0);
	ds.msg_qbytes = 3;
	zoo_need(msgctl(full, IPC_SET, &ds) == 0);
	queue = open_queue("q", 2);
	narrow = open_queue("n", 1);
	zoo_need(mq_send(narrow, "first", 5, 0) == 0);
	file = open("/dev/zero", O_RDONLY);
	zoo_need(file >= 0 && syscall(SYS_io_setup, 2, &ctx) == 0);
	for (long i = 0; i < N; i++)
		zoo_need(pthread_create(&thread[i], NULL, thread_main, (void *)i) == 0);
	zoo_ready();
	zoo_wait();

	cb.aio_fildes = (unsigned int)file;
	cb.aio_buf = (unsigned long)text;
	cb.aio_nbytes = 1;
	zoo_need(semop(sem, &up, 1) == 0);
	m = (struct message){ .type = 5, .text = "msg" };
	zoo_need(msgsnd(empty, &m, 3, 0) == 0);
	zoo_need(msgrcv(full, &m, 8, 5, 0) == 3);
	zoo_need(mq_send(queue, "quiz", 4, 1) == 0);
	zoo_need(mq_receive(narrow, text, sizeof(text), NULL) == 5);
	zoo_need(syscall(SYS_io_submit, ctx, 1, &p) == 1);
	zoo_need(sigqueue(getpid(), SIGUSR2, (union sigval){ .sival_int = 17 }) == 0);
	for (int i = 0; i < N; i++) {
		void *got = NULL;

		zoo_need(pthread_join(thread[i], &got) == 0);
		zoo_check((long)got == 1, "call %d: %ld", i, (long)got);
	}
	zoo_need(semctl(sem, 0, IPC_RMID) == 0 && msgctl(empty, IPC_RMID, NULL) == 0 &&
		 msgctl(full, IPC_RMID, NULL) == 0);
	return zoo_end();
}
