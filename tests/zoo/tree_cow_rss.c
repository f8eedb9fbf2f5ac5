/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pages that ten children have in common with their parent, copy-on-write, are in memory once: the
 * sum of all resident and proportional sizes stays what it was.
 */
#include "zoo.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define N     10
#define LEN   (16UL << 20)
#define SMALL (1UL << 20)
#define HEAP  (4UL << 20)

struct sizes {
	long long rss, pss;
};

/* Anonymous memory only: other programs map and unmap the libraries' files meanwhile. */
static struct sizes sum(pid_t root, const pid_t *child)
{
	struct sizes s = { 0, 0 };
	char path[64];

	for (int i = -1; i < N; i++) {
		snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", i < 0 ? root : child[i]);
		s.rss += zoo_number(path, "Anonymous");
		s.pss += zoo_number(path, "Pss_Anon");
	}
	return s;
}

static bool proc_is_ours(void)
{
	return zoo_number("/proc/self/status", "Pid") == getpid();
}

int main(void)
{
	pid_t child[N];
	unsigned char *p;
	char *heap, *more;
	struct sizes before, after;
	atomic_int *measured; /* none goes on before */

	zoo_start();
	measured = zoo_shared(sizeof(*measured));
	p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	heap = sbrk(HEAP);
	zoo_need(p != MAP_FAILED && heap != (void *)-1);
	/* Small pages, which a fork shares one by one. */
	madvise(p, LEN, MADV_NOHUGEPAGE);
	zoo_fill(p, LEN, 1);
	zoo_fill(heap, HEAP, 2);
	for (size_t i = 0; i < N; i++) {
		child[i] = zoo_fork();
		if (child[i])
			continue;
		/* Each has some pages of its own, and its heap grows, or shrinks. */
		zoo_fill(p + i * SMALL, SMALL / 2, 10 + i);
		zoo_need(sbrk((intptr_t)(i % 3) * 4096 - 4096) != (void *)-1);
		zoo_here();
		while (!atomic_load(measured))
			zoo_sleep_ms(2);
		zoo_check(zoo_filled(p + i * SMALL, SMALL / 2, 10 + i), "own pages of %zu", i);
		zoo_check(zoo_filled(heap, HEAP - 4096, 2), "the heap of %zu", i);
		zoo_leave();
	}
	/* So does the parent's, after they were born. */
	more = sbrk(16 * 4096);
	zoo_need(more != (void *)-1);
	zoo_fill(more, 16 * 4096, 3);
	before = sum(getpid(), child);
	zoo_need(before.pss > 0 && before.pss * 4 < before.rss);
	zoo_ready();
	zoo_wait();
	if (proc_is_ours()) {
		after = sum(getpid(), child);
		zoo_check(after.rss * 10 <= before.rss * 11, "resident: %lld kB, were %lld",
			  after.rss, before.rss);
		zoo_check(after.pss * 10 <= before.pss * 11, "proportional: %lld kB, were %lld",
			  after.pss, before.pss);
	}
	atomic_store(measured, 1);
	zoo_check(zoo_filled(p, LEN, 1), "the parent's pages");
	zoo_check(zoo_filled(heap, HEAP, 2), "the parent's heap");
	zoo_check(zoo_filled(more, 16 * 4096, 3), "what the parent's heap grew by");
	for (size_t i = 0; i < N; i++)
		zoo_join(child[i]);
	return zoo_end();
}
