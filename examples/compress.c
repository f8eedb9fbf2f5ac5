// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A program with large tables that are easily made small: it compresses them for a checkpoint, and
 * unpacks them afterwards. The image has the small ones only.
 *
 *	compress MEGABYTES	works on its table until it finds the file "end", checks it then
 *
 * The callback runs in thread context, in a thread of the library's own: it may allocate, lock,
 * and take its time. The one thread that works on the table stands still meanwhile, interrupted
 * wherever it was: so the callback must not wait for a lock that it may hold. With more threads the
 * table would need a critical section around each use. What lives across the call of
 * cr_checkpoint() are plain local variables.
 */
#include <libcr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

struct table {
	unsigned int *cell; /* its address is known to the workers: it stays */
	size_t bytes;
};

static void fill(struct table *t)
{
	for (size_t i = 0; i < t->bytes / sizeof(*t->cell); i++)
		t->cell[i] = (unsigned int)(i / 1024) * 2654435761u;
}

static int is_filled(const struct table *t)
{
	for (size_t i = 0; i < t->bytes / sizeof(*t->cell); i++)
		if (t->cell[i] != (unsigned int)(i / 1024) * 2654435761u)
			return 0;
	return 1;
}

static int on_checkpoint(void *arg)
{
	struct table *t = arg;
	size_t room = ZSTD_compressBound(t->bytes), n;
	void *small = malloc(room);

	if (!small)
		return 0; /* a larger image, then: cr_checkpoint() is called for us */
	n = ZSTD_compress(small, room, t->cell, t->bytes, 1);
	if (ZSTD_isError(n)) {
		free(small);
		cr_checkpoint(CR_CHECKPOINT_TEMP_FAILURE);
		return 0;
	}
	/* The pages go, the addresses stay. */
	madvise(t->cell, t->bytes, MADV_DONTNEED);

	/* Both lives, and a failed checkpoint, need the table again. */
	cr_checkpoint(CR_CHECKPOINT_READY);

	n = ZSTD_decompress(t->cell, t->bytes, small, n);
	free(small);
	return n == t->bytes ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct table t = { .bytes = (argc > 1 ? strtoul(argv[1], NULL, 10) : 64) << 20 };

	t.cell = mmap(NULL, t.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (t.cell == MAP_FAILED || cr_init() < 0 ||
	    cr_register_callback(on_checkpoint, &t, CR_THREAD_CONTEXT) < 0) {
		perror("compress");
		return 1;
	}
	fill(&t);
	puts("ready");
	fflush(stdout);
	while (access("end", F_OK) < 0) {
		const struct timespec moment = { 0, 10000000 };

		if (!is_filled(&t))
			return 1;
		nanosleep(&moment, NULL);
	}
	puts("the table is whole");
	return 0;
}
