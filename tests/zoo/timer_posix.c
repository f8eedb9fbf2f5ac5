/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* POSIX timers: ids with gaps, clocks, notification, what is left, interval, overruns; and they
 * fire. */
#include "zoo.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's interface: glibc's ids are its own. */
static int kernel_timer_create(clockid_t clock, struct sigevent *event)
{
	int id = -1;

	zoo_need(syscall(SYS_timer_create, clock, event, &id) == 0);
	return id;
}

static void set(int id, int flags, double value, double interval)
{
	struct itimerspec its = { .it_value = { (time_t)value, 0 },
				  .it_interval = { (time_t)interval, 0 } };

	its.it_value.tv_nsec = (long)((value - (double)its.it_value.tv_sec) * 1e9);
	its.it_interval.tv_nsec = (long)((interval - (double)its.it_interval.tv_sec) * 1e9);
	zoo_need(syscall(SYS_timer_settime, id, flags, &its, NULL) == 0);
}

static double left(int id, double *interval)
{
	struct itimerspec its;

	zoo_check(syscall(SYS_timer_gettime, id, &its) == 0, "timer %d is gone", id);
	*interval = (double)its.it_interval.tv_sec + (double)its.it_interval.tv_nsec / 1e9;
	return (double)its.it_value.tv_sec + (double)its.it_value.tv_nsec / 1e9;
}

static volatile pid_t other_tid, hit_tid;
static volatile int hits, hit_value, hit_code, hit_id;

static void on_signal(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	hit_tid = (pid_t)syscall(SYS_gettid);
	hit_value = info->si_value.sival_int;
	hit_code = info->si_code;
	hit_id = info->si_timerid;
	hits++;
}

static void *other(void *arg)
{
	other_tid = (pid_t)syscall(SYS_gettid);
	zoo_wait();
	while (hits < 1)
		zoo_sleep_ms(2);
	return arg;
}

int main(void)
{
	struct sigaction act = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
	struct sigevent by_signal = { .sigev_notify = SIGEV_SIGNAL,
				      .sigev_signo = SIGRTMIN,
				      .sigev_value.sival_int = 111 };
	struct sigevent by_thread = { .sigev_notify = SIGEV_THREAD_ID,
				      .sigev_signo = SIGRTMIN + 1,
				      .sigev_value.sival_int = 222 };
	struct sigevent by_none = { .sigev_notify = SIGEV_NONE };
	struct sigevent held = { .sigev_notify = SIGEV_SIGNAL,
				 .sigev_signo = SIGRTMIN + 2,
				 .sigev_value.sival_int = 333 };
	int id[12], real, mono, cpu, thread_timer, none, disarmed, overrun, wall, next;
	struct timespec now = { 0, 0 };
	pthread_t thread;
	double start, lived, interval, value, until;
	siginfo_t info;
	sigset_t blocked;

	zoo_start();
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGRTMIN + 2);
	zoo_need(pthread_sigmask(SIG_BLOCK, &blocked, NULL) == 0);
	zoo_need(pthread_create(&thread, NULL, other, NULL) == 0);
	while (!other_tid)
		zoo_sleep_ms(1);
	zoo_need(sigaction(SIGRTMIN, &act, NULL) == 0 && sigaction(SIGRTMIN + 1, &act, NULL) == 0);
	/* Ids with gaps before, between and behind those that stay. */
	for (int i = 0; i < 12; i++)
		id[i] = kernel_timer_create(CLOCK_MONOTONIC, &by_signal);
	for (int i = 0; i < 12; i++)
		if (i % 4 != 2)
			zoo_need(syscall(SYS_timer_delete, id[i]) == 0);
	disarmed = id[2];
	mono = id[6];
	set(mono, 0, 1000, 0.75);
	real = kernel_timer_create(CLOCK_REALTIME, &by_signal);
	set(real, 0, 2000, 0);
	cpu = kernel_timer_create(CLOCK_PROCESS_CPUTIME_ID, &by_signal);
	set(cpu, 0, 300, 5);
	by_thread._sigev_un._tid = other_tid;
	thread_timer = kernel_timer_create(CLOCK_MONOTONIC, &by_thread);
	none = kernel_timer_create(CLOCK_BOOTTIME, &by_none);
	set(none, 0, 500, 0.001);
	wall = kernel_timer_create(CLOCK_REALTIME,
				   NULL); /* the default: SIGALRM, its id as value */
	until = zoo_now(CLOCK_REALTIME) + 3000;
	set(wall, TIMER_ABSTIME, until, 0);
	overrun = kernel_timer_create(CLOCK_MONOTONIC, &held);
	set(overrun, 0, 0.001, 0.001);
	zoo_sleep_ms(50);
	start = zoo_now(CLOCK_MONOTONIC);
	zoo_ready();
	zoo_wait();

	lived = zoo_now(CLOCK_MONOTONIC) - start - zoo_dead();
	value = left(mono, &interval);
	zoo_check(value > 1000 - lived - 0.5 && value < 1000 - lived + 0.45 && interval == 0.75,
		  "monotonic: %.3f s left after %.3f s, interval %.3f", value, lived, interval);
	value = left(real, &interval);
	zoo_check(value > 2000 - lived - 0.5 && value < 2000 - lived + 0.45 && interval == 0,
		  "real time: %.3f s left after %.3f s, interval %.3f", value, lived, interval);
	value = left(cpu, &interval);
	zoo_check(value > 295 && value <= 300.1 && interval == 5,
		  "CPU time: %.3f s left, interval %.3f", value, interval);
	value = left(none, &interval);
	zoo_check(value > 500 - lived - 0.5 && value < 500 - lived + 0.45 && interval == 0.001,
		  "silent: %.3f s left, interval %.6f", value, interval);
	value = left(wall, &interval);
	zoo_check(value > until - zoo_now(CLOCK_REALTIME) - 0.1 &&
			  value < until - zoo_now(CLOCK_REALTIME) + 0.5 + zoo_dead(),
		  "absolute: %.3f s left of %.3f", value, until - zoo_now(CLOCK_REALTIME));
	value = left(disarmed, &interval);
	zoo_check(value == 0 && interval == 0, "disarmed: %.3f s left", value);
	zoo_check(syscall(SYS_timer_gettime, id[3], &(struct itimerspec){ 0 }) < 0 &&
			  errno == EINVAL,
		  "a deleted timer is back");
	/* Its signal has been pending since before; the overruns are counted when it is taken. */
	zoo_same(syscall(SYS_rt_sigtimedwait, &blocked, &info, &now, 8), SIGRTMIN + 2);
	zoo_check(info.si_code == SI_TIMER && info.si_value.sival_int == 333 &&
			  info.si_timerid == overrun,
		  "held: code %d value %d timer %d", info.si_code, info.si_value.sival_int,
		  info.si_timerid);
	zoo_check(info.si_overrun >= 40 + (int)(lived * 500), "%d overruns", info.si_overrun);
	zoo_same(syscall(SYS_timer_getoverrun, overrun), info.si_overrun);
	zoo_need(syscall(SYS_timer_delete, overrun) == 0);
	/* Each kind of notification. */
	set(thread_timer, 0, 0.01, 0);
	zoo_need(pthread_join(thread, NULL) == 0);
	zoo_check(hits == 1 && hit_tid == other_tid && hit_value == 222 && hit_code == SI_TIMER &&
			  hit_id == thread_timer,
		  "to a thread: value %d code %d", hit_value, hit_code);
	set(disarmed, 0, 0.01, 0);
	for (int i = 0; i < 1000 && hits < 2; i++)
		zoo_sleep_ms(2);
	zoo_check(hits == 2 && hit_value == 111 && hit_code == SI_TIMER && hit_id == disarmed,
		  "by signal: value %d code %d timer %d", hit_value, hit_code, hit_id);
	/* New ids go on behind the old ones, or anywhere free: never one that is in use. */
	next = kernel_timer_create(CLOCK_MONOTONIC, &by_none);
	zoo_check(next != mono && next != real && next != cpu && next != none && next != wall,
		  "id %d given twice", next);
	return zoo_end();
}
