// SPDX-License-Identifier: LGPL-2.1-or-later
/* warm MIB: touch and free that much memory, so that the host backs it before the clock runs. */
#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int main(int argc, char **argv)
{
	size_t bytes = argc == 2 ? strtoul(argv[1], NULL, 10) << 20 : 0;
	char *p;

	if (!bytes)
		errx(2, "usage: warm MIB");
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		err(1, "mmap");
	madvise(p, bytes, MADV_HUGEPAGE);
	memset(p, 1, bytes);
	return 0;
}
