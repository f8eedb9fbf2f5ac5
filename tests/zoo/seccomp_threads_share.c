/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: not=extra,pidns */
/* Threads under a tree of filters. Who shares one, and who has an equal one of its own, shows in
 * what SECCOMP_FILTER_FLAG_TSYNC lets a thread do. */
#include "zoo.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BARE, SHARES, MAKER, OWN, N };

static volatile pid_t tid[N];
static volatile int order[N]; /* 0 wait, 1 do it, 2 end */
static volatile long answer[N];
static volatile bool done[N];

static long filter_on(uint32_t arg, unsigned int flags)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgid, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, arg, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static void serve(int i)
{
	tid[i] = (pid_t)syscall(SYS_gettid);
	while (order[i] != 2) {
		if (order[i] == 1 && !done[i]) {
			answer[i] = filter_on(3000, SECCOMP_FILTER_FLAG_TSYNC);
			done[i] = true;
		}
		zoo_sleep_ms(2);
	}
}

static void *plain(void *arg)
{
	serve((int)(intptr_t)arg);
	return NULL;
}

static void *own(void *arg)
{
	zoo_need(filter_on(2000, 0) == 0);
	return plain(arg);
}

static void *maker(void *arg)
{
	pthread_t thread;

	zoo_need(filter_on(2000, 0) == 0);
	zoo_need(pthread_create(&thread, NULL, plain, (void *)(intptr_t)SHARES) == 0);
	plain(arg);
	zoo_need(pthread_join(thread, NULL) == 0);
	return NULL;
}

static long ask(int i)
{
	done[i] = false;
	order[i] = 1;
	while (!done[i])
		zoo_sleep_ms(2);
	order[i] = 0;
	return answer[i];
}

static long long filters_of(pid_t t)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", t);
	return zoo_number(path, "Seccomp_filters");
}

int main(void)
{
	pthread_t bare, m, o;

	zoo_start();
	zoo_need(pthread_create(&bare, NULL, plain, (void *)(intptr_t)BARE) == 0);
	zoo_need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	zoo_need(filter_on(1000, 0) == 0);
	zoo_need(pthread_create(&m, NULL, maker, (void *)(intptr_t)MAKER) == 0);
	zoo_need(pthread_create(&o, NULL, own, (void *)(intptr_t)OWN) == 0);
	for (int i = 0; i < N; i++)
		while (!tid[i])
			zoo_sleep_ms(2);
	zoo_ready();
	zoo_wait();

	zoo_same(filters_of((pid_t)syscall(SYS_gettid)), 1);
	zoo_same(filters_of(tid[BARE]), 0);
	zoo_same(filters_of(tid[MAKER]), 2);
	zoo_same(filters_of(tid[SHARES]), 2);
	zoo_same(filters_of(tid[OWN]), 2);
	/* Whose filter is not one of the caller's cannot be synchronized with it. */
	zoo_same(ask(MAKER), tid[OWN]);
	order[OWN] = 2;
	zoo_need(pthread_join(o, NULL) == 0);
	zoo_same(ask(MAKER), 0);
	zoo_same(filters_of(tid[BARE]), 3);
	zoo_same(filters_of(tid[SHARES]), 3);
	zoo_same(filters_of((pid_t)syscall(SYS_gettid)), 3);
	zoo_check(syscall(SYS_getpgid, 3000) < 0 && errno == EXDEV,
		  "the last filter has no effect");
	for (int i = 0; i < N; i++)
		order[i] = 2;
	zoo_need(pthread_join(bare, NULL) == 0 && pthread_join(m, NULL) == 0);
	return zoo_end();
}
