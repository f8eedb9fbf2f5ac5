// SPDX-License-Identifier: LGPL-2.1-or-later
/* COUNT processes: each has up to ten children, and has written to twenty pages since its birth. */
#include "target.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>

enum { CHILDREN = 10, PAGES = 20 };

static void live(long first, long n, atomic_long *started)
{
	char *own = malloc(PAGES * 4096);

	/* Those below `first`, which heads n processes, itself among them. */
	for (long left = n - 1, c = 0; left > 0; c++) {
		long share = (left + (CHILDREN - c) - 1) / (CHILDREN - c);
		pid_t pid = fork();

		if (pid < 0)
			err(1, "fork");
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			live(first + 1, share, started);
			for (;;)
				pause();
		}
		left -= share;
	}
	memset(own, (int)getpid(), PAGES * 4096);
	atomic_fetch_add(started, 1);
}

int main(int argc, char **argv)
{
	long n = target_count(argc, argv);
	atomic_long *started =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	live(0, n, started);
	while (atomic_load(started) < n)
		usleep(1000);
	target_ready_and_sleep(argv);
}
