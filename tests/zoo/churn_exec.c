/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: modes=plain */
/* Executes itself as fast as it can, from a second thread every other time; for
 * tests/e2e/bad_input. */
#include "zoo.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static unsigned long count;

static void *again(void *arg)
{
	char number[24];

	snprintf(number, sizeof(number), "%lu", count + 1);
	execl("/proc/self/exe", "churn_exec", number, NULL);
	zoo_check(false, "exec failed");
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	zoo_start();
	if (argc > 1)
		count = strtoul(argv[1], NULL, 10);
	if (count == 3)
		zoo_ready();
	if (count > 3 && zoo_gone())
		return zoo_end();
	if (count % 2)
		again(NULL);
	zoo_need(pthread_create(&thread, NULL, again, NULL) == 0);
	pthread_join(thread, NULL);
	return zoo_end();
}
