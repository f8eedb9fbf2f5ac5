// SPDX-License-Identifier: LGPL-2.1-or-later
/* COUNT memory areas of one written page each; neighbours differ in protection, so that none merge.
 */
#include "target.h"

int main(int argc, char **argv)
{
	long n = target_count(argc, argv);
	char *p = mmap(NULL, (size_t)n * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);

	if (p == MAP_FAILED)
		err(1, "mmap");
	madvise(p, (size_t)n * 4096, MADV_NOHUGEPAGE);
	for (long i = 0; i < n; i++) {
		p[i * 4096] = (char)(i + 1);
		if (i % 2 && mprotect(p + i * 4096, 4096, PROT_READ) < 0)
			err(1, "mprotect");
	}
	target_ready_and_sleep(argv);
}
