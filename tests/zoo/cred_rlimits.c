/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All sixteen resource limits, soft and hard, those that the process is already above included. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

int main(void)
{
	struct rlimit was[RLIM_NLIMITS], now;

	zoo_start();
	/* Held already, and above the limit that comes. */
	zoo_need(dup2(STDOUT_FILENO, 900) == 900);
	zoo_need(mmap(NULL, 1 << 30, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		zoo_need(getrlimit((__rlimit_resource_t)i, &was[i]) == 0);
		if (was[i].rlim_max == RLIM_INFINITY)
			was[i].rlim_max = 1000000000ULL + (rlim_t)i;
		if (was[i].rlim_cur > was[i].rlim_max)
			was[i].rlim_cur = was[i].rlim_max - 7;
		if (i == RLIMIT_NOFILE)
			was[i].rlim_cur = 64;
		if (i == RLIMIT_AS)
			was[i].rlim_cur = 100 << 20;
		if (i == RLIMIT_DATA)
			was[i].rlim_cur = 50 << 20;
		if (i == RLIMIT_FSIZE)
			was[i].rlim_cur = 4 << 20;
		if (i == RLIMIT_NPROC)
			was[i].rlim_cur = 1;
		if (i == RLIMIT_STACK)
			was[i].rlim_cur = 1 << 20;
		if (i == RLIMIT_CORE)
			was[i].rlim_cur = 12345;
		zoo_need(setrlimit((__rlimit_resource_t)i, &was[i]) == 0);
	}
	zoo_ready();
	zoo_wait();

	for (int i = 0; i < RLIM_NLIMITS; i++) {
		zoo_need(getrlimit((__rlimit_resource_t)i, &now) == 0);
		zoo_check(now.rlim_cur == was[i].rlim_cur && now.rlim_max == was[i].rlim_max,
			  "limit %d: %llu of %llu, was %llu of %llu", i,
			  (unsigned long long)now.rlim_cur, (unsigned long long)now.rlim_max,
			  (unsigned long long)was[i].rlim_cur, (unsigned long long)was[i].rlim_max);
	}
	zoo_check(fcntl(900, F_GETFD) == 0, "a descriptor above the limit");
	zoo_check(dup2(STDOUT_FILENO, 64) < 0 && errno == EBADF, "the limit of descriptors");
	zoo_check(mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED,
		  "the limit of addresses");
	return zoo_end();
}
