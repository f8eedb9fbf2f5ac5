// SPDX-License-Identifier: LGPL-2.1-or-later
/* Starts programs, one after the other, by vfork(2): children that live in its memory for a moment.
 */
#include <libcr.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static atomic_int stop;
static atomic_long before, after;

static void on_term(int sig)
{
	(void)sig;
	stop = 1;
}

static int callback(void *arg)
{
	(void)arg;
	before++;
	cr_checkpoint(CR_CHECKPOINT_READY);
	after++;
	return 0;
}

int main(void)
{
	char *const argv[] = { "/bin/true", NULL };
	long spawned = 0;
	int status;
	pid_t pid;

	signal(SIGTERM, on_term);
	if (cr_init() < 0 || cr_register_callback(callback, NULL, CR_SIGNAL_CONTEXT) < 0 ||
	    cr_register_callback(callback, NULL, CR_THREAD_CONTEXT) < 0)
		return 1;
	puts("ready");
	fflush(stdout);
	for (; !stop; spawned++)
		if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ) ||
		    waitpid(pid, &status, 0) != pid || status)
			return 2;
	printf("before %ld after %ld spawned %s\n", before, after, spawned > 10 ? "many" : "few");
	return 0;
}
