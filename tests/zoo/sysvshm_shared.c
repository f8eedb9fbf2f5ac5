/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: exclusive */
/* A segment attached in several processes: at the same place after fork, at others, for reading
 * only in one, removed while they have it; mutexes and contents are shared as before. */
#include "zoo.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
#define SIZE (16 * PAGE)

struct shared {
	atomic_int ready, go, seen[3];
	int id2;
	char text[3][32];
	pthread_mutex_t mutex;
	long counter;
};

static int detached_count(int id)
{
	struct shmid_ds ds = { 0 };

	return shmctl(id, IPC_STAT, &ds) < 0 ? -errno : (int)ds.shm_nattch;
}

static void wait_for(atomic_int *what, int value)
{
	while (atomic_load(what) < value)
		zoo_sleep_ms(1);
}

/* Inherits the attachment. */
static void heir(struct shared *s)
{
	atomic_fetch_add(&s->ready, 1);
	wait_for(&s->go, 1);
	strcpy(s->text[0], "from the heir");
	for (int i = 0; i < 10000; i++) {
		pthread_mutex_lock(&s->mutex);
		s->counter++;
		pthread_mutex_unlock(&s->mutex);
	}
	atomic_store(&s->seen[0], 1);
	_exit(0);
}

/* Attaches again, elsewhere, and once more for reading. */
static void other(struct shared *first, int id)
{
	struct shared *s = shmat(id, NULL, 0);
	const struct shared *ro = shmat(id, NULL, SHM_RDONLY);

	zoo_need(s != (void *)-1 && ro != (void *)-1 && s != first && shmdt(first) == 0);
	atomic_fetch_add(&s->ready, 1);
	wait_for(&s->go, 1);
	strcpy(s->text[1], "from another place");
	for (int i = 0; i < 10000; i++) {
		pthread_mutex_lock(&s->mutex);
		s->counter++;
		pthread_mutex_unlock(&s->mutex);
	}
	if (!strcmp(ro->text[1], "from another place") && !zoo_mapped(first))
		atomic_store(&s->seen[1], 1);
	_exit(0);
}

int main(void)
{
	pthread_mutexattr_t attr;
	struct shared *s;
	pid_t child[2];
	int id;

	zoo_start();
	id = shmget(IPC_PRIVATE, SIZE, IPC_CREAT | 0600);
	if (id < 0 && errno == ENOSYS)
		zoo_skip("no System V shared memory");
	s = shmat(id, NULL, 0);
	zoo_need(id >= 0 && s != (void *)-1);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	zoo_need(pthread_mutex_init(&s->mutex, &attr) == 0);
	for (int i = 0; i < 2; i++) {
		child[i] = fork();
		zoo_need(child[i] >= 0);
		if (child[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			i == 0 ? heir(s) : other(s, id);
		}
	}
	wait_for(&s->ready, 2);
	zoo_need(shmctl(id, IPC_RMID, NULL) == 0);
	zoo_fill(s + 1, SIZE - sizeof(*s), 5);
	zoo_need(detached_count(id) == 4);
	zoo_ready();
	zoo_wait();

	zoo_same(detached_count(id), 4);
	zoo_check(zoo_filled(s + 1, SIZE - sizeof(*s), 5), "contents");
	pthread_mutex_lock(&s->mutex);
	atomic_store(&s->go, 1);
	zoo_sleep_ms(2);
	zoo_same(s->counter, 0);
	pthread_mutex_unlock(&s->mutex);
	for (int i = 0; i < 2; i++) {
		int status = 0;

		zoo_need(waitpid(child[i], &status, 0) == child[i]);
		zoo_same(status, 0);
		zoo_same(atomic_load(&s->seen[i]), 1);
	}
	zoo_check(!strcmp(s->text[0], "from the heir") && !strcmp(s->text[1], "from another place"),
		  "what they wrote: %s, %s", s->text[0], s->text[1]);
	zoo_same(s->counter, 20000);
	zoo_same(detached_count(id), 1);
	zoo_need(shmdt(s) == 0);
	zoo_same(detached_count(id), -EINVAL);
	return zoo_end();
}
