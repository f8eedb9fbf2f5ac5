/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: not=extra,pidns */
/* A thread in seccomp's strict mode beside one that is not: it reads and writes, and any other call
 * is its end. */
#include "zoo.h"

#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int to[2], from[2];
static volatile pid_t tid;
static volatile bool survived;

static void *strict(void *arg)
{
	char c;

	tid = (pid_t)syscall(SYS_gettid);
	zoo_need(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
	syscall(SYS_write, from[1], "s", 1);
	while (syscall(SYS_read, to[0], &c, 1) == 1 && c != 'x')
		syscall(SYS_write, from[1], &c, 1);
	syscall(SYS_getppid);
	survived = true;
	return arg;
}

int main(void)
{
	char path[64], c = 0;
	pthread_t thread;

	zoo_start();
	zoo_need(pipe(to) == 0 && pipe(from) == 0);
	zoo_need(pthread_create(&thread, NULL, strict, NULL) == 0);
	zoo_need(read(from[0], &c, 1) == 1 && c == 's');
	snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
	zoo_ready();
	zoo_wait();

	zoo_same(zoo_number(path, "Seccomp"), 1);
	zoo_same(zoo_number("/proc/self/status", "Seccomp"), 0);
	zoo_need(write(to[1], "q", 1) == 1);
	zoo_check(read(from[0], &c, 1) == 1 && c == 'q', "the strict thread gave '%c'", c);
	zoo_need(write(to[1], "x", 1) == 1);
	zoo_need(pthread_join(thread, NULL) == 0);
	zoo_check(!survived, "a forbidden call did not end the strict thread");
	return zoo_end();
}
