// SPDX-License-Identifier: LGPL-2.1-or-later
/* COUNT descriptors, each of an open file description of its own, of one of at most 100 files
 * beside READY-FILE. */
#include "target.h"

#include <sys/resource.h>

int main(int argc, char **argv)
{
	long n = target_count(argc, argv);
	struct rlimit rl;

	getrlimit(RLIMIT_NOFILE, &rl);
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
	for (long i = 0; i < n; i++) {
		char name[4096];
		int fd;

		snprintf(name, sizeof(name), "%s.%ld", argv[1], i % 100);
		fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0)
			err(1, "%s", name);
	}
	target_ready_and_sleep(argv);
}
