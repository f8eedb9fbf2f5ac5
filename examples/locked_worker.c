// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A worker that takes a lock which others respect, and must not be saved while it holds it: a
 * restarted copy would believe to have what the first life gave back long ago. A critical section
 * puts the checkpoint off until the lock has been given back.
 *
 *	locked_worker	moves one unit at a time from the first number of the file "accounts" to
 *			the second, under the lock file "lock", until it finds the file "end"
 */
#include <errno.h>
#include <fcntl.h>
#include <libcr.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile int holds_lock;

static int on_checkpoint(void *arg)
{
	int *bad = arg;

	/* Cannot happen. */
	if (holds_lock)
		*bad = 1;
	cr_checkpoint(CR_CHECKPOINT_READY);
	return 0;
}

static int take_lock(void)
{
	int fd;

	while ((fd = open("lock", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600)) < 0) {
		const struct timespec moment = { 0, 1000000 };

		if (errno != EEXIST)
			return -1;
		nanosleep(&moment, NULL);
	}
	close(fd);
	holds_lock = 1;
	return 0;
}

static void give_back(void)
{
	holds_lock = 0;
	unlink("lock");
}

static int move_one(void)
{
	const struct timespec while_it_is_half_done = { 0, 2000000 };
	long from, to;
	FILE *f = fopen("accounts", "r+e");
	int rc = -1;

	if (f && fscanf(f, "%ld %ld", &from, &to) == 2) {
		rewind(f);
		fprintf(f, "%ld ", from - 1);
		nanosleep(&while_it_is_half_done, NULL);
		rc = fprintf(f, "%ld\n", to + 1) < 0 ? -1 : 0;
	}
	return f && fclose(f) == 0 ? rc : -1;
}

int main(void)
{
	cr_client_id_t id = cr_init();
	int bad = 0;

	if (id < 0 || cr_register_callback(on_checkpoint, &bad, CR_THREAD_CONTEXT) < 0)
		return 1;
	while (!bad && access("end", F_OK) < 0) {
		cr_enter_cs(id);
		if (take_lock() < 0 || move_one() < 0)
			bad = 1;
		give_back();
		cr_leave_cs(id);
	}
	puts(bad ? "bad" : "good");
	return bad;
}
