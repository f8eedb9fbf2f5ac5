/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: not=pidns */
/* The first thread ends, others go on: with descriptors, memory, timers and signals of the process,
 * which keeps its number. */
#include "zoo.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#define LEN (1 << 20)

static pid_t leader;
static volatile sig_atomic_t alarms;
static volatile bool joined;
static char *memory;
static int file, ends[2];
static pthread_t main_thread;

static void on_alarm(int sig)
{
	(void)sig;
	alarms = alarms + 1;
}

static char state_of(pid_t tid)
{
	char path[64], *text, state;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	text = zoo_slurp(path, NULL);
	state = strrchr(text, ')')[2];
	free(text);
	return state;
}

static void *reader(void *arg)
{
	char c = 0;

	zoo_need(pthread_join(main_thread, NULL) == 0);
	joined = true;
	zoo_check(read(ends[0], &c, 1) == 1 && c == 'x', "the pipe gave '%c'", c);
	return arg;
}

static void *worker(void *arg)
{
	struct timespec nothing = { 0, 0 };
	pthread_t thread;
	sigset_t usr1;
	siginfo_t si;

	zoo_need(pthread_create(&thread, NULL, reader, NULL) == 0);
	while (state_of(leader) != 'Z' || !joined)
		zoo_sleep_ms(2);
	zoo_need(kill(getpid(), SIGUSR1) == 0);
	zoo_ready();
	zoo_wait();

	zoo_same(getpid(), leader);
	zoo_check(syscall(SYS_gettid) != leader, "the worker has become the leader");
	zoo_check(state_of(leader) == 'Z', "the leader is in state %c", state_of(leader));
	zoo_check(zoo_filled(memory, LEN, 9), "the memory changed");
	zoo_check(lseek(file, 0, SEEK_CUR) == 5, "the file is at another place");
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	zoo_same(sigtimedwait(&usr1, &si, &nothing), SIGUSR1);
	zoo_same(si.si_pid, leader);
	alarms = 0;
	for (int i = 0; i < 1000 && alarms < 2; i++)
		zoo_sleep_ms(10);
	zoo_check(alarms >= 2, "the interval timer has stopped");
	zoo_need(write(ends[1], "x", 1) == 1);
	zoo_need(pthread_join(thread, NULL) == 0);
	exit(zoo_end());
	return arg;
}

int main(void)
{
	struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	struct itimerval every = { { 0, 50000 }, { 0, 50000 } };
	pthread_t thread;
	sigset_t usr1;

	zoo_start();
	leader = getpid();
	main_thread = pthread_self();
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	zoo_need(sigprocmask(SIG_BLOCK, &usr1, NULL) == 0);
	zoo_need(sigaction(SIGALRM, &sa, NULL) == 0);
	memory = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	zoo_need(memory != MAP_FAILED);
	zoo_fill(memory, LEN, 9);
	file = open("held", O_RDWR | O_CREAT, 0600);
	zoo_need(file >= 0 && write(file, "hello", 5) == 5 && pipe(ends) == 0);
	zoo_need(setitimer(ITIMER_REAL, &every, NULL) == 0);
	zoo_need(pthread_create(&thread, NULL, worker, NULL) == 0);
	pthread_exit(NULL);
}
