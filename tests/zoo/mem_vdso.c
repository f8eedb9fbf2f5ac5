/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: busy */
/* The vdso goes on: glibc's own pointers into it, and one that was looked up in it. */
#include "zoo.h"

#include <elf.h>
#include <link.h>
#include <sched.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

typedef int clock_gettime_fn(clockid_t clock, struct timespec *ts);

/* Look a name up in the vdso's dynamic symbol table. */
static void *vdso_symbol(const char *name)
{
	uintptr_t base = getauxval(AT_SYSINFO_EHDR);
	const ElfW(Ehdr) *ehdr = (const void *)base;
	const ElfW(Phdr) *phdr = (const void *)(base + ehdr->e_phoff);
	const ElfW(Sym) *sym = NULL;
	const char *str = NULL;
	unsigned long n = 0;

	for (int i = 0; i < ehdr->e_phnum; i++) {
		if (phdr[i].p_type != PT_DYNAMIC)
			continue;
		for (const ElfW(Dyn) *d = (const void *)(base + phdr[i].p_offset); d->d_tag; d++) {
			const uint32_t *table = (const void *)(base + d->d_un.d_ptr);

			if (d->d_tag == DT_SYMTAB)
				sym = (const void *)table;
			if (d->d_tag == DT_STRTAB)
				str = (const void *)table;
			if (d->d_tag == DT_HASH)
				n = table[1];
			if (d->d_tag == DT_GNU_HASH && !n)
				n = 32; /* as many as there can reasonably be */
		}
	}
	for (unsigned long i = 0; sym && str && i < n; i++)
		if (!strcmp(str + sym[i].st_name, name))
			return (void *)(base + sym[i].st_value);
	return NULL;
}

/* System calls made by a call of the vdso: none, when it works as it should. */
static void compare(clock_gettime_fn *fn, clockid_t clock)
{
	struct timespec before, in, after;

	zoo_same(syscall(SYS_clock_gettime, clock, &before), 0);
	zoo_same(fn(clock, &in), 0);
	zoo_same(syscall(SYS_clock_gettime, clock, &after), 0);
	/* Coarse clocks and 1 ns of rounding. */
	zoo_check(in.tv_sec > before.tv_sec ||
			  (in.tv_sec == before.tv_sec && in.tv_nsec + 1 >= before.tv_nsec),
		  "clock %d: the vdso is late", clock);
	zoo_check(in.tv_sec < after.tv_sec ||
			  (in.tv_sec == after.tv_sec && in.tv_nsec <= after.tv_nsec + 1),
		  "clock %d: the vdso is early", clock);
}

int main(void)
{
	static const clockid_t clock[] = { CLOCK_REALTIME,	  CLOCK_MONOTONIC,
					   CLOCK_BOOTTIME,	  CLOCK_TAI,
					   CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE };
	clock_gettime_fn *direct;
	unsigned long base;
	unsigned int cpu, node;
	struct timeval tv;

	zoo_start();
	base = getauxval(AT_SYSINFO_EHDR);
	if (!base)
		zoo_skip("no vdso");
	direct = (clock_gettime_fn *)vdso_symbol("__vdso_clock_gettime");
	zoo_need(direct);
	zoo_ready();
	while (!zoo_gone())
		for (int i = 0; i < 1000; i++)
			for (size_t c = 0; c < sizeof(clock) / sizeof(clock[0]); c++)
				compare(i % 2 ? direct : clock_gettime, clock[c]);

	zoo_same(getauxval(AT_SYSINFO_EHDR), base);
	zoo_check(!memcmp((void *)base, ELFMAG, SELFMAG), "no ELF head where the vdso was");
	zoo_check(vdso_symbol("__vdso_clock_gettime") == (void *)direct, "the function moved");
	zoo_same(gettimeofday(&tv, NULL), 0);
	zoo_check(time(NULL) - tv.tv_sec <= 1, "time");
	zoo_same(getcpu(&cpu, &node), 0);
	zoo_check(cpu < (unsigned int)sysconf(_SC_NPROCESSORS_CONF), "cpu %u", cpu);
	zoo_check(sched_getcpu() >= 0, "sched_getcpu");
	return zoo_end();
}
