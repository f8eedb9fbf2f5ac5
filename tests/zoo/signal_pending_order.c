/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pending signals, per thread and of the process: all of them, in order, with the whole of their
 * siginfo. */
#include "zoo.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define QUEUE 3000

static pid_t pid;

static int take(siginfo_t *info)
{
	struct timespec now = { 0, 0 };
	sigset_t all;

	sigfillset(&all);
	memset(info, 0xee, sizeof(*info));
	/* glibc's would show SI_TKILL as SI_USER. */
	return (int)syscall(SYS_rt_sigtimedwait, &all, info, &now, 8);
}

/* Queue a signal whose siginfo is filled to the last byte. si_code < 0 is ours to choose. */
static void queue(pid_t tid, int sig, int code, uint64_t seed)
{
	siginfo_t info;

	zoo_fill(&info, sizeof(info), seed);
	info.si_signo = sig;
	info.si_code = code;
	info.si_errno = (int)seed;
	if (tid)
		zoo_need(syscall(SYS_rt_tgsigqueueinfo, pid, tid, sig, &info) == 0);
	else
		zoo_need(syscall(SYS_rt_sigqueueinfo, pid, sig, &info) == 0);
}

static void check_next(int sig, int code, uint64_t seed)
{
	siginfo_t info, full;
	int got = take(&info);

	zoo_check(got == sig && info.si_signo == sig, "signal %d comes instead of %d", got, sig);
	zoo_check(info.si_code == code && info.si_errno == (int)seed, "signal %d: code %d errno %d",
		  sig, info.si_code, info.si_errno);
	zoo_fill(&full, sizeof(full), seed);
	/* pid, uid, value, and what lies behind as far as the kernel keeps it (SI_USER-like codes:
	 * 48 bytes). */
	zoo_check(info.si_pid == full.si_pid && info.si_uid == full.si_uid &&
			  info.si_value.sival_ptr == full.si_value.sival_ptr,
		  "signal %d: contents", sig);
}

static void *worker(void *arg)
{
	pid_t tid = (pid_t)syscall(SYS_gettid);

	queue(tid, SIGRTMIN + 3, SI_QUEUE, 50);
	queue(tid, SIGUSR1, SI_TKILL, 51);
	queue(tid, SIGRTMIN + 3, SI_MESGQ, 52);
	queue(tid, SIGRTMIN + 1, SI_ASYNCIO, 53);
	zoo_wait();
	check_next(SIGUSR1, SI_TKILL, 51);
	check_next(SIGRTMIN + 1, SI_ASYNCIO, 53);
	check_next(SIGRTMIN + 3, SI_QUEUE, 50);
	check_next(SIGRTMIN + 3, SI_MESGQ, 52);
	return arg;
}

int main(void)
{
	siginfo_t info;
	sigset_t all, before, after;
	pthread_t thread;
	int n = 0;

	zoo_start();
	pid = getpid();
	sigfillset(&all);
	zoo_need(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0);
	zoo_need(pthread_create(&thread, NULL, worker, NULL) == 0);
	zoo_sleep_ms(20);
	/* Of the process. A standard signal is pending once, with its first siginfo. */
	zoo_need(kill(pid, SIGTERM) == 0 && kill(pid, SIGTERM) == 0);
	queue(0, SIGCHLD, SI_USER - 60, 2);
	zoo_need(sigqueue(pid, SIGHUP, (union sigval){ .sival_ptr = (void *)0x1234567890 }) == 0);
	for (int i = 0; i < QUEUE; i++)
		zoo_need(sigqueue(pid, SIGRTMIN + 2 + i % 3, (union sigval){ .sival_int = i }) ==
			 0);
	/* Of the main thread alone. */
	zoo_need(syscall(SYS_tgkill, pid, pid, SIGUSR2) == 0);
	queue(pid, SIGRTMAX, SI_QUEUE, 3);
	queue(pid, SIGRTMAX, SI_QUEUE, 4);
	queue(pid, SIGSEGV, SI_QUEUE, 5);
	zoo_need(sigpending(&before) == 0);
	zoo_ready();
	zoo_wait();

	zoo_need(sigpending(&after) == 0);
	for (int sig = 1; sig <= 64; sig++)
		zoo_check(sigismember(&before, sig) == sigismember(&after, sig),
			  "pending: signal %d", sig);
	zoo_need(pthread_join(thread, NULL) == 0);
	/* The thread's own come first, the lowest of each first, synchronous ones before all. */
	check_next(SIGSEGV, SI_QUEUE, 5);
	zoo_same(take(&info), SIGUSR2);
	zoo_check(info.si_code == SI_TKILL && info.si_pid == pid && info.si_uid == getuid(),
		  "tgkill");
	check_next(SIGRTMAX, SI_QUEUE, 3);
	check_next(SIGRTMAX, SI_QUEUE, 4);
	zoo_same(take(&info), SIGHUP);
	zoo_check(info.si_code == SI_QUEUE && info.si_value.sival_ptr == (void *)0x1234567890,
		  "sigqueue");
	zoo_same(take(&info), SIGTERM);
	zoo_check(info.si_code == SI_USER && info.si_pid == pid, "kill");
	check_next(SIGCHLD, SI_USER - 60, 2);
	for (int sig = 2; sig < 5; sig++) {
		for (int i = sig - 2; i < QUEUE; i += 3) {
			int got = take(&info);

			zoo_check(got == SIGRTMIN + sig && info.si_int == i &&
					  info.si_code == SI_QUEUE && info.si_pid == pid,
				  "real-time signal %d: %d value %d", i, got, info.si_int);
			n++;
		}
	}
	zoo_same(n, QUEUE);
	zoo_check(take(&info) < 0 && errno == EAGAIN, "one more signal: %d", info.si_signo);
	return zoo_end();
}
