/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every lasting madvise(2) advice: the area's flags are the same afterwards, and so are its
 * contents. */
#include "zoo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SIZE (4UL << 20)

static struct {
	const char *name;
	int advice;
	bool optional; /* a kernel may be built without it */
	unsigned char *area;
	char *flags;
} row[] = {
	{ "none", MADV_NORMAL, false, NULL, NULL },
	{ "DONTFORK", MADV_DONTFORK, false, NULL, NULL },
	{ "WIPEONFORK", MADV_WIPEONFORK, false, NULL, NULL },
	{ "DONTDUMP", MADV_DONTDUMP, false, NULL, NULL },
	{ "HUGEPAGE", MADV_HUGEPAGE, true, NULL, NULL },
	{ "NOHUGEPAGE", MADV_NOHUGEPAGE, true, NULL, NULL },
	{ "MERGEABLE", MADV_MERGEABLE, true, NULL, NULL },
	{ "SEQUENTIAL", MADV_SEQUENTIAL, false, NULL, NULL },
	{ "RANDOM", MADV_RANDOM, false, NULL, NULL },
};

#define ROWS (sizeof(row) / sizeof(row[0]))

int main(void)
{
	zoo_start();
	for (size_t i = 0; i < ROWS; i++) {
		/* A hole between them: areas of equal flags must not grow together. */
		unsigned char *p =
			mmap(NULL, SIZE + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		zoo_need(p != MAP_FAILED);
		p += 4096;
		zoo_need(mprotect(p, SIZE, PROT_READ | PROT_WRITE) == 0);
		if (madvise(p, SIZE, row[i].advice) < 0) {
			zoo_need(row[i].optional && errno == EINVAL);
			zoo_log("note: no MADV_%s on this kernel", row[i].name);
			continue;
		}
		zoo_fill(p, SIZE / 2, i);
		row[i].area = p;
		row[i].flags = zoo_smaps(p, "VmFlags");
		zoo_need(*row[i].flags);
	}
	zoo_ready();
	zoo_wait();

	for (size_t i = 0; i < ROWS; i++) {
		char *flags;

		if (!row[i].area)
			continue;
		flags = zoo_smaps(row[i].area, "VmFlags");
		zoo_check(!strcmp(flags, row[i].flags), "%s: flags '%s', were '%s'", row[i].name,
			  flags, row[i].flags);
		free(flags);
		zoo_check(zoo_filled(row[i].area, SIZE / 2, i), "%s: contents", row[i].name);
		for (size_t at = SIZE / 2; at < SIZE; at += 4096)
			zoo_check(row[i].area[at] == 0, "%s: contents from nowhere", row[i].name);
	}
	return zoo_end();
}
