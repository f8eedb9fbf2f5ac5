/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mq_notify: by a signal with its value, once; by nothing at all; in a child; nobody else may. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t got, value;

static void on_signal(int sig, siginfo_t *si, void *context)
{
	(void)sig;
	(void)context;
	value = si->si_value.sival_int;
	got = got + (si->si_code == SI_MESGQ);
}

static mqd_t open_queue(const char *suffix)
{
	struct mq_attr attr = { .mq_maxmsg = 4, .mq_msgsize = 64 };
	char name[64];
	mqd_t q;

	snprintf(name, sizeof(name), "/zoo-%d-%s", getpid(), suffix);
	q = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0600, &attr);
	if (q < 0 && errno == ENOSYS)
		zoo_skip("no message queues");
	zoo_need(q >= 0 && mq_unlink(name) == 0);
	return q;
}

static void receive(mqd_t q)
{
	char text[64];

	zoo_same(mq_receive(q, text, sizeof(text), NULL), 1);
}

int main(void)
{
	struct sigaction act = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
	struct sigevent by_signal = { .sigev_notify = SIGEV_SIGNAL,
				      .sigev_signo = SIGRTMIN + 3,
				      .sigev_value.sival_int = -5 };
	struct sigevent by_none = { .sigev_notify = SIGEV_NONE };
	mqd_t q, silent, childs;
	atomic_int *ready;
	pid_t child;
	int status;

	zoo_start();
	q = open_queue("signal");
	silent = open_queue("none");
	childs = open_queue("child");
	ready = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	zoo_need(ready != MAP_FAILED && sigaction(SIGRTMIN + 3, &act, NULL) == 0);
	child = fork();
	zoo_need(child >= 0);
	if (child == 0) {
		sigset_t set;
		siginfo_t si;

		sigemptyset(&set);
		sigaddset(&set, SIGRTMIN + 3);
		sigprocmask(SIG_BLOCK, &set, NULL);
		by_signal.sigev_value.sival_int = 77;
		if (mq_notify(childs, &by_signal) < 0)
			_exit(1);
		*ready = 1;
		_exit(sigwaitinfo(&set, &si) < 0 || si.si_value.sival_int != 77);
	}
	while (!*ready)
		zoo_sleep_ms(1);
	zoo_need(mq_notify(q, &by_signal) == 0 && mq_notify(silent, &by_none) == 0);
	zoo_ready();
	zoo_wait();

	zoo_check(mq_notify(q, &by_signal) < 0 && errno == EBUSY, "it does not wait any more");
	zoo_check(mq_notify(silent, &by_signal) < 0 && errno == EBUSY, "it does not wait silently");
	zoo_check(mq_notify(childs, &by_signal) < 0 && errno == EBUSY, "the child does not wait");
	zoo_same(got, 0);
	zoo_need(mq_send(q, "x", 1, 0) == 0);
	zoo_same(got, 1);
	zoo_same(value, -5);
	receive(q);
	zoo_need(mq_send(q, "y", 1, 0) == 0);
	zoo_same(got, 1); /* once only */
	receive(q);
	zoo_need(mq_send(silent, "z", 1, 0) == 0 && mq_notify(silent, &by_none) == 0);
	zoo_need(mq_send(childs, "c", 1, 0) == 0);
	zoo_need(waitpid(child, &status, 0) == child);
	zoo_same(status, 0);
	return zoo_end();
}
