/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads that catch their own system calls (PR_SET_SYSCALL_USER_DISPATCH), with and without a
 * switch, beside one that does not. */
#include "zoo.h"

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_OFF	     0
#define PR_SYS_DISPATCH_ON	     1
#endif
#define ALLOW 0
#define BLOCK 1

static volatile char switches[2];
static volatile int caught[2];
static volatile bool set;
static _Thread_local int mine;

static void on_sigsys(int sig, siginfo_t *si, void *context)
{
	(void)sig;
	(void)context;
	switches[mine] = ALLOW;
	caught[mine] = si->si_syscall;
}

static void prove(const char *who)
{
	caught[mine] = 0;
	switches[mine] = BLOCK;
	syscall(SYS_getpgid, 0);
	zoo_check(caught[mine] == SYS_getpgid, "%s: call %d was caught", who, caught[mine]);
	caught[mine] = 0;
	zoo_check(syscall(SYS_getpgid, 0) >= 0 && !caught[mine], "%s: caught without the switch",
		  who);
}

static void catch (void)
{
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, &switches[mine]) < 0)
		zoo_skip("the kernel cannot dispatch system calls");
}

static void *other(void *arg)
{
	mine = 1;
	catch ();
	set = true;
	zoo_wait();
	prove("the other thread");
	return arg;
}

static void *plain(void *arg)
{
	zoo_wait();
	switches[0] = BLOCK;
	zoo_check(syscall(SYS_getpgid, 0) >= 0, "a thread that does not catch its calls");
	switches[0] = ALLOW;
	return arg;
}

int main(void)
{
	struct sigaction sa = { .sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO };
	pthread_t a, b;

	zoo_start();
	zoo_need(sigaction(SIGSYS, &sa, NULL) == 0);
	catch ();
	zoo_need(pthread_create(&a, NULL, other, NULL) == 0);
	zoo_need(pthread_create(&b, NULL, plain, NULL) == 0);
	while (!set)
		zoo_sleep_ms(2);
	prove("before");
	zoo_ready();
	zoo_wait();
	zoo_need(pthread_join(b, NULL) == 0);
	prove("the main thread");
	zoo_need(pthread_join(a, NULL) == 0);
	return zoo_end();
}
