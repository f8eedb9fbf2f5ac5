/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Waits on futexes without a time-out: woken by another thread, private and shared, and by a join.
 */
#include "zoo.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct wait {
	int *word;
	int wait_op, wake_op;
	long rc;
	int err;
	bool done;
} wait_row[3];

static void *waiter(void *arg)
{
	struct wait *w = arg;

	w->rc = syscall(SYS_futex, w->word, w->wait_op, 1, NULL, NULL, FUTEX_BITSET_MATCH_ANY);
	w->err = errno;
	w->done = true;
	return NULL;
}

static void *joiner(void *arg)
{
	zoo_same(pthread_join(*(pthread_t *)arg, NULL), 0);
	return arg;
}

int main(void)
{
	static int private_word = 1, bitset_word = 1;
	int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_t thread[3], joining;

	zoo_start();
	zoo_need(shared != MAP_FAILED);
	*shared = 1;
	wait_row[0] =
		(struct wait){ &private_word, FUTEX_WAIT_PRIVATE, FUTEX_WAKE_PRIVATE, 0, 0, false };
	wait_row[1] = (struct wait){ shared, FUTEX_WAIT, FUTEX_WAKE, 0, 0, false };
	wait_row[2] =
		(struct wait){ &bitset_word, FUTEX_WAIT_BITSET_PRIVATE, FUTEX_WAKE_PRIVATE, 0, 0,
			       false };
	for (int i = 0; i < 3; i++)
		zoo_need(pthread_create(&thread[i], NULL, waiter, &wait_row[i]) == 0);
	zoo_need(pthread_create(&joining, NULL, joiner, &thread[2]) == 0);
	zoo_ready();
	zoo_wait();

	for (int i = 0; i < 3; i++) {
		long woken = 0;

		zoo_check(!wait_row[i].done, "wait %d ended by itself: %ld %s", i, wait_row[i].rc,
			  strerror(wait_row[i].err));
		/* In plain mode it may not have begun to wait yet. */
		for (int n = 0; n < 1000 && !woken && !wait_row[i].done; n++) {
			woken = syscall(SYS_futex, wait_row[i].word, wait_row[i].wake_op, 1);
			if (!woken)
				zoo_sleep_ms(1);
		}
		zoo_check(woken == 1, "nobody waits at %d", i);
		if (i < 2)
			zoo_need(pthread_join(thread[i], NULL) == 0);
	}
	zoo_need(pthread_join(joining, NULL) == 0);
	for (int i = 0; i < 3; i++)
		zoo_same(wait_row[i].rc, 0);
	return zoo_end();
}
