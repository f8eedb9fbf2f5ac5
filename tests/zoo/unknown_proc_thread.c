/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="fd 40.*thread" */
/* Not supported: a file of /proc that belongs to a thread other than the leader. */
#include "zoo.h"

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static sem_t told, go_on;
static pid_t tid;

static void *thread_main(void *arg)
{
	tid = (pid_t)syscall(SYS_gettid);
	sem_post(&told);
	sem_wait(&go_on);
	return arg;
}

int main(void)
{
	pthread_t thread;
	char path[64], c;
	int fd;

	zoo_start();
	zoo_need(sem_init(&told, 0, 0) == 0 && sem_init(&go_on, 0, 0) == 0);
	zoo_need(pthread_create(&thread, NULL, thread_main, NULL) == 0 && sem_wait(&told) == 0);
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	fd = open(path, O_RDONLY);
	zoo_need(fd >= 0 && dup2(fd, 40) == 40 && close(fd) == 0);
	zoo_ready();
	zoo_wait();
	zoo_same(read(40, &c, 1), 1);
	zoo_need(sem_post(&go_on) == 0 && pthread_join(thread, NULL) == 0);
	return zoo_end();
}
