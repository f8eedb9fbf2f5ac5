// SPDX-License-Identifier: LGPL-2.1-or-later
/* COUNT descriptors over 100 processes: files, and pipes from each process to the next. */
#include "target.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* CRIU saves the contents of no more than 1,024 pipes. */
enum { PROCESSES = 100, PIPE_EVERY = 12 };

static void fill(char **argv, long n)
{
	for (long i = 0; i < n; i++) {
		char name[4096];
		int fd[2];

		if (i % PIPE_EVERY == 0 && i + 1 < n) {
			if (pipe2(fd, O_CLOEXEC))
				err(1, "pipe");
			i++;
			continue;
		}
		snprintf(name, sizeof(name), "%s.%ld", argv[1], i % 100);
		if (open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600) < 0)
			err(1, "%s", name);
	}
}

int main(int argc, char **argv)
{
	long n = target_count(argc, argv);
	atomic_long *started =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct rlimit rl;

	getrlimit(RLIMIT_NOFILE, &rl);
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
	for (int i = 1; i < PROCESSES; i++) {
		pid_t pid = fork();

		if (pid < 0)
			err(1, "fork");
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			fill(argv, n / PROCESSES);
			atomic_fetch_add(started, 1);
			for (;;)
				pause();
		}
	}
	fill(argv, n / PROCESSES);
	while (atomic_load(started) < PROCESSES - 1)
		usleep(1000);
	target_ready_and_sleep(argv);
}
