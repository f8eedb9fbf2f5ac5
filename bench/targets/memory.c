// SPDX-License-Identifier: LGPL-2.1-or-later
/* COUNT MiB of anonymous memory that does not compress, in 4 KiB pages. */
#include "target.h"

int main(int argc, char **argv)
{
	size_t bytes = (size_t)target_count(argc, argv) << 20;
	uint64_t x = 88172645463325252ULL;
	uint64_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		err(1, "mmap");

	for (size_t i = 0; i < bytes / sizeof(*p); i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = x;
	}
	target_ready_and_sleep(argv);
}
