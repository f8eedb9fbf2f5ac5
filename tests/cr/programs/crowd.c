// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Threads with callbacks and without, under a load of the program's own signals. Each callback
 * counts; on SIGTERM all must have counted the same. crowd THREADS
 */
#include <libcr.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static atomic_int stop, registered;
static atomic_long own_signals;

struct counts {
	atomic_long before, cont, restart, failed;
};

static void on_load(int sig)
{
	(void)sig;
	own_signals++;
}

static void on_term(int sig)
{
	(void)sig;
	stop = 1;
}

static int callback(void *arg)
{
	struct counts *c = arg;
	int rc;

	c->before++;
	rc = cr_checkpoint(CR_CHECKPOINT_READY);
	if (rc == 0)
		c->cont++;
	else if (rc > 0)
		c->restart++;
	else
		c->failed++;
	return 0;
}

static void *thread_main(void *arg)
{
	const struct timespec pause = { 0, 500000 };

	if (arg) {
		cr_init();
		cr_register_callback(callback, arg, CR_SIGNAL_CONTEXT);
	}
	registered++;
	while (!stop) {
		pthread_kill(pthread_self(), SIGUSR1);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 32, status = 0;
	struct counts *c = calloc((size_t)n, sizeof(*c));
	pthread_t *thread = calloc((size_t)n, sizeof(*thread));
	const struct counts *first = &c[0];

	signal(SIGUSR1, on_load);
	signal(SIGTERM, on_term);
	cr_init();
	/* Half of the counts are of thread-context callbacks, half of signal-context ones. */
	for (int i = 0; i < n; i++)
		if (i % 2 == 0)
			cr_register_callback(callback, &c[i], CR_THREAD_CONTEXT);
	for (int i = 1; i < n; i++)
		pthread_create(&thread[i], NULL, thread_main, i % 2 ? &c[i] : NULL);
	while (registered < n - 1)
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	prctl(PR_SET_NAME, "crowd-ready");
	puts("ready");
	fflush(stdout);
	while (!stop)
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	for (int i = 1; i < n; i++)
		pthread_join(thread[i], NULL);
	for (int i = 0; i < n; i++)
		if (c[i].before != first->before || c[i].cont != first->cont ||
		    c[i].restart != first->restart || c[i].failed != first->failed)
			status = 1;
	printf("before %ld continue %ld restart %ld failed %ld signals %s\n", first->before,
	       first->cont, first->restart, first->failed, own_signals ? "some" : "none");
	return status;
}
