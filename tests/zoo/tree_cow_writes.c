/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Copy-on-write memory of a parent, its child and its grandchild: whoever wrote to it before, each
 * has its own contents afterwards, and whoever writes to it then changes nobody else's. Areas that
 * one of them has unmapped, protected, locked, moved, grown, guarded, or let go of.
 */
#include "zoo.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

enum { WHO = 3, PAGE = 4096, LEN = 16 * PAGE };

/* Which of parent, child and grandchild writes to an area, by bit. */
enum { AREAS = 8 };

static unsigned char *area[AREAS];
static unsigned char *unmapped, *protected, *locked, *moved, *grown, *guarded, *zeroed, *never,
	*target;
static atomic_int *turn;

static uint64_t seed_of(unsigned int a, unsigned int who)
{
	return (a & 1U << who) ? 100 * (who + 1) + a : a;
}

/* What a process finds: what it wrote itself, or else what the nearest ancestor had before the
 * fork: all write only after all are born. */
static void write_own(unsigned int who)
{
	for (unsigned int a = 0; a < AREAS; a++)
		if (a & 1U << who)
			zoo_fill(area[a] + PAGE, LEN - 2 * PAGE, seed_of(a, who));
}

static void check_areas(unsigned int who, const char *when)
{
	for (unsigned int a = 0; a < AREAS; a++) {
		zoo_check(zoo_filled(area[a], PAGE, 1000 + a), "%s: %u: head of area %u", when, who,
			  a);
		zoo_check(zoo_filled(area[a] + PAGE, LEN - 2 * PAGE, seed_of(a, who)),
			  "%s: %u: area %u", when, who, a);
		zoo_check(zoo_filled(area[a] + LEN - PAGE, PAGE, 2000 + a),
			  "%s: %u: tail of area %u", when, who, a);
	}
}

static unsigned char *map(uint64_t seed)
{
	unsigned char *p =
		mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	zoo_need(p != MAP_FAILED);
	if (seed)
		zoo_fill(p, LEN, seed);
	return p;
}

static void set_up(void)
{
	for (unsigned int a = 0; a < AREAS; a++) {
		area[a] = map(0);
		zoo_fill(area[a], PAGE, 1000 + a);
		zoo_fill(area[a] + PAGE, LEN - 2 * PAGE, a);
		zoo_fill(area[a] + LEN - PAGE, PAGE, 2000 + a);
	}
	unmapped = map(1);
	protected = map(2);
	locked = map(3);
	moved = map(4);
	grown = mmap(NULL, 4 * LEN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	zoo_need(grown != MAP_FAILED && mprotect(grown, LEN, PROT_READ | PROT_WRITE) == 0);
	zoo_fill(grown, LEN, 5);
	guarded = map(6);
	zeroed = map(7);
	never = map(8);
	target = map(0); /* now: later the child would get the hole that is left by `never` */
	zoo_need(madvise(guarded + PAGE, PAGE, MADV_GUARD_INSTALL) == 0);
	zoo_need(mlock(locked, LEN) == 0);
	zoo_need(madvise(never, LEN, MADV_DONTFORK) == 0);
}

/* In the middle one of the three, after the youngest is born. */
static void diverge(void)
{
	unsigned char *to = target;

	zoo_need(munmap(unmapped + 4 * PAGE, 4 * PAGE) == 0);
	zoo_need(mprotect(protected + 4 * PAGE, 4 * PAGE, PROT_NONE) == 0);
	zoo_need(mremap(moved, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	moved = to;
	zoo_need(mprotect(grown, 2 * LEN, PROT_READ | PROT_WRITE) == 0);
	zoo_fill(grown + LEN, LEN, 55);
	zoo_need(madvise(guarded + 8 * PAGE, PAGE, MADV_GUARD_INSTALL) == 0);
	zoo_need(madvise(zeroed + 4 * PAGE, 4 * PAGE, MADV_DONTNEED) == 0);
}

static void check_diverged(void)
{
	static const unsigned char none[4 * PAGE];

	zoo_check(zoo_filled(unmapped, 4 * PAGE, 1), "before the hole");
	for (int i = 4; i < 8; i++)
		zoo_check(!zoo_mapped(unmapped + i * PAGE), "no hole at page %d", i);
	zoo_check(zoo_faults(protected + 4 * PAGE, false), "the protection is gone");
	zoo_need(mprotect(protected, LEN, PROT_READ) == 0);
	zoo_check(zoo_filled(protected, LEN, 2), "under the protection");
	zoo_check(zoo_filled(moved, LEN, 4), "the moved area");
	zoo_check(zoo_filled(grown, LEN, 5), "the grown area");
	zoo_check(zoo_filled(grown + LEN, LEN, 55), "what it grew by");
	zoo_check(zoo_faults(grown + 2 * LEN, false), "it grew on");
	zoo_check(zoo_faults(guarded + 8 * PAGE, false), "the own guard page is gone");
	zoo_check(zoo_faults(guarded + PAGE, false), "the inherited guard page is gone");
	zoo_check(zoo_filled(zeroed, 4 * PAGE, 7), "before the zeros");
	zoo_check(!memcmp(zeroed + 4 * PAGE, none, sizeof(none)),
		  "pages that were dropped are back");
	zoo_check(zoo_filled(locked, LEN, 3), "the area that is locked elsewhere");
	zoo_check(!zoo_mapped(never), "an area that is not for children");
}

/* The parent and the grandchild have all as it was. */
static void check_undiverged(unsigned int who)
{
	char *flags = zoo_smaps(locked, "VmFlags");

	zoo_check(zoo_filled(unmapped, LEN, 1), "%u: the area that is unmapped elsewhere", who);
	zoo_check(zoo_filled(protected, LEN, 2), "%u: the area that is protected elsewhere", who);
	zoo_check(zoo_filled(locked, LEN, 3), "%u: the locked area", who);
	zoo_check(!!strstr(flags, " lo") == (who == 0), "%u: flags of the locked area: %s", who,
		  flags);
	zoo_check(zoo_filled(moved, LEN, 4), "%u: the area that is moved elsewhere", who);
	zoo_check(zoo_filled(grown, LEN, 5), "%u: the area that is grown elsewhere", who);
	zoo_check(zoo_faults(grown + LEN, false), "%u: the area grew here", who);
	zoo_check(zoo_faults(guarded + PAGE, false), "%u: the guard page is gone", who);
	zoo_check(!zoo_faults(guarded + 8 * PAGE, false), "%u: a guard page of another", who);
	zoo_check(zoo_filled(zeroed, LEN, 7), "%u: the area that is dropped elsewhere", who);
	if (who == 0)
		zoo_check(zoo_filled(never, LEN, 8), "the area that is not for children");
	else
		zoo_check(!zoo_mapped(never), "%u: an area that is not for children", who);
	free(flags);
}

static void wait_turn(int n)
{
	while (atomic_load(turn) != n)
		zoo_sleep_ms(1);
}

/* One after the other writes to everything, and the others see nothing of it. */
static void prove(unsigned int who)
{
	zoo_wait();
	check_areas(who, "before");
	if (who == 1)
		check_diverged();
	else
		check_undiverged(who);
	for (unsigned int w = 0; w < WHO; w++) {
		if (w == who) {
			wait_turn((int)w);
			check_areas(who, "when it was its turn");
			for (unsigned int a = 0; a < AREAS; a++)
				zoo_fill(area[a], LEN, 5000 + who);
			atomic_store(turn, (int)w + 1);
		}
	}
	wait_turn(WHO);
	for (unsigned int a = 0; a < AREAS; a++)
		zoo_check(zoo_filled(area[a], LEN, 5000 + who), "%u: area %u after all", who, a);
}

int main(void)
{
	pid_t child, grandchild;

	zoo_start();
	turn = zoo_shared(sizeof(*turn));
	set_up();
	child = zoo_fork();
	if (child == 0) {
		grandchild = zoo_fork();
		if (grandchild == 0) {
			write_own(2);
			zoo_here();
			prove(2);
			zoo_leave();
		}
		write_own(1);
		diverge();
		zoo_here();
		prove(1);
		zoo_join(grandchild);
		zoo_leave();
	}
	write_own(0);
	zoo_ready();
	prove(0);
	zoo_join(child);
	return zoo_end();
}
