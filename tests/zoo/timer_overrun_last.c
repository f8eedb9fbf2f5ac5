/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* timer_getoverrun(2) after the signal was taken: of a timer of the process and of one of a thread;
 * both go on where they were. */
#include "zoo.h"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL 1000

struct counted {
	timer_t timer;
	int signo;
	double left;
};

static void begin(struct counted *c, int signo, int overruns, bool of_thread)
{
	struct timespec nothing = { 5, 0 }, now;
	struct sigevent ev = { .sigev_notify = of_thread ? SIGEV_THREAD_ID : SIGEV_SIGNAL,
			       .sigev_signo = signo };
	struct itimerspec its = { .it_interval = { INTERVAL, 0 } };
	sigset_t set;
	siginfo_t si;

	if (of_thread)
		ev._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	c->signo = signo;
	sigemptyset(&set);
	sigaddset(&set, signo);
	zoo_need(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
	zoo_need(timer_create(CLOCK_REALTIME, &ev, &c->timer) == 0);
	zoo_need(clock_gettime(CLOCK_REALTIME, &now) == 0);
	its.it_value.tv_sec = now.tv_sec - overruns * INTERVAL - INTERVAL / 2;
	zoo_need(timer_settime(c->timer, TIMER_ABSTIME, &its, NULL) == 0);
	zoo_need(sigtimedwait(&set, &si, &nothing) == signo);
	zoo_need(si.si_overrun == overruns && timer_getoverrun(c->timer) == overruns);
	zoo_need(timer_gettime(c->timer, &its) == 0);
	c->left = (double)its.it_value.tv_sec;
}

static void prove(const char *who, const struct counted *c, int overruns)
{
	struct itimerspec its;
	sigset_t pending;

	zoo_check(timer_getoverrun(c->timer) == overruns, "%s: overrun %d, was %d", who,
		  timer_getoverrun(c->timer), overruns);
	zoo_need(timer_gettime(c->timer, &its) == 0);
	zoo_same(its.it_interval.tv_sec, INTERVAL);
	zoo_check((double)its.it_value.tv_sec <= c->left &&
			  (double)its.it_value.tv_sec > c->left - 60,
		  "%s: %ld s left, were %g", who, (long)its.it_value.tv_sec, c->left);
	zoo_need(sigpending(&pending) == 0);
	zoo_check(!sigismember(&pending, c->signo), "%s: a signal that nobody sent", who);
}

static volatile bool set_up;

static void *other(void *arg)
{
	struct counted c;

	begin(&c, SIGRTMIN + 3, 7, true);
	set_up = true;
	zoo_wait();
	prove("the thread's timer", &c, 7);
	return arg;
}

int main(void)
{
	struct counted c;
	pthread_t thread;

	zoo_start();
	begin(&c, SIGALRM, 3, false);
	zoo_need(pthread_create(&thread, NULL, other, NULL) == 0);
	while (!set_up)
		zoo_sleep_ms(2);
	zoo_ready();
	zoo_wait();
	prove("the process's timer", &c, 3);
	zoo_need(pthread_join(thread, NULL) == 0);
	return zoo_end();
}
