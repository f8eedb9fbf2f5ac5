/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: exclusive */
/* System V semaphores: numbers, keys, values, who changed them last, what is undone at the end of a
 * process, large adjustments, a set that was never operated on; a child that ends gives back. */
#include "zoo.h"

#include <errno.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEY (0x2c000000 | (getpid() & 0xffffff))
#define N   7

static void op(int id, int num, int by, int flags)
{
	struct sembuf s = { (unsigned short)num, (short)by, (short)(flags | IPC_NOWAIT) };

	zoo_need(semop(id, &s, 1) == 0);
}

static void set(int id, int num, int value)
{
	zoo_need(semctl(id, num, SETVAL, value) == 0);
}

static struct semid_ds stat_of(int id)
{
	struct semid_ds ds = { 0 };

	zoo_need(semctl(id, 0, IPC_STAT, &ds) == 0);
	return ds;
}

/* Holds 2 and what the parent waits for, until it is killed. */
static void child_main(int id)
{
	op(id, 2, -3, SEM_UNDO);
	op(id, 4, 20000, SEM_UNDO);
	op(id, 5, -1, 0); /* last to change it, nothing to undo */
	op(id, 6, 1, 0);  /* ready */
	for (;;)
		pause();
}

/* The same, with the largest adjustment, and one that goes down. */
static void other_main(int id)
{
	op(id, 0, -2, SEM_UNDO);
	op(id, 1, -32767, SEM_UNDO);
	op(id, 1, 32767, 0);
	op(id, 3, 4, SEM_UNDO);
	op(id, 6, 1, 0);
	for (;;)
		pause();
}

int main(void)
{
	struct sembuf wait_ready = { 6, -1, 0 }, wait_back = { 2, -10, 0 };
	struct semid_ds ds;
	int id, fresh, status;
	pid_t child, other;

	zoo_start();
	id = semget(KEY, N, IPC_CREAT | IPC_EXCL | 0614);
	if (id < 0 && errno == ENOSYS)
		zoo_skip("no System V semaphores");
	zoo_need(id >= 0);
	fresh = semget(IPC_PRIVATE, 3, IPC_CREAT | 0600);
	zoo_need(fresh >= 0);
	set(fresh, 1, 11);
	set(id, 0, 5);
	set(id, 1, 32767);
	set(id, 2, 10);
	set(id, 3, 0);
	set(id, 4, 100);
	set(id, 5, 8);
	other = fork();
	zoo_need(other >= 0);
	if (other == 0)
		other_main(id);
	zoo_need(semop(id, &wait_ready, 1) == 0);
	child = fork();
	zoo_need(child >= 0);
	if (child == 0)
		child_main(id);
	zoo_need(semop(id, &wait_ready, 1) == 0);
	zoo_ready();
	zoo_wait();

	zoo_same(semget(KEY, 0, 0), id);
	ds = stat_of(id);
	zoo_same(ds.sem_perm.mode, 0614);
	zoo_same(ds.sem_nsems, N);
	zoo_check(ds.sem_otime != 0, "as if it had never been operated on");
	zoo_same(semctl(id, 0, GETVAL), 3);
	zoo_same(semctl(id, 1, GETVAL), 32767);
	zoo_same(semctl(id, 2, GETVAL), 7);
	zoo_same(semctl(id, 3, GETVAL), 4);
	zoo_same(semctl(id, 4, GETVAL), 20100);
	zoo_same(semctl(id, 5, GETVAL), 7);
	zoo_same(semctl(id, 6, GETVAL), 0);
	zoo_same(semctl(id, 0, GETPID), other);
	zoo_same(semctl(id, 6, GETPID), getpid());
	zoo_same(semctl(id, 2, GETPID), child);
	zoo_same(semctl(id, 5, GETPID), child);
	zoo_same(semctl(fresh, 1, GETVAL), 11);
	zoo_same(stat_of(fresh).sem_otime, 0);
	/* The end of the child gives its share back, and wakes who waits for it. */
	zoo_need(kill(child, SIGKILL) == 0);
	zoo_need(semop(id, &wait_back, 1) == 0);
	zoo_need(waitpid(child, &status, 0) == child);
	zoo_same(semctl(id, 2, GETVAL), 0);
	zoo_same(semctl(id, 4, GETVAL), 100);
	zoo_same(semctl(id, 5, GETVAL), 7);
	set(fresh, 0, 9);
	op(fresh, 0, -4, SEM_UNDO);
	zoo_same(semctl(fresh, 0, GETVAL), 5);
	zoo_need(semctl(fresh, 0, IPC_RMID) == 0);
	zoo_need(kill(other, SIGTERM) == 0 && waitpid(other, &status, 0) == other);
	zoo_same(semctl(id, 0, GETVAL), 5);
	zoo_same(semctl(id, 1, GETVAL), 32767); /* cut off at the top */
	zoo_same(semctl(id, 3, GETVAL), 0);
	zoo_need(semctl(id, 0, IPC_RMID) == 0);
	return zoo_end();
}
